package wechatqr_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unicode"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
)

var post = wechatqr.Request{Method: "POST", Path: "/a"}

// A connection that cannot be made, whoever makes the error, means that nothing
// was sent: the second host is tried, also for what must not run twice.
func TestNotSent(t *testing.T) {
	t.Parallel()
	ok := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodConnect {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		_, _ = io.WriteString(w, created)
	}))
	t.Cleanup(ok.Close)
	reset, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = reset.Close() })
	go func() {
		for {
			conn, err := reset.Accept()
			if err != nil {
				return
			}
			_ = conn.(*net.TCPConn).SetLinger(0)
			_ = conn.Close()
		}
	}()
	untrusted := httptest.NewUnstartedServer(http.NotFoundHandler())
	untrusted.Config.ErrorLog = log.New(io.Discard, "", 0)
	untrusted.StartTLS()
	t.Cleanup(untrusted.Close)

	proxy := func(address string) func(*http.Request) (*url.URL, error) {
		return func(r *http.Request) (*url.URL, error) {
			if r.URL.Host == strings.TrimPrefix(ok.URL, "http://") {
				return nil, nil
			}
			return url.Parse(address)
		}
	}
	badProxy := func(text string) func(*http.Request) (*url.URL, error) {
		return func(r *http.Request) (*url.URL, error) {
			if r.URL.Host == "a.invalid" {
				return nil, errors.New(text)
			}
			return nil, nil
		}
	}
	own, socks := errors.New("the dialer's own"), "socks5://"+reset.Addr().String()
	for _, tt := range []struct {
		name, first string
		transport   *http.Transport
		text        string
	}{
		{"TLS reset", "https://" + reset.Addr().String(), &http.Transport{}, ""},
		{"certificate", untrusted.URL, &http.Transport{}, "certificate"},
		{"handshake timeout", "https://a.invalid", &http.Transport{
			TLSHandshakeTimeout: time.Millisecond,
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				if address == "a.invalid:443" {
					conn, peer := net.Pipe()
					go func() { _, _ = io.Copy(io.Discard, peer) }()
					return conn, nil
				}
				return new(net.Dialer).DialContext(ctx, network, address)
			},
		}, "handshake"},
		{"a dialer's own error", "http://a.invalid", &http.Transport{
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				if address == "a.invalid:80" {
					return nil, own
				}
				return new(net.Dialer).DialContext(ctx, network, address)
			},
		}, "dialer's own"},
		{"CONNECT refused", "https://a.invalid", &http.Transport{
			Proxy: proxy("http://u:pw@" + strings.TrimPrefix(ok.URL, "http://")),
		}, "through the proxy " + ok.URL + ": "},
		{"SOCKS broken", "http://a.invalid", &http.Transport{Proxy: proxy(socks)},
			"through the proxy " + socks + ": "},
		{"no proxy", "http://a.invalid", &http.Transport{Proxy: badProxy("no file of proxies")},
			"no proxy: no file of proxies"},
		{"no proxy's address", "http://a.invalid",
			&http.Transport{Proxy: badProxy(`invalid proxy address "u:pw%zz@10.0.0.1"`)},
			"no proxy: its address cannot be read: look at HTTP_PROXY and HTTPS_PROXY"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			defer tt.transport.CloseIdleConnections()
			opts := []wechatqr.Option{
				wechatqr.WithHTTPClient(&http.Client{Transport: tt.transport}),
				wechatqr.WithEndpoint(wechatqr.Endpoint{API: []string{tt.first, ok.URL}}),
			}
			require.NoError(t, withToken(t, nil, opts...).Do(t.Context(), post, nil))

			err := withToken(t, nil, append(opts, wechatqr.WithMaxRetries(0))...).Do(t.Context(),
				post, nil)
			require.Error(t, err)
			require.NotErrorIs(t, err, wechatqr.ErrOutcomeUnknown)
			assert.ErrorContains(t, err, tt.text)
			assert.Regexp(t, `^wechatqr: POST /a: `, err.Error())
			assert.NotContains(t, err.Error(), "pw")
		})
	}
}

