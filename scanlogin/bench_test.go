package scanlogin_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/events"
	"github.com/wechatqr/wechatqr/scanlogin"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// instant is a WeChat that takes no time, and notes the latest scene.
type instant struct{ scene string }

func (c *instant) CreateTicket(
	_ context.Context, req wechatqr.TicketRequest,
) (*wechatqr.Ticket, error) {
	c.scene = req.Scene().Key()
	return &wechatqr.Ticket{
		Value: "gQH", Scene: req.Scene(), Content: "http://weixin.qq.com/q/02kZgfwMTm72WWPkovabbI",
	}, nil
}

func (c *instant) FetchQRCode(context.Context, string) (*wechatqr.QRCode, error) {
	return &wechatqr.QRCode{}, nil
}

// noting is a client that notes the latest ticket.
type noting struct {
	scanlogin.Client
	ticket string
}

func (c *noting) CreateTicket(
	ctx context.Context, req wechatqr.TicketRequest,
) (*wechatqr.Ticket, error) {
	t, err := c.Client.CreateTicket(ctx, req)
	if err == nil {
		c.ticket = t.Value
	}
	return t, err
}

func newUnlimited(
	b *testing.B, client scanlogin.Client, opts ...scanlogin.Option,
) (*scanlogin.Login, *events.Mux) {
	b.Helper()
	const many = 1 << 30
	limits := scanlogin.Limits{PerClient: many, InAll: many, PerDay: many}
	opts = append(opts, scanlogin.WithLimits(limits),
		scanlogin.WithLogger(slog.New(slog.DiscardHandler)))
	l, err := scanlogin.New(client, pageURL, opts...)
	require.NoError(b, err)
	var mux events.Mux
	l.Register(&mux)
	return l, &mux
}

func scanOf(scene, who string) *wechatqr.Event {
	return &wechatqr.Event{
		ToUserName: "gh_1", FromUserName: who, MsgType: "event", CreateTime: time.Now(),
		Type: wechatqr.EventScan, EventKey: scene, Ticket: "gQH",
	}
}

func begin(b *testing.B, l *scanlogin.Login) scanlogin.Visitor {
	b.Helper()
	a, err := l.Begin(b.Context(), scanlogin.Visitor{})
	require.NoError(b, err)
	return scanlogin.Visitor{Secret: a.Secret}
}

// BenchmarkLogin is one login from the code to the number: the steps alone, and with
// the code made by the fake and the push of the scan, encrypted, to the callback.
func BenchmarkLogin(b *testing.B) {
	b.Run("steps", func(b *testing.B) {
		var number string
		client := &instant{}
		login, mux := newUnlimited(b, client,
			scanlogin.WithReply(func(p scanlogin.Prompt) events.Reply {
				number = p.Number
				return nil
			}))
		b.ReportAllocs()
		for b.Loop() {
			v := begin(b, login)
			_, err := mux.Serve(b.Context(), scanOf(client.scene, "o-wang"))
			require.NoError(b, err)
			_, err = login.Confirm(b.Context(), v, number)
			require.NoError(b, err)
		}
	})
	b.Run("fake", func(b *testing.B) {
		wx := wechatqrtest.NewServer()
		defer wx.Close()
		wx.SetQuota(wechatqrtest.Quota{Path: "/cgi-bin/qrcode/create"})
		client := &noting{Client: wx.Client()}
		login, mux := newUnlimited(b, client)
		callback, err := events.NewHandler(wx.CallbackConfig(), mux.Serve)
		require.NoError(b, err)
		wx.ServeCallback(callback)
		b.ReportAllocs()
		for b.Loop() {
			v := begin(b, login)
			push, err := wx.Scan(b.Context(), client.ticket, "")
			require.NoError(b, err)
			_, err = login.Confirm(b.Context(), v, numberIn(push.UserSees()))
			require.NoError(b, err)
		}
	})
}

const browsers = 10000

