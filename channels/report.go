package channels

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/wechatqr/wechatqr/internal/sqltx"
)

// By says what a report has a row for: ByDay | ByChannel has one for each
// channel on each day. Of the times, and of channel and group, one at most.
type By int

// The dimensions of a report; 0 is one row for everything.
const (
	ByDay     By = 1 << iota // of Config.Location
	ByHour                   // of the clock, with its date
	ByWeekday                // weekday × hour, all weeks together
	ByChannel
	ByGroup

	byTime = ByDay | ByHour | ByWeekday
)

// Query says what a report is of.
type Query struct {
	// From and To bound the period: From belongs to it, To does not. Both are
	// full hours.
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
	By   By        `json:"by"`

	// Group narrows the report to the channels of the group and of those beneath
	// it: 华东 has those of 华东/门店. Channel narrows it to the channel with this
	// key. Empty is the whole account, with the follows that no channel began.
	Group   string `json:"group,omitempty"`
	Channel string `json:"channel,omitempty"`

	// Active leaves out the rows in which nothing happened: those of channels that
	// only held followers. Total is what it is without it.
	Active bool `json:"active,omitempty"`

	// Top, with ByChannel alone, leaves the rows of so many channels with the greatest net
	// and of as many with the least, of those in which something happened; among equals the
	// one with more lost is the lesser, then the one made later. The rows that are no
	// channel's stay if something happened. Total is what it is without it; 0 is all rows.
	// It is for a Report alone.
	Top int `json:"top,omitempty"`

	// Sums reads the numbers that add up alone, for charts of many hours or channels:
	// Scanners, HeldStart, HeldEnd, QuickLost and QuickOf are 0. It takes a fraction of the
	// time, and leaves out the same rows as Active.
	Sums bool `json:"sums,omitempty"`
}

// Origin says which row of a report it is.
type Origin string

// The origins: a channel, or one of those that are none.
const (
	OfChannel   Origin = ""         // of a channel, or of all that the row is of
	NoCode      Origin = "no code"  // follows that no code began
	CodeUnknown Origin = "unknown"  // by a code that is no channel's, or that WeChat did not name
	Imported    Origin = "imported" // imported follows, by no channel's code

	// NoFollow is the row of conversions for which the model finds nothing: no follow
	// that was open, or for the other models no scan and no follow.
	NoFollow Origin = "no follow"
)

// Row is what happened in one cell of a report.
type Row struct {
	Cell
	Counts
}

// Cell is what a row of a report is of: a channel, a day, or both.
type Cell struct {
	Start   time.Time    `json:"start"` // of the day or hour, else of the period
	Weekday time.Weekday `json:"weekday"`
	Hour    int          `json:"hour"` // with ByWeekday

	Origin  Origin  `json:"origin,omitempty"`
	Channel Channel `json:"channel,omitzero"` // with ByChannel
	Group   string  `json:"group,omitempty"`  // with ByGroup
}

// Counts are the numbers of a row. docs/counting.md defines each of them.
type Counts struct {
	Scans         int64 `json:"scans"`
	Scanners      int64 `json:"scanners"` // never the sum of those of other rows
	FollowerScans int64 `json:"follower_scans"`
	New           int64 `json:"new"`
	Returning     int64 `json:"returning"`
	Lost          int64 `json:"lost"`
	Imported      int64 `json:"imported"`
	Forgotten     int64 `json:"forgotten"`

	// HeldStart and HeldEnd are the open follows at the row's start and end:
	// HeldEnd = HeldStart + Net() + Imported − Forgotten. With ByWeekday they are 0.
	HeldStart int64 `json:"held_start"`
	HeldEnd   int64 `json:"held_end"`

	// QuickLost of QuickOf new and returning follows that began here were lost at
	// most 24 hours later (速取关); those younger at AsOf are in neither. Imported
	// ones are not either: who left before the import is not known.
	QuickLost int64 `json:"quick_lost"`
	QuickOf   int64 `json:"quick_of"`
}

// Net is new and returning without lost.
func (c *Counts) Net() int64 { return c.New + c.Returning - c.Lost }

