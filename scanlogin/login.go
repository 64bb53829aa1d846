package scanlogin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/wechatqr/wechatqr"
)

const (
	life       = 5 * time.Minute // of a code; and from the scan on, of what it began
	codeMargin = time.Minute     // for which WeChat still takes the code: who scans then is told
	keptFor    = life + 10*time.Minute
	maxWrong   = 5 // numbers typed, of a million

	workTimeout = time.Minute // for what goes on after its request
)

// hostPrefix keeps other hosts of the domain from setting a cookie.
const hostPrefix = "__Host-"

// Client is what a [Login] needs of a [wechatqr.Client].
type Client interface {
	CreateTicket(ctx context.Context, req wechatqr.TicketRequest) (*wechatqr.Ticket, error)
	FetchQRCode(ctx context.Context, ticket string) (*wechatqr.QRCode, error)
}

// Login is the logins and bindings of one account. It is safe for concurrent use.
// Servers that share a [Store] are one: the scan may reach any of them, and the
// browser another.
type Login struct {
	client Client
	config
	page    *url.URL
	cookie  string // what its names begin with
	foreign *http.CrossOriginProtection
	waiting waiting
	recent  recent
}

// New makes a Login for the site whose login page is at pageURL, as people see it:
// "https://example.com/login". The chat tells people to type the number at its origin
// only, so it is not taken from requests. http is allowed on loopback alone, for the
// cookie is as good as a password for five minutes: there its name does without the
// prefix __Host-, which browsers accept over https only.
//
// New does no I/O. Its error is [wechatqr.ErrInvalidArgument].
func New(asked Client, pageURL string, opts ...Option) (*Login, error) {
	c := defaults()
	for _, opt := range opts {
		if opt == nil {
			return nil, invalid(errors.New("a nil Option"))
		}
		opt(&c)
	}
	page, err := parsePage(pageURL)
	if err == nil && asked == nil {
		err = errors.New("the client is nil")
	}
	if err = errors.Join(err, c.check()); err != nil {
		return nil, invalid(err)
	}

	if c.picture == nil {
		c.picture = func(ctx context.Context, t wechatqr.Ticket) (*wechatqr.QRCode, error) {
			return asked.FetchQRCode(ctx, t.Value)
		}
	}
	l := &Login{
		client: asked, config: c, page: page, cookie: c.prefix,
		foreign: http.NewCrossOriginProtection(),
		waiting: waiting{browsers: map[string]*waiter{}},
		recent:  recent{clients: map[netip.Prefix]int{}},
	}
	if page.Scheme == "https" {
		l.cookie = hostPrefix + l.cookie
	}
	if err := l.foreign.AddTrustedOrigin(l.origin()); err != nil {
		return nil, invalid(err)
	}
	return l, nil
}

func (l *Login) origin() string { return l.page.Scheme + "://" + l.page.Host }

func parsePage(pageURL string) (*url.URL, error) {
	u, err := url.Parse(pageURL)
	switch {
	case (err != nil || u.Host == "") && strings.Contains(pageURL, "@"): // behind a password perhaps
		return nil, errors.New("the page's address cannot be read: " +
			"use one like https://example.com/login, without a user")
	case err != nil:
		return nil, err
	case u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, fmt.Errorf("%q is no page's address: use one like https://example.com/login",
			u.Redacted())
	case u.Scheme != "https" && (u.Scheme != "http" || !onLoopback(u.Hostname())):
		return nil, fmt.Errorf("%q: use https, for the cookie is as good as a password", u.Redacted())
	}
	u.Host = strings.ToLower(u.Host) // as browsers write it
	return u, nil
}

func onLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// log tells the logger, whose handler may panic.
func (l *Login) log(ctx context.Context, level slog.Level, message string, args ...any) {
	defer func() { _ = recover() }()
	l.logger.Log(ctx, level, message, args...)
}

func invalid(err error) error {
	return failed("new", fmt.Errorf("%w: %w", wechatqr.ErrInvalidArgument, err))
}

func failed(op string, err error) error {
	return fmt.Errorf("wechatqr: scan login: %s: %w", op, err)
}
