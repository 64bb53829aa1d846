package channels

import (
	"cmp"
	"context"
	"database/sql"
	"maps"
	"slices"
	"time"
)

// Model says which channel a conversion counts for. [NoFollow] is the row of those for
// which there is none.
type Model string

// The models of attribution.
const (
	// ModelFollow: the channel that began the follow that was open then. The default.
	ModelFollow Model = "follow"
	// ModelFirst: the channel of the person's first scan ever, up to then. Of who had
	// never scanned, the row of their first follow.
	ModelFirst Model = "first"
	// ModelLast: the row of the latest scan or follow, at most the window before.
	ModelLast Model = "last"
)

// ConversionQuery says what a report of conversions is of. Active and Sums change nothing:
// there is no row without a number. Top is for a Report alone.
type ConversionQuery struct {
	Query
	Name   string        `json:"name,omitempty"`     // only those with this name; empty is all
	Model  Model         `json:"model"`              // ModelFollow if it is empty
	Window time.Duration `json:"window_ns,omitzero"` // of ModelLast, in whole seconds; 0 is 30 days
}

const defaultWindow = 30 * 24 * time.Hour

func (q *ConversionQuery) check() error {
	switch {
	case q.Model != ModelFollow && q.Model != ModelFirst && q.Model != ModelLast:
		return invalid("conversions: Model %q is not follow, first or last", q.Model)
	case q.Model != ModelLast && q.Window != 0:
		return invalid("conversions: Window is only for ModelLast")
	case q.Window < 0 || q.Window%time.Second != 0:
		return invalid("conversions: Window %v is not whole seconds from 0 on", q.Window)
	case q.Top != 0:
		return invalid("conversions: Top is %d: use it with Report alone", q.Top)
	}
	return q.Query.check()
}

// ConversionCounts are the numbers of a row of conversions.
type ConversionCounts struct {
	Conversions int64 `json:"conversions"`
	Converters  int64 `json:"converters"` // persons; never the sum of those of other rows
	Value       int64 `json:"value"`      // sum of Conversion.Value

	// Converted of Followers persons whose new or returning follow began here had a
	// conversion here: the rate.
	Converted int64 `json:"converted"`
	Followers int64 `json:"followers"`
}

// Rate is Converted of Followers, from 0 to 1, and false if there are none.
func (c *ConversionCounts) Rate() (rate float64, ok bool) {
	if c.Followers == 0 {
		return 0, false
	}
	return float64(c.Converted) / float64(c.Followers), true
}

// ConversionRow is what was converted in one cell of a report.
type ConversionRow struct {
	Cell
	ConversionCounts
}

// ConversionReport is the answer to a ConversionQuery.
type ConversionReport struct {
	ConversionQuery           // with the model and the window that were taken
	AsOf            time.Time `json:"as_of"`
	Open            bool      `json:"open"` // the period was not over then

	// KeepAfterUnfollow is the ledger's: it decides who is one person.
	KeepAfterUnfollow time.Duration `json:"keep_after_unfollow_ns"`

	Rows  []ConversionRow  `json:"rows"` // as those of a Report
	Total ConversionCounts `json:"total"`
}

// Conversions counts the conversions of a period by what the model says brought them.
// Attribution is by what is known now: an event that comes late, an import, Reassign
// and Merge change it. That somebody was forgotten does not.
//
// Errors: wechatqr.ErrInvalidArgument; [ErrUnknownChannel].
func (l *Ledger) Conversions(ctx context.Context, q ConversionQuery) (*ConversionReport, error) {
	q.Model = cmp.Or(q.Model, ModelFollow)
	if err := q.check(); err != nil {
		return nil, err
	}
	if q.Model == ModelLast {
		q.Window = cmp.Or(q.Window, defaultWindow)
	}
	var report *ConversionReport
	err := l.readSettled(ctx, func(t *tx) (err error) {
		report, err = l.conversions(ctx, t, q)
		return err
	})
	return report, failed("conversions", err)
}

