package wechatqrtest_test

import (
	"context"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// memoryStore keeps every promise, except the one that broken names.
type memoryStore struct {
	broken string

	mu     sync.Mutex
	tokens map[string]wechatqr.Token
	leases map[string]*time.Time
}

func newMemoryStore(broken string) *memoryStore {
	return &memoryStore{broken: broken, tokens: map[string]wechatqr.Token{}, leases: map[string]*time.Time{}}
}

func (m *memoryStore) name(key string) string {
	if m.broken == "keys are cut" {
		return key[:min(len(key), 100)]
	}
	if m.broken == "one key" {
		return ""
	}
	return key
}

func (m *memoryStore) Load(ctx context.Context, key string) (wechatqr.Token, error) {
	if m.broken == "deaf to ctx" && ctx.Err() != nil {
		select {}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	tok, ok := m.tokens[m.name(key)]
	if !ok || !time.Now().Before(tok.Expiry) && m.broken != "keeps expired" {
		if m.broken == "no error" {
			return wechatqr.Token{}, nil
		}
		return wechatqr.Token{}, wechatqr.ErrTokenNotFound
	}
	switch m.broken {
	case "rounds up":
		tok.Expiry = tok.Expiry.Truncate(time.Second).Add(time.Second)
	case "forgets the end":
		tok.Expiry = time.Time{}
	case "cuts values":
		tok.Value = tok.Value[:min(len(tok.Value), 255)]
	}
	return tok, nil
}

func (m *memoryStore) Save(_ context.Context, key string, tok wechatqr.Token) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	old, ok := m.tokens[m.name(key)]
	switch {
	case ok && m.broken == "never replaces":
		return nil
	case ok && tok.Expiry.Before(old.Expiry) && m.broken != "always replaces":
		return nil
	}
	m.tokens[m.name(key)] = tok
	return nil
}

func (m *memoryStore) Discard(_ context.Context, key, rejected string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	current := m.tokens[m.name(key)].Value == rejected
	if m.broken == "discard is two steps" {
		m.mu.Unlock()
		time.Sleep(time.Millisecond)
		m.mu.Lock()
	}
	if current && m.broken != "never discards" || m.broken == "discards any" {
		delete(m.tokens, m.name(key))
	}
	return nil
}

func (m *memoryStore) Lease(_ context.Context, key string, ttl time.Duration) (func(), bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	key = m.name(key)
	if end, ok := m.leases[key]; ok && (time.Now().Before(*end) || m.broken == "leases never end") && m.broken != "leases to all" {
		return nil, false, nil
	}
	end := time.Now().Add(ttl)
	m.leases[key] = &end
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.leases[key] == &end || m.broken == "releases another's lease" {
			delete(m.leases, key)
		}
	}, true, nil
}

func TestTokenStoreOfMemory(t *testing.T) {
	t.Parallel()
	wechatqrtest.TestTokenStore(t, func(*testing.T) wechatqr.TokenStore { return newMemoryStore("") })
	t.Run("no leaser", func(t *testing.T) {
		wechatqrtest.TestTokenStore(t, func(*testing.T) wechatqr.TokenStore {
			return struct{ wechatqr.TokenStore }{newMemoryStore("")}
		})
	})
}

// brokenEnv names the promise that a test run again in a process of its own
// breaks.
const brokenEnv = "WECHATQRTEST_BROKEN"

// findsBroken runs test again, in a process for each of the ways to be broken,
// and checks that it fails.
func findsBroken(t *testing.T, test string, ways ...string) {
	t.Helper()
	var wg sync.WaitGroup
	slots := make(chan struct{}, 8) // they mostly wait
	for _, way := range ways {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+test+"$", "-test.timeout=2m")
			cmd.Env = append(os.Environ(), brokenEnv+"="+way)
			out, err := cmd.CombinedOutput()
			var exit *exec.ExitError
			assert.ErrorAs(t, err, &exit, "%s: the test passes:\n%s", way, out)
			assert.Contains(t, string(out), "--- FAIL: "+test, "%s: the test fails for another reason", way)
		})
	}
	wg.Wait()
}

func TestTokenStoreFindsBroken(t *testing.T) {
	if way := os.Getenv(brokenEnv); way != "" {
		wechatqrtest.TestTokenStore(t, func(*testing.T) wechatqr.TokenStore { return newMemoryStore(way) })
		return
	}
	t.Parallel()
	findsBroken(t, t.Name(),
		"keys are cut", "one key", "no error", "keeps expired", "rounds up", "forgets the end", "cuts values",
		"never replaces", "always replaces", "never discards", "discards any", "discard is two steps",
		"leases to all", "leases never end", "releases another's lease", "deaf to ctx")
}
