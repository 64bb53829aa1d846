package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/events"
	"github.com/wechatqr/wechatqr/redisstore"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// fleet is three servers of one account, each with a Redis client of its own,
// that handle pushes and call the API all the time. A push comes 100 times a
// second. It is delivered to two servers: at once, or to the second after the
// first has answered.
type fleet struct {
	t        *testing.T
	handlers []*events.Handler
	stores   []*redisstore.Store
	wx       *wechat

	stop context.CancelFunc
	wg   sync.WaitGroup

	mu          sync.Mutex
	pushed      []wechatqr.Event
	answered    int
	runs        map[string]int      // of the function, by the event's id
	unreachable map[string]struct{} // ids of which a server could not ask Redis
	unsent      int                 // operations that failed in time without a command for Redis
	failed      []string            // pushes that no delivery had answered, and calls of the API
	calls       int                 // of the API
}

const (
	fleetServers = 3
	pushInterval = 10 * time.Millisecond
	deliveries   = 3 // of a push that is not answered by success
)

func startFleet(t *testing.T, dial func(t *testing.T) redis.UniversalClient) *fleet {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	f := &fleet{
		t: t, wx: startWeChat(t, 3*time.Second, 50*time.Millisecond), stop: cancel,
		runs: map[string]int{}, unreachable: map[string]struct{}{},
	}
	t.Cleanup(f.end)
	for i := range fleetServers {
		rdb := dial(t)
		rdb.AddHook(hook(noteSent))
		store := newStore(t, rdb)
		h, err := events.NewHandler(pushConfig, f.handle, events.WithDeduper(watched{store, f}))
		require.NoError(t, err)
		f.handlers, f.stores = append(f.handlers, h), append(f.stores, store)
		c, err := newClient(store, f.wx.URL, true, wechatqr.WithUserAgent(fmt.Sprint(i)))
		require.NoError(t, err)
		f.wg.Go(func() { f.call(ctx, c) })
	}
	f.wg.Go(func() { f.push(ctx) })
	return f
}

// end ends the load, and waits for what is under way.
func (f *fleet) end() {
	f.stop()
	f.wg.Wait()
}

// watched notes the events of which a server could not ask Redis. A response
// that was lost is no such event: the server is to ask again.
type watched struct {
	events.Deduper
	f *fleet
}

func (w watched) Claim(
	ctx context.Context, id, owner string, lease time.Duration,
) (events.Claim, error) {
	var sent atomic.Bool
	got, err := w.Deduper.Claim(context.WithValue(ctx, sentKey{}, &sent), id, owner, lease)
	w.note(ctx, id, err, sent.Load())
	return got, err
}

func (w watched) Commit(ctx context.Context, id string, ttl time.Duration) error {
	var sent atomic.Bool
	err := w.Deduper.Commit(context.WithValue(ctx, sentKey{}, &sent), id, ttl)
	w.note(ctx, id, err, sent.Load())
	return err
}

func (w watched) note(ctx context.Context, id string, err error, sent bool) {
	if err == nil || errors.Is(err, errLost) {
		return
	}
	w.f.mu.Lock()
	defer w.f.mu.Unlock()
	w.f.unreachable[id] = struct{}{}
	if !sent && ctx.Err() == nil { // on a starved machine the time may end before the client begins
		w.f.unsent++
	}
}

// sentKey is of a *atomic.Bool that tells whether the client got a command.
type sentKey struct{}

func noteSent(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook) error {
	if sent, ok := ctx.Value(sentKey{}).(*atomic.Bool); ok {
		sent.Store(true)
	}
	return next(ctx, cmd)
}

func (f *fleet) handle(_ context.Context, ev *wechatqr.Event) (events.Reply, error) {
	f.mu.Lock()
	f.runs[ev.ID()]++
	f.mu.Unlock()
	time.Sleep(5 * time.Millisecond)
	return nil, nil
}

func (f *fleet) call(ctx context.Context, c *wechatqr.Client) {
	for ctx.Err() == nil {
		err := callAPI(context.WithoutCancel(ctx), c)
		f.mu.Lock()
		f.calls++
		if err != nil && !tooSlow(err) {
			f.failed = append(f.failed, err.Error())
		}
		f.mu.Unlock()
		time.Sleep(20 * time.Millisecond)
	}
}

