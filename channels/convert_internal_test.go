package channels

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
)

// newShops is a ledger with the channels a and b, whose scenes are s-a and s-b.
func newShops(t *testing.T, d Dialect) (*Ledger, *clock) {
	t.Helper()
	l, c := newLedger(t, d, testConfig)
	for _, key := range []string{"a", "b"} {
		scene := wechatqr.SceneString("s-" + key)
		require.NoError(t, l.Adopt(t.Context(), scene, Channel{Key: key, Group: "shops"}))
	}
	return l, c
}

func recordPush(
	t *testing.T, l *Ledger, who string, at time.Time, what wechatqr.EventType, scene string,
) {
	t.Helper()
	_, err := l.RecordEvent(t.Context(), newPush(who, at, what, scene))
	require.NoError(t, err)
}

// converted is the conversions of each channel, the rows without one by their origin.
func converted(t *testing.T, l *Ledger, model Model) map[string]int64 {
	t.Helper()
	r, err := l.Conversions(t.Context(), ConversionQuery{
		Query: Query{From: monday, To: monday.AddDate(0, 0, 60), By: ByChannel}, Model: model,
	})
	require.NoError(t, err)
	got := map[string]int64{}
	for i := range r.Rows {
		if row := &r.Rows[i]; row.Conversions != 0 {
			got[row.Channel.Key+string(row.Origin)] = row.Conversions
		}
	}
	return got
}

func TestConvertIsIdempotentByID(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d Dialect) {
		l, c := newShops(t, d)
		ctx := t.Context()
		recordPush(t, l, "o-1", monday, wechatqr.EventSubscribe, "s-a")
		c.Time = monday.Add(time.Hour)
		order := Conversion{ID: "no. 1", OpenID: "o-1", At: c.Time, Name: "order", Value: 990}
		for range 2 {
			require.NoError(t, l.Convert(ctx, order))
		}
		require.NoError(t, l.Convert(ctx, order, order), "twice in one call")
		require.NoError(t, l.Convert(ctx))

		other := func(change func(*Conversion)) Conversion {
			o := order
			change(&o)
			return o
		}
		for name, one := range map[string]Conversion{
			"another person": other(func(o *Conversion) { o.OpenID = "o-2" }),
			"another time":   other(func(o *Conversion) { o.At = o.At.Add(time.Second) }),
			"another name":   other(func(o *Conversion) { o.Name = "refund" }),
			"another value":  other(func(o *Conversion) { o.Value = 0 }),
		} {
			fresh := Conversion{ID: "new, with " + name, OpenID: "o-9", At: c.Time}
			err := l.Convert(ctx, fresh, one)
			require.ErrorIs(t, err, ErrConversionDiffers, name)
			assert.ErrorContains(t, err, `"no. 1": give each act an ID of its own`)
			assert.NotContains(t, err.Error(), "o-2")
			again := fresh
			again.OpenID = "o-10"
			err = l.Convert(ctx, fresh, again)
			require.ErrorIs(t, err, ErrConversionDiffers, "two of one id in one call")
		}
		r, err := l.Conversions(ctx, ConversionQuery{
			Query: Query{From: monday, To: monday.AddDate(0, 0, 1)},
		})
		require.NoError(t, err)
		assert.Equal(t, ConversionCounts{
			Conversions: 1, Converters: 1, Value: 990, Converted: 1, Followers: 1,
		}, r.Total, "what was refused left nothing")
		assert.Equal(t, ModelFollow, r.Model)
	})
}

// Query.Active and Query.Sums leave no channel out, also one that had nothing else.
func TestConversionsNameTheirChannels(t *testing.T) {
	t.Parallel()
	l, c := newLedger(t, SQLite, testConfig)
	require.NoError(t, l.Adopt(t.Context(), wechatqr.SceneString("s7"), Channel{Key: "sh-7"}))
	recordPush(t, l, "ann", monday, wechatqr.EventSubscribe, "s7")
	tuesday := monday.AddDate(0, 0, 1)
	order := Conversion{ID: "1", OpenID: "ann", At: tuesday}
	require.NoError(t, l.Convert(t.Context(), order))
	c.Time = monday.AddDate(0, 0, 2)
	for _, q := range []Query{{}, {Active: true}, {Sums: true}} {
		q.From, q.To, q.By = tuesday, c.Time, ByChannel
		report, err := l.Conversions(t.Context(), ConversionQuery{Query: q})
		require.NoError(t, err)
		require.Len(t, report.Rows, 1)
		assert.Equal(t, Channel{Key: "sh-7"}, report.Rows[0].Channel)
	}
}

