package main

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr/internal/webui"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// newTestApp is a sandbox without a listener, under http://wechat.test:8900.
func newTestApp(t *testing.T, opts ...wechatqrtest.Option) (*app, http.Handler) {
	t.Helper()
	const origin = "http://wechat.test:8900"
	wx := wechatqrtest.NewServer(append(opts, wechatqrtest.WithOrigin(origin))...)
	a, err := newApp(t.Context(), wx, origin)
	require.NoError(t, err)
	h, err := a.handler()
	require.NoError(t, err)
	t.Cleanup(func() {
		wx.Close()
		a.pushes.Wait()
	})
	return a, h
}

func TestGuard(t *testing.T) {
	t.Parallel()
	_, h := newTestApp(t)
	const ok = http.StatusOK
	browser := func(site, origin string) map[string]string {
		m := map[string]string{}
		if site != "" {
			m["Sec-Fetch-Site"] = site
		}
		if origin != "" {
			m["Origin"] = origin
		}
		return m
	}
	for name, tc := range map[string]struct {
		method, host, path string
		header             map[string]string
		want               int
	}{
		"loopback":                 {"GET", "127.0.0.1:8900", "/", nil, ok},
		"another loopback":         {"GET", "127.0.0.9", "/", nil, ok},
		"loopback v6":              {"GET", "[::1]:8900", "/", nil, ok},
		"localhost, a mapped port": {"GET", "LOCALHOST:9000", "/", nil, ok},
		"the origin":               {"GET", "wechat.test:8900", "/", nil, ok},
		"a name that was rebound": {"GET", "evil.example:8900", "/", nil,
			http.StatusMisdirectedRequest},
		"a name that looks alike": {"GET", "127.0.0.1.evil.example", "/", nil,
			http.StatusMisdirectedRequest},
		"localhost as a suffix": {"GET", "evil-localhost", "/", nil,
			http.StatusMisdirectedRequest},
		"no name": {"GET", "", "/", nil, http.StatusMisdirectedRequest},
		"an address of the network": {"GET", "192.168.1.7:8900", "/", nil,
			http.StatusMisdirectedRequest},
		"rebound, the stream": {"GET", "evil.example", "/_sandbox/state", nil,
			http.StatusMisdirectedRequest},
		"rebound, an action": {"POST", "evil.example", "/_sandbox/revoke",
			browser("same-origin", "http://evil.example"), http.StatusMisdirectedRequest},
		"a link from elsewhere": {"GET", "127.0.0.1:8900", "/", browser("cross-site", ""), ok},
		"an action of the page": {"POST", "127.0.0.1:8900", "/_sandbox/revoke",
			browser("same-origin", "http://127.0.0.1:8900"), http.StatusSeeOther},
		"an action of an older browser": {"POST", "wechat.test:8900", "/_sandbox/revoke",
			browser("", "http://wechat.test:8900"), http.StatusSeeOther},
		"an action of a program": {"POST", "127.0.0.1:8900", "/_sandbox/revoke", nil,
			http.StatusSeeOther},
		"an action from elsewhere": {"POST", "127.0.0.1:8900", "/_sandbox/revoke",
			browser("cross-site", "http://evil.example"), http.StatusForbidden},
		"from another port": {"POST", "127.0.0.1:8900", "/_sandbox/revoke",
			browser("same-site", "http://127.0.0.1:3000"), http.StatusForbidden},
		"from elsewhere, older browser": {"POST", "127.0.0.1:8900", "/_sandbox/revoke",
			browser("", "http://evil.example"), http.StatusForbidden},
		"from a file": {"POST", "127.0.0.1:8900", "/_sandbox/revoke",
			browser("", "null"), http.StatusForbidden},
		"an action by GET": {"GET", "127.0.0.1:8900", "/_sandbox/revoke", nil,
			http.StatusNotFound},
		"the API, any name": {"GET", "api.weixin.qq.com", "/cgi-bin/token", nil, ok},
		"the API, fetch of Node.js": {"POST", "127.0.0.1:8900", "/cgi-bin/stable_token",
			map[string]string{"Sec-Fetch-Mode": "cors"}, ok},
		"the API from a page elsewhere": {"GET", "127.0.0.1:8900", "/cgi-bin/token",
			browser("cross-site", ""), http.StatusForbidden},
		"the API, rebound": {"GET", "evil.example", "/cgi-bin/token",
			browser("same-origin", ""), http.StatusForbidden},
		"the API, rebound, older": {"POST", "evil.example", "/cgi-bin/stable_token",
			browser("", "http://evil.example"), http.StatusForbidden},
		"the API, typed in": {"GET", "127.0.0.1:8900", "/cgi-bin/token", browser("none", ""),
			ok},
		"a picture in a page elsewhere": {"GET", "127.0.0.1:8900", "/cgi-bin/showqrcode?ticket=x",
			browser("cross-site", ""), http.StatusNotFound},
		"a picture, posted to": {"POST", "127.0.0.1:8900", "/cgi-bin/showqrcode?ticket=x",
			browser("cross-site", ""), http.StatusForbidden},
		"a path that neither side knows": {"GET", "127.0.0.1:8900",
			"/cgi-bin/cgi-bin/token", nil, ok},
	} {
		r := httptest.NewRequest(tc.method, "http://x"+tc.path, nil)
		r.Host = tc.host
		for k, v := range tc.header {
			r.Header.Set(k, v)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		assert.Equal(t, tc.want, w.Code, "%s: %s", name, w.Body)
	}
}

func TestThePolicyAllowsNothingFromElsewhere(t *testing.T) {
	t.Parallel()
	_, h := newTestApp(t)
	for _, path := range []string{"/", "/_sandbox/page.js", "/_sandbox/page.css",
		"/_sandbox/icon.svg"} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://127.0.0.1:8900"+path, nil))
		assert.Equal(t, http.StatusOK, w.Code, path)
		assert.Equal(t, webui.Policy, w.Header().Get("Content-Security-Policy"))
		assert.NotContains(t, w.Header().Get("Content-Security-Policy"), "unsafe")
		assert.Equal(t, "nosniff", w.Header().Get("X-Content-Type-Options"))
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://127.0.0.1:8900/_sandbox/page.html",
		nil))
	assert.Equal(t, http.StatusNotFound, w.Code, "the template itself is not served")
}
