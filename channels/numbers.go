package channels

import (
	"context"
	"database/sql"
	"iter"
	"strings"
	"time"
)

// readHeld reads how many of each channel's followers there were at From.
func (r *reader) readHeld(ctx context.Context) error {
	return r.t.rows(ctx, func(rows *sql.Rows) error {
		var channel, held int64
		err := rows.Scan(&channel, &held)
		r.held[r.selection(channel)] += held
		return err
	}, "SELECT channel, SUM(begun + returning_ + imported - lost - forgotten) FROM channels_hours"+
		" WHERE hour < ?"+r.where+" GROUP BY channel",
		append([]any{r.from / hourSeconds}, r.args...)...)
}

// readHours adds up the hours of the period.
func (r *reader) readHours(ctx context.Context) error {
	return r.t.rows(ctx, func(rows *sql.Rows) error {
		var channel, hour int64
		var hourly Counts
		dest := []any{&channel, &hour}
		for _, field := range hourly.summed() {
			dest = append(dest, field)
		}
		err := rows.Scan(dest...)
		r.row(r.key(channel, hour*hourSeconds)).add(&hourly)
		r.total.add(&hourly)
		return err
	}, "SELECT channel, hour, "+strings.Join(hourColumns, ", ")+
		" FROM channels_hours WHERE hour >= ? AND hour < ?"+r.where,
		append([]any{r.from / hourSeconds, r.to / hourSeconds}, r.args...)...)
}

// readScanners counts the persons of each row's scans.
func (r *reader) readScanners(ctx context.Context) error {
	all, persons := map[int64]bool{}, map[rowKey]map[int64]bool{}
	err := r.t.rows(ctx, func(rows *sql.Rows) error {
		var channel, at, who int64
		if err := rows.Scan(&channel, &at, &who); err != nil {
			return err
		}
		k := r.key(channel, at)
		if persons[k] == nil {
			persons[k] = map[int64]bool{}
		}
		persons[k][who], all[who] = true, true
		return nil
	}, "SELECT channel, happened, person FROM channels_events"+
		" WHERE happened >= ? AND happened < ? AND kind IN (1, 2) AND channel <> -1"+r.where,
		append([]any{r.from, r.to}, r.args...)...)

	for k, of := range persons {
		r.row(k).Scanners = int64(len(of))
	}
	r.total.Scanners = int64(len(all))
	return err
}

// readQuickLoss looks at the follows that began in the period at least a day ago.
// Imported ones are left out: who left before the import is not known.
func (r *reader) readQuickLoss(ctx context.Context) error {
	return r.t.rows(ctx, func(rows *sql.Rows) error {
		var channel int64
		var f follow
		if err := rows.Scan(&channel, &f.start, &f.end, &f.ended); err != nil {
			return err
		}
		lost := int64(0)
		if f.quick() {
			lost = 1
		}
		for _, c := range []*Counts{&r.row(r.key(channel, f.start)).Counts, &r.total} {
			c.QuickOf++
			c.QuickLost += lost
		}
		return nil
	}, "SELECT channel, began, ended, ending FROM channels_follows"+
		" WHERE began >= ? AND began < ? AND how <> ?"+r.where,
		append([]any{r.from, min(r.to, r.asOf-quickSeconds+1), asImported}, r.args...)...)
}

// fillHeld goes through the time of each selection, also where nothing happened.
func (r *reader) fillHeld(context.Context) error {
	for k := range r.rows {
		k.start = 0
		r.held[k] += 0
	}
	for k, held := range r.held {
		r.total.HeldStart += held
		for _, k.start = range r.starts() {
			row := r.rows[k]
			if row == nil && (held == 0 || k.start > r.asOf) {
				continue
			}
			row = r.row(k)
			row.HeldStart = held
			held += row.Net() + row.Imported - row.Forgotten
			row.HeldEnd = held
		}
	}
	r.total.HeldEnd = r.total.HeldStart + r.total.Net() + r.total.Imported - r.total.Forgotten
	return nil
}

// starts are those of the days or hours of the period, in order.
func (r *reader) starts() (all []int64) {
	switch {
	case r.By&ByWeekday != 0:
		return nil
	case r.By&ByDay != 0:
		for day := range r.days() {
			all = append(all, day.Unix())
		}
		return all
	case r.By&ByHour == 0:
		return []int64{0}
	}
	for at := r.from; at < r.to; at += hourSeconds {
		all = append(all, at)
	}
	return all
}

// days are the beginnings of the period's local days, of which the first and the last
// may be parts.
func (r *reader) days() iter.Seq[time.Time] {
	return func(yield func(time.Time) bool) {
		for at := r.From.In(r.location); at.Unix() < r.to; at = startOfDay(at.AddDate(0, 0, 1)) {
			if !yield(at) {
				return
			}
		}
	}
}
