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
	"github.com/wechatqr/wechatqr/tickets"
)

// TestTicketStore checks that a store keeps the promises of [tickets.Store], but
// for that it is on disk. Each part of the test has a store of its own from newStore;
// they may share their data, for the accounts are random.
func TestTicketStore(t *testing.T, newStore func(t *testing.T) tickets.Store) {
	run := func(name string, fn func(*testing.T, ticketTest)) {
		for kind, ttl := range map[string]time.Duration{"permanent": 0, "temporary": time.Hour} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), partTimeout)
				defer cancel()
				key := tickets.Key{
					Account: "wx" + random(16), Scene: wechatqr.SceneString("shop-7"), TTL: ttl,
				}
				fn(t, ticketTest{ctx, newStore(t), key})
			})
		}
	}
	run("unknown key", func(t *testing.T, s ticketTest) {
		s.absent(t, "of an unknown key")
		s.release(t, "owner")
		s.counts(t, 0, "of an unknown account")
	})
	run("save and load", func(t *testing.T, s ticketTest) {
		want := s.made(strings.Repeat("Az0-_=", 16), time.Hour)
		s.keeps(t, want, want)
		s.holds(t, want)
		s.counts(t, 1, "after SaveTicket without a claim")
	})
	run("the first of a kind is kept", func(t *testing.T, s ticketTest) {
		first := s.made("first", time.Hour)
		s.keeps(t, first, first)
		s.keeps(t, first, s.made("second", 0))
		s.keeps(t, first, first)
		s.holds(t, first)
		s.counts(t, 1, "after SaveTicket four times")
	})
	run("a later end replaces", func(t *testing.T, s ticketTest) {
		first, second := s.made("first", time.Hour), s.made("second", 2*time.Hour)
		s.keeps(t, first, first)
		if s.key.Permanent() {
			s.keeps(t, first, second)
			return
		}
		s.keeps(t, second, second)
		s.keeps(t, second, first)
		s.holds(t, second)
	})
	run("keys are separate", func(t *testing.T, s ticketTest) {
		scene, long := s.key.Scene.Key(), strings.Repeat("k", 63)
		saved := map[tickets.Key]wechatqr.Ticket{}
		for _, key := range []tickets.Key{
			s.key,
			{Account: s.key.Account + "x", Scene: s.key.Scene, TTL: s.key.TTL},
			{Account: s.key.Account, Scene: wechatqr.SceneID(7), TTL: s.key.TTL},
			{Account: s.key.Account, Scene: wechatqr.SceneString("7"), TTL: s.key.TTL},
			{Account: s.key.Account, Scene: wechatqr.SceneString(strings.ToUpper(scene)), TTL: s.key.TTL},
			{Account: s.key.Account, Scene: wechatqr.SceneString(scene + " "), TTL: s.key.TTL},
			{Account: s.key.Account, Scene: wechatqr.SceneString(`/../*:%_'"\号`), TTL: s.key.TTL},
			{Account: s.key.Account, Scene: wechatqr.SceneString(long + "1"), TTL: s.key.TTL},
			{Account: s.key.Account, Scene: wechatqr.SceneString(long + "2"), TTL: s.key.TTL},
			{Account: s.key.Account, Scene: s.key.Scene, TTL: s.key.TTL + time.Minute},
		} {
			other := ticketTest{s.ctx, s.Store, key}
			other.claimed(t, "owner of "+key.String(), time.Hour, "of another key")
			other.absent(t, "of another key")
			want := other.made("ticket of "+key.String(), time.Hour)
			other.keeps(t, want, want)
			saved[key] = want
		}
		for key, want := range saved {
			ticketTest{s.ctx, s.Store, key}.holds(t, want)
		}
		if s.key.Permanent() {
			s.counts(t, 8, "of eight permanent keys")
		} else {
			s.counts(t, 0, "of temporary keys")
		}
	})
	run("one owner at a time", func(t *testing.T, s ticketTest) {
		s.claimed(t, "first", time.Hour, "the first time")
		s.absent(t, "of a key that is only claimed")
		s.counts(t, 1, "after ClaimTicket")
		s.busy(t, "second", "under another's claim")
		s.busy(t, "First", "under another's claim")
		for _, owner := range []string{"second", "First", ""} {
			s.release(t, owner)
			s.busy(t, "second", "after another's ReleaseTicket")
		}
		s.release(t, "first")
		s.release(t, "first")
		s.claimed(t, "second", time.Hour, "after ReleaseTicket")
		s.counts(t, 1, "after ReleaseTicket and ClaimTicket")
	})
	run("the same owner again", func(t *testing.T, s ticketTest) {
		s.claimed(t, "first", 150*time.Millisecond, "the first time")
		s.claimed(t, "first", time.Hour, "of the same owner again")
		time.Sleep(300 * time.Millisecond)
		s.busy(t, "second", "under a claim that was prolonged")
	})
	run("a claim ends by itself", func(t *testing.T, s ticketTest) {
		s.claimed(t, "stale", 100*time.Millisecond, "the first time")
		eventually(t, "a claim ends", func() bool {
			return s.claim(t, "next", time.Hour, 1) == tickets.ClaimGranted
		})
		s.release(t, "stale")
		s.busy(t, "stale", "after ReleaseTicket by the owner before")
		s.counts(t, 1, "after the end of a claim")
	})
	run("saving ends the claim", func(t *testing.T, s ticketTest) {
		s.claimed(t, "first", time.Hour, "the first time")
		want := s.made("ticket", time.Hour)
		s.keeps(t, want, want)
		s.claimed(t, "second", time.Hour, "after SaveTicket")
		s.holds(t, want)
		s.keeps(t, want, s.made("same end", time.Hour-time.Minute))
		s.claimed(t, "third", time.Hour, "after SaveTicket that kept the other ticket")
		s.release(t, "third")
		s.holds(t, want)
		s.counts(t, 1, "of one key")
	})
	run("budget", func(t *testing.T, s ticketTest) {
		s.claimed(t, "first", time.Hour, "within the budget")
		other := s
		other.key.Scene = wechatqr.SceneString("another")
		if !s.key.Permanent() {
			if got := other.claim(t, "first", time.Hour, 0); got != tickets.ClaimGranted {
				t.Errorf("ClaimTicket of a temporary key, with no budget: got %v, want ClaimGranted", got)
			}
			return
		}
		if got := other.claim(t, "first", time.Hour, 1); got != tickets.ClaimOverBudget {
			t.Errorf("ClaimTicket beyond the budget: got %v, want ClaimOverBudget", got)
		}
		other.absent(t, "beyond the budget")
		s.counts(t, 1, "after ClaimTicket beyond the budget")
		s.release(t, "first")
		s.claimed(t, "second", time.Hour, "of a known key, with the budget used up")
		if got := other.claim(t, "first", time.Hour, 2); got != tickets.ClaimGranted {
			t.Errorf("ClaimTicket within a larger budget: got %v, want ClaimGranted", got)
		}
		s.counts(t, 2, "of two keys")
	})
	run("many at once", func(t *testing.T, s ticketTest) {
		var won atomic.Int32
		kept := make(chan wechatqr.Ticket, 32)
		var wg sync.WaitGroup
		for range 32 {
			wg.Go(func() {
				owner := random(16)
				if s.claim(t, owner, time.Hour, 1) == tickets.ClaimGranted {
					won.Add(1)
				}
			})
		}
		wg.Wait()
		if n := won.Load(); n != 1 {
			t.Errorf("ClaimTicket: %d of 32 at once got it, want 1", n)
		}

		last := s.made("last", 32*time.Hour)
		for i := range 32 {
			wg.Go(func() {
				mine := s.made(random(16), time.Duration(i)*time.Hour+time.Minute)
				got, err := s.SaveTicket(s.ctx, s.key, mine)
				if err != nil {
					t.Errorf("SaveTicket: %v", err)
				}
				kept <- got
			})
		}
		wg.Wait()
		if !s.key.Permanent() {
			s.keeps(t, last, last)
			return
		}
		first := <-kept
		for range 31 {
			same(t, "SaveTicket at once", <-kept, first)
		}
		s.holds(t, first)
	})
	run("an expired ticket is replaced", func(t *testing.T, s ticketTest) {
		if s.key.Permanent() {
			return
		}
		_, _ = s.SaveTicket(s.ctx, s.key, s.made("expired", -time.Minute)) // may refuse
		if got, err := s.LoadTicket(s.ctx, s.key); err == nil && !got.Expired(time.Now()) {
			t.Errorf("LoadTicket of an expired ticket: it ends at %v", got.ExpiresAt)
		}
		want := s.made("fresh", time.Hour)
		s.keeps(t, want, want)
		s.holds(t, want)
	})
	run("context", func(t *testing.T, s ticketTest) {
		ctx, cancel := context.WithCancel(s.ctx)
		cancel()
		ticket := s.made("ticket", time.Hour)
		returns(t, "LoadTicket", func() { _, _ = s.LoadTicket(ctx, s.key) })
		returns(t, "ClaimTicket", func() { _, _ = s.ClaimTicket(ctx, s.key, "owner", time.Hour, 1) })
		returns(t, "SaveTicket", func() { _, _ = s.SaveTicket(ctx, s.key, ticket) })
		returns(t, "ReleaseTicket", func() { _ = s.ReleaseTicket(ctx, s.key, "owner") })
		returns(t, "CountPermanent", func() { _, _ = s.CountPermanent(ctx, s.key.Account) })
	})
}