// A connection that breaks once it is there may have carried the request.
func TestMayHaveArrived(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		calls.Add(1)
		panic(http.ErrAbortHandler)
	}))
	defer srv.Close()
	c := withToken(t, nil, wechatqr.WithHTTPClient(srv.Client()), wechatqr.WithBaseURL(srv.URL))
	require.ErrorIs(t, c.Do(t.Context(), post, nil), wechatqr.ErrOutcomeUnknown)
	assert.EqualValues(t, 1, calls.Load())
}

// connectingOnce is a transport that has one connection and no other.
func connectingOnce(wrap func(net.Conn) net.Conn) (t *http.Transport, dials *atomic.Int64) {
	dials = new(atomic.Int64)
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		if dials.Add(1) > 1 {
			return nil, errors.New("no route")
		}
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		return wrap(conn), err
	}
	return &http.Transport{DialContext: dial}, dials
}

// A transport that repeats requests by itself may have sent one before its last
// connection failed.
func TestMayHaveArrivedByARepeatingTransport(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		panic(http.ErrAbortHandler)
	}))
	defer srv.Close()
	inner, dials := connectingOnce(func(conn net.Conn) net.Conn { return conn })
	c := withToken(t, func(r *http.Request) (*http.Response, error) {
		_, _ = inner.RoundTrip(r)
		return inner.RoundTrip(r)
	}, wechatqr.WithBaseURL(srv.URL))
	err := c.Do(t.Context(), post, nil)
	require.ErrorIs(t, err, wechatqr.ErrOutcomeUnknown)
	require.ErrorContains(t, err, "no route")
	assert.EqualValues(t, 2, dials.Load(), "it is not repeated once more")
}

// onceConn takes one request.
type onceConn struct {
	net.Conn
	writes atomic.Int64
}

func (c *onceConn) Write(p []byte) (int, error) {
	if c.writes.Add(1) > 1 {
		return 0, errors.New("closed")
	}
	return c.Conn.Write(p)
}

// net/http repeats what it has not written, and then has not sent it.
func TestNotSentOnAnotherConnection(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "{}")
	}))
	defer srv.Close()
	transport, _ := connectingOnce(func(conn net.Conn) net.Conn { return &onceConn{Conn: conn} })
	c, err := wechatqr.New(wechatqr.Credentials{}, wechatqr.WithCloudHosting(),
		wechatqr.WithBaseURL(srv.URL), wechatqr.WithMaxRetries(0),
		wechatqr.WithHTTPClient(&http.Client{Transport: transport}))
	require.NoError(t, err)
	require.NoError(t, c.Do(t.Context(), post, nil))
	err = c.Do(t.Context(), post, nil)
	require.ErrorContains(t, err, "no route")
	require.NotErrorIs(t, err, wechatqr.ErrOutcomeUnknown)
}

// A proxy that cannot be told any more says nothing about a request that was sent, nor does
// one that is told about a transport that calls no hooks.
func TestMayHaveArrivedWithAProxy(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		panic(http.ErrAbortHandler)
	}))
	defer srv.Close()
	var asked atomic.Int64
	once := &http.Transport{Proxy: func(*http.Request) (*url.URL, error) {
		if asked.Add(1) > 1 {
			return nil, errors.New("no file of proxies")
		}
		return nil, nil
	}}
	defer once.CloseIdleConnections()
	own := &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: "proxy.invalid"})}
	own.RegisterProtocol("http", doer(func(*http.Request) (*http.Response, error) {
		return nil, errors.New("broken pipe")
	}))
	for text, transport := range map[string]*http.Transport{"EOF": once, "broken pipe": own} {
		c := withToken(t, nil, wechatqr.WithHTTPClient(&http.Client{Transport: transport}),
			wechatqr.WithBaseURL(srv.URL))
		err := c.Do(t.Context(), post, nil)
		require.ErrorIs(t, err, wechatqr.ErrOutcomeUnknown)
		require.ErrorContains(t, err, text)
		assert.NotContains(t, err.Error(), "proxy")
	}
}

// A creation that may have arrived and has no time left to be repeated.
func TestPermanentCreationWithoutTimeToRepeat(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := withToken(t, func(*http.Request) (*http.Response, error) {
			return answer(502, ""),
				nil
		},
			wechatqr.WithBaseURL("https://x"))
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		_, err := c.CreateTicket(ctx, lasting)
		require.ErrorIs(t, err, wechatqr.ErrOutcomeUnknown)

		ctx, cancel = context.WithCancel(t.Context())
		time.AfterFunc(10*time.Millisecond, cancel)
		_, err = c.CreateTicket(ctx, lasting)
		require.ErrorIs(t, err, wechatqr.ErrOutcomeUnknown)
		require.ErrorIs(t, err, context.Canceled)
	})
}

