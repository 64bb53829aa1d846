package redisstore_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/redisstore"
)

var testCreds = wechatqr.Credentials{
	AppID: "wx0123456789abcdef", AppSecret: "0123456789abcdef0123456789abcdef",
}

func newClient(
	store *redisstore.Store, url string, classic bool, opts ...wechatqr.Option,
) (*wechatqr.Client, error) {
	opts = append(opts, wechatqr.WithTokenStore(store),
		wechatqr.WithEndpoint(wechatqr.Endpoint{API: []string{url}}))
	if classic {
		opts = append(opts, wechatqr.WithClassicToken())
	}
	return wechatqr.New(testCreds, opts...)
}

// callAPI makes a call that needs nothing but a token.
func callAPI(ctx context.Context, c *wechatqr.Client) error {
	return c.Do(ctx, wechatqr.Request{Method: http.MethodGet, Path: "/cgi-bin/getcallbackip"}, nil)
}

// classicKey is where a client's classic token is in the store.
var classicKey = testCreds.AppID + "/classic"

// wechat is a WeChat that issues tokens and counts what it is asked. As
// there, a classic token that is issued lets the one before it live on for five
// minutes.
type wechat struct {
	*httptest.Server
	asked chan string // gets the User-Agent of each request of a token, if there is room

	mu      sync.Mutex
	life    time.Duration // of a token, in whole seconds
	delay   time.Duration // of the response to a request of a token
	token   string        // the latest
	ends    map[string]time.Time
	issued  int
	fetches int             // requests of a token
	served  map[string]bool // by server and goroutine
}

func startWeChat(t *testing.T, life, delay time.Duration) *wechat {
	t.Helper()
	w := &wechat{
		asked: make(chan string, 1), life: life, delay: delay,
		ends: map[string]time.Time{}, served: map[string]bool{},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /cgi-bin/token", func(rw http.ResponseWriter, r *http.Request) {
		w.issue(rw, r, true)
	})
	mux.HandleFunc("POST /cgi-bin/stable_token", func(rw http.ResponseWriter, r *http.Request) {
		w.issue(rw, r, false)
	})
	mux.HandleFunc("GET /cgi-bin/getcallbackip", w.call)
	w.Server = httptest.NewServer(mux)
	t.Cleanup(w.Close)
	return w
}

func (w *wechat) issue(rw http.ResponseWriter, r *http.Request, fresh bool) {
	_, _ = io.Copy(io.Discard, r.Body) // else the end of the connection goes unnoticed
	w.mu.Lock()
	w.fetches++
	now := time.Now()
	if fresh || !now.Before(w.ends[w.token]) {
		if grace := now.Add(5 * time.Minute); w.ends[w.token].After(grace) {
			w.ends[w.token] = grace
		}
		w.issued++
		w.token = fmt.Sprintf("97_token-%d", w.issued)
		w.ends[w.token] = now.Add(w.life)
	}
	left := (w.ends[w.token].Sub(now) + time.Second - 1) / time.Second
	body := fmt.Sprintf(`{"access_token":%q,"expires_in":%d}`, w.token, left)
	delay := w.delay
	w.mu.Unlock()

	select {
	case w.asked <- r.UserAgent():
	default:
	}
	select {
	case <-time.After(delay):
	case <-r.Context().Done():
		return
	}
	_, _ = rw.Write([]byte(body))
}

func (w *wechat) call(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	expiry, known := w.ends[r.FormValue("access_token")]
	switch {
	case !known:
		_, _ = rw.Write([]byte(`{"errcode":40001,"errmsg":"invalid credential"}`))
	case !time.Now().Before(expiry):
		_, _ = rw.Write([]byte(`{"errcode":42001,"errmsg":"access_token expired"}`))
	default:
		w.served[r.UserAgent()+"/"+r.FormValue("goroutine")] = true
		_, _ = rw.Write([]byte(`{"ip_list":["127.0.0.1"]}`))
	}
}

// revoke ends every token, or those that are named.
func (w *wechat) revoke(tokens ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.served)
	for _, token := range tokens {
		delete(w.ends, token)
	}
	if tokens == nil {
		clear(w.ends)
	}
}

// serves waits until each of n goroutines of each server has called with a good
// token since the last revocation, or the last time that this was waited for. So
// no call that met the revocation is still under way.
func (w *wechat) serves(t *testing.T, servers, n int) {
	t.Helper()
	waitFor(t, "each goroutine calls with a good token", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		if len(w.served) < servers*n {
			return false
		}
		clear(w.served)
		return true
	})
}

// slow sets how long the response to a request of a token takes.
func (w *wechat) slow(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.delay = d
}

// count returns how often a token was asked for, since the last count.
func (w *wechat) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := w.fetches
	w.fetches = 0
	return n
}
