package channels

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/account"
)

// Each bound belongs to its row, also the second of a quick loss; what Reconcile found and
// what Forget ended are in no row.
func TestLossAges(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d Dialect) {
		l, c := newLedger(t, d, testConfig)
		ctx := t.Context()
		record := func(who string, at time.Time, what wechatqr.EventType) {
			_, err := l.RecordEvent(ctx, newPush(who, at, what, ""))
			require.NoError(t, err)
		}
		for who, age := range map[string]time.Duration{
			"at once": 0, "an hour": time.Hour, "over an hour": time.Hour + time.Second,
			"a day": 24 * time.Hour, "over a day": 24*time.Hour + time.Second,
		} {
			c.Time = monday
			record(who, monday, wechatqr.EventSubscribe)
			c.Time = monday.Add(age)
			record(who, c.Time, wechatqr.EventUnsubscribe)
		}
		c.Time = monday.Add(time.Minute)
		record("stays", c.Time, wechatqr.EventSubscribe)
		record("gone", c.Time, wechatqr.EventSubscribe)
		record("forgotten", c.Time, wechatqr.EventSubscribe)
		require.NoError(t, l.Forget(ctx, "forgotten"))
		c.Time = monday.Add(2 * time.Hour)
		stays := account.UserInfo{OpenID: "stays", Follows: true, FollowedAt: monday}
		result, err := l.Reconcile(ctx, usersOf(stays))
		require.NoError(t, err)
		require.EqualValues(t, 1, result.Ended)

		q := Query{From: monday, To: monday.AddDate(0, 0, 3)}
		ages, err := l.LossAges(ctx, q, time.Hour, 24*time.Hour)
		require.NoError(t, err)
		assert.Equal(t, []LossAge{{time.Hour, 2}, {24 * time.Hour, 2}, {0, 1}}, ages.Rows)
		assert.EqualValues(t, 1, ages.AgeUnknown)
		assert.True(t, ages.Open)
		ages, err = l.LossAges(ctx, q)
		require.NoError(t, err)
		assert.Equal(t, []LossAge{{0, 5}}, ages.Rows)
	})
}

func TestLossAgesRefuse(t *testing.T) {
	t.Parallel()
	l, _ := newLedger(t, SQLite, testConfig)
	good := Query{From: monday, To: monday.Add(time.Hour)}
	for name, tt := range map[string]struct {
		change func(*Query)
		upTo   []time.Duration
	}{
		"by day":         {func(q *Query) { q.By = ByDay }, nil},
		"no period":      {func(q *Query) { q.To = q.From }, nil},
		"zero":           {func(*Query) {}, []time.Duration{0}},
		"part of second": {func(*Query) {}, []time.Duration{time.Millisecond}},
		"twice":          {func(*Query) {}, []time.Duration{time.Hour, time.Hour}},
		"descending":     {func(*Query) {}, []time.Duration{time.Hour, time.Minute}},
	} {
		q := good
		tt.change(&q)
		_, err := l.LossAges(t.Context(), q, tt.upTo...)
		assert.ErrorIs(t, err, wechatqr.ErrInvalidArgument, name)
	}
	good.Channel = "none"
	_, err := l.LossAges(t.Context(), good)
	assert.ErrorIs(t, err, ErrUnknownChannel)
}