func (l *Ledger) conversions(
	ctx context.Context, t *tx, q ConversionQuery,
) (*ConversionReport, error) {
	r := &conversionReader{
		reader: l.newReader(t, q.Query), query: &q, traces: map[int64]*trace{},
		sums: map[rowKey]*conversionSum{}, total: newConversionSum(),
	}
	for _, step := range []func(context.Context) error{
		r.selectAsked, r.readConversions, r.readScans, r.readFollows, r.readBegun,
	} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	r.attribute()
	return &ConversionReport{
		ConversionQuery: q, AsOf: r.madeAt(), Open: r.asOf < r.to,
		KeepAfterUnfollow: l.config.KeepAfterUnfollow,
		Rows:              r.conversionRows(), Total: r.total.counts(),
	}, nil
}

// conversionReader makes one report of conversions.
type conversionReader struct {
	*reader
	query  *ConversionQuery
	traces map[int64]*trace // by person, of who has a conversion in the period

	sums  map[rowKey]*conversionSum
	total *conversionSum
}

// selectAsked reads the channels that were asked for, also those in which nothing but
// conversions happened.
func (r *conversionReader) selectAsked(ctx context.Context) error {
	r.Active, r.Sums = false, false
	if err := r.selectChannels(ctx); err != nil || r.where == "" || r.channels != nil {
		return err
	}
	var err error
	r.channels, err = r.t.channels(ctx, r.among, r.args...)
	return err
}

// conversionSum is the numbers of a row in the making.
type conversionSum struct {
	conversions, value  int64
	converters, started map[int64]bool // persons
}

func newConversionSum() *conversionSum {
	return &conversionSum{converters: map[int64]bool{}, started: map[int64]bool{}}
}

func (s *conversionSum) counts() ConversionCounts {
	c := ConversionCounts{
		Conversions: s.conversions, Converters: int64(len(s.converters)), Value: s.value,
		Followers: int64(len(s.started)),
	}
	for who := range s.converters {
		if s.started[who] {
			c.Converted++
		}
	}
	return c
}

// add calls fn with the sum of the row and with that of all rows.
func (r *conversionReader) add(row, at int64, fn func(*conversionSum)) {
	k := r.key(row, at)
	if r.sums[k] == nil {
		r.sums[k] = newConversionSum()
	}
	fn(r.sums[k])
	fn(r.total)
}

// readConversions reads those of the period.
func (r *conversionReader) readConversions(ctx context.Context) error {
	query := "SELECT person, happened, value FROM channels_conversions" +
		" WHERE happened >= ? AND happened < ?"
	args := []any{r.from, r.to}
	if r.query.Name != "" {
		query, args = query+" AND name = ?", append(args, r.query.Name)
	}
	return r.t.rows(ctx, func(rows *sql.Rows) error {
		var who int64
		var one act
		if err := rows.Scan(&who, &one.at, &one.value); err != nil {
			return err
		}
		if r.traces[who] == nil {
			r.traces[who] = &trace{}
		}
		r.traces[who].acts = append(r.traces[who].acts, one)
		return nil
	}, query, args...)
}

// converters selects who has a conversion in the period.
const converters = " AND person IN (SELECT person FROM channels_conversions" +
	" WHERE happened >= ? AND happened < ?)"

// readScans reads all scans of who has a conversion, in order.
func (r *conversionReader) readScans(ctx context.Context) error {
	return r.t.rows(ctx, func(rows *sql.Rows) error {
		var who int64
		var e event
		err := rows.Scan(&who, &e.at, &e.kind, &e.scene, &e.row)
		if of := r.traces[who]; of != nil {
			of.scans = append(of.scans, e)
		}
		return err
	}, "SELECT person, happened, kind, scene, channel FROM channels_events"+
		" WHERE kind IN (1, 2) AND scene <> 0"+converters+
		" ORDER BY person, happened, kind, scene", r.from, r.to)
}

// readFollows reads all follows of who has a conversion, in order.
func (r *conversionReader) readFollows(ctx context.Context) error {
	return r.t.rows(ctx, func(rows *sql.Rows) error {
		var who int64
		var f follow
		err := rows.Scan(&who, &f.start, &f.row, &f.end, &f.ended)
		if of := r.traces[who]; of != nil {
			of.follows = append(of.follows, f)
		}
		return err
	}, "SELECT person, began, channel, ended, ending FROM channels_follows"+
		" WHERE 1 = 1"+converters+" ORDER BY person, began", r.from, r.to)
}

