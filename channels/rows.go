package channels

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
)

var (
	channelsTable = relation{
		"channels_channels", []string{"id"},
		[]string{"channel", "title", "grp", "retired", "merged"},
	}
	codesTable = relation{
		"channels_codes", []string{"scene"}, []string{"content", "ticket", "picture", "made_for"},
	}
	assignmentsTable = relation{
		"channels_assignments", []string{"scene", "since"}, []string{"channel"},
	}
	conversionsTable = relation{
		"channels_conversions", []string{"act"}, []string{"happened", "person", "name", "value"},
	}
	peopleTable = relation{
		"channels_people", []string{"id"}, []string{"hash", "life", "since", "expires"},
	}
	eventsTable = relation{
		"channels_events", []string{"person", "happened", "kind", "scene", "ticket"},
		[]string{"channel", "flags"},
	}
	followsTable = relation{
		"channels_follows", []string{"person", "began"},
		[]string{"channel", "how", "ended", "ending"},
	}
	hoursTable  = relation{"channels_hours", []string{"hour", "channel", "person"}, hourColumns}
	totalsTable = relation{"channels_totals", []string{"channel"}, totalColumns}
)

// tableRow is a row of one of the tables that only its person's transaction writes.
type tableRow[K comparable] interface {
	comparable
	key() K
	columns() []any // key before values
}

type personRow struct {
	person
	hash string
}

func (p personRow) key() int64 { return p.id }

func (p personRow) columns() []any {
	return []any{p.id, hashValue(p.hash), p.life, p.since, p.expires}
}

type eventRow struct {
	person int64
	event
}

type eventKey struct {
	person, at    int64
	kind          kind
	scene, ticket int64
}

func (e eventRow) key() eventKey { return eventKey{e.person, e.at, e.kind, e.scene, e.ticket} }

func (e eventRow) columns() []any {
	return []any{e.person, e.at, e.kind, e.scene, e.ticket, e.row, e.flags()}
}

type followRow struct {
	person int64
	follow
}

func (f followRow) key() [2]int64 { return [2]int64{f.person, f.start} }

func (f followRow) columns() []any {
	return []any{f.person, f.start, f.row, f.began, f.end, f.ended}
}

type hourRow struct {
	cell
	person int64
	Counts
}

func (h hourRow) key() [3]int64 { return [3]int64{h.hour, h.row, h.person} }

func (h hourRow) columns() []any {
	columns := []any{h.hour, h.row, h.person}
	for _, n := range h.summed() {
		columns = append(columns, *n)
	}
	return columns
}

// changes are what is to be written to a table: whole rows, and the keys of the removed.
type changes struct {
	relation
	added, changed, removed []any
}

// compareRows notes what makes now out of was.
func compareRows[K comparable, R tableRow[K]](c *changes, was, now []R) {
	rest := make(map[K]R, len(was))
	for _, row := range was {
		rest[row.key()] = row
	}
	for _, row := range now {
		old, there := rest[row.key()]
		delete(rest, row.key())
		switch {
		case !there:
			c.added = append(c.added, row.columns()...)
		case old != row:
			c.changed = append(c.changed, row.columns()...)
		}
	}
	for _, row := range rest {
		c.removed = append(c.removed, row.columns()[:len(c.relation.key)]...)
	}
}

// writer is what a transaction is to write.
type writer struct {
	*subjects
	people, events, follows, hours changes
	totals                         totals
	converted                      []eventRow // conversions that have become this person's
}

func newWriter(s *subjects) *writer {
	return &writer{
		subjects: s,
		people:   changes{relation: peopleTable}, events: changes{relation: eventsTable},
		follows: changes{relation: followsTable}, hours: changes{relation: hoursTable},
		totals: totals{},
	}
}

// compare notes the rows that differ, and by how much the totals do.
func (w *writer) compare(one *subject) {
	for i, p := range one.people {
		var now life
		if i < len(one.lives) {
			now = one.lives[i]
		}
		was := &one.stored[i]
		compareRows(&w.events, was.eventRows(p.id), now.eventRows(p.id))
		w.noteConverted(p.id, was.events, now.events)
		compareRows(&w.follows, was.followRows(p.id), now.followRows(p.id))
		hoursWas, hoursNow := was.tally(), now.tally()
		compareRows(&w.hours, hourRows(p.id, hoursWas), hourRows(p.id, hoursNow))
		w.totals.count(hoursWas, -1)
		w.totals.count(hoursNow, 1)
	}
}

func (w *writer) noteConverted(who int64, was, now []event) {
	for _, e := range now {
		if e.kind == conversion && !slices.Contains(was, e) {
			w.converted = append(w.converted, eventRow{who, e})
		}
	}
}

func (l *life) eventRows(who int64) (rows []eventRow) {
	for _, e := range l.events {
		rows = append(rows, eventRow{who, e})
	}
	return rows
}

func (l *life) followRows(who int64) (rows []followRow) {
	for _, f := range l.follows {
		rows = append(rows, followRow{who, f})
	}
	return rows
}

// hourRows are in the order of their table.
func hourRows(who int64, all map[cell]Counts) (rows []hourRow) {
	for at, c := range all {
		rows = append(rows, hourRow{at, who, c})
	}
	slices.SortFunc(rows, func(a, b hourRow) int {
		return cmp.Or(cmp.Compare(a.hour, b.hour), cmp.Compare(a.row, b.row))
	})
	return rows
}

// write writes the totals, whose rows everybody shares, last.
func (w *writer) write(ctx context.Context) error {
	for _, c := range []*changes{&w.people, &w.events, &w.follows, &w.hours} {
		if err := w.t.apply(ctx, c); err != nil {
			return err
		}
	}
	for _, e := range w.converted {
		const update = "UPDATE channels_conversions SET person = ? WHERE act = ?"
		if err := w.t.exec(ctx, update, e.person, e.ticket); err != nil {
			return err
		}
	}
	return w.t.insert(ctx, totalsTable, w.totals.columns(), w.t.dialect.adds(totalsTable))
}

// apply inserts what is new without regard to what is there, so that a row that
// another transaction has added meanwhile is an error.
func (t *tx) apply(ctx context.Context, c *changes) error {
	condition := strings.Join(c.key, " = ? AND ") + " = ?"
	for key := range slices.Chunk(c.removed, len(c.key)) {
		if err := t.exec(ctx, "DELETE FROM "+c.name+" WHERE "+condition, key...); err != nil {
			return err
		}
	}
	if err := t.insert(ctx, c.relation, c.changed, t.dialect.replaces(c.relation)); err != nil {
		return err
	}
	return t.insert(ctx, c.relation, c.added, "")
}

// columns are the rows of the differences, in one order for all, so that two
// transactions do not wait for each other.
func (t totals) columns() (rows []any) {
	for _, channel := range slices.Sorted(maps.Keys(t)) {
		sums := t[channel]
		if sums == (total{}) {
			continue
		}
		rows = append(rows, channel)
		for _, n := range sums.numbers() {
			rows = append(rows, *n)
		}
	}
	return rows
}
