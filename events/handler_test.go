package events_test

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
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

func replyWith(reply events.Reply) events.HandlerFunc {
	return func(context.Context, *wechatqr.Event) (events.Reply, error) { return reply, nil }
}

// handler collects what the problem handler hears, if problems is not nil; a problem that
// was not expected fails the test.
func newHandler(t testing.TB, cfg events.Config, fn events.HandlerFunc, problems *[]events.Problem,
	opts ...events.Option) *events.Handler {
	t.Helper()
	if fn == nil {
		fn = replyWith(nil)
	}
	var mu sync.Mutex
	h, err := events.NewHandler(cfg, fn,
		append(opts, events.WithProblemHandler(func(_ context.Context, p events.Problem) {
			mu.Lock()
			defer mu.Unlock()
			if problems != nil {
				*problems = append(*problems, p)
			}
		}))...)
	require.NoError(t, err)
	return h
}

// openReply checks the envelope of a sealed reply and opens it, with code that
// is not the package's.
func openReply(t testing.TB, s sender, body []byte) string {
	t.Helper()
	var v struct {
		XMLName      xml.Name `xml:"xml"`
		Encrypt      string
		MsgSignature string
		TimeStamp    string
		Nonce        string
	}
	require.NoError(t, xml.Unmarshal(body, &v), "%s", body)
	assert.Equal(t, sign(s.token, v.TimeStamp, v.Nonce, v.Encrypt), v.MsgSignature)
	assert.Equal(t, testNonce, v.Nonce, "the URL's")
	message, appID := s.open(t, v.Encrypt)
	assert.Equal(t, s.appID, appID)
	return message
}

func TestHandlerAnswers(t *testing.T) {
	t.Parallel()
	broken := errors.New("database is away")
	nilReply := func() events.Reply { var r *brokenReply; return r }()
	for _, c := range []struct {
		name   string
		fn     events.HandlerFunc
		status int
		body   string // "" for a text reply of hi
		err    error
		again  bool // whether the next delivery runs the function
	}{
		{"nothing", replyWith(nil), 200, "success", nil, false},
		{"an empty text", replyWith(events.Text("")), 200, "success", nil, false},
		{"a text", replyWith(events.Text("hi")), 200, "", nil, false},
		{"an error",
			func(context.Context, *wechatqr.Event) (events.Reply, error) { return nil, broken },
			500, "the function failed", broken, true},
		{"a reply and an error",
			func(context.Context, *wechatqr.Event) (events.Reply, error) {
				return events.Text("hi"), broken
			}, 500, "the function failed", broken, true},
		{"an error of this package",
			func(context.Context,
				*wechatqr.Event) (events.Reply, error) {
				return nil, events.ErrStale
			},
			500, "the function failed", events.ErrFunction, true},
		{"an error of Parse", func(context.Context, *wechatqr.Event) (events.Reply, error) {
			_, err := events.Parse(nil)
			return nil, err
		}, 500, "the function failed", events.ErrMalformed, true},
		{"a panic",
			func(context.Context, *wechatqr.Event) (events.Reply, error) { panic("boom") }, 500,
			events.ErrPanic.Error(), events.ErrPanic, true},
		{"a panic with an error",
			func(context.Context, *wechatqr.Event) (events.Reply, error) { panic(broken) }, 500,
			events.ErrPanic.Error(), broken, true},
		{"a panic with an error of this package",
			func(context.Context, *wechatqr.Event) (events.Reply, error) { panic(events.ErrStale) },
			500,
			events.ErrPanic.Error(), events.ErrPanic, true},
		{"a panic with nil",
			func(context.Context, *wechatqr.Event) (events.Reply, error) { panic(nil) },
			500, events.ErrPanic.Error(), events.ErrPanic, true},
		{"Goexit", func(context.Context, *wechatqr.Event) (events.Reply, error) {
			runtime.Goexit()
			return nil, nil
		}, 500, events.ErrPanic.Error(), events.ErrPanic, true},
		{"an image without id", replyWith(events.Image("")), 200, "success",
			events.ErrReply, false},
		{"a text that XML cannot carry", replyWith(events.Text("a\x00")), 200, "success",
			events.ErrReply,
			false},
		{"a reply that fails", replyWith(&brokenReply{}), 200, "success", events.ErrReply, false},
		{"a nil pointer for a reply", replyWith(nilReply), 200, "success", events.ErrReply, false},
	} {
		for mode, cfg := range map[string]events.Config{
			"plain":  plainMode(),
			"sealed": safeMode(),
		} {
			t.Run(c.name+", "+mode, func(t *testing.T) {
				t.Parallel()
				ran := 0
				var problems []events.Problem
				h := newHandler(t, cfg,
					func(ctx context.Context, ev *wechatqr.Event) (events.Reply, error) {
						ran++
						assert.Equal(t, "shop-7", ev.EventKey)
						return c.fn(ctx, ev)
					}, &problems, events.WithoutRetries())
				message := scanPush("shop-7")
				p := wechat().clear(message)
				if mode == "sealed" {
					p = wechat().sealed(t, message)
				}
				w := p.to(h)
				require.NoError(t, h.Shutdown(t.Context())) // all has been said
				assert.Equal(t, c.status, w.Code)
				switch {
				case c.body != "":
					assert.Equal(t, c.body, w.Body.String())
					assert.Equal(t, "text/plain; charset=utf-8", w.Header().Get("Content-Type"))
				case mode == "sealed":
					assert.Contains(t, openReply(t, wechat(), w.Body.Bytes()),
						"<Content><![CDATA[hi]]></Content>")
				default:
					assert.Contains(t, w.Body.String(), "<Content><![CDATA[hi]]></Content>")
					assert.Equal(t, "text/xml; charset=utf-8", w.Header().Get("Content-Type"))
				}
				assert.Equal(t, fmt.Sprint(w.Body.Len()), w.Header().Get("Content-Length"))
				assert.Equal(t, c.status != 200, w.Header().Get("X-Content-Type-Options") != "")
				assert.Empty(t, w.Header().Get("Allow"))
				assert.Equal(t, 1, ran)
				if c.err == nil {
					assert.Empty(t, problems)
					return
				}
				require.Len(t, problems, 1)
				prob := problems[0]
				require.ErrorIs(t, prob.Err, c.err)
				assert.Equal(t, "shop-7", prob.Event.EventKey)
				assert.NotEmpty(t, prob.Hint)
				assert.NotEmpty(t, prob.HintZH)
				if c.status == 200 {
					assert.Zero(t, prob.Status)
				} else {
					assert.Equal(t, c.status, prob.Status)
				}
				if errors.Is(prob.Err, events.ErrPanic) {
					assert.Contains(t, string(prob.Stack), "handler_test.go")
				} else {
					assert.Nil(t, prob.Stack)
				}
			})
		}
		t.Run(c.name+", again", func(t *testing.T) {
			t.Parallel()
			ran := 0
			h := newHandler(t, plainMode(),
				func(ctx context.Context, ev *wechatqr.Event) (events.Reply, error) {
					ran++
					return c.fn(ctx, ev)
				}, nil, events.WithoutRetries())
			message := scanPush("shop-7")
			for range 3 {
				wechat().clear(message).to(h)
			}
			if c.again {
				assert.Equal(t, 3, ran)
			} else {
				assert.Equal(t, 1, ran)
			}
		})
	}
}

type brokenReply struct{ n *int }

func (r *brokenReply) AppendReply(b []byte, _ *wechatqr.Event, _ time.Time) ([]byte, error) {
	_ = r.n // panics for a nil pointer
	return b, errors.New("broken")
}

// The next delivery of an event whose function failed runs it, and then no more.
func TestFailedEventIsHandledByTheNextDelivery(t *testing.T) {
	t.Parallel()
	ran := 0
	h := newHandler(t, plainMode(), func(context.Context, *wechatqr.Event) (events.Reply, error) {
		ran++
		if ran == 1 {
			return nil, errors.New("not yet")
		}
		return events.Text("welcome"), nil
	}, nil, events.WithoutRetries())
	message := scanPush("shop-7")
	var got []string
	for range 3 {
		w := wechat().clear(message).to(h)
		body := w.Body.String()
		if strings.Contains(body, "welcome") {
			body = "welcome"
		}
		got = append(got, fmt.Sprint(w.Code, " ", body))
	}
	assert.Equal(t, []string{"500 the function failed", "200 welcome", "200 success"}, got)
	assert.Equal(t, 2, ran)
}

// at runs do in a bubble of its own, where time passes as it is told to.
func inFakeTime(t *testing.T, do func(t *testing.T)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, do)
}

// sleeper is a function that takes so long, and notes when it began and ended.
type sleeper struct {
	takes time.Duration
	err   error
	reply events.Reply

	mu         sync.Mutex
	start      time.Time
	began, end []time.Duration
}

func (s *sleeper) fn(ctx context.Context, _ *wechatqr.Event) (events.Reply, error) {
	s.mu.Lock()
	s.began = append(s.began, time.Since(s.start))
	s.mu.Unlock()
	select {
	case <-time.After(s.takes):
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end = append(s.end, time.Since(s.start))
	return s.reply, s.err
}

func (s *sleeper) runs() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.began)
}

