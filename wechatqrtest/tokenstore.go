package wechatqrtest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wechatqr/wechatqr"
)

const (
	partTimeout = 30 * time.Second // for one part of a test
	waitTimeout = 5 * time.Second  // for one thing that is waited for
)

// TestTokenStore checks that a store keeps the promises of
// [wechatqr.TokenStore], and those of [wechatqr.TokenLeaser] if it is one. Each
// part of the test has a store of its own from newStore; they may share their
// data, for the keys are random.
func TestTokenStore(t *testing.T, newStore func(t *testing.T) wechatqr.TokenStore) {
	run := func(name string, fn func(*testing.T, storeTest)) {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), partTimeout)
			defer cancel()
			fn(t, storeTest{ctx, newStore(t), "wechatqrtest:" + random(16)})
		})
	}
	run("unknown key", func(t *testing.T, s storeTest) {
		s.absent(t, "of an unknown key")
		if err := s.Discard(s.ctx, s.key, "other"); err != nil {
			t.Errorf("Discard of an unknown key: %v", err)
		}
	})
	run("save and load", func(t *testing.T, s storeTest) {
		want := lasting("97_"+strings.Repeat("Az0-_", 101), 2*time.Hour)
		s.save(t, want)
		s.holds(t, want)
	})
	run("a later end replaces", func(t *testing.T, s storeTest) {
		s.save(t, lasting("first", time.Hour))
		want := lasting("second", 2*time.Hour)
		s.save(t, want)
		s.holds(t, want)
	})
	run("an earlier end does not replace", func(t *testing.T, s storeTest) {
		want := lasting("first", 2*time.Hour)
		s.save(t, want)
		s.save(t, lasting("second", time.Hour))
		s.holds(t, want)
	})
	run("discard", func(t *testing.T, s storeTest) {
		want := lasting("first", 2*time.Hour)
		s.save(t, want)
		s.discard(t, "another")
		s.discard(t, "FIRST")
		s.holds(t, want)
		s.discard(t, "first")
		s.absent(t, "after Discard")
		want = lasting("second", time.Hour) // ends before the one that was discarded
		s.save(t, want)
		s.holds(t, want)
	})
	run("keys are separate", func(t *testing.T, s storeTest) {
		saved, long := map[string]wechatqr.Token{}, strings.Repeat("k", 200)
		for _, suffix := range []string{"", ":", " ", "*", "号", "/../x", "a", "A", long + "1", long + "2"} {
			other := storeTest{s.ctx, s.TokenStore, s.key + suffix}
			saved[other.key] = lasting("token of "+suffix, time.Hour)
			other.save(t, saved[other.key])
		}
		s.discard(t, saved[s.key].Value)
		s.absent(t, "after Discard")
		delete(saved, s.key)
		for key, want := range saved {
			storeTest{s.ctx, s.TokenStore, key}.holds(t, want)
		}
	})
	run("a token is kept until its end", func(t *testing.T, s storeTest) {
		s.save(t, lasting("first", 200*time.Millisecond))
		eventually(t, "an expired token is gone", func() bool {
			_, err := s.Load(s.ctx, s.key)
			return errors.Is(err, wechatqr.ErrTokenNotFound)
		})
		want := lasting("second", time.Hour)
		s.save(t, want)
		s.holds(t, want)
	})
	run("an expired token is never held", func(t *testing.T, s storeTest) {
		_ = s.Save(s.ctx, s.key, lasting("first", -time.Minute), "") // may refuse
		s.absent(t, "after Save of an expired token")
	})
	run("many save at once", func(t *testing.T, s storeTest) {
		latest := lasting("latest", 32*time.Hour)
		var wg sync.WaitGroup
		for i := range 32 {
			wg.Go(func() { s.save(t, lasting("other", time.Duration(i)*time.Hour+time.Minute)) })
		}
		wg.Go(func() { s.save(t, latest) })
		wg.Wait()
		s.holds(t, latest)
	})
	run("discard spares what is saved meanwhile", func(t *testing.T, s storeTest) {
		for i := range 100 {
			old := lasting("old", time.Duration(2*i+1)*time.Hour)
			fresh := lasting("fresh", time.Duration(2*i+2)*time.Hour)
			s.save(t, old)
			var wg sync.WaitGroup
			both := []func(){func() { s.discard(t, old.Value) }, func() { s.save(t, fresh) }}
			wg.Go(both[i%2]) // each gets to be the first
			wg.Go(both[1-i%2])
			wg.Wait()
			if s.holds(t, fresh); t.Failed() {
				return
			}
		}
	})
	run("context", func(t *testing.T, s storeTest) {
		ctx, cancel := context.WithCancel(s.ctx)
		cancel()
		returns(t, "Load", func() { _, _ = s.Load(ctx, s.key) })
		returns(t, "Save", func() { _ = s.Save(ctx, s.key, lasting("token", time.Hour), "") })
		returns(t, "Discard", func() { _ = s.Discard(ctx, s.key, "token") })
		if leaser, ok := s.TokenStore.(wechatqr.TokenLeaser); ok {
			returns(t, "Lease", func() { _, _ = leaser.Lease(ctx, s.key, "owner", time.Hour) })
			returns(t, "Unlease", func() { _ = leaser.Unlease(ctx, s.key, "owner") })
		}
	})

	lease := func(name string, fn func(*testing.T, leaseTest)) {
		run("lease/"+name, func(t *testing.T, s storeTest) {
			leaser, ok := s.TokenStore.(wechatqr.TokenLeaser)
			if !ok {
				return // it need not be one
			}
			fn(t, leaseTest{s, leaser})
		})
	}
	lease("one owner at a time", func(t *testing.T, l leaseTest) {
		l.unlease(t, "first") // of an unknown key
		l.leased(t, "first", time.Hour, "the first time")
		l.absent(t, "of a key that is only leased")
		l.busy(t, "second", "under another's lease")
		l.busy(t, "First", "under another's lease")
		l.unlease(t, "first")
		l.unlease(t, "first") // a second time is harmless
		l.leased(t, "second", time.Hour, "after Unlease")
	})
	lease("keys are separate", func(t *testing.T, l leaseTest) {
		other := l
		other.key += ":other"
		l.leased(t, "first", time.Hour, "the first time")
		other.leased(t, "second", time.Hour, "of another key")
		other.unlease(t, "first")
		l.unlease(t, "second")
		l.busy(t, "second", "after Unlease of another key")
		other.busy(t, "first", "after Unlease of another key")
	})
	lease("the same owner again", func(t *testing.T, l leaseTest) {
		l.leased(t, "first", 150*time.Millisecond, "the first time")
		l.leased(t, "first", time.Hour, "of the same owner again")
		time.Sleep(300 * time.Millisecond)
		l.busy(t, "second", "under a lease that was prolonged")
		l.unlease(t, "first")
		l.leased(t, "second", time.Hour, "after one Unlease of what was leased twice")
		l.busy(t, "first", "of the owner before")
	})
	lease("a lease ends by itself", func(t *testing.T, l leaseTest) {
		l.saveAs(t, "stale", lasting("token", time.Hour)) // so the entry outlives the lease
		l.leased(t, "stale", 100*time.Millisecond, "the first time")
		eventually(t, "a lease ends", func() bool { return l.lease(t, "fresh", time.Hour) })
		l.busy(t, "stale", "of the owner before")
		l.unlease(t, "stale")
		l.busy(t, "stale", "after Unlease by the owner before")
	})
	lease("another's Unlease", func(t *testing.T, l leaseTest) {
		l.leased(t, "first", time.Hour, "the first time")
		for _, owner := range []string{"second", "First", ""} {
			l.unlease(t, owner)
			l.busy(t, "second", "after another's Unlease")
		}
	})
	lease("Save and Discard leave the lease", func(t *testing.T, l leaseTest) {
		l.leased(t, "first", time.Hour, "the first time")
		want := lasting("token", time.Hour)
		l.saveAs(t, "first", want)
		l.holds(t, want)
		l.busy(t, "second", "after Save")
		l.discard(t, "token")
		l.busy(t, "second", "after Discard")
		l.saveAs(t, "first", want)
		l.unlease(t, "first")
		l.holds(t, want)
		l.leased(t, "second", time.Hour, "after Unlease")
		l.holds(t, want)
	})
	lease("Save under another's lease", func(t *testing.T, l leaseTest) {
		l.leased(t, "first", time.Hour, "the first time")
		for _, owner := range []string{"second", ""} {
			l.refused(t, owner, lasting("other", 2*time.Hour))
			l.absent(t, "after a Save that was refused")
		}
		want := lasting("token", time.Hour)
		l.saveAs(t, "first", want)
		for _, owner := range []string{"second", ""} {
			l.refused(t, owner, lasting("other", 2*time.Hour))
			l.holds(t, want)
		}
	})
	lease("Save under the own lease", func(t *testing.T, l leaseTest) {
		l.leased(t, "first", time.Hour, "the first time")
		want := lasting("token", 2*time.Hour)
		l.saveAs(t, "first", want)
		l.saveAs(t, "first", lasting("earlier", time.Hour))
		l.holds(t, want)
	})
	lease("Save without a lease", func(t *testing.T, l leaseTest) {
		want := lasting("never leased", time.Hour)
		l.saveAs(t, "first", want)
		l.holds(t, want)

		l.leased(t, "second", time.Hour, "the first time")
		l.unlease(t, "second")
		want = lasting("after Unlease", 2*time.Hour)
		l.saveAs(t, "second", want)
		l.holds(t, want)

		l.leased(t, "third", time.Millisecond, "after Unlease")
		want = lasting("after the end of another's", 3*time.Hour)
		eventually(t, "Save is no longer refused after the lease", func() bool {
			return l.Save(l.ctx, l.key, want, "fourth") == nil
		})
		l.holds(t, want)
		want = lasting("after the end of the own", 4*time.Hour)
		l.saveAs(t, "third", want)
		l.holds(t, want)
	})
	lease("many at once", func(t *testing.T, l leaseTest) {
		var won atomic.Int32
		var wg sync.WaitGroup
		for range 32 {
			wg.Go(func() {
				owner := random(16)
				if !l.lease(t, owner, time.Hour) {
					return
				}
				won.Add(1)
				l.leased(t, owner, time.Hour, "of the same owner again")
			})
		}
		wg.Wait()
		if n := won.Load(); n != 1 {
			t.Errorf("Lease: %d of 32 at once got it, want 1", n)
		}
	})
}

