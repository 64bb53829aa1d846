package channels

import (
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
)

// fixture is the file with the rows that a ledger of the version has.
func fixture(version int) string {
	return filepath.Join("testdata", fmt.Sprintf("v%04d.sql", version))
}

const fixtureReport = "testdata/report.txt" // what every version reports

// writeFixtures says that the files are to be written where they are missing: that of a new
// version is the one before, brought to it, with a row in each table that is new.
var writeFixtures = os.Getenv("CHANNELS_WRITE_FIXTURES") != ""

// A database of every version is brought to the newest, and reports the same.
func TestMigrateFromEveryVersion(t *testing.T) {
	t.Parallel()
	files, err := fs.Glob(migrations, "migrations/*.sql")
	require.NoError(t, err)
	if writeFixtures {
		for version := range files {
			writeFixture(t, 1+version)
		}
	}
	want, err := os.ReadFile(fixtureReport)
	require.NoError(t, err)
	onEach(t, func(t *testing.T, d Dialect) {
		for i := range files {
			db := newDB(t, d)
			loadFixture(t, db, d, 1+i)
			l, err := openAt(t.Context(), db, d, testConfig, fixtureClock)
			require.NoError(t, err)
			assert.Equal(t, string(want), reportText(t, l), "from version %d", 1+i)
			assert.Equal(t, schemaOf(t, newOpened(t, d), d), schemaOf(t, db, d))
		}
	})
}

func fixtureClock() time.Time { return monday.AddDate(0, 0, 60) }

func newOpened(t *testing.T, d Dialect) *sql.DB {
	t.Helper()
	db := newDB(t, d)
	_, err := Open(t.Context(), db, d, testConfig)
	require.NoError(t, err)
	return db
}

// migrateUpTo makes the tables of the version.
func migrateUpTo(t *testing.T, db *sql.DB, d Dialect, version int) {
	t.Helper()
	files, err := fs.Glob(migrations, "migrations/*.sql")
	require.NoError(t, err)
	require.NoError(t, d.transact(t.Context(), db, func(s *tx) error {
		_, err := s.lockVersion(t.Context())
		return err
	}))
	for from := versionOf(t, db); from < version; from++ {
		require.NoError(t, d.transact(t.Context(), db, func(s *tx) error {
			return s.migrateTo(t.Context(), from+1, files[from])
		}))
	}
}

func versionOf(t *testing.T, db *sql.DB) (version int) {
	t.Helper()
	read := "SELECT version FROM channels_schema WHERE id = 1"
	require.NoError(t, db.QueryRow(read).Scan(&version))
	return version
}

// loadFixture makes a database of the version.
func loadFixture(t *testing.T, db *sql.DB, d Dialect, version int) {
	t.Helper()
	migrateUpTo(t, db, d, version)
	text, err := os.ReadFile(fixture(version))
	require.NoError(t, err, "run the test with CHANNELS_WRITE_FIXTURES=1")
	script := string(text)
	if d.name == "PostgreSQL" {
		script = regexp.MustCompile(`X'([0-9a-f]+)'`).ReplaceAllString(script, `'\x$1'`)
	}
	require.NoError(t, d.transact(t.Context(), db, func(s *tx) error {
		for line := range strings.Lines(script) {
			if err := s.exec(t.Context(), line); err != nil {
				return fmt.Errorf("%s: %w", line, err)
			}
		}
		return nil
	}))
}

// writeFixture writes the files of the version that are missing.
func writeFixture(t *testing.T, version int) {
	t.Helper()
	if _, err := os.Stat(fixture(version)); err == nil {
		return
	}
	d := SQLite
	db := newDB(t, d)
	if version == 1 {
		l := fixtureLedger(t, db)
		require.NoError(t, os.WriteFile(fixtureReport, []byte(reportText(t, l)), 0o600))
	} else {
		loadFixture(t, db, d, version-1)
		migrateUpTo(t, db, d, version)
		fillEmptyTables(t, &Ledger{db: db, dialect: d})
	}
	require.NoError(t, os.WriteFile(fixture(version), []byte(dumpOf(t, db, d)), 0o600))
}

