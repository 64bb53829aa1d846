package wechatqr

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Credentials identify an account. They print and marshal without the secret.
type Credentials struct {
	AppID     string `json:"app_id"`     // wx…
	AppSecret string `json:"app_secret"` // not needed with WithTokenSource
}

// Format prints the AppID alone, whatever the verb.
func (c Credentials) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "wechatqr.Credentials(%s, %s)", c.AppID, redacted)
}

// MarshalJSON writes [redacted] for the secret: a configuration that is dumped
// or logged must not give it away.
func (c Credentials) MarshalJSON() ([]byte, error) {
	type plain Credentials
	if c.AppSecret != "" {
		c.AppSecret = redacted
	}
	return json.Marshal(plain(c))
}

func (c Credentials) check() error {
	switch {
	case c.AppID == "":
		return errors.New("Credentials.AppID is empty")
	case c.AppSecret == "":
		return errors.New("Credentials.AppSecret is empty: set it, or take tokens from elsewhere by WithTokenSource")
	case strings.HasPrefix(c.AppSecret, "wx") && !strings.HasPrefix(c.AppID, "wx"):
		return errors.New("Credentials.AppSecret looks like an AppID: are the two swapped?")
	case strings.ContainsFunc(c.AppID+c.AppSecret, func(r rune) bool { return r <= ' ' || r > '~' }):
		return errors.New("Credentials contain white space or other odd characters: was a line end read with them?")
	case c.AppSecret == redacted:
		return errors.New("Credentials.AppSecret is \"[redacted]\": they were written as JSON, which leaves the secret out")
	}
	return nil
}

// Client makes codes for one account. It is safe for concurrent use, and one
// for each account is enough: it keeps the token and the connections. It needs
// no closing. For many accounts share the connections by [WithHTTPClient].
type Client struct {
	wire   *wire
	tokens TokenSource
	images *hosts
}

// New makes a Client. It does no I/O: what it refuses, with
// [ErrInvalidArgument], is credentials and options that cannot be right.
//
// By default tokens come from the stable endpoint and are kept in memory, an
// exchange may take 10 s, an answer 1 MiB and a picture 4 MiB.
func New(creds Credentials, opts ...Option) (*Client, error) {
	const op = "new client"
	cfg, err := configure(opts)
	if err != nil {
		return nil, invalid(op, err)
	}
	w, err := newWire(cfg)
	if err != nil {
		return nil, invalid(op, err)
	}
	images, err := newHosts(cfg.endpoint.Image)
	if err != nil {
		return nil, invalid(op, err)
	}
	tokens, err := newTokens(cfg, w, creds)
	if err != nil {
		return nil, invalid(op, err)
	}
	return &Client{wire: w, tokens: tokens, images: images}, nil
}

// newTokens composes memory in front of the store in front of WeChat.
func newTokens(cfg *config, w *wire, creds Credentials) (TokenSource, error) {
	if src := cfg.tokenSource; src != nil {
		_, keeps := src.(Invalidator)
		_, none := src.(noToken)
		if _, stored := src.(*storedTokenSource); none || keeps && !stored {
			return src, nil
		}
		return newReuse(src, cfg.logger), nil
	}
	if err := creds.check(); err != nil {
		return nil, err
	}
	src, key := w.stableToken(creds), creds.AppID+"/stable"
	if cfg.classic {
		// Tokens of the two endpoints do not replace each other.
		src, key = w.classicToken(creds), creds.AppID+"/classic"
	}
	if cfg.stored != nil {
		src = cfg.stored(key, src)
	}
	return newReuse(src, cfg.logger), nil
}

// Format prints the type alone, whatever the verb.
func (c Client) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "wechatqr.Client") }

// Do calls any other API of WeChat's with the client's token, timeouts,
// retries, errors and redaction. path is like "/cgi-bin/user/info", unescaped;
// query adds parameters, access_token excepted; in, unless nil, is sent as JSON
// in raw UTF-8; out, unless nil, points to what receives the JSON of a
// successful answer.
//
// A GET is repeated after a broken connection or HTTP 5xx; another method is
// not, when its request may have arrived: that is [ErrOutcomeUnknown]. A busy
// answer (-1) is repeated always. Files and other answers than JSON are not for
// Do.
//
// Errors: [ErrInvalidArgument] before any request, then every kind of [Error],
// and as they are those of the network, of ctx and of a [TokenSource].
func (c *Client) Do(ctx context.Context, method, path string, query url.Values, in, out any) error {
	op := method + " " + cutQuery(path)
	if !strings.HasPrefix(path, "/") || strings.ContainsAny(path, "?#") {
		return invalid(op, fmt.Errorf("the path is %q: begin with / and put parameters into query", cutQuery(path)))
	}
	if method == "" || strings.ContainsFunc(method, func(r rune) bool { return r < 'A' || r > 'Z' }) {
		return invalid(op, fmt.Errorf("the method is %q: use http.MethodGet or http.MethodPost", method))
	}
	if v := reflect.ValueOf(out); out != nil && (v.Kind() != reflect.Pointer || v.IsNil()) {
		return invalid(op, fmt.Errorf("out is a %T: pass a pointer to what the answer is to fill, or nil", out))
	}
	if _, raw := in.([]byte); raw {
		return invalid(op, errors.New("in is []byte, which JSON would encode as base64: pass json.RawMessage"))
	}
	if query.Has("access_token") {
		return invalid(op, errors.New("the query has access_token: leave it out, the client adds its own"))
	}
	x := &exchange{op: op, method: method, path: path, rawQuery: query.Encode(), repeatable: method == http.MethodGet}
	if in != nil {
		body, err := marshal(in)
		if err != nil {
			return invalid(op, err)
		}
		x.body = body
	}
	return c.call(ctx, x, out)
}

