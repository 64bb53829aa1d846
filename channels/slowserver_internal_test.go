package channels

import (
	"database/sql"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/events"
	"github.com/wechatqr/wechatqr/internal/testdb"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// behindProxy is a recording on a real server behind a proxy.
type behindProxy struct {
	*recording
	*testdb.Proxy
	server *testdb.Server
	direct *sql.DB
}

// onServers runs the test on each database that is a server.
func onServers(t *testing.T, test func(t *testing.T, b *behindProxy)) {
	t.Helper()
	for _, d := range []Dialect{PostgreSQL, MySQL} {
		t.Run(d.String(), func(t *testing.T) {
			t.Parallel()
			b := &behindProxy{server: testdb.PostgreSQL}
			if d.name == "MySQL" {
				b.server = testdb.MariaDB
			}
			b.Proxy = b.server.NewProxy(t)
			b.direct = connect(t, b.server.Driver, b.Direct.DSN)
			db := connect(t, b.server.Driver, b.DSN)
			wx := wechatqrtest.Start(t, wechatqrtest.WithoutNetwork())
			b.recording = newRecordingOn(t, d, db, wx, events.WithoutRetries(),
				events.WithLogger(slog.New(slog.DiscardHandler)))
			test(t, b)
		})
	}
}

// follow is the push of somebody who follows by the code now.
func (b *behindProxy) follow(who string) *wechatqr.Event {
	return newPush(who, time.Now(), wechatqr.EventSubscribe, b.code.Ticket.Scene.Key())
}

// deliver has the push delivered once, and reports whether the response was success. Then
// the follow is in the database, as another connection sees it.
func (b *behindProxy) deliver(t *testing.T, ev *wechatqr.Event) bool {
	t.Helper()
	response := httptest.NewRecorder()
	b.handler.ServeHTTP(response, wechatqrtest.NewRequest(b.wx.CallbackConfig(), *ev))
	if response.Code != http.StatusOK {
		return false
	}
	var follows int
	read := tx{&b.dialect, b.direct}
	query := "SELECT COUNT(*) FROM channels_follows f JOIN channels_people p ON p.id = f.person" +
		" WHERE p.hash = ? AND f.began = ?"
	hash := []byte(b.hash(ev.FromUserName))
	err := read.row(t.Context(), []any{&follows}, query, hash, ev.CreateTime.Unix())
	assert.NoError(t, err)
	return assert.Equal(t, 1, follows, "committed before the response")
}

// deliverAll has the pushes delivered once, all at the same time, and returns how many of
// the responses were success.
func (b *behindProxy) deliverAll(t *testing.T, pushes []*wechatqr.Event) int {
	t.Helper()
	var successes atomic.Int32
	var all sync.WaitGroup
	for _, push := range pushes {
		all.Go(func() {
			if b.deliver(t, push) {
				successes.Add(1)
			}
		})
	}
	all.Wait()
	return int(successes.Load())
}

func (b *behindProxy) followers(n int) (pushes []*wechatqr.Event) {
	for i := range n {
		pushes = append(pushes, b.follow(fmt.Sprint("person", i)))
	}
	return pushes
}

// deliverUntilCounted has each push delivered until the response is success, and once
// more, and then each of them counts once.
func (b *behindProxy) deliverUntilCounted(t *testing.T, pushes []*wechatqr.Event) {
	t.Helper()
	var all sync.WaitGroup
	for _, push := range pushes {
		all.Go(func() {
			for range 20 {
				if b.deliver(t, push) {
					return
				}
			}
			assert.Fail(t, "no delivery was answered with success")
		})
	}
	all.Wait()
	b.Set(testdb.Hooks{})
	assert.Equal(t, len(pushes), b.deliverAll(t, pushes))
	n := int64(len(pushes))
	assert.Equal(t, Counts{Scans: n, Scanners: n, New: n, HeldEnd: n}, b.total(t))
}

// While a server gives no answer each response leaves as a failure. The next delivery counts
// when the server answers again, also by another connection while the first one never gets
// its answer.
func TestStalledServer(t *testing.T) {
	t.Parallel()
	var committed sync.Map // by left, of a connection
	for name, stalled := range map[string]testdb.Hooks{
		"answers to commits": {
			Request: func(message string, left <-chan struct{}) bool {
				if testdb.IsCommit(message) {
					committed.Store(left, true)
				}
				return true
			},
			Answer: func(message string, left <-chan struct{}) bool {
				_, ok := committed.Load(left)
				return !ok || testdb.Silent(message, left)
			},
		},
		"commits": {Request: func(message string, left <-chan struct{}) bool {
			return !testdb.IsCommit(message) || testdb.Silent(message, left)
		}},
		"answers": {Answer: testdb.Silent},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onServers(t, func(t *testing.T, b *behindProxy) {
				b.Set(stalled)
				pushes := b.followers(8)
				assert.Zero(t, b.deliverAll(t, pushes))
				b.Set(testdb.Hooks{})
				b.deliverUntilCounted(t, pushes)
			})
		})
	}
}

