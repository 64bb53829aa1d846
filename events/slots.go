package events

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// slots limits how many deliveries are under way. A delivery acquires one and
// releases it once. All methods may be called by any goroutine.
//
//	state    begins when                      acquire       shutdown
//	open     at first                         waits         begins closing
//	closing  shutdown is called               ErrShutdown   waits
//	idle     shutdown has taken every slot    ErrShutdown   returns at once
type slots struct {
	taken   chan struct{} // a value for each slot that is taken
	closing chan struct{} // closed when shutdown begins
	close   sync.Once

	kept atomic.Int64  // slots that shutdown has taken for good
	idle chan struct{} // closed when those are all
}

func newSlots(n int) *slots {
	return &slots{
		taken: make(chan struct{}, n), closing: make(chan struct{}), idle: make(chan struct{}),
	}
}

// acquire takes a slot, waiting for one until the deadline.
func (s *slots) acquire(ctx context.Context, deadline time.Time) error {
	select {
	case s.taken <- struct{}{}:
	default:
		ctx, cancel := context.WithDeadline(ctx, deadline)
		defer cancel()
		select {
		case s.taken <- struct{}{}:
		case <-s.closing:
			return errorf(ErrShutdown, "it takes no more")
		case <-ctx.Done():
			return errorf(ErrOverloaded, "%d, which is the limit: %w", cap(s.taken), ctx.Err())
		}
	}
	select {
	case <-s.closing:
		s.release()
		return errorf(ErrShutdown, "it takes no more")
	default:
		return nil
	}
}

func (s *slots) release() { <-s.taken }

// halfTaken reports whether other deliveries than the caller's, which has a slot,
// have half of them.
func (s *slots) halfTaken() bool {
	return 2*(len(s.taken)-1-int(s.kept.Load())) >= cap(s.taken)
}

// shutdown waits until no slot is taken, by taking them all. It may be called
// again, and at once.
func (s *slots) shutdown(ctx context.Context) error {
	s.close.Do(func() { close(s.closing) })
	for {
		select {
		case s.taken <- struct{}{}:
		default:
			select {
			case s.taken <- struct{}{}:
			case <-s.idle:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if s.kept.Add(1) == int64(cap(s.taken)) {
			close(s.idle)
		}
	}
}
