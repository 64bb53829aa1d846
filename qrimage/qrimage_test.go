package qrimage_test

import (
	"bytes"
	"crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"io"
	"math"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/qrimage"
)

// contents are texts of codes of every size up to version 20 or so.
func contents() []string {
	out := []string{
		"1", "12345678", "HELLO 42", "http://weixin.qq.com/q/02aXnobodyknows",
		"http://weixin.qq.com/q/02xYzAbCdEfGh10000g07k?a=1&b=<2>\"'",
	}
	for n := 40; n <= 320; n += 70 {
		sum := sha512.Sum512([]byte{byte(n)})
		out = append(out, "https://example.com/"+hex.EncodeToString(slices.Repeat(sum[:], 3)[:n/2]))
	}
	return out
}

// logoContents are those of the length of WeChat's.
func logoContents() []string {
	out := contents()[3:5]
	for i := range 12 {
		out = append(out, code(i, "").Ticket.Content)
	}
	return out
}

// styles are one of each setting and some together.
func styles() map[string]qrimage.Style {
	return map[string]qrimage.Style{
		"as it comes":         {},
		"two pixels a module": {Module: qrimage.Pixels(2)},
		"low":                 {Level: qrimage.LevelLow},
		"quartile, 500 px":    {Level: qrimage.LevelQuartile, Size: qrimage.Pixels(500)},
		"high, 50 mm":         {Level: qrimage.LevelHigh, Size: qrimage.Millimetres(50)},
		"1 mm at 72 dpi":      {Module: qrimage.Millimetres(1), DPI: 72},
		"quiet zone in px":    {Size: qrimage.Pixels(600), Quiet: qrimage.Pixels(50)},
		"quiet zone in mm":    {Size: qrimage.Millimetres(60), Quiet: qrimage.Millimetres(5)},
		"quiet zone of 2":     {Quiet: qrimage.Modules(2)},
		"green on cream": {
			Dark: color.RGBA{0, 110, 50, 255}, Light: color.RGBA{255, 250, 230, 255},
		},
	}
}

func logoStyles() map[string]qrimage.Style {
	return map[string]qrimage.Style{
		"square": {Logo: logo(300, 300)},
		"wide":   {Logo: logo(800, 200), Size: qrimage.Pixels(700)},
		"high":   {Logo: logo(30, 90), LogoSize: 0.15, Module: qrimage.Pixels(6)},
		"black":  {Logo: image.NewGray(image.Rect(0, 0, 9, 9)), LogoSize: 0.12},
	}
}

func drawPNG(t testing.TB, c qrimage.Code, style qrimage.Style) []byte {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, qrimage.PNG(&b, c, style))
	return b.Bytes()
}

// drawSVG draws an SVG and has librsvg make a picture of it, of eight pixels to a module.
func drawSVG(t testing.TB, c qrimage.Code, style qrimage.Style) []byte {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, qrimage.SVG(&b, c, style))
	box := regexp.MustCompile(`viewBox="0 0 (\S+) `).FindSubmatch(b.Bytes())
	modules, err := strconv.ParseFloat(string(box[1]), 64)
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), program(t, "rsvg-convert", "librsvg2-bin"),
		fmt.Sprintf("--width=%.0f", 8*modules), "--keep-aspect-ratio")
	cmd.Stdin = &b
	out, err := cmd.Output()
	require.NoError(t, err)
	return out
}

func TestDecodersRead(t *testing.T) {
	t.Parallel()
	for format, write := range map[string]func(testing.TB, qrimage.Code, qrimage.Style) []byte{
		"PNG": drawPNG, "SVG": drawSVG,
	} {
		for name, style := range styles() {
			t.Run(format+"/"+name, func(t *testing.T) {
				t.Parallel()
				var pictures [][]byte
				for _, content := range contents() {
					pictures = append(pictures, write(t, codeOf(content), style))
				}
				requireRead(t, contents(), pictures...)
			})
		}
		for name, style := range logoStyles() {
			t.Run(format+"/logo/"+name, func(t *testing.T) {
				t.Parallel()
				var pictures [][]byte
				for _, content := range logoContents() {
					pictures = append(pictures, write(t, codeOf(content), style))
				}
				requireRead(t, logoContents(), pictures...)
			})
		}
	}
}