func TestSlowFunction(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		takes    time.Duration
		reply    events.Reply
		err      error
		answered time.Duration
		body     string
		problem  error
	}{
		{"just in time", 4500*time.Millisecond - 1, events.Text("hi"), nil,
			4500*time.Millisecond - 1,
			"hi", nil},
		{"too late", 4500*time.Millisecond + 1, events.Text("hi"), nil, 4500 * time.Millisecond,
			"success", events.ErrLate},
		{"much too late", time.Hour, events.Text("hi"), nil, 4500 * time.Millisecond, "success",
			events.ErrLate},
		{"too late without a reply", 5 * time.Second, nil, nil, 4500 * time.Millisecond,
			"success", nil},
		{"too late with an error", 5 * time.Second, nil, io.ErrNoProgress, 4500 * time.Millisecond,
			"success", io.ErrNoProgress},
		{"an error in time", 4 * time.Second, nil, io.ErrNoProgress, 4 * time.Second,
			"the function failed", io.ErrNoProgress},
	} {
		t.Run(c.name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				s := &sleeper{takes: c.takes, reply: c.reply, err: c.err, start: time.Now()}
				var problems []events.Problem
				h := newHandler(t, plainMode(), s.fn, &problems)
				ctx, cancel := context.WithCancel(t.Context())
				message := scanPush("shop-7")
				r := wechat().clear(message).request().WithContext(ctx)
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				cancel() // as net/http does when the answer is out
				assert.Equal(t, c.answered, time.Since(s.start))
				assert.Contains(t, w.Body.String(), c.body)

				// It is handled as far as WeChat is concerned.
				again := wechat().clear(message).to(h)
				if c.err == nil || c.body == "success" {
					assert.Equal(t, "200 success", fmt.Sprint(again.Code, " ", again.Body))
				}
				require.NoError(t, h.Shutdown(t.Context()))
				assert.Equal(t, c.takes, s.end[0], "the end of the request did not end it")
				if c.problem == nil {
					assert.Empty(t, problems)
					return
				}
				require.NotEmpty(t, problems)
				require.ErrorIs(t, problems[0].Err, c.problem)
				if c.body == "success" {
					assert.Zero(t, problems[0].Status)
					require.ErrorIs(t, problems[0].Err, events.ErrLate)
				}
				if c.body == "success" && c.err != nil {
					assert.Contains(t, problems[0].Hint, "nobody runs it again")
					assert.Contains(t, problems[0].HintZH, "不会再次投递")
				}
				if c.body != "success" {
					assert.NotErrorIs(t, problems[0].Err, events.ErrLate)
					assert.Contains(t, problems[0].Hint, "the function runs again")
				}
			})
		})
	}
}

func TestLatePanicIsReported(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		var problems []events.Problem
		h := newHandler(t, plainMode(),
			func(context.Context, *wechatqr.Event) (events.Reply, error) {
				time.Sleep(time.Minute)
				panic("late boom")
			}, &problems)
		assert.Equal(t, 200, wechat().clear(sampleScan).to(h).Code)
		require.NoError(t, h.Shutdown(t.Context()))
		require.Len(t, problems, 1)
		require.ErrorIs(t, problems[0].Err, events.ErrPanic)
		require.ErrorContains(t, problems[0].Err, "late boom")
		require.ErrorIs(t, problems[0].Err, events.ErrLate)
		assert.Contains(t, problems[0].Hint, "nobody runs it again")
		assert.Contains(t, string(problems[0].Stack), "handler_test.go")
	})
}

// A run that goes on has not succeeded, though the one before it failed.
func TestLateRunIsNoSuccessAfterAFailure(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		var problems []events.Problem
		runs := 0
		h := newHandler(t, plainMode(),
			func(context.Context, *wechatqr.Event) (events.Reply, error) {
				if runs++; runs == 1 {
					return nil, errors.New("database is away")
				}
				time.Sleep(time.Minute)
				return nil, nil
			}, &problems)
		assert.Equal(t, 200, wechat().clear(scanPush("shop-7")).to(h).Code)
		assert.Empty(t, problems)
		require.NoError(t, h.Shutdown(t.Context()))
	})
}

// A late reply that could not be sent in time either is told for what it is.
func TestLateReplyThatFails(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := &sleeper{takes: 5 * time.Second, reply: partialReply{}, start: time.Now()}
		var problems []events.Problem
		h := newHandler(t, plainMode(), s.fn, &problems)
		wechat().clear(scanPush("shop-7")).to(h)
		require.NoError(t, h.Shutdown(t.Context()))
		require.Len(t, problems, 1)
		require.ErrorIs(t, problems[0].Err, events.ErrReply)
	})
}

type partialReply struct{}

func (partialReply) AppendReply(b []byte, _ *wechatqr.Event, _ time.Time) ([]byte, error) {
	return append(b, "<xml>"...), errors.New("broken")
}

// Three deliveries of one push, at once or some time apart, run the function
// once, whatever it takes.
func TestDeliveriesRunOnce(t *testing.T) {
	t.Parallel()
	for _, takes := range []time.Duration{0, time.Second, 4400 * time.Millisecond,
		4600 * time.Millisecond, 20 * time.Second} {
		for _, apart := range []time.Duration{0, time.Millisecond, 300 * time.Millisecond,
			5 * time.Second} {
			t.Run(fmt.Sprint(takes, " ", apart), func(t *testing.T) {
				inFakeTime(t, func(t *testing.T) {
					s := &sleeper{takes: takes, reply: events.Text("hi"), start: time.Now()}
					h := newHandler(t, plainMode(), s.fn, nil)
					message := scanPush("shop-7")
					var deliveries sync.WaitGroup
					answers := make([]string, 3)
					for i := range answers {
						deliveries.Go(func() {
							sent := time.Now()
							w := wechat().clear(message).to(h)
							answers[i] = fmt.Sprint(w.Code, " ", w.Body)
							assert.Less(t, time.Since(sent), 5*time.Second,
								"WeChat hangs up after that")
						})
						time.Sleep(apart)
					}
					deliveries.Wait()
					require.NoError(t, h.Shutdown(t.Context()))
					assert.Equal(t, 1, s.runs())
					replies := 0
					for _, a := range answers {
						switch {
						case strings.Contains(a, "<![CDATA[hi]]>"):
							replies++
						default:
							assert.Equal(t, "200 success", a)
						}
					}
					if takes < 4500*time.Millisecond {
						assert.Equal(t, 1, replies)
					} else {
						assert.Zero(t, replies)
					}
				})
			})
		}
	}
}

// A delivery that waits for the first runs the function as soon as that failed.
func TestWaitingDeliveryTakesOver(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		start := time.Now()
		var runs []time.Duration
		h := newHandler(t, plainMode(),
			func(context.Context, *wechatqr.Event) (events.Reply, error) {
				runs = append(runs, time.Since(start))
				time.Sleep(2 * time.Second)
				if len(runs) == 1 {
					return nil, errors.New("not this time")
				}
				return events.Text("hi"), nil
			}, nil, events.WithoutRetries())
		message := scanPush("shop-7")
		var first, second *httptest.ResponseRecorder
		var both sync.WaitGroup
		both.Go(func() { first = wechat().clear(message).to(h) })
		time.Sleep(time.Millisecond)
		both.Go(func() { second = wechat().clear(message).to(h) })
		both.Wait()
		assert.Equal(t, 500, first.Code)
		assert.Contains(t, second.Body.String(), "<![CDATA[hi]]>")
		require.Len(t, runs, 2)
		assert.Less(t, runs[1], 2200*time.Millisecond)
	})
}

// failing is a function that fails for so many runs, and notes when each began.
type failing struct {
	fails int
	takes time.Duration // the first run
	start time.Time
	began []time.Duration
}

func (f *failing) fn(context.Context, *wechatqr.Event) (events.Reply, error) {
	f.began = append(f.began, time.Since(f.start))
	if len(f.began) == 1 {
		time.Sleep(f.takes)
	}
	if len(f.began) <= f.fails {
		return nil, fmt.Errorf("database is away for run %d", len(f.began))
	}
	return events.Text("hi"), nil
}

// A database that is away for a moment loses no event: WeChat cannot be counted
// on to deliver again after that.
func TestFailedFunctionRunsAgain(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	for _, c := range []struct {
		name     string
		fails    int
		takes    time.Duration
		opts     []events.Option
		status   int
		answered time.Duration
		began    []time.Duration
	}{
		{"fails once", 1, 0, nil, 200, 300 * ms, []time.Duration{0, 300 * ms}},
		{"fails twice", 2, 0, nil, 200, 1300 * ms, []time.Duration{0, 300 * ms, 1300 * ms}},
		{"fails for 3 s", 3, 0, nil, 200, 3300 * ms,
			[]time.Duration{0, 300 * ms, 1300 * ms, 3300 * ms}},
		{"fails for longer", 9, 0, nil, 500, 3300 * ms,
			[]time.Duration{0, 300 * ms, 1300 * ms, 3300 * ms}},
		{"fails after a while", 9, 1000 * ms, nil, 500, 2300 * ms,
			[]time.Duration{0, 1300 * ms, 2300 * ms}},
		{"has just time enough", 1, 3200 * ms, nil, 200, 3500 * ms, []time.Duration{0, 3500 * ms}},
		{"has too little time", 1, 3200*ms + 1, nil, 500, 3200*ms + 1, []time.Duration{0}},
		{"by option", 1, 0, []events.Option{events.WithoutRetries()}, 500, 0, []time.Duration{0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				f := &failing{fails: c.fails, takes: c.takes, start: time.Now()}
				var problems []events.Problem
				h := newHandler(t, plainMode(), f.fn, &problems, c.opts...)
				p := wechat().clear(scanPush("shop-7"))
				assert.Equal(t, c.status, p.to(h).Code)
				assert.Equal(t, c.answered, time.Since(f.start))
				assert.Equal(t, c.began, f.began)
				require.NoError(t, h.Shutdown(t.Context()))

				require.NotEmpty(t, problems)
				require.ErrorIs(t, problems[0].Err, events.ErrFunction)
				if c.status == 500 {
					require.Len(t, problems, 1)
					assert.ErrorContains(t, problems[0].Err, fmt.Sprint("run ", len(f.began)))
					assert.Equal(t, 500, problems[0].Status)
				} else if len(problems) == 1 {
					assert.ErrorContains(t, problems[0].Err, fmt.Sprint("run ", c.fails),
						"it is not hidden")
					assert.Zero(t, problems[0].Status)
					assert.Contains(t, problems[0].Hint, "succeeded")
				}
			})
		})
	}
}

