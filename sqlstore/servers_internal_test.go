package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"
)

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
		return "pgx", postgres.newDatabase(t)
	case "MySQL":
		return "mysql", mariaDB.newDatabase(t)
	}
	return "sqlite", "file:" + filepath.Join(t.TempDir(), "store.db") +
		"?_pragma=journal_mode(wal)&_pragma=busy_timeout(100)"
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

// server is a database server that the tests start: once, when it is first needed.
type server struct {
	driver string
	find   func() (string, error)
	// start returns the command of the server with its data in dir, which is
	// made ready, and a source of connections that takes the database's name.
	start func(program, dir string) (*exec.Cmd, string, error)
	first string // the database that is there

	once   sync.Once
	err    error
	dir    string
	cmd    *exec.Cmd
	exited chan struct{}
	format string
	made   atomic.Int64
}

func (s *server) newDatabase(t testing.TB) string {
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

	name := fmt.Sprintf("test%d", s.made.Add(1))
	db := connect(t, s.driver, fmt.Sprintf(s.format, s.first))
	_, err = db.Exec("CREATE DATABASE " + name)
	require.NoError(t, err)
	return fmt.Sprintf(s.format, name)
}

func (s *server) run(program string) (err error) {
	if s.dir, err = os.MkdirTemp("", "sqlstore"); err != nil {
		return err
	}
	if err := os.Chmod(s.dir, 0o777); err != nil { // another user runs the server
		return err
	}
	if s.cmd, s.format, err = s.start(program, s.dir); err != nil {
		return err
	}
	if err := s.launch(); err != nil {
		return err
	}
	return s.wait()
}

func (s *server) launch() error {
	log, err := os.Create(filepath.Join(s.dir, "log"))
	if err != nil {
		return err
	}
	s.cmd.Stdout, s.cmd.Stderr = log, log
	s.exited, err = startServer(s.cmd)
	return err
}

// restart kills the server and starts it again on the same data.
func (s *server) restart() error {
	if err := s.cmd.Process.Kill(); err != nil {
		return err
	}
	<-s.exited
	_ = os.Remove(filepath.Join(s.dir, "data", "postmaster.pid"))
	s.cmd = &exec.Cmd{Path: s.cmd.Path, Args: s.cmd.Args}
	return s.launch()
}

func (s *server) wait() error {
	db, err := sql.Open(s.driver, fmt.Sprintf(s.format, s.first))
	if err != nil {
		return err
	}
	defer db.Close()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		if err = db.PingContext(context.Background()); err == nil {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	log, _ := os.ReadFile(filepath.Join(s.dir, "log"))
	return fmt.Errorf("%w\n%s", err, log)
}

// signalAll sends it to the server and its children.
func (s *server) signalAll(sig syscall.Signal) error {
	pids := []int{s.cmd.Process.Pid}
	for i := 0; i < len(pids); i++ {
		processes := fmt.Sprintf("/proc/%d/task/%d/children", pids[i], pids[i])
		text, err := os.ReadFile(processes)
		if err != nil {
			return err
		}
		for _, field := range strings.Fields(string(text)) {
			pid, err := strconv.Atoi(field)
			if err != nil {
				return err
			}
			pids = append(pids, pid)
		}
		if err := syscall.Kill(pids[i], sig); err != nil {
			return err
		}
	}
	return nil
}

func (s *server) stop() {
	if s.exited != nil {
		_ = s.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-s.exited:
		case <-time.After(20 * time.Second):
			_ = s.cmd.Process.Kill()
		}
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

var postgres, mariaDB = newPostgres(), newMariaDB()

func newPostgres() *server {
	return &server{
		driver: "pgx", first: "postgres",
		find: func() (string, error) {
			path, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
			if err != nil || len(path) == 0 {
				return exec.LookPath("postgres")
			}
			return slices.Max(path), nil
		},
		start: func(program, dir string) (*exec.Cmd, string, error) {
			data := filepath.Join(dir, "data")
			initdb := filepath.Join(filepath.Dir(program), "initdb")
			err := output(
				asUser(
					"postgres", initdb, "-D", data, "-U", "postgres", "--auth=trust", "-E", "UTF8",
					"--no-sync",
				),
			)
			if err != nil {
				return nil, "", err
			}
			cmd := asUser("postgres", program, "-D", data, "-k", dir, "-c", "listen_addresses=",
				"-c", "max_connections=200")
			return cmd, "host=" + dir + " user=postgres dbname=%s", nil
		},
	}
}

func newMariaDB() *server {
	return &server{
		driver: "mysql", first: "mysql",
		find: func() (string, error) { return exec.LookPath("mariadbd") },
		start: func(program, dir string) (*exec.Cmd, string, error) {
			data, socket := filepath.Join(dir, "data"), filepath.Join(dir, "socket")
			err := output(asUser("mysql", "mariadb-install-db", "--no-defaults", "--datadir="+data,
				"--auth-root-authentication-method=normal", "--skip-test-db"))
			if err != nil {
				return nil, "", err
			}
			cmd := asUser("mysql", program, "--no-defaults", "--datadir="+data, "--socket="+socket,
				"--skip-networking", "--pid-file="+filepath.Join(dir, "pid"),
				"--max-connections=300")
			return cmd, "root@unix(" + socket + ")/%s", nil
		},
	}
}
