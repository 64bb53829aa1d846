package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/events"
	"github.com/wechatqr/wechatqr/redisstore"
	"github.com/wechatqr/wechatqr/scanlogin"
	"github.com/wechatqr/wechatqr/tickets"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

func newStore(t *testing.T, c redis.UniversalClient, opts ...redisstore.Option) *redisstore.Store {
	t.Helper()
	s, err := redisstore.New(c, opts...)
	require.NoError(t, err)
	return s
}

// everyRedis runs a test on the embedded Redis and on a real one.
func everyRedis(t *testing.T, fn func(t *testing.T, c redis.UniversalClient)) {
	t.Parallel()
	t.Run("embedded", func(t *testing.T) { t.Parallel(); fn(t, embedded(t)) })
	t.Run("server", func(t *testing.T) { t.Parallel(); fn(t, connect(t, startServer(t).addr)) })
}

func TestTokenStore(t *testing.T) {
	everyRedis(t, func(t *testing.T, c redis.UniversalClient) {
		wechatqrtest.TestTokenStore(t,
			func(t *testing.T) wechatqr.TokenStore { return newStore(t, c) })
	})
}

func TestDeduper(t *testing.T) {
	everyRedis(t, func(t *testing.T, c redis.UniversalClient) {
		wechatqrtest.TestDeduper(t, func(t *testing.T) events.Deduper { return newStore(t, c) })
	})
}

func TestTicketStore(t *testing.T) {
	everyRedis(t, func(t *testing.T, c redis.UniversalClient) {
		wechatqrtest.TestTicketStore(t, func(t *testing.T) tickets.Store { return newStore(t, c) })
	})
}

func TestLoginStore(t *testing.T) {
	everyRedis(t, func(t *testing.T, c redis.UniversalClient) {
		wechatqrtest.TestLoginStore(t, func(t *testing.T) scanlogin.Store { return newStore(t, c) })
	})
}

func TestCluster(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 0).connect(t)
	t.Run("tokens", func(t *testing.T) {
		wechatqrtest.TestTokenStore(t,
			func(t *testing.T) wechatqr.TokenStore { return newStore(t, c) })
	})
	t.Run("events", func(t *testing.T) {
		wechatqrtest.TestDeduper(t, func(t *testing.T) events.Deduper { return newStore(t, c) })
	})
	t.Run("tickets", func(t *testing.T) {
		wechatqrtest.TestTicketStore(t, func(t *testing.T) tickets.Store { return newStore(t, c) })
	})
	t.Run("logins", func(t *testing.T) {
		wechatqrtest.TestLoginStore(t, func(t *testing.T) scanlogin.Store { return newStore(t, c) })
	})
}

// hook stands before every command.
type hook func(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook) error