// No other delivery, here or elsewhere, runs the function between its runs.
func TestClaimIsHeldBetweenRuns(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		f := &failing{fails: 3, start: time.Now()}
		store := events.NewMemoryDeduper(0)
		here := newHandler(t, plainMode(), f.fn, nil, events.WithDeduper(&flaky{Deduper: store}))
		elsewhere := newHandler(t, plainMode(), f.fn, nil,
			events.WithDeduper(&flaky{Deduper: store}))
		p := wechat().clear(scanPush("shop-7"))
		var all sync.WaitGroup
		for range 3 {
			for _, h := range []*events.Handler{here, elsewhere} {
				all.Go(func() { assert.Equal(t, 200, p.to(h).Code) })
			}
			time.Sleep(100 * time.Millisecond)
		}
		all.Wait()
		assert.Len(t, f.began, 4)
	})
}

// Where many functions fail, their pauses do not keep the slots from others.
func TestFailedFunctionsDoNotKeepHalfOfTheSlots(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		var runs atomic.Int32
		h := newHandler(t, plainMode(),
			func(context.Context, *wechatqr.Event) (events.Reply, error) {
				runs.Add(1)
				return nil, errors.New("database is away")
			}, nil, events.WithMaxRunning(10))
		now := time.Now()
		var all sync.WaitGroup
		for i := range 40 {
			all.Go(func() {
				p := wechat().clear(scanPushAt(now.Unix(), fmt.Sprint(i)))
				assert.Equal(t, 500, p.to(h).Code)
				if i >= 5 {
					assert.Equal(t, now, time.Now(), "a slot was free at once")
				}
			})
			synctest.Wait()
		}
		all.Wait()
		assert.EqualValues(t, 5*4+35, runs.Load())
	})
}

// A single slot is no reason not to try again.
func TestFailedFunctionRunsAgainInTheOnlySlot(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		f := &failing{fails: 1, start: time.Now()}
		h := newHandler(t, plainMode(), f.fn, nil, events.WithMaxRunning(1))
		assert.Equal(t, 200, wechat().clear(scanPush("shop-7")).to(h).Code)
		assert.Len(t, f.began, 2)
	})
}

// Shutdown takes every slot that is free, and waits for the runs to come.
func TestFailedFunctionRunsAgainDuringShutdown(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		f := &failing{fails: 3, takes: 100 * time.Millisecond, start: time.Now()}
		h := newHandler(t, plainMode(), f.fn, nil)
		var delivery sync.WaitGroup
		delivery.Go(func() { assert.Equal(t, 200, wechat().clear(scanPush("shop-7")).to(h).Code) })
		time.Sleep(50 * time.Millisecond)
		require.NoError(t, h.Shutdown(t.Context()))
		assert.Len(t, f.began, 4)
		delivery.Wait()
	})
}

// A function that panics does not run again by itself: what it left half done
// may be locked.
func TestPanickingFunctionRunsOnce(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		runs := 0
		h := newHandler(t, plainMode(),
			func(context.Context, *wechatqr.Event) (events.Reply, error) {
				if runs++; runs == 1 {
					return nil, errors.New("database is away")
				}
				panic("boom")
			}, nil)
		assert.Equal(t, 500, wechat().clear(scanPush("shop-7")).to(h).Code)
		assert.Equal(t, 2, runs)
	})
}

// A function that could only begin with too little time left does not begin: how
// it ends could not be told to WeChat.
func TestFunctionDoesNotBeginLate(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		body     time.Duration // takes so long to come
		status   int
		answered time.Duration
		runs     int
	}{
		{3500 * time.Millisecond, 200, 3550 * time.Millisecond, 1},
		{3500*time.Millisecond + 1, 503, 3500*time.Millisecond + 1, 0},
		{4600 * time.Millisecond, 503, 4600 * time.Millisecond, 0},
		{6000 * time.Millisecond, 503, 6000 * time.Millisecond, 0},
	} {
		t.Run(fmt.Sprint(c.body), func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				s := &sleeper{takes: 50 * time.Millisecond, start: time.Now()}
				var problems []events.Problem
				h := newHandler(t, plainMode(), s.fn, &problems)
				p := wechat().clear(scanPush("shop-7"))
				r := p.request()
				r.Body = &slowBody{r.Body, c.body}
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				assert.Equal(t, c.status, w.Code)
				assert.Equal(t, c.answered, time.Since(s.start))
				assert.Equal(t, c.runs, s.runs())
				if c.status == 503 {
					require.Len(t, problems, 1)
					require.ErrorIs(t, problems[0].Err, events.ErrNoTime)
				}
				assert.Equal(t, 200, p.to(h).Code, "the next delivery")
				assert.Equal(t, 1, s.runs())
			})
		})
	}
}

// A delivery that waited for another does not begin late either, but learns the
// outcome for as long as it can.
func TestWaitingDeliveryDoesNotBeginLate(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		takes   time.Duration // the first run
		fails   bool
		status  int // of the second delivery
		problem error
	}{
		{"fails at the last moment", 4450 * time.Millisecond, true, 503, events.ErrNoTime},
		{"succeeds at the last moment", 4450 * time.Millisecond, false, 200, nil},
		{"fails while there is time", 3300 * time.Millisecond, true, 200, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				f := &failing{takes: c.takes, start: time.Now()}
				if c.fails {
					f.fails = 1
				}
				var problems []events.Problem
				h := newHandler(t, plainMode(), f.fn, &problems)
				p := wechat().clear(scanPush("shop-7"))
				var both sync.WaitGroup
				both.Go(func() { p.to(h) })
				time.Sleep(time.Millisecond)
				both.Go(func() { assert.Equal(t, c.status, p.to(h).Code) })
				both.Wait()
				if c.problem != nil {
					require.ErrorIs(t, problems[len(problems)-1].Err, c.problem)
				}
				assert.Equal(t, 200, p.to(h).Code, "WeChat's next delivery")
				assert.Len(t, f.began, 1+f.fails)
			})
		})
	}
}

type slowBody struct {
	io.ReadCloser
	takes time.Duration
}

func (b *slowBody) Read(p []byte) (int, error) {
	time.Sleep(b.takes)
	b.takes = 0
	return b.ReadCloser.Read(p)
}

// What was handled stays known for as long as it can be replayed.
func TestReplay(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		maxAge time.Duration
		apart  time.Duration
		times  int
	}{
		{0, 4 * time.Minute, 2},
		{0, 150 * time.Second, 5}, // signed by a clock that is five minutes ahead
		{time.Hour, 10*time.Minute + time.Second, 12},
		{ever, 365 * 24 * time.Hour, 50},
	} {
		for mode, cfg := range map[string]events.Config{
			"plain":  plainMode(),
			"sealed": safeMode(),
		} {
			t.Run(fmt.Sprint(mode, " ", c.maxAge, " ", c.apart), func(t *testing.T) {
				inFakeTime(t, func(t *testing.T) {
					cfg.MaxAge = c.maxAge
					s := &sleeper{start: time.Now()}
					h := newHandler(t, cfg, s.fn, nil)
					message := scanPush("shop-7")
					stamp := time.Now().Add(min(max(c.maxAge, 5*time.Minute), time.Hour)).Unix()
					p := wechat().clearAt(stamp, message)
					if mode == "sealed" {
						sealed := wechat().seal(t, message)
						p.body = envelope(sealed)
						p.query.Set("msg_signature",
							sign(testToken, fmt.Sprint(stamp), testNonce, sealed))
					}
					for range c.times {
						assert.Equal(t, "success", p.to(h).Body.String())
						time.Sleep(c.apart)
					}
					assert.Equal(t, 1, s.runs())
				})
			})
		}
	}
}

// A claim whose process died ends with its lease: the deliveries within it wait,
// and run the function as soon as they may.
func TestLeaseOfDeadProcess(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		arrives time.Duration // after the claim of the process that died
		began   time.Duration
	}{
		{"at once", 0, 3 * time.Second},
		{"soon", 200 * time.Millisecond, 3 * time.Second},
		{"later", 2950 * time.Millisecond, 3050 * time.Millisecond},
		{"after WeChat's patience", 5 * time.Second, 5 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				store := events.NewMemoryDeduper(0)
				dead := &dying{Deduper: store}
				died := newHandler(t, plainMode(),
					func(context.Context, *wechatqr.Event) (events.Reply, error) {
						dead.died = true
						return nil, nil
					}, nil, events.WithDeduper(dead))
				s := &sleeper{start: time.Now()}
				h := newHandler(t, plainMode(), s.fn, nil,
					events.WithDeduper(&flaky{Deduper: store}))
				message := scanPush("shop-7")
				var first sync.WaitGroup
				first.Go(func() { wechat().clear(message).to(died) })
				synctest.Wait()
				time.Sleep(c.arrives)
				assert.Equal(t, 200, wechat().clear(message).to(h).Code)
				assert.Equal(t, []time.Duration{c.began}, s.began)
				first.Wait()
			})
		})
	}
}

// dying is a Deduper whose process died: nothing gets through any more.
type dying struct {
	events.Deduper
	died bool
}

func (d *dying) Commit(ctx context.Context, id string, ttl time.Duration) error {
	if d.died {
		return io.ErrClosedPipe
	}
	return d.Deduper.Commit(ctx, id, ttl)
}

