package wechatqr_test

import (
	"debug/buildinfo"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The root, events, account, tickets and scanlogin link nothing but the standard library,
// and the root no package of this module; qrimage links the one QR encoder.
func TestDependencies(t *testing.T) {
	t.Parallel()
	const module = "github.com/wechatqr/wechatqr"
	for pkg, siblings := range map[string][]string{
		module:                {module},
		module + "/events":    {module, module + "/events"},
		module + "/account":   {module, module + "/account"},
		module + "/tickets":   {module, module + "/tickets"},
		module + "/scanlogin": {module, module + "/events", module + "/scanlogin"},
		module + "/qrimage": {
			module, module + "/qrimage", "github.com/piglig/go-qr",
			"github.com/piglig/go-qr/internal/reedsolomon",
		},
	} {
		out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f",
			"{{if not .Standard}}{{.ImportPath}}{{end}}", pkg).Output()
		require.NoError(t, err)
		assert.ElementsMatch(t, siblings, strings.Fields(string(out)), pkg)
	}
}

// A program that makes a code is at most 3 % larger with this library than
// with net/http and encoding/json alone, and links no other module.
func TestBinarySize(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	build := func(name string, flags ...string) (string, int64) {
		path := filepath.Join(dir, name)
		if runtime.GOOS == "windows" {
			path += ".exe"
		}
		args := append(append([]string{"build", "-o", path}, flags...), "./testdata/size/"+name)
		out, err := exec.CommandContext(t.Context(), "go", args...).CombinedOutput()
		require.NoError(t, err, "%s", out)
		fi, err := os.Stat(path)
		require.NoError(t, err)
		return path, fi.Size()
	}
	for name, flags := range map[string][]string{
		"as it comes": nil,
		"stripped":    {"-trimpath", "-ldflags=-s -w"},
	} {
		_, plain := build("plain", flags...)
		path, library := build("library", flags...)
		grown := float64(library-plain) / float64(plain)
		t.Logf("%s: %d bytes, plain net/http %d: %+.2f %%", name, library, plain, 100*grown)
		assert.LessOrEqual(t, grown, 0.03, name)
		info, err := buildinfo.ReadFile(path)
		require.NoError(t, err)
		assert.Empty(t, info.Deps, "modules linked")
	}
}
