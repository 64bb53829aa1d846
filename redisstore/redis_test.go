package redisstore_test

import (
	"context"
	"fmt"
	"math/rand/v2"
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

// redisServer is a redis-server of the test's own.
type redisServer struct {
	addr  string
	args  []string
	cmd   *exec.Cmd
	ended chan struct{} // closed when the process is gone
}

// lookPath finds a program of Redis'. Where there is none, CI fails and other
// machines do without the test.
func lookPath(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(program + " is not on PATH: install it (Debian: apt-get install redis-server)")
		}
		t.Skip(program + " is not on PATH")
	}
	return path
}

// freePort is free now, with the port of a cluster node's bus, 10000 higher.
// Both are below those that the system gives to connections, so that they are
// still free after the server has been away.
func freePort(t *testing.T) int {
	t.Helper()
	free := func(port int) bool {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			err = l.Close()
		}
		return err == nil
	}
	for range 1000 {
		if port := 10000 + rand.N(12000); free(port) && free(port+10000) {
			return port
		}
	}
	t.Fatal("no port is free")
	return 0
}

// startServer starts a redis-server on a free port.
func startServer(t *testing.T, args ...string) *redisServer {
	t.Helper()
	path := lookPath(t, "redis-server")
	for range 5 { // should somebody take the port meanwhile, the next one is tried
		port, dir := strconv.Itoa(freePort(t)), t.TempDir()
		s := &redisServer{addr: "127.0.0.1:" + port, args: append([]string{
			path, "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
			"--dir", dir, "--logfile", filepath.Join(dir, "log"), "--daemonize", "no",
			"--repl-diskless-sync-delay", "0",
		}, args...)}
		if s.start(t) {
			t.Cleanup(func() { s.stop(t) })
			return s
		}
	}
	t.Fatal("redis-server does not start")
	return nil
}

// start runs the server and waits until it responds; false if it ended instead.
func (s *redisServer) start(t *testing.T) bool {
	t.Helper()
	cmd := exec.Command(s.args[0], s.args[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	require.NoError(t, cmd.Start())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = cmd.Wait() }()
	c := redis.NewClient(&redis.Options{Addr: s.addr, MaxRetries: -1})
	defer c.Close()
	for until := time.Now().Add(settles); time.Now().Before(until); time.Sleep(
		10 * time.Millisecond) {
		select {
		case <-ended:
			return false
		default:
		}
		if c.Ping(context.Background()).Err() == nil {
			s.cmd, s.ended = cmd, ended
			return true
		}
	}
	_ = cmd.Process.Kill()
	<-ended
	return false
}

// stop kills the server and waits until it is gone, and its port free.
func (s *redisServer) stop(t *testing.T) {
	t.Helper()
	s.signal(t, syscall.SIGKILL)
	<-s.ended
}

func (s *redisServer) signal(t *testing.T, sig syscall.Signal) {
	t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil && sig != syscall.SIGKILL {
		t.Error(err)
	}
}