// tooSlow reports whether a starved machine took longer to fetch a token than the
// token lives.
func tooSlow(err error) bool { return strings.Contains(err.Error(), "the response was slow") }

func (f *fleet) push(ctx context.Context) {
	tick := time.NewTicker(pushInterval)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		ev := wechatqr.Event{
			ToUserName: "gh_1", FromUserName: fmt.Sprint("o", i), CreateTime: time.Now(),
			MsgType: "event", Type: wechatqr.EventScan, EventKey: "shop-7", Ticket: "gQH",
		}
		f.mu.Lock()
		f.pushed = append(f.pushed, ev)
		f.mu.Unlock()
		f.wg.Go(func() {
			var both sync.WaitGroup
			both.Go(func() { f.deliver(ev, i) })
			if i%2 == 0 {
				both.Wait()
			}
			both.Go(func() { f.deliver(ev, i+1) })
			both.Wait()
			f.mu.Lock()
			f.answered++
			f.mu.Unlock()
		})
	}
}

// deliver delivers a push as WeChat does: to a server, then to others until one
// answers with success.
func (f *fleet) deliver(ev wechatqr.Event, server int) {
	var status int
	for i := range deliveries {
		w := httptest.NewRecorder()
		f.handlers[(server+i)%fleetServers].ServeHTTP(w, wechatqrtest.NewRequest(pushConfig, ev))
		if status = w.Code; status == http.StatusOK {
			return
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failed = append(f.failed, fmt.Sprintf("the push of %s: HTTP %d", ev.FromUserName, status))
}

// goOn waits until n more pushes are answered.
func (f *fleet) goOn(n int) {
	f.t.Helper()
	answered := func() int {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.answered
	}
	want := answered() + n
	waitFor(f.t, "pushes are answered", func() bool { return answered() >= want })
}

// reached waits until each server can write a key that the fault has hit.
func (f *fleet) reached(hit func(eventKey string) bool) {
	f.t.Helper()
	id := "test"
	for !hit(keyOfEvent(id)) {
		id += "+"
	}
	waitFor(f.t, "each server can use Redis again", func() bool {
		for _, s := range f.stores {
			ctx, cancel := context.WithTimeout(f.t.Context(), time.Second)
			err := s.Commit(ctx, id, time.Minute)
			cancel()
			if err != nil {
				return false
			}
		}
		return true
	})
}

// check ends the load and delivers each push once more to each server, as who
// replays it would. No push and no call may have failed. Each event ran, and
// more than once only where Redis could not be asked of it, or lost the keys that
// the fault has hit. No operation failed without a command for Redis.
func (f *fleet) check(hit func(eventKey string) bool, lost bool) {
	t := f.t
	t.Helper()
	f.end()
	doubles := f.doubles()
	slots := make(chan struct{}, 16)
	for i, ev := range f.pushed {
		for server := range fleetServers {
			slots <- struct{}{}
			f.wg.Go(func() { f.deliver(ev, i+server); <-slots })
		}
	}
	f.wg.Wait()

	spared := 0 // of the events of which Redis could not be asked
	for id := range f.unreachable {
		if !hit(keyOfEvent(id)) {
			spared++
		}
	}
	t.Logf("%d pushes, %d a second, each delivered twice to %d servers: "+
		"%d ran more than once, and %d after a replay of all; "+
		"of %d a server could not ask Redis, %d of them on a node that was well; %d API calls, %d tokens",
		len(f.pushed), time.Second/pushInterval, fleetServers,
		doubles, f.doubles(), len(f.unreachable), spared, f.calls, f.wx.count())
	assert.Zero(t, f.unsent, "operations that failed without having asked Redis")
	assert.Empty(t, f.failed)
	assert.Len(t, f.runs, len(f.pushed), "events that ran")
	for id, n := range f.runs {
		if _, ok := f.unreachable[id]; n > 1 && !ok {
			assert.True(t, lost && hit(keyOfEvent(id)),
				"%s ran %d times: its key was reachable and not lost",
				id, n)
		}
	}
}

func (f *fleet) doubles() (n int) {
	for _, runs := range f.runs {
		if runs > 1 {
			n++
		}
	}
	return n
}
