package wechatqrtest_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
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
	leases map[string]lease
}

type lease struct {
	owner string
	end   time.Time
}

func newMemoryStore(broken string) *memoryStore {
	return &memoryStore{
		broken: broken, tokens: map[string]wechatqr.Token{}, leases: map[string]lease{},
	}
}

func (m *memoryStore) name(key string) string {
	if m.broken == "keys are cut" {
		return key[:min(len(key), 100)]
	}
	switch m.broken {
	case "one key":
		return ""
	case "keys are trimmed":
		return strings.TrimSpace(key)
	case "keys have no case":
		return strings.ToLower(key)
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

func (m *memoryStore) Save(_ context.Context, key string, tok wechatqr.Token, owner string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.refuses(m.name(key), owner) {
		if m.broken != "saves what it refuses" {
			if m.broken == "refuses without an error" {
				return nil
			}
			return errors.New("another's lease runs")
		}
		defer func() { m.tokens[m.name(key)] = tok }()
	}
	old, ok := m.tokens[m.name(key)]
	own := m.leases[m.name(key)].owner == owner
	switch {
	case ok && m.broken == "never replaces":
		return nil
	case ok && own && m.broken == "the leader always replaces":
	case ok && tok.Expiry.Before(old.Expiry) && m.broken != "always replaces":
		return nil
	}
	m.tokens[m.name(key)] = tok
	if m.broken == "save ends the lease" {
		delete(m.leases, m.name(key))
	}
	return nil
}

// refuses tells whether a Save is refused.
func (m *memoryStore) refuses(key, owner string) bool {
	l, leased := m.leases[key]
	if leased && m.broken != "leases are kept" && !time.Now().Before(l.end) {
		leased = false
	}
	switch m.broken {
	case "save ignores leases":
		return false
	case "save without an owner is not refused":
		return leased && l.owner != owner && owner != ""
	case "save needs a lease":
		return owner != "" && (!leased || l.owner != owner)
	case "save is refused under any lease":
		return leased
	}
	return leased && l.owner != owner
}

func (m *memoryStore) Discard(_ context.Context, key, rejected string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	current := m.tokens[m.name(key)].Value == rejected
	if m.broken == "values have no case" {
		current = strings.EqualFold(m.tokens[m.name(key)].Value, rejected)
	}
	if m.broken == "discard is two steps" {
		m.mu.Unlock()
		time.Sleep(time.Millisecond)
		m.mu.Lock()
	}
	if current && m.broken != "never discards" || m.broken == "discards any" {
		delete(m.tokens, m.name(key))
		if m.broken == "discard ends the lease" {
			delete(m.leases, m.name(key))
		}
	}
	return nil
}

func (m *memoryStore) Lease(ctx context.Context, key, owner string,
	ttl time.Duration) (bool, error) {
	if m.broken == "lease is deaf to ctx" && ctx.Err() != nil {
		select {}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	key = m.name(key)
	l, ok := m.leases[key]
	if m.broken == "lease is two steps" {
		m.mu.Unlock()
		time.Sleep(time.Millisecond)
		m.mu.Lock()
	}
	same := l.owner == owner
	switch m.broken {
	case "owners have no case":
		same = strings.EqualFold(l.owner, owner)
	case "one owner of all keys":
		for _, other := range m.leases {
			same = same || other.owner == owner
		}
	case "the same owner is refused":
		same = false
	case "leases to all":
		same = true
	}
	runs := time.Now().Before(l.end)
	switch m.broken {
	case "leases never end":
		runs = true
	case "a lease ends with the token":
		_, runs = m.tokens[key]
	}
	if ok && !same && runs {
		return false, nil
	}
	if !ok || !same || m.broken != "lease is not prolonged" {
		m.leases[key] = lease{owner, time.Now().Add(ttl)}
	}
	if m.broken == "a lease is a token" {
		m.tokens[key] = wechatqr.Token{Expiry: time.Now().Add(ttl)}
	}
	return true, nil
}

func (m *memoryStore) Unlease(ctx context.Context, key, owner string) error {
	if m.broken == "unlease is deaf to ctx" && ctx.Err() != nil {
		select {}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	key = m.name(key)
	l, ok := m.leases[key]
	switch {
	case m.broken == "never unleases":
	case m.broken == "unlease of nothing fails" && !ok:
		return errors.New("no lease")
	case m.broken == "unlease by an owner of any key":
		for _, other := range m.leases {
			if other.owner == owner {
				delete(m.leases, key)
			}
		}
	case m.broken == "unleases without case" && strings.EqualFold(l.owner, owner),
		m.broken == "unleases another's", l.owner == owner:
		delete(m.leases, key)
		if m.broken == "unlease drops the token" {
			delete(m.tokens, key)
		}
	}
	return nil
}

func TestTokenStoreOfMemory(t *testing.T) {
	t.Parallel()
	wechatqrtest.TestTokenStore(t,
		func(*testing.T) wechatqr.TokenStore { return newMemoryStore("") })
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
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+test+"$",
				"-test.timeout=2m")
			cmd.Env = append(os.Environ(), brokenEnv+"="+way)
			out, err := cmd.CombinedOutput()
			var exit *exec.ExitError
			assert.ErrorAs(t, err, &exit, "%s: the test passes:\n%s", way, out)
			assert.Contains(t, string(out), "--- FAIL: "+test,
				"%s: the test fails for another reason", way)
		})
	}
	wg.Wait()
}

func TestTokenStoreFindsBroken(t *testing.T) {
	if way := os.Getenv(brokenEnv); way != "" {
		wechatqrtest.TestTokenStore(t,
			func(*testing.T) wechatqr.TokenStore { return newMemoryStore(way) })
		return
	}
	t.Parallel()
	findsBroken(t, t.Name(),
		"keys are cut", "one key", "keys are trimmed", "keys have no case", "values have no case",
		"no error", "keeps expired", "rounds up", "forgets the end", "cuts values",
		"never replaces", "always replaces", "the leader always replaces",
		"never discards", "discards any", "discard is two steps", "discard ends the lease",
		"saves what it refuses", "refuses without an error", "save ends the lease",
		"save ignores leases",
		"save without an owner is not refused", "save needs a lease",
		"save is refused under any lease",
		"leases are kept", "leases to all", "leases never end", "lease is two steps",
		"lease is not prolonged", "the same owner is refused", "owners have no case",
		"one owner of all keys", "a lease is a token", "a lease ends with the token",
		"never unleases", "unleases another's", "unleases without case", "unlease of nothing fails",
		"unlease by an owner of any key", "unlease drops the token",
		"deaf to ctx", "lease is deaf to ctx", "unlease is deaf to ctx")
}
