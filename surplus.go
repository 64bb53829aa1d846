package wechatqr

import (
	"bytes"
	"io"
	"net"
	"strconv"
	"sync"
)

// strictConn gives net/http each response of HTTP/1.1 and not a byte more, for
// net/http would log what is left over, whatever secret it holds. After surplus
// bytes the connection has ended.
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
type connState int

const (
	inNothing connState = iota // there is no request
	inHeader
	inBody
	inSurplus // for ever
	inUnknown // for ever
)

func (c *strictConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	state := c.state
	if state == inNothing {
		c.state, c.header = inUnknown, c.header[:0]
		if bytes.HasPrefix(p, []byte("GET ")) || bytes.HasPrefix(p, []byte("POST ")) {
			c.state = inHeader
		}
	}
	c.mu.Unlock()
	if state == inSurplus {
		return 0, net.ErrClosed // nothing has been sent, so that net/http takes another connection
	}
	return c.Conn.Write(p)
}

func (c *strictConn) Read(p []byte) (int, error) {
	c.mu.Lock()
	ended := c.state == inSurplus
	c.mu.Unlock()
	if ended {
		return 0, io.EOF
	}

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
		c.state = inSurplus
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
	head, body, whole := bytes.Cut(c.header, []byte("\r\n\r\n"))
	status, fields, _ := bytes.Cut(head, []byte("\r\n"))
	switch _, code, _ := bytes.Cut(status, []byte(" ")); {
	case !whole:
		return nil
	case bytes.HasPrefix(code, []byte("1")): // the response is still to come
		c.header = nil
		return c.readHeader(body)
	}

	c.state = inUnknown
	for len(fields) > 0 {
		var field []byte
		field, fields, _ = bytes.Cut(fields, []byte("\r\n"))
		name, value, _ := bytes.Cut(field, []byte(":"))
		if bytes.EqualFold(name, []byte("Transfer-Encoding")) {
			c.state = inUnknown
			return nil
		}
		if bytes.EqualFold(name, []byte("Content-Length")) {
			n, err := strconv.Atoi(string(bytes.TrimSpace(value)))
			if err == nil && n >= 0 {
				c.state, c.rest = inBody, n
			}
		}
	}
	return body
}