// ticketTest is a store and the key under which a test uses it.
type ticketTest struct {
	ctx context.Context
	tickets.Store
	key tickets.Key
}

// made is a ticket of the key's. A permanent one has no end.
func (s ticketTest) made(value string, life time.Duration) wechatqr.Ticket {
	t := wechatqr.Ticket{Value: value, Content: "http://weixin.qq.com/q/" + value, Scene: s.key.Scene}
	if !s.key.Permanent() {
		t.ExpiresAt = time.Now().Add(life).Round(0)
	}
	return t
}

func (s ticketTest) claim(
	t *testing.T, owner string, lease time.Duration, budget int,
) tickets.Claim {
	t.Helper()
	got, err := s.ClaimTicket(s.ctx, s.key, owner, lease, budget)
	if err != nil {
		t.Errorf("ClaimTicket: %v", err)
	}
	return got
}

func (s ticketTest) claimed(t *testing.T, owner string, lease time.Duration, when string) {
	t.Helper()
	budget := 1
	if s.key.Scene != wechatqr.SceneString("shop-7") || s.key.TTL%time.Hour != 0 {
		budget = 100
	}
	if got := s.claim(t, owner, lease, budget); got != tickets.ClaimGranted {
		t.Errorf("ClaimTicket %s: got %v, want ClaimGranted", when, got)
	}
}

