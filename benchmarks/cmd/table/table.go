package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/perf/benchunit"

	"github.com/wechatqr/wechatqr/benchmarks"
)

const self = "wechatqr"

// row is a part of the table: one kind of work.
type row struct {
	title     string
	benchmark string
	unit      string // as benchfmt writes it
	limit     limit
}

// limit is what this library set out to keep to. Zero is none.
type limit struct {
	floors float64 // times the floor
	value  float64 // in the unit
	allocs string  // a number, or "floor" for the floor's
}

// rows are the table, from top to bottom. The first library of a benchmark
// that is none of the peers is its floor.
func rows() []row {
	return []row{
		{"Parse a SCAN push", benchmarks.ParseScan, "sec/op", limit{floors: 1.0 / 20, allocs: "2"}},
		{"Parse a subscribe push", benchmarks.ParseSubscribe, "sec/op", limit{}},
		{"Verify, decrypt and parse", benchmarks.OpenParse, "sec/op", limit{floors: 1.6, allocs: "9"}},
		{"Handler, plain push", benchmarks.HandlePlain, "sec/op", limit{floors: 3}},
		{"Handler, plain push, text reply", benchmarks.HandlePlainReply, "sec/op", limit{}},
		{"Handler, encrypted push", benchmarks.HandleEncrypted, "sec/op", limit{floors: 5}},
		{"Handler, encrypted push, text reply", benchmarks.HandleEncryptedReply, "sec/op", limit{}},
		{"Post of 64 MiB, signed: memory", benchmarks.LargePost, "B/op", limit{value: 2 << 20}},
		{"Post of 64 MiB, signed: time", benchmarks.LargePost, "sec/op", limit{}},
		{"Post of 64 MiB, not signed: memory", benchmarks.LargePostUnsigned, "B/op", limit{value: 2 << 20}},
		{"Token, at hand", benchmarks.Token, "sec/op", limit{allocs: "0"}},
		{"Token, at hand, all cores", benchmarks.TokenParallel, "sec/op", limit{allocs: "0"}},
		{"Token, 1,000 callers and none at hand: calls", benchmarks.TokenHerd, "calls/op", limit{value: 1}},
		{"Token, 1,000 callers and none at hand: time", benchmarks.TokenHerd, "sec/op", limit{}},
		{"Create, in memory", benchmarks.CreateInMemory, "sec/op", limit{floors: 1, allocs: "floor"}},
		{"Create, over loopback", benchmarks.CreateLoopback, "sec/op", limit{}},
		{"3,200 creations, 64 at once: connections", benchmarks.Connections, "connections/op", limit{value: 70}},
		{"3,200 creations, 64 at once: time", benchmarks.Connections, "sec/op", limit{}},
	}
}

// table is the table in Markdown, and who is in it.
func table(m *measured, programs []program) (string, error) {
	cells := [][]string{{"Work", "By", "Median", "× floor", "× wechatqr", "Allocs", "Notes"}}
	for _, r := range rows() {
		lines, err := r.cells(m)
		if err != nil {
			return "", err
		}
		cells = append(cells, lines...)
	}
	cells = append(cells, programCells("Program that creates a code", limit{floors: 1.03}, programs, func(p program) float64 { return p.size })...)
	cells = append(cells, programCells("The same, by -ldflags=\"-s -w\"", limit{floors: 1.03}, programs, func(p program) float64 { return p.stripped })...)

	who := [][]string{{"Library", "Module", "Version", "Sent to the loopback server by"}}
	for _, l := range benchmarks.Libraries() {
		i := slices.IndexFunc(programs, func(p program) bool { return p.by == l.Name })
		version := "this tree"
		if l.Name != self {
			version = programs[i].version(l.Module)
		}
		who = append(who, []string{l.Name, l.Module, version, l.Host})
	}
	return markdown(cells) + "\n" + markdown(who), nil
}

func (r row) cells(m *measured) ([][]string, error) {
	lines := m.of(r.benchmark)
	i := slices.IndexFunc(lines, func(l *line) bool { return l.by == self })
	if i < 0 {
		return nil, fmt.Errorf("%s was not measured for %s", r.benchmark, self)
	}
	ours := lines[i].values[r.unit]
	var floor *line
	if i > 0 {
		floor = lines[0]
	}
	var out [][]string
	for n, l := range lines {
		values := l.values[r.unit]
		if len(values) == 0 {
			return nil, fmt.Errorf("%s has no %s for %s", r.benchmark, r.unit, l.by)
		}
		c := []string{"", l.by, amount(values, r.unit), "", "", "", ""}
		if n == 0 {
			c[0] = r.title
		}
		if floor != nil && l != floor {
			c[3] = factor(median(ratios(values, floor.values[r.unit])).Center)
		}
		if l.by != self {
			c[4] = factor(median(ratios(values, ours)).Center)
		}
		if allocs := l.values["allocs/op"]; len(allocs) > 0 && r.unit == "sec/op" {
			c[5] = count(median(allocs).Center)
		}
		c[6] = r.notes(l, floor)
		out = append(out, c)
	}
	return out, nil
}

