package sqlstore

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What a push costs, beside a row of the same size inserted into the same table.
func BenchmarkPush(b *testing.B) {
	for _, d := range databases {
		b.Run(d.name+"/claim and commit", func(b *testing.B) {
			s := newStore(b, d)
			for i := 0; b.Loop(); i++ {
				id := fmt.Sprint(i)
				_, err := s.Claim(b.Context(), id, "owner", 3*time.Second)
				require.NoError(b, err)
				require.NoError(b, s.Commit(b.Context(), id, time.Minute))
			}
		})
		b.Run(d.name+"/bare insert", func(b *testing.B) {
			s := newStore(b, d)
			for i := 0; b.Loop(); i++ {
				r := row{data: handled, ends: forever}
				require.NoError(b, s.write(b.Context(), eventID(fmt.Sprint(i)), row{}, r))
			}
		})
	}
}
