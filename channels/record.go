package channels

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/events"
)

// Record returns a function that records the event, commits, and then calls
// next: give it to events.NewHandler. A database that fails makes the function
// fail, so that WeChat delivers the push again; recording it twice changes
// nothing. While it has not committed the response is no success: see events.FailLate.
// Events that arrive together share one commit.
//
// next learns by [VisitFrom] what the event amounted to. Messages and events
// that are neither a follow, a scan, an unfollow nor a cancellation are passed on
// unrecorded. Of nil it makes nil, which events.NewHandler refuses.
func (l *Ledger) Record(next events.HandlerFunc) events.HandlerFunc {
	if next == nil {
		return nil
	}
	return func(ctx context.Context, ev *wechatqr.Event) (events.Reply, error) {
		if kindOf(ev) != 0 {
			settled := events.FailLate(ctx)
			visit, err := l.RecordEvent(ctx, ev)
			if err != nil {
				return nil, err
			}
			settled()
			ctx = context.WithValue(ctx, visitKey{}, visit)
		}
		return next(ctx, ev)
	}
}

// RecordEvent records a push: a subscribe, a SCAN, an unsubscribe, or a
// user_authorization_cancellation, which does what [Ledger.Forget] does at its time,
// since the user's WeChat account is gone. It may come late, repeatedly and in any order.
// Anything else changes nothing, so user_authorization_revoke does not: it is of data that
// the ledger does not have, by somebody who still follows; next can delete what the host
// has. What is
// older than 24 hours, of somebody who is not known, may belong to a person who
// has been forgotten: of it only the scan counts. For events from an archive see
// [Ledger.Backfill].
func (l *Ledger) RecordEvent(ctx context.Context, ev *wechatqr.Event) (Visit, error) {
	return l.record(ctx, ev, false)
}

// Backfill records an event from an archive: also an old one of somebody who is
// not known makes a follow, and so does one that RecordEvent took for late. Who has
// been forgotten since becomes known again, for 24 hours after they unfollowed or, if
// that is later, after the last Backfill of an event of theirs: import an archive within
// that time.
func (l *Ledger) Backfill(ctx context.Context, ev *wechatqr.Event) (Visit, error) {
	return l.record(ctx, ev, true)
}

func (l *Ledger) record(ctx context.Context, ev *wechatqr.Event, backfill bool) (Visit, error) {
	if ev == nil {
		return Visit{}, invalid("record: the event is nil")
	}
	k := kindOf(ev)
	if k == 0 {
		return Visit{}, nil
	}
	who := personOf(ev)
	if who == "" || ev.CreateTime.Unix() <= 0 {
		return Visit{}, invalid("record: the event does not say who it is of, or when it was")
	}
	e := event{at: ev.CreateTime.Unix(), kind: k, ticket: ticketID(ev.Ticket)}
	if s, ok := ev.Scan(); ok {
		e.scene = textID(s.SceneKey)
	}
	if k == unsubscribe || k == forget {
		e.ticket = 0
	}
	return l.put(ctx, &arrival{hash: l.hash(who), event: e, backfill: backfill})
}

// kindOf is that of an event that is recorded, else 0. A SCAN without a scene
// is none.
func kindOf(ev *wechatqr.Event) kind {
	_, scanned := ev.Scan()
	switch {
	case ev.MsgType != "event":
		return 0
	case ev.Type.Is(wechatqr.EventSubscribe):
		return subscribe
	case ev.Type.Is(wechatqr.EventUnsubscribe):
		return unsubscribe
	case ev.Type.Is(eventCancellation):
		return forget
	case scanned:
		return scan
	}
	return 0
}

// arrival is an event on its way into the tables.
type arrival struct {
	ctx      context.Context // of who waits
	hash     string
	event    event
	backfill bool
	listing  *listing // that tells it, nil for none

	visit Visit // without the channel at first
	row   int64
	err   error
	done  chan struct{}
}

// group collects the events that arrive while others are committed.
type group struct {
	mu      sync.Mutex
	waiting []*arrival
	running bool
}

const (
	maxGroup     = 200
	groupTimeout = 4 * time.Second
)

// put has the event committed, together with those that arrive meanwhile. When
// ctx ends the event may be committed nevertheless.
func (l *Ledger) put(ctx context.Context, a *arrival) (Visit, error) {
	a.ctx, a.done = ctx, make(chan struct{})
	l.group.mu.Lock()
	l.group.waiting = append(l.group.waiting, a)
	if !l.group.running {
		l.group.running = true
		go l.commitAll()
	}
	l.group.mu.Unlock()

	select {
	case <-a.done:
		return a.visit, failed("record", a.err)
	case <-ctx.Done():
		return Visit{}, failed("record", context.Cause(ctx))
	}
}

// commitAll commits groups until nobody waits. Who has given up is delivered again.
func (l *Ledger) commitAll() {
	for {
		l.group.mu.Lock()
		abandoned := func(a *arrival) bool { return a.ctx.Err() != nil }
		l.group.waiting = slices.DeleteFunc(l.group.waiting, abandoned)
		arrivals := l.group.waiting[:min(len(l.group.waiting), maxGroup)]
		l.group.waiting = l.group.waiting[len(arrivals):]
		l.group.running = len(arrivals) > 0
		l.group.mu.Unlock()
		if len(arrivals) == 0 {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), groupTimeout)
		err := l.commit(ctx, arrivals)
		go func() { // the next group need not wait
			defer cancel()
			if err == nil {
				err = l.nameChannels(ctx, arrivals)
			}
			for _, a := range arrivals {
				a.err = err
				close(a.done)
			}
		}()
	}
}

// commit records the arrivals in one transaction.
func (l *Ledger) commit(ctx context.Context, arrivals []*arrival) error {
	var hashes []string
	for _, a := range arrivals {
		hashes = append(hashes, a.hash)
	}
	return l.transact(ctx, func(t *tx) error {
		now := l.now().Unix()
		s, err := t.load(ctx, hashes, now)
		if err != nil {
			return err
		}
		for _, a := range arrivals {
			one := s.of(a.hash)
			a.listing.takeBack(one, a.event)
			if e, ok := a.listing.meaning(a.event, one, now); ok {
				one.add(e, now, a.backfill)
			}
		}
		if err := l.refold(ctx, s); err != nil {
			return err
		}
		for _, a := range arrivals {
			a.visit.Kind, a.row = s.of(a.hash).visit(&a.event)
		}
		return nil
	})
}

// of is the subject with the hash.
func (s *subjects) of(hash string) *subject {
	i := slices.IndexFunc(s.all, func(one *subject) bool { return one.hash == hash })
	return s.all[i]
}
