package wechatqrtest_test

import (
	"context"
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

	mu   sync.Mutex
	ends map[string]time.Time
	done map[string]bool
}

func newBrokenDeduper(broken string) *brokenDeduper {
	return &brokenDeduper{broken: broken, ends: map[string]time.Time{}, done: map[string]bool{}}
}

func (d *brokenDeduper) name(id string) string {
	switch d.broken {
	case "ids are cut":
		return id[:min(len(id), 200)]
	case "ids are trimmed":
		return strings.TrimSpace(id)
	}
	return id
}

func (d *brokenDeduper) Claim(ctx context.Context, id string, lease time.Duration) (bool, error) {
	if d.broken == "deaf to ctx" && ctx.Err() != nil {
		select {}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	id = d.name(id)
	end, ok := d.ends[id]
	if d.broken == "claim is two steps" {
		d.mu.Unlock()
		time.Sleep(time.Millisecond)
		d.mu.Lock()
	}
	if ok && (time.Now().Before(end) || d.broken == "leases never end" && !d.done[id] || d.broken == "commits never end" && d.done[id]) {
		switch {
		case d.broken == "one answer for both", d.done[id] && d.broken != "committed counts as running":
			return false, nil
		}
		return false, events.ErrInProgress
	}
	d.ends[id], d.done[id] = time.Now().Add(lease), false
	return true, nil
}

func (d *brokenDeduper) Commit(_ context.Context, id string, ttl time.Duration) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	id = d.name(id)
	switch end, ok := d.ends[id]; {
	case d.broken == "commit wants a claim" && !ok:
		return nil
	case d.broken == "commit wants a lease" && !time.Now().Before(end) && ok:
		return nil
	case d.broken == "commit keeps the lease's end" && ok:
		d.done[id] = true
		return nil
	}
	d.ends[id], d.done[id] = time.Now().Add(ttl), true
	return nil
}

func (d *brokenDeduper) Release(_ context.Context, id string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	id = d.name(id)
	if d.broken == "never releases" || d.done[id] && d.broken != "releases the committed" {
		return nil
	}
	delete(d.ends, id)
	return nil
}

func TestDeduperOfMemory(t *testing.T) {
	t.Parallel()
	wechatqrtest.TestDeduper(t, func(*testing.T) events.Deduper { return newBrokenDeduper("") })
	t.Run("package events", func(t *testing.T) {
		wechatqrtest.TestDeduper(t, func(*testing.T) events.Deduper { return events.NewMemoryDeduper(0) })
	})
}

func TestDeduperFindsBroken(t *testing.T) {
	if way := os.Getenv(brokenEnv); way != "" {
		wechatqrtest.TestDeduper(t, func(*testing.T) events.Deduper { return newBrokenDeduper(way) })
		return
	}
	t.Parallel()
	findsBroken(t, t.Name(),
		"ids are cut", "ids are trimmed", "claim is two steps", "one answer for both", "committed counts as running",
		"leases never end", "commits never end", "commit wants a claim", "commit wants a lease", "commit keeps the lease's end",
		"never releases", "releases the committed", "deaf to ctx")
}