func TestConvertChecks(t *testing.T) {
	t.Parallel()
	l, _ := newLedger(t, SQLite, testConfig)
	for name, c := range map[string]Conversion{
		"no id":              {OpenID: "o", At: monday},
		"a long id":          {ID: strings.Repeat("x", 201), OpenID: "o", At: monday},
		"no openid":          {ID: "1", At: monday},
		"no time":            {ID: "1", OpenID: "o"},
		"a long name":        {ID: "1", OpenID: "o", At: monday, Name: strings.Repeat("x", 65)},
		"control name":       {ID: "1", OpenID: "o", At: monday, Name: "a\nb"},
		"a name and a space": {ID: "1", OpenID: "o", At: monday, Name: "order "},
	} {
		assert.ErrorIs(t, l.Convert(t.Context(), c), wechatqr.ErrInvalidArgument, name)
	}
	week := Query{From: monday, To: monday.AddDate(0, 0, 7)}
	for name, q := range map[string]ConversionQuery{
		"no such model":     {Query: week, Model: "linear"},
		"window of follow":  {Query: week, Window: time.Hour},
		"fraction":          {Query: week, Model: ModelLast, Window: time.Millisecond},
		"negative":          {Query: week, Model: ModelLast, Window: -time.Hour},
		"period":            {Query: Query{From: monday, To: monday}},
		"channel and group": {Query: Query{From: monday, To: week.To, By: ByChannel | ByGroup}},
		"top":               {Query: Query{From: monday, To: week.To, By: ByChannel, Top: 1}},
	} {
		_, err := l.Conversions(t.Context(), q)
		assert.ErrorIs(t, err, wechatqr.ErrInvalidArgument, name)
	}
	unknown := ConversionQuery{Query: Query{From: monday, To: week.To, Channel: "nobody's"}}
	_, err := l.Conversions(t.Context(), unknown)
	assert.ErrorIs(t, err, ErrUnknownChannel)
}

// Somebody follows by a, scans b, leaves, and comes back by a search.
func TestConversionModels(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d Dialect) {
		l, c := newShops(t, d)
		day := func(n int) time.Time { return monday.AddDate(0, 0, n) }
		for _, push := range []struct {
			day   int
			what  wechatqr.EventType
			scene string
		}{
			{1, wechatqr.EventSubscribe, "s-a"}, {2, wechatqr.EventScan, "s-b"},
			{3, wechatqr.EventUnsubscribe, ""}, {5, wechatqr.EventSubscribe, ""},
		} {
			c.Time = day(push.day)
			recordPush(t, l, "o-1", c.Time, push.what, push.scene)
		}
		c.Time = day(50)
		for name, test := range map[string]struct {
			at                  time.Time
			follow, first, last string
		}{
			"before all": {day(1).Add(-time.Second), "no follow", "no follow",
				"no follow"},
			"in the first second":  {day(1), "a", "a", "a"},
			"after a scan of b":    {day(2), "a", "a", "b"},
			"as it ends":           {day(3), "a", "a", "b"},
			"while not following":  {day(3).Add(time.Second), "no follow", "a", "b"},
			"back without a code":  {day(5), "no code", "a", "no code"},
			"at the window's edge": {day(35), "no code", "a", "no code"},
			"beyond the window":    {day(35).Add(time.Second), "no code", "a", "no follow"},
		} {
			one := Conversion{ID: name, OpenID: "o-1", At: test.at, Name: name}
			require.NoError(t, l.Convert(t.Context(), one))
			for model, want := range map[Model]string{
				ModelFollow: test.follow, ModelFirst: test.first, ModelLast: test.last,
			} {
				r, err := l.Conversions(t.Context(), ConversionQuery{
					Query: Query{From: monday, To: day(60), By: ByChannel}, Name: name,
					Model: model,
				})
				require.NoError(t, err)
				var got []string
				for i := range r.Rows {
					if row := &r.Rows[i]; row.Conversions > 0 {
						got = append(got, row.Channel.Key+string(row.Origin))
					}
				}
				assert.Equal(t, []string{want}, got, "%s by %s", name, model)
				assert.Equal(t, model == ModelLast, r.Window == 30*24*time.Hour)
			}
		}
	})
}

// What comes to light later moves a conversion; that its person is forgotten does not.
func TestConversionsFollowTheLedger(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d Dialect) {
		l, c := newShops(t, d)
		ctx := t.Context()
		c.Time = monday.Add(time.Hour)
		require.NoError(t, l.Convert(ctx, Conversion{ID: "1", OpenID: "o-1", At: c.Time}))
		assert.Equal(t, map[string]int64{"no follow": 1}, converted(t, l, ModelFollow))
		recordPush(t, l, "o-1", monday, wechatqr.EventSubscribe, "s-a")
		assert.Equal(t, map[string]int64{"a": 1}, converted(t, l, ModelFollow), "a late push")

		scene := wechatqr.SceneString("s-a")
		require.NoError(t, l.Reassign(ctx, scene, "b", monday.AddDate(0, 0, -1)))
		assert.Equal(t, map[string]int64{"b": 1}, converted(t, l, ModelFollow), "reassigned")
		require.NoError(t, l.Forget(ctx, "o-1"))
		c.Time = c.AddDate(0, 0, 2)
		require.NoError(t, l.DeleteExpired(ctx))
		require.NoError(t, l.Merge(ctx, "b", "a"))
		for _, model := range []Model{ModelFollow, ModelFirst, ModelLast} {
			assert.Equal(t, map[string]int64{"a": 1}, converted(t, l, model),
				"forgotten and merged")
		}

		again := Conversion{ID: "1", OpenID: "o-1", At: monday.Add(time.Hour)}
		require.NoError(t, l.Convert(ctx, again), "reported again of who is forgotten")
		assert.Equal(t, map[string]int64{"a": 1}, converted(t, l, ModelFollow))
	})
}