func (s ticketTest) busy(t *testing.T, owner, when string) {
	t.Helper()
	if got := s.claim(t, owner, time.Hour, 1); got != tickets.ClaimBusy {
		t.Errorf("ClaimTicket %s: got %v, want ClaimBusy", when, got)
	}
}

func (s ticketTest) release(t *testing.T, owner string) {
	t.Helper()
	if err := s.ReleaseTicket(s.ctx, s.key, owner); err != nil {
		t.Errorf("ReleaseTicket: %v", err)
	}
}

func (s ticketTest) keeps(t *testing.T, want, saved wechatqr.Ticket) {
	t.Helper()
	got, err := s.SaveTicket(s.ctx, s.key, saved)
	if err != nil {
		t.Errorf("SaveTicket: %v", err)
		return
	}
	same(t, "SaveTicket", got, want)
}

func (s ticketTest) holds(t *testing.T, want wechatqr.Ticket) {
	t.Helper()
	got, err := s.LoadTicket(s.ctx, s.key)
	if err != nil {
		t.Errorf("LoadTicket: %v", err)
		return
	}
	same(t, "LoadTicket", got, want)
}

// same allows for a store of whole seconds: it may let a ticket end early, not late.
func same(t *testing.T, what string, got, want wechatqr.Ticket) {
	t.Helper()
	early := want.ExpiresAt.Sub(got.ExpiresAt)
	if got.Permanent() != want.Permanent() || early < 0 || early > time.Second {
		t.Errorf("%s: got a ticket that ends at %v, want %v", what, got.ExpiresAt, want.ExpiresAt)
	}
	got.ExpiresAt = want.ExpiresAt
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func (s ticketTest) absent(t *testing.T, when string) {
	t.Helper()
	if got, err := s.LoadTicket(s.ctx, s.key); !errors.Is(err, tickets.ErrNotFound) {
		t.Errorf("LoadTicket %s: got %q and error %v, want ErrNotFound", when, got.Value, err)
	}
}

// counts expects want where the key is permanent, 0 where it is not.
func (s ticketTest) counts(t *testing.T, want int, when string) {
	t.Helper()
	if !s.key.Permanent() {
		want = 0
	}
	if got, err := s.CountPermanent(s.ctx, s.key.Account); got != want || err != nil {
		t.Errorf("CountPermanent %s: got %d and error %v, want %d", when, got, err, want)
	}
}
