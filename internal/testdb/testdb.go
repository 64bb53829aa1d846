//go:build unix

// Package testdb starts the database servers that tests of nested modules run on. It
// links no driver: the test imports that of its database.
package testdb

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
)

// Server is a database server, started when a test first needs it.
type Server struct {
	Driver string // the name of the driver for database/sql
	kind

	once    sync.Once
	err     error
	dir     string
	command []string
	dsn     string // and url: for a format with the database's name
	url     string
	process *os.Process
	ended   chan struct{} // closed when the process has
	made    atomic.Int64
}

// kind is what tells the servers apart.
type kind struct {
	first  string // the database that is there
	socket string // in the server's directory
	// onPort is the database by TCP: formats with the port and the name.
	onPort Database
	find   func() (program string, err error)
	// start makes the data in dir ready, and returns the command of the server.
	start func(program, dir string) (cmd *exec.Cmd, dsn, url string, err error)
}

// The servers that all tests of a package share. Stop ends them.
var (
	PostgreSQL = &Server{Driver: "pgx", kind: postgreSQL}
	MariaDB    = &Server{Driver: "mysql", kind: mariaDB}
)

// Stop ends the shared servers: TestMain calls it after the tests.
func Stop() {
	PostgreSQL.stop()
	MariaDB.stop()
}

// Own is a server of the test's own, which it may kill.
func (s *Server) Own(t testing.TB) *Server {
	own := &Server{Driver: s.Driver, kind: s.kind}
	t.Cleanup(own.stop)
	return own
}

// Program is the path of the server, or an error if it is not installed.
func (s *Server) Program() (string, error) { return s.find() }

// Database is a new, empty database.
type Database struct {
	DSN string // for the driver
	URL string // postgres://… or mysql://…

	name string
}

// NewDatabase makes a database. The test is skipped if the server is not installed, and
// fails then where the environment variable CI is set.
func (s *Server) NewDatabase(t testing.TB) Database {
	t.Helper()
	program, err := s.find()
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("install postgresql and mariadb-server: %v", err)
		}
		t.Skip(err)
	}
	s.once.Do(func() { s.err = s.run(program) })
	if s.err != nil {
		t.Fatal(s.err)
	}

	name := fmt.Sprintf("test%d", s.made.Add(1))
	db, err := sql.Open(s.Driver, fmt.Sprintf(s.dsn, s.first))
	if err == nil {
		defer db.Close()
		_, err = db.ExecContext(t.Context(), "CREATE DATABASE "+name)
	}
	if err != nil {
		t.Fatal(err)
	}
	return Database{fmt.Sprintf(s.dsn, name), fmt.Sprintf(s.url, name), name}
}

func (s *Server) run(program string) (err error) {
	if s.dir, err = makeDir(); err != nil {
		return err
	}
	var cmd *exec.Cmd
	if cmd, s.dsn, s.url, err = s.start(program, s.dir); err != nil {
		return err
	}
	s.command = cmd.Args
	return s.launch(nil)
}

// makeDir is a directory that servers of another user may use: the path of t.TempDir is
// closed to others.
func makeDir() (string, error) {
	dir, err := os.MkdirTemp("", "testdb")
	if err != nil {
		return "", err
	}
	return dir, os.Chmod(dir, 0o777)
}

