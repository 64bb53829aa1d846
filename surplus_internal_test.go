package wechatqr

import (
	"io"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// scriptedConn gives one text at a Read, also after Close, as TLS may.
type scriptedConn struct {
	net.Conn
	reads  []string
	closed bool
}

func (c *scriptedConn) Read(p []byte) (int, error) {
	n := copy(p, c.reads[0])
	c.reads = c.reads[1:]
	return n, nil
}

func (c *scriptedConn) Write(p []byte) (int, error) { return len(p), nil }
func (c *scriptedConn) Close() error                { c.closed = true; return nil }

// After surplus bytes no further ones are taken for the next response.
func TestSurplusEndsTheConnection(t *testing.T) {
	const whole = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
	for name, reads := range map[string][]string{
		"in one read": {whole + "s3cr3t", whole},
		"alone":       {whole, "s3cr3t", whole},
	} {
		script := &scriptedConn{reads: reads}
		conn := &strictConn{Conn: script}
		buf := make([]byte, 200)
		_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\n\r\n")
		n, err := conn.Read(buf)
		require.NoError(t, err, name)
		require.Equal(t, whole, string(buf[:n]), name)
		if len(script.reads) == 2 {
			n, err = conn.Read(buf)
			require.ErrorIs(t, err, io.EOF, name)
			require.Zero(t, n, name)
		}
		assert.True(t, script.closed, name)
		_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\n\r\n")
		n, err = conn.Read(buf)
		require.ErrorIs(t, err, io.EOF, name)
		require.Zero(t, n, name)
	}
}

// A length that is none is net/http's to refuse.
func TestSurplusOfNoLength(t *testing.T) {
	for _, length := range []string{"-5", "", "two", "99999999999999999999"} {
		text := "HTTP/1.1 200 OK\r\nContent-Length: " + length + "\r\n\r\n{}"
		conn := &strictConn{Conn: &scriptedConn{reads: []string{text}}}
		_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\n\r\n")
		got := make([]byte, 200)
		n, err := conn.Read(got)
		require.NoError(t, err, length)
		assert.Equal(t, text, strings.TrimRight(string(got[:n]), "\x00"), length)
	}
}

// What precedes the surplus does not hide it: an interim response, a header in
// two pieces, a field on several lines, lines that end without \r, an empty body, a
// request still being written.
func TestSurplusIsFound(t *testing.T) {
	const whole = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
	const empty = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
	const bare = "HTTP/1.1 200 OK\nContent-Length: 2\n\n{}"
	const mixed = "HTTP/1.1 200 OK\r\nContent-Length: 4\n\n"
	const head = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: Chunked\r\n\r\n"
	const chunks = head + "1\r\n{\r\n00a; x=1\r\n0123456789\r\n1 \r\n}\r\n0\r\n"
	const trailers = chunks + "A: b\r\nTransfer-Encoding: chunked\r\n\r\n"
	const odd = head + "x\r\n{}\r\n0\r\n\r\npassed on"
	const huge = head + "7fffffff\r\npassed on"
	const folded = "HTTP/1.1 200 OK\r\nContent-Length:\r\n\t\r\n 2\r\n\r\n{}"
	foldedChunks := strings.Replace(chunks, " Chunked", "\r\n chunked", 1) + "\r\n"
	const old = "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n{}"
	const blank = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nVia: x\r\n\r\n" +
		"4\r\n\r\n\r\n\r\n0\r\n\r\n"
	const noContent = "HTTP/1.1 204 No Content\r\nContent-Length: 9\r\n\r\n"
	const none = "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n"
	for _, tt := range []struct {
		method string
		reads  []string
		want   string
	}{
		{"GET", []string{"HTTP/1.1 100 Continue\r\n\r\n" + whole + "s3cr3t"},
			"HTTP/1.1 100 Continue\r\n\r\n" + whole},
		{"GET", []string{whole[:20], whole[20:] + "s3cr3t"}, whole},
		{"GET", []string{bare + "s3cr3t"}, bare},
		{"GET", []string{mixed + "\r\n\r\ns3cr3t"}, mixed + "\r\n\r\n"},
		{"GET", []string{empty + "s3cr3t"}, empty},
		{"POST", []string{whole[:len(whole)-1], "}s3cr3t"}, whole},
		{"GET", []string{chunks + "\r\ns3cr3t"}, chunks + "\r\n"},
		{"GET", strings.SplitAfter(chunks+"\r\ns3cr3t", ""), chunks + "\r\n"},
		{"GET", []string{trailers + "s3cr3t"}, trailers},
		{"GET", []string{odd}, odd},
		{"GET", []string{huge}, huge}, // too much for 32 bits, with the line end
		{"GET", []string{folded + "s3cr3t"}, folded},
		{"GET", []string{foldedChunks + "s3cr3t"}, foldedChunks},
		{"GET", []string{old + "s3cr3t"}, old},
		{"GET", []string{none + "s3cr3t"}, none},
		{"GET", []string{noContent + "s3cr3t"}, noContent},
		{"GET", []string{blank + "s3cr3t"}, blank},
		{"CONNECT", []string{empty + "tunnel"}, empty + "tunnel"},
		{"GET", []string{empty, "s3cr3t"}, empty},
	} {
		conn := &strictConn{Conn: &scriptedConn{reads: tt.reads}}
		_, _ = io.WriteString(conn, tt.method+" / HTTP/1.1\r\n\r\n")
		got, buf := "", make([]byte, 200)
		for range tt.reads {
			n, err := conn.Read(buf)
			if n == 0 {
				require.ErrorIs(t, err, io.EOF)
				break
			}
			require.NoError(t, err)
			got += string(buf[:n])
			_, _ = io.WriteString(conn, "more of the request")
		}
		assert.Equal(t, tt.want, got)
	}
}

// Another method's response on a connection that was used is passed on.
func TestSurplusOfAnotherMethod(t *testing.T) {
	const empty = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
	conn := &strictConn{Conn: &scriptedConn{reads: []string{empty, empty + "s3cr3t"}}}
	buf := make([]byte, 200)
	_, _ = io.WriteString(conn, "GET /a HTTP/1.1\r\n\r\n")
	n, err := conn.Read(buf)
	require.NoError(t, err)
	require.Equal(t, empty, string(buf[:n]))
	_, _ = io.WriteString(conn, "HEAD /a HTTP/1.1\r\n\r\n")
	n, err = conn.Read(buf)
	require.NoError(t, err)
	assert.Equal(t, empty+"s3cr3t", string(buf[:n]))
}

// What is no request begins a tunnel.
func TestSurplusOfATunnel(t *testing.T) {
	for _, first := range []string{"\x05\x01\x00", "CONNECT a:443 HTTP/1.1\r\n\r\n"} {
		conn := &strictConn{Conn: &scriptedConn{reads: []string{"\x05\x00"}}}
		_, _ = io.WriteString(conn, first)
		buf := make([]byte, 9)
		n, err := conn.Read(buf)
		require.NoError(t, err)
		assert.Equal(t, "\x05\x00", string(buf[:n]))
	}
}
