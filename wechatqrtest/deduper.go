package wechatqrtest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wechatqr/wechatqr/events"
)

// TestDeduper checks that a deduper keeps the promises of [events.Deduper].
// Each part of the test has one of its own from newDeduper; they may share
// their data, for the ids are random.
func TestDeduper(t *testing.T, newDeduper func(t *testing.T) events.Deduper) {
	run := func(name string, fn func(*testing.T, deduperTest)) {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), partTimeout)
			defer cancel()
			fn(t, deduperTest{ctx, newDeduper(t), "gh_1|o6_bmjr|1700000000|scan||gQ==|" + random(16)})
		})
	}
	run("claim", func(t *testing.T, d deduperTest) {
		d.claimed(t, "first", time.Hour, "the first time")
		d.busy(t, "second", "under another's lease")
		d.busy(t, "First", "under another's lease")
	})
	run("the same owner again", func(t *testing.T, d deduperTest) {
		d.claimed(t, "first", 150*time.Millisecond, "the first time")
		d.claimed(t, "first", time.Hour, "of the same owner again")
		time.Sleep(300 * time.Millisecond)
		d.busy(t, "second", "under a claim that was prolonged")
		d.release(t, "first")
		d.claimed(t, "second", time.Hour, "after one Release of what was claimed twice")
		d.busy(t, "first", "of the owner before")
	})
	run("the same owner again after commit", func(t *testing.T, d deduperTest) {
		d.claimed(t, "first", time.Hour, "the first time")
		d.commit(t, time.Hour)
		d.handled(t, "first", "after Commit")
	})
	run("another's release", func(t *testing.T, d deduperTest) {
		d.claimed(t, "first", time.Hour, "the first time")
		for _, owner := range []string{"second", "First", ""} {
			d.release(t, owner)
			d.busy(t, "second", "after another's Release")
		}
	})
	run("release by the owner before", func(t *testing.T, d deduperTest) {
		d.claimed(t, "first", 100*time.Millisecond, "the first time")
		eventually(t, "Claim is granted after the lease", func() bool {
			return d.claim(t, "next", time.Hour) == events.ClaimGranted
		})
		d.release(t, "first")
		d.busy(t, "first", "after its Release of what another holds")
		d.release(t, "next")
		d.claimed(t, "first", time.Hour, "after the Release")
	})
	run("release after the lease", func(t *testing.T, d deduperTest) {
		d.claimed(t, "first", time.Millisecond, "the first time")
		time.Sleep(20 * time.Millisecond)
		d.release(t, "first")
		d.claimed(t, "second", time.Hour, "after the lease and Release")
	})
	run("release", func(t *testing.T, d deduperTest) {
		d.release(t, "first") // of an unknown id
		d.claimed(t, "first", time.Hour, "the first time")
		d.release(t, "first")
		d.claimed(t, "first", time.Hour, "after Release")
		d.release(t, "first")
		d.release(t, "first")
		d.claimed(t, "first", time.Hour, "after two Releases")
	})
	run("commit", func(t *testing.T, d deduperTest) {
		d.claimed(t, "first", time.Hour, "the first time")
		d.commit(t, time.Hour)
		d.handled(t, "second", "after Commit")
		d.release(t, "first")
		d.handled(t, "second", "after Commit and Release")
		d.commit(t, time.Hour)
		d.handled(t, "second", "after two Commits")
	})
	run("commit over another's claim", func(t *testing.T, d deduperTest) {
		d.claimed(t, "first", 100*time.Millisecond, "the first time")
		eventually(t, "Claim is granted after the lease", func() bool {
			return d.claim(t, "next", time.Hour) == events.ClaimGranted
		})
		d.commit(t, time.Hour) // by the owner before
		d.handled(t, "next", "after another's Commit")
		d.release(t, "next")
		d.handled(t, "next", "after another's Commit and Release")
	})
	run("commit without claim", func(t *testing.T, d deduperTest) {
		d.commit(t, time.Hour)
		d.handled(t, "second", "after Commit")
	})
	run("a lease ends", func(t *testing.T, d deduperTest) {
		d.claimed(t, "first", 200*time.Millisecond, "the first time")
		eventually(t, "Claim is granted after the lease", func() bool {
			return d.claim(t, "later", time.Hour) == events.ClaimGranted
		})
		d.busy(t, "second", "under the new lease")
		d.busy(t, "first", "of the owner before")
	})
	run("a commit outlives the lease", func(t *testing.T, d deduperTest) {
		d.claimed(t, "first", 50*time.Millisecond, "the first time")
		d.commit(t, time.Hour)
		time.Sleep(150 * time.Millisecond)
		d.handled(t, "second", "after Commit and the end of the lease")
	})
	run("a commit after the lease", func(t *testing.T, d deduperTest) {
		d.claimed(t, "first", time.Millisecond, "the first time")
		time.Sleep(20 * time.Millisecond)
		d.commit(t, time.Hour)
		d.handled(t, "second", "after Commit")
	})
	run("a commit ends", func(t *testing.T, d deduperTest) {
		d.claimed(t, "first", time.Hour, "the first time")
		d.commit(t, 200*time.Millisecond)
		eventually(t, "Claim is granted after the time of Commit", func() bool {
			return d.claim(t, "later", time.Hour) == events.ClaimGranted
		})
	})
	run("ids are separate", func(t *testing.T, d deduperTest) {
		d.claimed(t, "first", time.Hour, "the first time")
		d.commit(t, time.Hour)
		long := strings.Repeat("k", 300)
		others := []string{"|", " ", "*", ":号", "\n", "a", "A", long + "1", long + "2"}
		for i, suffix := range others {
			other := deduperTest{d.ctx, d.Deduper, d.id + suffix}
			other.claimed(t, fmt.Sprint("owner ", i), time.Hour, "of another id")
		}
		for i, suffix := range others {
			other := deduperTest{d.ctx, d.Deduper, d.id + suffix}
			other.release(t, fmt.Sprint("owner ", i))
		}
		d.handled(t, "second", "after the Release of other ids")
	})
	run("many claim at once", func(t *testing.T, d deduperTest) {
		for range 20 {
			d.id += "+"
			var won atomic.Int32
			var wg sync.WaitGroup
			for range 16 {
				wg.Go(func() {
					owner := random(16)
					switch got := d.claim(t, owner, time.Hour); got {
					case events.ClaimGranted:
						won.Add(1)
						d.claimed(t, owner, time.Hour, "of the same owner again")
					case events.ClaimBusy:
					default:
						t.Errorf("Claim under another's lease: got %s, want ClaimBusy", claimName(got))
					}
				})
			}
			wg.Wait()
			if n := won.Load(); n != 1 {
				t.Fatalf("Claim: %d of 16 at once got it, want 1", n)
			}
		}
	})
	run("context", func(t *testing.T, d deduperTest) {
		ctx, cancel := context.WithCancel(d.ctx)
		cancel()
		returns(t, "Claim", func() { _, _ = d.Claim(ctx, d.id, "first", time.Hour) })
		returns(t, "Commit", func() { _ = d.Commit(ctx, d.id, time.Hour) })
		returns(t, "Release", func() { _ = d.Release(ctx, d.id, "first") })
	})
}

