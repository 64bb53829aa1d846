package redisstore_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// eventKey is where an event is in Redis.
func keyOfEvent(id string) string {
	sum := sha256.Sum256([]byte(id))
	return "wechatqr:event:" + hex.EncodeToString(sum[:])
}

func all(string) bool { return true }

// on tells which keys are a master's.
func on(master int) func(key string) bool {
	return func(key string) bool { return masterIndex(key) == master }
}

// victim is the node that fails: the one that has the token.
var victim = masterIndex("wechatqr:token:" + classicKey)

// Redis pauses for 300 ms eight times, as for a fork or a slow command.
func TestRedisPauses(t *testing.T) {
	t.Parallel()
	rs := startServer(t)
	f := startFleet(t, func(t *testing.T) redis.UniversalClient { return connect(t, rs.addr) })
	rdb := connect(t, rs.addr)
	for range 8 {
		f.goOn(80)
		require.NoError(t, rdb.Do(t.Context(), "CLIENT", "PAUSE", "300", "ALL").Err())
	}
	f.goOn(80)
	f.check(all, false) // a breaker that keeps commands from Redis would leave some unsent
}

// errLost is what a server sees of a command that was carried out.
var errLost = errors.New("the response is lost")

// Redis carries every command out, and the first response to each is lost: a
// claim is granted when its owner asks again.
func TestResponsesAreLost(t *testing.T) {
	t.Parallel()
	rs := startServer(t)
	var hits sync.Map
	f := startFleet(t, func(t *testing.T) redis.UniversalClient {
		c := connect(t, rs.addr)
		c.AddHook(hook(func(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook) error {
			err := next(ctx, cmd)
			if _, again := hits.LoadOrStore(fmt.Sprint(cmd.Args()), nil); err == nil && !again {
				err = errLost
				cmd.SetErr(err)
			}
			return err
		}))
		return c
	})
	f.goOn(300)
	f.check(all, false)
}

func TestClusterNodeIsKilled(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 0)
	f := startFleet(t, c.connect)
	f.goOn(100)
	c.masters[victim].stop(t)
	f.goOn(200)
	require.True(t, c.masters[victim].start(t), "empty")
	f.reached(on(victim))
	f.goOn(100)
	f.check(on(victim), true)
}

func TestClusterNodeIsStopped(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 0)
	f := startFleet(t, c.connect)
	f.goOn(100)
	c.masters[victim].signal(t, syscall.SIGSTOP)
	f.goOn(200)
	c.masters[victim].signal(t, syscall.SIGCONT)
	f.reached(on(victim))
	f.goOn(100)
	f.check(on(victim), false)
}

// failures are ways for a server to be replaced by its replica, which lacks its
// keys.
var failures = map[string]func(t *testing.T, f *fleet, master, replica *redisServer){
	"killed": func(t *testing.T, f *fleet, master, replica *redisServer) {
		master.stop(t)
		waitFor(t, "the replica is promoted", func() bool { return isMaster(t, replica) })
	},
	"stopped and continued": func(t *testing.T, f *fleet, master, replica *redisServer) {
		master.signal(t, syscall.SIGSTOP)
		waitFor(t, "the replica is promoted", func() bool { return isMaster(t, replica) })
		f.goOn(100)
		master.signal(t, syscall.SIGCONT)
		waitFor(t, "the old master follows", func() bool { return !isMaster(t, master) })
	},
}

func TestClusterFailsOver(t *testing.T) {
	t.Parallel()
	for name, fail := range failures {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := startCluster(t, 1)
			f := startFleet(t, c.connect)
			f.goOn(100)
			loseKeys(t, c.replicas[victim])
			fail(t, f, c.masters[victim], c.replicas[victim])
			f.reached(on(victim))
			f.goOn(100)
			f.check(on(victim), true)
		})
	}
}

func TestSentinelFailsOver(t *testing.T) {
	t.Parallel()
	for name, fail := range failures {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startSentinels(t)
			f := startFleet(t, s.connect)
			f.goOn(100)
			loseKeys(t, s.replica)
			fail(t, f, s.master, s.replica)
			f.reached(all)
			f.goOn(100)
			f.check(all, true)
		})
	}
}