func TestDecodersReadWhatATerminalShows(t *testing.T) {
	t.Parallel()
	var pictures [][]byte
	for _, content := range contents() {
		var b bytes.Buffer
		require.NoError(t, qrimage.Terminal(&b, codeOf(content)))
		pictures = append(pictures, encodePNG(t, terminalPicture(t, b.String())))
	}
	requireRead(t, contents(), pictures...)
}

// terminalPicture is what a terminal shows, in eight pixels to half a character.
func terminalPicture(t *testing.T, text string) image.Image {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	width := strings.Count(lines[0], "") - 1 - len("\x1b[30;107m\x1b[0m")
	img := image.NewGray(image.Rect(0, 0, 8*width, 16*len(lines)))
	draw.Draw(img, img.Rect, image.White, image.Point{}, draw.Src)
	for y, line := range lines {
		line, ok := strings.CutPrefix(line, "\x1b[30;107m")
		require.True(t, ok)
		line, ok = strings.CutSuffix(line, "\x1b[0m")
		require.True(t, ok)
		for x, r := range []rune(line) {
			upper, lower := r == '█' || r == '▀', r == '█' || r == '▄'
			for half, dark := range []bool{upper, lower} {
				if dark {
					rect := image.Rect(8*x, 16*y+8*half, 8*x+8, 16*y+8*half+8)
					draw.Draw(img, rect, image.Black, image.Point{}, draw.Src)
				}
			}
		}
	}
	return img
}

