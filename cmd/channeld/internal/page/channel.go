package page

import (
	"context"
	"encoding/json"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wechatqr/wechatqr/channels"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/store"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/web"
)

// channelView is what the page of one channel shows.
type channelView struct {
	span
	Question   Question
	Channel    channels.Channel
	Total      channels.Counts
	Kept       channels.Retained
	Trend      chart
	Curve      chart
	Losses     chart
	Heat       heat
	HasPicture bool
	Codes      []channels.Assigned
	Remembered float64
	CanPrint   bool
	MayChange  bool
	Done       string // what the last change did
	Scenes     []string
	Cost       spending
	Notes      []store.Note
	MoreNotes  bool // there may be others
	NoteForm   noteForm
}

func (p *Pages) channel(w http.ResponseWriter, r *http.Request) {
	c, err := p.channelOf(r)
	if err == nil && c.Key != r.PathValue("key") { // merged
		http.Redirect(w, r, channelPath(c.Key), http.StatusSeeOther)
		return
	}
	if err != nil {
		p.fail(w, r, err)
		return
	}
	p.showChannel(w, r, c, noteForm{})
}

// showChannel shows the page, with a form that was not accepted as it was sent.
func (p *Pages) showChannel(
	w http.ResponseWriter, r *http.Request, c channels.Channel, form noteForm,
) {
	q, err := parseQuestion(r.URL.Query())
	var v *channelView
	if err == nil {
		v, err = p.readChannel(r, q.PeriodOnly(), c, form)
	}
	if err != nil {
		p.fail(w, r, err)
		return
	}
	page := web.Page{Title: channelName(c), Place: "channels"}
	if form.Problem != "" {
		page.Status = http.StatusUnprocessableEntity
	}
	p.show(w, r, page, "channel.html", v)
}

// channelOf is the channel of the request's path, if the visitor may see it.
func (p *Pages) channelOf(r *http.Request) (channels.Channel, error) {
	c, err := p.Ledger.Channel(r.Context(), r.PathValue("key"))
	if err == nil && !web.VisitorOf(r.Context()).Sees(c.Key, c.Group) {
		err = errHidden
	}
	return c, err
}

func (p *Pages) readChannel(
	r *http.Request, q Question, c channels.Channel, form noteForm,
) (v *channelView, err error) {
	ctx := r.Context()
	query := q.query(p.Now(), p.Location, channels.ByDay)
	query.Channel, query.Group = c.Key, ""
	query = narrow(r, query)
	v = &channelView{
		Question: q, Channel: c, Done: doneText(r), CanPrint: web.VisitorOf(ctx).Role >= web.Viewer,
		MayChange: web.VisitorOf(ctx).Role >= web.Operator, NoteForm: form,
	}
	if query.To.Sub(query.From) <= 25*time.Hour {
		query.By = channels.ByHour
	}
	report, err := p.Ledger.Report(ctx, query)
	if err != nil {
		return nil, err
	}
	v.span, v.Total = newSpan(r, q, report), report.Total
	v.Remembered = report.KeepAfterUnfollow.Hours() / 24
	if err := p.readNotes(r, v, report); err != nil {
		return nil, err
	}
	v.Trend = trend(r, report, notesByDay(v.Notes))
	if err := p.readCharts(r, v, query); err != nil {
		return nil, err
	}
	return v, p.readCodes(ctx, v)
}

// readCharts sets the charts but for the trend, and the retention.
func (p *Pages) readCharts(r *http.Request, v *channelView, q channels.Query) (err error) {
	hours := q
	hours.By, hours.Sums = channels.ByWeekday, true
	report, err := p.Ledger.Report(r.Context(), hours)
	if err != nil {
		return err
	}
	v.Heat = newHeat(r, report)
	if v.Kept, err = p.kept(r.Context(), q); err != nil {
		return err
	}
	if v.Curve, err = p.curve(r, q); err != nil {
		return err
	}
	v.Losses, err = p.losses(r, q)
	return err
}

