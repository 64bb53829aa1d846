package channels

import (
	"context"
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

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"
)

// TestMain stops the database servers that tests have started.
func TestMain(m *testing.M) {
	code := m.Run()
	for _, s := range []*server{postgres, mariaDB} {
		s.stop()
	}
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
		return "pgx", postgres.newDatabase(t)
	case "MySQL":
		return "mysql", mariaDB.newDatabase(t)
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

// server is a database server that the tests start: once, when it is first needed.
type server struct {
	driver string
	find   func() (string, error)
	// start returns the command of the server with its data in dir, which is
	// made ready, and a source of connections that takes the database's name.
	start func(program, dir string) (*exec.Cmd, string, error)
	first string // the database that is there

	once    sync.Once
	err     error
	dir     string
	command []string
	format  string
	process *os.Process
	ended   chan struct{} // closed when the process has
	made    atomic.Int64
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
	if s.dir, err = os.MkdirTemp("", "channels"); err != nil {
		return err
	}
	if err := os.Chmod(s.dir, 0o777); err != nil { // another user runs the server
		return err
	}
	cmd, format, err := s.start(program, s.dir)
	if err != nil {
		return err
	}
	s.command, s.format = cmd.Args, format
	return s.launch(nil)
}

// launch starts the server, by way of another program if there is one, and returns when
// it takes connections.
func (s *server) launch(wrapper []string, options ...string) error {
	log, err := os.OpenFile(
		filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600,
	)
	if err != nil {
		return err
	}
	defer log.Close()
	command := slices.Concat(wrapper, s.command, options)
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = os.TempDir(), log, log
	if s.ended, err = startServer(cmd); err != nil {
		return err
	}
	s.process = cmd.Process
	return s.wait()
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
		select {
		case <-s.ended:
			deadline = time.Time{}
		case <-time.After(50 * time.Millisecond):
		}
	}
	log, _ := os.ReadFile(filepath.Join(s.dir, "log"))
	return fmt.Errorf("%w\n%s", err, log)
}

// own is a server of the test's own, which it may kill.
func (s *server) own(t *testing.T) *server {
	own := &server{driver: s.driver, find: s.find, start: s.start, first: s.first}
	t.Cleanup(own.stop)
	return own
}

// kill ends the server at once.
func (s *server) kill() {
	_ = s.process.Kill()
	<-s.ended
}

// restart launches the server on its data, again while processes of the one that was
// killed are still there.
func (s *server) restart(t *testing.T, wrapper []string, options ...string) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		if err = s.launch(wrapper, options...); err == nil {
			return
		}
	}
	require.NoError(t, err)
}

func (s *server) stop() {
	if s.process != nil {
		_ = s.process.Signal(syscall.SIGTERM)
		select {
		case <-s.ended:
		case <-time.After(20 * time.Second):
			s.kill()
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

var postgres = &server{
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

var mariaDB = &server{
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
			"--skip-networking", "--pid-file="+filepath.Join(dir, "pid"), "--max-connections=300")
		return cmd, "root@unix(" + socket + ")/%s", nil
	},
}
