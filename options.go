package wechatqr

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"
	"unicode"
)

// Option changes a default of [New].
type Option func(*config)

// config is what the options fill in; configure checks it.
type config struct {
	transport    http.RoundTripper
	timeout      time.Duration // of one attempt
	tokenSource  TokenSource
	stored       func(key string, src TokenSource) TokenSource // puts the TokenStore in front of src
	classic      bool
	cloudHosting bool
	endpoint     Endpoint
	api, images  *hosts // of endpoint
	maxRetries   int
	userAgent    string
	logger       *slog.Logger
	observe      func(context.Context, Call)
	wrong        error // the first that was given and cannot be
}

// require refuses the options unless ok.
func (c *config) require(ok bool, format string, args ...any) {
	if !ok && c.wrong == nil {
		c.wrong = fmt.Errorf(format, args...)
	}
}

// WithHTTPClient sends by hc's Transport, within hc's Timeout for one request;
// the default is 10 s, and where Transport is nil one that keeps up to 128 idle
// connections a host. Redirects are never followed and cookies not kept, so
// CheckRedirect and Jar do not count. hc itself is not changed.
//
// What a server sends beyond a response net/http writes to its log, secrets included. Only
// the default Transport's connections end there, if no proxy's tunnel is in between.
//
// Whether a request that failed may have arrived is known from the hooks of
// net/http/httptrace. Of a Transport that does not call them, such as a mock,
// every request without a response counts as one that may have arrived.
//
// To mock WeChat over HTTP pass a client whose Transport is the mock.
func WithHTTPClient(hc *http.Client) Option {
	return func(c *config) {
		if hc == nil {
			c.require(false, "WithHTTPClient(nil): leave the option out for the default")
			return
		}
		c.transport, c.timeout = hc.Transport, attemptTimeout
		if hc.Timeout > 0 {
			c.timeout = hc.Timeout
		}
	}
}

// WithTokenSource takes access tokens from src, be it a token server, another
// process or a third-party platform's authorizer token; then no AppSecret is
// needed. It is put behind [ReuseTokenSource] unless it is one.
// See also [StaticTokenSource] and [StoredTokenSource].
func WithTokenSource(src TokenSource) Option {
	return func(c *config) {
		c.require(src != nil, "WithTokenSource(nil): leave the option out for the default")
		c.tokenSource = src
	}
}

// WithTokenStore shares the token with the other processes that use the same
// store. The default keeps it in this process only, which is enough with the
// stable endpoint and costs each process a call every two hours. The key is the
// AppID and "/stable", or "/classic" with [WithClassicToken].
func WithTokenStore(store TokenStore) Option {
	return func(c *config) {
		c.require(store != nil, "WithTokenStore(nil): leave the option out for the default")
		// A closure, so that a program without a store does not link what needs one.
		c.stored = func(key string, src TokenSource) TokenSource {
			leaser, _ := store.(TokenLeaser)
			if !c.classic {
				leaser = nil // everybody may ask for the stable token
			}
			return &storedTokenSource{store: store, leaser: leaser, key: key, src: src, logger: c.logger}
		}
	}
}

// WithClassicToken fetches tokens from GET /cgi-bin/token instead of POST
// /cgi-bin/stable_token. There every fetch ends the token before it, so that
// several processes need a common [TokenStore].
func WithClassicToken() Option { return func(c *config) { c.classic = true } }

// WithCloudHosting is for WeChat cloud hosting, whose network adds the token
// itself: requests carry no access_token, New needs no credentials, and the API
// is at http://api.weixin.qq.com unless [WithEndpoint] or [WithBaseURL] says
// otherwise.
//
// WeChat's page: https://developers.weixin.qq.com/minigame/dev/wxcloudrun/src/guide/weixin/open.html
func WithCloudHosting() Option { return func(c *config) { c.cloudHosting = true } }

// Endpoint is where WeChat is: base addresses, http or https, to which paths
// such as /cgi-bin/qrcode/create are appended.
type Endpoint struct {
	// API hosts. The next one is used when one gives no connection within 3 s or
	// half of what ctx has left, breaks the connection or responds with HTTP 5xx;
	// so is it for a minute after that, and after half a second without a response.
	// Default: https://api.weixin.qq.com, then https://api2.weixin.qq.com.
	//
	// WeChat's page: https://developers.weixin.qq.com/doc/offiaccount/Basic_Information/Interface_field_description.html
	API []string

	// Image is the host of the pictures. Default: https://mp.weixin.qq.com.
	Image string
}

