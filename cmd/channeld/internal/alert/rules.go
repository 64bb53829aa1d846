package alert

import (
	"context"
	"slices"
	"time"

	"github.com/wechatqr/wechatqr/channels"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/live"
)

// Rule says what an alert is about.
type Rule string

// The rules.
const (
	Silence   Rule = "silence"    // no push for much longer than usual
	Spike     Rule = "spike"      // many more follows in an hour than usual
	Drop      Rule = "drop"       // net of an hour is far below the usual
	QuickLoss Rule = "quick_loss" // many of the follows of 8 days end within a day
	Budget    Rule = "budget"     // few permanent codes are left
	Ending    Rule = "ending"     // a channel is to be retired
)

// When the rules hold. A rule that holds goes on to hold until the second value, so that a
// number at the edge does not ring again and again.
const (
	minDifference = 20 // follows an hour from the usual; half of it ends the alert
	weeks         = 4  // whose same hour is the usual one, by their median
	minWeeks      = 2  // in which the account had pushes

	minQuickOf    = 30   // follows of 8 days
	quickShare    = 0.40 // of them lost within 24 hours
	quickShareEnd = 0.30

	minBudget  = 5000 // codes left of channels.MaxCodes
	endsWithin = 7 * 24 * time.Hour

	lookBack = 48 * time.Hour // for the last push
)

// finding is a rule that holds, or that is over.
type finding struct {
	rule     Rule
	channel  channels.Channel // the zero Channel: the account
	number   float64
	expected float64
	date     time.Time // of Ending
}

// key tells the alerts apart.
type key struct {
	rule    Rule
	channel string
}

func (f *finding) key() key { return key{f.rule, f.channel.Key} }

// far reports whether the difference from the usual is one to ring for: two thirds of the
// usual, or twice as much above it, and never less than minDifference.
func far(difference, share, usual float64, raised bool) bool {
	limit := max(minDifference, share*max(usual, -usual))
	if raised {
		limit /= 2
	}
	return difference >= limit
}

// judgeHour compares an hour of a channel or of the account with the same hour of other
// weeks.
func judgeHour(
	c channels.Channel, hour *channels.Counts, before []channels.Counts, raised map[key]bool,
) (all []finding) {
	came, net := make([]int64, len(before)), make([]int64, len(before))
	for i := range before {
		came[i], net[i] = before[i].New+before[i].Returning, before[i].Net()
	}
	number, usual := float64(hour.New+hour.Returning), median(came)
	if far(number-usual, 2, usual, raised[key{Spike, c.Key}]) {
		all = append(all, finding{rule: Spike, channel: c, number: number, expected: usual})
	}
	number, usual = float64(hour.Net()), median(net)
	if far(usual-number, 2./3, usual, raised[key{Drop, c.Key}]) {
		all = append(all, finding{rule: Drop, channel: c, number: number, expected: usual})
	}
	return all
}

func median(values []int64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return float64(sorted[(n-1)/2]+sorted[n/2]) / 2
}

func judgeQuickLoss(rows []channels.Row, raised map[key]bool) (all []finding) {
	for i := range rows {
		row := &rows[i]
		limit := quickShare
		if raised[key{QuickLoss, row.Channel.Key}] {
			limit = quickShareEnd
		}
		share := float64(row.QuickLost) / float64(max(row.QuickOf, 1))
		if row.Channel.Key != "" && row.QuickOf >= minQuickOf && share >= limit {
			all = append(all, finding{
				rule: QuickLoss, channel: row.Channel, number: 100 * share, expected: 100 * quickShare,
			})
		}
	}
	return all
}

// judgeEnding finds the channels that are to be retired soon.
func judgeEnding(all []channels.Channel, now time.Time) (found []finding) {
	for _, c := range all {
		if c.Retired.After(now) && c.Retired.Before(now.Add(endsWithin)) {
			found = append(found, finding{rule: Ending, channel: c, date: c.Retired})
		}
	}
	return found
}

func judgeBudget(b channels.Budget) []finding {
	left := channels.MaxCodes - b.Made - b.Pending
	if left >= minBudget {
		return nil
	}
	return []finding{{rule: Budget, number: float64(left), expected: minBudget}}
}

// judgeSilence compares the minutes since the last push with the interval that is usual
// when so many pushes come in an hour.
func judgeSilence(since time.Duration, perHour float64) []finding {
	limit := live.Silence(perHour)
	if since < limit {
		return nil
	}
	return []finding{{rule: Silence, number: since.Minutes(), expected: limit.Minutes()}}
}

// often are the rules that are judged every minute, seldom those once an hour.
var (
	often  = []Rule{Silence, Budget}
	seldom = []Rule{Spike, Drop, QuickLoss, Ending}
)

