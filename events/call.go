package events

import (
	"context"
	"runtime/debug"
	"sync"
	"time"
)

// Counted from the request on.
const (
	replyTimeout = 4500 * time.Millisecond // WeChat waits 5 s
	minRunTime   = time.Second             // what a function must have of it to begin
)

type latenessKey struct{}

// FailLate has the response be HTTP 500, instead of "success", if the time for it is over
// before the function has returned or called settled: for a function that must not lose the
// event if it fails, however late. Call settled once what matters is done. An event whose
// response was 500 is handled if the function succeeds all the same, and else a later
// delivery runs it again. ctx is the function's; with any other it does nothing.
func FailLate(ctx context.Context) (settled func()) {
	l, ok := ctx.Value(latenessKey{}).(*lateness)
	if !ok {
		return func() {}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.holder != l.turn {
		l.holder, l.unsettled = l.turn, 0
	}
	l.unsettled++
	holder := l.holder
	return sync.OnceFunc(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.holder == holder {
			l.unsettled--
		}
	})
}

// lateness is what a response says that leaves before the function has returned. It is not
// used again with its call: a function may keep its ctx.
type lateness struct {
	mu        sync.Mutex // held while the call ends or becomes late
	turn      int        // how often the function has begun to run
	holder    int        // the last turn that has called FailLate
	unsettled int        // of its calls
	fails     bool       // the response is HTTP 500; set when the call becomes late
}

func (l *lateness) beginTurn() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.turn++
}

// runs is how often the function has begun to run.
func (l *lateness) runs() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.turn
}

// retryPauses are what a function that failed waits for before its next run.
var retryPauses = [...]time.Duration{300 * time.Millisecond, time.Second, 2 * time.Second}

// call is one delivery's run of the function. Two goroutines share it: the
// waiter, which serves the request, and the runner, which runs the function.
// Whichever is first decides how the call goes on:
//
//	state    begins when                 result belongs to   slot is released by
//	claimed  the waiter has the claim    nobody              the waiter
//	running  the waiter starts run       the runner          the waiter
//	ended    the runner has sent ended   the waiter          the waiter
//	late     the time for the response   the runner, which   the runner
//	         is over                     reports what of it
//	                                     is lost
//
// The claim belongs to the waiter; the runner reads its ctx, ev and start, which do
// not change, and what is atomic. The claim of a late call of which lateness.fails
// belongs to who has received ended: keepClaim, which sends it back, and in the end
// the runner, which ends the claim by the function's outcome.
//
// A call that has ended is used again, since the runner is done with it. That
// saves five of a delivery's ten allocations and a third of its time
// (BenchmarkCalls). A late call is left to the garbage collector.
type call struct {
	claim
	h     *Handler
	ended chan struct{} // has room for one
	timer *time.Timer   // of the waiter; once the call is late, of the claim
	late  bool          // set by the waiter while it holds mu
	*lateness
	result
}

// result is the outcome of a delivery.
type result struct {
	reply    []byte
	replyErr error  // why there is no reply
	err      error  // of the function's last run, or why it did not run
	stack    []byte // of a panic
	failure  error  // of a run before that
}

func (h *Handler) deliver(ctx context.Context, start time.Time, d *Delivery) result {
	if err := h.slots.acquire(ctx, start.Add(slotTimeout)); err != nil {
		return result{err: err}
	}

	c, ok := h.calls.Get().(*call)
	if !ok {
		c = &call{h: h, ended: make(chan struct{}, 1), timer: time.NewTimer(time.Hour)}
	}
	c.lateness = &lateness{}
	kept := context.WithValue(context.WithoutCancel(ctx), latenessKey{}, c.lateness)
	c.claim = claim{claims: &h.claims, ctx: kept, ev: d.Event, start: start}
	defer func() { // even if the user's code ends this goroutine
		if !c.late {
			*c = call{h: h, ended: c.ended, timer: c.timer}
			h.calls.Put(c)
			h.slots.release()
		}
	}()
	return c.handle(ctx, d)
}

