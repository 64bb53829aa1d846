package page

import (
	"context"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

const (
	refreshInterval = time.Second      // between the beginnings of two readings
	refreshTimeout  = 30 * time.Second // of one, which nobody cancels
)

// refreshes reads today's numbers once for all open pages that wait for them.
type refreshes struct {
	readings singleflight.Group // by group of channels
	turns    sync.Map           // of turn, by group of channels
}

// turn has when the last reading began. It is empty while one goes on.
type turn chan time.Time

// isRefresh reports whether an open page asks, which may wait for its turn.
func isRefresh(r *http.Request) bool { return r.Header.Get("X-Refresh") != "" }

// read returns what the next reading of the group does: one that has begun may lack a push
// that was answered before.
func (s *refreshes) read(
	ctx context.Context, group string,
	read func(ctx context.Context, group string) (*todayNumbers, error),
) (*todayNumbers, error) {
	result := s.readings.DoChan(group, func() (any, error) {
		t := s.turn(group)
		began := <-t
		time.Sleep(time.Until(began.Add(refreshInterval)))
		s.readings.Forget(group) // who asks from now on waits for another
		began = time.Now()
		defer func() { t <- began }()
		shared, cancel := context.WithTimeout(context.WithoutCancel(ctx), refreshTimeout)
		defer cancel()
		return read(shared, group)
	})
	select {
	case one := <-result:
		numbers, _ := one.Val.(*todayNumbers)
		return numbers, one.Err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s *refreshes) turn(group string) turn {
	first := make(turn, 1)
	first <- time.Time{}
	t, _ := s.turns.LoadOrStore(group, first)
	return t.(turn)
}
