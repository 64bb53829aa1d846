package qrimage

import (
	"bytes"
	"encoding/base64"
	"image"
	"image/draw"
	"image/png"
	"math"
)

const maxLogo = 512 // pixels, either way

func (p *pen) setLogo() error {
	switch {
	case p.Logo == nil:
		return nil
	case p.Logo.Bounds().Empty():
		return invalid("the logo has no pixels")
	case p.Level != 0 && p.Level != LevelHigh:
		return invalid("a logo needs LevelHigh")
	case p.LogoSize == 0:
		p.LogoSize = 0.2
	}
	if !(p.LogoSize > 0 && p.LogoSize < 1) {
		return invalid("LogoSize is a share of the code's side, not %v", p.LogoSize)
	}

	bounds := p.Logo.Bounds()
	logo := image.NewRGBA(image.Rectangle{Max: bounds.Size()})
	draw.Draw(logo, logo.Rect, p.Logo, bounds.Min, draw.Src)
	if max(bounds.Dx(), bounds.Dy()) > maxLogo {
		logo = scale(logo, maxLogo)
	}
	p.logo = logo
	return nil
}

// appendLogoURL writes the logo as a data URL.
func (p *pen) appendLogoURL(b []byte) ([]byte, error) {
	if p.logoURL == "" {
		var data bytes.Buffer
		if err := png.Encode(&data, p.logo); err != nil {
			return nil, err
		}
		p.logoURL = "data:image/png;base64," + base64.StdEncoding.EncodeToString(data.Bytes())
	}
	return append(b, p.logoURL...), nil
}

// scale is src with its longer side of so many pixels, each the mean of what it covers.
func scale(src *image.RGBA, side int) *image.RGBA {
	w, h := src.Rect.Dx(), src.Rect.Dy()
	longer := max(w, h)
	dst := image.NewRGBA(image.Rect(0, 0, max(1, w*side/longer), max(1, h*side/longer)))
	for y := range dst.Rect.Dy() {
		y0, y1 := span(y, dst.Rect.Dy(), h)
		for x := range dst.Rect.Dx() {
			x0, x1 := span(x, dst.Rect.Dx(), w)
			mean(dst.Pix[dst.PixOffset(x, y):], src, image.Rect(x0, y0, x1, y1))
		}
	}
	return dst
}

// span is what of n source pixels the pixel i of m covers: one at least.
func span(i, m, n int) (from, to int) {
	from = i * n / m
	return from, max(from+1, (i+1)*n/m)
}

func mean(dst []uint8, src *image.RGBA, area image.Rectangle) {
	var sum [4]int
	for y := area.Min.Y; y < area.Max.Y; y++ {
		row := src.Pix[src.PixOffset(area.Min.X, y) : src.PixOffset(area.Max.X-1, y)+4]
		for i, v := range row {
			sum[i%4] += int(v)
		}
	}
	for i := range sum {
		dst[i] = uint8(sum[i] / (area.Dx() * area.Dy()))
	}
}

// fitLogo is the side, in modules, of the square to clear for the logo.
func (p *pen) fitLogo(size int) (int, error) {
	side := int(math.Ceil(p.LogoSize * float64(size)))
	side += 1 - side%2
	err, known := p.logoErrs[size]
	if known {
		return side, err
	}

	if !logoFits(size, side) {
		largest := side - 2
		for largest > 0 && !logoFits(size, largest) {
			largest -= 2
		}
		if largest <= 0 {
			err = invalid("no logo fits into a code of %d modules, without hiding an alignment pattern: "+
				"up to 58 bytes of Content have none in the centre", size)
		} else {
			err = invalid("the logo hides too much: LogoSize %.3f covers %d of the code's %d modules, "+
				"and at most %d can be restored: LogoSize %.3f", p.LogoSize, side, size, largest,
				math.Floor(1000*float64(largest)/float64(size))/1000)
		}
	}
	p.logoErrs[size] = err
	return side, err
}

