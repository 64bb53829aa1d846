package tickets

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/wechatqr/wechatqr"
)

const (
	minuteLimitPause = time.Minute // after ErrRateLimited
	minuteLimitTries = 3           // for one code
)

// StoppedError says why [Keeper.All] stopped, and what is left. It unwraps to Err.
type StoppedError struct {
	Done int                      // requests
	Left []wechatqr.TicketRequest // from the one that failed on
	Err  error
}

// Error is one line for people.
func (e *StoppedError) Error() string {
	return fmt.Sprintf("wechatqr: tickets: stopped after %d codes with %d left: %v",
		e.Done, len(e.Left), e.Err)
}

// Unwrap returns Err.
func (e *StoppedError) Unwrap() error { return e.Err }

// All is [Keeper.Ticket] for each request of reqs, in their order and one after
// another: those that are kept at once, the others at the pace of [WithPace]. The
// body of the loop runs after each and may report the progress. To go on after an
// end of any kind, call All again with the same requests, or with those left: what
// is kept is not created again.
//
// An error is a [*StoppedError], and the last that All yields:
// [wechatqr.ErrInvalidArgument] if any of the requests is not valid, before the
// first code is created; [wechatqr.ErrQuota] (45009, go on tomorrow),
// [wechatqr.ErrPermanentLimit] (45029), [ErrBudget], the end of ctx, and whatever
// else keeps Ticket from its work. After [wechatqr.ErrRateLimited] All waits for a
// minute first, tells the logger, and tries the code three times in all.
//
// All reads reqs to its end before it begins.
func (k *Keeper) All(
	ctx context.Context, reqs iter.Seq[wechatqr.TicketRequest],
) iter.Seq2[*wechatqr.Ticket, error] {
	return func(yield func(*wechatqr.Ticket, error) bool) {
		list := slices.Collect(reqs)
		if err := validate(list); err != nil {
			yield(nil, &StoppedError{Left: list, Err: err})
			return
		}

		var next time.Time // of a creation, at the earliest
		for i, req := range list {
			t, err := k.paced(ctx, keyOf(k.account, req), &next)
			if err != nil {
				yield(nil, &StoppedError{i, list[i:], err})
				return
			}
			if !yield(t, nil) {
				return
			}
		}
	}
}

func validate(reqs []wechatqr.TicketRequest) error {
	for i, req := range reqs {
		if err := req.Validate(); err != nil {
			return fmt.Errorf("request %d: %w", i+1, err)
		}
	}
	return nil
}

// paced waits before a creation until next.
func (k *Keeper) paced(ctx context.Context, key Key, next *time.Time) (*wechatqr.Ticket, error) {
	if t, err := k.kept(ctx, key); t != nil || err != nil {
		return t, err
	}
	for tries := 1; ; tries++ {
		if err := sleep(ctx, time.Until(*next)); err != nil {
			return nil, failed("create ticket", err)
		}
		t, err := k.created(ctx, key)
		*next = time.Now().Add(k.pace)
		if !errors.Is(err, wechatqr.ErrRateLimited) || tries == minuteLimitTries {
			return t, err
		}
		*next = time.Now().Add(minuteLimitPause)
		k.warn(ctx, "wechatqr: the limit of the minute is reached; waiting for the next", key, err)
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
