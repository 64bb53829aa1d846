package web

import (
	"html/template"
	"net/http"

	"github.com/wechatqr/wechatqr/internal/webui"
)

// Frame writes a page: what every page has, around the body of this one. The server's
// own pages (sign-in, settings, making and printing codes) are written by the Frame of
// package page.
type Frame func(w http.ResponseWriter, r *http.Request, p Page)

// Page is what a Frame is to write.
type Page struct {
	Status int    // of HTTP; 0 is 200
	Title  string // in the language of the request
	Place  string // its entry of the menu: "make", "print", "settings"; "setup": no menu
	Body   template.HTML

	// Once is a page that cannot be shown again: no link leads to its other language.
	Once bool
}

// LanguageCookie is the cookie of the language that was chosen.
const LanguageCookie = "desk_lang"

// Language is webui.Chinese or webui.English: the chosen one, or else the browser's. A
// browser that does not say gets Chinese.
func Language(r *http.Request) string {
	if _, err := r.Cookie(LanguageCookie); err != nil && r.Header.Get("Accept-Language") == "" {
		return webui.Chinese
	}
	return webui.Language(r, LanguageCookie)
}
