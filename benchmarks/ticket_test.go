package benchmarks

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

const (
	tokenBody = `{"access_token":"84_N4rVQBFW3bsw4vKHUqnTb9oFhgpOX9FVPmnBpRMnC0rS0nLdkD6MHoKJ5r` +
		`VTvlrVbbT7Uv2DMJKOLcIDIbYM7mGu9hnLnqvXQyXh0rZZP8d3FqqHQ3pVLZ5eLRIQAVdAIAKXX","expires_in":7200}`
	createdURL = "http://weixin.qq.com/q/kZgfwMTm72WWPkovabbI"
	ticketBody = `{"ticket":"` + ticket + `","expire_seconds":604800,"url":"` + createdURL + `"}`
)

// TestCreate has every library make a code at a WeChat that is strict about
// tokens, bodies and limits.
func TestCreate(t *testing.T) {
	for _, a := range append(adapters(), adapter{name: "net/http",
		creator: plainCreator(time.Minute, workers)}) {
		t.Run(a.name, func(t *testing.T) {
			srv := wechatqrtest.Start(t)
			create := a.creator(t, account{creds: srv.Credentials(), base: srv.URL()})
			made, err := create(scene)
			require.NoError(t, err)
			known, ok := srv.QRCode(made.ticket)
			require.True(t, ok, made)
			require.Equal(t, known.Content, made.url)
			require.Equal(t, scene, known.SceneStr)
			require.InDelta(t, 7*24*time.Hour, known.ExpiresAt.Sub(known.CreatedAt),
				float64(time.Second))
		})
	}
}

func TestTokens(t *testing.T) {
	for _, a := range adapters() {
		t.Run(a.name, func(t *testing.T) {
			srv := wechatqrtest.Start(t)
			get := a.tokens(t, account{creds: srv.Credentials(), base: srv.URL()})
			first, err := get()
			require.NoError(t, err)
			require.NotEmpty(t, first)
			again, err := get()
			require.NoError(t, err)
			require.Equal(t, first, again)
			require.Equal(t, 1, srv.Count("/cgi-bin/token")+srv.Count("/cgi-bin/stable_token"))
		})
	}
}

// memory responds as WeChat does, without a network.
type memory struct{}

var jsonHeader = http.Header{"Content-Type": {"application/json; encoding=utf-8"}}

func (memory) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return nil, err
		}
		if err := r.Body.Close(); err != nil {
			return nil, err
		}
	}
	body := ticketBody
	if strings.HasSuffix(r.URL.Path, "token") {
		body = tokenBody
	}
	return &http.Response{
		StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: jsonHeader,
		Body:   io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)), Request: r,
	}, nil
}

// loopback responds as WeChat does, after a delay, and counts.
type loopback struct {
	*httptest.Server
	connections, tokens atomic.Int64
}

func startLoopback(tb testing.TB, delay time.Duration) *loopback {
	l := &loopback{}
	l.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter,
		r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // the next request's trouble, if any
		body := ticketBody
		if strings.HasSuffix(r.URL.Path, "token") {
			l.tokens.Add(1)
			body = tokenBody
		}
		if delay > 0 {
			time.Sleep(delay)
		}
		w.Header()["Content-Type"] = jsonHeader["Content-Type"]
		_, _ = io.WriteString(w, body) // nobody there
	}))
	l.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			l.connections.Add(1)
		}
	}
	l.Start()
	tb.Cleanup(l.Close)
	return l
}

// plainCreator is net/http with encoding/json and a token at hand: no renewal,
// no second attempt, and a time limit or idle connections beyond the default
// only if they are given.
func plainCreator(limit time.Duration, idle int) func(testing.TB,
	account) func(string) (code, error) {
	return func(tb testing.TB, a account) func(string) (code, error) {
		client := &http.Client{Transport: a.transport}
		if idle > 0 {
			t := http.DefaultTransport.(*http.Transport).Clone()
			t.MaxIdleConnsPerHost = idle
			tb.Cleanup(t.CloseIdleConnections)
			client.Transport = t
		}
		resp, err := client.Get(a.base + "/cgi-bin/token?grant_type=client_credential&appid=" +
			a.creds.AppID + "&secret=" + a.creds.AppSecret)
		require.NoError(tb, err)
		defer resp.Body.Close() //nolint:errcheck // it was read
		var tok struct {
			AccessToken string `json:"access_token"`
		}
		require.NoError(tb, json.NewDecoder(resp.Body).Decode(&tok))
		address := a.base + "/cgi-bin/qrcode/create?access_token=" + tok.AccessToken
		return func(key string) (code, error) {
			ctx := context.Background()
			if limit > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, limit)
				defer cancel()
			}
			body, err := marshalCreate(key)
			if err != nil {
				return code{}, err
			}
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, address,
				bytes.NewReader(body))
			if err != nil {
				return code{}, err
			}
			req.Header.Set("Content-Type", "application/json")
			resp, err := client.Do(req)
			if err != nil {
				return code{}, err
			}
			defer resp.Body.Close() //nolint:errcheck // it was read
			data, err := io.ReadAll(resp.Body)
			if err != nil {
				return code{}, err
			}
			if resp.StatusCode != http.StatusOK {
				return code{}, fmt.Errorf("HTTP %d", resp.StatusCode)
			}
			return unmarshalCode(data)
		}
	}
}

// createRequest and createResponse are the exchange in the form of encoding/json.
type createRequest struct {
	ExpireSeconds int    `json:"expire_seconds"`
	ActionName    string `json:"action_name"`
	ActionInfo    struct {
		Scene struct {
			SceneStr string `json:"scene_str"`
		} `json:"scene"`
	} `json:"action_info"`
}

