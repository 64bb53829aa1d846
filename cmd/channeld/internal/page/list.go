package page

import (
	"cmp"
	"context"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/wechatqr/wechatqr/channels"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/web"
)

// span is what a page of a period says of it.
type span struct {
	AsOf  time.Time
	Zone  string
	Open  bool
	From  time.Time // the first day
	To    time.Time // the last day
	Links []periodLink
}

type periodLink struct {
	Label    string
	Question Question
	Here     bool
}

// lastDay is the last day that has begun.
func (s *span) lastDay() time.Time {
	if s.AsOf.Before(s.To) {
		return s.AsOf
	}
	return s.To
}

// newSpan describes the report's period, with links to the other ones.
func newSpan(r *http.Request, q Question, report *channels.Report) span {
	s := span{
		report.AsOf, report.AsOf.Location().String(), report.Open,
		report.From.In(report.AsOf.Location()),
		report.To.In(report.AsOf.Location()).Add(-time.Second), nil,
	}
	for _, name := range periods {
		s.Links = append(s.Links, periodLink{periodName(r, name), q.In(name), q.Period.Name == name})
	}
	return s
}

func periodName(r *http.Request, name string) string {
	switch name {
	case "today":
		return web.Say(r, "今日", "Today")
	case "yesterday":
		return web.Say(r, "昨日", "Yesterday")
	}
	days := strings.TrimSuffix(name, "d")
	return web.Say(r, "近 "+days+" 日", days+" days")
}

// line is a row of the table of channels.
type line struct {
	channels.Channel
	Word string // of words, if it is no channel
	More int    // how many channels it sums up
	channels.Counts
	Kept  channels.Retained // after 7 days
	Cost  spending
	Spark template.HTML
}

// minus takes the numbers that add up of another line away.
func (l *line) minus(o *line) {
	for _, pair := range [][2]*int64{
		{&l.Scans, &o.Scans}, {&l.New, &o.New}, {&l.Returning, &o.Returning}, {&l.Lost, &o.Lost},
		{&l.Imported, &o.Imported}, {&l.Forgotten, &o.Forgotten},
		{&l.HeldStart, &o.HeldStart}, {&l.HeldEnd, &o.HeldEnd},
		{&l.QuickLost, &o.QuickLost}, {&l.QuickOf, &o.QuickOf},
		{&l.Cost.Spent, &o.Cost.Spent}, {&l.Cost.Held, &o.Cost.Held},
		{&l.Kept.Follows, &o.Kept.Follows}, {&l.Kept.Stayed, &o.Kept.Stayed},
	} {
		*pair[0] -= *pair[1]
	}
}

// listView is what the page of the channels shows.
type listView struct {
	span
	Question Question
	Path     []groupLink // from the account to the group
	Children []groupLink // the groups beneath
	Columns  []tableColumn
	Lines    []line // of this page
	Rest     *line  // the channels that are not on this page; nil if all are
	Others   []line // what has no channel
	Sum      line

	Found, All     int // channels
	Pages          int
	Costed         int // channels on which something was spent
	Remembered     float64
	ShowsForgotten bool
}

type groupLink struct {
	Label    string
	Question Question
}

// column is a head of the table.
type tableColumn struct {
	Key      string
	Question Question
	Order    string // of aria-sort; empty: by another column
}

const (
	rowsAPage   = 50
	maxChildren = 40
	keptDays    = 7
)

func (p *Pages) list(w http.ResponseWriter, r *http.Request) {
	visitor := web.VisitorOf(r.Context())
	if key := visitor.Scope.Channel; visitor.Role == web.Guest && key != "" {
		http.Redirect(w, r, channelPath(key), http.StatusSeeOther)
		return
	}
	q, err := parseQuestion(r.URL.Query())
	var v *listView
	if err == nil {
		v, err = p.readList(r, q)
	}
	if err != nil {
		p.fail(w, r, err)
		return
	}
	p.show(w, r, web.Page{Title: web.Say(r, "渠道", "Channels"), Place: "channels"}, "list.html", v)
}

