package redisstore_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/redisstore"
)

func lasting(value string, life time.Duration) wechatqr.Token {
	return wechatqr.Token{Value: value, Expiry: time.Now().Add(life)}
}

func load(t *testing.T, s *redisstore.Store) string {
	t.Helper()
	return loadKey(t, s, "key")
}

func loadKey(t *testing.T, s *redisstore.Store, key string) string {
	t.Helper()
	tok, err := s.Load(t.Context(), key)
	require.NoError(t, err)
	return tok.Value
}

func save(t *testing.T, s *redisstore.Store, tok wechatqr.Token, owner string) {
	t.Helper()
	require.NoError(t, s.Save(t.Context(), "key", tok, owner))
}

func leases(t *testing.T, want bool, s *redisstore.Store, owner string, ttl time.Duration) {
	t.Helper()
	ok, err := s.Lease(t.Context(), "key", owner, ttl)
	require.NoError(t, err)
	require.Equal(t, want, ok)
}

func TestLeaderWhoseLeaseHasEnded(t *testing.T) {
	everyRedis(t, func(t *testing.T, c redis.UniversalClient) {
		s, ctx := newStore(t, c), t.Context()
		leases(t, true, s, "late", time.Millisecond)
		require.Eventually(t, func() bool {
			ok, err := s.Lease(ctx, "key", "next", time.Hour)
			return ok && err == nil
		}, 20*time.Second, time.Millisecond)

		const refusal = "another process holds the lease"
		late := lasting("late", 2*time.Hour)
		require.ErrorContains(t, s.Save(ctx, "key", late, "late"), refusal)
		save(t, s, lasting("next", time.Hour), "next")
		require.ErrorContains(t, s.Save(ctx, "key", late, "late"), refusal, "though it ends later")
		require.ErrorContains(t, s.Save(ctx, "key", late, ""), refusal, "nor without an owner")
		assert.Equal(t, "next", load(t, s))

		require.NoError(t, s.Unlease(ctx, "key", "next"))
		save(t, s, lasting("earlier", time.Minute), "late")
		assert.Equal(t, "next", load(t, s), "without a lease the end decides")
		save(t, s, late, "late")
		assert.Equal(t, "late", load(t, s))
	})
}

// What a leader fetched is kept although Redis has lost its lease meanwhile.
func TestRedisIsFlushedWhileLeading(t *testing.T) {
	everyRedis(t, func(t *testing.T, c redis.UniversalClient) {
		s := newStore(t, c)
		save(t, s, lasting("old", time.Hour), "")
		leases(t, true, s, "leader", time.Hour)
		require.NoError(t, c.FlushAll(t.Context()).Err())
		save(t, s, lasting("new", time.Minute), "leader")
		assert.Equal(t, "new", load(t, s))
		require.NoError(t, s.Unlease(t.Context(), "key", "leader"))
		leases(t, true, s, "next", time.Hour)
	})
}

// gate holds commands with a certain argument back, whatever their context,
// until it is opened: they are under way for that long.
type gate struct {
	arg  string
	held chan struct{} // closed when one is held
	open chan struct{}
	done chan struct{} // closed when it was let go and carried out
}

func newGate(c redis.UniversalClient, arg string) gate {
	g := gate{arg, make(chan struct{}), make(chan struct{}), make(chan struct{})}
	c.AddHook(hook(func(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook) error {
		for _, a := range cmd.Args() {
			if fmt.Sprint(a) == g.arg {
				close(g.held)
				<-g.open
				defer close(g.done)
				return next(context.WithoutCancel(ctx), cmd)
			}
		}
		return next(ctx, cmd)
	}))
	return g
}

// warm has Redis know the scripts, so that each is sent once.
func warm(t *testing.T, s *redisstore.Store) {
	t.Helper()
	_, err := s.Lease(t.Context(), "warm", "warm", time.Hour)
	require.NoError(t, err)
	require.NoError(t, s.Save(t.Context(), "warm", lasting("warm", time.Hour), "warm"))
}

