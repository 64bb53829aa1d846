package page

import (
	"math"
	"time"

	"github.com/wechatqr/wechatqr/cmd/channeld/internal/live"
)

// pushView says when the last push came, and whether that is longer ago than usual.
type pushView struct {
	At    time.Time // zero if none has come; perhaps the end of its hour
	Usual time.Duration
	Amber time.Duration // since the last push
	Red   time.Duration
	Since time.Duration
}

// State is "ok", "amber" or "red".
func (v *pushView) State() string {
	switch {
	case v.At.IsZero() || v.Since >= v.Red:
		return "red"
	case v.Since >= v.Amber:
		return "amber"
	}
	return "ok"
}

// By chance there is no push for five times the usual interval once in 150 times.
const (
	amberIntervals = 5

	minAmber = 2 * time.Minute
	maxAmber = 12 * time.Hour
)

// push compares the time since the last push with what is usual at this time of the day.
func (p *Pages) push(now time.Time, hours, yesterday, weekAgo []hourOf) *pushView {
	v := &pushView{}
	if last := p.Feed.Last(); len(last) > 0 {
		v.At = last[0].At.In(p.Location)
	}
	for _, h := range hours { // which tells of pushes from before the program began
		if h.Counts != nil && live.Pushes(h.Counts) > 0 && h.start.After(v.At) {
			v.At = h.start.Add(time.Hour)
		}
	}
	if v.At.After(now) {
		v.At = now
	}
	v.Since = now.Sub(v.At)

	perHour := usualUntil(yesterday, weekAgo, now.Hour())
	v.Usual = time.Duration(float64(time.Hour) / perHour)
	if perHour == 0 || v.Usual > maxAmber {
		v.Usual = maxAmber
	}
	v.Amber = min(max(amberIntervals*v.Usual, minAmber), maxAmber)
	v.Red = live.Silence(perHour)
	return v
}

// usualUntil is how many pushes come in an hour at this time, on average over the hours before
// and after on the two days.
func usualUntil(yesterday, weekAgo []hourOf, at int) float64 {
	sum, n := int64(0), 0
	for _, day := range [][]hourOf{yesterday, weekAgo} {
		for i := max(at-1, 0); i <= min(at+1, len(day)-1); i++ {
			sum += live.Pushes(day[i].Counts)
			n++
		}
	}
	return float64(sum) / math.Max(float64(n), 1)
}
