package channels

import (
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/account"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// listOf is WeChat's whole list of followers.
func listOf(t *testing.T, wx *wechatqrtest.Server) iter.Seq2[account.UserInfo, error] {
	t.Helper()
	client := wx.Client()
	return account.Users(t.Context(), client, account.Followers(t.Context(), client, ""))
}

// One push in twenty is lost. After Reconcile the followers are WeChat's, each in the
// channel of their latest follow.
func TestReconcileMendsWhatWasLost(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d Dialect) {
		wx, ctx := wechatqrtest.Start(t), t.Context()
		l, c := newLedger(t, d, testConfig)
		scenes := []string{"", "s0", "s1", "s2"}
		for _, scene := range scenes[1:] {
			require.NoError(t, l.Adopt(ctx, wechatqr.SceneString(scene), Channel{Key: scene}))
		}
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		random := rand.New(rand.NewPCG(seed, 0))

		follows := map[string]string{} // the scene of each follower
		lost := 0
		for range 400 {
			c.Time = c.Add(time.Duration(random.IntN(300)) * time.Second)
			who, scene := fmt.Sprint("o-", random.IntN(120)), scenes[random.IntN(len(scenes))]
			ev := newPush(who, c.Time, wechatqr.EventSubscribe, scene)
			user := wechatqrtest.User{OpenID: who, Follows: true, FollowedAt: c.Time,
				SceneStr: scene}
			if _, following := follows[who]; following {
				ev = newPush(who, c.Time, wechatqr.EventUnsubscribe, "")
				user = wechatqrtest.User{OpenID: who}
				delete(follows, who)
			} else {
				follows[who] = scene
			}
			wx.PutUser(user)
			if random.IntN(20) == 0 {
				lost++
				continue
			}
			_, err := l.RecordEvent(ctx, ev)
			require.NoError(t, err)
		}
		require.Positive(t, lost)

		c.Time = c.Add(time.Hour)
		first, err := l.Reconcile(ctx, listOf(t, wx))
		require.NoError(t, err)
		assert.Equal(t, len(follows), first.Listed)
		assert.LessOrEqual(t, first.Found+first.Ended, lost)
		want := map[string]int64{}
		for _, scene := range follows {
			want[scene]++
		}
		assert.Equal(t, want, heldByChannel(t, l, c.Time))

		again, err := l.Reconcile(ctx, listOf(t, wx))
		require.NoError(t, err)
		assert.Equal(t, Reconciled{Listed: len(follows), Unknown: first.Unknown}, again)
		assert.Equal(t, want, heldByChannel(t, l, c.Time))
	})
}

// The same when pushes are lost on their way to the handler: the same persons follow
// afterwards, each in their channel.
func TestReconcileAfterDroppedPushes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, _ := slowRecording(t)
		codes := map[string]*Code{"": nil, "sh-7": r.code} // by channel, nil for none
		for _, key := range []string{"sh-8", "sh-9"} {
			var err error
			codes[key], err = r.Ensure(t.Context(), r.wx.Client(), Channel{Key: key})
			require.NoError(t, err)
		}
		require.NoError(t, r.wx.InjectPush(wechatqrtest.PushFault{Drop: true, Share: 0.05}))
		dropped := 0
		for range 400 {
			time.Sleep(time.Duration(rand.IntN(300)) * time.Second)
			for _, code := range codes { // one of them
				if r.act(t, fmt.Sprint("person", rand.IntN(120)), code).Dropped {
					dropped++
				}
				break
			}
		}
		assert.Equal(t, 20, dropped)

		r.wx.ClearFaults()
		time.Sleep(time.Hour)
		_, err := r.Reconcile(t.Context(), listOf(t, r.wx))
		require.NoError(t, err)
		want := map[string]string{} // the scene of each follower, by hash
		for _, user := range r.wx.Users() {
			if user.Follows {
				want[r.hash(user.OpenID)] = user.SceneStr
			}
		}
		got := map[string]string{}
		inDB := &tx{&r.dialect, r.db}
		require.NoError(t, inDB.rows(t.Context(), func(rows *sql.Rows) error {
			var hash []byte
			var channel sql.NullString
			err := rows.Scan(&hash, &channel)
			got[string(hash)] = ""
			if code := codes[channel.String]; code != nil {
				got[string(hash)] = code.Ticket.Scene.Key()
			}
			return err
		}, "SELECT p.hash, c.channel FROM channels_follows f JOIN channels_people p ON p.id = f.person"+
			" LEFT JOIN channels_channels c ON c.id = f.channel WHERE f.ending = 0"))
		assert.Equal(t, want, got)
	})
}

