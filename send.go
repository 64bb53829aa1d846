package wechatqr

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

// apiRequest is a request to WeChat and what may be done with it.
type apiRequest struct {
	op       string
	method   string
	path     string
	rawQuery string
	body     []byte // JSON, or nil
	secret   string // in the query or the body, so never in an error
	kind     requestKind
	forToken bool      // 40001 means the AppSecret, not a token
	unsure   bool      // an attempt may have been carried out
	began    time.Time // the last attempt: lives are counted from here, however slow the response

	out    any                                                // what receives the JSON, or nil
	accept func(status int, response []byte) (outcome, error) // instead of out, for what is no JSON
}

// sender sends requests. The client and its token source share one.
type sender struct {
	*config
	traceKey  any    // see findTraceKey
	closeIdle func() // closes the idle connections if they are this sender's own
}

const (
	attemptTimeout   = 10 * time.Second
	connectTimeout   = 3 * time.Second        // leaves time for the next host
	slowResponse     = 500 * time.Millisecond // a shorter wait does not mean that a host is down
	maxResponseBytes = 1 << 20
	maxPictureBytes  = 4 << 20
)

func newSender(cfg *config) *sender {
	s := &sender{config: cfg, traceKey: findTraceKey(), closeIdle: func() {}}
	if s.transport == nil {
		s.transport, s.closeIdle = newTransport()
	}
	return s
}

// send makes attempts until decide has it stop.
func (s *sender) send(ctx context.Context, x *apiRequest, at *hosts, limit int64) error {
	host, probe := at.pick(x.kind == idempotent)
	tried := 1 // hosts, since the last pause
	for n := 1; ; n++ {
		state := retryState{kind: x.kind, unsure: x.unsure, lastOne: n > s.maxRetries}
		state.otherHosts = tried < len(at.urls)
		hasNext := state.otherHosts && !state.lastOne
		o, down, err := s.attempt(ctx, x, at.urls[host], n, limit, hasNext)
		switch {
		case down:
			at.markDown(host)
			s.closeIdle() // if one connection is dead, those beside it may be
		case probe && (o == succeeded || o == failed || o == busy):
			at.markUp()
		}
		probe = false

		state.outcome = o
		state.lastOne = state.lastOne || ctx.Err() != nil
		x.unsure = x.unsure || state.mayHaveArrived()
		d := decide(state)
		switch d {
		case stop:
			return err
		case stopUnknown:
			return outcomeUnknown(x, err)
		case retryNextHost, retryNextLater:
			host = at.next(host)
		}
		if d == retryNextHost {
			tried++
			continue
		}
		tried = 1
		if !pause(ctx, n) {
			state.lastOne = true
			if decide(state) == stopUnknown {
				err = outcomeUnknown(x, err)
			}
			if errors.Is(ctx.Err(), context.Canceled) {
				err = fmt.Errorf("%w; then: %w", err, context.Canceled)
			}
			return err
		}
	}
}

// attempt sends the request once and reads the response. down reports that the
// host should be left alone for a while. With hasNext, when another host can be
// asked, it does not wait long for a connection.
func (s *sender) attempt(
	ctx context.Context, x *apiRequest, base *url.URL, n int, limit int64, hasNext bool,
) (o outcome, down bool, err error) {
	if err := ctx.Err(); err != nil {
		return notSent, false, &opError{x.op, err}
	}
	x.began = time.Now()
	a := s.newAttempt(ctx, x, base, hasNext)
	defer a.end()
	status, response, err := s.roundTrip(x, a, limit)
	took := time.Since(x.began)
	switch bad, isBad := err.(badBody); {
	case err == nil:
		o, err = x.classify(status, response)
		down = o == serverError
	case isBad:
		o, err = unreadable, unexpected(x.op, status, string(bad))
	default:
		down = a.hostIsDown(err, took)
		o, err = s.lost(a, err)
		err = &opError{x.op, err}
	}
	if e, ok := err.(*Error); ok {
		e.retried = n > 1
	}
	s.report(ctx, x, base, n, status, took, err)
	return o, down, err
}

