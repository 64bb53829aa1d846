package channels

import (
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr/events"
	"github.com/wechatqr/wechatqr/internal/testdb"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// failing is a recording on a database of its own that can fail.
type failing struct {
	*recording
	server *testdb.Server // nil for SQLite
	dsn    string
	people int
}

func newFailing(t *testing.T, d Dialect) *failing {
	t.Helper()
	f := &failing{}
	driver := "sqlite"
	switch d.name {
	case "PostgreSQL":
		f.server = testdb.PostgreSQL.Own(t)
	case "MySQL":
		f.server = testdb.MariaDB.Own(t)
	default:
		f.dsn = filepath.Join(t.TempDir(), "ledger.db")
	}
	if f.server != nil {
		driver, f.dsn = f.server.Driver, f.server.NewDatabase(t).DSN
	}
	f.recording = newRecordingOn(
		t, d, connect(t, driver, f.dsn), wechatqrtest.Start(t), events.WithoutRetries(),
	)
	return f
}

// use has the ledger use another connection to its database from now on.
func (f *failing) use(t *testing.T, options string) {
	t.Helper()
	driver := "sqlite"
	if f.server != nil {
		driver = f.server.Driver
	}
	f.db = connect(t, driver, f.dsn+options)
}

// scan has somebody new scan and follow, and returns the push, which is answered with
// success as the last attempt tells.
func (f *failing) scan(t *testing.T) (push wechatqrtest.Push, answered bool) {
	t.Helper()
	f.people++
	push, _ = f.wx.Scan(t.Context(), f.code.Ticket.Value, fmt.Sprint("person", f.people))
	require.NotEmpty(t, push.Attempts)
	return push, push.Attempts[len(push.Attempts)-1].Status == 200
}

// check has the push delivered again, and once more, and then each person counts once.
func (f *failing) check(t *testing.T, pushes ...wechatqrtest.Push) {
	t.Helper()
	for range 2 {
		for _, push := range pushes {
			_, err := f.wx.Push(t.Context(), push.Event)
			require.NoError(t, err)
		}
	}
	n := int64(f.people)
	assert.Equal(t, Counts{Scans: n, Scanners: n, New: n, HeldEnd: n}, f.total(t))
}

// While there is no database pushes fail, and are counted when they are delivered again.
func TestDatabaseAway(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d Dialect) {
		f := newFailing(t, d)
		f.scan(t)
		there := f.db
		if f.server == nil {
			f.db = connect(t, "sqlite", filepath.Join(t.TempDir(), "no", "ledger.db"))
		} else {
			f.server.Kill()
			away := func() bool { return f.db.PingContext(t.Context()) != nil }
			require.Eventually(t, away, time.Minute, 10*time.Millisecond, "a server's last process")
		}
		push, answered := f.scan(t)
		assert.False(t, answered)

		f.db = there
		if f.server != nil {
			require.NoError(t, f.server.Restart(nil))
		}
		f.check(t, push)
	})
}

// The same of a database that takes no writes.
func TestDatabaseReadOnly(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d Dialect) {
		f := newFailing(t, d)
		f.scan(t)
		there := f.db
		switch d.name {
		case "SQLite":
			f.dsn = "file:" + f.dsn
			f.use(t, "?mode=ro")
		case "PostgreSQL":
			f.use(t, " options='-c default_transaction_read_only=on'")
		case "MySQL":
			f.use(t, "?tx_read_only=1")
		}
		push, answered := f.scan(t)
		assert.False(t, answered)
		f.db = there
		f.check(t, push)
	})
}

// A disk fills up while events are recorded. Recording fails with an error that says what
// to do, and nothing is half recorded: the numbers are those of the pushes that were
// answered with success. When there is room again the others count.
func TestDatabaseFull(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d Dialect) {
		f := newFailing(t, d)
		says, roomAgain := f.fill(t)
		var lost []wechatqrtest.Push
		var err error
		for n := 0; n < 5000 && err == nil; n++ {
			push, answered := f.scan(t)
			if !answered {
				lost = append(lost, push)
				_, err = f.RecordEvent(t.Context(), &push.Event) // there may be room for one
			}
		}
		assert.ErrorContains(t, err, says)
		n := int64(f.people - 1)
		want := Counts{Scans: n, Scanners: n, New: n, HeldEnd: n}
		assert.Equal(t, want, f.total(t), "reports go on")

		roomAgain()
		f.check(t, lost...)
	})
}