// A call whose ctx is over is not sent, and says so.
func TestCancelledBeforeTheCall(t *testing.T) {
	t.Parallel()
	calls := 0
	c := withToken(t, func(*http.Request) (*http.Response, error) {
		calls++
		return answer(200, created), nil
	})
	require.NoError(t, c.Do(t.Context(), post, nil)) // so that it has a token
	calls = 0
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, ticketErr := c.CreateTicket(ctx, lasting)
	for _, err := range []error{c.Do(ctx, post, nil), ticketErr} {
		require.ErrorIs(t, err, context.Canceled)
		require.NotErrorIs(t, err, wechatqr.ErrOutcomeUnknown)
	}
	assert.Zero(t, calls)
}

// The caller's own trace is heard too, and the error of a cause is ctx's.
func TestCallersContext(t *testing.T) {
	t.Parallel()
	block := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		select {
		case <-r.Context().Done():
		case <-block:
			_, _ = io.WriteString(w, created)
		}
	}))
	defer srv.Close()
	c := withToken(t, nil, wechatqr.WithHTTPClient(srv.Client()), wechatqr.WithBaseURL(srv.URL))
	var heard []string
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		GetConn: func(string) { heard = append(heard, "GetConn") },
		GotConn: func(httptrace.GotConnInfo) { heard = append(heard, "GotConn") },
		WroteRequest: func(httptrace.WroteRequestInfo) {
			heard = append(heard,
				"WroteRequest")
			close(block)
		},
	})
	require.NoError(t, c.Do(ctx, post, nil))
	assert.Equal(t, []string{"GetConn", "GotConn", "WroteRequest"}, heard)

	why := errors.New("the shop has closed")
	ctx, cancel := context.WithCancelCause(t.Context())
	hanging := withToken(t, func(r *http.Request) (*http.Response, error) {
		cancel(why)
		<-r.Context().Done()
		return nil, context.Cause(r.Context())
	})
	err := hanging.Do(ctx, post, nil)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, err, why)

	ctx, stop := context.WithCancel(t.Context())
	honest := withToken(t, func(r *http.Request) (*http.Response, error) {
		stop()
		return nil, r.Context().Err()
	})
	err = honest.Do(ctx, wechatqr.Request{Method: http.MethodPost, Path: "/a", Idempotent: true},
		nil)
	require.ErrorIs(t, err, context.Canceled)
	assert.Equal(t, 1, strings.Count(err.Error(), "context canceled"), err)
}

// blockingBody is a body whose Read heeds neither ctx nor Close.
type blockingBody struct{ release chan struct{} }

func (b blockingBody) Read([]byte) (int, error) { <-b.release; return 0, io.EOF }
func (b blockingBody) Close() error             { return nil }

// emptyBody reads nothing, for ever.
type emptyBody struct{}

func (emptyBody) Read([]byte) (int, error) { return 0, nil }
func (emptyBody) Close() error             { return nil }

type panickingBody struct{}

func (panickingBody) Read([]byte) (int, error) { panic("boom") }
func (panickingBody) Close() error             { return nil }

// No read outlives the call.
func TestBodiesThatDoNotEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		defer close(release)
		body := func(b io.ReadCloser) doer {
			return func(*http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: 200, Body: b, ContentLength: -1}, nil
			}
		}
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := withToken(t, body(blockingBody{release})).Do(ctx, post, nil)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, err, wechatqr.ErrOutcomeUnknown)
		assert.Equal(t, time.Second, time.Since(start))

		err = withToken(t, body(blockingBody{release}), wechatqr.WithMaxRetries(0)).Do(t.Context(),
			post, nil)
		require.ErrorContains(t, err, "no response within 10s")

		err = withToken(t, body(emptyBody{})).Do(t.Context(), post, nil)
		require.ErrorIs(t, err, io.ErrNoProgress)

		err = withToken(t, body(panickingBody{})).Do(t.Context(), post, nil)
		require.ErrorContains(t, err, "panicked: boom")

		start = time.Now()
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err = withToken(t, func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 101, Body: openBody{release}}, nil
		}).Do(ctx, post, nil)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, time.Second, time.Since(start))
	})
}

