package channels

import (
	"context"
	"database/sql"
	"iter"
	"slices"
	"strings"
	"time"
)

// cells are the columns by which the database adds up: the channel and the hour, or 0
// where the report does not tell them apart.
func (r *reader) cells() (channel, hour string) {
	channel, hour = "0", "0"
	if r.By&(ByChannel|ByGroup) != 0 {
		channel = "channel"
	}
	if r.By&byTime != 0 {
		hour = "hour"
	}
	return channel, hour
}

// byTimeIndex, behind a column of channels_hours that is grouped by, keeps SQLite from
// reading all of the index that is in the order of the column.
const byTimeIndex = " + 0"

// groupBy groups by the columns that are no constants. Without any there is one row, or
// none if there is nothing to add up: a GROUP BY of a constant would sort all rows.
func groupBy(columns ...string) string {
	columns = slices.DeleteFunc(columns, func(c string) bool { return c[0] == '0' })
	if len(columns) == 0 {
		return " HAVING COUNT(*) > 0"
	}
	return " GROUP BY " + strings.Join(columns, ", ")
}

// sumOf selects the sums of the columns.
func sumOf(columns []string) string { return "SUM(" + strings.Join(columns, "), SUM(") + ")" }

// changeSum is the sum of Counts.change.
const changeSum = "COALESCE(SUM(begun + returning_ + imported - lost - forgotten), 0)"

// readNumbers reads what can be added up. If all that ever happened is in the period,
// and the report does not tell times apart, the totals have it.
func (r *reader) readNumbers(ctx context.Context) error {
	if err := r.readExtent(ctx); err != nil {
		return err
	}
	channel, hour := r.cells()
	channel += byTimeIndex
	from, args := "channels_hours WHERE hour >= ? AND hour < ?", r.hours()
	if r.allTime {
		channel, _ = r.cells()
		from, args = "channels_totals WHERE 1 = 1", nil
	}
	return r.t.rows(ctx, func(rows *sql.Rows) error {
		var channel, hour int64
		var sum Counts
		dest := []any{&channel, &hour}
		for _, field := range sum.summed() {
			dest = append(dest, field)
		}
		err := rows.Scan(dest...)
		sum.QuickOf = sum.New + sum.Returning
		if r.Sums {
			sum.QuickLost, sum.QuickOf = 0, 0
		}
		for _, c := range []*Counts{&r.row(r.key(channel, hour*hourSeconds)).Counts, &r.total} {
			c.add(&sum, 1)
			c.QuickOf += sum.QuickOf
		}
		return err
	}, "SELECT "+channel+", "+hour+", "+sumOf(hourColumns)+" FROM "+from+r.where+
		groupBy(channel, hour), append(args, r.args...)...)
}

// hours are the first hour of the period and the one after it.
func (r *reader) hours() []any { return []any{r.from / hourSeconds, r.to / hourSeconds} }

// readExtent sets begin, end and allTime.
func (r *reader) readExtent(ctx context.Context) error {
	var first, last sql.NullInt64
	err := r.t.row(ctx, []any{&first, &last},
		"SELECT (SELECT MIN(hour) FROM channels_hours), (SELECT MAX(hour) FROM channels_hours)")
	r.begin, r.end = first.Int64*hourSeconds, (last.Int64+1)*hourSeconds
	r.allTime = r.By&byTime == 0 && r.from <= r.begin && r.end <= r.to
	return err
}

// readScanners counts the persons of each row's scans. Those of all time are among the
// totals of each channel and of the account, but not of groups.
func (r *reader) readScanners(ctx context.Context) error {
	if r.allTime && r.Group == "" && r.By&ByGroup == 0 {
		return r.readScannersOfTotals(ctx)
	}
	persons := map[rowKey][]int64{}
	channel, hour := r.cells()
	err := r.t.rows(ctx, func(rows *sql.Rows) error {
		var channel, hour, who int64
		err := rows.Scan(&channel, &hour, &who)
		k := r.key(channel, hour*hourSeconds)
		persons[k] = append(persons[k], who)
		return err
	}, "SELECT "+channel+", "+hour+", person FROM channels_hours"+
		" WHERE hour >= ? AND hour < ? AND scans > 0"+r.where, append(r.hours(), r.args...)...)

	var all []int64
	for k, of := range persons {
		of = distinct(of)
		r.row(k).Scanners = int64(len(of))
		all = append(all, of...)
	}
	r.total.Scanners = int64(len(distinct(all)))
	return err
}

// distinct sorts the numbers and leaves out repetitions.
func distinct(all []int64) []int64 {
	slices.Sort(all)
	return slices.Compact(all)
}

func (r *reader) readScannersOfTotals(ctx context.Context) error {
	channel, _ := r.cells()
	return r.t.rows(ctx, func(rows *sql.Rows) error {
		var channel, scanners, added int64
		err := rows.Scan(&channel, &scanners, &added)
		if r.Channel != "" {
			added = scanners
		}
		r.total.Scanners += added
		if r.By&ByChannel == 0 {
			scanners = added
		}
		r.row(r.key(channel, 0)).Scanners = scanners
		return err
	}, "SELECT "+channel+", SUM(scanners), SUM(account_scanners) FROM channels_totals"+
		" WHERE 1 = 1"+r.where+groupBy(channel), r.args...)
}

// beginnings joins the follows, f, to the hours, h, in which they began: see followsIn.
func (r *reader) beginnings() string {
	return r.followsIn("begun + returning_", "f.how <> 3", "f.began")
}

