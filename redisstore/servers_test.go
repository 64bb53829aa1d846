package redisstore_test

import (
	"context"
	"fmt"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	processes = 4
	workers   = 250 // in each process
)

// check looks at what the servers saw and at the fetches since the last check.
func check(t *testing.T, s seen, wx *wechat, fetches int) {
	t.Helper()
	n := wx.count()
	t.Logf("%d calls, %v at the longest; %d fetches; %d failures of the store, %d stalls of the "+
		"machine",
		s.Calls, s.Longest.Round(time.Millisecond), n, s.StoreFailures, s.Stalls)
	assert.Zero(t, s.Failed, s.Error)
	assert.GreaterOrEqual(t, n, min(fetches, 1))
	assert.LessOrEqual(t, n, s.fetches(fetches))
}

func TestColdServersFetchOneToken(t *testing.T) {
	rs, wx := startServer(t), startWeChat(t, 2*time.Hour, 500*time.Millisecond)
	ps := startProcesses(t, processes, role{
		Redis: rs.addr, WeChat: wx.URL, Classic: true, Workers: workers,
	})
	s := ask(ps, "burst")
	assert.Equal(t, processes*workers, s.Calls)
	check(t, s, wx, 1)
}

func TestRevokedTokenIsReplacedOnce(t *testing.T) {
	rs, wx := startServer(t), startWeChat(t, 2*time.Hour, 300*time.Millisecond)
	ps := startProcesses(t, processes, role{
		Redis: rs.addr, WeChat: wx.URL, Classic: true, Workers: workers, Pace: time.Second,
	})
	ask(ps, "load")
	for range 4 {
		wx.serves(t, processes, workers)
		check(t, ask(ps, "see"), wx, 1)
		wx.revoke()
	}
}

func TestExpiringTokenFailsNoCall(t *testing.T) {
	rs, wx := startServer(t), startWeChat(t, 2*time.Second, 100*time.Millisecond)
	ps := startProcesses(t, processes, role{
		Redis: rs.addr, WeChat: wx.URL, Classic: true, Workers: workers, Pace: time.Second,
	})
	start := time.Now()
	ask(ps, "load")
	waitFor(t, "three tokens", func() bool {
		wx.mu.Lock()
		defer wx.mu.Unlock()
		return wx.issued >= 3
	})
	wx.serves(t, processes, workers)
	s := ask(ps, "see")
	// A token is not renewed in the first half of its life.
	check(t, s, wx, 1+int(time.Since(start)/(wx.life/2)))
}

// Callers have less time than a lease of old lasted, and enough for one of a
// second and a fetch.
func TestLeaderIsKilled(t *testing.T) {
	t.Parallel()
	for name, classic := range map[string]bool{"classic": true, "stable": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rs, wx := startServer(t), startWeChat(t, 2*time.Hour, time.Minute)
			ps := startProcesses(t, processes, role{
				Redis: rs.addr, WeChat: wx.URL, Classic: classic, Workers: 20,
				Timeout: 5 * time.Second,
			})
			ps[0].tell("burst")
			require.Equal(t, "0", <-wx.asked)
			wx.slow(100 * time.Millisecond)
			ps[0].kill()
			s := ask(ps[1:], "burst")
			assert.Equal(t, (processes-1)*20, s.Calls)
			fetches := 2
			if !classic {
				fetches = processes // nobody waits for a leader
			}
			check(t, s, wx, fetches)
		})
	}
}

