package redisstore_test

import (
	"context"
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

// bound is wait and what the machine was late by: the processes share its
// processors with each other and with whatever else runs.
func bound(wait time.Duration, s seen) time.Duration { return wait + 2*s.Stall }

func TestColdServersFetchOneToken(t *testing.T) {
	onTime(t, func(t *testing.T, check assert.TestingT) seen {
		rs, wx := startServer(t), startWeChat(t, 2*time.Hour, 500*time.Millisecond)
		ps := startProcesses(t, processes, role{Redis: rs.addr, WeChat: wx.URL, Classic: true, Workers: workers})
		s := ask(ps, "burst")
		assert.Equal(check, processes*workers, s.Calls)
		assert.Zero(check, s.Failed, s.Error)
		assert.Equal(check, 1, wx.count())
		assert.LessOrEqual(check, s.Wait, bound(wx.delay+200*time.Millisecond, s))
		return s
	})
}

func TestRevokedTokenIsReplacedOnce(t *testing.T) {
	onTime(t, func(t *testing.T, check assert.TestingT) seen {
		rs, wx := startServer(t), startWeChat(t, 2*time.Hour, 300*time.Millisecond)
		ps := startProcesses(t, processes, role{Redis: rs.addr, WeChat: wx.URL, Classic: true, Workers: workers, Pace: time.Second})
		total := ask(ps, "load")
		for range 3 {
			time.Sleep(1500 * time.Millisecond)
			s := ask(ps, "see")
			assert.Zero(check, s.Failed, s.Error)
			assert.Equal(check, 1, wx.count())
			assert.LessOrEqual(check, s.Wait, bound(wx.delay+200*time.Millisecond, s))
			total.add(s)
			wx.revoke()
		}
		return total
	})
}

func TestExpiringTokenFailsNoCall(t *testing.T) {
	onTime(t, func(t *testing.T, check assert.TestingT) seen {
		rs, wx := startServer(t), startWeChat(t, 2*time.Second, 100*time.Millisecond)
		ps := startProcesses(t, processes, role{Redis: rs.addr, WeChat: wx.URL, Classic: true, Workers: workers, Pace: time.Second})
		start := time.Now()
		ask(ps, "load")
		time.Sleep(5 * time.Second)
		s := ask(ps, "see")
		n := wx.count()
		assert.Zero(check, s.Failed, s.Error)
		assert.GreaterOrEqual(check, n, 3)
		assert.LessOrEqual(check, n, 1+int(time.Since(start)/(wx.life*9/10)), "one for each life less the tenth in which it is renewed")
		return s
	})
}

func TestLeaderIsKilled(t *testing.T) {
	t.Parallel()
	onTime(t, func(t *testing.T, check assert.TestingT) seen {
		rs, wx := startServer(t), startWeChat(t, 2*time.Hour, time.Minute)
		ps := startProcesses(t, processes, role{Redis: rs.addr, WeChat: wx.URL, Classic: true, Workers: 20})
		for _, p := range ps {
			p.tell("burst")
		}
		leader, err := strconv.Atoi(<-wx.asked)
		require.NoError(t, err)
		wx.slow(100 * time.Millisecond)
		ps[leader].kill()
		var s seen
		for i, p := range ps {
			if i != leader {
				s.add(p.read())
			}
		}
		assert.Equal(check, (processes-1)*20, s.Calls)
		assert.Zero(check, s.Failed, s.Error)
		assert.Equal(check, 2, wx.count())
		assert.LessOrEqual(check, s.Wait, bound(10*time.Second+wx.delay+200*time.Millisecond, s), "the lease, one call and a bit")
		return s
	})
}

// A leader that stalls beyond its lease comes too late with its token.
func TestLeaderStalls(t *testing.T) {
	t.Parallel()
	onTime(t, func(t *testing.T, check assert.TestingT) seen {
		rs, wx := startServer(t), startWeChat(t, 2*time.Hour, 500*time.Millisecond)
		store := newStore(t, connect(t, rs.addr))
		shared := func() string {
			tok, err := store.Load(t.Context(), creds.AppID)
			assert.NoError(check, err)
			return tok.Value
		}
		ps := startProcesses(t, 2, role{Redis: rs.addr, WeChat: wx.URL, Classic: true, Workers: 20})
		for _, p := range ps {
			p.tell("burst")
		}
		leader, err := strconv.Atoi(<-wx.asked)
		require.NoError(t, err)
		late, other := ps[leader], ps[1-leader]
		late.signal(syscall.SIGSTOP)
		s := other.read()
		assert.Zero(check, s.Failed, s.Error)
		late.signal(syscall.SIGCONT)
		late.read() // what it had begun may have failed: it slept for longer than its calls may take
		assert.Equal(check, "97_token-2", shared())
		for end := time.Now().Add(20 * time.Second); ask(ps, "burst").Failed > 0 && time.Now().Before(end); {
			time.Sleep(500 * time.Millisecond)
		}
		assert.Equal(check, 2, wx.count())
		assert.Equal(check, "97_token-2", shared())
		return s
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
	ps := startProcesses(t, servers, role{Redis: rs.addr, WeChat: wx.URL, Workers: 20, Pace: 200 * time.Millisecond})
	ask(ps, "load")
	for _, fault := range []struct {
		name          string
		begin, finish func()
	}{
		{"stopped", func() { rs.stop(t) }, func() { require.True(t, rs.start(t)) }},
		{"paused", func() { rs.signal(t, syscall.SIGSTOP) }, func() { rs.signal(t, syscall.SIGCONT) }},
		{"full", do("CONFIG", "SET", "maxmemory", "1"), do("CONFIG", "SET", "maxmemory", "0")},
		{"read-only", do("REPLICAOF", "127.0.0.1", "1"), do("REPLICAOF", "NO", "ONE")},
		{"answering with an error", do("ACL", "SETUSER", "default", "-@scripting"), do("ACL", "SETUSER", "default", "+@scripting")},
		{"restarted empty", func() { rs.stop(t); require.True(t, rs.start(t)) }, func() {}},
	} {
		t.Run(fault.name, func(t *testing.T) {
			onTime(t, func(t *testing.T, check assert.TestingT) (total seen) {
				see := func(after time.Duration) seen {
					time.Sleep(after)
					s := ask(ps, "see")
					assert.Zero(check, s.Failed, s.Error)
					assert.NotZero(check, s.Calls)
					total.add(s)
					return s
				}
				see(400 * time.Millisecond)
				wx.count()

				fault.begin()
				see(400 * time.Millisecond)
				assert.Zero(check, wx.count(), "the tokens in memory serve on")
				wx.revoke()
				s := see(time.Second)
				n := wx.count()
				assert.Positive(check, n)
				assert.LessOrEqual(check, n, servers, "one call a process")
				assert.LessOrEqual(check, s.Wait, bound(wx.delay+250*time.Millisecond, s))

				fault.finish()
				see(1200 * time.Millisecond)
				assert.Zero(check, wx.count())
				wx.revoke()
				see(800 * time.Millisecond)
				assert.Equal(check, 1, wx.count(), "they share again")
				return total
			})
		})
	}
}
