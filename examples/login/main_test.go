package main

import (
	"bytes"
	"context"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr/wechatqrtest"
)

func TestDemo(t *testing.T) {
	var out bytes.Buffer
	setenv(t, nil)
	require.NoError(t, run(t.Context(), nil, &out))
	text := regexp.MustCompile(`\d{6}\b|127\.0\.0\.1:\d+|q/\S+|login-\S+`).ReplaceAllString(out.String(), "…")
	const reads = "登录验证码 …，五分钟内有效。只能填写在 http://… ，切勿告诉他人。如果不是您在登录，请忽略。\n" +
		"Your login number is …, for five minutes. Type it at http://… only, and tell nobody. If you are not logging in, ignore it.\n" +
		"  types the number, and is: in\n"
	assert.Equal(t, "No WECHAT_APP_ID, WECHAT_APP_SECRET and WECHAT_TOKEN: this is a fake WeChat inside this process.\n"+
		"the console has accepted http://…/wechat, messages are encrypted\n"+
		"o-wang opens the page, which shows http://weixin.qq.com/… with the scene …\n"+
		"  scans it, as WeChat tells by subscribe, and reads:\n"+reads+
		"o-li opens the page, which shows http://weixin.qq.com/… with the scene …\n"+
		"  scans it, as WeChat tells by SCAN, and reads:\n"+reads, text)
}

func TestServe(t *testing.T) {
	t.Parallel()
	wx := wechatqrtest.Start(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := "http://" + l.Addr().String()
	s, err := newSite(wx.Client(), wx.CallbackConfig(), address, log.New(io.Discard, "", 0))
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error)
	go func() { served <- s.serve(ctx, l) }()
	require.NoError(t, wx.SetCallback(wechatqrtest.Callback{URL: address + "/wechat"}))
	require.NoError(t, wx.CheckCallback(t.Context()))
	stop()
	require.NoError(t, <-served)
}

// setenv leaves of this module's variables those in env.
func setenv(t *testing.T, env map[string]string) {
	t.Helper()
	for _, name := range []string{"APP_ID", "APP_SECRET", "TOKEN", "AES_KEY", "PLAINTEXT", "ACCOUNT", "BASE_URL"} {
		t.Setenv("WECHAT_"+name, env["WECHAT_"+name])
	}
}

func TestRunRefuses(t *testing.T) {
	ended, end := context.WithCancel(t.Context()) // should it serve, it does not go on
	end()
	env := map[string]string{"WECHAT_APP_ID": "wx1", "WECHAT_APP_SECRET": "s", "WECHAT_TOKEN": "token", "WECHAT_PLAINTEXT": "1"}
	for name, c := range map[string]struct{ without, args, want string }{
		"no secret":       {"WECHAT_APP_SECRET", "-origin https://a.example", "AppSecret is empty"},
		"no id":           {"WECHAT_APP_ID", "-origin https://a.example", "AppID is empty"},
		"no token":        {"WECHAT_TOKEN", "-origin https://a.example", "WECHAT_TOKEN is empty"},
		"no origin":       {"", "", `-origin is ""`},
		"no TLS":          {"", "-origin http://a.example", `-origin is "http://a.example"`},
		"no TLS, by name": {"", "-origin http://localhost.example", `-origin is "http://localhost.example"`},
		"origin and path": {"", "-origin https://a.example/login", "https://a.example/login"},
		"an unknown flag": {"", "-x", "-x"},
	} {
		with := maps.Clone(env)
		delete(with, c.without)
		setenv(t, with)
		err := run(ended, strings.Fields(c.args), io.Discard)
		require.ErrorContains(t, err, c.want, name)
	}
}

func TestOnLoopback(t *testing.T) {
	t.Parallel()
	for origin, want := range map[string]bool{
		"http://127.0.0.1:8080": true, "http://[::1]:8080": true, "http://localhost:8080": true,
		"http://10.0.0.1:8080": false, "https://127.0.0.1": false, "http://localhost.example": false, "": false,
	} {
		assert.Equal(t, want, onLoopback(origin), origin)
	}
}

// What the program serves over https.
func TestCookie(t *testing.T) {
	t.Parallel()
	wx := wechatqrtest.Start(t)
	s, err := newSite(wx.Client(), wx.CallbackConfig(), "https://login.example.com", log.New(io.Discard, "", 0))
	require.NoError(t, err)
	resp := post(s, "/login", nil)
	require.Equal(t, http.StatusSeeOther, resp.StatusCode)
	require.Len(t, resp.Cookies(), 1)
	c := resp.Cookies()[0]
	assert.Equal(t, "__Host-login="+c.Value+"; Path=/; HttpOnly; Secure; SameSite=Lax", c.Raw)
	assert.GreaterOrEqual(t, len(c.Value), 26, "128 bits")
	assert.NotContains(t, wx.QRCodes()[0].Scene(), c.Value)
}
