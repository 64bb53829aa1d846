package tickets

import (
	"context"
	"io/fs"
	"maps"
	"sync"
	"time"

	"github.com/wechatqr/wechatqr"
)

// NewMemory returns a Store that ends with the process: for temporary codes and
// for tests. Permanent codes would be created again after each start.
func NewMemory() Store { return newMemory() }

func newMemory() *memory {
	return &memory{entries: map[Key]entry{}, known: map[string]int{}}
}

// memory is the entries, and what a file of them writes down: save is called
// under mu after a change that must last, which is undone if save fails.
type memory struct {
	save func() error // nil: nothing lasts

	mu      sync.Mutex
	closed  bool
	entries map[Key]entry
	known   map[string]int // permanent keys, by account
	sweepAt int            // number of entries at which those that ended are deleted
}

// entry is a ticket, a claim, or both; a permanent one without either was
// claimed once.
type entry struct {
	ticket wechatqr.Ticket // zero: there is none
	owner  string          // of the claim
	until  time.Time       // when the claim ends
}

func (e entry) kept(now time.Time) bool {
	return e.ticket.Value != "" && !e.ticket.Expired(now)
}

func (m *memory) LoadTicket(_ context.Context, key Key) (wechatqr.Ticket, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.entries[key]
	if !e.kept(time.Now()) {
		return wechatqr.Ticket{}, ErrNotFound
	}
	return e.ticket, nil
}

func (m *memory) ClaimTicket(
	_ context.Context, key Key, owner string, lease time.Duration, budget int,
) (Claim, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	e, ok := m.entries[key]
	switch {
	case m.closed:
		return 0, failed("claim ticket", fs.ErrClosed)
	case ok && now.Before(e.until) && e.owner != owner:
		return ClaimBusy, nil
	case !ok && key.Permanent() && m.known[key.Account] >= budget:
		return ClaimOverBudget, nil
	}

	e.owner, e.until = owner, now.Add(lease)
	if err := m.put(key, e, !ok && key.Permanent()); err != nil {
		return 0, err
	}
	return ClaimGranted, nil
}

func (m *memory) SaveTicket(
	_ context.Context, key Key, ticket wechatqr.Ticket,
) (wechatqr.Ticket, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.entries[key]
	replace := !e.kept(time.Now()) ||
		!e.ticket.Permanent() && ticket.ExpiresAt.After(e.ticket.ExpiresAt)
	if replace {
		e.ticket = ticket
	}
	e.owner, e.until = "", time.Time{}
	return e.ticket, m.put(key, e, replace)
}

func (m *memory) ReleaseTicket(_ context.Context, key Key, owner string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e, ok := m.entries[key]; ok && e.owner == owner {
		e.owner, e.until = "", time.Time{}
		m.entries[key] = e
	}
	return nil
}

func (m *memory) CountPermanent(_ context.Context, account string) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.known[account], nil
}

// put changes an entry. lasts says that the change is to be saved.
func (m *memory) put(key Key, e entry, lasts bool) error {
	if len(m.entries) >= m.sweepAt {
		m.sweep(time.Now())
		m.sweepAt = max(1024, 2*len(m.entries))
	}

	old, ok := m.entries[key]
	m.entries[key] = e
	if !lasts || m.save == nil {
		m.count(key, ok)
		return nil
	}
	if err := m.save(); err != nil {
		delete(m.entries, key)
		if ok {
			m.entries[key] = old
		}
		return err
	}
	m.count(key, ok)
	return nil
}

func (m *memory) count(key Key, known bool) {
	if key.Permanent() && !known {
		m.known[key.Account]++
	}
}

func (m *memory) sweep(now time.Time) {
	maps.DeleteFunc(m.entries, func(key Key, e entry) bool {
		return !key.Permanent() && !e.kept(now) && !now.Before(e.until)
	})
}
