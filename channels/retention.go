package channels

import (
	"context"
	"database/sql"
	"maps"
	"slices"
	"time"
)

// Retained says who stayed (留存): of the follows that began on a local day, those
// still open at the end of the day that is so many days later.
type Retained struct {
	// From and To bound the days on which the follows began: one day with ByDay, else
	// from the first to the last that is complete.
	From time.Time `json:"from"`
	To   time.Time `json:"to"`

	Origin  Origin  `json:"origin,omitempty"` // with ByChannel
	Channel Channel `json:"channel,omitzero"` // likewise

	Days    int   `json:"days"`    // later; 0 is the end of the same day
	Follows int64 `json:"follows"` // new and returning ones that began; imported ones are left out
	Stayed  int64 `json:"stayed"`  // of those
}

// RetentionReport is what [Ledger.Retention] counts. As JSON it has the same numbers, and
// what [RetentionReport.MarshalJSON] adds.
type RetentionReport struct {
	Query
	AsOf time.Time `json:"as_of"` // when it was made
	Open bool      `json:"open"`  // the period was not over then

	// KeepAfterUnfollow is the ledger's: it decides who is one person.
	KeepAfterUnfollow time.Duration `json:"keep_after_unfollow_ns"`

	Rows []Retained `json:"rows"` // in order of channel, then of the numbers of days, then of time
}

// Retention counts who stayed of the follows that began in the period, for each of the
// numbers of days, 0 to 3650. From and To are midnights of Config.Location, or 1:00 where
// the clocks leave midnight out: see [DaysLater]. With ByDay there is a result for each day,
// else the days are pooled. A day whose end so many days later is not over yet is left out, and a result
// without any day is too. With ByChannel there are results for each channel, and for what
// has none, of which follows began in the period.
//
// Imported follows are left out, because nobody knows who left before the import. An
// end that [Ledger.Reconcile] found counts when it was found, a forgotten follow as
// ended.
//
// Errors: wechatqr.ErrInvalidArgument; [ErrUnknownChannel].
func (l *Ledger) Retention(ctx context.Context, q Query, days ...int) (*RetentionReport, error) {
	if err := l.checkRetention(q, days); err != nil {
		return nil, err
	}
	var report *RetentionReport
	err := l.readSettled(ctx, func(t *tx) (err error) {
		report, err = l.retention(ctx, t, q, days)
		return err
	})
	return report, failed("retention", err)
}

func (l *Ledger) retention(
	ctx context.Context, t *tx, q Query, days []int,
) (*RetentionReport, error) {
	r := l.newReader(t, q)
	if err := r.selectChannels(ctx); err != nil {
		return nil, err
	}
	all, err := r.readCohorts(ctx)
	if err != nil {
		return nil, err
	}
	report := &RetentionReport{
		Query: q, AsOf: r.madeAt(), Open: r.asOf < r.to,
		KeepAfterUnfollow: l.config.KeepAfterUnfollow,
	}
	spans := r.spans(days)
	for _, k := range slices.SortedFunc(maps.Keys(all), r.compareKeys) {
		report.Rows = append(report.Rows, r.retained(k, all[k], spans)...)
	}
	return report, nil
}

func (l *Ledger) checkRetention(q Query, days []int) error {
	midnight := func(at time.Time) bool { return startOfDay(at.In(l.config.Location)).Equal(at) }
	switch {
	case q.By&^(ByDay|ByChannel) != 0:
		return invalid("retention: By has more than ByDay and ByChannel")
	case !midnight(q.From) || !midnight(q.To):
		return invalid("retention: From and To are not midnights of %v", l.config.Location)
	case slices.ContainsFunc(days, func(n int) bool { return n < 0 || n > 3650 }):
		return invalid("retention: days are not 0 to 3650")
	case q.Top != 0:
		return invalid("retention: Top is %d: use it with Report alone", q.Top)
	}
	return q.check()
}

// cohorts are the follows of a selection that began on each day, by its midnight in Unix
// seconds, counted by the hour of their end.
type cohorts map[int64]map[hourEnd]int64

// hourEnd is an hour since the epoch, or stillHeld.
type hourEnd int64

const stillHeld hourEnd = -1

// readCohorts reads those of each selection.
func (r *reader) readCohorts(ctx context.Context) (map[rowKey]cohorts, error) {
	all := map[rowKey]cohorts{}
	col := "0"
	if r.By&ByChannel != 0 {
		col = "h.owner"
	} else {
		all[rowKey{}] = cohorts{}
	}
	err := r.t.rows(ctx, func(rows *sql.Rows) error {
		var channel, beginHour, endHour, n int64
		if err := rows.Scan(&channel, &beginHour, &endHour, &n); err != nil {
			return err
		}
		end := hourEnd(endHour / hourSeconds)
		if endHour == 0 {
			end = stillHeld
		}
		k := r.selection(channel)
		day := startOfDay(time.Unix(beginHour*hourSeconds, 0).In(r.location)).Unix()
		if all[k] == nil {
			all[k] = cohorts{}
		}
		if all[k][day] == nil {
			all[k][day] = map[hourEnd]int64{}
		}
		all[k][day][end] += n
		return nil
	}, "SELECT "+col+", h.hour, f.ended - f.ended % 3600, COUNT(*)"+r.beginnings()+
		" GROUP BY 1, 2, 3", append(r.hours(), r.args...)...)
	return all, err
}

// span is a day on which follows may begin, and how many days later it is asked who stayed.
type span struct {
	from, to time.Time
	days     int
	until    hourEnd // the hour after the last
}

// spans are those that are over, in order of the numbers of days.
func (r *reader) spans(days []int) (all []span) {
	for _, n := range days {
		for day := range r.days() {
			end := DaysLater(day, n+1)
			if end.Unix() > r.asOf {
				break
			}
			all = append(all, span{
				day, DaysLater(day, 1), n, hourEnd(end.Unix() / hourSeconds),
			})
		}
	}
	return all
}

// retained counts the selection's follows, each day on its own with ByDay.
func (r *reader) retained(k rowKey, of cohorts, spans []span) (results []Retained) {
	place := r.cell(k)
	for i := range spans {
		s := &spans[i]
		last := len(results) - 1
		if r.By&ByDay != 0 || last < 0 || !s.from.Equal(results[last].To) {
			results = append(results, Retained{
				From: s.from, Origin: place.Origin, Channel: place.Channel, Days: s.days,
			})
			last++
		}
		results[last].To = s.to
		for end, follows := range of[s.from.Unix()] {
			results[last].Follows += follows
			if end == stillHeld || end >= s.until {
				results[last].Stayed += follows
			}
		}
	}
	return results
}
