package page

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/wechatqr/wechatqr/channels"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/live"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/web"
)

// todayView is what the page of today shows.
type todayView struct {
	LiveID     string // of the last event that the numbers have
	AsOf       time.Time
	Zone       string
	Open       bool
	Total      channels.Counts
	SoFar      *soFarView // nil in the first hour
	Yesterday  int64      // net, of the whole day
	Chart      chart
	Best       []channels.Row
	Worst      []channels.Row
	Push       *pushView // nil for a Guest, who does not see the account
	Events     []eventView
	Remembered float64 // days, KeepAfterUnfollow
	Never      bool    // nothing has been counted yet
}

// soFarView compares the days at the last full hour.
type soFarView struct {
	Hour                      string
	Today, Yesterday, WeekAgo int64
	WeekAgoDay                time.Time
}

type eventView struct {
	At        time.Time
	Kind      channels.VisitKind
	Text      string
	Key, Name string
	Came      bool // and follows
}

const (
	maxBest   = 5
	maxEvents = 12
)

func (p *Pages) today(w http.ResponseWriter, r *http.Request) {
	visitor := web.VisitorOf(r.Context())
	if key := visitor.Scope.Channel; visitor.Role == web.Guest && key != "" {
		http.Redirect(w, r, channelPath(key), http.StatusSeeOther)
		return
	}
	v, err := p.readToday(r)
	if err != nil {
		p.fail(w, r, err)
		return
	}
	p.show(w, r, web.Page{Title: web.Say(r, "今日", "Today"), Place: "today"}, "today.html", v)
}

// daysAround are the first instants of the local days around now.
type daysAround struct{ weekAgo, weekAgoEnd, yesterday, today, tomorrow time.Time }

func (p *Pages) days() daysAround {
	now := p.Now().In(p.Location)
	at := func(later int) time.Time { return channels.DaysLater(now, later) }
	return daysAround{at(-7), at(-6), at(-1), at(0), at(1)}
}

// todayNumbers are shared by the pages of all who see the same channels: nobody changes them.
type todayNumbers struct {
	days     daysAround
	liveID   string           // of the last event that they surely have
	hours    *channels.Report // of yesterday and today
	lastWeek *channels.Report // the hours of its day
	best     *channels.Report // of today, by channel
	thisHour *channels.Report // for the followers
}

func (p *Pages) numbersOfToday(r *http.Request) (*todayNumbers, error) {
	group := narrow(r, channels.Query{}).Group
	if isRefresh(r) {
		return p.refreshes.read(r.Context(), group, p.readNumbers)
	}
	return p.readNumbers(r.Context(), group)
}

// readNumbers reads those of the group, or all if it is empty.
func (p *Pages) readNumbers(ctx context.Context, group string) (*todayNumbers, error) {
	d := p.days()
	n := &todayNumbers{days: d, liveID: p.Feed.LastID()} // before the numbers
	all, ctx := errgroup.WithContext(ctx)
	for _, one := range []struct {
		report **channels.Report
		channels.Query
	}{
		{&n.hours, channels.Query{From: d.yesterday, By: channels.ByHour, Sums: true}},
		{&n.lastWeek, channels.Query{
			From: d.weekAgo, To: d.weekAgoEnd, By: channels.ByHour, Sums: true,
		}},
		{&n.best, channels.Query{From: d.today, By: channels.ByChannel, Top: maxBest, Sums: true}},
		{&n.thisHour, channels.Query{From: p.Now().Truncate(time.Hour)}},
	} {
		q := one.Query
		q.Group = group
		if q.To.IsZero() {
			q.To = d.tomorrow
		}
		all.Go(func() (err error) {
			*one.report, err = p.Ledger.Report(ctx, q)
			return err
		})
	}
	return n, all.Wait()
}

func (p *Pages) readToday(r *http.Request) (*todayView, error) {
	n, err := p.numbersOfToday(r)
	if err != nil {
		return nil, err
	}
	d, now, total := n.days, n.best.AsOf, n.best.Total
	total.HeldEnd = n.thisHour.Total.HeldEnd
	today := hourly(n.hours, d.today, d.tomorrow, now)
	yesterday := hourly(n.hours, d.yesterday, d.today, now)
	weekAgo := hourly(n.lastWeek, d.weekAgo, d.weekAgoEnd, now)

	v := &todayView{
		LiveID: n.liveID, AsOf: now, Zone: p.Location.String(), Open: n.best.Open, Total: total,
		Yesterday: netUntil(yesterday, len(yesterday)),
		Chart:     hourChart(r, d, today, yesterday, weekAgo),
		Events:    p.events(r), Remembered: n.best.KeepAfterUnfollow.Hours() / 24,
	}
	v.Best, v.Worst = bestAndWorst(n.best.Rows)
	v.SoFar = soFar(d, now, today, yesterday, weekAgo)
	v.Never = total == channels.Counts{} && len(n.hours.Rows)+len(n.lastWeek.Rows) == 0
	if web.VisitorOf(r.Context()).Role > web.Guest {
		v.Push = p.push(now, slices.Concat(weekAgo, yesterday, today), yesterday, weekAgo)
	}
	return v, nil
}

