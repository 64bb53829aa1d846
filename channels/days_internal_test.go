package channels

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
)

// Where summer time begins or ends at midnight a day begins at 1:00, or has two midnights:
// each hour belongs to the day of its date, and each date comes once. A date that a zone has
// left out is not there.
func TestDaysAreThoseOfTheCalendar(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"America/Havana", "America/Santiago", "America/Asuncion", "America/Sao_Paulo",
		"Atlantic/Azores", "Asia/Gaza", "Asia/Beirut", "Africa/Cairo", "Pacific/Apia",
		"America/New_York", "Asia/Shanghai",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			zone, err := time.LoadLocation(name)
			require.NoError(t, err)
			var want, wrong []string
			from := startOfDay(time.Date(2011, 12, 1, 12, 0, 0, 0, zone))
			until := startOfDay(time.Date(2022, 1, 1, 12, 0, 0, 0, zone))
			for at := from; at.Before(until); at = at.Add(time.Hour) {
				date := at.Format(time.DateOnly)
				if len(want) == 0 || want[len(want)-1] != date {
					want = append(want, date)
				}
				start := startOfDay(at)
				before := start.Add(-time.Second)
				if start.Format(time.DateOnly) != date || before.Format(time.DateOnly) == date {
					wrong = append(wrong, at.String())
				}
			}
			assert.Empty(t, wrong)

			r := &reader{from: from.Unix(), to: until.Unix(), location: zone}
			var got []string
			for day := range r.days() {
				got = append(got, day.Format(time.DateOnly))
				require.LessOrEqual(t, len(got), len(want))
			}
			assert.Equal(t, want, got)
		})
	}
}

// On 2026-03-08 the clocks of Havana go from 0:00 to 1:00, and on 2026-11-01 back from 1:00
// to 0:00.
func TestReportOfDaysThatBeginWithAnotherHour(t *testing.T) {
	t.Parallel()
	havana, err := time.LoadLocation("America/Havana")
	require.NoError(t, err)
	config := testConfig
	config.Location = havana
	l, c := newLedger(t, SQLite, config)
	for who, at := range map[string]string{
		"a": "2026-03-07T23:59:59-05:00", "b": "2026-03-08T01:00:00-04:00",
		"c": "2026-10-31T23:59:59-04:00",
		"d": "2026-11-01T00:00:00-04:00", "e": "2026-11-01T00:00:00-05:00",
	} {
		when, err := time.Parse(time.RFC3339, at)
		require.NoError(t, err)
		c.Time = when
		recordPush(t, l, who, when, wechatqr.EventSubscribe, "")
	}

	c.Time = time.Date(2027, 1, 1, 0, 0, 0, 0, havana)
	q := Query{
		From: time.Date(2026, 3, 1, 0, 0, 0, 0, havana),
		To:   time.Date(2026, 12, 1, 0, 0, 0, 0, havana), By: ByDay, Active: true,
	}
	report, err := l.Report(t.Context(), q)
	require.NoError(t, err)
	newOf := map[string]int64{}
	for _, row := range report.Rows {
		newOf[row.Start.Format(time.RFC3339)] = row.New
	}
	want := map[string]int64{
		"2026-03-07T00:00:00-05:00": 1, "2026-03-08T01:00:00-04:00": 1,
		"2026-10-31T00:00:00-04:00": 1, "2026-11-01T00:00:00-04:00": 2,
	}
	assert.Equal(t, want, newOf)

	stayed, err := l.Retention(t.Context(), q, 1)
	require.NoError(t, err)
	assert.Len(t, stayed.Rows, 275)
	days := map[string]int64{}
	for _, row := range stayed.Rows {
		if row.Follows > 0 {
			days[row.From.Format(time.RFC3339)] = row.Stayed
		}
	}
	assert.Equal(t, want, days)
}

// A period may be as long as times are: what is read is what happened. It is 80 million hours
// here, which would take minutes.
func TestReportOfAllHoursThereAre(t *testing.T) {
	t.Parallel()
	l, c := newLedger(t, SQLite, testConfig)
	for _, scene := range []string{"s1", "s2", "s3"} {
		scanned := wechatqr.SceneString(scene)
		require.NoError(t, l.Adopt(t.Context(), scanned, Channel{Key: scene}))
		recordPush(t, l, "who of "+scene, monday.Add(time.Hour), wechatqr.EventSubscribe, scene)
	}
	c.Time = monday.Add(3 * time.Hour)
	recordPush(t, l, "who of s1", monday.AddDate(0, 0, 2), wechatqr.EventUnsubscribe, "")
	for _, times := range []By{ByDay, ByHour} {
		q := Query{From: monday, To: monday.AddDate(0, 0, 3), By: times | ByChannel}
		want, err := l.Report(t.Context(), q)
		require.NoError(t, err)
		q.From = time.Time{}
		q.To = time.Date(9999, 12, 31, 16, 0, 0, 0, time.UTC)
		got, err := l.Report(t.Context(), q)
		require.NoError(t, err)
		assert.Equal(t, want.Rows, got.Rows)
		assert.Equal(t, want.Total, got.Total)
	}
}
