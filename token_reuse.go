package wechatqr

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

const (
	renewalTimeout = 30 * time.Second // for one renewal by a source that does not end by itself
	maxEarly       = 5 * time.Minute  // before its end a token is renewed, but not in its first half

	firstPause  = time.Second     // after a failed renewal; doubles
	maxPause    = time.Minute     // where WeChat refused
	outagePause = 8 * time.Second // at most, where there was no response: notice soon that it is over

	refusalBurst    = 20               // renewals after refusals that may follow each other at once
	refusalInterval = 3 * time.Second  // between further ones
	classicInterval = 60 * time.Second // the same where each renewal is one of 2000 a day
)

// ReuseTokenSource keeps what src gives in memory and asks src again when
// that is about to end, or refused. Its Token costs an atomic load and a look
// at the clock.
//
// One renewal runs at a time, in a goroutine of its own that ends with it; it
// does not end when the caller that caused it gives up, and a caller that
// waits returns when its own ctx ends. In the last five minutes of a token's
// life, or the second half if that is shorter, callers get it at once while the
// renewal runs behind them. After a failed renewal the next is tried 1 s
// later, then 2 s, up to a minute, or 8 s if there was no response; until then
// callers without a token get the last error.
//
// A caller that reports the token in use as refused waits for its renewal. The
// others go on with it until its successor is there. After 20 refusals in a row
// one renewal every 3 s is made for them, so that an API that refuses every
// token does not use up the day's quota; a refusal in between is an error.
//
// logger hears of failures that no caller is told; nil is slog.Default.
func ReuseTokenSource(src TokenSource, logger *slog.Logger) TokenSource {
	if logger == nil {
		logger = slog.Default()
	}
	return &reuseTokenSource{src: src, logger: logger, refusals: bucket{interval: refusalInterval}}
}

// reuseTokenSource is always in one of these states, of which Token makes its
// answer:
//
//	token in memory      its value is refused   a caller gets
//	fresh                no                     it, at once
//	about to end         no                     it, at once; a renewal runs behind
//	any                  yes                    what the renewal brings, or its error
//	none, or ended       -                      what the renewal brings, or its error
//
// A renewal under way serves every caller; one that failed is not repeated before
// retryAt, nor one for a refusal unless refusals allows it.
type reuseTokenSource struct {
	src     TokenSource
	logger  *slog.Logger
	current atomic.Pointer[heldToken] // stored under mu

	mu       sync.Mutex // guards what follows; not held during I/O
	running  *renewal   // nil if there is none
	failures int        // in a row
	retryAt  time.Time  // no renewal before
	cause    error      // of the last failure
	refusals bucket
}

type heldToken struct {
	tok     Token
	renewAt time.Time
}

// fresh reports whether there is a token that is neither refused nor to be renewed.
func (h *heldToken) fresh(rejected string, now time.Time) bool {
	return h.usable(now) && h.tok.Value != rejected && (h.tok.Expiry.IsZero() || now.Before(h.renewAt))
}

func (h *heldToken) usable(now time.Time) bool { return h != nil && !h.tok.expired(now) }

// renewal is one question to the source. rejected never changes; the goroutine
// that asks sets tok and err before it closes done, and nobody reads them earlier.
type renewal struct {
	rejected string
	done     chan struct{}
	tok      Token
	err      error
}

// Format prints the type alone, whatever the verb.
func (s *reuseTokenSource) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "wechatqr.ReuseTokenSource")
}

func (s *reuseTokenSource) Token(ctx context.Context, rejected string) (Token, error) {
	held, now := s.current.Load(), time.Now()
	if held.fresh(rejected, now) {
		return held.tok, nil
	}
	for {
		r, err := s.renewal(ctx, rejected)
		if held.usable(now) && held.tok.Value != rejected {
			return held.tok, nil
		}
		if err != nil {
			return Token{}, err
		}
		select {
		case <-r.done:
		case <-ctx.Done():
			return Token{}, &opError{getToken, ctx.Err()}
		}
		// A renewal that began before the refusal was known may bring the refused token.
		if r.rejected == rejected {
			return r.tok, r.err
		}
	}
}

