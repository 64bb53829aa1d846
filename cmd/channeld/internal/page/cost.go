package page

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/wechatqr/wechatqr/channels"
)

// spending is what was spent on channels until the end of a period, in the currency's
// smallest unit, and the followers that those of them hold then on which something was.
type spending struct{ Spent, Held int64 }

// spendingOn is that of one channel.
func spendingOn(spent, held int64) spending {
	if spent == 0 {
		return spending{}
	}
	return spending{spent, held}
}

func (s *spending) add(other spending) {
	s.Spent += other.Spent
	s.Held += other.Held
}

// perHeld is what a held follower cost, rounded; false if there is none or nothing was spent.
func (s spending) perHeld() (int64, bool) {
	if s.Held == 0 {
		return 0, false
	}
	return (2*s.Spent + s.Held) / (2 * s.Held), true
}

// perHeldText is what a held follower cost; a dash as that of share.
func perHeldText(s spending) string {
	if cost, ok := s.perHeld(); ok {
		return money(cost)
	}
	return "–"
}

// decimal is a sum as a file has it.
func decimal(n int64) string { return fmt.Sprintf("%d.%02d", n/100, n%100) }

// costColumns are those that the desk adds to the files of a report by channel: the costs
// are of each row, and then of the total.
func costColumns(costs []spending) []channels.ExtraColumn {
	spent, perHeld := make([]json.Number, len(costs)), make([]json.Number, len(costs))
	for i, s := range costs {
		if s.Spent > 0 {
			spent[i] = json.Number(decimal(s.Spent))
		}
		if cost, ok := s.perHeld(); ok {
			perHeld[i] = json.Number(decimal(cost))
		}
	}
	return []channels.ExtraColumn{
		{Numbers: spent, Definition: channels.Definition{
			Name: "spent", Term: "spent", TermZH: "花费",
			Text: "what the channel's notes say was spent on it, at days until the end of the " +
				"period; empty if nothing was",
			TextZH: "渠道的备注里记下的花费，至时段结束那天；没有则为空",
		}},
		{Numbers: perHeld, Definition: channels.Definition{
			Name: "cost_per_held", Term: "cost per held follower", TermZH: "每在粉成本",
			Text: "spent ÷ held; empty without either; that of the total is of the channels on " +
				"which something was spent",
			TextZH: "花费 ÷ 在粉；没有花费或没有在粉则为空；合计只算有花费的渠道",
		}},
	}
}

// addCosts adds what was spent, by the channels' keys, to a report by channel. all are the
// channels, of which those without any other number get a row too.
func addCosts(report *channels.Report, all []channels.Channel, spent map[string]int64) {
	counted := map[string]bool{}
	for i := range report.Rows {
		counted[report.Rows[i].Channel.Key] = true
	}
	start := report.From.In(report.AsOf.Location())
	var rows []channels.Row
	for _, c := range all {
		asked := inGroup(c.Group, report.Group) && (report.Channel == "" || report.Channel == c.Key)
		if asked && spent[c.Key] > 0 && !counted[c.Key] {
			rows = append(rows, channels.Row{Cell: channels.Cell{Start: start, Channel: c}})
		}
	}
	others := slices.IndexFunc(report.Rows, func(row channels.Row) bool {
		return row.Origin != channels.OfChannel
	})
	if others < 0 {
		others = len(report.Rows)
	}
	rows = append(rows, report.Rows[:others]...)
	slices.SortFunc(rows, func(a, b channels.Row) int {
		return cmp.Compare(a.Channel.Key, b.Channel.Key)
	})
	report.Rows = append(rows, report.Rows[others:]...)

	var costs []spending
	var total spending
	for i := range report.Rows {
		one := spendingOn(spent[report.Rows[i].Channel.Key], report.Rows[i].HeldEnd)
		costs = append(costs, one)
		total.add(one)
	}
	report.Extra = costColumns(append(costs, total))
}
