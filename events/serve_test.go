package events_test

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/events"
)

// serving runs Serve on a free port until stop, and tells its address.
func serving(t *testing.T, srv *http.Server, h *events.Handler) (url string, stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	addr, served := make(chan string, 1), make(chan error, 1)
	srv.Addr = "127.0.0.1:0"
	srv.BaseContext = func(l net.Listener) context.Context {
		addr <- l.Addr().String()
		return context.Background()
	}
	go func() { served <- events.Serve(ctx, srv, h) }()
	return "http://" + <-addr, func() error {
		cancel()
		return <-served
	}
}

func post(t *testing.T, url string, p push) (*http.Response, error) {
	t.Helper()
	return http.Post(url+"?"+p.query.Encode(), "text/xml", strings.NewReader(p.body))
}

// A delivery that is under way when the end comes is answered, and its function
// ends before the program may.
func TestServeEndsWithoutLoss(t *testing.T) {
	t.Parallel()
	begun, goOn := make(chan struct{}), make(chan struct{})
	finished := false
	h := newHandler(t, plainMode(), func(context.Context, *wechatqr.Event) (events.Reply, error) {
		close(begun)
		<-goOn
		finished = true
		return events.Text("hi"), nil
	}, nil)
	var srv http.Server
	url, stop := serving(t, &srv, h)
	assert.Equal(t, 5*time.Second, srv.ReadTimeout)
	assert.NotZero(t, srv.IdleTimeout)
	assert.Equal(t, 64<<10, srv.MaxHeaderBytes, "a stranger's connection holds no 1 MiB")

	answered := make(chan int, 1)
	go func() {
		resp, err := post(t, url+"/wechat", wechat().clear(scanPush("shop-7")))
		if assert.NoError(t, err) {
			answered <- resp.StatusCode
			_ = resp.Body.Close()
		}
	}()
	<-begun
	srv.RegisterOnShutdown(func() { close(goOn) }) // after ctx ended
	require.NoError(t, stop())
	assert.True(t, finished)
	assert.Equal(t, 200, <-answered)
	assert.Equal(t, 503, wechat().clear(scanPush("shop-8")).to(h).Code, "the handler was shut down")
	_, err := post(t, url+"/wechat", wechat().clear(scanPush("shop-8")))
	require.Error(t, err, "and so was the server")
}

// What is set stays.
func TestServeKeepsSettings(t *testing.T) {
	t.Parallel()
	h := newHandler(t, plainMode(), nil, nil)
	routes := http.NewServeMux()
	routes.Handle("/wechat", h)
	srv := http.Server{
		Handler: routes, ReadTimeout: time.Minute, IdleTimeout: time.Hour, MaxHeaderBytes: 1 << 19,
	}
	url, stop := serving(t, &srv, h)
	resp, err := post(t, url+"/wechat", wechat().clear(scanPush("shop-7")))
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Equal(t, 200, resp.StatusCode)
	resp, err = post(t, url+"/elsewhere", wechat().clear(scanPush("shop-7")))
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Equal(t, 404, resp.StatusCode)
	assert.Equal(t, time.Minute, srv.ReadTimeout)
	assert.Equal(t, time.Hour, srv.IdleTimeout)
	assert.Equal(t, 1<<19, srv.MaxHeaderBytes)
	require.NoError(t, stop())
}

func TestServeTellsWhyItCannot(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	err = events.Serve(t.Context(), &http.Server{Addr: l.Addr().String()},
		newHandler(t, plainMode(), nil, nil))
	require.ErrorContains(t, err, l.Addr().String())

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err = events.Serve(ctx, &http.Server{Addr: l.Addr().String()},
		newHandler(t, plainMode(), nil, nil))
	require.NoError(t, err, "it ended before it began")
}

// What is to be encrypted is not served in the clear.
func TestServeWithTLSThatHasNoCertificate(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	srv := http.Server{Addr: "127.0.0.1:0", TLSConfig: &tls.Config{}}
	srv.BaseContext = func(net.Listener) context.Context { cancel(); return ctx } // it serves
	require.Error(t, events.Serve(ctx, &srv, newHandler(t, plainMode(), nil, nil)))
}

// The server that somebody else shut down has ended well.
func TestServeOfServerThatWasShutDown(t *testing.T) {
	t.Parallel()
	var srv http.Server
	ended := make(chan error, 1)
	h := newHandler(t, plainMode(), nil, nil)
	ready := make(chan struct{})
	srv.Addr = "127.0.0.1:0"
	srv.BaseContext = func(net.Listener) context.Context {
		close(ready)
		return context.Background()
	}
	go func() { ended <- events.Serve(t.Context(), &srv, h) }()
	<-ready
	require.NoError(t, srv.Shutdown(t.Context()))
	require.NoError(t, <-ended)
}

// A function that does not end within its time is told, not waited for.
func TestServeTellsOfFunctionsThatGoOn(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := &sleeper{takes: time.Hour, start: time.Now()}
		h := newHandler(t, plainMode(), s.fn, nil)
		wechat().clear(scanPush("shop-7")).to(h)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		srv := http.Server{Addr: "127.0.0.1:0"}
		require.NoError(t, srv.Close())
		began := time.Now()
		err := events.Serve(ctx, &srv, h)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "shutdown of the handler")
		assert.Equal(t, 10*time.Second, time.Since(began))
		require.NoError(t, h.Shutdown(context.WithoutCancel(t.Context())))
	})
}
