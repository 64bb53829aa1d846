// Package qrimage draws the codes that wechatqr makes: as PNG and SVG, in a
// terminal, as sheets to print, and many of them as one ZIP.
//
//	err := qrimage.PNG(file, qrimage.Code{Ticket: ticket}, qrimage.Style{})
//
// A code says [wechatqr.Ticket.Content], byte for byte, so that WeChat reports a
// scan of it as it does one of its own picture. Drawing asks nobody: it needs no
// network and works as long as the ticket is kept.
//
// # Style
//
// The zero [Style] is black on white with the quiet zone of the standard. Colours
// with too little contrast and logos that hide too much are refused rather than
// drawn: what this package draws, scanners read.
//
// # Errors
//
// Codes and styles that cannot be drawn are [wechatqr.ErrInvalidArgument], before
// the first byte is written by [PNG], [SVG] and [Terminal]. Other errors are those
// of the writer. What [ZIP] and [Sheet] have written by the time of an error is
// incomplete.
//
// The functions may be called by several goroutines at once.
package qrimage

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"math"

	goqr "github.com/piglig/go-qr"

	"github.com/wechatqr/wechatqr"
)

// Code is a code to draw.
type Code struct {
	Ticket  *wechatqr.Ticket // of which Content is drawn
	Caption string           // for people: beneath the code, and the name of its file in a ZIP
}

// Style says how a code looks. A size is that of the square with the quiet zone
// and without the caption.
type Style struct {
	// Level is the error correction; the default is LevelMedium, with a Logo
	// LevelHigh. A higher one is used where it takes no more modules.
	Level Level

	// Size is the side of the picture, in Pixels or Millimetres. A PNG has whole
	// pixels to a module, and what is left over goes to the quiet zone.
	Size Length

	// Module is the side of one module, in Pixels or Millimetres, instead of Size.
	// The default without either is 8 pixels. A PNG rounds it down to whole pixels.
	Module Length

	// Quiet is the light margin on each side, in Modules, Pixels or Millimetres; the
	// default is 4 modules, as the standard wants. Ask for less only where the
	// picture is put on a light ground.
	Quiet Length

	// DPI is the pixels to an inch, for Millimetres in a PNG and Pixels beside
	// Millimetres: 36 to 2400; the default is 300.
	DPI int

	// Dark and Light are opaque colours, by default black and white. Dark must be
	// darker than Light by MinContrast.
	Dark, Light color.Color

	// Logo is drawn in the centre, in its proportions and on Light; nil is none. It
	// is reduced to 512 pixels. LogoSize is the share of the code's side, without the
	// quiet zone, that is cleared for it, rounded up to an odd number of modules; the
	// default is 0.2. A logo is refused if any block of the code's error correction
	// would lose more than half of what it can restore (the rest is left for dirt
	// and glare), or where it would cover an alignment pattern, as in the centre of
	// a code of 59 to 177 bytes. What WeChat has in Ticket.Content is shorter.
	Logo     image.Image
	LogoSize float64

	// ShowCaption draws the caption beneath a PNG or SVG. In an SVG the reader's
	// fonts write it. The standard library has no fonts, so a PNG needs DrawCaption,
	// which writes the caption into area, for instance by golang.org/x/image/font.
	ShowCaption bool
	DrawCaption func(dst draw.Image, area image.Rectangle, caption string) error
}

// Level is how much of a code may be missing: the error correction level.
type Level int

// The levels. About 7, 15, 25 and 30 percent of a code may be missing.
const (
	LevelLow Level = iota + 1
	LevelMedium
	LevelQuartile
	LevelHigh
)

// Length is a length in one of three units. The zero Length is unset.
type Length struct {
	n    float64
	unit unit
}

type unit int

const (
	inModules unit = iota + 1
	inPixels
	inMillimetres
)

// Modules is a length in sides of the code's modules, its smallest squares.
func Modules(n float64) Length { return Length{n, inModules} }

// Pixels is a length in pixels.
func Pixels(n int) Length { return Length{float64(n), inPixels} }

// Millimetres is a length on paper.
func Millimetres(mm float64) Length { return Length{mm, inMillimetres} }

const mmPerInch = 25.4

// pixels is the length at dpi, where a module has so many pixels.
func (l Length) pixels(dpi int, module float64) float64 {
	switch l.unit {
	case inModules:
		return l.n * module
	case inMillimetres:
		return l.n * float64(dpi) / mmPerInch
	}
	return l.n
}

// MinContrast is the least difference in luma (Rec. 601) between Light and Dark,
// where black has 0 and white 1: just above the half below which ZXing takes an
// area without edges for light.
const MinContrast = 0.504

const maxPixels = 10_000 // a picture's side

