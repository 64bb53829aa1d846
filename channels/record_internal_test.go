package channels

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/events"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// recording is a ledger behind the handler of a fake WeChat's callback.
type recording struct {
	*Ledger
	wx      *wechatqrtest.Server
	code    *Code
	handler *events.Handler

	mu     sync.Mutex
	visits []Visit // what the function beneath was told
}

// newRecording counts at the real time. The handler remembers no event, as one that was
// restarted.
func newRecording(t *testing.T, d Dialect) *recording {
	t.Helper()
	wx := wechatqrtest.Start(t, wechatqrtest.WithRetryDelay(0))
	return newRecordingOn(t, d, newDB(t, d), wx)
}

func newRecordingOn(
	t *testing.T, d Dialect, db *sql.DB, wx *wechatqrtest.Server, opts ...events.Option,
) *recording {
	t.Helper()
	r := &recording{wx: wx}
	var err error
	r.Ledger, err = Open(t.Context(), db, d, testConfig)
	require.NoError(t, err)
	r.code, err = r.Ensure(t.Context(), r.wx.Client(), Channel{Key: "sh-7"})
	require.NoError(t, err)

	next := func(ctx context.Context, _ *wechatqr.Event) (events.Reply, error) {
		visit, ok := VisitFrom(ctx)
		assert.True(t, ok)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.visits = append(r.visits, visit)
		return nil, nil
	}
	config := r.wx.CallbackConfig()
	opts = append(opts, events.WithDeduper(nil))
	r.handler, err = events.NewHandler(config, r.Record(next), opts...)
	require.NoError(t, err)
	r.wx.ServeCallback(r.handler)
	return r
}

// total is the account's numbers of yesterday until tomorrow.
func (r *recording) total(t *testing.T) Counts {
	t.Helper()
	today := time.Now().Truncate(24 * time.Hour)
	report, err := r.Report(t.Context(),
		Query{From: today.AddDate(0, 0, -1), To: today.AddDate(0, 0, 2)})
	require.NoError(t, err)
	return report.Total
}

// The function beneath Record is told what each push amounts to.
func TestVisits(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d Dialect) {
		r, ctx := newRecording(t, d), t.Context()
		scanCode := func(who string) {
			_, err := r.wx.Scan(ctx, r.code.Ticket.Value, who)
			require.NoError(t, err)
		}
		scanCode("ann") // and follows
		scanCode("ann")
		_, err := r.wx.Unfollow(ctx, "ann")
		require.NoError(t, err)
		scanCode("ann") // and follows again
		_, err = r.wx.Follow(ctx, "bob")
		require.NoError(t, err)
		r.wx.PutUser(wechatqrtest.User{OpenID: "cay", Follows: true})
		scanCode("cay") // whose follow the ledger has not been told

		shop := r.code.Channel
		assert.Equal(t, []Visit{
			{shop, NewFollower}, {shop, Follower}, {Channel{}, Unfollower},
			{shop, ReturningFollower},
			{Channel{}, NewFollower}, {shop, Stranger},
		}, r.visits)
		assert.Equal(t, Counts{
			Scans: 4, Scanners: 2, FollowerScans: 1, New: 2, Returning: 1, Lost: 1, HeldEnd: 2,
		}, r.total(t))
	})
}

// A scan by somebody unknown that is older than the repair window counts as a scan only.
func TestLateVisit(t *testing.T) {
	t.Parallel()
	r := newRecording(t, SQLite)
	key := "qrscene_" + r.code.Ticket.Scene.Key()
	for want, age := range map[VisitKind]time.Duration{
		NewFollower: repairSeconds*time.Second - time.Minute,
		Late:        repairSeconds*time.Second + time.Minute,
	} {
		ev := newPush(string(want), time.Now().Add(-age), wechatqr.EventSubscribe, "")
		ev.EventKey = key
		visit, err := r.RecordEvent(t.Context(), ev)
		require.NoError(t, err)
		assert.Equal(t, Visit{r.code.Channel, want}, visit)
	}
	assert.Equal(t, Counts{Scans: 2, Scanners: 2, New: 1, HeldEnd: 1}, r.total(t))
}

func TestRecordPassesOtherEventsOn(t *testing.T) {
	t.Parallel()
	r := newRecording(t, SQLite)
	called := false
	next := func(ctx context.Context, _ *wechatqr.Event) (events.Reply, error) {
		_, recorded := VisitFrom(ctx)
		called = !recorded
		return events.Text("hello"), nil
	}
	text := &wechatqr.Event{MsgType: "text", FromUserName: "ann", CreateTime: time.Now()}
	reply, err := r.Record(next)(t.Context(), text)
	require.NoError(t, err)
	assert.Equal(t, events.Text("hello"), reply)
	assert.True(t, called)
	assert.Zero(t, r.total(t))
}

