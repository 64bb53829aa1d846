// Command week counts what forty shops bring in a week. A fake WeChat makes their codes
// and pushes what people do with them: some pushes come twice, all in a wrong order, and
// one in twenty is lost. Then it prints the report, before and after the lost pushes are
// mended, and the report as CSV. It needs no account and leaves nothing behind.
package main

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	_ "modernc.org/sqlite"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/account"
	"github.com/wechatqr/wechatqr/channels"
	"github.com/wechatqr/wechatqr/events"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

const shops = 40

// monday is when the week begins, in China.
var monday = time.Date(2026, time.March, 2, 0, 0, 0, 0, time.FixedZone("UTC+8", 8*3600))

func main() {
	if err := run(context.Background(), os.Stdout, 600); err != nil {
		log.Fatal(err)
	}
}

// run has so many people come by.
func run(ctx context.Context, out io.Writer, people int) error {
	dir, err := os.MkdirTemp("", "week")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	db, err := sql.Open("sqlite", filepath.Join(dir, "ledger.db"))
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	ledger, err := channels.Open(ctx, db, channels.SQLite, channels.Config{
		AppID:             "wx0123456789abcdef",
		PersonKey:         []byte("in earnest: 32 random bytes, kept elsewhere"),
		KeepAfterUnfollow: 365 * 24 * time.Hour,
	})
	if err != nil {
		return err
	}

	wx := wechatqrtest.NewServer()
	defer wx.Close()
	client := wx.Client()
	tickets, err := makeCodes(ctx, ledger, client)
	if err != nil {
		return err
	}
	if err := pushWeek(ctx, ledger, wx, weekOf(people, tickets)); err != nil {
		return err
	}
	fmt.Fprintln(out, "The week by what was pushed:")
	if err := printReport(ctx, out, ledger); err != nil {
		return err
	}

	followers := account.Users(ctx, client, account.Followers(ctx, client, ""))
	mended, err := ledger.Reconcile(ctx, followers)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\nReconcile: WeChat lists %d followers; %d of them were not known, "+
		"and %d others are gone.\nThis ledger is younger than the week: who was not known "+
		"counts as imported, and who is gone as lost today.\n\n",
		mended.Listed, mended.Found, mended.Ended)
	if err := printReport(ctx, out, ledger); err != nil {
		return err
	}

	today := channels.Query{
		From: monday, To: time.Now().Truncate(time.Hour).Add(time.Hour), By: channels.ByGroup,
	}
	report, err := ledger.Report(ctx, today)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\nNow %d follow. As CSV, from Monday until now:\n\n", report.Total.HeldEnd)
	return report.WriteCSV(out)
}

// makeCodes has each shop get its code, which happens once, however often it runs.
func makeCodes(
	ctx context.Context, ledger *channels.Ledger, client *wechatqr.Client,
) (tickets []wechatqr.Ticket, err error) {
	all := func(yield func(channels.Channel) bool) {
		for n := range shops {
			shop := channels.Channel{
				Key: fmt.Sprintf("shop-%02d", n+1), Name: fmt.Sprintf("第 %d 店", n+1),
				Group: []string{"华东/门店", "华东/活动", "华南/门店"}[n%3],
			}
			if !yield(shop) {
				return
			}
		}
	}
	for code, err := range ledger.EnsureAll(ctx, client, all) {
		if err != nil {
			return nil, err
		}
		tickets = append(tickets, code.Ticket)
	}
	return tickets, nil
}

