package wechatqrtest

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/events"
)

// Server is a WeChat with one account: the API, the picture host and the
// sender of pushes. It is an [http.Handler], so that it can also be served by
// a listener of your own. Its methods may be called from any goroutine.
type Server struct {
	config
	routes   map[string]route
	client   *http.Client // for pushes
	pictures pictures     // has its own lock
	ctx      context.Context
	cancel   context.CancelFunc // called by Close

	mu       sync.Mutex // guards all fields below
	st       snapshot
	codes    map[string]*QRCode // by ticket
	users    map[string]*User   // by openid
	tokens   map[string]*token  // by value
	faults   faults
	handlers map[string]http.HandlerFunc // of Handle, by path

	oauthCodes  map[string]bool   // used
	oauthTokens map[string]string // openid by token

	requests requestLog
	counts   map[string]int // requests so far, by path
	changed  chan struct{}  // closed at the next change; nil while nobody waits
	servers  []*http.Server
	running  int        // requests, pushes and listeners, for which Close waits
	idle     *sync.Cond // signals that running fell to zero; uses mu
}

type config struct {
	creds        wechatqr.Credentials
	origin       string
	account      string         // original ID; empty: random
	memory       *memoryNetwork // nil: the machine's network
	lenient      bool
	unverified   bool
	cloudHosting bool
	maxPermanent int
	pushTimeout  time.Duration
	retryDelay   time.Duration
	spaced       bool // retry a wrong status like no response

	contentPrefix string // of codes
}

// Option configures a Server.
type Option func(*config)

// WithCredentials sets the account's AppID and AppSecret. By default both are
// random, of WeChat's form.
func WithCredentials(creds wechatqr.Credentials) Option {
	return func(c *config) { c.creds = creds }
}

// WithOrigin says that the caller serves the Server under this base URL, for instance
// "http://127.0.0.1:8080". NewServer then does not listen.
func WithOrigin(origin string) Option {
	return func(c *config) { c.origin = strings.TrimRight(origin, "/") }
}

// WithLenient has the API treat a malformed request as WeChat was seen to treat
// it, instead of refusing it. See the package comment.
func WithLenient() Option { return func(c *config) { c.lenient = true } }

// WithUnverified makes the account an unverified one: qrcode/create and
// user/… respond with 48001.
func WithUnverified() Option { return func(c *config) { c.unverified = true } }

// WithCloudHosting serves calls without an access_token, as WeChat does inside
// its own cloud hosting. A token that is sent is still checked.
func WithCloudHosting() Option { return func(c *config) { c.cloudHosting = true } }

// WithPermanentLimit sets how many permanent codes the account may create before
// 45029. The default is 100000, as on WeChat.
func WithPermanentLimit(n int) Option { return func(c *config) { c.maxPermanent = n } }

// NewServer starts a Server on a free port of 127.0.0.1. Close it when done.
// Like httptest.NewServer it panics if it cannot listen.
func NewServer(opts ...Option) *Server {
	st := newSnapshot()
	cfg := config{
		creds:        wechatqr.Credentials{AppID: st.AppID, AppSecret: st.AppSecret},
		maxPermanent: 100_000,
		pushTimeout:  callbackTimeout,

		contentPrefix: "http://weixin.qq.com/q/",
	}
	for _, o := range opts {
		o(&cfg)
	}
	st.AppID, st.AppSecret = cfg.creds.AppID, cfg.creds.AppSecret
	st.Account = cmp.Or(cfg.account, st.Account)

	s := &Server{
		config: cfg,
		routes: apiRoutes(),
		st:     st,
		codes:  map[string]*QRCode{},
		users:  map[string]*User{},
		tokens: map[string]*token{},
		counts: map[string]int{},

		handlers:    map[string]http.HandlerFunc{},
		oauthCodes:  map[string]bool{},
		oauthTokens: map[string]string{},
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.idle = sync.NewCond(&s.mu)
	s.client = newPushClient(s.memory)
	if s.origin == "" {
		s.origin = s.listen(s)
	}
	return s
}

// Tester is what Start needs of a [testing.TB], so that other test frameworks can
// provide it too.
type Tester interface {
	Helper()
	Failed() bool
	Logf(format string, args ...any)
	Cleanup(fn func())
}

// Start is NewServer for a test. When the test ends it closes the Server and, if the
// test has failed, logs its State.
func Start(t Tester, opts ...Option) *Server {
	t.Helper()
	s := NewServer(opts...)
	t.Cleanup(func() {
		defer s.Close()
		if t.Failed() {
			t.Logf("%v", s.State())
		}
	})
	return s
}

// Close closes the listeners, cancels the requests and pushes in progress and
// waits for them. Every later request gets status 503. Close may be called again.
func (s *Server) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.cancel()
	for _, srv := range s.servers {
		_ = srv.Close()
	}
	for s.running > 0 {
		s.idle.Wait()
	}
}

// acquire registers a task that Close waits for. It reports false if the Server
// is closed; otherwise the caller calls release.
func (s *Server) acquire() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		return false
	}
	s.running++
	return true
}

func (s *Server) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running--; s.running == 0 {
		s.idle.Broadcast()
	}
}

// URL is the Server's base URL, without a slash at its end.
func (s *Server) URL() string { return s.origin }

// Endpoint points a client at the Server, for wechatqr.WithEndpoint.
func (s *Server) Endpoint() wechatqr.Endpoint {
	return wechatqr.Endpoint{API: []string{s.origin}, Image: s.origin}
}

// Credentials are the account's AppID and AppSecret.
func (s *Server) Credentials() wechatqr.Credentials {
	s.mu.Lock()
	defer s.mu.Unlock()
	return wechatqr.Credentials{AppID: s.st.AppID, AppSecret: s.st.AppSecret}
}

// Account is the account's original ID (gh_…), the ToUserName of its pushes.
func (s *Server) Account() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.st.Account
}

// Client returns a client of the account that calls the Server; opts come
// after the endpoint. It panics if wechatqr.New refuses the options.
func (s *Server) Client(opts ...wechatqr.Option) *wechatqr.Client {
	options := []wechatqr.Option{wechatqr.WithEndpoint(s.Endpoint())}
	if s.memory != nil {
		options = append(options, wechatqr.WithHTTPClient(s.HTTPClient()))
	}
	c, err := wechatqr.New(s.Credentials(), append(options, opts...)...)
	if err != nil {
		panic(fmt.Sprintf("wechatqrtest: client: %v", err))
	}
	return c
}

// ServeFunc serves fn as the callback, with the account's keys and the current mode, and
// returns its URL. It panics if events.NewHandler refuses the options or if it cannot listen.
func (s *Server) ServeFunc(fn events.HandlerFunc, opts ...events.Option) string {
	h, err := events.NewHandler(s.CallbackConfig(), fn, opts...)
	if err != nil {
		panic(fmt.Sprintf("wechatqrtest: serve: %v", err))
	}
	return s.ServeCallback(h)
}

// Changed returns a channel that is closed at the next change of anything that
// the Server's methods return. Take the channel before reading the state, then
// wait for it: no change is missed.
func (s *Server) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changed == nil {
		s.changed = make(chan struct{})
	}
	return s.changed
}

// notify closes the channel of Changed. The caller holds mu.
func (s *Server) notify() {
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// random is n characters of the URL-safe alphabet.
func random(n int) string {
	b := make([]byte, (n*3+3)/4)
	_, _ = rand.Read(b) // never fails
	return base64.RawURLEncoding.EncodeToString(b)[:n]
}
