// Package webui is what the pages of this project's programs have in common: who may
// ask for them, what they may load, and in which language they are.
package webui

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// Guard refuses requests that web pages of other origins make.
type Guard struct {
	program     string
	origin      string
	host        string // of origin
	crossOrigin *http.CrossOriginProtection
}

// NewGuard guards the pages of a program that browsers reach at the origin, such as
// http://127.0.0.1:8900.
func NewGuard(program, origin string) (*Guard, error) {
	u, err := url.Parse(origin)
	if err != nil {
		return nil, err
	}
	g := &Guard{
		program: program, origin: origin, host: strings.ToLower(u.Hostname()),
		crossOrigin: http.NewCrossOriginProtection(),
	}
	return g, g.crossOrigin.AddTrustedOrigin(origin)
}

// AllowsHost reports whether the Host header names the program: the origin's host, or
// this machine. Another name that resolves to this machine is an attack by DNS
// rebinding.
func (g *Guard) AllowsHost(hostport string) bool {
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

// CrossOrigin reports whether a page of another origin makes the request, which
// changes something. GET and HEAD change nothing.
func (g *Guard) CrossOrigin(r *http.Request) bool { return g.crossOrigin.Check(r) != nil }

// Policy is the Content-Security-Policy of every page: files of its own origin, and
// neither scripts nor styles within the page.
const Policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; " +
	"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// Pages guards the pages and the actions that they post.
func (g *Guard) Pages(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", Policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Referrer-Policy", "same-origin") // no-referrer would post with "Origin: null"
		switch {
		case !g.AllowsHost(r.Host):
			text := fmt.Sprintf("%s: this is not its address: open %s/, or start it with "+
				"-origin http://%s", g.program, g.origin, r.Host)
			http.Error(w, text, http.StatusMisdirectedRequest)
		case g.CrossOrigin(r):
			http.Error(w, g.program+": the request comes from another origin", http.StatusForbidden)
		default:
			next.ServeHTTP(w, r)
		}
	})
}
