package events_test

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr/events"
)

const (
	granted = events.ClaimGranted
	handled = events.ClaimHandled
	busy    = events.ClaimBusy
)

// claimer asks a Deduper for one id.
type claimer struct {
	t *testing.T
	events.Deduper
}

func (c claimer) claim(owner string) events.Claim {
	return c.claimFor(owner, "id", 5*time.Second)
}

func (c claimer) claimFor(owner, id string, lease time.Duration) events.Claim {
	c.t.Helper()
	got, err := c.Claim(c.t.Context(), id, owner, lease)
	require.NoError(c.t, err, "no outcome is an error")
	return got
}

func (c claimer) commit(id string, ttl time.Duration) {
	c.t.Helper()
	require.NoError(c.t, c.Commit(c.t.Context(), id, ttl))
}

func (c claimer) release(owner, id string) {
	c.t.Helper()
	require.NoError(c.t, c.Release(c.t.Context(), id, owner))
}

func TestMemoryDeduper(t *testing.T) {
	t.Parallel()
	const lease, ttl = 5 * time.Second, 10 * time.Minute
	for name, do := range map[string]func(t *testing.T, d claimer){
		"a claim is taken once": func(t *testing.T, d claimer) {
			assert.Equal(t, granted, d.claim("a"))
			assert.Equal(t, busy, d.claim("b"))
			assert.Equal(t, busy, d.claim("c"))
		},
		"a claim ends with its lease": func(t *testing.T, d claimer) {
			assert.Equal(t, granted, d.claim("a"))
			time.Sleep(lease - 1)
			assert.Equal(t, busy, d.claim("b"))
			time.Sleep(time.Nanosecond)
			assert.Equal(t, granted, d.claim("b"))
			assert.Equal(t, busy, d.claim("a"))
		},
		"the owner prolongs its claim": func(t *testing.T, d claimer) {
			assert.Equal(t, granted, d.claim("a"))
			time.Sleep(lease - 1)
			assert.Equal(t, granted, d.claim("a"))
			time.Sleep(lease - 1)
			assert.Equal(t, busy, d.claim("b"))
			time.Sleep(time.Nanosecond)
			assert.Equal(t, granted, d.claim("b"))
		},
		"what was committed stays, for its owner too": func(t *testing.T, d claimer) {
			assert.Equal(t, granted, d.claim("a"))
			d.commit("id", ttl)
			assert.Equal(t, handled, d.claim("a"))
			time.Sleep(ttl - 1)
			assert.Equal(t, handled, d.claim("b"))
			time.Sleep(time.Nanosecond)
			assert.Equal(t, granted, d.claim("b"))
		},
		"what was released can be claimed": func(t *testing.T, d claimer) {
			assert.Equal(t, granted, d.claim("a"))
			d.release("a", "id")
			assert.Equal(t, granted, d.claim("b"))
		},
		"another's release does nothing": func(t *testing.T, d claimer) {
			assert.Equal(t, granted, d.claim("a"))
			d.release("b", "id")
			d.release("", "id")
			assert.Equal(t, busy, d.claim("b"))
		},
		"a late release does not end the next one's claim": func(t *testing.T, d claimer) {
			assert.Equal(t, granted, d.claim("a"))
			time.Sleep(lease)
			assert.Equal(t, granted, d.claim("b"))
			d.release("a", "id")
			assert.Equal(t, busy, d.claim("c"))
		},
		"a release undoes no commit": func(t *testing.T, d claimer) {
			assert.Equal(t, granted, d.claim("a"))
			d.commit("id", ttl)
			d.release("a", "id")
			assert.Equal(t, handled, d.claim("a"))
		},
		"a commit needs no claim": func(t *testing.T, d claimer) {
			d.commit("id", ttl)
			assert.Equal(t, handled, d.claim("a"))
		},
		"a late commit counts": func(t *testing.T, d claimer) {
			assert.Equal(t, granted, d.claim("a"))
			time.Sleep(2 * lease)
			d.commit("id", ttl)
			assert.Equal(t, handled, d.claim("b"))
		},
		"others are others": func(t *testing.T, d claimer) {
			assert.Equal(t, granted, d.claim("a"))
			for _, id := range []string{"", "i", "idd", "ID"} {
				d.release("a", id)
				assert.Equal(t, granted, d.claimFor("b", id, lease))
			}
			assert.Equal(t, busy, d.claim("b"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) { do(t, claimer{t, events.NewMemoryDeduper(0)}) })
		})
	}
}

