//go:build unix

package testdb

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
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

// OnEachProxy runs the test on each kind of server, behind a proxy.
func OnEachProxy(t *testing.T, test func(*testing.T, *Proxy)) {
	t.Helper()
	for name, server := range map[string]*Server{"PostgreSQL": PostgreSQL, "MariaDB": MariaDB} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, server.NewProxy(t))
		})
	}
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
		fromClient := messages(client, func() { close(left) })
		fromServer := inTwo(messages(server, func() {}))
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

// inTwo has the last byte of each message come by itself.
func inTwo(all <-chan string) <-chan string {
	parts := make(chan string, cap(all))
	go func() {
		defer close(parts)
		for message := range all {
			if last := len(message) - 1; last > 0 {
				parts <- message[:last]
				message = message[last:]
			}
			parts <- message
		}
	}()
	return parts
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

// Moment is one of a round trip.
type Moment int

// The moments: before the message is handed on, before the answer, and within the answer.
const (
	AtRequest Moment = iota
	AtAnswer
	WithinAnswer
)

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

// Hooks count, and call before at each moment with the number of the round trip. If it
// returns false the connection is cut.
func (c *Trips) Hooks(before func(trip int, m Moment, left <-chan struct{}) bool) Hooks {
	hookOf := func(asked bool) Hook {
		return func(message string, left <-chan struct{}) bool {
			if asked && isUnanswered(message) {
				return true
			}
			c.mu.Lock()
			isFirst := c.asked[left] != asked // of the parts of a message
			if isFirst && asked {
				c.n++
			}
			c.asked[left] = asked
			trip := c.n
			c.mu.Unlock()
			switch {
			case isFirst && asked:
				return before(trip, AtRequest, left)
			case isFirst:
				return before(trip, AtAnswer, left)
			case !asked:
				return before(trip, WithinAnswer, left)
			}
			return true
		}
	}
	return Hooks{hookOf(true), hookOf(false)}
}

// isUnanswered reports whether the message has nothing but ends of prepared statements, to
// which MySQL does not answer.
func isUnanswered(message string) bool {
	const stmtClose, length = 0x19, 9
	for len(message) >= length && message[4] == stmtClose {
		message = message[length:]
	}
	return message == ""
}

// IsCommit reports whether the message asks the server to commit.
func IsCommit(message string) bool {
	text := strings.ToUpper(message)
	return strings.Contains(text, "COMMIT") && !strings.Contains(text, "COMMITTED")
}

// CallInSilence calls fn while the server is silent from a moment of a round trip on, the
// first of which is 1. ctx ends as soon as it is. It reports whether it came to that. A test
// whose fn does not return then fails.
func (p *Proxy) CallInSilence(
	t testing.TB, from int, at Moment, fn func(ctx context.Context),
) bool {
	t.Helper()
	ctx, giveUp := context.WithCancel(t.Context())
	defer giveUp()
	var silent atomic.Bool
	p.Set(NewTrips().Hooks(func(trip int, m Moment, left <-chan struct{}) bool {
		if !silent.Load() && (trip < from || trip == from && m < at) {
			return true
		}
		silent.Store(true)
		if m == WithinAnswer { // the client is to read what there is first
			time.Sleep(20 * time.Millisecond)
		}
		giveUp()
		return Silent("", left)
	}))
	defer p.Set(Hooks{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		fn(ctx)
	}()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatalf("the call outlives its context, silent from round trip %d on, at %d", from, at)
	}
	return silent.Load()
}

// InSilence calls fn at a server that is silent from a moment on, for each moment until fn
// needs no more, and after each time check at one that answers.
func (p *Proxy) InSilence(t testing.TB, fn func(ctx context.Context), check func()) {
	t.Helper()
	trip := 0
	for silent := true; silent; {
		trip++
		silent = false
		for _, at := range []Moment{AtRequest, AtAnswer, WithinAnswer} {
			wasSilent := p.CallInSilence(t, trip, at, fn)
			silent = silent || wasSilent
			check()
		}
	}
	if trip == 1 {
		t.Error("the server was not asked")
	}
}
