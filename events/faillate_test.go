package events_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/events"
)

// Whoever has called FailLate keeps the claim after the response, until the function ends:
// no other process runs it beside, and the outcome is known to all at once.
func TestFailLateKeepsTheClaim(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		takes   time.Duration
		err     error
		commits time.Duration // that the shared Deduper takes for each call
		later   time.Duration // of the other process' delivery, after the first response
		status  int
		runs    int32
	}{
		{8 * time.Second, nil, 0, 0, 200, 1},
		{7 * time.Second, errAway, 0, 0, 200, 2},
		{30 * time.Second, nil, 0, 0, 503, 1},
		{30 * time.Second, nil, 0, 20 * time.Second, 503, 1},
		{30 * time.Second, nil, 0, 24 * time.Second, 200, 1},
		{30 * time.Second, errAway, 0, 24 * time.Second, 200, 2},
		{4500 * time.Millisecond, nil, 200 * time.Millisecond, 0, 200, 1},
		{8 * time.Second, nil, 200 * time.Millisecond, 0, 200, 1},
		{30 * time.Second, nil, 200 * time.Millisecond, 30 * time.Second, 200, 1},
	} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				store := slowDeduper{events.NewMemoryDeduper(0), c.commits}
				var runs, running atomic.Int32
				fn := func(ctx context.Context, _ *wechatqr.Event) (events.Reply, error) {
					assert.EqualValues(t, 1, running.Add(1), "beside another")
					defer running.Add(-1)
					if runs.Add(1) > 1 {
						return nil, nil
					}
					events.FailLate(ctx)
					time.Sleep(c.takes)
					return nil, c.err
				}
				here := newHandler(t, plainMode(), fn, nil, events.WithDeduper(store))
				elsewhere := newHandler(t, plainMode(), fn, nil, events.WithDeduper(store))
				p := wechat().clear(sampleScan)
				assert.Equal(t, http.StatusInternalServerError, p.to(here).Code)
				time.Sleep(c.later)
				assert.Equal(t, c.status, p.to(elsewhere).Code)
				require.NoError(t, here.Shutdown(t.Context()))
				assert.Equal(t, c.runs, runs.Load())
			})
		})
	}
}

// slowDeduper takes its time for each call.
type slowDeduper struct {
	events.Deduper
	takes time.Duration
}

func (d slowDeduper) wait(ctx context.Context) error {
	select {
	case <-time.After(d.takes):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (d slowDeduper) Claim(
	ctx context.Context, id, owner string, lease time.Duration,
) (events.Claim, error) {
	if err := d.wait(ctx); err != nil {
		return 0, err
	}
	return d.Deduper.Claim(ctx, id, owner, lease)
}

func (d slowDeduper) Commit(ctx context.Context, id string, ttl time.Duration) error {
	if err := d.wait(ctx); err != nil {
		return err
	}
	return d.Deduper.Commit(ctx, id, ttl)
}

// What the runs of one delivery have called and settled decides together.
func TestFailLateOfRuns(t *testing.T) {
	t.Parallel()
	var settled, settledInVain func()
	for name, c := range map[string]struct {
		first, second func(ctx context.Context) // before the first fails and the second is late
		status        int
	}{
		"the second settles": {
			func(ctx context.Context) { events.FailLate(ctx) },
			func(ctx context.Context) { events.FailLate(ctx)() },
			200,
		},
		"the second settles for the first": {
			func(ctx context.Context) { settled = events.FailLate(ctx) },
			func(context.Context) { settled() },
			200,
		},
		"the second settles what only the first had to": {
			func(ctx context.Context) { settledInVain = events.FailLate(ctx) },
			func(ctx context.Context) { events.FailLate(ctx); settledInVain() },
			500,
		},
		"the second settles one of two": {
			func(context.Context) {},
			func(ctx context.Context) { events.FailLate(ctx); events.FailLate(ctx)() },
			500,
		},
		"the first has settled": {
			func(ctx context.Context) { events.FailLate(ctx)() },
			func(context.Context) {},
			200,
		},
	} {
		t.Run(name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				runs := 0
				h := newHandler(t, plainMode(),
					func(ctx context.Context, _ *wechatqr.Event) (events.Reply, error) {
						if runs++; runs == 1 {
							c.first(ctx)
							return nil, errAway
						}
						c.second(ctx)
						time.Sleep(5 * time.Second)
						return nil, nil
					}, nil)
				assert.Equal(t, c.status, wechat().clear(sampleScan).to(h).Code)
				require.NoError(t, h.Shutdown(t.Context()))
			})
		})
	}
}

