package wechatqr_test

import (
	"errors"
	"fmt"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/scanner"
	"go/token"
	"io/fs"
	"math"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/events"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// The sections of README.md and README.zh-CN.md, in order.
var readmeSections = [][2]string{
	{"wechatqr", "wechatqr"},
	{"How it works", "工作原理"},
	{"Install", "安装"},
	{"Codes", "二维码"},
	{"Scans", "扫码事件"},
	{"Errors", "错误处理"},
	{"Limits", "限制"},
	{"Testing your own code", "测试你的代码"},
	{"Tokens", "access_token"},
	{"Accounts and the test account", "账号要求与测试号"},
	{"Coming from another library", "从其他库迁移"},
	{"Security", "安全"},
	{"Commands", "命令"},
	{"Error codes", "错误码"},
	{"Licence", "许可证"},
}

// What the READMEs show is compiled, exists and is true, and both say the same.
func TestReadme(t *testing.T) {
	t.Parallel()
	en, zh := readPage(t, "README.md"), readPage(t, "README.zh-CN.md")
	pages := []*page{en, zh, readPage(t, "redisstore/README.md"), readPage(t, "CONTRIBUTING.md"), readPage(t, "SECURITY.md"), readPage(t, "CHANGELOG.md")}
	code := readCode(t)

	t.Run("code is compiled", func(t *testing.T) {
		t.Parallel()
		for _, p := range pages {
			for _, b := range p.blocks {
				switch b.lang {
				case "go":
					assert.True(t, isGo(b.text), "%s:%d: neither statements nor declarations", p.path, b.line)
					assert.True(t, code.holds(b.text), "%s:%d: no Example or test has this", p.path, b.line)
				case "text":
					assert.Contains(t, code.outputs, strings.TrimSpace(b.text), "%s:%d: no Example prints this", p.path, b.line)
				case "sh":
					for _, command := range commands(b.text) {
						assert.NoError(t, checkCommand(t, command), "%s:%d: %s", p.path, b.line, command)
					}
				case "":
					// of redisstore, whose own test runs it
				default:
					t.Errorf("%s:%d: a block of %s", p.path, b.line, b.lang)
				}
			}
		}
	})

	t.Run("links resolve", func(t *testing.T) {
		t.Parallel()
		for _, p := range append(pages, readPage(t, "benchmarks/README.md")) {
			for _, link := range p.links {
				if strings.Contains(link, "://") {
					continue
				}
				file, anchor, _ := strings.Cut(link, "#")
				to := p
				if file != "" {
					full := path.Join(path.Dir(p.path), file)
					if _, err := os.Stat(full); !assert.NoError(t, err, "%s links to %s", p.path, link) || anchor == "" {
						continue
					}
					to = readPage(t, full)
				}
				assert.True(t, slices.ContainsFunc(to.headings, func(h string) bool { return slug(h) == anchor }), "%s links to %s", p.path, link)
			}
		}
	})

	t.Run("both say the same", func(t *testing.T) {
		t.Parallel()
		var wantEN, wantZH []string
		for _, s := range readmeSections {
			wantEN, wantZH = append(wantEN, s[0]), append(wantZH, s[1])
		}
		assert.Equal(t, wantEN, en.headings)
		assert.Equal(t, wantZH, zh.headings)
		if assert.Len(t, zh.blocks, len(en.blocks)) {
			for i, b := range en.blocks {
				assert.Equal(t, b.essence(), zh.blocks[i].essence(), "the code of README.md:%d and README.zh-CN.md:%d", b.line, zh.blocks[i].line)
			}
		}
		if assert.Len(t, zh.tables, len(en.tables)) {
			for i, table := range en.tables {
				if assert.Len(t, zh.tables[i], len(table), "rows of the table that begins %v", table[0]) {
					for j, row := range table {
						assert.ElementsMatch(t, codeSpans(row), codeSpans(zh.tables[i][j]), "code in the rows %v and %v", row, zh.tables[i][j])
					}
				}
			}
		}
		foreign := []string{"README.md", "README.zh-CN.md", "docs/flow.svg", "docs/flow.zh-CN.svg", "docs/sandbox.png", "docs/sandbox.zh-CN.png"}
		var linksEN, linksZH []string
		for _, l := range en.links {
			if !slices.Contains(foreign, l) && !strings.HasPrefix(l, "#") {
				linksEN = append(linksEN, l)
			}
		}
		for _, l := range zh.links {
			if !slices.Contains(foreign, l) && !strings.HasPrefix(l, "#") {
				linksZH = append(linksZH, l)
			}
		}
		assert.ElementsMatch(t, linksEN, linksZH)
	})

	t.Run("limits", func(t *testing.T) {
		t.Parallel()
		days := int(wechatqr.MaxTTL / (24 * time.Hour))
		for _, p := range []*page{en, zh} {
			rows := p.table(t, "4294967295")
			for i, want := range map[int][]int{
				0: {1, math.MaxUint32},
				1: {1, wechatqr.MaxPermanentID},
				2: {1, wechatqr.MaxSceneBytes},
				4: {int(wechatqr.MinTTL / time.Second), int(wechatqr.MaxTTL / time.Second), days},
			} {
				assert.Equal(t, want, numbers(rows[i][1]), "%s: %v", p.path, rows[i])
			}
			assert.Contains(t, p.text, fmt.Sprintf(" %d KiB", events.MaxBodyBytes>>10), p.path)
		}
		for i, row := range en.table(t, "4294967295") {
			assert.Equal(t, numbers(row[1]), numbers(zh.table(t, "4294967295")[i][1]), "%v", row)
		}
	})

	t.Run("the sandbox's actions", func(t *testing.T) {
		t.Parallel()
		for _, p := range []*page{en, zh} {
			var named []string
			for _, row := range p.table(t, "`scan`") {
				named = append(named, codeSpans(row[:1])...)
			}
			assert.ElementsMatch(t, sandboxActions(t), named, p.path)
		}
	})

	t.Run("errors", func(t *testing.T) {
		t.Parallel()
		kinds, codes := knownErrors(t)
		for _, p := range []*page{en, zh} {
			var named []string
			for _, row := range p.table(t, "ErrTokenNotFound") {
				named = append(named, strings.Trim(row[0], "`"))
			}
			assert.ElementsMatch(t, kinds, named, "the kinds in %s", p.path)
		}

		rowsEN, rowsZH := en.table(t, "45029"), zh.table(t, "45029")
		require.Len(t, rowsEN, 1+len(codes))
		require.Len(t, rowsZH, 1+len(codes))
		check := func(e *wechatqr.Error, en, zh []string) {
			const ip = "203.0.113.9"
			assert.Equal(t, strings.ReplaceAll(e.Hint(), ip, "{ip}"), en[2], "%v", en)
			assert.Equal(t, strings.ReplaceAll(e.HintZH(), ip, "{ip}"), zh[2], "%v", zh)
			assert.Equal(t, en[1], zh[1], "%v", en)
			assert.ErrorIs(t, e, kindNamed(t, strings.Trim(en[1], "`")), "%v", en)
		}
		for i, code := range codes {
			e := &wechatqr.Error{Code: code, Message: "invalid ip 203.0.113.9, not in whitelist"}
			en, zh := rowsEN[i+1], rowsZH[i+1]
			assert.Equal(t, strconv.Itoa(int(code)), en[0])
			assert.Equal(t, en[0], zh[0])
			check(e, en, zh)
		}

		// 40001 means something else where the token comes from.
		srv := wechatqrtest.Start(t)
		srv.Inject(wechatqrtest.Fault{Path: "/cgi-bin/stable_token", Code: 40001})
		_, err := srv.Client().CreateTicket(t.Context(), wechatqr.Permanent(wechatqr.SceneID(1)))
		var e *wechatqr.Error
		require.ErrorAs(t, err, &e)
		assert.Regexp(t, "^40001 ?[^0-9]", rowsEN[0][0])
		assert.Regexp(t, "^40001 ?[^0-9]", rowsZH[0][0])
		check(e, rowsEN[0], rowsZH[0])
	})
}

// page is a file of Markdown.
type page struct {
	path     string
	text     string
	headings []string
	blocks   []block
	tables   [][][]string // rows of cells, without the head
	links    []string
}

// block is fenced code.
type block struct {
	lang, text string
	line       int
}

var (
	fenceMark = regexp.MustCompile("^( *)```([a-z]*)$")
	linkMark  = regexp.MustCompile(`\]\(([^)\s]+)\)|^\[[^\]]+\]: (\S+)`)
	ruleMark  = regexp.MustCompile(`^\|[-| ]+\|$`)
	codeMark  = regexp.MustCompile("`([^`]+)`")
	digits    = regexp.MustCompile(`\d+`)
)

func readPage(t *testing.T, name string) *page {
	t.Helper()
	text, err := os.ReadFile(name)
	require.NoError(t, err)
	p := &page{path: name, text: string(text)}
	var open *block
	var table [][]string
	var indent string
	for i, line := range strings.Split(p.text+"\n", "\n") {
		fence := fenceMark.FindStringSubmatch(line)
		switch {
		case open != nil && fence != nil:
			p.blocks = append(p.blocks, *open)
			open = nil
			continue
		case open != nil:
			open.text += strings.TrimPrefix(line, indent) + "\n"
			continue
		case fence != nil:
			indent = fence[1]
			open = &block{lang: fence[2], line: i + 1}
			continue
		case ruleMark.MatchString(line):
			table = [][]string{} // what came before was the head
			continue
		case strings.HasPrefix(line, "|"):
			if table != nil {
				var cells []string
				for _, cell := range strings.Split(strings.Trim(line, "|"), "|") {
					cells = append(cells, strings.TrimSpace(cell))
				}
				table = append(table, cells)
			}
		default:
			if table != nil {
				p.tables = append(p.tables, table)
				table = nil
			}
			if _, heading, ok := strings.Cut(line, "# "); ok && strings.Trim(line[:strings.Index(line, "# ")], "#") == "" {
				p.headings = append(p.headings, heading)
			}
		}
		for _, m := range linkMark.FindAllStringSubmatch(line, -1) {
			p.links = append(p.links, m[1]+m[2])
		}
	}
	require.Nil(t, open, "%s: a fence is not closed", name)
	return p
}

// table is the one that has a row with this text in its first two cells.
func (p *page) table(t *testing.T, text string) [][]string {
	t.Helper()
	for _, table := range p.tables {
		for _, row := range table {
			if strings.Contains(row[0]+"|"+row[1], text) {
				return table
			}
		}
	}
	t.Fatalf("%s has no table with %q", p.path, text)
	return nil
}

// essence is the block without comments, which may be translated.
func (b block) essence() string {
	switch b.lang {
	case "go":
		return b.lang + tokens(b.text)
	case "sh":
		return b.lang + strings.Join(commands(b.text), "\n")
	}
	return b.lang + b.text
}

func codeSpans(row []string) (spans []string) {
	for _, cell := range row {
		for _, m := range codeMark.FindAllStringSubmatch(cell, -1) {
			spans = append(spans, m[1])
		}
	}
	return spans
}

func numbers(s string) (ns []int) {
	for _, d := range digits.FindAllString(s, -1) {
		n, _ := strconv.Atoi(d)
		ns = append(ns, n)
	}
	return ns
}

// slug is the anchor that GitHub gives a heading.
func slug(heading string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
			return unicode.ToLower(r)
		}
		return -1
	}, heading)
}

