package store

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestLease(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *Store) {
		now := time.Unix(time.Now().Unix(), 0)
		s.now = func() time.Time { return now }
		lease := func(owner string) bool {
			mine, err := s.Lease(t.Context(), "tags", owner, time.Minute)
			require.NoError(t, err)
			return mine
		}
		assert.True(t, lease("one"))
		assert.True(t, lease("one"), "also within the same second")
		assert.False(t, lease("two"))
		now = now.Add(time.Minute - time.Second)
		assert.False(t, lease("two"))
		now = now.Add(time.Second)
		assert.True(t, lease("two"), "it has ended")
		assert.False(t, lease("one"))

		require.NoError(t, s.EndLease(t.Context(), "tags", "one"))
		assert.False(t, lease("one"), "only the owner ends it")
		require.NoError(t, s.EndLease(t.Context(), "tags", "two"))
		assert.True(t, lease("one"))
	})
}

func TestLeaseHasOneOwner(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *Store) {
		const processes = 8
		got := make(chan bool, processes)
		for n := range processes {
			go func() {
				mine, err := s.Lease(t.Context(), "tags", string(rune('a'+n)), time.Minute)
				assert.NoError(t, err)
				got <- mine
			}()
		}
		owners := 0
		for range processes {
			if <-got {
				owners++
			}
		}
		assert.Equal(t, 1, owners)
	})
}

func TestTags(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *Store) {
		for _, want := range []string{"", "老客", "新客", ""} {
			require.NoError(t, s.SetTag(t.Context(), "sh-7", want))
			tag, err := s.Tag(t.Context(), "sh-7")
			require.NoError(t, err)
			assert.Equal(t, want, tag)
		}
	})
}

func TestTaggings(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		now := time.Unix(time.Now().Unix(), 0)
		s.now = func() time.Time { return now }
		add := func(openID, tag string) { require.NoError(t, s.AddTagging(ctx, openID, tag)) }
		next := func() Tagging {
			got, err := s.NextTagging(ctx, 2)
			require.NoError(t, err)
			return got
		}
		add("o-a", "甲")
		add("o-a", "甲")
		now = now.Add(time.Second)
		add("o-b", "甲")
		add("o-c", "甲")
		add("o-d", "乙")
		first := next()
		assert.Equal(t, Tagging{Tag: "甲", OpenIDs: []string{"o-a", "o-b"}}, first)

		require.NoError(t, s.RetryTagging(ctx, &first, "45159", now.Add(time.Minute)))
		assert.Len(t, next().OpenIDs, 1, "those alone whose tag is the same and who are due")
		wait, err := s.TagsWaiting(ctx)
		require.NoError(t, err)
		assert.Equal(t, []TagWait{
			{Tag: "乙", Number: 1, Due: now}, {Tag: "甲", Number: 1, Due: now},
			{Tag: "甲", Problem: "45159", Number: 2, Due: now.Add(time.Minute)},
		}, wait)

		require.NoError(t, s.DropTaggings(ctx, "o-c"))
		require.NoError(t, s.DropTaggings(ctx, "o-d"))
		_, err = s.NextTagging(ctx, 2)
		require.ErrorIs(t, err, ErrNotFound, "the others wait")
		now = now.Add(time.Minute)
		first.Attempts = 1
		assert.Equal(t, first, next())
		require.NoError(t, s.EndTagging(ctx, &first))
		_, err = s.NextTagging(ctx, 2)
		require.ErrorIs(t, err, ErrNotFound)
	})
}

func TestTaggingsExpire(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		now := time.Unix(time.Now().Unix(), 0)
		s.now = func() time.Time { return now }
		require.NoError(t, s.AddTagging(ctx, "o-a", "甲"))
		now = now.Add(outboxLife - time.Second)
		require.NoError(t, s.AddTagging(ctx, "o-a", "甲"))
		require.NoError(t, s.AddTagging(ctx, "o-b", "甲"))
		require.NoError(t, s.DeleteExpired(ctx))
		wait, err := s.TagsWaiting(ctx)
		require.NoError(t, err)
		require.Len(t, wait, 1)
		assert.EqualValues(t, 2, wait[0].Number)

		now = now.Add(time.Second)
		require.NoError(t, s.DeleteExpired(ctx))
		got, err := s.NextTagging(ctx, 9)
		require.NoError(t, err)
		assert.Equal(t, []string{"o-b"}, got.OpenIDs, "who is added again does not stay longer")
		failures, err := s.TagFailures(ctx)
		require.NoError(t, err)
		assert.Equal(t, []TagFailure{{"甲", "expired", 1, now}}, failures)

		require.NoError(t, s.AddTagFailure(ctx, "甲", "expired", 2))
		failures, err = s.TagFailures(ctx)
		require.NoError(t, err)
		assert.EqualValues(t, 3, failures[0].Number)
		now = now.Add(failureLife)
		require.NoError(t, s.DeleteExpired(ctx))
		failures, err = s.TagFailures(ctx)
		require.NoError(t, err)
		assert.EqualValues(t, 4, failures[0].Number, "o-b's is new")
		now = now.Add(failureLife)
		require.NoError(t, s.DeleteExpired(ctx))
		failures, err = s.TagFailures(ctx)
		require.NoError(t, err)
		assert.Empty(t, failures)
	})
}
