package wechatqrtest_test

import (
	"bytes"
	"context"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wechatqr/wechatqr/scanlogin"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// loginStore keeps every promise, except the one that broken names.
type loginStore struct {
	broken string

	mu      sync.Mutex
	entries map[string]loginEntry
	counts  map[string]loginEntry
}

type loginEntry struct {
	value []byte
	n     int
	ends  time.Time
}

func newLoginStore(broken string) *loginStore {
	return &loginStore{
		broken: broken, entries: map[string]loginEntry{}, counts: map[string]loginEntry{},
	}
}

func (s *loginStore) name(key string) string {
	switch s.broken {
	case "one key":
		return ""
	case "keys are cut":
		return key[:min(len(key), 80)]
	case "keys have no case":
		return strings.ToLower(key)
	case "no kinds of keys":
		return key[strings.LastIndex(key, "/")+1:]
	}
	return key
}

func (s *loginStore) wait(ctx context.Context, broken string) {
	if s.broken == broken && ctx.Err() != nil {
		select {}
	}
}

func (s *loginStore) at(key string) []byte {
	e := s.entries[s.name(key)]
	if !time.Now().Before(e.ends) && s.broken != "values never end" {
		return nil
	}
	return e.value
}

func (s *loginStore) LoadLogin(ctx context.Context, key string) ([]byte, error) {
	s.wait(ctx, "load is deaf to ctx")
	s.mu.Lock()
	defer s.mu.Unlock()
	value := s.at(key)
	switch {
	case s.broken == "empty for none" && value == nil:
		return []byte{}, nil
	case s.broken == "gives its own bytes":
		return value, nil
	case s.broken == "trims":
		return bytes.TrimSpace(value), nil
	case s.broken == "cuts values":
		return slices.Clone(value[:min(len(value), 4096)]), nil
	case s.broken == "only UTF-8" && value != nil:
		return bytes.ToValidUTF8(value, []byte("?")), nil
	}
	return slices.Clone(value), nil
}

func (s *loginStore) SwapLogin(
	ctx context.Context, key string, old, new []byte, ttl time.Duration,
) (bool, error) {
	s.wait(ctx, "swap is deaf to ctx")
	s.mu.Lock()
	defer s.mu.Unlock()
	value := s.at(key)
	same := bytes.Equal(value, old)
	switch s.broken {
	case "always swaps":
		same = true
	case "swaps anything":
		same = value == nil && len(old) == 0 || value != nil && len(old) > 0
	case "compares lengths":
		same = len(value) == len(old)
	case "swaps nothing known":
		same = same && value == nil
	case "swap is two steps":
		s.mu.Unlock()
		time.Sleep(time.Millisecond)
		s.mu.Lock()
	case "swaps what is not there":
		same = same || value == nil
	case "never ends a swap":
		ttl = time.Hour
	}
	if !same {
		return s.broken == "says yes", nil
	}
	ends := time.Now().Add(ttl)
	if value != nil && s.broken == "a swap does not prolong" {
		ends = s.entries[s.name(key)].ends
	}
	if s.broken != "keeps the caller's bytes" {
		new = slices.Clone(new)
	}
	s.entries[s.name(key)] = loginEntry{value: new, ends: ends}
	return s.broken != "says no", nil
}

func (s *loginStore) CountLogin(ctx context.Context, key string, ttl time.Duration) (int, error) {
	s.wait(ctx, "count is deaf to ctx")
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.counts[s.name(key)]
	if s.broken == "count is two steps" {
		s.mu.Unlock()
		time.Sleep(time.Millisecond)
		s.mu.Lock()
	}
	now := time.Now()
	if now.After(e.ends) && s.broken != "counts never end" {
		e.n = 0
	}
	if e.n == 0 || s.broken == "a count is prolonged" {
		e.ends = now.Add(ttl)
	}
	e.n++
	s.counts[s.name(key)] = e
	if s.broken == "counts from 0" {
		return e.n - 1, nil
	}
	return e.n, nil
}

func TestLoginStoreOfMemory(t *testing.T) {
	t.Parallel()
	wechatqrtest.TestLoginStore(t,
		func(*testing.T) scanlogin.Store { return scanlogin.NewMemory() })
	wechatqrtest.TestLoginStore(t, func(*testing.T) scanlogin.Store { return newLoginStore("") })
}

func TestLoginStoreFindsBroken(t *testing.T) {
	if way := os.Getenv(brokenEnv); way != "" {
		wechatqrtest.TestLoginStore(t,
			func(*testing.T) scanlogin.Store { return newLoginStore(way) })
		return
	}
	t.Parallel()
	findsBroken(t, t.Name(),
		"one key", "keys are cut", "keys have no case", "no kinds of keys", "values never end",
		"empty for none", "gives its own bytes", "trims", "cuts values", "only UTF-8",
		"always swaps", "swaps anything", "compares lengths", "swaps nothing known",
		"swap is two steps", "swaps what is not there", "never ends a swap", "says yes", "says no",
		"a swap does not prolong", "keeps the caller's bytes", "count is two steps",
		"counts never end", "a count is prolonged", "counts from 0",
		"load is deaf to ctx", "swap is deaf to ctx", "count is deaf to ctx")
}
