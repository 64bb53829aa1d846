package qrimage

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"io"
	"math"
)

// PNG writes the code as a PNG in whole pixels to a module, two colours and one
// bit to a pixel unless it has a logo or a caption. If the style has Millimetres
// or a DPI, the file says at how many pixels to a metre it is to be printed.
// A picture is at most 10000 pixels wide.
func PNG(w io.Writer, code Code, style Style) error {
	p, err := newPen(style)
	if err == nil {
		err = p.writePNG(w, code)
	}
	return wrap("PNG", err)
}

// Image is the picture that PNG writes: an [image.Paletted] with Light and Dark,
// or an [image.RGBA] if it has a logo or a caption.
func Image(code Code, style Style) (image.Image, error) {
	p, err := newPen(style)
	if err != nil {
		return nil, wrap("image", err)
	}
	img, err := p.image(code)
	return img, wrap("image", err)
}

func (p *pen) writePNG(w io.Writer, code Code) error {
	img, err := p.image(code)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := p.encoder.Encode(&b, img); err != nil {
		return err
	}
	data := b.Bytes()
	if p.printed {
		data = withDPI(data, p.DPI)
	}
	_, err = w.Write(data)
	return err
}

// pngBuffer keeps one encoder's buffer from one picture to the next.
type pngBuffer struct{ kept *png.EncoderBuffer }

func (b *pngBuffer) Get() *png.EncoderBuffer     { return b.kept }
func (b *pngBuffer) Put(kept *png.EncoderBuffer) { b.kept = kept }

func (p *pen) image(code Code) (draw.Image, error) {
	s, err := p.symbol(code)
	if err != nil {
		return nil, err
	}
	g, err := p.raster(s.size)
	if err != nil {
		return nil, err
	}
	caption := p.ShowCaption && code.Caption != ""
	if caption && p.DrawCaption == nil {
		return nil, invalid("the caption of a PNG needs Style.DrawCaption: " +
			"the standard library has no fonts; SVG and Sheet use those of the system")
	}

	flat := image.NewPaletted(image.Rect(0, 0, g.side, g.side), color.Palette{p.light, p.dark})
	g.fill(flat, s)
	if p.logo == nil && !caption {
		return flat, nil
	}
	rect := flat.Rect
	if caption {
		rect.Max.Y += g.side / captionShare
	}
	img := image.NewRGBA(rect)
	draw.Draw(img, rect, image.NewUniform(p.light), image.Point{}, draw.Src)
	draw.Draw(img, flat.Rect, flat, image.Point{}, draw.Src)
	if p.logo != nil {
		logo := scale(p.logo, (s.logo-1)*g.module)
		at := image.Pt((g.side-logo.Rect.Dx())/2, (g.side-logo.Rect.Dy())/2)
		draw.Draw(img, logo.Rect.Add(at), logo, image.Point{}, draw.Over)
	}
	if caption {
		area := image.Rect(g.margin, g.side, g.side-g.margin, rect.Max.Y)
		return img, p.DrawCaption(img, area, code.Caption)
	}
	return img, nil
}

// captionShare is how many times lower than the code the line for the caption is.
const captionShare = 8

// raster says where the modules of a picture in pixels are.
type raster struct{ side, module, margin int }

// minModule is what both decoders of the tests read, in pixels.
const minModule = 2

func (p *pen) raster(size int) (raster, error) {
	var g raster
	if p.Size == (Length{}) {
		g.module = int(p.Module.pixels(p.DPI, 0) + 1e-9)
		g.margin = int(math.Ceil(p.Quiet.pixels(p.DPI, float64(g.module)) - 1e-9))
		g.side = size*g.module + 2*g.margin
	} else {
		g.side = int(math.Round(p.Size.pixels(p.DPI, 0)))
		g.module = int(p.moduleOf(float64(g.side), size) + 1e-9)
		g.margin = (g.side - size*g.module) / 2
	}
	switch {
	case g.module < minModule:
		return g, invalid("a code of %d modules in %d pixels is too small to read: "+
			"a module takes %d pixels at least", size, g.side, minModule)
	case g.side > maxPixels:
		return g, invalid("the picture would be %d pixels wide, and %d are the most", g.side, maxPixels)
	}
	return g, nil
}

// moduleOf is the side of a module, in pixels, where the picture has side pixels.
func (p *pen) moduleOf(side float64, size int) float64 {
	if p.Quiet.unit == inModules {
		return side / (float64(size) + 2*p.Quiet.n)
	}
	return (side - 2*p.Quiet.pixels(p.DPI, 0)) / float64(size)
}

// fill sets the dark pixels.
func (g raster) fill(img *image.Paletted, s *symbol) {
	for y := range s.size {
		top := img.Pix[(g.margin+y*g.module)*img.Stride:]
		for x := range s.size {
			if s.dark(x, y) {
				for i := range g.module {
					top[g.margin+x*g.module+i] = 1
				}
			}
		}
		for i := 1; i < g.module; i++ {
			copy(top[i*img.Stride:(i+1)*img.Stride], top)
		}
	}
}

func (s Style) hasDPI() bool {
	mm := s.Size.unit == inMillimetres || s.Module.unit == inMillimetres
	return mm || s.Quiet.unit == inMillimetres || s.DPI != 0
}

// withDPI puts a pHYs chunk behind the header of a PNG.
func withDPI(data []byte, dpi int) []byte {
	const header = 8 + 25 // signature and IHDR
	perMetre := uint32(math.Round(float64(dpi) * 1000 / mmPerInch))
	chunk := binary.BigEndian.AppendUint32(nil, 9)
	chunk = append(chunk, "pHYs"...)
	chunk = binary.BigEndian.AppendUint32(chunk, perMetre)
	chunk = binary.BigEndian.AppendUint32(chunk, perMetre)
	chunk = append(chunk, 1) // to a metre
	chunk = binary.BigEndian.AppendUint32(chunk, crc32.ChecksumIEEE(chunk[4:]))

	out := make([]byte, 0, len(data)+len(chunk))
	out = append(append(out, data[:header]...), chunk...)
	return append(out, data[header:]...)
}
