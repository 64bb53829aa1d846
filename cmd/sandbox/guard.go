package main

import (
	"net"
	"net/http"
	"net/url"
	"strings"
)

// guard refuses requests that web pages of other origins make.
type guard struct {
	origin      string
	host        string // of origin
	crossOrigin *http.CrossOriginProtection
}

func newGuard(origin string) (*guard, error) {
	u, err := url.Parse(origin)
	if err != nil {
		return nil, err
	}
	g := &guard{
		origin: origin, host: strings.ToLower(u.Hostname()), crossOrigin: http.NewCrossOriginProtection(),
	}
	return g, g.crossOrigin.AddTrustedOrigin(origin)
}

// allowsHost reports whether the Host header names the sandbox. Another name that
// resolves to this machine is an attack by DNS rebinding.
func (g *guard) allowsHost(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.ToLower(strings.Trim(host, "[]"))
	if host == "localhost" || host == g.host {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// page guards the page and the actions that it posts.
func (g *guard) page(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Referrer-Policy", "same-origin") // no-referrer would post with "Origin: null"
		switch {
		case !g.allowsHost(r.Host):
			http.Error(w, "sandbox: this is not the sandbox's address: open "+g.origin+
				"/, or start it with -origin http://"+r.Host, http.StatusMisdirectedRequest)
			return
		case g.crossOrigin.Check(r) != nil:
			http.Error(w, "sandbox: the request comes from another origin", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// api guards the API. Backends may use any host name, api.weixin.qq.com included.
// Browsers, which send Sec-Fetch-Site or Origin, get only pictures in pages of
// other origins.
func (g *guard) api(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		site := r.Header.Get("Sec-Fetch-Site")
		reads := r.Method == http.MethodGet || r.Method == http.MethodHead
		picture := reads && r.URL.Path == "/cgi-bin/showqrcode"
		if site != "" || r.Header.Get("Origin") != "" {
			crossOrigin := site == "cross-site" || site == "same-site" || g.crossOrigin.Check(r) != nil
			if !g.allowsHost(r.Host) || crossOrigin && !picture {
				http.Error(w, "sandbox: the request comes from another origin: the API is for backends",
					http.StatusForbidden)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}
