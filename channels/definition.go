package channels

import "slices"

// Definition says what something in a report is, in the words of docs/counting.md.
type Definition struct {
	Name   string `json:"name"` // of the column in JSON and CSV, or the Origin or Model
	Term   string `json:"term"`
	TermZH string `json:"term_zh"`
	Text   string `json:"text"`
	TextZH string `json:"text_zh"`
}

// Column is a column of numbers.
type Column[Numbers any] struct {
	Definition
	Number func(*Numbers) int64
}

// Columns are those of a Report, in the order of its CSV.
func Columns() []Column[Counts] {
	return []Column[Counts]{
		{Definition{
			"scans", "scans", "扫码人次",
			"different events subscribe with a scene, and SCAN",
			"不同的带场景值的 subscribe 与 SCAN 事件数",
		}, func(c *Counts) int64 { return c.Scans }},
		{Definition{
			"scanners", "scanners", "扫码人数",
			"different persons with a scan in the row's period; rows do not add up",
			"该行时段内扫过码的不同的人数；各行不能相加",
		}, func(c *Counts) int64 { return c.Scanners }},
		{Definition{
			"follower_scans", "follower scans", "老粉扫码",
			"of the scans, those SCAN by somebody who followed; they move nobody to another channel",
			"扫码中，已关注者的 SCAN；不改变其所属渠道",
		}, func(c *Counts) int64 { return c.FollowerScans }},
		{Definition{
			"new", "new", "新增关注",
			"follows that began, the person's first",
			"开始的关注中，此人的第一次",
		}, func(c *Counts) int64 { return c.New }},
		{Definition{
			"returning", "returning", "回流关注",
			"follows that began, not the first; they count for the code that brought the person back",
			"开始的关注中，非第一次的；归带其回来的二维码",
		}, func(c *Counts) int64 { return c.Returning }},
		{Definition{
			"lost", "lost", "取关",
			"follows that ended, for the channel that began them, whatever was scanned since",
			"结束的关注，归当初带来该关注的渠道，与之后扫过什么无关",
		}, func(c *Counts) int64 { return c.Lost }},
		{Definition{
			"net", "net", "净增",
			"new + returning − lost",
			"新增关注 + 回流关注 − 取关",
		}, (*Counts).Net},
		{Definition{
			"imported", "imported", "导入",
			"follows that WeChat's list of followers told and no push did, older than the ledger; " +
				"those of who may have been forgotten count from when the list told them",
			"微信关注者列表中有、没有推送、且早于建账的关注；可能曾被遗忘的人，自列表告知之时算起",
		}, func(c *Counts) int64 { return c.Imported }},
		{Definition{
			"forgotten", "forgotten", "遗忘",
			"follows that Forget ended",
			"由 Forget 结束的关注",
		}, func(c *Counts) int64 { return c.Forgotten }},
		{Definition{
			"held_start", "held at the start", "期初在粉",
			"open follows at the start of the period",
			"时段开始时未结束的关注数",
		}, func(c *Counts) int64 { return c.HeldStart }},
		{Definition{
			"held_end", "held", "在粉",
			"open follows at the end of the period: held at the start + net + imported − forgotten",
			"时段结束时未结束的关注数：期初在粉 + 净增 + 导入 − 遗忘",
		}, func(c *Counts) int64 { return c.HeldEnd }},
		{Definition{
			"quick_lost", "quick loss", "速取关",
			"of quick loss of, those that were lost at most 86 400 s after they began",
			"速取关基数中，开始后 86 400 秒之内取关的次数",
		}, func(c *Counts) int64 { return c.QuickLost }},
		{Definition{
			"quick_of", "quick loss of", "速取关基数",
			"new and returning follows that began in the period and are at least 24 hours old now",
			"时段内开始的新增与回流中，至今已满 24 小时的次数",
		}, func(c *Counts) int64 { return c.QuickOf }},
	}
}

// ConversionColumns are those of a ConversionReport.
func ConversionColumns() []Column[ConversionCounts] {
	return []Column[ConversionCounts]{
		{Definition{
			"conversions", "conversions", "转化",
			"acts that the host reported, each by an id of its own",
			"业务系统上报的行为，每个有自己的编号",
		}, func(c *ConversionCounts) int64 { return c.Conversions }},
		{Definition{
			"converters", "converters", "转化人数",
			"different persons with a conversion; rows do not add up",
			"有转化的不同的人数；各行不能相加",
		}, func(c *ConversionCounts) int64 { return c.Converters }},
		{Definition{
			"value", "value", "转化金额",
			"the sum of the amounts that the host reported, in the currency's smallest unit",
			"上报金额之和，以货币的最小单位计",
		}, func(c *ConversionCounts) int64 { return c.Value }},
		{Definition{
			"converted", "converted", "转化的新粉",
			"of the followers that came, the persons with a conversion in the same row; the rate is " +
				"their share",
			"新来粉丝中，在同一行有转化的人数；转化率即其占比",
		}, func(c *ConversionCounts) int64 { return c.Converted }},
		{Definition{
			"followers", "followers that came", "新来粉丝",
			"different persons whose new or returning follow began in the row's period",
			"在该行时段内开始新增或回流关注的不同的人数",
		}, func(c *ConversionCounts) int64 { return c.Followers }},
	}
}