// A push during a failure of the database is delivered again, and counts once; the
// function beneath runs when it is recorded.
func TestPushCountsAfterTheDatabaseFailed(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d Dialect) {
		r, ctx := newRecording(t, d), t.Context()
		rename := func(from, to string) {
			_, err := r.db.ExecContext(ctx, "ALTER TABLE "+from+" RENAME TO "+to)
			assert.NoError(t, err)
		}
		rename("channels_follows", "away")
		var delivered atomic.Int32
		r.wx.ServeCallback(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if req.Method == http.MethodPost && delivered.Add(1) == 3 {
				assert.Empty(t, r.visits)
				rename("away", "channels_follows")
			}
			r.handler.ServeHTTP(w, req)
		}))

		pushed, err := r.wx.Scan(ctx, r.code.Ticket.Value, "ann")
		require.NoError(t, err)
		assert.Len(t, pushed.Attempts, 3)
		want := Counts{Scans: 1, Scanners: 1, New: 1, HeldEnd: 1}
		assert.Equal(t, want, r.total(t))
		assert.Equal(t, []Visit{{r.code.Channel, NewFollower}}, r.visits)

		_, err = r.wx.Push(ctx, pushed.Event)
		require.NoError(t, err)
		assert.Equal(t, want, r.total(t), "delivered again though it was answered")
	})
}

// Who has given an archive to RecordEvent, which takes it for late pushes, may give it to
// Backfill then: its events are counted once, and as follows.
func TestBackfillAfterTheArchiveCameLate(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d Dialect) {
		l, c := newLedger(t, d, testConfig)
		require.NoError(t, l.Adopt(t.Context(), wechatqr.SceneString("s7"), Channel{Key: "sh-7"}))
		c.Time = monday.AddDate(0, 0, 10)
		archive := []*wechatqr.Event{
			newPush("ann", monday, wechatqr.EventSubscribe, "s7"),
			newPush("ann", monday.Add(time.Hour), wechatqr.EventScan, "s7"),
			newPush("ann", monday.Add(2*time.Hour), wechatqr.EventUnsubscribe, ""),
		}
		for _, ev := range archive {
			visit, err := l.RecordEvent(t.Context(), ev)
			require.NoError(t, err)
			assert.Equal(t, Late, visit.Kind)
		}
		q := Query{From: monday, To: monday.AddDate(0, 0, 1)}
		for range 2 {
			var kinds []VisitKind
			for _, ev := range archive {
				visit, err := l.Backfill(t.Context(), ev)
				require.NoError(t, err)
				kinds = append(kinds, visit.Kind)
			}
			assert.Equal(t, []VisitKind{NewFollower, Follower, Unfollower}, kinds)
			report, err := l.Report(t.Context(), q)
			require.NoError(t, err)
			assert.Equal(t, Counts{
				Scans: 2, Scanners: 1, FollowerScans: 1, New: 1, Lost: 1, QuickLost: 1, QuickOf: 1,
			}, report.Total)
		}
	})
}

// An archive that is taken over in any order makes the numbers that its pushes would have
// made when they came, however long people are remembered.
func TestBackfillMakesWhatThePushesWouldHave(t *testing.T) {
	t.Parallel()
	for _, keep := range []time.Duration{0, 36 * time.Hour, 30 * 24 * time.Hour} {
		t.Run(keep.String(), func(t *testing.T) {
			t.Parallel()
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			random := rand.New(rand.NewPCG(seed, 0))
			config := testConfig
			config.KeepAfterUnfollow = keep
			live, liveClock := newLedger(t, SQLite, config)
			late, lateClock := newLedger(t, SQLite, config)
			scenes := []string{"", "s1", "s2"}
			for _, l := range []*Ledger{live, late} {
				for _, scene := range scenes[1:] {
					adopted := wechatqr.SceneString(scene)
					require.NoError(t, l.Adopt(t.Context(), adopted, Channel{Key: scene}))
				}
			}
			types := []wechatqr.EventType{
				wechatqr.EventSubscribe, wechatqr.EventUnsubscribe, wechatqr.EventScan,
			}
			var archive []*wechatqr.Event
			for range 400 {
				liveClock.Time = liveClock.Add(time.Duration(random.IntN(3600)) * time.Second)
				what, scene := types[random.IntN(3)], scenes[random.IntN(3)]
				switch what {
				case wechatqr.EventUnsubscribe:
					scene = ""
				case wechatqr.EventScan:
					scene = "s1"
				}
				who := fmt.Sprint("person", random.IntN(8))
				archive = append(archive, newPush(who, liveClock.Time, what, scene))
				recordPush(t, live, who, liveClock.Time, what, scene)
			}

			lateClock.Time = liveClock.AddDate(0, 0, 60)
			random.Shuffle(len(archive), func(i, j int) {
				archive[i], archive[j] = archive[j], archive[i]
			})
			for _, ev := range archive {
				_, err := late.Backfill(t.Context(), ev)
				require.NoError(t, err)
			}
			liveClock.Time = lateClock.Time
			q := Query{From: monday, To: monday.AddDate(0, 0, 30), By: ByHour | ByChannel}
			want, err := live.Report(t.Context(), q)
			require.NoError(t, err)
			got, err := late.Report(t.Context(), q)
			require.NoError(t, err)
			assert.Equal(t, want.Rows, got.Rows)
			assert.Equal(t, want.Total, got.Total)
		})
	}
}
