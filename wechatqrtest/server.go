package wechatqrtest

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wechatqr/wechatqr"
)

// Server is a WeChat with one account: the API, the picture host and the
// sender of pushes. It is an [http.Handler], so that it can also be served by
// a listener of your own. Its methods may be called from any goroutine.
type Server struct {
	mu      sync.Mutex
	st      state
	codes   map[string]*Code  // by ticket
	users   map[string]*User  // by openid
	tokens  map[string]*token // by value
	faults  faults
	calls   ring
	counts  map[string]int // calls so far, by path
	changed chan struct{}  // closed at the next change; nil while nobody waits

	routes   map[string]route
	pictures pictures

	origin       string
	pipes        *pipes       // nil: the machine's network
	client       *http.Client // for pushes
	lenient      bool
	unverified   bool
	cloudHosting bool
	maxPermanent int
	pushTimeout  time.Duration
	retryDelay   time.Duration
	spaced       bool // retries after a wrong status too

	life    context.Context // ends with Close
	end     context.CancelFunc
	servers []*http.Server
	running int        // requests and Serve loops
	idle    *sync.Cond // running fell to zero; of mu
}

// Option configures a Server.
type Option func(*Server)

// WithCredentials sets the account's AppID and AppSecret. By default both are
// random, of WeChat's form.
func WithCredentials(creds wechatqr.Credentials) Option {
	return func(s *Server) { s.st.AppID, s.st.AppSecret = creds.AppID, creds.AppSecret }
}

// WithOrigin says that a listener of your own serves the Server under this
// address, for instance "http://127.0.0.1:8080". NewServer then opens none.
func WithOrigin(origin string) Option {
	return func(s *Server) { s.origin = strings.TrimRight(origin, "/") }
}

// WithLenient lets the API do with a bad request what WeChat was seen to do,
// instead of refusing it. See the package comment.
func WithLenient() Option { return func(s *Server) { s.lenient = true } }

// WithUnverified makes the account an unverified one: qrcode/create and
// user/… answer 48001.
func WithUnverified() Option { return func(s *Server) { s.unverified = true } }

// WithCloudHosting serves calls without an access_token, as WeChat does inside
// its own cloud hosting. A token that is sent is still checked.
func WithCloudHosting() Option { return func(s *Server) { s.cloudHosting = true } }

// WithPermanentLimit sets how many permanent codes the account may make before
// 45029; the default is 100000, as on WeChat.
func WithPermanentLimit(n int) Option { return func(s *Server) { s.maxPermanent = n } }

// NewServer starts a Server on a free port of 127.0.0.1. Close it when done.
// Like httptest.NewServer it panics if there is no port to be had.
func NewServer(opts ...Option) *Server {
	s := &Server{
		codes:        map[string]*Code{},
		users:        map[string]*User{},
		tokens:       map[string]*token{},
		counts:       map[string]int{},
		maxPermanent: 100_000,
		pushTimeout:  5 * time.Second,
	}
	s.life, s.end = context.WithCancel(context.Background())
	s.idle = sync.NewCond(&s.mu)
	s.st = newState()
	s.routes = apiRoutes()
	for _, o := range opts {
		o(s)
	}
	s.client = s.newPusher()
	if s.origin == "" {
		s.origin = s.listen(s)
	}
	return s
}

// Start is NewServer for a test, which closes the Server when it ends.
func Start(tb testing.TB, opts ...Option) *Server {
	tb.Helper()
	s := NewServer(opts...)
	tb.Cleanup(s.Close)
	return s
}

// Close ends the listeners, cuts off calls and pushes that are under way and
// waits for them. From then on every call answers 503. It may be called again.
func (s *Server) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end()
	for _, srv := range s.servers {
		_ = srv.Close()
	}
	for s.running > 0 {
		s.idle.Wait()
	}
}

// enter counts something that Close waits for; false: it is too late.
func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.life.Err() != nil {
		return false
	}
	s.running++
	return true
}

func (s *Server) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running--; s.running == 0 {
		s.idle.Broadcast()
	}
}

// URL is the address of the Server, without a slash at its end.
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

// Account is the account's original id, gh_…, by which pushes name it.
func (s *Server) Account() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.st.Account
}

// Client returns a client of the account that calls the Server; opts come
// after the endpoint. It panics if wechatqr.New refuses the options.
func (s *Server) Client(opts ...wechatqr.Option) *wechatqr.Client {
	own := []wechatqr.Option{wechatqr.WithEndpoint(s.Endpoint())}
	if s.pipes != nil {
		own = append(own, wechatqr.WithHTTPClient(s.HTTPClient()))
	}
	c, err := wechatqr.New(s.Credentials(), append(own, opts...)...)
	if err != nil {
		panic(fmt.Sprintf("wechatqrtest: client: %v", err))
	}
	return c
}

// Changed returns a channel that is closed at the next change of anything the
// Server tells about. Take it, look, then wait for it: nothing is missed.
func (s *Server) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changed == nil {
		s.changed = make(chan struct{})
	}
	return s.changed
}

// notify tells those who wait in Changed. The caller holds the lock.
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
