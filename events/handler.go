package events

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/wechatqr/wechatqr"
)

const slotTimeout = 3 * time.Second // from the request on

// HandlerFunc handles one event. The reply is sent to the user at once; nil is
// none. ctx has the request's values; the end of the request does not cancel it.
//
// The function may run several times for one event until it has succeeded: what
// it did before it failed, it does again, with the same ev, which it must not
// change. After an error it runs again within the same delivery, after pauses of
// 0.3 s, 1 s and 2 s, while 1 s of the time for the response is left and other
// deliveries have less than half of the slots (see [WithoutRetries]). After the last
// run, and after a panic at once, the response is HTTP 500, and if WeChat delivers
// the event again, the function runs again. Do not count on that: WeChat was seen to
// deliver four times within a second after a wrong status, and then no more.
//
// WeChat waits 5 s. If the function is not done 4.5 s after the request came, the
// response is "success" and the function goes on: its reply can no longer be sent,
// and it does not run again if it fails, which the problem handler is told by
// ErrLate; see [FailLate] for one that must not lose the event. If a slow body, a
// full Handler or another delivery has left less than 1 s of the 4.5 s, the
// function does not begin, and the response is HTTP 503.
type HandlerFunc func(ctx context.Context, ev *wechatqr.Event) (Reply, error)

// Option changes a default of [NewHandler].
type Option func(*config)

type config struct {
	deduper    Deduper
	maxRunning int
	retries    bool
	onProblem  func(context.Context, Problem)
	observe    func(context.Context, Delivery) // nil: none
	logger     *slog.Logger                    // nil: slog.Default
	errs       []error
}

func (c *config) check(ok bool, format string, args ...any) {
	if !ok {
		c.errs = append(c.errs, fmt.Errorf(format, args...))
	}
}

// WithDeduper remembers in d which events were handled; nil remembers nothing,
// so that every delivery runs the function. The default is a
// [NewMemoryDeduper] for 1048576 events: enough for one process, until it starts
// again and has forgotten them. Several processes behind one URL should share a
// Deduper.
//
// A d of your own, or a shared one, has such a memory in front: an event is claimed
// there first, and then in d. So while d fails or takes more than 500 ms, events
// are handled all the same, once in each process that WeChat delivers them to.
//
// An event stays known for three times Config.MaxAge and a minute, which is longer
// than a push of it can be fresh. If the memory is too small for that, the
// problem handler is told by ErrForgotten.
func WithDeduper(d Deduper) Option { return func(c *config) { c.deduper = d } }

// WithMaxRunning limits how many deliveries are under way at once to n slots,
// 1000 by default; a function that goes on after the response keeps its slot.
// Beyond that a delivery waits for a slot until 3 s after it came. Then the
// response is HTTP 503.
func WithMaxRunning(n int) Option {
	return func(c *config) {
		c.check(n > 0, "WithMaxRunning(%d): use 1 at the least", n)
		c.maxRunning = n
	}
}

// WithoutRetries runs the function once for each delivery: after an error the
// response is HTTP 500 at once.
func WithoutRetries() Option { return func(c *config) { c.retries = false } }

// Handler serves the callback URL: it answers the console's check of the URL,
// and verifies, decrypts, parses and answers pushes. It is an http.Handler;
// Handle is the same for servers of another kind.
//
// An event that is delivered several times, or replayed, is handled by one
// delivery at a time, until the function has succeeded. Another delivery of it
// waits for the outcome: after success its response is "success" without a
// reply; if the function failed, or its process died, this delivery runs it; if
// neither is known after about 4.7 s, or 16 deliveries of it wait already, the
// response is HTTP 503. A process that
// dies after the function succeeded and before that was noted has it run again,
// and so has one that stalls, or cannot reach the shared Deduper, for more than
// 2 s while another delivery waits.
//
// The response is:
//
//	200 and the reply   the function has succeeded
//	200 "success"       the same without a reply, or with one that cannot be
//	                    sent; or it had succeeded before; or it is still running
//	500                 the function failed or panicked, or is still running and has
//	                    called FailLate
//	503                 ErrInProgress, ErrNoTime, ErrOverloaded, ErrShutdown
//	4xx                 the request is refused: the status is that of the Err value
//
// The body of the last three is the Err value's text and nothing else.
//
// A Handler is safe for concurrent use. It serves until Shutdown, and starts no
// goroutine but one for each function that runs, and beside one that has called
// FailLate for each renewal of its claim after the response.
type Handler struct {
	config
	verifier *Verifier
	fn       HandlerFunc
	slots    *slots
	claims   claims
	calls    sync.Pool // of *call
}

// NewHandler returns a Handler that gives each event to fn, for instance to the
// Serve method of a [Mux]. Its error matches wechatqr.ErrInvalidArgument.
//
// [Serve] serves it as WeChat needs it. A http.Server of your own needs a
// ReadTimeout, for instance the 5 s that WeChat waits: without one, a client that
// sends the body slowly keeps a connection for as long as it likes.
func NewHandler(cfg Config, fn HandlerFunc, opts ...Option) (*Handler, error) {
	v, err := NewVerifier(cfg)
	if err != nil {
		return nil, err
	}

	h := &Handler{verifier: v, fn: fn, config: config{
		deduper: newMemory(defaultRemembered), maxRunning: 1000, retries: true,
	}}
	h.onProblem = h.logProblem
	h.check(fn != nil, "the HandlerFunc is nil")
	for _, opt := range opts {
		if h.check(opt != nil, "a nil Option"); opt != nil {
			opt(&h.config)
		}
	}
	if len(h.errs) > 0 {
		return nil, invalid(errors.Join(h.errs...))
	}

	// An event stays known for longer than a push of it can be fresh: its timestamp may be
	// MaxAge ahead at first, and a forged one, of a nonce that looks like a time, as much
	// later.
	const halfCentury = 50 * 365 * 24 * time.Hour
	known := 3*min(time.Duration(v.maxAge)*time.Second, halfCentury) + time.Minute

	h.slots = newSlots(h.maxRunning)
	h.claims = newClaims(h.deduper, known)
	h.claims.report = h.report
	return h, nil
}

