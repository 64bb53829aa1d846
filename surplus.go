package wechatqr

import (
	"bytes"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
)

// strictConn gives net/http each response of HTTP/1.1 and not a byte more, for
// net/http would log what is left over, whatever secret it holds. Surplus
// bytes end the connection.
//
// It follows the responses to GET and POST that have a Content-Length. From
// another one on, and through a proxy's tunnel, it passes all.
type strictConn struct {
	net.Conn
	mu     sync.Mutex
	state  connState
	header []byte // of the response, as far as it has come
	rest   int    // of the body
}

// connState is what the next byte to be read belongs to.
//
//	state      next byte                      left when
//	inNothing  surplus                        a GET or POST is written: inHeader; anything else: inUnknown
//	inHeader   of a response's header         the header ends: inBody, or inUnknown without a Content-Length
//	inBody     of the body, or surplus        the body has its length: inNothing
//	inUnknown  passed on as it is             never
type connState int

const (
	inNothing connState = iota
	inHeader
	inBody
	inUnknown
)

func (c *strictConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	if c.state == inNothing {
		c.state, c.header = inUnknown, c.header[:0]
		if bytes.HasPrefix(p, []byte("GET ")) || bytes.HasPrefix(p, []byte("POST ")) {
			c.state = inHeader
		}
	}
	c.mu.Unlock()
	return c.Conn.Write(p)
}

func (c *strictConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	body := p[:n]
	if c.state == inHeader {
		body = c.readHeader(body)
	}
	if c.state == inUnknown || c.state == inHeader {
		return n, err
	}

	surplus := max(0, len(body)-c.rest)
	c.rest -= len(body) - surplus
	switch {
	case surplus > 0:
		c.state = inBody   // with no rest, for ever
		_ = c.Conn.Close() // a request written now is not sent, and takes another connection
		if n == surplus {
			err = io.EOF
		}
	case c.rest == 0:
		c.state = inNothing
	}
	return n - surplus, err
}

// readHeader returns what of p belongs to the body, once the header is whole.
func (c *strictConn) readHeader(p []byte) (body []byte) {
	c.header = append(c.header, p...)
	header, body, whole := bytes.Cut(c.header, []byte("\n\r\n"))
	if short, rest, ok := bytes.Cut(c.header, []byte("\n\n")); ok && (!whole || len(short) < len(header)) {
		header, body, whole = short, rest, true // net/http takes it too
	}
	if !whole {
		return nil
	}
	head := strings.ToLower(string(header))
	if _, status, _ := strings.Cut(head, " "); strings.HasPrefix(status, "1") { // the response is still to come
		c.header = nil
		return c.readHeader(body)
	}

	_, length, _ := strings.Cut(head, "\ncontent-length:")
	length, _, _ = strings.Cut(length, "\n")
	n, err := strconv.Atoi(strings.TrimSpace(length))
	c.state, c.rest = inBody, n
	if err != nil || n < 0 || strings.Contains(head, "\ntransfer-encoding:") {
		c.state = inUnknown
	}
	return body
}