// fill leaves little room, until the function that it returns is called, and returns what
// an error says of it.
func (f *failing) fill(t *testing.T) (says string, roomAgain func()) {
	t.Helper()
	says = "the database is full: make room on its disk"
	exec := func(statement string) error {
		_, err := f.db.ExecContext(t.Context(), statement)
		return err
	}
	switch f.dialect.name {
	case "SQLite": // no page more than there are
		there := f.db
		f.use(t, "?_pragma=max_page_count(1)")
		return says, func() { f.db = there }
	case "MySQL": // the file into which all tables are moved
		f.restartWithOneFile(t, 20)
		const insert = "INSERT INTO channels_events" +
			" (person, happened, kind, scene, ticket, channel, flags)" +
			" SELECT -seq, 1, 3, 0, 0, 0, 0 FROM seq_%d_to_%d"
		for _, table := range []string{"people", "events", "follows", "hours", "totals"} {
			require.NoError(t, exec("ALTER TABLE channels_"+table+" FORCE"))
		}
		from := 1
		for _, rows := range []int{10_000, 1000, 100, 10, 1} {
			for exec(fmt.Sprintf(insert, from, from+rows-1)) == nil {
				from += rows
			}
		}
		return says, func() { f.restartWithOneFile(t, 64) }
	}

	// No file may be larger than that of the events, which is larger than the log's.
	require.NoError(t, exec("INSERT INTO channels_events"+
		" (person, happened, kind, scene, ticket, channel, flags)"+
		" SELECT -n, 1, 3, 0, 0, 0, 0 FROM generate_series(1, 250000) n"))
	require.NoError(t, exec("CHECKPOINT"))
	var limit int
	size := f.db.QueryRowContext(t.Context(), "SELECT pg_relation_size('channels_events')")
	require.NoError(t, size.Scan(&limit))
	require.Greater(t, limit, 16<<20)
	restart := func(wrapper []string) {
		f.server.Kill()
		require.NoError(t, f.server.Restart(wrapper))
	}
	restart([]string{"prlimit", fmt.Sprint("--fsize=", limit)})
	return "File too large", func() { restart(nil) } // no code is PostgreSQL's for it
}

// restartWithOneFile has MariaDB keep new tables in one file of at most so many MB.
func (f *failing) restartWithOneFile(t *testing.T, most int) {
	t.Helper()
	f.server.Kill()
	require.NoError(t, f.server.Restart(nil, "--innodb-file-per-table=0",
		fmt.Sprintf("--innodb-data-file-path=ibdata1:12M:autoextend:max:%dM", most)))
}

// A server is killed right after an answer, and again while many pushes arrive: what was
// answered is there, and all the rest is counted when it is delivered again.
func TestDatabaseKilled(t *testing.T) {
	t.Parallel()
	for _, d := range []Dialect{PostgreSQL, MySQL} {
		t.Run(d.String(), func(t *testing.T) {
			t.Parallel()
			f := newFailing(t, d)
			for range 3 {
				_, answered := f.scan(t)
				assert.True(t, answered)
				f.server.Kill()
				require.NoError(t, f.server.Restart(nil))
				f.check(t)
			}

			var mu sync.Mutex
			var lost []wechatqrtest.Push
			var all sync.WaitGroup
			started := make(chan struct{}, 100)
			for n := range 8 {
				all.Go(func() {
					for i := range 10 {
						who := fmt.Sprintf("somebody %d-%d", n, i)
						push, err := f.wx.Scan(t.Context(), f.code.Ticket.Value, who)
						if err != nil {
							mu.Lock()
							lost = append(lost, push)
							mu.Unlock()
						}
						started <- struct{}{}
					}
				})
			}
			for range 20 {
				<-started
			}
			f.server.Kill()
			require.NoError(t, f.server.Restart(nil))
			all.Wait()
			f.people += 80
			f.check(t, lost...)
		})
	}
}

// Whatever the connection says, SQLite's commits are on the disk when they return.
func TestSynchronousFull(t *testing.T) {
	t.Parallel()
	db := connect(t, "sqlite", filepath.Join(t.TempDir(), "ledger.db")+"?_pragma=synchronous(0)")
	db.SetMaxOpenConns(1)
	pragma := func(name string) (value string) {
		require.NoError(t, db.QueryRow("PRAGMA "+name).Scan(&value))
		return value
	}
	require.Equal(t, "0", pragma("synchronous"))
	_, err := Open(t.Context(), db, SQLite, testConfig)
	require.NoError(t, err)
	assert.Equal(t, "2", pragma("synchronous"), "FULL")
	assert.Equal(t, "wal", pragma("journal_mode"))
}