func (p *Pages) readCodes(ctx context.Context, v *channelView) (err error) {
	if v.Codes, err = p.Ledger.Assignments(ctx, v.Channel.Key); err != nil {
		return err
	}
	for _, one := range v.Codes {
		if scene := one.Scene.Key(); !slices.Contains(v.Scenes, scene) {
			v.Scenes = append(v.Scenes, scene)
		}
	}
	made, err := p.Ledger.Codes(ctx, channels.Query{Channel: v.Channel.Key})
	v.HasPicture = len(made) > 0
	return err
}

// maxFound bounds the suggestions. Any other key can be typed.
const maxFound = 20

// find lists the channels in whose key, name or group something is, while it is typed.
func (p *Pages) find(w http.ResponseWriter, r *http.Request) {
	q, err := parseQuestion(r.URL.Query())
	var found []channels.Channel
	if err == nil {
		found, err = p.Ledger.FindChannels(r.Context(), q.Search, maxFound)
	}
	if err != nil {
		p.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	// The browser may have closed the connection.
	_ = json.NewEncoder(w).Encode(append([]channels.Channel{}, found...)) // [] if there is none
}

// trend is what came and what was lost, by day or hour, with the days' notes.
func trend(r *http.Request, report *channels.Report, notes map[string]string) chart {
	c := trendTable(r, report.By)
	label := func(at time.Time) string { return dayText(web.Language(r), at) }
	if report.By == channels.ByHour {
		label = func(at time.Time) string { return at.Format("15:04") }
	}
	rows := everyRow(report)
	var up, down, net []float64
	for i := range rows {
		row := &rows[i]
		came := row.New + row.Returning
		up, down = append(up, float64(came)), append(down, float64(-row.Lost))
		net = append(net, float64(row.Net()))
		c.Rows = append(c.Rows, []string{
			label(row.Start), number(came), number(row.Lost), signed(row.Net()), number(row.HeldEnd),
		})
	}
	plot := newPlot(max(len(rows), 1), up, down)
	plot.bars("up", up)
	plot.bars("down", down)
	if report.By == channels.ByDay {
		plot.marks("note", c.addNotes(r, rows, notes))
	}
	plot.line("now", net)
	if len(rows) <= maxHints {
		plot.hints(c.Rows, c.Heads)
	}
	c.SVG, c.Top, c.Bottom = plot.picture(), signed(int64(plot.high)), signed(int64(plot.low))
	c.Axis = axis(c.Rows)
	return c
}

func trendTable(r *http.Request, by channels.By) chart {
	c := chart{
		Title: web.Say(r, "每日新增与取关", "Gained and lost by day"),
		Keys: []legend{
			{"up", web.Say(r, "新增 + 回流", "new + returning")},
			{"down", web.Say(r, "取关", "lost")}, {"now", web.Say(r, "净增", "net")},
		},
		Heads: []string{
			web.Say(r, "日期", "Day"), web.Say(r, "新增 + 回流", "new + returning"),
			web.Say(r, "取关", "lost"), web.Say(r, "净增", "net"), web.Say(r, "在粉", "held"),
		},
	}
	if by == channels.ByHour {
		c.Title, c.Heads[0] = web.Say(r, "每小时新增与取关", "Gained and lost by hour"), web.Say(r, "时", "Hour")
	}
	return c
}

// addNotes adds a column of notes, if any is of these days, and returns the places of
// those that have one.
func (c *chart) addNotes(r *http.Request, rows []channels.Row, notes map[string]string) (at []int) {
	texts := make([]string, len(rows))
	for i := range rows {
		texts[i] = notes[rows[i].Start.Format(dayForm)]
		if texts[i] != "" {
			at = append(at, i)
		}
	}
	if len(at) > 0 {
		c.addTexts(web.Say(r, "备注", "notes"), texts)
		c.Keys = append(c.Keys, legend{"note", web.Say(r, "备注", "note")})
	}
	return at
}

const (
	maxHints  = 100
	maxLabels = 6
)

// axis has some of the rows' labels, without their weekdays, at even distances.
func axis(rows [][]string) (labels []string) {
	step := max((len(rows)+maxLabels-1)/maxLabels, 1)
	for i := 0; i < len(rows); i += step {
		date, _, _ := strings.Cut(rows[i][0], " ")
		labels = append(labels, date)
	}
	return labels
}

// everyRow has a row for each day or hour until now, also those that the report leaves out.
func everyRow(report *channels.Report) (all []channels.Row) {
	next := func(at time.Time) time.Time { return channels.DaysLater(at, 1) }
	if report.By == channels.ByHour {
		next = func(at time.Time) time.Time { return at.Add(time.Hour) }
	}
	rows, held := report.Rows, report.Total.HeldStart
	at := report.From.In(report.AsOf.Location())
	for ; at.Before(report.To) && !at.After(report.AsOf); at = next(at) {
		row := channels.Row{Cell: channels.Cell{Start: at}}
		row.HeldStart, row.HeldEnd = held, held
		if len(rows) > 0 && rows[0].Start.Equal(at) {
			row, rows = rows[0], rows[1:]
		}
		held = row.HeldEnd
		all = append(all, row)
	}
	return all
}

var curveDays = []int{0, 1, 2, 3, 7, 14, 30, 60, 90}

// curve is the retention of the channel beside that of the account, or of what else the
// visitor may see.
func (p *Pages) curve(r *http.Request, q channels.Query) (chart, error) {
	c := chart{
		Title: web.Say(r, "留存", "Retention"),
		Keys: []legend{
			{"now", web.Say(r, "本渠道", "this channel")}, {"then", web.Say(r, "全部", "all")},
		},
		Heads: []string{
			web.Say(r, "天后", "Days later"), web.Say(r, "本渠道", "this channel"),
			web.Say(r, "全部", "all"), web.Say(r, "本渠道关注数", "follows of this channel"),
		},
		Top: "100%", Bottom: "0%",
	}
	q.By = 0
	mine, err := p.Ledger.Retention(r.Context(), q, curveDays...)
	if err != nil {
		return c, err
	}
	q.Channel = ""
	all, err := p.Ledger.Retention(r.Context(), narrow(r, q), curveDays...)
	if err != nil {
		return c, err
	}
	shares := [2][]float64{}
	for _, n := range curveDays {
		row := []string{strconv.Itoa(n)}
		own := channels.Retained{}
		for i, results := range [][]channels.Retained{mine.Rows, all.Rows} {
			one := retainedAfter(results, n)
			row = append(row, share(one.Stayed, one.Follows))
			value := math.NaN()
			if one.Follows > 0 {
				value = float64(one.Stayed) / float64(one.Follows)
			}
			shares[i] = append(shares[i], value)
			if i == 0 {
				own = one
			}
		}
		c.Axis = append(c.Axis, row[0])
		c.Rows = append(c.Rows, append(row, number(own.Follows)))
	}
	plot := newPlot(len(curveDays), []float64{1})
	plot.line("then", shares[1])
	plot.line("now", shares[0])
	plot.hints(c.Rows, c.Heads)
	c.SVG = plot.picture()
	return c, nil
}

func retainedAfter(results []channels.Retained, days int) channels.Retained {
	for _, one := range results {
		if one.Days == days {
			return one
		}
	}
	return channels.Retained{}
}

// heat is follows by weekday and hour.
type heat struct {
	Hours []int
	Rows  []heatRow
	Any   bool
}

type heatRow struct {
	Label string
	Cells []heatCell
}

// heatCell has a level from 0 to 5.
type heatCell struct {
	Follows int64
	Level   int64
}

// newHeat begins the week on Monday.
func newHeat(r *http.Request, report *channels.Report) heat {
	var h heat
	follows, most := [7][24]int64{}, int64(0)
	for i := range report.Rows {
		row := &report.Rows[i]
		n := row.New + row.Returning
		follows[row.Weekday][row.Hour] = n
		most = max(most, n)
	}
	for hour := range 24 {
		h.Hours = append(h.Hours, hour)
	}
	h.Any = most > 0
	for i := range 7 {
		day := time.Weekday((i + 1) % 7)
		row := heatRow{Label: weekdayText(web.Language(r), day)}
		for _, n := range follows[day] {
			row.Cells = append(row.Cells, heatCell{n, (5*n + most - 1) / max(most, 1)})
		}
		h.Rows = append(h.Rows, row)
	}
	return h
}