// losses joins the follows, f, to the hours, h, in which they were lost: see followsIn.
func (r *reader) losses() string { return r.followsIn("lost", "f.ending IN (1, 2)", "f.ended") }

// followsIn joins the follows of a kind, f, to the hours, h, that count them at one of their
// times. It takes two hours and the condition on the channel.
func (r *reader) followsIn(sum, which, at string) string {
	return " FROM (SELECT hour, channel AS owner, person FROM channels_hours" +
		" WHERE hour >= ? AND hour < ? AND " + sum + " > 0" + r.where + ") h" +
		" JOIN channels_follows f ON f.person = h.person AND f.channel = h.owner AND " + which +
		" AND " + at + " >= h.hour * 3600 AND " + at + " < h.hour * 3600 + 3600"
}

// dropYoung takes the follows that are younger than a day out of the quick losses.
func (r *reader) dropYoung(ctx context.Context) error {
	old := r.asOf - quickSeconds // the last second of those that count
	return r.t.rows(ctx, func(rows *sql.Rows) error {
		var channel int64
		f := follow{began: asNew}
		err := rows.Scan(&channel, &f.start, &f.end, &f.ended)
		for _, c := range []*Counts{&r.row(r.key(channel, f.start)).Counts, &r.total} {
			c.QuickOf--
			c.QuickLost -= f.beginning().QuickLost
		}
		return err
	}, "SELECT f.channel, f.began, f.ended, f.ending"+r.beginnings()+" WHERE f.began > ?",
		slices.Concat(
			[]any{max(r.from, old) / hourSeconds, r.to / hourSeconds}, r.args, []any{old})...)
}

// readHeld counts each selection's followers at From: those there are now, without what
// has changed since.
func (r *reader) readHeld(ctx context.Context) error {
	channel, _ := r.cells()
	narrow, args := r.activeOnly()
	narrow, args = r.where+narrow, slices.Concat(r.args, args)
	add := func(sign int64) func(*sql.Rows) error {
		return func(rows *sql.Rows) error {
			var channel, held int64
			err := rows.Scan(&channel, &held)
			r.held[r.selection(channel)] += sign * held
			return err
		}
	}
	err := r.t.rows(ctx, add(1), "SELECT "+channel+", "+changeSum+
		" FROM channels_totals WHERE 1 = 1"+narrow+groupBy(channel), args...)
	if err != nil {
		return err
	}
	channel += byTimeIndex
	err = r.t.rows(ctx, add(-1), "SELECT "+channel+", "+changeSum+
		" FROM channels_hours WHERE hour >= ?"+r.where+groupBy(channel),
		append([]any{r.to / hourSeconds}, r.args...)...)
	for k, row := range r.rows {
		k.start = 0
		r.held[k] -= row.change()
	}
	return err
}

// readTotalHeld is readHeld for the whole selection, of which only the active channels
// may have been read.
func (r *reader) readTotalHeld(ctx context.Context) error {
	if _, args := r.activeOnly(); args == nil {
		for _, held := range r.held {
			r.total.HeldStart += held
		}
		r.total.HeldEnd = r.total.HeldStart + r.total.change()
		return nil
	}
	var now, since int64
	err := r.t.row(ctx, []any{&now},
		"SELECT "+changeSum+" FROM channels_totals WHERE 1 = 1"+r.where, r.args...)
	if err != nil {
		return err
	}
	err = r.t.row(ctx, []any{&since},
		"SELECT "+changeSum+" FROM channels_hours WHERE hour >= ?"+r.where,
		append([]any{r.to / hourSeconds}, r.args...)...)
	r.total.HeldEnd = now - since
	r.total.HeldStart = r.total.HeldEnd - r.total.change()
	return err
}

// fillHeld goes through the time of each selection, also where nothing happened.
func (r *reader) fillHeld(context.Context) error {
	starts := r.starts()
	for k, held := range r.held {
		for _, k.start = range starts {
			row := r.rows[k]
			if row == nil && (r.Active || r.isTop || held == 0 || k.start > r.asOf) {
				continue
			}
			row = r.row(k)
			row.HeldStart = held
			held += row.change()
			row.HeldEnd = held
		}
	}
	return nil
}

// starts are those of the days or hours of the period, in order, from when something
// happened until now.
func (r *reader) starts() (all []int64) {
	begin, end := max(r.from, r.begin), min(r.to, max(r.end, r.asOf+1))
	switch {
	case r.By&ByWeekday != 0:
		return nil
	case r.By&ByDay != 0:
		for day := range r.daysWithin(begin, end) {
			all = append(all, day.Unix())
		}
		return all
	case r.By&ByHour == 0:
		return []int64{0}
	}
	for at := begin; at < end; at += hourSeconds {
		all = append(all, at)
	}
	return all
}

// days are the beginnings of the period's local days, of which the first and the last
// may be parts.
func (r *reader) days() iter.Seq[time.Time] { return r.daysWithin(r.from, r.to) }

// daysWithin are those of them that have an instant from begin until end.
func (r *reader) daysWithin(begin, end int64) iter.Seq[time.Time] {
	return func(yield func(time.Time) bool) {
		first := max(startOfDay(time.Unix(begin, 0).In(r.location)).Unix(), r.from)
		for at := time.Unix(first, 0).In(r.location); at.Unix() < end; at = DaysLater(at, 1) {
			if !yield(at) {
				return
			}
		}
	}
}