// act has somebody who follows leave, or scan once more, and somebody else follow, by the
// code if there is one.
func (r *recording) act(t *testing.T, who string, code *Code) (push wechatqrtest.Push) {
	t.Helper()
	user, _ := r.wx.User(who)
	var err error
	switch {
	case user.Follows && (code == nil || rand.IntN(2) == 0):
		push, err = r.wx.Unfollow(t.Context(), who)
	case code == nil:
		push, err = r.wx.Follow(t.Context(), who)
	default:
		push, err = r.wx.Scan(t.Context(), code.Ticket.Value, who)
	}
	require.NoError(t, err)
	return push
}

// heldByChannel is the followers of each channel now, "" for no code.
func heldByChannel(t *testing.T, l *Ledger, now time.Time) map[string]int64 {
	t.Helper()
	until := now.Truncate(time.Hour).Add(time.Hour)
	r, err := l.Report(t.Context(), Query{From: monday, To: until, By: ByChannel})
	require.NoError(t, err)
	held := map[string]int64{}
	for i := range r.Rows {
		if row := &r.Rows[i]; row.HeldEnd != 0 {
			held[row.Channel.Key] = row.HeldEnd
		}
	}
	return held
}

// What began before the ledger is imported; what follows an import is not.
func TestReconcileImports(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d Dialect) {
		wx, ctx := wechatqrtest.Start(t), t.Context()
		l, c := newLedger(t, d, testConfig)
		require.NoError(t, l.Adopt(ctx, wechatqr.SceneString("s7"), Channel{Key: "sh-7"}))
		before := monday.Add(-time.Second)
		for who, user := range map[string]wechatqrtest.User{
			"by-a-code":    {FollowedAt: before, SceneStr: "s7"},
			"by-no-code":   {FollowedAt: before, SubscribeScene: "ADD_SCENE_SEARCH"},
			"lost":         {FollowedAt: monday, SceneStr: "s7"},
			"late-by-code": {FollowedAt: monday, SubscribeScene: "ADD_SCENE_QR_CODE"},
			"late-by-none": {FollowedAt: monday, SubscribeScene: "ADD_SCENE_SEARCH"},
		} {
			user.OpenID, user.Follows = who, true
			wx.PutUser(user)
		}
		for _, who := range []string{"late-by-code", "late-by-none"} {
			_, err := l.RecordEvent(ctx, newPush(who, monday, wechatqr.EventSubscribe, ""))
			require.NoError(t, err)
		}
		c.Time = monday.Add(time.Hour)
		result, err := l.Reconcile(ctx, listOf(t, wx))
		require.NoError(t, err)
		assert.Equal(t, Reconciled{Listed: 5, Found: 3}, result)

		c.Time = monday.AddDate(0, 0, 2)
		r, err := l.Report(ctx, Query{From: monday.Add(-time.Hour), To: c.Time, By: ByChannel})
		require.NoError(t, err)
		got := map[string]Counts{}
		for _, row := range r.Rows {
			got[row.Channel.Key+string(row.Origin)] = row.Counts
		}
		assert.Equal(t, map[string]Counts{
			"sh-7":              {Imported: 1, New: 1, HeldEnd: 2, QuickOf: 1},
			string(Imported):    {Imported: 1, HeldEnd: 1},
			string(CodeUnknown): {New: 1, HeldEnd: 1, QuickOf: 1},
			string(NoCode):      {New: 1, HeldEnd: 1, QuickOf: 1},
		}, got)
		first, err := l.Retention(ctx, Query{From: monday.AddDate(0, 0, -1), To: c.Time}, 0)
		require.NoError(t, err)
		assert.EqualValues(t, 3, first.Rows[0].Follows, "those imported are left out")
	})
}

