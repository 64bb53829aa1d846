package events_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/events"
)

// childEnv makes this program a callback server that keeps its claims at the
// address it is given.
const childEnv = "WECHATQR_TEST_STORE"

func TestMain(m *testing.M) {
	if store := os.Getenv(childEnv); store != "" {
		fmt.Fprintln(os.Stderr, serveCallback(store))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// serveCallback prints its address and handles events until it is killed,
// for which it waits in the middle of any event but the one that finishes.
func serveCallback(store string) error {
	h, err := events.NewHandler(plainMode(),
		func(_ context.Context, ev *wechatqr.Event) (events.Reply, error) {
			if ev.EventKey == "finishes" {
				return nil, nil
			}
			_, err := remote{store}.ask("begun", "", "", 0)
			if err != nil {
				return nil, err
			}
			select {}
		}, events.WithDeduper(remote{store}))
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println("http://" + l.Addr().String())
	return http.Serve(l, h)
}

// remote is a Deduper at the other end of an HTTP connection.
type remote struct{ address string }

func (r remote) ask(what, id, owner string, d time.Duration) (string, error) {
	resp, err := http.PostForm(r.address, url.Values{
		"what": {what}, "id": {id}, "owner": {owner}, "for": {d.String()},
	})
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}

func (r remote) Claim(
	_ context.Context, id, owner string, lease time.Duration,
) (events.Claim, error) {
	answer, err := r.ask("claim", id, owner, lease)
	if err != nil {
		return 0, err
	}
	got, err := strconv.Atoi(answer)
	return events.Claim(got), err
}

func (r remote) Commit(_ context.Context, id string, ttl time.Duration) error {
	_, err := r.ask("commit", id, "", ttl)
	return err
}

func (r remote) Release(_ context.Context, id, owner string) error {
	_, err := r.ask("release", id, owner, 0)
	return err
}

// A process that is killed in the middle of an event loses nothing that WeChat
// sends again, and one that is killed after it has nothing done twice.
func TestKilledProcess(t *testing.T) {
	t.Parallel()
	claims := events.NewMemoryDeduper(0)
	claimed, begun := make(chan time.Time, 10), make(chan struct{}, 10)
	store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d, err := time.ParseDuration(r.FormValue("for"))
		assert.NoError(t, err)
		id, owner := r.FormValue("id"), r.FormValue("owner")
		switch r.FormValue("what") {
		case "claim":
			now := time.Now()
			got, err := claims.Claim(r.Context(), id, owner, d)
			assert.NoError(t, err)
			if got == granted {
				claimed <- now
			}
			_, _ = fmt.Fprint(w, int(got))
		case "commit":
			assert.NoError(t, claims.Commit(r.Context(), id, d))
		case "release":
			assert.NoError(t, claims.Release(r.Context(), id, owner))
		case "begun":
			begun <- struct{}{}
		}
	}))
	defer store.Close()

	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), childEnv+"="+store.URL)
	child.Stderr = os.Stderr
	stdout, err := child.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, child.Start())
	address, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	address = strings.TrimSpace(address)

	finishes, dies := scanPush("finishes"), scanPush("dies")
	send := func(message string) (*http.Response, error) {
		p := wechat().clear(message)
		return http.Post(address+"/?"+p.query.Encode(), "text/xml", strings.NewReader(p.body))
	}
	resp, err := send(finishes)
	require.NoError(t, err)
	assert.Equal(t, http.StatusOK, resp.StatusCode)
	require.NoError(t, resp.Body.Close())
	<-claimed

	broken := make(chan error)
	go func() {
		resp, err := send(dies)
		if err == nil {
			_ = resp.Body.Close()
		}
		broken <- err
	}()
	since := <-claimed
	<-begun
	require.NoError(t, child.Process.Kill())
	require.Error(t, child.Wait())
	require.Error(t, <-broken, "the first delivery was never answered")

	// Another server of the account, and what WeChat delivers again.
	var ran []string
	var took time.Duration
	h := newHandler(t, plainMode(),
		func(_ context.Context, ev *wechatqr.Event) (events.Reply, error) {
			ran = append(ran, ev.EventKey)
			took = time.Since(since)
			return nil, nil
		}, nil, events.WithDeduper(claims))
	assert.Equal(t, "success", wechat().clear(finishes).to(h).Body.String())
	assert.Empty(t, ran, "it was handled before the process died")
	for wechat().clear(dies).to(h).Code != http.StatusOK { // more than once on a busy machine
		assert.Empty(t, ran)
	}
	assert.Equal(t, []string{"dies"}, ran)
	assert.GreaterOrEqual(t, took, 3*time.Second, "not while the lease ran")
	assert.Equal(t, "success", wechat().clear(dies).to(h).Body.String())
	assert.Len(t, ran, 1)
}
