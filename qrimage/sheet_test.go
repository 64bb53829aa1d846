package qrimage_test

import (
	"bytes"
	"image"
	"image/color"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/qrimage"
)

// printed has chromium print a sheet and makes pictures of the pages at 200 dpi.
func printed(t testing.TB, sheet []byte) (pages []string) {
	t.Helper()
	chromium := program(t, "chromium", "chromium")
	pdftoppm := program(t, "pdftoppm", "poppler-utils")
	dir := t.TempDir()
	page, pdf := filepath.Join(dir, "sheet.html"), filepath.Join(dir, "sheet.pdf")
	require.NoError(t, os.WriteFile(page, sheet, 0o600))
	cmd := exec.CommandContext(t.Context(), chromium, "--headless", "--no-sandbox", "--disable-gpu",
		"--user-data-dir="+filepath.Join(dir, "profile"), "--no-pdf-header-footer",
		"--print-to-pdf="+pdf, "file://"+page)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	out, err = exec.CommandContext(t.Context(), pdftoppm, "-r", "200", "-gray", "-png", pdf,
		filepath.Join(dir, "page")).CombinedOutput()
	require.NoError(t, err, "%s", out)
	pages, err = filepath.Glob(filepath.Join(dir, "page-*.png"))
	require.NoError(t, err)
	return pages
}

// cells cuts a page into its cells, row by row.
func cells(t testing.TB, page string, columns, rows int) (out []image.Image) {
	t.Helper()
	data, err := os.ReadFile(page)
	require.NoError(t, err)
	img := decodePNG(t, data).(interface {
		SubImage(image.Rectangle) image.Image
	})
	px := func(mm float64) int { return int(mm * 200 / 25.4) }
	w, h := 194/float64(columns), 281/float64(rows)
	for row := range rows {
		for column := range columns {
			x, y := 8+float64(column)*w, 8+float64(row)*h
			out = append(out, img.SubImage(image.Rect(px(x), px(y), px(x+w), px(y+h))))
		}
	}
	return out
}

// Every code of a printed sheet is read at 200 dpi, in the cell where it belongs.
func TestSheetIsReadFromPaper(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name          string
		columns, rows int
		layout        qrimage.Layout
		codes, pages  int
	}{
		{"6", 2, 3, qrimage.Layout{PerPage: 6}, 13, 3},
		{"12 by default", 3, 4, qrimage.Layout{}, 24, 2},
		{"24", 4, 6, qrimage.Layout{PerPage: 24}, 30, 2},
		{"logo", 4, 6,
			qrimage.Layout{PerPage: 24, Style: qrimage.Style{Logo: logo(400, 400)}}, 24, 1},
		{"small", 4, 6,
			qrimage.Layout{PerPage: 24, Style: qrimage.Style{Size: qrimage.Millimetres(20.9)}}, 24,
			1},
		{"large", 2, 3,
			qrimage.Layout{PerPage: 6, Style: qrimage.Style{Size: qrimage.Millimetres(76)}}, 6, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			codes := slices.Collect(all(tt.codes))
			for i := range codes {
				codes[i].Caption = strings.Repeat("北京朝阳店 Chaoyang ", 1+i%4) + strconv.Itoa(i)
			}
			var b bytes.Buffer
			require.NoError(t, qrimage.Sheet(&b, slices.Values(codes), tt.layout))
			pages := printed(t, b.Bytes())
			require.Len(t, pages, tt.pages)
			for _, page := range pages {
				n := min(len(codes), tt.columns*tt.rows)
				requirePage(t, codes[:n], cells(t, page, tt.columns, tt.rows), tt.layout.Style)
				codes = codes[n:]
			}
		})
	}
}

// What tells two codes apart is often the end of their captions.
func TestSheetShrinksLongCaptions(t *testing.T) {
	t.Parallel()
	captions := []string{
		"上海市静安区南京西路一千二百六十六号恒隆广场五楼餐饮区第 17 号桌",
		"Plaza 66, 1266 Nanjing West Road, Jing'an District, Shanghai, table 17",
		strings.Repeat("号", 48) + "尾", // twice what the font of the others has room for
		"short",
	}
	var codes []qrimage.Code
	for i, text := range captions {
		codes = append(codes, code(i, text))
	}
	for _, perPage := range []int{6, 12, 24} {
		var b bytes.Buffer
		layout := qrimage.Layout{PerPage: perPage}
		require.NoError(t, qrimage.Sheet(&b, slices.Values(codes), layout))
		pdf := filepath.Join(filepath.Dir(printed(t, b.Bytes())[0]), "sheet.pdf")
		pdftotext := program(t, "pdftotext", "poppler-utils")
		text, err := exec.CommandContext(t.Context(), pdftotext, pdf, "-").Output()
		require.NoError(t, err)
		squeeze := func(s string) string { return strings.Join(strings.Fields(s), "") }
		for _, want := range captions {
			assert.Contains(t, squeeze(string(text)), squeeze(want), "%d a page", perPage)
		}
	}
}

