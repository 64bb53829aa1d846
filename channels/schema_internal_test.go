package channels

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Processes that open a new database at once make its tables once.
func TestOpenAtOnce(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d Dialect) {
		driver, dsn := source(t, d)
		var all sync.WaitGroup
		for range 6 {
			all.Go(func() {
				_, err := Open(t.Context(), connect(t, driver, dsn), d, testConfig)
				assert.NoError(t, err)
			})
		}
		all.Wait()
	})
}

// A migration that was cut off where each statement commits is gone on with.
func TestOpenAfterACutMigration(t *testing.T) {
	t.Parallel()
	for _, d := range []Dialect{PostgreSQL, MySQL} {
		for _, after := range []int{1, 3, 8} {
			t.Run(fmt.Sprint(d, " after ", after), func(t *testing.T) {
				t.Parallel()
				db := newDB(t, d)
				script, err := migrations.ReadFile("migrations/0001.sql")
				require.NoError(t, err)
				text := strings.NewReplacer(
					"{hash}", d.hash, "{text}", d.text, "{options}", d.options,
				).Replace(string(script))
				for _, statement := range strings.Split(text, ";\n")[:after] {
					_, err := db.ExecContext(t.Context(), statement)
					require.NoError(t, err)
				}
				_, err = Open(t.Context(), db, d, testConfig)
				require.NoError(t, err)
			})
		}
	}
}
