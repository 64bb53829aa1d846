package tickets

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// flight is work for several callers in a goroutine of its own, which sets value
// and err before it closes done; nobody reads them earlier. op names it in errors
// that are not the work's own.
type flight[T any] struct {
	op    string
	done  chan struct{}
	value T
	err   error
}

func newFlight[T any](op string) *flight[T] {
	return &flight[T]{op: op, done: make(chan struct{})}
}

// run does the work, then calls settled. A panic is the work's failure.
func (f *flight[T]) run(
	ctx context.Context, work func(context.Context) (T, error), settled func(),
) {
	defer close(f.done)
	defer settled()
	defer func() {
		if p := recover(); p != nil {
			f.err = failed(f.op, fmt.Errorf("panic: %v", p))
		}
	}()
	f.err = failed(f.op, errors.New("the client or the store ended the goroutine"))
	f.value, f.err = work(ctx)
	_ = errors.Is(f.err, ErrNotFound) // a typed nil panics here, and not in its readers
}

// wait ends with ctx, whether the work does or not.
func (f *flight[T]) wait(ctx context.Context) (value T, err error) {
	select {
	case <-f.done:
		return f.value, f.err
	case <-ctx.Done():
		return value, failed(f.op, ctx.Err())
	}
}

// behind does the work in a goroutine that goes on when ctx ends, for
// createTimeout at most.
func (f *flight[T]) behind(
	ctx context.Context, work func(context.Context) (T, error), settled func(),
) {
	go func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), createTimeout)
		defer cancel()
		f.run(ctx, work, settled)
	}()
}

// inStore runs one operation of the store's, which may panic, hang or ignore ctx.
func inStore[T any](
	ctx context.Context, op string, fn func(context.Context) (T, error),
) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	f := newFlight[T](op)
	if ctx.Err() == nil {
		go f.run(ctx, func(ctx context.Context) (T, error) {
			value, err := fn(ctx)
			if err != nil {
				err = failed(op, err)
			}
			return value, err
		}, func() {})
	}
	return f.wait(ctx)
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
