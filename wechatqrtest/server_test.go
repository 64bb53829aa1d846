package wechatqrtest_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

func TestManyClients(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t,
		wechatqrtest.WithPushTimeout(time.Minute)) // the machine may be busy
	srv.ServeCallback(respondWith("success"))
	ctx, cancel := context.WithCancel(t.Context())
	var watcher sync.WaitGroup
	watcher.Go(func() { // a page that looks on
		for {
			changed := srv.Changed()
			srv.Requests()
			srv.QRCodes()
			srv.Users()
			srv.Pushes()
			select {
			case <-changed:
			case <-ctx.Done():
				return
			}
		}
	})
	var clients sync.WaitGroup
	failures := make(chan error, 200)
	for i := range 200 {
		clients.Go(func() {
			c := srv.Client(wechatqr.WithHTTPClient(&http.Client{})) // without a timeout
			ticket, err := c.CreateTicket(ctx,
				wechatqr.Temporary(wechatqr.SceneID(uint32(i+1)), time.Hour))
			if err == nil {
				_, err = srv.Scan(ctx, ticket.Value, fmt.Sprintf("o6_%d", i%20))
			}
			if err != nil {
				failures <- err
			}
		})
	}
	clients.Wait()
	cancel()
	watcher.Wait()
	close(failures)
	for err := range failures {
		t.Error(err)
	}
	assert.Len(t, srv.Users(), 20)
	// A starved machine has requests repeated.
	assert.GreaterOrEqual(t, len(srv.QRCodes()), 200)
	assert.GreaterOrEqual(t, srv.Count(""), 400)
}

func TestCloseTwice(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.NewServer()
	c := srv.Client(wechatqr.WithMaxRetries(0))
	srv.Close()
	srv.Close()
	_, err := c.FetchQRCode(t.Context(), "gQ")
	require.Error(t, err)
	srv.ServeCallback(respondWith("success"))
	require.ErrorIs(t, srv.CheckCallback(t.Context()), http.ErrServerClosed)
}

func TestWithOrigin(t *testing.T) {
	t.Parallel()
	front := httptest.NewUnstartedServer(nil)
	srv := wechatqrtest.Start(t,
		wechatqrtest.WithOrigin("http://"+front.Listener.Addr().String()+"/"))
	front.Config.Handler = srv
	front.Start()
	defer front.Close()
	assert.Equal(t, front.URL, srv.URL())
	ticket, err := srv.Client().CreateTicket(t.Context(), wechatqr.Permanent(wechatqr.SceneID(1)))
	require.NoError(t, err)
	_, err = srv.Client().FetchQRCode(t.Context(), ticket.Value)
	require.NoError(t, err)
}

// Nothing is missed between a look and the wait for the next change.
func TestChanged(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	srv.ServeCallback(respondWith("success"))
	for name, change := range map[string]func() error{
		"Advance":     func() error { srv.Advance(time.Second); return nil },
		"call":        func() error { get(t, srv.URL()+"/cgi-bin/token"); return nil },
		"Inject":      func() error { srv.Inject(wechatqrtest.Fault{Path: "x"}); return nil },
		"ClearFaults": func() error { srv.ClearFaults(); return nil },
		"PutUser":     func() error { srv.PutUser(wechatqrtest.User{}); return nil },
		"Follow":      func() error { _, err := srv.Follow(t.Context(), ""); return err },
		"SetCallback": func() error { return srv.SetCallback(srv.Callback()) },
		"SetQuota":    func() error { srv.SetQuota(wechatqrtest.Quota{Path: "x"}); return nil },
		"Revoke":      func() error { srv.RevokeTokens(); return nil },
	} {
		changed := srv.Changed()
		select {
		case <-changed:
			t.Errorf("%s: changed before", name)
		default:
		}
		require.NoError(t, change(), name)
		select {
		case <-changed:
		case <-time.After(10 * time.Second):
			t.Errorf("%s: not notified", name)
		}
	}
}

func TestClientPanics(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	assert.Panics(t, func() { srv.Client(wechatqr.WithHTTPClient(nil)) })
}

func BenchmarkCreate(b *testing.B) {
	srv := wechatqrtest.Start(b)
	srv.SetQuota(wechatqrtest.Quota{Path: create})
	c := srv.Client()
	for b.Loop() {
		if _, err := c.CreateTicket(b.Context(), wechatqr.Temporary(wechatqr.SceneID(1),
			time.Hour)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkScan(b *testing.B) {
	srv := wechatqrtest.Start(b)
	srv.ServeCallback(respondWith("success"))
	ticket, err := srv.Client().CreateTicket(b.Context(),
		wechatqr.Temporary(wechatqr.SceneID(1), time.Hour))
	require.NoError(b, err)
	for b.Loop() {
		if _, err := srv.Scan(b.Context(), ticket.Value, "o6_user"); err != nil {
			b.Fatal(err)
		}
	}
}
