package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// browser is somebody at the site.
type browser struct {
	*testing.T
	http   http.Client
	origin string
}

func (b *browser) read(resp *http.Response, err error) string {
	b.Helper()
	require.NoError(b, err)
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	require.NoError(b, err)
	return string(page)
}

func (b *browser) get(path string) string {
	b.Helper()
	return b.read(b.http.Get(b.origin + path))
}

func (b *browser) post(path string, form url.Values) string {
	b.Helper()
	return b.read(b.http.PostForm(b.origin+path, form))
}

// start serves the site for a WeChat, and returns what makes browsers.
func start(t *testing.T) (*wechatqrtest.Server, func() *browser) {
	t.Helper()
	wx := wechatqrtest.Start(t)
	creds, callback := wx.Credentials(), wx.CallbackConfig()
	for name, value := range map[string]string{
		"BASE_URL": wx.URL(), "APP_ID": creds.AppID, "APP_SECRET": creds.AppSecret,
		"TOKEN": callback.Token, "AES_KEY": callback.EncodingAESKey, "PLAINTEXT": "", "ACCOUNT": "",
	} {
		t.Setenv("WECHAT_"+name, value)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	origin := "http://" + l.Addr().String()
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- run(ctx, l, origin+"/login") }()
	t.Cleanup(func() {
		stop()
		assert.NoError(t, <-served)
	})
	require.NoError(t, wx.SetCallback(wechatqrtest.Callback{URL: origin + "/wechat"}))
	require.NoError(t, wx.CheckCallback(t.Context()))
	return wx, func() *browser {
		jar, err := cookiejar.New(nil)
		require.NoError(t, err)
		return &browser{t, http.Client{Jar: jar}, origin}
	}
}

// login has who scan the code that the browser shows, and type the number.
func (b *browser) login(wx *wechatqrtest.Server, who string) string {
	b.Helper()
	b.post("/login", url.Values{"do": {"begin"}})
	codes := wx.QRCodes()
	push, err := wx.Scan(b.Context(), codes[len(codes)-1].Ticket, who)
	require.NoError(b, err)
	number := regexp.MustCompile(`\b\d{6}\b`).FindString(push.UserSees())
	return b.post("/login", url.Values{"do": {"confirm"}, "number": {number}})
}

func TestLogin(t *testing.T) {
	wx, open := start(t)
	wang, li := open(), open()
	assert.Contains(t, wang.get("/"), "Log in with WeChat")
	assert.Contains(t, wang.login(wx, "o-wang"), "You are <code>o-wang</code>")
	assert.Contains(t, li.login(wx, "o-li"), "You are <code>o-li</code>")

	_, err := wx.Unfollow(t.Context(), "o-wang")
	require.NoError(t, err)
	assert.Contains(t, wang.get("/"), "Log in with WeChat")
	assert.Contains(t, li.get("/"), "o-li")

	assert.Contains(t, li.post("/logout", nil), "Log in with WeChat")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, li.origin+"/logout",
		strings.NewReader(""))
	require.NoError(t, err)
	req.Header.Set("Origin", "https://evil.example")
	resp, err := li.http.Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Equal(t, http.StatusForbidden, resp.StatusCode)

	req.Header.Set("X-Long", strings.Repeat("x", 80<<10))
	resp, err = li.http.Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Equal(t, http.StatusRequestHeaderFieldsTooLarge, resp.StatusCode)
}

func TestSandbox(t *testing.T) {
	for _, name := range []string{"BASE_URL", "APP_ID", "APP_SECRET", "TOKEN", "AES_KEY",
		"PLAINTEXT", "ACCOUNT"} {
		t.Setenv("WECHAT_"+name, "") // restored afterwards
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ended, end := context.WithCancel(t.Context())
	end()
	require.Error(t, run(ended, l, "http://127.0.0.1/login"))
	sandbox()
	require.ErrorContains(t, run(ended, l, "http://site.example/login"), "use https")
	require.NoError(t, run(ended, l, "http://127.0.0.1/login"))
}
