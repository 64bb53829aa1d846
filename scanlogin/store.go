package scanlogin

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"time"
)

// Store keeps logins under way, and counts. It is safe for concurrent use and
// respects ctx. Each operation is on one key, and keys and values are the package's
// own: at most 100 bytes of printable ASCII without spaces, and a few KiB.
//
// [NewMemory] is for one process, packages redisstore and sqlstore have one for many,
// and wechatqrtest.TestLoginStore checks one of your own.
type Store interface {
	// LoadLogin returns the value under key, nil if there is none or it has ended.
	LoadLogin(ctx context.Context, key string) ([]byte, error)

	// SwapLogin has new under key for the time ttl if what is there is old, byte by
	// byte, and reports whether it was. An empty old is no value; new is never empty.
	SwapLogin(ctx context.Context, key string, old, new []byte, ttl time.Duration) (bool, error)

	// CountLogin adds one to the number under key and returns the sum, 1 at first.
	// The number ends ttl after the first. It is apart from the value under that key.
	CountLogin(ctx context.Context, key string, ttl time.Duration) (int, error)
}

// NewMemory returns a Store that ends with the process.
func NewMemory() Store { return &memory{entries: map[string]entry{}} }

type memory struct {
	mu      sync.Mutex
	entries map[string]entry
	sweepAt int // number of entries at which those that ended are deleted
}

type entry struct {
	value []byte
	count int
	ends  time.Time
}

func (m *memory) LoadLogin(_ context.Context, key string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.at(key).value), nil
}

func (m *memory) SwapLogin(
	_ context.Context, key string, old, new []byte, ttl time.Duration,
) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !bytes.Equal(m.at(key).value, old) {
		return false, nil
	}
	m.put(key, entry{value: slices.Clone(new), ends: time.Now().Add(ttl)})
	return true, nil
}

func (m *memory) CountLogin(_ context.Context, key string, ttl time.Duration) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.at(key)
	if e.count == 0 {
		e.ends = time.Now().Add(ttl)
	}
	e.count++
	m.put(key, e)
	return e.count, nil
}

// at is the entry under key unless it has ended. The caller holds the lock.
func (m *memory) at(key string) entry {
	e := m.entries[key]
	if !time.Now().Before(e.ends) {
		return entry{}
	}
	return e
}

func (m *memory) put(key string, e entry) {
	if len(m.entries) >= m.sweepAt {
		now := time.Now()
		for key, e := range m.entries {
			if !now.Before(e.ends) {
				delete(m.entries, key)
			}
		}
		m.sweepAt = max(1024, 2*len(m.entries))
	}
	m.entries[key] = e
}
