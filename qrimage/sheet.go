package qrimage

import (
	"fmt"
	"html"
	"io"
	"iter"
	"time"
)

// Layout says how a sheet looks.
type Layout struct {
	// PerPage is 6, 12 or 24 codes on a page of A4; the default is 12.
	PerPage int

	// Style is that of each code. Size is in Millimetres and includes the quiet zone:
	// by default 70, 48 or 32, at most 76, 54 or 34. Module, DPI and Quiet in Pixels
	// are not for sheets. Captions are always shown.
	Style Style

	// AllowTemporary takes temporary codes too, and prints beneath each until when
	// it is valid, in the time zone of Ticket.ExpiresAt. Otherwise they are refused:
	// what is printed outlives them. One that has expired is refused always.
	AllowTemporary bool

	// Title is the title of the page for a browser, and of the PDF it prints.
	Title string
}

// grid is how a page of so many codes is divided. Lengths are in millimetres.
type grid struct {
	columns, rows   int
	size, max, font float64
}

var grids = map[int]grid{
	6:  {2, 3, 70, 76, 4.2},
	12: {3, 4, 48, 54, 3.6},
	24: {4, 6, 32, 34, 2.8},
}

// The page, in millimetres.
const (
	pageWidth, pageHeight = 210, 297
	pageMargin            = 8
	cutMark               = 4
	captionMargin         = 3 // of a cell, left and right
)

// leastModule is four pixels at 200 dpi, in millimetres: zbar misses some codes of
// a scanned sheet with three.
const leastModule = 4 * mmPerInch / 200

// Sheet writes one HTML page that prints as sheets of A4 with cut marks and a
// caption beneath each code, of two lines at most, in the fonts of the system that
// prints it. A caption that is long is smaller, down to half. Print it from a browser at
// 100 %, or with chromium --headless --print-to-pdf, and measure the line at the foot, which
// has 50 mm then. The page loads nothing and runs no script.
//
// Codes are drawn one after another as they come. It is an error if there is none.
func Sheet(w io.Writer, codes iter.Seq[Code], layout Layout) error {
	s, err := newSheet(layout)
	if err != nil {
		return wrap("sheet", err)
	}
	b, err := s.appendHead(nil)
	if err != nil {
		return wrap("sheet", err)
	}
	n := 0
	for code := range codes {
		if n%s.perPage == 0 {
			b = s.appendPage(b, n)
		}
		n++
		if b, err = s.appendCell(b, code); err != nil {
			return wrap("sheet", inCode(n, code, err))
		}
		if len(b) >= 1<<16 {
			if _, err := w.Write(b); err != nil {
				return wrap("sheet", err)
			}
			b = b[:0]
		}
	}
	if n == 0 {
		return wrap("sheet", invalid("there are no codes"))
	}
	_, err = w.Write(append(b, "</section>\n</body>\n</html>\n"...))
	return wrap("sheet", err)
}

// sheet is a checked Layout.
type sheet struct {
	Layout
	grid
	perPage int
	pen     *pen
	marks   []byte
}

func newSheet(layout Layout) (*sheet, error) {
	s := &sheet{Layout: layout, perPage: layout.PerPage}
	if s.perPage == 0 {
		s.perPage = 12
	}
	var ok bool
	if s.grid, ok = grids[s.perPage]; !ok {
		return nil, invalid("PerPage is 6, 12 or 24, not %d", layout.PerPage)
	}

	style := layout.Style
	if style.Size == (Length{}) {
		style.Size = Millimetres(s.size)
	}
	switch {
	case style.Size.unit != inMillimetres || style.Quiet.unit == inPixels ||
		style.Module != (Length{}) || style.DPI != 0:
		return nil, invalid("a sheet has Size in Millimetres, Quiet in Modules or Millimetres, " +
			"and neither Module nor DPI")
	case style.Size.n > s.max:
		return nil, invalid("Size is %v mm, and with %d codes on a page %v mm are the most",
			style.Size.n, s.perPage, s.max)
	}
	p, err := newPen(style)
	if err != nil {
		return nil, err
	}
	s.pen, s.marks = p, s.appendMarks(nil)
	return s, nil
}

