package main

import (
	"bytes"
	"context"
	"io"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

func TestDemo(t *testing.T) {
	var out bytes.Buffer
	setenv(t, nil)
	require.NoError(t, run(t.Context(), nil, &out))
	text := out.String()
	for _, want := range []string{
		"the console has accepted http://127.0.0.1:",
		"o-wang scanned shop-beijing\n  o-wang scans the poster in Beijing and follows and reads: 欢迎来到北京店！本周烤鸭八折。\n",
		"o-wang scanned shop-beijing\n  o-wang scans it once more and reads: 欢迎来到北京店！本周烤鸭八折。\n",
		"  o-li follows by a search and reads: 欢迎关注！到店扫码有惊喜。\n",
		"o-li scanned shop-shanghai\n  o-li scans in Shanghai and reads: 欢迎来到上海店！今日生煎买一送一。\n",
		"欢迎来到成都店",
		"  o-zhao writes and reads: nothing\n",
		"o-zhao left: delete what is kept of them\n  o-zhao leaves and reads: nothing\n",
		"北京店: 1 new followers, 1 others\n上海店: 0 new followers, 1 others\n成都店: 1 new followers, 0 others\n",
	} {
		assert.Contains(t, text, want)
	}
	assert.NotContains(t, text, "callback:", "no problem was reported")
}

// The server as it runs in production, with a fake account's credentials.
func TestServe(t *testing.T) {
	t.Parallel()
	wx := wechatqrtest.Start(t)
	file := filepath.Join(t.TempDir(), "tickets.json")
	logger := log.New(io.Discard, "", 0)
	_, err := newBackend(t.Context(), wx.Client(), wx.CallbackConfig(), file, logger)
	require.NoError(t, err)
	b, err := newBackend(t.Context(), wx.Client(), wx.CallbackConfig(), file, logger)
	require.NoError(t, err)
	require.Len(t, wx.QRCodes(), len(shops()), "a second start makes no more")
	for _, code := range wx.QRCodes() {
		assert.True(t, code.Permanent())
	}

	ctx, stop := context.WithCancel(t.Context())
	served, serving := make(chan error, 1), make(chan string, 1)
	go func() {
		served <- b.serve(ctx, "127.0.0.1:0", func(addr string) { serving <- addr })
	}()
	address := "http://" + <-serving
	require.NoError(t, wx.SetCallback(wechatqrtest.Callback{URL: address + "/wechat"}))
	require.NoError(t, wx.CheckCallback(t.Context()))
	for _, s := range shops() {
		push, err := wx.Scan(t.Context(), b.tickets[s.scene].Value, "")
		require.NoError(t, err)
		assert.Contains(t, push.UserSees(), "欢迎来到"+s.name)
	}

	resp, err := http.Get(address + "/")
	require.NoError(t, err)
	page, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	for _, s := range shops() {
		assert.Contains(t, string(page), s.name+"：新关注 1，老用户 0")
	}
	resp, err = http.Get(wx.Client().QRCodeURL(b.tickets["shop-beijing"].Value))
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Equal(t, http.StatusOK, resp.StatusCode)

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
	for name, c := range map[string]struct {
		env  map[string]string
		want string
	}{
		"no secret": {map[string]string{"WECHAT_APP_ID": "wx1", "WECHAT_TOKEN": "token"}, "AppSecret is empty"},
		"no id":     {map[string]string{"WECHAT_APP_SECRET": "s", "WECHAT_TOKEN": "token"}, "AppID is empty"},
		"no token":  {map[string]string{"WECHAT_APP_ID": "wx1", "WECHAT_APP_SECRET": "s"}, "WECHAT_TOKEN is empty"},
		"no key":    {map[string]string{"WECHAT_APP_ID": "wx1", "WECHAT_APP_SECRET": "s", "WECHAT_TOKEN": "token"}, "WECHAT_PLAINTEXT=1"},
		"a key":     {map[string]string{"WECHAT_AES_KEY": "k"}, "AppID is empty"},
	} {
		setenv(t, c.env)
		err := run(t.Context(), nil, io.Discard)
		require.ErrorIs(t, err, wechatqr.ErrInvalidArgument, name)
		require.ErrorContains(t, err, c.want, name)
	}
	file := filepath.Join(t.TempDir(), "tickets.json")
	require.NoError(t, os.WriteFile(file, []byte("{"), 0o600))
	_, err := loadTickets(t.Context(), wechatqrtest.Start(t).Client(), file)
	require.ErrorContains(t, err, "tickets.json", "a broken file is not overwritten")
}

// A code of another's whose scene only begins as a shop's does is not that shop's.
func TestShopsAreToldApart(t *testing.T) {
	t.Parallel()
	wx := wechatqrtest.Start(t)
	file := filepath.Join(t.TempDir(), "tickets.json")
	b, err := newBackend(t.Context(), wx.Client(), wx.CallbackConfig(), file, log.New(io.Discard, "", 0))
	require.NoError(t, err)
	wx.ServeCallback(b.handler)
	for _, s := range shops() {
		scene := wechatqr.SceneString(s.scene + "-2")
		ticket, err := wx.Client().CreateTicket(t.Context(), wechatqr.Permanent(scene))
		require.NoError(t, err)
		push, err := wx.Scan(t.Context(), ticket.Value, "")
		require.NoError(t, err)
		assert.NotContains(t, push.UserSees(), "欢迎来到"+s.name)
	}
	assert.Empty(t, b.scans)
}
