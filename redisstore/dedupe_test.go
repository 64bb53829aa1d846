package redisstore_test

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr/events"
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
