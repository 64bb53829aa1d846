package redisstore_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// settles is how long something may take that ends by itself: far more than
// it takes on a machine that has other things to do.
const settles = time.Minute

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	require.Eventually(t, ok, settles, 20*time.Millisecond, what)
}

// cluster is a Redis Cluster of three masters, each of which owns a third of
// the slots. A node that fails costs its own keys only, and is replaced by its
// replica after a second.
type cluster struct {
	masters  []*redisServer
	replicas []*redisServer // replicas[i] follows masters[i]
}

const slotCount = 16384

func startCluster(t *testing.T, replicas int) *cluster {
	t.Helper()
	c, ctx := &cluster{}, t.Context()
	for i := range 3 + 3*replicas {
		s := startServer(t, "--cluster-enabled", "yes", "--cluster-node-timeout", "1000",
			"--cluster-require-full-coverage", "no", "--cluster-replica-validity-factor", "0")
		if i < 3 {
			c.masters = append(c.masters, s)
		} else {
			c.replicas = append(c.replicas, s)
		}
	}

	first := connect(t, c.masters[0].addr)
	for i, s := range c.masters {
		require.NoError(t, connect(t, s.addr).ClusterAddSlotsRange(
			ctx, i*slotCount/3, (i+1)*slotCount/3-1).Err())
	}
	nodes := append(append([]*redisServer(nil), c.masters...), c.replicas...)
	for _, s := range nodes[1:] {
		host, port, err := net.SplitHostPort(s.addr)
		require.NoError(t, err)
		require.NoError(t, first.ClusterMeet(ctx, host, port).Err())
	}
	for i, s := range c.replicas {
		master := connect(t, c.masters[i].addr).Do(ctx, "CLUSTER", "MYID").Val().(string)
		replica := connect(t, s.addr)
		waitFor(t, "the replica knows its master", func() bool {
			return replica.ClusterReplicate(ctx, master).Err() == nil
		})
		waitFor(t, "the replica follows its master", func() bool {
			return strings.Contains(replica.Info(ctx, "replication").Val(), "master_link_status:up")
		})
	}
	for _, s := range nodes {
		node := connect(t, s.addr)
		waitFor(t, "the node knows all slots and all nodes", func() bool {
			info := node.ClusterInfo(ctx).Val()
			return strings.Contains(info, "cluster_state:ok") &&
				strings.Contains(info, "cluster_slots_ok:16384") &&
				strings.Contains(info, fmt.Sprintf("cluster_known_nodes:%d\r", len(nodes)))
		})
	}
	return c
}

func (c *cluster) connect(t *testing.T) redis.UniversalClient {
	var addrs []string
	for _, s := range append(append([]*redisServer(nil), c.masters...), c.replicas...) {
		addrs = append(addrs, s.addr)
	}
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: addrs})
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// owner is which of the masters keeps a key, or kept it before it failed.
func masterIndex(key string) int { return (slotOf(key)*3 + 2) / slotCount }

// slotOf is the CRC16 (XMODEM) by which Redis Cluster spreads keys.
func slotOf(key string) int {
	crc := uint16(0)
	for _, b := range []byte(key) {
		crc ^= uint16(b) << 8
		for range 8 {
			high := crc&0x8000 != 0
			crc <<= 1
			if high {
				crc ^= 0x1021
			}
		}
	}
	return int(crc) % slotCount
}

// isMaster tells whether the server takes writes by its own account.
func isMaster(t *testing.T, s *redisServer) bool {
	return strings.Contains(connect(t, s.addr).Info(t.Context(), "replication").Val(),
		"role:master")
}

// loseKeys empties a replica, as if its master's last writes had not come.
func loseKeys(t *testing.T, replica *redisServer) {
	t.Helper()
	c := connect(t, replica.addr)
	require.NoError(t, c.ConfigSet(t.Context(), "replica-read-only", "no").Err())
	require.NoError(t, c.FlushAll(t.Context()).Err())
	require.NoError(t, c.ConfigSet(t.Context(), "replica-read-only", "yes").Err())
}

// sentinels is a Redis with a replica, and a sentinel that promotes it a
// second after the master has failed.
type sentinels struct {
	master, replica *redisServer
	sentinel        *redisServer
}

func startSentinels(t *testing.T) *sentinels {
	t.Helper()
	s := &sentinels{master: startServer(t)}
	host, port, err := net.SplitHostPort(s.master.addr)
	require.NoError(t, err)
	s.replica = startServer(t, "--replicaof", host+" "+port)
	replica := connect(t, s.replica.addr)
	waitFor(t, "the replica follows its master", func() bool {
		return strings.Contains(replica.Info(t.Context(), "replication").Val(),
			"master_link_status:up")
	})

	path := lookPath(t, "redis-server")
	for range 5 {
		sentinelPort := freePort(t)
		config := filepath.Join(t.TempDir(), "sentinel.conf")
		require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, `bind 127.0.0.1
port %d
sentinel monitor shared %s %s 1
sentinel down-after-milliseconds shared 1000
sentinel failover-timeout shared 3000
`, sentinelPort, host, port), 0o600))
		s.sentinel = &redisServer{
			addr: fmt.Sprintf("127.0.0.1:%d", sentinelPort),
			args: []string{path, config, "--sentinel", "--logfile", config + ".log"},
		}
		if s.sentinel.start(t) {
			break
		}
	}
	t.Cleanup(func() { s.sentinel.stop(t) })
	c := redis.NewSentinelClient(&redis.Options{Addr: s.sentinel.addr})
	defer c.Close()
	waitFor(t, "the sentinel knows the replica", func() bool {
		replicas, err := c.Replicas(t.Context(), "shared").Result()
		return err == nil && len(replicas) == 1 && replicas[0]["master-link-status"] == "ok"
	})
	return s
}

func (s *sentinels) connect(t *testing.T) redis.UniversalClient {
	client := redis.NewFailoverClient(&redis.FailoverOptions{
		MasterName: "shared", SentinelAddrs: []string{s.sentinel.addr},
	})
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func TestTopologies(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1)
	for i, s := range c.replicas {
		assert.False(t, isMaster(t, s))
		assert.True(t, isMaster(t, c.masters[i]))
	}
	for _, key := range []string{"wechatqr:token:" + classicKey, keyOfEvent("a"), keyOfEvent("b")} {
		at := c.masters[masterIndex(key)]
		require.NoError(t, connect(t, at.addr).Set(t.Context(), key, 1, 0).Err(),
			"its owner takes it")
	}
	s := startSentinels(t)
	assert.True(t, isMaster(t, s.master))
	assert.False(t, isMaster(t, s.replica))
	require.NoError(t, s.connect(t).Set(t.Context(), "a", 1, 0).Err())
	loseKeys(t, s.replica)
	require.EqualValues(t, 0, connect(t, s.replica.addr).Exists(t.Context(), "a").Val())
	loseKeys(t, c.replicas[0])
}
