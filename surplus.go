package wechatqr

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// strictConn gives net/http each response of HTTP/1.1 and not a byte more, for
// net/http would log what is left over, whatever secret it holds. Surplus
// bytes end the connection.
//
// It follows the responses to GET and POST that have a Content-Length or are
// chunked. From another one on, and through a proxy's tunnel, it passes all.
type strictConn struct {
	net.Conn
	mu      sync.Mutex
	state   connState
	line    []byte  // as far as it has come
	field   []byte  // of the header, which the next line may go on with
	rest    int     // of the body or the chunk; while inHeader what is known of it, -1 for nothing
	code    [3]byte // the status of the response, zeros before the first
	http10  bool    // in which net/http ignores Transfer-Encoding
	chunked bool
}

// connState is what the next byte to be read belongs to.
//
//	state      next byte                     left when
//	inNothing  surplus                       a GET or POST is written: inStatus; another request: inUnknown
//	inStatus   of a response's first line    the line ends: inHeader
//	inHeader   of the lines after it         an empty one ends: by what they have said
//	inBody     of a body of known length     it has its length: inNothing
//	inSize     of the line before a chunk    the line ends: inChunk, or inTrailer after a size of 0
//	inChunk    of a chunk or its line end    it has its length: inSize
//	inTrailer  of the lines after chunks     an empty one ends: inNothing
//	inSurplus  surplus                       never
//	inUnknown  passed on as it is            never
type connState int

const (
	inNothing connState = iota
	inStatus
	inHeader
	inBody
	inSize
	inChunk
	inTrailer
	inSurplus
	inUnknown
)

func (c *strictConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	if c.state == inNothing {
		method, target, _ := strings.Cut(string(p[:min(len(p), 16)]), " ")
		switch {
		case method == http.MethodGet, method == http.MethodPost:
			c.state = inStatus
		case c.code[0] == 0 || strings.HasPrefix(target, "/"): // not the rest of a request's body
			c.state = inUnknown
		}
	}
	c.mu.Unlock()
	return c.Conn.Write(p)
}

func (c *strictConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	response := c.follow(p[:n])
	if response < n {
		c.state = inSurplus
		_ = c.Conn.Close() // a request written now is not sent, and takes another connection
		if response == 0 {
			err = io.EOF
		}
	}
	return response, err
}

// follow returns how much of p belongs to a response.
func (c *strictConn) follow(p []byte) (n int) {
	for n < len(p) {
		switch c.state {
		case inNothing, inSurplus:
			return n
		case inUnknown:
			return len(p)
		case inBody, inChunk:
			some := min(c.rest, len(p)-n)
			n, c.rest = n+some, c.rest-some
			c.endBody()
		default:
			line, _, whole := bytes.Cut(p[n:], []byte("\n"))
			n += len(line)
			c.line = append(c.line, line...)
			if whole {
				n++
				c.endLine(bytes.TrimSuffix(c.line, []byte("\r")))
				c.line = c.line[:0]
			}
		}
	}
	return n
}

func (c *strictConn) endBody() {
	switch {
	case c.rest > 0:
	case c.state == inChunk:
		c.state = inSize
	default:
		c.state = inNothing
	}
}

func (c *strictConn) endLine(line []byte) {
	switch {
	case c.state == inStatus:
		c.state, c.rest, c.chunked = inHeader, -1, false
		proto, status, _ := bytes.Cut(line, []byte(" "))
		c.http10 = string(proto) < "HTTP/1.1"
		copy(c.code[:], bytes.TrimLeft(status, " "))
	case c.state == inHeader && len(line) == 0:
		c.endField()
		c.endHeader()
	case c.state == inHeader && (line[0] == ' ' || line[0] == '\t'):
		c.field = append(c.field, line...)
	case c.state == inHeader:
		c.endField()
		c.field = append(c.field, line...)
	case c.state == inSize:
		size, _, _ := bytes.Cut(line, []byte(";"))
		n, err := strconv.ParseUint(string(bytes.TrimSpace(size)), 16, 30) // or the sum would not be an int of 32 bits
		c.state, c.rest = inChunk, int(n)+len("\r\n")
		switch {
		case err != nil:
			c.state = inUnknown
		case n == 0:
			c.state = inTrailer
		}
	case c.state == inTrailer && len(line) == 0:
		c.state = inNothing
	}
}

func (c *strictConn) endField() {
	name, text, _ := bytes.Cut(c.field, []byte(":"))
	value := string(bytes.TrimSpace(text))
	switch {
	case strings.EqualFold(string(name), "Content-Length"):
		n, err := strconv.Atoi(value)
		if err != nil {
			n = -1 // which is net/http's to refuse
		}
		c.rest = n
	case strings.EqualFold(string(name), "Transfer-Encoding"):
		c.chunked = strings.EqualFold(value, "chunked")
	}
	c.field = c.field[:0]
}

func (c *strictConn) endHeader() {
	code := string(c.code[:])
	switch {
	case code[0] == '1': // another response follows
		c.state = inStatus
	case code == "204", code == "304": // no body
		c.state = inNothing
	case c.chunked && !c.http10:
		c.state = inSize
	case c.rest < 0:
		c.state = inUnknown
	default:
		c.state = inBody
		c.endBody()
	}
}