// The number of events is bounded, and the youngest are always known.
func TestMemoryDeduperIsBounded(t *testing.T) {
	const limit, n = 4096, 50_000
	d := claimer{t, events.NewMemoryDeduper(limit)}
	before := heap()
	id := func(i int) string { return fmt.Sprintf("%0*d", 1000, i) }
	for i := range n {
		require.Equal(t, granted, d.claimFor("a", id(i), 5*time.Second))
		d.commit(id(i), 10*time.Minute)
	}
	after := heap()
	assert.Less(t, after, before+2*limit*70+64<<10, "however long the ids are")
	for i := n - limit; i < n; i++ {
		require.Equal(t, handled, d.claimFor("a", id(i), time.Second), i)
	}
	assert.Equal(t, granted, d.claimFor("a", id(0), time.Second), "forgotten long ago")
	runtime.KeepAlive(d)
}

// A claim whose lease runs is not forgotten, however much is committed beside it.
func TestMemoryDeduperKeepsClaims(t *testing.T) {
	t.Parallel()
	d := claimer{t, events.NewMemoryDeduper(1024)}
	require.Equal(t, granted, d.claimFor("a", "running", time.Hour))
	for i := range 10_000 {
		d.commit(fmt.Sprint(i), time.Hour)
		require.Equal(t, granted, d.claimFor("a", fmt.Sprint("too ", i), time.Hour))
	}
	require.Equal(t, busy, d.claimFor("b", "running", time.Hour))
	for i := range 10_000 {
		require.Equal(t, busy, d.claimFor("b", fmt.Sprint("too ", i), time.Hour))
	}
}

// Claims of processes that died do not stay for ever.
func TestMemoryDeduperForgetsDeadClaims(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := claimer{t, events.NewMemoryDeduper(0)}
		before := heap()
		for i := range 200_000 {
			require.Equal(t, granted, d.claimFor("a", fmt.Sprint(i), time.Second))
			time.Sleep(time.Millisecond)
		}
		assert.Less(t, heap(), before+1<<20)
		runtime.KeepAlive(d)
	})
}

// After a burst the memory is given back as events expire.
func TestMemoryDeduperForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 200_000
		d := claimer{t, events.NewMemoryDeduper(1 << 20)}
		for i := range n {
			d.commit(fmt.Sprint(i), time.Minute)
		}
		full := heap()
		time.Sleep(time.Hour)
		d.commit("a", time.Hour)
		d.commit("b", 2*time.Hour)
		assert.Equal(t, handled, d.claimFor("a", "a", time.Second), "what is young is kept")
		time.Sleep(time.Hour)
		d.commit("c", time.Hour)
		assert.Equal(t, handled, d.claimFor("a", "b", time.Second), "what has not expired is kept")
		assert.Less(t, heap(), full-n*30)
		runtime.KeepAlive(d)
	})
}

// heap is how many bytes are in use.
func heap() uint64 {
	runtime.GC()
	runtime.GC() // for what sync.Pool kept
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// A generation lasts as long as what it has for longest.
func TestMemoryDeduperGenerations(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		d := claimer{t, events.NewMemoryDeduper(0)}
		d.commit("a", time.Hour)
		d.commit("b", 3*time.Hour)
		d.commit("c", 2*time.Hour)
		time.Sleep(2 * time.Hour)
		d.commit("d", time.Hour)
		d.commit("e", time.Hour)
		assert.Equal(t, handled, d.claimFor("a", "b", time.Second), "it has an hour yet")
		assert.Equal(t, granted, d.claimFor("a", "c", time.Second))
	})
}

// A second commit of an event takes no room.
func TestMemoryDeduperForgetsNothingForACommitThatIsRepeated(t *testing.T) {
	t.Parallel()
	d := claimer{t, events.NewMemoryDeduper(0)}
	for i := range 2049 {
		d.commit(fmt.Sprint(i), time.Hour)
	}
	d.commit("2048", time.Hour)
	assert.Equal(t, handled, d.claimFor("a", "1", time.Second))
}

func TestMemoryDeduperRaces(t *testing.T) {
	t.Parallel()
	d := claimer{t, events.NewMemoryDeduper(0)}
	var won atomic.Int32
	var all sync.WaitGroup
	for owner := range 64 {
		all.Go(func() {
			for i := range 100 {
				id := fmt.Sprint(i)
				got, err := d.Claim(t.Context(), id, fmt.Sprint(owner), time.Hour)
				if err == nil && got == granted {
					won.Add(1)
					assert.NoError(t, d.Commit(t.Context(), id, time.Hour))
				}
			}
		})
	}
	all.Wait()
	assert.Equal(t, int32(100), won.Load())
}