// A claim that another's function holds for longer than WeChat waits is renewed:
// the delivery that waits for it is refused.
func TestDeliveryIsRefusedWhileAnotherProcessRuns(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		store := claimer{t, events.NewMemoryDeduper(0)}
		message := scanPush("shop-7")
		ev, err := events.Parse([]byte(message))
		require.NoError(t, err)
		require.Equal(t, granted, store.claimFor("another", ev.ID(), time.Minute))

		s := &sleeper{start: time.Now()}
		var problems []events.Problem
		h := newHandler(t, plainMode(), s.fn, &problems, events.WithDeduper(&flaky{Deduper: store}))
		assert.Equal(t, 503, wechat().clear(message).to(h).Code)
		assert.InDelta(t, 4700*time.Millisecond, time.Since(s.start), float64(200*time.Millisecond))
		assert.Zero(t, s.runs())
		require.Len(t, problems, 1)
		require.ErrorIs(t, problems[0].Err, events.ErrInProgress)
		assert.Equal(t, 503, problems[0].Status)
		require.Equal(t, busy, store.claimFor("third", ev.ID(), time.Minute), "it was not freed")
	})
}

// Two servers and a function that takes long: the claim does not end before it
// has done so, or is told to have succeeded.
func TestClaimIsRenewed(t *testing.T) {
	t.Parallel()
	for _, body := range []time.Duration{0, 3400 * time.Millisecond} {
		for _, later := range []time.Duration{3100 * time.Millisecond, 4600 * time.Millisecond,
			8 * time.Second} {
			t.Run(fmt.Sprint(body, " ", later), func(t *testing.T) {
				inFakeTime(t, func(t *testing.T) {
					store := events.NewMemoryDeduper(0)
					s := &sleeper{takes: 8 * time.Second, start: time.Now()}
					var problems []events.Problem
					here := newHandler(t, plainMode(), s.fn, &problems,
						events.WithDeduper(&flaky{Deduper: store}))
					elsewhere := newHandler(t, plainMode(), s.fn, nil,
						events.WithDeduper(&flaky{Deduper: store}))
					p := wechat().clear(scanPush("shop-7"))
					var first sync.WaitGroup
					first.Go(func() {
						r := p.request()
						r.Body = &slowBody{r.Body, body}
						w := httptest.NewRecorder()
						here.ServeHTTP(w, r)
						assert.Equal(t, 200, w.Code)
					})
					time.Sleep(body + later)
					assert.Equal(t, "success", p.to(elsewhere).Body.String())
					first.Wait()
					require.NoError(t, here.Shutdown(t.Context()))
					require.NoError(t, elsewhere.Shutdown(t.Context()))
					assert.Equal(t, 1, s.runs())
					assert.Empty(t, problems)
				})
			})
		}
	}
}

// A claim that was lost to another while the function ran is told.
func TestLostClaimIsTold(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(d claimer, id string){
		"to another claim": func(d claimer, id string) {
			d.commit(id, time.Nanosecond)
			time.Sleep(time.Nanosecond)
			require.Equal(d.t, granted, d.claimFor("another", id, time.Minute))
		},
		"to a commit": func(d claimer, id string) { d.commit(id, time.Minute) },
	} {
		t.Run(name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				store := claimer{t, events.NewMemoryDeduper(0)}
				var problems []events.Problem
				h := newHandler(t, plainMode(),
					func(_ context.Context, ev *wechatqr.Event) (events.Reply, error) {
						lose(store, ev.ID())
						time.Sleep(4 * time.Second)
						return nil, nil
					}, &problems, events.WithDeduper(&flaky{Deduper: store}))
				assert.Equal(t, 200, wechat().clear(scanPush("shop-7")).to(h).Code)
				require.Len(t, problems, 1, "once")
				require.ErrorIs(t, problems[0].Err, events.ErrInProgress)
				assert.Zero(t, problems[0].Status)
				assert.Contains(t, problems[0].Hint, "another process may run the function")
			})
		})
	}
}

// Nobody runs a failed function again beside another that has its claim now,
// whether that was known when it failed or shows in a pause.
func TestFailedFunctionDoesNotRunAgainWithoutItsClaim(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		takes    time.Duration // the first run
		runs     int
		answered time.Duration
	}{
		"known when it failed": {1200 * time.Millisecond, 1, 1200 * time.Millisecond},
		// At 0 s and 0.3 s; the claim is renewed at 1 s.
		"shown in a pause": {0, 2, 1300 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				store := claimer{t, events.NewMemoryDeduper(0)}
				f := &failing{fails: 9, takes: c.takes, start: time.Now()}
				var problems []events.Problem
				h := newHandler(t, plainMode(),
					func(ctx context.Context, ev *wechatqr.Event) (events.Reply, error) {
						store.commit(ev.ID(), time.Nanosecond)
						time.Sleep(time.Nanosecond)
						require.Equal(t, granted, store.claimFor("another", ev.ID(), time.Minute))
						return f.fn(ctx, ev)
					}, &problems, events.WithDeduper(&flaky{Deduper: store}))
				assert.Equal(t, 500, wechat().clear(scanPush("shop-7")).to(h).Code)
				assert.Equal(t, c.answered, time.Since(f.start).Truncate(time.Millisecond))
				assert.Len(t, f.began, c.runs)
				require.Len(t, problems, 2)
				require.ErrorIs(t, problems[0].Err, events.ErrInProgress)
				require.ErrorIs(t, problems[1].Err, events.ErrFunction)
			})
		})
	}
}

// A claim that cannot be renewed is not lost.
func TestFailedFunctionRunsAgainWhileStoreIsAway(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		f := &failing{fails: 1, takes: 1200 * time.Millisecond, start: time.Now()}
		store := &lossy{
			Deduper: events.NewMemoryDeduper(0), from: f.start.Add(time.Second / 2), lose: 1000,
		}
		h := newHandler(t, plainMode(), f.fn, nil, events.WithDeduper(store))
		assert.Equal(t, 200, wechat().clear(scanPush("shop-7")).to(h).Code)
		assert.Len(t, f.began, 2)
	})
}

// lossy carries out what it is asked, and loses the response for a while.
type lossy struct {
	events.Deduper
	from  time.Time // on
	lose  int       // so many responses
	hangs bool
}

func (l *lossy) lost(ctx context.Context) error {
	if l.lose == 0 || time.Now().Before(l.from) {
		return nil
	}
	l.lose--
	if l.hangs {
		<-ctx.Done()
	}
	return io.ErrUnexpectedEOF
}

func (l *lossy) Claim(
	ctx context.Context, id, owner string, lease time.Duration,
) (events.Claim, error) {
	got, err := l.Deduper.Claim(ctx, id, owner, lease)
	if lost := l.lost(ctx); lost != nil {
		return 0, lost
	}
	return got, err
}

func (l *lossy) Release(ctx context.Context, id, owner string) error {
	return errors.Join(l.Deduper.Release(ctx, id, owner), l.lost(ctx))
}

// A claim whose response was lost is the delivery's own, not a ghost that keeps
// everybody from the event.
func TestClaimWhoseResponseWasLost(t *testing.T) {
	t.Parallel()
	for _, hangs := range []bool{false, true} {
		for lose, told := range []int{0, 0, 1, 1} {
			for _, fails := range []int{0, 9} {
				t.Run(fmt.Sprint(hangs, lose, fails), func(t *testing.T) {
					inFakeTime(t, func(t *testing.T) {
						store := claimer{t, events.NewMemoryDeduper(0)}
						f := &failing{fails: fails, start: time.Now()}
						var problems []events.Problem
						h := newHandler(t, plainMode(), f.fn, &problems,
							events.WithoutRetries(),
							events.WithDeduper(&lossy{Deduper: store, lose: lose, hangs: hangs}))
						message := scanPush("shop-7")
						wechat().clear(message).to(h)
						assert.Len(t, f.began, 1)
						deduperFailed := 0
						for _, p := range problems {
							if errors.Is(p.Err, events.ErrDeduper) {
								deduperFailed++
							}
						}
						assert.Equal(t, told, deduperFailed)

						ev, err := events.Parse([]byte(message))
						require.NoError(t, err)
						want := granted
						if fails == 0 {
							want = handled
						}
						assert.Equal(t, want, store.claimFor("another", ev.ID(), time.Second))
					})
				})
			}
		}
	}
}

// A delivery whose caller hangs up does not wait on.
func TestWaitingDeliveryThatIsGivenUp(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := &sleeper{takes: 3 * time.Second, start: time.Now()}
		h := newHandler(t, plainMode(), s.fn, nil)
		message := scanPush("shop-7")
		var first sync.WaitGroup
		first.Go(func() { wechat().clear(message).to(h) })
		time.Sleep(time.Millisecond)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		w := httptest.NewRecorder()
		h.ServeHTTP(w, wechat().clear(message).request().WithContext(ctx))
		assert.Equal(t, 503, w.Code)
		assert.Less(t, time.Since(s.start), 1100*time.Millisecond)
		first.Wait()
	})
}

// The same when another had the event before: the claim that nobody heard of is
// given back, and the next delivery runs the function.
func TestClaimWhoseResponseWasLostAfterAnothers(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		store := claimer{t, events.NewMemoryDeduper(0)}
		message := scanPush("shop-7")
		ev, err := events.Parse([]byte(message))
		require.NoError(t, err)
		require.Equal(t, granted, store.claimFor("another", ev.ID(), time.Second))

		s := &sleeper{start: time.Now()}
		silent := &lossy{Deduper: store, lose: 1000, from: time.Now().Add(500 * time.Millisecond)}
		h := newHandler(t, plainMode(), s.fn, nil, events.WithDeduper(silent))
		assert.Equal(t, 503, wechat().clear(message).to(h).Code)
		assert.Zero(t, s.runs())
		silent.lose = 0
		assert.Equal(t, 200, wechat().clear(message).to(h).Code)
		assert.Equal(t, 1, s.runs())
		assert.Equal(t, handled, store.claimFor("third", ev.ID(), time.Second))
	})
}

