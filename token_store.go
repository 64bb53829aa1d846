package wechatqr

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// TokenStore keeps one token under each key for several processes. It must be
// safe for concurrent use and return when ctx ends, which is 200 ms after the
// call. A store that fails, panics or hangs costs sharing, not service. Package
// redisstore has one; wechatqrtest.TestTokenStore checks one of your own.
type TokenStore interface {
	// Load returns the token, or ErrTokenNotFound.
	Load(ctx context.Context, key string) (Token, error)

	// Save keeps the token until its Expiry. It fails while a lease on key runs
	// whose owner is another. It must not replace a token by one that ends before
	// it; that is no error. Without leases owner is empty.
	Save(ctx context.Context, key string, tok Token, owner string) error

	// Discard removes the token if its value is still rejected.
	Discard(ctx context.Context, key, rejected string) error
}

// TokenLeaser is a TokenStore that can have one process renew for all. The
// caller brings the owner, a random text: nothing in a store remembers who called.
type TokenLeaser interface {
	// Lease takes the right to renew the token under key for the time ttl, and
	// returns false while another owner holds it. The same owner gets it again,
	// counted from now: that prolongs it, and repeats a call whose answer was lost.
	Lease(ctx context.Context, key, owner string, ttl time.Duration) (bool, error)

	// Unlease gives the right back. It does nothing unless owner holds it.
	Unlease(ctx context.Context, key, owner string) error
}

const (
	storeTimeout = 200 * time.Millisecond // for one operation of a TokenStore
	leaseTTL     = 10 * time.Second       // for one renewal under a lease
	leasePoll    = 50 * time.Millisecond  // between looks at what the leader has saved
	maxRefused   = 16                     // refused tokens that are remembered, for a store that cannot drop them
)

// StoredTokenSource puts a store in front of src. It looks into the store at
// every call: put it behind [ReuseTokenSource]. With a store that is a
// [Leaser] only one process asks src at a time, and the others take its token
// when it comes. If the store fails, src is asked as if there were none.
//
// key names the token in the store: another account's must have another. Of
// the options only WithLogger counts; it hears of a store that fails.
func StoredTokenSource(store TokenStore, key string, src TokenSource, opts ...Option) TokenSource {
	return newStored(store, key, src, loggerOf(opts))
}

func newStored(store TokenStore, key string, src TokenSource, log *slog.Logger) *storedTokenSource {
	return &storedTokenSource{store: store, key: key, src: src, log: log}
}

type storedTokenSource struct {
	store TokenStore
	key   string
	src   TokenSource
	log   *slog.Logger

	mu      sync.Mutex
	given   hidden   // what Token returned last
	refused []hidden // what the store may still hold, the latest last
}

// Format prints the type and the key, whatever the verb.
func (s *storedTokenSource) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "wechatqr.StoredTokenSource("+s.key+")")
}

func (s *storedTokenSource) Token(ctx context.Context) (Token, error) {
	tok, err := s.ask(ctx)
	if err == nil {
		s.mu.Lock()
		s.given = hide(tok.Value)
		s.mu.Unlock()
	}
	return tok, err
}

func (s *storedTokenSource) ask(ctx context.Context) (Token, error) {
	tok, fresh, err := s.load(ctx)
	if fresh {
		return tok, nil
	}
	if err != nil {
		return s.src.Token(ctx)
	}
	leaser, ok := s.store.(TokenLeaser)
	if !ok {
		return s.fetch(ctx, "")
	}
	poll := time.NewTicker(leasePoll)
	defer poll.Stop()
	// Time for one leader that died and for the next; a store that never frees a
	// lease costs sharing, not service.
	patience := time.Now().Add(2 * leaseTTL)
	for {
		owner := rand.Text()
		ok, err := s.lease(ctx, leaser, owner)
		if err != nil {
			return s.src.Token(ctx)
		}
		if ok {
			return s.lead(ctx, leaser, owner)
		}
		if time.Now().After(patience) {
			return s.fetch(ctx, "")
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return Token{}, &opError{"get token", fmt.Errorf("waiting for the process that renews it: %w", ctx.Err())}
		}
		tok, fresh, err = s.load(ctx)
		if fresh {
			return tok, nil
		}
		if err != nil {
			return s.src.Token(ctx)
		}
	}
}