func (w *Worker) judgeOften(
	ctx context.Context, now time.Time, raised map[key]bool,
) ([]finding, error) {
	budget, err := w.Ledger.Budget(ctx)
	if err != nil {
		return nil, err
	}
	last, perHour, err := w.lastPush(ctx, now)
	if last.IsZero() && raised[key{Silence, ""}] {
		last = now.Add(-lookBack) // or earlier
	}
	if err != nil || last.IsZero() {
		return judgeBudget(budget), err
	}
	return append(judgeBudget(budget), judgeSilence(now.Sub(last), perHour)...), nil
}

// lastPush returns when the last push came, zero if none has in lookBack, and how many
// come in an hour at this time of day: the median of the same three hours of four weeks.
func (w *Worker) lastPush(
	ctx context.Context, now time.Time,
) (last time.Time, perHour float64, err error) {
	latest, err := w.Store.Live(ctx, now.Add(-24*time.Hour), 1)
	if err != nil {
		return last, 0, err
	}
	if len(latest) > 0 {
		last = latest[0].At
	}
	hour := now.Truncate(time.Hour)
	recent, err := w.Ledger.Report(ctx, channels.Query{
		From: hour.Add(-lookBack), To: hour.Add(time.Hour), By: channels.ByHour, Sums: true,
	})
	if err != nil {
		return last, 0, err
	}
	for i := range recent.Rows {
		row := &recent.Rows[i]
		if end := row.Start.Add(time.Hour); live.Pushes(&row.Counts) > 0 && row.Start.After(last) {
			last = end
		}
	}
	if last.After(now) {
		last = now
	}
	var usual []int64
	for week := 1; week <= weeks; week++ {
		from := hour.In(w.Location).AddDate(0, 0, -7*week).Add(-time.Hour)
		r, err := w.Ledger.Report(ctx, channels.Query{
			From: from, To: from.Add(3 * time.Hour), Sums: true,
		})
		if err != nil {
			return last, 0, err
		}
		usual = append(usual, live.Pushes(&r.Total))
	}
	return last, median(usual) / 3, nil
}

func (w *Worker) judgeSeldom(
	ctx context.Context, now time.Time, raised map[key]bool,
) ([]finding, error) {
	all, err := w.Ledger.Channels(ctx)
	if err != nil {
		return nil, err
	}
	found := judgeEnding(all, now)
	hour := now.Truncate(time.Hour)
	week, err := w.Ledger.Report(ctx, channels.Query{
		From: hour.Add(-8 * 24 * time.Hour), To: hour, By: channels.ByChannel, Active: true,
	})
	if err != nil {
		return nil, err
	}
	found = append(found, judgeQuickLoss(week.Rows, raised)...)
	hours, err := w.judgeHours(ctx, hour.Add(-time.Hour), raised)
	return append(found, hours...), err
}

// judgeHours compares the hour with the same one of the last weeks, for the account and for
// each channel. It finds nothing while there are not two weeks to compare with.
func (w *Worker) judgeHours(
	ctx context.Context, hour time.Time, raised map[key]bool,
) ([]finding, error) {
	now, err := w.countHour(ctx, hour)
	if err != nil {
		return nil, err
	}
	before, err := w.hoursBefore(ctx, hour)
	if err != nil || len(before) < minWeeks {
		return nil, err
	}
	keys := map[string]channels.Channel{}
	for _, one := range append(before, now) {
		for _, row := range one {
			keys[row.Channel.Key] = row.Channel
		}
	}
	var found []finding
	for _, c := range keys {
		counts := make([]channels.Counts, len(before))
		for i := range counts {
			counts[i] = before[i][c.Key].Counts
		}
		of := now[c.Key].Counts
		found = append(found, judgeHour(c, &of, counts, raised)...)
	}
	return found, nil
}

// hoursBefore counts the same hour of the last weeks, but of those in which no push came on
// that day: the desk was not there, or was cut off.
func (w *Worker) hoursBefore(
	ctx context.Context, hour time.Time,
) (all []map[string]channels.Row, err error) {
	for week := 1; week <= weeks; week++ {
		at := hour.In(w.Location).AddDate(0, 0, -7*week)
		day, err := w.Ledger.Report(ctx, channels.Query{
			From: at.Add(-12 * time.Hour), To: at.Add(12 * time.Hour), Sums: true,
		})
		if err != nil {
			return nil, err
		}
		if live.Pushes(&day.Total) == 0 {
			continue
		}
		rows, err := w.countHour(ctx, at)
		if err != nil {
			return nil, err
		}
		all = append(all, rows)
	}
	return all, nil
}

// countHour returns the hour's numbers by the channel's key, those of the account by "".
func (w *Worker) countHour(
	ctx context.Context, hour time.Time,
) (map[string]channels.Row, error) {
	r, err := w.Ledger.Report(ctx, channels.Query{
		From: hour, To: hour.Add(time.Hour), By: channels.ByChannel, Sums: true,
	})
	if err != nil {
		return nil, err
	}
	rows := map[string]channels.Row{"": {Counts: r.Total}}
	for _, row := range r.Rows {
		if row.Channel.Key != "" {
			rows[row.Channel.Key] = row
		}
	}
	return rows, nil
}