// Who is gone is lost when it is found, and never a quick loss.
func TestReconcileEndsFollows(t *testing.T) {
	t.Parallel()
	wx, ctx := wechatqrtest.Start(t), t.Context()
	l, c := newLedger(t, SQLite, testConfig)
	for _, who := range []string{"gone", "stays"} {
		_, err := l.RecordEvent(ctx, newPush(who, monday, wechatqr.EventSubscribe, ""))
		require.NoError(t, err)
	}
	wx.PutUser(wechatqrtest.User{OpenID: "stays", Follows: true, FollowedAt: monday})
	c.Time = monday.Add(time.Hour)

	broken := errors.New("broken off")
	_, err := l.Reconcile(ctx, func(yield func(account.UserInfo, error) bool) {
		yield(account.UserInfo{}, broken)
	})
	require.ErrorIs(t, err, broken)
	_, err = l.Reconcile(ctx, usersOf())
	require.ErrorIs(t, err, wechatqr.ErrInvalidArgument, "an empty list")
	assert.Equal(t, map[string]int64{"": 2}, heldByChannel(t, l, c.Time))

	result, err := l.Reconcile(ctx, listOf(t, wx))
	require.NoError(t, err)
	assert.Equal(t, Reconciled{Listed: 1, Ended: 1}, result)
	c.Time = monday.AddDate(0, 0, 2)
	r, err := l.Report(ctx, Query{From: monday, To: c.Time})
	require.NoError(t, err)
	assert.Equal(t, Counts{New: 2, Lost: 1, HeldEnd: 1, QuickOf: 2}, r.Total)

	// The push comes after all: the loss moves to its time, and is a quick one.
	left := newPush("gone", monday.Add(time.Minute), wechatqr.EventUnsubscribe, "")
	_, err = l.RecordEvent(ctx, left)
	require.NoError(t, err)
	r, err = l.Report(ctx, Query{From: monday, To: c.Time})
	require.NoError(t, err)
	assert.Equal(t, Counts{New: 2, Lost: 1, HeldEnd: 1, QuickOf: 2, QuickLost: 1}, r.Total)
}

// A list that was not whole ends follows that go on. The next one takes that back: WeChat
// says since when they follow. Who left and came back did not follow in between.
func TestReconcileTakesBackWhatAListLacked(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d Dialect) {
		l, c := newLedger(t, d, testConfig)
		ctx := t.Context()
		require.NoError(t, l.Adopt(ctx, wechatqr.SceneString("s7"), Channel{Key: "sh-7"}))
		users := map[string]account.UserInfo{}
		for _, who := range []string{"stays", "left out", "came back", "imported"} {
			user := account.UserInfo{OpenID: who, Follows: true, FollowedAt: monday, Scene: "s7"}
			if who == "imported" {
				user.FollowedAt = monday.AddDate(0, 0, -1)
			} else {
				recordPush(t, l, who, monday, wechatqr.EventSubscribe, "s7")
			}
			users[who] = user
		}
		all := func() iter.Seq2[account.UserInfo, error] {
			return usersOf(slices.Collect(maps.Values(users))...)
		}
		c.Time = monday.Add(time.Hour)
		require.NoError(t, l.ImportFollowers(ctx, all()))
		q := Query{From: monday.AddDate(0, 0, -2), To: monday.AddDate(0, 0, 3)}
		before, err := l.Report(ctx, q)
		require.NoError(t, err)

		c.Time = monday.Add(2 * time.Hour)
		result, err := l.Reconcile(ctx, usersOf(users["stays"]))
		require.NoError(t, err)
		assert.Equal(t, Reconciled{Listed: 1, Ended: 3}, result)

		c.Time = monday.Add(4 * time.Hour)
		back := users["came back"]
		back.FollowedAt = monday.Add(3 * time.Hour) // their pushes were lost
		users["came back"] = back
		for _, n := range []int{3, 0} {
			result, err = l.Reconcile(ctx, all())
			require.NoError(t, err)
			assert.Equal(t, Reconciled{Listed: 4, Found: n}, result)
			after, err := l.Report(ctx, q)
			require.NoError(t, err)
			want := before.Total
			want.Lost, want.Returning = 1, 1
			assert.Equal(t, want, after.Total)
			assert.Equal(t, map[string]int64{"sh-7": 4}, heldByChannel(t, l, c.Time))
			c.Time = c.Add(time.Hour)
		}
	})
}

// An unsubscribe of somebody who is not known to follow changes no number, and is counted
// by Reconcile: their subscribe was lost, or they followed before the ledger.
func TestReconcileCountsUnknownUnsubscribes(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d Dialect) {
		l, c := newLedger(t, d, testConfig)
		c.Time = monday.Add(time.Hour)
		for _, push := range []struct {
			who  string
			at   int
			what wechatqr.EventType
		}{
			{"stays", 0, wechatqr.EventSubscribe},
			{"leaves", 0, wechatqr.EventSubscribe}, {"leaves", 1, wechatqr.EventUnsubscribe},
			{"leaves", 1, wechatqr.EventUnsubscribe}, // delivered again
			{"leaves", 5, wechatqr.EventUnsubscribe}, // and had come back
			{"unknown", 1, wechatqr.EventUnsubscribe},
			{"at once", 1, wechatqr.EventSubscribe}, {"at once", 1, wechatqr.EventUnsubscribe},
		} {
			at := monday.Add(time.Duration(push.at) * time.Second)
			recordPush(t, l, push.who, at, push.what, "")
		}
		stays := account.UserInfo{OpenID: "stays", Follows: true, FollowedAt: monday}
		result, err := l.Reconcile(t.Context(), usersOf(stays))
		require.NoError(t, err)
		assert.Equal(t, Reconciled{Listed: 1, Unknown: 2}, result)

		q := Query{From: monday, To: monday.Add(2 * time.Hour)}
		report, err := l.Report(t.Context(), q)
		require.NoError(t, err)
		assert.Equal(t, Counts{New: 3, Lost: 2, HeldEnd: 1}, report.Total)
	})
}