// call is the one path to WeChat: token, then send, read, judge and retry,
// then once more with another token if WeChat refused the first.
func (c *Client) call(ctx context.Context, x *exchange, out any) error {
	if _, none := c.tokens.(noToken); none {
		return c.wire.exchangeJSON(ctx, x, out)
	}
	query := x.rawQuery
	var refusal error // of the first token
	for {
		tok, err := c.tokens.Token(ctx)
		switch {
		case err != nil && refusal != nil:
			return fmt.Errorf("%w; then no other token could be had: %w", refusal, clean(err))
		case err != nil:
			return &opError{x.op, clean(err)}
		case tok.Value == "":
			return &opError{x.op, unexpected("get token", 0, "the token source gave an empty token: use NoToken for calls without one")}
		case refusal != nil && tok.Value == x.secret:
			return fmt.Errorf("%w; renewing the token gave the same one again", refusal)
		}
		x.secret = tok.Value
		x.rawQuery = "access_token=" + url.QueryEscape(tok.Value)
		if query != "" {
			x.rawQuery += "&" + query
		}
		err = c.wire.exchangeJSON(ctx, x, out)
		inv, ok := c.tokens.(Invalidator)
		if !ok || refusal != nil || !refused(err) {
			return err
		}
		if ierr := inv.Invalidate(ctx, tok.Value); ierr != nil {
			c.wire.logger.WarnContext(ctx, "wechatqr: the token source could not drop a refused token", "error", clean(ierr, tok.Value))
		}
		refusal = err
	}
}

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

// exchangeJSON does an exchange with the API and fills out from the answer.
func (w *wire) exchangeJSON(ctx context.Context, x *exchange, out any) error {
	return w.send(ctx, x, w.api, maxAnswer, func(status int, answer []byte) (fate, error) {
		return judge(x, status, answer, out)
	})
}

// judge reads an API answer. HTTP 200 means little: errcode comes first.
func judge(x *exchange, status int, answer []byte, out any) (fate, error) {
	if status != http.StatusOK || bytes.Contains(answer, []byte("errcode")) {
		if err := faultIn(x, status, answer); err != nil {
			f := final
			switch {
			case err.Code != 0 && err.Is(ErrBusy):
				f = busy
			case status >= 500 && err.Code == 0:
				f = failed
			case status >= 200 && status < 300 && err.Code == 0:
				f = garbled
			}
			return f, err
		}
	}
	if out == nil {
		if !json.Valid(answer) {
			return garbled, notJSON(x, status, answer)
		}
		return final, nil
	}
	switch err := json.Unmarshal(answer, out).(type) {
	case nil:
		return final, nil
	case *json.SyntaxError:
		return garbled, notJSON(x, status, answer)
	default:
		return garbled, unexpected(x.op, status, redact(err.Error(), x.secret))
	}
}

// faultIn returns the *Error that an answer stands for, nil if it is none.
func faultIn(x *exchange, status int, answer []byte) *Error {
	var env struct {
		ErrCode Code   `json:"errcode"`
		ErrMsg  string `json:"errmsg"`
	}
	err := json.Unmarshal(answer, &env)
	wrongType, typed := err.(*json.UnmarshalTypeError) // the other fields are filled all the same
	switch {
	case env.ErrCode != 0:
		e := fault(x.op, status, env.ErrCode, redact(env.ErrMsg, x.secret))
		if x.forToken && e.Code == 40001 {
			e.kind = ErrInvalidCredential
		}
		return e
	case status == http.StatusOK && typed && wrongType.Field == "errcode":
		return unexpected(x.op, status, "errcode is no number")
	case status == http.StatusOK && (err == nil || typed):
		return nil
	case status == http.StatusOK:
		return notJSON(x, status, answer)
	case status >= 300 && status < 400:
		return unexpected(x.op, status, "a redirect, not followed: is there a proxy or a login page between here and WeChat?")
	}
	return &Error{Op: x.op, StatusCode: status, Message: snippet(x, answer)}
}

func notJSON(x *exchange, status int, answer []byte) *Error {
	return unexpected(x.op, status, "no JSON: "+snippet(x, answer))
}

// snippet is how an answer begins, enough to tell a proxy's page from WeChat's.
// What looks like JSON is not shown, for it may hold a token.
func snippet(x *exchange, answer []byte) string {
	const looked, most = 4 << 10, 120
	first := bytes.TrimLeft(answer, " \t\r\n\ufeff")
	switch {
	case len(first) == 0:
		return "an empty body"
	case first[0] == '{' || first[0] == '[' || first[0] != '<' && x.forToken:
		return fmt.Sprintf("%d bytes, not shown, for they may hold a secret", len(answer))
	}
	text := redact(string(first[:min(len(first), looked)]), x.secret)
	if len(text) > most {
		text = text[:most] + "…"
	}
	return strconv.Quote(text)
}

// marshal is JSON as WeChat reads it: raw UTF-8, no \u escape for what can
// stand as it is.
func marshal(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	in := bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
	if !bytes.Contains(in, []byte(`\u202`)) {
		return in, nil
	}
	// encoding/json escapes U+2028 and U+2029 whatever it is told.
	out := make([]byte, 0, len(in))
	for len(in) > 0 {
		switch {
		case bytes.HasPrefix(in, []byte(`\u2028`)):
			out, in = append(out, "\u2028"...), in[6:]
		case bytes.HasPrefix(in, []byte(`\u2029`)):
			out, in = append(out, "\u2029"...), in[6:]
		case in[0] == '\\':
			out, in = append(out, in[:2]...), in[2:]
		default:
			out, in = append(out, in[0]), in[1:]
		}
	}
	return out, nil
}
