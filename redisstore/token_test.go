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
	tok, err := s.Load(t.Context(), "key")
	require.NoError(t, err)
	return tok.Value
}

func lease(t *testing.T, s *redisstore.Store, ttl time.Duration) func() {
	t.Helper()
	release, ok, err := s.Lease(t.Context(), "key", ttl)
	require.NoError(t, err)
	require.True(t, ok)
	return release
}

func TestLeaderWhoseLeaseHasPassed(t *testing.T) {
	everyRedis(t, func(t *testing.T, c redis.UniversalClient) {
		late, next := newStore(t, c), newStore(t, c)
		ctx := t.Context()
		require.NoError(t, next.Save(ctx, "key", lasting("old", time.Minute)))
		release := lease(t, late, 50*time.Millisecond)
		time.Sleep(100 * time.Millisecond)
		require.ErrorContains(t, late.Save(ctx, "key", lasting("late", 2*time.Hour)), "the lease has passed")
		require.Equal(t, "old", load(t, next))

		releaseNext := lease(t, next, time.Hour)
		require.Error(t, late.Save(ctx, "key", lasting("late", 2*time.Hour)))
		require.NoError(t, next.Save(ctx, "key", lasting("next", time.Hour)))
		require.Error(t, late.Save(ctx, "key", lasting("late", 2*time.Hour)), "though it ends later")
		assert.Equal(t, "next", load(t, late))

		release()
		_, ok, err := late.Lease(ctx, "key", time.Hour)
		require.NoError(t, err)
		require.False(t, ok, "release of a lease that had passed ended another's")
		releaseNext()
		require.NoError(t, late.Save(ctx, "key", lasting("later", 2*time.Hour)), "without a lease the end decides")
		assert.Equal(t, "later", load(t, next))
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
	_, _, err := s.Lease(t.Context(), "warm", time.Hour)
	require.NoError(t, err)
	require.NoError(t, s.Save(t.Context(), "warm", lasting("warm", time.Hour)))
}

func TestSaveThatComesLate(t *testing.T) {
	everyRedis(t, func(t *testing.T, c redis.UniversalClient) {
		s := newStore(t, c)
		warm(t, s)
		older := newGate(c, "older")
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		require.ErrorIs(t, s.Save(ctx, "key", lasting("older", time.Hour)), context.DeadlineExceeded)
		<-older.held
		time.Sleep(silence)
		require.NoError(t, s.Save(t.Context(), "key", lasting("newer", time.Hour-silence/2)))
		close(older.open)
		<-older.done
		assert.Equal(t, "newer", load(t, s), "it was sent %v before, to end %v before", silence, silence/2)
	})
}

func TestSaveThatComesTooLate(t *testing.T) {
	everyRedis(t, func(t *testing.T, c redis.UniversalClient) {
		s := newStore(t, c)
		warm(t, s)
		short := newGate(c, "short")
		ended := make(chan error, 1)
		go func() { ended <- s.Save(t.Context(), "key", lasting("short", 500*time.Millisecond)) }()
		<-short.held
		time.Sleep(600 * time.Millisecond)
		close(short.open)
		require.NoError(t, <-ended)
		_, err := s.Load(t.Context(), "key")
		assert.ErrorIs(t, err, wechatqr.ErrTokenNotFound, "the way does not lengthen its life")
	})
}

func TestLeaseThatComesLate(t *testing.T) {
	everyRedis(t, func(t *testing.T, c redis.UniversalClient) {
		s := newStore(t, c)
		warm(t, s)
		const ttl = 1234567 * time.Millisecond
		g := newGate(c, fmt.Sprint(ttl.Milliseconds()))
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, ok, err := s.Lease(ctx, "key", ttl)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.False(t, ok)
		<-g.held
		time.Sleep(100 * time.Millisecond)
		close(g.open)
		<-g.done
		time.Sleep(silence)
		lease(t, s, time.Hour) // nobody waited for the other any more
	})
}

func TestLeaseWhoseAnswerComesLate(t *testing.T) {
	everyRedis(t, func(t *testing.T, c redis.UniversalClient) {
		s, other := newStore(t, c), newStore(t, c)
		warm(t, s)
		const ttl = 1234567 * time.Millisecond
		c.AddHook(hook(func(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook) error {
			err := next(ctx, cmd)
			for _, a := range cmd.Args() {
				if fmt.Sprint(a) == fmt.Sprint(ttl.Milliseconds()) {
					<-ctx.Done()
				}
			}
			return err
		}))
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, ok, err := s.Lease(ctx, "key", ttl)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.False(t, ok)
		require.Eventually(t, func() bool {
			_, ok, err := other.Lease(t.Context(), "key", time.Hour)
			return ok && err == nil
		}, 20*time.Second, 10*time.Millisecond, "it was taken, and nobody knew")
	})
}

func TestLeaseWhoseAnswerIsLost(t *testing.T) {
	everyRedis(t, func(t *testing.T, c redis.UniversalClient) {
		c.AddHook(hook(twice))
		s := newStore(t, c)
		release := lease(t, s, time.Hour)
		_, ok, err := s.Lease(t.Context(), "key", time.Hour)
		require.NoError(t, err)
		require.False(t, ok)
		release()
		lease(t, s, time.Hour)
	})
}

func TestTokenOfUnknownEnd(t *testing.T) {
	everyRedis(t, func(t *testing.T, c redis.UniversalClient) {
		s := newStore(t, c)
		require.NoError(t, s.Save(t.Context(), "key", wechatqr.Token{Value: "unknown"}))
		tok, err := s.Load(t.Context(), "key")
		require.NoError(t, err)
		assert.Equal(t, wechatqr.Token{Value: "unknown"}, tok)
		require.NoError(t, s.Save(t.Context(), "key", lasting("known", time.Hour)))
		assert.Equal(t, "known", load(t, s))
		require.NoError(t, s.Save(t.Context(), "key", wechatqr.Token{Value: "unknown again"}))
		assert.Equal(t, "unknown again", load(t, s))
	})
}

func TestEmptyTokenIsRefused(t *testing.T) {
	err := newStore(t, embedded(t)).Save(t.Context(), "key", wechatqr.Token{})
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
				require.NoError(t, s.Save(t.Context(), "key", lasting(value, 2*time.Hour)))
			}
			tok, err := s.Load(t.Context(), "key")
			require.NoError(t, err)
			fmt.Printf("at %d: %s ends in %d s\n", time.Now().Unix(), tok.Value, time.Until(tok.Expiry)/time.Second)
		})
		return
	}
	t.Parallel()
	addr := startServer(t).addr
	var clocks [2]int64
	process := func(ahead int, value string) (token string) {
		cmd := exec.Command(os.Args[0], "-test.run=^TestProcessesAgreeOnTheEnd$")
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d %s %s", env, ahead, addr, value))
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		var left int
		_, err = fmt.Sscanf(regexp.MustCompile("(?m)^at .*").FindString(string(out)), "at %d: %s ends in %d s", &clocks[min(ahead, 1)], &token, &left)
		require.NoError(t, err, "%s", out)
		assert.LessOrEqual(t, left, 7200)
		assert.Greater(t, left, 7200-60, "the test takes less than a minute")
		return token
	}
	assert.Equal(t, "first", process(120, "first"))
	assert.Equal(t, "first", process(0, "load"))
	assert.Equal(t, "second", process(0, "second"), "the later one, though by its saver's clock it ends before the first")
	assert.Equal(t, "second", process(120, "load"))
	assert.Equal(t, "third", process(120, "third"))
	assert.EqualValues(t, 120, clocks[1]-clocks[0])
}
