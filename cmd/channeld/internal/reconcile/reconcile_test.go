package reconcile

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/channels"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/store"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

var shanghai = time.FixedZone("Asia/Shanghai", 8*3600)

// at is a time of 25 November 2026 in Shanghai, or of a later day.
func at(day, hour, minute int) time.Time {
	return time.Date(2026, 11, 25+day, hour, minute, 0, 0, shanghai)
}

func TestNext(t *testing.T) {
	t.Parallel()
	run := func(began time.Time, text string) store.Reconcile {
		return store.Reconcile{Began: began, Ended: began.Add(time.Minute), Problem: text}
	}
	good := func(began time.Time) store.Reconcile { return run(began, "") }
	bad := func(began time.Time) store.Reconcile { return run(began, Broken) }
	killed := store.Reconcile{Began: at(0, 8, 1)}
	for name, tt := range map[string]struct {
		now  time.Time
		last []store.Reconcile // the newest first
		want time.Time
	}{
		"never, by day":         {at(0, 12, 0), nil, at(0, 8, 0)},
		"never, by night":       {at(0, 7, 59), nil, at(-1, 8, 0)},
		"today's":               {at(0, 12, 0), []store.Reconcile{good(at(0, 8, 1))}, at(1, 8, 0)},
		"yesterday's":           {at(0, 7, 59), []store.Reconcile{good(at(-1, 8, 0))}, at(0, 8, 0)},
		"yesterday's, at eight": {at(0, 8, 0), []store.Reconcile{good(at(-1, 8, 0))}, at(0, 8, 0)},
		"by hand before eight":  {at(0, 9, 0), []store.Reconcile{good(at(0, 7, 50))}, at(0, 8, 0)},
		"it broke":              {at(0, 8, 5), []store.Reconcile{bad(at(0, 8, 1))}, at(0, 9, 1)},
		"its process ended":     {at(0, 8, 5), []store.Reconcile{killed}, at(0, 9, 1)},
		"it broke twice": {
			at(0, 9, 30), []store.Reconcile{bad(at(0, 9, 1)), bad(at(0, 8, 1))}, at(0, 10, 1),
		},
		"it broke yesterday": {at(0, 8, 0), []store.Reconcile{bad(at(0, 7, 59))}, at(0, 8, 0)},
		"by hand, in vain, after the daily one": {
			at(0, 12, 0), []store.Reconcile{bad(at(0, 11, 0)), good(at(0, 8, 1))}, at(1, 8, 0),
		},
		"it has been off for days": {
			at(5, 9, 0), []store.Reconcile{good(at(0, 8, 0))}, at(5, 8, 0),
		},
	} {
		w := Worker{Location: shanghai}
		got := w.next(tt.last, tt.now.UTC())
		assert.True(t, got.Equal(tt.want), "%s: %v", name, got)
	}
}

// testWorker is a worker on a fake WeChat, on a clock that only Sleep moves.
type testWorker struct {
	*Worker
	t   *testing.T
	wx  *wechatqrtest.Server
	log bytes.Buffer
}

func testAt(t *testing.T, now time.Time, f func(*testWorker)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(now))
		s, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "desk.db"))
		require.NoError(t, err)
		defer s.Close()
		wx := wechatqrtest.Start(t, wechatqrtest.WithoutNetwork())
		f(newWorker(t, wx, s))
	})
}

// newWorker is that of another process on the same database.
func newWorker(t *testing.T, wx *wechatqrtest.Server, s *store.Store) *testWorker {
	t.Helper()
	ledger, err := channels.Open(t.Context(), s.DB(), s.Dialect(), channels.Config{
		AppID: wx.Credentials().AppID, PersonKey: []byte("0123456789abcdef"), Location: shanghai,
	})
	require.NoError(t, err)
	w := &testWorker{t: t, wx: wx}
	w.Worker = &Worker{
		Store: s, Ledger: ledger, Client: wx.Client(wechatqr.WithMaxRetries(0)),
		Logger: slog.New(slog.NewTextHandler(&w.log, nil)), Location: shanghai,
		Asked: make(chan *Run, 1),
	}
	return w
}

// run has the worker run until the function that it returns is called.
func (w *testWorker) run() (stop func()) {
	ctx, cancel := context.WithCancel(w.t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.Run(ctx)
	}()
	return func() {
		cancel()
		<-ended
	}
}

func (w *testWorker) state() State {
	w.t.Helper()
	s, err := w.State(w.t.Context())
	require.NoError(w.t, err)
	return s
}

func (w *testWorker) follower(name string) {
	w.wx.PutUser(wechatqrtest.User{
		OpenID: "o-" + name, Follows: true, FollowedAt: time.Now().Add(-time.Hour),
	})
}

// It runs at once where it never did, and at eight every day; what it found is there after
// a restart.
func TestEveryDay(t *testing.T) {
	testAt(t, at(0, 12, 0), func(w *testWorker) {
		w.follower("ann")
		stop := w.run()
		time.Sleep(time.Second)
		s := w.state()
		require.NotNil(w.t, s.Last)
		assert.Equal(w.t, 1, s.Last.Listed)
		assert.True(w.t, s.Next.Equal(at(1, 8, 0)))

		time.Sleep(time.Until(at(1, 7, 58)))
		w.follower("bob")
		assert.Len(w.t, w.state().Runs, 1)
		time.Sleep(4 * time.Minute)
		s = w.state()
		require.Len(w.t, s.Runs, 2)
		assert.Equal(w.t, 2, s.Last.Listed)
		assert.Equal(w.t, 1, s.Last.Found)
		stop()

		again := newWorker(w.t, w.wx, w.Store)
		stop = again.run()
		time.Sleep(time.Hour)
		stop()
		s = again.state()
		assert.Len(w.t, s.Runs, 2, "it is not due")
		assert.Equal(w.t, 1, s.Last.Found)
		assert.Empty(w.t, w.log.String())
	})
}

