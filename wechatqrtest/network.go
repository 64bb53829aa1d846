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

// WithoutNetwork has the Server use in-memory connections instead of a port: Client
// and HTTPClient reach it and its pushes reach the callback of ServeCallback. In a
// bubble of testing/synctest nothing then waits in real time, not even for
// WeChat's 5 s.
func WithoutNetwork() Option { return func(c *config) { c.memory = &memoryNetwork{} } }

// HTTPClient returns a client that reaches the Server at its URL. With
// WithoutNetwork no other client does, and it reaches nothing else.
func (s *Server) HTTPClient() *http.Client {
	if s.memory == nil {
		return &http.Client{}
	}
	return &http.Client{Transport: &http.Transport{DialContext: s.memory.dial}}
}

// newPushClient returns the client for pushes: no redirects, no proxy, and a new
// connection for each, so that an idle one which the callback has closed is not
// counted as a failure.
func newPushClient(memory *memoryNetwork) *http.Client {
	t := &http.Transport{DisableKeepAlives: true, DisableCompression: true}
	if memory != nil {
		t.DialContext = memory.dial
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
	if s.memory != nil {
		p := s.memory.listen()
		l, address = p, p.host
	} else {
		var err error
		if l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			panic("wechatqrtest: no port to listen on: " + err.Error())
		}
		address = l.Addr().String()
	}

	srv := &http.Server{
		Handler: h, ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0),
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.servers = append(s.servers, srv)
	s.running++
	if s.ctx.Err() != nil {
		_ = srv.Close() // Close ran before it was in the list
	}
	go func() {
		defer s.release()
		_ = srv.Serve(l) // ends with Close
	}()
	return "http://" + address
}

// memoryNetwork connects clients and listeners by net.Pipe. Its methods may be
// called from any goroutine.
type memoryNetwork struct {
	mu        sync.Mutex
	listeners []*memoryListener
}

func (p *memoryNetwork) listen() *memoryListener {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := &memoryListener{
		host:  fmt.Sprintf("host-%d.wechatqrtest.invalid", len(p.listeners)+1),
		conns: make(chan net.Conn),
		done:  make(chan struct{}),
	}
	p.listeners = append(p.listeners, l)
	return l
}

func (p *memoryNetwork) dial(ctx context.Context, _, address string) (net.Conn, error) {
	p.mu.Lock()
	var to *memoryListener
	for _, l := range p.listeners {
		if address == l.host+":80" {
			to = l
		}
	}
	p.mu.Unlock()
	if to == nil {
		return nil, errors.New("wechatqrtest: WithoutNetwork reaches no other host: " + address)
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

type memoryListener struct {
	host  string
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (l *memoryListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *memoryListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *memoryListener) Addr() net.Addr { return memoryAddr(l.host) }

type memoryAddr string

func (memoryAddr) Network() string  { return "pipe" }
func (a memoryAddr) String() string { return string(a) }
