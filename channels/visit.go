package channels

import (
	"context"
	"slices"
)

// Visit is what an event amounted to when it was recorded. Events that come
// later may change the numbers, not a Visit.
type Visit struct {
	Channel Channel   `json:"channel,omitzero"` // of the code; the zero Channel if it has none
	Kind    VisitKind `json:"kind"`
}

// VisitKind says who came.
type VisitKind string

// The kinds of visits.
const (
	NewFollower       VisitKind = "new"       // follows for the first time
	ReturningFollower VisitKind = "returning" // has followed before
	Follower          VisitKind = "follower"  // follows, and scanned a code
	Stranger          VisitKind = "stranger"  // scanned a code and is not known to follow
	Unfollower        VisitKind = "unfollow"
	Cancelled         VisitKind = "cancelled" // the WeChat account is gone, and who it was is forgotten
	Late              VisitKind = "late"      // too old to tell: only a scan counts
)

type visitKey struct{}

// VisitFrom returns what the event that is handled amounted to, and false if the
// function does not run beneath [Ledger.Record] or the event was not recorded.
func VisitFrom(ctx context.Context) (Visit, bool) {
	v, ok := ctx.Value(visitKey{}).(Visit)
	return v, ok
}

// nameChannels reads the channels of the visits.
func (l *Ledger) nameChannels(ctx context.Context, arrivals []*arrival) error {
	var rows []int64
	for _, a := range arrivals {
		rows = append(rows, a.row)
	}
	t := &tx{&l.dialect, l.db}
	known, err := t.channelsByID(ctx, rows)
	for _, a := range arrivals {
		a.visit.Channel = known[a.row]
	}
	return err
}

// visit reads off the lives what the event amounted to, and the row that it counts in.
func (s *subject) visit(e *event) (VisitKind, int64) {
	for i := range s.lives {
		l := &s.lives[i]
		at := slices.IndexFunc(l.events, func(o event) bool { return compareEvents(o, *e) == 0 })
		if at >= 0 {
			return l.visit(&l.events[at]), l.events[at].row
		}
	}
	return Late, noRow
}

func (l *life) visit(e *event) VisitKind {
	switch {
	case e.late:
		return Late
	case e.kind == unsubscribe:
		return Unfollower
	case e.kind == forget:
		return Cancelled
	case e.follower:
		return Follower
	case e.kind == scan:
		return Stranger
	}
	begun := slices.ContainsFunc(
		l.follows, func(f follow) bool { return f.start == e.at && f.began == asNew },
	)
	if begun {
		return NewFollower
	}
	return ReturningFollower
}
