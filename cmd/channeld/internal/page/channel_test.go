package page

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr/channels"
	"github.com/wechatqr/wechatqr/internal/webui"
)

// The page of a channel has no other channels in it: they are looked for while one is typed.
func TestChannelsAreFoundWhileTyping(t *testing.T) {
	testAt(t, func(t *testing.T, d *desk) {
		d.channel("sh-0", "零店", "华东")
		for n := range 2 * maxFound {
			c := channels.Channel{Key: fmt.Sprintf("gz-%02d", n), Name: "<b>店</b>"}
			require.NoError(t, d.Ledger.Put(t.Context(), c))
		}
		hasNot(t, d.get(admin, "/channels/sh-0", webui.Chinese).Body.String(), "gz-")

		for text, want := range map[string]int{
			"": maxFound, "GZ-3": 10, "零": 1, "华东": 1, "none": 0, "%": 0,
		} {
			w := d.get(admin, "/find?"+url.Values{"q": {text}}.Encode(), webui.Chinese)
			require.Equal(t, http.StatusOK, w.Code)
			var found []channels.Channel
			require.NoError(t, json.Unmarshal(w.Body.Bytes(), &found))
			assert.NotNil(t, found, "a list, though empty")
			assert.Len(t, found, want, text)
		}
		for _, text := range []string{"\x00", "\xff"} {
			w := d.get(admin, "/find?"+url.Values{"q": {text}}.Encode(), webui.Chinese)
			assert.Equal(t, http.StatusBadRequest, w.Code)
		}
	})
}

// On 2026-03-08 Havana's clocks leave midnight out: each page has that day all the same, and
// the days after it.
func TestDaysWithoutAMidnight(t *testing.T) {
	t.Parallel()
	havana, err := time.LoadLocation("America/Havana")
	require.NoError(t, err)
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2026, 3, 7, 12, 0, 0, 0, havana)))
		d := newDeskIn(t, havana)
		d.channel("a", "", "")
		for i, at := range []string{
			"2026-03-07T23:59:59-05:00", "2026-03-08T01:00:00-04:00", "2026-03-08T23:59:59-04:00",
			"2026-03-09T00:00:00-04:00",
		} {
			when, err := time.Parse(time.RFC3339, at)
			require.NoError(t, err)
			time.Sleep(time.Until(when))
			d.follow(fmt.Sprint("o-", i), "a", when)
		}

		for _, address := range []string{
			"/", "/channels?period=7d", "/channels/a?period=7d", "/export?by=day",
			"/channels/a?period=yesterday", "/channels/a?from=2026-03-08&to=2026-03-09",
		} {
			assert.Equal(t, http.StatusOK, d.get(viewer, address, "en").Code, address)
		}

		for period, want := range map[string][]int64{
			"7d": {0, 0, 0, 0, 1, 2, 1}, "yesterday": {2},
		} {
			q := Question{Period: Period{Name: period}}
			query := q.query(time.Now(), havana, channels.ByDay)
			report, err := d.Ledger.Report(t.Context(), query)
			require.NoError(t, err)
			var got []int64
			for _, row := range everyRow(report) {
				got = append(got, row.New)
			}
			assert.Equal(t, want, got, period)
		}
		const begins = "2026-03-08T01:00:00-04:00"
		assert.Equal(t, begins, d.days().yesterday.Format(time.RFC3339))
		time.Sleep(6 * 24 * time.Hour)
		assert.Equal(t, begins, d.days().weekAgo.Format(time.RFC3339))
	})
}