// A leader that stalls beyond its lease comes too late with its token.
func TestLeaderStalls(t *testing.T) {
	t.Parallel()
	rs, wx := startServer(t), startWeChat(t, 2*time.Hour, 500*time.Millisecond)
	store := newStore(t, connect(t, rs.addr))
	ps := startProcesses(t, 2, role{Redis: rs.addr, WeChat: wx.URL, Classic: true, Workers: 20})
	for _, p := range ps {
		p.tell("burst")
	}
	leader, err := strconv.Atoi(<-wx.asked)
	require.NoError(t, err)
	late, other := ps[leader], ps[1-leader]
	late.signal(syscall.SIGSTOP)
	s := other.read()
	assert.Zero(t, s.Failed, s.Error)
	shared := loadKey(t, store, classicKey)

	late.signal(syscall.SIGCONT)
	s.add(late.read())
	s.Failed = 0 // what it had begun may have failed: it slept for longer than its calls may take
	assert.Equal(t, shared, loadKey(t, store, classicKey), "the late token does not replace it")
	wx.revoke("97_token-1")
	waitFor(t, "both use the shared token", func() bool {
		burst := ask(ps, "burst")
		failed := burst.Failed
		burst.Failed = 0
		s.add(burst)
		return failed == 0
	})
	check(t, s, wx, 2)
	assert.Equal(t, shared, loadKey(t, store, classicKey))
}

// A leader whose Redis hangs while it renews keeps its callers.
func TestRedisHangsWhileTheLeaderRenews(t *testing.T) {
	t.Parallel()
	rs, wx := startServer(t), startWeChat(t, 2*time.Hour, 500*time.Millisecond)
	ps := startProcesses(t, 1, role{Redis: rs.addr, WeChat: wx.URL, Classic: true, Workers: 20})
	ps[0].tell("burst")
	<-wx.asked
	rs.signal(t, syscall.SIGSTOP)
	s := ps[0].read()
	rs.signal(t, syscall.SIGCONT)
	assert.Zero(t, s.Failed, s.Error)
	assert.Equal(t, 1, wx.count())

	other := newStore(t, connect(t, rs.addr))
	waitFor(t, "the lease ends", func() bool {
		ok, err := other.Lease(t.Context(), classicKey, "other", time.Hour)
		return ok && err == nil
	})
}

func TestRedisAway(t *testing.T) {
	t.Parallel()
	rs, wx := startServer(t), startWeChat(t, 2*time.Hour, 100*time.Millisecond)
	rdb := connect(t, rs.addr)
	do := func(args ...any) func() {
		return func() { require.NoError(t, rdb.Do(context.Background(), args...).Err(), args) }
	}
	const servers = 3
	ps := startProcesses(t, servers, role{
		Redis: rs.addr, WeChat: wx.URL, Classic: true, Workers: 20, Pace: 200 * time.Millisecond,
	})
	ask(ps, "load")
	wx.serves(t, servers, 20)
	check(t, ask(ps, "see"), wx, 1)
	store := newStore(t, rdb)
	for i, fault := range []struct {
		name          string
		begin, finish func()
	}{
		{"stopped", func() { rs.stop(t) }, func() { require.True(t, rs.start(t)) }},
		{"paused", func() { rs.signal(t, syscall.SIGSTOP) },
			func() { rs.signal(t, syscall.SIGCONT) }},
		{"full", do("CONFIG", "SET", "maxmemory", "1"), do("CONFIG", "SET", "maxmemory", "0")},
		{"read-only", do("REPLICAOF", "127.0.0.1", "1"), do("REPLICAOF", "NO", "ONE")},
		{"responding with an error", do("ACL", "SETUSER", "default", "-@scripting"),
			do("ACL", "SETUSER", "default", "+@scripting")},
		{"restarted empty", func() { rs.stop(t); require.True(t, rs.start(t)) }, func() {}},
	} {
		t.Run(fault.name, func(t *testing.T) {
			fault.begin()
			wx.serves(t, servers, 20)
			check(t, ask(ps, "see"), wx, 0) // the tokens in memory serve on

			wx.revoke()
			wx.serves(t, servers, 20)
			check(t, ask(ps, "see"), wx, servers) // one each

			fault.finish()
			waitFor(t, "Redis is back", func() bool {
				key := fmt.Sprint("fault ", i)
				return store.Save(t.Context(), key, lasting("token", time.Hour), "") == nil
			})
			wx.serves(t, servers, 20)
			check(t, ask(ps, "see"), wx, 0)

			wx.revoke()
			wx.serves(t, servers, 20)
			check(t, ask(ps, "see"), wx, 1) // they share again
		})
	}
}
