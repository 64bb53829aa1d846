package page

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

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

// costColumns are those that the desk adds to the files of a report by channel.
var costColumns = []channels.Definition{
	{
		Name: "spent", Term: "spent", TermZH: "花费",
		Text: "what the channel's notes say was spent on it, at days until the end of the period; " +
			"empty if nothing was",
		TextZH: "渠道的备注里记下的花费，至时段结束那天；没有则为空",
	},
	{
		Name: "cost_per_held", Term: "cost per held follower", TermZH: "每在粉成本",
		Text: "spent ÷ held; empty without either; that of the total is of the channels on which " +
			"something was spent",
		TextZH: "花费 ÷ 在粉；没有花费或没有在粉则为空；合计只算有花费的渠道",
	},
}

// costCells are the cells of costColumns.
func (s spending) costCells() []string {
	texts := make([]string, len(costColumns))
	if s.Spent > 0 {
		texts[0] = decimal(s.Spent)
	}
	if cost, ok := s.perHeld(); ok {
		texts[1] = decimal(cost)
	}
	return texts
}

// exportedReport is a report as the files have it: by channel with what the channels cost.
type exportedReport struct {
	*channels.Report
	spent []spending // of each row and then of the total; nil: not by channel
}

// addCosts adds what was spent, by the channels' keys. all are the channels, of which those
// without any other number get a row too.
func (e *exportedReport) addCosts(all []channels.Channel, spent map[string]int64) {
	counted := map[string]bool{}
	for i := range e.Rows {
		counted[e.Rows[i].Channel.Key] = true
	}
	start := e.From.In(e.AsOf.Location())
	var rows []channels.Row
	for _, c := range all {
		asked := inGroup(c.Group, e.Group) && (e.Channel == "" || e.Channel == c.Key)
		if asked && spent[c.Key] > 0 && !counted[c.Key] {
			rows = append(rows, channels.Row{Cell: channels.Cell{Start: start, Channel: c}})
		}
	}
	others := slices.IndexFunc(e.Rows, func(row channels.Row) bool {
		return row.Origin != channels.OfChannel
	})
	if others < 0 {
		others = len(e.Rows)
	}
	rows = append(rows, e.Rows[:others]...)
	slices.SortFunc(rows, func(a, b channels.Row) int {
		return cmp.Compare(a.Channel.Key, b.Channel.Key)
	})
	e.Rows = append(rows, e.Rows[others:]...)
	var total spending
	for i := range e.Rows {
		one := spendingOn(spent[e.Rows[i].Channel.Key], e.Rows[i].HeldEnd)
		e.spent = append(e.spent, one)
		total.add(one)
	}
	e.spent = append(e.spent, total)
}

// records are those of the report's CSV.
func (e *exportedReport) records() ([][]string, error) {
	var b bytes.Buffer
	if err := e.WriteCSV(&b); err != nil {
		return nil, err
	}
	file := csv.NewReader(strings.NewReader(strings.TrimPrefix(b.String(), bom)))
	records, err := file.ReadAll()
	if err != nil || e.spent == nil {
		return records, err
	}
	return e.withCosts(records), nil
}

const bom = "\ufeff"

// withCosts adds costColumns and their definitions.
func (e *exportedReport) withCosts(records [][]string) [][]string {
	place := slices.Index(records[0], "as_of")
	last := len(tableOf(records)) - 1
	for i := range records {
		texts := make([]string, len(costColumns))
		switch {
		case i == 0:
			for j := range costColumns {
				texts[j] = costColumns[j].Name
			}
		case i <= last:
			texts = e.spent[i-1].costCells()
		}
		records[i] = slices.Insert(records[i], place, texts...)
	}
	var definitions [][]string
	for _, d := range costColumns {
		record := []string{"", "column", d.Name, d.Term, d.TermZH, d.Text, d.TextZH}
		definitions = append(definitions, append(record, make([]string, len(records[0])-7)...))
	}
	origins := slices.IndexFunc(records, func(record []string) bool { return record[1] == "origin" })
	return slices.Insert(records, origins, definitions...)
}

// costFields are the JSON of costColumns.
type costFields struct {
	Spent       json.Number `json:"spent,omitempty"`
	CostPerHeld json.Number `json:"cost_per_held,omitempty"`
}

func costsOf(s spending) costFields {
	texts := s.costCells()
	return costFields{json.Number(texts[0]), json.Number(texts[1])}
}

// MarshalJSON adds costColumns to what the report has.
func (e *exportedReport) MarshalJSON() ([]byte, error) {
	if e.spent == nil {
		return json.Marshal(e.Report)
	}
	type fields channels.Report // without MarshalJSON
	type row struct {
		channels.Row
		costFields
	}
	type total struct {
		channels.Counts
		costFields
	}
	rows := make([]row, len(e.Rows))
	for i := range rows {
		rows[i] = row{e.Rows[i], costsOf(e.spent[i])}
	}
	return json.Marshal(struct {
		fields
		Rows        []row                `json:"rows"`
		Total       total                `json:"total"`
		Zone        string               `json:"zone"`
		Definitions channels.Definitions `json:"definitions"`
	}{
		fields(*e.Report), rows, total{e.Total, costsOf(e.spent[len(rows)])},
		e.AsOf.Location().String(), e.definitions(),
	})
}

func (e *exportedReport) definitions() channels.Definitions {
	d := e.Definitions()
	if e.spent != nil {
		d.Columns = append(d.Columns, costColumns...)
	}
	return d
}

func writeCSV(w io.Writer, records [][]string) error {
	if _, err := io.WriteString(w, bom); err != nil {
		return err
	}
	file := csv.NewWriter(w)
	file.UseCRLF = true
	return file.WriteAll(records)
}
