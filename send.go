package wechatqr

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"
)

// exchange is a request to WeChat and what may be done with it.
type exchange struct {
	op         string
	method     string
	path       string
	rawQuery   string
	body       []byte // JSON, or nil
	secret     string // in the query or the body, so never in an error
	repeatable bool   // doing it twice does no harm
	forToken   bool   // 40001 means the AppSecret, not a token
}

// wire sends exchanges. The client and its token source share one.
type wire struct {
	transport  http.RoundTripper
	timeout    time.Duration // of one exchange
	api        *hosts
	maxRetries int
	userAgent  string
	logger     *slog.Logger
	observe    func(context.Context, Call)
}

const (
	exchangeTimeout = 10 * time.Second
	dialTimeout     = 3 * time.Second // leaves time for the next host
	longEnough      = time.Second     // without an answer, to look for another host
	maxAnswer       = 1 << 20
	maxImage        = 4 << 20
	firstBackoff    = 200 * time.Millisecond
)

func newWire(cfg *config) (*wire, error) {
	api, err := newHosts(cfg.endpoint.API...)
	if err != nil {
		return nil, err
	}
	w := &wire{
		timeout: exchangeTimeout, api: api, maxRetries: cfg.maxRetries, userAgent: cfg.userAgent,
		logger: cfg.logger, observe: cfg.observe,
	}
	if hc := cfg.httpClient; hc != nil {
		w.transport = hc.Transport
		if hc.Timeout > 0 {
			w.timeout = hc.Timeout
		}
	}
	if w.transport == nil {
		w.transport = newTransport()
	}
	return w, nil
}

// newTransport is net/http's default with room for many callers.
func newTransport() http.RoundTripper {
	def, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return http.DefaultTransport // somebody's mock
	}
	t := def.Clone()
	t.DialContext = (&net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}).DialContext
	t.MaxIdleConns = 256
	t.MaxIdleConnsPerHost = 128
	return t
}

// hosts are base addresses that serve alike, and which of them to begin with.
type hosts struct {
	urls  []*url.URL
	first atomic.Int32
	until atomic.Int64 // Unix nanoseconds; then urls[0] has its turn again
}

// awayFor is how long a host that could not be reached is left alone.
const awayFor = time.Minute

func newHosts(addresses ...string) (*hosts, error) {
	h := &hosts{}
	for _, address := range addresses {
		u, err := parseBase(address)
		if err != nil {
			return nil, err
		}
		h.urls = append(h.urls, u)
	}
	return h, nil
}

func (h *hosts) begin() int {
	i := int(h.first.Load())
	if i != 0 && time.Now().UnixNano() > h.until.Load() {
		h.first.Store(0)
		return 0
	}
	return i
}

// leave has the next calls begin with another host than i, which could not be
// reached.
func (h *hosts) leave(i int) {
	if h.first.CompareAndSwap(int32(i), int32((i+1)%len(h.urls))) {
		h.until.Store(time.Now().Add(awayFor).UnixNano())
	}
}

// fate is what became of one attempt, and so whether another may follow.
type fate int

const (
	final   fate = iota // to live with
	busy                // WeChat says that it did nothing
	failed              // HTTP 5xx: may have been carried out
	garbled             // an answer that cannot be read, to live with: may have been carried out
	broken              // no answer, or half of one: may have been carried out
	notSent             // cannot have arrived
)

// send makes attempts until one is final or there have been enough.
func (w *wire) send(ctx context.Context, x *exchange, at *hosts, limit int64, judge func(status int, answer []byte) (fate, error)) error {
	host := at.begin()
	tried := 1 // hosts, since the last pause
	for attempt := 1; ; attempt++ {
		start := time.Now()
		f, err := w.attempt(ctx, x, at.urls[host], attempt, limit, judge)
		// A caller that was in a hurry says nothing about the host.
		if f == notSent || f == broken && errors.Is(err, context.DeadlineExceeded) && time.Since(start) >= longEnough {
			at.leave(host)
		}
		if !x.repeatable && (f == failed || f == garbled || f == broken) {
			return outcomeUnknown(x, err)
		}
		if f == final || f == garbled || attempt > w.maxRetries || ctx.Err() != nil {
			return err
		}
		if f == notSent || f == broken {
			host = (host + 1) % len(at.urls)
			if tried++; tried <= len(at.urls) {
				continue // at once, for nothing has been asked of that host yet
			}
		}
		tried = 1
		if !pause(ctx, attempt) {
			if errors.Is(ctx.Err(), context.Canceled) {
				return fmt.Errorf("%w; then: %w", err, context.Canceled)
			}
			return err
		}
	}
}

// outcomeUnknown is the error of an exchange that must not be done twice and
// may have been done once.
func outcomeUnknown(x *exchange, err error) error {
	if e, ok := err.(*Error); ok {
		e.unsure = true
		if e.kind == nil && e.StatusCode >= 500 { // ErrBusy would say that it may be repeated
			e.kind = ErrOutcomeUnknown
		}
		return e
	}
	if o, ok := err.(*opError); ok {
		err = o.err
	}
	return &opError{x.op, fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)}
}

