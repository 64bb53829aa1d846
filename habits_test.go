package wechatqr_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

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

// A reader takes a name for what the package or the imports say it is.
func TestNoLocalNameShadows(t *testing.T) {
	t.Parallel()
	files := token.NewFileSet()
	packages := map[[2]string][]*ast.File{} // by directory and name
	walk(t, ".", func(path string) {
		if filepath.Ext(path) != ".go" {
			return
		}
		file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		pkg := [2]string{filepath.Dir(path), file.Name.Name}
		packages[pkg] = append(packages[pkg], file)
	})
	require.Greater(t, len(packages), 20)

	for _, pkg := range packages {
		top := map[string]bool{}
		for _, file := range pkg {
			for _, name := range topNames(file) {
				top[name.Name] = true
			}
		}
		for _, file := range pkg {
			imported := importNames(t, file)
			for _, name := range localNames(file) {
				if name.Name != "_" && (top[name.Name] || imported[name.Name]) {
					t.Errorf("%s: %s shadows a name of the package or an import",
						files.Position(name.Pos()), name)
				}
			}
		}
	}
}

func topNames(file *ast.File) (names []*ast.Ident) {
	for _, decl := range file.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil && d.Name.Name != "init" {
				names = append(names, d.Name)
			}
		case *ast.GenDecl:
			names = append(names, specNames(d)...)
		}
	}
	return names
}

func specNames(d *ast.GenDecl) (names []*ast.Ident) {
	for _, spec := range d.Specs {
		switch s := spec.(type) {
		case *ast.TypeSpec:
			names = append(names, s.Name)
		case *ast.ValueSpec:
			names = append(names, s.Names...)
		}
	}
	return names
}

// importNames guesses the name of a package from its path where it is not given.
func importNames(t *testing.T, file *ast.File) map[string]bool {
	t.Helper()
	version := regexp.MustCompile(`/v\d+$|\.v\d+$`)
	names := map[string]bool{}
	for _, spec := range file.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		require.NoError(t, err)
		name := version.ReplaceAllString(imported, "")
		name = name[strings.LastIndex(name, "/")+1:]
		if spec.Name != nil {
			name = spec.Name.Name
		}
		names[name] = true
	}
	return names
}

// localNames are those that functions declare: parameters, results, receivers,
// variables, constants and types.
func localNames(file *ast.File) (names []*ast.Ident) {
	add := func(exprs ...ast.Expr) {
		for _, expr := range exprs {
			if name, ok := expr.(*ast.Ident); ok {
				names = append(names, name)
			}
		}
	}
	addFields := func(lists ...*ast.FieldList) {
		for _, list := range lists {
			if list == nil {
				continue
			}
			for _, field := range list.List {
				names = append(names, field.Names...)
			}
		}
	}
	ast.Inspect(file, func(node ast.Node) bool {
		switch n := node.(type) {
		case *ast.FuncDecl:
			addFields(n.Recv)
		case *ast.FuncType:
			addFields(n.TypeParams, n.Params, n.Results)
		case *ast.AssignStmt:
			if n.Tok == token.DEFINE {
				add(n.Lhs...)
			}
		case *ast.RangeStmt:
			if n.Tok == token.DEFINE {
				add(n.Key, n.Value)
			}
		case *ast.DeclStmt:
			names = append(names, specNames(n.Decl.(*ast.GenDecl))...)
		}
		return true
	})
	return names
}

const maxTestLine = 100 // characters, a tab being four

// Tables and nested literals make the lines of tests grow.
func TestLinesOfTestsAreShort(t *testing.T) {
	t.Parallel()
	n := 0
	walk(t, ".", func(path string) {
		if !strings.HasSuffix(path, "_test.go") {
			return
		}
		n++
		source, err := os.ReadFile(path)
		require.NoError(t, err)
		excused := unbreakable(t, path, source)
		for i, line := range strings.Split(string(source), "\n") {
			if width(line) > maxTestLine && !excused[i+1] {
				t.Errorf("%s:%d: %d characters", path, i+1, width(line))
			}
		}
	})
	assert.Positive(t, n)
}

// unbreakable are the numbers of the lines that hold little more than one string,
// or a line of what an Example prints.
func unbreakable(t *testing.T, path string, source []byte) map[int]bool {
	t.Helper()
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, path, source, parser.ParseComments)
	require.NoError(t, err)
	lines := strings.Split(string(source), "\n")
	numbers := map[int]bool{}
	add := func(node ast.Node) {
		last := files.Position(node.End()).Line
		for line := files.Position(node.Pos()).Line; line <= last; line++ {
			numbers[line] = true
		}
	}
	ast.Inspect(file, func(node ast.Node) bool {
		text, ok := node.(*ast.BasicLit)
		if !ok {
			return true
		}
		line := strings.TrimSpace(lines[files.Position(text.Pos()).Line-1])
		if strings.Contains(text.Value, "\n") || width(line)-width(text.Value) <= 20 {
			add(text)
		}
		return true
	})
	for _, comment := range file.Comments {
		if strings.HasPrefix(comment.Text(), "Output:") {
			add(comment)
		}
	}
	return numbers
}

func width(
	line string,
) int {
	return utf8.RuneCountInString(strings.ReplaceAll(line, "\t", "    "))
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
