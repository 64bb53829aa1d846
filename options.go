package wechatqr

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Option changes a default of [New], [StableToken], [ClassicToken],
// [ReuseTokenSource] or [StoredTokenSource]; each says which count.
type Option func(*config)

// config is what the options fill in and check then judges.
type config struct {
	httpClient  *http.Client
	tokenSource TokenSource
	stored      func(key string, src TokenSource) TokenSource // puts the TokenStore in front of src
	classic     bool
	endpoint    Endpoint
	maxRetries  int
	userAgent   string
	logger      *slog.Logger
	observe     func(context.Context, Call)
	wrong       []error // what options were given that cannot be
}

func (c *config) refuse(format string, args ...any) {
	c.wrong = append(c.wrong, fmt.Errorf(format, args...))
}

// WithHTTPClient sends by hc's Transport, within hc's Timeout for one
// exchange; the default is 10 s, and where Transport is nil one that keeps up
// to 128 idle connections a host. Redirects are never followed and cookies not
// kept, so CheckRedirect and Jar do not count. hc itself is not changed.
//
// To mock WeChat over HTTP pass a client whose Transport is the mock.
func WithHTTPClient(hc *http.Client) Option {
	return func(c *config) {
		if hc == nil {
			c.refuse("WithHTTPClient(nil): leave the option out for the default")
		}
		c.httpClient = hc
	}
}

// WithTokenSource takes access tokens from src, be it a token server, another
// process or a third-party platform's authorizer token; then no AppSecret is
// needed. It is put behind [ReuseTokenSource] unless it is one.
// See also [StaticTokenSource] and [StoredTokenSource].
func WithTokenSource(src TokenSource) Option {
	return func(c *config) {
		if src == nil {
			c.refuse("WithTokenSource(nil): leave the option out for the default")
		}
		c.tokenSource = src
	}
}

// WithTokenStore shares the token with the other processes that use the same
// store. The default keeps it in this process only, which is enough with the
// stable endpoint and costs each process a call every two hours. The key is the
// AppID and "/stable", or "/classic" with [WithClassicToken].
func WithTokenStore(store TokenStore) Option {
	return func(c *config) {
		if store == nil {
			c.refuse("WithTokenStore(nil): leave the option out for the default")
		}
		// A closure, so that a program without a store does not link what needs one.
		c.stored = func(key string, src TokenSource) TokenSource {
			leaser, _ := store.(TokenLeaser)
			if !c.classic {
				leaser = nil // everybody may ask for the stable token
			}
			return newStored(store, leaser, key, src, c.logger)
		}
	}
}

// WithClassicToken fetches tokens from GET /cgi-bin/token instead of POST
// /cgi-bin/stable_token. There every fetch ends the token before it, so that
// several processes need a common [TokenStore].
func WithClassicToken() Option { return func(c *config) { c.classic = true } }

// Endpoint is where WeChat is: base addresses, http or https, to which paths
// such as /cgi-bin/qrcode/create are appended.
type Endpoint struct {
	// API hosts, tried in order when one cannot be reached. A host that could
	// not be reached is left alone for a minute. Default: https://api.weixin.qq.com,
	// then https://api2.weixin.qq.com.
	//
	// WeChat's page: https://developers.weixin.qq.com/doc/offiaccount/Basic_Information/Interface_field_description.html
	API []string

	// Image is the host of the pictures. Default: https://mp.weixin.qq.com.
	Image string
}

// WithEndpoint talks to other hosts: a nearer one such as
// https://sh.api.weixin.qq.com, cloud hosting's http://api.weixin.qq.com, a
// proxy of your own, or a fake. Fields left empty keep their defaults.
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

// WithMaxRetries sets how often an exchange is repeated at the most after a
// busy answer, HTTP 5xx or a broken connection: 0 to 10, default 2. The pause
// begins at about 200 ms and doubles, within the call's context.
func WithMaxRetries(n int) Option {
	return func(c *config) {
		if n < 0 || n > 10 {
			c.refuse("WithMaxRetries(%d): use 0 to 10", n)
		}
		c.maxRetries = n
	}
}

// WithUserAgent sets the User-Agent header, "wechatqr" by default.
func WithUserAgent(ua string) Option {
	return func(c *config) {
		if ua == "" || strings.ContainsAny(ua, "\r\n") {
			c.refuse("WithUserAgent(%q): use one non-empty line", ua)
		}
		c.userAgent = ua
	}
}

// WithLogger logs every exchange at debug level, and at warn level what no
// caller is told: a renewal behind the scenes or a TokenStore that fails. It
// sees no secret. The default is slog.Default at the time of New; for silence
// pass slog.New(slog.DiscardHandler).
func WithLogger(l *slog.Logger) Option {
	return func(c *config) {
		if l == nil {
			c.refuse("WithLogger(nil): leave the option out for the default")
		}
		c.logger = l
	}
}

// Call is one HTTP exchange with WeChat, as an observer sees it: no secret, no
// query, no body.
type Call struct {
	Op         string // as in Error.Op
	Method     string
	URL        string // without the query
	Attempt    int    // 1, then 2… for repetitions after busy answers and broken connections
	StatusCode int    // 0 if no answer came
	Code       Code   // WeChat's errcode, 0 for success
	RequestID  string // WeChat's rid, if the answer was an error
	Duration   time.Duration
	Err        error // nil for success; an *Error if WeChat answered
}

// WithObserver calls fn after every HTTP exchange, the token's too, in the
// goroutine that made it: for metrics and traces. fn must be quick and safe
// for concurrent use.
func WithObserver(fn func(context.Context, Call)) Option {
	return func(c *config) {
		if fn == nil {
			c.refuse("WithObserver(nil): leave the option out for none")
		}
		c.observe = fn
	}
}

// configure applies the options to the defaults and checks them.
func configure(opts []Option) (*config, error) {
	c := &config{
		endpoint:   Endpoint{API: []string{"https://api.weixin.qq.com", "https://api2.weixin.qq.com"}, Image: "https://mp.weixin.qq.com"},
		maxRetries: 2,
		userAgent:  "wechatqr",
		logger:     slog.Default(),
	}
	for _, opt := range opts {
		if opt == nil {
			c.refuse("a nil Option")
			continue
		}
		opt(c)
	}
	if c.tokenSource != nil && (c.stored != nil || c.classic) {
		c.refuse("WithTokenSource goes with neither WithTokenStore nor WithClassicToken: compose the source with StoredTokenSource or ClassicToken")
	}
	return c, errors.Join(c.wrong...)
}

// parseBase reads a base address of an Endpoint.
func parseBase(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return nil, fmt.Errorf("Endpoint: %w", clean(err))
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return nil, fmt.Errorf("Endpoint %q: use an address like https://api.weixin.qq.com", cutQuery(address))
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("Endpoint %q: leave user, query and fragment out", u.Scheme+"://"+u.Host+u.Path)
	}
	u.Path = strings.TrimRight(u.Path, "/")
	u.RawPath = ""
	return u, nil
}
