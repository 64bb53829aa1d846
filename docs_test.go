package wechatqr_test

import (
	"go/parser"
	"go/scanner"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What README and docs show is compiled, exists and is true, in both languages.
func TestDocs(t *testing.T) {
	t.Parallel()
	english, err := filepath.Glob("docs/*.md")
	require.NoError(t, err)
	chinese, err := filepath.Glob("docs/zh/*.md")
	require.NoError(t, err)
	require.Len(t, chinese, len(english))
	english, chinese = append(english, "README.md"), append(chinese, "README.zh-CN.md")

	t.Run("tables are generated", func(t *testing.T) {
		for i := range english {
			checkTables(t, english[i], false)
			checkTables(t, chinese[i], true)
		}
	})

	t.Run("code is compiled", func(t *testing.T) {
		t.Parallel()
		compiled := readCode(t)
		others := []string{
			"redisstore/README.md", "sqlstore/README.md", "channels/README.md", "CONTRIBUTING.md",
			"SECURITY.md",
		}
		for _, name := range slices.Concat(english, others) {
			for _, b := range readPage(t, name).blocks {
				switch b.lang {
				case "go":
					found := strings.Contains(compiled, join(goTokens(b.text)))
					assert.True(t, found, "%s: no Example, test or program has\n%s", name, b.text)
				case "text":
					found := strings.Contains(compiled, outputMark+b.text)
					assert.True(t, found, "%s: no Example prints\n%s", name, b.text)
				case "sh":
					checkCommands(t, name, b.text)
				}
			}
		}
	})

	t.Run("links resolve", func(t *testing.T) {
		t.Parallel()
		all := slices.Concat(english, chinese, []string{
			"redisstore/README.md", "sqlstore/README.md", "channels/README.md",
			"benchmarks/README.md",
			"CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md",
		})
		for _, name := range all {
			for _, link := range readPage(t, name).links {
				file, anchor, _ := strings.Cut(link, "#")
				target := path.Join(path.Dir(name), file)
				if file == "" {
					target = name
				}
				_, err := os.Stat(target)
				if assert.NoError(t, err, "%s links to %s", name, link) && anchor != "" {
					assert.Contains(t, readPage(t, target).anchors(), anchor, "%s links to %s",
						name, link)
				}
			}
		}
	})

	t.Run("both languages say the same", func(t *testing.T) {
		t.Parallel()
		for i := range english {
			en, zh := readPage(t, english[i]), readPage(t, chinese[i])
			levels := func(headings []string) (levels []int) {
				for _, h := range headings {
					levels = append(levels, strings.Count(strings.Fields(h)[0], "#"))
				}
				return levels
			}
			assert.Equal(t, levels(en.headings), levels(zh.headings), "headings of %s", zh.path)
			assert.ElementsMatch(t, en.targets(), zh.targets(), "links of %s", zh.path)

			if assert.Len(t, zh.rows, len(en.rows), "rows of tables of %s", zh.path) {
				for j, row := range en.rows {
					assert.ElementsMatch(t, codeSpans(row), codeSpans(zh.rows[j]), "%s: %s",
						zh.path, zh.rows[j])
				}
			}
			if assert.Len(t, zh.blocks, len(en.blocks), "blocks of %s", zh.path) {
				for j, b := range en.blocks {
					same := b.translatedBy(zh.blocks[j])
					assert.True(t, same, "%s: not the code of %s:\n%s", zh.path, en.path,
						zh.blocks[j].text)
				}
			}
		}
	})

	t.Run("nothing is missing", func(t *testing.T) {
		t.Parallel()
		for file, where := range map[string]struct{ pattern, page string }{
			"errors.go":              {`(?m)^\t(Err\w+) += errors\.New`, "errors.md"},
			"cmd/sandbox/actions.go": {`(?m)^\t"(\w+)": +\(\*app\)\.`, "testing.md"},
		} {
			src, err := os.ReadFile(file)
			require.NoError(t, err)
			names := regexp.MustCompile(where.pattern).FindAllStringSubmatch(string(src), -1)
			require.NotEmpty(t, names, file)
			for _, dir := range []string{"docs/", "docs/zh/"} {
				rows := strings.Join(readPage(t, dir+where.page).rows, "\n")
				for _, name := range names {
					found := strings.Contains(rows, "`"+name[1]+"`")
					assert.True(t, found, "%s lacks %s of %s", dir+where.page, name[1], file)
				}
			}
		}
	})

	t.Run("README is short", func(t *testing.T) {
		t.Parallel()
		for _, name := range []string{"README.md", "README.zh-CN.md"} {
			text, err := os.ReadFile(name)
			require.NoError(t, err)
			assert.LessOrEqual(t, len(text), 10<<10, name)
		}
	})
}

// docPage is a file of Markdown.
type docPage struct {
	path     string
	headings []string // with their marks
	blocks   []codeBlock
	rows     []string // of tables
	links    []string // within the project
}

// codeBlock is fenced code.
type codeBlock struct{ lang, text string }

var (
	fence     = regexp.MustCompile("(?ms)^( *)```([a-z]*)\n(.*?)^ *```$")
	heading   = regexp.MustCompile(`(?m)^#+ .*$`)
	tableRow  = regexp.MustCompile(`(?m)^\|.*$`)
	docLink   = regexp.MustCompile(`\]\(([^):\s]+)\)`)
	codeSpan  = regexp.MustCompile("`[^`]+`")
	shComment = regexp.MustCompile(`(?m)\s*# .*$`)
)

func readPage(t *testing.T, name string) *docPage {
	t.Helper()
	text, err := os.ReadFile(name)
	require.NoError(t, err)
	p := &docPage{path: name}
	for _, m := range fence.FindAllStringSubmatch(string(text), -1) {
		p.blocks = append(p.blocks,
			codeBlock{m[2], strings.ReplaceAll("\n"+m[3], "\n"+m[1], "\n")[1:]})
	}
	prose := fence.ReplaceAllString(string(text), "")
	p.headings, p.rows = heading.FindAllString(prose, -1), tableRow.FindAllString(prose, -1)
	for _, m := range docLink.FindAllStringSubmatch(prose, -1) {
		p.links = append(p.links, m[1])
	}
	return p
}

// targets are the linked files, those in Chinese under the names of the English
// ones. Links within a page and to its translation are left out.
func (p *docPage) targets() (targets []string) {
	english := func(name string) string {
		return strings.NewReplacer("docs/zh/", "docs/", ".zh-CN.", ".").Replace(name)
	}
	for _, l := range p.links {
		file, _, _ := strings.Cut(l, "#")
		target := english(path.Join(path.Dir(p.path), file))
		if file != "" && target != english(p.path) {
			targets = append(targets, target)
		}
	}
	return targets
}

// anchors are those that GitHub gives the headings.
func (p *docPage) anchors() (anchors []string) {
	for _, h := range p.headings {
		_, title, _ := strings.Cut(h, " ")
		anchors = append(anchors, strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
				return unicode.ToLower(r)
			}
			return -1
		}, title))
	}
	return anchors
}