// hostIsDown judges an attempt without a response. A short deadline of the
// caller does not mean that the host is down.
func (a *attempt) hostIsDown(err error, waited time.Duration) bool {
	switch {
	case a.phase.Load() == abandoned:
		return waited >= slowResponse/2 // half of what ctx had left
	case errors.Is(a.callers.Err(), context.Canceled):
		return false
	}
	return !errors.Is(err, context.DeadlineExceeded) || waited >= slowResponse
}

// The phases of an attempt. The hooks of httptrace move it on, and expire to
// abandoned; a transport that calls no hooks, such as a mock, leaves it at
// unknownPhase. net/http may go from connected back to connecting, when it repeats a
// request on a new connection. Another transport that does so may have sent it.
//
//	phase         begins when                          the request
//	unknownPhase  the attempt begins                   may have been sent
//	connected     GotConn is called                    may have been sent
//	connecting    GetConn is called                    has not been sent
//	abandoned     there is no connection in time       has not been sent
const (
	unknownPhase int32 = iota
	connected
	connecting
	abandoned
)

// attempt is what lives as long as one HTTP request, in one allocation, and the
// request's context.
type attempt struct {
	context.Context
	callers context.Context
	url     url.URL
	body    bytes.Reader
	values  [2]string // of headers

	// The hooks of trace and expire may run in other goroutines. rest belongs to
	// expire once the timer runs.
	trace    httptrace.ClientTrace
	traceKey any
	phase    atomic.Int32
	cancel   context.CancelCauseFunc
	timer    *time.Timer
	limit    time.Duration
	rest     time.Duration // of limit, after the time for a connection; 0 once that is over
}

// newAttempt starts the time of an attempt, which end ends.
func (s *sender) newAttempt(ctx context.Context, x *apiRequest, base *url.URL, hasNext bool) *attempt {
	a := &attempt{callers: ctx, url: *base, traceKey: s.traceKey, limit: s.timeout}
	a.values = [...]string{s.userAgent, "application/json"}
	a.url.Path += x.path
	a.url.RawQuery = x.rawQuery
	if outer := httptrace.ContextClientTrace(ctx); outer != nil {
		a.trace = *outer
	}
	getConn, gotConn := a.trace.GetConn, a.trace.GotConn
	_, own := s.transport.(*http.Transport)
	a.trace.GetConn = func(hostPort string) {
		if own || a.phase.Load() != connected {
			a.phase.Store(connecting)
		}
		if getConn != nil {
			getConn(hostPort)
		}
	}
	a.trace.GotConn = func(info httptrace.GotConnInfo) {
		a.phase.Store(connected)
		if gotConn != nil {
			gotConn(info)
		}
	}

	first := a.limit
	if hasNext {
		first = min(first, connectTimeout)
		if end, ok := ctx.Deadline(); ok {
			first = min(first, time.Until(end)/2)
		}
		a.rest = a.limit - first
	}
	a.Context, a.cancel = context.WithCancelCause(ctx)
	a.timer = time.AfterFunc(first, a.expire)
	return a
}

func (a *attempt) end() {
	a.timer.Stop()
	a.cancel(nil)
}

// expire ends the attempt when it has no connection in time, or no response.
func (a *attempt) expire() {
	rest := a.rest
	a.rest = 0
	switch {
	case rest == 0:
		a.cancel(fmt.Errorf("no response within %v: %w", a.limit, context.DeadlineExceeded))
	case a.phase.CompareAndSwap(connecting, abandoned):
		first := (a.limit - rest).Round(time.Millisecond)
		a.cancel(fmt.Errorf("no connection within %v: %w", first, context.DeadlineExceeded))
	default:
		time.AfterFunc(rest, a.expire) // in vain if the attempt has ended by then
	}
}

// Value gives net/http the trace.
func (a *attempt) Value(key any) any {
	switch a.traceKey {
	case nil:
		a.traceKey = key // of findTraceKey
		return nil
	case key:
		return &a.trace
	}
	return a.Context.Value(key)
}

