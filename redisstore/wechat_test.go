package redisstore_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/wechatqr/wechatqr"
)

var creds = wechatqr.Credentials{AppID: "wx0123456789abcdef", AppSecret: "0123456789abcdef0123456789abcdef"}

// wechat is WeChat at its strictest: a new token ends the last one at once.
type wechat struct {
	*httptest.Server
	asked chan string // gets the User-Agent of each request of a token, if there is room

	mu      sync.Mutex
	life    time.Duration // of a token, in whole seconds
	delay   time.Duration // of the answer to a request of a token
	token   string
	ends    time.Time
	issued  int
	fetches int // requests of a token
}

func startWeChat(t *testing.T, life, delay time.Duration) *wechat {
	t.Helper()
	w := &wechat{asked: make(chan string, 1), life: life, delay: delay}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /cgi-bin/token", func(rw http.ResponseWriter, r *http.Request) { w.answer(rw, r, true) })
	mux.HandleFunc("POST /cgi-bin/stable_token", func(rw http.ResponseWriter, r *http.Request) { w.answer(rw, r, false) })
	mux.HandleFunc("GET /cgi-bin/getcallbackip", w.call)
	w.Server = httptest.NewServer(mux)
	t.Cleanup(w.Close)
	return w
}

func (w *wechat) answer(rw http.ResponseWriter, r *http.Request, fresh bool) {
	w.mu.Lock()
	w.fetches++
	if now := time.Now(); fresh || !now.Before(w.ends) {
		w.issued++
		w.token, w.ends = fmt.Sprintf("97_token-%d", w.issued), now.Add(w.life)
	}
	body := fmt.Sprintf(`{"access_token":%q,"expires_in":%d}`, w.token, (time.Until(w.ends)+time.Second-1)/time.Second)
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
	good, expired := r.FormValue("access_token") == w.token, !time.Now().Before(w.ends)
	w.mu.Unlock()
	switch {
	case !good:
		_, _ = rw.Write([]byte(`{"errcode":40001,"errmsg":"invalid credential, access_token is invalid or not latest"}`))
	case expired:
		_, _ = rw.Write([]byte(`{"errcode":42001,"errmsg":"access_token expired"}`))
	default:
		_, _ = rw.Write([]byte(`{"ip_list":["127.0.0.1"]}`))
	}
}

// revoke ends the present token.
func (w *wechat) revoke() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.token, w.ends = "", time.Time{}
}

// slow sets how long the answer to a request of a token takes.
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
