package channels_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/account"
	"github.com/wechatqr/wechatqr/channels"
	"github.com/wechatqr/wechatqr/events"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

var (
	ctx    = context.Background()
	china  = time.FixedZone("UTC+8", 8*3600)
	config = channels.Config{
		AppID:             "wx0123456789abcdef",
		PersonKey:         []byte("32 random bytes from your vault."),
		KeepAfterUnfollow: 30 * 24 * time.Hour,
	}

	// march is the first week of March 2026 in China.
	march = channels.Query{
		From: time.Date(2026, time.March, 2, 0, 0, 0, 0, china),
		To:   time.Date(2026, time.March, 9, 0, 0, 0, 0, china),
	}
	shop7 = channels.Channel{Key: "sh-7", Name: "上海七店", Group: "华东/门店"}
	shop8 = channels.Channel{Key: "sh-8", Name: "上海八店", Group: "华东/门店"}
)

// check ends the Examples, whose errors would be faults of theirs.
func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// openLedger makes a ledger in a file of its own.
func openLedger() (ledger *channels.Ledger, closeIt func()) {
	dir, err := os.MkdirTemp("", "example")
	check(err)
	db, err := sql.Open("sqlite", filepath.Join(dir, "ledger.db"))
	check(err)
	ledger, err = channels.Open(ctx, db, channels.SQLite, config)
	check(err)
	return ledger, func() {
		_ = db.Close()
		_ = os.RemoveAll(dir)
	}
}

// push is an event as package events parses it.
func push(who string, at time.Time, what wechatqr.EventType, key string) *wechatqr.Event {
	return &wechatqr.Event{
		MsgType: "event", FromUserName: who, CreateTime: at, Type: what, EventKey: key,
	}
}

// fillWeek has four people follow by the code s7, of whom one leaves, and one without a
// code.
func fillWeek(ledger *channels.Ledger) {
	check(ledger.Adopt(ctx, wechatqr.SceneString("s7"), shop7))
	check(ledger.Adopt(ctx, wechatqr.SceneString("s8"), shop8))
	at := march.From.Add(time.Hour)
	for _, ev := range []*wechatqr.Event{
		push("ann", at, wechatqr.EventSubscribe, "qrscene_s7"),
		push("bob", at, wechatqr.EventSubscribe, "qrscene_s7"),
		push("cay", at, wechatqr.EventSubscribe, "qrscene_s7"),
		push("dan", at.AddDate(0, 0, 1), wechatqr.EventSubscribe, "qrscene_s7"),
		push("eve", at.AddDate(0, 0, 1), wechatqr.EventSubscribe, ""),
		push("ann", at.AddDate(0, 0, 1), wechatqr.EventScan, "s8"),
		push("bob", at.AddDate(0, 0, 3), wechatqr.EventUnsubscribe, ""),
	} {
		_, err := ledger.Backfill(ctx, ev)
		check(err)
	}
}

func ExampleOpen() {
	dir, err := os.MkdirTemp("", "example")
	check(err)
	defer func() { _ = os.RemoveAll(dir) }()
	db, err := sql.Open("sqlite", filepath.Join(dir, "ledger.db")) // of modernc.org/sqlite
	check(err)
	defer func() { _ = db.Close() }()

	_, err = channels.Open(ctx, db, channels.SQLite, config)
	check(err)
	changed := config
	changed.PersonKey = []byte("the bytes of another installation")
	_, err = channels.Open(ctx, db, channels.SQLite, changed)
	fmt.Println(errors.Is(err, channels.ErrWrongKey))
	// Output: true
}

func ExampleLedger_Record() {
	ledger, closeIt := openLedger()
	defer closeIt()
	wx := wechatqrtest.NewServer()
	defer wx.Close()

	code, err := ledger.Ensure(ctx, wx.Client(), shop7)
	check(err)
	var mux events.Mux
	mux.HandleScenePrefix("c.", welcome)
	handler, err := events.NewHandler(wx.CallbackConfig(), ledger.Record(mux.Serve))
	check(err)

	wx.ServeCallback(handler)
	for range 2 {
		pushed, err := wx.Scan(ctx, code.Ticket.Value, "o-somebody")
		check(err)
		fmt.Println(pushed.UserSees())
	}
	// Output:
	// 欢迎新朋友，来自上海七店
	// 欢迎再次扫码：上海七店
}

