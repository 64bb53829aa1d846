package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/events"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// setEnv has the environment of an account whose callback is configured as cfg.
func setEnv(t *testing.T, creds wechatqr.Credentials, cfg events.Config) {
	t.Helper()
	for name, value := range map[string]string{
		"WECHAT_APP_ID": creds.AppID, "WECHAT_APP_SECRET": creds.AppSecret,
		"WECHAT_TOKEN":   cfg.Token,
		"WECHAT_AES_KEY": cfg.EncodingAESKey, "WECHAT_ACCOUNT": cfg.Account, "WECHAT_PLAINTEXT": "",
	} {
		t.Setenv(name, value)
	}
}

func doctorWith(
	t *testing.T, env map[string]string, args ...string,
) (code int, stdout, stderr string) {
	t.Helper()
	var out, errOut bytes.Buffer
	getenv := func(name string) string { return env[name] }
	code = run(t.Context(), args, getenv, &out, &errOut)
	return code, out.String(), errOut.String()
}

func TestRun(t *testing.T) {
	srv := wechatqrtest.Start(t)
	handler, err := events.NewHandler(srv.CallbackConfig(), new(events.Mux).Serve)
	require.NoError(t, err)
	callback := srv.ServeCallback(handler)
	creds := srv.Credentials()
	setEnv(t, creds, srv.CallbackConfig())

	code, out, _ := doctorWith(t, nil, "-api", srv.URL()+"/", "-callback", callback)
	assert.Equal(t, exitOK, code, out)
	assert.Contains(t, out, "ok           credentials: set, for "+creds.AppID)
	assert.Contains(t, out, "10 ok, 0 wrong, 1 not checked")
	chinese := map[string]string{"LANG": "zh_CN.UTF-8"}
	for _, locale := range []map[string]string{chinese, {"LANG": "en_US", "LC_ALL": "zh_TW"}} {
		code, out, _ = doctorWith(t, locale, "-api", srv.URL())
		assert.Equal(t, exitOK, code, out)
		assert.Contains(t, out, "正常      AppID 与 AppSecret：已设置")
	}
	_, out, _ = doctorWith(t, chinese, "-api", srv.URL(), "-lang", "en")
	assert.Contains(t, out, "credentials: set")

	srv.Inject(wechatqrtest.Fault{Path: "/cgi-bin/qrcode/create", Code: 48001})
	code, out, _ = doctorWith(t, nil, "-api", srv.URL())
	assert.Equal(t, exitWrong, code)
	assert.Contains(t, out,
		"WRONG        account may make codes: errcode 48001: api unauthorized\n"+
			"             → the account may not")

	code, out, _ = doctorWith(t, nil, "-json", "-api", srv.URL(), "-callback", callback)
	assert.Equal(t, exitWrong, code)
	var report struct {
		OK     bool
		Checks []map[string]string
	}
	require.NoError(t, json.Unmarshal([]byte(out), &report))
	assert.False(t, report.OK)
	assert.Len(t, report.Checks, 11)
	for _, c := range report.Checks {
		assert.Equal(t, c["check"] == "account", c["status"] == "wrong", "%v", c)
	}
	assert.NotContains(t, out, creds.AppSecret)
}

// What is not set, or set to what cannot be, is named by its variable.
func TestEnvironment(t *testing.T) {
	srv := wechatqrtest.Start(t)
	setEnv(t, wechatqr.Credentials{}, events.Config{})
	code, out, _ := doctorWith(t, nil, "-api", srv.URL(), "-callback", srv.URL())
	assert.Equal(t, exitWrong, code)
	assert.Contains(t, out, "set WECHAT_APP_ID and WECHAT_APP_SECRET")
	assert.Contains(t, out, "callback settings: WECHAT_")

	setEnv(t, srv.Credentials(), events.Config{})
	code, out, _ = doctorWith(t, nil, "-api", srv.URL())
	assert.Equal(t, exitOK, code, "who receives no pushes has nothing wrong: %s", out)
	code, out, _ = doctorWith(t, map[string]string{"WECHAT_AES_KEY": "short"}, "-api", srv.URL())
	assert.Equal(t, exitWrong, code, out)
}

func TestFlags(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]int{
		"-h": exitOK, "-x": exitUsage, "more": exitUsage, "-lang fr": exitUsage,
		"-api nowhere": exitUsage, "-api http://user:pass@host": exitUsage,
		"-callback ftp://host/": exitUsage, "-callback /wechat": exitUsage,
	} {
		code, out, errOut := doctorWith(t, nil, strings.Fields(args)...)
		assert.Equal(t, want, code, args)
		assert.Empty(t, out, args)
		assert.NotEmpty(t, errOut, args)
		assert.NotContains(t, errOut, "pass@", args)
	}
}
