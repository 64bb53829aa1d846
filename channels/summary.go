package channels

import (
	"context"
	"database/sql"
	"time"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/account"
)

// Figures are what one side counted on a day.
type Figures struct {
	New         int64 `json:"new"`          // follows that began: New + Returning of a report
	Lost        int64 `json:"lost"`         // follows that ended
	Followers   int64 `json:"followers"`    // at the end of the day
	ScannedNew  int64 `json:"scanned_new"`  // of New, by a code: a channel's, or code unknown
	ScannedLost int64 `json:"scanned_lost"` // of Lost, of follows that began by a code
}

func (f Figures) minus(o Figures) Figures {
	return Figures{
		f.New - o.New, f.Lost - o.Lost, f.Followers - o.Followers,
		f.ScannedNew - o.ScannedNew, f.ScannedLost - o.ScannedLost,
	}
}

// ComparedDay is WeChat's figures of a day beside the ledger's.
type ComparedDay struct {
	Date   time.Time `json:"date"`           // 0:00 in China
	WeChat *Figures  `json:"wechat"`         // nil if WeChat has none yet
	Ours   Figures   `json:"ours"`           // by what the ledger knows now
	Diff   Figures   `json:"diff,omitempty"` // WeChat − Ours; 0 without WeChat's

	// Reasons are those that apply to this difference; none if there is none.
	Reasons []DiffReason `json:"reasons,omitempty"`
}

// Comparison is WeChat's figures beside the ledger's. As JSON it has the same numbers, and
// what [Comparison.MarshalJSON] adds.
type Comparison struct {
	AsOf time.Time     `json:"as_of"` // when it was made, in China
	Days []ComparedDay `json:"days"`
}

// Compare asks WeChat for its figures of the days from first to last, of both the date
// in China, by account.DailySummary: a call for seven days. They are a mirror, and
// correct nothing: [Ledger.Reconcile] does, by the list of followers.
//
// WeChat counts the codes of the account together, and knows nothing of channels.
//
// Errors: those of account.DailySummary; wechatqr.ErrInvalidArgument.
func (l *Ledger) Compare(
	ctx context.Context, client *wechatqr.Client, first, last time.Time,
) (*Comparison, error) {
	from, until := startOfDay(first.In(china)), startOfDay(last.In(china)).AddDate(0, 0, 1)
	now := l.now()
	if !from.Before(until) {
		return nil, invalid("compare: the first day, %v, is after the last", from)
	}
	if client == nil {
		return nil, invalid("compare: the client is nil")
	}

	figures := map[int64]Figures{}
	yesterday := startOfDay(now.In(china)).AddDate(0, 0, -1)
	for day, err := range account.DailySummary(ctx, client, from, earlier(last, yesterday)) {
		if err != nil {
			return nil, failed("compare", err)
		}
		figures[day.Date.Unix()] = figuresOf(&day)
	}

	result := &Comparison{AsOf: now.In(china)}
	err := l.readSettled(ctx, func(t *tx) (err error) {
		q := Query{From: from, To: until, By: ByDay | ByChannel}
		c := comparer{reader: l.newReader(t, q), first: l.rules.first}
		c.location = china
		result.Days, err = c.compare(ctx, figures)
		return err
	})
	return result, failed("compare", err)
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func figuresOf(day *account.Day) Figures {
	f := Figures{New: int64(day.New), Lost: int64(day.Lost), Followers: int64(day.Followers)}
	for _, from := range day.Sources {
		if from.Source == account.SourceQRCode {
			f.ScannedNew, f.ScannedLost = int64(from.New), int64(from.Lost)
		}
	}
	return f
}

// comparer makes one comparison.
type comparer struct {
	*reader
	first   int64            // the ledger's first instant
	ours    map[int64]*tally // by the day's beginning
	found   []foundEnd
	forgot  int64 // before the period
	persons map[int64]map[int64]bool
}

// tally is what the ledger has of one day.
type tally struct {
	Figures
	noCode    int64 // of New, without a code
	forgotten int64
	repeats   int64 // of New, beyond the first of each person
}

// foundEnd is a follow whose end Reconcile found.
type foundEnd struct{ began, found int64 }

func (c *comparer) compare(ctx context.Context, wechat map[int64]Figures) ([]ComparedDay, error) {
	c.ours, c.persons = map[int64]*tally{}, map[int64]map[int64]bool{}
	for day := range c.days() {
		c.ours[day.Unix()] = &tally{}
		c.persons[day.Unix()] = map[int64]bool{}
	}
	for _, step := range []func(context.Context) error{
		c.readNumbers, c.readHeld, c.readForgotten, c.readFoundEnds, c.readRepeats,
	} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	c.sum()

	var days []ComparedDay
	for day := range c.days() {
		one := ComparedDay{Date: day, Ours: c.ours[day.Unix()].Figures}
		if figures, known := wechat[day.Unix()]; known {
			one.WeChat, one.Diff = &figures, figures.minus(one.Ours)
		}
		one.Reasons = c.reasons(&one)
		days = append(days, one)
	}
	return days, nil
}

// sum adds up the days over the channels, and counts the followers on.
func (c *comparer) sum() {
	for k, row := range c.rows {
		sum := c.ours[k.start]
		begun := row.New + row.Returning
		sum.New += begun
		sum.Lost += row.Lost
		sum.forgotten += row.Forgotten
		sum.Followers += row.change()
		switch k.channel {
		case noCode:
			sum.noCode += begun
		case importedRow:
		default:
			sum.ScannedNew += begun
			sum.ScannedLost += row.Lost
		}
	}
	held := int64(0)
	for _, n := range c.held {
		held += n
	}
	for day := range c.days() {
		sum := c.ours[day.Unix()]
		held += sum.Followers
		sum.Followers = held
	}
}

// readForgotten reads how many follows Forget had ended before the period.
func (c *comparer) readForgotten(ctx context.Context) error {
	return c.t.row(
		ctx, []any{&c.forgot}, "SELECT (SELECT COALESCE(SUM(forgotten), 0) FROM channels_totals) - "+
			"(SELECT COALESCE(SUM(forgotten), 0) FROM channels_hours WHERE hour >= ?)",
		c.from/hourSeconds,
	)
}

func (c *comparer) readFoundEnds(ctx context.Context) error {
	return c.t.rows(ctx, func(rows *sql.Rows) error {
		var one foundEnd
		err := rows.Scan(&one.began, &one.found)
		c.found = append(c.found, one)
		return err
	}, "SELECT began, ended FROM channels_follows WHERE ended >= ? AND ending = ? AND person IN"+
		" (SELECT person FROM channels_hours WHERE hour >= ? AND lost > 0)",
		c.from, asGone, c.from/hourSeconds)
}

func (c *comparer) readRepeats(ctx context.Context) error {
	return c.t.rows(ctx, func(rows *sql.Rows) error {
		var who, at int64
		err := rows.Scan(&who, &at)
		day := startOfDay(time.Unix(at, 0).In(china)).Unix()
		if c.persons[day][who] {
			c.ours[day].repeats++
		}
		c.persons[day][who] = true
		return err
	}, "SELECT f.person, f.began"+c.beginnings(), c.hours()...)
}
