package main

import (
	"bytes"
	"context"
	"flag"
	"image"
	"image/color"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// decode reads a picture with zbarimg, which shares no code with this project.
func decode(t *testing.T, path string) string {
	t.Helper()
	zbarimg, err := exec.LookPath("zbarimg")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("zbarimg is missing: install zbar-tools")
		}
		t.Skip("zbarimg is not on PATH: install zbar-tools to read the pictures back")
	}
	out, err := exec.CommandContext(t.Context(), zbarimg, "--quiet", "--raw", path).Output()
	require.NoError(t, err, path)
	return strings.TrimSuffix(string(out), "\n")
}

func noEnv(string) string { return "" }

func TestTour(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	require.NoError(t, run(context.Background(), []string{"-out", filepath.Join(t.TempDir(), "new", "folder")}, noEnv, &out))
	text := out.String()
	codes := regexp.MustCompile(`(?m)^  url     (\S+)\n  picture (\S+)$`).FindAllStringSubmatch(text, -1)
	require.Len(t, codes, 3)
	for _, scene := range []string{"7", "渠道=北京&a<b", "shop-1"} {
		assert.Regexp(t, `(?m)^subscribe: scene `+scene+` scanned by o-\S+, a new follower$`, text)
		assert.Regexp(t, `(?m)^SCAN: scene `+scene+` scanned by o-\S+, a follower$`, text)
	}
	assert.Equal(t, 6, strings.Count(text, "and reads: 欢迎！"))
	for _, code := range codes {
		assert.Equal(t, code[1], decode(t, code[2]))
	}

	// The code drawn in the terminal, as a picture of eight pixels a module.
	_, drawn, _ := strings.Cut(text, "\x1b[30;107m")
	var rows [][]bool
	for line := range strings.Lines("\x1b[30;107m" + drawn[:strings.LastIndex(drawn, "\x1b[0m")]) {
		line = strings.TrimSuffix(strings.TrimSuffix(strings.TrimPrefix(line, "\x1b[30;107m"), "\n"), "\x1b[0m")
		var upper, lower []bool
		for _, r := range line {
			upper = append(upper, r == '█' || r == '▀')
			lower = append(lower, r == '█' || r == '▄')
		}
		rows = append(rows, upper, lower)
	}
	img := image.NewGray(image.Rect(0, 0, 8*len(rows[0]), 8*len(rows)))
	for y := range img.Rect.Dy() {
		for x := range img.Rect.Dx() {
			if !rows[y/8][x/8] {
				img.SetGray(x, y, color.Gray{Y: 255})
			}
		}
	}
	path := filepath.Join(t.TempDir(), "drawn.png")
	var buf bytes.Buffer
	require.NoError(t, png.Encode(&buf, img))
	require.NoError(t, os.WriteFile(path, buf.Bytes(), 0o600))
	assert.Equal(t, codes[0][1], decode(t, path))
}

func TestFlags(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, args, want string }{
		{"one number", "-id 4294967295", "scene 4294967295, until "},
		{"one permanent text", "-scene shop-9 -permanent", "scene shop-9, permanent"},
		{"an hour", "-scene a -ttl 1h", "SCAN: scene a"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			require.NoError(t, run(context.Background(), append(strings.Fields(tt.args), "-out", t.TempDir()), noEnv, &out))
			assert.Contains(t, out.String(), tt.want)
			assert.Equal(t, 1, strings.Count(out.String(), "picture"))
		})
	}
	for _, tt := range []struct{ name, args, want string }{
		{"both", "-id 1 -scene a", "not both"},
		{"too large", "-id 4294967296", "4294967295"},
		{"too large for a permanent code", "-id 100001 -permanent", "at most 100000"},
		{"too long", "-ttl 721h -id 1", "lives from"},
		{"stray word", "shop-1", "See -h"},
		{"unknown flag", "-x", "flag provided but not defined"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			var out bytes.Buffer
			err := run(context.Background(), append([]string{"-out", dir}, strings.Fields(tt.args)...), noEnv, &out)
			require.ErrorContains(t, err, tt.want)
			files, err := os.ReadDir(dir)
			require.NoError(t, err)
			assert.Empty(t, files)
		})
	}
	var out bytes.Buffer
	require.ErrorIs(t, run(context.Background(), []string{"-h"}, noEnv, &out), flag.ErrHelp)
	for _, want := range []string{"-scene text", "-id number", "-ttl", "-permanent", "-out folder", "WECHAT_APP_SECRET"} {
		assert.Contains(t, out.String(), want)
	}
	half := func(name string) string { return map[string]string{"WECHAT_APP_ID": "wx0"}[name] }
	require.ErrorContains(t, run(context.Background(), nil, half, &out), "AppSecret is empty")
}
