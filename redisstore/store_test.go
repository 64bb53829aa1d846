package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/events"
	"github.com/wechatqr/wechatqr/redisstore"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// silence is for how long a Store leaves a Redis alone that did not answer.
const silence = 1100 * time.Millisecond

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
		wechatqrtest.TestTokenStore(t, func(t *testing.T) wechatqr.TokenStore { return newStore(t, c) })
	})
}

func TestDeduper(t *testing.T) {
	everyRedis(t, func(t *testing.T, c redis.UniversalClient) {
		wechatqrtest.TestDeduper(t, func(t *testing.T) events.Deduper { return newStore(t, c) })
	})
}

func TestCluster(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	t.Run("tokens", func(t *testing.T) {
		wechatqrtest.TestTokenStore(t, func(t *testing.T) wechatqr.TokenStore { return newStore(t, c) })
	})
	t.Run("events", func(t *testing.T) {
		wechatqrtest.TestDeduper(t, func(t *testing.T) events.Deduper { return newStore(t, c) })
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

// twice carries a command out twice, as a client does whose first answer is lost.
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
		require.NoError(t, test.Save(ctx, "key", lasting("test", time.Hour)))
		_, err := production.Load(ctx, "key")
		require.ErrorIs(t, err, wechatqr.ErrTokenNotFound)
		lease(t, test, time.Hour)
		lease(t, production, time.Hour)
		for _, s := range []*redisstore.Store{test, production} {
			ok, err := s.Claim(ctx, "id", time.Hour)
			require.NoError(t, err)
			require.True(t, ok)
		}
	})
}

func TestEntriesExpireAndKeysTellNothing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]*redis.Client{"embedded": embedded(t), "server": connect(t, startServer(t).addr)} {
		s := newStore(t, c)
		ctx := t.Context()
		for _, key := range []string{"saved", "leased", "both", "discarded", "unknown end"} {
			if key == "leased" || key == "both" {
				_, _, err := s.Lease(ctx, key, 10*time.Second)
				require.NoError(t, err)
			}
			if key != "leased" {
				require.NoError(t, s.Save(ctx, key, lasting("TOKEN", 2*time.Hour)))
			}
		}
		require.NoError(t, s.Discard(ctx, "discarded", "TOKEN"))
		require.NoError(t, s.Discard(ctx, "unknown end", "TOKEN"))
		require.NoError(t, s.Save(ctx, "unknown end", wechatqr.Token{Value: "TOKEN"}))
		const id = "gh_7f083739789a|OPENID|1700000000|scan|||SCENE"
		for _, suffix := range []string{"claimed", "committed", "released"} {
			_, err := s.Claim(ctx, id+suffix, 5*time.Second)
			require.NoError(t, err)
		}
		require.NoError(t, s.Commit(ctx, id+"committed", 10*time.Minute))
		require.NoError(t, s.Release(ctx, id+"released"))

		keys, err := c.Keys(ctx, "*").Result()
		require.NoError(t, err)
		longest := map[string]time.Duration{"saved": 2 * time.Hour, "leased": 10 * time.Second, "both": 2 * time.Hour, "unknown end": 24 * time.Hour}
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
	c, err := wechatqr.New(creds, wechatqr.WithTokenStore(newStore(t, rdb)), wechatqr.WithEndpoint(wechatqr.Endpoint{API: []string{wx.URL}}))
	require.NoError(t, err)
	call := func() {
		require.NoError(t, c.Do(t.Context(), wechatqr.Request{Method: http.MethodGet, Path: "/cgi-bin/getcallbackip"}, nil))
	}
	call()
	// The lease goes back behind the call: the last command that there is.
	other := redis.NewClient(&redis.Options{Addr: rdb.Options().Addr})
	defer other.Close()
	assert.Eventually(t, func() bool {
		leased, err := other.HExists(t.Context(), "wechatqr:token:"+creds.AppID+"/stable", "owner").Result()
		return err == nil && !leased
	}, 10*time.Second, time.Millisecond)
	assert.Positive(t, commands.Swap(0))
	for range 100 {
		call()
	}
	assert.Zero(t, commands.Load())
}

