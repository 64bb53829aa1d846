package wechatqrtest

import (
	"context"
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
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			fn(t, deduperTest{ctx, newDeduper(t), "gh_1|o6_bmjr|1700000000|scan||gQ==|" + random(16)})
		})
	}
	run("claim", func(t *testing.T, d deduperTest) {
		d.claimed(t, time.Hour, "the first time")
		d.inProgress(t, "under another's lease")
	})
	run("release", func(t *testing.T, d deduperTest) {
		d.release(t) // of an unknown id
		d.claimed(t, time.Hour, "the first time")
		d.release(t)
		d.claimed(t, time.Hour, "after Release")
		d.release(t)
		d.release(t)
		d.claimed(t, time.Hour, "after two Releases")
	})
	run("commit", func(t *testing.T, d deduperTest) {
		d.claimed(t, time.Hour, "the first time")
		d.commit(t, time.Hour)
		d.handled(t, "after Commit")
		d.release(t)
		d.handled(t, "after Commit and Release")
		d.commit(t, time.Hour)
		d.handled(t, "after two Commits")
	})
	run("commit without claim", func(t *testing.T, d deduperTest) {
		d.commit(t, time.Hour)
		d.handled(t, "after Commit")
	})
	run("a lease ends", func(t *testing.T, d deduperTest) {
		d.claimed(t, 200*time.Millisecond, "the first time")
		eventually(t, "Claim is true after the lease", func() bool {
			return d.claim(t, "later", time.Hour) == events.ClaimGranted
		})
		d.inProgress(t, "under the new lease")
	})
	run("a commit outlives the lease", func(t *testing.T, d deduperTest) {
		d.claimed(t, 50*time.Millisecond, "the first time")
		d.commit(t, time.Hour)
		time.Sleep(150 * time.Millisecond)
		d.handled(t, "after Commit and the end of the lease")
	})
	run("a commit after the lease", func(t *testing.T, d deduperTest) {
		d.claimed(t, time.Millisecond, "the first time")
		time.Sleep(20 * time.Millisecond)
		d.commit(t, time.Hour)
		d.handled(t, "after Commit")
	})
	run("a commit ends", func(t *testing.T, d deduperTest) {
		d.claimed(t, time.Hour, "the first time")
		d.commit(t, 200*time.Millisecond)
		eventually(t, "Claim is true after the time of Commit", func() bool {
			return d.claim(t, "later", time.Hour) == events.ClaimGranted
		})
	})
	run("ids are separate", func(t *testing.T, d deduperTest) {
		d.claimed(t, time.Hour, "the first time")
		d.commit(t, time.Hour)
		long := strings.Repeat("k", 300)
		others := []string{"|", " ", "*", ":号", "\n", long + "1", long + "2"}
		for _, suffix := range others {
			deduperTest{d.ctx, d.Deduper, d.id + suffix}.claimed(t, time.Hour, "of another id")
		}
		for _, suffix := range others {
			deduperTest{d.ctx, d.Deduper, d.id + suffix}.release(t)
		}
		d.handled(t, "after another's Release")
	})
	run("many claim at once", func(t *testing.T, d deduperTest) {
		for range 20 {
			d.id += "+"
			var won atomic.Int32
			var wg sync.WaitGroup
			for range 16 {
				wg.Go(func() {
					switch got := d.claim(t, random(16), time.Hour); got {
					case events.ClaimGranted:
						won.Add(1)
					case events.ClaimBusy:
					default:
						t.Errorf("Claim under another's lease: got %d, want ClaimBusy", got)
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
		returns(t, "Claim", func() { _, _ = d.Claim(ctx, d.id, owner, time.Hour) })
		returns(t, "Commit", func() { _ = d.Commit(ctx, d.id, time.Hour) })
		returns(t, "Release", func() { _ = d.Release(ctx, d.id, owner) })
	})
}

// deduperTest is a deduper and the id of the event that a test is about.
type deduperTest struct {
	ctx context.Context
	events.Deduper
	id string
}

const owner = "owner" // of a deduperTest's claims, unless another is named

func (d deduperTest) claim(t *testing.T, owner string, lease time.Duration) events.Claim {
	t.Helper()
	got, err := d.Claim(d.ctx, d.id, owner, lease)
	if err != nil {
		t.Errorf("Claim: %v", err)
	}
	return got
}

func (d deduperTest) claimed(t *testing.T, lease time.Duration, when string) {
	t.Helper()
	if got := d.claim(t, owner, lease); got != events.ClaimGranted {
		t.Errorf("Claim %s: got %d, want ClaimGranted", when, got)
	}
}

func (d deduperTest) inProgress(t *testing.T, when string) {
	t.Helper()
	if got := d.claim(t, "another", time.Hour); got != events.ClaimBusy {
		t.Errorf("Claim %s: got %d, want ClaimBusy", when, got)
	}
}

func (d deduperTest) handled(t *testing.T, when string) {
	t.Helper()
	if got := d.claim(t, "another", time.Hour); got != events.ClaimHandled {
		t.Errorf("Claim %s: got %d, want ClaimHandled", when, got)
	}
}

func (d deduperTest) commit(t *testing.T, ttl time.Duration) {
	t.Helper()
	if err := d.Commit(d.ctx, d.id, ttl); err != nil {
		t.Errorf("Commit: %v", err)
	}
}

func (d deduperTest) release(t *testing.T) {
	t.Helper()
	if err := d.Release(d.ctx, d.id, owner); err != nil {
		t.Errorf("Release: %v", err)
	}
}
