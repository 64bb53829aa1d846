package redisstore_test

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// embedded starts a Redis inside the test, whose keys expire by the real clock.
func embedded(t *testing.T) *redis.Client {
	t.Helper()
	m := miniredis.RunT(t)
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for last := time.Now(); ; {
			select {
			case now := <-tick.C:
				m.FastForward(now.Sub(last))
				last = now
			case <-done:
				return
			}
		}
	}()
	t.Cleanup(func() { close(done); <-ended })
	return connect(t, m.Addr())
}

func connect(t *testing.T, addr string) *redis.Client {
	t.Helper()
	c := redis.NewClient(&redis.Options{Addr: addr})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// server is a redis-server of the test's own.
type server struct {
	addr string
	args []string
	cmd  *exec.Cmd
}

// startServer starts a redis-server on a free port. Where there is none, CI
// fails and other machines do without the test.
func startServer(t *testing.T, args ...string) *server {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("redis-server is not on PATH: install it (Debian: apt-get install redis-server)")
		}
		t.Skip("redis-server is not on PATH")
	}
	// The port is free now; should somebody take it meanwhile, the next one is tried.
	for range 5 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		addr := l.Addr().(*net.TCPAddr)
		require.NoError(t, l.Close())
		dir := t.TempDir()
		s := &server{addr: addr.String(), args: append([]string{
			path, "--port", strconv.Itoa(addr.Port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
			"--dir", dir, "--logfile", filepath.Join(dir, "log"), "--daemonize", "no",
		}, args...)}
		if s.start(t) {
			t.Cleanup(func() { s.stop(t) })
			return s
		}
	}
	t.Fatal("redis-server does not start")
	return nil
}

// start runs the server and waits until it answers; false if it ended instead.
func (s *server) start(t *testing.T) bool {
	t.Helper()
	cmd := exec.Command(s.args[0], s.args[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	require.NoError(t, cmd.Start())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = cmd.Wait() }()
	c := redis.NewClient(&redis.Options{Addr: s.addr, MaxRetries: -1})
	defer c.Close()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		select {
		case <-ended:
			return false
		default:
		}
		if c.Ping(context.Background()).Err() == nil {
			s.cmd = cmd
			return true
		}
	}
	_ = cmd.Process.Kill()
	<-ended
	return false
}

func (s *server) stop(t *testing.T) {
	t.Helper()
	s.signal(t, syscall.SIGKILL)
	for { // the port is free once the process is gone
		c, err := net.DialTimeout("tcp", s.addr, time.Second)
		if err != nil {
			return
		}
		_ = c.Close()
		time.Sleep(5 * time.Millisecond)
	}
}

func (s *server) signal(t *testing.T, sig syscall.Signal) {
	t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil && sig != syscall.SIGKILL {
		t.Error(err)
	}
}

// startCluster starts a Redis Cluster of two nodes and returns a client of it.
func startCluster(t *testing.T) *redis.ClusterClient {
	t.Helper()
	a, b := startServer(t, "--cluster-enabled", "yes"), startServer(t, "--cluster-enabled", "yes")
	ctx := t.Context()
	ca, cb := connect(t, a.addr), connect(t, b.addr)
	require.NoError(t, ca.ClusterAddSlotsRange(ctx, 0, 8191).Err())
	require.NoError(t, cb.ClusterAddSlotsRange(ctx, 8192, 16383).Err())
	host, port, err := net.SplitHostPort(b.addr)
	require.NoError(t, err)
	require.NoError(t, ca.ClusterMeet(ctx, host, port).Err())
	for _, c := range []*redis.Client{ca, cb} {
		require.Eventually(t, func() bool {
			info, err := c.ClusterInfo(ctx).Result()
			return err == nil && len(info) > 16 && info[:16] == "cluster_state:ok"
		}, 30*time.Second, 20*time.Millisecond)
	}
	c := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{a.addr, b.addr}})
	t.Cleanup(func() { _ = c.Close() })
	return c
}