// WithEndpoint talks to other hosts, for instance a nearer one such as
// https://sh.api.weixin.qq.com. Fields left empty keep their defaults.
func WithEndpoint(e Endpoint) Option {
	return func(c *config) {
		if len(e.API) > 0 {
			c.endpoint.API = e.API
		}
		if e.Image != "" {
			c.endpoint.Image = e.Image
		}
	}
}

// WithBaseURL talks to one address for the API and the pictures: a proxy of your
// own or a fake, for instance http://127.0.0.1:8080.
func WithBaseURL(address string) Option {
	return func(c *config) { c.endpoint = Endpoint{API: []string{address}, Image: address} }
}

// WithMaxRetries sets how often a request is repeated at the most after errcode
// -1, HTTP 5xx or a broken connection: 0 to 10, default 2. The next host is asked
// at once; otherwise there is a pause, which begins at up to 200 ms and doubles to
// 5 s, within the call's context.
func WithMaxRetries(n int) Option {
	return func(c *config) {
		c.require(n >= 0 && n <= 10, "WithMaxRetries(%d): use 0 to 10", n)
		c.maxRetries = n
	}
}

// WithUserAgent sets the User-Agent header, "wechatqr" by default.
func WithUserAgent(ua string) Option {
	return func(c *config) {
		c.require(ua != "" && !strings.ContainsFunc(ua, unicode.IsControl), "WithUserAgent(%q): use one non-empty line", ua)
		c.userAgent = ua
	}
}

// WithLogger logs every request at debug level, and at warn level what no
// caller is told: a renewal behind the scenes or a TokenStore that fails. It
// sees no secret. The default is slog.Default at the time of New; for silence
// pass slog.New(slog.DiscardHandler).
func WithLogger(l *slog.Logger) Option {
	return func(c *config) {
		c.require(l != nil, "WithLogger(nil): leave the option out for the default")
		c.logger = l
	}
}

// Call is one HTTP request to WeChat, as an observer sees it: no secret, no
// query, no body.
type Call struct {
	Op         string // as in Error.Op
	Method     string
	URL        string    // without the query
	Attempt    int       // 1, then 2… for retries
	StatusCode int       // 0 if no response came
	Code       ErrorCode // WeChat's errcode, 0 for success
	RequestID  string    // WeChat's rid, if the response was an error
	Duration   time.Duration
	Err        error // nil for success; an *Error if WeChat responded
}

// WithObserver calls fn after every HTTP request, the token's too, in the
// goroutine that made it: for metrics and traces. fn must be quick and safe
// for concurrent use. If it panics, the call goes on and the log has the panic.
func WithObserver(fn func(context.Context, Call)) Option {
	return func(c *config) {
		c.require(fn != nil, "WithObserver(nil): leave the option out for none")
		c.observe = fn
	}
}

// configure applies the options to the defaults and checks them.
func configure(opts []Option) (*config, error) {
	c := &config{timeout: attemptTimeout, maxRetries: 2, userAgent: "wechatqr", logger: slog.Default()}
	c.endpoint.Image = "https://mp.weixin.qq.com"
	for _, opt := range opts {
		if opt == nil {
			return nil, errors.New("a nil Option")
		}
		opt(c)
	}

	own := c.stored != nil || c.classic
	c.require(!c.cloudHosting || c.tokenSource == nil && !own,
		"WithCloudHosting goes with none of WithTokenSource, WithTokenStore and WithClassicToken: there are no tokens")
	c.require(c.tokenSource == nil || !own,
		"WithTokenSource goes with neither WithTokenStore nor WithClassicToken: compose the source with StoredTokenSource")

	addresses := []string{"https://api.weixin.qq.com", "https://api2.weixin.qq.com"}
	if c.cloudHosting {
		c.tokenSource, addresses = noToken{}, []string{"http://api.weixin.qq.com"}
	}
	if c.endpoint.API != nil {
		addresses = c.endpoint.API
	}
	if c.wrong == nil {
		c.api, c.wrong = newHosts(addresses...)
	}
	if c.wrong == nil {
		c.images, c.wrong = newHosts(c.endpoint.Image)
	}
	return c, c.wrong
}
