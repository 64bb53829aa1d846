package redisstore_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/events"
	"github.com/wechatqr/wechatqr/redisstore"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

var pushConfig = events.Config{
	AppID: testCreds.AppID, Token: "token",
	EncodingAESKey: "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG",
}

// servePushes is a child process that serves the callback URL. What there is
// to do with an event is done by the test: its response is the outcome.
func servePushes(r role, store *redisstore.Store) error {
	fn := func(ctx context.Context, _ *wechatqr.Event) (events.Reply, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.Handle, nil)
		if err != nil {
			return nil, err
		}
		req.Header.Set("User-Agent", r.Name)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("HTTP %d", resp.StatusCode)
		}
		return nil, nil
	}
	h, err := events.NewHandler(pushConfig, fn, events.WithDeduper(store))
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go func() { _ = http.Serve(l, h) }()
	if err := json.NewEncoder(os.Stdout).Encode(seen{Addr: l.Addr().String()}); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, bufio.NewReader(os.Stdin)) // until the test ends it
	return err
}

// pushes is a WeChat that delivers one event to servers behind a balancer,
// and the work that they do for it.
type pushes struct {
	t       *testing.T
	servers []*process
	event   wechatqr.Event
	begun   chan int // which server has begun to handle it
	outcome chan int // what the next one to be done ends with, an HTTP status
	mu      sync.Mutex
	runs    int
}

func startPushes(t *testing.T) *pushes {
	t.Helper()
	p := &pushes{
		t: t, begun: make(chan int, 10), outcome: make(chan int, 10),
		event: wechatqr.Event{
			Type: wechatqr.EventScan, EventKey: "shop-7", Ticket: "gQH", CreateTime: time.Now(),
		},
	}
	work := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.runs++
		p.mu.Unlock()
		server, _ := strconv.Atoi(r.UserAgent())
		p.begun <- server
		select {
		case status := <-p.outcome:
			w.WriteHeader(status)
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(work.Close)
	p.servers = startProcesses(t, 3, role{Redis: startServer(t).addr, Handle: work.URL})
	return p
}

// deliver sends the event to a server and returns the response's status, 0 if none came.
func (p *pushes) deliver(server int) int {
	r := wechatqrtest.NewRequest(pushConfig, p.event)
	resp, err := http.Post("http://"+p.servers[server].addr+r.RequestURI, "text/xml", r.Body)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

func (p *pushes) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.runs
}

func TestPushIsHandledOnce(t *testing.T) {
	t.Parallel()
	p := startPushes(t)
	p.outcome <- http.StatusOK
	var wg sync.WaitGroup
	for server := range p.servers {
		for range 5 {
			wg.Go(func() { assert.Equal(t, http.StatusOK, p.deliver(server)) })
		}
	}
	wg.Wait()
	assert.Equal(t, 1, p.count())
}

// By the same server within the same delivery, or by the next delivery's.
func TestPushThatFailedIsHandledAgain(t *testing.T) {
	t.Parallel()
	p := startPushes(t)
	p.outcome <- http.StatusBadGateway
	p.outcome <- http.StatusOK
	p.deliverNext(0, 1, 2)
	assert.Equal(t, http.StatusOK, p.deliver(1))
	assert.Equal(t, http.StatusOK, p.deliver(2))
	assert.Equal(t, 2, p.count())
}

// deliverNext delivers the event to the servers in turn, as WeChat does after
// a delivery without a response, until one takes it.
func (p *pushes) deliverNext(servers ...int) {
	p.t.Helper()
	for _, server := range servers {
		if status := p.deliver(server); status == http.StatusOK {
			return
		}
	}
	p.t.Error("no delivery was answered")
}

func TestPushOutlivesItsServer(t *testing.T) {
	t.Parallel()
	p := startPushes(t)
	go p.deliver(0)
	require.Equal(t, 0, <-p.begun)
	p.servers[0].kill()
	p.outcome <- http.StatusOK
	p.deliverNext(1, 2)
	assert.Equal(t, 2, p.count())
}

// A server that stalls for as long as WeChat waits, and its claim with it, makes
// the event run twice, and not a third time, however its own run ends.
func TestPushWhoseServerStalls(t *testing.T) {
	t.Parallel()
	for _, late := range []int{http.StatusOK, http.StatusBadGateway} {
		t.Run(http.StatusText(late), func(t *testing.T) {
			t.Parallel()
			p := startPushes(t)
			gone := make(chan int, 1)
			wechatGivesUp := time.Now().Add(5 * time.Second)
			go func() { gone <- p.deliver(0) }()
			require.Equal(t, 0, <-p.begun)
			p.servers[0].signal(syscall.SIGSTOP)
			answered := make(chan struct{})
			go func() { defer close(answered); p.deliverNext(1, 2) }()
			require.NotZero(t, <-p.begun)
			time.Sleep(time.Until(wechatGivesUp))
			p.servers[0].signal(syscall.SIGCONT)
			p.outcome <- late
			p.outcome <- http.StatusOK
			<-gone
			<-answered
			for server := range p.servers {
				assert.Equal(t, http.StatusOK, p.deliver(server))
			}
			assert.Equal(t, 2, p.count())
		})
	}
}