func welcome(runCtx context.Context, _ wechatqr.Scan, _ *wechatqr.Event) (events.Reply, error) {
	visit, _ := channels.VisitFrom(runCtx)
	if visit.Kind == channels.NewFollower {
		return events.Text("欢迎新朋友，来自" + visit.Channel.Name), nil
	}
	return events.Text("欢迎再次扫码：" + visit.Channel.Name), nil
}

func ExampleVisitFrom() {
	ledger, closeIt := openLedger()
	defer closeIt()
	check(ledger.Adopt(ctx, wechatqr.SceneString("s7"), shop7))
	next := func(runCtx context.Context, _ *wechatqr.Event) (events.Reply, error) {
		visit, ok := channels.VisitFrom(runCtx)
		fmt.Println(ok, visit.Kind, visit.Channel.Name)
		return nil, nil
	}
	_, err := ledger.Record(next)(ctx, push("ann", time.Now(), wechatqr.EventScan, "s7"))
	check(err)
	// Output: true stranger 上海七店
}

func ExampleLedger_RecordEvent() {
	ledger, closeIt := openLedger()
	defer closeIt()
	now := time.Now()
	for range 3 { // delivered three times, counted once
		visit, err := ledger.RecordEvent(ctx, push("ann", now, wechatqr.EventSubscribe, ""))
		check(err)
		fmt.Println(visit.Kind)
	}
	// Output:
	// new
	// new
	// new
}

func ExampleLedger_Backfill() {
	ledger, closeIt := openLedger()
	defer closeIt()
	old := push("ann", march.From, wechatqr.EventSubscribe, "")
	visit, err := ledger.Backfill(ctx, old)
	check(err)
	fmt.Println(visit.Kind)
	// Output: new
}

func ExampleLedger_Report() {
	ledger, closeIt := openLedger()
	defer closeIt()
	fillWeek(ledger)

	query := march
	query.By = channels.ByChannel
	report, err := ledger.Report(ctx, query)
	check(err)
	for _, row := range report.Rows {
		fmt.Printf("%s%s: %d scans, %d new, %d lost, %d held\n",
			row.Channel.Name, row.Origin, row.Scans, row.New, row.Lost, row.HeldEnd)
	}
	fmt.Println("account: net", report.Total.Net(), "of", report.Total.Scanners, "scanners")
	// Output:
	// 上海七店: 4 scans, 4 new, 1 lost, 3 held
	// 上海八店: 1 scans, 0 new, 0 lost, 0 held
	// no code: 0 scans, 1 new, 0 lost, 1 held
	// account: net 4 of 4 scanners
}

func ExampleLedger_Retention() {
	ledger, closeIt := openLedger()
	defer closeIt()
	fillWeek(ledger)
	report, err := ledger.Retention(ctx, march, 1, 7)
	check(err)
	for _, r := range report.Rows {
		fmt.Printf("%d days later: %d of %d\n", r.Days, r.Stayed, r.Follows)
	}
	// Output:
	// 1 days later: 5 of 5
	// 7 days later: 4 of 5
}

func ExampleLedger_LossAges() {
	ledger, closeIt := openLedger()
	defer closeIt()
	fillWeek(ledger)
	const day = 24 * time.Hour
	ages, err := ledger.LossAges(ctx, march, day, 7*day)
	check(err)
	for _, row := range ages.Rows {
		fmt.Println(row.UpTo, row.Lost)
	}
	// Output:
	// 24h0m0s 0
	// 168h0m0s 1
	// 0s 0
}

func ExampleLossAges_WriteCSV() {
	ledger, closeIt := openLedger()
	defer closeIt()
	fillWeek(ledger)
	const day = 24 * time.Hour
	ages, err := ledger.LossAges(ctx, march, day, 7*day)
	check(err)
	var out strings.Builder
	check(ages.WriteCSV(&out))
	for _, line := range strings.Split(out.String(), "\r\n")[:6] {
		cells := strings.Split(strings.TrimPrefix(line, "\ufeff"), ",")
		fmt.Println(cells[0], cells[5])
	}
	// Output:
	// up_to lost
	// 24h0m0s 0
	// 168h0m0s 1
	// 0s 0
	// unknown 0
	// total 1
}

