package page

import (
	"fmt"
	"html/template"
	"math"
	"strings"
)

// chart is a picture with the table of the same numbers, for who cannot see it.
type chart struct {
	Title       string // what it shows
	SVG         template.HTML
	Top, Bottom string   // of the scale
	Axis        []string // labels, at even distances
	Keys        []legend
	Heads       []string // of the table
	Rows        [][]string
	Texts       bool // the last column has texts
}

// legend names the series that is drawn in this way.
type legend struct{ Class, Label string }

// addTexts adds a column of texts to the table.
func (c *chart) addTexts(head string, texts []string) {
	c.Heads, c.Texts = append(c.Heads, head), true
	for i := range c.Rows {
		c.Rows[i] = append(c.Rows[i], texts[i])
	}
}

// plotting draws values at even distances. Its picture is stretched to the width of the page:
// labels stand beside it.
type plotting struct {
	svg       strings.Builder
	n         int // places
	low, high float64
}

const (
	placeWidth = 10.0
	plotHeight = 100.0
)

// newPlot makes a picture of n places whose scale has zero and all the values, which are NaN
// where there is none.
func newPlot(n int, all ...[]float64) *plotting {
	p := &plotting{n: n}
	for _, values := range all {
		for _, v := range values {
			if !math.IsNaN(v) {
				p.low, p.high = min(p.low, v), max(p.high, v)
			}
		}
	}
	p.low, p.high = -roundUp(-p.low), roundUp(p.high)
	if p.high == p.low {
		p.high = 1
	}
	return p
}

// roundUp returns the next number with one digit that is not zero.
func roundUp(v float64) float64 {
	if v <= 0 {
		return 0
	}
	unit := math.Pow(10, math.Floor(math.Log10(v)))
	return math.Ceil(v/unit) * unit
}

func (p *plotting) y(v float64) float64 {
	return math.Round(100*plotHeight*(p.high-v)/(p.high-p.low)) / 100
}

// bars draws each value from zero on.
func (p *plotting) bars(class string, values []float64) {
	var path strings.Builder
	for i, v := range values {
		if !math.IsNaN(v) && v != 0 {
			fmt.Fprintf(&path, "M%g %gV%gh6V%gz", float64(i)*placeWidth+2, p.y(0), p.y(v), p.y(0))
		}
	}
	fmt.Fprintf(&p.svg, `<path class="%s" d="%s"/>`, class, path.String())
}

// line joins the values, and breaks where there is none.
func (p *plotting) line(class string, values []float64) {
	var path strings.Builder
	command := 'M'
	for i, v := range values {
		if math.IsNaN(v) {
			command = 'M'
			continue
		}
		fmt.Fprintf(&path, "%c%g %g", command, (float64(i)+.5)*placeWidth, p.y(v))
		command = 'L'
	}
	fmt.Fprintf(&p.svg, `<path class="line %s" d="%s"/>`, class, path.String())
}

// marks draws a line from top to bottom at each of the places.
func (p *plotting) marks(class string, places []int) {
	if len(places) == 0 {
		return
	}
	var path strings.Builder
	for _, i := range places {
		fmt.Fprintf(&path, "M%g 0V%g", (float64(i)+.5)*placeWidth, plotHeight)
	}
	fmt.Fprintf(&p.svg, `<path class="%s" d="%s"/>`, class, path.String())
}

// hints says over each place what it shows.
func (p *plotting) hints(rows [][]string, heads []string) {
	for i, row := range rows {
		var text strings.Builder
		text.WriteString(row[0])
		for j, cell := range row[1:] {
			if cell == "" {
				continue
			}
			fmt.Fprintf(&text, "\n%s %s", heads[j+1], cell)
		}
		fmt.Fprintf(&p.svg, `<rect class="hit" x="%g" width="10" height="100"><title>%s</title></rect>`,
			float64(i)*placeWidth, template.HTMLEscapeString(text.String()))
	}
}

// picture is hidden from screen readers, which have the table.
func (p *plotting) picture() template.HTML {
	return template.HTML(fmt.Sprintf(
		`<svg viewBox="0 0 %g 100" preserveAspectRatio="none" aria-hidden="true">`+
			`<path class="zero" d="M0 %gH%g"/>%s</svg>`,
		float64(p.n)*placeWidth, p.y(0), float64(p.n)*placeWidth, p.svg.String()))
}

// sparkline is a small line of the values.
func sparkline(values []float64) template.HTML {
	p := newPlot(len(values), values)
	p.line("now", values)
	return p.picture()
}

// floats has NaN for what is nil.
func floats(values []*int64) []float64 {
	all := make([]float64, len(values))
	for i, v := range values {
		all[i] = math.NaN()
		if v != nil {
			all[i] = float64(*v)
		}
	}
	return all
}

// cellOf is a number of a chart's table; empty if there is none.
func cellOf(v *int64, format func(int64) string) string {
	if v == nil {
		return ""
	}
	return format(*v)
}