// RetentionColumns are those of a RetentionReport.
func RetentionColumns() []Column[Retained] {
	return []Column[Retained]{
		{Definition{
			"days", "days later", "若干天后",
			"days between the local day on which the follows began and that at whose end they are " +
				"looked at; 0 is the same day",
			"关注开始的当地日到考察其日终的那天相隔的天数；0 即当日",
		}, func(r *Retained) int64 { return int64(r.Days) }},
		{Definition{
			"follows", "follows that began", "开始的关注",
			"new and returning follows that began on the row's days; a day whose end so many days " +
				"later is not over is left out",
			"该行各日开始的新增与回流；若干天后的当日尚未结束的那些日子不计",
		}, func(r *Retained) int64 { return r.Follows }},
		{Definition{
			"stayed", "retention", "留存",
			"of the follows that began, those that were open at the end of the day so many days " +
				"later; their share is the retention",
			"开始的关注中，若干天后的当日结束时仍在关注的；留存率即其占比",
		}, func(r *Retained) int64 { return r.Stayed }},
	}
}

// lossAgeDefinitions are of LossAges.
var lossAgeDefinitions = []Definition{
	{
		"lost", "lost at this age", "该关注时长的取关",
		"follows that ended in the period, at most the row's up_to (up_to_ns in JSON) after they " +
			"began and more than that of the row before; 0 is without a limit",
		"时段内结束的关注中，自开始起不超过该行 up_to（JSON 中为 up_to_ns）、且超过上一行的；0 即不限",
	},
	{
		"age_unknown", "lost at an unknown age", "关注时长未知的取关",
		"follows that ended in the period, as Reconcile found later: when they ended is not known",
		"时段内结束的关注中，由对账发现的：不知何时结束",
	},
}

// figureColumns are those of Figures.
func figureColumns() []Column[Figures] {
	return []Column[Figures]{
		{Definition{
			"new", "new and returning", "新增与回流",
			"follows that began on the day; WeChat calls all of them new",
			"当日开始的关注；微信一概称为新增",
		}, func(f *Figures) int64 { return f.New }},
		{Definition{
			"lost", "lost", "取关",
			"follows that ended on the day; not those that Forget ended",
			"当日结束的关注；不含由 Forget 结束的",
		}, func(f *Figures) int64 { return f.Lost }},
		{Definition{
			"followers", "followers", "关注人数",
			"open follows at the end of the day",
			"当日结束时未结束的关注数",
		}, func(f *Figures) int64 { return f.Followers }},
		{Definition{
			"scanned_new", "new and returning by a code", "扫码新增与回流",
			"of the follows that began, those by a code: a channel's, or unknown",
			"开始的关注中，由二维码带来的：归某渠道，或码未知",
		}, func(f *Figures) int64 { return f.ScannedNew }},
		{Definition{
			"scanned_lost", "lost, that came by a code", "扫码粉丝取关",
			"of the follows that ended, those that a code began",
			"结束的关注中，由二维码带来的",
		}, func(f *Figures) int64 { return f.ScannedLost }},
	}
}

// comparisonDefinitions are of a Comparison, sideDefinitions of whose its figures are.
var (
	comparisonDefinitions = append(definitionsOf(figureColumns()), Definition{
		"count", "explained", "可解释",
		"how many follows of the difference the reason can account for, at most",
		"该原因至多能解释的关注数",
	})
	sideDefinitions = []Definition{
		{
			"wechat", "WeChat's", "微信",
			"WeChat's figures of the day",
			"微信当日的数字",
		},
		{
			"ours", "the ledger's", "账本",
			"the ledger's figures of the day, by what it knows now",
			"账本当日的数字，以现在所知为准",
		},
		{
			"diff", "difference", "差异",
			"WeChat's − the ledger's",
			"微信 − 账本",
		},
	}
)

// reconciledDefinitions are of Reconciled.
var reconciledDefinitions = []Definition{
	{
		"listed", "listed", "名单人数",
		"followers on WeChat's list",
		"微信关注者列表中的人数",
	},
	{
		"found", "found", "补上的关注",
		"of these, those who did not follow by what the ledger knew",
		"其中，账本原以为未关注的人数",
	},
	{
		"ended", "ended", "补上的取关",
		"who followed by what the ledger knew, and is not on the list",
		"账本原以为在关注、而列表中没有的人数",
	},
	{
		"unknown", "unsubscribes of nobody known", "未知取关",
		"unsubscribes, ever, of somebody who did not follow by what the ledger knows; they are in no " +
			"report",
		"历来的 unsubscribe 中，账本所知当时并未关注的次数；不计入任何报表",
	},
}