func ExampleLedger_Convert() {
	ledger, closeIt := openLedger()
	defer closeIt()
	order := channels.Conversion{
		ID: "order 1001", OpenID: "ann", At: march.From.Add(48 * time.Hour),
		Name: "order", Value: 12900, // ¥129.00
	}
	check(ledger.Convert(ctx, order))
	check(ledger.Convert(ctx, order)) // counts once

	order.Value = 9900
	err := ledger.Convert(ctx, order)
	fmt.Println(errors.Is(err, channels.ErrConversionDiffers))
	fmt.Println(err)
	// Output:
	// true
	// wechatqr: channels: convert: another conversion has the id "order 1001": give each act an ID of its own, and repeat one as it was
}

func ExampleLedger_Conversions() {
	ledger, closeIt := openLedger()
	defer closeIt()
	fillWeek(ledger) // ann follows by the code of 上海七店, and scans that of 上海八店 later
	at := march.From.Add(48 * time.Hour)
	check(ledger.Convert(
		ctx, channels.Conversion{ID: "1001", OpenID: "ann", At: at, Value: 12900},
		channels.Conversion{ID: "1002", OpenID: "dan", At: at, Value: 5000},
	))

	query := channels.ConversionQuery{Query: march}
	query.By = channels.ByChannel
	for _, query.Model = range []channels.Model{channels.ModelFollow, channels.ModelLast} {
		report, err := ledger.Conversions(ctx, query)
		check(err)
		fmt.Println("by", report.Model)
		for _, row := range report.Rows {
			fmt.Printf("%s%s: %d conversions, %d.%02d yuan, %d of %d followers\n",
				row.Channel.Name, row.Origin, row.Conversions, row.Value/100, row.Value%100,
				row.Converted, row.Followers)
		}
	}
	// Output:
	// by follow
	// 上海七店: 2 conversions, 179.00 yuan, 2 of 4 followers
	// no code: 0 conversions, 0.00 yuan, 0 of 1 followers
	// by last
	// 上海七店: 1 conversions, 50.00 yuan, 1 of 4 followers
	// 上海八店: 1 conversions, 129.00 yuan, 0 of 0 followers
	// no code: 0 conversions, 0.00 yuan, 0 of 1 followers
}

func ExampleConversionCounts_Rate() {
	counts := channels.ConversionCounts{Converted: 3, Followers: 40}
	if rate, ok := counts.Rate(); ok {
		fmt.Printf("%.1f%%\n", 100*rate)
	}
	// Output: 7.5%
}

func ExampleConversionReport_WriteCSV() {
	ledger, closeIt := openLedger()
	defer closeIt()
	fillWeek(ledger)
	report, err := ledger.Conversions(ctx, channels.ConversionQuery{Query: march})
	check(err)
	var out strings.Builder
	check(report.WriteCSV(&out))
	lines := strings.Split(out.String(), "\r\n")
	fmt.Println(strings.TrimPrefix(lines[0], "\ufeff"))
	fmt.Println(strings.Join(strings.Split(lines[2], ",")[:11], ","))
	// Output:
	// start,channel,name,group,origin,retired,conversions,converters,value,converted,followers,as_of,open
	// 2026-03-02 00:00,,,,total,,0,0,0,0,5
}

func ExampleRetentionReport_WriteCSV() {
	ledger, closeIt := openLedger()
	defer closeIt()
	fillWeek(ledger)
	report, err := ledger.Retention(ctx, march, 1, 7)
	check(err)
	var out strings.Builder
	check(report.WriteCSV(&out))
	lines := strings.Split(strings.TrimPrefix(out.String(), "\ufeff"), "\r\n")
	fmt.Println(lines[0])
	for _, line := range lines[1:3] {
		fmt.Println(strings.Join(strings.Split(line, ",")[:10], ","))
	}
	// Output:
	// from,to,channel,name,group,origin,retired,days,follows,stayed,as_of,open
	// 2026-03-02 00:00,2026-03-09 00:00,,,,,,1,5,5
	// 2026-03-02 00:00,2026-03-09 00:00,,,,,,7,5,4
}

func ExampleColumns() {
	report := channels.Report{Total: channels.Counts{New: 5, Returning: 2, Lost: 1}}
	for _, column := range channels.Columns() {
		if n := column.Number(&report.Total); n != 0 {
			fmt.Println(column.TermZH, n, column.Text)
		}
	}
	// Output:
	// 新增关注 5 follows that began, the person's first
	// 回流关注 2 follows that began, not the first; they count for the code that brought the person back
	// 取关 1 follows that ended, for the channel that began them, whatever was scanned since
	// 净增 6 new + returning − lost
}