// Two events of one user in one second are two.
func TestDifferentEventsOfOneSecond(t *testing.T) {
	t.Parallel()
	var seen []string
	h := newHandler(t, safeMode(),
		func(_ context.Context, ev *wechatqr.Event) (events.Reply, error) {
			seen = append(seen, string(ev.Type)+" "+ev.EventKey)
			return nil, nil
		}, nil)
	now := time.Now().Unix()
	for range 2 {
		for _, message := range []string{
			scanPushAt(now, "shop-7"), scanPushAt(now, "shop-8"),
			strings.Replace(scanPushAt(now, "shop-7"), "SCAN", "VIEW", 1),
			strings.Replace(scanPushAt(now, "shop-7"), "gQH47", "gQH48", 1),
		} {
			assert.Equal(t, "success", wechat().sealed(t, message).to(h).Body.String())
		}
	}
	assert.Equal(t, []string{"SCAN shop-7", "SCAN shop-8", "VIEW shop-7", "SCAN shop-7"}, seen)
}

// faulty fails or hangs in one of its methods.
type faulty struct {
	events.Deduper
	claim           func(ctx context.Context) (events.Claim, error)
	commit, release func(ctx context.Context) error
}

func (f faulty) Claim(
	ctx context.Context, id, owner string, lease time.Duration,
) (events.Claim, error) {
	if f.claim != nil {
		return f.claim(ctx)
	}
	return f.Deduper.Claim(ctx, id, owner, lease)
}

func (f faulty) Commit(ctx context.Context, id string, ttl time.Duration) error {
	if f.commit != nil {
		return f.commit(ctx)
	}
	return f.Deduper.Commit(ctx, id, ttl)
}

func (f faulty) Release(ctx context.Context, id, owner string) error {
	if f.release != nil {
		return f.release(ctx)
	}
	return f.Deduper.Release(ctx, id, owner)
}

// noClaim makes a claim of what goes wrong.
func noClaim(fail func(context.Context) error) func(context.Context) (events.Claim, error) {
	return func(ctx context.Context) (events.Claim, error) { return 0, fail(ctx) }
}

// A Deduper that fails, hangs or panics delivers rather than drops, in time.
func TestFaultyDeduper(t *testing.T) {
	t.Parallel()
	away := errors.New("store is away")
	fail := func(context.Context) error { return away }
	hang := func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) }
	burst := func(context.Context) error { panic("store bug") }
	nothing := func(context.Context) error { return nil }
	for _, c := range []struct {
		name     string
		d        faulty
		takes    time.Duration
		fnErr    error
		body     string
		within   time.Duration
		problems int
	}{
		{"claim fails", faulty{claim: noClaim(fail)}, 0, nil, "hi", 0, 1},
		{"claim hangs", faulty{claim: noClaim(hang)}, 0, nil, "hi", 500 * time.Millisecond, 1},
		{"claim panics", faulty{claim: noClaim(burst)}, 0, nil, "hi", 0, 1},
		{"claim has no outcome", faulty{claim: noClaim(nothing)}, 0, nil, "hi", 0, 1},
		{"claim has an unknown outcome", faulty{claim: outcome(busy + 1)}, 0, nil, "hi", 0, 1},
		{"claim hangs and the function is slow", faulty{claim: noClaim(hang)},
			10 * time.Second, nil,
			"success", 4500 * time.Millisecond, 2},
		{"commit fails", faulty{commit: fail}, 0, nil, "hi", 0, 1},
		{"commit hangs", faulty{commit: hang}, 0, nil, "hi", 500 * time.Millisecond, 1},
		{"commit panics", faulty{commit: burst}, 0, nil, "hi", 0, 1},
		{"commit hangs at the last moment", faulty{commit: hang},
			4499 * time.Millisecond, nil, "hi",
			4799 * time.Millisecond, 1},
		{"commit hangs and the function is slow", faulty{commit: hang}, 10 * time.Second,
			nil, "success",
			4800 * time.Millisecond, 2},
		{"release fails", faulty{release: fail}, 0, away, "the function failed", 0, 2},
		{"release hangs", faulty{release: hang}, 0, away, "the function failed",
			500 * time.Millisecond,
			2},
		{"release panics", faulty{release: burst}, 0, away, "the function failed", 0, 2},
		{"all hang", faulty{claim: noClaim(hang), commit: hang, release: hang},
			10 * time.Second, nil,
			"success", 4800 * time.Millisecond, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				c.d.Deduper = events.NewMemoryDeduper(0)
				s := &sleeper{takes: c.takes, reply: events.Text("hi"), err: c.fnErr,
					start: time.Now()}
				var problems []events.Problem
				h := newHandler(t, plainMode(), s.fn, &problems, events.WithDeduper(c.d),
					events.WithoutRetries())
				w := wechat().clear(scanPush("shop-7")).to(h)
				assert.Equal(t, c.within, time.Since(s.start))
				assert.Contains(t, w.Body.String(), c.body)
				require.NoError(t, h.Shutdown(t.Context()))
				assert.Equal(t, 1, s.runs())
				require.Len(t, problems, c.problems)
				require.True(t, slices.ContainsFunc(problems, func(p events.Problem) bool {
					hint := "does not know how the event ended"
					if strings.HasPrefix(c.name, "claim") {
						hint = "once in this process"
					}
					if strings.HasSuffix(c.name, " fails") && !errors.Is(p.Err, away) {
						return false
					}
					return errors.Is(p.Err, events.ErrDeduper) && p.Status == 0 &&
						(c.name == "all hang" || strings.Contains(p.Hint, hint))
				}))
			})
		})
	}
}

// watched records the calls of a Deduper.
type watched struct {
	events.Deduper
	mu    sync.Mutex
	asked []string
}

func (d *watched) note(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked = append(d.asked, fmt.Sprintf(format, args...))
}

func (d *watched) Claim(
	ctx context.Context, id, owner string, lease time.Duration,
) (events.Claim, error) {
	d.note("claim %v", lease)
	return d.Deduper.Claim(ctx, id, owner, lease)
}

func (d *watched) Commit(ctx context.Context, id string, ttl time.Duration) error {
	d.note("commit %v", ttl)
	return d.Deduper.Commit(ctx, id, ttl)
}

func (d *watched) Release(ctx context.Context, id, owner string) error {
	d.note("release")
	return d.Deduper.Release(ctx, id, owner)
}

// What a Deduper is asked, and for how long: a commit stays for longer than a
// timestamp is good.
func TestDeduperIsAsked(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		maxAge time.Duration
		fails  int
		takes  time.Duration
		claim  func(context.Context) (events.Claim, error)
		want   []string
	}{
		{"success", 0, 0, 0, nil, []string{"claim 3s", "commit 16m0s"}},
		{"a short MaxAge", time.Second, 0, 0, nil, []string{"claim 3s", "commit 1m3s"}},
		{"a long MaxAge", time.Hour, 0, 0, nil, []string{"claim 3s", "commit 3h1m0s"}},
		{"the longest MaxAge", 1<<63 - 1, 0, 0, nil, []string{"claim 3s", "commit 1314000h1m0s"}},
		{"failure", 0, 9, 0, nil,
			[]string{"claim 3s", "claim 3s", "claim 3s", "claim 3s", "release"}},
		{"a function just shorter than a third of the lease", 0, 0, time.Second - 1, nil,
			[]string{"claim 3s", "commit 16m0s"}},
		{"a function of 2.5 s", 0, 0, 2500 * time.Millisecond, nil,
			[]string{"claim 3s", "claim 3s", "claim 3s", "commit 16m0s"}},
		{"a slow function", 0, 0, time.Minute, nil,
			append(slices.Repeat([]string{"claim 3s"}, 4), "commit 16m0s")},
		{"what is handled", 0, 0, 0, outcome(handled), []string{"claim 3s", "release"}},
		{"another's claim", 0, 0, 0, outcome(busy),
			append(slices.Repeat([]string{"claim 3s"}, 47), "release")},
	} {
		t.Run(c.name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				d := &watched{Deduper: faulty{Deduper: events.NewMemoryDeduper(0), claim: c.claim}}
				cfg := plainMode()
				cfg.MaxAge = c.maxAge
				f := &failing{fails: c.fails, takes: c.takes, start: time.Now()}
				h := newHandler(t, cfg, f.fn, nil, events.WithDeduper(d))
				wechat().clear(scanPush("shop-7")).to(h)
				require.NoError(t, h.Shutdown(t.Context()))
				assert.Equal(t, c.want, d.asked)
			})
		})
	}
}

// What this process has handled is no question for others.
func TestDeduperIsNotAskedForWhatIsKnown(t *testing.T) {
	t.Parallel()
	d := &watched{Deduper: events.NewMemoryDeduper(0)}
	h := newHandler(t, plainMode(), nil, nil, events.WithDeduper(d))
	p := wechat().clear(scanPush("shop-7"))
	for range 3 {
		assert.Equal(t, "success", p.to(h).Body.String())
	}
	assert.Equal(t, []string{"claim 3s", "commit 16m0s"}, d.asked)
}

func outcome(c events.Claim) func(context.Context) (events.Claim, error) {
	return func(context.Context) (events.Claim, error) { return c, nil }
}

// While the store is away one process still runs each event once, and again
// only if it failed.
func TestStoreAway(t *testing.T) {
	t.Parallel()
	for name, claim := range map[string]func(context.Context) error{
		"fails": func(context.Context) error { return io.ErrUnexpectedEOF },
		"hangs": func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
	} {
		t.Run(name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				runs := 0
				d := faulty{Deduper: events.NewMemoryDeduper(0), claim: noClaim(claim),
					commit:  claim,
					release: claim}
				h := newHandler(t, plainMode(),
					func(context.Context, *wechatqr.Event) (events.Reply, error) {
						runs++
						if time.Sleep(time.Second); runs == 1 {
							return nil, errors.New("not yet")
						}
						return nil, nil
					}, nil, events.WithDeduper(d), events.WithoutRetries())
				p := wechat().clear(scanPush("shop-7"))
				codes := make([]int, 4)
				var all sync.WaitGroup
				for i := range codes {
					all.Go(func() { codes[i] = p.to(h).Code })
					time.Sleep(10 * time.Millisecond)
				}
				all.Wait()
				assert.Equal(t, []int{500, 200, 200, 200}, codes)
				time.Sleep(4 * time.Minute)
				assert.Equal(t, "success", p.to(h).Body.String())
				assert.Equal(t, 2, runs)
			})
		})
	}
}

