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
)

// server serves the sandbox by http, and by https if there is an authority.
type server struct {
	http, https *http.Server
	authority   *authority   // nil without -proxy and -tls
	tls         net.Listener // nil without -tls
	tunnels     *tunnels     // nil without -proxy
}

func newServer(ctx context.Context, cfg config, a *app, term *terminal, logger *log.Logger) (*server, error) {
	h, err := a.handler()
	if err != nil {
		return nil, err
	}
	p := &proxy{next: h, refused: func(host string) { term.line("proxy", "refused %s", host) }}
	s := &server{http: &http.Server{Handler: p, ReadHeaderTimeout: readHeaderTimeout, ErrorLog: logger}}
	if !cfg.proxy && cfg.tls == "" {
		return s, nil
	}

	origin, err := url.Parse(cfg.origin)
	if err != nil {
		return nil, err
	}
	certFile, keyFile, err := authorityFiles(cfg.state)
	if err != nil {
		return nil, err
	}
	if s.authority, err = loadAuthority(certFile, keyFile, strings.ToLower(origin.Hostname())); err != nil {
		return nil, err
	}
	s.https = &http.Server{
		Handler: h, ReadHeaderTimeout: readHeaderTimeout, ErrorLog: logger, TLSConfig: s.authority.tlsConfig(),
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){}, // no HTTP/2
	}
	if cfg.proxy {
		s.tunnels = newTunnels()
		p.tunnels = s.tunnels
	}
	if cfg.tls != "" {
		var lc net.ListenConfig
		if s.tls, err = lc.Listen(ctx, "tcp", cfg.tls); err != nil {
			return nil, fmt.Errorf("sandbox: %w; choose another address with -tls", err)
		}
	}
	return s, nil
}

const readHeaderTimeout = 10 * time.Second

// serve returns when ctx ends or a listener fails.
func (s *server) serve(ctx context.Context, l net.Listener) error {
	served := make(chan error, 3)
	go func() { served <- s.http.Serve(l) }()
	if s.tls != nil {
		go func() { served <- s.https.ServeTLS(s.tls, "", "") }()
	}
	if s.tunnels != nil {
		go func() { served <- s.https.ServeTLS(s.tunnels, "", "") }()
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
	for _, srv := range []*http.Server{s.http, s.https} {
		if srv != nil && srv.Shutdown(ctx) != nil {
			_ = srv.Close()
		}
	}
}

// handler serves the page and the API, each behind its guard.
func (a *app) handler() (http.Handler, error) {
	g, err := newGuard(a.origin)
	if err != nil {
		return nil, err
	}
	page, api := g.page(a.routes()), g.api(a.wx)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/" || strings.HasPrefix(r.URL.Path, "/_sandbox/"):
			page.ServeHTTP(w, r)
		default:
			api.ServeHTTP(w, r)
		}
	}), nil
}
