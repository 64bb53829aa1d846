package channels

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
)

// population is what happens in an account of shops: persons follow by a code, some
// without, scan again, leave, and come back. The same seed makes the same events.
type population struct {
	events, channels int // about and exactly
	from, to         int64
	seed             uint64
}

const eventsAPerson = 2.35 // as people makes them

// twoYears is an account of that many events until monday.
func twoYears(events, channels int) population {
	return population{
		events: events, channels: channels, seed: 1,
		from: monday.AddDate(-2, 0, 0).Unix(), to: monday.Unix(),
	}
}

// channel has ten regions with a hundred towns in all.
func (p *population) channel(n int) Channel {
	return Channel{
		Key: fmt.Sprintf("shop-%05d", n), Name: fmt.Sprintf("门店 %d", n),
		Group: fmt.Sprintf("region-%d/town-%02d", n%10, n%100),
	}
}

func (p *population) scene(n int) string { return fmt.Sprintf("s%d", n) }

// individual is a person and their events, of which channel is the number, from 0 on.
type individual struct {
	openID string
	events []happened
}

type happened struct {
	at      int64
	kind    kind
	channel int // -1 for none
}

// people yields everybody in the order of their first events.
func (p *population) people(yield func(individual) bool) {
	r := rand.New(rand.NewPCG(p.seed, 2))
	n := int(float64(p.events) / eventsAPerson)
	firsts := make([]int64, n)
	for i := range firsts {
		firsts[i] = p.from + r.Int64N(p.to-p.from)
	}
	slices.Sort(firsts)
	for i, first := range firsts {
		if !yield(individual{fmt.Sprintf("o-%08d-0123456789abcdef", i), p.live(r, first)}) {
			return
		}
	}
}

// anyChannel prefers the low ones: the first has a hundred times the events of one in
// the middle of ten thousand.
func (p *population) anyChannel(r *rand.Rand) int {
	u := r.Float64()
	return int(u * u * float64(p.channels))
}

func (p *population) live(r *rand.Rand, at int64) (all []happened) {
	own := p.anyChannel(r)
	for {
		begin := happened{at, subscribe, own}
		if r.IntN(10) == 0 {
			begin.channel = -1
		}
		all = append(all, begin)
		for ; r.IntN(2) == 0; all = append(all, happened{at, scan, own}) {
			at += 1 + r.Int64N(60*oneDay)
		}
		if r.IntN(5) < 3 {
			break
		}
		stay := int64(90 * oneDay)
		if r.IntN(5) == 0 {
			stay = 2 * oneDay
		}
		at += 1 + r.Int64N(stay)
		all = append(all, happened{at, unsubscribe, -1})
		if r.IntN(10) > 0 {
			break
		}
		at += 1 + r.Int64N(20*oneDay)
		own = p.anyChannel(r)
	}
	return slices.DeleteFunc(all, func(h happened) bool { return h.at >= p.to })
}

// push is the event as WeChat sends it.
func (p *population) push(who string, h happened) *wechatqr.Event {
	what := map[kind]wechatqr.EventType{
		subscribe: wechatqr.EventSubscribe, scan: wechatqr.EventScan,
		unsubscribe: wechatqr.EventUnsubscribe,
	}[h.kind]
	scene := ""
	if h.channel >= 0 {
		scene = p.scene(h.channel)
	}
	return newPush(who, time.Unix(h.at, 0), what, scene)
}

// bulk writes a population into a ledger, whose clock is at its end, as if each of its
// events had been recorded in its own second.
type bulk struct {
	*population
	ledger   *Ledger
	ids      []int64 // of the channels
	rows     bulkRows
	totals   totals
	recorded int
}

type bulkRows struct {
	people  []personRow
	events  []eventRow
	follows []followRow
	hours   []hourRow
}

const bulkRowsAtOnce = 200_000

// load loads the population and returns the number of its events.
func (b *bulk) load(ctx context.Context) (int, error) {
	b.totals = totals{}
	if err := b.makeChannels(ctx); err != nil {
		return 0, err
	}
	for who := range b.people {
		if err := b.add(ctx, who); err != nil {
			return 0, err
		}
		if len(b.rows.people) < bulkRowsAtOnce {
			continue
		}
		if err := b.flush(ctx, who.events[0].at); err != nil {
			return 0, err
		}
	}
	if err := b.flush(ctx, b.to); err != nil {
		return 0, err
	}
	return b.recorded, b.ledger.transact(ctx, func(t *tx) error {
		return t.insert(ctx, totalsTable, b.totals.columns(), "")
	})
}

func (b *bulk) number(ctx context.Context) (int64, error) {
	id, err := b.ledger.numbers.take()
	if errors.Is(err, errNoNumbers) {
		if err := b.ledger.reserve(ctx); err != nil {
			return 0, err
		}
		return b.ledger.numbers.take()
	}
	return id, err
}

func (b *bulk) makeChannels(ctx context.Context) error {
	var all, codes, owned []any
	for n := range b.channels {
		id, err := b.number(ctx)
		if err != nil {
			return err
		}
		b.ids = append(b.ids, id)
		c, scene := b.channel(n), b.scene(n)
		all = append(all, id, c.Key, c.Name, c.Group, 0, 0)
		codes = append(codes, textID(scene), scene, "", "", nil)
		owned = append(owned, textID(scene), 0, id)
	}
	return b.ledger.transact(ctx, func(t *tx) error {
		return errors.Join(
			t.insert(ctx, channelsTable, all, ""),
			t.insert(ctx, codesTable, codes, ""),
			t.insert(ctx, assignmentsTable, owned, ""),
			t.exec(ctx, "UPDATE channels_counters SET value = ? WHERE name LIKE 'rules%'",
				b.channels),
		)
	})
}

