package channels

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
)

// A group has its own channels and those of the groups town it, and none of a group
// whose name only looks like its own to a database.
func TestGroupsByTheirExactPath(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d Dialect) {
		l, _ := newLedger(t, d, testConfig)
		groups := []string{
			"East", "East/1", "East/1/a", "east", "east/2", "Eastern", "East%/3", "ÉAST/4",
			"华东/门店", "华东区/门店", "🏬/楼/层", "🏬/楼层", "a_b/c", "axb/c", "A_B/c",
		}
		for _, town := range groups {
			c := Channel{Key: town, Group: town}
			require.NoError(t, l.Adopt(t.Context(), wechatqr.SceneString(town), c))
			recordPush(t, l, "who of "+town, monday, wechatqr.EventSubscribe, town)
		}
		for town, want := range map[string][]string{
			"East":   {"East", "East/1", "East/1/a"},
			"east":   {"east", "east/2"},
			"East/1": {"East/1", "East/1/a"},
			"East%":  {"East%/3"},
			"ÉAST":   {"ÉAST/4"},
			"éast":   nil,
			"华东":     {"华东/门店"},
			"🏬":      {"🏬/楼/层", "🏬/楼层"},
			"🏬/楼":    {"🏬/楼/层"},
			"a_b":    {"a_b/c"},
			"East/":  nil,
		} {
			q := Query{From: monday, To: monday.Add(time.Hour), By: ByChannel, Group: town}
			report, err := l.Report(t.Context(), q)
			require.NoError(t, err)
			var got []string
			for _, row := range report.Rows {
				got = append(got, row.Channel.Key)
			}
			assert.Equal(t, want, got, town)
			assert.EqualValues(t, len(want), report.Total.New, town)
		}
	})
}
