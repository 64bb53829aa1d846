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

func TestReleaseOfAnothersClaim(t *testing.T) {
	everyRedis(t, func(t *testing.T, c redis.UniversalClient) {
		stalled, next, third := newStore(t, c), newStore(t, c), newStore(t, c)
		ctx := t.Context()
		ok, err := stalled.Claim(ctx, "id", 50*time.Millisecond)
		require.NoError(t, err)
		require.True(t, ok)
		require.Eventually(t, func() bool {
			ok, _ := next.Claim(ctx, "id", time.Hour)
			return ok
		}, 10*time.Second, 10*time.Millisecond)

		require.NoError(t, stalled.Release(ctx, "id"))
		require.NoError(t, third.Release(ctx, "id"))
		_, err = third.Claim(ctx, "id", time.Hour)
		require.ErrorIs(t, err, events.ErrInProgress)

		require.NoError(t, stalled.Commit(ctx, "id", time.Hour))
		require.NoError(t, next.Release(ctx, "id"))
		ok, err = third.Claim(ctx, "id", time.Hour)
		require.NoError(t, err)
		assert.False(t, ok, "what one has handled stays handled")
	})
}

// A claim that Redis carried out and whose answer never came can be given back.
func TestReleaseOfClaimWhoseAnswerIsLost(t *testing.T) {
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
		_, err := s.Claim(ctx, "id", time.Hour)
		require.ErrorIs(t, err, io.ErrClosedPipe)
		lose = false
		for _, store := range []*redisstore.Store{s, other} {
			_, err = store.Claim(ctx, "id", time.Hour)
			require.ErrorIs(t, err, events.ErrInProgress, "it was carried out")
		}
		require.NoError(t, other.Release(ctx, "id"))
		_, err = other.Claim(ctx, "id", time.Hour)
		require.ErrorIs(t, err, events.ErrInProgress, "it is not this one's to give back")
		require.NoError(t, s.Release(ctx, "id"))
		ok, err := other.Claim(ctx, "id", time.Hour)
		require.NoError(t, err)
		assert.True(t, ok)

		// And what another has is not noted as this one's.
		_, err = s.Claim(ctx, "id", time.Hour)
		require.ErrorIs(t, err, events.ErrInProgress)
		require.NoError(t, s.Release(ctx, "id"))
		_, err = s.Claim(ctx, "id", time.Hour)
		require.ErrorIs(t, err, events.ErrInProgress)
	})
}

func TestClaimWhoseAnswerIsLost(t *testing.T) {
	everyRedis(t, func(t *testing.T, c redis.UniversalClient) {
		c.AddHook(hook(twice))
		s := newStore(t, c)
		ok, err := s.Claim(t.Context(), "id", time.Hour)
		require.NoError(t, err)
		require.True(t, ok, "the client's repetition is no second claim")
		_, err = s.Claim(t.Context(), "id", time.Hour)
		require.ErrorIs(t, err, events.ErrInProgress)
	})
}