// An event that was handled here and not noted in the store is not handled
// anew once the store is back.
func TestStoreBack(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		away := true
		fail := func(context.Context) error {
			if away {
				return io.EOF
			}
			return nil
		}
		store := events.NewMemoryDeduper(0)
		s := &sleeper{start: time.Now()}
		h := newHandler(t, plainMode(), s.fn, nil,
			events.WithDeduper(&flaky{Deduper: store, fail: fail}))
		p := wechat().clear(scanPush("shop-7"))
		assert.Equal(t, 200, p.to(h).Code)
		away = false
		assert.Equal(t, 200, p.to(h).Code)
		assert.Equal(t, 1, s.runs())
	})
}

// flaky is away for as long as fail says so.
type flaky struct {
	events.Deduper
	fail func(context.Context) error // nil: never
}

func (f *flaky) Claim(
	ctx context.Context, id, owner string, lease time.Duration,
) (events.Claim, error) {
	if f.fail != nil {
		if err := f.fail(ctx); err != nil {
			return 0, err
		}
	}
	return f.Deduper.Claim(ctx, id, owner, lease)
}

func (f *flaky) Commit(ctx context.Context, id string, ttl time.Duration) error {
	if f.fail != nil {
		if err := f.fail(ctx); err != nil {
			return err
		}
	}
	return f.Deduper.Commit(ctx, id, ttl)
}

// A store that said that another process has the event, and then nothing any
// more, has nobody run it beside that one.
func TestStoreGoesAwayWhileAnotherHasTheEvent(t *testing.T) {
	t.Parallel()
	for _, from := range []time.Duration{50 * time.Millisecond, 500 * time.Millisecond,
		4450 * time.Millisecond} {
		for name, away := range map[string]func(context.Context) error{
			"fails": func(context.Context) error { return io.EOF },
			"hangs": func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
		} {
			t.Run(fmt.Sprint(name, " from ", from), func(t *testing.T) {
				inFakeTime(t, func(t *testing.T) {
					s := &sleeper{takes: time.Second, start: time.Now()}
					var problems []events.Problem
					d := faulty{Deduper: events.NewMemoryDeduper(0), commit: away, release: away}
					d.claim = func(ctx context.Context) (events.Claim, error) {
						if time.Since(s.start) >= from {
							return 0, away(ctx)
						}
						return busy, nil
					}
					h := newHandler(t, plainMode(), s.fn, &problems, events.WithDeduper(d))
					w := wechat().clear(scanPush("shop-7")).to(h)
					assert.Equal(t, 503, w.Code)
					assert.Less(t, time.Since(s.start), 5*time.Second)
					assert.Zero(t, s.runs())
					require.ErrorIs(t, problems[len(problems)-1].Err, events.ErrInProgress)
					require.ErrorIs(t, problems[0].Err, events.ErrDeduper)
					assert.Len(t, problems, 3, "it is told once that the claim failed")
				})
			})
		}
	}
}

// A delivery that never had the event frees nobody's claim on it.
func TestReleaseOfNothing(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		claims := 0
		d := &flaky{Deduper: events.NewMemoryDeduper(0), fail: func(context.Context) error {
			if claims++; claims == 2 {
				return io.ErrUnexpectedEOF
			}
			return nil
		}}
		var mu sync.Mutex
		running, most, runs := 0, 0, 0
		h := newHandler(t, plainMode(),
			func(context.Context, *wechatqr.Event) (events.Reply, error) {
				mu.Lock()
				running++
				runs++
				most = max(most, running)
				mu.Unlock()
				time.Sleep(4 * time.Second)
				mu.Lock()
				defer mu.Unlock()
				running--
				return nil, nil
			}, nil, events.WithDeduper(d))
		message := scanPush("shop-7")
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() { assert.Equal(t, 200, wechat().clear(message).to(h).Code) })
			time.Sleep(10 * time.Millisecond)
		}
		all.Wait()
		assert.Equal(t, 1, most)
		assert.Equal(t, 1, runs)
	})
}

// A Deduper, a reply or a problem handler that ends its goroutine ends no Handler.
func TestGoexit(t *testing.T) {
	t.Parallel()
	exit := func(context.Context) error { runtime.Goexit(); return nil }
	for _, c := range []struct {
		name   string
		fn     events.HandlerFunc
		d      faulty
		status int // 0 if the caller's own goroutine ends
	}{
		{"claim", nil, faulty{claim: noClaim(exit)}, 0},
		{"claim and release", nil, faulty{claim: noClaim(exit), release: exit}, 0},
		{"commit", nil, faulty{commit: exit}, 0},
		{"release",
			func(context.Context, *wechatqr.Event) (events.Reply, error) { return nil, io.EOF },
			faulty{release: exit}, 0},
		{"reply", replyWith(exitReply{}), faulty{}, 200},
		{"commit of a late one",
			func(context.Context, *wechatqr.Event) (events.Reply, error) {
				time.Sleep(time.Minute)
				return nil, nil
			}, faulty{commit: exit}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				c.d.Deduper = events.NewMemoryDeduper(0)
				h := newHandler(t, plainMode(), c.fn, nil, events.WithDeduper(c.d))
				p := wechat().clear(scanPush("shop-7"))
				status := 0
				var caller sync.WaitGroup
				caller.Go(func() { status = p.to(h).Code })
				caller.Wait()
				assert.Equal(t, c.status, status)
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				require.NoError(t, h.Shutdown(ctx))
			})
		})
	}
	t.Run("problem handler", func(t *testing.T) {
		inFakeTime(t, func(t *testing.T) {
			h, err := events.NewHandler(plainMode(),
				func(context.Context, *wechatqr.Event) (events.Reply, error) {
					time.Sleep(time.Minute)
					return nil, io.EOF
				}, events.WithProblemHandler(
					func(context.Context, events.Problem) { runtime.Goexit() }))
			require.NoError(t, err)
			assert.Equal(t, 200, wechat().clear(scanPush("shop-7")).to(h).Code)
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			require.NoError(t, h.Shutdown(ctx))
		})
	})
}

type exitReply struct{}

func (exitReply) AppendReply(b []byte, _ *wechatqr.Event, _ time.Time) ([]byte, error) {
	runtime.Goexit()
	return b, nil
}

// The clock goes on while a reply is made, and Shutdown waits for it.
func TestSlowReply(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		start := time.Now()
		var problems []events.Problem
		h := newHandler(t, plainMode(), replyWith(slowReply{7 * time.Second}), &problems)
		w := wechat().clear(scanPush("shop-7")).to(h)
		assert.Equal(t, 4500*time.Millisecond, time.Since(start))
		assert.Equal(t, "success", w.Body.String())
		require.NoError(t, h.Shutdown(t.Context()))
		assert.Equal(t, 7*time.Second, time.Since(start))
		require.Len(t, problems, 1)
		require.ErrorIs(t, problems[0].Err, events.ErrLate)
	})
}

type slowReply struct{ takes time.Duration }

func (r slowReply) AppendReply(b []byte, ev *wechatqr.Event, now time.Time) ([]byte, error) {
	time.Sleep(r.takes)
	return events.Text("hi").AppendReply(b, ev, now)
}

// What one delivery leaves behind does not disturb the next: functions end in
// the moment in which the clock rings, and then one that has time.
func TestFunctionThatEndsWithTheClock(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		h := newHandler(t, plainMode(),
			func(_ context.Context, ev *wechatqr.Event) (events.Reply, error) {
				if strings.HasPrefix(ev.EventKey, "a") {
					time.Sleep(4500 * time.Millisecond)
				} else {
					time.Sleep(time.Second)
				}
				return events.Text("hi"), nil
			}, nil)
		for i := range 3000 {
			wechat().clear(scanPush(fmt.Sprint("a", i))).to(h)
			w := wechat().clear(scanPush(fmt.Sprint("b", i))).to(h)
			require.Contains(t, w.Body.String(), "<![CDATA[hi]]>", "it was in time")
		}
		require.NoError(t, h.Shutdown(t.Context()))
	})
}

func TestWithoutDeduper(t *testing.T) {
	t.Parallel()
	ran := 0
	h := newHandler(t, plainMode(), func(context.Context, *wechatqr.Event) (events.Reply, error) {
		ran++
		return nil, nil
	}, nil, events.WithDeduper(nil))
	p := wechat().clear(sampleScan)
	for range 3 {
		assert.Equal(t, 200, p.to(h).Code)
	}
	assert.Equal(t, 3, ran)
}

func TestMaxRunning(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := &sleeper{takes: time.Minute, start: time.Now()}
		var problems []events.Problem
		h := newHandler(t, plainMode(), s.fn, &problems, events.WithMaxRunning(2))
		now := time.Now().Unix()
		status := func(scene string) int {
			return wechat().clear(scanPushAt(now, scene)).to(h).Code
		}
		assert.Equal(t, 200, status("a"))
		assert.Equal(t, 200, status("b"))
		full := time.Now()
		assert.Equal(t, 503, status("c"), "a and b go on")
		assert.Equal(t, 3*time.Second, time.Since(full))
		require.Len(t, problems, 1)
		require.ErrorIs(t, problems[0].Err, events.ErrOverloaded)
		assert.Equal(t, 503, problems[0].Status)
		assert.Equal(t, 2, s.runs())

		time.Sleep(time.Minute)
		assert.Equal(t, 200, wechat().clear(scanPushAt(now, "c")).to(h).Code, "the next delivery")
		require.NoError(t, h.Shutdown(t.Context()))
		assert.Equal(t, 3, s.runs())
	})
}