func (p *Pages) readList(r *http.Request, q Question) (*listView, error) {
	ctx := r.Context()
	all, err := p.Ledger.Channels(ctx)
	if err != nil {
		return nil, err
	}
	query := narrow(r, q.query(p.Now(), p.Location, channels.ByChannel))
	report, err := p.Ledger.Report(ctx, query)
	if err != nil {
		return nil, err
	}
	kept, err := p.Ledger.Retention(ctx, query, keptDays)
	if err != nil {
		return nil, err
	}
	v := &listView{
		span: newSpan(r, q, report), Question: q, Columns: columnsOf(q),
		Remembered: report.KeepAfterUnfollow.Hours() / 24,
	}
	v.groups(r, q, query.Group, all)
	spent, err := p.Store.Spent(ctx, dayAfter(report))
	if err != nil {
		return nil, err
	}
	lines := v.lines(report, kept.Rows, all)
	v.addCosts(lines, spent)
	if v.Sum.Kept, err = p.kept(ctx, query); err != nil {
		return nil, err
	}
	v.choose(lines)
	v.ShowsForgotten = report.Total.Imported+report.Total.Forgotten > 0
	return v, p.addSparklines(ctx, query, v)
}

// kept is the retention of all of the query together.
func (p *Pages) kept(ctx context.Context, q channels.Query) (channels.Retained, error) {
	q.By = 0
	kept, err := p.Ledger.Retention(ctx, q, keptDays)
	if err != nil || len(kept.Rows) == 0 {
		return channels.Retained{}, err
	}
	return kept.Rows[0], nil
}

// lines has each channel of the group, also those without any number, and sets the others
// and the sum.
func (v *listView) lines(
	report *channels.Report, kept []channels.Retained, all []channels.Channel,
) (lines []line) {
	byKey := map[string]*line{}
	byOrigin := map[channels.Origin]*line{}
	for i := range all {
		if inGroup(all[i].Group, report.Group) {
			lines = append(lines, line{Channel: all[i]})
		}
	}
	for i := range lines {
		byKey[lines[i].Key] = &lines[i]
	}
	for origin, word := range originWords {
		byOrigin[origin] = &line{Word: word}
	}
	of := func(origin channels.Origin, key string) *line {
		if l := byOrigin[origin]; l != nil {
			return l
		}
		return cmp.Or(byKey[key], &line{}) // made since
	}
	for i := range report.Rows {
		of(report.Rows[i].Origin, report.Rows[i].Channel.Key).Counts = report.Rows[i].Counts
	}
	for i := range kept {
		of(kept[i].Origin, kept[i].Channel.Key).Kept = kept[i]
	}
	if report.Group == "" {
		v.Others = []line{
			*byOrigin[channels.NoCode], *byOrigin[channels.CodeUnknown], *byOrigin[channels.Imported],
		}
	}
	v.Sum = line{Word: "sum", Counts: report.Total}
	v.All = len(lines)
	return lines
}

// addCosts sets what was spent on each line, and of the sum.
func (v *listView) addCosts(lines []line, spent map[string]int64) {
	for i := range lines {
		l := &lines[i]
		if l.Cost = spendingOn(spent[l.Key], l.HeldEnd); l.Cost.Spent > 0 {
			v.Costed++
		}
		v.Sum.Cost.add(l.Cost)
	}
}

var originWords = map[channels.Origin]string{
	channels.NoCode: "no-code", channels.CodeUnknown: "unknown", channels.Imported: "imported-row",
}

// choose puts the lines that are looked for in order, and shows one page of them. The
// rest is one line, so that the table adds up.
func (v *listView) choose(lines []line) {
	found := slices.Clone(lines)
	if search := strings.ToLower(v.Question.Search); search != "" {
		found = slices.DeleteFunc(found, func(l line) bool {
			return !strings.Contains(strings.ToLower(l.Key+"\n"+l.Name+"\n"+l.Group), search)
		})
	}
	slices.SortStableFunc(found, v.Question.Sort.compare)
	v.Found = len(found)
	v.Pages = max((len(found)+rowsAPage-1)/rowsAPage, 1)
	v.Question.Page = min(v.Question.Page, v.Pages)
	first := (v.Question.Page - 1) * rowsAPage
	v.Lines = found[first:min(first+rowsAPage, len(found))]
	if len(v.Lines) == v.All {
		return
	}
	rest := v.Sum
	for i := range v.Others {
		rest.minus(&v.Others[i])
	}
	for i := range v.Lines {
		rest.minus(&v.Lines[i])
	}
	rest.Word, rest.More = "", v.All-len(v.Lines)
	v.Rest = &rest
}

// compare orders lines by the column. What has no share comes last either way.
func (s Sort) compare(a, b line) int {
	byText := map[string]int{
		"name":  cmp.Compare(cmp.Or(a.Name, a.Key), cmp.Or(b.Name, b.Key)),
		"group": cmp.Compare(a.Group, b.Group),
	}
	if order, ok := byText[s.Column]; ok {
		if !s.Up {
			order = -order
		}
		return cmp.Or(order, cmp.Compare(a.Key, b.Key))
	}
	x, xOf := a.value(s.Column)
	y, yOf := b.value(s.Column)
	if (xOf == 0) != (yOf == 0) {
		return cmp.Compare(min(yOf, 1), min(xOf, 1))
	}
	order := cmp.Compare(float64(y)*float64(xOf), float64(x)*float64(yOf)) // x/xOf and y/yOf, the greater first
	if s.Up {
		order = -order
	}
	return cmp.Or(order, cmp.Compare(a.Key, b.Key))
}

