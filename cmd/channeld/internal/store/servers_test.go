package store

import (
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestMain stops the database servers that tests have started.
func TestMain(m *testing.M) {
	code := m.Run()
	for _, s := range []*server{postgres, mariaDB} {
		s.stop()
	}
	os.Exit(code)
}

// onEach runs the test on a new store in each database.
func onEach(t *testing.T, test func(t *testing.T, s *Store)) {
	t.Helper()
	for name, source := range map[string]func(*testing.T) string{
		"SQLite":     func(t *testing.T) string { return filepath.Join(t.TempDir(), "desk.db") },
		"PostgreSQL": postgres.newDatabase,
		"MariaDB":    mariaDB.newDatabase,
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

// server is a database server, started when a test first needs it.
type server struct {
	driver, first string
	find          func() (string, error)
	// start returns the command, a source for this package and one for the driver, which
	// take the database's name.
	start func(program, dir string) (cmd *exec.Cmd, source, dsn string, err error)

	once        sync.Once
	err         error
	dir         string
	cmd         *exec.Cmd
	ended       chan struct{}
	source, dsn string
	made        atomic.Int64
}

func (s *server) newDatabase(t *testing.T) string {
	t.Helper()
	program, err := s.find()
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("install postgresql and mariadb-server: %v", err)
		}
		t.Skip(err)
	}
	s.once.Do(func() { s.err = s.run(program) })
	require.NoError(t, s.err)
	db, err := sql.Open(s.driver, fmt.Sprintf(s.dsn, s.first))
	require.NoError(t, err)
	defer db.Close()
	name := fmt.Sprintf("test%d", s.made.Add(1))
	_, err = db.ExecContext(t.Context(), "CREATE DATABASE "+name)
	require.NoError(t, err)
	return fmt.Sprintf(s.source, name)
}

func (s *server) run(program string) (err error) {
	if s.dir, err = os.MkdirTemp("", "desk"); err != nil {
		return err
	}
	if err := os.Chmod(s.dir, 0o777); err != nil { // another user runs the server
		return err
	}
	if s.cmd, s.source, s.dsn, err = s.start(program, s.dir); err != nil {
		return err
	}
	if s.ended, err = startServer(s.cmd); err != nil {
		return err
	}
	db, err := sql.Open(s.driver, fmt.Sprintf(s.dsn, s.first))
	if err != nil {
		return err
	}
	defer db.Close()
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); {
		if err = db.Ping(); err == nil {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return err
}

func (s *server) stop() {
	if s.cmd != nil && s.cmd.Process != nil {
		_ = s.cmd.Process.Signal(syscall.SIGTERM)
		<-s.ended
	}
	if s.dir != "" {
		_ = os.RemoveAll(s.dir)
	}
}

// startServer starts the command on a thread that lasts as long as it, and returns a channel that
// is closed when it has ended.
func startServer(cmd *exec.Cmd) (exited chan struct{}, err error) {
	exited = make(chan struct{})
	started := make(chan error)
	go func() {
		defer close(exited)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
	}()
	return exited, <-started
}

// asUser runs the program as the user if the tests run as root: servers refuse that. On
// Linux the kernel kills it when the thread that started it ends.
func asUser(user, program string, args ...string) *exec.Cmd {
	if runtime.GOOS != "linux" {
		return exec.Command(program, args...)
	}
	// setpriv, unlike runuser, makes way for the program: a signal reaches it.
	all := []string{"--pdeathsig", "KILL"}
	if os.Getuid() == 0 {
		all = append(all, "--reuid", user, "--regid", user, "--clear-groups")
	}
	return exec.Command("setpriv", slices.Concat(all, []string{program}, args)...)
}

func output(cmd *exec.Cmd) error {
	cmd.Dir = os.TempDir()
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%v: %w\n%s", cmd.Args, err, out)
	}
	return nil
}

var postgres = &server{
	driver: "pgx", first: "postgres",
	find: func() (string, error) {
		path, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
		if err != nil || len(path) == 0 {
			return exec.LookPath("postgres")
		}
		return slices.Max(path), nil
	},
	start: func(program, dir string) (*exec.Cmd, string, string, error) {
		data := filepath.Join(dir, "data")
		initdb := filepath.Join(filepath.Dir(program), "initdb")
		err := output(asUser("postgres", initdb, "-D", data, "-U", "postgres", "--auth=trust",
			"-E", "UTF8", "--no-sync"))
		cmd := asUser("postgres", program, "-D", data, "-k", dir, "-c", "listen_addresses=")
		source := "postgres://postgres@/%s?host=" + dir
		return cmd, source, source, err
	},
}

var mariaDB = &server{
	driver: "mysql", first: "mysql",
	find: func() (string, error) { return exec.LookPath("mariadbd") },
	start: func(program, dir string) (*exec.Cmd, string, string, error) {
		data, socket := filepath.Join(dir, "data"), filepath.Join(dir, "socket")
		err := output(asUser("mysql", "mariadb-install-db", "--no-defaults", "--datadir="+data,
			"--auth-root-authentication-method=normal", "--skip-test-db"))
		cmd := asUser("mysql", program, "--no-defaults", "--datadir="+data, "--socket="+socket,
			"--skip-networking", "--pid-file="+filepath.Join(dir, "pid"))
		source := "mysql://root@localhost/%s?socket=" + socket
		return cmd, source, "root@unix(" + socket + ")/%s", err
	},
}
