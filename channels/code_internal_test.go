package channels

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

func TestEnsureMakesACodeOnce(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d Dialect) {
		l, _ := newLedger(t, d, testConfig)
		wx := wechatqrtest.Start(t)
		client := wx.Client()
		shop := Channel{Key: "sh-7", Name: "上海七店", Group: "华东/门店"}
		code, err := l.Ensure(t.Context(), client, shop)
		require.NoError(t, err)
		assert.Regexp(t, `^c\.[a-z2-7]{8}$`, code.Ticket.Scene.Key())
		assert.NotEmpty(t, code.Ticket.Content)

		shop.Name = "七店"
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				again, err := l.Ensure(t.Context(), client, shop)
				if assert.NoError(t, err) {
					assert.Equal(t, code.Ticket, again.Ticket)
				}
			})
		}
		wg.Wait()
		assert.Len(t, wx.QRCodes(), 1)
		all, err := l.Channels(t.Context())
		require.NoError(t, err)
		assert.Equal(t, []Channel{shop}, all)

		v, err := l.RecordEvent(
			t.Context(), newPush("ann", monday, wechatqr.EventSubscribe, code.Ticket.Scene.Key()),
		)
		require.NoError(t, err)
		assert.Equal(t, Visit{shop, NewFollower}, v)
	})
}

// A creation whose response is lost is asked for again with the same scene.
func TestEnsureRepeatsTheSceneAfterAFailure(t *testing.T) {
	t.Parallel()
	l, _ := newLedger(t, SQLite, testConfig)
	wx := wechatqrtest.Start(t)
	wx.Inject(wechatqrtest.Fault{Path: "/cgi-bin/qrcode/create", Code: 45009})
	_, err := l.Ensure(t.Context(), wx.Client(), Channel{Key: "a"})
	require.ErrorIs(t, err, wechatqr.ErrQuota)
	wx.ClearFaults()
	b, err := l.Budget(t.Context())
	require.NoError(t, err)
	assert.Equal(t, Budget{Pending: 1}, b)

	var intended string
	t2 := &tx{&l.dialect, l.db}
	require.NoError(t, t2.row(t.Context(), []any{&intended}, "SELECT content FROM channels_codes"))
	code, err := l.Ensure(t.Context(), wx.Client(), Channel{Key: "a"})
	require.NoError(t, err)
	assert.Equal(t, intended, code.Ticket.Scene.Key())
	b, err = l.Budget(t.Context())
	require.NoError(t, err)
	assert.Equal(t, Budget{Made: 1}, b)
}

func TestEnsureAll(t *testing.T) {
	t.Parallel()
	l, _ := newLedger(t, SQLite, testConfig)
	wx := wechatqrtest.Start(t)
	client := wx.Client()
	var shops []Channel
	for i := range 20 {
		shops = append(shops, Channel{Key: fmt.Sprint("shop", i)})
	}
	shops[3].Key = ""

	run := func(stopAt int) (made, refused int) {
		for code, err := range l.EnsureAll(t.Context(), client, slices.Values(shops)) {
			if err != nil {
				refused++
				continue
			}
			made++
			if stopAt == made {
				wx.Inject(wechatqrtest.Fault{Path: "/cgi-bin/qrcode/create", Code: 45029})
			}
			assert.NotEmpty(t, code.Ticket.Value)
		}
		return made, refused
	}
	made, failures := run(10)
	assert.Equal(t, []int{10, 2}, []int{made, failures}, "the one without a key, and the limit")
	wx.ClearFaults()
	made, failures = run(0)
	assert.Equal(t, []int{19, 1}, []int{made, failures})
	run(0)
	assert.Len(t, wx.QRCodes(), 19)
}

func TestChannelsAreChecked(t *testing.T) {
	t.Parallel()
	l, _ := newLedger(t, SQLite, testConfig)
	for name, c := range map[string]Channel{
		"no key": {}, "control characters": {Key: "a", Name: "a\nb"}, "no UTF-8": {Key: "\xff"},
		"no part of an address": {Key: ".."},
		"a long key":            {Key: fmt.Sprintf("%065d", 1)},
		"a long group":          {Key: "a", Group: fmt.Sprintf("%0201d", 1)},
		// To MariaDB these are "a" and "g", to the other databases they are not.
		"a key and a space": {Key: "a "}, "a group and a space": {Key: "a", Group: "g "},
	} {
		assert.ErrorIs(t, l.Put(t.Context(), c), wechatqr.ErrInvalidArgument, name)
	}
	ctx, scene := t.Context(), wechatqr.SceneString("x")
	assert.ErrorIs(t, l.Retire(ctx, "none", monday), ErrUnknownChannel)
	assert.ErrorIs(t, l.Reassign(ctx, scene, "none", monday), ErrUnknownChannel)
	_, err := l.Report(ctx, Query{From: monday, To: monday.AddDate(0, 0, 1), Channel: "none"})
	assert.ErrorIs(t, err, ErrUnknownChannel)

	require.NoError(t, l.Adopt(ctx, scene, Channel{Key: "a"}))
	require.NoError(t, l.Adopt(ctx, scene, Channel{Key: "a"}))
	assert.ErrorIs(t, l.Adopt(ctx, scene, Channel{Key: "b"}), ErrSceneInUse)
	assert.ErrorIs(t, l.Reassign(ctx, wechatqr.SceneString("y"), "a", monday), ErrUnknownScene)
	assert.ErrorIs(t, l.Merge(ctx, "a", "a"), wechatqr.ErrInvalidArgument)
}