// leaseTest is a store with leases and the key under which a test uses it.
type leaseTest struct {
	storeTest
	leaser wechatqr.TokenLeaser
}

func (l leaseTest) lease(t *testing.T, owner string, ttl time.Duration) bool {
	t.Helper()
	ok, err := l.leaser.Lease(l.ctx, l.key, owner, ttl)
	if err != nil {
		t.Errorf("Lease: %v", err)
	}
	return ok
}

func (l leaseTest) leased(t *testing.T, owner string, ttl time.Duration, when string) {
	t.Helper()
	if !l.lease(t, owner, ttl) {
		t.Errorf("Lease %s: got false, want true", when)
	}
}

func (l leaseTest) busy(t *testing.T, owner, when string) {
	t.Helper()
	if l.lease(t, owner, time.Hour) {
		t.Errorf("Lease %s: got true, want false", when)
	}
}

func (l leaseTest) unlease(t *testing.T, owner string) {
	t.Helper()
	if err := l.leaser.Unlease(l.ctx, l.key, owner); err != nil {
		t.Errorf("Unlease: %v", err)
	}
}

func (l leaseTest) saveAs(t *testing.T, owner string, tok wechatqr.Token) {
	t.Helper()
	if err := l.Save(l.ctx, l.key, tok, owner); err != nil {
		t.Errorf("Save of %q: %v", tok.Value, err)
	}
}