// codeSpans are the code in the text: words in Chinese in it may be translated.
func codeSpans(text string) (spans []string) {
	for _, span := range codeSpan.FindAllString(text, -1) {
		if !hasHan(span) {
			spans = append(spans, span)
		}
	}
	return spans
}

func hasHan(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return unicode.Is(unicode.Han, r) })
}

// translatedBy reports whether zh is the same code, with comments and texts in
// Chinese.
func (b codeBlock) translatedBy(zh codeBlock) bool {
	if b.lang != "go" {
		strip := func(s string) string { return shComment.ReplaceAllString(s, "") }
		return b.lang == zh.lang && strip(b.text) == strip(zh.text)
	}
	same := func(en, zh string) bool {
		return en == zh || en[0] == '"' && zh[0] == '"' && hasHan(zh)
	}
	return zh.lang == "go" && slices.EqualFunc(goTokens(b.text), goTokens(zh.text), same)
}

// tokens are those of Go code, comments and white space left out.
func goTokens(src string) (all []string) {
	var s scanner.Scanner
	fset := token.NewFileSet()
	s.Init(fset.AddFile("", fset.Base(), len(src)), []byte(src), nil, 0)
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
		all = append(all, lit)
	}
}

func join(tokens []string) string { return "\n" + strings.Join(tokens, "\n") + "\n" }

const outputMark = "Output:\n"

// readCode is the tokens of all Examples, tests and example programs, and the
// output of the Examples.
func readCode(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	require.NoError(t, filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base, program := d.Name(), strings.Contains("/"+filepath.ToSlash(name), "/examples/")
		hidden := len(base) > 1 && base[0] == '.'
		switch {
		case d.IsDir() && (hidden || base == "testdata" || base == "node_modules" || base == "bin"):
			return fs.SkipDir
		case d.IsDir(), filepath.Ext(base) != ".go",
			!program && !strings.HasSuffix(base, "_test.go"):
			return nil
		}
		src, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		all.WriteString(join(goTokens(string(src))))
		file, err := parser.ParseFile(token.NewFileSet(), name, src, parser.ParseComments)
		if err != nil {
			return err
		}
		for _, group := range file.Comments {
			if output, ok := strings.CutPrefix(group.Text(), outputMark); ok {
				all.WriteString(outputMark + output)
			}
		}
		return nil
	}))
	return all.String()
}

var (
	goRun      = regexp.MustCompile(`(?m)go run (\./\S+)(.*)$`)
	flagOf     = regexp.MustCompile(` -(\w+)`)
	makeTarget = regexp.MustCompile(`(?m)^make (\w+)`)
)

// checkCommands finds programs, flags and targets of make that are not there.
func checkCommands(t *testing.T, page, sh string) {
	t.Helper()
	for _, command := range goRun.FindAllStringSubmatch(shComment.ReplaceAllString(sh, ""), -1) {
		files, err := filepath.Glob(command[1] + "/*.go")
		require.NoError(t, err)
		assert.NotEmpty(t, files, "%s: %s", page, command[0])
		var src strings.Builder
		for _, file := range files {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			src.Write(text)
		}
		for _, name := range flagOf.FindAllStringSubmatch(command[2], -1) {
			found := strings.Contains(src.String(), strconv.Quote(name[1]))
			assert.True(t, found, "%s: %s has no flag -%s", page, command[1], name[1])
		}
	}
	makefile, err := os.ReadFile("Makefile")
	require.NoError(t, err)
	for _, target := range makeTarget.FindAllStringSubmatch(sh, -1) {
		found := strings.Contains(string(makefile), "\n"+target[1]+":")
		assert.True(t, found, "%s: make %s", page, target[1])
	}
}
