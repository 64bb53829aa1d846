package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync"
	"time"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// app serves the page and its actions.
type app struct {
	wx      *wechatqrtest.Server
	origin  string
	proxyCA string // file of the proxy's certificate authority; empty: no proxy
	pages   pages
	client  *wechatqr.Client // creates QR codes for the page
	ctx     context.Context  // ends when the sandbox stops
	pushes  sync.WaitGroup   // those in progress

	people people
	phone  *phone // nil: no scan page

	mu      sync.Mutex              // guards the fields below
	last    notice                  // of the latest action
	checked *wechatqrtest.Diagnosis // latest; nil after a change of the callback
	changed chan struct{}           // closed at the next change of last or checked; nil while nobody waits
}

// notice is the outcome of an action, shown once at the top of the page.
type notice struct {
	id int
	outcome
}

// inProcess is the transport of the page's client. It calls the Server directly,
// since the sandbox may not reach its own origin.
type inProcess struct{ wx *wechatqrtest.Server }

func (t inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	in := r.Clone(r.Context())
	if in.Body == nil {
		in.Body = http.NoBody
	}
	in.RemoteAddr = "127.0.0.1:0"
	w := httptest.NewRecorder()
	t.wx.ServeHTTP(w, in)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return w.Result(), nil
}

func newApp(ctx context.Context, wx *wechatqrtest.Server, origin string) (*app, error) {
	client, err := wechatqr.New(wx.Credentials(),
		wechatqr.WithBaseURL(origin),
		wechatqr.WithHTTPClient(&http.Client{Transport: inProcess{wx}, Timeout: 10 * time.Second}),
		wechatqr.WithMaxRetries(0))
	if err != nil {
		return nil, err
	}
	ps, err := newPages()
	if err != nil {
		return nil, err
	}
	return &app{wx: wx, origin: origin, pages: ps, client: client, ctx: ctx}, nil
}

// routes serves the page; every other path is the API's.
func (a *app) routes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", a.show)
	mux.HandleFunc("GET /_sandbox/{file}", serveFile)
	mux.HandleFunc("GET /_sandbox/events", a.stream)
	mux.HandleFunc("GET /_sandbox/picture", a.picture)
	mux.HandleFunc("GET /_sandbox/state", a.state)
	mux.HandleFunc("GET /_sandbox/env", a.env)
	mux.HandleFunc("POST /_sandbox/{action}", a.act)
	return mux
}

func (a *app) notify(change func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change()
	if a.changed != nil {
		close(a.changed)
		a.changed = nil
	}
}

func (a *app) change() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.changed == nil {
		a.changed = make(chan struct{})
	}
	return a.changed
}

const (
	minInterval       = 200 * time.Millisecond // between two events
	heartbeatInterval = 20 * time.Second       // keeps proxies from closing the connection
)

// stream sends a server-sent event whenever the page is out of date.
func (a *app) stream(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // keeps nginx from buffering
	rc := http.NewResponseController(w)
	message := "retry: 1000\nevent: change\ndata:\n\n"
	for {
		wx, own := a.wx.Changed(), a.change()
		if _, err := w.Write([]byte(message)); err != nil {
			return
		}
		if rc.Flush() != nil {
			return
		}
		beat := time.NewTimer(heartbeatInterval)
		message = "event: change\ndata:\n\n"
		select {
		case <-wx:
		case <-own:
		case <-beat.C:
			message = ": alive\n\n"
		case <-r.Context().Done():
			beat.Stop()
			return
		case <-a.ctx.Done():
			beat.Stop()
			return
		}
		beat.Stop()

		select {
		case <-time.After(minInterval):
		case <-r.Context().Done():
			return
		case <-a.ctx.Done():
			return
		}
	}
}

func (a *app) picture(w http.ResponseWriter, r *http.Request) {
	data, err := a.wx.Picture(r.URL.Query().Get("ticket"))
	if err != nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "image/jpeg")
	w.Header().Set("Cache-Control", "private, max-age=86400")
	_, _ = w.Write(data) // the browser may have closed the connection
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // the client may have closed the connection
}
