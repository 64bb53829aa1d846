package channels

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
)

func TestAssignments(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d Dialect) {
		l, _ := newLedger(t, d, testConfig)
		ctx := t.Context()
		a, b := Channel{Key: "a", Name: "A"}, Channel{Key: "b", Name: "B", Group: "g"}
		s1, s2 := wechatqr.SceneString("s1"), wechatqr.SceneString("s2")
		require.NoError(t, l.Adopt(ctx, s1, a))
		require.NoError(t, l.Adopt(ctx, s2, b))
		noon := monday.Add(12 * time.Hour)
		require.NoError(t, l.Reassign(ctx, s1, "b", noon))

		got, err := l.Assignments(ctx, "a")
		require.NoError(t, err)
		first := []Assigned{{Scene: s1, Channel: a}, {s1, noon, b}}
		assert.Equal(t, first, got)
		got, err = l.Assignments(ctx, "b")
		require.NoError(t, err)
		assert.Equal(t, append(first, Assigned{Scene: s2, Channel: b}), got)

		c, err := l.Channel(ctx, "b")
		require.NoError(t, err)
		assert.Equal(t, b, c)
		require.NoError(t, l.Merge(ctx, "a", "b"))
		c, err = l.Channel(ctx, "a")
		require.NoError(t, err)
		assert.Equal(t, b, c, "of a merged one, the channel that has its history")
		_, err = l.Assignments(ctx, "none")
		assert.ErrorIs(t, err, ErrUnknownChannel)
		_, err = l.Channel(ctx, "none")
		assert.ErrorIs(t, err, ErrUnknownChannel)
	})
}
