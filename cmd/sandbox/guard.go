package main

import (
	"net"
	"net/http"
	"net/url"
	"strings"
)

// guard keeps web pages from elsewhere off the sandbox.
type guard struct {
	origin  string // of -origin
	host    string // of origin
	foreign *http.CrossOriginProtection
}

func newGuard(origin string) (*guard, error) {
	u, err := url.Parse(origin)
	if err != nil {
		return nil, err
	}
	g := &guard{origin: origin, host: strings.ToLower(u.Hostname()), foreign: http.NewCrossOriginProtection()}
	return g, g.foreign.AddTrustedOrigin(origin)
}

// knows reports whether a browser may have opened the sandbox under this Host.
// Another name that leads here is that of a page elsewhere (DNS rebinding).
func (g *guard) knows(hostport string) bool {
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

// page protects what people use: the page and what it posts to.
func (g *guard) page(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Referrer-Policy", "same-origin") // no-referrer would post with "Origin: null"
		switch {
		case !g.knows(r.Host):
			http.Error(w, "sandbox: this is not the sandbox's address: open "+g.origin+"/, or start it with -origin http://"+r.Host, http.StatusMisdirectedRequest)
			return
		case g.foreign.Check(r) != nil:
			http.Error(w, "sandbox: the request comes from a page elsewhere", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// api protects what backends use. They call it by any name, api.weixin.qq.com
// included; browsers, which tell where a request comes from, may only show
// pictures in a page elsewhere.
func (g *guard) api(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		site := r.Header.Get("Sec-Fetch-Site")
		picture := r.URL.Path == "/cgi-bin/showqrcode" && (r.Method == http.MethodGet || r.Method == http.MethodHead)
		if site != "" || r.Header.Get("Origin") != "" {
			elsewhere := site == "cross-site" || site == "same-site" || g.foreign.Check(r) != nil
			if !g.knows(r.Host) || elsewhere && !picture {
				http.Error(w, "sandbox: the request comes from a page elsewhere: the API is for backends", http.StatusForbidden)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}
