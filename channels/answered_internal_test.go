package channels

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/events"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// answererEnv names the SQLite file of a process that answers pushes.
const answererEnv = "CHANNELS_ANSWERER"

// TestAnswererProcess is what the process of the test below does: it prints its address,
// and serves until its standard input ends.
func TestAnswererProcess(t *testing.T) {
	file := os.Getenv(answererEnv)
	if file == "" {
		return // this is not such a process
	}
	l, err := Open(t.Context(), connect(t, "sqlite", file), SQLite, testConfig)
	require.NoError(t, err)
	done := func(context.Context, *wechatqr.Event) (events.Reply, error) { return nil, nil }
	handler, err := events.NewHandler(callback, l.Record(done))
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)

	fmt.Println("address", listener.Addr())
	served := &http.Server{Handler: handler}
	go func() { _ = served.Serve(listener) }()
	_, _ = io.Copy(io.Discard, os.Stdin)
	_ = served.Close()
}

// answerer is such a process.
type answerer struct {
	cmd     *exec.Cmd
	address string
}

func startAnswerer(t *testing.T, file string) *answerer {
	t.Helper()
	a := &answerer{}
	a.cmd = exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestAnswererProcess$")
	a.cmd.Env = append(os.Environ(), answererEnv+"="+file)
	_, err := a.cmd.StdinPipe() // ends with this process
	require.NoError(t, err)
	out, err := a.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, a.cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	address, ok := strings.CutPrefix(strings.TrimSpace(line), "address ")
	require.True(t, ok, line)
	a.address = address
	return a
}

// deliver reports whether the push was answered with success.
func (a *answerer) deliver(t *testing.T, ev *wechatqr.Event) bool {
	signed := wechatqrtest.NewRequest(callback, *ev)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost,
		"http://"+a.address+signed.URL.RequestURI(), signed.Body)
	if !assert.NoError(t, err) {
		return false
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false // the process was killed
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return err == nil && response.StatusCode == http.StatusOK
}

// killAtAnswer delivers the pushes at once, kills the process as soon as one is answered,
// and returns which were.
func (a *answerer) killAtAnswer(t *testing.T, pushes []*wechatqr.Event) (answered []bool) {
	t.Helper()
	answered = make([]bool, len(pushes))
	var all sync.WaitGroup
	for n, push := range pushes {
		all.Go(func() {
			if answered[n] = a.deliver(t, push); answered[n] {
				_ = a.cmd.Process.Kill()
			}
		})
	}
	all.Wait()
	_ = a.cmd.Process.Kill()
	_ = a.cmd.Wait()
	return answered
}

// newByChannel are the new followers of each channel.
func newByChannel(t *testing.T, l *Ledger) map[string]int64 {
	t.Helper()
	now := time.Now().Truncate(time.Hour)
	report, err := l.Report(t.Context(),
		Query{From: now.AddDate(0, 0, -1), To: now.AddDate(0, 0, 1), By: ByChannel})
	require.NoError(t, err)
	all := map[string]int64{}
	for _, row := range report.Rows {
		all[row.Channel.Key] = row.New
	}
	return all
}

// A process is killed with SIGKILL the moment its answer arrives: what it answered is in
// the file, and what it did not counts once when it is delivered again.
func TestKilledAfterTheAnswer(t *testing.T) {
	t.Parallel()
	const shops = 8
	file := filepath.Join(t.TempDir(), "ledger.db")
	l, err := Open(t.Context(), connect(t, "sqlite", file), SQLite, testConfig)
	require.NoError(t, err)
	for n := range shops {
		scene := wechatqr.SceneString(fmt.Sprint("shop", n))
		require.NoError(t, l.Adopt(t.Context(), scene, Channel{Key: scene.Key()}))
	}

	for round := range int64(5) {
		var pushes []*wechatqr.Event
		for n := range shops {
			who := fmt.Sprintf("person %d-%d", round, n)
			push := newPush(who, time.Now(), wechatqr.EventSubscribe, fmt.Sprint("shop", n))
			pushes = append(pushes, push)
		}
		answered := startAnswerer(t, file).killAtAnswer(t, pushes)
		assert.Contains(t, answered, true)

		seen := newByChannel(t, l)
		for n, push := range pushes {
			if answered[n] {
				assert.Equal(t, round+1, seen[fmt.Sprint("shop", n)], "lost after its answer")
			}
			_, err := l.RecordEvent(t.Context(), push)
			require.NoError(t, err)
		}
		for key, followers := range newByChannel(t, l) {
			assert.Equal(t, round+1, followers, key)
		}
	}
}
