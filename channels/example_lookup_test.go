package channels_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/channels"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

func ExampleLedger_Channel() {
	ledger, closeIt := openLedger()
	defer closeIt()
	check(ledger.Put(ctx, shop7))
	channel, err := ledger.Channel(ctx, "sh-7")
	check(err)
	fmt.Println(channel.Name, channel.Group)

	_, err = ledger.Channel(ctx, "sh-70")
	fmt.Println(errors.Is(err, channels.ErrUnknownChannel))
	// Output:
	// 上海七店 华东/门店
	// true
}

func ExampleLedger_Assignments() {
	ledger, closeIt := openLedger()
	defer closeIt()
	check(ledger.Put(ctx, shop8))
	check(ledger.Adopt(ctx, wechatqr.SceneString("s7"), shop7))
	check(ledger.Reassign(ctx, wechatqr.SceneString("s7"), shop8.Key, march.From))

	all, err := ledger.Assignments(ctx, shop7.Key)
	check(err)
	for _, a := range all {
		since := "the beginning"
		if !a.Since.IsZero() {
			since = a.Since.Format(time.DateOnly)
		}
		fmt.Println(a.Scene.Key(), "is of", a.Channel.Name, "from", since)
	}
	// Output:
	// s7 is of 上海七店 from the beginning
	// s7 is of 上海八店 from 2026-03-02
}

func ExampleLedger_Codes() {
	ledger, closeIt := openLedger()
	defer closeIt()
	wx := wechatqrtest.NewServer()
	defer wx.Close()
	made, err := ledger.Ensure(ctx, wx.Client(), shop7)
	check(err)

	codes, err := ledger.Codes(ctx, channels.Query{Group: "华东"})
	check(err)
	for _, code := range codes {
		fmt.Println(code.Channel.Name, code.Ticket.Content == made.Ticket.Content)
	}
	// Output: 上海七店 true
}

func ExampleDaysLater() {
	havana, err := time.LoadLocation("America/Havana")
	check(err)
	noon := time.Date(2026, time.March, 7, 12, 0, 0, 0, havana)
	for n := range 3 {
		fmt.Println(channels.DaysLater(noon, n).Format(time.RFC3339))
	}
	// Output:
	// 2026-03-07T00:00:00-05:00
	// 2026-03-08T01:00:00-04:00
	// 2026-03-09T00:00:00-04:00
}

func ExampleReport_Definitions() {
	ledger, closeIt := openLedger()
	defer closeIt()
	report, err := ledger.Report(ctx, march)
	check(err)
	definitions := report.Definitions()
	for _, d := range definitions.Columns[1:3] {
		fmt.Printf("%s: %s\n", d.TermZH, d.TextZH)
	}
	for _, d := range definitions.Origins[:1] {
		fmt.Printf("%s: %s\n", d.Name, d.Text)
	}
	// Output:
	// 扫码人次: 不同的带场景值的 subscribe 与 SCAN 事件数
	// 扫码人数: 该行时段内扫过码的不同的人数；各行不能相加
	// no code: a follow without a scene: by a search, or too long after the scan
}

func ExampleConversionReport_Definitions() {
	ledger, closeIt := openLedger()
	defer closeIt()
	report, err := ledger.Conversions(ctx, channels.ConversionQuery{Query: march})
	check(err)
	model := report.Definitions().Model
	fmt.Println(model.TermZH, model.TextZH)
	fmt.Println(model.Term+":", model.Text)
	// Output:
	// 按关注归因 转化归当时未结束的关注所属的渠道
	// by follow: a conversion counts for the channel that began the follow that was open then
}

func ExampleRetentionReport_Definitions() {
	ledger, closeIt := openLedger()
	defer closeIt()
	report, err := ledger.Retention(ctx, march, 7)
	check(err)
	for _, d := range report.Definitions().Columns {
		fmt.Printf("%s (%s): %s\n", d.TermZH, d.Name, d.TextZH)
	}
	// Output:
	// 停用时间 (retired): 该行渠道停用（或将停用）的时间，未停用则为空；停用后其码带来的仍归该渠道
	// 若干天后 (days): 关注开始的当地日到考察其日终的那天相隔的天数；0 即当日
	// 开始的关注 (follows): 该行各日开始的新增与回流；若干天后的当日尚未结束的那些日子不计
	// 留存 (stayed): 开始的关注中，若干天后的当日结束时仍在关注的；留存率即其占比
}

func ExampleRetentionColumns() {
	row := channels.Retained{Days: 7, Follows: 40, Stayed: 31}
	for _, column := range channels.RetentionColumns() {
		fmt.Println(column.Name, column.Term, column.Number(&row))
	}
	// Output:
	// days days later 7
	// follows follows that began 40
	// stayed retention 31
}

func ExampleConversionColumns() {
	counts := channels.ConversionCounts{Conversions: 3, Converters: 2, Value: 17900}
	for _, column := range channels.ConversionColumns() {
		if n := column.Number(&counts); n != 0 {
			fmt.Println(column.Name, column.TermZH, n)
		}
	}
	// Output:
	// conversions 转化 3
	// converters 转化人数 2
	// value 转化金额 17900
}

func ExampleDiffReason_Hint() {
	reason := channels.DiffReason{Kind: channels.RepeatedFollows, Count: 3}
	fmt.Println(reason.Hint())
	// Output:
	// The ledger counts every follow of a day; WeChat may count a person once. (at most 3)
}

func ExampleDiffReason_HintZH() {
	reason := channels.DiffReason{Kind: channels.RepeatedFollows, Count: 3}
	fmt.Println(reason.HintZH())
	// Output: 账本逐次统计当日的关注；微信可能每人只计一次。（至多 3）
}
