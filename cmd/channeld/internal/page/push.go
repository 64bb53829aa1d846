package page

import (
	"math"
	"time"
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

// By chance there is no push for five times the usual interval once in 150 times, and for
// ten times the interval once in 20 000.
const (
	amberIntervals = 5
	redIntervals   = 10

	minAmber = 2 * time.Minute
	maxAmber = 12 * time.Hour
)

// push compares the time since the last push with what is usual at this time of the day.
func (p *Pages) push(now time.Time, hours, yesterday, weekAgo []hourOf) *pushView {
	v := &pushView{}
	if last, _ := p.Feed.Last(); len(last) > 0 {
		v.At = last[0].At.In(p.Location)
	}
	for _, h := range hours { // which tells of pushes from before the program began
		if h.Counts != nil && pushes(h) > 0 && h.start.After(v.At) {
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
	v.Red = min(max(redIntervals*v.Usual, 2*minAmber), 2*maxAmber)
	return v
}

// pushes is how many pushes there were: a follow by a code is a scan too.
func pushes(h hourOf) int64 {
	byCode := h.Scans - h.FollowerScans
	return h.Scans + h.Lost + max(h.New+h.Returning-byCode, 0)
}

// usual is how many pushes come in an hour at this time, on average over the hours before
// and after on the two days.
func usualUntil(yesterday, weekAgo []hourOf, at int) float64 {
	sum, n := int64(0), 0
	for _, day := range [][]hourOf{yesterday, weekAgo} {
		for i := max(at-1, 0); i <= min(at+1, len(day)-1); i++ {
			sum += pushes(day[i])
			n++
		}
	}
	return float64(sum) / math.Max(float64(n), 1)
}
