package tickets

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/wechatqr/wechatqr"
)

const (
	minuteLimitPause = time.Minute // after ErrRateLimited
	minuteLimitTries = 3           // for one code
)

// Progress is how far [Keeper.All] has come.
type Progress struct {
	Done    int // requests, those of the next two included
	Created int // codes that had not been kept
	Invalid int // requests
}

// StoppedError says why [Keeper.All] stopped, and what is left. It unwraps to Err.
type StoppedError struct {
	Progress
	Left []wechatqr.TicketRequest // from the one that failed on
	Err  error
}

// Error is one line for people.
func (e *StoppedError) Error() string {
	return fmt.Sprintf("wechatqr: tickets: stopped after %d codes with %d left: %v", e.Done, len(e.Left), e.Err)
}

// Unwrap returns Err.
func (e *StoppedError) Unwrap() error { return e.Err }

// InvalidError is a request that [Keeper.All] left out. It unwraps to Err.
type InvalidError struct {
	Request wechatqr.TicketRequest
	Err     error
}

// Error is Err's text.
func (e *InvalidError) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e *InvalidError) Unwrap() error { return e.Err }

// All is [Keeper.Ticket] for each request of reqs, in their order and one after
// another: those that are kept at once, the others at the pace of [WithPace]. To go
// on after an end of any kind, call it again with the same requests, or with those
// left: what is kept is not created again.
//
// A request that is not valid is an [*InvalidError], and the next follows. Any
// other error is a [*StoppedError], and the last: [wechatqr.ErrQuota] (45009, go on
// tomorrow), [wechatqr.ErrPermanentLimit] (45029), [ErrBudget], the end of ctx, and
// whatever else keeps Ticket from its work. After [wechatqr.ErrRateLimited] All
// waits for a minute first, and tries the code three times in all.
//
// reqs must end by itself: to tell what is left, All reads the rest of it.
func (k *Keeper) All(
	ctx context.Context, reqs iter.Seq[wechatqr.TicketRequest],
) iter.Seq2[*wechatqr.Ticket, error] {
	return func(yield func(*wechatqr.Ticket, error) bool) {
		var progress Progress
		var stopped *StoppedError
		var next time.Time // of a creation, at the earliest
		for req := range reqs {
			if stopped != nil {
				stopped.Left = append(stopped.Left, req)
				continue
			}

			t, err := k.paced(ctx, req, &next, &progress)
			if err != nil && !errors.Is(err, wechatqr.ErrInvalidArgument) {
				stopped = &StoppedError{progress, []wechatqr.TicketRequest{req}, err}
				continue
			}
			progress.Done++
			if err != nil {
				progress.Invalid++
				err = &InvalidError{req, err}
			}
			k.progress(progress)
			if !yield(t, err) {
				return
			}
		}
		if stopped != nil {
			yield(nil, stopped)
		}
	}
}

// paced waits before a creation until next.
func (k *Keeper) paced(
	ctx context.Context, req wechatqr.TicketRequest, next *time.Time, progress *Progress,
) (*wechatqr.Ticket, error) {
	if err := req.Validate(); err != nil {
		return nil, err
	}
	_, err := k.load(ctx, keyOf(k.account, req))
	if errors.Is(err, ErrNotFound) {
		if err := sleep(ctx, time.Until(*next)); err != nil {
			return nil, failed("get ticket", err)
		}
	}

	for tries := 1; ; tries++ {
		t, made, err := k.ticket(ctx, req)
		if made {
			progress.Created++
			*next = time.Now().Add(k.pace)
		}
		if err == nil {
			return &t, nil
		}
		if !errors.Is(err, wechatqr.ErrRateLimited) || tries == minuteLimitTries {
			return nil, err
		}
		if err := sleep(ctx, minuteLimitPause); err != nil {
			return nil, failed("get ticket", err)
		}
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