// lateScript is what a function does, and when.
type lateScript struct {
	calls   []time.Duration // of FailLate
	settled []time.Duration // the same calls; 0: never
	takes   time.Duration
	how     string // it ends
}

// The times are a step of 500 ms apart, so that many fall on the end of the time for the
// response, where the function and the one who waits for it race.
func randomScript(r *rand.Rand) lateScript {
	step := func(least int) time.Duration {
		return time.Duration(least+r.IntN(14)) * 500 * time.Millisecond
	}
	s := lateScript{
		takes: step(0), how: []string{"success", "error", "panic", "Goexit"}[r.IntN(4)],
	}
	for range r.IntN(3) {
		at, settled := step(0), time.Duration(0)
		if r.IntN(2) == 0 {
			settled = at + step(0)
		}
		s.calls, s.settled = append(s.calls, at), append(s.settled, settled)
	}
	return s
}

func (s lateScript) run(ctx context.Context, threads *sync.WaitGroup) error {
	for i, at := range s.calls {
		threads.Go(func() { // also after the function has returned
			time.Sleep(at)
			settled := events.FailLate(ctx)
			if s.settled[i] > 0 {
				time.Sleep(s.settled[i] - at)
				settled()
			}
		})
	}
	time.Sleep(s.takes)
	switch s.how {
	case "error":
		return errAway
	case "panic":
		panic("gone wrong")
	case "Goexit":
		runtime.Goexit()
	}
	return nil
}

// statuses are those that the response may have; more than one if something happens just at the
// end of the time for it.
func (s lateScript) statuses() []int {
	const end = 4500 * time.Millisecond
	ended := 200
	if s.how != "success" {
		ended = 500
	}
	if s.takes < end {
		return []int{ended}
	}

	late, mayFail, mustFail := []int{}, false, false
	for i, at := range s.calls {
		settled := s.settled[i]
		mayFail = mayFail || at <= end && (settled == 0 || settled >= end)
		mustFail = mustFail || at < end && (settled == 0 || settled > end)
	}
	if mayFail {
		late = append(late, 500)
	}
	if !mustFail {
		late = append(late, 200)
	}
	if s.takes == end {
		late = append(late, ended)
	}
	return late
}

// Whatever a function does and when, the response is what FailLate says, the function runs
// once at a time in both processes, its outcome is known to both, and Shutdown ends.
func TestFailLateOfAnything(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	for range 400 {
		s := randomScript(r)
		name := fmt.Sprintf("seed %d: %+v", seed, s)
		synctest.Test(t, func(t *testing.T) { testLateScript(t, name, s) })
	}
}