// Dir is a directory for servers of the test's, which is removed after it.
func Dir(t testing.TB) string {
	t.Helper()
	dir, err := makeDir()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// launch starts the server, by way of another program if there is one, and returns when
// it takes connections.
func (s *Server) launch(wrapper []string, options ...string) error {
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
	if s.ended, err = Start(cmd); err != nil {
		return err
	}
	s.process = cmd.Process
	return s.wait()
}

func (s *Server) wait() error {
	db, err := sql.Open(s.Driver, fmt.Sprintf(s.dsn, s.first))
	if err != nil {
		return err
	}
	defer db.Close()
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); {
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

// Kill ends the server at once.
func (s *Server) Kill() {
	_ = s.process.Kill()
	<-s.ended
}

// Restart launches the server that was killed on its data, again while processes of the
// one before are still there.
func (s *Server) Restart(wrapper []string, options ...string) (err error) {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		if err = s.launch(wrapper, options...); err == nil {
			return nil
		}
	}
	return err
}

// SignalAll sends it to the server and its children, but for those that end meanwhile.
func (s *Server) SignalAll(sig syscall.Signal) error {
	pids := []int{s.process.Pid}
	for i := 0; i < len(pids); i++ {
		children, err := childrenOf(pids[i])
		if err == nil {
			err = syscall.Kill(pids[i], sig)
		}
		if err != nil && i == 0 {
			return err
		}
		pids = append(pids, children...)
	}
	return nil
}

func childrenOf(pid int) (pids []int, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	for _, field := range strings.Fields(string(text)) {
		child, err := strconv.Atoi(field)
		if err != nil {
			return nil, err
		}
		pids = append(pids, child)
	}
	return pids, err
}

func (s *Server) stop() {
	if s.process != nil {
		_ = s.process.Signal(syscall.SIGTERM)
		select {
		case <-s.ended:
		case <-time.After(20 * time.Second):
			s.Kill()
		}
	}
	if s.dir != "" {
		_ = os.RemoveAll(s.dir)
	}
}

// Start starts the command on a thread that lasts as long as it, as AsUser needs it, and
// returns a channel that is closed when it has ended.
func Start(cmd *exec.Cmd) (ended chan struct{}, err error) {
	ended = make(chan struct{})
	started := make(chan error)
	go func() {
		defer close(ended)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
	}()
	return ended, <-started
}

// AsUser runs the program as the user if the tests run as root: servers refuse that. On
// Linux the kernel kills it when the thread that started it ends.
func AsUser(user, program string, args ...string) *exec.Cmd {
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

// Output runs the command; its error has what the command printed.
func Output(cmd *exec.Cmd) error {
	cmd.Dir = os.TempDir()
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%v: %w\n%s", cmd.Args, err, out)
	}
	return nil
}

var postgreSQL = kind{
	first: "postgres", socket: ".s.PGSQL.5432",
	onPort: Database{
		DSN: "host=127.0.0.1 port=%d sslmode=disable user=postgres dbname=%s",
		URL: "postgres://postgres@127.0.0.1:%d/%s?sslmode=disable",
	},
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
		err := Output(AsUser("postgres", initdb, "-D", data, "-U", "postgres", "--auth=trust",
			"-E", "UTF8", "--no-sync"))
		cmd := AsUser("postgres", program, "-D", data, "-k", dir, "-c", "listen_addresses=",
			"-c", "max_connections=200")
		dsn := "host=" + dir + " user=postgres dbname=%s"
		return cmd, dsn, "postgres://postgres@/%s?host=" + dir, err
	},
}

var mariaDB = kind{
	first: "mysql", socket: "socket",
	onPort: Database{DSN: "root@tcp(127.0.0.1:%d)/%s", URL: "mysql://root@127.0.0.1:%d/%s"},
	find:   func() (string, error) { return exec.LookPath("mariadbd") },
	start: func(program, dir string) (*exec.Cmd, string, string, error) {
		data, socket := filepath.Join(dir, "data"), filepath.Join(dir, "socket")
		err := InstallMariaDB(data)
		cmd := AsUser("mysql", program, "--no-defaults", "--datadir="+data, "--socket="+socket,
			"--skip-networking", "--pid-file="+filepath.Join(dir, "pid"), "--max-connections=300")
		dsn := "root@unix(" + socket + ")/%s"
		return cmd, dsn, "mysql://root@localhost/%s?socket=" + socket, err
	},
}

// InstallMariaDB makes the directory of a MariaDB server's data.
func InstallMariaDB(data string) error {
	return Output(AsUser("mysql", "mariadb-install-db", "--no-defaults", "--datadir="+data,
		"--auth-root-authentication-method=normal", "--skip-test-db"))
}
