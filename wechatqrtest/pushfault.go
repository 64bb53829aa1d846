package wechatqrtest

import (
	"context"
	"errors"
	"math"
	"net/http"
	"slices"
	"time"
)

// PushFault loses or delays pushes on their way to the callback. Times and Share choose
// the pushes: without them it applies to all.
type PushFault struct {
	Times int           `json:"times"`           // how many pushes it applies to; 0: all, until ClearFaults
	Share float64       `json:"share"`           // of the pushes, above 0 to 1, evenly spread; 0: each
	Drop  bool          `json:"drop"`            // the push is never delivered: Push.Dropped
	Delay time.Duration `json:"delay,omitempty"` // before the first delivery, in nanoseconds
}

type pushFault struct {
	PushFault
	due float64 // of Share: at 1 the next push is met
}

// InjectPush adds a fault of pushes. If several apply to a push, the one added first is
// used. It returns an error if neither Drop nor Delay is set, or a field is out of range.
func (s *Server) InjectPush(f PushFault) error {
	switch {
	case f.Times < 0 || f.Share < 0 || f.Share > 1 || math.IsNaN(f.Share) || f.Delay < 0:
		return errors.New("wechatqrtest: push fault: Times and Delay are not negative, and Share is 0 to 1")
	case !f.Drop && f.Delay == 0:
		return errors.New("wechatqrtest: push fault: set Drop or Delay")
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults.pushes = append(s.faults.pushes, &pushFault{PushFault: f})
	s.notify()
	return nil
}

// PushFaults are those of InjectPush that still apply, with the Times that remain.
func (s *Server) PushFaults() []PushFault {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pushFaults()
}

// pushFaults are copies. The caller holds mu.
func (s *Server) pushFaults() []PushFault {
	out := make([]PushFault, len(s.faults.pushes))
	for i, f := range s.faults.pushes {
		out[i] = f.PushFault
	}
	return out
}

// takePushFault returns the fault of the next push and counts it; the zero PushFault is
// none. The caller holds mu.
func (s *Server) takePushFault() PushFault {
	for i, f := range s.faults.pushes {
		if !f.meets() {
			continue
		}
		out := f.PushFault
		if f.Times == 1 {
			s.faults.pushes = slices.Delete(s.faults.pushes, i, i+1)
		} else if f.Times > 1 {
			f.Times--
		}
		return out
	}
	return PushFault{}
}

// meets spreads the share evenly: of 1/3, every third push.
func (f *pushFault) meets() bool {
	if f.Share == 0 {
		return true
	}
	const rounding = 1e-9 // so that three thirds are one
	if f.due += f.Share; f.due < 1-rounding {
		return false
	}
	f.due--
	return true
}

// pause waits for d. The error is that of ctx or http.ErrServerClosed.
func (s *Server) pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-s.ctx.Done():
		return http.ErrServerClosed
	}
}
