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

func TestMemoryDeduper(t *testing.T) {
	t.Parallel()
	const lease, ttl = 5 * time.Second, 10 * time.Minute
	type dd = events.Deduper
	for name, do := range map[string]func(t *testing.T, d dd, claim func() string){
		"a claim is taken once": func(t *testing.T, _ dd, claim func() string) {
			assert.Equal(t, []string{"mine", "in progress", "in progress"}, []string{claim(), claim(), claim()})
		},
		"a claim ends with its lease": func(t *testing.T, _ dd, claim func() string) {
			assert.Equal(t, "mine", claim())
			time.Sleep(lease - 1)
			assert.Equal(t, "in progress", claim())
			time.Sleep(time.Nanosecond)
			assert.Equal(t, "mine", claim())
			assert.Equal(t, "in progress", claim())
		},
		"what was committed stays": func(t *testing.T, d dd, claim func() string) {
			assert.Equal(t, "mine", claim())
			require.NoError(t, d.Commit(t.Context(), "id", ttl))
			assert.Equal(t, "handled", claim())
			time.Sleep(ttl - 1)
			assert.Equal(t, "handled", claim())
			time.Sleep(time.Nanosecond)
			assert.Equal(t, "mine", claim())
		},
		"what was released can be claimed": func(t *testing.T, d dd, claim func() string) {
			assert.Equal(t, "mine", claim())
			require.NoError(t, d.Release(t.Context(), "id"))
			assert.Equal(t, "mine", claim())
		},
		"a release undoes no commit": func(t *testing.T, d dd, claim func() string) {
			require.NoError(t, d.Commit(t.Context(), "id", ttl))
			require.NoError(t, d.Release(t.Context(), "id"))
			assert.Equal(t, "handled", claim())
		},
		"a commit needs no claim": func(t *testing.T, d dd, claim func() string) {
			require.NoError(t, d.Commit(t.Context(), "id", ttl))
			assert.Equal(t, "handled", claim())
		},
		"a late commit counts": func(t *testing.T, d dd, claim func() string) {
			assert.Equal(t, "mine", claim())
			time.Sleep(2 * lease)
			require.NoError(t, d.Commit(t.Context(), "id", ttl))
			assert.Equal(t, "handled", claim())
		},
		"others are others": func(t *testing.T, d dd, claim func() string) {
			assert.Equal(t, "mine", claim())
			for _, id := range []string{"", "i", "idd", "ID"} {
				require.NoError(t, d.Release(t.Context(), id))
				ok, err := d.Claim(t.Context(), id, lease)
				require.NoError(t, err)
				assert.True(t, ok)
			}
			assert.Equal(t, "in progress", claim())
		},
	} {
		t.Run(name, func(t *testing.T) {
			at(t, func(t *testing.T) {
				d := events.NewMemoryDeduper(0)
				do(t, d, func() string {
					ok, err := d.Claim(t.Context(), "id", lease)
					switch {
					case ok:
						require.NoError(t, err)
						return "mine"
					case err == nil:
						return "handled"
					}
					require.ErrorIs(t, err, events.ErrInProgress)
					return "in progress"
				})
			})
		})
	}
}

// The number of events is bounded, and the youngest half is always known.
func TestMemoryDeduperIsBounded(t *testing.T) {
	const limit, n = 4096, 50_000
	d := events.NewMemoryDeduper(limit)
	before := heap()
	id := func(i int) string { return fmt.Sprintf("%0*d", 1000, i) }
	for i := range n {
		ok, err := d.Claim(t.Context(), id(i), 5*time.Second)
		require.NoError(t, err)
		require.True(t, ok)
		require.NoError(t, d.Commit(t.Context(), id(i), 10*time.Minute))
	}
	after := heap()
	assert.Less(t, after, before+limit*200, "however long the ids are")
	for i := n - limit/2; i < n; i++ {
		ok, err := d.Claim(t.Context(), id(i), time.Second)
		require.NoError(t, err)
		require.False(t, ok, i)
	}
	ok, err := d.Claim(t.Context(), id(0), time.Second)
	require.NoError(t, err)
	assert.True(t, ok, "forgotten long ago")
	runtime.KeepAlive(d)
}

// After a burst the memory is given back as events expire.
func TestMemoryDeduperForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 200_000
		d := events.NewMemoryDeduper(1 << 20)
		for i := range n {
			require.NoError(t, d.Commit(t.Context(), fmt.Sprint(i), time.Minute))
		}
		full := heap()
		time.Sleep(time.Hour)
		require.NoError(t, d.Commit(t.Context(), "a", time.Hour))
		require.NoError(t, d.Commit(t.Context(), "b", 2*time.Hour))
		ok, err := d.Claim(t.Context(), "a", time.Second)
		require.NoError(t, err)
		assert.False(t, ok, "what is young is kept")
		time.Sleep(time.Hour)
		require.NoError(t, d.Commit(t.Context(), "c", time.Hour))
		ok, err = d.Claim(t.Context(), "b", time.Second)
		require.NoError(t, err)
		assert.False(t, ok, "what has not expired is kept")
		assert.Less(t, heap(), full-n*40)
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

// A generation lasts as long as what it has for longest, and a claim in the
// old one can be given back.
func TestMemoryDeduperGenerations(t *testing.T) {
	at(t, func(t *testing.T) {
		d, ctx := events.NewMemoryDeduper(0), t.Context()
		claim := func(id string) bool {
			ok, err := d.Claim(ctx, id, 5*time.Second)
			if !ok && err != nil {
				require.ErrorIs(t, err, events.ErrInProgress)
			}
			return ok
		}
		require.NoError(t, d.Commit(ctx, "a", time.Hour))
		require.NoError(t, d.Commit(ctx, "b", 3*time.Hour))
		require.NoError(t, d.Commit(ctx, "c", 2*time.Hour))
		require.True(t, claim("d"))
		require.True(t, claim("e"))
		time.Sleep(2 * time.Hour)
		require.True(t, claim("f"))
		require.True(t, claim("g"))
		assert.False(t, claim("b"), "it has an hour yet")

		require.NoError(t, d.Release(ctx, "f"))
		assert.True(t, claim("f"), "given back")
		assert.False(t, claim("f"))

		d = events.NewMemoryDeduper(0)
		require.True(t, claim("old"))
		require.True(t, claim("young"))
		require.NoError(t, d.Release(ctx, "old"))
		assert.True(t, claim("old"), "given back")
	})
}

func TestMemoryDeduperRaces(t *testing.T) {
	t.Parallel()
	d := events.NewMemoryDeduper(0)
	var won atomic.Int32
	var all sync.WaitGroup
	for range 64 {
		all.Go(func() {
			for i := range 100 {
				id := fmt.Sprint(i)
				if ok, err := d.Claim(t.Context(), id, time.Hour); ok && err == nil {
					won.Add(1)
					assert.NoError(t, d.Commit(t.Context(), id, time.Hour))
				}
			}
		})
	}
	all.Wait()
	assert.Equal(t, int32(100), won.Load())
}
