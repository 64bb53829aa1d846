package redisstore_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/redisstore"
	"github.com/wechatqr/wechatqr/tickets"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// ticketsEnv tells TestTicketProcess to be one of the servers of a test.
const ticketsEnv = "REDISSTORE_TEST_TICKETS"

// ticketRole is what such a server is to be: 250 goroutines ask for one code.
type ticketRole struct {
	Redis, WeChat string
	Permanent     bool
	Stops         string // "before" or "after" a creation, until it is killed
}

func TestTicketProcess(t *testing.T) {
	var r ticketRole
	if json.Unmarshal([]byte(os.Getenv(ticketsEnv)), &r) != nil {
		return // not a child
	}
	client, err := wechatqr.New(testCreds, wechatqr.WithBaseURL(r.WeChat))
	require.NoError(t, err)
	rdb := connect(t, r.Redis)
	keeper, err := tickets.NewKeeper(testCreds.AppID, stopping{client, r.Stops}, newStore(t, rdb))
	require.NoError(t, err)

	req := wechatqr.Temporary(wechatqr.SceneID(7), wechatqr.MaxTTL)
	if r.Permanent {
		req = wechatqr.Permanent(wechatqr.SceneID(7))
	}
	var wg sync.WaitGroup
	values := make(chan string, 250)
	for range 250 {
		wg.Go(func() {
			ticket, err := keeper.Ticket(t.Context(), req)
			if assert.NoError(t, err) {
				values <- ticket.Value
			}
		})
	}
	wg.Wait()
	close(values)
	first := <-values
	for value := range values {
		assert.Equal(t, first, value)
	}
	fmt.Println("ticket", first)
}

type stopping struct {
	*wechatqr.Client
	point string
}

func (s stopping) CreateTicket(
	ctx context.Context, req wechatqr.TicketRequest,
) (*wechatqr.Ticket, error) {
	s.stop("before")
	t, err := s.Client.CreateTicket(ctx, req)
	s.stop("after")
	return t, err
}

// stop reports by a call of WeChat, and waits to be killed.
func (s stopping) stop(point string) {
	if s.point == point {
		req := wechatqr.Request{Method: http.MethodGet, Path: "/stopped"}
		_ = s.Do(context.Background(), req, nil)
		select {}
	}
}

func ticketProcess(t *testing.T, r ticketRole) *exec.Cmd {
	t.Helper()
	text, err := json.Marshal(r)
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestTicketProcess$",
		"-test.count=1")
	cmd.Env = append(os.Environ(), ticketsEnv+"="+string(text))
	return cmd
}

// ticketOf runs the process to its end.
func ticketOf(t *testing.T, cmd *exec.Cmd) string {
	out, err := cmd.CombinedOutput()
	if !assert.NoError(t, err, "%s", out) {
		return ""
	}
	_, line, _ := strings.Cut(string(out), "ticket ")
	value, _, _ := strings.Cut(line, "\n")
	assert.NotEmpty(t, value, "%s", out)
	return value
}

// A thousand goroutines in four processes ask for one code at once.
func TestTicketOfManyProcesses(t *testing.T) {
	t.Parallel()
	for name, permanent := range map[string]bool{"permanent": true, "temporary": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := wechatqrtest.Start(t, wechatqrtest.WithCredentials(testCreds))
			r := ticketRole{Redis: startServer(t).addr, WeChat: srv.URL(), Permanent: permanent}
			var wg sync.WaitGroup
			values := make(chan string, 4)
			for range 4 {
				wg.Go(func() { values <- ticketOf(t, ticketProcess(t, r)) })
			}
			wg.Wait()
			require.Len(t, srv.QRCodes(), 1)
			for range 4 {
				assert.Equal(t, srv.QRCodes()[0].Ticket, <-values)
			}
		})
	}
}

// The next run asks for the same scene, and the one after it for nothing.
func TestKilledProcessCreatesTheSameScene(t *testing.T) {
	t.Parallel()
	for point, creations := range map[string]int{"before": 1, "during": 1, "after": 2} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			srv := wechatqrtest.Start(t, wechatqrtest.WithCredentials(testCreds))
			stopped := make(chan struct{}, 1)
			srv.InjectFunc(func(r *http.Request) (wechatqrtest.Fault, bool) {
				creation := point == "during" && r.URL.Path == "/cgi-bin/qrcode/create"
				if creation || r.URL.Path == "/stopped" {
					stopped <- struct{}{}
				}
				return wechatqrtest.Fault{Break: wechatqrtest.BreakHang}, creation
			})
			r := ticketRole{Redis: startServer(t).addr, WeChat: srv.URL(), Permanent: true}

			dies := r
			dies.Stops = point
			cmd := ticketProcess(t, dies)
			require.NoError(t, cmd.Start())
			<-stopped
			require.NoError(t, cmd.Process.Kill())
			require.Error(t, cmd.Wait())
			srv.InjectFunc(nil)

			known, err := newStore(t, connect(t, r.Redis)).CountPermanent(t.Context(),
				testCreds.AppID)
			require.NoError(t, err)
			assert.Equal(t, 1, known, "the scene was stored before WeChat was asked")
			kept := ticketOf(t, ticketProcess(t, r))
			assert.Equal(t, kept, ticketOf(t, ticketProcess(t, r)))
			require.Len(t, srv.QRCodes(), creations)
			for _, code := range srv.QRCodes() {
				assert.Equal(t, "QR_LIMIT_SCENE", code.Action)
				assert.Equal(t, "7", code.Scene())
			}
		})
	}
}

// Permanent tickets stay for ever, temporary ones until they end.
func TestTicketsExpire(t *testing.T) {
	everyRedis(t, func(t *testing.T, c redis.UniversalClient) {
		srv := wechatqrtest.Start(t, wechatqrtest.WithCredentials(testCreds))
		keeper, err := tickets.NewKeeper(testCreds.AppID, srv.Client(), newStore(t, c))
		require.NoError(t, err)
		for _, req := range []wechatqr.TicketRequest{
			wechatqr.Permanent(wechatqr.SceneID(7)),
			wechatqr.Temporary(wechatqr.SceneID(7), wechatqr.MaxTTL),
		} {
			_, err := keeper.Ticket(t.Context(), req)
			require.NoError(t, err)
		}
		permanent := "wechatqr:tickets:" + testCreds.AppID
		assert.EqualValues(t, -1, c.PTTL(t.Context(), permanent).Val(), "it does not expire")
		left := c.PTTL(t.Context(), "wechatqr:ticket:"+testCreds.AppID+"/2592000s/id/7").Val()
		assert.Positive(t, left)
		assert.LessOrEqual(t, left, wechatqr.MaxTTL)
	})
}

var _ tickets.Store = (*redisstore.Store)(nil)