func (s *sheet) appendHead(b []byte) ([]byte, error) {
	const lines = 3.6 // the caption's two and the end of a temporary code, in sizes of the font
	top := (s.cellHeight() - s.pen.Size.n - lines*s.font) / 2
	b = fmt.Appendf(b, `<!DOCTYPE html>
<html lang="zh-CN">
<head>
<meta charset="utf-8">
<title>%s</title>
<style>
@page { size: A4; margin: 0 }
* { box-sizing: border-box; margin: 0 }
section { position: relative; width: %[2]dmm; height: %[3]dmm; padding: %[4]dmm; overflow: hidden;
	display: grid; grid-template: repeat(%[6]d, %[8]smm) / repeat(%[5]d, %[7]smm); break-inside: avoid }
section + section { break-before: page }
section > svg { position: absolute; inset: 0; width: 100%%; height: 100%% }
figure { display: flex; flex-direction: column; align-items: center; overflow: hidden; padding-top: %[10]smm }
figure > svg { flex: none; display: block }
figcaption { width: 100%%; padding: 0 %[11]dmm; font: %[9]vmm/1.25 sans-serif; text-align: center; color: #000 }
figcaption b { display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 2; overflow: hidden;
	font-weight: normal; overflow-wrap: anywhere }
figcaption small { font-size: 75%%; white-space: nowrap }
</style>
</head>
<body>
`, html.EscapeString(xmlText(s.Title)), pageWidth, pageHeight, pageMargin, s.columns, s.rows,
		appendNumber(nil, s.cellWidth()), appendNumber(nil, s.cellHeight()), s.font, appendNumber(nil, top),
		captionMargin)
	if s.pen.logo == nil {
		return b, nil
	}
	b = append(b, `<svg width="0" height="0" style="position:absolute"><symbol id="logo" viewBox="0 0 1 1">`...)
	b = append(b, `<image width="1" height="1" href="`...)
	b, err := s.pen.appendLogoURL(b)
	return append(b, "\"/></symbol></svg>\n"...), err
}

func (s *sheet) cellWidth() float64  { return float64(pageWidth-2*pageMargin) / float64(s.columns) }
func (s *sheet) cellHeight() float64 { return float64(pageHeight-2*pageMargin) / float64(s.rows) }

// appendPage ends the page before, if there is one, and begins the next.
func (s *sheet) appendPage(b []byte, n int) []byte {
	if n > 0 {
		b = append(b, "</section>\n"...)
	}
	b = append(b, "<section>\n"...)
	return append(b, s.marks...)
}

// appendMarks draws a cross at each corner of the cells, and a line to measure.
func (s *sheet) appendMarks(b []byte) []byte {
	b = fmt.Appendf(b, `<svg viewBox="0 0 %d %d"><path stroke="#999" stroke-width=".15" d="`, pageWidth, pageHeight)
	for row := range s.rows + 1 {
		for column := range s.columns + 1 {
			x := pageMargin + float64(column)*s.cellWidth()
			y := pageMargin + float64(row)*s.cellHeight()
			b = fmt.Appendf(b, "M%.2f %.2fh%dM%.2f %.2fv%d", x-cutMark/2, y, cutMark, x, y-cutMark/2, cutMark)
		}
	}
	return append(b, `"/><path stroke="#000" stroke-width=".2" d="M20 291.6v1.6m0-.8h50m0-.8v1.6"/>`+
		`<text x="72" y="293.2" font-size="2.4" font-family="sans-serif">50 mm</text></svg>`+"\n"...)
}

func (s *sheet) appendCell(b []byte, code Code) ([]byte, error) {
	sym, err := s.pen.symbol(code)
	if err != nil {
		return nil, err
	}
	if err := s.checkLife(code); err != nil {
		return nil, err
	}
	g, err := s.pen.vector(sym.size)
	if err != nil {
		return nil, err
	}
	if g.module < leastModule {
		return nil, invalid("a code of %d modules in %v mm is too small to read: "+
			"a module takes %.3f mm at least; fewer on a page have more room",
			sym.size, s.pen.Size.n, leastModule)
	}

	b = append(b, "<figure><svg"...)
	b = appendAttr(b, "width", s.pen.Size.n, "mm")
	b = appendAttr(b, "height", s.pen.Size.n, "mm")
	b = append(b, ` viewBox="0 0 `...)
	b = append(appendNumber(b, g.modules), ' ')
	b = append(appendNumber(b, g.modules), `">`...)
	b = s.pen.appendCode(b, sym, g, g.modules)
	if s.pen.logo != nil {
		b = append(b, `<use href="#logo"`...)
		b = append(appendLogoBox(b, sym, g), `/>`...)
	}
	b = append(b, "</svg><figcaption><b"...)
	if size := s.captionSize(code.Caption); size < s.font {
		b = append(appendNumber(append(b, ` style="font-size:`...), size), `mm"`...)
	}
	b = append(b, '>')
	b = append(b, html.EscapeString(xmlText(code.Caption))...)
	b = append(b, "</b>"...)
	if !code.Ticket.Permanent() {
		b = append(b, "<small>有效至 until "...)
		b = code.Ticket.ExpiresAt.AppendFormat(b, "2006-01-02 15:04 -07:00")
		b = append(b, "</small>"...)
	}
	return append(b, "</figcaption></figure>\n"...), nil
}

// captionSize is the size of the font in which two lines have room for the
// caption, from half of the usual size to all of it.
func (s *sheet) captionSize(caption string) float64 {
	const usable = 0.85 // of two lines, where the first ends between words
	width := 2 * usable * (s.cellWidth() - 2*captionMargin)
	return max(s.font/2, min(s.font, width/ems(caption)))
}

func (s *sheet) checkLife(code Code) error {
	switch {
	case code.Ticket.Expired(time.Now()):
		return invalid("the code has expired")
	case !code.Ticket.Permanent() && !s.AllowTemporary:
		return invalid("the code is temporary, valid until %s: "+
			"print a permanent one, or set AllowTemporary", code.Ticket.ExpiresAt.Format(time.DateTime))
	}
	return nil
}