// handle runs the function if the event can be claimed in time.
func (c *call) handle(ctx context.Context, d *Delivery) result {
	handled := false
	defer func() {
		if !c.fails {
			c.endClaim(handled || c.late) // nobody may run it beside a late function
		}
	}()
	got, err := c.acquire(ctx)
	switch {
	case err != nil:
		return result{err: err}
	case got == ClaimHandled:
		d.Duplicate = true
		return result{}
	case c.left() < minRunTime:
		passed := time.Since(c.start).Round(time.Millisecond)
		return result{err: errorf(ErrNoTime, "%v have passed", passed)}
	}

	go c.run()
	c.wait()
	d.Runs = c.runs()
	switch {
	case c.fails:
		return result{err: undecided.errorf("the function took more than %v", replyTimeout)}
	case c.late:
		return result{}
	}
	handled = c.err == nil
	if handled && c.failure != nil {
		c.h.report(c.ctx, c.ev, recovered.wrap(c.failure, "before it succeeded"), nil)
	}
	return c.result
}

// left is how much time there is for the response.
func (c *call) left() time.Duration { return replyTimeout - time.Since(c.start) }

// wait renews the claim until the function has ended or the time for the
// response is over.
func (c *call) wait() {
	ended := false
	defer func() { // even if the user's code ends this goroutine
		if !ended {
			c.becomeLate()
		}
	}()
	for left := c.left(); left > 0; left = c.left() {
		if c.shared != nil {
			left = min(left, renewInterval)
		}
		c.timer.Reset(left)
		select {
		case <-c.ended:
			ended = true
			return
		case <-c.timer.C:
		}
		if c.left() > 2*deduperTimeout {
			c.renew()
		}
	}
}

// becomeLate leaves the call to the runner, unless that has ended it at the last moment.
func (c *call) becomeLate() {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.ended:
		return
	default:
	}
	c.late, c.fails = true, c.unsettled > 0
	if c.fails && c.shared != nil {
		c.timer = time.AfterFunc(renewInterval, c.keepClaim)
	}
	c.ended <- struct{}{}
}

// keepClaim renews the claim of a late call, until the runner ends it.
func (c *call) keepClaim() {
	select {
	case <-c.ended:
		defer func() { // even if the user's code ends this goroutine
			c.timer.Reset(renewInterval)
			c.ended <- struct{}{}
		}()
		c.renew()
	default:
	}
}

func (c *call) run() {
	defer c.finish()
	c.runOnce()
	for _, pause := range retryPauses {
		if !c.mayRunAgain(pause) {
			return
		}
		time.Sleep(pause)
		if c.lost.Load() {
			return
		}
		c.runOnce()
	}
}

func (c *call) mayRunAgain(pause time.Duration) bool {
	return c.err != nil && c.stack == nil && c.h.retries && !c.lost.Load() &&
		c.left() >= pause+minRunTime && !c.h.slots.halfTaken()
}

func (c *call) runOnce() {
	c.beginTurn()
	c.failure, c.err = c.err, nil
	returned := false
	defer func() {
		if returned {
			return
		}
		p := recover() // nil if it called runtime.Goexit
		c.stack = debug.Stack()
		c.err = errorf(ErrPanic, "%v", p)
		if e, ok := p.(error); ok {
			c.err = errorf(ErrPanic, "%w", e)
		}
	}()

	reply, err := c.h.fn(c.ctx, c.ev)
	returned = true
	if err != nil {
		c.err = errorf(ErrFunction, "%w", err)
		return
	}
	err = recoverPanic(func() (err error) {
		if reply != nil {
			c.reply, err = reply.AppendReply(make([]byte, 0, 512), c.ev, time.Now())
		}
		return err
	})
	if err != nil {
		c.replyErr = errorf(ErrReply, "%w", err)
	}
}

// finish gives the result to the waiter, or reports it if the call is late.
func (c *call) finish() {
	if c.endInTime() {
		return
	}
	defer c.h.slots.release()
	err := c.replyErr
	if c.fails {
		<-c.ended
		c.timer.Stop()
		c.start = time.Now() // nobody waits for the Deduper any more
		c.endClaim(c.err == nil)
	}
	switch {
	case c.err != nil && c.fails:
		err = c.err
	case c.err != nil:
		err = failedLate.wrap(c.err, "after success was sent")
	case err == nil && len(c.reply) > 0:
		err = errorf(ErrLate, "the function took more than %v", replyTimeout)
	}
	if err != nil {
		c.h.report(c.ctx, c.ev, err, c.stack)
	}
}

// endInTime gives the result to the waiter, unless the call is late.
func (c *call) endInTime() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.late {
		return false
	}
	c.ended <- struct{}{} // from here on the call is the waiter's
	return true
}