// lead renews under the lease, and not beyond it.
func (s *storedTokenSource) lead(ctx context.Context, leaser TokenLeaser, owner string) (Token, error) {
	defer func() {
		op, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
		defer cancel()
		_ = leaser.Unlease(op, s.key, owner)
	}()
	ctx, cancel := context.WithTimeout(ctx, leaseTTL)
	defer cancel()
	tok, fresh, err := s.load(ctx) // the leader before may have saved one
	if fresh {
		return tok, nil
	}
	if err != nil {
		return s.src.Token(ctx)
	}
	return s.fetch(ctx, owner)
}

// fetch asks src and saves what it gives.
func (s *storedTokenSource) fetch(ctx context.Context, owner string) (Token, error) {
	tok, err := s.src.Token(ctx)
	if err != nil {
		return Token{}, err
	}
	if tok.Value == "" || tok.expired(time.Now()) {
		return tok, nil
	}
	s.mu.Lock()
	// What src gives is good, whatever was said of it before.
	s.refused = slices.DeleteFunc(s.refused, func(h hidden) bool { return h.is(tok.Value) })
	s.mu.Unlock()
	op, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	if err := s.store.Save(op, s.key, tok, owner); err != nil {
		s.warn(ctx, "save", err, tok.Value)
	}
	return tok, nil
}

// load returns the store's token, empty if there is none of use, and whether
// it is new to the caller or has long to live. err means that the store failed.
func (s *storedTokenSource) load(ctx context.Context) (tok Token, fresh bool, err error) {
	op, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	tok, err = s.store.Load(op, s.key)
	switch {
	case errors.Is(err, ErrTokenNotFound):
		return Token{}, false, nil
	case err != nil:
		s.warn(ctx, "load", err)
		return Token{}, false, err
	}
	now := time.Now()
	if tok.Value == "" || tok.expired(now) || s.isRefused(tok.Value) {
		return Token{}, false, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	fresh = !s.given.is(tok.Value) || tok.Expiry.IsZero() || tok.Expiry.Sub(now) > maxEarly
	return tok, fresh, nil
}

func (s *storedTokenSource) lease(ctx context.Context, l TokenLeaser, owner string) (bool, error) {
	op, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	ok, err := l.Lease(op, s.key, owner, leaseTTL)
	if err != nil {
		s.warn(ctx, "lease", err)
	}
	return ok, err
}

func (s *storedTokenSource) isRefused(value string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.refused, func(h hidden) bool { return h.is(value) })
}

// Invalidate removes the token from the store, and does not take it from
// there again even if that fails.
func (s *storedTokenSource) Invalidate(ctx context.Context, rejected string) error {
	s.mu.Lock()
	s.refused = append(s.refused[max(0, len(s.refused)-maxRefused+1):], hide(rejected))
	s.mu.Unlock()
	if inv, ok := s.src.(Invalidator); ok {
		if err := inv.Invalidate(ctx, rejected); err != nil {
			return err
		}
	}
	op, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	if err := s.store.Discard(op, s.key, rejected); err != nil {
		s.warn(ctx, "discard", err, rejected)
		return err
	}
	return nil
}

func (s *storedTokenSource) warn(ctx context.Context, what string, err error, secrets ...string) {
	s.mu.Lock()
	for _, h := range append(s.refused[:len(s.refused):len(s.refused)], s.given) {
		if h != nil {
			secrets = append(secrets, h())
		}
	}
	s.mu.Unlock()
	s.log.WarnContext(ctx, "wechatqr: the token store failed; this process goes on without it",
		"operation", what, "key", s.key, "error", clean(err, secrets...))
}
