package wechatqr_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
)

// rawServer sends the pieces in turn, as they stand, to every request, and
// counts connections. A piece is one write. open is done when all are closed.
func rawServer(t *testing.T, listener net.Listener, pieces ...string) (connections *atomic.Int64,
	open *sync.WaitGroup) {
	connections, open = &atomic.Int64{}, &sync.WaitGroup{}
	t.Cleanup(func() { _ = listener.Close() })
	serve := func(conn net.Conn) {
		defer open.Done()
		defer conn.Close()
		for in := bufio.NewReader(conn); ; {
			r, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, r.Body)
			for _, piece := range pieces {
				if _, err := io.WriteString(conn, piece); err != nil {
					return
				}
			}
		}
	}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			connections.Add(1)
			open.Add(1)
			go serve(conn)
		}
	}()
	return connections, open
}

// What comes after a response stays out of net/http's log, and its connection
// is not used again. Responses without surplus keep theirs.
func TestSurplusBytes(t *testing.T) {
	var logged bytes.Buffer
	before := log.Writer()
	log.SetOutput(&logged)
	defer log.SetOutput(before)
	whole := withLength(created)
	head, body, _ := strings.Cut(whole, "\r\n\r\n")
	chunked := fmt.Sprintf(
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n",
		len(created), created)
	cert := httptest.NewUnstartedServer(nil)
	cert.StartTLS()
	t.Cleanup(cert.Close)
	roots := x509.NewCertPool()
	roots.AddCert(cert.Certificate())

	for _, tt := range []struct {
		name   string
		pieces []string
		kept   bool
	}{
		{"whole", []string{whole}, true},
		{"in pieces", []string{head[:20], head[20:], "\r\n", "\r\n" + body[:9], body[9:]}, true},
		{"after 100 and 103", []string{
			"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + whole,
		}, true},
		{"letter case", []string{strings.Replace(whole, "Content-Length:", "content-LENGTH: ", 1)},
			true},
		{"chunked", []string{chunked}, true},
		{"chunked in spite of a length",
			[]string{strings.Replace(chunked, "Transfer", "Content-Length: 9\r\nTransfer", 1)},
			true},
		{"surplus", []string{whole + "s3cr3t"}, false},
		{"surplus after pieces", []string{head + "\r\n\r\n", body[:9], body[9:] + "s3cr3t"}, false},
		{"a second response", []string{whole + whole}, false},
		{"surplus after chunks", []string{chunked + "s3cr3t"}, false},
		{"surplus after chunks in pieces", []string{chunked[:60], chunked[60:] + "s3cr3t"}, false},
	} {
		for _, scheme := range []string{"http", "https"} {
			t.Run(tt.name+" over "+scheme, func(t *testing.T) {
				listener, err := net.Listen("tcp", "127.0.0.1:0")
				require.NoError(t, err)
				if scheme == "https" {
					listener = tls.NewListener(listener,
						&tls.Config{Certificates: cert.TLS.Certificates})
				}
				connections, open := rawServer(t, listener, tt.pieces...)
				def := http.DefaultTransport.(*http.Transport)
				def.TLSClientConfig = &tls.Config{RootCAs: roots}
				c, err := wechatqr.New(wechatqr.Credentials{}, wechatqr.WithCloudHosting(),
					wechatqr.WithMaxRetries(0),
					wechatqr.WithBaseURL(scheme+"://"+listener.Addr().String()))
				def.TLSClientConfig = nil
				require.NoError(t, err)
				for range 20 {
					_, err := c.CreateTicket(t.Context(), lasting)
					require.NoError(t, err)
				}
				if tt.kept {
					// Not 1: net/http gives up a connection whose writer does not say within
					// 50 ms of the response that it is done.
					assert.Less(t, connections.Load(), int64(20))
					return
				}
				assert.EqualValues(t, 20, connections.Load())
				open.Wait() // the client has closed all
			})
		}
	}
	assert.Empty(t, logged.String())
}

// One call that finds its connection dead does for all: those that were idle
// beside it are not tried one after another.
func TestDeadConnections(t *testing.T) {
	t.Parallel()
	const connections = 8
	var silent atomic.Bool
	var opened sync.Map
	var together sync.WaitGroup
	together.Add(connections)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, old := opened.LoadOrStore(r.RemoteAddr, true)
		switch {
		case !silent.Load():
			together.Done()
			together.Wait() // so that each has a connection of its own
		case old:
			<-r.Context().Done()
			return
		}
		_, _ = io.WriteString(w, created)
	}))
	t.Cleanup(srv.Close)
	c, err := wechatqr.New(wechatqr.Credentials{}, wechatqr.WithCloudHosting(),
		wechatqr.WithBaseURL(srv.URL), wechatqr.WithMaxRetries(0))
	require.NoError(t, err)
	var calls sync.WaitGroup
	for range connections {
		calls.Go(func() {
			_, err := c.CreateTicket(t.Context(), lasting)
			assert.NoError(t, err)
		})
	}
	calls.Wait()

	silent.Store(true)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	_, err = c.CreateTicket(ctx, lasting)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	_, err = c.CreateTicket(t.Context(), lasting)
	require.NoError(t, err)
}

// HTTP/2 is spoken where the server does.
func TestHTTP2(t *testing.T) {
	protos := make(chan string, 1)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter,
		r *http.Request) {
		protos <- r.Proto
		_, _ = io.WriteString(w, created)
	}))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	t.Cleanup(srv.Close)
	roots := x509.NewCertPool()
	roots.AddCert(srv.Certificate())
	def := http.DefaultTransport.(*http.Transport)
	def.TLSClientConfig = &tls.Config{RootCAs: roots}
	c, err := wechatqr.New(wechatqr.Credentials{}, wechatqr.WithCloudHosting(),
		wechatqr.WithBaseURL(srv.URL))
	def.TLSClientConfig = nil
	require.NoError(t, err)
	_, err = c.CreateTicket(t.Context(), lasting)
	require.NoError(t, err)
	assert.Equal(t, "HTTP/2.0", <-protos)
}

// A DialTLSContext of the user's in http.DefaultTransport is used.
func TestDialTLSOfTheDefault(t *testing.T) {
	def := http.DefaultTransport.(*http.Transport)
	def.DialTLSContext = func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("dialed by the user")
	}
	c, err := wechatqr.New(wechatqr.Credentials{}, wechatqr.WithCloudHosting(),
		wechatqr.WithMaxRetries(0),
		wechatqr.WithBaseURL("https://127.0.0.1:1"))
	def.DialTLSContext = nil
	require.NoError(t, err)
	_, err = c.CreateTicket(t.Context(), lasting)
	require.ErrorContains(t, err, "dialed by the user")
}