// value is a number of the line, as a part of another, which is 1 if it is no share.
func (l *line) value(column string) (part, of int64) {
	switch column {
	case "new":
		return l.New, 1
	case "returning":
		return l.Returning, 1
	case "lost":
		return l.Lost, 1
	case "held":
		return l.HeldEnd, 1
	case "retention":
		return l.Kept.Stayed, l.Kept.Follows
	case "quick":
		return l.QuickLost, l.QuickOf
	case "cost":
		return l.Cost.Spent, l.Cost.Held
	}
	return l.Net(), 1
}

func columnsOf(q Question) (all []tableColumn) {
	for _, key := range sortColumns {
		c := tableColumn{Key: key, Question: q.SortedBy(key)}
		if q.Sort.Column == key {
			c.Order = "descending"
			if q.Sort.Up {
				c.Order = "ascending"
			}
		}
		all = append(all, c)
	}
	return all
}

func inGroup(group, of string) bool {
	return of == "" || group == of || strings.HasPrefix(group, of+"/")
}

// groups sets the path to the group, as far as the visitor may see it, and what is
// beneath it.
func (v *listView) groups(r *http.Request, q Question, group string, all []channels.Channel) {
	visitor := web.VisitorOf(r.Context())
	if visitor.Sees("", "") {
		v.Path = append(v.Path, groupLink{web.Say(r, "全部", "All"), q.Of("")})
	}
	for _, path := range web.Groups(all) {
		if !visitor.Sees("", path) {
			continue
		}
		parent := path[:max(strings.LastIndex(path, "/"), 0)]
		name := path[strings.LastIndex(path, "/")+1:]
		switch {
		case inGroup(group, path):
			v.Path = append(v.Path, groupLink{name, q.Of(path)})
		case parent == group && len(v.Children) < maxChildren:
			v.Children = append(v.Children, groupLink{name, q.Of(path)})
		}
	}
}

const maxSparks = 30 // places of a sparkline

// maxEventsOfAll is up to how many events one report is read for all lines. Beyond it there is
// one for each line, so that the work does not grow with the account.
const maxEventsOfAll = 20_000

// addSparklines draws net by day, of a day by hour, of each line.
func (p *Pages) addSparklines(ctx context.Context, q channels.Query, v *listView) error {
	q.By, q.Sums = channels.ByDay, true
	if q.To.Sub(q.From) <= 25*time.Hour {
		q.By = channels.ByHour
	}
	if all := &v.Sum; all.Scans+all.New+all.Returning+all.Lost > maxEventsOfAll {
		return p.addEachSparkline(ctx, q, v.Lines)
	}
	q.By |= channels.ByChannel
	report, err := p.Ledger.Report(ctx, q)
	if err != nil {
		return err
	}
	rows := map[string][]channels.Row{}
	for _, row := range report.Rows {
		rows[row.Channel.Key] = append(rows[row.Channel.Key], row)
	}
	for i := range v.Lines {
		report.Rows = rows[v.Lines[i].Key]
		v.Lines[i].Spark = sparkline(netOver(report))
	}
	return nil
}

func (p *Pages) addEachSparkline(ctx context.Context, q channels.Query, lines []line) error {
	q.Group = ""
	for i := range lines {
		q.Channel = lines[i].Key
		report, err := p.Ledger.Report(ctx, q)
		if err != nil {
			return err
		}
		lines[i].Spark = sparkline(netOver(report))
	}
	return nil
}

// netOver is net by day or hour until now, by more at once if there are too many of them.
func netOver(report *channels.Report) []float64 {
	end, unit := report.To, 24*time.Hour
	if report.AsOf.Before(end) {
		end = report.AsOf
	}
	if report.By&channels.ByHour != 0 {
		unit = time.Hour
	}
	length := max(end.Sub(report.From), unit)
	n := min(time.Duration(maxSparks), (length+unit-1)/unit)
	places := make([]float64, n)
	for i := range report.Rows {
		row := &report.Rows[i]
		place := row.Start.Sub(report.From) * n / length
		places[min(max(place, 0), n-1)] += float64(row.Net())
	}
	return places
}
