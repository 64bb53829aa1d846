package live

import (
	"context"
	"log/slog"
	"time"

	"github.com/wechatqr/wechatqr/channels"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/store"
)

const (
	shareInterval = time.Second
	// How long an event of a process whose clock is behind is waited for.
	shareWindow = 30 * time.Second
)

// Share has the feeds of all processes on the database show the same events, about a
// second later, until ctx ends. It begins with the last ones.
func (f *Feed) Share(ctx context.Context, s *store.Store, logger *slog.Logger) {
	known := map[string]bool{}
	since, failing := time.Time{}, false
	for {
		err := f.exchange(ctx, s, since, known)
		if err != nil && !failing && ctx.Err() == nil {
			logger.Warn("channeld: the last events of other processes", "err", err)
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return
		case <-time.After(shareInterval):
		}
		since = time.Now().Add(-shareWindow)
	}
}

// exchange stores the events of this process, and adds those of the others.
func (f *Feed) exchange(
	ctx context.Context, s *store.Store, since time.Time, known map[string]bool,
) error {
	ctx, cancel := context.WithTimeout(ctx, shareWindow)
	defer cancel()
	mine := f.takeUnshared()
	if err := s.PutLive(ctx, mine); err != nil {
		return err
	}
	for _, e := range mine {
		known[e.ID] = true
	}
	all, err := s.Live(ctx, since, maxLast)
	if err != nil {
		return err
	}
	recent := map[string]bool{}
	var others []Event
	for i := len(all) - 1; i >= 0; i-- { // oldest first
		e := &all[i]
		recent[e.ID] = true
		if !known[e.ID] {
			kind := channels.VisitKind(e.Kind)
			others = append(others, Event{e.At, kind, e.Key, e.Name, e.Group})
		}
	}
	clear(known)
	for id := range recent {
		known[id] = true
	}
	f.add(others)
	return nil
}

// takeUnshared returns the events of this process that are not stored yet.
func (f *Feed) takeUnshared() []store.LiveEvent {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := make([]store.LiveEvent, len(f.unshared))
	for i, e := range f.unshared {
		all[i] = store.LiveEvent{
			At: e.At, Kind: string(e.Kind), Key: e.Key, Name: e.Name, Group: e.Group,
		}
	}
	f.unshared = nil
	return all
}
