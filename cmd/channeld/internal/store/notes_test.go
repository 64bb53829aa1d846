package store

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestNotes(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		for _, n := range []Note{
			{Channel: "sh-7", Day: "2026-11-02", Text: "印刷", Spent: 900_000_000_000},
			{Channel: "sh-7", Day: "2026-11-25", Text: "改了海报"},
			{Channel: "sh-7", Day: "2026-11-26", Text: "KOL", Spent: 900_000_000_001},
			{Channel: "gz-1", Day: "2026-11-25", Text: "印刷", Spent: 5},
			{Channel: "poor", Day: "2026-11-25", Text: "没花钱"},
		} {
			require.NoError(t, s.AddNote(ctx, &n))
		}
		texts := func(channel, before string, most int) (all []string) {
			notes, err := s.Notes(ctx, channel, before, most)
			require.NoError(t, err)
			for i := range notes {
				assert.Equal(t, channel, notes[i].Channel)
				all = append(all, notes[i].Day+notes[i].Text)
			}
			return all
		}
		assert.Equal(t, []string{"2026-11-26KOL", "2026-11-25改了海报"}, texts("sh-7", "2026-11-27", 2))
		assert.Equal(t, []string{"2026-11-02印刷"}, texts("sh-7", "2026-11-25", 9))
		assert.Empty(t, texts("sh-7", "2026-11-02", 9))

		spent := func(before string) map[string]int64 {
			sums, err := s.Spent(ctx, before)
			require.NoError(t, err)
			return sums
		}
		assert.Equal(t, map[string]int64{"sh-7": 1_800_000_000_001, "gz-1": 5}, spent("2026-11-27"))
		assert.Equal(t, map[string]int64{"sh-7": 900_000_000_000, "gz-1": 5}, spent("2026-11-26"))
		assert.Empty(t, spent("2026-11-02"))

		for range 2 { // again after a crash
			require.NoError(t, s.MoveNotes(ctx, "sh-7", "gz-1"))
		}
		assert.Empty(t, texts("sh-7", "2026-11-27", 9))
		assert.Len(t, texts("gz-1", "2026-11-27", 9), 4)
		assert.Equal(t, map[string]int64{"gz-1": 1_800_000_000_006}, spent("2026-11-27"))

		notes, err := s.Notes(ctx, "gz-1", "2026-11-27", 1)
		require.NoError(t, err)
		require.NoError(t, s.DeleteNote(ctx, "sh-7", notes[0].ID))
		assert.Len(t, texts("gz-1", "2026-11-27", 9), 4, "it is another channel's")
		for range 2 {
			require.NoError(t, s.DeleteNote(ctx, "gz-1", notes[0].ID))
		}
		assert.Len(t, texts("gz-1", "2026-11-27", 9), 3)
	})
}
