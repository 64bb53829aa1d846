package redisstore_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/events"
	"github.com/wechatqr/wechatqr/redisstore"
	"github.com/wechatqr/wechatqr/scanlogin"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// loginsEnv tells TestLoginProcess to be one of the servers of a test.
const loginsEnv = "REDISSTORE_TEST_LOGINS"

// loginRole is what such a server is to be.
type loginRole struct {
	Redis, WeChat      string
	Token, EncodingKey string
	Page               string // as people see it
}

func TestLoginProcess(t *testing.T) {
	var r loginRole
	if json.Unmarshal([]byte(os.Getenv(loginsEnv)), &r) != nil {
		t.Skip("a part of other tests")
	}
	client, err := wechatqr.New(testCreds, wechatqr.WithBaseURL(r.WeChat))
	require.NoError(t, err)
	store := newStore(t, connect(t, r.Redis))
	login, err := scanlogin.New(client, r.Page, scanlogin.WithStore(store))
	require.NoError(t, err)
	var mux events.Mux
	login.Register(&mux)
	config := events.Config{AppID: testCreds.AppID, Token: r.Token, EncodingAESKey: r.EncodingKey}
	callback, err := events.NewHandler(config, mux.Serve, events.WithDeduper(store))
	require.NoError(t, err)

	routes := http.NewServeMux()
	routes.Handle("/wechat", callback)
	routes.Handle("/login", login.Handler(
		func(w http.ResponseWriter, _ *http.Request, result scanlogin.Result) {
			fmt.Fprint(w, "welcome ", result.OpenID)
		}))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	go func() { _ = http.Serve(l, routes) }()
	fmt.Println("listening", l.Addr())
	_, _ = io.Copy(io.Discard, os.Stdin) // until the test ends it
}

// loginServer is a process that serves the page and the callback.
type loginServer struct {
	addr string
	cmd  *exec.Cmd
}

func startLoginServer(t *testing.T, r loginRole) *loginServer {
	t.Helper()
	text, err := json.Marshal(r)
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestLoginProcess$",
		"-test.count=1")
	cmd.Env = append(os.Environ(), loginsEnv+"="+string(text))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	_, err = cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if addr, ok := strings.CutPrefix(lines.Text(), "listening "); ok {
			return &loginServer{addr, cmd}
		}
	}
	t.Fatal("a server of the test ended")
	return nil
}

// loginSite is servers behind a balancer, and one browser at them.
type loginSite struct {
	*testing.T
	wx      *wechatqrtest.Server
	servers []*loginServer
	http    *http.Client
}

// balancer sends a request to the server whose number its path begins with, as if
// all were one host.
type balancer struct{ servers []*loginServer }

func (b balancer) RoundTrip(r *http.Request) (*http.Response, error) {
	var n int
	var path string
	if _, err := fmt.Sscanf(r.URL.Path, "/%d/%s", &n, &path); err != nil {
		return nil, err
	}
	r = r.Clone(r.Context())
	r.URL.Scheme, r.URL.Host, r.URL.Path = "http", b.servers[n].addr, "/"+path
	return http.DefaultTransport.RoundTrip(r)
}

func startLoginSite(t *testing.T) *loginSite {
	t.Helper()
	wx := wechatqrtest.Start(t, wechatqrtest.WithCredentials(testCreds))
	keys := wx.CallbackConfig()
	r := loginRole{
		Redis: startServer(t).addr, WeChat: wx.URL(), Page: "https://site.example/login",
		Token: keys.Token, EncodingKey: keys.EncodingAESKey,
	}
	s := &loginSite{T: t, wx: wx}
	for range 3 {
		s.servers = append(s.servers, startLoginServer(t, r))
	}
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	s.http = &http.Client{Jar: jar, Transport: balancer{s.servers}}
	return s
}

