package page

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/xuri/excelize/v2"

	"github.com/wechatqr/wechatqr/channels"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/web"
)

// exportView is what the page of exports shows: the beginning of the file.
type exportView struct {
	span
	Question   Question
	Heads      []string
	Lines      [][]string
	Total      []string
	Rows       int
	Dimensions []dimensionLink
	Meanings   []wordView // of the columns, and of the rows that are no channel
	Remembered float64
}

type dimensionLink struct {
	Value, Label string
	Here         bool
}

const maxPreview = 20

func (p *Pages) export(w http.ResponseWriter, r *http.Request) {
	q, report, err := p.exported(r)
	var records [][]string
	if err == nil {
		records, err = recordsOf(report)
	}
	if err != nil {
		p.fail(w, r, err)
		return
	}
	table := tableOf(records)
	last := len(table) - 1
	v := &exportView{
		span: newSpan(r, q, report), Question: q, Heads: table[0], Total: table[last],
		Lines: table[1:min(1+maxPreview, last)], Rows: last - 1,
		Remembered: report.KeepAfterUnfollow.Hours() / 24,
	}
	for _, one := range []struct{ value, zh, en string }{
		{"channel", "每个渠道一行", "a row for each channel"},
		{"group", "每个分组一行", "a row for each group"},
		{"day", "每天一行", "a row for each day"},
		{"hour", "每小时一行", "a row for each hour"},
		{"weekday", "按星期与小时", "by weekday and hour"},
		{"channel-day", "每个渠道每天一行", "a row for each channel and day"},
	} {
		v.Dimensions = append(v.Dimensions,
			dimensionLink{one.value, web.Say(r, one.zh, one.en), q.By == one.value})
	}
	meanings := report.Definitions()
	for _, d := range slices.Concat(meanings.Columns, meanings.Origins) {
		v.Meanings = append(v.Meanings,
			wordView{d.Name, web.Say(r, d.TermZH, d.Term), web.Say(r, d.TextZH, d.Text)})
	}
	p.show(w, r, web.Page{Title: web.Say(r, "导出", "Export"), Place: "export"}, "export.html", v)
}

// exported is the report that the address asks for.
func (p *Pages) exported(r *http.Request) (Question, *channels.Report, error) {
	q, err := parseQuestion(r.URL.Query())
	if err != nil {
		return q, nil, err
	}
	query := q.query(p.Now(), p.Location, dimensions[q.By])
	if q.Channel != "" {
		c, err := p.Ledger.Channel(r.Context(), q.Channel)
		if err == nil && !web.VisitorOf(r.Context()).Sees(c.Key, c.Group) {
			err = errHidden
		}
		if err != nil {
			return q, nil, err
		}
		query.Channel, query.Group = c.Key, ""
	}
	report, err := p.Ledger.Report(r.Context(), narrow(r, query))
	if err == nil && query.By == channels.ByChannel {
		err = p.readCosts(r.Context(), report)
	}
	return q, report, err
}

func (p *Pages) readCosts(ctx context.Context, report *channels.Report) error {
	all, err := p.Ledger.Channels(ctx)
	if err != nil {
		return err
	}
	spent, err := p.Store.Spent(ctx, dayAfter(report))
	if err == nil {
		addCosts(report, all, spent)
	}
	return err
}

// recordsOf are those of the report's CSV.
func recordsOf(report *channels.Report) ([][]string, error) {
	var b bytes.Buffer
	if err := report.WriteCSV(&b); err != nil {
		return nil, err
	}
	return csv.NewReader(bytes.NewReader(bytes.TrimPrefix(b.Bytes(), []byte(bom)))).ReadAll()
}

const bom = "\ufeff"

// tableOf are the records up to the total, without the definitions below.
func tableOf(records [][]string) [][]string {
	end := slices.IndexFunc(records, func(record []string) bool {
		return len(record) == 0 || record[0] == ""
	})
	if end < 0 {
		return records
	}
	return records[:end]
}

// exports are the files, with their types.
var exports = map[string]struct {
	contentType string
	write       func(io.Writer, *channels.Report) error
}{
	"channels.csv": {csvType, func(w io.Writer, report *channels.Report) error {
		return report.WriteCSV(w)
	}},
	"channels.json": {"application/json", func(w io.Writer, report *channels.Report) error {
		return json.NewEncoder(w).Encode(report)
	}},
	"channels.xlsx": {
		"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", writeXLSX,
	},
}

func (p *Pages) download(w http.ResponseWriter, r *http.Request) {
	format, ok := exports[r.PathValue("file")]
	if !ok {
		web.Frame(p.Frame).NotFound(w, r)
		return
	}
	_, report, err := p.exported(r)
	var b bytes.Buffer
	if err == nil {
		err = format.write(&b, report)
	}
	if err != nil {
		p.fail(w, r, err)
		return
	}
	attach(w, r.PathValue("file"), format.contentType, b.Bytes())
}

const csvType = "text/csv; charset=utf-8"

func attach(w http.ResponseWriter, name, contentType string, file []byte) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Disposition", `attachment; filename="`+name+`"`)
	h.Set("Cache-Control", "no-store")
	_, _ = w.Write(file) // the browser may have closed the connection
}

// writeXLSX writes what the CSV has, numbers as numbers. A text of XLSX is none that a
// spreadsheet takes for a formula, so the apostrophe that guards it in CSV is left out.
func writeXLSX(w io.Writer, report *channels.Report) (err error) {
	records, err := recordsOf(report)
	if err != nil {
		return err
	}
	f := excelize.NewFile()
	defer func() { _ = f.Close() }() // it has no files of its own
	sheet, err := f.NewStreamWriter("Sheet1")
	if err != nil {
		return err
	}
	texts, numbers := textColumns(records[0]), len(tableOf(records))
	for i, record := range records {
		row := make([]any, len(record))
		for j, text := range record {
			row[j] = strings.TrimPrefix(text, "'")
			n, err := strconv.ParseFloat(text, 64)
			if err == nil && i < numbers && !texts[j] {
				row[j] = n
			}
		}
		if err := sheet.SetRow("A"+strconv.Itoa(i+1), row); err != nil {
			return err
		}
	}
	if err := sheet.Flush(); err != nil {
		return err
	}
	return f.Write(w)
}

// textColumns are those whose cells stay texts, also if they look like a number.
func textColumns(heads []string) map[int]bool {
	texts := map[int]bool{}
	for i, head := range heads {
		switch head {
		case "start", "channel", "name", "group", "origin", "retired", "as_of", "open":
			texts[i] = true
		}
	}
	return texts
}