// weekOf is what the people do: most follow by the code of a shop, some scan another
// one, leave and come back. The same week each time.
func weekOf(people int, tickets []wechatqr.Ticket) []wechatqr.Event {
	random := rand.New(rand.NewPCG(2026, 3))
	var week []wechatqr.Event
	for n := range people {
		at := monday.Add(time.Duration(random.IntN(5*24*3600)) * time.Second)
		act := func(kind wechatqr.EventType, key, ticket string) {
			week = append(week, wechatqr.Event{
				MsgType: "event", FromUserName: fmt.Sprintf("o-%d", n), CreateTime: at,
				Type: kind, EventKey: key, Ticket: ticket,
			})
			at = at.Add(time.Duration(1+random.IntN(30*3600)) * time.Second)
		}
		subscribe := func(code wechatqr.Ticket) {
			act(wechatqr.EventSubscribe, "qrscene_"+code.Scene.Key(), code.Value)
		}

		code := tickets[random.IntN(len(tickets))]
		if random.IntN(10) == 0 {
			act(wechatqr.EventSubscribe, "", "")
		} else {
			subscribe(code)
		}
		if random.IntN(4) == 0 {
			code = tickets[random.IntN(len(tickets))]
			act(wechatqr.EventScan, code.Scene.Key(), code.Value)
		}
		if random.IntN(4) == 0 {
			act(wechatqr.EventUnsubscribe, "", "")
			if random.IntN(3) == 0 {
				subscribe(code)
			}
		}
	}
	return week
}

// pushWeek delivers the events in a wrong order, every fifth twice, and loses one in
// twenty. WeChat itself knows what really happened.
func pushWeek(
	ctx context.Context, ledger *channels.Ledger, wx *wechatqrtest.Server, week []wechatqr.Event,
) error {
	// The week is over: its events are backfilled. What WeChat pushes now is for
	// ledger.Record.
	backfill := func(ctx context.Context, ev *wechatqr.Event) (events.Reply, error) {
		_, err := ledger.Backfill(ctx, ev)
		return nil, err
	}
	config := wx.CallbackConfig()
	config.MaxAge = 100 * 365 * 24 * time.Hour // for this week alone, which is long ago
	handler, err := events.NewHandler(config, backfill, events.WithDeduper(nil))
	if err != nil {
		return err
	}
	wx.ServeCallback(handler)

	for _, ev := range week {
		tellWeChat(wx, &ev)
	}
	random := rand.New(rand.NewPCG(2026, 4))
	for _, n := range random.Perm(len(week)) {
		times := 1 + n%5/4
		if n%20 == 7 {
			times = 0
		}
		for range times {
			if _, err := wx.Push(ctx, week[n]); err != nil {
				return err
			}
		}
	}
	return nil
}

// tellWeChat has WeChat know who follows, since when and by which code.
func tellWeChat(wx *wechatqrtest.Server, ev *wechatqr.Event) {
	user := wechatqrtest.User{OpenID: ev.FromUserName}
	switch {
	case ev.Type == wechatqr.EventScan:
		return
	case ev.Type == wechatqr.EventSubscribe:
		user.Follows, user.FollowedAt = true, ev.CreateTime
		if scan, ok := ev.Scan(); ok {
			user.SceneStr = scan.SceneKey
		}
	}
	wx.PutUser(user)
}

func printReport(ctx context.Context, out io.Writer, ledger *channels.Ledger) error {
	query := channels.Query{From: monday, To: monday.AddDate(0, 0, 7), By: channels.ByChannel}
	report, err := ledger.Report(ctx, query)
	if err != nil {
		return err
	}
	printTable(out, report)

	query.By = 0
	stayed, err := ledger.Retention(ctx, query, 1, 3, 7)
	if err != nil {
		return err
	}
	for _, r := range stayed.Rows {
		fmt.Fprintf(out, "%d of %d still followed at the end of the day %d days later\n",
			r.Stayed, r.Follows, r.Days)
	}
	return nil
}

func printTable(out io.Writer, report *channels.Report) {
	fmt.Fprintln(out, "scans persons   new  back  lost   net imported  held  quick  channel")
	for i := range report.Rows {
		row := &report.Rows[i]
		name := row.Channel.Key + " " + row.Channel.Name
		if row.Origin != channels.OfChannel {
			name = string(row.Origin)
		}
		printCounts(out, &row.Counts, name)
	}
	printCounts(out, &report.Total, "account")
}

func printCounts(out io.Writer, c *channels.Counts, name string) {
	fmt.Fprintf(out, "%5d %7d %5d %5d %5d %+5d %8d %5d %3d/%-3d %s\n", c.Scans, c.Scanners,
		c.New, c.Returning, c.Lost, c.Net(), c.Imported, c.HeldEnd, c.QuickLost, c.QuickOf, name)
}
