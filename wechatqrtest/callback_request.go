package wechatqrtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"time"
)

const (
	maxResponseBytes = 64 << 10        // of a callback
	callbackTimeout  = 5 * time.Second // until the response is complete, as on WeChat
)

// callbackClient sends requests to callbacks as WeChat does.
type callbackClient struct {
	http    *http.Client // for http.ErrUseLastResponse and without a proxy
	timeout time.Duration
}

// requestCallback sends one request to the callback. The error is that of ctx or
// http.ErrServerClosed; failures of the callback are in Attempt.Err.
func (s *Server) requestCallback(
	ctx context.Context, method, address, body string,
) (Attempt, http.Header, error) {
	if !s.acquire() {
		return Attempt{}, nil, http.ErrServerClosed
	}
	defer s.release()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(s.ctx, stop)()

	at := s.Now()
	a, header, err := callbackClient{s.client, s.pushTimeout}.send(ctx, method, address, body)
	a.Time = at
	if err != nil && s.ctx.Err() != nil {
		err = http.ErrServerClosed
	}
	return a, header, err
}

// send sends one request. The error is that of ctx; failures of the callback are in
// Attempt.Err.
func (c callbackClient) send(
	ctx context.Context, method, address, body string,
) (a Attempt, header http.Header, err error) {
	limited, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	a = Attempt{Time: time.Now(), URL: address, Body: body}
	began := time.Now()
	var conn connection

	header, wrong := c.roundTrip(conn.trace(limited), method, &a)
	a.Duration = time.Since(began)
	if ctx.Err() != nil {
		return a, header, ctx.Err()
	}
	if wrong != nil && limited.Err() != nil {
		wrong = conn.timeoutError(c.timeout)
	} else if wrong != nil && wrong.Reason == "" {
		wrong.Reason = conn.reason()
	}
	if wrong != nil {
		a.Err = wrong.withStatus(a.Status)
	}
	return a, header, nil
}

// roundTrip sends the request and reads the response into a. An error without
// a Reason is one of the connection.
func (c callbackClient) roundTrip(
	ctx context.Context, method string, a *Attempt,
) (http.Header, *CallbackError) {
	req, err := http.NewRequestWithContext(ctx, method, a.URL, strings.NewReader(a.Body))
	if err != nil {
		return nil, &CallbackError{Reason: ReasonUnreachable, Detail: err.Error()}
	}
	setHeader(req.Header, method)
	resp, err := c.http.Do(req)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err // without the signed URL
		}
		wrong := &CallbackError{Detail: err.Error()}
		if errors.Is(err, http.ErrSchemeMismatch) {
			wrong.Reason, wrong.Detail = ReasonTLS, "the port speaks http, and the URL says https"
		}
		return nil, wrong
	}
	defer func() { _ = resp.Body.Close() }() // it was read

	a.Status = resp.StatusCode
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxResponseBytes))
	a.Response = string(data)
	return resp.Header, responseError(resp, data, err)
}

// responseError is what is wrong with a response whatever the request was.
func responseError(resp *http.Response, data []byte, err error) *CallbackError {
	status := resp.StatusCode
	switch {
	case err != nil:
		return &CallbackError{Reason: ReasonIncomplete, Detail: err.Error()}
	case status/100 == 3:
		return &CallbackError{Reason: ReasonRedirected, Detail: fmt.Sprintf(
			"HTTP %d to %q: give the console the final URL", status, resp.Header.Get("Location"))}
	case status == http.StatusBadRequest && httpsPort.Match(data):
		return &CallbackError{Reason: ReasonTLS, Detail: "the port speaks https, and the URL says http"}
	case status != http.StatusOK:
		return &CallbackError{
			Reason: ReasonWrongStatus, Detail: fmt.Sprintf("HTTP %d: %.80q", status, data),
		}
	}
	return nil
}

// httpsPort is what servers respond to a request without TLS: Go, nginx and Apache.
var httpsPort = regexp.MustCompile(`to an HTTPS server|to HTTPS port|to an SSL-enabled server`)

// connection is how far a request got. The dialer's goroutine sets it.
type connection struct{ tcp, ready atomic.Bool }

func (c *connection) trace(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		ConnectDone: func(_, _ string, err error) { c.tcp.CompareAndSwap(false, err == nil) },
		GotConn:     func(httptrace.GotConnInfo) { c.ready.Store(true) },
	})
}

// reason is why there is no response.
func (c *connection) reason() Reason {
	switch {
	case c.ready.Load():
		return ReasonNoResponse
	case c.tcp.Load():
		return ReasonTLS
	}
	return ReasonUnreachable
}

func (c *connection) timeoutError(timeout time.Duration) *CallbackError {
	switch reason := c.reason(); reason {
	case ReasonNoResponse:
		return &CallbackError{Reason: ReasonTooSlow,
			Detail: fmt.Sprintf("no complete response within %v", timeout)}
	case ReasonTLS:
		return &CallbackError{Reason: reason, Detail: fmt.Sprintf("no TLS handshake within %v", timeout)}
	default:
		return &CallbackError{Reason: reason, Detail: fmt.Sprintf("no connection within %v", timeout)}
	}
}