// code is what Examples, tests and example programs consist of.
type code struct {
	files   []string // as tokens
	outputs []string // of Examples
}

func readCode(t *testing.T) (c code) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		switch base := d.Name(); {
		case err != nil:
			return err
		case d.IsDir() && name != "." && (strings.HasPrefix(base, ".") || base == "testdata" || base == "node_modules" || base == "bin"):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(base, "_test.go") && !(strings.HasPrefix(name, "examples"+string(filepath.Separator)) && strings.HasSuffix(base, ".go")):
			return nil
		}
		src, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		c.files = append(c.files, tokens(string(src)))
		file, err := parser.ParseFile(token.NewFileSet(), name, src, parser.ParseComments)
		if err != nil {
			return err
		}
		for _, ex := range doc.Examples(file) {
			c.outputs = append(c.outputs, strings.TrimSpace(ex.Output))
		}
		return nil
	}))
	return c
}

func (c code) holds(src string) bool {
	want := tokens(src)
	return slices.ContainsFunc(c.files, func(file string) bool { return strings.Contains(file, want) })
}

// tokens are those of Go code, comments and white space left out, one a line.
func tokens(src string) string {
	var s scanner.Scanner
	fset := token.NewFileSet()
	s.Init(fset.AddFile("", fset.Base(), len(src)), []byte(src), nil, 0)
	all := "\n"
	for {
		_, tok, lit := s.Scan()
		switch {
		case tok == token.EOF:
			return all
		case tok == token.SEMICOLON:
			lit = ";"
		case lit == "":
			lit = tok.String()
		}
		all += strconv.Quote(lit) + "\n"
	}
}