func ExampleLedger_Compare() {
	ledger, closeIt := openLedger()
	defer closeIt()
	wx := wechatqrtest.NewServer()
	defer wx.Close()
	now := time.Now()
	comparison, err := ledger.Compare(ctx, wx.Client(), now, now)
	check(err)
	for _, day := range comparison.Days {
		fmt.Println(day.WeChat == nil, day.Ours.New)
		for _, reason := range day.Reasons {
			fmt.Println(reason.Hint())
		}
	}
	// Output:
	// true 0
	// The day is not over, and WeChat has no figures of it.
}

func ExampleComparison_WriteCSV() {
	ledger, closeIt := openLedger()
	defer closeIt()
	wx := wechatqrtest.NewServer()
	defer wx.Close()
	now := time.Now()
	comparison, err := ledger.Compare(ctx, wx.Client(), now, now)
	check(err)
	var out strings.Builder
	check(comparison.WriteCSV(&out))
	for _, line := range strings.Split(out.String(), "\r\n")[:5] {
		cells := strings.Split(line, ",")
		fmt.Println(strings.TrimSpace(strings.Join(cells[1:7], " ")))
	}
	// Output:
	// origin new lost followers scanned_new scanned_lost
	// wechat
	// ours 0 0 0 0 0
	// diff
	// day open
}

func ExampleLedger_Ensure() {
	ledger, closeIt := openLedger()
	defer closeIt()
	wx := wechatqrtest.NewServer()
	defer wx.Close()
	client := wx.Client()

	code, err := ledger.Ensure(ctx, client, shop7)
	check(err)
	again, err := ledger.Ensure(ctx, client, shop7)
	check(err)
	fmt.Println(code.Ticket.Value == again.Ticket.Value, len(code.Ticket.Scene.Key()))
	// Output: true 10
}

func ExampleLedger_EnsureAll() {
	ledger, closeIt := openLedger()
	defer closeIt()
	wx := wechatqrtest.NewServer()
	defer wx.Close()
	client := wx.Client()

	shops := []channels.Channel{shop7, shop8}
	for code, err := range ledger.EnsureAll(ctx, client, slices.Values(shops)) {
		if err != nil {
			log.Fatal(err) // run it again tomorrow: it goes on here
		}
		fmt.Println(code.Channel.Name, code.Ticket.Permanent())
	}
	// Output:
	// 上海七店 true
	// 上海八店 true
}

func ExampleLedger_Budget() {
	ledger, closeIt := openLedger()
	defer closeIt()
	wx := wechatqrtest.NewServer()
	defer wx.Close()
	_, err := ledger.Ensure(ctx, wx.Client(), shop7)
	check(err)
	budget, err := ledger.Budget(ctx)
	check(err)
	fmt.Println(budget.Made, "of", channels.MaxCodes)
	// Output: 1 of 100000
}

func ExampleLedger_Put() {
	ledger, closeIt := openLedger()
	defer closeIt()
	check(ledger.Put(ctx, channels.Channel{Key: "sh-7", Name: "七店"}))
	check(ledger.Put(ctx, shop7)) // another name and group
	all, err := ledger.Channels(ctx)
	check(err)
	fmt.Println(len(all), all[0].Name, all[0].Group)
	// Output: 1 上海七店 华东/门店
}

func ExampleLedger_Channels() {
	ledger, closeIt := openLedger()
	defer closeIt()
	check(ledger.Put(ctx, shop8))
	check(ledger.Put(ctx, shop7))
	all, err := ledger.Channels(ctx)
	check(err)
	for _, c := range all {
		fmt.Println(c.Key, c.Name)
	}
	// Output:
	// sh-7 上海七店
	// sh-8 上海八店
}

func ExampleLedger_FindChannels() {
	ledger, closeIt := openLedger()
	defer closeIt()
	check(ledger.Put(ctx, shop7))
	check(ledger.Put(ctx, shop8))
	found, err := ledger.FindChannels(ctx, "八店", 20)
	check(err)
	for _, c := range found {
		fmt.Println(c.Key, c.Name)
	}
	// Output: sh-8 上海八店
}