// findTraceKey returns the key under which net/http looks for a trace.
// httptrace.WithClientTrace, which knows it, makes a program 50 KiB larger.
func findTraceKey() any {
	a := &attempt{}
	httptrace.ContextClientTrace(a)
	return a.traceKey
}

// roundTrip uses the transport itself: what http.Client would add is
// redirects, which would carry the query, secrets included, to another host as
// Referer.
func (s *sender) roundTrip(x *apiRequest, a *attempt, limit int64) (status int, response []byte, err error) {
	u := &a.url
	r := http.Request{
		Method: x.method, URL: u, Host: u.Host,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"User-Agent": a.values[:1:1]},
	}
	if x.body != nil {
		r.Header["Content-Type"] = a.values[1:]
		a.body.Reset(x.body)
		r.Body = io.NopCloser(&a.body) // net/http knows this one, and sends it along with the headers
		r.ContentLength = int64(len(x.body))
		body := x.body // so that x stays on the stack
		r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	}
	resp, err := s.transport.RoundTrip(r.WithContext(a))
	if err == nil && resp == nil {
		return 0, nil, fmt.Errorf("the http.RoundTripper %T gave neither a response nor an error", s.transport)
	}
	if err == nil {
		status = resp.StatusCode
		response, err = s.readBody(a, resp, limit)
	}
	if _, bad := err.(badBody); bad || err == nil {
		return status, response, err
	}
	err = clean(err, x.secret)
	switch {
	case a.callers.Err() == nil && a.Err() != nil:
		err = context.Cause(a)
	case a.callers.Err() != nil && !errors.Is(err, a.callers.Err()):
		err = fmt.Errorf("%w: %w", a.callers.Err(), err)
	}
	return status, nil, fmt.Errorf("%s %s://%s%s: %w", x.method, u.Scheme, u.Host, u.Path, err)
}

// lost judges whether a request without a response was sent, and says so in the error
// when it was a proxy that gave no connection.
func (s *sender) lost(a *attempt, err error) (outcome, error) {
	o, phase := noResponse, a.phase.Load()
	if phase >= connecting {
		o = notSent
	}
	t, ok := s.transport.(*http.Transport)
	if !ok || t.Proxy == nil {
		return o, err
	}
	proxy, noProxy := t.Proxy(&http.Request{URL: &a.url, Host: a.url.Host})
	switch {
	case phase == unknownPhase && noProxy != nil: // net/http asks for it before it calls a hook
		err = clean(noProxy)
		if strings.Contains(err.Error(), "@") { // behind a password perhaps
			err = errors.New("its address cannot be read: look at HTTP_PROXY and HTTPS_PROXY")
		}
		return notSent, fmt.Errorf("no proxy: %w", err)
	case o == notSent && proxy != nil:
		err = fmt.Errorf("through the proxy %s://%s: %w", proxy.Scheme, proxy.Host, err)
	}
	return o, err
}

func (s *sender) report(ctx context.Context, x *apiRequest, base *url.URL, n, status int, took time.Duration, err error) {
	defer s.recoverObserver(ctx)
	debug := s.logger.Enabled(ctx, slog.LevelDebug)
	if s.observe == nil && !debug {
		return
	}
	call := Call{
		Op: x.op, Method: x.method, URL: base.String() + x.path,
		Attempt: n, StatusCode: status, Duration: took, Err: err,
	}
	if e, ok := err.(*Error); ok {
		call.Code, call.RequestID = e.Code, e.RequestID
	}
	if debug {
		s.logger.DebugContext(ctx, "wechatqr: request", "op", call.Op, "method", call.Method, "url", call.URL,
			"attempt", n, "status", status, "errcode", int(call.Code), "rid", call.RequestID, "duration", took, "error", err)
	}
	if s.observe != nil {
		s.observe(ctx, call)
	}
}

// recoverObserver keeps a panic of the observer or of the log handler from a
// request that is carried out already.
func (s *sender) recoverObserver(ctx context.Context) {
	if p := recover(); p != nil {
		recoverPanic(func() {
			s.logger.ErrorContext(ctx, "wechatqr: the observer or the log handler panicked", "panic", p)
		})
	}
}