// fixtureLedger has all kinds of channels, codes, events and follows.
func fixtureLedger(t *testing.T, db *sql.DB) *Ledger {
	t.Helper()
	ctx := t.Context()
	c := &clock{monday}
	l, err := openAt(ctx, db, SQLite, testConfig, c.now)
	require.NoError(t, err)
	for i, path := range []string{"华东/门店", "华东/门店", "华北", ""} {
		channel := Channel{Key: fmt.Sprint("c", i), Name: "渠道'" + path, Group: path}
		require.NoError(t, l.Adopt(ctx, wechatqr.SceneString(fmt.Sprint("s", i)), channel))
	}
	for n := range 60 {
		who, at := fmt.Sprint("person", n%40), monday.Add(time.Duration(n)*7*time.Hour)
		c.Time = at.Add(time.Minute)
		events := []*wechatqr.Event{newPush(who, at, wechatqr.EventSubscribe, fmt.Sprint("s", n%6))}
		if n%3 == 0 {
			events = append(events, newPush(who, at.Add(time.Second), wechatqr.EventScan, "s1"))
		}
		if n%4 == 0 {
			later := at.Add(time.Minute)
			events = append(events, newPush(who, later, wechatqr.EventUnsubscribe, ""))
		}
		for _, ev := range events {
			_, err := l.RecordEvent(ctx, ev)
			require.NoError(t, err)
		}
	}
	require.NoError(t, l.Forget(ctx, "person1"))
	require.NoError(t, l.Reassign(ctx, wechatqr.SceneString("s0"), "c2", monday.Add(50*time.Hour)))
	require.NoError(t, l.Merge(ctx, "c1", "c3"))
	require.NoError(t, l.Retire(ctx, "c2", c.Time))
	l.now = fixtureClock
	require.NoError(t, l.DeleteExpired(ctx))
	return l
}

// reportText is what the ledger says of the fixture's time.
func reportText(t *testing.T, l *Ledger) string {
	t.Helper()
	var text strings.Builder
	q := Query{From: monday, To: monday.AddDate(0, 0, 21)}
	for _, q.By = range []By{ByDay | ByChannel, ByWeekday | ByGroup} {
		r, err := l.Report(t.Context(), q)
		require.NoError(t, err)
		r.Rows = append(r.Rows, Row{Cell{Origin: "total"}, r.Total})
		for i := range r.Rows {
			row := &r.Rows[i]
			fmt.Fprintln(&text, row.Start.In(china).Format(csvTime), int(row.Weekday), row.Hour,
				row.Origin, row.Channel.Key, row.Group, row.Scans, row.Scanners,
				row.FollowerScans, row.New, row.Returning, row.Lost, row.Imported, row.Forgotten,
				row.HeldStart, row.HeldEnd, row.QuickLost, row.QuickOf)
		}
	}
	q.By = ByDay
	days, err := l.Retention(t.Context(), q, 0, 1, 7)
	require.NoError(t, err)
	for _, day := range days.Rows {
		fmt.Fprintln(&text, day.From.In(china).Format(csvTime), day.Days, day.Follows, day.Stayed)
	}
	return text.String()
}

// dumpOf is the rows of all tables as INSERTs, one a line, after DELETEs of what the
// migrations have written.
func dumpOf(t *testing.T, db *sql.DB, d Dialect) string {
	t.Helper()
	var text strings.Builder
	on := tx{&d, db}
	counts := countRows(t, db, d)
	for _, table := range slices.Sorted(maps.Keys(counts)) {
		if table == "channels_schema" || counts[table] == 0 {
			continue
		}
		fmt.Fprintf(&text, "DELETE FROM %s\n", table)
		var lines []string
		require.NoError(t, on.eachRow(t.Context(), table,
			func(names []string, values []any) error {
				var literals []string
				for _, value := range values {
					literals = append(literals, sqlLiteral(value))
				}
				lines = append(lines, fmt.Sprintf("INSERT INTO %s (%s) VALUES (%s)\n", table,
					strings.Join(names, ", "), strings.Join(literals, ", ")))
				return nil
			}))
		slices.Sort(lines)
		text.WriteString(strings.Join(lines, ""))
	}
	return text.String()
}

func sqlLiteral(value any) string {
	switch v := value.(type) {
	case nil:
		return "NULL"
	case []byte:
		return "X'" + hex.EncodeToString(v) + "'"
	case string:
		return "'" + strings.ReplaceAll(v, "'", "''") + "'"
	}
	return fmt.Sprint(value)
}