// retiredDefinition is of what reports say of a channel: in CSV in a column after the origin, in
// JSON in the channel.
var retiredDefinition = Definition{
	"retired", "retired", "停用时间",
	"when the row's channel was given up, or is to be; empty if it is not. What its codes still " +
		"bring is its own",
	"该行渠道停用（或将停用）的时间，未停用则为空；停用后其码带来的仍归该渠道",
}

// budgetDefinitions are of a Budget, planDefinitions of a Plan.
var (
	budgetDefinitions = []Definition{
		{
			"made", "codes made", "已生成的码",
			"permanent codes that WeChat has made for channels of the ledger",
			"微信已为账本中的渠道生成的永久二维码",
		},
		{
			"pending", "codes pending", "待生成的码",
			"permanent codes that are written down and that WeChat has not made yet",
			"已登记、微信尚未生成的永久二维码",
		},
	}
	planDefinitions = []Definition{
		{
			"codes", "codes to make", "将生成的码",
			"permanent codes that WeChat will make for the channels of the list",
			"微信将为名单中的渠道生成的永久二维码",
		},
		{
			"left", "codes left", "剩余的码",
			"of the account's 100 000 permanent codes, those that remain after that, as far as the " +
				"ledger knows; below 0 they are too many",
			"之后公众号 100 000 个永久二维码的余量，以账本所知为准；小于 0 即超出",
		},
	}
)

// originDefinitions are of the rows of a Report that have no channel.
var originDefinitions = []Definition{
	{
		string(NoCode), "no code", "无码关注",
		"a follow without a scene: by a search, or too long after the scan",
		"不带场景值的关注：来自搜索等，或扫码后过久才关注",
	},
	{
		string(CodeUnknown), "code unknown", "未知码关注",
		"a follow or scan by a code that was no channel's at that time",
		"关注或扫码所用的码，当时不属于任何渠道",
	},
	{
		string(Imported), "imported", "导入",
		"an imported follow without a code that is a channel's",
		"导入的关注，没有二维码，或二维码不属于任何渠道",
	},
}

// noFollowDefinition is of the row that only a ConversionReport has.
var noFollowDefinition = Definition{
	string(NoFollow), "no follow", "无关注",
	"a conversion for which the model finds no follow, and no scan",
	"按归因方式找不到关注、也找不到扫码的转化",
}

// Definitions are of what stands in a report.
type Definitions struct {
	Columns []Definition `json:"columns"`
	Origins []Definition `json:"origins,omitempty"` // of the rows that are no channel's
	Model   *Definition  `json:"model,omitempty"`
}

// Definitions are those of the report, with its columns of Extra.
func (r *Report) Definitions() Definitions {
	columns := definitionsOfReport(Columns())
	for _, col := range r.Extra {
		columns = append(columns, col.Definition)
	}
	return Definitions{Columns: columns, Origins: slices.Clone(originDefinitions)}
}

// Definitions are those of the report.
func (r *ConversionReport) Definitions() Definitions {
	d := Definitions{
		Columns: definitionsOfReport(ConversionColumns()),
		Origins: append(slices.Clone(originDefinitions), noFollowDefinition),
	}
	for _, one := range modelDefinitions {
		if one.Name == string(r.Model) {
			d.Model = &one
		}
	}
	return d
}

// Definitions are those of the report.
func (r *RetentionReport) Definitions() Definitions {
	return Definitions{
		Columns: definitionsOfReport(RetentionColumns()), Origins: slices.Clone(originDefinitions),
	}
}

// definitionsOfReport are in the order of the CSV.
func definitionsOfReport[Numbers any](columns []Column[Numbers]) []Definition {
	return append([]Definition{retiredDefinition}, definitionsOf(columns)...)
}

func definitionsOf[Numbers any](columns []Column[Numbers]) (all []Definition) {
	for _, col := range columns {
		all = append(all, col.Definition)
	}
	return all
}

var modelDefinitions = []Definition{
	{
		string(ModelFollow), "by follow", "按关注归因",
		"a conversion counts for the channel that began the follow that was open then",
		"转化归当时未结束的关注所属的渠道",
	},
	{
		string(ModelFirst), "by first scan", "按首次扫码归因",
		"a conversion counts for the channel of the person's first scan ever, up to then; of who " +
			"had never scanned, for the row of their first follow",
		"转化归此人截至当时的首次扫码所属的渠道；从未扫码的，归其首次关注所在的行",
	},
	{
		string(ModelLast), "by last scan or follow", "按末次归因",
		"a conversion counts for the row of the latest scan or follow, at most the window before, " +
			"which may be exactly so long ago",
		"转化归之前最近一次扫码或关注所在的行，须在归因窗口之内，恰在边界上的也算",
	},
}
