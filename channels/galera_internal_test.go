package channels

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
)

// Every node of a cluster takes writes.
func TestGalera(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	t.Run("one person at two nodes", func(t *testing.T) { tryOnePersonAtTwoNodes(t, c) })
	t.Run("a code reassigned while it is scanned", func(t *testing.T) { tryReassignAtOnce(t, c) })
}

// open opens the ledger in a new database at each node.
func (c *cluster) open(t *testing.T, clock *clock) (all []*Ledger) {
	t.Helper()
	c.databases++
	name := fmt.Sprint("ledger", c.databases)
	_, err := connect(t, "mysql", c.nodes[0].dsn("mysql")).Exec("CREATE DATABASE " + name)
	require.NoError(t, err)
	for _, n := range c.nodes {
		l, err := openAt(t.Context(), connect(t, "mysql", n.dsn(name)), MySQL, testConfig, clock.now)
		require.NoError(t, err)
		all = append(all, l)
	}
	return all
}

// Two events of somebody arrive at two nodes at once. They write different rows, so that
// Galera would let both pass if the ledger did not write the person's.
func tryOnePersonAtTwoNodes(t *testing.T, c *cluster) {
	const people = 60
	ledgers := c.open(t, &clock{monday.Add(5 * time.Hour)})
	for n := range people {
		who := fmt.Sprint("person", n)
		_, err := ledgers[0].RecordEvent(t.Context(), newPush(who, monday, wechatqr.EventSubscribe, ""))
		require.NoError(t, err)
		var both sync.WaitGroup
		for i, l := range ledgers[:2] {
			both.Go(func() {
				at := monday.Add(time.Duration(i+1) * time.Hour)
				_, err := l.RecordEvent(t.Context(), newPush(who, at, wechatqr.EventSubscribe, ""))
				assert.NoError(t, err)
			})
		}
		both.Wait()
	}
	for _, l := range ledgers {
		r, err := l.Report(t.Context(), Query{From: monday, To: monday.AddDate(0, 0, 1)})
		require.NoError(t, err)
		want := Counts{New: people, Returning: 2 * people, Lost: 2 * people, HeldEnd: people}
		assert.Equal(t, want, r.Total)
	}
}

// A code goes to another channel at one node while it is scanned at another: every scan
// moves.
func tryReassignAtOnce(t *testing.T, c *cluster) {
	const times = 60
	ledgers := c.open(t, &clock{monday.Add(time.Hour)})
	require.NoError(t, ledgers[0].Put(t.Context(), Channel{Key: "new"}))
	for n := range times {
		key := fmt.Sprint("s", n)
		scene := wechatqr.SceneString(key)
		require.NoError(t, ledgers[0].Adopt(t.Context(), scene, Channel{Key: "old"}))
		var both sync.WaitGroup
		both.Go(func() {
			assert.NoError(t, ledgers[0].Reassign(t.Context(), scene, "new", monday))
		})
		both.Go(func() {
			_, err := ledgers[1].RecordEvent(t.Context(), newPush(key, monday, wechatqr.EventScan, key))
			assert.NoError(t, err)
		})
		both.Wait()
	}
	for _, l := range ledgers {
		q := Query{From: monday, To: monday.AddDate(0, 0, 1), Channel: "new"}
		r, err := l.Report(t.Context(), q)
		require.NoError(t, err)
		assert.Equal(t, Counts{Scans: times, Scanners: times}, r.Total)
	}
}
