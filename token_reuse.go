package wechatqr

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// The ways of a kept token.
const (
	renewalTimeout = 30 * time.Second // for one renewal by a source that does not end by itself
	maxEarly       = 5 * time.Minute  // how long before its end a token is renewed, at most; a tenth of its life at most
	firstPause     = time.Second      // after a failed renewal; doubles
	maxPause       = time.Minute
	againAfter     = 10 * time.Second // when an early renewal brought the same token
	freeRefusals   = 20               // heeded at once; further ones with pauses
	calm           = 2 * maxPause     // without a refusal
)

// ReuseTokenSource keeps what src gives in memory and asks src again when
// that is about to end, or refused. Its Token costs an atomic load and a look
// at the clock.
//
// One renewal runs at a time, in a goroutine of its own that ends with it; it
// does not end when the caller that caused it gives up, and a caller that
// waits returns when its own ctx ends. In the last five minutes of a token's
// life, or the last tenth if that is shorter, callers get it at once while the
// renewal runs behind them. After a failed renewal the next is tried 1 s
// later, then 2 s, up to a minute; until then callers without a token get the
// last error.
//
// A token that WeChat refused is renewed at once, and callers with a later one
// notice nothing. If src gives the same again it serves on, for it may be one
// API that refuses it, and src is asked about it again after 1 s, then 2 s, up
// to a minute; so it is after 20 refusals of different tokens in a row.
//
// Of the options only WithLogger counts; it hears of failures that no caller
// is told.
func ReuseTokenSource(src TokenSource, opts ...Option) TokenSource {
	return newReuse(src, loggerOf(opts))
}

func newReuse(src TokenSource, log *slog.Logger) *reuseTokenSource {
	return &reuseTokenSource{src: src, log: log}
}

func loggerOf(opts []Option) *slog.Logger {
	cfg, _ := configure(opts)
	if cfg.logger == nil {
		return slog.Default()
	}
	return cfg.logger
}

type reuseTokenSource struct {
	src TokenSource
	log *slog.Logger
	cur atomic.Pointer[heldToken]

	mu       sync.Mutex // not held during I/O
	running  *renewal
	failures int
	retryAt  time.Time
	cause    error

	// The token that Invalidate took away last. src may insist on it: then it
	// serves on, for WeChat, or one API of it, may refuse a token that is good.
	refused hidden
	told    bool // src knows of refused
	insists int  // how often in a row it came back

	// Refusals are heeded at most so often, or an account whose every token is
	// refused would use up the day's quota in a moment.
	heeded     int // since it was calm
	lastHeeded time.Time
	heedAt     time.Time
}

type heldToken struct {
	Token
	renewAt time.Time
}

// hidden is a token's value where fmt does not look: pointers it follows, for
// some verbs. nil is none.
type hidden func() string

func hide(value string) hidden { return func() string { return value } }

func (h hidden) is(value string) bool { return h != nil && h() == value }

// Format prints the type alone, whatever the verb.
func (s *reuseTokenSource) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "wechatqr.ReuseTokenSource")
}

type renewal struct {
	done chan struct{} // closed when tok and err are set
	tok  Token
	err  error
}

func (s *reuseTokenSource) Token(ctx context.Context) (Token, error) {
	if h := s.cur.Load(); h != nil {
		if h.Expiry.IsZero() {
			return h.Token, nil
		}
		now := time.Now()
		if now.Before(h.renewAt) {
			return h.Token, nil
		}
		if now.Before(h.Expiry) {
			_, _ = s.renewal(ctx)
			return h.Token, nil
		}
	}
	r, err := s.renewal(ctx)
	if err != nil {
		return Token{}, err
	}
	select {
	case <-r.done:
		return r.tok, r.err
	case <-ctx.Done():
		return Token{}, &opError{"get token", ctx.Err()}
	}
}

// renewal returns the renewal under way, starts one, or says why not yet.
func (s *reuseTokenSource) renewal(ctx context.Context) (*renewal, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running != nil {
		return s.running, nil
	}
	now := time.Now()
	if h := s.cur.Load(); h != nil && (h.Expiry.IsZero() || now.Before(h.renewAt)) {
		// It came between the caller's look and the lock.
		done := make(chan struct{})
		close(done)
		return &renewal{done: done, tok: h.Token}, nil
	}
	if wait := s.retryAt.Sub(now); wait > 0 {
		return nil, fmt.Errorf("%w; not tried again for %v", s.cause, wait.Round(time.Millisecond))
	}
	r := &renewal{done: make(chan struct{}), err: errors.New("wechatqr: get token: the token source ended its goroutine")}
	s.running = r
	go s.renew(context.WithoutCancel(ctx), r)
	return r, nil
}

