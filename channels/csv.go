package channels

import (
	"encoding/csv"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// csvColumns are the columns of numbers, named as in JSON.
var csvColumns = []struct {
	name   string
	number func(*Counts) int64
}{
	{"scans", func(c *Counts) int64 { return c.Scans }},
	{"scanners", func(c *Counts) int64 { return c.Scanners }},
	{"follower_scans", func(c *Counts) int64 { return c.FollowerScans }},
	{"new", func(c *Counts) int64 { return c.New }},
	{"returning", func(c *Counts) int64 { return c.Returning }},
	{"lost", func(c *Counts) int64 { return c.Lost }},
	{"net", (*Counts).Net},
	{"imported", func(c *Counts) int64 { return c.Imported }},
	{"forgotten", func(c *Counts) int64 { return c.Forgotten }},
	{"held_start", func(c *Counts) int64 { return c.HeldStart }},
	{"held_end", func(c *Counts) int64 { return c.HeldEnd }},
	{"quick_lost", func(c *Counts) int64 { return c.QuickLost }},
	{"quick_of", func(c *Counts) int64 { return c.QuickOf }},
}

// WriteCSV writes the report for a spreadsheet: UTF-8 with a byte order mark, a line of
// column names, the rows, and the total with the origin "total". Times are local, as
// 2006-01-02 15:04. With ByWeekday start is a weekday and an hour, as Monday 09:00. The
// columns as_of and open say in each line when the report was made and whether its
// period was not over. Texts that a spreadsheet would take for a formula begin with an
// apostrophe.
func (r *Report) WriteCSV(w io.Writer) error {
	if _, err := io.WriteString(w, "\ufeff"); err != nil {
		return failed("write CSV", err)
	}
	lines := csv.NewWriter(w)
	lines.UseCRLF = true

	names := []string{"start", "channel", "name", "group", "origin"}
	for _, column := range csvColumns {
		names = append(names, column.name)
	}
	_ = lines.Write(append(names, "as_of", "open")) // errors stay until Flush
	for i := range r.Rows {
		row := &r.Rows[i]
		c := &row.Channel
		path := c.Group + row.Group // one of them at most
		line := r.csvLine(r.csvStart(row), c.Key, c.Name, path, string(row.Origin), &row.Counts)
		_ = lines.Write(line)
	}
	start := r.From.In(r.AsOf.Location()).Format(csvTime)
	_ = lines.Write(r.csvLine(start, r.Channel, "", r.Group, "total", &r.Total))

	lines.Flush()
	return failed("write CSV", lines.Error())
}

const csvTime = "2006-01-02 15:04"

func (r *Report) csvStart(row *Row) string {
	if r.By&ByWeekday == 0 {
		return row.Start.Format(csvTime)
	}
	return row.Weekday.String() + time.Unix(int64(row.Hour)*hourSeconds, 0).UTC().Format(" 15:04")
}

func (r *Report) csvLine(start, key, name, path, origin string, c *Counts) []string {
	line := []string{start, plainCell(key), plainCell(name), plainCell(path), origin}
	for _, column := range csvColumns {
		line = append(line, strconv.FormatInt(column.number(c), 10))
	}
	return append(line, r.AsOf.Format(csvTime), strconv.FormatBool(r.Open))
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