// renewal returns the renewal under way, starts one, or says why not yet.
func (s *reuseTokenSource) renewal(ctx context.Context, rejected string) (*renewal, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running != nil {
		return s.running, nil
	}
	now := time.Now()
	r := &renewal{rejected: rejected, done: make(chan struct{})}
	held := s.current.Load()
	if held.fresh(rejected, now) {
		r.tok = held.tok // it came between the caller's look and the lock
		close(r.done)
		return r, nil
	}
	if wait := s.retryAt.Sub(now); wait > 0 {
		return nil, fmt.Errorf("%w; not tried again for %v", s.cause, wait.Round(time.Millisecond))
	}
	if held.usable(now) && held.tok.Value == rejected && !s.refusals.take(now) {
		return nil, fmt.Errorf("wechatqr: get token: too many tokens were refused in a row, "+
			"so another is fetched every %v only", s.refusals.interval)
	}
	r.err = errors.New("wechatqr: get token: the token source ended its goroutine")
	s.running = r
	go s.renew(context.WithoutCancel(ctx), r)
	return r, nil
}

func (s *reuseTokenSource) renew(ctx context.Context, r *renewal) {
	ctx, cancel := context.WithTimeout(ctx, renewalTimeout)
	defer cancel()
	defer s.settle(ctx, r) // deferred, so that callers are served even if src ends this goroutine
	r.tok, r.err = s.ask(ctx, r.rejected)
	if r.err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		r.err = &opError{getToken,
			fmt.Errorf("the token source gave none within %v: %w", renewalTimeout, r.err)}
	}
}

// ask gets one token from src and checks it.
func (s *reuseTokenSource) ask(ctx context.Context, rejected string) (tok Token, err error) {
	defer func() {
		if p := recover(); p != nil {
			tok, err = Token{}, fmt.Errorf("wechatqr: get token: the token source panicked: %v", p)
		}
	}()
	tok, err = s.src.Token(ctx, rejected)
	switch {
	case err != nil:
		_ = err.Error() // a typed nil panics here and not in its readers
		return Token{}, err
	case tok.Value == "":
		return Token{}, unexpected(getToken, 0, "the token source gave an empty token: use WithCloudHosting for calls without one")
	case tok.expired(time.Now()):
		return Token{}, unexpected(getToken, 0, "the token source gave a token that has expired: "+
			"the response was slow, or the clocks differ")
	}
	return tok, nil
}

// settle ends the renewal and keeps what it brought.
func (s *reuseTokenSource) settle(ctx context.Context, r *renewal) {
	s.mu.Lock()
	now, held := time.Now(), s.current.Load()
	s.running = nil
	if r.err == nil {
		s.failures = 0
		early := min(maxEarly, r.tok.Expiry.Sub(now)/2)
		s.current.Store(&heldToken{r.tok, r.tok.Expiry.Add(-early)})
	} else {
		s.failures++
		s.cause = r.err
		s.retryAt = now.Add(pauseAfter(s.failures, r.err))
	}
	s.mu.Unlock()
	close(r.done)
	if r.err != nil && held.usable(now) {
		recoverPanic(func() {
			s.logger.WarnContext(ctx, "wechatqr: the token was not renewed; the present one stays in use",
				"expiry", held.tok.Expiry, "error", clean(r.err, held.tok.Value))
		})
	}
}

func pauseAfter(failures int, err error) time.Duration {
	limit := outagePause
	if e, ok := err.(*Error); ok && !e.Is(ErrBusy) {
		limit = maxPause
	}
	return min(firstPause<<min(failures-1, 10), limit)
}

// recoverPanic runs a function of the user's where its panic would end the process.
func recoverPanic(fn func()) {
	defer func() { _ = recover() }()
	fn()
}

// untilDone runs a function of the user's, in a goroutine, and returns when ctx ends,
// whatever the function does: after an error it may still be running. ended and panicked
// are its errors where it does not return.
func untilDone(ctx context.Context, ended, panicked string, fn func() error) error {
	done := make(chan error, 1)
	go func() {
		err := errors.New(ended)
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("%s: %v", panicked, p)
			}
			done <- err
		}()
		err = fn()
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// bucket paces what may be done refusalBurst times at once and then every
// interval. The zero time is a full bucket.
type bucket struct {
	interval time.Duration
	full     time.Time // when it will be full again
}

func (b *bucket) take(now time.Time) bool {
	if b.full.Before(now) {
		b.full = now
	}
	next := b.full.Add(b.interval)
	if next.Sub(now) > refusalBurst*b.interval {
		return false
	}
	b.full = next
	return true
}
