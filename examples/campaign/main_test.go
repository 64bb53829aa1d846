package main

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

func none(string) string { return "" }

func TestDemo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var out bytes.Buffer
	for range 2 {
		out.Reset()
		require.NoError(t, run(t.Context(), []string{"-out", dir}, none, &out))
	}
	text := out.String()
	for _, want := range []string{
		"fake WeChat", "10 of 50 codes\n", "50 of 50 codes\n",
		"1  1 号店\n", "2  2 号店\n", "3  3 号店\n", "0  4 号店\n", "0  others\n",
	} {
		assert.Contains(t, text, want)
	}

	archive, err := zip.OpenReader(filepath.Join(dir, "codes.zip"))
	require.NoError(t, err)
	defer archive.Close()
	require.Len(t, archive.File, 50)
	assert.Equal(t, "1 号店.svg", archive.File[0].Name)
	sheet, err := os.ReadFile(filepath.Join(dir, "sheet.html"))
	require.NoError(t, err)
	assert.Equal(t, 50, bytes.Count(sheet, []byte("<figure>")))
}

// program runs the program on an account of wx's.
func program(wx *wechatqrtest.Server, t *testing.T, dir, list string,
	args ...string) (string, error) {
	t.Helper()
	shops := filepath.Join(dir, "shops.csv")
	require.NoError(t, os.WriteFile(shops, []byte(list), 0o600))
	env := map[string]string{
		"WECHAT_APP_ID": wx.Credentials().AppID, "WECHAT_APP_SECRET": wx.Credentials().AppSecret,
		"WECHAT_BASE_URL": wx.URL(),
	}
	args = append([]string{"-shops", shops, "-out", dir, "-tickets", filepath.Join(dir, "t.json")},
		args...)
	var out bytes.Buffer
	err := run(t.Context(), args, func(name string) string { return env[name] }, &out)
	return out.String(), err
}

// A run that WeChat stops, one after it, and one with a longer list.
func TestRunsAgain(t *testing.T) {
	t.Parallel()
	wx, dir := wechatqrtest.Start(t), t.TempDir()
	list := "\ufeff北京店,shop-1\r\n上海店, shop-2\r\n"
	wx.Inject(wechatqrtest.Fault{Path: "/cgi-bin/qrcode/create", Times: 1, Code: 45009})
	_, err := program(wx, t, dir, list)
	require.ErrorIs(t, err, wechatqr.ErrQuota)
	require.ErrorContains(t, err, "0 codes with 2 left")
	require.ErrorContains(t, err, "run it again")

	for _, more := range []string{"", "成都店,shop-3\n"} {
		list += more
		_, err = program(wx, t, dir, list)
		require.NoError(t, err)
		assert.Len(t, wx.QRCodes(), strings.Count(list, "\n"))
	}
	wx.ServeCallback(http.NotFoundHandler())
	_, _ = wx.Follow(t.Context(), "o-li") // the push fails, they follow
	_, _ = wx.Scan(t.Context(), wx.QRCodes()[2].Ticket, "o-wang")
	out, err := program(wx, t, dir, list, "-followers")
	require.NoError(t, err)
	assert.Equal(t, "0  北京店\n0  上海店\n1  成都店\n1  others\n", out)
}

func TestListIsRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ list, want string }{
		"empty":      {"", "there is no shop"},
		"one column": {"北京店,shop-1\n上海店\n", "line 2"},
		"no scene":   {"北京店,shop-1\n上海店,\n", "line 2: wechatqr:"},
		"scene twice": {"北京店,shop-1\n上海店,shop-1\n",
			`line 2: the scene "shop-1" is that of line 1 too`},
		"scene too long": {"北京店," + strings.Repeat("s", 65), "line 1: "},
	} {
		wx := wechatqrtest.Start(t)
		_, err := program(wx, t, t.TempDir(), c.list)
		require.ErrorContains(t, err, c.want, name)
		assert.Empty(t, wx.QRCodes(), name)
	}
}

// No codes of a fake are printed because a variable was forgotten.
func TestNoCredentials(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	shops := filepath.Join(dir, "shops.csv")
	require.NoError(t, os.WriteFile(shops, []byte("北京店,shop-1\n"), 0o600))
	err := run(t.Context(), []string{"-shops", shops, "-out", filepath.Join(dir, "out")},
		none, io.Discard)
	require.ErrorIs(t, err, wechatqr.ErrInvalidArgument)
	require.ErrorContains(t, err, "AppID is empty")
	assert.NoDirExists(t, filepath.Join(dir, "out"))
}

func TestMissingList(t *testing.T) {
	t.Parallel()
	env := func(name string) string { return fmt.Sprint(name, "-value") }
	err := run(t.Context(), []string{"-shops", "no-such-file.csv"}, env, &bytes.Buffer{})
	require.ErrorIs(t, err, os.ErrNotExist)
}
