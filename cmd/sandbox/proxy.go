package main

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// proxy is an HTTP proxy that goes nowhere: requests for WeChat's hosts are served here,
// by next, and those for other hosts are refused. Requests that are not for a proxy
// are served by next too.
type proxy struct {
	next    http.Handler
	tunnels *tunnels          // nil: it is no proxy
	refused func(host string) // is told of each
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method != http.MethodConnect && !r.URL.IsAbs():
		p.next.ServeHTTP(w, r)
	case p.tunnels == nil:
		http.Error(w, "sandbox: start it with -proxy to use it as a proxy", http.StatusMethodNotAllowed)
	case r.Method == http.MethodConnect:
		p.connect(w, r)
	case !isWeChat(r.URL.Hostname()):
		p.refuse(w, r.URL.Host)
	default: // some clients send https to a proxy in this form too
		in := r.Clone(r.Context())
		in.URL.Scheme, in.URL.Host = "", ""
		p.next.ServeHTTP(w, in)
	}
}

func isWeChat(host string) bool { return slices.Contains(weChatHosts, strings.ToLower(host)) }

func (p *proxy) refuse(w http.ResponseWriter, host string) {
	p.refused(host)
	http.Error(w, "sandbox: the proxy serves WeChat's hosts alone, and nothing reaches "+host+
		": add the host to NO_PROXY if the backend needs it", http.StatusForbidden)
}

// connect takes the place of the host at the other end of the tunnel.
func (p *proxy) connect(w http.ResponseWriter, r *http.Request) {
	if host, port, err := net.SplitHostPort(r.Host); err != nil || port != "443" || !isWeChat(host) {
		p.refuse(w, r.Host)
		return
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, "sandbox: "+err.Error(), http.StatusInternalServerError)
		return
	}
	if _, err := io.WriteString(conn, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		_ = conn.Close()
		return
	}
	p.tunnels.add(tunnel{conn, buffered.Reader})
}

// tunnel is a connection of which the server has read ahead.
type tunnel struct {
	net.Conn
	r *bufio.Reader
}

func (t tunnel) Read(b []byte) (int, error) { return t.r.Read(b) }

// tunnels is the listener from which the server of https takes them.
type tunnels struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newTunnels() *tunnels {
	return &tunnels{conns: make(chan net.Conn), done: make(chan struct{})}
}

func (l *tunnels) add(c net.Conn) {
	select {
	case l.conns <- c:
	case <-l.done:
		_ = c.Close()
	}
}

func (l *tunnels) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *tunnels) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *tunnels) Addr() net.Addr { return tunnelAddr{} }

type tunnelAddr struct{}

func (tunnelAddr) Network() string { return "tunnel" }
func (tunnelAddr) String() string  { return "tunnel" }
