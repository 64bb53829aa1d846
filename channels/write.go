package channels

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
)

// refold folds the subjects and writes what has changed by it.
func (l *Ledger) refold(ctx context.Context, s *subjects) error {
	if err := l.setRows(ctx, s); err != nil {
		return err
	}
	w := writer{subjects: s, rollup: rollup{}}
	for _, one := range s.all {
		one.lives = fold(slices.Clone(one.events), l.rules)
		if err := l.assignPeople(one, &w); err != nil {
			return err
		}
		w.compare(one)
	}
	return w.write(ctx)
}

// setRows sets the row of each event, that of its scene at its time.
func (l *Ledger) setRows(ctx context.Context, s *subjects) error {
	var scenes []int64
	for _, one := range s.all {
		for _, e := range one.events {
			if e.scene != 0 {
				scenes = append(scenes, e.scene)
			}
		}
	}
	assigned, err := l.assigned(ctx, s.t, scenes)
	if err != nil {
		return err
	}
	for _, one := range s.all {
		for i := range one.events {
			e := &one.events[i]
			e.row, e.follower = noRow, false
			switch {
			case e.scene != 0:
				e.row = rowAt(assigned[e.scene], e.at)
			case e.kind == subscribe || e.kind == found || e.kind == foundByCode:
				e.row = noCode
			}
		}
	}
	return nil
}

// assignPeople gives each life its person: those there are, in order, and new ones.
func (l *Ledger) assignPeople(one *subject, w *writer) error {
	for i := range one.lives {
		now := &one.lives[i]
		if i == len(one.people) {
			id, err := l.numbers.take()
			if err != nil {
				return err
			}
			p := person{id: id}
			if i > 0 {
				p.life = one.people[i-1].life + 1
			}
			one.people, one.stored = append(one.people, p), append(one.stored, life{})
			w.newPeople = append(w.newPeople, id)
		}
		p := &one.people[i]
		was := *p
		if i > 0 {
			p.since = now.since
		}
		p.expires = now.expires(l.rules.keep, one.previous(now, p, w.subjects.now), w.subjects.now)
		if was != *p || slices.Contains(w.newPeople, p.id) {
			w.people = append(w.people, personRow{*p, one.hash})
		}
	}
	for _, p := range one.people[len(one.lives):] {
		w.surplus = append(w.surplus, p.id)
	}
	return nil
}

// previous is when the life's hash was to go, or will go if a backfill has
// touched it.
func (s *subject) previous(l *life, p *person, now int64) int64 {
	touched := s.backfill && slices.ContainsFunc(s.added, func(e event) bool {
		return slices.ContainsFunc(l.events, func(o event) bool { return compareEvents(o, e) == 0 })
	})
	if touched {
		return max(p.expires, now+repairSeconds)
	}
	return p.expires
}

type personRow struct {
	person
	hash string
}

type eventRow struct {
	person int64
	event
}

type followRow struct {
	person int64
	follow
}

// writer is what a transaction is to write.
type writer struct {
	*subjects
	newPeople, surplus []int64
	people             []personRow
	events, oldEvents  []eventRow
	follows            []followRow
	oldFollows         []followRow
	rollup             rollup
}

// compare notes the rows that differ, and by how much the numbers do.
func (w *writer) compare(one *subject) {
	for i, p := range one.people {
		var now life
		if i < len(one.lives) {
			now = one.lives[i]
		}
		was := &one.stored[i]
		w.rollup.count(was, -1)
		w.rollup.count(&now, 1)
		for _, e := range subtract(now.events, was.events) {
			w.events = append(w.events, eventRow{p.id, e})
		}
		for _, e := range subtract(was.events, now.events) {
			w.oldEvents = append(w.oldEvents, eventRow{p.id, e})
		}
		for _, f := range subtract(now.follows, was.follows) {
			w.follows = append(w.follows, followRow{p.id, f})
		}
		for _, f := range subtract(was.follows, now.follows) {
			w.oldFollows = append(w.oldFollows, followRow{p.id, f})
		}
	}
}

