package events

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wechatqr/wechatqr"
)

// All are counted from when the delivery came, but those that say how long
// something may take.
const (
	placeWithin  = 3 * time.Second         // then it is refused for want of a place
	answerWithin = 4500 * time.Millisecond // WeChat waits 5 s
	waitWithin   = 4700 * time.Millisecond // for others' claims, and for a function that began late

	enough       = time.Second            // what a function must have had before it is taken for slow
	lease        = 5 * time.Second        // a claim of a process that died; longer than answerWithin
	pollEvery    = 100 * time.Millisecond // a claim that another has
	claimWithin  = 250 * time.Millisecond // then the Deduper counts as failed
	commitWithin = 250 * time.Millisecond // so that the answer leaves before WeChat's 5 s are over
)

// HandlerFunc handles one event. The reply is sent to the user at once; nil is
// none. After an error or a panic WeChat is told so, and its next delivery of
// the same event runs the function again: up to three times in all, within
// about 15 s.
//
// WeChat waits 5 s. A function that is not done 4.5 s after the request came
// goes on, but WeChat has been told success: its reply can no longer be sent,
// and nobody runs it again if it fails, which the hook learns by ErrLate. Where
// a slow body, a full Handler or another delivery left the function less than
// 1 s of that, it is told HTTP 503 after 4.7 s instead, and its next delivery
// learns the outcome or runs the function again. ctx has the request's values;
// the end of the request does not cancel it.
type HandlerFunc func(ctx context.Context, ev *wechatqr.Event) (Reply, error)

// Problem is something that went otherwise than the function meant: a refused
// request, an error, a panic, a reply that could not be sent.
type Problem struct {
	Err    error           // matches an Err value of this package
	Status int             // of the answer; 0 if it did not change the answer
	Hint   string          // what to do about it, in one line of English
	HintZH string          // the same in Chinese
	Event  *wechatqr.Event // nil if the request was refused before it was known
	Stack  []byte          // of a panic
}

// HandlerOption changes a default of [NewHandler].
type HandlerOption func(*Handler) error

// WithHook calls fn for every [Problem]. The default writes each to
// slog.Default: refused requests as warnings, the others as errors. fn must be
// quick and safe for concurrent use; its panic is dropped.
func WithHook(fn func(context.Context, Problem)) HandlerOption {
	return func(h *Handler) error {
		if fn == nil {
			return errors.New("WithHook(nil): leave the option out for the default")
		}
		h.hook = fn
		return nil
	}
}

// WithDeduper remembers in d which events were handled; nil remembers nothing,
// so that every delivery runs the function. The default is a
// [NewMemoryDeduper] for 65536 events: enough for one process, while several
// behind one URL should share one.
//
// A d that is shared stands behind such a memory: what this process handles is
// claimed in both, d being asked last. So while d fails or does not answer,
// within 250 ms, events are handled all the same, once in each process that
// WeChat delivers them to.
func WithDeduper(d Deduper) HandlerOption {
	return func(h *Handler) error {
		h.deduper = d
		return nil
	}
}

// WithMaxRunning limits how many events are handled at once, those whose
// function goes on after the answer and those that wait included. Beyond n,
// 1000 by default, a delivery waits for a place until 3 s after it came. Then
// the answer is HTTP 503, and WeChat's next delivery may be handled: how long
// after that it comes, if at once, WeChat does not say.
func WithMaxRunning(n int) HandlerOption {
	return func(h *Handler) error {
		if n < 1 {
			return fmt.Errorf("WithMaxRunning(%d): use 1 at the least", n)
		}
		h.maxRunning = n
		return nil
	}
}

