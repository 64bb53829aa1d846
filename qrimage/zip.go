package qrimage

import (
	"archive/zip"
	"fmt"
	"io"
	"iter"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Format is a kind of file.
type Format int

// The formats of a [ZIP].
const (
	FormatSVG Format = iota
	FormatPNG
)

// ZIP writes one file for each code, named by its caption. What a file name
// cannot hold on every system becomes "_", a name has at most 120 bytes and the
// extension, and a code without a caption is "code". A name that was there before,
// in whatever case, gets a number: "shop.svg", "shop (2).svg". It is an error
// if there is no code.
//
// Codes are drawn one after another as they come; memory holds their names.
func ZIP(w io.Writer, codes iter.Seq[Code], format Format, style Style) error {
	p, err := newPen(style)
	if err != nil {
		return wrap("ZIP", err)
	}
	draw, ext, method := p.writeSVG, ".svg", zip.Deflate
	switch format {
	case FormatSVG:
	case FormatPNG:
		draw, ext, method = p.writePNG, ".png", zip.Store // a PNG is compressed
	default:
		return wrap("ZIP", invalid("%d is no Format", format))
	}

	out := zip.NewWriter(w)
	taken := names{}
	now := time.Now()
	n := 0
	for code := range codes {
		n++
		file, err := out.CreateHeader(&zip.FileHeader{
			Name: taken.add(code.Caption) + ext, Method: method, Modified: now,
		})
		if err == nil {
			err = draw(file, code)
		}
		if err != nil {
			return wrap("ZIP", inCode(n, code, err))
		}
	}
	if n == 0 {
		return wrap("ZIP", invalid("there are no codes"))
	}
	return wrap("ZIP", out.Close())
}

// inCode says which of many codes an error is about.
func inCode(n int, code Code, err error) error {
	return fmt.Errorf("code %d, %q: %w", n, code.Caption, err)
}

// names are those taken in lower case, with the last number given to each.
type names map[string]int

// add is a name for the caption that was not there before.
func (taken names) add(caption string) string {
	name := fileName(caption)
	free := name
	for {
		key := strings.ToLower(free)
		if _, ok := taken[key]; !ok {
			taken[key] = 1
			return free
		}
		first := strings.ToLower(name)
		taken[first]++
		free = fmt.Sprintf("%s (%d)", name, taken[first])
	}
}

const maxName = 120 // bytes: with a number and an extension within what every system takes

// fileName is a caption as the name of a file, without the extension.
func fileName(caption string) string {
	name := strings.Map(func(r rune) rune {
		if r == ' ' {
			return r
		}
		if !unicode.IsPrint(r) || r == utf8.RuneError || strings.ContainsRune(`/\:*?"<>|`, r) {
			return '_'
		}
		return r
	}, caption)
	name = strings.TrimLeft(shorten(name), " ")
	if strings.HasPrefix(name, ".") || strings.HasPrefix(name, "-") {
		name = "_" + name[1:]
	}
	if name == "" {
		return "code"
	}
	if isDevice(name) {
		return shorten("_" + name)
	}
	return name
}

// shorten cuts a name to maxName, and off its end what Windows does not keep.
func shorten(name string) string {
	for len(name) > maxName {
		_, size := utf8.DecodeLastRuneInString(name)
		name = name[:len(name)-size]
	}
	return strings.TrimRight(name, ". ")
}

// isDevice reports whether Windows takes the name, up to its first dot, for a device.
func isDevice(name string) bool {
	base, _, _ := strings.Cut(strings.ToUpper(name), ".")
	base = strings.TrimRight(base, " ")
	switch base {
	case "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$":
		return true
	}
	port, ok := strings.CutPrefix(base, "COM")
	if !ok {
		port, ok = strings.CutPrefix(base, "LPT")
	}
	return ok && utf8.RuneCountInString(port) == 1 && strings.Contains("0123456789¹²³", port)
}