func (l leaseTest) refused(t *testing.T, owner string, tok wechatqr.Token) {
	t.Helper()
	if err := l.Save(l.ctx, l.key, tok, owner); err == nil {
		t.Errorf("Save by %q under another's lease: no error", owner)
	}
}

// storeTest is a store and the key under which a test uses it.
type storeTest struct {
	ctx context.Context
	wechatqr.TokenStore
	key string
}

func (s storeTest) save(t *testing.T, tok wechatqr.Token) {
	t.Helper()
	if err := s.Save(s.ctx, s.key, tok, ""); err != nil {
		t.Errorf("Save: %v", err)
	}
}

func (s storeTest) discard(t *testing.T, rejected string) {
	t.Helper()
	if err := s.Discard(s.ctx, s.key, rejected); err != nil {
		t.Errorf("Discard: %v", err)
	}
}

// holds allows for a store of whole seconds: it may let a token end early, not late.
func (s storeTest) holds(t *testing.T, want wechatqr.Token) {
	t.Helper()
	got, err := s.Load(s.ctx, s.key)
	switch {
	case err != nil:
		t.Errorf("Load: %v", err)
	case got.Value != want.Value:
		t.Errorf("Load: got token %.20q, want %.20q", got.Value, want.Value)
	case got.Expiry.After(want.Expiry) || want.Expiry.Sub(got.Expiry) > time.Second:
		t.Errorf("Load: got a token that ends at %v, want %v", got.Expiry, want.Expiry)
	}
}

func (s storeTest) absent(t *testing.T, when string) {
	t.Helper()
	if tok, err := s.Load(s.ctx, s.key); !errors.Is(err, wechatqr.ErrTokenNotFound) {
		t.Errorf("Load %s: got token %.20q and error %v, want ErrTokenNotFound", when, tok.Value, err)
	}
}

func lasting(value string, life time.Duration) wechatqr.Token {
	return wechatqr.Token{Value: value, Expiry: time.Now().Add(life)}
}

// eventually waits for something that time brings.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(waitTimeout); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", waitTimeout, what)
		}
	}
}

// returns checks that fn does, soon.
func returns(t *testing.T, what string, fn func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		fn()
	}()
	select {
	case <-done:
	case <-time.After(waitTimeout):
		t.Fatalf("%s: does not return although its context has ended", what)
	}
}
