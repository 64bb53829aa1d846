package channels

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// BenchmarkCopyTo copies a week of 100 000 scans from SQLite and verifies the copy.
// "of-floor" is its speed in that of bare inserts of the same rows in transactions of the
// same size, into the same database in the same run.
func BenchmarkCopyTo(b *testing.B) {
	const scans = 100_000
	ctx := b.Context()
	l, err := openAt(ctx, newDB(b, SQLite), SQLite, testConfig, (&clock{monday}).now)
	require.NoError(b, err)
	var events, hours []any
	for n := range int64(scans) {
		at := monday.Unix() + n*6
		events = append(events, n, at, scan, textID("s7"), 0, 1+n%10, 0)
		hours = append(hours, at/hourSeconds, 1+n%10, n, 1, 0, 0, 0, 0, 0, 0, 0)
	}
	require.NoError(b, l.dialect.transact(ctx, l.db, func(t *tx) error {
		if err := t.insert(ctx, hoursTable, hours, ""); err != nil {
			return err
		}
		return t.insert(ctx, eventsTable, events, "")
	}))

	for _, d := range databases {
		b.Run(d.String(), func(b *testing.B) {
			var floor, copied time.Duration
			for range b.N {
				plainDB := newDB(b, d)
				require.NoError(b, d.prepare(ctx, plainDB))
				start := time.Now()
				for rest := events; len(rest) > 0; rest = rest[min(len(rest), 7*copiedRows):] {
					require.NoError(b, d.transact(ctx, plainDB, func(t *tx) error {
						some := rest[:min(len(rest), 7*copiedRows)]
						return t.insert(ctx, eventsTable, some, "")
					}))
				}
				floor += time.Since(start)

				db := newDB(b, d)
				require.NoError(b, d.prepare(ctx, db))
				start = time.Now()
				require.NoError(b, l.CopyTo(ctx, db, d, nil))
				copied += time.Since(start)
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(scans*float64(b.N)/copied.Seconds(), "events/s")
			b.ReportMetric(floor.Seconds()/copied.Seconds(), "of-floor")
		})
	}
}
