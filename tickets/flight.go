package tickets

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// flight is work for several callers in a goroutine of its own, which sets value
// and err before it closes done; nobody reads them earlier.
type flight[T any] struct {
	done  chan struct{}
	value T
	err   error
}

func newFlight[T any]() *flight[T] { return &flight[T]{done: make(chan struct{})} }

// run does the work, then calls settled. It goes on when the ctx of the caller
// that started it ends, for createTimeout at most.
func (f *flight[T]) run(
	ctx context.Context, work func(context.Context) (T, error), settled func(context.Context),
) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), createTimeout)
	defer cancel()
	defer close(f.done)
	defer settled(ctx)
	defer func() {
		if p := recover(); p != nil {
			f.err = failed("create ticket", fmt.Errorf("panic: %v", p))
		}
	}()
	f.err = failed("create ticket", errors.New("the client or the store ended the goroutine"))
	f.value, f.err = work(ctx)
}

func (f *flight[T]) wait(ctx context.Context) (value T, err error) {
	select {
	case <-f.done:
		return f.value, f.err
	case <-ctx.Done():
		return value, failed("get ticket", ctx.Err())
	}
}

// pause is how long not to try again what failed. The zero pause is over.
type pause struct {
	failures int
	until    time.Time
}

func (p *pause) over(now time.Time) bool { return !now.Before(p.until) }

func (p *pause) note(err error, now time.Time) {
	if err == nil {
		*p = pause{}
		return
	}
	p.until = now.Add(min(firstPause<<min(p.failures, 10), maxPause))
	p.failures++
}
