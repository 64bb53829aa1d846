package scanlogin

import (
	"context"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"net/netip"
	"regexp"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/events"
)

// Option changes a default of [New].
type Option func(*config)

type config struct {
	prefix   string
	store    Store
	confirm  confirmation
	both     bool // WithOneTap and WithLink
	place    func(netip.Addr) string
	limits   Limits
	clientIP func(*http.Request) netip.Addr
	picture  func(context.Context, wechatqr.Ticket) (*wechatqr.QRCode, error)
	reply    func(Prompt) events.Reply
	ended    func(ctx context.Context, openID string) error // of following
	template *template.Template
	logger   *slog.Logger
}

// confirmation is how a person confirms.
type confirmation int

const (
	byNumber confirmation = iota
	byLink
	byScan
)

func defaults() config {
	return config{
		prefix: "login-", store: NewMemory(), limits: defaultLimits,
		clientIP: remoteIP, reply: DefaultReply, template: pageTemplate,
		ended:  func(context.Context, string) error { return nil },
		logger: slog.Default(),
	}
}

// WithPrefix sets what the scenes begin with, "login-" by default, and with it the
// cookie's name: 1 to 32 of A-Z a-z 0-9 _ -. It must not be a prefix of other scenes
// of the account.
func WithPrefix(prefix string) Option { return func(c *config) { c.prefix = prefix } }

// WithStore shares logins with other servers. The default is a [NewMemory].
func WithStore(s Store) Option { return func(c *config) { c.store = s } }

// WithOneTap has the scan itself confirm: no number is typed.
//
// It is open to phishing. Somebody can begin a login in their browser, and show
// its code to others as a coupon, in a chat or on a false page: who scans it has
// logged that browser in as themselves. The other way round, who scans the code on
// another's screen logs that browser in as the scanner. Use it where an account is
// worth little, and never with [Login.Bind] to accounts that are worth more.
func WithOneTap() Option { return func(c *config) { c.setConfirmation(byScan) } }

// WithLink has the chat carry a link, in place of the number, to a page that names the
// browser, the place and the time, with a button to log in and one to refuse. The
// link is served by the handlers at New's pageURL, and opens in WeChat's browser. It
// is known to the person who scanned alone, and in this server's access log.
//
// place names where an address is, such as a city; if nil, the address is shown.
//
// Nothing has to be typed. It protects those who read the page: who presses the
// button because another asked for it lets them in.
func WithLink(place func(netip.Addr) string) Option {
	if place == nil {
		place = netip.Addr.String
	}
	return func(c *config) { c.place = place; c.setConfirmation(byLink) }
}

func (c *config) setConfirmation(to confirmation) {
	c.both = c.both || c.confirm != byNumber && c.confirm != to
	c.confirm = to
}

// WithLimits bounds how many codes are made. Fields that are 0 keep their defaults.
func WithLimits(limits Limits) Option { return func(c *config) { c.limits = limits.or(c.limits) } }

// WithClientIP tells whose request it is, for [Limits] and the page of [WithLink]. The
// default is the request's RemoteAddr: behind a proxy that is the proxy, so that all
// people share one limit. Take the address from a header that your proxy sets, and
// that it takes off where somebody else has set it.
func WithClientIP(fn func(*http.Request) netip.Addr) Option {
	return func(c *config) { c.clientIP = fn }
}

// WithPicture makes the pictures, for instance with package qrimage from the ticket's
// Content. The default fetches WeChat's, through this server.
func WithPicture(fn func(context.Context, wechatqr.Ticket) (*wechatqr.QRCode, error)) Option {
	return func(c *config) { c.picture = fn }
}

// WithReply answers in the chat in place of [DefaultReply].
func WithReply(fn func(Prompt) events.Reply) Option { return func(c *config) { c.reply = fn } }

// WithUnsubscribe calls fn when somebody stops following, for sessions to end: WeChat
// asks for the user's data to be deleted then. Logins under way have ended by
// themselves. After an error fn is called again, as an [events.HandlerFunc] is.
func WithUnsubscribe(fn func(ctx context.Context, openID string) error) Option {
	return func(c *config) { c.ended = fn }
}

// WithTemplate replaces the page. The template gets a [Page]. The policy that is sent
// with it takes scripts, styles and pictures from the page's own origin only, and no
// inline ones.
func WithTemplate(t *template.Template) Option { return func(c *config) { c.template = t } }

// WithLogger sets where failures of the store and of WeChat are logged. The default is
// slog.Default at the time of New. It sees no secret and no openid.
func WithLogger(l *slog.Logger) Option { return func(c *config) { c.logger = l } }

var validPrefix = regexp.MustCompile(`^[A-Za-z0-9_-]{1,32}$`)

func (c *config) check() error {
	switch {
	case !validPrefix.MatchString(c.prefix):
		return fmt.Errorf("WithPrefix(%q): use 1 to 32 of A-Z a-z 0-9 _ -", c.prefix)
	case c.both:
		return errors.New("WithOneTap and WithLink: use one of them")
	case c.limits.PerClient < 0 || c.limits.InAll < 0 || c.limits.PerDay < 0:
		return errors.New("WithLimits: a negative limit")
	case c.store == nil || c.clientIP == nil || c.reply == nil || c.ended == nil ||
		c.template == nil || c.logger == nil:
		return errors.New("an option with nil: leave it out for the default")
	}
	return nil
}
