package channels

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
)

// benchSenders is how many pushes are under way at once.
const benchSenders = 64

// BenchmarkRecord records new followers, 64 at once, each acknowledged after its commit.
// "of-floor" is the throughput in that of bare inserts of the same rows, 64 events a
// transaction, in the same run.
func BenchmarkRecord(b *testing.B) {
	for _, d := range databases {
		b.Run(d.String(), func(b *testing.B) {
			ctx := b.Context()
			l, err := Open(ctx, newDB(b, d), d, testConfig)
			require.NoError(b, err)
			require.NoError(b, l.Adopt(ctx, wechatqr.SceneString("s7"), Channel{Key: "sh-7"}))

			floor := perEvent(b, func(n int) { insertBare(ctx, b, l, n) })
			recorded := perEvent(b, func(n int) { recordAtOnce(ctx, b, l, n) })
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(time.Second/recorded), "events/s")
			b.ReportMetric(floor.Seconds()/recorded.Seconds(), "of-floor")
		})
	}
}

// perEvent is how long fn takes for one of b.N events, of at least some groups.
func perEvent(b *testing.B, fn func(n int)) time.Duration {
	b.Helper()
	n := max(b.N, 10*benchSenders)
	start := time.Now()
	fn(n)
	return time.Since(start) / time.Duration(n)
}

func recordAtOnce(ctx context.Context, b *testing.B, l *Ledger, n int) {
	b.Helper()
	now := time.Now()
	next := make(chan int)
	var senders sync.WaitGroup
	for range benchSenders {
		senders.Go(func() {
			for i := range next {
				ev := newPush(fmt.Sprint("person", i), now, wechatqr.EventSubscribe, "s7")
				if _, err := l.RecordEvent(ctx, ev); err != nil {
					b.Error(err)
				}
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	senders.Wait()
}

// insertBare inserts a person, an event, a follow and the hour's numbers.
func insertBare(ctx context.Context, b *testing.B, l *Ledger, n int) {
	b.Helper()
	const firstID = int64(1) << 40
	now := time.Now().Unix()
	for first := 0; first < n; first += benchSenders {
		var people, happened, follows []any
		for i := first; i < min(first+benchSenders, n); i++ {
			id := firstID + int64(i)
			people = append(people, id, []byte(l.hash(fmt.Sprint("bare", i))), 0, 0, 0)
			happened = append(happened, id, now, subscribe, textID("s7"), 0, 1, 0)
			follows = append(follows, id, now, 1, asNew, 0, stillOpen)
		}
		hours := []any{-1 - int64(first), now / hourSeconds, benchSenders, 0,
			benchSenders, 0, 0, 0, 0}
		require.NoError(b, l.dialect.transact(ctx, l.db, func(t *tx) error {
			for _, rows := range []struct {
				into   string
				values []any
				width  int
			}{
				{"channels_people (id, hash, life, since, expires)", people, 5},
				{"channels_events (person, happened, kind, scene, ticket, channel, flags)",
					happened, 7},
				{"channels_follows (person, began, channel, how, ended, ending)", follows, 6},
				{"channels_hours (channel, hour, scans, follower_scans, begun, returning_, lost," +
					" imported, forgotten)", hours, 9},
			} {
				if err := t.insert(ctx, rows.into, rows.width, rows.values, ""); err != nil {
					return err
				}
			}
			return nil
		}))
	}
}