// isGo reports whether the code is whole statements or declarations.
func isGo(src string) bool {
	fset := token.NewFileSet()
	_, declarations := parser.ParseFile(fset, "", "package p\n"+src, 0)
	_, statements := parser.ParseFile(fset, "", "package p\nfunc _() {\n"+src+"\n}", 0)
	return declarations == nil || statements == nil
}

// commands are the lines of a shell block without comments.
func commands(sh string) (lines []string) {
	for line := range strings.Lines(sh) {
		line, _, _ = strings.Cut(line, " #")
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

// checkCommand says what is wrong with a line of shell: a program, a folder, a
// flag or a target that is not there.
func checkCommand(t *testing.T, line string) error {
	t.Helper()
	words := strings.Fields(line)
	for len(words) > 0 && (words[0] == "export" || strings.Contains(words[0], "=")) {
		words = words[1:]
	}
	if len(words) == 0 || strings.HasPrefix(line, "export ") {
		return nil
	}
	if len(words) > 3 && words[0] == "go" && words[1] == "-C" {
		if _, err := os.Stat(filepath.Join(words[2], "go.mod")); err != nil {
			return err
		}
		words = append(words[:1], words[3:]...)
	}
	command := strings.Join(words, " ")
	switch {
	case words[0] == "git":
		return nil
	case words[0] == "make" && len(words) > 1:
		makefile, err := os.ReadFile("Makefile")
		if err == nil && !regexp.MustCompile(`(?m)^`+regexp.QuoteMeta(words[1])+`:`).Match(makefile) {
			err = errors.New("the Makefile has no such target")
		}
		return err
	case strings.HasPrefix(command, "go run ./"):
		program, err := filepath.Glob(filepath.Join(words[2], "*.go"))
		if err != nil || len(program) == 0 {
			return errors.New("there is no such program")
		}
		var src []byte
		for _, name := range program {
			text, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			src = append(src, text...)
		}
		for _, word := range words[3:] {
			if flag, ok := strings.CutPrefix(word, "-"); ok && !strings.Contains(string(src), strconv.Quote(flag)) {
				return fmt.Errorf("it has no flag -%s", flag)
			}
		}
		return nil
	case strings.HasPrefix(command, "go test "), command == "go mod tidy":
		return nil
	case strings.HasPrefix(command, "go get "), strings.HasPrefix(command, "go mod edit "):
		gomod, err := os.ReadFile("go.mod")
		if err != nil {
			return err
		}
		module := strings.Fields(string(gomod))[1]
		for i, w := range words {
			name, _, _ := strings.Cut(strings.TrimPrefix(w, "-require="), "@")
			nested, ours := strings.CutPrefix(name, module)
			if !ours || strings.Contains(name, "=") {
				continue
			}
			if _, err := os.Stat(filepath.Join(".", nested, "go.mod")); err != nil {
				return err
			}
			if len(words) > i+2 && words[i+2] != name+"=../wechatqr"+nested {
				return errors.New("it looks for the module elsewhere")
			}
			return nil
		}
		return errors.New("it does not name this module")
	case words[0] == "curl":
		_, action, ok := strings.Cut(words[len(words)-1], "/_sandbox/")
		if !ok || !slices.Contains(sandboxActions(t), action) {
			return errors.New("the sandbox does no such thing")
		}
		return nil
	}
	return errors.New("not a command that this test knows")
}

// sandboxActions are the names in the table of cmd/sandbox.
func sandboxActions(t *testing.T) (names []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "cmd/sandbox/app.go", nil, 0)
	require.NoError(t, err)
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || spec.Names[0].Name != "actions" {
			return true
		}
		for _, row := range spec.Values[0].(*ast.CompositeLit).Elts {
			name, err := strconv.Unquote(row.(*ast.KeyValueExpr).Key.(*ast.BasicLit).Value)
			require.NoError(t, err)
			names = append(names, name)
		}
		return false
	})
	require.NotEmpty(t, names)
	return names
}

