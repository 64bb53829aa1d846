package channels

import (
	"encoding/csv"
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
// period was not over. Texts that a spreadsheet would take for a formula begin with an
// apostrophe.
//
// After a line of empty cells come the definitions: in a line each, "column" or "origin",
// its name, what it is called and what it is, in English and in Chinese; then, as
// "setting", what the report was made with. All lines have the same number of cells. A
// program that wants the numbers alone stops at the first line whose first cell is empty.
func (r *Report) WriteCSV(w io.Writer) error {
	cells := csvCells{r.Query, r.AsOf, r.Open}
	columns := Columns()
	file := newCSV(w, placeNames, definitionsOf(columns))
	for i := range r.Rows {
		row := &r.Rows[i]
		file.write(cells.line(cells.place(&row.Cell), numbersOf(columns, &row.Counts)))
	}
	file.write(cells.line(cells.total(), numbersOf(columns, &r.Total)))
	return file.finish(r.Definitions(), cells.settings(r.KeepAfterUnfollow))
}

// WriteCSV writes the report as that of [Report.WriteCSV]. It has the model, too.
func (r *ConversionReport) WriteCSV(w io.Writer) error {
	cells := csvCells{r.Query, r.AsOf, r.Open}
	columns := ConversionColumns()
	file := newCSV(w, placeNames, definitionsOf(columns))
	for i := range r.Rows {
		row := &r.Rows[i]
		file.write(cells.line(cells.place(&row.Cell), numbersOf(columns, &row.ConversionCounts)))
	}
	file.write(cells.line(cells.total(), numbersOf(columns, &r.Total)))

	settings := append(cells.settings(r.KeepAfterUnfollow), [2]string{"name", plainCell(r.Name)})
	if r.Window != 0 {
		settings = append(settings, [2]string{"window", r.Window.String()})
	}
	return file.finish(r.Definitions(), settings)
}

// WriteCSV writes the report as that of [Report.WriteCSV]. It has no total, and the days of
// a row are from one, to another that is not among them.
func (r *RetentionReport) WriteCSV(w io.Writer) error {
	cells := csvCells{r.Query, r.AsOf, r.Open}
	columns := RetentionColumns()
	names := append([]string{"from", "to"}, placeNames[1:]...)
	file := newCSV(w, names, definitionsOf(columns))
	for i := range r.Rows {
		row := &r.Rows[i]
		place := cells.place(&Cell{Start: row.From, Origin: row.Origin, Channel: row.Channel})
		place = slices.Insert(place, 1, row.To.Format(csvTime))
		file.write(cells.line(place, numbersOf(columns, row)))
	}
	return file.finish(r.Definitions(), cells.settings(r.KeepAfterUnfollow))
}

func numbersOf[Numbers any](columns []Column[Numbers], n *Numbers) (figures []int64) {
	for _, col := range columns {
		figures = append(figures, col.Number(n))
	}
	return figures
}

// csvFile writes a report. Errors stay until it is finished.
type csvFile struct {
	*csv.Writer
	width int
}

// placeNames are the columns of csvCells.place.
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
	return []string{
		c.start(of), plainCell(channel.Key), plainCell(channel.Name),
		plainCell(channel.Group + of.Group), string(of.Origin),
	}
}

func (c *csvCells) total() []string {
	start := c.From.In(c.asOf.Location()).Format(csvTime)
	return []string{start, plainCell(c.Channel), "", plainCell(c.Group), "total"}
}

func (c *csvCells) line(place []string, figures []int64) []string {
	for _, n := range figures {
		place = append(place, strconv.FormatInt(n, 10))
	}
	return append(place, c.asOf.Format(csvTime), strconv.FormatBool(c.open))
}

func (c *csvCells) settings(keep time.Duration) [][2]string {
	zone := c.asOf.Location()
	return [][2]string{
		{"from", c.From.In(zone).Format(csvTime)}, {"to", c.To.In(zone).Format(csvTime)},
		{"as_of", c.asOf.Format(csvTime)}, {"open", strconv.FormatBool(c.open)},
		{"zone", zone.String()}, {"keep_after_unfollow", keep.String()},
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
