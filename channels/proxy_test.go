package channels

import (
	"database/sql"
	"fmt"
	"net"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// proxy stands before a real server. What goes through waits for the hooks.
type proxy struct {
	socket      string // of the server
	driver, dsn string // by way of the proxy

	mu    sync.Mutex
	hooks hooks
	conns []net.Conn
}

// hook is told of a message before it is handed on. left is closed when the client has
// left. If the hook returns false the connection is cut.
type hook func(message string, left <-chan struct{}) bool

// hooks are those of what the client sends and of what the server does; nil for none.
type hooks struct{ request, answer hook }

var (
	socketOfPostgreSQL = regexp.MustCompile(`host=(\S+)`)
	socketOfMariaDB    = regexp.MustCompile(`unix\((.+)\)`)
)

// newProxy returns a proxy before the server of the dialect with a new database, and
// connections to that database that pass the proxy by.
func newProxy(t *testing.T, d Dialect) (p *proxy, direct *sql.DB) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	port := listener.Addr().(*net.TCPAddr).Port

	driver, dsn := source(t, d)
	socket, file := socketOfPostgreSQL, "/.s.PGSQL.5432"
	address := fmt.Sprintf("host=127.0.0.1 port=%d sslmode=disable", port)
	if d.name == "MySQL" {
		socket, file, address = socketOfMariaDB, "", fmt.Sprintf("tcp(127.0.0.1:%d)", port)
	}
	p = &proxy{
		socket: socket.FindStringSubmatch(dsn)[1] + file, driver: driver,
		dsn: socket.ReplaceAllLiteralString(dsn, address),
	}
	var all sync.WaitGroup
	all.Go(func() { p.serve(listener, &all) })
	t.Cleanup(func() {
		_ = listener.Close()
		p.cutAll()
		all.Wait()
	})
	return p, connect(t, driver, dsn)
}

func (p *proxy) serve(listener net.Listener, all *sync.WaitGroup) {
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
		pass := func(to net.Conn, from <-chan string, pick func(hooks) hook) {
			p.pass(to, from, left, pick)
			_, _ = client.Close(), server.Close()
		}
		all.Go(func() { pass(server, fromClient, func(h hooks) hook { return h.request }) })
		all.Go(func() { pass(client, fromServer, func(h hooks) hook { return h.answer }) })
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

func (p *proxy) pass(
	to net.Conn, from <-chan string, left <-chan struct{}, pick func(hooks) hook,
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

func (p *proxy) set(h hooks) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hooks = h
}

func (p *proxy) cutAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range p.conns {
		_ = conn.Close()
	}
}

// trips counts round trips: the messages to which the server answered.
type trips struct {
	mu    sync.Mutex
	asked map[<-chan struct{}]bool // by connection
	n     int
}

func newTrips() *trips { return &trips{asked: map[<-chan struct{}]bool{}} }

func (c *trips) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

// hooks count, and call before with the number of a round trip: before its message goes to
// the server, and before the answer goes to the client.
func (c *trips) hooks(before func(trip int, answered bool) bool) hooks {
	hookOf := func(asked bool) hook {
		return func(_ string, left <-chan struct{}) bool {
			c.mu.Lock()
			isFirst := c.asked[left] != asked // of the parts of a message
			if isFirst && asked {
				c.n++
			}
			c.asked[left] = asked
			trip := c.n
			c.mu.Unlock()
			return !isFirst || before(trip, !asked)
		}
	}
	return hooks{hookOf(true), hookOf(false)}
}

// isCommit reports whether the message asks the server to commit.
func isCommit(message string) bool {
	text := strings.ToUpper(message)
	return strings.Contains(text, "COMMIT") && !strings.Contains(text, "COMMITTED")
}