// A Redis that hangs is waited for once, however the client is set up.
func TestRedisHangs(t *testing.T) {
	t.Parallel()
	for _, enabled := range []bool{false, true} {
		t.Run(fmt.Sprintf("ContextTimeoutEnabled %v", enabled), func(t *testing.T) {
			t.Parallel()
			rs := startServer(t)
			c := redis.NewClient(&redis.Options{Addr: rs.addr, ContextTimeoutEnabled: enabled})
			defer c.Close()
			s := newStore(t, c)
			warm(t, s)
			rs.signal(t, syscall.SIGSTOP)
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			start := time.Now()
			_, err := s.Load(ctx, "warm")
			require.Error(t, err)
			// The client by itself takes 3 s for each of 4 tries.
			assert.Less(t, time.Since(start), 2*time.Second)

			start = time.Now()
			for _, err := range []error{
				s.Save(t.Context(), "warm", lasting("token", time.Hour)), s.Discard(t.Context(), "warm", "warm"),
				s.Commit(t.Context(), "id", time.Hour),
			} {
				assert.ErrorContains(t, err, "not tried again yet after: ")
			}
			_, err = s.Claim(t.Context(), "id", time.Hour)
			assert.ErrorContains(t, err, "not tried again yet after: ")
			assert.Less(t, time.Since(start), 500*time.Millisecond)

			rs.signal(t, syscall.SIGCONT)
			require.Eventually(t, func() bool {
				_, err := s.Load(t.Context(), "warm")
				return err == nil
			}, 20*time.Second, 10*time.Millisecond)
		})
	}
}

// A leader whose Redis hangs while it renews waits for it once.
func TestRedisHangsWhileTheLeaderRenews(t *testing.T) {
	t.Parallel()
	onTime(t, func(t *testing.T, check assert.TestingT) seen {
		rs, wx := startServer(t), startWeChat(t, 2*time.Hour, 500*time.Millisecond)
		ps := startProcesses(t, 1, role{Redis: rs.addr, WeChat: wx.URL, Workers: 20})
		ps[0].tell("burst")
		<-wx.asked
		rs.signal(t, syscall.SIGSTOP)
		s := ps[0].read()
		assert.Zero(check, s.Failed, s.Error)
		assert.Equal(check, 1, wx.count())
		assert.LessOrEqual(check, s.Wait, bound(wx.delay+250*time.Millisecond, s))

		rs.signal(t, syscall.SIGCONT)
		start, other, ok := time.Now(), newStore(t, connect(t, rs.addr)), false
		for !ok && time.Since(start) < 20*time.Second {
			_, ok, _ = other.Lease(t.Context(), creds.AppID, time.Hour)
		}
		assert.Less(check, time.Since(start), 5*time.Second, "the lease came back, and did not last its 10 s")
		return s
	})
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

// While Redis is left alone the errors still say why, and where.
func TestErrorsKeepTheCause(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := l.Addr().String()
	require.NoError(t, l.Close())
	var dials atomic.Int64
	c := redis.NewClient(&redis.Options{
		Addr: addr, Username: "USERNAME", Password: "PASSWORD", MaxRetries: -1,
		Dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
			dials.Add(1)
			time.Sleep(150 * time.Millisecond) // as long as a failure takes that is waited for once
			return (&net.Dialer{}).DialContext(ctx, network, addr)
		},
	})
	defer c.Close()
	s := newStore(t, c)
	want := "dial tcp " + addr + ": connect: connection refused"
	_, err = s.Load(t.Context(), "key")
	require.EqualError(t, err, "wechatqr: redis: load token: "+want)
	dialled := dials.Load()
	_, err = s.Claim(t.Context(), "id", time.Hour)
	require.EqualError(t, err, "wechatqr: redis: claim event: not tried again yet after: "+want)
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
	assert.Equal(t, dialled, dials.Load())
	time.Sleep(silence)
	_, err = s.Load(t.Context(), "key")
	require.EqualError(t, err, "wechatqr: redis: load token: "+want, "it is tried again")
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