type createResponse struct {
	Ticket  string `json:"ticket"`
	URL     string `json:"url"`
	ErrCode int    `json:"errcode"`
	ErrMsg  string `json:"errmsg"`
}

func marshalCreate(key string) ([]byte, error) {
	req := createRequest{ExpireSeconds: 7 * 24 * 3600, ActionName: "QR_STR_SCENE"}
	req.ActionInfo.Scene.SceneStr = key
	return json.Marshal(req)
}

func unmarshalCode(body []byte) (code, error) {
	var a createResponse
	if err := json.Unmarshal(body, &a); err != nil {
		return code{}, err
	}
	if a.ErrCode != 0 {
		return code{}, fmt.Errorf("errcode %d: %s", a.ErrCode, a.ErrMsg)
	}
	return code{a.Ticket, a.URL}, nil
}

// BenchmarkToken has the least that a look at a token with an end can be for
// its floor.
func BenchmarkToken(b *testing.B) {
	eachToken(b, func(b *testing.B, get func() (string, error)) {
		var got string
		var err error
		for b.Loop() {
			got, err = get()
		}
		require.NoError(b, err)
		require.NotEmpty(b, got)
	})
}

func BenchmarkTokenParallel(b *testing.B) {
	eachToken(b, func(b *testing.B, get func() (string, error)) {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if got, err := get(); err != nil || got == "" {
					b.Error(got, err)
					return
				}
			}
		})
	})
}

func eachToken(b *testing.B, measure func(*testing.B, func() (string, error))) {
	b.Run("atomic load and clock", func(b *testing.B) {
		var kept atomic.Pointer[wechatqr.Token]
		kept.Store(&wechatqr.Token{Value: "token", Expiry: time.Now().Add(2 * time.Hour)})
		b.ReportAllocs()
		measure(b, func() (string, error) {
			tok := kept.Load()
			if !time.Now().Before(tok.Expiry) {
				return "", context.DeadlineExceeded
			}
			return tok.Value, nil
		})
	})
	srv := startLoopback(b, 0)
	for _, a := range adapters() {
		b.Run(a.name, func(b *testing.B) {
			get := a.tokens(b, account{creds: newCredentials(), base: srv.URL})
			_, err := get()
			require.NoError(b, err)
			b.ReportAllocs()
			measure(b, get)
		})
	}
}

// together is how many callers find no token at the same moment.
const together = 1000

func BenchmarkTokenHerd(b *testing.B) {
	for _, a := range adapters() {
		b.Run(a.name, func(b *testing.B) {
			srv := startLoopback(b, 2*time.Millisecond)
			n := 0
			for b.Loop() {
				b.StopTimer()
				http.DefaultTransport.(*http.Transport).CloseIdleConnections()
				get := a.tokens(b, account{creds: newCredentials(), base: srv.URL})
				var ready, done sync.WaitGroup
				begin := make(chan struct{})
				for range together {
					ready.Add(1)
					done.Go(func() {
						ready.Done()
						<-begin
						if got, err := get(); err != nil || got == "" {
							b.Error(got, err)
						}
					})
				}
				ready.Wait()
				b.StartTimer()
				close(begin)
				done.Wait()
				n++
			}
			b.ReportMetric(float64(srv.tokens.Load())/float64(n), "calls/op")
		})
	}
}

func BenchmarkCreateInMemory(b *testing.B) {
	benchmarkCreate(b, account{base: "https://api.weixin.qq.com", transport: memory{}})
}

func BenchmarkCreateLoopback(b *testing.B) {
	benchmarkCreate(b, account{base: startLoopback(b, 0).URL})
}

func benchmarkCreate(b *testing.B, where account) {
	floors := []adapter{{name: "net/http", creator: plainCreator(0, 0)},
		{name: "net/http, 10 s at most", creator: plainCreator(10*time.Second, 0)}}
	for _, a := range append(floors, adapters()...) {
		b.Run(a.name, func(b *testing.B) {
			where.creds = newCredentials()
			create := a.creator(b, where)
			_, err := create(scene)
			require.NoError(b, err)
			b.ReportAllocs()
			var got code
			for b.Loop() {
				got, err = create(scene)
			}
			require.NoError(b, err)
			require.Equal(b, code{ticket, createdURL}, got)
		})
	}
}

const (
	creations = 3200
	workers   = 64
)

// BenchmarkConnections has net/http with as many idle connections as there are
// callers for its floor.
func BenchmarkConnections(b *testing.B) {
	floors := []adapter{{name: "net/http, 64 idle", creator: plainCreator(0, workers)},
		{name: "net/http", creator: plainCreator(0, 0)}}
	for _, a := range append(floors, adapters()...) {
		b.Run(a.name, func(b *testing.B) {
			srv := startLoopback(b, 2*time.Millisecond)
			n := 0
			for b.Loop() {
				http.DefaultTransport.(*http.Transport).CloseIdleConnections()
				create := a.creator(b, account{creds: newCredentials(), base: srv.URL})
				var left atomic.Int64
				left.Store(creations)
				var done sync.WaitGroup
				for range workers {
					done.Go(func() {
						for left.Add(-1) >= 0 {
							if got, err := create(scene); err != nil || got.ticket != ticket {
								b.Error(got, err)
								return
							}
						}
					})
				}
				done.Wait()
				n++
			}
			b.ReportMetric(float64(srv.connections.Load())/float64(n), "connections/op")
		})
	}
}
