package wechatqrtest_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wechatqr/wechatqr/events"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// brokenDeduper keeps every promise, except the one that broken names.
type brokenDeduper struct {
	broken string

	mu     sync.Mutex
	claims map[string]claim
}

type claim struct {
	owner string
	end   time.Time
	done  bool
}

func newBrokenDeduper(broken string) *brokenDeduper {
	return &brokenDeduper{broken: broken, claims: map[string]claim{}}
}

func (d *brokenDeduper) name(id string) string {
	switch d.broken {
	case "ids are cut":
		return id[:min(len(id), 200)]
	case "ids are trimmed":
		return strings.TrimSpace(id)
	case "ids have no case":
		return strings.ToLower(id)
	}
	return id
}

func (d *brokenDeduper) Claim(
	ctx context.Context, id, owner string, leaseFor time.Duration,
) (events.Claim, error) {
	if d.broken == "deaf to ctx" && ctx.Err() != nil {
		select {}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	id = d.name(id)
	c, ok := d.claims[id]
	if d.broken == "claim is two steps" {
		d.mu.Unlock()
		time.Sleep(time.Millisecond)
		d.mu.Lock()
	}

	runs := ok && time.Now().Before(c.end)
	if d.broken == "leases never end" && !c.done || d.broken == "commits never end" && c.done {
		runs = ok
	}
	if runs && c.done && d.broken != "claims again what is committed" {
		if d.broken == "committed counts as running" {
			return events.ClaimBusy, nil
		}
		if c.owner != owner || d.broken != "a commit is not the owner's" {
			return events.ClaimHandled, nil
		}
	}

	same := c.owner == owner
	switch d.broken {
	case "owners are ignored":
		same = true
	case "owners have no case":
		same = strings.EqualFold(c.owner, owner)
	case "the same owner is refused":
		same = false
	}
	if runs && !same {
		switch d.broken {
		case "one claim for both":
			return events.ClaimHandled, nil
		case "no response":
			return 0, nil
		case "busy is an error":
			return events.ClaimBusy, errors.New("busy")
		}
		return events.ClaimBusy, nil
	}
	if !runs || d.broken != "claim is not prolonged" {
		d.claims[id] = claim{owner: owner, end: time.Now().Add(leaseFor)}
	}
	return events.ClaimGranted, nil
}

func (d *brokenDeduper) Commit(_ context.Context, id string, ttl time.Duration) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	id = d.name(id)
	c, ok := d.claims[id]
	done := claim{owner: c.owner, end: time.Now().Add(ttl), done: true}
	switch {
	case d.broken == "commit wants a claim" && !ok:
		return nil
	case d.broken == "commit wants a lease" && !time.Now().Before(c.end) && ok:
		return nil
	case d.broken == "commit keeps the lease's end" && ok:
		done.end = c.end
	}
	d.claims[id] = done
	return nil
}

func (d *brokenDeduper) Release(_ context.Context, id, owner string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	id = d.name(id)
	c, ok := d.claims[id]
	switch {
	case d.broken == "never releases", c.done && d.broken != "releases the committed":
		return nil
	case d.broken == "release of nothing fails" && !ok:
		return errors.New("no claim")
	case d.broken == "releases without case" && strings.EqualFold(c.owner, owner),
		d.broken == "releases another's", c.owner == owner:
		delete(d.claims, id)
	}
	return nil
}

func TestDeduperOfMemory(t *testing.T) {
	t.Parallel()
	wechatqrtest.TestDeduper(t, func(*testing.T) events.Deduper { return newBrokenDeduper("") })
	t.Run("package events", func(t *testing.T) {
		wechatqrtest.TestDeduper(t,
			func(*testing.T) events.Deduper { return events.NewMemoryDeduper(0) })
	})
}

func TestDeduperFindsBroken(t *testing.T) {
	if way := os.Getenv(brokenEnv); way != "" {
		wechatqrtest.TestDeduper(t,
			func(*testing.T) events.Deduper { return newBrokenDeduper(way) })
		return
	}
	t.Parallel()
	findsBroken(t, t.Name(),
		"ids are cut", "ids are trimmed", "ids have no case", "claim is two steps",
		"one claim for both", "no response", "busy is an error", "committed counts as running",
		"claims again what is committed", "a commit is not the owner's",
		"owners are ignored", "owners have no case", "the same owner is refused",
		"claim is not prolonged",
		"leases never end", "commits never end",
		"commit wants a claim", "commit wants a lease", "commit keeps the lease's end",
		"never releases", "releases the committed", "releases another's", "releases without case",
		"release of nothing fails", "deaf to ctx")
}
