package channels

import (
	"context"
	"database/sql"
	"slices"
	"time"
)

// Retained says who stayed (留存): of the follows that began on a local day, those
// still open at the end of the day that is so many days later.
type Retained struct {
	// From and To bound the days on which the follows began: one day with ByDay, else
	// from the first to the last that is complete.
	From, To time.Time

	Days    int   // later; 0 is the end of the same day
	Follows int64 // new and returning ones that began; imported ones are left out
	Stayed  int64 // of those
}

// Retention counts who stayed of the follows that began in the period, for each of the
// numbers of days, 0 to 3650. From and To are midnights of Config.Location. With ByDay
// there is a result for each day, else the days are pooled. A day whose end so many
// days later is not over yet is left out, and a result without any day is too.
//
// Imported follows are left out, because nobody knows who left before the import. An
// end that [Ledger.Reconcile] found counts when it was found, a forgotten follow as
// ended.
//
// Errors: wechatqr.ErrInvalidArgument; [ErrUnknownChannel].
func (l *Ledger) Retention(ctx context.Context, q Query, days ...int) ([]Retained, error) {
	if err := l.checkRetention(q, days); err != nil {
		return nil, err
	}
	var results []Retained
	err := l.readSettled(ctx, func(t *tx) (err error) {
		results, err = l.retention(ctx, t, q, days)
		return err
	})
	return results, failed("retention", err)
}

func (l *Ledger) retention(ctx context.Context, t *tx, q Query, days []int) ([]Retained, error) {
	r := l.newReader(t, q)
	if err := r.selectChannels(ctx); err != nil {
		return nil, err
	}
	all, err := r.readCohorts(ctx)
	return r.retained(all, days), err
}

func (l *Ledger) checkRetention(q Query, days []int) error {
	midnight := func(at time.Time) bool { return startOfDay(at.In(l.config.Location)).Equal(at) }
	switch {
	case q.By&^ByDay != 0:
		return invalid("retention: By is not 0 or ByDay")
	case !midnight(q.From) || !midnight(q.To):
		return invalid("retention: From and To are not midnights of %v", l.config.Location)
	case slices.ContainsFunc(days, func(n int) bool { return n < 0 || n > 3650 }):
		return invalid("retention: days are not 0 to 3650")
	}
	return q.check()
}

// cohort is the follows that began on a day, counted by the hour of their end.
type cohort struct {
	day  time.Time         // its beginning
	ends map[hourEnd]int64 // number of follows
}

// hourEnd is an hour since the epoch, or stillHeld.
type hourEnd int64

const stillHeld hourEnd = -1

func (r *reader) readCohorts(ctx context.Context) ([]cohort, error) {
	var all []cohort
	index := map[int64]int{}
	for day := range r.days() {
		index[day.Unix()] = len(all)
		all = append(all, cohort{day, map[hourEnd]int64{}})
	}
	err := r.t.rows(ctx, func(rows *sql.Rows) error {
		var beginHour, endHour, n int64
		if err := rows.Scan(&beginHour, &endHour, &n); err != nil {
			return err
		}
		day := startOfDay(time.Unix(beginHour*hourSeconds, 0).In(r.location))
		end := hourEnd(endHour / hourSeconds)
		if endHour == 0 {
			end = stillHeld
		}
		all[index[day.Unix()]].ends[end] += n
		return nil
	}, "SELECT h.hour, f.ended - f.ended % 3600, COUNT(*)"+r.beginnings()+" GROUP BY 1, 2",
		append(r.hours(), r.args...)...)
	return all, err
}

// retained leaves out the days that are not complete.
func (r *reader) retained(all []cohort, days []int) (results []Retained) {
	for _, n := range days {
		var pooled Retained
		for _, c := range all {
			if c.dayAfter(n).Unix() > r.asOf {
				break
			}
			one := c.retained(n)
			if r.By == ByDay {
				results = append(results, one)
				continue
			}
			pooled = pooled.add(one)
		}
		if !pooled.To.IsZero() {
			results = append(results, pooled)
		}
	}
	return results
}

// dayAfter is the end of the day that is n days after the cohort's.
func (c *cohort) dayAfter(n int) time.Time {
	return startOfDay(c.day.AddDate(0, 0, n+1))
}

func (c *cohort) retained(n int) Retained {
	result := Retained{From: c.day, To: c.dayAfter(0), Days: n}
	until := hourEnd(c.dayAfter(n).Unix() / hourSeconds)
	for end, follows := range c.ends {
		result.Follows += follows
		if end == stillHeld || end >= until {
			result.Stayed += follows
		}
	}
	return result
}

// add pools the result with that of a later day.
func (r Retained) add(later Retained) Retained {
	if r.To.IsZero() {
		return later
	}
	r.To = later.To
	r.Follows += later.Follows
	r.Stayed += later.Stayed
	return r
}
