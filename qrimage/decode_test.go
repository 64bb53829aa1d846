package qrimage_test

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/qrcode"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/qrimage"
)

// program is the path of a program that was not written here.
func program(t testing.TB, name, debian string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("%s is not installed: apt-get install %s", name, debian)
		}
		t.Skipf("%s is not installed: apt-get install %s", name, debian)
	}
	return path
}

// zbar reads each picture's codes, in the order of the pictures, and of those in
// a picture in any.
func zbar(t testing.TB, pictures ...[]byte) []string {
	t.Helper()
	dir := t.TempDir()
	args := []string{"--quiet", "--raw", "-Sdisable", "-Sqrcode.enable"}
	for i, picture := range pictures {
		name := filepath.Join(dir, fmt.Sprintf("%06d.png", i))
		require.NoError(t, os.WriteFile(name, picture, 0o600))
		args = append(args, name)
	}
	out, err := exec.CommandContext(t.Context(), program(t, "zbarimg", "zbar-tools"),
		args...).Output()
	if len(out) == 0 {
		require.Error(t, err)
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
}

// zxing reads a picture by the other decoder. Its search for the corners is misled
// by the data of one code in twenty, whoever drew it and with or without a logo:
// then it reads the modules where a pure picture has them.
func zxing(img image.Image) (string, error) {
	text, err := zxingFound(img, nil)
	if err != nil {
		return zxingFound(img,
			map[gozxing.DecodeHintType]any{gozxing.DecodeHintType_PURE_BARCODE: true})
	}
	return text, nil
}

func zxingFound(img image.Image, hints map[gozxing.DecodeHintType]any) (string, error) {
	bitmap, err := gozxing.NewBinaryBitmapFromImage(img)
	if err != nil {
		return "", err
	}
	result, err := qrcode.NewQRCodeReader().Decode(bitmap, hints)
	if err != nil {
		return "", err
	}
	return result.GetText(), nil
}

func encodePNG(t testing.TB, img image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, png.Encode(&b, img))
	return b.Bytes()
}

func decodePNG(t testing.TB, data []byte) image.Image {
	t.Helper()
	img, err := png.Decode(bytes.NewReader(data))
	require.NoError(t, err)
	return img
}

// requireRead fails unless both decoders read each picture.
func requireRead(t testing.TB, want []string, pictures ...[]byte) {
	t.Helper()
	for i, picture := range pictures {
		got, err := zxing(decodePNG(t, picture))
		require.NoError(t, err, "zxing: picture %d", i)
		require.Equal(t, want[i], got, "zxing: picture %d", i)
	}
	require.Equal(t, want, zbar(t, pictures...), "zbar")
}

// code is a permanent code with a content like those of WeChat.
func code(i int, text string) qrimage.Code {
	content := fmt.Sprintf("http://weixin.qq.com/q/02%06xAbCdEfGh10000g0%02d", i*7919, i%100)
	return qrimage.Code{Ticket: &wechatqr.Ticket{Value: "gQ", Content: content}, Caption: text}
}

func codeOf(content string) qrimage.Code {
	return qrimage.Code{Ticket: &wechatqr.Ticket{Content: content}}
}

func temporary(until time.Time) qrimage.Code {
	c := code(1, "until then")
	c.Ticket.ExpiresAt = until
	return c
}

// logo is a green disc, shaded, with a white bar across it, on a transparent ground.
func logo(w, h int) image.Image {
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			dx, dy := 2*float64(x)/float64(w)-1, 2*float64(y)/float64(h)-1
			switch {
			case dx*dx+dy*dy > 1:
			case max(dx, -dx) < 0.6 && max(dy, -dy) < 0.2:
				img.SetNRGBA(x, y, color.NRGBA{255, 255, 255, 255})
			default:
				img.SetNRGBA(x, y, color.NRGBA{7, uint8(140 + 50*dx), uint8(96 + 40*dy), 255})
			}
		}
	}
	return img
}

// modulesOf is which modules of a picture of three pixels a module are dark.
func modulesOf(img image.Image) (rows []string) {
	for y := 1; y < img.Bounds().Dy(); y += 3 {
		var row strings.Builder
		for x := 1; x < img.Bounds().Dx(); x += 3 {
			row.WriteByte(" #"[img.(*image.Paletted).ColorIndexAt(x, y)])
		}
		rows = append(rows, row.String())
	}
	return rows
}

// pathModules is which modules the second path of an SVG fills, by the even-odd
// rule: a module is dark where an odd number of upright edges is on its left.
func pathModules(t testing.TB, svg string) (rows []string) {
	t.Helper()
	box := regexp.MustCompile(`viewBox="0 0 (\d+) (\d+)"`).FindStringSubmatch(svg)
	n, err := strconv.Atoi(box[1])
	require.NoError(t, err)
	odd := make([][]bool, n)
	for i := range odd {
		odd[i] = make([]bool, n+1)
	}
	path := regexp.MustCompile(` d="([^"]*)"`).FindAllStringSubmatch(svg, -1)[1][1]
	var x, y, x0, y0 int
	upright := func(to int) {
		for row := min(y, to); row < max(y, to); row++ {
			odd[row][x] = !odd[row][x]
		}
		y = to
	}
	for _, step := range regexp.MustCompile(
		`M(\d+) (\d+)|([hv])(-?\d+)|z`).FindAllStringSubmatch(path, -1) {
		length, _ := strconv.Atoi(step[4])
		switch {
		case step[0] == "z":
			require.Equal(t, x0, x)
			upright(y0)
		case step[3] == "h":
			x += length
		case step[3] == "v":
			upright(y + length)
		default:
			x, _ = strconv.Atoi(step[1])
			y, _ = strconv.Atoi(step[2])
			x0, y0 = x, y
		}
	}
	for _, edges := range odd {
		row, dark := make([]byte, n), false
		for i := range row {
			dark = dark != edges[i]
			row[i] = ' '
			if dark {
				row[i] = '#'
			}
		}
		rows = append(rows, string(row))
	}
	return rows
}
