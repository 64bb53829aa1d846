package main

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"

	"github.com/wechatqr/wechatqr/internal/webui"
)

// The languages of the page.
const (
	english = webui.English
	chinese = webui.Chinese
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
func languageOf(r *http.Request) string { return webui.Language(r, langCookie) }