// pen draws codes in one checked style, for one goroutine.
type pen struct {
	Style
	printed     bool // the resolution of a PNG is known
	dark, light color.RGBA
	logo        *image.RGBA
	logoURL     string        // of an SVG
	logoErrs    map[int]error // whether the logo fits, by the size of the code
	encoder     png.Encoder
}

func newPen(style Style) (*pen, error) {
	p := &pen{Style: style, printed: style.hasDPI(), logoErrs: map[int]error{}}
	p.encoder.BufferPool = &pngBuffer{}
	if p.Quiet == (Length{}) {
		p.Quiet = Modules(4)
	}
	if p.Size == (Length{}) && p.Module == (Length{}) {
		p.Module = Pixels(8)
	}
	if p.DPI == 0 {
		p.DPI = 300
	}

	if err := p.checkLengths(); err != nil {
		return nil, err
	}
	if err := p.setColors(); err != nil {
		return nil, err
	}
	return p, p.setLogo()
}

func (p *pen) checkLengths() error {
	switch {
	case p.DPI < 36 || p.DPI > 2400:
		return invalid("DPI is 36 to 2400, not %d", p.DPI)
	case p.Size != (Length{}) && p.Module != (Length{}):
		return invalid("Size and Module are both set")
	case p.Size.unit == inModules:
		return invalid("Size is in Pixels or Millimetres")
	case p.Module.unit == inModules:
		return invalid("Module is in Pixels or Millimetres")
	}
	for name, l := range map[string]Length{"Size": p.Size, "Module": p.Module, "Quiet": p.Quiet} {
		least := name != "Quiet" && l.unit != 0 && l.n <= 0
		if least || !(l.n >= 0 && l.n <= maxPixels) {
			return invalid("%s cannot be %v", name, l.n)
		}
	}
	return nil
}

func (p *pen) setColors() error {
	p.dark, p.light = color.RGBA{A: 255}, color.RGBA{255, 255, 255, 255}
	for _, c := range []struct {
		name  string
		color color.Color
		to    *color.RGBA
	}{{"Dark", p.Dark, &p.dark}, {"Light", p.Light, &p.light}} {
		if c.color == nil {
			continue
		}
		*c.to = color.RGBAModel.Convert(c.color).(color.RGBA)
		if c.to.A != 255 {
			return invalid("%s is not opaque", c.name)
		}
	}
	if contrast := luma(p.light) - luma(p.dark); contrast < MinContrast {
		return invalid("the contrast of %s on %s is %.3f, and scanners want %.3f: "+
			"a darker Dark or a lighter Light", hex(p.dark), hex(p.light), contrast, MinContrast)
	}
	return nil
}

// luma is how light a colour is to a decoder, 0 to 1.
func luma(c color.RGBA) float64 {
	return float64(color.Gray16Model.Convert(c).(color.Gray16).Y) / math.MaxUint16
}

func hex(c color.RGBA) string { return fmt.Sprintf("#%02x%02x%02x", c.R, c.G, c.B) }

// symbol is an encoded code: its modules, row by row, without those that the
// logo covers.
type symbol struct {
	size int
	bits []bool
	logo int // side of the square that is cleared, in modules
}

// dark reports whether a module is dark; those outside are light.
func (s *symbol) dark(x, y int) bool {
	return x >= 0 && y >= 0 && x < s.size && y < s.size && s.bits[y*s.size+x]
}

func (p *pen) symbol(code Code) (*symbol, error) {
	level := p.Level
	switch {
	case code.Ticket == nil:
		return nil, invalid("the code has no ticket")
	case code.Ticket.Content == "":
		return nil, invalid("Ticket.Content is empty")
	case level < 0 || level > LevelHigh:
		return nil, invalid("%d is no Level", level)
	case p.logo != nil:
		level = LevelHigh
	case level == 0:
		level = LevelMedium
	}

	qr, err := goqr.EncodeText(code.Ticket.Content, goqr.Low+goqr.Ecc(level-LevelLow))
	if err != nil {
		return nil, invalid("Ticket.Content has %d bytes: %w", len(code.Ticket.Content), err)
	}
	s := &symbol{size: qr.Size()}
	if p.logo != nil {
		if s.logo, err = p.fitLogo(s.size); err != nil {
			return nil, err
		}
	}

	s.bits = make([]bool, s.size*s.size)
	from, to := (s.size-s.logo)/2, (s.size+s.logo)/2
	for y := range s.size {
		for x := range s.size {
			covered := x >= from && x < to && y >= from && y < to
			s.bits[y*s.size+x] = !covered && qr.Module(x, y)
		}
	}
	return s, nil
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{wechatqr.ErrInvalidArgument}, args...)...)
}

// wrap puts the package and the operation before an error.
func wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("qrimage: %s: %w", op, err)
}