func contentsOf(codes []qrimage.Code) (out []string) {
	for _, c := range codes {
		out = append(out, c.Ticket.Content)
	}
	return out
}

// requirePage fails unless zbar reads each cell, and ZXing each that its search
// for the corners finds in a PNG.
func requirePage(t *testing.T, codes []qrimage.Code, images []image.Image, style qrimage.Style) {
	t.Helper()
	var pictures [][]byte
	read := 0
	for i, c := range codes {
		pictures = append(pictures, encodePNG(t, images[i]))
		img, err := qrimage.Image(c, qrimage.Style{Logo: style.Logo})
		require.NoError(t, err)
		if _, err := zxingFound(img, nil); err != nil {
			continue
		}
		got, err := zxingFound(decodePNG(t, pictures[i]), nil)
		require.NoError(t, err, "zxing: cell %d", i)
		require.Equal(t, c.Ticket.Content, got, "zxing: cell %d", i)
		read++
	}
	assert.GreaterOrEqual(t, 10*read, 7*len(codes), "ZXing reads most")
	assert.Equal(t, contentsOf(codes), zbar(t, pictures...))
}

func TestSheetTakesTemporaryCodesOnlyWhenTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		beijing := time.FixedZone("", 8*3600)
		end := time.Now().Add(time.Hour).In(beijing)
		codes := slices.Values([]qrimage.Code{code(1, "a"), temporary(end)})
		err := qrimage.Sheet(io.Discard, codes, qrimage.Layout{})
		require.ErrorIs(t, err, wechatqr.ErrInvalidArgument)
		require.ErrorContains(t, err,
			`code 2, "until then": invalid argument: the code is temporary, valid until `+
				end.Format(time.DateTime))

		var b bytes.Buffer
		allowed := qrimage.Layout{AllowTemporary: true}
		require.NoError(t, qrimage.Sheet(&b, codes, allowed))
		assert.Equal(t, 1, strings.Count(b.String(), "有效至"))
		assert.Contains(t, b.String(),
			"<small>有效至 until "+end.Format("2006-01-02 15:04")+" +08:00</small>")

		time.Sleep(time.Hour - time.Nanosecond)
		require.NoError(t, qrimage.Sheet(io.Discard, codes, allowed))
		time.Sleep(time.Nanosecond)
		err = qrimage.Sheet(io.Discard, codes, allowed)
		require.ErrorIs(t, err, wechatqr.ErrInvalidArgument)
		require.ErrorContains(t, err, "has expired")
	})
}

func TestSheetIsRefused(t *testing.T) {
	t.Parallel()
	mm := qrimage.Millimetres
	for name, layout := range map[string]qrimage.Layout{
		"five a page":     {PerPage: 5},
		"pixels":          {Style: qrimage.Style{Size: qrimage.Pixels(300)}},
		"module":          {Style: qrimage.Style{Module: mm(1)}},
		"dpi":             {Style: qrimage.Style{DPI: 300}},
		"quiet in pixels": {Style: qrimage.Style{Quiet: qrimage.Pixels(9)}},
		"too large":       {Style: qrimage.Style{Size: mm(54.1)}},
		"too small":       {Style: qrimage.Style{Size: mm(20.8)}}, // 41 modules of 0.507 mm
		"colours":         {Style: qrimage.Style{Dark: color.White}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := qrimage.Sheet(io.Discard, all(1), layout)
			require.ErrorIs(t, err, wechatqr.ErrInvalidArgument)
		})
	}
	taken := qrimage.Layout{Style: qrimage.Style{Size: mm(54)}}
	require.NoError(t, qrimage.Sheet(io.Discard, all(1), taken))
	taken.Style.Size = mm(20.9) // of 0.510 mm
	require.NoError(t, qrimage.Sheet(io.Discard, all(1), taken))
	err := qrimage.Sheet(io.Discard, all(0), qrimage.Layout{})
	require.ErrorIs(t, err, wechatqr.ErrInvalidArgument)
}

func TestSheetEscapesCaptions(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	c := code(1, "</b><script>alert(1)</script>\x00")
	layout := qrimage.Layout{Title: "</title><script>"}
	require.NoError(t, qrimage.Sheet(&b, slices.Values([]qrimage.Code{c}), layout))
	assert.NotContains(t, b.String(), "<script>")
	assert.NotContains(t, b.String(), "\x00")
	assert.Empty(t, regexp.MustCompile(`(?:src|href)="[^#d]`).FindString(b.String()),
		"nothing is loaded")
}
