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
			"follows that WeChat's list of followers told, that no push told and that are older than " +
				"the ledger",
			"微信关注者列表中有、没有推送、且早于建账的关注",
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

// retentionDefinition is of Retained.
var retentionDefinition = Definition{
	"retention", "retention", "留存",
	"of the new and returning follows that began on a local day, those that were open at the end " +
		"of the day so many days later; days that are not over yet are left out",
	"某个当地日开始的新增与回流中，若干天后的当日结束时仍在关注的；该日尚未结束的不计",
}

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
	Origins []Definition `json:"origins"` // of the rows that are no channel's
	Model   *Definition  `json:"model,omitempty"`
}

// Definitions are those of the report.
func (r *Report) Definitions() Definitions {
	return Definitions{
		Columns: definitionsOf(Columns()), Origins: slices.Clone(originDefinitions),
	}
}

// Definitions are those of the report.
func (r *ConversionReport) Definitions() Definitions {
	d := Definitions{
		Columns: definitionsOf(ConversionColumns()),
		Origins: append(slices.Clone(originDefinitions), noFollowDefinition),
	}
	for _, one := range modelDefinitions {
		if one.Name == string(r.Model) {
			d.Model = &one
		}
	}
	return d
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
