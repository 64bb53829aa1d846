package qrimage_test

import (
	"archive/zip"
	"bytes"
	"io"
	"iter"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/qrimage"
)

// all are n codes.
func all(n int) iter.Seq[qrimage.Code] {
	return func(yield func(qrimage.Code) bool) {
		for i := range n {
			if !yield(code(i, caption(i))) {
				return
			}
		}
	}
}

func caption(i int) string { return "门店 shop-" + strings.Repeat("0", i%3) + "7" }

func unzip(t testing.TB, data []byte) (names []string, files [][]byte) {
	t.Helper()
	r, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	require.NoError(t, err)
	for _, f := range r.File {
		in, err := f.Open()
		require.NoError(t, err)
		b, err := io.ReadAll(in)
		require.NoError(t, err)
		names, files = append(names, f.Name), append(files, b)
	}
	return names, files
}

// namesIn are the files' names, for the Example.
func namesIn(data []byte) (names []string) {
	r, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil
	}
	for _, f := range r.File {
		names = append(names, f.Name)
	}
	return names
}

func TestZIP(t *testing.T) {
	t.Parallel()
	var codes []qrimage.Code
	for i, text := range []string{"北京店", "shop", "Shop", "shop (2)",
		"../../etc/passwd", "", ""} {
		codes = append(codes, code(i, text))
	}
	var want []string
	for _, c := range codes {
		want = append(want, c.Ticket.Content)
	}
	var b bytes.Buffer
	style := qrimage.Style{Logo: logo(90, 90)}
	require.NoError(t, qrimage.ZIP(&b, slices.Values(codes), qrimage.FormatPNG, style))
	names, files := unzip(t, b.Bytes())
	assert.Equal(t, []string{
		"北京店.png", "shop.png", "Shop (2).png", "shop (2) (2).png",
		"_._.._etc_passwd.png", "code.png", "code (2).png",
	}, names)
	requireRead(t, want, files...)

	b.Reset()
	require.NoError(t, qrimage.ZIP(&b, slices.Values(codes), qrimage.FormatSVG, qrimage.Style{}))
	names, files = unzip(t, b.Bytes())
	assert.Equal(t, "北京店.svg", names[0])
	for i, c := range codes {
		var alone bytes.Buffer
		require.NoError(t, qrimage.SVG(&alone, c, qrimage.Style{}))
		assert.Equal(t, alone.String(), string(files[i]))
	}
}

func TestZIPIsRefused(t *testing.T) {
	t.Parallel()
	err := qrimage.ZIP(io.Discard, all(0), qrimage.FormatSVG, qrimage.Style{})
	require.ErrorIs(t, err, wechatqr.ErrInvalidArgument)
	err = qrimage.ZIP(io.Discard, all(1), 2, qrimage.Style{})
	require.ErrorIs(t, err, wechatqr.ErrInvalidArgument)
	codes := []qrimage.Code{code(1, "a"), {Caption: "b"}}
	err = qrimage.ZIP(io.Discard, slices.Values(codes), qrimage.FormatSVG, qrimage.Style{})
	require.ErrorIs(t, err, wechatqr.ErrInvalidArgument)
	require.ErrorContains(t, err, `code 2, "b"`)
}

func TestFileName(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                             "code",
		" . ":                          "code",
		"a/b\\c:d*e?f\"g<h>i|j":        "a_b_c_d_e_f_g_h_i_j",
		"a\x00b\nc\u202ed\ufffde\xff":  "a_b_c_d_e_",
		"..":                           "code",
		".hidden":                      "_hidden",
		"-rf":                          "_rf",
		" padded. ":                    "padded",
		"con":                          "_con",
		"NUL.txt":                      "_NUL.txt",
		"COM1":                         "_COM1",
		"com¹":                         "_com¹",
		"COM":                          "COM",
		"COM10":                        "COM10",
		"console":                      "console",
		"渠道 北京":                        "渠道 北京",
		strings.Repeat("京", 60):        strings.Repeat("京", 40),
		strings.Repeat("a", 119) + "京": strings.Repeat("a", 119),
	} {
		assert.Equal(t, want, qrimage.FileName(in), "%q", in)
	}
}

func FuzzFileName(f *testing.F) {
	f.Add("a/b")
	f.Add("aux .x")
	f.Add("aux ." + strings.Repeat("x", 200))
	f.Add("．．/\u200b")
	f.Fuzz(func(t *testing.T, text string) {
		name := qrimage.FileName(text)
		assert.NotEmpty(t, name)
		assert.LessOrEqual(t, len(name), 120)
		assert.NotContains(t, ".- ", name[:1])
		assert.NotContains(t, ". ", name[len(name)-1:])
		assert.Equal(t, name, qrimage.FileName(name), "once is enough")
	})
}
