package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/events"
)

// What the sandbox and the backend agree on.
const (
	appID     = "wx7c1f0e5a9b2d4836"
	appSecret = "4f6c9a1be27d83051f6c9a1be27d8305"
	token     = "sandboxtoken"
	aesKey    = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
)

// need finds a program by one of its names. A test that lacks it is skipped, in
// CI it fails.
func need(t *testing.T, names ...string) string {
	t.Helper()
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("CI") != "" {
		t.Fatalf("CI is set and %s is not installed", names[0])
	}
	t.Skipf("%s is not installed", names[0])
	return ""
}

// buildSandbox builds the program once for all tests.
var buildSandbox = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "sandbox")
	if err != nil {
		return "", err
	}
	bin := filepath.Join(dir, "sandbox")
	cmd := exec.Command("go", "build", "-o", bin, "./cmd/sandbox")
	cmd.Dir = ".." // its own module
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return bin, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	stopBrowser()
	if bin, err := buildSandbox(); err == nil {
		_ = os.RemoveAll(filepath.Dir(bin))
	}
	_ = os.RemoveAll(npmDir)
	_ = os.RemoveAll(deskDir)
	if bin, err := buildLogin(); err == nil {
		_ = os.RemoveAll(filepath.Dir(bin))
	}
	os.Exit(code)
}

// sandbox is the program, running.
type sandbox struct {
	url    string
	cmd    *exec.Cmd
	stderr *bytes.Buffer
	exited chan error
}

func startSandbox(t *testing.T, args ...string) *sandbox {
	t.Helper()
	bin, err := buildSandbox()
	require.NoError(t, err)
	s := &sandbox{stderr: &bytes.Buffer{}, exited: make(chan error, 1)}
	s.cmd = exec.Command(bin, append([]string{"-addr", "127.0.0.1:0", "-appid", appID, "-secret",
		appSecret, "-token", token}, args...)...)
	s.cmd.Env = append(os.Environ(), "WECHAT_SANDBOX_AESKEY="+aesKey)
	s.cmd.Stderr = s.stderr
	stdout, err := s.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, s.cmd.Start())
	lines := bufio.NewScanner(stdout)
	baseURL := regexp.MustCompile(`base URL +(http://\S+)`)
	for s.url == "" && lines.Scan() {
		if m := baseURL.FindStringSubmatch(lines.Text()); m != nil {
			s.url = m[1]
		}
	}
	go func() {
		for lines.Scan() {
		}
		s.exited <- s.cmd.Wait()
	}()
	t.Cleanup(func() { s.stop(t) })
	require.NotEmpty(t, s.url, "the sandbox prints its address; stderr: %s", s.stderr)
	if slices.Contains(args, "-callback") {
		s.waitForCheck(t)
	}
	return s
}

// waitForCheck waits for the check of the callback that is made at start.
func (s *sandbox) waitForCheck(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool {
		resp, err := http.Get(s.url + "/_sandbox/state")
		if err != nil {
			return false
		}
		defer func() { _ = resp.Body.Close() }()
		var state struct{ Check *struct{ URL string } }
		return json.NewDecoder(resp.Body).Decode(&state) == nil && state.Check != nil
	}, 20*time.Second, 10*time.Millisecond, "-callback is checked at start")
}

// stop ends the program as a container's end does.
func (s *sandbox) stop(t *testing.T) {
	t.Helper()
	if s.exited == nil {
		return
	}
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-s.exited:
		assert.NoError(t, err, "it ends cleanly: %s", s.stderr)
	case <-time.After(20 * time.Second):
		_ = s.cmd.Process.Kill()
		t.Errorf("it does not end at SIGTERM: %s", s.stderr)
	}
	s.exited = nil
}

// outcome is what a program gets for an action of the page.
type outcome struct {
	OK       bool
	Message  string
	UserSees string `json:"user_sees"`
	Push     struct{ Event wechatqr.Event }
}

// act does what a button of the page does, as tests in any language may.
func (s *sandbox) act(t *testing.T, action string, form ...string) outcome {
	t.Helper()
	values := url.Values{}
	for i := 0; i < len(form); i += 2 {
		values.Set(form[i], form[i+1])
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/_sandbox/"+action,
		strings.NewReader(values.Encode()))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	var out outcome
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&out))
	return out
}

func (s *sandbox) client(t *testing.T) *wechatqr.Client {
	t.Helper()
	c, err := wechatqr.New(wechatqr.Credentials{AppID: appID, AppSecret: appSecret},
		wechatqr.WithBaseURL(s.url))
	require.NoError(t, err)
	return c
}

// backend is what a user of the sandbox develops: the handler of this library
// that can be broken in ways that backends are.
type backend struct {
	*httptest.Server
	mu     sync.Mutex
	broken http.Handler // handles requests in its place
	scans  []wechatqr.Scan
	texts  replies
}

// replies are what the backend says; a %s is the table.
type replies struct{ welcome, again, text string }

var (
	inEnglish = replies{"Welcome! You are at table %s. The menu is one tap away.",
		"Good to see you again at table %s.", "Somebody will be with you in a minute."}
	inChinese = replies{"欢迎光临！您在 %s 号桌，点击菜单即可点餐。", "欢迎回来，%s 号桌。", "好的，服务员马上过来。"}
)

func startBackend(t *testing.T) *backend {
	t.Helper()
	b := &backend{texts: inEnglish}
	h, err := events.NewHandler(events.Config{AppID: appID, Token: token, EncodingAESKey: aesKey},
		b.handle)
	require.NoError(t, err)
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.mu.Lock()
		broken := b.broken
		b.mu.Unlock()
		if broken != nil {
			broken.ServeHTTP(w, r)
			return
		}
		h.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		b.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		assert.NoError(t, h.Shutdown(ctx))
	})
	return b
}

func (b *backend) handle(_ context.Context, ev *wechatqr.Event) (events.Reply, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if scan, ok := ev.Scan(); ok {
		b.scans = append(b.scans, scan)
		table := strings.TrimPrefix(scan.SceneKey, "table-")
		if scan.NewFollower {
			return events.Text(fmt.Sprintf(b.texts.welcome, table)), nil
		}
		return events.Text(fmt.Sprintf(b.texts.again, table)), nil
	}
	if ev.MsgType == "text" {
		return events.Text(b.texts.text), nil
	}
	return nil, nil
}

func (b *backend) breakWith(h http.HandlerFunc) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.broken = nil
	if h != nil {
		b.broken = h
	}
}