// notes say where a library does less than the others, what else must be
// known of it, and the limit of this one.
func (r row) notes(l, floor *line) string {
	var out []string
	if l == floor {
		return "floor"
	}
	for _, library := range benchmarks.Libraries() {
		if library.Name != l.by {
			continue
		}
		var less []string
		for _, c := range benchmarks.Checks(r.benchmark) {
			if slices.Contains(library.Skips, c) {
				less = append(less, string(c))
			}
		}
		if len(less) > 0 {
			out = append(out, "does not check "+strings.Join(less, ", "))
		}
		if note := library.Notes[r.benchmark]; note != "" {
			out = append(out, note)
		}
	}
	if l.by == self && r.limit != (limit{}) {
		out = append(out, r.limit.describe(l, floor, r.unit))
	}
	return strings.Join(out, "; ")
}

// describe says whether the limit was missed and chance does not explain it: the lower
// end of the confidence interval is above it. That takes six rounds.
func (x limit) describe(l, floor *line, unit string) string {
	var parts []string
	missed := false
	values := l.values[unit]
	if x.floors > 0 {
		parts = append(parts, factor(x.floors)+" × floor")
		missed = missed || median(ratios(values, floor.values[unit])).Lo > x.floors
	}
	if x.value > 0 {
		parts = append(parts, amount([]float64{x.value}, unit))
		missed = missed || median(values).Lo > x.value
	}
	if x.allocs != "" {
		most, err := strconv.ParseFloat(x.allocs, 64)
		if err != nil {
			most = median(floor.values["allocs/op"]).Center
		}
		parts = append(parts, count(most)+" allocs")
		missed = missed || median(l.values["allocs/op"]).Lo > most
	}
	return verdict(strings.Join(parts, ", "), missed)
}

func verdict(bound string, missed bool) string {
	if missed {
		return "**misses its limit: " + bound + "**"
	}
	return "limit: " + bound
}

func programCells(title string, most limit, programs []program, size func(program) float64) [][]string {
	var out [][]string
	floor := programs[0]
	ours := programs[slices.IndexFunc(programs, func(p program) bool { return p.by == self })]
	for n, p := range programs {
		note := fmt.Sprintf("links %d modules", len(p.modules))
		if len(p.modules) == 1 {
			note = "links 1 module"
		}
		c := []string{"", p.by, amount([]float64{size(p)}, "B"), "", "", "", note}
		if n == 0 {
			c[0], c[6] = title, "floor"
		} else {
			c[3] = fmt.Sprintf("%.3f", size(p)/size(floor))
		}
		if p.by == self {
			c[6] += "; " + verdict(fmt.Sprintf("%.2f × floor", most.floors), size(p) > most.floors*size(floor))
		} else {
			c[4] = fmt.Sprintf("%.3f", size(p)/size(ours))
		}
		out = append(out, c)
	}
	return out
}

// amount is the median of some values in their unit, and how far off it may be.
func amount(values []float64, unit string) string {
	name := strings.TrimSuffix(unit, "/op")
	s := median(values)
	switch name {
	case "sec":
		name = "s"
	case "B":
	default:
		return count(s.Center)
	}
	scale := benchunit.CommonScale([]float64{s.Center}, benchunit.ClassOf(unit))
	text := strconv.FormatFloat(s.Center/scale.Factor, 'f', max(scale.Prec-1, 0), 64) + " " + scale.Prefix + name
	if len(values) >= 6 && s.Lo != s.Hi {
		text += " ± " + s.PctRangeString()
	}
	return text
}

func count(v float64) string { return strconv.FormatFloat(v, 'f', 0, 64) }

// factor has two or three digits that say something.
func factor(v float64) string {
	switch {
	case v >= 10:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case v >= 1:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'g', 2, 64)
}

// markdown is a table that can also be read as it stands.
func markdown(cells [][]string) string {
	widths := make([]int, len(cells[0]))
	for _, c := range cells {
		for i, text := range c {
			widths[i] = max(widths[i], utf8.RuneCountInString(text))
		}
	}
	var b strings.Builder
	for n, c := range cells {
		for i, text := range c {
			b.WriteString("| " + text + strings.Repeat(" ", widths[i]-utf8.RuneCountInString(text)+1))
		}
		b.WriteString("|\n")
		if n == 0 {
			for _, w := range widths {
				b.WriteString("|" + strings.Repeat("-", w+2))
			}
			b.WriteString("|\n")
		}
	}
	return b.String()
}