func TestSaveThatComesLate(t *testing.T) {
	const pause = 200 * time.Millisecond
	everyRedis(t, func(t *testing.T, c redis.UniversalClient) {
		s := newStore(t, c)
		warm(t, s)
		older := newGate(c, "older")
		ctx, cancel := context.WithCancel(t.Context())
		left := make(chan error, 1)
		go func() { left <- s.Save(ctx, "key", lasting("older", time.Hour), "") }()
		<-older.held
		cancel()
		require.ErrorIs(t, <-left, context.Canceled)

		time.Sleep(pause)
		save(t, s, lasting("newer", time.Hour-pause/2), "")
		close(older.open)
		<-older.done
		assert.Equal(t, "newer", load(t, s), "it was sent %v before, to end %v before",
			pause, pause/2)
	})
}

func TestSaveThatComesTooLate(t *testing.T) {
	everyRedis(t, func(t *testing.T, c redis.UniversalClient) {
		s := newStore(t, c)
		warm(t, s)
		short := newGate(c, "short")
		ended := make(chan error, 1)
		go func() {
			ended <- s.Save(t.Context(), "key", lasting("short", 500*time.Millisecond), "")
		}()
		<-short.held
		time.Sleep(600 * time.Millisecond)
		close(short.open)
		require.NoError(t, <-ended)
		_, err := s.Load(t.Context(), "key")
		assert.ErrorIs(t, err, wechatqr.ErrTokenNotFound, "the way does not extend its life")
	})
}

// A lease that Redis granted and whose response never came is its owner's.
func TestLeaseWhoseResponseIsLost(t *testing.T) {
	everyRedis(t, func(t *testing.T, c redis.UniversalClient) {
		s := newStore(t, c)
		warm(t, s)
		const ttl = 1234567 * time.Millisecond
		g := newGate(c, fmt.Sprint(ttl.Milliseconds()))
		ctx, cancel := context.WithCancel(t.Context())
		left := make(chan error, 1)
		go func() {
			_, err := s.Lease(ctx, "key", "first", ttl)
			left <- err
		}()
		<-g.held
		cancel()
		require.ErrorIs(t, <-left, context.Canceled)
		close(g.open)
		<-g.done

		leases(t, false, s, "second", time.Hour)
		leases(t, true, s, "first", time.Hour)
		require.NoError(t, s.Unlease(t.Context(), "key", "first"))
		leases(t, true, s, "second", time.Hour)
	})
}

func TestLeaseThatTheClientRepeats(t *testing.T) {
	everyRedis(t, func(t *testing.T, c redis.UniversalClient) {
		c.AddHook(hook(twice))
		s := newStore(t, c)
		leases(t, true, s, "first", time.Hour)
		leases(t, false, s, "second", time.Hour)
		require.NoError(t, s.Unlease(t.Context(), "key", "first"))
		leases(t, true, s, "second", time.Hour)
	})
}

func TestTokenOfUnknownEnd(t *testing.T) {
	everyRedis(t, func(t *testing.T, c redis.UniversalClient) {
		s, ctx := newStore(t, c), t.Context()
		unknown := wechatqr.Token{Value: "unknown"}
		holdsUnknown := func() {
			t.Helper()
			tok, err := s.Load(ctx, "key")
			require.NoError(t, err)
			require.Equal(t, unknown, tok)
		}
		save(t, s, unknown, "")
		holdsUnknown()
		save(t, s, lasting("expired", -time.Second), "")
		holdsUnknown()

		save(t, s, lasting("known", time.Hour), "")
		tok, err := s.Load(ctx, "key")
		require.NoError(t, err)
		assert.Equal(t, "known", tok.Value)
		assert.False(t, tok.Expiry.IsZero())
		assert.Equal(t, tok.Expiry.Round(0), tok.Expiry, "it also runs while the machine sleeps")

		save(t, s, unknown, "")
		holdsUnknown()
		require.NoError(t, s.Discard(ctx, "key", "unknown"))
		assert.Zero(t, c.Exists(ctx, "wechatqr:token:key").Val())
	})
}

