package qrimage

import (
	"html"
	"io"
	"math"
	"strconv"
	"unicode/utf8"
)

// SVG writes the code as an SVG of one path, as wide as the style says in
// millimetres or in pixels.
func SVG(w io.Writer, code Code, style Style) error {
	p, err := newPen(style)
	if err == nil {
		err = p.writeSVG(w, code)
	}
	return wrap("SVG", err)
}

func (p *pen) writeSVG(w io.Writer, code Code) error {
	s, err := p.symbol(code)
	if err != nil {
		return err
	}
	g, err := p.vector(s.size)
	if err != nil {
		return err
	}
	width, height := g.modules, g.modules
	if p.ShowCaption && code.Caption != "" {
		height += g.modules / captionShare
	}

	b := make([]byte, 0, 8192+len(p.logoURL))
	b = append(b, `<svg xmlns="http://www.w3.org/2000/svg"`...)
	if p.logo != nil {
		b = append(b, ` xmlns:xlink="http://www.w3.org/1999/xlink"`...)
	}
	b = appendAttr(b, "width", g.module*width, g.unit)
	b = appendAttr(b, "height", g.module*height, g.unit)
	b = append(b, ` viewBox="0 0 `...)
	b = append(appendNumber(b, width), ' ')
	b = append(appendNumber(b, height), `">`...)
	b = p.appendCode(b, s, g, height)
	if p.logo != nil {
		b = append(b, `<image xlink:href="`...)
		if b, err = p.appendLogoURL(b); err != nil {
			return err
		}
		b = append(appendLogoBox(append(b, '"'), s, g), `/>`...)
	}
	if height > width {
		b = p.appendCaption(b, code.Caption, g)
	}
	b = append(b, "</svg>\n"...)
	_, err = w.Write(b)
	return err
}

// vector says how large a drawing is: its side in modules with the quiet zone,
// and a module and the quiet zone.
type vector struct {
	modules, module, quiet float64
	unit                   string // of module
}

func (p *pen) vector(size int) (vector, error) {
	given := p.Size
	if given == (Length{}) {
		given = p.Module
	}
	g := vector{module: given.pixels(p.DPI, 0)}
	if p.Size != (Length{}) {
		g.module = p.moduleOf(g.module, size)
	}
	if g.module <= 0 {
		return g, invalid("Quiet leaves nothing of Size to the code")
	}
	g.quiet = math.Round(1000*p.Quiet.pixels(p.DPI, g.module)/g.module) / 1000
	g.modules = float64(size) + 2*g.quiet
	if given.unit == inMillimetres {
		g.unit = "mm"
		g.module *= mmPerInch / float64(p.DPI)
	}
	return g, nil
}

// appendCode draws the ground and the dark modules.
func (p *pen) appendCode(b []byte, s *symbol, g vector, height float64) []byte {
	b = append(b, `<path fill="`...)
	b = append(append(b, hex(p.light)...), `" d="M0 0h`...)
	b = append(appendNumber(b, g.modules), 'v')
	b = append(appendNumber(b, height), "H0z\"/><path fill=\""...)
	b = append(append(b, hex(p.dark)...), `" fill-rule="evenodd" d="`...)
	b = appendOutlines(b, s, g.quiet)
	return append(b, `"/>`...)
}

// appendLogoBox is the logo's place as attributes.
func appendLogoBox(b []byte, s *symbol, g vector) []byte {
	side := float64(s.logo - 1)
	at := (g.modules - side) / 2
	b = appendAttr(b, "x", at, "")
	b = appendAttr(b, "y", at, "")
	b = appendAttr(b, "width", side, "")
	return appendAttr(b, "height", side, "")
}

// appendCaption writes one line, smaller if it is too long.
func (p *pen) appendCaption(b []byte, caption string, g vector) []byte {
	room := g.modules / captionShare
	size := min(room*0.6, g.modules*0.94/ems(caption))
	b = append(b, `<text text-anchor="middle" font-family="sans-serif" fill="`...)
	b = append(append(b, hex(p.dark)...), '"')
	b = appendAttr(b, "font-size", size, "")
	b = appendAttr(b, "x", g.modules/2, "")
	b = appendAttr(b, "y", g.modules+room*0.25+size*0.35, "")
	b = append(b, '>')
	b = append(b, html.EscapeString(xmlText(caption))...)
	return append(b, "</text>"...)
}

// ems is how wide a text is at most in most fonts, in sizes of the font.
func ems(text string) (width float64) {
	for _, r := range text {
		if utf8.RuneLen(r) > 2 {
			width++
		} else {
			width += 0.62
		}
	}
	return width
}

// xmlText is text without what XML cannot carry.
func xmlText(s string) string {
	out := make([]rune, 0, len(s))
	for _, r := range s {
		if r < ' ' || r == 0xFFFE || r == 0xFFFF {
			r = ' '
		}
		out = append(out, r)
	}
	return string(out)
}

// appendOutlines goes around each connected area of dark modules, and around
// each hole in it, with the dark on the right: no seams between modules show,
// however the drawing is scaled.
func appendOutlines(b []byte, s *symbol, offset float64) []byte {
	done := make([]bool, s.size*s.size) // modules whose upper edge is drawn
	for y := range s.size {
		for x := range s.size {
			if s.dark(x, y) && !s.dark(x, y-1) && !done[y*s.size+x] {
				b = append(b, 'M')
				b = append(appendNumber(b, float64(x)+offset), ' ')
				b = appendNumber(b, float64(y)+offset)
				b = s.appendOutline(b, x, y, done)
			}
		}
	}
	return b
}

// appendOutline goes from the upper left corner of a module to the right and
// back there.
func (s *symbol) appendOutline(b []byte, x0, y0 int, done []bool) []byte {
	x, y, dx, dy := x0, y0, 1, 0
	length := 0 // of the straight line so far
	for {
		if dx == 1 {
			done[y*s.size+x] = true
		}
		x, y, length = x+dx, y+dy, length+1
		ahead := func(side int) bool { // right 1, left -1
			return s.dark(x+(dx-side*dy-1)/2, y+(dy+side*dx-1)/2)
		}

		turn := 0
		switch {
		case !ahead(1):
			turn = 1
		case ahead(-1):
			turn = -1
		default:
			continue
		}
		if x == x0 && y == y0 && -turn*dy == 1 {
			return append(b, 'z')
		}
		if dx != 0 {
			b = strconv.AppendInt(append(b, 'h'), int64(dx*length), 10)
		} else {
			b = strconv.AppendInt(append(b, 'v'), int64(dy*length), 10)
		}
		dx, dy, length = -turn*dy, turn*dx, 0
	}
}

func appendAttr(b []byte, name string, value float64, suffix string) []byte {
	b = append(append(append(b, ' '), name...), `="`...)
	return append(append(appendNumber(b, value), suffix...), '"')
}

// appendNumber writes at most three decimals.
func appendNumber(b []byte, v float64) []byte {
	return strconv.AppendFloat(b, math.Round(v*1000)/1000, 'f', -1, 64)
}