// Of several processes one runs it.
func TestOneProcess(t *testing.T) {
	testAt(t, at(0, 12, 0), func(w *testWorker) {
		w.follower("ann")
		other := newWorker(w.t, w.wx, w.Store)
		stop, stopOther := w.run(), other.run()
		time.Sleep(time.Until(at(1, 8, 5)))
		stop()
		stopOther()
		assert.Len(w.t, w.state().Runs, 2)
	})
}

// A run that breaks is tried again every hour, and keeps what is known.
func TestItIsTriedAgain(t *testing.T) {
	testAt(t, at(0, 7, 30), func(w *testWorker) {
		w.follower("ann")
		stop := w.run()
		time.Sleep(time.Second)
		before := w.state().Last
		w.wx.Inject(wechatqrtest.Fault{Path: "/cgi-bin/user/get", Code: 48001, Times: 2})
		time.Sleep(time.Until(at(0, 8, 30)))
		s := w.state()
		require.NotNil(w.t, s.Failed)
		assert.Equal(w.t, "48001", s.Failed.Problem)
		assert.Equal(w.t, before, s.Last)
		assert.Regexp(w.t, `^09:0[01]$`, s.Next.Format("15:04"), "in the account's zone")
		time.Sleep(time.Until(at(0, 11, 0)))
		s = w.state()
		assert.Nil(w.t, s.Failed, "the third succeeds")
		assert.Len(w.t, s.Runs, 4)
		stop()
		assert.Contains(w.t, w.log.String(), "48001")
		assert.NotContains(w.t, w.log.String(), "o-ann")
	})
}

func TestNoFollowerYet(t *testing.T) {
	testAt(t, at(0, 12, 0), func(w *testWorker) {
		stop := w.run()
		time.Sleep(time.Second)
		assert.Equal(w.t, Empty, w.state().Failed.Problem)
		w.follower("ann")
		time.Sleep(2 * time.Hour)
		assert.Equal(w.t, 1, w.state().Last.Listed)
		stop()
		assert.Empty(w.t, w.log.String(), "that is nobody's fault")
	})
}

// Who asks for it need not wait for eight, and asks in vain while one goes on.
func TestStart(t *testing.T) {
	testAt(t, at(0, 12, 0), func(w *testWorker) {
		w.follower("ann")
		ctx := w.t.Context()
		require.NoError(w.t, w.Start(ctx))
		assert.NotNil(w.t, w.state().Running, "at once")
		other := newWorker(w.t, w.wx, w.Store)
		require.NoError(w.t, other.Start(ctx))
		stop, stopOther := w.run(), other.run()
		time.Sleep(2 * time.Minute)
		s := w.state()
		assert.Nil(w.t, s.Running)
		assert.Len(w.t, s.Runs, 1)
		require.NoError(w.t, other.Start(ctx))
		time.Sleep(time.Second)
		assert.Len(w.t, w.state().Runs, 2)
		stop()
		stopOther()
	})
}

// A run whose process ends does not stand for one that goes on, and is tried again.
func TestAProcessThatEnds(t *testing.T) {
	testAt(t, at(0, 12, 0), func(w *testWorker) {
		w.follower("ann")
		require.NoError(w.t, w.Start(w.t.Context())) // and is killed
		time.Sleep(leaseLife)
		s := w.state()
		assert.Nil(w.t, s.Running)
		require.NotNil(w.t, s.Failed)
		assert.Equal(w.t, Killed, s.Failed.Problem)
		again := newWorker(w.t, w.wx, w.Store)
		stop := again.run()
		time.Sleep(time.Until(at(0, 13, 2)))
		assert.NotNil(w.t, w.state().Last)
		stop()

		w.wx.Inject(wechatqrtest.Fault{Path: "/cgi-bin/user/get", Delay: time.Minute})
		stop = again.run()
		require.NoError(w.t, again.Start(w.t.Context()))
		time.Sleep(time.Second)
		stop() // as at SIGTERM
		assert.Equal(w.t, Killed, w.state().Failed.Problem)
		leased, err := w.Store.IsLeased(w.t.Context(), task)
		require.NoError(w.t, err)
		assert.False(w.t, leased)
	})
}

// A run that takes longer than the lease goes on alone.
func TestALongRun(t *testing.T) {
	testAt(t, at(0, 12, 0), func(w *testWorker) {
		const followers = 3000 // which are 30 calls
		for n := range followers {
			w.follower(fmt.Sprint(n))
		}
		w.wx.Inject(wechatqrtest.Fault{Path: "/cgi-bin/user/info/batchget", Delay: 6 * time.Second})
		stop := w.run()
		defer stop()
		time.Sleep(leaseLife + 50*time.Second)
		assert.NotNil(w.t, w.state().Running)
		require.NoError(w.t, newWorker(w.t, w.wx, w.Store).Start(w.t.Context()))
		time.Sleep(time.Minute)
		s := w.state()
		assert.Nil(w.t, s.Running)
		require.Len(w.t, s.Runs, 1)
		assert.Equal(w.t, followers, s.Last.Listed)
	})
}