func testLateScript(t *testing.T, name string, s lateScript) {
	store := &flaky{Deduper: events.NewMemoryDeduper(0)}
	var runs, running atomic.Int32
	var threads sync.WaitGroup
	fn := func(ctx context.Context, _ *wechatqr.Event) (events.Reply, error) {
		assert.EqualValues(t, 1, running.Add(1), name)
		defer running.Add(-1)
		if runs.Add(1) > 1 {
			return nil, nil
		}
		return nil, s.run(ctx, &threads)
	}
	options := []events.Option{events.WithDeduper(store), events.WithoutRetries()}
	here := newHandler(t, plainMode(), fn, nil, options...)
	elsewhere := newHandler(t, plainMode(), fn, nil, options...)
	p := wechat().clear(sampleScan)

	var other sync.WaitGroup
	other.Go(func() {
		time.Sleep(time.Nanosecond)
		p.to(elsewhere)
	})
	first := p.to(here).Code
	assert.Contains(t, s.statuses(), first, name)
	other.Wait()

	time.Sleep(20 * time.Second)
	for _, h := range []*events.Handler{here, elsewhere} {
		assert.Equal(t, 200, p.to(h).Code, name)
	}
	want := 1
	if first == 500 && s.how != "success" {
		want = 2
	}
	assert.EqualValues(t, want, runs.Load(), name)
	threads.Wait()
	require.NoError(t, here.Shutdown(t.Context()))
	require.NoError(t, elsewhere.Shutdown(t.Context()))
}

// The problem handler hears that the response failed, and then what became of the function.
func TestFailLateIsReported(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		reply  events.Reply
		err    error
		kind   error
		status int
		hint   string // of the second problem; empty: there is none
	}{
		"fails":                 {nil, errAway, events.ErrFunction, 500, "redo it from this event"},
		"succeeds":              {},
		"succeeds with a reply": {events.Text("hi"), nil, events.ErrLate, 0, "return sooner"},
		"reply fails":           {events.Image(""), nil, events.ErrReply, 0, "correct the reply"},
	} {
		t.Run(name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				var problems []events.Problem
				h := newHandler(t, plainMode(),
					func(ctx context.Context, _ *wechatqr.Event) (events.Reply, error) {
						events.FailLate(ctx)
						time.Sleep(8 * time.Second)
						return c.reply, c.err
					}, &problems)
				assert.Equal(t, 500, wechat().clear(sampleScan).to(h).Code)
				require.NoError(t, h.Shutdown(t.Context()))

				require.NotEmpty(t, problems)
				require.ErrorIs(t, problems[0].Err, events.ErrLate)
				assert.Equal(t, 500, problems[0].Status)
				assert.Contains(t, problems[0].Hint, "a later delivery runs it again")
				if c.hint == "" {
					assert.Len(t, problems, 1)
					return
				}
				require.Len(t, problems, 2)
				require.ErrorIs(t, problems[1].Err, c.kind)
				assert.Equal(t, c.status, problems[1].Status)
				assert.Contains(t, problems[1].Hint, c.hint)
				assert.NotContains(t, problems[1].Err.Error(), "success was sent")
			})
		})
	}
}

// A shared Deduper that hangs, panics or ends the goroutine that asks it keeps neither the
// function's slot nor its outcome from the other deliveries of this process.
func TestFailLateWhileTheDeduperIsAway(t *testing.T) {
	t.Parallel()
	for name, away := range map[string]func(context.Context) error{
		"hangs":  func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
		"panics": func(context.Context) error { panic("store bug") },
		"exits":  func(context.Context) error { runtime.Goexit(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				start := time.Now()
				store := &flaky{Deduper: events.NewMemoryDeduper(0)}
				store.fail = func(ctx context.Context) error {
					if time.Since(start) < 5*time.Second {
						return nil
					}
					return away(ctx)
				}
				runs := 0
				h := newHandler(t, plainMode(),
					func(ctx context.Context, _ *wechatqr.Event) (events.Reply, error) {
						runs++
						events.FailLate(ctx)
						time.Sleep(9 * time.Second)
						return nil, nil
					}, nil, events.WithDeduper(store))
				p := wechat().clear(sampleScan)
				assert.Equal(t, 500, p.to(h).Code)
				time.Sleep(5 * time.Second)
				assert.Equal(t, 200, p.to(h).Code, "it is known here")
				assert.Equal(t, 1, runs)
				require.NoError(t, h.Shutdown(t.Context()))
				assert.Less(t, time.Since(start), 11*time.Second)
			})
		})
	}
}
