package main

import (
	"os"
	"regexp"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// texts are those of the page and the actions, read from the source.
func texts(t *testing.T) map[string]bool {
	t.Helper()
	const literals = `("(?:[^"\\]|\\.)*")`
	out := map[string]bool{}
	collect := func(file, pattern string) {
		source, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, m := range regexp.MustCompile(`(?m)`+pattern).FindAllStringSubmatch(string(source),
			-1) {
			text, err := strconv.Unquote(m[1])
			require.NoError(t, err)
			out[text] = true
		}
	}
	for _, file := range []string{"page/page.html", "page/phone.html"} {
		collect(file, `\{\{[^{}]*?\bt `+literals)
		collect(file, `else\}\}\{\{t `+literals)
	}
	for _, file := range []string{"actions.go", "messages.go", "view.go", "timeline.go", "check.go",
		"faults.go"} {
		collect(file, `\bsay\(\s*`+literals)
		collect(file, `translate\(lang, `+literals)
		collect(file, `(?:done|failed)\("[a-z]+",\s*`+literals)
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
		assert.Equal(t, verbs.FindAllString(text, -1), verbs.FindAllString(zh, -1),
			"the verbs of %q",
			text)
	}
	for text := range chineseTexts() {
		assert.True(t, all[text], "unused in zh-CN.json: %q", text)
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
