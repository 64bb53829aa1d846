package scanlogin_test

import (
	"context"
	"io"
	"log/slog"
	"net/netip"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr/events"
	"github.com/wechatqr/wechatqr/scanlogin"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

const (
	shopSite = "https://shop.example"
	pageURL  = shopSite + "/login"
	lifetime = 5 * time.Minute
)

// world is a site and a WeChat, both in memory and with a clock of their own.
type world struct {
	*testing.T
	wx    *wechatqrtest.Server
	login *scanlogin.Login
	log   logged
}

// logged is what was logged by several goroutines.
type logged struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func inWorld(t *testing.T, test func(*world), opts ...scanlogin.Option) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		wx := wechatqrtest.Start(t, wechatqrtest.WithoutNetwork(), wechatqrtest.WithLenient())
		w := &world{T: t, wx: wx}
		w.login = w.newLogin(opts...)
		w.serve(w.login)
		test(w)
	})
}

func (w *world) newLogin(opts ...scanlogin.Option) *scanlogin.Login {
	w.Helper()
	logger := slog.New(slog.NewTextHandler(&w.log, nil))
	opts = append([]scanlogin.Option{scanlogin.WithLogger(logger)}, opts...)
	l, err := scanlogin.New(w.wx.Client(), pageURL, opts...)
	require.NoError(w, err)
	return l
}

// serve has the pushes go to l from now on.
func (w *world) serve(l *scanlogin.Login) {
	w.Helper()
	var mux events.Mux
	l.Register(&mux)
	h, err := events.NewHandler(w.wx.CallbackConfig(), mux.Serve, events.WithoutRetries(),
		events.WithLogger(slog.New(slog.NewTextHandler(io.Discard, nil))))
	require.NoError(w, err)
	require.NoError(w, w.wx.SetCallback(wechatqrtest.Callback{URL: w.wx.ServeCallback(h)}))
}

// begin begins a login of a browser that has nothing yet.
func (w *world) begin() scanlogin.Visitor {
	w.Helper()
	return w.beginAs(
		scanlogin.Visitor{Address: netip.MustParseAddr("203.0.113.7"), Agent: "Firefox"})
}

func (w *world) beginAs(v scanlogin.Visitor) scanlogin.Visitor {
	w.Helper()
	a, err := w.login.Begin(w.Context(), v)
	require.NoError(w, err)
	require.Equal(w, scanlogin.StateWaiting, a.Status.State)
	v.Secret = a.Secret
	return v
}

// code is the latest.
func (w *world) code() wechatqrtest.QRCode {
	w.Helper()
	codes := w.wx.QRCodes()
	require.NotEmpty(w, codes)
	return codes[len(codes)-1]
}

// scan is somebody scanning; what they read is returned.
func (w *world) scan(code wechatqrtest.QRCode, who string) string {
	w.Helper()
	push, err := w.wx.Scan(w.Context(), code.Ticket, who)
	require.NoError(w, err)
	require.NotEmpty(w, push.UserSees())
	return push.UserSees()
}

func (w *world) is(want scanlogin.State, v scanlogin.Visitor) {
	w.Helper()
	s, err := w.login.Status(w.Context(), v)
	require.NoError(w, err)
	require.Equal(w, want, s.State)
}

func (w *world) confirm(v scanlogin.Visitor, number string) scanlogin.Result {
	w.Helper()
	r, err := w.login.Confirm(w.Context(), v, number)
	require.NoError(w, err)
	return r
}

func (w *world) refuses(v scanlogin.Visitor, number string) {
	w.Helper()
	r, err := w.login.Confirm(w.Context(), v, number)
	require.ErrorIs(w, err, scanlogin.ErrNotConfirmed)
	require.Zero(w, r)
}

var sixDigits = regexp.MustCompile(`\b\d{6}\b`)

// numberIn is what a person reads in the chat.
func numberIn(text string) string { return sixDigits.FindString(text) }

// wrong is another number.
func wrong(number string) string {
	return strings.Map(func(r rune) rune { return '0' + ('9' - r) }, number)
}

// observed is a store whose values and operations a test sees.
type observed struct {
	scanlogin.Store
	before func(op, key string) error // may fail the operation
	after  func(op string) error      // may lose the response
	wrote  func(value []byte)
}

func (o *observed) run(op, key string, do func() error) error {
	if o.before != nil {
		if err := o.before(op, key); err != nil {
			return err
		}
	}
	err := do()
	if err == nil && o.after != nil {
		err = o.after(op)
	}
	return err
}

func (o *observed) LoadLogin(ctx context.Context, key string) (value []byte, err error) {
	err = o.run("load", key, func() (err error) {
		value, err = o.Store.LoadLogin(ctx, key)
		return err
	})
	return value, err
}

func (o *observed) SwapLogin(
	ctx context.Context, key string, old, new []byte, ttl time.Duration,
) (ok bool, err error) {
	if o.wrote != nil {
		o.wrote(append([]byte(key+" "), new...))
	}
	err = o.run("swap", key, func() (err error) {
		ok, err = o.Store.SwapLogin(ctx, key, old, new, ttl)
		return err
	})
	return ok, err
}

func (o *observed) CountLogin(
	ctx context.Context, key string, ttl time.Duration,
) (n int, err error) {
	err = o.run("count", key, func() (err error) {
		n, err = o.Store.CountLogin(ctx, key, ttl)
		return err
	})
	return n, err
}