// hourOf is one of the day; nil Counts are of one that has not begun.
type hourOf struct {
	start time.Time
	*channels.Counts
}

// hourly has the hours of the day, also those in which nothing happened.
func hourly(report *channels.Report, from, to, now time.Time) (all []hourOf) {
	for at := from; at.Before(to); at = at.Add(time.Hour) {
		h := hourOf{start: at}
		if !at.After(now) {
			h.Counts = &channels.Counts{}
		}
		all = append(all, h)
	}
	for i := range report.Rows {
		row := &report.Rows[i]
		if place := int(row.Start.Sub(from) / time.Hour); !row.Start.Before(from) && place < len(all) {
			all[place].Counts = &row.Counts
		}
	}
	return all
}

// netUntil is the net of the first hours.
func netUntil(all []hourOf, n int) (sum int64) {
	for _, h := range all[:min(n, len(all))] {
		if h.Counts != nil {
			sum += h.Net()
		}
	}
	return sum
}

func soFar(d daysAround, now time.Time, today, yesterday, weekAgo []hourOf) *soFarView {
	n := int(now.Sub(d.today) / time.Hour)
	if n == 0 {
		return nil
	}
	return &soFarView{
		today[0].start.Add(time.Duration(n) * time.Hour).Format("15:04"),
		netUntil(today, n), netUntil(yesterday, n), netUntil(weekAgo, n), d.weekAgo,
	}
}

// hourChart is net hour by hour.
func hourChart(r *http.Request, d daysAround, today, yesterday, weekAgo []hourOf) chart {
	lastWeek := web.Say(r, "上", "last ") + weekdayText(web.Language(r), d.weekAgo.Weekday())
	c := chart{
		Title: web.Say(r, "每小时净增", "Net by hour"),
		Keys: []legend{
			{"bar", web.Say(r, "今日", "today")}, {"then", web.Say(r, "昨日", "yesterday")},
			{"week", lastWeek},
		},
		Heads: []string{
			web.Say(r, "时", "Hour"), web.Say(r, "今日", "today"),
			web.Say(r, "昨日", "yesterday"), lastWeek,
		},
		Axis: []string{"0", "3", "6", "9", "12", "15", "18", "21"},
	}
	values := make([][]*int64, 3)
	for i, day := range [][]hourOf{today, yesterday, weekAgo} {
		for _, h := range day {
			values[i] = append(values[i], netOf(h))
		}
	}
	n := len(today)
	for i := range n {
		row := []string{today[i].start.Format("15:04")}
		for _, of := range values {
			row = append(row, cellOf(valueAt(of, i), signed))
		}
		c.Rows = append(c.Rows, row)
	}
	now, then, week := floats(values[0]), floats(values[1]), floats(values[2])
	plot := newPlot(n, now, then, week)
	plot.bars("bar", now)
	plot.line("week", week)
	plot.line("then", then)
	plot.hints(c.Rows, c.Heads)
	c.SVG, c.Top, c.Bottom = plot.picture(), signed(int64(plot.high)), signed(int64(plot.low))
	return c
}

func netOf(h hourOf) *int64 {
	if h.Counts == nil {
		return nil
	}
	n := h.Net()
	return &n
}

// valueAt is the value there, or nil: days in which clocks change are longer or shorter.
func valueAt(values []*int64, i int) *int64 {
	if i < len(values) {
		return values[i]
	}
	return nil
}

// bestAndWorst are the channels with the most and the least net, none of them in both.
func bestAndWorst(rows []channels.Row) (best, worst []channels.Row) {
	var all []channels.Row
	for i := range rows {
		if rows[i].Origin == channels.OfChannel {
			all = append(all, rows[i])
		}
	}
	slices.SortStableFunc(all, func(a, b channels.Row) int {
		return cmp.Or(cmp.Compare(b.Net(), a.Net()), cmp.Compare(a.Lost, b.Lost))
	})
	half := min(maxBest, (len(all)+1)/2)
	best, worst = all[:half], all[max(half, len(all)-maxBest):]
	slices.Reverse(worst)
	return best, worst
}

// events are the last ones that the visitor may see.
func (p *Pages) events(r *http.Request) (all []eventView) {
	visitor := web.VisitorOf(r.Context())
	last := p.Feed.Last()
	for _, e := range last {
		if visitor.Sees(e.Key, e.Group) && len(all) < maxEvents {
			all = append(all, eventView{
				e.At.In(p.Location), e.Kind, kindText(r, &e), e.Key, cmp.Or(e.Name, e.Key),
				e.Kind == channels.NewFollower || e.Kind == channels.ReturningFollower,
			})
		}
	}
	return all
}

func kindText(r *http.Request, e *live.Event) string {
	switch e.Kind {
	case channels.NewFollower:
		return web.Say(r, "新增关注", "new")
	case channels.ReturningFollower:
		return web.Say(r, "回流关注", "returning")
	case channels.Follower:
		return web.Say(r, "老粉扫码", "follower scan")
	case channels.Unfollower:
		return web.Say(r, "取关", "lost")
	case channels.Stranger:
		return web.Say(r, "扫码", "scan")
	}
	return web.Say(r, "迟到的推送", "late push")
}
