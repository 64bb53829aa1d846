package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/wechatqr/wechatqr/internal/webui"
)

// listeners are those of the flags; the ones that are not wanted are nil.
type listeners struct{ http, tls, phone net.Listener }

func (c *config) listen(ctx context.Context) (l listeners, err error) {
	var lc net.ListenConfig
	for _, one := range []struct {
		flag, address string
		listener      *net.Listener
	}{
		{"-addr", c.addr, &l.http}, {"-tls", c.tls, &l.tls}, {"-phone", c.phone, &l.phone},
	} {
		if one.address == "" {
			continue
		}
		if *one.listener, err = lc.Listen(ctx, "tcp", one.address); err != nil {
			l.close()
			return listeners{}, fmt.Errorf("sandbox: %w; choose another address with %s", err, one.flag)
		}
	}
	return l, nil
}

func (l listeners) close() {
	for _, one := range []net.Listener{l.http, l.tls, l.phone} {
		if one != nil {
			_ = one.Close() // a server may have done it
		}
	}
}

// server serves the sandbox by http, and by https if there is an authority.
type server struct {
	listeners
	plain, secure, scanPage *http.Server // those that are not wanted are nil
	authority               *authority   // nil without -proxy and -tls
	tunnels                 *tunnels     // nil without -proxy
}

func newServer(
	cfg config, l listeners, a *app, term *terminal, logger *log.Logger,
) (*server, error) {
	h, err := a.handler()
	if err != nil {
		return nil, err
	}
	newHTTP := func(h http.Handler) *http.Server {
		return &http.Server{Handler: h, ReadHeaderTimeout: readHeaderTimeout, ErrorLog: logger}
	}
	s := &server{listeners: l}
	front := &proxy{next: h, refused: func(host string) { term.line("proxy", "refused %s", host) }}
	s.plain = newHTTP(front)
	if a.phone != nil {
		scanPage, err := a.phone.handler()
		if err != nil {
			return nil, err
		}
		s.scanPage = newHTTP(scanPage)
	}
	if !cfg.proxy && cfg.tls == "" {
		return s, nil
	}

	if s.authority, err = cfg.authority(); err != nil {
		return nil, err
	}
	s.secure = newHTTP(h)
	s.secure.TLSConfig = s.authority.tlsConfig()
	s.secure.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){} // no HTTP/2
	if cfg.proxy {
		s.tunnels = newTunnels()
		front.tunnels = s.tunnels
	}
	return s, nil
}

func (c *config) authority() (*authority, error) {
	origin, err := url.Parse(c.origin)
	if err != nil {
		return nil, err
	}
	certFile, keyFile, err := authorityFiles(c.state)
	if err != nil {
		return nil, err
	}
	return loadAuthority(certFile, keyFile, strings.ToLower(origin.Hostname()))
}

const readHeaderTimeout = 10 * time.Second

// serve returns when ctx ends or a listener fails.
func (s *server) serve(ctx context.Context) error {
	served := make(chan error, 4)
	go func() { served <- s.plain.Serve(s.http) }()
	if s.tls != nil {
		go func() { served <- s.secure.ServeTLS(s.tls, "", "") }()
	}
	if s.tunnels != nil {
		go func() { served <- s.secure.ServeTLS(s.tunnels, "", "") }()
	}
	if s.phone != nil {
		go func() { served <- s.scanPage.Serve(s.phone) }()
	}
	select {
	case err := <-served:
		return fmt.Errorf("sandbox: %w", err)
	case <-ctx.Done():
		return nil
	}
}

// shutdown waits for the requests in progress.
func (s *server) shutdown() {
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	for _, srv := range []*http.Server{s.plain, s.secure, s.scanPage} {
		if srv != nil && srv.Shutdown(ctx) != nil {
			_ = srv.Close()
		}
	}
}

// handler serves the page and the API, each behind its guard.
func (a *app) handler() (http.Handler, error) {
	g, err := webui.NewGuard("sandbox", a.origin)
	if err != nil {
		return nil, err
	}
	page, api := g.Pages(a.routes()), guardAPI(g, a.wx)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/" || strings.HasPrefix(r.URL.Path, "/_sandbox/"):
			page.ServeHTTP(w, r)
		default:
			api.ServeHTTP(w, r)
		}
	}), nil
}