// schemaOf is the names of the tables, their columns and their indexes.
func schemaOf(t *testing.T, db *sql.DB, d Dialect) (names []string) {
	t.Helper()
	for table := range countRows(t, db, d) {
		rows, err := db.Query("SELECT * FROM " + table)
		require.NoError(t, err)
		columns, err := rows.Columns()
		require.NoError(t, err)
		require.NoError(t, rows.Close())
		names = append(names, table+" "+strings.Join(columns, " "))
	}
	indexes := map[string]string{
		"SQLite":     "SELECT name FROM sqlite_master WHERE type = 'index'",
		"PostgreSQL": "SELECT indexname FROM pg_indexes WHERE schemaname = current_schema()",
		"MySQL": "SELECT CONCAT(table_name, ' ', index_name, ' ', column_name)" +
			" FROM information_schema.statistics WHERE table_schema = DATABASE()",
	}
	on := tx{&d, db}
	require.NoError(t, on.rows(t.Context(), func(rows *sql.Rows) error {
		var name string
		err := rows.Scan(&name)
		names = append(names, name)
		return err
	}, indexes[d.name]))
	slices.Sort(names)
	return names
}

// Wherever the first Open is cut off, the next one goes on, and the tables are those of an
// Open that was not.
func TestMigrationIsCutOff(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d Dialect) {
		opened := newOpened(t, d)
		want, counters := schemaOf(t, opened, d), countRows(t, opened, d)["channels_counters"]
		step := func() int { return 1 }
		if d.name != "SQLite" { // where a new database takes its time
			step = func() int { return 1 + rand.IntN(10) }
		}
		for cutAt, isCut := step(), true; isCut; cutAt += step() {
			driverName, dsn := source(t, d)
			db, faults := cutDB(t, driverName, dsn, cutAt)
			_, err := Open(t.Context(), db, d, testConfig)
			isCut = faults.cut()
			if isCut {
				require.ErrorIs(t, err, errCut)
			}

			complete := connect(t, driverName, dsn)
			l, err := Open(t.Context(), complete, d, testConfig)
			require.NoError(t, err, "cut at %d", cutAt)
			require.Equal(t, want, schemaOf(t, complete, d), "cut at %d", cutAt)
			require.Equal(t, counters, countRows(t, complete, d)["channels_counters"])
			require.NoError(t, l.Put(t.Context(), Channel{Key: "sh-7"}))
			require.NoError(t, complete.Close())
			require.NoError(t, db.Close())
		}
	})
}

// Processes that open a new database at once all get the ledger.
func TestOpenAtOnce(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d Dialect) {
		driverName, dsn := source(t, d)
		start := make(chan struct{})
		var all sync.WaitGroup
		for n := range 4 {
			db := connect(t, driverName, dsn)
			all.Go(func() {
				<-start
				l, err := Open(t.Context(), db, d, testConfig)
				if assert.NoError(t, err) {
					assert.NoError(t, l.Put(t.Context(), Channel{Key: fmt.Sprint("c", n)}))
				}
			})
		}
		close(start)
		all.Wait()
		l, err := Open(t.Context(), connect(t, driverName, dsn), d, testConfig)
		require.NoError(t, err)
		channels, err := l.Channels(t.Context())
		require.NoError(t, err)
		assert.Len(t, channels, 4)
	})
}

// The ledger shares a database with tables of another program, but takes none for its own.
func TestOpenAmongOthersTables(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d Dialect) {
		ctx := context.WithoutCancel(t.Context())
		db := newDB(t, d)
		for _, statement := range []string{
			"CREATE TABLE channels (id INTEGER)", "CREATE TABLE people (id INTEGER)",
			"INSERT INTO people (id) VALUES (7)",
		} {
			_, err := db.Exec(statement)
			require.NoError(t, err)
		}
		_, err := Open(ctx, db, d, testConfig)
		require.NoError(t, err)
		var id int
		require.NoError(t, db.QueryRow("SELECT id FROM people").Scan(&id))
		assert.Equal(t, 7, id)

		db = newDB(t, d)
		_, err = db.Exec("CREATE TABLE channels_people (id INTEGER)")
		require.NoError(t, err)
		_, err = Open(ctx, db, d, testConfig)
		require.ErrorIs(t, err, wechatqr.ErrInvalidArgument)
		assert.ErrorContains(t, err, "table channels_people is another program's: use another")
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
				migrateUpTo(t, db, d, 0)
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