// openBody cannot be closed until it is released.
type openBody blockingBody

func (openBody) Read([]byte) (int, error) { return 0, io.EOF }
func (b openBody) Close() error           { <-b.release; return nil }

// An upgraded connection is not read: it would not end.
func TestUpgradeIsRefused(t *testing.T) {
	t.Parallel()
	closed := make(chan struct{}, 3)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if !assert.NoError(t, err) {
			return
		}
		_, _ = io.WriteString(conn,
			"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
		_, _ = io.Copy(io.Discard, conn)
		_ = conn.Close()
		closed <- struct{}{}
	}))
	defer srv.Close()
	transport := &http.Transport{}
	c := withToken(t, nil, wechatqr.WithHTTPClient(&http.Client{Transport: transport}),
		wechatqr.WithBaseURL(srv.URL))
	_, err := c.CreateTicket(t.Context(), harmless)
	require.ErrorIs(t, err, wechatqr.ErrUnexpectedResponse)
	<-closed // the connection
	_, err = c.FetchQRCode(t.Context(), "gQ")
	require.ErrorIs(t, err, wechatqr.ErrUnexpectedResponse)
	<-closed
	require.ErrorIs(t, c.Do(t.Context(), post, nil), wechatqr.ErrOutcomeUnknown)
	<-closed
}

// What others wrote is cut and cleaned before anything else looks at it.
func TestHugeTexts(t *testing.T) {
	t.Parallel()
	secret := strings.Repeat("s3cr3t-", 60)
	huge := "\x1b[31m" + strings.Repeat("店\n"+secret[:100], 10_000) // 1 MB
	errmsg := strings.ReplaceAll(huge[:900<<10], "\n", `\n`)
	errmsg = strings.ReplaceAll(errmsg, "\x1b", `\u001b`)
	var typedNil *url.Error
	for name, f := range map[string]doer{
		"errmsg": func(*http.Request) (*http.Response, error) {
			return answer(200, `{"errcode":48001,"errmsg":"`+errmsg+`"}`), nil
		},
		"HTML": func(*http.Request) (*http.Response,
			error) {
			return answer(502, "<html>"+huge), nil
		},
		"transport": func(*http.Request) (*http.Response, error) { return nil, errors.New(huge) },
		"wrapped": func(*http.Request) (*http.Response, error) {
			return nil, fmt.Errorf("a: %w",
				&url.Error{Op: "Get", URL: "https://x/?" + huge, Err: errors.New(huge)})
		},
		"a nil that is none": func(*http.Request) (*http.Response, error) { return nil, typedNil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := withToken(t, f, wechatqr.WithTokenSource(wechatqr.StaticTokenSource(secret)),
				wechatqr.WithMaxRetries(0))
			var err error
			for range 10 { // milliseconds each, or minutes, which the run does not have
				err = c.Do(t.Context(), post, nil)
				require.Error(t, err)
			}
			text := err.Error()
			assert.Less(t, len(text), 1000)
			assert.False(t, strings.ContainsFunc(text, unicode.IsControl), "%q", text)
			assert.NotContains(t, text, secret[:8])
		})
	}
	src := wechatqr.TokenSourceFunc(func(context.Context, string) (wechatqr.Token, error) {
		return wechatqr.Token{}, typedNil
	})
	err := withToken(t, nil, wechatqr.WithTokenSource(src)).Do(t.Context(), post, nil)
	require.ErrorContains(t, err, "the token source panicked")
}

