package channels

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// compareTest is a ledger that has the clock of a fake of WeChat's.
type compareTest struct {
	*Ledger
	t  *testing.T
	wx *wechatqrtest.Server
}

// until advances the clock to the next such hour of the day in China.
func (c *compareTest) until(hour int) time.Time {
	now := c.wx.Now().In(china)
	next := startOfDay(now).Add(time.Duration(hour) * time.Hour)
	if !next.After(now) {
		next = next.AddDate(0, 0, 1)
	}
	c.wx.Advance(next.Sub(now))
	return next
}

// follow has somebody follow now; with scenes the ledger hears of it, too.
func (c *compareTest) follow(who, from string, scenes ...string) {
	at := c.wx.Now().Truncate(time.Second)
	c.wx.PutUser(wechatqrtest.User{
		OpenID: who, Follows: true, FollowedAt: at, SubscribeScene: from,
	})
	for _, scene := range scenes {
		recordPush(c.t, c.Ledger, who, at, wechatqr.EventSubscribe, scene)
	}
}

// compare returns the reasons of each day.
func (c *compareTest) compare(first, last time.Time) [][]DiffReason {
	comparison, err := c.Compare(c.t.Context(), c.wx.Client(), first, last)
	require.NoError(c.t, err)
	var all [][]DiffReason
	for i := range comparison.Days {
		day := &comparison.Days[i]
		assert.True(c.t, startOfDay(first).AddDate(0, 0, i).Equal(day.Date))
		if day.WeChat != nil {
			assert.Equal(c.t, day.WeChat.minus(day.Ours), day.Diff)
			assert.Equal(c.t, day.Diff == Figures{}, day.Reasons == nil,
				"a reason for each difference")
		}
		all = append(all, day.Reasons)
	}
	return all
}

func TestCompareWithWeChat(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d Dialect) {
		c := &compareTest{t: t, wx: wechatqrtest.Start(t)}
		ctx := t.Context()
		day1 := c.until(12)
		old := wechatqrtest.User{OpenID: "o-old", Follows: true, FollowedAt: day1.AddDate(0, 0, -9)}
		c.wx.PutUser(old)
		var err error
		c.Ledger, err = openAt(ctx, newDB(t, d), d, testConfig, c.wx.Now)
		require.NoError(t, err)
		_, err = c.Reconcile(ctx, listOf(t, c.wx))
		require.NoError(t, err)
		scene := wechatqr.SceneString("s-a")
		require.NoError(t, c.Adopt(ctx, scene, Channel{Key: "a"}))

		day2 := c.until(12)
		const byCode, bySearch = "ADD_SCENE_QR_CODE", "ADD_SCENE_SEARCH"
		c.follow("o-a", byCode, "s-a")
		c.follow("o-search", bySearch, "")
		c.follow("o-late", byCode, "")
		c.follow("o-dropped", byCode)
		day3 := c.until(12)
		c.wx.PutUser(wechatqrtest.User{OpenID: "o-a"}) // unfollows, and the push is dropped
		assert.Equal(t, [][]DiffReason{
			{{WithoutCode, 2}, {PushesLost, 0}}, {{DayOpen, 0}},
		}, c.compare(day2, day3))

		day4 := c.until(12)
		_, err = c.Reconcile(ctx, listOf(t, c.wx))
		require.NoError(t, err)
		require.NoError(t, c.Forget(ctx, "o-search"))
		day5 := c.until(12)
		assert.Equal(t, [][]DiffReason{
			nil, {{EndsFoundLater, 1}}, {{ForgottenFollowers, 1}, {EndsFound, 1}}, {{DayOpen, 0}},
		}, c.compare(day2, day5))

		c.until(7)
		comparison, err := c.Compare(ctx, c.wx.Client(), day2.AddDate(0, 0, -10), day5)
		require.NoError(t, err)
		days := comparison.Days
		require.Len(t, days, 14, "more than a call of seven days")
		assert.Equal(t, []DiffReason{{Kind: BeforeLedger}}, days[0].Reasons)
		assert.Equal(t, []DiffReason{{Kind: FiguresPending}}, days[13].Reasons)
		assert.Nil(t, days[13].WeChat)
		assert.Equal(t, &Figures{New: 4, Followers: 5, ScannedNew: 3}, days[10].WeChat)
		assert.Equal(t, Figures{New: 4, Followers: 5, ScannedNew: 3}, days[10].Ours)
		assert.Equal(t, Figures{Lost: 1, Followers: 3, ScannedLost: 1}, days[12].Ours)
		assert.Equal(t, day4.Day(), days[12].Date.Day())

		_, err = c.Compare(ctx, c.wx.Client(), day5, day2)
		assert.ErrorIs(t, err, wechatqr.ErrInvalidArgument)
	})
}

func TestDiffReasonsSayWhatToDo(t *testing.T) {
	t.Parallel()
	for _, one := range reasonDefinitions {
		what := DiffKind(one.Name)
		some, none := DiffReason{what, 3}, DiffReason{Kind: what}
		assert.True(t, strings.HasSuffix(none.Hint(), "."), what)
		assert.True(t, strings.HasSuffix(none.HintZH(), "。"), what)
		assert.Contains(t, some.Hint(), "(at most 3)")
		assert.Contains(t, some.HintZH(), "至多 3")
	}
}
