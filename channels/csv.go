package channels

import (
	"encoding/csv"
	"encoding/json"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// WriteCSV writes the report for a spreadsheet: UTF-8 with a byte order mark, a line of
// column names, the rows, and the total with the origin "total". Times are local, as
// 2006-01-02 15:04. With ByWeekday start is a weekday and an hour, as Monday 09:00. The
// columns as_of and open say in each line when the report was made and whether its
// period was not over; retired is empty or Channel.Retired. Texts that a spreadsheet would
// take for a formula begin with an apostrophe.
//
// After a line of empty cells come the definitions: in a line each, "column" or "origin",
// its name, what it is called and what it is, in English and in Chinese; then, as
// "setting", what the report was made with. All lines have the same number of cells. A
// program that wants the numbers alone stops at the first line whose first cell is empty.
//
// Errors: those of w; wechatqr.ErrInvalidArgument if a number of Extra is none.
func (r *Report) WriteCSV(w io.Writer) error {
	if _, err := json.Marshal(r.Extra); err != nil {
		return invalid("write CSV: Extra: %w", err)
	}
	cells := csvCells{r.Query, r.AsOf, r.Open}
	columns, definitions := Columns(), r.Definitions()
	file := newCSV(w, placeNames, definitions.Columns)
	write := func(i int, place []string, counts *Counts) {
		cellTexts := numbersOf(columns, counts)
		for _, col := range r.Extra {
			cellTexts = append(cellTexts, col.at(i).String())
		}
		file.write(cells.line(place, cellTexts))
	}
	for i := range r.Rows {
		row := &r.Rows[i]
		write(i, cells.place(&row.Cell), &row.Counts)
	}
	write(len(r.Rows), cells.total(), &r.Total)
	return file.finish(definitions, cells.settings(r.KeepAfterUnfollow))
}

// WriteCSV writes the report as that of [Report.WriteCSV]. It has the model, too.
func (r *ConversionReport) WriteCSV(w io.Writer) error {
	cells := csvCells{r.Query, r.AsOf, r.Open}
	columns, definitions := ConversionColumns(), r.Definitions()
	file := newCSV(w, placeNames, definitions.Columns)
	for i := range r.Rows {
		row := &r.Rows[i]
		file.write(cells.line(cells.place(&row.Cell), numbersOf(columns, &row.ConversionCounts)))
	}
	file.write(cells.line(cells.total(), numbersOf(columns, &r.Total)))

	settings := append(cells.settings(r.KeepAfterUnfollow), [2]string{"name", plainCell(r.Name)})
	if r.Window != 0 {
		settings = append(settings, [2]string{"window", r.Window.String()})
	}
	return file.finish(definitions, settings)
}

// WriteCSV writes the report as that of [Report.WriteCSV]. It has no total, and the days of
// a row are from one, to another that is not among them.
func (r *RetentionReport) WriteCSV(w io.Writer) error {
	cells := csvCells{r.Query, r.AsOf, r.Open}
	columns, definitions := RetentionColumns(), r.Definitions()
	names := append([]string{"from", "to"}, placeNames[1:]...)
	file := newCSV(w, names, definitions.Columns)
	for i := range r.Rows {
		row := &r.Rows[i]
		place := cells.place(&Cell{Start: row.From, Origin: row.Origin, Channel: row.Channel})
		place = slices.Insert(place, 1, row.To.Format(csvTime))
		file.write(cells.line(place, numbersOf(columns, row)))
	}
	return file.finish(definitions, cells.settings(r.KeepAfterUnfollow))
}

// WriteCSV writes the losses as [Report.WriteCSV] does its rows, with the greatest age of a
// row as 24h0m0s instead of a start. After the rows come the losses of an unknown age, with
// the origin "age_unknown", and the total.
func (a *LossAges) WriteCSV(w io.Writer) error {
	cells := csvCells{a.Query, a.AsOf, a.Open}
	names := append([]string{"up_to"}, placeNames[1:]...)
	definitions := Definitions{Columns: lossAgeDefinitions[:1], Origins: lossAgeDefinitions[1:]}
	file := newCSV(w, names, definitions.Columns)
	sum := int64(0)
	write := func(upTo, origin string, lost int64) {
		sum += lost
		file.write(cells.line(cells.selection(upTo, origin), []string{decimal(lost)}))
	}
	for _, row := range a.Rows {
		write(row.UpTo.String(), "", row.Lost)
	}
	write("unknown", definitions.Origins[0].Name, a.AgeUnknown)
	write("total", "total", sum)
	return file.finish(definitions, cells.periodSettings())
}

// WriteCSV writes the comparison as [Report.WriteCSV] does its rows: of each day a line with
// the origin "wechat", one with "ours" and one with "diff", and then one for each reason,
// with the kind as its origin and the count. What is not known is empty. Open says whether
// the day was not over.
func (c *Comparison) WriteCSV(w io.Writer) error {
	origins := slices.Concat(sideDefinitions, reasonDefinitions)
	file := newCSV(w, []string{"date", "origin"}, comparisonDefinitions)
	for i := range c.Days {
		day := &c.Days[i]
		cells := csvCells{asOf: c.AsOf, open: c.AsOf.Before(day.Date.AddDate(0, 0, 1))}
		for _, cellTexts := range day.lines() {
			file.write(cells.line([]string{day.Date.Format(time.DateOnly)}, cellTexts))
		}
	}
	return file.finish(Definitions{Columns: comparisonDefinitions, Origins: origins}, [][2]string{
		{"as_of", c.AsOf.Format(csvTime)}, {"zone", c.AsOf.Location().String()},
	})
}

// lines are the origin, the figures and the count of each line.
func (d *ComparedDay) lines() (all [][]string) {
	columns := figureColumns()
	add := func(origin string, of *Figures, count int64) {
		line := append([]string{origin}, make([]string, len(columns)+1)...)
		if of != nil {
			copy(line[1:], numbersOf(columns, of))
		}
		if count > 0 {
			line[len(line)-1] = decimal(count)
		}
		all = append(all, line)
	}
	diff := &d.Diff
	if d.WeChat == nil {
		diff = nil
	}
	add("wechat", d.WeChat, 0)
	add("ours", &d.Ours, 0)
	add("diff", diff, 0)
	for _, reason := range d.Reasons {
		add(string(reason.Kind), nil, reason.Count)
	}
	return all
}

func decimal(n int64) string { return strconv.FormatInt(n, 10) }

func numbersOf[Numbers any](columns []Column[Numbers], n *Numbers) (cellTexts []string) {
	for _, col := range columns {
		cellTexts = append(cellTexts, decimal(col.Number(n)))
	}
	return cellTexts
}

// csvFile writes a report. Errors stay until it is finished.
type csvFile struct {
	*csv.Writer
	width int
}

// placeNames are the columns that say what a line is of.
var placeNames = []string{"start", "channel", "name", "group", "origin"}

func newCSV(w io.Writer, placed []string, columns []Definition) *csvFile {
	file := &csvFile{csv.NewWriter(w), 0}
	file.UseCRLF = true
	names := slices.Clone(placed)
	names[0] = "\ufeff" + names[0]
	for _, col := range columns {
		names = append(names, col.Name)
	}
	names = append(names, "as_of", "open")
	file.width = len(names)
	file.write(names)
	return file
}

// write fills the line up with empty cells.
func (f *csvFile) write(line []string) {
	_ = f.Write(append(line, make([]string, f.width-len(line))...))
}

func (f *csvFile) finish(of Definitions, settings [][2]string) error {
	f.write(nil)
	for _, d := range of.Columns {
		f.write([]string{"", "column", d.Name, d.Term, d.TermZH, d.Text, d.TextZH})
	}
	for _, d := range of.Origins {
		f.write([]string{"", "origin", d.Name, d.Term, d.TermZH, d.Text, d.TextZH})
	}
	if d := of.Model; d != nil {
		f.write([]string{"", "model", d.Name, d.Term, d.TermZH, d.Text, d.TextZH})
	}
	for _, setting := range settings {
		f.write([]string{"", "setting", setting[0], setting[1]})
	}
	f.Flush()
	return failed("write CSV", f.Error())
}

const csvTime = "2006-01-02 15:04"

// csvCells makes the cells that all reports have.
type csvCells struct {
	Query
	asOf time.Time
	open bool
}

func (c *csvCells) start(of *Cell) string {
	if c.By&ByWeekday == 0 {
		return of.Start.Format(csvTime)
	}
	return of.Weekday.String() + time.Unix(int64(of.Hour)*hourSeconds, 0).UTC().Format(" 15:04")
}

// place is the cells before the numbers. The channel's group or the row's is empty.
func (c *csvCells) place(of *Cell) []string {
	channel := &of.Channel
	retired := ""
	if !channel.Retired.IsZero() {
		retired = channel.Retired.In(c.asOf.Location()).Format(csvTime)
	}
	return []string{
		c.start(of), plainCell(channel.Key), plainCell(channel.Name),
		plainCell(channel.Group + of.Group), string(of.Origin), retired,
	}
}

func (c *csvCells) total() []string {
	return append(c.selection(c.From.In(c.asOf.Location()).Format(csvTime), "total"), "")
}

// selection is the cells before numbers of all that was asked for.
func (c *csvCells) selection(first, origin string) []string {
	return []string{first, plainCell(c.Channel), "", plainCell(c.Group), origin}
}

func (c *csvCells) line(place, cellTexts []string) []string {
	return append(slices.Concat(place, cellTexts), c.asOf.Format(csvTime), strconv.FormatBool(c.open))
}

func (c *csvCells) settings(keep time.Duration) [][2]string {
	return append(c.periodSettings(), [2]string{"keep_after_unfollow", keep.String()})
}

func (c *csvCells) periodSettings() [][2]string {
	zone := c.asOf.Location()
	return [][2]string{
		{"from", c.From.In(zone).Format(csvTime)}, {"to", c.To.In(zone).Format(csvTime)},
		{"as_of", c.asOf.Format(csvTime)}, {"open", strconv.FormatBool(c.open)},
		{"zone", zone.String()},
	}
}

// plainCell keeps a spreadsheet from taking the text for a formula, also one in the
// full-width characters of a Chinese keyboard.
func plainCell(text string) string {
	first, _ := utf8.DecodeRuneInString(strings.TrimLeft(text, " "))
	if strings.ContainsRune("=+-@＝＋－＠'", first) {
		return "'" + text
	}
	return text
}
