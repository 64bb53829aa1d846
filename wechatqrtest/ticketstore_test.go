package wechatqrtest_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/tickets"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// ticketStore keeps every promise, except the one that broken names.
type ticketStore struct {
	broken string

	mu      sync.Mutex
	entries map[string]ticketEntry
	known   map[string]map[string]bool // by account
}

type ticketEntry struct {
	ticket wechatqr.Ticket
	owner  string
	until  time.Time
}

func newTicketStore(broken string) *ticketStore {
	return &ticketStore{
		broken: broken, entries: map[string]ticketEntry{}, known: map[string]map[string]bool{},
	}
}

func (s *ticketStore) name(key tickets.Key) string {
	switch s.broken {
	case "scenes only":
		return key.Account + key.Scene.Key()
	case "no account":
		return key.Name()
	case "no life":
		key.TTL = min(key.TTL, 1)
	case "keys are cut":
		return key.String()[:min(60, len(key.String()))]
	case "keys have no case":
		return strings.ToLower(key.String())
	case "keys are trimmed":
		return strings.TrimSpace(key.String())
	}
	return key.String()
}

func (s *ticketStore) wait(ctx context.Context, broken string) {
	if s.broken == broken && ctx.Err() != nil {
		select {}
	}
}

func (s *ticketStore) know(key tickets.Key) {
	if !key.Permanent() && s.broken != "counts temporary ones" ||
		s.broken == "forgets what is known" {
		return
	}
	if s.known[key.Account] == nil {
		s.known[key.Account] = map[string]bool{}
	}
	s.known[key.Account][s.name(key)] = true
}

func (s *ticketStore) LoadTicket(ctx context.Context, key tickets.Key) (wechatqr.Ticket, error) {
	s.wait(ctx, "load is deaf to ctx")
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.entries[s.name(key)].ticket
	switch {
	case t.Value == "" && s.broken != "no error":
		return t, tickets.ErrNotFound
	case s.broken == "cuts values":
		t.Value = t.Value[:min(len(t.Value), 64)]
	case s.broken == "loses the content":
		t.Content = ""
	case s.broken == "loses the end":
		t.ExpiresAt = time.Time{}
	case s.broken == "ends late" && !t.Permanent():
		t.ExpiresAt = t.ExpiresAt.Add(time.Second)
	}
	return t, nil
}

func (s *ticketStore) ClaimTicket(
	ctx context.Context, key tickets.Key, owner string, leaseFor time.Duration, budget int,
) (tickets.Claim, error) {
	s.wait(ctx, "claim is deaf to ctx")
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[s.name(key)]
	if s.broken == "claim is two steps" {
		s.mu.Unlock()
		time.Sleep(time.Millisecond)
		s.mu.Lock()
	}
	runs := time.Now().Before(e.until) || s.broken == "claims never end" && e.owner != ""
	same := e.owner == owner || s.broken == "owners have no case" &&
		strings.EqualFold(e.owner, owner)
	if s.broken == "the same owner is refused" {
		same = false
	}
	if runs && !same && s.broken != "claims to all" {
		return tickets.ClaimBusy, nil
	}
	known := s.known[key.Account]
	switch {
	case s.broken == "no budget", !key.Permanent() && s.broken != "a budget of temporary ones":
	case known[s.name(key)] && s.broken != "a known key is over the budget":
	case len(known) >= budget:
		return tickets.ClaimOverBudget, nil
	}
	if s.broken != "a claim is not known" {
		s.know(key)
	}
	if s.broken == "a claim drops the ticket" {
		e.ticket = wechatqr.Ticket{}
	}
	if !runs || s.broken != "a claim is not prolonged" {
		e.owner, e.until = owner, time.Now().Add(leaseFor)
	}
	s.entries[s.name(key)] = e
	return tickets.ClaimGranted, nil
}

func (s *ticketStore) SaveTicket(
	ctx context.Context, key tickets.Key, t wechatqr.Ticket,
) (wechatqr.Ticket, error) {
	s.wait(ctx, "save is deaf to ctx")
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[s.name(key)]
	if s.broken == "save is two steps" {
		s.mu.Unlock()
		time.Sleep(time.Millisecond)
		s.mu.Lock()
	}
	if e.owner == "" && s.broken == "save needs a claim" {
		return t, errors.New("not claimed")
	}
	later := !e.ticket.Permanent() && t.ExpiresAt.After(e.ticket.ExpiresAt)
	switch s.broken {
	case "always replaces":
		later = true
	case "never replaces":
		later = false
	}
	if e.ticket.Value == "" || later {
		e.ticket = t
	}
	if s.broken != "save leaves the claim" {
		e.owner, e.until = "", time.Time{}
	}
	if s.broken != "a saved ticket is not known" {
		s.know(key)
	}
	s.entries[s.name(key)] = e
	if s.broken == "returns what was given" {
		return t, nil
	}
	return e.ticket, nil
}

func (s *ticketStore) ReleaseTicket(ctx context.Context, key tickets.Key, owner string) error {
	s.wait(ctx, "release is deaf to ctx")
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.entries[s.name(key)]
	switch {
	case s.broken == "release of nothing fails" && !ok:
		return errors.New("no claim")
	case s.broken == "never releases", e.owner != owner && s.broken != "releases another's":
		return nil
	case s.broken == "release drops the ticket":
		e.ticket = wechatqr.Ticket{}
	case s.broken == "release forgets the key":
		delete(s.known[key.Account], s.name(key))
	}
	e.owner, e.until = "", time.Time{}
	s.entries[s.name(key)] = e
	return nil
}

func (s *ticketStore) CountPermanent(ctx context.Context, account string) (int, error) {
	s.wait(ctx, "count is deaf to ctx")
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.known[account]), nil
}

func TestTicketStoreOfMemory(t *testing.T) {
	t.Parallel()
	wechatqrtest.TestTicketStore(t, func(*testing.T) tickets.Store { return newTicketStore("") })
}

func TestTicketStoreFindsBroken(t *testing.T) {
	if way := os.Getenv(brokenEnv); way != "" {
		wechatqrtest.TestTicketStore(t,
			func(*testing.T) tickets.Store { return newTicketStore(way) })
		return
	}
	t.Parallel()
	findsBroken(t, t.Name(),
		"scenes only", "no account", "no life", "keys are cut", "keys have no case",
		"keys are trimmed",
		"no error", "cuts values", "loses the content", "loses the end", "ends late",
		"always replaces", "never replaces", "returns what was given", "save is two steps",
		"save needs a claim", "save leaves the claim", "a saved ticket is not known",
		"forgets what is known", "counts temporary ones", "a claim is not known",
		"no budget", "a budget of temporary ones", "a known key is over the budget",
		"claim is two steps", "claims never end", "claims to all", "owners have no case",
		"the same owner is refused", "a claim is not prolonged", "a claim drops the ticket",
		"release of nothing fails", "never releases", "releases another's",
		"release drops the ticket", "release forgets the key",
		"load is deaf to ctx", "claim is deaf to ctx", "save is deaf to ctx",
		"release is deaf to ctx", "count is deaf to ctx")
}