// Who was forgotten and still follows is a stranger whom the list tells of, more than 24
// hours later: taken over when Reconcile finds them, so that no report of the time before
// changes. So is everybody else of whom the list tells from before that Forget, since the
// ledger cannot tell them apart. What came later is dated as ever.
func TestReconcileAfterForget(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d Dialect) {
		wx, ctx := wechatqrtest.Start(t), t.Context()
		l, c := newLedger(t, d, testConfig)
		require.NoError(t, l.Adopt(ctx, wechatqr.SceneString("s7"), Channel{Key: "sh-7"}))
		put := func(who string, at time.Time) {
			user := wechatqrtest.User{OpenID: who, Follows: true, FollowedAt: at, SceneStr: "s7"}
			wx.PutUser(user)
		}
		midnight := startOfDay(monday.In(china)).AddDate(0, 0, 1)
		put("lost push", midnight.Add(-time.Hour))
		for _, who := range []string{"forgotten", "stays"} {
			c.Time = monday
			put(who, c.Time)
			recordPush(t, l, who, c.Time, wechatqr.EventSubscribe, "s7")
		}
		c.Time = midnight.Add(-time.Minute)
		require.NoError(t, l.Forget(ctx, "forgotten"))
		past := Query{From: midnight.AddDate(0, 0, -1), To: midnight}

		c.Time = midnight.Add(time.Hour)
		result, err := l.Reconcile(ctx, usersOf(account.UserInfo{
			OpenID: "forgotten", Follows: true, FollowedAt: monday, Scene: "s7",
		}, account.UserInfo{OpenID: "stays", Follows: true, FollowedAt: monday, Scene: "s7"}))
		require.NoError(t, err)
		assert.Equal(t, Reconciled{Listed: 2}, result, "the forgotten are known for 24 hours")

		c.Time = midnight.AddDate(0, 0, 2)
		require.NoError(t, l.DeleteExpired(ctx))
		before := exportAll(t, l, past)
		put("new", midnight.Add(time.Hour))
		for _, n := range []int{3, 0} {
			result, err := l.Reconcile(ctx, listOf(t, wx))
			require.NoError(t, err)
			assert.Equal(t, Reconciled{Listed: 4, Found: n}, result)
			after := exportAll(t, l, past)
			assert.Equal(t, before.report.Rows, after.report.Rows)
			assert.Equal(t, before.retention.Rows, after.retention.Rows)

			days := past
			days.To, days.By, days.Channel = midnight.AddDate(0, 0, 3), ByDay, "sh-7"
			report, err := l.Report(ctx, days)
			require.NoError(t, err)
			counts := func(c Counts) Counts { c.QuickOf = 0; return c }
			assert.Equal(t, []Counts{
				{Scans: 2, Scanners: 2, New: 2, Forgotten: 1, HeldEnd: 1},
				{New: 1, HeldStart: 1, HeldEnd: 2},
				{HeldStart: 2, HeldEnd: 2},
				{Imported: 2, HeldStart: 2, HeldEnd: 4},
			}, []Counts{
				counts(report.Rows[0].Counts), counts(report.Rows[1].Counts),
				counts(report.Rows[2].Counts), counts(report.Rows[3].Counts),
			})
			c.Time = c.Add(time.Hour)
		}

		// They leave, and come back, like everybody else.
		recordPush(t, l, "forgotten", c.Time, wechatqr.EventUnsubscribe, "")
		recordPush(t, l, "forgotten", c.Add(time.Minute), wechatqr.EventSubscribe, "")
		today := Query{From: midnight.AddDate(0, 0, 2), To: midnight.AddDate(0, 0, 3)}
		report, err := l.Report(ctx, today)
		require.NoError(t, err)
		assert.Equal(t, Counts{Imported: 2, Lost: 1, Returning: 1, HeldStart: 2, HeldEnd: 4},
			report.Total)
	})
}
