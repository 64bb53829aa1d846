package channels

import (
	"database/sql"
	"os"
	"path/filepath"
	"testing"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/wechatqr/wechatqr/internal/testdb"
)

// TestMain stops the database servers that tests have started.
func TestMain(m *testing.M) {
	code := m.Run()
	testdb.Stop()
	os.Exit(code)
}

// databases are what a test of SQL runs on.
var databases = []Dialect{SQLite, PostgreSQL, MySQL}

// onEach runs the test on each database.
func onEach(t *testing.T, test func(t *testing.T, d Dialect)) {
	t.Helper()
	for _, d := range databases {
		t.Run(d.String(), func(t *testing.T) {
			t.Parallel()
			test(t, d)
		})
	}
}

// source is the driver and the data source of a new, empty database.
func source(t testing.TB, d Dialect) (driver, dsn string) {
	t.Helper()
	switch d.name {
	case "PostgreSQL":
		return testdb.PostgreSQL.Driver, testdb.PostgreSQL.NewDatabase(t).DSN
	case "MySQL":
		return testdb.MariaDB.Driver, testdb.MariaDB.NewDatabase(t).DSN
	}
	return "sqlite", filepath.Join(t.TempDir(), "ledger.db")
}

func newDB(t testing.TB, d Dialect) *sql.DB {
	t.Helper()
	driver, dsn := source(t, d)
	return connect(t, driver, dsn)
}

func connect(t testing.TB, driver, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return db
}
