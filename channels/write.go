package channels

import (
	"context"
	"slices"
)

// refold folds the subjects and writes what has changed by it.
func (l *Ledger) refold(ctx context.Context, s *subjects) error {
	if err := l.setRows(ctx, s); err != nil {
		return err
	}
	w := newWriter(s)
	for _, one := range s.all {
		one.lives = fold(slices.Clone(one.events), l.rules)
		if err := l.assignPeople(one, w); err != nil {
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
			case e.begins():
				e.row = noCode
			}
		}
	}
	return nil
}

// assignPeople gives each life its person: those there are, in order, and new ones.
func (l *Ledger) assignPeople(one *subject, w *writer) error {
	was := one.personRows(len(one.people))
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
		}
		p := &one.people[i]
		if i > 0 {
			p.since = now.since
		}
		p.expires = now.expires(l.rules.keep, one.previous(p, w.subjects.now), w.subjects.now)
	}
	compareRows(&w.people, was, one.personRows(len(one.lives)))
	return nil
}

// personRows are those of the first n people.
func (s *subject) personRows(n int) (rows []personRow) {
	for _, p := range s.people[:n] {
		rows = append(rows, personRow{p, s.hash})
	}
	return rows
}

// previous is when the person's hash was to go, or, after a backfill, will go at the
// earliest: an event of an archive may move what others belong to from life to life.
func (s *subject) previous(p *person, now int64) int64 {
	if s.backfill {
		return max(p.expires, now+repairSeconds)
	}
	return p.expires
}

// hashValue is NULL for none.
func hashValue(hash string) any {
	if hash == "" {
		return nil
	}
	return []byte(hash)
}
