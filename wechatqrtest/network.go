package wechatqrtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"
)

// WithoutNetwork has the Server open no port: it and the callbacks of
// ServeCallback are reached through memory, by Client and HTTPClient and the
// Server's own pushes. Within a bubble of testing/synctest nothing then waits
// in real time, not for WeChat's 5 s either.
func WithoutNetwork() Option { return func(s *Server) { s.pipes = &pipes{} } }

// HTTPClient reaches the Server at its URL, and with WithoutNetwork nothing
// else does.
func (s *Server) HTTPClient() *http.Client {
	if s.pipes == nil {
		return &http.Client{}
	}
	return &http.Client{Transport: &http.Transport{DialContext: s.pipes.dial}}
}

// newPusher makes the client for pushes: no redirects, no proxy, and a
// connection for each, so that one which the callback closes meanwhile is
// never taken for a failure.
func (s *Server) newPusher() *http.Client {
	t := &http.Transport{DisableKeepAlives: true, DisableCompression: true}
	if s.pipes != nil {
		t.DialContext = s.pipes.dial
	}
	return &http.Client{
		Transport:     t,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// listen serves h until Close and returns its address.
func (s *Server) listen(h http.Handler) string {
	var l net.Listener
	var address string
	if s.pipes != nil {
		p := s.pipes.listen()
		l, address = p, p.host
	} else {
		var err error
		if l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			panic("wechatqrtest: no port to listen on: " + err.Error())
		}
		address = l.Addr().String()
	}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0)}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.servers = append(s.servers, srv)
	s.running++
	if s.life.Err() != nil {
		_ = srv.Close() // Close did not know of it
	}
	go func() {
		defer s.leave()
		_ = srv.Serve(l) // ends with Close
	}()
	return "http://" + address
}

// pipes is a network in memory.
type pipes struct {
	mu        sync.Mutex
	listeners []*pipeListener
}

func (p *pipes) listen() *pipeListener {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := &pipeListener{
		host:  fmt.Sprintf("host-%d.wechatqrtest.invalid", len(p.listeners)+1),
		conns: make(chan net.Conn),
		done:  make(chan struct{}),
	}
	p.listeners = append(p.listeners, l)
	return l
}

func (p *pipes) dial(ctx context.Context, _, address string) (net.Conn, error) {
	p.mu.Lock()
	var to *pipeListener
	for _, l := range p.listeners {
		if address == l.host+":80" {
			to = l
		}
	}
	p.mu.Unlock()
	if to == nil {
		return nil, errors.New("wechatqrtest: no such host without network: " + address)
	}
	client, server := net.Pipe()
	select {
	case to.conns <- server:
		return client, nil
	case <-to.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

type pipeListener struct {
	host  string
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return pipeAddr(l.host) }

type pipeAddr string

func (pipeAddr) Network() string  { return "pipe" }
func (a pipeAddr) String() string { return string(a) }
