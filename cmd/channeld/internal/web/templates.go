package web

import (
	"bytes"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"reflect"
	"time"

	"github.com/wechatqr/wechatqr/internal/webui"
)

// Templates are bodies of pages in each language. A text stands in both languages where
// it is used: {{t "渠道" "Channels"}}.
type Templates map[string]*template.Template

// ParseTemplates parses the files of the pattern. It panics if they are wrong: they are
// embedded.
func ParseTemplates(files fs.FS, pattern string) Templates {
	all := Templates{}
	for _, language := range []string{webui.Chinese, webui.English} {
		functions := template.FuncMap{
			"t":     func(zh, en string) string { return pick(language, zh, en) },
			"path":  url.PathEscape, // of a key: html/template leaves "/" as it is
			"num":   func(n any) string { return Number(reflect.ValueOf(n).Int()) },
			"stamp": func(at time.Time) string { return at.Format("2006-01-02 15:04") },
		}
		all[language] = template.Must(template.New("").Funcs(functions).ParseFS(files, pattern))
	}
	return all
}

// Say is the text in the language of the request.
func Say(r *http.Request, zh, en string) string { return pick(Language(r), zh, en) }

func pick(language, zh, en string) string {
	if language == webui.Chinese {
		return zh
	}
	return en
}

// Show writes the page with the template's output as its body.
func (f Frame) Show(
	w http.ResponseWriter, r *http.Request, p Page, all Templates, name string, data any,
) {
	var b bytes.Buffer
	if err := all[Language(r)].ExecuteTemplate(&b, name, data); err != nil {
		http.Error(w, "channeld: "+err.Error(), http.StatusInternalServerError)
		return
	}
	p.Body = template.HTML(b.String()) // which html/template has escaped
	f(w, r, p)
}
