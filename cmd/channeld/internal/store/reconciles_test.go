package store

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestReconciles(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		now := time.Unix(1_700_000_000, 0)
		s.now = func() time.Time { return now }
		first, err := s.BeginReconcile(ctx)
		require.NoError(t, err)
		now = now.Add(time.Hour)
		second, err := s.BeginReconcile(ctx)
		require.NoError(t, err)
		second.Listed, second.Found, second.Lost, second.Unknown = 1000, 2, 1, 3
		now = now.Add(time.Minute)
		require.NoError(t, s.EndReconcile(ctx, &second))
		second.Ended = now

		all, err := s.Reconciles(ctx, 10)
		require.NoError(t, err)
		assert.Equal(t, []Reconcile{second, first}, all)
		assert.True(t, all[0].Succeeded())
		assert.False(t, all[1].Succeeded(), "it has not ended")
		first.Problem = "48001"
		require.NoError(t, s.EndReconcile(ctx, &first))
		all, err = s.Reconciles(ctx, 10)
		require.NoError(t, err)
		assert.False(t, all[1].Succeeded())
		all, err = s.Reconciles(ctx, 1)
		require.NoError(t, err)
		assert.Len(t, all, 1)

		now = first.Began.Add(reconcilesLife)
		require.NoError(t, s.DeleteExpired(ctx))
		all, err = s.Reconciles(ctx, 10)
		require.NoError(t, err)
		assert.Len(t, all, 2)
		now = now.Add(time.Second)
		require.NoError(t, s.DeleteExpired(ctx))
		all, err = s.Reconciles(ctx, 10)
		require.NoError(t, err)
		assert.Len(t, all, 1)
	})
}

// A database of before gets the column that it lacks, from as many processes as open it.
func TestReconcilesOfBefore(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		r, err := s.BeginReconcile(ctx)
		require.NoError(t, err)
		_, err = s.exec(ctx, "ALTER TABLE desk_reconciles DROP COLUMN unknown_lost")
		require.NoError(t, err)
		var opening sync.WaitGroup
		for range 4 {
			opening.Go(func() { assert.NoError(t, s.migrate(ctx)) })
		}
		opening.Wait()
		r.Unknown = 3
		require.NoError(t, s.EndReconcile(ctx, &r))
		all, err := s.Reconciles(ctx, 1)
		require.NoError(t, err)
		assert.Equal(t, 3, all[0].Unknown)
	})
}

func TestIsLeased(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		now := time.Unix(1_700_000_000, 0)
		s.now = func() time.Time { return now }
		leased := func() bool {
			yes, err := s.IsLeased(ctx, "task")
			require.NoError(t, err)
			return yes
		}
		assert.False(t, leased())
		mine, err := s.Lease(ctx, "task", "ann", time.Minute)
		require.NoError(t, err)
		require.True(t, mine)
		assert.True(t, leased())
		now = now.Add(time.Minute)
		assert.False(t, leased())
	})
}