func (h hook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error { return h(ctx, cmd, next) }
}
func (hook) DialHook(next redis.DialHook) redis.DialHook { return next }
func (hook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// twice carries a command out twice, as a client does whose first response is lost.
func twice(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook) error {
	_ = next(ctx, cmd)
	cmd.SetErr(nil)
	return next(ctx, cmd)
}

func TestNewRefuses(t *testing.T) {
	for name, opts := range map[string][]redisstore.Option{
		"the client is nil": nil,
		`WithPrefix("")`:    {redisstore.WithPrefix("")},
		"a nil Option":      {nil},
	} {
		var c redis.UniversalClient
		if opts != nil {
			c = embedded(t)
		}
		_, err := redisstore.New(c, opts...)
		require.ErrorIs(t, err, wechatqr.ErrInvalidArgument)
		require.ErrorContains(t, err, name)
	}
}

func TestPrefixesAreSeparate(t *testing.T) {
	everyRedis(t, func(t *testing.T, c redis.UniversalClient) {
		test, production := newStore(t, c, redisstore.WithPrefix("test:")), newStore(t, c)
		ctx := t.Context()
		save(t, test, lasting("test", time.Hour), "")
		_, err := production.Load(ctx, "key")
		require.ErrorIs(t, err, wechatqr.ErrTokenNotFound)
		for i, s := range []*redisstore.Store{test, production} {
			leases(t, true, s, fmt.Sprint(i), time.Hour)
			claims(t, events.ClaimGranted, s, fmt.Sprint(i))
		}
	})
}

func TestEntriesExpireAndKeysTellNothing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]*redis.Client{
		"embedded": embedded(t), "server": connect(t, startServer(t).addr),
	} {
		s := newStore(t, c)
		ctx := t.Context()
		for _, key := range []string{"saved", "leased", "both", "discarded", "unknown end"} {
			if key == "leased" || key == "both" {
				_, err := s.Lease(ctx, key, "owner", 10*time.Second)
				require.NoError(t, err)
			}
			if key != "leased" {
				require.NoError(t, s.Save(ctx, key, lasting("TOKEN", 2*time.Hour), "owner"))
			}
		}
		_, err := s.Lease(ctx, "given back", "owner", time.Hour)
		require.NoError(t, err)
		require.NoError(t, s.Unlease(ctx, "given back", "owner"))
		require.NoError(t, s.Discard(ctx, "discarded", "TOKEN"))
		require.NoError(t, s.Discard(ctx, "unknown end", "TOKEN"))
		require.NoError(t, s.Save(ctx, "unknown end", wechatqr.Token{Value: "TOKEN"}, ""))
		const id = "gh_7f083739789a|OPENID|1700000000|scan|||SCENE"
		for _, suffix := range []string{"claimed", "committed", "released"} {
			_, err := s.Claim(ctx, id+suffix, "owner", 5*time.Second)
			require.NoError(t, err)
		}
		require.NoError(t, s.Commit(ctx, id+"committed", 10*time.Minute))
		require.NoError(t, s.Release(ctx, id+"released", "owner"))

		keys, err := c.Keys(ctx, "*").Result()
		require.NoError(t, err)
		longest := map[string]time.Duration{
			"saved": 2 * time.Hour, "leased": 10 * time.Second,
			"both": 2 * time.Hour, "unknown end": 24 * time.Hour,
		}
		assert.Len(t, keys, len(longest)+2, "%s: %v", name, keys)
		for _, key := range keys {
			for _, secret := range []string{"TOKEN", "OPENID", "SCENE", "gh_"} {
				assert.NotContains(t, key, secret)
			}
			limit := 10 * time.Minute
			if of, ok := strings.CutPrefix(key, "wechatqr:token:"); ok {
				limit = longest[of]
			} else {
				assert.Regexp(t, "^wechatqr:event:[0-9a-f]{64}$", key)
			}
			ttl, err := c.PTTL(ctx, key).Result()
			require.NoError(t, err)
			assert.Positive(t, ttl, key)
			assert.LessOrEqual(t, ttl, limit, key)
		}
	}
}

func TestWarmTokenAsksNoRedis(t *testing.T) {
	rdb, wx := embedded(t), startWeChat(t, 2*time.Hour, 0)
	var commands atomic.Int64
	rdb.AddHook(hook(func(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook) error {
		commands.Add(1)
		return next(ctx, cmd)
	}))
	c, err := newClient(newStore(t, rdb), wx.URL, false)
	require.NoError(t, err)
	require.NoError(t, callAPI(t.Context(), c))

	// Saving and giving back a lease go on behind the call.
	var before int64
	require.Eventually(t, func() bool {
		n := commands.Load()
		settled := n > 0 && n == before
		before = n
		return settled
	}, 20*time.Second, 500*time.Millisecond)
	for range 100 {
		require.NoError(t, callAPI(t.Context(), c))
	}
	assert.Equal(t, before, commands.Load())
}