// An error keeps what it wraps unless its text had to be cut.
func TestWhatAnErrorWraps(t *testing.T) {
	t.Parallel()
	inner := &net.AddrError{Err: "no route", Addr: "a"}
	for _, tt := range []struct {
		name string
		err  error
		kept bool
	}{
		{"short", fmt.Errorf("dial: %w", inner), true},
		{"joined by a line end", errors.Join(errors.New("first"), inner), true},
		{"long", fmt.Errorf("%s: %w", strings.Repeat("x", 513), inner), false},
		{"with a secret", fmt.Errorf("access_token=TOKEN-TOKEN: %w", inner), false},
		{"with a query", fmt.Errorf("https://a/b?c=d: %w", inner), false},
	} {
		c := withToken(t, func(*http.Request) (*http.Response, error) { return nil, tt.err },
			wechatqr.WithTokenSource(wechatqr.StaticTokenSource("TOKEN-TOKEN")),
			wechatqr.WithMaxRetries(0))
		err := c.Do(t.Context(), post, nil)
		var got *net.AddrError
		assert.Equal(t, tt.kept, errors.As(err, &got), "%s: %v", tt.name, err)
		assert.ErrorIs(t, err, inner, tt.name)
		assert.NotContains(t, err.Error(), "c=d")
	}
}

// The query of an address is cut off however it is quoted.
func TestQueriesInErrors(t *testing.T) {
	t.Parallel()
	src := func(text string) wechatqr.TokenSource {
		return wechatqr.TokenSourceFunc(func(context.Context, string) (wechatqr.Token, error) {
			return wechatqr.Token{}, errors.New(text)
		})
	}
	for text, want := range map[string]string{
		`Get "https://t/a?k=SECRET": refused`:              `Get "https://t/a": refused`,
		`Get "https://t/a?k=\"SECRET SECRET": refused`:     `Get "https://t/a": refused`,
		`parse "https://t?k=SECRET SECRET": bad`:           `parse "https://t": bad`,
		`see https://t/a?k=SECRET, or <http://u?k=SECRET>`: `see https://t/a or <http://u`,
		`see https://t/a?k=SECRET`:                         `see https://t/a`,
		`https://t/a#SECRET 'https://t/b?SECRET' left`:     `https://t/a 'https://t/b' left`,
		`a :// b?`: `a :// b?`,
	} {
		err := withToken(t, nil, wechatqr.WithTokenSource(src(text))).Do(t.Context(), post, nil)
		assert.ErrorContains(t, err, want)
		assert.NotContains(t, err.Error(), "SECRET")
	}
}

// An errcode is one however its name is written, and whichever comes first.
func TestErrcodeInAnyLetterCase(t *testing.T) {
	t.Parallel()
	for body, kind := range map[string]error{
		`{"ErrCode":40001}`:                           wechatqr.ErrTokenRejected,
		`{"ERRCODE":48001,"ErrMsg":"x"}`:              wechatqr.ErrNotPermitted,
		`{"\u0065rrcode":48001}`:                      wechatqr.ErrNotPermitted,
		`{"errcode":48001,"errcode":0}`:               wechatqr.ErrNotPermitted,
		`{"errcode":0,"errcode":48001}`:               wechatqr.ErrNotPermitted,
		`{"errcode":48001,"errcode":"0"}`:             wechatqr.ErrNotPermitted,
		`{"errcode":0,"ErrCode":"40001"}`:             wechatqr.ErrUnexpectedResponse,
		`{"errcode":40001.5}`:                         wechatqr.ErrUnexpectedResponse,
		`{"errcode":0,"a":{"errcode":1}}`:             nil,
		`{"errcodes":40001,"xerrcode":40001,"err":1}`: nil,
	} {
		c := withToken(t, func(*http.Request) (*http.Response, error) {
			return answer(200, body),
				nil
		})
		var out map[string]any
		for _, err := range []error{c.Do(t.Context(), post, nil), c.Do(t.Context(), post, &out)} {
			if kind == nil {
				require.NoError(t, err, body)
				continue
			}
			require.ErrorIs(t, err, kind, body)
		}
	}
}

// What is no JSON object is no success, whatever of it is wanted.
func TestGarbage(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		"", "<html>", `{"a":1`, `{}x`, "ok", "null", "1", `"ok"`, "[]", `[{"errcode":40001}]`,
	} {
		c := withToken(t, func(*http.Request) (*http.Response, error) {
			return answer(200, body),
				nil
		})
		for _, out := range []any{nil, new(any), new(json.RawMessage)} {
			err := c.Do(t.Context(), post, out)
			require.ErrorIs(t, err, wechatqr.ErrUnexpectedResponse, "%q %T", body, out)
		}
	}
}

