package channels

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr/internal/testdb"
)

// hostEnv names the dialect of a process that starts a server.
const hostEnv = "CHANNELS_HOST"

// TestHostProcess is what the process of the test below does: it prints the source of a
// database, and waits until its standard input ends.
func TestHostProcess(t *testing.T) {
	servers := map[string]*testdb.Server{
		"PostgreSQL": testdb.PostgreSQL, "MySQL": testdb.MariaDB,
	}
	s := servers[os.Getenv(hostEnv)]
	if s == nil {
		return // this is not such a process
	}
	fmt.Println("database", s.Own(t).NewDatabase(t).DSN)
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// A server ends with the process of the tests, even when that is killed.
func TestServersEndWithTheTests(t *testing.T) {
	t.Parallel()
	for _, d := range []Dialect{PostgreSQL, MySQL} {
		t.Run(d.String(), func(t *testing.T) {
			t.Parallel()
			driver, _ := source(t, d) // or skip
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestHostProcess$")
			cmd.Env = append(os.Environ(), hostEnv+"="+d.name, "TMPDIR="+testdb.Dir(t))
			_, err := cmd.StdinPipe() // ends with this process
			require.NoError(t, err)
			out, err := cmd.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, cmd.Start())
			line, err := bufio.NewReader(out).ReadString('\n')
			require.NoError(t, err)
			dsn, ok := strings.CutPrefix(strings.TrimSpace(line), "database ")
			require.True(t, ok, line)

			db := connect(t, driver, dsn)
			require.NoError(t, db.PingContext(t.Context()))
			require.NoError(t, cmd.Process.Kill())
			_ = cmd.Wait()
			away := func() bool { return db.PingContext(t.Context()) != nil }
			require.Eventually(t, away, time.Minute, 10*time.Millisecond)
		})
	}
}