// Handler serves the callback URL: it answers the console's check of the URL,
// and verifies, decrypts, parses and answers pushes. It is an http.Handler;
// Handle is the same for servers of another kind.
//
// An event that is delivered several times, or replayed, runs the function
// once. A delivery that finds the event in somebody's hands waits for the
// outcome: once the function has succeeded the answer is "success" without a
// reply; if it failed, or its process died, this delivery runs it again; if
// neither is known after about 4.7 s the answer is HTTP 503, so that WeChat's
// next delivery may learn it. A process that dies after the function succeeded
// and before that was noted has it run again, and so has one that stalls for
// more than 5 s.
//
// The answer to a refused request is the Err value's text and a status of 4xx,
// or 503 by ErrInProgress, ErrOverloaded and ErrShutdown; to a function that
// failed it is 500.
type Handler struct {
	verifier   *Verifier
	fn         HandlerFunc
	hook       func(context.Context, Problem)
	deduper    Deduper
	maxRunning int

	here       *memory       // nil if nothing is remembered
	shared     Deduper       // nil if there is none but here
	handledFor time.Duration // for which an event stays known

	calls  sync.Pool     // of *call
	places chan struct{} // has room for maxRunning
	ending chan struct{} // closed by Shutdown

	mu      sync.Mutex
	running int
	closed  bool
	idle    chan struct{} // closed when nothing runs, once closed is set
}

// NewHandler returns a Handler that gives each event to fn, for instance to the
// Serve method of a [Mux]. Its error matches wechatqr.ErrInvalidArgument.
//
// The http.Server needs a ReadTimeout, 5 s being what WeChat has patience for:
// without one whoever sends the body slowly holds a connection for as long as
// they like.
func NewHandler(cfg Config, fn HandlerFunc, opts ...HandlerOption) (*Handler, error) {
	v, err := NewVerifier(cfg)
	if err != nil {
		return nil, err
	}
	if fn == nil {
		return nil, invalid(errors.New("the HandlerFunc is nil"))
	}
	h := &Handler{
		verifier: v, fn: fn, hook: logProblem,
		deduper: newMemory(memoryLimit), maxRunning: 1000,
		ending: make(chan struct{}), idle: make(chan struct{}), handledFor: handledFor(v.maxAge),
	}
	for _, opt := range opts {
		if opt == nil {
			return nil, invalid(errors.New("a nil HandlerOption"))
		}
		if err := opt(h); err != nil {
			return nil, invalid(err)
		}
	}
	h.places = make(chan struct{}, h.maxRunning)
	switch d := h.deduper.(type) {
	case nil:
	case *memory:
		h.here = d
	default:
		h.here, h.shared = newMemory(memoryLimit), d
	}
	return h, nil
}

// handledFor is longer than a push can be fresh: its timestamp may be maxAge
// seconds ahead at first. The last of WeChat's deliveries comes within half a
// minute.
func handledFor(maxAge int64) time.Duration {
	const minute, century = 60, 100 * 365 * 24 * 3600
	return time.Duration(min(max(2*maxAge+minute, 10*minute), century)) * time.Second
}

