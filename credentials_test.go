package wechatqr_test

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/wechatqr/wechatqr"
)

// No encoder that a configuration may meet gives the secret away.
func TestCredentialsKeepTheirSecret(t *testing.T) {
	t.Parallel()
	type config struct {
		Name  string
		Creds wechatqr.Credentials
		List  []*wechatqr.Credentials
	}
	creds := wechatqr.Credentials{AppID: "wx0", AppSecret: "s3cr3t"}
	cfg := config{"shop", creds, []*wechatqr.Credentials{&creds}}
	var log bytes.Buffer
	for _, h := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
		slog.New(h).Info("config", "config", cfg, "creds", creds, "list", cfg.List)
	}
	for name, encode := range map[string]func(any) ([]byte, error){
		"JSON": json.Marshal,
		"YAML": yaml.Marshal,
		"XML":  xml.Marshal,
		"fmt":  func(v any) ([]byte, error) { return fmt.Appendf(nil, "%v %+v %#v %d %x", v, v, v, v, v), nil },
		"slog": func(any) ([]byte, error) { return log.Bytes(), nil },
	} {
		for _, v := range []any{creds, &creds, cfg, &cfg} {
			b, err := encode(v)
			require.NoError(t, err, name)
			assert.Contains(t, string(b), "wx0", name)
			assert.NotContains(t, string(b), "s3cr3t", name)
			assert.NotContains(t, string(b), fmt.Sprintf("%x", "s3cr3t"), name)
		}
	}
	for _, v := range []any{creds, &creds, cfg, &cfg} {
		var b bytes.Buffer
		require.Error(t, gob.NewEncoder(&b).Encode(v))
		assert.NotContains(t, b.String(), "s3cr3t")
	}

	var back wechatqr.Credentials
	require.NoError(t, yaml.Unmarshal([]byte("appid: wx0\nappsecret: s3cr3t"), &back))
	assert.Equal(t, creds, back, "it can still be read")
}

func TestCredentialsFromEnv(t *testing.T) {
	for _, tt := range []struct{ id, secret, want string }{
		{"wx0", "s", ""},
		{"", "s", "set WECHAT_APP_ID in"},
		{"wx0", "", "set WECHAT_APP_SECRET in"},
		{"", "", "set WECHAT_APP_ID and WECHAT_APP_SECRET in"},
	} {
		t.Setenv("WECHAT_APP_ID", tt.id)
		t.Setenv("WECHAT_APP_SECRET", tt.secret)
		creds, err := wechatqr.CredentialsFromEnv()
		if tt.want == "" {
			require.NoError(t, err)
			assert.Equal(t, wechatqr.Credentials{AppID: tt.id, AppSecret: tt.secret}, creds)
			continue
		}
		require.ErrorIs(t, err, wechatqr.ErrInvalidArgument)
		require.ErrorContains(t, err, tt.want)
	}
}
