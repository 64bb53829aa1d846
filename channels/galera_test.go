package channels

import (
	"database/sql"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr/internal/testdb"
)

// cluster is three MariaDB servers that replicate to each other with Galera, each of
// which takes writes.
type cluster struct {
	nodes     []*node
	databases int
}

type node struct {
	dir     string
	port    int
	options []string
	cmd     *exec.Cmd
	ended   chan struct{}
}

const galeraLibrary = "/usr/lib/galera/libgalera_smm.so"

// startCluster starts a cluster for the test.
func startCluster(t *testing.T) *cluster {
	t.Helper()
	program, err := testdb.MariaDB.Program()
	for _, needed := range []string{galeraLibrary, "/usr/bin/rsync"} {
		if err == nil {
			_, err = os.Stat(needed)
		}
	}
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("install mariadb-server, galera-4 and rsync: %v", err)
		}
		t.Skip(err)
	}

	c := &cluster{}
	ports := freePorts(t, 3*4)
	var members []string
	for n := range 3 {
		members = append(members, fmt.Sprintf("127.0.0.1:%d", ports[4*n+1]))
	}
	dir := testdb.Dir(t)
	for n := range 3 {
		c.nodes = append(c.nodes, newNode(t, dir, program, ports[4*n:4*n+4], members))
	}

	require.NoError(t, testdb.InstallMariaDB(filepath.Join(c.nodes[0].dir, "data")))
	c.nodes[0].start(t, "--wsrep-new-cluster")
	for _, n := range c.nodes[1:] {
		n.start(t)
	}
	return c
}

func freePorts(t *testing.T, n int) (ports []int) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer l.Close() // when all are known
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports
}

// newNode takes four ports: for clients, for the other nodes, and for a partial and a
// whole copy of the data from one of them.
func newNode(t *testing.T, dir, program string, ports []int, members []string) *node {
	t.Helper()
	n := &node{dir: filepath.Join(dir, fmt.Sprint(ports[0])), port: ports[0]}
	require.NoError(t, os.Mkdir(n.dir, 0o700))
	require.NoError(t, os.Chmod(n.dir, 0o777))
	const provider = "base_host=127.0.0.1;base_port=%d;gmcast.listen_addr=tcp://127.0.0.1:%d;" +
		"ist.recv_addr=127.0.0.1:%d;gcache.size=32M"
	n.options = []string{
		program, "--no-defaults", "--datadir=" + filepath.Join(n.dir, "data"),
		"--socket=" + filepath.Join(n.dir, "socket"), "--pid-file=" + filepath.Join(n.dir, "pid"),
		"--bind-address=127.0.0.1", fmt.Sprint("--port=", n.port), "--max-connections=300",
		"--innodb-buffer-pool-size=64M", "--innodb-log-file-size=16M",
		"--binlog-format=ROW", "--innodb-autoinc-lock-mode=2", "--wsrep-on=ON",
		"--wsrep-provider=" + galeraLibrary, fmt.Sprint("--wsrep-node-name=n", n.port),
		"--wsrep-cluster-address=gcomm://" + strings.Join(members, ","),
		"--wsrep-node-address=127.0.0.1", "--wsrep-sst-method=rsync",
		fmt.Sprint("--wsrep-sst-receive-address=127.0.0.1:", ports[3]),
		"--wsrep-provider-options=" + fmt.Sprintf(provider, ports[1], ports[1], ports[2]),
	}
	t.Cleanup(n.kill)
	return n
}

// dsn has every read wait for what the other nodes have committed.
func (n *node) dsn(database string) string {
	return fmt.Sprintf("root@tcp(127.0.0.1:%d)/%s?wsrep_sync_wait=1", n.port, database)
}

// start returns when the node takes part in the cluster.
func (n *node) start(t *testing.T, options ...string) {
	t.Helper()
	require.NoError(t,
		testdb.Output(testdb.AsUser("mysql", "mkdir", "-p", filepath.Join(n.dir, "data"))))
	all := append(n.options[1:], options...)
	n.cmd = n.command(t, append(all, n.position(t)...)...)
	var err error
	n.ended, err = testdb.Start(n.cmd)
	require.NoError(t, err)

	synced := func() bool { return n.status(t, "wsrep_local_state_comment") == "Synced" }
	if !assert.Eventually(t, synced, 2*time.Minute, 50*time.Millisecond) {
		log, _ := os.ReadFile(filepath.Join(n.dir, "log"))
		t.Fatalf("%s", log)
	}
}

// status is a status variable of the server, empty while it does not answer.
func (n *node) status(t *testing.T, name string) (value string) {
	t.Helper()
	db, err := sql.Open("mysql", n.dsn("information_schema"))
	require.NoError(t, err)
	defer db.Close()
	_ = db.QueryRow(
		"SELECT VARIABLE_VALUE FROM GLOBAL_STATUS WHERE VARIABLE_NAME = ?", name,
	).Scan(&value)
	return value
}

// command has a process group of its own: the server starts scripts.
func (n *node) command(t *testing.T, options ...string) *exec.Cmd {
	t.Helper()
	log, err := os.OpenFile(filepath.Join(n.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(t, err)
	t.Cleanup(func() { _ = log.Close() })
	cmd := testdb.AsUser("mysql", n.options[0], options...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = os.TempDir(), log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// position is how far a node that was killed had come, as Debian's service finds out.
// With it the node asks the others only for what it missed.
func (n *node) position(t *testing.T) []string {
	t.Helper()
	if _, err := os.Stat(filepath.Join(n.dir, "data", "grastate.dat")); err != nil {
		return nil
	}
	require.NoError(t, n.command(t, append(n.options[1:], "--wsrep-recover")...).Run())
	log, err := os.ReadFile(filepath.Join(n.dir, "log"))
	require.NoError(t, err)
	all := regexp.MustCompile(`Recovered position:? *(\S+)`).FindAllSubmatch(log, -1)
	require.NotEmpty(t, all, "%s", log)
	return []string{"--wsrep-start-position=" + string(all[len(all)-1][1])}
}

// kill ends the server at once, with all that it started.
func (n *node) kill() {
	if n.cmd != nil {
		_ = syscall.Kill(-n.cmd.Process.Pid, syscall.SIGKILL)
		<-n.ended
		n.cmd = nil
	}
}
