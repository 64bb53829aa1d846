package page

import (
	"math/rand/v2"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// randomQuestion is any that an address can have.
func randomQuestion(random *rand.Rand) Question {
	one := func(all ...string) string { return all[random.IntN(len(all))] }
	q := Question{
		Period: Period{Name: one(periods...)}, Group: one("", "华东", "华东/门店", "a&b=c#?/ %"),
		Search: one("", "静安", "x+y", "<b>"), Page: 1 + random.IntN(3),
		Sort:    Sort{one(sortColumns...), random.IntN(2) == 0},
		By:      one("channel", "group", "day", "hour", "weekday", "channel-day"),
		Channel: one("", "sh-7", "a/b"),
	}
	if random.IntN(2) == 0 {
		from := time.Date(2011+random.IntN(80), 1, 1+random.IntN(365), 0, 0, 0, 0, time.UTC)
		q.Period = Period{From: from, To: from.AddDate(0, 0, random.IntN(maxPeriodDays))}
	}
	return q
}

func TestQuestionsAreWhatTheirAddressesSay(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		want := randomQuestion(random)
		u, err := url.Parse("/channels" + want.String())
		require.NoError(t, err)
		got, err := parseQuestion(u.Query())
		require.NoError(t, err, u)
		assert.Equal(t, want, got, u)
		assert.Equal(t, want.String(), got.String(), "one question has one address")
	}
	assert.Empty(t, defaultQuestion.String())
}

func TestAddressesThatAskForNothing(t *testing.T) {
	t.Parallel()
	for name, address := range map[string]string{
		"period":      "period=8d",
		"sort":        "sort=openid",
		"page":        "page=0",
		"page text":   "page=x",
		"by":          "by=person",
		"day":         "from=2026-11-31&to=2026-12-01",
		"one day":     "from=2026-11-01",
		"wrong order": "from=2026-11-02&to=2026-11-01",
		"too long":    "from=2011-01-01&to=2026-11-01",
		"too early":   "from=1999-01-01&to=1999-01-02",
		"no UTF-8":    "group=%ff",
	} {
		values, err := url.ParseQuery(address)
		require.NoError(t, err)
		_, err = parseQuestion(values)
		assert.ErrorIs(t, err, errQuestion, name)
	}
}

func TestPeriods(t *testing.T) {
	t.Parallel()
	date := func(m time.Month, d int, location *time.Location) time.Time {
		return time.Date(2026, m, d, 0, 0, 0, 0, location)
	}
	day := func(m time.Month, d int) time.Time { return date(m, d, shanghai) }
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, shanghai).UTC()
	for name, tt := range map[string]struct {
		period   Period
		from, to time.Time
	}{
		"today":     {Period{Name: "today"}, day(3, 1), day(3, 2)},
		"yesterday": {Period{Name: "yesterday"}, day(2, 28), day(3, 1)},
		"7d":        {Period{Name: "7d"}, day(2, 23), day(3, 2)},
		"chosen": {
			Period{From: date(1, 31, time.UTC), To: date(2, 1, time.UTC)},
			day(1, 31), day(2, 2),
		},
	} {
		from, to := tt.period.bounds(now, shanghai)
		assert.Equal(t, tt.from, from, name)
		assert.Equal(t, tt.to, to, name)
	}
}

// In the night to 2026-03-08 the clocks of Havana go from 0:00 to 1:00, and 2026-11-01 has
// two midnights.
func TestPeriodsWhereMidnightIsLeftOut(t *testing.T) {
	t.Parallel()
	havana, err := time.LoadLocation("America/Havana")
	require.NoError(t, err)
	now := func(day string) time.Time {
		at, err := time.ParseInLocation(time.DateTime, day+" 12:00:00", havana)
		require.NoError(t, err)
		return at.UTC()
	}
	chosen := func(m time.Month, d int) Period {
		day := time.Date(2026, m, d, 0, 0, 0, 0, time.UTC)
		return Period{From: day, To: day}
	}
	for name, tt := range map[string]struct {
		now      time.Time
		period   Period
		from, to string
	}{
		"that day": {
			now("2026-03-08"), Period{Name: "today"},
			"2026-03-08T01:00:00-04:00", "2026-03-09T00:00:00-04:00",
		},
		"the day before": {
			now("2026-03-08"), Period{Name: "yesterday"},
			"2026-03-07T00:00:00-05:00", "2026-03-08T01:00:00-04:00",
		},
		"a week from it on": {
			now("2026-03-14"), Period{Name: "7d"},
			"2026-03-08T01:00:00-04:00", "2026-03-15T00:00:00-04:00",
		},
		"chosen": {
			now("2026-11-25"), chosen(3, 8),
			"2026-03-08T01:00:00-04:00", "2026-03-09T00:00:00-04:00",
		},
		"two midnights": {
			now("2026-11-25"), chosen(11, 1),
			"2026-11-01T00:00:00-04:00", "2026-11-02T00:00:00-05:00",
		},
	} {
		from, to := tt.period.bounds(tt.now, havana)
		assert.Equal(t, tt.from, from.Format(time.RFC3339), name)
		assert.Equal(t, tt.to, to.Format(time.RFC3339), name)
	}
}