// A burst of more than there is room for is handled as places become free.
func TestDeliveryWaitsForPlace(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := &sleeper{takes: 500 * time.Millisecond, start: time.Now()}
		h := newHandler(t, plainMode(), s.fn, nil, events.WithMaxRunning(10))
		now := time.Now().Unix()
		var all sync.WaitGroup
		for i := range 60 {
			all.Go(func() {
				assert.Equal(t, 200, wechat().clear(scanPushAt(now, fmt.Sprint(i))).to(h).Code)
			})
		}
		all.Wait()
		assert.Equal(t, 60, s.runs())
		assert.Equal(t, 3*time.Second, time.Since(s.start))
	})
}

// One that waits for a place is let go when its caller goes or the Handler ends.
func TestDeliveryThatWaitsInVain(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := &sleeper{takes: time.Minute, start: time.Now()}
		var problems []events.Problem
		h := newHandler(t, plainMode(), s.fn, &problems, events.WithMaxRunning(1))
		wechat().clear(scanPush("a")).to(h)
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		w := httptest.NewRecorder()
		h.ServeHTTP(w, wechat().clear(scanPush("b")).request().WithContext(ctx))
		assert.Equal(t, 503, w.Code)
		assert.Equal(t, time.Second, time.Since(start))

		var waits sync.WaitGroup
		waits.Go(func() { assert.Equal(t, 503, wechat().clear(scanPush("c")).to(h).Code) })
		time.Sleep(time.Second)
		require.NoError(t, h.Shutdown(t.Context()))
		waits.Wait()
		assert.Equal(t, time.Minute, time.Since(s.start))
		require.Len(t, problems, 2)
		require.ErrorIs(t, problems[0].Err, events.ErrOverloaded)
		require.ErrorIs(t, problems[1].Err, events.ErrShutdown)
		assert.Equal(t, 1, s.runs())
	})
}

// The place of a function is free when its answer arrives.
func TestMaxRunningOneByOne(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		h := newHandler(t, plainMode(), nil, nil, events.WithMaxRunning(1))
		start := time.Now()
		for i := range 2000 {
			ev := scanPushAt(start.Unix(), strconv.Itoa(i))
			require.Equal(t, 200, wechat().clear(ev).to(h).Code, i)
		}
		assert.Zero(t, time.Since(start))
	})
}

func TestShutdown(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := &sleeper{takes: time.Minute, start: time.Now()}
		var problems []events.Problem
		h := newHandler(t, plainMode(), s.fn, &problems)
		wechat().clear(scanPush("a")).to(h)

		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		require.ErrorIs(t, h.Shutdown(ctx), context.DeadlineExceeded)
		assert.Equal(t, 14500*time.Millisecond, time.Since(s.start))

		w := wechat().clear(scanPush("b")).to(h)
		assert.Equal(t, 503, w.Code, "another instance can have it")
		require.Len(t, problems, 1)
		require.ErrorIs(t, problems[0].Err, events.ErrShutdown)
		assert.Equal(t, 503, problems[0].Status)

		require.NoError(t, h.Shutdown(t.Context()))
		assert.Equal(t, time.Minute, time.Since(s.start))
		assert.Len(t, s.end, 1)
		require.NoError(t, h.Shutdown(t.Context()), "once more")
	})
}

func TestShutdownOfIdleHandler(t *testing.T) {
	t.Parallel()
	h := newHandler(t, plainMode(), nil, nil)
	wechat().clear(scanPush("shop-7")).to(h)
	require.NoError(t, h.Shutdown(t.Context()))
}

type contextKey struct{}

// The function's context has the request's values, and outlives the request.
func TestFunctionContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.WithValue(t.Context(), contextKey{}, "value"))
	cancel()
	h := newHandler(t, plainMode(),
		func(ctx context.Context, _ *wechatqr.Event) (events.Reply, error) {
			assert.Equal(t, "value", ctx.Value(contextKey{}))
			assert.NoError(t, ctx.Err())
			_, deadline := ctx.Deadline()
			assert.False(t, deadline)
			return nil, nil
		}, nil)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, wechat().clear(sampleScan).request().WithContext(ctx))
	assert.Equal(t, "success", w.Body.String())
	p := wechat().clear(scanPush("shop-8"))
	a := h.Handle(ctx, events.Request{
		Method: http.MethodPost, RawQuery: p.query.Encode(), Body: []byte(p.body),
	})
	assert.Equal(t, "success", string(a.Body))
}

var errAway = errors.New("the database is away")

// Who must not lose the event has the response fail while that may happen, and a later
// delivery learns the outcome, or runs the function.
func TestFailLate(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		settles bool          // before the time is over
		takes   time.Duration // the first run
		err     error         // of the first run
		first   int           // status
		second  int
		runs    int32
	}{
		"settled, and fails":           {true, 6 * time.Second, errAway, 200, 200, 1},
		"not settled, and fails":       {false, 6 * time.Second, errAway, 500, 200, 2},
		"not settled, and succeeds":    {false, 6 * time.Second, nil, 500, 200, 1},
		"not settled, fails in time":   {false, 4 * time.Second, errAway, 500, 200, 2},
		"not settled, ends in time":    {false, 4 * time.Second, nil, 200, 200, 1},
		"not settled for very long":    {false, 15 * time.Second, nil, 500, 503, 1},
		"settled, and takes very long": {true, 15 * time.Second, nil, 200, 200, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var runs atomic.Int32
				h := newHandler(t, plainMode(),
					func(ctx context.Context, _ *wechatqr.Event) (events.Reply, error) {
						settled := events.FailLate(ctx)
						if runs.Add(1) > 1 {
							return nil, nil
						}
						if tt.settles {
							settled()
							settled()
						}
						time.Sleep(tt.takes)
						return nil, tt.err
					}, nil, events.WithoutRetries())
				sample := wechat().clear(sampleScan)
				for _, want := range []int{tt.first, tt.second} {
					w := httptest.NewRecorder()
					h.ServeHTTP(w, sample.request())
					assert.Equal(t, want, w.Code)
				}
				require.NoError(t, h.Shutdown(t.Context()))
				assert.Equal(t, tt.runs, runs.Load())
			})
		})
	}
	events.FailLate(t.Context())() // of no function: nothing
}

// A run that failed and was not settled has the response fail until the next one is.
func TestFailLateOfARetry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var runs atomic.Int32
		h := newHandler(t, plainMode(),
			func(ctx context.Context, _ *wechatqr.Event) (events.Reply, error) {
				if runs.Add(1) == 1 {
					events.FailLate(ctx)
					return nil, errAway
				}
				time.Sleep(5 * time.Second) // before it comes to FailLate
				return nil, nil
			}, nil)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, wechat().clear(sampleScan).request())
		assert.Equal(t, http.StatusInternalServerError, w.Code)
		require.NoError(t, h.Shutdown(t.Context()))
	})
}

// Handle answers as ServeHTTP does, and lets go of the caller's buffer.
func TestHandle(t *testing.T) {
	t.Parallel()
	message := scanPush("shop-7")
	broken := wechat().clear(message)
	broken.query.Set("nonce", "1")
	for name, c := range map[string]struct {
		cfg    events.Config
		push   push
		status int
	}{
		"plain":   {plainMode(), wechat().clear(message), 200},
		"sealed":  {safeMode(), wechat().sealed(t, message), 200},
		"refused": {plainMode(), broken, 403},
		"large":   {plainMode(), wechat().clear(strings.Repeat("x", events.MaxBodyBytes+1)), 413},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var kept *wechatqr.Event
			fn := func(_ context.Context, ev *wechatqr.Event) (events.Reply, error) {
				kept = ev
				return events.Text("hi"), nil
			}
			body := []byte(c.push.body)
			a := newHandler(t, c.cfg, fn, nil).Handle(t.Context(),
				events.Request{Method: http.MethodPost, RawQuery: c.push.query.Encode(),
					Body: body})
			w := c.push.to(newHandler(t, c.cfg, replyWith(events.Text("hi")), nil))
			assert.Equal(t, c.status, a.Status)
			assert.Equal(t, w.Code, a.Status)
			assert.Equal(t, w.Header().Get("Content-Type"), a.ContentType)
			switch name {
			case "sealed":
				assert.Contains(t, openReply(t, wechat(), a.Body), "<![CDATA[hi]]>")
			case "plain":
				assert.Contains(t, string(a.Body), "<![CDATA[hi]]>")
			default:
				assert.Equal(t, w.Body.String(), string(a.Body))
				assert.Nil(t, kept)
				return
			}
			for i := range body {
				body[i] = 0 // as a server does that uses its buffers again
			}
			assert.Equal(t, message, string(kept.Raw))
			assert.Equal(t, "shop-7", kept.EventKey)
		})
	}
	t.Run("a nil context", func(t *testing.T) {
		t.Parallel()
		h := newHandler(t, plainMode(), replyWith(nil), nil)
		p := wechat().clear(message)
		var none context.Context
		a := h.Handle(none, events.Request{Method: http.MethodPost, RawQuery: p.query.Encode(),
			Body: []byte(p.body)})
		assert.Equal(t, "success", string(a.Body))
		require.NoError(t, h.Shutdown(t.Context()))
	})
	t.Run("as large as may be", func(t *testing.T) {
		t.Parallel()
		p := wechat().clear(strings.Repeat("x", events.MaxBodyBytes))
		a := newHandler(t, plainMode(), nil, nil).Handle(t.Context(), events.Request{
			Method: http.MethodPost, RawQuery: p.query.Encode(), Body: []byte(p.body),
		})
		assert.Equal(t, 400, a.Status, "it is no push")
	})
	t.Run("another method", func(t *testing.T) {
		t.Parallel()
		a := newHandler(t, plainMode(), nil, nil).Handle(t.Context(), events.Request{Method: "PUT"})
		assert.Equal(t, 405, a.Status)
	})
}

