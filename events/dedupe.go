package events

import (
	"context"
	"sync"
	"time"
)

// Deduper remembers which events were handled, so that a push which WeChat
// delivers up to three times runs the function once. Share one between the
// processes that serve one URL; package redisstore has such a one. It is safe
// for concurrent use and respects ctx.
//
// A claim is a lease: if the process that holds it dies, it ends by itself and
// the next delivery is handled.
type Deduper interface {
	// Claim takes the event id for the time lease and returns true, unless id
	// is taken. It returns false and no error if id was committed, and false
	// and an error that matches ErrInProgress if another's lease on it runs.
	Claim(ctx context.Context, id string, lease time.Duration) (bool, error)

	// Commit marks id as handled for the time ttl, whether it was claimed or not.
	Commit(ctx context.Context, id string, ttl time.Duration) error

	// Release gives a claimed id back, so that it can be claimed at once. An id
	// that was committed or is unknown stays as it is.
	Release(ctx context.Context, id string) error
}

// NewMemoryDeduper returns a Deduper for a single process that holds at most
// about limit events and forgets the oldest beyond that. A limit below 1024
// counts as 1024.
func NewMemoryDeduper(limit int) Deduper {
	half := max(limit, 1024) / 2
	return &memory{half: half, young: make(map[string]claim)}
}

// memory keeps two generations: the young one takes what comes, and becomes
// the old one when it is full or all of the old one has expired. So nothing
// has to be searched for what expired.
type memory struct {
	half int

	mu         sync.Mutex
	young, old map[string]claim
	oldEnds    time.Time // when the last of old expires
	youngEnds  time.Time
}

type claim struct {
	until     time.Time
	committed bool
}

func (m *memory) Claim(_ context.Context, id string, lease time.Duration) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	c, ok := m.young[id]
	if !ok {
		c, ok = m.old[id]
	}
	if ok && now.Before(c.until) {
		if c.committed {
			return false, nil
		}
		return false, ErrInProgress
	}
	m.put(id, claim{until: now.Add(lease)}, now)
	return true, nil
}

func (m *memory) Commit(_ context.Context, id string, ttl time.Duration) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	m.put(id, claim{until: now.Add(ttl), committed: true}, now)
	return nil
}

func (m *memory) Release(_ context.Context, id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, gen := range []map[string]claim{m.young, m.old} {
		if c, ok := gen[id]; ok && !c.committed {
			delete(gen, id)
		}
	}
	return nil
}

func (m *memory) put(id string, c claim, now time.Time) {
	delete(m.old, id)
	if _, known := m.young[id]; !known && (len(m.young) >= m.half || len(m.young) > 0 && now.After(m.oldEnds)) {
		m.old, m.oldEnds = m.young, m.youngEnds
		m.young, m.youngEnds = make(map[string]claim), time.Time{}
		delete(m.old, id)
	}
	m.young[id] = c
	if c.until.After(m.youngEnds) {
		m.youngEnds = c.until
	}
}
