package events

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/wechatqr/wechatqr"
)

const (
	outcomeTimeout = 4700 * time.Millisecond // from the request on, for another's claim to end
	storeDeadline  = 4750 * time.Millisecond // from the request on, for the last word to a Deduper
	storeTimeout   = 250 * time.Millisecond  // for a Deduper to answer; it is asked twice
	minStoreTime   = 50 * time.Millisecond   // the same, however late it is
	pollInterval   = 100 * time.Millisecond  // between looks at another's claim

	// claimLease is shorter than the time for which a delivery waits to begin: who is
	// given the event of a process that died gets to handle it.
	claimLease    = 3 * time.Second
	renewInterval = claimLease / 3
)

// claims is where a Handler's deliveries claim their events: first in local,
// then in shared. So a shared Deduper that is away leaves each event to one
// delivery of this process.
type claims struct {
	local  *memory // nil: nothing is claimed or remembered
	shared Deduper // nil: there is only local
	ttl    time.Duration
	report func(_ context.Context, _ *wechatqr.Event, err error, stack []byte)
}

// newClaims takes any Deduper, nil included.
func newClaims(d Deduper, ttl time.Duration) claims {
	switch d := d.(type) {
	case nil:
		return claims{}
	case *memory:
		return claims{local: d, ttl: ttl}
	}
	return claims{local: newMemory(defaultRemembered), shared: d, ttl: ttl}
}

// claim is one delivery's claim of its event. One goroutine uses it, the one
// that serves the request; any may read lost.
type claim struct {
	*claims
	ctx   context.Context // outlives the request
	ev    *wechatqr.Event
	start time.Time // of the request

	id    string
	owner string

	held     bool        // in local; in shared it may be held from then on
	reported bool        // that shared failed, or lost the claim
	lost     atomic.Bool // another has got it in shared
}

// take claims the event, and waits while another has it, until its outcome is
// known or outcomeTimeout is over. A shared Deduper that fails does not keep the
// event from being handled: twice is better than not at all. But once it said
// that another has the event, its failure does not take the event from that one.
func (c *claim) take(ctx context.Context) (Claim, error) {
	if c.local == nil {
		return ClaimGranted, nil
	}
	c.id, c.owner = c.ev.ID(), rand.Text()

	for othersClaim := false; ; {
		// This one needs no renewal: endClaim follows in any case.
		got, _ := c.local.Claim(c.ctx, c.id, c.owner, c.ttl)
		c.held = got == ClaimGranted
		if c.held && c.shared != nil {
			got = c.ask()
			othersClaim = othersClaim || got == ClaimBusy
			if got == 0 && !othersClaim {
				return ClaimGranted, nil
			}
		}
		if got == ClaimGranted || got == ClaimHandled {
			return got, nil
		}
		if outcomeTimeout-time.Since(c.start) < 2*pollInterval {
			return 0, errorf(ErrInProgress, "it is not done yet")
		}
		select {
		case <-time.After(pollInterval):
		case <-ctx.Done():
			return 0, errorf(ErrInProgress, "the caller has gone")
		}
	}
}

// renew prolongs the claim in shared, and tells if another has got it.
func (c *claim) renew() {
	if got := c.ask(); got != ClaimGranted && got != 0 {
		c.lost.Store(true)
		c.reportOnce(claimLost.errorf("its claim ended while the function ran"))
	}
}

// ask claims the event in shared. If that fails, which it reports, the outcome
// is 0.
func (c *claim) ask() (got Claim) {
	err := c.callDeduper(func(ctx context.Context) (err error) {
		got, err = c.shared.Claim(ctx, c.id, c.owner, claimLease)
		if err == nil && (got < ClaimGranted || got > ClaimBusy) {
			err = fmt.Errorf("Claim returned %d, which is no outcome", got)
		}
		return err
	})
	if err != nil {
		c.reportOnce(notClaimed.errorf("claim: %w", err))
		return 0
	}
	return got
}

// endClaim commits an event that was handled, and else gives back what is
// claimed, or may be: a claim whose response was lost is not left behind.
func (c *claim) endClaim(handled bool) {
	if !c.held {
		return
	}
	if !handled {
		_ = c.local.Release(c.ctx, c.id, c.owner)
	} else if c.local.commit(c.id, c.ttl) && c.shared == nil {
		c.report(c.ctx, c.ev, errorf(ErrForgotten, "more than %d in %v", c.local.limit, c.ttl), nil)
	}
	if c.shared == nil {
		return
	}
	err := c.callDeduper(func(ctx context.Context) error {
		if handled {
			return c.shared.Commit(ctx, c.id, c.ttl)
		}
		return c.shared.Release(ctx, c.id, c.owner)
	})
	if err != nil {
		c.report(c.ctx, c.ev, notSettled.errorf("end of claim: %w", err), nil)
	}
}

// callDeduper puts a question to shared, and again if it failed: the response may have
// been lost, and every question gets the same answer again.
func (c *claim) callDeduper(question func(context.Context) error) (err error) {
	for range 2 {
		err = recoverPanic(func() error {
			left := storeDeadline - time.Since(c.start)
			ctx, cancel := context.WithTimeout(c.ctx, max(min(storeTimeout, left), minStoreTime))
			defer cancel()
			return question(ctx)
		})
		if err == nil {
			break
		}
	}
	return err
}

func (c *claim) reportOnce(err error) {
	if !c.reported {
		c.report(c.ctx, c.ev, err, nil)
	}
	c.reported = true
}