func (s *reuseTokenSource) renew(ctx context.Context, r *renewal) {
	ctx, cancel := context.WithTimeout(ctx, renewalTimeout)
	defer cancel()
	// Deferred, so that callers are served even if src ends this goroutine.
	defer func() {
		if left := s.settle(r); left != nil {
			s.log.WarnContext(ctx, "wechatqr: the token was not renewed; the present one serves on", "expiry", left.Expiry, "error", clean(r.err, left.Value))
		}
	}()
	r.tok, r.err = s.ask(ctx)
	if r.err == nil && s.mustTell(r.tok) {
		// Refused while it was being fetched, or the fetch began before.
		r.tok, r.err = s.ask(ctx)
	}
	if r.err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		r.err = &opError{"get token", fmt.Errorf("the token source gave none within %v: %w", renewalTimeout, r.err)}
	}
}

// mustTell reports whether tok has been refused and src does not know of it.
func (s *reuseTokenSource) mustTell(tok Token) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refused.is(tok.Value) && !s.told
}

// ask gets one token from src and checks it.
func (s *reuseTokenSource) ask(ctx context.Context) (tok Token, err error) {
	defer func() {
		if p := recover(); p != nil {
			tok, err = Token{}, fmt.Errorf("wechatqr: get token: the token source panicked: %v", p)
			s.log.ErrorContext(ctx, "wechatqr: panic while getting a token", "panic", p, "stack", string(debug.Stack()))
		}
	}()
	s.mu.Lock()
	refused, told := s.refused, s.told
	s.told = true
	s.mu.Unlock()
	if inv, ok := s.src.(Invalidator); ok && refused != nil && !told {
		if err := inv.Invalidate(ctx, refused()); err != nil {
			s.log.WarnContext(ctx, "wechatqr: the token source could not drop a refused token", "error", clean(err, refused()))
		}
	}
	tok, err = s.src.Token(ctx)
	switch {
	case err != nil:
		return Token{}, err
	case tok.Value == "":
		return Token{}, unexpected("get token", 0, "the token source gave an empty token")
	case tok.expired(time.Now()):
		return Token{}, unexpected("get token", 0, "the token source gave a token that has expired: check the clocks")
	}
	return tok, nil
}

// settle ends the renewal and keeps what it brought. It returns the token that
// serves on although the renewal failed, if there is one.
func (s *reuseTokenSource) settle(r *renewal) (left *heldToken) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer close(r.done)
	s.running = nil
	now := time.Now()
	h := s.cur.Load()
	if r.err == nil {
		s.failures, s.cause = 0, nil
		switch {
		case !s.refused.is(r.tok.Value):
			s.refused, s.insists = nil, 0
		case s.told:
			s.insists++
			s.heeded-- // it cost no token
			s.heedAt = now.Add(pauseAfter(s.insists))
		}
		renewAt := r.tok.Expiry.Add(-min(maxEarly, r.tok.Expiry.Sub(now)/10))
		if h != nil && h.Value == r.tok.Value {
			// WeChat changes the token five minutes before its end by its own clock.
			renewAt = earlier(now.Add(againAfter), r.tok.Expiry)
		}
		s.cur.Store(&heldToken{r.tok, renewAt})
		return nil
	}
	s.failures++
	s.cause = r.err
	s.retryAt = now.Add(pauseAfter(s.failures))
	if h == nil || h.expired(now) {
		return nil
	}
	left = &heldToken{h.Token, earlier(s.retryAt, h.Expiry)}
	s.cur.Store(left)
	return left
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func pauseAfter(failures int) time.Duration {
	return min(firstPause<<min(failures-1, 10), maxPause)
}

// Invalidate drops the token if it is still the one in use, unless src insisted
// on it, or others were refused, only a moment ago: then it serves on. It does
// no I/O: the next renewal tells src.
func (s *reuseTokenSource) Invalidate(_ context.Context, rejected string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if h := s.cur.Load(); h == nil || h.Value != rejected || now.Before(s.heedAt) {
		return nil
	}
	if now.Sub(s.lastHeeded) > calm {
		s.heeded = 0
	}
	s.lastHeeded = now
	if s.heeded++; s.heeded > freeRefusals {
		s.heedAt = now.Add(pauseAfter(s.heeded - freeRefusals))
	}
	s.cur.Store(nil)
	s.refused, s.told = hide(rejected), false
	return nil
}
