package channels

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
)

// A database of the first version, with somebody who follows, comes forward with its
// numbers and takes conversions.
func TestMigrateFromTheFirstVersion(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d Dialect) {
		db, ctx := newDB(t, d), t.Context()
		l := &Ledger{db: db, dialect: d, config: testConfig}
		at, hash, scene := monday.Unix(), []byte(l.hash("o-1")), textID("s-a")
		require.NoError(t, d.transact(ctx, db, func(x *tx) error {
			_, err := x.lockVersion(ctx)
			require.NoError(t, err)
			require.NoError(t, x.migrateTo(ctx, 1, "migrations/0001.sql"))
			for _, row := range []struct {
				table string
				args  []any
			}{
				{"settings (name, value)", []any{"app_id", testConfig.AppID}},
				{"settings (name, value)", []any{"person_check", l.keyCheck()}},
				{"settings (name, value)", []any{"first_instant", fmt.Sprint(at)}},
				{"channels (id, channel, title, grp, retired, merged)",
					[]any{1, "a", "", "", 0, 0}},
				{"codes (scene, content, ticket, picture)", []any{scene, "s-a", "", ""}},
				{"assignments (scene, since, channel)", []any{scene, 0, 1}},
				{"people (id, hash, life, since, expires)", []any{2, hash, 0, 0, 0}},
				{"events (person, happened, kind, scene, ticket, channel, flags)",
					[]any{2, at, subscribe, scene, 0, 1, 0}},
				{"follows (person, began, channel, how, ended, ending)",
					[]any{2, at, 1, asNew, 0, 0}},
				{"hours (channel, hour, scans, follower_scans, begun, returning_, lost, imported, forgotten)",
					[]any{1, at / hourSeconds, 1, 0, 1, 0, 0, 0, 0}},
			} {
				query := "INSERT INTO channels_" + row.table + " VALUES " + marks(len(row.args))
				require.NoError(t, x.exec(ctx, query, row.args...))
			}
			return x.exec(ctx, "UPDATE channels_counters SET value = 1000 WHERE name = 'numbers'")
		}))

		c := &clock{monday.Add(time.Hour)}
		l, err := openAt(ctx, db, d, testConfig, c.now)
		require.NoError(t, err)
		require.NoError(t, l.Convert(ctx, Conversion{ID: "1", OpenID: "o-1", At: c.Time, Value: 5}))
		query := Query{From: monday, To: monday.AddDate(0, 0, 1), Channel: "a"}
		report, err := l.Report(ctx, query)
		require.NoError(t, err)
		assert.Equal(t, Counts{Scans: 1, Scanners: 1, New: 1, HeldEnd: 1}, report.Total)
		conversions, err := l.Conversions(ctx, ConversionQuery{Query: query})
		require.NoError(t, err)
		assert.Equal(t, ConversionCounts{
			Conversions: 1, Converters: 1, Value: 5, Converted: 1, Followers: 1,
		}, conversions.Total)
		recordPush(t, l, "o-1", c.Time, wechatqr.EventUnsubscribe, "")
	})
}
