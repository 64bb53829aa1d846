package events_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/events"
)

// An observer hears of every push once, successes and durations included, and
// not of the console's checks.
func TestObserver(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		var heard []events.Delivery
		failed := false
		h := newHandler(t, plainMode(),
			func(_ context.Context, ev *wechatqr.Event) (events.Reply, error) {
				switch ev.EventKey {
				case "quick":
					time.Sleep(time.Second)
				case "slow":
					time.Sleep(time.Hour)
				case "again":
					if !failed {
						failed = true
						return nil, errors.New("not yet")
					}
				case "away":
					return nil, errors.New("database is away")
				case "panic":
					panic("boom")
				}
				return nil, nil
			}, nil, events.WithObserver(func(_ context.Context,
				d events.Delivery) {
				heard = append(heard, d)
			}))

		stranger := wechat().clear(scanPush("quick"))
		stranger.query.Set("signature", strings.Repeat("0", 40))
		stranger.to(h)
		get := wechat().clear("").request()
		h.Handle(t.Context(), events.Request{Method: http.MethodGet, RawQuery: get.URL.RawQuery})
		quick := wechat().clear(scanPush("quick"))
		quick.to(h)
		quick.to(h)
		for _, scene := range []string{"slow", "again", "away", "panic"} {
			wechat().clear(scanPush(scene)).to(h)
		}

		var got []string
		for _, d := range heard {
			scene := "-"
			if d.Event != nil {
				scene = d.Event.EventKey
			}
			got = append(got, fmt.Sprint(scene, " ", d.Status, " ", d.Runs, " ", d.Duplicate, " ",
				d.Duration))
			assert.Equal(t, d.Status == 200, d.Err == nil, scene)
		}
		assert.Equal(t, []string{
			"- 403 0 false 0s",
			"quick 200 1 false 1s",
			"quick 200 0 true 0s",
			"slow 200 1 false 4.5s",
			"again 200 2 false 300ms",
			"away 500 4 false 3.3s",
			"panic 500 1 false 0s",
		}, got)
		require.ErrorIs(t, heard[0].Err, events.ErrBadSignature)
		require.ErrorIs(t, heard[5].Err, events.ErrFunction)
		require.ErrorIs(t, heard[6].Err, events.ErrPanic)
		require.NoError(t, h.Shutdown(t.Context()))
		assert.Len(t, heard, 7, "not again when the slow one ended")
	})
}

// An observer that panics harms nobody.
func TestObserverThatPanics(t *testing.T) {
	t.Parallel()
	h := newHandler(t, plainMode(), nil, nil,
		events.WithObserver(func(context.Context, events.Delivery) { panic("observer") }))
	assert.Equal(t, 200, wechat().clear(sampleScan).to(h).Code)
	assert.Equal(t, 403, push{body: "x"}.to(h).Code)
}

// Problems go to the logger that was given.
func TestWithLogger(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	h, err := events.NewHandler(plainMode(), replyWith(events.Image("")),
		events.WithLogger(slog.New(slog.NewTextHandler(&out, nil))))
	require.NoError(t, err)
	push{body: "x"}.to(h)
	assert.Contains(t, out.String(), "level=WARN")
	wechat().clear(scanPush(strings.Repeat("k", 2000))).to(h)
	assert.Contains(t, out.String(), "level=ERROR")
	assert.Contains(t, out.String(), "MediaId is empty")
	assert.NotContains(t, out.String(), testUser)
	assert.NotContains(t, out.String(), "stack=")
	for line := range strings.Lines(out.String()) {
		assert.Less(t, len(line), 1000, "whatever was sent")
	}
}

// All mistakes in the options are told at once.
func TestOptionErrorsAreCollected(t *testing.T) {
	t.Parallel()
	_, err := events.NewHandler(plainMode(), nil, nil, events.WithMaxRunning(0),
		events.WithObserver(nil))
	require.ErrorIs(t, err, wechatqr.ErrInvalidArgument)
	for _, want := range []string{"HandlerFunc is nil", "nil Option", "WithMaxRunning(0)",
		"WithObserver(nil)"} {
		assert.ErrorContains(t, err, want)
	}
}

// The memory that is too small for what comes says so, and not for each event.
func TestForgottenEventsAreTold(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		var problems []events.Problem
		h := newHandler(t, plainMode(), nil, &problems,
			events.WithDeduper(events.NewMemoryDeduper(0)))
		now := time.Now().Unix()
		deliver := func(from, to int) {
			for i := from; i < to; i++ {
				require.Equal(t, 200, wechat().clear(scanPushAt(now, fmt.Sprint(i))).to(h).Code)
			}
		}
		deliver(0, 1025)
		assert.Empty(t, problems, "nothing is forgotten yet")
		deliver(1025, 1026)
		require.Len(t, problems, 1)
		deliver(1026, 10*1024)
		require.Len(t, problems, 1)
		require.ErrorIs(t, problems[0].Err, events.ErrForgotten)
		assert.Zero(t, problems[0].Status)
		assert.NotEmpty(t, problems[0].Hint)
		assert.NotEmpty(t, problems[0].HintZH)
		time.Sleep(time.Minute)
		deliver(10*1024, 12*1024)
		assert.Len(t, problems, 2, "once a minute")

		time.Sleep(16 * time.Minute) // no push of then can be fresh
		now = time.Now().Unix()
		deliver(0, 1024)
		assert.Len(t, problems, 2)
	})
}

// A shared store remembers what this process forgets.
func TestForgottenEventsOfSharedDeduper(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := &sleeper{start: time.Now()}
		var problems []events.Problem
		h := newHandler(t, plainMode(), s.fn, &problems,
			events.WithDeduper(&flaky{Deduper: events.NewMemoryDeduper(1 << 20)}))
		p := wechat().clear(scanPush("shop-7"))
		for range 3 {
			assert.Equal(t, "success", p.to(h).Body.String())
		}
		assert.Equal(t, 1, s.runs())
		assert.Empty(t, problems)
	})
}