// logoFits reports whether each block of a code at LevelHigh can spare what a
// square in the centre covers, and as much again, and whether no alignment
// pattern is covered: zbar goes astray where it finds something else in its place.
func logoFits(size, side int) bool {
	for _, at := range alignment(version(size)) {
		if max(at-size/2, size/2-at) <= side/2+2 {
			return false
		}
	}
	restorable := eccPerBlock[version(size)] / 2
	for _, lost := range lostCodewords(size, side) {
		if 2*lost > restorable {
			return false
		}
	}
	return true
}

// Of ISO/IEC 18004, table 9: error correction codewords in a block and blocks in
// a code at LevelHigh, by version from 1.
var (
	eccPerBlock = [...]int{0, 17, 28, 22, 16, 22, 28, 26, 26, 24, 28, 24, 28, 22, 24, 24, 30, 28, 28, 26,
		28, 30, 24, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30}
	blocks = [...]int{0, 1, 1, 2, 4, 4, 4, 5, 6, 8, 8, 11, 11, 16, 16, 18, 16, 19, 21, 25, 25, 25,
		34, 30, 32, 35, 37, 40, 42, 45, 48, 51, 54, 57, 60, 63, 66, 70, 74, 77, 81}
)

func version(size int) int { return (size - 17) / 4 }

// lostCodewords counts the codewords of each block that have a module within the
// square of so many modules in the centre.
func lostCodewords(size, side int) []int {
	centre := func(v int) bool { return v >= (size-side)/2 && v < (size+side)/2 }
	n := blocks[version(size)]
	lost := make([]int, n)
	covered := codewords(size, func(x, y int) bool { return centre(x) && centre(y) })
	short := len(covered)/n - eccPerBlock[version(size)] // data in a short block
	shorts := n - len(covered)%n
	data := len(covered) - n*eccPerBlock[version(size)]
	for i, hit := range covered {
		switch {
		case !hit:
		case i < short*n:
			lost[i%n]++
		case i < data: // what the long blocks have more
			lost[shorts+i-short*n]++
		default:
			lost[(i-data)%n]++
		}
	}
	return lost
}

// codewords says of each codeword, in the order in which they are placed,
// whether any of its modules is in the area.
func codewords(size int, area func(x, y int) bool) []bool {
	reserved := reservedModules(size)
	var hit []bool
	bit := 0
	for right := size - 1; right > 0; right -= 2 {
		if right == 6 {
			right = 5
		}
		for i := range 2 * size {
			x, y := right-i%2, i/2
			if (right+1)&2 == 0 {
				y = size - 1 - y
			}
			if reserved[y*size+x] {
				continue
			}
			if bit%8 == 0 {
				hit = append(hit, false)
			}
			hit[bit/8] = hit[bit/8] || area(x, y)
			bit++
		}
	}
	return hit[:bit/8] // without the remainder bits
}

// reservedModules are those that hold no data: finders, timing, alignment,
// format and version.
func reservedModules(size int) []bool {
	reserved := make([]bool, size*size)
	fill := func(x, y, w, h int) {
		for j := y; j < y+h; j++ {
			for i := x; i < x+w; i++ {
				reserved[j*size+i] = true
			}
		}
	}
	fill(0, 0, 9, 9)
	fill(size-8, 0, 8, 9)
	fill(0, size-8, 9, 8)
	fill(6, 0, 1, size)
	fill(0, 6, size, 1)
	if version(size) >= 7 {
		fill(size-11, 0, 3, 6)
		fill(0, size-11, 6, 3)
	}

	at := alignment(version(size))
	for i, x := range at {
		for j, y := range at {
			last := len(at) - 1
			if i == 0 && j == 0 || i == 0 && j == last || i == last && j == 0 {
				continue
			}
			fill(x-2, y-2, 5, 5)
		}
	}
	return reserved
}

// alignment is where the centres of alignment patterns are, both ways.
func alignment(v int) []int {
	if v == 1 {
		return nil
	}
	n := v/7 + 2
	step := (v*8 + n*3 + 5) / (n*4 - 4) * 2
	at := make([]int, n)
	at[0] = 6
	for i := 1; i < n; i++ {
		at[i] = 17 + 4*v - 7 - (n-1-i)*step
	}
	return at
}