// add folds the person's events into rows.
func (b *bulk) add(ctx context.Context, who individual) error {
	b.recorded += len(who.events)
	var all []event
	for _, h := range who.events {
		e := event{at: h.at, kind: h.kind}
		switch {
		case h.channel >= 0:
			scene := b.scene(h.channel)
			e.scene, e.ticket, e.row = textID(scene), ticketID("ticket of "+scene), b.ids[h.channel]
		case h.kind == subscribe:
			e.row = noCode
		}
		all = append(all, e)
	}
	id, err := b.number(ctx)
	if err != nil {
		return err
	}
	lives := fold(all, b.ledger.rules)
	if len(lives) != 1 {
		return fmt.Errorf("%v has %d lives", who, len(lives))
	}
	l, now := &lives[0], b.ledger.now().Unix()
	row := personRow{person{id: id, expires: l.expires(b.ledger.rules.keep, 0, now)},
		b.ledger.hash(who.openID)}
	if row.expires != 0 && row.expires <= now {
		row.hash = ""
	}
	sums := l.tally()
	b.totals.count(sums, 1)
	b.rows.people = append(b.rows.people, row)
	b.rows.events = append(b.rows.events, l.eventRows(id)...)
	b.rows.follows = append(b.rows.follows, l.followRows(id)...)
	b.rows.hours = append(b.rows.hours, hourRows(id, sums)...)
	return nil
}

// flush writes the rows of before, in the order in which they came to be.
func (b *bulk) flush(ctx context.Context, before int64) error {
	w := newWriter(nil)
	for _, p := range b.rows.people {
		w.people.added = append(w.people.added, p.columns()...)
	}
	b.rows.people = b.rows.people[:0]
	b.rows.events = takeBefore(&w.events, before, b.rows.events,
		func(e eventRow) int64 { return e.at })
	b.rows.follows = takeBefore(&w.follows, before, b.rows.follows,
		func(f followRow) int64 { return f.start })
	b.rows.hours = takeBefore(&w.hours, before, b.rows.hours,
		func(h hourRow) int64 { return h.hour * hourSeconds })
	return b.ledger.transact(ctx, func(t *tx) error {
		for _, c := range []*changes{&w.people, &w.events, &w.follows, &w.hours} {
			if err := t.apply(ctx, c); err != nil {
				return err
			}
		}
		return nil
	})
}

// takeBefore moves the rows of before to what is written, and returns the others.
func takeBefore[K comparable, R tableRow[K]](
	c *changes, before int64, rows []R, at func(R) int64,
) []R {
	slices.SortStableFunc(rows, func(a, b R) int { return cmp.Compare(at(a), at(b)) })
	n, _ := slices.BinarySearchFunc(rows, before, func(row R, before int64) int {
		return cmp.Compare(at(row), before)
	})
	for _, row := range rows[:n] {
		c.added = append(c.added, row.columns()...)
	}
	return slices.Delete(rows, 0, n)
}

// openAtEnd opens a ledger whose clock is at the end of the population.
func (p *population) openAtEnd(t testing.TB, d Dialect, db *sql.DB) (*Ledger, *clock) {
	t.Helper()
	c := &clock{time.Unix(p.from, 0)}
	l, err := openAt(t.Context(), db, d, testConfig, c.now)
	require.NoError(t, err)
	c.Time = time.Unix(p.to, 0)
	return l, c
}

// What is loaded in bulk for the benchmarks is, row by row, what Record writes.
func TestBulkIsWhatRecordWrites(t *testing.T) {
	t.Parallel()
	p := twoYears(1500, 40)
	bulkDB, recordDB := newDB(t, SQLite), newDB(t, SQLite)
	l, _ := p.openAtEnd(t, SQLite, bulkDB)
	n, err := (&bulk{population: &p, ledger: l}).load(t.Context())
	require.NoError(t, err)
	assert.InDelta(t, p.events, n, 150)

	l, c := p.openAtEnd(t, SQLite, recordDB)
	for n := range p.channels {
		require.NoError(t, l.Adopt(t.Context(), wechatqr.SceneString(p.scene(n)), p.channel(n)))
	}
	var pushes []*wechatqr.Event
	for who := range p.people {
		for _, h := range who.events {
			pushes = append(pushes, p.push(who.openID, h))
		}
	}
	slices.SortStableFunc(pushes, func(a, b *wechatqr.Event) int {
		return a.CreateTime.Compare(b.CreateTime)
	})
	for _, ev := range pushes {
		c.Time = ev.CreateTime
		_, err := l.RecordEvent(t.Context(), ev)
		require.NoError(t, err)
	}
	c.Time = time.Unix(p.to, 0)
	require.NoError(t, l.DeleteExpired(t.Context()))
	want := dump(t, recordDB)
	assert.Contains(t, want, "channels_hours")
	assert.Equal(t, want, dump(t, bulkDB))
}

// dump is every row of every table of the ledger, in SQLite.
func dump(t *testing.T, db *sql.DB) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	for _, name := range column(t, db, "SELECT name FROM sqlite_master WHERE type = 'table'") {
		var fields []string
		for _, field := range column(t, db, "SELECT name FROM pragma_table_info('"+name+"')") {
			fields = append(fields, "quote("+field+")")
		}
		all[name] = column(t, db,
			"SELECT "+strings.Join(fields, " || ' ' || ")+" FROM "+name+" ORDER BY 1")
	}
	return all
}

// column is the first column of the rows.
func column(t *testing.T, db *sql.DB, query string) (all []string) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query)
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var text string
		require.NoError(t, rows.Scan(&text))
		all = append(all, text)
	}
	require.NoError(t, rows.Err())
	return all
}
