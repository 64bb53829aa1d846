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
	outcomeTimeout  = 4700 * time.Millisecond // from the request on, to wait for another's claim
	deduperDeadline = 4750 * time.Millisecond // from the request on, for the last call of a Deduper
	deduperTimeout  = 250 * time.Millisecond  // of a call; one that fails is repeated once
	minDeduperTime  = 50 * time.Millisecond   // that a call has even after deduperDeadline
	wechatTimeout   = 5 * time.Second         // from the request on; nothing is in a hurry any more
	pollInterval    = 100 * time.Millisecond  // between attempts to get another's claim

	// maxWaiting is how many deliveries of one event wait in a process, so that who
	// replays one cannot fill every slot. WeChat delivers four times at the most.
	maxWaiting = 16

	// claimLease is shorter than the time for which a delivery waits to begin, so
	// that the delivery which waits for a process that died can handle the event.
	claimLease    = 3 * time.Second
	renewInterval = claimLease / 3
)

// claims is where a Handler's deliveries claim their events: first in local,
// then in shared. So while a shared Deduper is away, one delivery of this process
// at a time still handles an event. It does not change once the Handler is made.
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

// claim is one delivery's claim of its event. It begins with acquire, is renewed
// while the function runs if there is a shared Deduper, and ends with endClaim in
// any case. One goroutine at a time calls its methods, see call; any may read lost.
type claim struct {
	*claims
	ctx   context.Context // outlives the request
	ev    *wechatqr.Event
	start time.Time // of the request

	id    string
	owner string

	held     bool        // in local, and perhaps in shared
	wasBusy  bool        // in shared
	reported bool        // a failure of shared, or that the claim was lost
	lost     atomic.Bool // to another owner in shared
}

// acquire claims the event. While another delivery has the claim it waits, until
// the outcome is known or outcomeTimeout is over, unless maxWaiting wait already.
//
//	local    shared   acquire
//	Busy              waits and tries again
//	Handled           returns Handled
//	Granted  Busy     waits and tries again
//	Granted  Handled  returns Handled
//	Granted  Granted  returns Granted
//	Granted  fails    returns Granted: handled twice is better than not at all;
//	                  but waits if shared was Busy before
func (c *claim) acquire(ctx context.Context) (Claim, error) {
	if c.local == nil {
		return ClaimGranted, nil
	}
	c.id, c.owner = c.ev.ID(), rand.Text()
	if got := c.try(); got != ClaimBusy {
		return got, nil
	}

	waiting := c.local.addWaiting(c.id, 1)
	defer c.local.addWaiting(c.id, -1)
	if waiting > maxWaiting {
		return 0, errorf(ErrInProgress, "%d other deliveries of it wait already", maxWaiting)
	}
	for outcomeTimeout-time.Since(c.start) >= 2*pollInterval {
		select {
		case <-time.After(pollInterval):
		case <-ctx.Done():
			return 0, errorf(ErrInProgress, "the caller has gone")
		}
		if got := c.try(); got != ClaimBusy {
			return got, nil
		}
	}
	return 0, errorf(ErrInProgress, "it is not done yet")
}

func (c *claim) try() Claim {
	// Its lease needs no renewal, since endClaim follows in any case.
	got, _ := c.local.Claim(c.ctx, c.id, c.owner, c.ttl)
	c.held = got == ClaimGranted
	if !c.held || c.shared == nil {
		return got
	}

	got = c.claimShared()
	c.wasBusy = c.wasBusy || got == ClaimBusy
	switch {
	case got != 0:
		return got
	case c.wasBusy:
		return ClaimBusy
	}
	return ClaimGranted
}

// renew prolongs the claim in shared, and sets lost if another owner has it.
func (c *claim) renew() {
	if got := c.claimShared(); got != ClaimGranted && got != 0 {
		c.lost.Store(true)
		c.reportOnce(claimLost.errorf("its claim ended while the function ran"))
	}
}

// claimShared claims the event in shared, or prolongs its claim. It reports a
// failure and returns 0.
func (c *claim) claimShared() (got Claim) {
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

// endClaim commits an event that was handled, and otherwise releases the claim;
// in shared even if no claim is known there, since its response may have been lost.
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

// callDeduper calls shared, and once more if that fails: the response may have
// been lost, and each of its methods can be repeated.
func (c *claim) callDeduper(method func(context.Context) error) (err error) {
	for range 2 {
		err = recoverPanic(func() error {
			passed := time.Since(c.start)
			timeout := max(min(deduperTimeout, deduperDeadline-passed), minDeduperTime)
			if passed > wechatTimeout {
				timeout = deduperTimeout
			}
			ctx, cancel := context.WithTimeout(c.ctx, timeout)
			defer cancel()
			return method(ctx)
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
