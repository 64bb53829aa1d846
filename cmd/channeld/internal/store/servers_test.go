package store

import (
	"os"
	"path/filepath"
	"testing"

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
