package tickets_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/tickets"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// childEnv makes this program one that creates a permanent code: the address of
// WeChat, the AppSecret, the file, and where it stops until it is killed.
const childEnv = "WECHATQR_TEST_TICKETS"

func TestMain(m *testing.M) {
	if role := os.Getenv(childEnv); role != "" {
		if err := createCode(strings.Split(role, " ")); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func createCode(role []string) error {
	address, secret, path, point := role[0], role[1], role[2], role[3]
	client, err := wechatqr.New(wechatqr.Credentials{AppID: appID, AppSecret: secret},
		wechatqr.WithBaseURL(address))
	if err != nil {
		return err
	}
	store, err := tickets.OpenFile(path)
	if err != nil {
		return err
	}
	defer store.Close()
	keeper, err := tickets.NewKeeper(appID, stopping{client, point}, store)
	if err != nil {
		return err
	}
	ticket, err := keeper.Ticket(context.Background(), print1)
	if err != nil {
		return err
	}
	fmt.Println(ticket.Value)
	return nil
}

// stopping is a client that stops before or after it created a code.
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

func (s stopping) stop(point string) {
	if s.point == point {
		fmt.Println("stopped")
		select {}
	}
}

// child starts the program and returns its first line.
func child(t *testing.T, srv *wechatqrtest.Server, path, point string) (*exec.Cmd, func() string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+strings.Join([]string{
		srv.URL(), srv.Credentials().AppSecret, path, point,
	}, " "))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	return cmd, func() string {
		line, err := bufio.NewReader(out).ReadString('\n')
		require.NoError(t, err)
		return strings.TrimSpace(line)
	}
}

// A process is killed at each of the points where it knows more than its store. The
// next run asks for the same scene, and the one after it for nothing.
func TestKilledProcess(t *testing.T) {
	t.Parallel()
	for point, creations := range map[string]int{"before": 1, "during": 1, "after": 2} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			srv := wechatqrtest.Start(t, wechatqrtest.WithCredentials(wechatqr.Credentials{
				AppID: appID, AppSecret: "0123456789abcdef0123456789abcdef",
			}))
			asked := make(chan struct{}, 1)
			if point == "during" {
				srv.InjectFunc(func(r *http.Request) (wechatqrtest.Fault, bool) {
					if r.URL.Path != "/cgi-bin/qrcode/create" {
						return wechatqrtest.Fault{}, false
					}
					asked <- struct{}{}
					return wechatqrtest.Fault{Break: wechatqrtest.BreakHang}, true
				})
			}
			path := filepath.Join(t.TempDir(), "tickets.json")

			killed, line := child(t, srv, path, point)
			if point == "during" {
				<-asked
			} else {
				require.Equal(t, "stopped", line())
			}
			_, err := tickets.OpenFile(path)
			require.ErrorIs(t, err, tickets.ErrInUse, "while another process has it")
			require.NoError(t, killed.Process.Kill())
			require.Error(t, killed.Wait())
			srv.InjectFunc(nil)

			f := openFile(t, path)
			known, err := f.CountPermanent(t.Context(), appID)
			require.NoError(t, err)
			assert.Equal(t, 1, known, "the scene was stored before WeChat was asked")
			require.NoError(t, f.Close())

			var kept []string
			for range 2 {
				run, line := child(t, srv, path, "nowhere")
				kept = append(kept, line())
				require.NoError(t, run.Wait())
			}
			assert.Equal(t, kept[0], kept[1])
			_, ok := srv.QRCode(kept[0])
			assert.True(t, ok)
			require.Len(t, srv.QRCodes(), creations,
				"at most one more for a process that is killed")
			for _, code := range srv.QRCodes() {
				assert.Equal(t, "QR_LIMIT_STR_SCENE", code.Action)
				assert.Equal(t, "door", code.Scene())
			}
		})
	}
}

// Processes on one file take turns: those that come too early are told so.
func TestFourProcessesOnOneFile(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t, wechatqrtest.WithCredentials(wechatqr.Credentials{
		AppID: appID, AppSecret: "0123456789abcdef0123456789abcdef",
	}))
	path := filepath.Join(t.TempDir(), "tickets.json")
	values, errs := make(chan string, 4), make(chan error, 4)
	for range 4 {
		go func() {
			for {
				cmd := exec.CommandContext(t.Context(), os.Args[0])
				cmd.Env = append(os.Environ(), childEnv+"="+strings.Join([]string{
					srv.URL(), srv.Credentials().AppSecret, path, "nowhere",
				}, " "))
				out, err := cmd.Output()
				if err != nil && strings.Contains(string(out), tickets.ErrInUse.Error()) {
					continue
				}
				if err != nil {
					err = errors.New(string(out))
				}
				values <- strings.TrimSpace(string(out))
				errs <- err
				return
			}
		}()
	}
	first := <-values
	require.NoError(t, <-errs)
	for range 3 {
		assert.Equal(t, first, <-values)
		require.NoError(t, <-errs)
	}
	assert.Len(t, srv.QRCodes(), 1)
}
