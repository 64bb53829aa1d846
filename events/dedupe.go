package events

import (
	"context"
	"crypto/sha256"
	"maps"
	"sync"
	"time"
)

// Deduper remembers which events were handled, so that a push which is
// delivered several times runs the function once. Share one between the
// processes that serve one URL; packages redisstore and sqlstore have such a one.
// It is safe for concurrent use and respects ctx.
//
// A claim is a lease with an owner, a random text that the caller brings: if
// the process that holds it dies, it ends by itself and the next delivery is
// handled. An event is in one of three states:
//
//	state    Claim                         Commit   Release
//	unknown  Granted, claimed              handled  unknown
//	claimed  the owner: Granted, claimed   handled  the owner: unknown
//	         another: Busy                          another: claimed
//	handled  Handled                       handled  handled
//
// It is unknown again when the lease or the ttl has ended.
type Deduper interface {
	// Claim claims the event id for the time lease. The same owner is granted it
	// again, counted from now: that prolongs the claim, and repeats a call whose
	// response was lost. No outcome is an error.
	Claim(ctx context.Context, id, owner string, lease time.Duration) (Claim, error)

	// Commit marks id as handled for the time ttl, whether it was claimed or not.
	Commit(ctx context.Context, id string, ttl time.Duration) error

	// Release ends owner's claim of id, so that another can claim it at once. It
	// does nothing unless owner holds it.
	Release(ctx context.Context, id, owner string) error
}

// Claim is the outcome of [Deduper.Claim].
type Claim int

// The outcomes. The zero Claim is none of them.
const (
	ClaimGranted Claim = iota + 1 // the caller holds the claim and is to handle the event
	ClaimHandled                  // it was committed
	ClaimBusy                     // another owner holds the claim
)

// NewMemoryDeduper returns a Deduper for a single process. It remembers the
// latest limit committed events at the least, for as long as Commit said, and
// twice as many at the most; each takes some 50 bytes, however long its id is.
// A claim is never forgotten while its lease runs. A limit below 1024 counts as
// 1024.
func NewMemoryDeduper(limit int) Deduper { return newMemory(limit) }

const defaultRemembered = 1 << 20 // events that a Handler remembers by itself

func newMemory(limit int) *memory {
	return &memory{
		limit: max(limit, 1024), start: time.Now(), lossReported: -time.Minute,
		claims: make(map[idHash]memoryClaim), waiting: make(map[idHash]int),
	}
}

// memory keeps the committed events in two generations. New ones are added to
// the young generation, which becomes the old one when it is full or all of the
// old one has expired. So no event has to be searched for and deleted.
type memory struct {
	limit int
	start time.Time // times are counted from here, on the monotonic clock

	mu           sync.Mutex
	claims       map[idHash]memoryClaim
	waiting      map[idHash]int           // deliveries that wait for the claim of another
	sweepAt      int                      // number of claims at which those that ended are deleted
	young, old   map[idHash]time.Duration // until when the event stays handled
	youngEnds    time.Duration            // when the last of them expires
	oldEnds      time.Duration
	lossReported time.Duration
}

// idHash is a hash of an event's id: an id may be long, and its length is the
// sender's.
type idHash [16]byte

func hashOf(id string) idHash {
	sum := sha256.Sum256([]byte(id))
	return idHash(sum[:16])
}

type memoryClaim struct {
	owner string
	until time.Duration
}

func (m *memory) Claim(_ context.Context, id, owner string, lease time.Duration) (Claim, error) {
	k := hashOf(id)
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Since(m.start)

	if now < m.young[k] || now < m.old[k] {
		return ClaimHandled, nil
	}
	if c := m.claims[k]; now < c.until && c.owner != owner {
		return ClaimBusy, nil
	}

	if len(m.claims) >= m.sweepAt {
		maps.DeleteFunc(m.claims, func(_ idHash, c memoryClaim) bool { return now >= c.until })
		m.sweepAt = max(1024, 2*len(m.claims))
	}
	m.claims[k] = memoryClaim{owner, now + lease}
	return ClaimGranted, nil
}

func (m *memory) Commit(_ context.Context, id string, ttl time.Duration) error {
	m.commit(id, ttl)
	return nil
}

// commit reports whether events that had not expired were forgotten for want of
// room, once a minute at the most.
func (m *memory) commit(id string, ttl time.Duration) (lost bool) {
	k := hashOf(id)
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Since(m.start)
	delete(m.claims, k)

	if _, known := m.young[k]; !known && (len(m.young) >= m.limit || now >= m.oldEnds) {
		lost = now < m.oldEnds && now-m.lossReported >= time.Minute
		if lost {
			m.lossReported = now
		}
		m.old, m.oldEnds = m.young, m.youngEnds
		m.young, m.youngEnds = make(map[idHash]time.Duration), 0
	}
	m.young[k] = now + ttl
	m.youngEnds = max(m.youngEnds, now+ttl)
	return lost
}

func (m *memory) Release(_ context.Context, id, owner string) error {
	k := hashOf(id)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.claims[k].owner == owner {
		delete(m.claims, k)
	}
	return nil
}

// addWaiting counts deliveries of id that wait, and returns how many do.
func (m *memory) addWaiting(id string, n int) int {
	k := hashOf(id)
	m.mu.Lock()
	defer m.mu.Unlock()
	n += m.waiting[k]
	m.waiting[k] = n
	if n == 0 {
		delete(m.waiting, k)
	}
	return n
}
