package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// output is what a program has printed, so far.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// waitFor polls, for long enough on any machine.
func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	require.Eventually(t, ok, 2*time.Minute, 20*time.Millisecond, what)
}

func newBrowser(t *testing.T) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	return &http.Client{Jar: jar, Timeout: time.Minute}
}

func get(t *testing.T, client *http.Client, address string) (status int, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	require.NoError(t, err)
	resp, err := client.Do(r)
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(text)
}

func TestDemo(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	var stdout, stderr output
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, []string{"-demo", "-listen", "127.0.0.1:0"}, noEnv, &stdout, &stderr)
	}()
	link := regexp.MustCompile(`http://127\.0\.0\.1:\d+/s/\w+`)
	waitFor(t, "the link", func() bool { return link.MatchString(stdout.String()) })
	address := link.FindString(stdout.String())
	origin, _, _ := strings.Cut(address, "/s/")

	stranger := newBrowser(t)
	_, body := get(t, stranger, origin+"/live")
	assert.Contains(t, body, "登录", "who has no link is to sign in")

	browser := newBrowser(t)
	_, _ = get(t, browser, address)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, origin+"/live", nil)
	require.NoError(t, err)
	resp, err := browser.Do(r)
	require.NoError(t, err)
	defer resp.Body.Close()
	event := make([]byte, 0, 4096)
	for !bytes.Contains(event, []byte(`"kind":"`)) { // somebody scans, follows or leaves
		n, err := resp.Body.Read(event[len(event):cap(event)])
		require.NoError(t, err)
		event = event[:len(event)+n]
	}
	assert.NotContains(t, string(event), "o6_demo", "no openid")

	stop()
	require.NoError(t, <-ended, "the open stream does not keep it from ending")
	assert.NotContains(t, stderr.String(), "o6_demo")
}

func noEnv(string) string { return "" }

// request returns the body, or where a redirect leads.
func request(
	t *testing.T, client *http.Client, method, address string, form url.Values,
) (status int, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(
		t.Context(), method, address, strings.NewReader(form.Encode()),
	)
	require.NoError(t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := client.Do(r)
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(text) + resp.Header.Get("Location")
}