func TestSize(t *testing.T) {
	t.Parallel()
	const modules = 29 // of codeOf(contents()[3])
	px, mm := qrimage.Pixels, qrimage.Millimetres
	for _, tt := range []struct {
		name  string
		style qrimage.Style
		side  int
		svg   string
	}{
		{"default", qrimage.Style{}, 8 * (modules + 8),
			`width="296" height="296" viewBox="0 0 37 37"`},
		{"pixels", qrimage.Style{Size: px(430)}, 430,
			`width="430" height="430" viewBox="0 0 37 37"`},
		{"millimetres", qrimage.Style{Size: mm(25.4)}, 300,
			`width="25.4mm" height="25.4mm" viewBox="0 0 37 37"`},
		{"at a dpi", qrimage.Style{Size: mm(25.4), DPI: 600}, 600,
			`width="25.4mm" height="25.4mm"`},
		{"module", qrimage.Style{Module: px(3)}, 3 * (modules + 8), `width="111" height="111"`},
		{"module in mm", qrimage.Style{Module: mm(1)}, 11 * (modules + 8),
			`width="37mm" height="37mm"`},
		{"no quiet zone", qrimage.Style{Quiet: qrimage.Modules(0)}, 8 * modules,
			`viewBox="0 0 29 29"`},
		{"quiet pixels", qrimage.Style{Quiet: px(20)}, 8*modules + 40, `viewBox="0 0 34 34"`},
		{"quiet mm", qrimage.Style{Size: mm(39), Quiet: mm(5)}, 461, `viewBox="0 0 39 39"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			img := decodePNG(t, drawPNG(t, codeOf(contents()[3]), tt.style))
			assert.Equal(t, image.Rect(0, 0, tt.side, tt.side), img.Bounds())
			var b bytes.Buffer
			require.NoError(t, qrimage.SVG(&b, codeOf(contents()[3]), tt.style))
			assert.Contains(t, b.String(), tt.svg)
		})
	}
}

// The quiet zone is never narrower than was asked for.
func TestQuietZoneIsKept(t *testing.T) {
	t.Parallel()
	for side := 90; side < 200; side += 7 {
		for _, quiet := range []qrimage.Length{{}, qrimage.Modules(1.5), qrimage.Pixels(9)} {
			img, err := qrimage.Image(codeOf(contents()[3]),
				qrimage.Style{Size: qrimage.Pixels(side), Quiet: quiet})
			require.NoError(t, err)
			p := img.(*image.Paletted)
			first := bytes.IndexByte(p.Pix, 1)
			module := bytes.IndexByte(p.Pix[first:], 0) / 7 // the finder's upper edge
			want := map[qrimage.Length]float64{
				{}: 4 * float64(module), qrimage.Modules(1.5): math.Floor(1.5 * float64(module)),
				qrimage.Pixels(9): 9,
			}[quiet]
			assert.GreaterOrEqual(t, float64(first%p.Stride), want, "%d %v", side, quiet)
			assert.GreaterOrEqual(t, float64(first/p.Stride), want, "%d %v", side, quiet)
		}
	}
}

func TestPNGSaysItsResolution(t *testing.T) {
	t.Parallel()
	plain := drawPNG(t, code(1, ""), qrimage.Style{})
	assert.NotContains(t, string(plain), "pHYs")
	assert.Equal(t, byte(1), plain[24], "bits to a pixel")
	for _, style := range []qrimage.Style{{DPI: 600}, {DPI: 600, Size: qrimage.Millimetres(30)}} {
		data := drawPNG(t, code(1, ""), style)
		at := bytes.Index(data, []byte("pHYs"))
		require.Positive(t, at)
		assert.Equal(t, uint32(23622), binary.BigEndian.Uint32(data[at+4:]))
		assert.Equal(t, byte(1), data[at+12])
		decodePNG(t, data) // checks the chunk's sum
	}
}

func TestContentIsVerbatim(t *testing.T) {
	t.Parallel()
	for _, content := range []string{" padded ", "http://WEIXIN.qq.com/q/%7E~+", "a\tb", "渠道=北京"} {
		img, err := qrimage.Image(codeOf(content), qrimage.Style{})
		require.NoError(t, err)
		got, err := zxing(img)
		require.NoError(t, err)
		assert.Equal(t, content, got)
	}
}

func TestContrast(t *testing.T) {
	t.Parallel()
	gray := func(v uint8) color.Color { return color.Gray{Y: v} }
	for _, tt := range []struct {
		name        string
		dark, light color.Color
		ok          bool
	}{
		{"darkest light taken", nil, gray(129), true},
		{"next", nil, gray(128), false},
		{"lightest dark taken", gray(126), nil, true},
		{"next to it", gray(127), nil, false},
		// 0.299 R + 0.587 G + 0.114 B: 126.4 and 126.5 of 255.
		{"green taken", color.RGBA{0, 206, 48, 255}, nil, true},
		{"green refused", color.RGBA{0, 206, 49, 255}, nil, false},
		{"inverted", color.White, color.Black, false},
		{"the same", color.Black, color.Black, false},
		{"yellow", color.RGBA{255, 255, 0, 255}, nil, false},
		{"WeChat's green", color.RGBA{7, 193, 96, 255}, nil, true},
		{"transparent", nil, color.Transparent, false},
		{"translucent", color.RGBA{0, 0, 0, 254}, nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			style := qrimage.Style{Dark: tt.dark, Light: tt.light}
			var b bytes.Buffer
			err := qrimage.PNG(&b, codeOf(contents()[3]), style)
			if !tt.ok {
				require.ErrorIs(t, err, wechatqr.ErrInvalidArgument)
				assert.Empty(t, b.Bytes())
				require.ErrorIs(t, qrimage.SVG(&b, codeOf("a"), style), wechatqr.ErrInvalidArgument)
				return
			}
			require.NoError(t, err)
			style.Module = qrimage.Pixels(20)
			requireRead(t, []string{contents()[3], contents()[3]}, b.Bytes(),
				drawPNG(t, codeOf(contents()[3]), style))
		})
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 3000)
	px, mm := qrimage.Pixels, qrimage.Millimetres
	for _, tt := range []struct {
		name  string
		code  qrimage.Code
		style qrimage.Style
		want  string
	}{
		{"no ticket", qrimage.Code{}, qrimage.Style{}, "no ticket"},
		{"no content", codeOf(""), qrimage.Style{}, "Content is empty"},
		{"too long", codeOf(long), qrimage.Style{}, "3000 bytes"},
		{"no level", codeOf("a"), qrimage.Style{Level: 5}, "5 is no Level"},
		{"Size and Module", codeOf("a"), qrimage.Style{Size: px(99), Module: px(2)}, "both set"},
		{"Size in modules", codeOf("a"), qrimage.Style{Size: qrimage.Modules(29)}, "Size is in"},
		{"Module in modules", codeOf("a"), qrimage.Style{Module: qrimage.Modules(1)},
			"Module is in"},
		{"negative", codeOf("a"), qrimage.Style{Quiet: px(-1)}, "Quiet cannot be -1"},
		{"no size", codeOf("a"), qrimage.Style{Size: px(0)}, "Size cannot be 0"},
		{"not a number", codeOf("a"), qrimage.Style{Size: mm(math.NaN())}, "Size cannot be NaN"},
		{"dpi", codeOf("a"), qrimage.Style{DPI: 35}, "36 to 2400"},
		{"all quiet", codeOf("a"), qrimage.Style{Size: px(100), Quiet: px(50)}, ""},
		{"a logo at low", codeOf("a"), qrimage.Style{Logo: logo(9, 9), Level: qrimage.LevelLow},
			"needs LevelHigh"},
		{"empty logo", codeOf("a"), qrimage.Style{Logo: image.NewGray(image.Rectangle{})},
			"no pixels"},
		{"all logo", codeOf("a"), qrimage.Style{Logo: logo(9, 9), LogoSize: 1}, "a share"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, write := range []func(io.Writer, qrimage.Code, qrimage.Style) error{qrimage.PNG,
				qrimage.SVG} {
				var b bytes.Buffer
				err := write(&b, tt.code, tt.style)
				require.ErrorIs(t, err, wechatqr.ErrInvalidArgument)
				require.ErrorContains(t, err, tt.want)
				assert.Empty(t, b.Bytes())
			}
		})
	}

	// 29 modules and the quiet zone of 4 on each side, at two pixels each.
	_, err := qrimage.Image(codeOf(contents()[3]), qrimage.Style{Size: px(74)})
	require.NoError(t, err)
	_, err = qrimage.Image(codeOf(contents()[3]), qrimage.Style{Size: px(73)})
	require.ErrorIs(t, err, wechatqr.ErrInvalidArgument)
	_, err = qrimage.Image(codeOf(contents()[3]), qrimage.Style{Size: px(10_000)})
	require.NoError(t, err)
	_, err = qrimage.Image(codeOf(contents()[3]), qrimage.Style{Module: px(271)}) // 10 027 pixels
	require.ErrorIs(t, err, wechatqr.ErrInvalidArgument)
}

func TestErrorsOfTheWriterAreKept(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	w := writerFunc(func([]byte) (int, error) { return 0, broken })
	require.ErrorIs(t, qrimage.PNG(w, code(1, ""), qrimage.Style{}), broken)
	require.ErrorIs(t, qrimage.SVG(w, code(1, ""), qrimage.Style{}), broken)
	require.ErrorIs(t, qrimage.Terminal(w, code(1, "")), broken)
	require.ErrorIs(t, qrimage.ZIP(w, all(1), qrimage.FormatSVG, qrimage.Style{}), broken)
	require.ErrorIs(t, qrimage.Sheet(w, all(1), qrimage.Layout{}), broken)
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// Where nothing is hidden, a logo's square of wrong modules is lost data to a
// decoder: one block that loses as much as it can restore is read, one more
// codeword is not. So the count of what is lost is right.
func TestLogoLosesWhatIsCounted(t *testing.T) {
	t.Parallel()
	for _, content := range contents()[3:] {
		t.Run(fmt.Sprint(len(content)), func(t *testing.T) {
			t.Parallel()
			img, err := qrimage.Image(codeOf(content), qrimage.Style{Level: qrimage.LevelHigh})
			require.NoError(t, err)
			size := img.Bounds().Dx()/8 - 8
			restorable := qrimage.EccPerBlock[(size-17)/4] / 2
			for side := 1; side < size; side += 2 {
				worst := 0
				for _, lost := range qrimage.LostBlocks(size, side) {
					worst = max(worst, lost)
				}
				got, err := zxing(inverted(img.(*image.Paletted), size, side))
				if worst > restorable {
					require.Error(t, err, "%d of %d modules", side, size)
					return
				}
				require.NoError(t, err, "%d of %d modules", side, size)
				require.Equal(t, content, got)
			}
		})
	}
}

// inverted is the picture with each module in the centre the wrong way.
func inverted(src *image.Paletted, size, side int) image.Image {
	img := *src
	img.Pix = bytes.Clone(src.Pix)
	from, to := 8*(4+(size-side)/2), 8*(4+(size+side)/2)
	for y := from; y < to; y++ {
		for x := from; x < to; x++ {
			img.Pix[y*img.Stride+x] ^= 1
		}
	}
	return &img
}

// The largest logo that is taken is read, drawn in black too; the next is refused.
func TestLogoBoundary(t *testing.T) {
	t.Parallel()
	for i, content := range append(logoContents(), contents()[7:]...) {
		t.Run(fmt.Sprintf("%d of %d bytes", i, len(content)), func(t *testing.T) {
			t.Parallel()
			size := sizeOf(t, content)
			largest := 1
			for qrimage.LogoFits(size, largest+2) {
				largest += 2
			}
			require.Greater(t, largest, 3)
			share := float64(largest) / float64(size)
			for _, picture := range []image.Image{logo(200, 200),
				image.NewGray(image.Rect(0, 0, 20, 20))} {
				style := qrimage.Style{Logo: picture, LogoSize: math.Floor(share*1000) / 1000}
				requireRead(t, []string{content, content},
					drawPNG(t, codeOf(content), style), drawSVG(t, codeOf(content), style))

				style.LogoSize = math.Ceil(share*1000)/1000 + 0.001
				err := qrimage.PNG(io.Discard, codeOf(content), style)
				require.ErrorIs(t, err, wechatqr.ErrInvalidArgument)
				require.ErrorContains(t, err,
					fmt.Sprintf("LogoSize %.3f", math.Floor(share*1000)/1000))
			}
		})
	}
}

// Zbar goes astray where an alignment pattern is hidden: from 59 bytes on there
// is one in the centre, and from 178 on no longer.
func TestLogoHidesNoAlignmentPattern(t *testing.T) {
	t.Parallel()
	style := qrimage.Style{Logo: logo(90, 90), LogoSize: 0.1}
	for n, ok := range map[int]bool{58: true, 59: false, 130: false, 177: false, 178: true} {
		err := qrimage.PNG(io.Discard, codeOf(strings.Repeat("a", n)), style)
		if ok {
			require.NoError(t, err, n)
		} else {
			require.ErrorIs(t, err, wechatqr.ErrInvalidArgument, n)
		}
	}
}

// sizeOf is the side of the code at LevelHigh, in modules.
func sizeOf(t *testing.T, content string) int {
	t.Helper()
	style := qrimage.Style{Level: qrimage.LevelHigh, Module: qrimage.Pixels(2),
		Quiet: qrimage.Modules(0)}
	img, err := qrimage.Image(codeOf(content), style)
	require.NoError(t, err)
	return img.Bounds().Dx() / 2
}

func TestCaption(t *testing.T) {
	t.Parallel()
	c := code(7, `北京店 <7> & "more"`)
	style := qrimage.Style{ShowCaption: true, Size: qrimage.Pixels(400)}
	var b bytes.Buffer
	require.NoError(t, qrimage.SVG(&b, c, style))
	assert.Contains(t, b.String(), `>北京店 &lt;7&gt; &amp; &#34;more&#34;</text>`)
	assert.Contains(t, b.String(), `width="400" height="450"`)
	requireRead(t, []string{c.Ticket.Content}, drawSVG(t, c, style))

	require.ErrorIs(t, qrimage.PNG(io.Discard, c, style), wechatqr.ErrInvalidArgument, "no font")
	style.DrawCaption = func(dst draw.Image, area image.Rectangle, text string) error {
		assert.Equal(t, c.Caption, text)
		assert.Equal(t, image.Pt(400, 450), dst.Bounds().Size())
		assert.Equal(t, 400, area.Min.Y)
		draw.Draw(dst, area, image.Black, image.Point{}, draw.Src)
		return nil
	}
	requireRead(t, []string{c.Ticket.Content}, drawPNG(t, c, style))

	style.DrawCaption = func(draw.Image, image.Rectangle,
		string) error {
		return io.ErrUnexpectedEOF
	}
	require.ErrorIs(t, qrimage.PNG(io.Discard, c, style), io.ErrUnexpectedEOF)
}