// Who is known only by conversions is forgotten after the repair window, without a call.
func TestVisitorsAreForgotten(t *testing.T) {
	t.Parallel()
	l, c := newShops(t, SQLite)
	ctx := t.Context()
	people := func() (known int) {
		row := l.db.QueryRowContext(ctx, "SELECT COUNT(hash) FROM channels_people")
		require.NoError(t, row.Scan(&known))
		return known
	}
	for i, hours := range []int{0, 23, 24} {
		c.Time = monday.Add(time.Duration(hours) * time.Hour)
		id := fmt.Sprint(i)
		require.NoError(t, l.Convert(ctx, Conversion{ID: id, OpenID: "o-1", At: c.Time}))
	}
	q := ConversionQuery{Query: Query{From: monday, To: monday.AddDate(0, 0, 7)}}
	r, err := l.Conversions(ctx, q)
	require.NoError(t, err)
	assert.Equal(t, ConversionCounts{Conversions: 3, Converters: 2}, r.Total)
	assert.Equal(t, 2, people())

	c.Time = monday.Add(72*time.Hour - time.Second)
	require.NoError(t, l.DeleteExpired(ctx))
	assert.Equal(t, 1, people())
	c.Time = monday.Add(72 * time.Hour)
	require.NoError(t, l.DeleteExpired(ctx))
	assert.Zero(t, people())
	r, err = l.Conversions(ctx, q)
	require.NoError(t, err)
	assert.Equal(t, ConversionCounts{Conversions: 3, Converters: 2}, r.Total)
}

// Another process records the conversion after this one has looked for its person.
func TestConvertedMeanwhile(t *testing.T) {
	t.Parallel()
	for _, d := range []Dialect{PostgreSQL, MySQL} { // SQLite has one writer
		t.Run(d.String(), func(t *testing.T) {
			t.Parallel()
			l, c := newShops(t, d)
			ctx := t.Context()
			for who, want := range map[string]error{"o-1": nil, "o-2": ErrConversionDiffers} {
				id := "for " + who
				theirs := Conversion{ID: id, OpenID: "o-3", At: c.Time}
				if want == nil {
					theirs.OpenID = who
				}
				mine := []Conversion{{ID: id, OpenID: who, At: c.Time}}
				err := l.transact(ctx, func(x *tx) error {
					s, err := x.load(ctx, []string{l.hash(who)}, c.Unix())
					require.NoError(t, err)
					require.NoError(t, l.Convert(ctx, theirs))
					a := acts{subjects: s}
					require.NoError(t, a.read(ctx, mine))
					return a.add(ctx, &mine[0], l.hash(who))
				})
				require.ErrorIs(t, err, want, who)
			}
		})
	}
}

// Several processes report the same conversions at once, among pushes.
func TestConvertConcurrently(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d Dialect) {
		driver, dsn := source(t, d)
		ctx, c := t.Context(), &clock{monday.Add(time.Hour)}
		const processes, people = 3, 20
		var wg sync.WaitGroup
		for range processes {
			l, err := openAt(ctx, connect(t, driver, dsn), d, testConfig, c.now)
			require.NoError(t, err)
			require.NoError(t, l.Adopt(ctx, wechatqr.SceneString("s-a"), Channel{Key: "a"}))
			wg.Go(func() {
				for n := range people {
					who := fmt.Sprint("o-", n)
					order := Conversion{ID: who, OpenID: who, At: c.Time, Value: 1}
					assert.NoError(t, l.Convert(ctx, order))
					_, err := l.RecordEvent(ctx,
						newPush(who, monday, wechatqr.EventSubscribe, "s-a"))
					assert.NoError(t, err)
				}
			})
		}
		wg.Wait()
		l, err := openAt(ctx, connect(t, driver, dsn), d, testConfig, c.now)
		require.NoError(t, err)
		r, err := l.Conversions(ctx, ConversionQuery{
			Query: Query{From: monday, To: monday.AddDate(0, 0, 1), Channel: "a"},
		})
		require.NoError(t, err)
		assert.Equal(t, ConversionCounts{
			Conversions: people, Converters: people, Value: people, Converted: people,
			Followers: people,
		}, r.Total)
		rate, ok := r.Total.Rate()
		assert.True(t, ok)
		assert.InDelta(t, 1, rate, 0)
	})
}
