package webui

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestGuard(t *testing.T) {
	t.Parallel()
	g, err := NewGuard("program", "https://desk.example:8443")
	require.NoError(t, err)
	h := g.Pages(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNoContent)
	}))
	const ok, foreign = http.StatusNoContent, http.StatusMisdirectedRequest
	for name, tt := range map[string]struct {
		method, host, site, origin string
		want                       int
	}{
		"the origin":             {"GET", "desk.example:8443", "", "", ok},
		"in capitals":            {"GET", "DESK.example", "", "", ok},
		"loopback":               {"GET", "127.0.0.1:1", "", "", ok},
		"loopback v6":            {"GET", "[::1]:1", "", "", ok},
		"localhost":              {"GET", "localhost", "", "", ok},
		"another name":           {"GET", "evil.example", "", "", foreign},
		"a suffix":               {"GET", "evil-localhost", "", "", foreign},
		"no name":                {"GET", "", "", "", foreign},
		"an address":             {"GET", "192.168.1.7:8443", "", "", foreign},
		"a link from elsewhere":  {"GET", "desk.example", "cross-site", "", ok},
		"its own form":           {"POST", "desk.example", "same-origin", "", ok},
		"its form, older":        {"POST", "desk.example", "", "https://desk.example:8443", ok},
		"a program":              {"POST", "desk.example", "", "", ok},
		"a form elsewhere":       {"POST", "desk.example", "cross-site", "", http.StatusForbidden},
		"from another port":      {"POST", "desk.example", "same-site", "", http.StatusForbidden},
		"from a file":            {"POST", "desk.example", "", "null", http.StatusForbidden},
		"another name, its form": {"POST", "evil.example", "same-origin", "", foreign},
		"a form elsewhere, older": {"POST", "desk.example", "", "https://evil.example",
			http.StatusForbidden},
	} {
		r := httptest.NewRequest(tt.method, "http://x/", nil)
		r.Host = tt.host
		for key, value := range map[string]string{"Sec-Fetch-Site": tt.site, "Origin": tt.origin} {
			if value != "" {
				r.Header.Set(key, value)
			}
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		assert.Equal(t, tt.want, w.Code, "%s: %s", name, w.Body)
		assert.Equal(t, Policy, w.Header().Get("Content-Security-Policy"), name)
	}
	assert.NotContains(t, Policy, "unsafe")
}

func TestAcceptedLanguage(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]string{
		"":                               English,
		"en-US,en;q=0.9":                 English,
		"zh-CN,zh;q=0.9,en;q=0.8":        Chinese,
		"zh":                             Chinese,
		"zh-TW":                          Chinese,
		"ZH-hans-CN;q=0.9, en;q=0.8":     Chinese,
		"en;q=0.5, zh;q=0.6":             Chinese,
		"en;q=0.6, zh;q=0.5":             English,
		"en, zh":                         English,
		"de-DE, fr;q=0.9":                English,
		"de, zh;q=0.1":                   Chinese,
		"zh;q=0, en;q=0.1":               English,
		"zh;q=nonsense":                  English,
		";;,,q=1":                        English,
		strings.Repeat("zh;q=0.1,", 999): Chinese,
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Accept-Language", header)
		assert.Equal(t, want, Language(r, "lang"), header)
	}
}

func TestChosenLanguage(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	assert.False(t, ChooseLanguage(w, "lang", "de"))
	assert.Empty(t, w.Header())
	require.True(t, ChooseLanguage(w, "lang", Chinese))

	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Accept-Language", "en")
	r.AddCookie(w.Result().Cookies()[0])
	assert.Equal(t, Chinese, Language(r, "lang"))
	assert.Equal(t, English, Language(r, "another"))

	r = httptest.NewRequest(http.MethodGet, "/", nil)
	r.AddCookie(&http.Cookie{Name: "lang", Value: "de"})
	assert.Equal(t, English, Language(r, "lang"))
}