// A response of unknown length is cut off at 1 MiB too.
func TestTooLargeWithoutLength(t *testing.T) {
	t.Parallel()
	read := 0
	c := withToken(t, func(*http.Request) (*http.Response, error) {
		resp := answer(200, "")
		resp.ContentLength = -1
		resp.Body = io.NopCloser(readerFunc(func(b []byte) (int, error) {
			read += len(b)
			return len(b), nil
		}))
		return resp, nil
	})
	require.ErrorContains(t, c.Do(t.Context(), post, nil), "larger than 1024 KiB")
	assert.Less(t, read, 2<<20+4096)
}

// A body may come in many small pieces, some of them empty.
func TestBodyInSmallPieces(t *testing.T) {
	t.Parallel()
	text := strings.Repeat(" ", 300) + created
	c := withToken(t, func(*http.Request) (*http.Response, error) {
		resp, at := answer(200, ""), 0
		resp.ContentLength = -1
		resp.Body = io.NopCloser(readerFunc(func(b []byte) (int, error) {
			if at++; at > 2*len(text) {
				return 0, io.EOF
			}
			return copy(b[:1-at%2], text[(at-1)/2:]), nil
		}))
		return resp, nil
	})
	require.NoError(t, c.Do(t.Context(), post, nil))
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

// A hint is true of the call that failed.
func TestHintsFitTheCall(t *testing.T) {
	t.Parallel()
	creds := wechatqr.Credentials{AppID: "wx0", AppSecret: "s"}
	fails := func(body string, opts ...wechatqr.Option) *wechatqr.Error {
		opts = append(opts, wechatqr.WithMaxRetries(0), wechatqr.WithHTTPClient(&http.Client{
			Transport: doer(func(*http.Request) (*http.Response, error) {
				return answer(200, body),
					nil
			}),
		}))
		c, err := wechatqr.New(creds, opts...)
		require.NoError(t, err)
		var e *wechatqr.Error
		require.ErrorAs(t, c.Do(t.Context(), post, nil), &e)
		return e
	}
	quota := `{"errcode":45009,"errmsg":"reach max api daily quota limit"}`
	assert.Contains(t, fails(quota, wechatqr.WithClassicToken()).Hint(), "stable endpoint")
	assert.NotContains(t, fails(quota).Hint(), "stable endpoint")
	assert.NotContains(t, fails(quota,
		wechatqr.WithTokenSource(wechatqr.StaticTokenSource("T"))).Hint(), "stable endpoint")

	down := func(retries int, call func(*wechatqr.Client) error) error {
		c := withToken(t, func(*http.Request) (*http.Response, error) {
			return answer(503, ""),
				nil
		},
			wechatqr.WithMaxRetries(retries))
		return call(c)
	}
	get := func(c *wechatqr.Client) error {
		return c.Do(t.Context(), wechatqr.Request{Method: "GET", Path: "/a"}, nil)
	}
	assert.NotContains(t, down(0, get).Error(), "already")
	assert.ErrorContains(t, down(1, get), "it was tried again already")

	err := down(0, func(c *wechatqr.Client) error { return c.Do(t.Context(), post, nil) })
	assert.ErrorContains(t, err, "look before you repeat it")
	assert.NotContains(t, err.Error(), "100000")
	err = down(0, func(c *wechatqr.Client) error {
		_, err := c.CreateTicket(t.Context(), lasting)
		return err
	})
	assert.ErrorContains(t, err,
		"make it again with the same scene, which takes at most one more of the 100000")
	assert.NotContains(t, err.Error(), "look before")

	said := withToken(t, func(*http.Request) (*http.Response, error) {
		return answer(200, `{"errcode":-1}`), nil
	}, wechatqr.WithMaxRetries(0))
	var e *wechatqr.Error
	require.ErrorAs(t, said.Do(t.Context(), post, nil), &e)
	assert.Equal(t, "it may have been carried out: look before you repeat it", e.Hint())

	images := withToken(t, func(*http.Request) (*http.Response, error) {
		return answer(200, `{"errcode":40001}`), nil
	})
	_, err = images.FetchQRCode(t.Context(), "gQ")
	require.ErrorIs(t, err, wechatqr.ErrUnexpectedResponse, "there was no token to reject")
	require.NotErrorIs(t, err, wechatqr.ErrTokenRejected)
}
