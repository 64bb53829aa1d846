package channels

import (
	"fmt"
	"math/rand/v2"
	"strconv"
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
	t.Run("random histories", func(t *testing.T) { tryHistoriesAtNodes(t, c) })
	t.Run("one person at two nodes", func(t *testing.T) { tryOnePersonAtTwoNodes(t, c) })
	t.Run("a code reassigned while it is scanned", func(t *testing.T) { tryReassignAtOnce(t, c) })
	t.Run("a node killed and brought back", func(t *testing.T) { tryKilledNode(t, c) })
}

// newDatabase is the name of a new, empty database that all nodes have.
func (c *cluster) newDatabase(t *testing.T) string {
	t.Helper()
	c.databases++
	name := fmt.Sprint("ledger", c.databases)
	_, err := connect(t, "mysql", c.nodes[0].dsn("mysql")).Exec("CREATE DATABASE " + name)
	require.NoError(t, err)
	for _, n := range c.nodes {
		db := connect(t, "mysql", n.dsn(name))
		there := func() bool { return db.PingContext(t.Context()) == nil }
		require.Eventually(t, there, time.Minute, 10*time.Millisecond)
	}
	return name
}

// open opens the ledger in a new database at one node, which makes the tables, and then at
// the others at once.
func (c *cluster) open(t *testing.T, at *clock) []*Ledger {
	t.Helper()
	name := c.newDatabase(t)
	all := make([]*Ledger, len(c.nodes))
	open := func(i int) {
		var err error
		db := connect(t, "mysql", c.nodes[i].dsn(name))
		all[i], err = openAt(t.Context(), db, MySQL, testConfig, at.now)
		assert.NoError(t, err)
	}
	open(0)
	var others sync.WaitGroup
	for i := range all[1:] {
		others.Go(func() { open(i + 1) })
	}
	others.Wait()
	require.False(t, t.Failed())
	return all
}

// Processes record at all nodes at once, and one node is killed and comes back while they
// do. The reports of all nodes are the oracle's.
func tryKilledNode(t *testing.T, c *cluster) {
	name := c.newDatabase(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	h := newHistory(t, MySQL, connect(t, "mysql", c.nodes[0].dsn(name)), seed)
	calls := h.callsIn(1)

	killed := make(chan struct{})
	var all sync.WaitGroup
	for n, at := range []int{0, 1, 2, 2} {
		job := recorderJob{Dialect: "MySQL", Driver: "mysql", DSN: c.nodes[at].dsn(name),
			Seed: seed, Order: n + 1, Redeliver: true}
		if n == 2 {
			job.reached = func(call int) {
				if call == len(calls)/4 {
					c.nodes[2].kill()
					close(killed)
				}
			}
		}
		all.Go(func() {
			next, _ := job.run(t)
			assert.Equal(t, len(calls), next)
		})
	}
	<-killed
	c.nodes[2].start(t)
	all.Wait()

	collisions := 0
	for _, n := range c.nodes {
		for _, status := range []string{"wsrep_local_cert_failures", "wsrep_local_bf_aborts"} {
			count, err := strconv.Atoi(n.status(t, status))
			require.NoError(t, err)
			collisions += count
		}
		h.ledger = c.openAt(t, n, name, h)
		h.compareAll()
	}
	assert.Positive(t, collisions)
}

// Each call of a history goes to another node.
func tryHistoriesAtNodes(t *testing.T, c *cluster) {
	for seed := range uint64(8) {
		name := c.newDatabase(t)
		h := newHistory(t, MySQL, connect(t, "mysql", c.nodes[0].dsn(name)), seed)
		for _, n := range c.nodes {
			h.others = append(h.others, c.openAt(t, n, name, h))
		}
		tryHistory(t, h)
	}
}

// openAt opens the history's ledger at a node.
func (c *cluster) openAt(t *testing.T, n *node, name string, h *history) *Ledger {
	t.Helper()
	db := connect(t, "mysql", n.dsn(name))
	l, err := openAt(t.Context(), db, MySQL, h.ledger.config, h.clock.now)
	require.NoError(t, err)
	return l
}

// Two events of somebody arrive at two nodes at once. They write different rows, so that
// Galera would let both pass if the ledger did not write the person's.
func tryOnePersonAtTwoNodes(t *testing.T, c *cluster) {
	const people = 60
	ledgers := c.open(t, &clock{monday.Add(5 * time.Hour)})
	for n := range people {
		who := fmt.Sprint("person", n)
		first := newPush(who, monday, wechatqr.EventSubscribe, "")
		_, err := ledgers[0].RecordEvent(t.Context(), first)
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
			push := newPush(key, monday, wechatqr.EventScan, key)
			_, err := ledgers[1].RecordEvent(t.Context(), push)
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
