//go:build unix

package testdb

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Proxy stands before a server. What goes through waits for the hooks.
type Proxy struct {
	Database          // by way of the proxy
	Direct   Database // the same, past the proxy

	socket string // of the server

	mu    sync.Mutex
	hooks Hooks
	conns []net.Conn
}

// Hook is told of a message before it is handed on. left is closed when the client has
// left. If the hook returns false the connection is cut.
type Hook func(message string, left <-chan struct{}) bool

// Hooks are those of what the client sends and of what the server does; nil for none.
type Hooks struct{ Request, Answer Hook }

// Silent hands nothing on until the client leaves.
func Silent(_ string, left <-chan struct{}) bool {
	<-left
	return false
}

// NewProxy returns a proxy before the server with a new database.
func (s *Server) NewProxy(t testing.TB) *Proxy {
	t.Helper()
	direct := s.NewDatabase(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{Direct: direct, socket: filepath.Join(s.dir, s.socket)}
	port := listener.Addr().(*net.TCPAddr).Port
	p.DSN = fmt.Sprintf(s.onPort.DSN, port, direct.name)
	p.URL = fmt.Sprintf(s.onPort.URL, port, direct.name)

	var all sync.WaitGroup
	all.Go(func() { p.serve(listener, &all) })
	t.Cleanup(func() {
		_ = listener.Close()
		p.cutAll()
		all.Wait()
	})
	return p
}

// Set has the hooks told of what goes through from now on.
func (p *Proxy) Set(h Hooks) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hooks = h
}

func (p *Proxy) serve(listener net.Listener, all *sync.WaitGroup) {
	for {
		client, err := listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("unix", p.socket)
		if err != nil {
			_ = client.Close()
			continue
		}
		p.mu.Lock()
		p.conns = append(p.conns, client, server)
		p.mu.Unlock()
		left := make(chan struct{})
		fromClient, fromServer := messages(client, func() { close(left) }),
			messages(server, func() {})
		pass := func(to net.Conn, from <-chan string, pick func(Hooks) Hook) {
			p.pass(to, from, left, pick)
			_, _ = client.Close(), server.Close()
		}
		all.Go(func() { pass(server, fromClient, func(h Hooks) Hook { return h.Request }) })
		all.Go(func() { pass(client, fromServer, func(h Hooks) Hook { return h.Answer }) })
	}
}

// messages reads on while nobody takes them, so that the end is noticed.
func messages(from net.Conn, atEnd func()) <-chan string {
	all := make(chan string, 1000)
	go func() {
		defer close(all)
		defer atEnd()
		buffer := make([]byte, 1<<16)
		for {
			n, err := from.Read(buffer)
			if err != nil {
				return
			}
			all <- string(buffer[:n])
		}
	}()
	return all
}

func (p *Proxy) pass(
	to net.Conn, from <-chan string, left <-chan struct{}, pick func(Hooks) Hook,
) {
	for message := range from {
		p.mu.Lock()
		check := pick(p.hooks)
		p.mu.Unlock()
		if check != nil && !check(message, left) {
			return
		}
		if _, err := to.Write([]byte(message)); err != nil {
			return
		}
	}
}

func (p *Proxy) cutAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range p.conns {
		_ = conn.Close()
	}
}

// Trips counts round trips: the messages to which the server answered.
type Trips struct {
	mu    sync.Mutex
	asked map[<-chan struct{}]bool // by connection
	n     int
}

// NewTrips returns a counter at 0.
func NewTrips() *Trips { return &Trips{asked: map[<-chan struct{}]bool{}} }

// Count is how many there were.
func (c *Trips) Count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

// Hooks count, and call before with the number of a round trip: before its message goes to
// the server, and before the answer goes to the client. If it returns false the connection
// is cut.
func (c *Trips) Hooks(before func(trip int, answered bool, left <-chan struct{}) bool) Hooks {
	hookOf := func(asked bool) Hook {
		return func(_ string, left <-chan struct{}) bool {
			c.mu.Lock()
			isFirst := c.asked[left] != asked // of the parts of a message
			if isFirst && asked {
				c.n++
			}
			c.asked[left] = asked
			trip := c.n
			c.mu.Unlock()
			return !isFirst || before(trip, !asked, left)
		}
	}
	return Hooks{hookOf(true), hookOf(false)}
}

// IsCommit reports whether the message asks the server to commit.
func IsCommit(message string) bool {
	text := strings.ToUpper(message)
	return strings.Contains(text, "COMMIT") && !strings.Contains(text, "COMMITTED")
}
