package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// texts are those of the page and the actions, read from the source.
func texts(t *testing.T) map[string]bool {
	t.Helper()
	const quoted = `("(?:[^"\\]|\\.)*")`
	out := map[string]bool{}
	collect := func(file, pattern string) {
		source, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, m := range regexp.MustCompile(`(?m)`+pattern).FindAllStringSubmatch(string(source), -1) {
			text, err := strconv.Unquote(m[1])
			require.NoError(t, err)
			out[text] = true
		}
	}
	for _, file := range []string{"page/page.html", "page/phone.html"} {
		collect(file, `\{\{[^{}]*?\bt `+quoted)
		collect(file, `else\}\}\{\{t `+quoted)
	}
	for _, file := range []string{"actions.go", "messages.go", "view.go", "timeline.go", "check.go",
		"faults.go"} {
		collect(file, `\bsay\(\s*`+quoted)
		collect(file, `translate\(lang, `+quoted)
		collect(file, `(?:done|failed)\("[a-z]+",\s*`+quoted)
	}
	for _, text := range libraryAdvice(t) {
		out[text] = true
	}
	for _, q := range questions {
		out[q.title], out[q.passed] = true, true
	}
	for _, word := range verdicts {
		out[word] = true
	}
	for _, k := range faultKinds {
		out[k.label] = true
	}
	for _, m := range modeViews {
		out[m.Label] = true
	}
	for _, name := range userNames {
		out[name] = true
	}
	return out
}

// libraryAdvice is the advice of wechatqrtest, read from its source: what its
// functions named advice… return, and what is assigned to Advice.
func libraryAdvice(t *testing.T) []string {
	t.Helper()
	var out []string
	add := func(e ast.Expr) {
		if text, ok := constantText(e); ok && text != "" {
			out = append(out, text)
		}
	}
	for _, name := range []string{"callback_error.go", "diagnosis.go"} {
		file, err := parser.ParseFile(token.NewFileSet(), "../../wechatqrtest/"+name, nil, 0)
		require.NoError(t, err)
		for _, d := range file.Decls {
			fn, isFunc := d.(*ast.FuncDecl)
			ast.Inspect(d, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.ReturnStmt:
					if isFunc && strings.Contains(strings.ToLower(fn.Name.Name), "advice") {
						add(n.Results[0])
					}
				case *ast.AssignStmt:
					if to, ok := n.Lhs[0].(*ast.SelectorExpr); ok && to.Sel.Name == "Advice" {
						add(n.Rhs[0])
					}
				case *ast.KeyValueExpr:
					if key, ok := n.Key.(*ast.Ident); ok && key.Name == "Advice" {
						add(n.Value)
					}
				}
				return true
			})
		}
	}
	require.Greater(t, len(out), 30, "they are found")
	return out
}

// constantText is the value of strings that are joined.
func constantText(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(e.Value)
		return text, err == nil
	case *ast.BinaryExpr:
		left, ok1 := constantText(e.X)
		right, ok2 := constantText(e.Y)
		return left + right, ok1 && ok2
	}
	return "", false
}

// untranslated are equal in both languages.
var untranslated = map[string]bool{"%s": true, "%s %d": true, "Token": true}

func TestEveryTextIsTranslatedAndNoneUnused(t *testing.T) {
	t.Parallel()
	all := texts(t)
	require.Greater(t, len(all), 150, "the pattern finds them")
	verbs := regexp.MustCompile(`%[a-z]`)
	for text := range all {
		if untranslated[text] {
			continue
		}
		zh, ok := chineseTexts()[text]
		assert.True(t, ok, "not in zh-CN.json: %q", text)
		assert.Equal(t, verbs.FindAllString(text, -1), verbs.FindAllString(zh, -1), "the verbs of %q",
			text)
	}
	for text := range chineseTexts() {
		assert.True(t, all[text], "unused in zh-CN.json: %q", text)
	}
}

func TestAccepted(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]string{
		"":                               english,
		"en-US,en;q=0.9":                 english,
		"zh-CN,zh;q=0.9,en;q=0.8":        chinese,
		"zh":                             chinese,
		"zh-TW":                          chinese,
		"ZH-hans-CN;q=0.9, en;q=0.8":     chinese,
		"en;q=0.5, zh;q=0.6":             chinese,
		"en;q=0.6, zh;q=0.5":             english,
		"en, zh":                         english,
		"de-DE, fr;q=0.9":                english,
		"de, zh;q=0.1":                   chinese,
		"zh;q=0, en;q=0.1":               english,
		"zh;q=nonsense":                  english,
		";;,,q=1":                        english,
		strings.Repeat("zh;q=0.1,", 999): chinese,
	} {
		assert.Equal(t, want, accepted(header), header)
	}
}

func TestTranslate(t *testing.T) {
	t.Parallel()
	p := say("%s scanned %s.", say("Lin"), "shop-42 100%")
	assert.Equal(t, "Lin scanned shop-42 100%.", p.in(english))
	assert.Equal(t, "林林 扫描了 shop-42 100%。", p.in(chinese))
	assert.Equal(t, "Lin 2", say("%s %d", say("Lin"), 2).in(english))
	assert.Equal(t, "林林 2", say("%s %d", say("Lin"), 2).in(chinese))
}