func ExampleLedger_Adopt() {
	ledger, closeIt := openLedger()
	defer closeIt()
	scene := wechatqr.SceneID(7) // of a code that hangs in the shop already
	check(ledger.Adopt(ctx, scene, shop7))
	err := ledger.Adopt(ctx, scene, shop8)
	fmt.Println(errors.Is(err, channels.ErrSceneInUse))
	// Output: true
}

// newOf prints the new followers of each channel in the week.
func newOf(ledger *channels.Ledger) {
	query := march
	query.By, query.Group = channels.ByChannel, "华东"
	report, err := ledger.Report(ctx, query)
	check(err)
	for _, row := range report.Rows {
		fmt.Println(row.Channel.Key, row.New)
	}
}

func ExampleLedger_Reassign() {
	ledger, closeIt := openLedger()
	defer closeIt()
	fillWeek(ledger)
	tuesday := march.From.AddDate(0, 0, 1)
	check(ledger.Reassign(ctx, wechatqr.SceneString("s7"), shop8.Key, tuesday))
	newOf(ledger)
	// Output:
	// sh-7 3
	// sh-8 1
}

func ExampleLedger_Merge() {
	ledger, closeIt := openLedger()
	defer closeIt()
	fillWeek(ledger)
	check(ledger.Merge(ctx, shop7.Key, shop8.Key))
	newOf(ledger)
	// Output: sh-8 4
}

func ExampleLedger_Retire() {
	ledger, closeIt := openLedger()
	defer closeIt()
	fillWeek(ledger)
	check(ledger.Retire(ctx, shop7.Key, march.From.AddDate(0, 0, 2)))
	all, err := ledger.Channels(ctx)
	check(err)
	fmt.Println(all[0].Key, all[0].Retired.In(china).Format(time.DateOnly))
	// Output: sh-7 2026-03-04
}

func ExampleLedger_ImportFollowers() {
	ledger, closeIt := openLedger()
	defer closeIt()
	wx := wechatqrtest.NewServer()
	defer wx.Close()
	client := wx.Client()
	wx.PutUser(wechatqrtest.User{OpenID: "ann", Follows: true, FollowedAt: march.From})

	followers := account.Users(ctx, client, account.Followers(ctx, client, ""))
	check(ledger.ImportFollowers(ctx, followers))
	report, err := ledger.Report(ctx, march)
	check(err)
	fmt.Println(report.Total.Imported, report.Total.New, report.Total.HeldEnd)
	// Output: 1 0 1
}

func ExampleLedger_Reconcile() {
	ledger, closeIt := openLedger()
	defer closeIt()
	fillWeek(ledger) // after which WeChat has ann, cay, dan and fay
	wx := wechatqrtest.NewServer()
	defer wx.Close()
	client := wx.Client()
	for _, who := range []string{"ann", "cay", "dan", "fay"} {
		wx.PutUser(wechatqrtest.User{OpenID: who, Follows: true, FollowedAt: march.To})
	}

	followers := account.Users(ctx, client, account.Followers(ctx, client, ""))
	result, err := ledger.Reconcile(ctx, followers)
	check(err)
	fmt.Println(result.Listed, "followers,", result.Found, "missed,", result.Ended, "gone")
	// Output: 4 followers, 1 missed, 1 gone
}

func ExampleLedger_Forget() {
	ledger, closeIt := openLedger()
	defer closeIt()
	fillWeek(ledger)
	check(ledger.Forget(ctx, "ann"))
	report, err := ledger.Report(ctx, march)
	check(err)
	fmt.Println(report.Total.New, "as before")
	// Output: 5 as before
}

func ExampleLedger_DeleteExpired() {
	ledger, closeIt := openLedger()
	defer closeIt()
	for range time.Tick(time.Hour) {
		check(ledger.DeleteExpired(ctx))
	}
}

func ExampleReport_WriteCSV() {
	ledger, closeIt := openLedger()
	defer closeIt()
	fillWeek(ledger)
	query := march
	query.By = channels.ByChannel
	report, err := ledger.Report(ctx, query)
	check(err)

	var out strings.Builder
	check(report.WriteCSV(&out))
	for line := range strings.Lines(out.String()) {
		cells := strings.Split(line, ",")
		if cells[0] == "" {
			break // below are the definitions
		}
		fmt.Println(cells[1], cells[4], cells[9])
	}
	// Output:
	// channel origin new
	// sh-7  4
	// sh-8  0
	//  no code 1
	//  total 5
}
