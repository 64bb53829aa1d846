package redisstore_test

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr/events"
	"github.com/wechatqr/wechatqr/redisstore"
)

func claims(t *testing.T, want events.Claim, s *redisstore.Store, owner string) {
	t.Helper()
	got, err := s.Claim(t.Context(), "id", owner, time.Hour)
	require.NoError(t, err)
	require.Equal(t, want, got)
}

// A claim that Redis carried out and whose response never came is its owner's:
// to ask for again, and to give back, from whatever process.
func TestClaimWhoseResponseIsLost(t *testing.T) {
	everyRedis(t, func(t *testing.T, c redis.UniversalClient) {
		lose := true
		c.AddHook(hook(func(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook) error {
			err := next(ctx, cmd)
			if err == nil && lose && strings.HasPrefix(cmd.Name(), "eval") {
				err = io.ErrClosedPipe
				cmd.SetErr(err)
			}
			return err
		}))
		s, other, ctx := newStore(t, c), newStore(t, c), t.Context()
		_, err := s.Claim(ctx, "id", "first", time.Hour)
		require.ErrorIs(t, err, io.ErrClosedPipe)

		lose = false
		claims(t, events.ClaimBusy, s, "second")
		claims(t, events.ClaimGranted, s, "first")
		claims(t, events.ClaimGranted, other, "first")
		require.NoError(t, other.Release(ctx, "id", "first"))
		claims(t, events.ClaimGranted, s, "second")
	})
}

func TestClaimThatTheClientRepeats(t *testing.T) {
	everyRedis(t, func(t *testing.T, c redis.UniversalClient) {
		c.AddHook(hook(twice))
		s := newStore(t, c)
		claims(t, events.ClaimGranted, s, "first")
		claims(t, events.ClaimBusy, s, "second")
		require.NoError(t, s.Release(t.Context(), "id", "first"))
		claims(t, events.ClaimGranted, s, "second")
	})
}

func TestClaimOfAnOwnerNamedDone(t *testing.T) {
	everyRedis(t, func(t *testing.T, c redis.UniversalClient) {
		s := newStore(t, c)
		claims(t, events.ClaimGranted, s, "done")
		claims(t, events.ClaimBusy, s, "second")
		require.NoError(t, s.Commit(t.Context(), "id", time.Hour))
		require.NoError(t, s.Release(t.Context(), "id", "done"))
		claims(t, events.ClaimHandled, s, "done")
	})
}

func TestTimesBelowAMillisecond(t *testing.T) {
	everyRedis(t, func(t *testing.T, c redis.UniversalClient) {
		s, ctx := newStore(t, c), t.Context()
		for _, short := range []time.Duration{-time.Second, 0, time.Nanosecond} {
			got, err := s.Claim(ctx, "id", "first", short)
			require.NoError(t, err)
			assert.Equal(t, events.ClaimGranted, got)
			require.NoError(t, s.Commit(ctx, "id", short))
			ok, err := s.Lease(ctx, "key", "first", short)
			require.NoError(t, err)
			assert.True(t, ok)
			require.Eventually(t, func() bool {
				n, err := c.Exists(ctx, "wechatqr:token:key").Result()
				keys, kerr := c.Keys(ctx, "wechatqr:event:*").Result()
				return err == nil && kerr == nil && n == 0 && len(keys) == 0
			}, 20*time.Second, time.Millisecond, "they expire")
		}
	})
}