// Shutdown has the Handler refuse pushes with 503 from now on, and waits for
// the functions that run, until ctx ends. Call it after the HTTP server's own
// Shutdown: functions may go on after their request.
func (h *Handler) Shutdown(ctx context.Context) error { return h.slots.shutdown(ctx) }

// Request is a callback request, from whatever server.
type Request struct {
	Method   string
	RawQuery string // after the question mark, as it came
	Body     []byte // is copied where it must outlive Handle
}

// Response is what to answer it with. ServeHTTP also sends
// X-Content-Type-Options: nosniff unless it answers a push with 200, and with
// 405 Allow: GET, POST.
type Response struct {
	Status      int
	ContentType string
	Body        []byte
}

// Handle is the Handler without net/http. The function sees ctx's values also
// after Handle has returned: do not pass a context that is used again, such as
// fasthttp's, but context.Background.
func (h *Handler) Handle(ctx context.Context, r Request) Response {
	if ctx == nil {
		ctx = context.Background()
	}
	read := func() ([]byte, error) { return bytes.Clone(r.Body), nil }
	return h.serve(ctx, r.Method, r.RawQuery, read)
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	read := func() ([]byte, error) { return readBody(r) }
	resp := h.serve(r.Context(), r.Method, r.URL.RawQuery, read)

	headers := w.Header()
	values := []string{resp.ContentType, strconv.Itoa(len(resp.Body))}
	headers["Content-Type"], headers["Content-Length"] = values[:1:1], values[1:]
	if resp.Status != http.StatusOK || r.Method == http.MethodGet {
		headers.Set("X-Content-Type-Options", "nosniff")
	}
	if resp.Status == http.StatusMethodNotAllowed {
		headers.Set("Allow", "GET, POST")
	}
	w.WriteHeader(resp.Status)
	_, _ = w.Write(resp.Body) // the client is gone if this fails
}

// serve calls read for the body only if the query is in order.
func (h *Handler) serve(
	ctx context.Context, method, rawQuery string, read func() ([]byte, error),
) Response {
	start := time.Now()
	q, err := parseQuery(rawQuery)
	if method == http.MethodGet {
		return h.echo(ctx, start, &q, err)
	}
	if method != http.MethodPost {
		err = errorf(ErrMethod, "it is %.16q", method)
	}

	var d Delivery
	var keys *keyPair
	if err == nil {
		d.Event, keys, err = h.verifier.parse(&q, start, read)
	}
	res := result{err: err}
	if err == nil {
		res = h.deliver(ctx, start, &d)
	}

	resp := h.respond(ctx, &q, keys, d.Event, res)
	if h.observe != nil {
		d.Status, d.Err, d.Duration = resp.Status, res.err, time.Since(start)
		_ = recoverPanic(func() error { h.observe(ctx, d); return nil })
	}
	return resp
}

func (h *Handler) echo(ctx context.Context, start time.Time, q *query, err error) Response {
	var text string
	if err == nil {
		text, err = h.verifier.echo(q, start)
	}
	if err != nil {
		return h.fail(ctx, nil, err, nil)
	}
	return textResponse(http.StatusOK, text)
}

// respond makes the response of an error, of the reply, encrypted if the message
// was, or of "success".
func (h *Handler) respond(
	ctx context.Context, q *query, keys *keyPair, ev *wechatqr.Event, res result,
) Response {
	if res.err != nil {
		return h.fail(ctx, ev, res.err, res.stack)
	}
	body, err := res.reply, res.replyErr
	if len(body) > 0 && keys != nil {
		body = h.verifier.seal(q, keys, ev, body, time.Now())
	}
	switch {
	case err != nil:
		h.report(ctx, ev, err, nil)
		fallthrough
	case len(body) == 0:
		return textResponse(http.StatusOK, "success")
	case isJSON(body):
		return Response{http.StatusOK, "application/json; charset=utf-8", body}
	}
	return Response{http.StatusOK, "text/xml; charset=utf-8", body}
}

func textResponse(status int, text string) Response {
	return Response{status, "text/plain; charset=utf-8", []byte(text)}
}

// fail responds with the kind of the error alone.
func (h *Handler) fail(ctx context.Context, ev *wechatqr.Event, err error, stack []byte) Response {
	h.report(ctx, ev, err, stack)
	c := pushErrorOf(err)
	return textResponse(c.status, c.err.Error())
}

func (h *Handler) report(ctx context.Context, ev *wechatqr.Event, err error, stack []byte) {
	c := pushErrorOf(err)
	p := Problem{err, c.status, c.en, c.zh, ev, stack}
	_ = recoverPanic(func() error { h.onProblem(ctx, p); return nil })
}

// recoverPanic returns a panic of the user's code as an error.
func recoverPanic(fn func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return fn()
}
