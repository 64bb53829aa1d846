package main

import (
	"bytes"
	"flag"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/wechatqrtest"
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

func env(vars map[string]string) func(string) string {
	return func(name string) string { return vars[name] }
}

// envOf has the program talk to wx as it would to the sandbox.
func envOf(wx *wechatqrtest.Server) func(string) string {
	creds := wx.Credentials()
	return env(map[string]string{
		"WECHAT_APP_ID": creds.AppID, "WECHAT_APP_SECRET": creds.AppSecret,
		"WECHAT_BASE_URL": wx.URL(),
	})
}

func TestTour(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	dir := filepath.Join(t.TempDir(), "new", "folder")
	require.NoError(t, run(t.Context(), []string{"-out", dir}, noEnv, &out))
	text := out.String()
	assert.NotContains(t, text, "\x1b", "plain text, for this is no terminal")
	shown := regexp.MustCompile(`(?m)^  content (\S+)\n  picture (\S+)$`)
	codes := shown.FindAllStringSubmatch(text, -1)
	require.Len(t, codes, 3)
	for _, scene := range []string{"7", "渠道=北京&a<b", "shop-1"} {
		assert.Regexp(t,
			`(?m)^  subscribe: scene `+scene+` scanned by o-\S+, a new follower$`, text)
		assert.Regexp(t, `(?m)^  SCAN: scene `+scene+` scanned by o-\S+, a follower$`, text)
	}
	assert.Equal(t, 6, strings.Count(text, "and reads: 欢迎！"))
	for _, made := range codes {
		assert.Equal(t, made[1], decode(t, made[2]))
	}
}

func TestNothingIsOverwritten(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "[a")
	require.NoError(t, os.Mkdir(dir, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "code-1.jpg"), []byte("mine"), 0o600))
	for range 2 {
		require.NoError(t,
			run(t.Context(), []string{"-scene", "a", "-out", dir}, noEnv, io.Discard))
	}
	mine, err := os.ReadFile(filepath.Join(dir, "code-1.jpg"))
	require.NoError(t, err)
	assert.Equal(t, "mine", string(mine))
	for _, name := range []string{"code-2.jpg", "code-3.jpg"} {
		assert.FileExists(t, filepath.Join(dir, name))
	}
}

// writerFunc is an io.Writer.
type writerFunc func(p []byte) (int, error)

func (fn writerFunc) Write(p []byte) (int, error) { return fn(p) }

// Where nobody reads the output, printing ends the process: "quickstart | head -1".
func TestTicketIsKeptBeforeItIsPrinted(t *testing.T) {
	t.Parallel()
	wx := wechatqrtest.Start(t)
	dir := t.TempDir()
	printed := 0
	out := writerFunc(func(p []byte) (int, error) {
		if len(wx.QRCodes()) > 0 {
			printed++
			kept, err := os.ReadFile(filepath.Join(dir, "tickets.json"))
			require.NoError(t, err)
			assert.Contains(t, string(kept), wx.QRCodes()[0].Ticket, "before %q", p)
		}
		return len(p), nil
	})
	args := []string{"-scene", "a", "-permanent", "-out", dir}
	require.NoError(t, run(t.Context(), args, envOf(wx), out))
	assert.Positive(t, printed)
}

func TestSandbox(t *testing.T) {
	t.Parallel()
	wx := wechatqrtest.Start(t)
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"-out", t.TempDir()}, envOf(wx), &out))
	for _, qr := range wx.QRCodes() {
		assert.False(t, qr.Permanent(), "no permanent one unless asked for")
		assert.Contains(t, out.String(), qr.Ticket)
	}
	assert.Contains(t, out.String(), "on its page, "+wx.URL())
}

// A permanent code whose picture cannot be had is not lost, and the next run makes
// no other.
func TestTicketIsKeptWhenThePictureFails(t *testing.T) {
	t.Parallel()
	wx := wechatqrtest.Start(t)
	wx.Inject(wechatqrtest.Fault{Path: "/cgi-bin/showqrcode", Status: 404})
	var out bytes.Buffer
	args := []string{"-scene", "a", "-permanent", "-out", t.TempDir()}
	err := run(t.Context(), args, envOf(wx), &out)
	require.ErrorIs(t, err, wechatqr.ErrTicketNotFound)
	require.Equal(t, 1, exitCode(err))
	require.Len(t, wx.QRCodes(), 1)

	wx.ClearFaults()
	out.Reset()
	require.NoError(t, run(t.Context(), args, envOf(wx), &out))
	require.Len(t, wx.QRCodes(), 1)
	assert.Contains(t, out.String(), wx.QRCodes()[0].Ticket)
}

func TestFlags(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, args, want string }{
		{"one number", "-id 4294967295", "a code with the scene 4294967295 for 24h"},
		{"one permanent text", "-scene shop-9 -permanent",
			"a permanent code with the scene shop-9"},
		{"an hour", "-scene a -ttl 1h", "SCAN: scene a"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			args := append(strings.Fields(tt.args), "-out", t.TempDir())
			require.NoError(t, run(t.Context(), args, noEnv, &out))
			assert.Contains(t, out.String(), tt.want)
			assert.Equal(t, 1, strings.Count(out.String(), "picture"))
		})
	}
	for _, tt := range []struct{ name, args, want string }{
		{"both", "-id 1 -scene a", "not both"},
		{"too large", "-id 4294967296", "4294967295"},
		{"too large for a permanent code", "-id 100001 -permanent", "at most 100000"},
		{"for no time", "-scene a -ttl 0s", "lives from"},
		{"too long", "-ttl 721h -id 1", "lives from"},
		{"number zero", "-id 0", "the scene is empty"},
		{"no text", "-scene=", "the scene is empty"},
		{"a permanent code for a time", "-scene a -permanent -ttl 1h", "has no -ttl"},
		{"a permanent code of nothing", "-permanent", "want -scene or -id"},
		{"stray word", "shop-1", "is no flag"},
		{"unknown flag", "-x", "flag provided but not defined"},
		{"no folder", "-out=", "-out is empty"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			var out bytes.Buffer
			err := run(t.Context(), append([]string{"-out", dir}, strings.Fields(tt.args)...),
				noEnv, &out)
			require.ErrorContains(t, err, tt.want)
			assert.Equal(t, 2, exitCode(err))
			assert.Empty(t, out.String(), "said once, by the error")
			files, err := os.ReadDir(dir)
			require.NoError(t, err)
			assert.Empty(t, files)
		})
	}
	var out bytes.Buffer
	require.ErrorIs(t, run(t.Context(), []string{"-h"}, noEnv, &out), flag.ErrHelp)
	for _, want := range []string{
		"-scene text", "-id number", "-ttl long", "-permanent", "-out folder", "WECHAT_APP_SECRET",
	} {
		assert.Contains(t, out.String(), want)
	}
}

// Whoever set one variable meant no fake.
func TestHalfOfTheEnvironment(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"WECHAT_APP_ID", "WECHAT_APP_SECRET", "WECHAT_BASE_URL"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			err := run(t.Context(), nil, env(map[string]string{name: "http://x"}), &out)
			require.ErrorContains(t, err, "set WECHAT_APP_ID and WECHAT_APP_SECRET, both")
			assert.Empty(t, out.String())
		})
	}
}
