package page

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/wechatqr/wechatqr/channels"
)

// Question is what a page is asked, as its address has it. What is not set is not in the
// address, so that one question has one address.
type Question struct {
	Period Period
	Group  string // and those beneath it
	Search string // in keys, names and groups
	Sort   Sort
	Page   int // from 1

	// What an export asks for beside the others.
	By      string // one of dimensions
	Channel string // a key; empty: all
}

// Sort is by which column the rows are in order.
type Sort struct {
	Column string // one of sortColumns
	Up     bool   // the least first
}

// Period is some local days: a named one, or from one until another.
type Period struct {
	Name     string    // one of the periods, or empty
	From, To time.Time // midnights of UTC that stand for the first and the last day
}

// periods are those with a name. They end with today, but for yesterday.
var periods = []string{"today", "yesterday", "7d", "30d", "90d", "365d"}

var sortColumns = []string{
	"name", "group", "net", "new", "returning", "lost", "held", "retention", "quick", "cost",
}

// defaultQuestion is that of an address without parameters.
var defaultQuestion = Question{
	Period: Period{Name: "30d"}, Sort: Sort{Column: "net"}, Page: 1, By: "channel",
}

// dimensions are what an export has a row for.
var dimensions = map[string]channels.By{
	"channel": channels.ByChannel, "group": channels.ByGroup, "day": channels.ByDay,
	"hour": channels.ByHour, "weekday": channels.ByWeekday,
	"channel-day": channels.ByChannel | channels.ByDay,
}

var errQuestion = errors.New("the address asks for something that there is not")

const (
	dayForm       = "2006-01-02"
	maxPeriodDays = 3660
	maxText       = 200 // bytes
)

// parseQuestion reads the parameters of an address.
func parseQuestion(values url.Values) (Question, error) {
	q := defaultQuestion
	q.Group, q.Search = values.Get("group"), strings.TrimSpace(values.Get("q"))
	q.Channel = values.Get("channel")
	for _, text := range []string{q.Group, q.Search, q.Channel} {
		isControl := strings.ContainsFunc(text, unicode.IsControl)
		if len(text) > maxText || isControl || !utf8.ValidString(text) {
			return defaultQuestion, fmt.Errorf("%w: a text is too long, or no line of UTF-8", errQuestion)
		}
	}
	for _, parse := range []func(url.Values) error{
		q.Period.parse, q.Sort.parse, q.parsePage, q.parseBy,
	} {
		if err := parse(values); err != nil {
			return defaultQuestion, err
		}
	}
	return q, nil
}

func (p *Period) parse(values url.Values) error {
	first, last, name := values.Get("from"), values.Get("to"), values.Get("period")
	if first+last == "" {
		if name != "" {
			p.Name = name
		}
		if !slices.Contains(periods, p.Name) {
			return fmt.Errorf("%w: period is none of %v", errQuestion, periods)
		}
		return nil
	}
	from, fromErr := time.Parse(dayForm, first)
	to, toErr := time.Parse(dayForm, last)
	days := to.Sub(from).Hours() / 24
	if fromErr != nil || toErr != nil || days < 0 || days >= maxPeriodDays ||
		from.Year() < 2011 || to.Year() > 2100 {
		return fmt.Errorf("%w: from and to are not days such as 2026-11-01, in order", errQuestion)
	}
	*p = Period{From: from, To: to}
	return nil
}

func (s *Sort) parse(values url.Values) error {
	text := values.Get("sort")
	if text == "" {
		return nil
	}
	column, up := strings.CutPrefix(text, "up-")
	if !slices.Contains(sortColumns, column) {
		return fmt.Errorf("%w: sort is none of %v", errQuestion, sortColumns)
	}
	*s = Sort{column, up}
	return nil
}

func (s Sort) String() string {
	if s.Up {
		return "up-" + s.Column
	}
	return s.Column
}