// While each commit takes 3 s no response is success before its commit, and each push
// counts once.
func TestServerThatCommitsSlowly(t *testing.T) {
	t.Parallel()
	onServers(t, func(t *testing.T, b *behindProxy) {
		b.Set(testdb.Hooks{Request: func(message string, left <-chan struct{}) bool {
			if !testdb.IsCommit(message) {
				return true
			}
			select {
			case <-time.After(3 * time.Second):
				return true
			case <-left:
				return false
			}
		}})
		b.deliverUntilCounted(t, b.followers(6))
	})
}

// While each answer comes 0.1 s late each push counts, and none of the responses is
// success before.
func TestDelayedServer(t *testing.T) {
	t.Parallel()
	onServers(t, func(t *testing.T, b *behindProxy) {
		b.Set(testdb.NewTrips().Hooks(func(_ int, m testdb.Moment, _ <-chan struct{}) bool {
			if m == testdb.AtAnswer {
				time.Sleep(100 * time.Millisecond)
			}
			return true
		}))
		b.deliverUntilCounted(t, b.followers(6))
	})
}

// Recording takes at most the round trips that docs/databases.md says.
func TestRoundTrips(t *testing.T) {
	t.Parallel()
	onServers(t, func(t *testing.T, b *behindProxy) {
		const most, mostOfNewConnection = 15, 32
		scene, at := b.code.Ticket.Scene.Key(), time.Now().Add(-time.Hour)
		record := func(what wechatqr.EventType, scene string) int {
			at = at.Add(time.Minute)
			counter := testdb.NewTrips()
			b.Set(counter.Hooks(func(int, testdb.Moment, <-chan struct{}) bool { return true }))
			_, err := b.RecordEvent(t.Context(), newPush("ann", at, what, scene))
			require.NoError(t, err)
			return counter.Count()
		}
		b.db = connect(t, b.server.Driver, b.DSN)
		for round := range 3 {
			for _, n := range []int{
				record(wechatqr.EventSubscribe, scene), record(wechatqr.EventScan, scene),
				record(wechatqr.EventUnsubscribe, ""),
			} {
				t.Log(n)
				assert.LessOrEqual(t, n, mostOfNewConnection)
				assert.True(t, round == 0 || n <= most, "%d round trips", n)
			}
		}
	})
}

// The connection is cut before each message that recording sends, and before each answer.
// Whatever the response was, each push counts once.
func TestServerCutOff(t *testing.T) {
	t.Parallel()
	onServers(t, func(t *testing.T, b *behindProxy) {
		require.True(t, b.deliver(t, b.follow("the first")))
		pushes := []*wechatqr.Event{}
		for cutAt := 1; ; cutAt++ {
			var cut atomic.Bool
			for _, at := range []testdb.Moment{testdb.AtRequest, testdb.AtAnswer} {
				push := b.follow(fmt.Sprint("person ", cutAt, at))
				pushes = append(pushes, push)
				cutOff := func(trip int, m testdb.Moment, _ <-chan struct{}) bool {
					if trip != cutAt || m != at {
						return true
					}
					cut.Store(true)
					return false
				}
				b.Set(testdb.NewTrips().Hooks(cutOff))
				b.deliver(t, push)
			}
			if !cut.Load() {
				break
			}
		}
		b.Set(testdb.Hooks{})
		assert.Greater(t, len(pushes), 10)
		assert.Equal(t, len(pushes), b.deliverAll(t, pushes))
		n := int64(len(pushes)) + 1
		assert.Equal(t, Counts{Scans: n, Scanners: n, New: n, HeldEnd: n}, b.total(t))
	})
}
