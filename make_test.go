package wechatqr_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The modules are found by their go.mod: a list made by git is empty in an
// unpacked archive.
func TestMakeTestRunsEveryModuleWithoutGit(t *testing.T) {
	t.Parallel()
	dir := makefileDir(t)
	for _, module := range []string{
		".", "benchmarks", "cmd/deep", "zoo",
		"bin/m", "tools", "zoo/testdata/m", "zoo/node_modules/m", ".hidden/m",
	} {
		writeFile(t, filepath.Join(dir, module, "go.mod"), "module m\n", 0o600)
	}

	out, err := runMake(t, dir, "test")
	require.NoError(t, err, out)
	var tested []string
	for line := range strings.Lines(out) {
		if module, ok := strings.CutPrefix(line, "tested "); ok {
			tested = append(tested, strings.TrimSpace(module))
		}
	}
	want := []string{".", "cmd/deep", "zoo", "benchmarks"}
	assert.Equal(t, want, tested)

	out, err = runMake(t, dir, "modules")
	require.NoError(t, err, out)
	assert.Equal(t, want, strings.Fields(out))
}

func TestMakeTestFailsWithoutModules(t *testing.T) {
	t.Parallel()
	dir := makefileDir(t)
	for _, target := range []string{"test", "fuzz", "check", "modules"} {
		out, err := runMake(t, dir, target)
		assert.Error(t, err, target)
		assert.Contains(t, out, "no go.mod in ", target)
	}
}

// makefileDir returns a directory with the Makefile and, in bin, commands go
// and gofmt of which `go test` prints where it runs.
func makefileDir(t *testing.T) string {
	t.Helper()
	makefile, err := os.ReadFile("Makefile")
	require.NoError(t, err)
	dir, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	writeFile(t, filepath.Join(dir, "Makefile"), string(makefile), 0o600)
	script := "#!/bin/sh\ntest \"$1\" != test || { p=${PWD#" + dir +
		"}; p=${p#/}; echo \"tested ${p:-.}\"; }\n"
	writeFile(t, filepath.Join(dir, "bin", "go"), script, 0o700)
	writeFile(t, filepath.Join(dir, "bin", "gofmt"), "#!/bin/sh\n", 0o700)
	return dir
}

func runMake(t *testing.T, dir, target string) (string, error) {
	t.Helper()
	path, err := exec.LookPath("make")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("make is missing: install it")
		}
		t.Skip("make is not on PATH")
	}
	cmd := exec.CommandContext(t.Context(), path, "--no-print-directory", target)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PATH="+filepath.Join(dir, "bin")+":"+os.Getenv("PATH"),
		"MAKEFLAGS=")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func writeFile(t *testing.T, name, text string, mode os.FileMode) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o700))
	require.NoError(t, os.WriteFile(name, []byte(text), mode))
}
