package wechatqr_test

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/wechatqr/wechatqr"
)

// No encoder that a configuration may meet gives a secret away.
func TestEncodersKeepSecrets(t *testing.T) {
	t.Parallel()
	const secret, value = "s3cr3t", "t0k3n"
	creds := wechatqr.Credentials{AppID: "wx0", AppSecret: secret}
	tok := wechatqr.Token{Value: value, Expiry: time.Unix(1700000000, 0)}
	type config struct {
		Name  string
		Creds wechatqr.Credentials
		List  []*wechatqr.Credentials
		Token wechatqr.Token
	}
	cfg := config{"shop", creds, []*wechatqr.Credentials{&creds}, tok}
	slogged := func(h func(io.Writer, *slog.HandlerOptions) slog.Handler) func(any) ([]byte,
		error) {
		return func(v any) ([]byte, error) {
			var log bytes.Buffer
			slog.New(h(&log, nil)).Info("encoded", "value", v, "list", []any{v})
			return log.Bytes(), nil
		}
	}
	for name, encode := range map[string]func(any) ([]byte, error){
		"JSON": json.Marshal,
		"YAML": yaml.Marshal,
		"XML":  xml.Marshal,
		"fmt": func(v any) ([]byte,
			error) {
			return fmt.Appendf(nil, "%v %+v %#v %d %x", v, v, v, v, v), nil
		},
		"slog text": slogged(func(w io.Writer,
			o *slog.HandlerOptions) slog.Handler {
			return slog.NewTextHandler(w, o)
		}),
		"slog JSON": slogged(func(w io.Writer,
			o *slog.HandlerOptions) slog.Handler {
			return slog.NewJSONHandler(w, o)
		}),
	} {
		for _, v := range []any{creds, &creds, tok, &tok, cfg, &cfg} {
			b, err := encode(v)
			require.NoError(t, err, name)
			assert.Contains(t, string(b), "wechatqr.", name)
			for _, s := range []string{secret, value} {
				assert.NotContains(t, string(b), s, name)
				assert.NotContains(t, string(b), fmt.Sprintf("%x", s), name)
			}
		}
	}
	for _, v := range []any{creds, &creds, tok, &tok, cfg, &cfg} {
		var b bytes.Buffer
		require.Error(t, gob.NewEncoder(&b).Encode(v))
		assert.NotContains(t, b.String(), secret)
		assert.NotContains(t, b.String(), value)
	}

	var back wechatqr.Credentials
	require.NoError(t, yaml.Unmarshal([]byte("appid: wx0\nappsecret: s3cr3t"), &back))
	assert.Equal(t, creds, back, "it can still be read")
	require.NoError(t, json.Unmarshal([]byte(`{"app_id":"wx0","app_secret":"s3cr3t"}`), &back))
	assert.Equal(t, creds, back, "it can still be read")
}

func TestTokenShowsAllButItsValue(t *testing.T) {
	t.Parallel()
	end := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for want, tok := range map[string]wechatqr.Token{
		"wechatqr.Token(none, expires at an unknown time)":         {},
		"wechatqr.Token([redacted], expires at an unknown time)":   {Value: "T"},
		"wechatqr.Token([redacted], expires 2026-01-02T03:04:05Z)": {Value: "T", Expiry: end},
	} {
		assert.Equal(t, want, fmt.Sprint(tok))
	}
	src := wechatqr.ReuseTokenSource(wechatqr.StaticTokenSource("T"), nil)
	assert.Equal(t, "wechatqr.ReuseTokenSource", fmt.Sprint(src))
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
