package channels

import (
	"fmt"
	"slices"
)

// DiffKind says why WeChat's figures and the ledger's may differ.
type DiffKind string

// The kinds of reasons.
const (
	DayOpen            DiffKind = "day open"
	FiguresPending     DiffKind = "figures pending"
	BeforeLedger       DiffKind = "before the ledger"
	WithoutCode        DiffKind = "without a code"
	ForgottenFollowers DiffKind = "forgotten"
	EndsFound          DiffKind = "ends found"
	EndsFoundLater     DiffKind = "ends found later"
	RepeatedFollows    DiffKind = "repeated follows"
	PushesLost         DiffKind = "pushes lost"
	Unexplained        DiffKind = "unexplained"
)

// DiffReason is why WeChat's figures of a day and the ledger's differ.
type DiffReason struct {
	Kind  DiffKind `json:"kind"`
	Count int64    `json:"count,omitempty"` // of follows that it can account for, if known
}

// figuresSeconds after its end WeChat's figures of a day are complete.
const figuresSeconds = 8 * hourSeconds

// reasons are in the order of how sure they are.
func (c *comparer) reasons(day *ComparedDay) (all []DiffReason) {
	add := func(what DiffKind, count int64) { all = append(all, DiffReason{what, count}) }
	end := day.Date.AddDate(0, 0, 1).Unix()
	switch {
	case c.asOf < end:
		add(DayOpen, 0)
		return all
	case day.WeChat == nil:
		add(FiguresPending, 0)
		return all
	case day.Diff == (Figures{}):
		return nil
	}

	if c.asOf < end+figuresSeconds {
		add(FiguresPending, 0)
	}
	if day.Date.Unix() < c.first {
		add(BeforeLedger, 0)
	}
	for _, one := range c.known(day) {
		if one.Count > 0 {
			all = append(all, one)
		}
	}
	all = append(all, c.rest(day)...)
	if len(all) == 0 {
		add(Unexplained, 0)
	}
	return all
}

// explained are the counts by which the ledger itself can tell a difference.
type explained struct{ forgotten, found, later, repeats, noCode int64 }

func (c *comparer) explain(day *ComparedDay) (e explained) {
	begin, end := day.Date.Unix(), day.Date.AddDate(0, 0, 1).Unix()
	e.forgotten = c.forgot
	for at, sum := range c.ours {
		if at <= begin {
			e.forgotten += sum.forgotten
		}
	}
	for _, one := range c.found {
		switch {
		case one.found >= begin && one.found < end:
			e.found++
		case one.found >= end && one.began < end:
			e.later++
		}
	}
	e.repeats, e.noCode = c.ours[begin].repeats, c.ours[begin].noCode
	return e
}

// known are the reasons that have a count, 0 where the difference points elsewhere.
func (c *comparer) known(day *ComparedDay) []DiffReason {
	e, d := c.explain(day), day.Diff
	count := func(n int64, applies bool) int64 {
		if !applies {
			return 0
		}
		return n
	}
	return []DiffReason{
		{WithoutCode, count(e.noCode, d.ScannedNew > 0)},
		{ForgottenFollowers, count(e.forgotten, d.Followers > 0 || d.Lost > 0)},
		{EndsFound, count(e.found, d.Lost < 0)},
		{EndsFoundLater, count(e.later, d.Followers < 0 || d.Lost > 0)},
		{RepeatedFollows, count(e.repeats, d.New < 0 || d.Lost < 0)},
	}
}

// rest is for what is more than the counts can account for. What came before the ledger
// or is not complete accounts for any difference.
func (c *comparer) rest(day *ComparedDay) []DiffReason {
	end := day.Date.AddDate(0, 0, 1).Unix()
	if day.Date.Unix() < c.first || c.asOf < end+figuresSeconds {
		return nil
	}
	e, d := c.explain(day), day.Diff
	switch {
	case d.New > 0, d.Lost > e.forgotten+e.later, d.Followers > e.forgotten, -d.Followers > e.later:
		return []DiffReason{{Kind: PushesLost}}
	case -d.New > e.repeats, -d.Lost > e.repeats+e.found, d.ScannedNew > e.noCode:
		return []DiffReason{{Kind: Unexplained}}
	}
	return nil
}

// Hint says what the reason means, and what to do.
func (r DiffReason) Hint() string { return r.hint(r.definition().Text, "%s (at most %d)") }

// HintZH is Hint in Chinese.
func (r DiffReason) HintZH() string { return r.hint(r.definition().TextZH, "%s（至多 %d）") }

func (r DiffReason) hint(text, withCount string) string {
	if r.Count == 0 {
		return text
	}
	return fmt.Sprintf(withCount, text, r.Count)
}

func (r DiffReason) definition() Definition {
	i := slices.IndexFunc(reasonDefinitions, func(d Definition) bool {
		return d.Name == string(r.Kind)
	})
	if i < 0 {
		return Definition{}
	}
	return reasonDefinitions[i]
}

// reasonDefinitions are of all kinds; their texts are the hints.
var reasonDefinitions = []Definition{
	{
		string(DayOpen), string(DayOpen), "当日未结束",
		"The day is not over, and WeChat has no figures of it.",
		"当日尚未结束，微信还没有数字。",
	},
	{
		string(FiguresPending), string(FiguresPending), "微信数字未齐",
		"WeChat's figures of a day are complete from about 8:00 of the next: ask again then.",
		"微信的数字次日约 8:00 后才完整：届时再查。",
	},
	{
		string(BeforeLedger), string(BeforeLedger), "建账之前",
		"The ledger began on that day or later: of before, it has only those who stayed and " +
			"were imported.",
		"建账在当日或之后：之前的只有导入的、留下来的人。",
	},
	{
		string(WithoutCode), string(WithoutCode), "无码关注",
		"Follows without a scene: by the account's own code, or too long after the scan. WeChat " +
			"counts them as scanned. Reconcile finds some of them.",
		"不带场景值的关注：用的是公众号自带的码，或扫码后过久才关注。微信算作扫码，对账可找出一部分。",
	},
	{
		string(ForgottenFollowers), string(ForgottenFollowers), "遗忘",
		"Forget ended these follows in the ledger; for WeChat they go on.",
		"账本中由“遗忘”结束的关注，微信仍算关注。",
	},
	{
		string(EndsFound), string(EndsFound), "当日对账补上的取关",
		"Reconcile found on that day that these had left; WeChat counted them when they did.",
		"当日对账时才发现已取关；微信计在真正取关之日。",
	},
	{
		string(EndsFoundLater), string(EndsFoundLater), "之后对账补上的取关",
		"These were found by Reconcile after that day; they may have left before.",
		"之后对账才发现取关的，可能当日或之前就已取关。",
	},
	{
		string(RepeatedFollows), string(RepeatedFollows), "重复关注",
		"The ledger counts every follow of a day; WeChat may count a person once.",
		"账本逐次统计当日的关注；微信可能每人只计一次。",
	},
	{
		string(PushesLost), string(PushesLost), "可能丢了推送",
		"Pushes were lost, or followers from before the ledger were not imported: run Reconcile.",
		"可能丢了推送，或建账之前的粉丝尚未导入：请对账。",
	},
	{
		string(Unexplained), string(Unexplained), "无法解释",
		"Nothing that the ledger knows explains it. WeChat may correct its figures: ask again " +
			"tomorrow.",
		"账本所知的都解释不了。微信可能会修正数字：请明天再查。",
	},
}
