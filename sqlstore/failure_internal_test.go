package sqlstore

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/internal/testdb"
)

// failing is a Store whose database can be made to hang and, but for SQLite's, be killed
// and started again.
func failing(t *testing.T, d Dialect) (s *Store, hang, wake func(), restart func() error) {
	t.Helper()
	if d.name == "SQLite" {
		dsn := "file:" + filepath.Join(t.TempDir(), "store.db") + "?_pragma=busy_timeout(60000)"
		db, other := connect(t, "sqlite", dsn), connect(t, "sqlite", dsn)
		other.SetMaxOpenConns(1)
		exec := func(query string) func() {
			return func() { _, err := other.Exec(query); require.NoError(t, err) }
		}
		return openStore(t, db, d), exec("BEGIN EXCLUSIVE"), exec("ROLLBACK"), nil
	}

	server := testdb.PostgreSQL
	if d.name == "MySQL" {
		server = testdb.MariaDB
	}
	own := server.Own(t)
	s = openStore(t, connect(t, own.Driver, own.NewDatabase(t).DSN), d)
	signal := func(sig syscall.Signal) func() {
		return func() { require.NoError(t, own.SignalAll(sig)) }
	}
	restart = func() error {
		own.Kill()
		return own.Restart(nil)
	}
	return s, signal(syscall.SIGSTOP), signal(syscall.SIGCONT), restart
}

func TestDatabaseFails(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d Dialect) {
		s, hang, wake, restart := failing(t, d)
		t.Run("hangs", func(t *testing.T) { testHang(t, s, hang, wake) })
		if restart != nil {
			t.Run("restarts", func(t *testing.T) { testRestart(t, s, restart) })
		}
	})
}

// An operation returns when its context ends, and works as soon as the database does.
func testHang(t *testing.T, s *Store, hang, wake func()) {
	require.NoError(t, s.Commit(t.Context(), "warm", time.Hour))
	for name, op := range map[string]func(ctx context.Context) error{
		"read": func(ctx context.Context) error {
			_, err := s.Load(ctx, "key")
			return err
		},
		"write": func(ctx context.Context) error {
			_, err := s.Claim(ctx, "id", "owner", time.Minute)
			return err
		},
		"save": func(ctx context.Context) error {
			tok := wechatqr.Token{Value: "SECRET", Expiry: time.Now().Add(time.Hour)}
			return s.Save(ctx, "key", tok, "owner")
		},
	} {
		hang()
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		done := make(chan error, 1)
		go func() { done <- op(ctx) }()
		select {
		case err := <-done:
			require.ErrorIs(t, err, context.DeadlineExceeded, name)
			assert.NotContains(t, err.Error(), "SECRET")
		case <-time.After(30 * time.Second):
			t.Fatalf("%s outlives its context", name)
		}
		cancel()
		wake()
		require.NoError(t, s.Commit(t.Context(), "warm", time.Hour), "after %s", name)
	}
}

// A database that is killed and started again costs waiting, and no error that goes on.
func testRestart(t *testing.T, s *Store, restart func() error) {
	var counted atomic.Int32
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for running(stop) {
				_, err := s.CountLogin(t.Context(), fmt.Sprint(i), time.Hour)
				if err == nil {
					counted.Add(1)
				} else { // it took longer than an operation is repeated
					assert.True(t, lostConnection(err), "%v", err)
				}
			}
		})
	}
	reaches := func(n int32) {
		for end := time.Now().Add(2 * time.Minute); counted.Load() < n; {
			if time.Now().After(end) {
				t.Errorf("the database is not back")
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	}

	reaches(20)
	require.NoError(t, restart())
	reaches(counted.Load() + 20)
	close(stop)
	wg.Wait()
}

func running(stop chan struct{}) bool {
	select {
	case <-stop:
		return false
	default:
		return true
	}
}
