package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// printed is what a program writes while it runs.
type printed struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (p *printed) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.b.Write(b)
}

func (p *printed) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.b.String()
}

// start runs the program until the function it returns is called.
func start(t *testing.T, args ...string) (base, greeting string, stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var out printed
	finished := make(chan error, 1)
	go func() {
		finished <- run(ctx, append([]string{"-addr", "127.0.0.1:0"}, args...), noEnv, &out,
			io.Discard)
	}()
	address := regexp.MustCompile(`base URL +(\S+)`)
	require.Eventually(t, func() bool { return address.MatchString(out.String()) }, 20*time.Second,
		5*time.Millisecond)
	return address.FindStringSubmatch(out.String())[1], out.String(), func() error {
		cancel()
		select {
		case err := <-finished:
			return err
		case <-time.After(20 * time.Second):
			t.Fatal("it does not stop")
			return nil
		}
	}
}

func get(t *testing.T, target string) string {
	t.Helper()
	resp, err := http.Get(target)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return string(body)
}

func TestRunServesAndStops(t *testing.T) {
	t.Parallel()
	creds := wechatqr.Credentials{AppID: "wx0123456789abcdef", AppSecret: "4f6c9a1be27d8305"}
	base, greeting, stop := start(t, "-appid", creds.AppID, "-secret", creds.AppSecret, "-token",
		"atoken", "-mode", "compatible")
	for _, want := range []string{creds.AppID, "compatible", base + "/_sandbox/env"} {
		assert.Contains(t, greeting, want)
	}
	for _, secret := range []string{creds.AppSecret, "atoken"} {
		assert.NotContains(t, strings.ReplaceAll(greeting, "AppSecret", ""), secret)
	}
	assert.Contains(t, get(t, base+"/_sandbox/env"), "WECHAT_TOKEN=atoken\n")
	c, err := wechatqr.New(creds, wechatqr.WithBaseURL(base))
	require.NoError(t, err)
	_, err = c.CreateTicket(t.Context(), wechatqr.Temporary(wechatqr.SceneID(1), time.Hour))
	require.NoError(t, err)

	// Neither a page that listens nor a call that hangs holds it up.
	stream, err := http.Get(base + "/_sandbox/events")
	require.NoError(t, err)
	defer func() { _ = stream.Body.Close() }()
	resp, err := http.PostForm(base+"/_sandbox/fault",
		map[string][]string{"what": {"hang"}, "times": {"0"}})
	require.NoError(t, err)
	_ = resp.Body.Close()
	hung := make(chan struct{})
	go func() {
		defer close(hung)
		if resp, err := http.Get(base + "/cgi-bin/token"); err == nil {
			_ = resp.Body.Close()
		}
	}()
	// Nor does a backend that never responds.
	called := make(chan struct{})
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		close(called)
		<-r.Context().Done()
	}))
	defer silent.Close()
	post := func(action, name, value string) {
		resp, err := http.PostForm(base+"/_sandbox/"+action, url.Values{name: {value}})
		require.NoError(t, err)
		_ = resp.Body.Close()
	}
	post("callback", "url", silent.URL)
	post("scan", "scene", "1")
	<-called
	require.NoError(t, stop())
	<-hung
}

func TestStateIsKept(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "state.json")
	base, _, stop := start(t, "-state", file)
	first := get(t, base+"/_sandbox/env")
	resp, err := http.PostForm(base+"/_sandbox/create",
		map[string][]string{"scene": {"kept"}, "ttl": {"1h"}})
	require.NoError(t, err)
	_ = resp.Body.Close()
	require.NoError(t, stop())
	info, err := os.Stat(file)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm(), "it holds secrets")

	base, _, stop = start(t, "-state", file, "-callback", "http://127.0.0.1:3000/", "-token",
		"newtoken")
	second := get(t, base+"/_sandbox/env")
	keys := regexp.MustCompile(`WECHAT_APP_ID=\S+\nWECHAT_APP_SECRET=\S+`)
	require.NotEmpty(t, keys.FindString(first))
	assert.Equal(t, keys.FindString(first), keys.FindString(second))
	assert.Contains(t, second, "newtoken", "a flag replaces what was kept of the callback")
	err = run(t.Context(), []string{"-addr", "127.0.0.1:0", "-state", file}, noEnv, io.Discard,
		io.Discard)
	require.ErrorContains(t, err, "another sandbox uses this file")
	resp, err = http.Get(base + "/_sandbox/state")
	require.NoError(t, err)
	var got struct{ Codes []wechatqrtest.QRCode }
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&got))
	_ = resp.Body.Close()
	require.Len(t, got.Codes, 1)
	assert.Equal(t, "kept", got.Codes[0].SceneStr)
	require.NoError(t, stop())
	left, err := os.ReadDir(filepath.Dir(file))
	require.NoError(t, err)
	assert.Len(t, left, 2, "the state and its lock: no temporary files are left")

	for _, flag := range [][]string{
		{"-appid", "wxother"}, {"-secret", "other"}, {"-account", "gh_other"},
	} {
		args := append([]string{"-addr", "127.0.0.1:0", "-state", file}, flag...)
		err = run(t.Context(), args, noEnv, io.Discard, io.Discard)
		assert.ErrorContains(t, err, "has an account of its own", flag)
	}
}

func TestRunRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	broken := filepath.Join(dir, "broken.json")
	require.NoError(t, os.WriteFile(broken, []byte("{"), 0o600))
	taken := httptest.NewServer(http.NotFoundHandler())
	defer taken.Close()
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"a state that is none": {[]string{"-addr", "127.0.0.1:0", "-state", broken},
			"move the file away"},
		"a state in no folder": {[]string{"-addr", "127.0.0.1:0", "-state",
			filepath.Join(dir, "no", "state.json")}, "-state"},
		"a state that is folder": {[]string{"-addr", "127.0.0.1:0", "-state", dir}, "-state"},
		"a token": {[]string{"-addr", "127.0.0.1:0", "-token", "no good"},
			"Token must be"},
		"a key": {[]string{"-addr", "127.0.0.1:0", "-aeskey", "short"},
			"EncodingAESKey must be 43"},
		"a callback": {[]string{"-addr", "127.0.0.1:0", "-callback", "localhost:3000"},
			"not an http or https URL"},
		"a port that is taken": {[]string{"-addr", strings.TrimPrefix(taken.URL, "http://")},
			"choose another address with -addr"},
	} {
		err := run(t.Context(), tc.args, noEnv, io.Discard, io.Discard)
		assert.ErrorContains(t, err, tc.want, name)
	}
	data, err := os.ReadFile(broken)
	require.NoError(t, err)
	assert.Equal(t, "{", string(data), "what cannot be read is not overwritten")
}

func TestSaveLeavesTheOldFileIfItFails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "state.json")
	wx := wechatqrtest.Start(t)
	s := &stateFile{path: file, wx: wx, log: log.New(io.Discard, "", 0)}
	require.NoError(t, s.save())
	before, err := os.Stat(file)
	require.NoError(t, err)
	require.NoError(t, s.save())
	after, err := os.Stat(file)
	require.NoError(t, err)
	assert.True(t, os.SameFile(before, after), "nothing changed, nothing is written")

	s.path = filepath.Join(dir, "folder")
	require.NoError(t, os.MkdirAll(filepath.Join(s.path, "full"), 0o700))
	wx.PutUser(wechatqrtest.User{})
	require.Error(t, s.save(), "a folder is in the way")
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Len(t, entries, 2, "the temporary file is gone")
}

func TestKeepSavesChanges(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "state.json")
	wx := wechatqrtest.Start(t)
	ctx, cancel := context.WithCancel(t.Context())
	s := &stateFile{path: file, wx: wx, log: log.New(io.Discard, "", 0)}
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		s.saveChanges(ctx, time.Millisecond)
	}()
	wx.PutUser(wechatqrtest.User{OpenID: "oKept"})
	require.Eventually(t, func() bool {
		data, err := os.ReadFile(file)
		return err == nil && strings.Contains(string(data), "oKept")
	}, 20*time.Second, 5*time.Millisecond)
	cancel()
	<-finished
}

// The terminal shows what happens, a line each, and no secret.
func TestTerminal(t *testing.T) {
	t.Parallel()
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			_, _ = io.WriteString(w, r.URL.Query().Get("echostr"))
			return
		}
		http.Error(w, "no", http.StatusInternalServerError)
	}))
	defer backend.Close()
	creds := wechatqr.Credentials{AppID: "wx0123456789abcdef", AppSecret: "4f6c9a1be27d83051f6c"}
	ctx, cancel := context.WithCancel(t.Context())
	var out printed
	finished := make(chan error, 1)
	go func() {
		finished <- run(ctx, []string{"-addr", "127.0.0.1:0", "-appid", creds.AppID, "-secret",
			creds.AppSecret,
			"-callback", backend.URL, "-proxy", "-state", filepath.Join(t.TempDir(),
				"s.json")}, noEnv, &out, io.Discard)
	}()
	see := func(pattern string) string {
		t.Helper()
		expr := regexp.MustCompile(pattern)
		require.Eventually(t, func() bool { return expr.MatchString(out.String()) }, 20*time.Second,
			5*time.Millisecond, pattern)
		return expr.FindStringSubmatch(out.String())[1]
	}
	base := see(`base URL +(\S+)`)
	see(`check +(Token: warning\. A wrong signature is not refused\.)`)
	see(`check +(Key and mode: failed\. The response has the status 500, not 200\.)`)

	client, err := wechatqr.New(creds, wechatqr.WithBaseURL(base))
	require.NoError(t, err)
	_, err = client.CreateTicket(t.Context(), wechatqr.Permanent(wechatqr.SceneString("shop-7")))
	require.NoError(t, err)
	see(`(call   POST /cgi-bin/stable_token: 200, )`)
	see(`(call   POST /cgi-bin/qrcode/create: 200, )`)
	err = client.Do(t.Context(), wechatqr.Request{Method: "GET", Path: "/cgi-bin/user/info",
		Query: url.Values{"openid": {"oX"}}}, nil)
	require.Error(t, err)
	see(`(call   GET /cgi-bin/user/info: 40003 invalid openid, )`)
	resp, err := http.PostForm(base+"/_sandbox/scan", url.Values{"scene": {"shop-7"}})
	require.NoError(t, err)
	_ = resp.Body.Close()
	see(`(push   #1 Lin scanned shop-7 and followed the account\. The backend failed: The response has ` +
		`the status 500, not 200\. The backend failed: see its log\. \(.*, 4 attempts\))`)

	proxyURL, err := url.Parse(base)
	require.NoError(t, err)
	proxied := &http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(proxyURL)}}
	resp, err = proxied.Get("http://example.com/")
	require.NoError(t, err)
	_ = resp.Body.Close()
	see(`(proxy  refused example\.com)`)
	cancel()
	require.NoError(t, <-finished)
	assert.NotContains(t, out.String(), creds.AppSecret)
	assert.NotContains(t, out.String(), "o6_", "no openid")
}
