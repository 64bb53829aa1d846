package page

// word is a number's name and definition: the one place where pages have them from. The
// names are those of channels.Columns, the definitions say in the words of who works with
// the numbers what those say in the words of the ledger.
type term struct {
	Key                        string
	zh, en                     string
	zhDefinition, enDefinition string
}

var words = []term{
	{"scans", "扫码人次", "Scans",
		"不同的扫码事件数：带场景值的关注，加上已关注者的扫码。微信重复推送的只算一次。没有关注的扫码微信不推送。",
		"Different scans: follows by a code, and scans by followers. What WeChat delivers twice " +
			"counts once. Of a scan without a follow WeChat tells nothing."},
	{"scanners", "扫码人数", "Scanners",
		"该时段内扫过码的不同的人数。各行、各日不能相加。",
		"Different persons with a scan in the period. Rows and days do not add up."},
	{"follower_scans", "老粉扫码", "Follower scans",
		"扫码中，已关注者的扫码。不改变其所属渠道。",
		"Of the scans, those by somebody who followed. They move nobody to another channel."},
	{"new", "新增关注", "New",
		"开始的关注中，此人的第一次。",
		"Follows that began and were the person's first."},
	{"returning", "回流关注", "Returning",
		"开始的关注中，非第一次的；归带其回来的码。",
		"Follows that began and were not the person's first. They count for the code that " +
			"brought the person back."},
	{"lost", "取关", "Lost",
		"结束的关注；归当初带来该关注的渠道，与之后扫过什么无关。",
		"Follows that ended. They count for the channel that began them, whatever was scanned " +
			"since."},
	{"net", "净增", "Net", "新增关注 + 回流关注 − 取关。", "New + returning − lost."},
	{"held", "在粉", "Held",
		"时段结束时（未结束则为此刻）仍在关注的人数：期初在粉 + 净增 + 导入 − 遗忘。",
		"Who follows at the end of the period, or now if it is open: held at its start + net + " +
			"imported − forgotten."},
	{"retention", "留存", "Retention",
		"某日开始的新增与回流中，若干天后的当日结束时仍在关注的比例。“7 日留存”把时段内已满 7 日的各天合在一起算。",
		"Of the new and returning follows that began on a day, the share still there at the end " +
			"of the day so many days later. 7-day retention pools the days of the period that " +
			"are that old."},
	{"quick", "速取关", "Quick loss",
		"时段内开始的新增与回流中，至今已满 24 小时的，其中 24 小时之内取关的比例。",
		"Of the new and returning follows of the period that are 24 hours old by now, the share " +
			"that ended within 24 hours."},
	{"cost", "每在粉成本", "Cost per held follower",
		"至时段结束那天的花费 ÷ 时段结束时的在粉。花费在渠道页的备注里记；没有花费或没有在粉时为 –。合计只算记了花费的渠道。",
		"What was spent at days until the end of the period ÷ held at its end. What was spent is " +
			"written in the notes of the channel's page; without it, or with nobody held, there is " +
			"a dash. The sum's is of the channels on which something was spent."},
	{"imported", "导入", "Imported",
		"早于建账就已关注、从微信的关注者列表接管的关注。",
		"Follows older than the ledger, taken over from WeChat's list of followers."},
	{"forgotten", "遗忘", "Forgotten",
		"应用户要求删除其标识而结束的关注。过去的数字不变。",
		"Follows that ended because what tells who the person is was deleted. No number of the " +
			"past changes."},
	{"no-code", "无码关注", "No code",
		"不带场景值的关注：来自搜索等，或扫码后过久才关注。",
		"Follows that no code began: by a search, or too long after the scan."},
	{"unknown", "未知码关注", "Code unknown",
		"关注或扫码所用的码，当时不属于任何渠道。",
		"Follows and scans by a code that was no channel's at that time."},
	{"imported-row", "导入（无渠道）", "Imported",
		"导入的关注，没有二维码，或二维码不属于任何渠道。",
		"Imported follows without a code that is a channel's."},
	{"unknown-lost", "未知取关", "Unsubscribes of nobody known",
		"历来的取关推送中，账本所知当时并未关注的次数。不计入任何数字。",
		"Unsubscribes, ever, of somebody who did not follow by what was known. They are in no " +
			"other number."},
	{"sum", "合计", "Sum",
		"各渠道 + 无码关注 + 未知码关注 + 导入 = 整个账号。扫码人数与比例不能相加，合计处另行计算。",
		"The channels + no code + code unknown + imported are the account. Scanners and shares " +
			"do not add up: the sum's are counted on their own."},
}

// in returns the word in a language.
func (w *term) in(language string) (name, definition string) {
	if language == chinese {
		return w.zh, w.zhDefinition
	}
	return w.en, w.enDefinition
}

func wordOf(key string) *term {
	for i := range words {
		if words[i].Key == key {
			return &words[i]
		}
	}
	panic("page: no word " + key)
}
