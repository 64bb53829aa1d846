package sqlstore

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/events"
)

const childEnv = "SQLSTORE_TEST_CHILD"

var testCreds = wechatqr.Credentials{
	AppID: "wx0123456789abcdef", AppSecret: "0123456789abcdef0123456789abcdef",
}

// child is what a process of its own is to do.
type child struct {
	Dialect, Driver, DSN string
	WeChat               string // whose API it calls with a classic token, from 20 goroutines
	Push                 string // or where it reports an event that it handles
}

func runChild(text string) error {
	var c child
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return err
	}
	i := slices.IndexFunc(databases, func(d Dialect) bool { return d.name == c.Dialect })
	db, err := sql.Open(c.Driver, c.DSN)
	if err != nil {
		return err
	}
	defer db.Close()
	store, err := New(db, databases[i])
	if err != nil {
		return err
	}
	if c.Push != "" {
		return handlePush(store, c.Push)
	}
	return callAPI(store, c.WeChat)
}

func callAPI(store *Store, url string) error {
	logger := slog.New(slog.NewTextHandler(os.Stdout, nil)) // of what costs sharing
	client, err := wechatqr.New(testCreds, wechatqr.WithTokenStore(store),
		wechatqr.WithLogger(logger), wechatqr.WithClassicToken(), wechatqr.WithBaseURL(url))
	if err != nil {
		return err
	}
	errs := make(chan error, 20)
	for range cap(errs) {
		go func() {
			errs <- client.Do(context.Background(), wechatqr.Request{
				Method: http.MethodGet, Path: "/cgi-bin/getcallbackip",
			}, nil)
		}()
	}
	for range cap(errs) {
		if err := <-errs; err != nil {
			return err
		}
	}
	return nil
}

// handlePush claims an event for three seconds, as events.Handler does, until it is
// handled.
func handlePush(store *Store, url string) error {
	ctx, owner := context.Background(), rand.Text()
	for {
		claim, err := store.Claim(ctx, "event", owner, 3*time.Second)
		switch {
		case err != nil:
			return err
		case claim == events.ClaimHandled:
			return nil
		case claim == events.ClaimGranted:
			resp, err := http.Get(url)
			if err != nil {
				return err
			}
			if err := resp.Body.Close(); err != nil {
				return err
			}
			return store.Commit(ctx, "event", time.Hour)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func start(t *testing.T, c child) *exec.Cmd {
	t.Helper()
	text, err := json.Marshal(c)
	require.NoError(t, err)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+string(text), "GORACE=atexit_sleep_ms=0")
	cmd.Stderr = os.Stderr
	cmd.Stdout = new(bytes.Buffer)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return cmd
}

// visits is a server at which child processes call. The first visits, as many as held,
// get no response.
func visits(
	t *testing.T, held int32, response string,
) (url string, arrived chan struct{}, n *atomic.Int32) {
	t.Helper()
	arrived, n = make(chan struct{}, 100), new(atomic.Int32)
	mux := http.NewServeMux()
	visit := func(w http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		if n.Add(1) <= held {
			<-r.Context().Done()
			return
		}
		_, _ = w.Write([]byte(response))
	}
	mux.HandleFunc("GET /cgi-bin/token", visit)
	mux.HandleFunc("GET /push", visit)
	mux.HandleFunc("GET /cgi-bin/getcallbackip", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"ip_list":[]}`))
	})
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	return srv.URL, arrived, n
}

const tokenResponse = `{"access_token":"TOKEN","expires_in":7200}`

// children makes the table and returns what processes on it are.
func children(t *testing.T, d Dialect) child {
	t.Helper()
	driver, dsn := source(t, d)
	openStore(t, connect(t, driver, dsn), d)
	return child{Dialect: d.name, Driver: driver, DSN: dsn}
}

// waitAll returns how often an operation of the store failed that costs sharing, as on a
// machine that is too slow for the 200 ms that it has.
func waitAll(t *testing.T, cmds []*exec.Cmd) (failures int) {
	t.Helper()
	for _, cmd := range cmds {
		assert.NoError(t, cmd.Wait())
		failures += strings.Count(fmt.Sprint(cmd.Stdout), "token store failed")
	}
	return failures
}

// Cold servers whose leader dies while it fetches: another fetches, once for all.
func TestLeaderIsKilled(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d Dialect) {
		c := children(t, d)
		url, arrived, fetches := visits(t, 1, tokenResponse)
		c.WeChat = url
		leader := start(t, c)
		<-arrived
		var others []*exec.Cmd
		for range 3 {
			others = append(others, start(t, c))
		}
		require.NoError(t, leader.Process.Kill())
		_ = leader.Wait()
		failures := waitAll(t, others)
		assert.GreaterOrEqual(t, int(fetches.Load()), 2)
		assert.LessOrEqual(t, int(fetches.Load()), 2+failures)
	})
}

// An event that is delivered to several servers is handled once; and by another if
// the first dies.
func TestPushRunsOnce(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d Dialect) {
		for name, killed := range map[string]int32{"all live": 0, "the first is killed": 1} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				c := children(t, d)
				url, arrived, runs := visits(t, killed, "")
				c.Push = url + "/push"
				var cmds []*exec.Cmd
				if killed > 0 {
					first := start(t, c)
					<-arrived
					defer func() { _ = first.Wait() }()
					cmds = append(cmds, start(t, c))
					require.NoError(t, first.Process.Kill())
				}
				for range 3 {
					cmds = append(cmds, start(t, c))
				}
				waitAll(t, cmds)
				assert.EqualValues(t, 1+killed, runs.Load())
			})
		}
	})
}
