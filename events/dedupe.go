package events

import (
	"context"
	"crypto/sha256"
	"sync"
	"time"
)

// Deduper remembers which events were handled, so that a push which WeChat
// delivers several times runs the function once. Share one between the
// processes that serve one URL; package redisstore has such a one. It is safe
// for concurrent use and respects ctx.
//
// A claim is a lease with an owner, a random text that the caller brings: if
// the process that holds it dies, it ends by itself and the next delivery is
// handled.
type Deduper interface {
	// Claim takes the event id for the time lease. The same owner gets it again,
	// counted from now: that prolongs the claim, and repeats a call whose answer
	// was lost. No outcome is an error.
	Claim(ctx context.Context, id, owner string, lease time.Duration) (Claim, error)

	// Commit marks id as handled for the time ttl, whether it was claimed or not.
	Commit(ctx context.Context, id string, ttl time.Duration) error

	// Release gives a claimed id back, so that it can be claimed at once. It does
	// nothing unless owner holds it: an id that was committed, is unknown or is
	// another's stays as it is.
	Release(ctx context.Context, id, owner string) error
}

// Claim is the outcome of [Deduper.Claim].
type Claim int

// The outcomes. The zero Claim is none of them.
const (
	ClaimGranted Claim = iota + 1 // the caller holds the event and is to handle it
	ClaimHandled                  // it was committed
	ClaimBusy                     // another owner holds it
)

// NewMemoryDeduper returns a Deduper for a single process that holds at most
// about limit events, of some 100 bytes each, and forgets the oldest beyond
// that. A limit below 1024 counts as 1024.
func NewMemoryDeduper(limit int) Deduper { return newMemory(limit) }

const memoryLimit = 1 << 16 // a Handler's own

func newMemory(limit int) *memory {
	return &memory{half: max(limit, 1024) / 2, start: time.Now(), young: make(map[key]claim)}
}

// memory keeps two generations: the young one takes what comes, and becomes
// the old one when it is full or all of the old one has expired. So nothing
// has to be searched for what expired.
type memory struct {
	half  int
	start time.Time // times are counted from here, on the monotonic clock

	mu         sync.Mutex
	young, old map[key]claim
	youngEnds  time.Duration // when the last of them expires
	oldEnds    time.Duration
}

// key is an id's hash: an id may be long, and its length is the sender's.
type key [sha256.Size]byte

type claim struct {
	owner     string
	until     time.Duration
	committed bool
}

func (m *memory) Claim(_ context.Context, id, owner string, lease time.Duration) (Claim, error) {
	k := key(sha256.Sum256([]byte(id)))
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Since(m.start)
	c, ok := m.young[k]
	if !ok {
		c, ok = m.old[k]
	}
	if ok && now < c.until {
		if c.committed {
			return ClaimHandled, nil
		}
		if c.owner != owner {
			return ClaimBusy, nil
		}
	}
	m.put(k, claim{owner: owner, until: now + lease}, now)
	return ClaimGranted, nil
}

func (m *memory) Commit(_ context.Context, id string, ttl time.Duration) error {
	k := key(sha256.Sum256([]byte(id)))
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Since(m.start)
	m.put(k, claim{until: now + ttl, committed: true}, now)
	return nil
}

func (m *memory) Release(_ context.Context, id, owner string) error {
	k := key(sha256.Sum256([]byte(id)))
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, generation := range [...]map[key]claim{m.young, m.old} {
		if c, ok := generation[k]; ok && !c.committed && c.owner == owner {
			delete(generation, k)
		}
	}
	return nil
}

func (m *memory) put(k key, c claim, now time.Duration) {
	if _, known := m.young[k]; !known && (len(m.young) >= m.half || len(m.young) > 0 && now >= m.oldEnds) {
		m.old, m.oldEnds = m.young, m.youngEnds
		m.young, m.youngEnds = make(map[key]claim), 0
	}
	delete(m.old, k)
	m.young[k] = c
	m.youngEnds = max(m.youngEnds, c.until)
}