// BenchmarkWaiting has 10000 browsers wait on streams, in memory. It reports what one
// takes, and how long it is from the push to the browser; "bare" is a server that sends
// an event when it is told to, and does nothing else.
func BenchmarkWaiting(b *testing.B) {
	b.Run("bare", func(b *testing.B) {
		bare := &bareStreams{streams: map[string]chan struct{}{}}
		ids := make([]string, browsers)
		for i := range ids {
			ids[i] = fmt.Sprint(i)
		}
		measureWaiting(b, bare, ids, func(i int) { bare.streams[ids[i]] <- struct{}{} })
	})
	b.Run("login", func(b *testing.B) {
		client := &instant{}
		login, mux := newUnlimited(b, client)
		defer login.Close()
		secrets, scenes := make([]string, browsers), make([]string, browsers)
		for i := range secrets {
			secrets[i] = begin(b, login).Secret
			scenes[i] = client.scene
		}
		h := login.Handler(func(http.ResponseWriter, *http.Request, scanlogin.Result) {})
		measureWaiting(b, h, secrets, func(i int) {
			_, err := mux.Serve(b.Context(), scanOf(scenes[i], "o-wang"))
			require.NoError(b, err)
		})
	})
}

// bareStreams sends each browser an event at first, and one when told to.
type bareStreams struct {
	mu      sync.Mutex
	streams map[string]chan struct{}
}

func (s *bareStreams) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c, _ := r.Cookie("__Host-login-scan")
	told := make(chan struct{}, 1)
	s.mu.Lock()
	s.streams[c.Value] = told
	s.mu.Unlock()
	w.Header().Set("Content-Type", "text/event-stream")
	for range 2 {
		_, _ = io.WriteString(w, "data: {}\n\n")
		_ = http.NewResponseController(w).Flush()
		select {
		case <-told:
		case <-r.Context().Done():
			return
		}
	}
}

// measureWaiting opens the streams of all secrets and pushes to a thousand of them.
func measureWaiting(b *testing.B, h http.Handler, secrets []string, push func(i int)) {
	before := inUse()
	conns := &pipes{accept: make(chan net.Conn)}
	srv := &http.Server{Handler: h}
	go func() { _ = srv.Serve(conns) }()
	defer srv.Close()
	arrived := make([]chan time.Time, len(secrets))
	var opened sync.WaitGroup
	for i, secret := range secrets {
		client, server := net.Pipe()
		defer client.Close()
		conns.accept <- server
		arrived[i] = make(chan time.Time, 1)
		opened.Add(1)
		go read(client, secret, opened.Done, arrived[i])
	}
	opened.Wait()
	memory := inUse() - before

	const pushes = 1000
	var took []time.Duration
	for b.Loop() {
		if took != nil {
			continue // each browser waits once
		}
		for i := range pushes {
			at := i * len(secrets) / pushes
			start := time.Now()
			push(at)
			took = append(took, (<-arrived[at]).Sub(start))
		}
	}
	b.ReportMetric(float64(memory)/float64(len(secrets)), "B/browser")
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "µs-p50")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "µs-p99")
}

// read opens a stream, and tells of the first event and when the second came.
func read(conn net.Conn, secret string, opened func(), arrived chan<- time.Time) {
	_, _ = io.WriteString(conn, "GET /login HTTP/1.1\r\nHost: shop.example\r\n"+
		"Accept: text/event-arriving\r\nCookie: __Host-login-scan="+secret+"\r\n\r\n")
	arriving := bufio.NewReaderSize(conn, 256)
	for lines := 0; lines < 2; {
		line, err := arriving.ReadString('\n')
		if err != nil {
			return
		}
		if !strings.HasPrefix(line, "data: ") {
			continue
		}
		if lines++; lines == 1 {
			opened()
		} else {
			arrived <- time.Now()
		}
	}
}

// inUse is the memory of heap and stacks after a collection.
func inUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}

// pipes is a listener of connections in memory.
type pipes struct {
	accept chan net.Conn
	once   sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	c, ok := <-p.accept
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.accept) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }
