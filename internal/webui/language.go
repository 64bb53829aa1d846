package webui

import (
	"net/http"
	"strconv"
	"strings"
)

// The languages of the pages, as html lang has them.
const (
	English = "en"
	Chinese = "zh-CN"
)

// Language is the one that the cookie of this name has, or else the browser's.
func Language(r *http.Request, cookie string) string {
	if c, err := r.Cookie(cookie); err == nil && isLanguage(c.Value) {
		return c.Value
	}
	return accepted(r.Header.Get("Accept-Language"))
}

// ChooseLanguage keeps the language in the cookie for a year. It returns false, and
// does nothing, if the pages are not in this language.
func ChooseLanguage(w http.ResponseWriter, cookie, language string) bool {
	if !isLanguage(language) {
		return false
	}
	http.SetCookie(w, &http.Cookie{
		Name: cookie, Value: language, Path: "/", MaxAge: 365 * 24 * 3600,
		HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
	return true
}

func isLanguage(text string) bool { return text == English || text == Chinese }

// accepted picks from Accept-Language: Chinese of any region if it is preferred to
// English.
func accepted(header string) string {
	best, bestQ := English, 0.0
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
		lang := map[string]string{"en": English, "zh": Chinese}[base]
		if lang != "" && q > bestQ {
			best, bestQ = lang, q
		}
	}
	return best
}