// A proxy before Redis, or a hook of the client's, may change responses.
func TestUnexpectedResponses(t *testing.T) {
	t.Parallel()
	c := embedded(t)
	var value any
	c.AddHook(hook(func(_ context.Context, cmd redis.Cmder, _ redis.ProcessHook) error {
		cmd.(*redis.Cmd).SetVal(value)
		return nil
	}))
	s, ctx := newStore(t, c), t.Context()
	for _, value = range []any{
		"text", int64(-1), int64(0), int64(7), []any{}, []any{"token"}, []any{"token", "1"},
		[]any{int64(1), int64(1)},
	} {
		_, err := s.Load(ctx, "key")
		require.ErrorContains(t, err, "wechatqr: redis: load token: unexpected response",
			"%v", value)
		_, err = s.Claim(ctx, "id", "owner", time.Hour)
		require.ErrorContains(t, err, "wechatqr: redis: claim event: unexpected response",
			"%v", value)
		if _, ok := value.(int64); !ok {
			err = s.Save(ctx, "key", lasting("token", time.Hour), "")
			require.ErrorContains(t, err, "wechatqr: redis: save token: unexpected response",
				"%v", value)
		}
		ok, err := s.Lease(ctx, "key", "owner", time.Hour)
		require.NoError(t, err)
		require.False(t, ok)
	}
}

// In its last milliseconds a token is not taken for one of unknown end.
func TestTokenThatEnds(t *testing.T) {
	everyRedis(t, func(t *testing.T, c redis.UniversalClient) {
		s := newStore(t, c)
		for i := range 20 {
			tok := lasting(fmt.Sprint(i), 20*time.Millisecond)
			save(t, s, tok, "")
			for {
				got, err := s.Load(t.Context(), "key")
				if err != nil {
					require.ErrorIs(t, err, wechatqr.ErrTokenNotFound)
					break
				}
				require.False(t, got.Expiry.IsZero())
				require.False(t, got.Expiry.After(tok.Expiry), "%v after %v",
					got.Expiry, tok.Expiry)
			}
		}
	})
}

func TestEmptyTokenIsRefused(t *testing.T) {
	err := newStore(t, embedded(t)).Save(t.Context(), "key", wechatqr.Token{}, "")
	require.ErrorIs(t, err, wechatqr.ErrInvalidArgument)
}

// Each process runs in a bubble of synctest, whose clock is years behind that
// of Redis, and of which one is two minutes ahead of the other.
func TestProcessesAgreeOnTheEnd(t *testing.T) {
	const env = "REDISSTORE_TEST_CLOCK"
	if task := os.Getenv(env); task != "" {
		var ahead int
		var addr, value string
		_, err := fmt.Sscan(task, &ahead, &addr, &value)
		require.NoError(t, err)
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(time.Duration(ahead) * time.Second)
			c := redis.NewClient(&redis.Options{Addr: addr})
			defer c.Close()
			s := newStore(t, c)
			if value != "load" {
				save(t, s, lasting(value, 2*time.Hour), "")
			}
			tok, err := s.Load(t.Context(), "key")
			require.NoError(t, err)
			left := time.Until(tok.Expiry) / time.Second
			fmt.Printf("at %d: %s ends in %d s\n", time.Now().Unix(), tok.Value, left)
		})
		return
	}
	t.Parallel()
	addr := startServer(t).addr
	var clocks [2]int64
	inProcess := func(ahead int, value string) (token string) {
		cmd := exec.Command(os.Args[0], "-test.run=^TestProcessesAgreeOnTheEnd$")
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d %s %s", env, ahead, addr, value))
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		var left int
		line := regexp.MustCompile("(?m)^at .*").FindString(string(out))
		_, err = fmt.Sscanf(line, "at %d: %s ends in %d s", &clocks[min(ahead, 1)], &token, &left)
		require.NoError(t, err, "%s", out)
		assert.LessOrEqual(t, left, 7200)
		assert.Greater(t, left, 7200-60, "the test takes less than a minute")
		return token
	}
	assert.Equal(t, "first", inProcess(120, "first"))
	assert.Equal(t, "first", inProcess(0, "load"))
	assert.Equal(t, "second", inProcess(0, "second"),
		"the later one, though by its saver's clock it ends before the first")
	assert.Equal(t, "second", inProcess(120, "load"))
	assert.Equal(t, "third", inProcess(120, "third"))
	assert.EqualValues(t, 120, clocks[1]-clocks[0])
}