// subtract returns those of a that are not in b.
func subtract[T comparable](a, b []T) []T {
	in := make(map[T]bool, len(b))
	for _, one := range b {
		in[one] = true
	}
	var rest []T
	for _, one := range a {
		if !in[one] {
			rest = append(rest, one)
		}
	}
	return rest
}

// write deletes the rows that changed and inserts them anew. The numbers, whose
// rows everybody shares, come last.
func (w *writer) write(ctx context.Context) error {
	for _, step := range []func(context.Context) error{
		w.writePeople, w.deleteEvents, w.insertEvents, w.deleteFollows, w.insertFollows, w.writeRollup,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) writePeople(ctx context.Context) error {
	var rows []any
	for _, p := range w.people {
		if slices.Contains(w.newPeople, p.id) {
			rows = append(rows, p.id, hashValue(p.hash), p.life, p.since, p.expires)
			continue
		}
		err := w.t.exec(
			ctx, "UPDATE channels_people SET since = ?, expires = ? WHERE id = ?", p.since,
			p.expires, p.id,
		)
		if err != nil {
			return err
		}
	}
	for _, id := range w.surplus {
		if err := w.t.exec(ctx, "DELETE FROM channels_people WHERE id = ?", id); err != nil {
			return err
		}
	}
	return w.t.insert(ctx, "channels_people (id, hash, life, since, expires)", 5, rows, "")
}

// hashValue is NULL for none.
func hashValue(hash string) any {
	if hash == "" {
		return nil
	}
	return []byte(hash)
}

func (w *writer) deleteEvents(ctx context.Context) error {
	for _, e := range w.oldEvents {
		err := w.t.exec(
			ctx, "DELETE FROM channels_events WHERE person = ? AND happened = ? AND kind = ?"+
				" AND scene = ? AND ticket = ?", e.person, e.at, e.kind, e.scene, e.ticket,
		)
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) insertEvents(ctx context.Context) error {
	var rows []any
	for _, e := range w.events {
		rows = append(rows, e.person, e.at, e.kind, e.scene, e.ticket, e.row, e.flags())
	}
	const into = "channels_events (person, happened, kind, scene, ticket, channel, flags)"
	return w.t.insert(ctx, into, 7, rows, "")
}

func (w *writer) deleteFollows(ctx context.Context) error {
	for _, f := range w.oldFollows {
		err := w.t.exec(
			ctx, "DELETE FROM channels_follows WHERE person = ? AND began = ?", f.person, f.start,
		)
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) insertFollows(ctx context.Context) error {
	var rows []any
	for _, f := range w.follows {
		rows = append(rows, f.person, f.start, f.row, f.began, f.end, f.ended)
	}
	return w.t.insert(
		ctx, "channels_follows (person, began, channel, how, ended, ending)", 6, rows, "",
	)
}

// writeRollup adds the differences, in one order for all, so that two
// transactions do not wait for each other.
func (w *writer) writeRollup(ctx context.Context) error {
	cells := slices.SortedFunc(maps.Keys(w.rollup), func(a, b cell) int {
		return cmp.Or(cmp.Compare(a.row, b.row), cmp.Compare(a.hour, b.hour))
	})
	var rows []any
	for _, at := range cells {
		sums := w.rollup[at]
		if sums == (Counts{}) {
			continue
		}
		rows = append(rows, at.row, at.hour)
		for _, n := range sums.summed() {
			rows = append(rows, *n)
		}
	}
	into := "channels_hours (channel, hour, " + strings.Join(hourColumns, ", ") + ")"
	suffix := w.t.dialect.adds("channels_hours", []string{"channel", "hour"}, hourColumns)
	return w.t.insert(ctx, into, 2+len(hourColumns), rows, suffix)
}