// Report is the answer to a Query. As JSON it has the same numbers, with By as the sum
// of its constants' values: 1, 2, 4, 8 and 16, and what [Report.MarshalJSON] adds.
type Report struct {
	Query
	AsOf time.Time `json:"as_of"` // when it was made
	Open bool      `json:"open"`  // the period was not over then

	// KeepAfterUnfollow is the ledger's: it decides between new and returning.
	KeepAfterUnfollow time.Duration `json:"keep_after_unfollow_ns"`

	Rows  []Row  `json:"rows"`  // in order of time, then key; those without any number are left out
	Total Counts `json:"total"` // of the whole selection and period

	// Extra are columns that a program adds before it writes the report. A Report that
	// the ledger returns has none.
	Extra []ExtraColumn `json:"-"`
}

// ExtraColumn is a column of a Report that is not the ledger's.
type ExtraColumn struct {
	Definition
	Numbers []json.Number `json:"numbers"` // of each row, and then of the total; empty: none
}

// at is the number of a row, or after the last one of the total.
func (c *ExtraColumn) at(row int) json.Number {
	if row < len(c.Numbers) {
		return c.Numbers[row]
	}
	return ""
}

// Report counts. Every row of a report and all reports agree, since all numbers
// are read in one transaction and count the same follows.
//
// Errors: wechatqr.ErrInvalidArgument; [ErrUnknownChannel].
func (l *Ledger) Report(ctx context.Context, q Query) (*Report, error) {
	if err := q.check(); err != nil {
		return nil, err
	}
	var r *Report
	err := l.readSettled(ctx, func(t *tx) (err error) {
		r, err = l.report(ctx, t, q)
		return err
	})
	return r, failed("report", err)
}

func (q *Query) check() error {
	times, selections := 0, 0
	for _, dimension := range []By{ByDay, ByHour, ByWeekday} {
		if q.By&dimension != 0 {
			times++
		}
	}
	for _, dimension := range []By{ByChannel, ByGroup} {
		if q.By&dimension != 0 {
			selections++
		}
	}
	switch {
	case q.By&^(byTime|ByChannel|ByGroup) != 0:
		return invalid("query: By is %d: use ByDay, ByHour, ByWeekday, ByChannel, ByGroup", q.By)
	case times > 1 || selections > 1:
		return invalid("query: By has two times, or both channel and group")
	case !q.From.Before(q.To):
		return invalid("query: From %v is not before To %v", q.From, q.To)
	case q.From.Unix()%hourSeconds != 0 || q.To.Unix()%hourSeconds != 0 || q.From.Nanosecond()+q.To.Nanosecond() != 0:
		return invalid("query: From and To are not full hours")
	case q.Group != "" && q.Channel != "":
		return invalid("query: Group and Channel are set: use one")
	case q.Top < 0 || q.Top > 0 && q.By != ByChannel:
		return invalid("query: Top is %d with By %d: use it with ByChannel alone", q.Top, q.By)
	}
	return nil
}

// readSettled runs fn in a transaction that sees one state of the database, in
// which no person is still to be folded.
func (l *Ledger) readSettled(ctx context.Context, fn func(*tx) error) error {
	for {
		stale := int64(0)
		err := l.read(ctx, func(t *tx) error {
			err := t.row(ctx, []any{&stale}, "SELECT COUNT(*) FROM channels_stale")
			if err != nil || stale > 0 {
				return err
			}
			return fn(t)
		})
		if err != nil || stale == 0 {
			return err
		}
		if err := l.refoldStale(ctx); err != nil {
			return err
		}
	}
}

func (l *Ledger) read(ctx context.Context, fn func(*tx) error) error {
	return repeat(ctx, func() error {
		t, err := sqltx.Begin(ctx, l.db, l.dialect.beginRead...)
		if err != nil {
			return err
		}
		defer t.Rollback(ctx)
		return fn(&tx{&l.dialect, t})
	})
}