// pause waits before the next attempt; false if ctx would end first.
func pause(ctx context.Context, attempt int) bool {
	d := firstBackoff << (attempt - 1)
	d = d/2 + rand.N(d)
	if end, ok := ctx.Deadline(); ok && time.Until(end) < d {
		return false
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// attempt does one HTTP exchange.
func (w *wire) attempt(ctx context.Context, x *exchange, base *url.URL, n int, limit int64, judge func(int, []byte) (fate, error)) (fate, error) {
	start := time.Now()
	status, answer, err := w.roundTrip(ctx, x, base, limit)
	f := final
	switch {
	case err == nil:
		f, err = judge(status, answer)
	case errors.Is(err, errTooLarge):
		f, err = garbled, unexpected(x.op, status, fmt.Sprintf("the answer is larger than %d KiB", limit>>10))
	default:
		f = broken
		if status == 0 && cannotHaveArrived(err) {
			f = notSent
		}
		err = &opError{x.op, clean(err, x.secret)}
	}
	w.report(ctx, x, base, n, status, time.Since(start), err)
	return f, err
}

var errTooLarge = errors.New("too large")

// cannotHaveArrived is true only of what happens before a request is written.
func cannotHaveArrived(err error) bool {
	for e := range layers(err) {
		switch e := e.(type) {
		case *net.DNSError, *tls.CertificateVerificationError:
			return true
		case *net.OpError:
			if e.Op == "dial" || e.Op == "proxyconnect" {
				return true
			}
		}
	}
	return false
}

// roundTrip uses the transport itself: what http.Client would add is
// redirects, which would carry the query, secrets included, to another host as
// Referer.
func (w *wire) roundTrip(ctx context.Context, x *exchange, base *url.URL, limit int64) (status int, answer []byte, err error) {
	if end, ok := ctx.Deadline(); !ok || time.Until(end) > w.timeout {
		own, cancel := context.WithTimeout(ctx, w.timeout)
		defer cancel()
		defer func(callers context.Context) {
			if err != nil && own.Err() != nil && callers.Err() == nil {
				err = fmt.Errorf("%s %s://%s%s: %w", x.method, base.Scheme, base.Host, base.Path+x.path, timeoutError(w.timeout))
			}
		}(ctx)
		ctx = own
	}
	// The parts of a request that live as long as it, in one allocation.
	parts := &struct {
		url    url.URL
		body   bytes.Reader
		values [2]string
	}{url: *base, values: [...]string{w.userAgent, "application/json"}}
	u := &parts.url
	u.Path += x.path
	u.RawQuery = x.rawQuery
	r := http.Request{
		Method: x.method, URL: u, Host: u.Host,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"User-Agent": parts.values[:1:1]},
	}
	if x.body != nil {
		r.Header["Content-Type"] = parts.values[1:]
		parts.body.Reset(x.body)
		r.Body = io.NopCloser(&parts.body) // net/http knows this one, and sends it along with the headers
		r.ContentLength = int64(len(x.body))
		r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(x.body)), nil }
	}
	resp, err := w.transport.RoundTrip(r.WithContext(ctx))
	switch {
	case err != nil:
		return 0, nil, fmt.Errorf("%s %s://%s%s: %w", x.method, u.Scheme, u.Host, u.Path, err)
	case resp == nil:
		return 0, nil, fmt.Errorf("the http.RoundTripper %T gave neither an answer nor an error", w.transport)
	case resp.Body == nil:
		return resp.StatusCode, nil, nil
	}
	defer resp.Body.Close()
	if resp.ContentLength > limit {
		return resp.StatusCode, nil, errTooLarge
	}
	answer, err = readAll(resp.Body, resp.ContentLength, limit)
	if err != nil {
		err = fmt.Errorf("reading the answer: %w", err)
	}
	return resp.StatusCode, answer, err
}

// timeoutError says that an exchange took longer than it may by itself, as
// opposed to the caller's context.
type timeoutError time.Duration

func (e timeoutError) Error() string        { return "no answer within " + time.Duration(e).String() }
func (e timeoutError) Timeout() bool        { return true }
func (e timeoutError) Temporary() bool      { return true }
func (e timeoutError) Is(target error) bool { return target == context.DeadlineExceeded }

// readAll reads to the end, of which size is a guess, and refuses more than limit.
func readAll(r io.Reader, size, limit int64) ([]byte, error) {
	buf := make([]byte, 0, min(max(size, 0), limit)+512)
	for {
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		switch {
		case int64(len(buf)) > limit:
			return nil, errTooLarge
		case err == io.EOF:
			return buf, nil
		case err != nil:
			return nil, err
		case len(buf) == cap(buf):
			buf = append(buf, 0)[:len(buf)]
		}
	}
}

func (w *wire) report(ctx context.Context, x *exchange, base *url.URL, n, status int, took time.Duration, err error) {
	debug := w.logger.Enabled(ctx, slog.LevelDebug)
	if w.observe == nil && !debug {
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
		w.logger.DebugContext(ctx, "wechatqr: exchange", "op", call.Op, "method", call.Method, "url", call.URL,
			"attempt", n, "status", status, "errcode", int(call.Code), "rid", call.RequestID, "duration", took, "error", err)
	}
	if w.observe != nil {
		w.observe(ctx, call)
	}
}