// readBegun reads whose follow began in each row. Imported ones are left out.
func (r *conversionReader) readBegun(ctx context.Context) error {
	return r.t.rows(ctx, func(rows *sql.Rows) error {
		var who, channel, hour int64
		err := rows.Scan(&who, &channel, &hour)
		r.add(channel, hour*hourSeconds, func(s *conversionSum) { s.started[who] = true })
		return err
	}, "SELECT person, channel, hour FROM channels_hours"+
		" WHERE hour >= ? AND hour < ? AND begun + returning_ > 0"+r.where,
		append(r.hours(), r.args...)...)
}

// attribute counts each conversion in the row that the model says, if it is asked for.
func (r *conversionReader) attribute() {
	window := int64(r.query.Window / time.Second)
	for who, of := range r.traces {
		touches := of.touches()
		for _, one := range of.acts {
			row := attribute(touches, r.query.Model, one.at, window)
			if _, asked := r.channels[row]; r.where != "" && !asked {
				continue
			}
			r.add(row, one.at, func(s *conversionSum) {
				s.conversions++
				s.value += one.value
				s.converters[who] = true
			})
		}
	}
}

// conversionRows leaves out those that are empty.
func (r *conversionReader) conversionRows() []ConversionRow {
	var rows []ConversionRow
	for _, k := range slices.SortedFunc(maps.Keys(r.sums), r.compareKeys) {
		rows = append(rows, ConversionRow{r.cell(k), r.sums[k].counts()})
	}
	return rows
}

// trace is what a conversion is attributed by: one person's scans and follows in the
// order of their time.
type trace struct {
	acts    []act
	scans   []event
	follows []follow
}

// touch is a scan, or the start of a follow. Within a second rank is its place.
type touch struct {
	at, rank, row int64
	follow        *follow // nil for a scan
}

// The places in a second of somebody who does not follow when it begins, and of
// somebody who does, whose subscribe comes after the rest: see folder.second.
const (
	rankSubscribe = iota
	rankScan
	rankConversion
	rankSubscribeAgain
)

func (c *trace) touches() []touch {
	var all []touch
	for _, e := range c.scans {
		rank := int64(rankScan)
		if e.kind == subscribe {
			rank = c.subscribeRank(e.at)
		}
		all = append(all, touch{e.at, rank, e.row, nil})
	}
	for i := range c.follows {
		f := &c.follows[i]
		all = append(all, touch{f.start, c.subscribeRank(f.start), f.row, f})
	}
	slices.SortStableFunc(all, touch.compare)
	return all
}

func (c *trace) subscribeRank(at int64) int64 {
	followed := slices.ContainsFunc(c.follows, func(f follow) bool {
		return f.start < at && f.openAt(at)
	})
	if followed {
		return rankSubscribeAgain
	}
	return rankSubscribe
}

// openAt reports whether the follow, which has begun, had not ended before that second.
func (f *follow) openAt(at int64) bool { return f.ended == stillOpen || f.end >= at }

func (a touch) compare(b touch) int {
	return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.rank, b.rank))
}

// attribute returns the row of a conversion in that second, given all touches in order.
func attribute(touches []touch, model Model, at, window int64) int64 {
	n, _ := slices.BinarySearchFunc(touches, touch{at: at, rank: rankConversion}, touch.compare)
	before := touches[:n]
	if n == 0 {
		return noFollow
	}
	switch model {
	case ModelFirst:
		firstScan := slices.IndexFunc(before, func(one touch) bool { return one.follow == nil })
		return before[max(firstScan, 0)].row
	case ModelLast:
		if last := before[n-1]; last.at >= at-window {
			return last.row
		}
		return noFollow
	}
	for _, one := range slices.Backward(before) {
		if one.follow != nil && one.follow.openAt(at) {
			return one.row
		}
	}
	return noFollow
}