// everyTimeout runs a test on a server with each way of a client to treat ctx.
func everyTimeout(t *testing.T, fn func(t *testing.T, rs *redisServer, c redis.UniversalClient)) {
	t.Parallel()
	for name, heeds := range map[string]bool{
		"the client ignores ctx": false,
		"it heeds deadlines":     true,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rs := startServer(t)
			c := redis.NewClient(&redis.Options{
				Addr: rs.addr, ContextTimeoutEnabled: heeds, ReadTimeout: time.Minute,
			})
			t.Cleanup(func() { _ = c.Close() })
			fn(t, rs, c)
		})
	}
}

// An operation returns when its context ends, however the client is set up,
// and is tried as soon as Redis is back.
func TestRedisHangs(t *testing.T) {
	everyTimeout(t, func(t *testing.T, rs *redisServer, c redis.UniversalClient) {
		s := newStore(t, c)
		warm(t, s)
		rs.signal(t, syscall.SIGSTOP)
		for name, op := range map[string]func(ctx context.Context) error{
			"Load": func(ctx context.Context) error {
				_, err := s.Load(ctx, "warm")
				return err
			},
			"Save": func(ctx context.Context) error {
				return s.Save(ctx, "key", lasting("t", time.Hour), "")
			},
			"Discard": func(ctx context.Context) error { return s.Discard(ctx, "key", "t") },
			"Lease": func(ctx context.Context) error {
				_, err := s.Lease(ctx, "key", "o", time.Hour)
				return err
			},
			"Unlease": func(ctx context.Context) error { return s.Unlease(ctx, "key", "o") },
			"Claim": func(ctx context.Context) error {
				_, err := s.Claim(ctx, "id", "o", time.Hour)
				return err
			},
			"Commit":  func(ctx context.Context) error { return s.Commit(ctx, "id", time.Hour) },
			"Release": func(ctx context.Context) error { return s.Release(ctx, "id", "o") },
		} {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			start := time.Now()
			require.ErrorIs(t, op(ctx), context.DeadlineExceeded, name)
			cancel()
			assert.Less(t, time.Since(start), 30*time.Second,
				"%s: half of the client's own timeout", name)
		}

		rs.signal(t, syscall.SIGCONT)
		assert.Equal(t, "warm", loadKey(t, s, "warm"))
	})
}

// What runs on after its caller has gone ends with the client's command, or the
// bubble fails.
func TestAbandonedOperationEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := redis.NewClient(&redis.Options{})
		defer c.Close()
		c.AddHook(hook(func(context.Context, redis.Cmder, redis.ProcessHook) error {
			time.Sleep(time.Hour)
			return nil
		}))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := newStore(t, c).Load(ctx, "key")
		require.EqualError(t, err,
			"wechatqr: redis: load token: no response within 1s: context deadline exceeded")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		time.Sleep(2 * time.Hour)
	})
}

// Callers that are gone before Redis has responded are nobody else's concern.
func TestCallersThatCancel(t *testing.T) {
	everyTimeout(t, func(t *testing.T, rs *redisServer, c redis.UniversalClient) {
		s := newStore(t, c)
		warm(t, s)
		rs.signal(t, syscall.SIGSTOP)
		ctx, cancel := context.WithCancel(t.Context())
		const callers = 15 // fewer than the client has connections
		left := make(chan error, callers)
		for range callers {
			go func() {
				_, err := s.Load(ctx, "warm")
				left <- err
			}()
		}
		other := make(chan error, 1)
		go func() {
			_, err := s.Claim(t.Context(), "id", "owner", time.Hour)
			other <- err
		}()
		time.Sleep(120 * time.Millisecond)
		cancel()
		for range callers {
			err := <-left
			require.ErrorIs(t, err, context.Canceled)
			require.ErrorContains(t, err, "wechatqr: redis: load token: no response within ")
		}

		rs.signal(t, syscall.SIGCONT)
		require.NoError(t, <-other)
		claims(t, events.ClaimGranted, s, "owner")
	})
}

