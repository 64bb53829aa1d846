package qrimage_test

import (
	"bytes"
	"io"
	"os"
	"slices"
	"testing"

	goqr "github.com/piglig/go-qr"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr/qrimage"
)

const many = 10_000

// One operation is 10 000 codes; encoder is what go-qr alone takes for them.
func BenchmarkMany(b *testing.B) {
	codes := slices.Collect(all(many))
	for name, run := range map[string]func(io.Writer) error{
		"encoder": func(io.Writer) error {
			for _, c := range codes {
				if _, err := goqr.EncodeText(c.Ticket.Content, goqr.Medium); err != nil {
					return err
				}
			}
			return nil
		},
		"SVG ZIP": func(w io.Writer) error {
			return qrimage.ZIP(w, slices.Values(codes), qrimage.FormatSVG, qrimage.Style{})
		},
		"PNG ZIP": func(w io.Writer) error {
			return qrimage.ZIP(w, slices.Values(codes), qrimage.FormatPNG, qrimage.Style{})
		},
		"sheets": func(w io.Writer) error {
			return qrimage.Sheet(w, slices.Values(codes), qrimage.Layout{PerPage: 24})
		},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			var written counter
			for b.Loop() {
				written = 0
				require.NoError(b, run(&written))
			}
			b.ReportMetric(float64(written)/1e6, "MB")
		})
	}
}

type counter int64

func (c *counter) Write(b []byte) (int, error) {
	*c += counter(len(b))
	return len(b), nil
}

// readBack is how many codes are read back: few, or all 10 000 with
// WECHATQR_READ_ALL=1, which takes minutes.
func readBack(few int) int {
	if os.Getenv("WECHATQR_READ_ALL") != "" {
		return many
	}
	return few
}

// Each SVG of a ZIP has the modules of the code's picture, and zbar reads it.
func TestManyAreReadBackFromZIP(t *testing.T) {
	t.Parallel()
	n := readBack(200)
	var b bytes.Buffer
	require.NoError(t,
		qrimage.ZIP(&b, all(n), qrimage.FormatSVG, qrimage.Style{Module: qrimage.Pixels(3)}))
	names, files := unzip(t, b.Bytes())
	require.Len(t, files, n)
	assert.Len(t, slices.Compact(slices.Sorted(slices.Values(names))), n, "names")
	for from := 0; from < n; from += 500 {
		var want []string
		var pictures [][]byte
		for i := from; i < min(n, from+500); i++ {
			c := code(i, "")
			img, err := qrimage.Image(c, qrimage.Style{Module: qrimage.Pixels(3)})
			require.NoError(t, err)
			require.Equal(t, modulesOf(img), pathModules(t, string(files[i])), "file %d", i)
			want, pictures = append(want, c.Ticket.Content), append(pictures, encodePNG(t, img))
		}
		require.Equal(t, want, zbar(t, pictures...))
	}
}

// Each code of the sheets is read from what chromium prints.
func TestManyAreReadBackFromSheets(t *testing.T) {
	t.Parallel()
	n := readBack(24)
	codes := slices.Collect(all(n))
	for len(codes) > 0 {
		part := codes[:min(len(codes), 240)]
		codes = codes[len(part):]
		var b bytes.Buffer
		require.NoError(t, qrimage.Sheet(&b, slices.Values(part), qrimage.Layout{PerPage: 24}))
		for _, page := range printed(t, b.Bytes()) {
			here := part[:min(len(part), 24)]
			part = part[len(here):]
			var pictures [][]byte
			for _, cell := range cells(t, page, 4, 6)[:len(here)] {
				pictures = append(pictures, encodePNG(t, cell))
			}
			require.Equal(t, contentsOf(here), zbar(t, pictures...))
		}
		require.Empty(t, part)
	}
}