// knownErrors are the names of the kinds in errors.go and the codes of the table in codes.go.
func knownErrors(t *testing.T) (kinds []string, codes []wechatqr.ErrorCode) {
	t.Helper()
	inspect := func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		switch name := spec.Names[0].Name; {
		case strings.HasPrefix(name, "Err"):
			kinds = append(kinds, name)
		case name == "codeTable":
			for _, row := range spec.Values[0].(*ast.CompositeLit).Elts {
				text := ""
				ast.Inspect(row.(*ast.CompositeLit).Elts[0], func(n ast.Node) bool {
					switch n := n.(type) {
					case *ast.UnaryExpr:
						text += n.Op.String()
					case *ast.BasicLit:
						text += n.Value
					}
					return true
				})
				code, err := strconv.Atoi(text)
				require.NoError(t, err)
				codes = append(codes, wechatqr.ErrorCode(code))
			}
		}
		return false
	}
	for _, name := range []string{"errors.go", "codes.go"} {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		require.NoError(t, err)
		ast.Inspect(file, inspect)
	}
	require.NotEmpty(t, kinds)
	require.NotEmpty(t, codes)
	return kinds, codes
}

func kindNamed(t *testing.T, name string) error {
	t.Helper()
	kind, ok := map[string]error{
		"ErrInvalidArgument":   wechatqr.ErrInvalidArgument,
		"ErrInvalidCredential": wechatqr.ErrInvalidCredential,
		"ErrIPNotAllowed":      wechatqr.ErrIPNotAllowed,
		"ErrTokenRejected":     wechatqr.ErrTokenRejected,
		"ErrQuota":             wechatqr.ErrQuota,
		"ErrRateLimited":       wechatqr.ErrRateLimited,
		"ErrPermanentLimit":    wechatqr.ErrPermanentLimit,
		"ErrNotPermitted":      wechatqr.ErrNotPermitted,
		"ErrBusy":              wechatqr.ErrBusy,
	}[name]
	require.True(t, ok, "no error code should be of kind %s", name)
	return kind
}