// A code is made for a channel while that is merged into another one, which gets the code.
func TestEnsureWhileMerged(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d Dialect) {
		l, _ := newLedger(t, d, testConfig)
		wx, ctx := wechatqrtest.Start(t), t.Context()
		require.NoError(t, l.Put(ctx, Channel{Key: "into"}))
		for n := range 30 {
			shop := Channel{Key: fmt.Sprint("shop", n)}
			require.NoError(t, l.Put(ctx, shop))
			var code *Code
			var both sync.WaitGroup
			both.Go(func() {
				var err error
				code, err = l.Ensure(ctx, wx.Client(), shop)
				assert.NoError(t, err)
			})
			both.Go(func() { assert.NoError(t, l.Merge(ctx, shop.Key, "into")) })
			both.Wait()

			push := newPush("ann", monday, wechatqr.EventScan, code.Ticket.Scene.Key())
			v, err := l.RecordEvent(ctx, push)
			require.NoError(t, err)
			require.Equal(t, "into", v.Channel.Key)
		}
	})
}

// Ensure returns a code that is the channel's: not one that was given away, and the one of a
// channel that was merged into it.
func TestEnsureAfterACodeWasGivenAway(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d Dialect) {
		l, c := newLedger(t, d, testConfig)
		wx, ctx := wechatqrtest.Start(t), t.Context()
		ensure := func(key string, codes int) wechatqr.Scene {
			t.Helper()
			code, err := l.Ensure(ctx, wx.Client(), Channel{Key: key})
			require.NoError(t, err)
			assert.Len(t, wx.QRCodes(), codes)
			visit, err := l.RecordEvent(
				ctx, newPush("ann", c.Time, wechatqr.EventScan, code.Ticket.Scene.Key()),
			)
			require.NoError(t, err)
			assert.Equal(t, key, visit.Channel.Key)
			return code.Ticket.Scene
		}
		a, b := ensure("a", 1), ensure("b", 2)
		require.NoError(t, l.Reassign(ctx, a, "b", monday))
		assert.Equal(t, b, ensure("b", 2), "b has its own")
		second := ensure("a", 3)
		assert.NotEqual(t, a, second)

		require.NoError(t, l.Put(ctx, Channel{Key: "c"}))
		require.NoError(t, l.Reassign(ctx, second, "c", monday))
		require.NoError(t, l.Reassign(ctx, second, "b", monday.Add(-time.Hour)))
		assert.Equal(t, second, ensure("c", 3), "c had none, and has it in the end")
		require.NoError(t, l.Put(ctx, Channel{Key: "d"}))
		require.NoError(t, l.Merge(ctx, "c", "d"))
		assert.Equal(t, second, ensure("d", 3))
		require.NoError(t, l.Merge(ctx, "b", "d"))
		assert.Equal(t, second, ensure("d", 3))

		budget, err := l.Budget(ctx)
		require.NoError(t, err)
		assert.Equal(t, Budget{Made: 3}, budget)
		require.NoError(t, l.Reassign(ctx, a, "a", monday))
		assert.Equal(t, a, ensure("a", 3), "it is its own again")
	})
}

// The key of a channel that was merged is one for the channel that has its history.
func TestRetireByTheKeyOfAMergedChannel(t *testing.T) {
	t.Parallel()
	l, _ := newLedger(t, SQLite, testConfig)
	for _, key := range []string{"old", "into"} {
		require.NoError(t, l.Put(t.Context(), Channel{Key: key}))
	}
	require.NoError(t, l.Merge(t.Context(), "old", "into"))
	require.NoError(t, l.Retire(t.Context(), "old", monday))
	into, err := l.Channel(t.Context(), "into")
	require.NoError(t, err)
	assert.True(t, into.Retired.Equal(monday))
}

func TestCodes(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d Dialect) {
		wx, ctx := wechatqrtest.Start(t), t.Context()
		l, c := newLedger(t, d, testConfig)
		made := map[string]*Code{}
		for _, one := range []Channel{
			{Key: "b", Group: "华东/门店"}, {Key: "a"}, {Key: "c", Group: "华东"},
		} {
			code, err := l.Ensure(ctx, wx.Client(), one)
			require.NoError(t, err)
			made[one.Key] = code
		}
		require.NoError(t, l.Adopt(ctx, wechatqr.SceneString("s7"), Channel{Key: "d"}))
		keys := func(q Query) (keys []string) {
			codes, err := l.Codes(ctx, q)
			require.NoError(t, err)
			for _, code := range codes {
				keys = append(keys, code.Channel.Key)
			}
			return keys
		}
		assert.Equal(t, []string{"a", "b", "c"}, keys(Query{}), "the adopted one has no ticket")
		assert.Equal(t, []string{"b", "c"}, keys(Query{Group: "华东"}))
		one, err := l.Codes(ctx, Query{Channel: "b"})
		require.NoError(t, err)
		assert.Equal(t, []Code{*made["b"]}, one)

		scene := made["b"].Ticket.Scene
		require.NoError(t, l.Reassign(ctx, scene, "a", c.Add(time.Hour)))
		assert.Equal(t, []string{"b"}, keys(Query{Channel: "b"}), "not yet")
		c.Time = c.Add(time.Hour)
		assert.Equal(t, []string{"a", "a"}, keys(Query{Channel: "a"}))
		assert.Empty(t, keys(Query{Channel: "b"}))
	})
	l, _ := newLedger(t, SQLite, testConfig)
	_, err := l.Codes(t.Context(), Query{Channel: "none"})
	require.ErrorIs(t, err, ErrUnknownChannel)
	_, err = l.Codes(t.Context(), Query{Channel: "a", Group: "b"})
	require.ErrorIs(t, err, wechatqr.ErrInvalidArgument)
}
