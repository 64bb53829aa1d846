package store

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr/internal/testdb"
)

// TestMain stops the database servers that tests have started.
func TestMain(m *testing.M) {
	code := m.Run()
	testdb.Stop()
	os.Exit(code)
}

// onEach runs the test on a new store in each database.
func onEach(t *testing.T, test func(t *testing.T, s *Store)) {
	t.Helper()
	for name, source := range map[string]func(*testing.T) string{
		"SQLite":     func(t *testing.T) string { return filepath.Join(t.TempDir(), "desk.db") },
		"PostgreSQL": func(t *testing.T) string { return testdb.PostgreSQL.NewDatabase(t).URL },
		"MariaDB":    func(t *testing.T) string { return testdb.MariaDB.NewDatabase(t).URL },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := Open(t.Context(), source(t))
			require.NoError(t, err)
			t.Cleanup(func() { _ = s.Close() })
			test(t, s)
		})
	}
}

// However many requests come at once, a process leaves connections of the server to the
// others: PostgreSQL has 100, and refuses more.
func TestABurstLeavesConnectionsToOthers(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(t *testing.T) *testdb.Server{
		"PostgreSQL": func(t *testing.T) *testdb.Server {
			return restarted(t, testdb.PostgreSQL, "-c", "max_connections=30")
		},
		"MariaDB": func(t *testing.T) *testdb.Server {
			return restarted(t, testdb.MariaDB, "--max-connections=30")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := Open(t.Context(), start(t).NewDatabase(t).URL)
			require.NoError(t, err)
			t.Cleanup(func() { _ = s.Close() })
			var burst sync.WaitGroup
			for n := range 300 {
				burst.Go(func() {
					_, err := s.Attempt(t.Context(), fmt.Sprint("somebody", n))
					assert.NoError(t, err)
				})
			}
			burst.Wait()
		})
	}
}

// restarted is a server of the test's own with other options.
func restarted(t *testing.T, server *testdb.Server, options ...string) *testdb.Server {
	t.Helper()
	own := server.Own(t)
	own.NewDatabase(t) // which starts it
	own.Kill()
	require.NoError(t, own.Restart(nil, options...))
	return own
}