// deduperTest is a deduper and the id of the event that a test is about.
type deduperTest struct {
	ctx context.Context
	events.Deduper
	id string
}

func (d deduperTest) claim(t *testing.T, owner string, lease time.Duration) events.Claim {
	t.Helper()
	got, err := d.Claim(d.ctx, d.id, owner, lease)
	if err != nil {
		t.Errorf("Claim: %v", err)
	}
	return got
}

func (d deduperTest) wants(
	t *testing.T, want events.Claim, owner string, lease time.Duration, when string,
) {
	t.Helper()
	if got := d.claim(t, owner, lease); got != want {
		t.Errorf("Claim %s: got %s, want %s", when, claimName(got), claimName(want))
	}
}

func claimName(c events.Claim) string {
	switch c {
	case events.ClaimGranted:
		return "ClaimGranted"
	case events.ClaimHandled:
		return "ClaimHandled"
	case events.ClaimBusy:
		return "ClaimBusy"
	}
	return fmt.Sprintf("Claim(%d)", int(c))
}

func (d deduperTest) claimed(t *testing.T, owner string, lease time.Duration, when string) {
	t.Helper()
	d.wants(t, events.ClaimGranted, owner, lease, when)
}

func (d deduperTest) busy(t *testing.T, owner, when string) {
	t.Helper()
	d.wants(t, events.ClaimBusy, owner, time.Hour, when)
}

func (d deduperTest) handled(t *testing.T, owner, when string) {
	t.Helper()
	d.wants(t, events.ClaimHandled, owner, time.Hour, when)
}

func (d deduperTest) commit(t *testing.T, ttl time.Duration) {
	t.Helper()
	if err := d.Commit(d.ctx, d.id, ttl); err != nil {
		t.Errorf("Commit: %v", err)
	}
}

func (d deduperTest) release(t *testing.T, owner string) {
	t.Helper()
	if err := d.Release(d.ctx, d.id, owner); err != nil {
		t.Errorf("Release: %v", err)
	}
}
