package wechatqr_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Programs of nested modules are built in their own directories.
func TestMakeDistBuildsStaticBinariesWithChecksums(t *testing.T) {
	t.Parallel()
	dir := makefileDir(t)
	writeFile(t, filepath.Join(dir, "go.mod"), "module m\n", 0o600)
	for _, program := range []string{"cmd/one", "cmd/two"} {
		writeFile(t, filepath.Join(dir, program, "main.go"), "package main\n", 0o600)
	}
	writeFile(t, filepath.Join(dir, "dist", "stale"), "", 0o600)
	build := "#!/bin/sh\nwhile test \"$1\" != -o; do shift; done\n" +
		"echo \"$CGO_ENABLED $GOOS $GOARCH ${PWD##*/}\" >\"$2\"\n"
	writeFile(t, filepath.Join(dir, "bin", "go"), build, 0o700)

	out, err := runMake(t, dir, "dist")
	require.NoError(t, err, out)
	sums, err := os.ReadFile(filepath.Join(dir, "dist", "SHA256SUMS"))
	require.NoError(t, err)
	files, err := os.ReadDir(filepath.Join(dir, "dist"))
	require.NoError(t, err)
	assert.Len(t, files, 2*6+1)
	assert.Len(t, strings.Split(strings.TrimSpace(string(sums)), "\n"), 2*6)
	for name, want := range map[string]string{
		"one_linux_amd64":       "0 linux amd64 one\n",
		"one_darwin_arm64":      "0 darwin arm64 one\n",
		"two_windows_arm64.exe": "0 windows arm64 two\n",
	} {
		got, err := os.ReadFile(filepath.Join(dir, "dist", name))
		require.NoError(t, err)
		assert.Equal(t, want, string(got), name)
		assert.Contains(t, string(sums), name)
	}
}

func TestMakeHelpListsEveryTarget(t *testing.T) {
	t.Parallel()
	makefile, err := os.ReadFile("Makefile")
	require.NoError(t, err)
	phony := regexp.MustCompile(`(?m)^\.PHONY: (.*)`).FindStringSubmatch(string(makefile))
	require.NotNil(t, phony)
	for _, target := range strings.Fields(phony[1]) {
		if target == "vulnerabilities" { // a part of check, which needs M
			continue
		}
		assert.Regexp(t, `(?m)^`+target+`:.* ## `, string(makefile))
	}
}

func TestDependabotKnowsEveryModule(t *testing.T) {
	t.Parallel()
	config, err := os.ReadFile(filepath.Join(".github", "dependabot.yml"))
	require.NoError(t, err)
	_, list, _ := strings.Cut(string(config), "directories:\n")
	list, _, _ = strings.Cut(list, "    schedule:")
	var listed, found []string
	for _, line := range strings.Split(strings.TrimSpace(list), "\n") {
		listed = append(listed, strings.TrimPrefix(strings.TrimSpace(line), "- /"))
	}

	walk(t, ".", func(path string) {
		if filepath.Base(path) == "go.mod" {
			module := filepath.ToSlash(filepath.Dir(path))
			found = append(found, strings.TrimPrefix(module, "."))
		}
	})
	assert.ElementsMatch(t, found, listed)
}

// Examples are to be copied, and what is internal cannot be imported elsewhere.
func TestExamplesImportNothingInternal(t *testing.T) {
	t.Parallel()
	n := 0
	walk(t, "examples", func(path string) {
		if filepath.Ext(path) != ".go" {
			return
		}
		n++
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		require.NoError(t, err)
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			require.NoError(t, err)
			assert.NotContains(t, strings.Split(imported, "/"), "internal", path)
		}
	})
	assert.Positive(t, n)
}

// walk calls fn for each file of the project.
func walk(t *testing.T, root string, fn func(path string)) {
	t.Helper()
	skipped := map[string]bool{"bin": true, "dist": true, "node_modules": true, "testdata": true}
	require.NoError(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && (skipped[name] || len(name) > 1 && name[0] == '.') {
			return filepath.SkipDir
		}
		if !d.IsDir() {
			fn(path)
		}
		return nil
	}))
}
