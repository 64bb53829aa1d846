package wechatqr

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// TokenStore keeps one token under each key for several processes. It must be
// safe for concurrent use and return when ctx ends, which is 200 ms after the
// call. A store that fails, panics or hangs costs sharing, not service. Packages
// redisstore and sqlstore have one; wechatqrtest.TestTokenStore checks one of your own.
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
	storeTimeout  = 200 * time.Millisecond // for one operation of a TokenStore
	leaserTimeout = time.Second            // for a TokenLeaser that fails, before going on without it
	leaseTTL      = time.Second            // prolonged while its owner renews
	leasePoll     = 50 * time.Millisecond  // between looks at what another owner has saved
	maxLeaseWait  = 10 * time.Second       // for another owner, who may hang
)

// StoredTokenSource puts a store in front of src, for processes that share the
// token. It looks into the store at every call: put it behind
// [ReuseTokenSource], as [WithTokenSource] does. With a store that is a
// [TokenLeaser] one process at a time asks src, and the others take the token
// that it saves; if that process dies, another takes over within a second. If
// the store fails, src is asked as if there were none.
//
// key names the token in the store: another account's must have another.
// logger hears of a store that fails; nil is slog.Default.
func StoredTokenSource(store TokenStore, key string, src TokenSource, logger *slog.Logger) TokenSource {
	leaser, _ := store.(TokenLeaser)
	if logger == nil {
		logger = slog.Default()
	}
	return &storedTokenSource{store: store, leaser: leaser, key: key, src: src, logger: logger}
}

type storedTokenSource struct {
	store  TokenStore
	leaser TokenLeaser // nil where src may be asked by any number of processes
	key    string
	src    TokenSource
	logger *slog.Logger
	given  atomic.Pointer[Token] // what Token returned last
}

// Format prints the type and the key, whatever the verb.
func (s *storedTokenSource) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "wechatqr.StoredTokenSource("+s.key+")")
}

func (s *storedTokenSource) Token(ctx context.Context, rejected string) (Token, error) {
	tok, err := s.get(ctx, rejected)
	if err == nil {
		s.given.Store(&tok)
	}
	return tok, err
}

// get takes the stored token, or fetches one if no other process does.
func (s *storedTokenSource) get(ctx context.Context, rejected string) (Token, error) {
	owner := rand.Text()
	poll := time.NewTicker(leasePoll)
	defer poll.Stop()
	start := time.Now()
	working := start // when the store last did
	for {
		tok, ok, err := s.load(ctx, rejected)
		switch {
		case ok:
			return tok, nil
		case s.leaser == nil && err != nil:
			s.warn(ctx, err, rejected)
			return s.src.Token(ctx, rejected)
		case s.leaser == nil:
			return s.fetch(ctx, rejected, "")
		}

		leads := false
		if err == nil {
			leads, err = s.lease(ctx, owner)
		}
		if leads {
			defer s.holdLease(ctx, owner)()
			if tok, ok, _ = s.load(ctx, rejected); ok { // the leader before has saved it
				return tok, nil
			}
			return s.fetch(ctx, rejected, owner)
		}

		now := time.Now()
		if err == nil {
			working = now
		}
		if now.Sub(working) >= leaserTimeout || now.Sub(start) >= maxLeaseWait {
			if err != nil {
				s.warn(ctx, err, rejected)
			}
			return s.fetch(ctx, rejected, owner)
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return Token{}, &opError{getToken,
				fmt.Errorf("waiting for the process that renews it: %w", ctx.Err())}
		}
	}
}

// holdLease prolongs the lease until release, which gives it back.
func (s *storedTokenSource) holdLease(ctx context.Context, owner string) (release func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(leaseTTL / 3)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				_, _ = s.lease(ctx, owner)
			case <-done:
				return
			}
		}
	})
	return func() {
		close(done)
		wg.Wait()
		// If this fails the lease ends by itself, within a second.
		ctx := context.WithoutCancel(ctx)
		_, _ = inStore(ctx, "unlease", func(ctx context.Context) (struct{}, error) {
			return struct{}{}, s.leaser.Unlease(ctx, s.key, owner)
		})
	}
}

// fetch asks src and saves what it gives. The refused token leaves the store
// only when its successor is there.
func (s *storedTokenSource) fetch(ctx context.Context, rejected, owner string) (Token, error) {
	tok, err := s.src.Token(ctx, rejected)
	if err != nil || tok.Value == "" || tok.expired(time.Now()) {
		return tok, err
	}
	ctx = context.WithoutCancel(ctx)
	_, err = inStore(ctx, "save", func(ctx context.Context) (struct{}, error) {
		if rejected != "" && tok.Value != rejected {
			// Or Save would keep it, if it ended later.
			if err := s.store.Discard(ctx, s.key, rejected); err != nil {
				return struct{}{}, err
			}
		}
		return struct{}{}, s.store.Save(ctx, s.key, tok, owner)
	})
	if err != nil {
		s.warn(ctx, err, rejected, tok.Value)
	}
	return tok, nil
}

// load returns the store's token, and whether it is of use. err means that the
// store failed.
func (s *storedTokenSource) load(ctx context.Context, rejected string) (tok Token, ok bool, err error) {
	tok, err = inStore(ctx, "load", func(ctx context.Context) (Token, error) {
		tok, err := s.store.Load(ctx, s.key)
		if errors.Is(err, ErrTokenNotFound) {
			return Token{}, nil
		}
		return tok, err
	})
	now := time.Now()
	if err != nil || tok.Value == "" || tok.Value == rejected || tok.expired(now) {
		return Token{}, false, err
	}
	given := s.given.Load()
	switch {
	case given == nil || tok.Expiry.IsZero():
		return tok, true, nil
	case given.Value == tok.Value:
		return tok, tok.Expiry.Sub(now) > maxEarly, nil // or it is the one to be renewed
	}
	// One that ends earlier is older: its successor could not be saved.
	return tok, !tok.Expiry.Before(given.Expiry), nil
}

func (s *storedTokenSource) lease(ctx context.Context, owner string) (ok bool, err error) {
	ok, err = inStore(ctx, "lease", func(ctx context.Context) (bool, error) {
		return s.leaser.Lease(ctx, s.key, owner, leaseTTL)
	})
	return ok && err == nil, err
}

// inStore runs one operation of a store's, which may panic, and may not heed ctx.
func inStore[T any](
	ctx context.Context, what string, op func(context.Context) (T, error),
) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	var got, none T
	err := untilDone(ctx, "it ended its goroutine", "panic", func() (err error) {
		got, err = op(ctx)
		return err
	})
	if err != nil {
		return none, &opError{what, err}
	}
	return got, nil
}

// warn tells of a store that failed, unless it was the caller that gave up.
func (s *storedTokenSource) warn(ctx context.Context, err error, secrets ...string) {
	if ctx.Err() != nil {
		return
	}
	if given := s.given.Load(); given != nil {
		secrets = append(secrets, given.Value)
	}
	recoverPanic(func() {
		s.logger.WarnContext(ctx, "wechatqr: the token store failed; this process goes on without it",
			"key", s.key, "error", clean(err, secrets...))
	})
}