func (q *Question) parsePage(values url.Values) error {
	text := values.Get("page")
	if text == "" {
		return nil
	}
	page, err := strconv.Atoi(text)
	if err != nil || page < 1 || page > 1_000_000 {
		return fmt.Errorf("%w: page is no number from 1 on", errQuestion)
	}
	q.Page = page
	return nil
}

func (q *Question) parseBy(values url.Values) error {
	if text := values.Get("by"); text != "" {
		q.By = text
	}
	if _, ok := dimensions[q.By]; !ok {
		return fmt.Errorf("%w: by is none of channel, group, day, hour, weekday", errQuestion)
	}
	return nil
}

// Values are the parameters of the question's address.
func (q Question) Values() url.Values {
	values := url.Values{}
	set := func(name, value, usual string) {
		if value != usual {
			values.Set(name, value)
		}
	}
	if q.Period.Name == "" {
		values.Set("from", q.Period.From.Format(dayForm))
		values.Set("to", q.Period.To.Format(dayForm))
	} else {
		set("period", q.Period.Name, defaultQuestion.Period.Name)
	}
	set("group", q.Group, "")
	set("q", q.Search, "")
	set("sort", q.Sort.String(), defaultQuestion.Sort.String())
	set("by", q.By, defaultQuestion.By)
	set("channel", q.Channel, "")
	set("page", strconv.Itoa(q.Page), "1")
	return values
}

// Hidden are the parameters that a form keeps beside those that it asks for.
func (q Question) Hidden(asked ...string) (all [][2]string) {
	values := q.At(1).Values()
	for _, name := range []string{"period", "from", "to", "group", "q", "sort", "by", "channel"} {
		if values.Has(name) && !slices.Contains(asked, name) {
			all = append(all, [2]string{name, values.Get(name)})
		}
	}
	return all
}

// PeriodOnly returns the question about the period alone.
func (q Question) PeriodOnly() Question {
	only := defaultQuestion
	only.Period = q.Period
	return only
}

// String is the address after the path, with its question mark; empty for the default.
func (q Question) String() string {
	if text := q.Values().Encode(); text != "" {
		return "?" + text
	}
	return ""
}

// In returns the question about a named period.
func (q Question) In(period string) Question {
	q.Period, q.Page = Period{Name: period}, 1
	return q
}

// Of returns the question about a group.
func (q Question) Of(group string) Question {
	q.Group, q.Page = group, 1
	return q
}

// SortedBy returns the question in the order of a column: the other way round if it is in that
// order.
func (q Question) SortedBy(column string) Question {
	text := column == "name" || column == "group"
	up := text
	if q.Sort.Column == column {
		up = !q.Sort.Up
	}
	q.Sort, q.Page = Sort{column, up}, 1
	return q
}

// At returns the question about a page of the rows.
func (q Question) At(page int) Question {
	q.Page = page
	return q
}

// bounds are the first instants of the period's first day and of the day after its last.
func (p Period) bounds(now time.Time, location *time.Location) (from, to time.Time) {
	today := now.In(location)
	switch p.Name {
	case "":
		day := func(t time.Time) time.Time {
			return time.Date(t.Year(), t.Month(), t.Day(), 12, 0, 0, 0, location)
		}
		return channels.DaysLater(day(p.From), 0), channels.DaysLater(day(p.To), 1)
	case "today":
		return channels.DaysLater(today, 0), channels.DaysLater(today, 1)
	case "yesterday":
		return channels.DaysLater(today, -1), channels.DaysLater(today, 0)
	}
	days, err := strconv.Atoi(strings.TrimSuffix(p.Name, "d"))
	if err != nil {
		panic("page: no period " + p.Name) // parse lets none through
	}
	return channels.DaysLater(today, 1-days), channels.DaysLater(today, 1)
}

// query is the question to the ledger.
func (q Question) query(now time.Time, location *time.Location, by channels.By) channels.Query {
	from, to := q.Period.bounds(now, location)
	return channels.Query{From: from, To: to, By: by, Group: q.Group}
}