// A key that fails slowly, as one on a node that is down, delays no other.
func TestSlowKeyDelaysNoOther(t *testing.T) {
	everyRedis(t, func(t *testing.T, c redis.UniversalClient) {
		errDown := errors.New("node down")
		var sent atomic.Int64
		c.AddHook(hook(func(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook) error {
			for _, arg := range cmd.Args() {
				if arg == "wechatqr:token:slow" {
					sent.Add(1)
					time.Sleep(150 * time.Millisecond)
					cmd.SetErr(errDown)
					return errDown
				}
			}
			return next(ctx, cmd)
		}))
		s := newStore(t, c)
		for i := range 3 {
			_, err := s.Load(t.Context(), "slow")
			require.ErrorIs(t, err, errDown)
			require.EqualValues(t, i+1, sent.Load(), "it is tried each time")
			save(t, s, lasting("token", time.Duration(i+1)*time.Hour), "")
			claims(t, events.ClaimGranted, s, "owner")
			require.NoError(t, s.Commit(t.Context(), fmt.Sprint(i), time.Hour))
		}
	})
}

func TestClientThatPanics(t *testing.T) {
	t.Parallel()
	c := embedded(t)
	c.AddHook(hook(func(context.Context, redis.Cmder, redis.ProcessHook) error { panic("HOOK") }))
	_, err := newStore(t, c).Load(t.Context(), "key")
	require.ErrorContains(t, err, "wechatqr: redis: load token: the Redis client panicked: HOOK")
	goexit := embedded(t)
	goexit.AddHook(hook(func(context.Context, redis.Cmder, redis.ProcessHook) error {
		runtime.Goexit()
		return nil
	}))
	err = newStore(t, goexit).Commit(t.Context(), "id", time.Hour)
	require.ErrorContains(t, err,
		"wechatqr: redis: commit event: the Redis client ended its goroutine")
	_, err = newStore(t, (*redis.Client)(nil)).Claim(t.Context(), "id", "owner", time.Hour)
	require.ErrorContains(t, err, "wechatqr: redis: claim event: the Redis client panicked: ")
}

func TestErrorsSayWhat(t *testing.T) {
	t.Parallel()
	rs := startServer(t)
	c := connect(t, rs.addr)
	s := newStore(t, c)
	require.NoError(t, c.Set(t.Context(), "wechatqr:token:key", "of another program", 0).Err())
	_, err := s.Load(t.Context(), "key")
	require.ErrorContains(t, err, "wechatqr: redis: load token: ")
	require.ErrorContains(t, err, "WRONGTYPE")
	rs.stop(t)
	_, err = s.Load(t.Context(), "other")
	require.NotErrorIs(t, err, wechatqr.ErrTokenNotFound)
	var op *net.OpError
	require.True(t, errors.As(err, &op), "%v", err)
}

func TestErrorsSayWhere(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := l.Addr().String()
	require.NoError(t, l.Close())
	c := redis.NewClient(&redis.Options{
		Addr: addr, Username: "USERNAME", Password: "PASSWORD", MaxRetries: -1,
	})
	defer c.Close()
	s := newStore(t, c)
	want := "dial tcp " + addr + ": connect: connection refused"
	_, err = s.Load(t.Context(), "key")
	require.EqualError(t, err, "wechatqr: redis: load token: "+want)
	_, err = s.Claim(t.Context(), "id", "owner", time.Hour)
	require.EqualError(t, err, "wechatqr: redis: claim event: "+want)
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
}

// Redis repeats the arguments of a command that it does not know.
func TestErrorsHoldNoToken(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"EVALSHA", "EVAL"} {
		s := newStore(t, connect(t, startServer(t, "--rename-command", command, "").addr))
		err := s.Discard(t.Context(), "key", "TOKEN")
		require.ErrorContains(t, err, "it must run Lua scripts")
		assert.NotContains(t, err.Error(), "TOKEN")
	}
}

func TestStorePrintsNoPassword(t *testing.T) {
	c := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", Password: "PASSWORD"})
	defer c.Close()
	s := newStore(t, c)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d", "%x", "%q"} {
		assert.Equal(t, "redisstore.Store(wechatqr:)", fmt.Sprintf(verb, s), verb)
	}
}
