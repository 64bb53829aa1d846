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

// patience is how long something may take that has no other limit.
const patience = 5 * time.Second

// TestTokenStore checks that a store keeps the promises of
// [wechatqr.TokenStore], and those of [wechatqr.TokenLeaser] if it is one. Each
// part of the test has a store of its own from newStore; they may share their
// data, for the keys are random.
func TestTokenStore(t *testing.T, newStore func(t *testing.T) wechatqr.TokenStore) {
	run := func(name string, fn func(*testing.T, storeTest)) {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
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
		want := wechatqr.Token{Value: "97_" + strings.Repeat("Az0-_", 101), Expiry: time.Now().Add(2 * time.Hour)}
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
		s.holds(t, want)
		s.discard(t, "first")
		s.absent(t, "after Discard")
		want = lasting("second", time.Hour) // ends before the one that was discarded
		s.save(t, want)
		s.holds(t, want)
	})
	run("keys are separate", func(t *testing.T, s storeTest) {
		saved, long := map[string]wechatqr.Token{}, strings.Repeat("k", 200)
		for _, suffix := range []string{"", ":", " x", "*", "号", "/../x", long + "1", long + "2"} {
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
			old, fresh := lasting("old", time.Duration(2*i+1)*time.Hour), lasting("fresh", time.Duration(2*i+2)*time.Hour)
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
	})
	run("lease", func(t *testing.T, s storeTest) {
		leaser, ok := s.TokenStore.(wechatqr.TokenLeaser)
		if !ok {
			return // it need not be one
		}
		testLeaser(t, s, leaser)
	})
}

func testLeaser(t *testing.T, s storeTest, leaser wechatqr.TokenLeaser) {
	lease := func(key, owner string, ttl time.Duration) bool {
		t.Helper()
		ok, err := leaser.Lease(s.ctx, key, owner, ttl)
		if err != nil {
			t.Errorf("Lease: %v", err)
		}
		return ok
	}
	unlease := func(key, owner string) {
		t.Helper()
		if err := leaser.Unlease(s.ctx, key, owner); err != nil {
			t.Errorf("Unlease: %v", err)
		}
	}
	if !lease(s.key, "first", time.Hour) {
		t.Fatal("Lease: false, and nobody holds it")
	}
	if lease(s.key, "second", time.Hour) {
		t.Error("Lease: true, and another holds it")
	}
	if !lease(s.key, "first", time.Hour) {
		t.Error("Lease: false, and the same owner holds it")
	}
	if !lease(s.key+":other", "second", time.Hour) {
		t.Fatal("Lease: false, and another key is held")
	}
	unlease(s.key+":other", "second")
	s.absent(t, "of a key that is only leased")
	want := lasting("token", time.Hour)
	if err := s.Save(s.ctx, s.key, want, "second"); err == nil {
		t.Error("Save: no error, and another's lease runs")
	}
	s.absent(t, "after a Save that was refused")
	if err := s.Save(s.ctx, s.key, want, "first"); err != nil {
		t.Errorf("Save under the own lease: %v", err)
	}
	s.holds(t, want)
	s.discard(t, want.Value)
	unlease(s.key, "second")
	if lease(s.key, "second", time.Hour) {
		t.Error("Save, Discard or another's Unlease ended a lease")
	}
	unlease(s.key, "first")
	unlease(s.key, "first") // a second time is harmless

	if !lease(s.key, "stale", 100*time.Millisecond) {
		t.Fatal("Lease: false after Unlease")
	}
	eventually(t, "a lease ends by itself", func() bool { return lease(s.key, "fresh", time.Hour) })
	unlease(s.key, "stale")
	if lease(s.key, "second", time.Hour) {
		t.Error("Unlease of a lease that had ended ended another's")
	}
	unlease(s.key, "fresh")

	var won atomic.Int32
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			if lease(s.key, random(16), time.Hour) {
				won.Add(1)
			}
		})
	}
	wg.Wait()
	if n := won.Load(); n != 1 {
		t.Errorf("Lease: %d of 32 at once got it, want 1", n)
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
	for end := time.Now().Add(patience); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", patience, what)
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
	case <-time.After(patience):
		t.Errorf("%s: does not return although its context has ended", what)
	}
}