// Shutdown has the Handler refuse pushes with 503 from now on, and waits for
// the functions that run, until ctx ends. Call it after the HTTP server's own
// Shutdown: functions may go on after their request.
func (h *Handler) Shutdown(ctx context.Context) error {
	h.mu.Lock()
	if !h.closed {
		h.closed = true
		close(h.ending)
		if h.running == 0 {
			close(h.idle)
		}
	}
	h.mu.Unlock()
	select {
	case <-h.idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// enter takes a place, and waits for one if it must.
func (h *Handler) enter(ctx context.Context, start time.Time) error {
	select {
	case h.places <- struct{}{}:
	default:
		if err := h.queue(ctx, start); err != nil {
			return err
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		<-h.places
		return shutDown()
	}
	h.running++
	return nil
}

func (h *Handler) queue(ctx context.Context, start time.Time) error {
	patience := time.NewTimer(placeWithin - time.Since(start))
	defer patience.Stop()
	select {
	case h.places <- struct{}{}:
		return nil
	case <-h.ending:
		return shutDown()
	case <-patience.C:
		return refuse(ErrOverloaded, "%d, which is the limit, and none was done in time", h.maxRunning)
	case <-ctx.Done():
		return refuse(ErrOverloaded, "%d, which is the limit, and the caller has gone", h.maxRunning)
	}
}

func shutDown() error { return refuse(ErrShutdown, "it takes no more") }

func (h *Handler) leave() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.running--
	if h.closed && h.running == 0 {
		close(h.idle)
	}
	<-h.places
}

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
	start := time.Now()
	if ctx == nil {
		ctx = context.Background()
	}
	q, err := check(r.Method, r.RawQuery)
	if err != nil {
		return h.fail(ctx, nil, err, nil)
	}
	if r.Method == http.MethodGet {
		return h.echo(ctx, start, &q)
	}
	ev, keys, err := h.verifier.parse(&q, start, func() ([]byte, error) { return r.Body, nil })
	if err == nil && keys == nil {
		ev.Raw = bytes.Clone(ev.Raw)
	}
	return h.push(ctx, start, &q, ev, keys, err)
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	a := h.serve(start, r)
	header := w.Header()
	values := []string{a.ContentType, strconv.Itoa(len(a.Body))}
	header["Content-Type"], header["Content-Length"] = values[:1:1], values[1:]
	if a.Status != http.StatusOK || r.Method == http.MethodGet {
		header.Set("X-Content-Type-Options", "nosniff")
	}
	if a.Status == http.StatusMethodNotAllowed {
		header.Set("Allow", "GET, POST")
	}
	w.WriteHeader(a.Status)
	_, _ = w.Write(a.Body) // the client is gone if this fails
}

func (h *Handler) serve(start time.Time, r *http.Request) Response {
	q, err := check(r.Method, r.URL.RawQuery)
	if err != nil {
		return h.fail(r.Context(), nil, err, nil)
	}
	if r.Method == http.MethodGet {
		return h.echo(r.Context(), start, &q)
	}
	ev, keys, err := h.verifier.parse(&q, start, func() ([]byte, error) { return readBody(r) })
	return h.push(r.Context(), start, &q, ev, keys, err)
}

func check(method, rawQuery string) (query, error) {
	if method != http.MethodGet && method != http.MethodPost {
		return query{}, refuse(ErrMethod, "it is %.16q", method)
	}
	return scanQuery(rawQuery)
}

func plainAnswer(status int, text string) Response {
	return Response{status, "text/plain; charset=utf-8", []byte(text)}
}

func success() Response { return plainAnswer(http.StatusOK, "success") }

func (h *Handler) echo(ctx context.Context, now time.Time, q *query) Response {
	text, err := h.verifier.echo(q, now)
	if err != nil {
		return h.fail(ctx, nil, err, nil)
	}
	return plainAnswer(http.StatusOK, text)
}

// push handles one delivery, or refuses it if it could not be opened.
func (h *Handler) push(ctx context.Context, start time.Time, q *query, ev *wechatqr.Event, keys *keyPair, err error) Response {
	if err != nil {
		return h.fail(ctx, nil, err, nil)
	}
	lasting := context.WithoutCancel(ctx)
	if err := h.enter(ctx, start); err != nil {
		return h.fail(ctx, ev, err, nil)
	}
	c := h.newCall()
	c.ctx, c.ev = lasting, ev
	if mine, err := h.claim(ctx, start, c); !mine {
		h.recycle(c)
		if err != nil {
			return h.fail(ctx, ev, err, nil)
		}
		return success()
	}
	left := answerWithin - time.Since(start)
	if left < enough {
		c.unsaid = true
		left += waitWithin - answerWithin
	}
	c.clock.Reset(left)
	go c.run()
	<-c.decided
	if c.state.Load() == decidedLate {
		if c.unsaid {
			return h.fail(ctx, ev, refuse(ErrInProgress, "this one began it late, and it is not done yet"), nil)
		}
		h.settle(c, true)
		return success()
	}
	reply, err, unsent, stack := c.reply, c.err, c.unsent, c.stack
	if c.clock.Stop() {
		h.recycle(c)
	}
	switch {
	case err != nil:
		return h.fail(ctx, ev, err, stack)
	case unsent == nil && len(reply) > 0:
		var a Response
		if a, unsent = h.answer(q, ev, keys, reply); unsent == nil {
			return a
		}
	}
	if unsent != nil {
		h.note(ctx, ev, unsent, nil)
	}
	return success()
}

// claim waits for its turn. False says that it has left again, and without an
// error that the event was handled.
func (h *Handler) claim(ctx context.Context, start time.Time, c *call) (mine bool, err error) {
	if h.here == nil {
		return true, nil
	}
	defer func() {
		if !mine { // the Deduper may have called runtime.Goexit
			defer h.leave()
			h.settle(c, false)
		}
	}()
	c.id, c.owner = c.ev.ID(), rand.Text()
	taken, noted := false, false // whether another process was seen to have it, whether a failure was told
	for {
		if !c.here {
			// No lease need end it: it is given back by whoever has it.
			var got Claim
			got, err = h.here.Claim(c.ctx, c.id, c.owner, h.handledFor)
			if c.here = got == ClaimGranted; got == ClaimBusy {
				err = ErrInProgress
			}
		}
		got := c.here
		if c.here && h.shared != nil {
			got, err = h.claimShared(c, waitWithin-time.Since(start))
			taken = taken || errors.Is(err, ErrInProgress)
		}
		if err == nil {
			return got, nil
		}
		if !errors.Is(err, ErrInProgress) {
			if !noted {
				h.note(ctx, c.ev, notClaimed.refuse("claim: %w", err), nil)
				noted = true
			}
			if !taken {
				return true, nil // twice is better than not at all
			}
		}
		if waitWithin-time.Since(start) < 2*pollEvery {
			return false, refuse(ErrInProgress, "it is not done yet")
		}
		select {
		case <-time.After(pollEvery):
		case <-ctx.Done():
			return false, refuse(ErrInProgress, "the caller has gone")
		}
	}
}

func (h *Handler) claimShared(c *call, left time.Duration) (mine bool, err error) {
	c.shared = true // as long as there is no answer that says otherwise
	err = h.ask(c, min(claimWithin, max(left, pollEvery)), func(ctx context.Context) (err error) {
		got, err := h.shared.Claim(ctx, c.id, c.owner, lease)
		if mine = got == ClaimGranted; err == nil && got == ClaimBusy {
			err = ErrInProgress
		}
		return err
	})
	if err == nil && !mine || errors.Is(err, ErrInProgress) {
		c.shared = false
	}
	return mine, err
}

// settle ends a claim, within the time that is left for it.
func (h *Handler) settle(c *call, handled bool) {
	switch {
	case h.here == nil:
		return
	case handled:
		_ = h.here.Commit(c.ctx, c.id, h.handledFor)
	case c.here:
		_ = h.here.Release(c.ctx, c.id, c.owner)
	}
	if h.shared == nil || !handled && !c.shared {
		return
	}
	err := h.ask(c, commitWithin, func(ctx context.Context) error {
		if handled {
			return h.shared.Commit(ctx, c.id, h.handledFor)
		}
		return h.shared.Release(ctx, c.id, c.owner)
	})
	if err != nil {
		h.note(c.ctx, c.ev, notSettled.refuse("end of claim: %w", err), nil)
	}
}

// ask puts a question to the shared Deduper, who may be far away.
func (h *Handler) ask(c *call, within time.Duration, question func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(c.ctx, within)
	defer cancel()
	return guard(func() error { return question(ctx) })
}

// guard makes a panic of the user's Deduper or Reply an error.
func guard(fn func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return fn()
}

// call is one run of the function. The goroutine that runs it and the clock
// agree by state on which of them tells the outcome to the one that answers.
type call struct {
	ctx context.Context
	ev  *wechatqr.Event

	id, owner    string
	here, shared bool // what it has claimed, or may have
	unsaid       bool // it began late: when the clock rings nothing is decided for WeChat

	state   atomic.Int32
	decided chan struct{} // has room for the one that decides
	clock   *time.Timer
	run     func() // kept, so that a goroutine costs no closure

	reply  []byte
	unsent error // why there is no reply
	err    error
	stack  []byte
}

const (
	undecided   = iota
	decidedDone // the function was done in time
	decidedLate // WeChat is answered without it
)

func (h *Handler) newCall() *call {
	if c, ok := h.calls.Get().(*call); ok {
		return c
	}
	c := &call{decided: make(chan struct{}, 1)}
	c.run = func() { h.run(c) }
	c.clock = time.AfterFunc(time.Hour, func() {
		if c.state.CompareAndSwap(undecided, decidedLate) {
			c.decided <- struct{}{}
		}
	})
	c.clock.Stop()
	return c
}

// recycle takes a call that nobody else knows any more.
func (h *Handler) recycle(c *call) {
	*c = call{decided: c.decided, clock: c.clock, run: c.run}
	h.calls.Put(c)
}

func (h *Handler) run(c *call) {
	defer h.finish(c)
	returned, built := false, false
	defer func() {
		switch {
		case !returned: // it panicked, or called runtime.Goexit
			p := recover()
			c.stack = debug.Stack()
			c.err = refuse(ErrPanic, "%v", p)
			if e, ok := p.(error); ok {
				c.err = refuse(ErrPanic, "%w", e)
			}
		case !built:
			c.unsent = refuse(ErrReply, "it called runtime.Goexit")
		}
	}()
	reply, err := h.fn(c.ctx, c.ev)
	returned = true
	if err != nil {
		c.err = refuse(ErrFunction, "%w", err)
	} else if reply != nil {
		err := guard(func() (err error) {
			c.reply, err = reply.AppendReply(make([]byte, 0, 512), c.ev, time.Now())
			return err
		})
		if err != nil {
			c.unsent = refuse(ErrReply, "%w", err)
		}
	}
	built = true
}

func (h *Handler) finish(c *call) {
	if c.state.CompareAndSwap(undecided, decidedDone) {
		defer func() {
			h.leave()               // before the answer, whose receiver may come again at once
			c.decided <- struct{}{} // c is the other's from here on
		}()
		h.settle(c, c.err == nil)
		return
	}
	defer h.leave()
	if c.unsaid {
		h.settle(c, c.err == nil)
	}
	err := c.err
	var failure *refusal
	switch {
	case err != nil && !c.unsaid && errors.As(err, &failure):
		err = &refusal{failure.kind, fmt.Errorf("after success was sent: %w", failure.reason), &failedLate}
	case err == nil && c.unsent != nil:
		err = c.unsent
	case err == nil && len(c.reply) > 0:
		err = refuse(ErrLate, "the function took more than %v", answerWithin)
	}
	if err != nil {
		h.note(c.ctx, c.ev, err, c.stack)
	}
}

// answer sends a reply, sealed with the keys of the message if it had any.
func (h *Handler) answer(q *query, ev *wechatqr.Event, keys *keyPair, body []byte) (Response, error) {
	if keys != nil {
		var err error
		if body, err = h.verifier.seal(q, keys, ev, body, time.Now()); err != nil {
			return Response{}, refuse(ErrReply, "%w", err)
		}
	}
	contentType := "text/xml; charset=utf-8"
	if isJSON(body) {
		contentType = "application/json; charset=utf-8"
	}
	return Response{http.StatusOK, contentType, body}, nil
}

// fail answers with what is wrong, in general terms only.
func (h *Handler) fail(ctx context.Context, ev *wechatqr.Event, err error, stack []byte) Response {
	c := explain(err)
	h.report(ctx, Problem{err, c.status, c.en, c.zh, ev, stack})
	return plainAnswer(c.status, c.err.Error())
}

// note tells of a problem that does not change the answer.
func (h *Handler) note(ctx context.Context, ev *wechatqr.Event, err error, stack []byte) {
	c := explain(err)
	h.report(ctx, Problem{err, 0, c.en, c.zh, ev, stack})
}

func (h *Handler) report(ctx context.Context, p Problem) {
	_ = guard(func() error { h.hook(ctx, p); return nil })
}

func logProblem(ctx context.Context, p Problem) {
	level := slog.LevelError
	args := []any{slog.Any("err", p.Err), slog.Int("status", p.Status), slog.String("hint", p.Hint), slog.String("hint_zh", p.HintZH)}
	if p.Event == nil {
		level = slog.LevelWarn
	} else {
		args = append(args, slog.String("event", p.Event.ID()))
	}
	if p.Stack != nil {
		args = append(args, slog.String("stack", string(p.Stack)))
	}
	slog.Log(ctx, level, "wechatqr: callback", args...)
}