// reader makes one report.
type reader struct {
	*Query
	t        *tx
	location *time.Location
	asOf     int64
	from, to int64 // Unix seconds

	channels map[int64]Channel
	among    string // the condition on channels that selects them
	where    string // narrows to those channels
	args     []any

	begin, end int64 // of all that ever happened, in full hours

	allTime bool // all that ever happened is in the period, and By has no time
	isTop   bool // rows has what Top leaves, and gets no more

	rows  map[rowKey]*Row
	held  map[rowKey]int64 // at From, of each selection
	total Counts
}

func (l *Ledger) newReader(t *tx, q Query) *reader {
	return &reader{
		Query: &q, t: t, location: l.config.Location, asOf: l.now().Unix(),
		from: q.From.Unix(), to: q.To.Unix(), rows: map[rowKey]*Row{}, held: map[rowKey]int64{},
	}
}

func (l *Ledger) report(ctx context.Context, t *tx, q Query) (*Report, error) {
	r := l.newReader(t, q)
	steps := []func(context.Context) error{r.selectChannels, r.readNumbers, r.leaveTop}
	if !q.Sums {
		steps = append(steps,
			r.readScanners, r.dropYoung, r.readHeld, r.readTotalHeld, r.fillHeld)
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return &Report{
		Query: q, AsOf: r.madeAt(), Open: r.asOf < r.to,
		KeepAfterUnfollow: l.config.KeepAfterUnfollow,
		Rows:              r.sorted(), Total: r.total,
	}, nil
}

// madeAt is when the report is made.
func (r *reader) madeAt() time.Time { return time.Unix(r.asOf, 0).In(r.location) }

// selectChannels sets the condition that selects the rows of the report's channels, and
// reads those channels that rows will name.
func (r *reader) selectChannels(ctx context.Context) error {
	r.among = "1 = 1"
	switch {
	case r.Channel != "":
		id, err := r.t.channelID(ctx, r.Channel)
		if err != nil {
			return err
		}
		r.among, r.args, r.where = "id = ?", []any{id}, " AND channel = ?"
	case r.Group != "":
		beneath := r.Group + "/"
		r.among = "(grp = ? OR SUBSTR(grp, 1, ?) = ?)" // SQLite's LIKE takes a for A
		r.args = []any{r.Group, utf8.RuneCountInString(beneath), beneath}
		r.where = " AND channel IN (SELECT id FROM channels_channels WHERE " + r.among + ")"
	}
	if r.By&(ByChannel|ByGroup) == 0 || r.Top > 0 { // leaveTop reads those that it leaves
		return nil
	}
	active, args := r.activeOnly()
	where := r.among + strings.Replace(active, "channel", "id", 1)
	var err error
	r.channels, err = r.t.channels(ctx, where, slices.Concat(r.args, args)...)
	return err
}

// leaveTop leaves the rows that Top wants, and of the special ones those that are there.
func (r *reader) leaveTop(ctx context.Context) (err error) {
	if r.Top == 0 {
		return nil
	}
	keys := slices.Collect(maps.Keys(r.rows))
	keys = slices.DeleteFunc(keys, func(k rowKey) bool {
		return k.channel < 0 || r.rows[k].Counts == Counts{}
	})
	slices.SortFunc(keys, func(a, b rowKey) int {
		x, y := r.rows[a], r.rows[b]
		return cmp.Or(cmp.Compare(y.Net(), x.Net()), cmp.Compare(x.Lost, y.Lost),
			cmp.Compare(a.channel, b.channel))
	})
	for i, k := range keys {
		if i >= r.Top && i < len(keys)-r.Top {
			delete(r.rows, k)
		}
	}
	r.isTop = true
	ids := slices.DeleteFunc(r.rowChannels(), func(id int64) bool { return id < 0 })
	r.channels, err = r.t.channelsByID(ctx, ids)
	for k, row := range r.rows {
		row.Cell = r.cell(k)
	}
	return err
}

// rowChannels are the channels of the rows.
func (r *reader) rowChannels() (ids []int64) {
	for k := range r.rows {
		ids = append(ids, k.channel)
	}
	return ids
}

// activeOnly is the condition that selects the channels that a report of Active ones, or
// of those of Top, has rows of.
func (r *reader) activeOnly() (condition string, args []any) {
	if r.isTop {
		ids := append(r.rowChannels(), noFollow) // which none is, so that there is one
		return " AND channel IN " + marks(len(ids)), anys(ids)
	}
	if !r.Active && !r.Sums || r.By&ByChannel == 0 {
		return "", nil
	}
	const active = " AND channel IN (SELECT channel FROM channels_hours WHERE hour >= ? AND hour < ?)"
	return active, r.hours()
}

// rowKey says which row of the report a number belongs to.
type rowKey struct {
	start   int64 // of the day or hour; with ByWeekday the hour of the week
	channel int64 // with ByChannel, and of the special rows
	group   string
}

// key is that of the row for what the channel did at that time.
func (r *reader) key(channel, at int64) rowKey {
	k := r.selection(channel)
	local := time.Unix(at, 0).In(r.location)
	switch {
	case r.By&ByDay != 0:
		k.start = max(startOfDay(local).Unix(), r.from)
	case r.By&ByHour != 0:
		k.start = at - at%hourSeconds
	case r.By&ByWeekday != 0:
		k.start = int64(local.Weekday())*24 + int64(local.Hour())
	}
	return k
}

// selection is the key without the time.
func (r *reader) selection(channel int64) (k rowKey) {
	switch {
	case r.By&ByChannel != 0, r.By&ByGroup != 0 && channel < 0:
		k.channel = channel
	case r.By&ByGroup != 0:
		k.group = r.channels[channel].Group
	}
	return k
}

// startOfDay is the first hour of the day. Where summer time begins at midnight, that is
// 1:00, for which time.Date has 23:00 of the day before; where it ends then, there are two.
func startOfDay(local time.Time) time.Time {
	year, month, day := local.Date()
	start := time.Date(year, month, day, 0, 0, 0, 0, local.Location()).Add(-time.Hour)
	for start.Day() != day {
		start = start.Add(time.Hour)
	}
	return start
}

// DaysLater returns the first instant of the day that is n days after that of local, in local's
// zone: midnight, or 1:00 where the clocks leave midnight out, for which time.Date has 23:00 of
// the day before. With n 0 it is the day's own, and n may be below 0. The days of reports begin
// so, and [Ledger.Retention] wants them to.
func DaysLater(local time.Time, n int) time.Time {
	year, month, day := local.Date()
	noon := time.Date(year, month, day+n, 12, 0, 0, 0, local.Location()) // each day has one
	return startOfDay(noon)
}

// row is the row with the key, made if it is not there. It is none of the report's if Top
// has not left it.
func (r *reader) row(k rowKey) *Row {
	if row := r.rows[k]; row != nil {
		return row
	}
	row := &Row{Cell: r.cell(k)}
	if !r.isTop {
		r.rows[k] = row
	}
	return row
}

func (r *reader) cell(k rowKey) Cell {
	c := Cell{Start: r.From.In(r.location), Group: k.group}
	switch {
	case r.By&(ByDay|ByHour) != 0:
		c.Start = time.Unix(k.start, 0).In(r.location)
	case r.By&ByWeekday != 0:
		c.Weekday, c.Hour = time.Weekday(k.start/24), int(k.start%24)
	}
	switch k.channel {
	case noCode:
		c.Origin = NoCode
	case codeUnknown:
		c.Origin = CodeUnknown
	case importedRow:
		c.Origin = Imported
	case noFollow:
		c.Origin = NoFollow
	default:
		c.Channel = r.channels[k.channel]
	}
	return c
}

// compareKeys is the order of a report's rows.
func (r *reader) compareKeys(a, b rowKey) int {
	return cmp.Or(
		cmp.Compare(a.start, b.start),
		cmp.Compare(min(b.channel, 0), min(a.channel, 0)), // the special ones last
		cmp.Compare(r.channels[a.channel].Key, r.channels[b.channel].Key),
		cmp.Compare(a.group, b.group),
	)
}

// sorted leaves out the rows that are empty.
func (r *reader) sorted() []Row {
	var rows []Row
	for _, k := range slices.SortedFunc(maps.Keys(r.rows), r.compareKeys) {
		if row := r.rows[k]; row.Counts != (Counts{}) {
			rows = append(rows, *row)
		}
	}
	return rows
}
