package channels_test

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/wechatqr/wechatqr/channels"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// The copy is opened with the same Config.
func ExampleLedger_CopyTo() {
	ledger, closeIt := openLedger()
	defer closeIt()
	fillWeek(ledger)
	dir, err := os.MkdirTemp("", "example")
	check(err)
	defer func() { _ = os.RemoveAll(dir) }()
	db, err := sql.Open("sqlite", filepath.Join(dir, "copy.db")) // or of another dialect
	check(err)
	defer func() { _ = db.Close() }()

	var last channels.CopyProgress
	err = ledger.CopyTo(ctx, db, channels.SQLite, func(p channels.CopyProgress) { last = p })
	check(err)
	fmt.Println(last.Rows == last.Total)

	moved, err := channels.Open(ctx, db, channels.SQLite, config)
	check(err)
	report, err := moved.Report(ctx, march)
	check(err)
	fmt.Println(report.Total.New, report.Total.HeldEnd)
	// Output:
	// true
	// 5 4
}

const shopList = `编号,名称,分组,场景值
sh-7,上海七店,华东/门店,
sh-8,上海八店,华东/门店,
sh-9,上海九店,华东/门店,old-9
`

// A list is looked at first, applied as a whole, and then WeChat makes the codes.
func ExampleLedger_Plan() {
	ledger, closeIt := openLedger()
	defer closeIt()
	check(ledger.Put(ctx, shop7))
	check(ledger.Put(ctx, channels.Channel{Key: "sh-8", Name: "上海8店", Group: "华东/门店"}))

	plan, err := ledger.Plan(ctx, strings.NewReader(shopList))
	check(err)
	for _, line := range plan.Lines {
		fmt.Println(line.Line, line.Channel.Key, line.Status, line.Was.Name, line.Err)
	}
	fmt.Println(plan.Codes, "codes,", plan.Left, "left")
	// Output:
	// 2 sh-7 same 上海七店 <nil>
	// 3 sh-8 changed 上海8店 <nil>
	// 4 sh-9 new  <nil>
	// 2 codes, 99998 left
}

func ExampleLedger_Apply() {
	ledger, closeIt := openLedger()
	defer closeIt()
	wx := wechatqrtest.NewServer()
	defer wx.Close()

	plan, err := ledger.Plan(ctx, strings.NewReader(shopList))
	check(err)
	check(ledger.Apply(ctx, plan))
	for code, err := range ledger.EnsureAll(ctx, wx.Client(), plan.Channels()) {
		check(err)
		fmt.Println(code.Channel.Name, code.Ticket.Content != "")
	}
	// Output:
	// 上海七店 true
	// 上海八店 true
}

func ExamplePlan_Count() {
	ledger, closeIt := openLedger()
	defer closeIt()
	check(ledger.Put(ctx, shop7))

	plan, err := ledger.Plan(ctx, strings.NewReader(shopList+"sh-7,again,,\n"))
	check(err)
	fmt.Println(plan.Count(channels.LineNew), plan.Count(channels.LineConflict))
	fmt.Println(plan.Lines[3].Err)
	// Output:
	// 2 1
	// line 5, column key: invalid argument: "sh-7" is in line 2 too: leave one of them
}

func ExampleExplain() {
	ledger, closeIt := openLedger()
	defer closeIt()
	plan, err := ledger.Plan(ctx, strings.NewReader(shopList+"sh-7,again,,\n"))
	check(err)
	fmt.Println(channels.Explain(plan.Lines[3].Err))
	// Output: "sh-7" is in line 2 too: leave one of them “sh-7”在第 2 行已有：请只留一行
}

func ExamplePlan_Channels() {
	ledger, closeIt := openLedger()
	defer closeIt()
	plan, err := ledger.Plan(ctx, strings.NewReader(shopList))
	check(err)
	for channel := range plan.Channels() { // sh-9 has its code
		fmt.Println(channel.Key)
	}
	// Output:
	// sh-7
	// sh-8
}

func ExampleCounts_Net() {
	counts := channels.Counts{New: 5, Returning: 1, Lost: 2}
	fmt.Println(counts.Net())
	// Output: 4
}

func ExampleDialect_String() {
	fmt.Println(channels.SQLite, channels.PostgreSQL, channels.MySQL)
	// Output: SQLite PostgreSQL MySQL
}
