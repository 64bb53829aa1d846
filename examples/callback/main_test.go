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
	"github.com/wechatqr/wechatqr/tickets"
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

func newTestBackend(t *testing.T, wx *wechatqrtest.Server, file string) *backend {
	t.Helper()
	store, err := tickets.OpenFile(file)
	require.NoError(t, err)
	t.Cleanup(func() { _ = store.Close() })
	keeper, err := tickets.NewKeeper(wx.Credentials().AppID, wx.Client(), store)
	require.NoError(t, err)
	b, err := newBackend(t.Context(), keeper, wx.CallbackConfig(), log.New(io.Discard, "", 0))
	require.NoError(t, err)
	return b
}

// ticket is the shop's.
func ticket(t *testing.T, b *backend, s shop) string {
	t.Helper()
	kept, err := b.keeper.Ticket(t.Context(), s.request())
	require.NoError(t, err)
	return kept.Value
}

// The server as it runs in production, with a fake account's credentials.
func TestServe(t *testing.T) {
	t.Parallel()
	wx := wechatqrtest.Start(t)
	b := newTestBackend(t, wx, filepath.Join(t.TempDir(), "tickets.json"))
	require.Len(t, wx.QRCodes(), len(shops()))
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
		push, err := wx.Scan(t.Context(), ticket(t, b, s), "")
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
	resp, err = http.Get(address + "/codes/shop-beijing")
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Equal(t, http.StatusOK, resp.StatusCode)
	assert.Equal(t, "image/jpeg", resp.Header.Get("Content-Type"))

	stop()
	require.NoError(t, <-served)
}

// setenv leaves of this module's variables those in env.
func setenv(t *testing.T, env map[string]string) {
	t.Helper()
	for _, name := range []string{"APP_ID", "APP_SECRET", "TOKEN", "AES_KEY", "PLAINTEXT",
		"ACCOUNT", "BASE_URL"} {
		t.Setenv("WECHAT_"+name, env["WECHAT_"+name])
	}
}

func TestRunRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		env  map[string]string
		want string
	}{
		"no secret": {map[string]string{"WECHAT_APP_ID": "wx1", "WECHAT_TOKEN": "token"},
			"AppSecret is empty"},
		"no id": {map[string]string{"WECHAT_APP_SECRET": "s", "WECHAT_TOKEN": "token"},
			"AppID is empty"},
		"no token": {map[string]string{"WECHAT_APP_ID": "wx1", "WECHAT_APP_SECRET": "s"},
			"WECHAT_TOKEN is empty"},
		"no key": {
			map[string]string{"WECHAT_APP_ID": "wx1", "WECHAT_APP_SECRET": "s",
				"WECHAT_TOKEN": "token"}, "WECHAT_PLAINTEXT=1"},
		"a key": {map[string]string{"WECHAT_AES_KEY": "k"}, "AppID is empty"},
	} {
		setenv(t, c.env)
		err := run(t.Context(), nil, io.Discard)
		require.ErrorIs(t, err, wechatqr.ErrInvalidArgument, name)
		require.ErrorContains(t, err, c.want, name)
	}
	file := filepath.Join(t.TempDir(), "tickets.json")
	require.NoError(t, os.WriteFile(file, []byte("{"), 0o600))
	wx := wechatqrtest.Start(t)
	setenv(t, runEnv(wx))
	require.ErrorIs(t, run(t.Context(), []string{"-tickets", file}, io.Discard), tickets.ErrCorrupt)
}

// runEnv points the program at wx.
func runEnv(wx *wechatqrtest.Server) map[string]string {
	return map[string]string{
		"WECHAT_APP_ID": wx.Credentials().AppID, "WECHAT_APP_SECRET": wx.Credentials().AppSecret,
		"WECHAT_TOKEN": "token", "WECHAT_PLAINTEXT": "1", "WECHAT_BASE_URL": wx.URL(),
	}
}

// A second start of the program makes no more codes.
func TestSecondStart(t *testing.T) {
	wx := wechatqrtest.Start(t)
	setenv(t, runEnv(wx))
	args := []string{"-listen", "127.0.0.1:0", "-tickets",
		filepath.Join(t.TempDir(), "tickets.json")}
	for range 2 {
		ctx, stop := context.WithCancel(t.Context())
		require.NoError(t, run(ctx, args, writerFunc(func(line []byte) {
			if bytes.HasPrefix(line, []byte("serving ")) {
				stop()
			}
		})))
	}
	assert.Len(t, wx.QRCodes(), len(shops()))
}

type writerFunc func(line []byte)

func (f writerFunc) Write(line []byte) (int, error) {
	f(line)
	return len(line), nil
}

// A code of another's whose scene only begins as a shop's does is not that shop's.
func TestShopsAreToldApart(t *testing.T) {
	t.Parallel()
	wx := wechatqrtest.Start(t)
	b := newTestBackend(t, wx, filepath.Join(t.TempDir(), "tickets.json"))
	wx.ServeCallback(b.handler)
	for _, s := range shops() {
		scene := wechatqr.SceneString(s.scene + "-2")
		made, err := wx.Client().CreateTicket(t.Context(), wechatqr.Permanent(scene))
		require.NoError(t, err)
		push, err := wx.Scan(t.Context(), made.Value, "")
		require.NoError(t, err)
		assert.NotContains(t, push.UserSees(), "欢迎来到"+s.name)
	}
	assert.Empty(t, b.scans)
}