func (s *loginSite) request(server int, accept string, form url.Values) (*http.Response, error) {
	method := http.MethodGet
	if form != nil {
		method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(s.Context(), method,
		fmt.Sprintf("https://site.example/%d/login", server), strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", accept)
	return s.http.Do(req)
}

// post sends a form to a server and returns the response's body.
func (s *loginSite) post(server int, form url.Values) string {
	s.Helper()
	resp, err := s.request(server, "application/json", form)
	if !assert.NoError(s, err) {
		return ""
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	assert.NoError(s, err)
	return string(body)
}

// stream opens the browser's stream at a server and reads the first status.
func (s *loginSite) stream(server int) (next func() string) {
	s.Helper()
	resp, err := s.request(server, "text/event-stream", nil)
	require.NoError(s, err)
	s.Cleanup(func() { _ = resp.Body.Close() })
	lines := bufio.NewScanner(resp.Body)
	return func() string {
		for lines.Scan() {
			if strings.HasPrefix(lines.Text(), "data: ") {
				return lines.Text()
			}
		}
		return ""
	}
}

// scan has somebody scan the latest code, with the push at a server, and returns the
// number that they read.
func (s *loginSite) scan(server int) string {
	s.Helper()
	address := "http://" + s.servers[server].addr + "/wechat"
	require.NoError(s, s.wx.SetCallback(wechatqrtest.Callback{URL: address}))
	codes := s.wx.QRCodes()
	push, err := s.wx.Scan(s.Context(), codes[len(codes)-1].Ticket, "o-wang")
	require.NoError(s, err)
	number := regexp.MustCompile(`\b\d{6}\b`).FindString(push.UserSees())
	require.NotEmpty(s, number)
	return number
}

// confirm sends the number to the servers all at once, and expects one success.
func (s *loginSite) confirm(number string, servers ...int) {
	s.Helper()
	var welcomes atomic.Int32
	var wg sync.WaitGroup
	for _, server := range servers {
		for range 5 {
			wg.Go(func() {
				body := s.post(server, url.Values{"do": {"confirm"}, "number": {number}})
				if body == "welcome o-wang" {
					welcomes.Add(1)
				}
			})
		}
	}
	wg.Wait()
	assert.EqualValues(s, 1, welcomes.Load(), "the login succeeds, once")
}

func (s *loginSite) kill(server int) {
	s.Helper()
	require.NoError(s, s.servers[server].cmd.Process.Kill())
	require.Error(s, s.servers[server].cmd.Wait())
}

func TestLoginOutlivesTheServerOfThePush(t *testing.T) {
	t.Parallel()
	s := startLoginSite(t)
	assert.Contains(t, s.post(0, url.Values{"do": {"begin"}}), `"state":"waiting"`)
	next := s.stream(1)
	assert.Contains(t, next(), `"state":"waiting"`)
	number := s.scan(0)
	s.kill(0)
	assert.Contains(t, next(), `"state":"scanned"`, "the browser learns of it at another server")
	assert.Equal(t, number, s.scan(2), "the same person is told again, by another server")
	s.confirm(number, 1, 2)
	assert.Contains(t, next(), `"state":"done"`)
}

func TestLoginOutlivesTheServerOfTheBrowser(t *testing.T) {
	t.Parallel()
	s := startLoginSite(t)
	assert.Contains(t, s.post(0, url.Values{"do": {"begin"}}), `"state":"waiting"`)
	next := s.stream(0)
	assert.Contains(t, next(), `"state":"waiting"`)
	s.kill(0)
	assert.Empty(t, next(), "the stream ends, and the browser comes again")
	assert.Contains(t, s.post(1, url.Values{"do": {"begin"}}), `"state":"waiting"`)
	assert.Len(t, s.wx.QRCodes(), 1, "the code stays")
	next = s.stream(1)
	assert.Contains(t, next(), `"state":"waiting"`)
	number := s.scan(2)
	assert.Contains(t, next(), `"state":"scanned"`)
	s.confirm(number, 1, 2)
}

// What is in Redis expires by itself and holds neither the browser's secret nor more
// people than the one who scanned.
func TestLoginsExpire(t *testing.T) {
	t.Parallel()
	rdb := connect(t, startServer(t).addr)
	wx := wechatqrtest.Start(t, wechatqrtest.WithCredentials(testCreds))
	login, err := scanlogin.New(wx.Client(), "https://site.example/login",
		scanlogin.WithStore(newStore(t, rdb)))
	require.NoError(t, err)
	a, err := login.Begin(t.Context(), scanlogin.Visitor{})
	require.NoError(t, err)
	keys, err := rdb.Keys(t.Context(), "*").Result()
	require.NoError(t, err)
	require.Len(t, keys, 2, "the login, and the count of the day")
	for _, key := range keys {
		left := rdb.PTTL(t.Context(), key).Val()
		assert.Positive(t, left, key)
		assert.LessOrEqual(t, left, 25*time.Hour, key)
		assert.NotContains(t, key+rdb.Get(t.Context(), key).Val(), a.Secret)
	}
}

var _ scanlogin.Store = (*redisstore.Store)(nil)