func TestHandlerOptions(t *testing.T) {
	t.Parallel()
	for name, opt := range map[string]events.Option{
		"WithProblemHandler(nil)": events.WithProblemHandler(nil),
		"WithObserver(nil)":       events.WithObserver(nil),
		"WithLogger(nil)":         events.WithLogger(nil),
		"WithMaxRunning(0)":       events.WithMaxRunning(0),
		"WithMaxRunning(-1)":      events.WithMaxRunning(-1),
		"nil option":              nil,
	} {
		_, err := events.NewHandler(plainMode(), replyWith(nil), opt)
		require.ErrorIs(t, err, wechatqr.ErrInvalidArgument, name)
	}
	_, err := events.NewHandler(plainMode(), nil)
	require.ErrorIs(t, err, wechatqr.ErrInvalidArgument)
	require.ErrorContains(t, err, "HandlerFunc is nil")
}

// A problem handler that panics harms nobody.
func TestProblemHandlerThatPanics(t *testing.T) {
	t.Parallel()
	h, err := events.NewHandler(plainMode(),
		func(context.Context, *wechatqr.Event) (events.Reply, error) {
			return nil, io.EOF
		}, events.WithoutRetries(),
		events.WithProblemHandler(func(context.Context, events.Problem) { panic("hook") }))
	require.NoError(t, err)
	assert.Equal(t, 500, wechat().clear(sampleScan).to(h).Code)
	assert.Equal(t, 403, push{body: "x"}.to(h).Code)
}

// Without a problem handler problems go to the standard logger. The test replaces it, so
// it runs alone.
func TestProblemsAreLogged(t *testing.T) {
	before := slog.Default()
	defer slog.SetDefault(before)
	var out bytes.Buffer
	slog.SetDefault(slog.New(slog.NewTextHandler(&out, nil)))
	h, err := events.NewHandler(plainMode(),
		func(context.Context, *wechatqr.Event) (events.Reply, error) { panic("boom") })
	require.NoError(t, err)
	push{body: "x"}.to(h)
	assert.Contains(t, out.String(), "level=WARN")
	assert.Contains(t, out.String(), "status=403")
	assert.Contains(t, out.String(), "the request is not signed")
	assert.Contains(t, out.String(), "请求未签名")
	out.Reset()
	wechat().clear(sampleScan).to(h)
	require.NoError(t, h.Shutdown(t.Context()))
	assert.Contains(t, out.String(), "level=ERROR")
	assert.Contains(t, out.String(), "boom")
	assert.Contains(t, out.String(), "handler_test.go")
	assert.Contains(t, out.String(), "SCENE_VALUE")
	assert.NotContains(t, out.String(), testToken)
}

// 10,000 posts, 2,000 at a time (the race detector allows no more than some
// 8,000 goroutines), three deliveries of each event. In the bubble a busy
// machine takes no time, so that no function is late.
func TestConcurrentPosts(t *testing.T) { synctest.Test(t, testConcurrentPosts) }

func testConcurrentPosts(t *testing.T) {
	const posts, senders = 10_000, 2_000
	var ran sync.Map
	var runs atomic.Int32
	var problems []events.Problem
	h := newHandler(t, plainMode(),
		func(_ context.Context, ev *wechatqr.Event) (events.Reply, error) {
			runs.Add(1)
			n, _ := ran.LoadOrStore(ev.EventKey, new(atomic.Int32))
			n.(*atomic.Int32).Add(1)
			return events.Text(ev.EventKey), nil
		}, &problems, events.WithMaxRunning(senders))
	now := time.Now().Unix()
	bodies := make([]push, posts)
	for i := range bodies {
		bodies[i] = wechat().clear(scanPushAt(now, fmt.Sprint("shop-", i/3)))
	}
	var replies, successes atomic.Int32
	var all sync.WaitGroup
	next := make(chan push)
	for range senders {
		all.Go(func() {
			for p := range next {
				w := p.to(h)
				switch {
				case w.Code != http.StatusOK:
					t.Error(w.Code, w.Body)
				case w.Body.String() == "success":
					successes.Add(1)
				default:
					replies.Add(1)
				}
			}
		})
	}
	for _, p := range bodies {
		next <- p
	}
	close(next)
	all.Wait()
	require.NoError(t, h.Shutdown(t.Context()))
	want := int32((posts + 2) / 3)
	assert.Equal(t, want, runs.Load())
	assert.Equal(t, want, replies.Load())
	assert.Equal(t, int32(posts)-want, successes.Load())
	ran.Range(func(scene, n any) bool {
		assert.Equal(t, int32(1), n.(*atomic.Int32).Load(), scene)
		return true
	})
	assert.Empty(t, problems)
}

// TestSoak leaves nothing behind: no goroutine, no memory. WECHATQR_SOAK sets
// how long it goes on, 2s by default.
func TestSoak(t *testing.T) {
	length := 2 * time.Second
	if s := os.Getenv("WECHATQR_SOAK"); s != "" {
		var err error
		length, err = time.ParseDuration(s)
		require.NoError(t, err)
	}
	before := runtime.NumGoroutine()
	var runs, late atomic.Int64
	h := newHandler(t, safeMode(),
		func(_ context.Context, ev *wechatqr.Event) (events.Reply, error) {
			switch n := runs.Add(1); {
			case length > 10*time.Second && n%5000 == 1:
				time.Sleep(4600 * time.Millisecond)
				late.Add(1)
			case n%211 == 0:
				return nil, io.ErrNoProgress
			case n%13 == 0:
				panic("boom")
			case n%3 == 0:
				return nil, nil
			}
			return events.Text(ev.EventKey), nil
		}, nil, events.WithDeduper(events.NewMemoryDeduper(4096)), events.WithMaxRunning(100))
	server := httptest.NewServer(h)
	client := server.Client()
	client.Timeout = time.Minute

	var posts atomic.Int64
	stop := make(chan struct{})
	var senders sync.WaitGroup
	for worker := range 4 {
		senders.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				p := wechat().sealed(t, scanPush(fmt.Sprint("shop-", worker, "-", i/2)))
				if i%7 == 0 {
					p.query.Set("nonce", "wrong")
				}
				r, err := client.Post(server.URL+"/?"+p.query.Encode(), "text/xml",
					strings.NewReader(p.body))
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, r.Body)
				_ = r.Body.Close()
				posts.Add(1)
			}
		})
	}
	time.Sleep(length / 4) // the deduper is full by then, or as full as it gets
	warm := heap()
	time.Sleep(length - length/4)
	end := heap()
	close(stop)
	senders.Wait()
	server.Close()
	client.CloseIdleConnections()
	require.NoError(t, h.Shutdown(t.Context()))
	t.Logf("%d posts, %d runs, %d of them late; heap %d KiB after a quarter, %d KiB at the end",
		posts.Load(), runs.Load(), late.Load(), warm>>10, end>>10)
	assert.Less(t, end, warm+8<<20)
	for range 500 { // goroutines end a little after what they tell
		if runtime.NumGoroutine() <= before {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	assert.LessOrEqual(t, runtime.NumGoroutine(), before)
}

// One push that is replayed over and over leaves slots to other events.
func TestReplaysLeaveSlotsToOthers(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		const slots, waiting = 20, 16
		h := newHandler(t, safeMode(),
			func(context.Context, *wechatqr.Event) (events.Reply, error) {
				time.Sleep(4 * time.Second)
				return nil, nil
			}, nil, events.WithMaxRunning(slots))

		replayed := wechat().sealed(t, scanPush("replayed"))
		var statuses [3 * slots]int
		var replays sync.WaitGroup
		for i := range statuses {
			replays.Go(func() { statuses[i] = replayed.to(h).Code })
		}
		synctest.Wait()
		start := time.Now()
		assert.Equal(t, 200, wechat().sealed(t, scanPush("another")).to(h).Code)
		assert.Equal(t, 4*time.Second, time.Since(start), "it had a slot at once")

		replays.Wait()
		ended := map[int]int{}
		for _, status := range statuses {
			ended[status]++
		}
		assert.Equal(t, map[int]int{200: 1 + waiting, 503: len(statuses) - 1 - waiting}, ended)
		assert.Equal(t, 200, replayed.to(h).Code, "those that waited are not counted any more")
	})
}

// A delivery gets nothing of the one before it, neither its reply nor its error.
func TestDeliveriesShareNothing(t *testing.T) {
	t.Parallel()
	outcomes := []struct {
		reply  events.Reply
		err    error
		panics bool
		body   string
	}{
		{events.Text("hi"), nil, false, "<![CDATA[hi]]>"},
		{nil, nil, false, "success"},
		{nil, errAway, false, "the function failed"},
		{nil, nil, false, "success"},
		{nil, nil, true, "the function panicked"},
		{nil, nil, false, "success"},
		{events.Image(""), nil, false, "success"},
		{nil, nil, false, "success"},
	}
	turn := 0
	var problems []events.Problem
	h := newHandler(t, plainMode(), func(context.Context, *wechatqr.Event) (events.Reply, error) {
		if outcomes[turn].panics {
			panic("gone wrong")
		}
		return outcomes[turn].reply, outcomes[turn].err
	}, &problems, events.WithoutRetries())
	for n := range 50 {
		for i, c := range outcomes {
			turn = i
			body := wechat().clear(scanPush(fmt.Sprint(n, i))).to(h).Body.String()
			require.Contains(t, body, c.body, "outcome %d", i)
		}
	}
	assert.Len(t, problems, 50*3)
}
