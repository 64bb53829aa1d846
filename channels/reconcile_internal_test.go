package channels

import (
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
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
		assert.Equal(t, Reconciled{Listed: len(follows)}, again)
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
