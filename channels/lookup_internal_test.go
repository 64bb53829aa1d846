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

func TestFindChannels(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d Dialect) {
		l, _ := newLedger(t, d, testConfig)
		ctx := t.Context()
		for _, c := range []Channel{
			{Key: "sh-2", Name: "徐汇店", Group: "华东"}, {Key: "SH-1", Name: "Shop 1", Group: "east"},
			{Key: "gz_1", Name: "100% 店", Group: "华南"}, {Key: "gone", Name: "徐汇店"},
		} {
			require.NoError(t, l.Put(ctx, c))
		}
		require.NoError(t, l.Merge(ctx, "gone", "gz_1"))
		for name, tt := range map[string]struct {
			text string
			n    int
			want []string
		}{
			"all":             {"", 9, []string{"SH-1", "gz_1", "sh-2"}},
			"no more than n":  {"店", 1, []string{"gz_1"}},
			"a key":           {"sH-", 9, []string{"SH-1", "sh-2"}},
			"a name":          {"徐汇", 9, []string{"sh-2"}},
			"a group":         {"EAS", 9, []string{"SH-1"}},
			"signs of LIKE":   {"0% ", 9, []string{"gz_1"}},
			"a sign for one":  {"h_1", 9, nil},
			"the escape sign": {"!", 9, nil},
		} {
			got, err := l.FindChannels(ctx, tt.text, tt.n)
			require.NoError(t, err, name)
			var keys []string
			for _, c := range got {
				keys = append(keys, c.Key)
			}
			assert.Equal(t, tt.want, keys, name)
		}
		_, err := l.FindChannels(ctx, "", 0)
		assert.ErrorIs(t, err, wechatqr.ErrInvalidArgument)
	})
}
