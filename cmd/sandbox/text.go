package main

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// The languages of the page, as html lang has them.
const (
	english = "en"
	chinese = "zh-CN"
)

// zh-CN.json has the Chinese texts of the page by the English ones, in the terms of
// WeChat's console.
//
//go:embed zh-CN.json
var chineseJSON []byte

var chineseTexts = sync.OnceValue(func() map[string]string {
	var list map[string]string
	if err := json.Unmarshal(chineseJSON, &list); err != nil {
		panic("zh-CN.json: " + err.Error())
	}
	return list
})

// phrase is a text that is translated when it is shown.
type phrase struct {
	Text string // English, a format of fmt
	Args []any
}

func say(text string, args ...any) phrase { return phrase{text, args} }

func (p phrase) in(lang string) string { return translate(lang, p.Text, p.Args...) }

// translate returns the English text in a language. Arguments that are phrases are
// translated too.
func translate(lang, text string, args ...any) string {
	if lang == chinese {
		if zh, ok := chineseTexts()[text]; ok {
			text = zh
		}
	}
	if len(args) == 0 {
		return text
	}
	in := make([]any, len(args))
	for i, v := range args {
		if p, ok := v.(phrase); ok {
			v = p.in(lang)
		}
		in[i] = v
	}
	return fmt.Sprintf(text, in...)
}

const langCookie = "sandbox_lang"

// languageOf is the language chosen on the page, or else the browser's.
func languageOf(r *http.Request) string {
	if c, err := r.Cookie(langCookie); err == nil {
		switch c.Value {
		case english, chinese:
			return c.Value
		}
	}
	return accepted(r.Header.Get("Accept-Language"))
}

// accepted picks from Accept-Language: Chinese of any region if it is preferred to
// English.
func accepted(header string) string {
	best, bestQ := english, 0.0
	for item := range strings.SplitSeq(header, ",") {
		tag, params, _ := strings.Cut(strings.TrimSpace(item), ";")
		q := 1.0
		if v, ok := strings.CutPrefix(strings.TrimSpace(params), "q="); ok {
			var err error
			if q, err = strconv.ParseFloat(v, 64); err != nil {
				continue
			}
		}
		base, _, _ := strings.Cut(strings.ToLower(tag), "-")
		lang := map[string]string{"en": english, "zh": chinese}[base]
		if lang != "" && q > bestQ {
			best, bestQ = lang, q
		}
	}
	return best
}
