package wechatqr_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	good := wechatqr.Credentials{AppID: "wx0", AppSecret: "s"}
	src := wechatqr.StaticTokenSource("T")
	for _, tt := range []struct {
		name  string
		creds wechatqr.Credentials
		opts  []wechatqr.Option
		want  string // empty: accepted
	}{
		{"good", good, nil, ""},
		{"no AppID", wechatqr.Credentials{AppSecret: "s"}, nil, "AppID is empty"},
		{"no AppSecret", wechatqr.Credentials{AppID: "wx0"}, nil, "AppSecret is empty"},
		{"swapped", wechatqr.Credentials{AppID: "0123456789abcdef0123456789abcdef",
			AppSecret: "wx0123456789abcdef"}, nil, "swapped"},
		{"AppSecret that begins with wx", wechatqr.Credentials{AppID: "wx0", AppSecret: "wx"}, nil,
			""},
		{"tilde in the AppSecret", wechatqr.Credentials{AppID: "wx0", AppSecret: "~"}, nil, ""},
		{"DEL in the AppSecret", wechatqr.Credentials{AppID: "wx0", AppSecret: "s\x7f"}, nil,
			"odd characters"},
		{"line end in the AppSecret", wechatqr.Credentials{AppID: "wx0", AppSecret: "s\n"}, nil,
			"line end"},
		{"space in the AppID", wechatqr.Credentials{AppID: " wx0", AppSecret: "s"}, nil,
			"white space"},
		{"no credentials but a source", wechatqr.Credentials{},
			[]wechatqr.Option{wechatqr.WithTokenSource(src)}, ""},
		{"source and store", good,
			[]wechatqr.Option{wechatqr.WithTokenSource(src), wechatqr.WithTokenStore(noStore{})},
			"StoredTokenSource"},
		{"source and classic", good,
			[]wechatqr.Option{wechatqr.WithTokenSource(src), wechatqr.WithClassicToken()},
			"WithClassicToken"},
		{"classic with a store", good,
			[]wechatqr.Option{wechatqr.WithTokenStore(noStore{}), wechatqr.WithClassicToken()}, ""},
		{"two that are wrong", good,
			[]wechatqr.Option{wechatqr.WithMaxRetries(-1), wechatqr.WithUserAgent("")}, "0 to 10"},
		{"nil option", good, []wechatqr.Option{nil}, "nil Option"},
		{"nil http.Client", good, []wechatqr.Option{wechatqr.WithHTTPClient(nil)},
			"WithHTTPClient(nil)"},
		{"nil source", good, []wechatqr.Option{wechatqr.WithTokenSource(nil)},
			"WithTokenSource(nil)"},
		{"nil store", good, []wechatqr.Option{wechatqr.WithTokenStore(nil)}, "WithTokenStore(nil)"},
		{"nil logger", good, []wechatqr.Option{wechatqr.WithLogger(nil)}, "WithLogger(nil)"},
		{"nil observer", good, []wechatqr.Option{wechatqr.WithObserver(nil)}, "WithObserver(nil)"},
		{"retries -1", good, []wechatqr.Option{wechatqr.WithMaxRetries(-1)}, "0 to 10"},
		{"retries 0", good, []wechatqr.Option{wechatqr.WithMaxRetries(0)}, ""},
		{"retries 10", good, []wechatqr.Option{wechatqr.WithMaxRetries(10)}, ""},
		{"retries 11", good, []wechatqr.Option{wechatqr.WithMaxRetries(11)}, "0 to 10"},
		{"user agent", good, []wechatqr.Option{wechatqr.WithUserAgent("shop/1")}, ""},
		{"user agent of two lines", good, []wechatqr.Option{wechatqr.WithUserAgent("a\r\nX: y")},
			"one non-empty line"},
		{"user agent that net/http would not send", good,
			[]wechatqr.Option{wechatqr.WithUserAgent("a\x01")}, "WithUserAgent"},
		{"no user agent", good, []wechatqr.Option{wechatqr.WithUserAgent("")},
			"one non-empty line"},
		{"endpoint without scheme", good, endpoints("api.weixin.qq.com", ""),
			"https://api.weixin.qq.com"},
		{"endpoint of host and port", good, endpoints("127.0.0.1:8900", ""), "use one like"},
		{"endpoint with another scheme", good, endpoints("ftp://x", ""), `address "ftp://x": use`},
		{"endpoint with user", good, endpoints("https://u:pw@x", ""), "leave user"},
		{"endpoint with query", good, endpoints("https://x?secret=pw", ""), "leave user"},
		{"endpoint with odd password", good, endpoints("https://u:pw%@x", ""), "without a user"},
		{"endpoint with user and no scheme", good, endpoints("u:pw@x", ""), "without a user"},
		{"endpoint that is no URL", good, endpoints("https://x\x7f", ""), "base address"},
		{"endpoint without a host", good, endpoints("https:///a", ""), "use one like"},
		{"endpoint with a fragment", good, endpoints("https://x#a", ""), "leave user, query"},
		{"endpoint with port and path", good, endpoints("http://127.0.0.1:8080/wechat/", ""), ""},
		{"image endpoint without scheme", good, endpoints("", "mp.weixin.qq.com"), "use one like"},
		{"empty endpoint", good, []wechatqr.Option{wechatqr.WithEndpoint(wechatqr.Endpoint{})}, ""},
		{"base URL", good, []wechatqr.Option{wechatqr.WithBaseURL("http://127.0.0.1:8080")}, ""},
		{"no base URL", good, []wechatqr.Option{wechatqr.WithBaseURL("")}, "base address"},
		{"cloud hosting", wechatqr.Credentials{}, []wechatqr.Option{wechatqr.WithCloudHosting()},
			""},
		{"cloud hosting and source", good,
			[]wechatqr.Option{wechatqr.WithCloudHosting(), wechatqr.WithTokenSource(src)},
			"WithCloudHosting"},
		{"cloud hosting and store", good,
			[]wechatqr.Option{wechatqr.WithCloudHosting(), wechatqr.WithTokenStore(noStore{})},
			"WithCloudHosting"},
		{"cloud hosting and classic", good,
			[]wechatqr.Option{wechatqr.WithClassicToken(), wechatqr.WithCloudHosting()},
			"WithCloudHosting"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c, err := wechatqr.New(tt.creds, tt.opts...)
			if tt.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, wechatqr.ErrInvalidArgument)
			assert.ErrorContains(t, err, "wechatqr: new client: ")
			assert.ErrorContains(t, err, tt.want)
			assert.NotContains(t, err.Error(), "pw")
			assert.Nil(t, c)
		})
	}
}

type noStore struct{}

func (noStore) Load(context.Context, string) (wechatqr.Token, error) {
	return wechatqr.Token{}, wechatqr.ErrTokenNotFound
}
func (noStore) Save(context.Context, string, wechatqr.Token, string) error { return nil }
func (noStore) Discard(context.Context, string, string) error              { return nil }

func endpoints(api, image string) []wechatqr.Option {
	e := wechatqr.Endpoint{Image: image}
	if api != "" {
		e.API = []string{api}
	}
	return []wechatqr.Option{wechatqr.WithEndpoint(e)}
}

func TestBasePathAndUserAgent(t *testing.T) {
	t.Parallel()
	var seen []string
	c := withToken(t, func(r *http.Request) (*http.Response, error) {
		seen = append(seen, r.Header.Get("User-Agent")+" "+r.URL.String())
		if strings.Contains(r.URL.Path, "showqrcode") {
			return answer(200, string(jpeg)), nil
		}
		return answer(200, created), nil
	}, wechatqr.WithUserAgent("shop/1"), wechatqr.WithEndpoint(wechatqr.Endpoint{
		API:   []string{"http://127.0.0.1:1/wechat/"},
		Image: "http://127.0.0.1:2/%6dp",
	}))
	_, err := c.CreateTicket(t.Context(), wechatqr.Permanent(wechatqr.SceneID(1)))
	require.NoError(t, err)
	_, err = c.FetchQRCode(t.Context(), "a+b")
	require.NoError(t, err)
	assert.Equal(t, []string{
		"shop/1 http://127.0.0.1:1/wechat/cgi-bin/qrcode/create?access_token=TOKEN",
		"shop/1 http://127.0.0.1:2/mp/cgi-bin/showqrcode?ticket=a%2Bb",
	}, seen)
	assert.Equal(t, "http://127.0.0.1:2/mp/cgi-bin/showqrcode?ticket=a%2Bb", c.QRCodeURL("a+b"))
}

func TestCloudHosting(t *testing.T) {
	t.Parallel()
	for base, opts := range map[string][]wechatqr.Option{
		"http://api.weixin.qq.com": nil,
		"https://x":                {wechatqr.WithBaseURL("https://x")},
		"https://y":                endpoints("https://y", ""),
	} {
		transport := doer(func(r *http.Request) (*http.Response, error) {
			assert.Equal(t, base+"/cgi-bin/qrcode/create", r.URL.String())
			return answer(200, created), nil
		})
		opts = append(opts, wechatqr.WithCloudHosting(),
			wechatqr.WithHTTPClient(&http.Client{Transport: transport}))
		c, err := wechatqr.New(wechatqr.Credentials{}, opts...)
		require.NoError(t, err)
		_, err = c.CreateTicket(t.Context(), wechatqr.Permanent(wechatqr.SceneID(1)))
		require.NoError(t, err)
	}
}

// The http.Client that a user passes belongs to the user.
func TestHTTPClientIsCopied(t *testing.T) {
	t.Parallel()
	mine := &http.Client{Timeout: 50 * time.Millisecond}
	before := *mine
	block := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-block:
		case <-r.Context().Done():
		}
	}))
	defer srv.Close()
	defer close(block)
	c, err := wechatqr.New(wechatqr.Credentials{}, wechatqr.WithCloudHosting(),
		wechatqr.WithHTTPClient(mine),
		endpoints(srv.URL, "")[0], wechatqr.WithMaxRetries(0))
	require.NoError(t, err)
	err = c.Do(t.Context(), wechatqr.Request{Method: "GET", Path: "/x"}, nil)
	require.ErrorIs(t, err, context.DeadlineExceeded, "its Timeout counts")
	var ne net.Error
	require.ErrorAs(t, err, &ne)
	assert.True(t, ne.Timeout())
	assert.Equal(t, before, *mine)
}

func TestDo(t *testing.T) {
	t.Parallel()
	wx := wechatqrtest.Start(t)
	c := wx.Client()
	var quota struct {
		Quota struct {
			DailyLimit int `json:"daily_limit"`
			Remain     int `json:"remain"`
		} `json:"quota"`
	}
	err := c.Do(t.Context(),
		wechatqr.Request{Method: http.MethodPost, Path: "/cgi-bin/openapi/quota/get",
			Body: map[string]string{"cgi_path": "/cgi-bin/qrcode/create"}}, &quota)
	require.NoError(t, err)
	assert.Equal(t, 100_000, quota.Quota.DailyLimit)

	// A lost subscribe push is reconciled by asking WeChat how the user came.
	type userInfo struct {
		Subscribe      int    `json:"subscribe"`
		SubscribeScene string `json:"subscribe_scene"`
		QRScene        uint32 `json:"qr_scene"`
		QRSceneStr     string `json:"qr_scene_str"`
	}
	for _, tt := range []struct {
		openID string
		scene  wechatqr.Scene
		want   userInfo
	}{
		{"o-by-number", wechatqr.SceneID(4294967295),
			userInfo{1, "ADD_SCENE_QR_CODE", 4294967295, ""}},
		{"o-by-text", wechatqr.SceneString("渠道=北京&a<b"),
			userInfo{1, "ADD_SCENE_QR_CODE", 0, "渠道=北京&a<b"}},
	} {
		ticket, err := c.CreateTicket(t.Context(), wechatqr.Temporary(tt.scene, time.Hour))
		require.NoError(t, err)
		wx.ServeCallback(http.NotFoundHandler())
		_, err = wx.Scan(t.Context(), ticket.Value, tt.openID)
		require.Error(t, err, "the push is lost")
		var got userInfo
		err = c.Do(t.Context(), wechatqr.Request{Method: http.MethodGet, Path: "/cgi-bin/user/info",
			Query: url.Values{"openid": {tt.openID}, "lang": {"zh_CN"}}}, &got)
		require.NoError(t, err)
		assert.Equal(t, tt.want, got)
	}

	err = c.Do(t.Context(), wechatqr.Request{Method: http.MethodGet, Path: "/cgi-bin/user/info",
		Query: url.Values{"openid": {"o-nobody"}}}, nil)
	require.ErrorIs(t, err, wechatqr.ErrInvalidArgument)
	assert.ErrorContains(t, err, "wechatqr: GET /cgi-bin/user/info: errcode 40003")
}

func TestDoOnTheWire(t *testing.T) {
	t.Parallel()
	var body, address string
	c := withToken(t, func(r *http.Request) (*http.Response, error) {
		body, address = "", r.Method+" "+r.URL.RequestURI()
		if r.Body != nil {
			b, _ := io.ReadAll(r.Body)
			body = string(b)
		}
		return answer(200, `{"errcode":0,"errmsg":"ok","n":7,"errcodes":"x"}`), nil
	})
	var out struct{ N int }
	require.NoError(t, c.Do(t.Context(),
		wechatqr.Request{Method: "POST", Path: "/a", Query: url.Values{"k": {"ü&="}},
			Body: map[string]any{
				"s": "<a&b>\u2028\u2029\\u2028 \\\u2028", "n": int64(1 << 53),
			}}, &out))
	assert.Equal(t, 7, out.N)
	assert.Equal(t, "POST /a?access_token=TOKEN&k=%C3%BC%26%3D", address)
	assert.Equal(t, `{"n":9007199254740992,"s":"<a&b>`+"\u2028\u2029"+`\\u2028 \\`+"\u2028"+`"}`,
		body)

	require.NoError(t, c.Do(t.Context(),
		wechatqr.Request{Method: "POST", Path: "/a",
			Body: map[string]any{"scene": wechatqr.SceneString("a&b<c")}}, nil))
	assert.Equal(t, `{"scene":{"scene_str":"a&b<c"}}`, body)

	var raw json.RawMessage
	require.NoError(t, c.Do(t.Context(), wechatqr.Request{Method: "GET", Path: "/a"}, &raw))
	assert.Equal(t, "GET /a?access_token=TOKEN", address)
	assert.Empty(t, body, "nil is no JSON null")
	assert.Contains(t, string(raw), `"errcodes"`)
	require.NoError(t, c.Do(t.Context(), wechatqr.Request{Method: "AZ", Path: "/a"}, nil),
		"any capitals")
	require.NoError(t, c.Do(t.Context(), wechatqr.Request{Method: "GET", Path: "/a"}, nil))

	for name, err := range map[string]error{
		"odd method": c.Do(t.Context(), wechatqr.Request{Method: "GE T", Path: "/a"}, nil),
		"no method":  c.Do(t.Context(), wechatqr.Request{Path: "/a"}, nil),
		"no slash":   c.Do(t.Context(), wechatqr.Request{Method: "GET", Path: "a"}, nil),
		"empty path": c.Do(t.Context(), wechatqr.Request{Method: "GET", Path: ""}, nil),
		"another host": c.Do(t.Context(),
			wechatqr.Request{Method: "GET", Path: "https://evil.example/a"}, nil),
		"query in path": c.Do(t.Context(),
			wechatqr.Request{Method: "GET", Path: "/a?access_token=SECRET"}, nil),
		"own token": c.Do(t.Context(),
			wechatqr.Request{Method: "GET", Path: "/a",
				Query: url.Values{"access_token": {"SECRET"}}}, nil),
		"no pointer": c.Do(t.Context(), wechatqr.Request{Method: "POST", Path: "/a"},
			struct{}{}),
		"nil pointer": c.Do(t.Context(), wechatqr.Request{Method: "POST", Path: "/a"},
			(*struct{})(nil)),
		"bytes": c.Do(t.Context(),
			wechatqr.Request{Method: "POST", Path: "/a", Body: []byte("{}")}, nil),
		"lower case": c.Do(t.Context(), wechatqr.Request{Method: "post", Path: "/a"}, nil),
		"no JSON": c.Do(t.Context(),
			wechatqr.Request{Method: "POST", Path: "/a", Body: make(chan int)}, nil),
	} {
		require.ErrorIs(t, err, wechatqr.ErrInvalidArgument, name)
		assert.NotContains(t, err.Error(), "SECRET", name)
	}
}

// unsent fails as a transport does that gets no connection.
func unsent(err error) doer {
	return func(r *http.Request) (*http.Response, error) {
		httptrace.ContextClientTrace(r.Context()).GetConn(r.URL.Host)
		return nil, err
	}
}

func TestDoRepeatsOnlyWhatItMay(t *testing.T) {
	t.Parallel()
	errcode := func(code int) doer {
		return func(*http.Request) (*http.Response, error) {
			return answer(200, fmt.Sprintf(`{"errcode":%d}`, code)), nil
		}
	}
	broken := func(err error) doer {
		return func(*http.Request) (*http.Response, error) { return nil, err }
	}
	opError := func(op string) error { return &net.OpError{Op: op, Err: errors.New("refused")} }
	for _, tt := range []struct {
		name      string
		f         doer
		get, post int64
		kinds     []error // of the POST
	}{
		{"broken", broken(io.ErrUnexpectedEOF), 3, 1, []error{wechatqr.ErrOutcomeUnknown}},
		{"503", func(*http.Request) (*http.Response, error) { return answer(503, ""), nil }, 3, 1,
			[]error{wechatqr.ErrOutcomeUnknown}},
		{"busy", errcode(-1), 3, 1, []error{wechatqr.ErrBusy, wechatqr.ErrOutcomeUnknown}},
		{"busy too", errcode(268487002), 3, 1,
			[]error{wechatqr.ErrBusy, wechatqr.ErrOutcomeUnknown}},
		{"not sent", unsent(opError("dial")), 3, 3, nil},
		{"no proxy", unsent(opError("proxyconnect")), 3, 3, nil},
		{"certificate", unsent(&tls.CertificateVerificationError{Err: errors.New("expired")}), 3, 3,
			nil},
		{"an error of a dialer's own", unsent(errors.New("no")), 3, 3, nil},
		{"a dial error of a transport without hooks", broken(opError("dial")), 3, 1,
			[]error{wechatqr.ErrOutcomeUnknown}},
		{"no permission", errcode(48001), 1, 1, []error{wechatqr.ErrNotPermitted}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for _, req := range []wechatqr.Request{{Method: "GET"}, {Method: "POST"},
					{Method: "POST", Idempotent: true}} {
					want := tt.get
					once := req.Method == "POST" && !req.Idempotent
					if once {
						want = tt.post
					}
					var calls atomic.Int64
					c := withToken(t, func(r *http.Request) (*http.Response, error) {
						calls.Add(1)
						return tt.f(r)
					})
					req.Path = "/a"
					err := c.Do(t.Context(), req, nil)
					require.Error(t, err)
					assert.Equal(t, want, calls.Load(), req)
					for _, kind := range []error{wechatqr.ErrBusy, wechatqr.ErrOutcomeUnknown,
						wechatqr.ErrNotPermitted} {
						if once {
							assert.Equal(t, slices.Contains(tt.kinds, kind), errors.Is(err, kind),
								"%v: %v", kind, err)
						}
					}
					assert.False(t, !once && errors.Is(err, wechatqr.ErrOutcomeUnknown), err)
				}
			})
		})
	}
}

func TestRetryStaysInsideTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		c := withToken(t, func(*http.Request) (*http.Response, error) {
			calls.Add(1)
			return answer(200, `{"errcode":-1,"errmsg":"system error"}`), nil
		}, wechatqr.WithMaxRetries(10))
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := c.CreateTicket(ctx, wechatqr.Permanent(wechatqr.SceneID(1)))
		require.ErrorIs(t, err, wechatqr.ErrBusy,
			"the answer is worth more than 'deadline exceeded'")
		require.NotErrorIs(t, err, wechatqr.ErrOutcomeUnknown)
		require.NotErrorIs(t, err, context.Canceled)
		assert.Less(t, time.Since(start), time.Second,
			"a pause that would outlast the context is not begun")
		assert.Greater(t, calls.Load(), int64(1))

		calls.Store(0)
		start = time.Now()
		ctx, cancel = context.WithCancel(t.Context())
		time.AfterFunc(50*time.Millisecond, cancel)
		_, err = c.CreateTicket(ctx, wechatqr.Permanent(wechatqr.SceneID(1)))
		require.ErrorIs(t, err, wechatqr.ErrBusy)
		require.ErrorIs(t, err, context.Canceled, "and why it was not repeated")
		assert.Equal(t, 50*time.Millisecond, time.Since(start))
		assert.EqualValues(t, 1, calls.Load())
	})
}

// hangs marks a context whose requests get no response.
type hangs struct{}

// twoHosts is a client of two hosts that can be down, and what its calls met.
type twoHosts struct {
	client *wechatqr.Client
	down   map[string]doer
	seen   []string
}

const hostA, hostB = "api.weixin.qq.com", "api2.weixin.qq.com"

func newTwoHosts(t *testing.T, opts ...wechatqr.Option) *twoHosts {
	h := &twoHosts{down: map[string]doer{}}
	h.client = withToken(t, func(r *http.Request) (*http.Response, error) {
		h.seen = append(h.seen, r.URL.Host)
		if r.Context().Value(hangs{}) != nil {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}
		if f := h.down[r.URL.Host]; f != nil {
			return f(r)
		}
		return answer(200, created), nil
	}, opts...)
	return h
}

var (
	lasting  = wechatqr.Permanent(wechatqr.SceneID(1))
	harmless = wechatqr.Temporary(wechatqr.SceneID(1), time.Hour)
)

func (h *twoHosts) create(t *testing.T, req wechatqr.TicketRequest) ([]string, error) {
	h.seen = nil
	_, err := h.client.CreateTicket(t.Context(), req)
	return h.seen, err
}

func (h *twoHosts) mustMeet(t *testing.T, req wechatqr.TicketRequest, want ...string) {
	t.Helper()
	got, err := h.create(t, req)
	require.NoError(t, err)
	require.Equal(t, want, got)
}

// A host that refuses, resets, answers 5xx or gives no connection is left for
// the other at once, and stays left until one call finds it well again.
func TestNextHost(t *testing.T) {
	noRoute := unsent(errors.New("no route to host"))
	for name, fault := range map[string]doer{
		"no connection": noRoute,
		"reset": func(*http.Request) (*http.Response, error) {
			return nil,
				errors.New("connection reset by peer")
		},
		"HTTP 502": func(*http.Request) (*http.Response, error) {
			return answer(502, "<html>"),
				nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newTwoHosts(t)
				h.mustMeet(t, lasting, hostA)
				h.down[hostA] = fault
				start := time.Now()
				h.mustMeet(t, lasting, hostA, hostB)
				assert.Zero(t, time.Since(start), "the next host is tried at once")
				h.mustMeet(t, harmless, hostB)

				time.Sleep(time.Minute)
				h.mustMeet(t, harmless, hostB)
				time.Sleep(time.Nanosecond)
				h.mustMeet(t, lasting, hostB)
				h.mustMeet(t, harmless, hostA, hostB)
				h.mustMeet(t, harmless, hostB)

				time.Sleep(time.Minute + time.Nanosecond)
				delete(h.down, hostA)
				h.mustMeet(t, lasting, hostB)
				h.mustMeet(t, harmless, hostA)
				h.mustMeet(t, lasting, hostA)

				h.down[hostA], h.down[hostB] = noRoute, noRoute
				got, err := h.create(t, lasting)
				require.ErrorContains(t, err, "no route to host")
				require.NotErrorIs(t, err, wechatqr.ErrOutcomeUnknown)
				assert.Equal(t, []string{hostA, hostB, hostA}, got)
			})
		})
	}
}

// While the one call that may try the first host again waits there, the others
// stay where they are.
func TestOneCallTriesTheFirstHostAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTwoHosts(t)
		h.down[hostA] = unsent(errors.New("no route to host"))
		h.mustMeet(t, harmless, hostA, hostB)
		time.Sleep(time.Minute + time.Nanosecond)

		back := make(chan struct{})
		h.down[hostA] = func(*http.Request) (*http.Response, error) {
			<-back
			return answer(200, created), nil
		}
		done := make(chan error)
		go func() {
			_, err := h.client.CreateTicket(t.Context(), harmless)
			done <- err
		}()
		synctest.Wait()
		h.mustMeet(t, harmless, hostB)
		h.mustMeet(t, harmless, hostB)
		close(back)
		require.NoError(t, <-done)
		h.mustMeet(t, harmless, hostA)
	})
}

// What the call at the first host meets there decides whether the others come
// back to it.
func TestOnlyAResponseOfWeChatBringsTheFirstHostBack(t *testing.T) {
	respond := func(status int, body string) doer {
		return func(*http.Request) (*http.Response, error) { return answer(status, body), nil }
	}
	for _, tt := range []struct {
		name  string
		meets doer
		next  string
	}{
		{"success", respond(200, created), hostA},
		{"a refusal", respond(200, `{"errcode":40013}`), hostA},
		{"busy", respond(200, `{"errcode":-1}`), hostA},
		{"a login page", respond(200, "<html>"), hostB},
		{"a short deadline", func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}, hostB},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newTwoHosts(t, wechatqr.WithMaxRetries(1))
				h.down[hostA] = unsent(errors.New("no route to host"))
				h.mustMeet(t, harmless, hostA, hostB)
				time.Sleep(time.Minute + time.Nanosecond)

				h.down[hostA] = tt.meets
				ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
				_, _ = h.client.CreateTicket(ctx, harmless)
				cancel()
				require.Equal(t, hostA, h.seen[len(h.seen)-1])
				delete(h.down, hostA)
				h.mustMeet(t, harmless, tt.next)
			})
		})
	}
}

// A call whose ctx has ended says what it met, not that the next host was not
// asked.
func TestNoNextHostAfterTheEndOfTheContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	h := newTwoHosts(t)
	h.down[hostA] = func(*http.Request) (*http.Response, error) {
		cancel()
		return answer(502, "<html>"), nil
	}
	_, err := h.client.CreateTicket(ctx, harmless)
	require.ErrorIs(t, err, wechatqr.ErrBusy)
	assert.Equal(t, []string{hostA}, h.seen)
}

// A read that could not be repeated in time is no question of what was carried out.
func TestIdempotentWithoutTimeToRepeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		c := withToken(t, func(*http.Request) (*http.Response,
			error) {
			return answer(502, "<html>"), nil
		},
			wechatqr.WithBaseURL("http://a.invalid"))
		for unknown, req := range map[bool]wechatqr.TicketRequest{false: harmless, true: lasting} {
			_, err := c.CreateTicket(ctx, req)
			require.ErrorContains(t, err, "HTTP 502")
			assert.Equal(t, unknown, errors.Is(err, wechatqr.ErrOutcomeUnknown), err)
		}
	})
}

// A host that hangs is left after half a second; a caller with less time, or
// one that goes away, does not mean that it is down.
func TestHangingHostIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTwoHosts(t)
		hang := context.WithValue(t.Context(), hangs{}, true)
		for _, tt := range []struct {
			deadline time.Duration
			next     string
		}{
			{0, hostA}, {10 * time.Millisecond, hostA}, {500*time.Millisecond - 1,
				hostA}, {500 * time.Millisecond, hostB},
		} {
			ctx, cancel := context.WithTimeout(hang, tt.deadline)
			_, err := h.client.CreateTicket(ctx, lasting)
			cancel()
			require.ErrorIs(t, err, context.DeadlineExceeded)
			assert.Equal(t, tt.deadline > 0, errors.Is(err, wechatqr.ErrOutcomeUnknown), "%v: %v",
				tt.deadline, err)
			h.mustMeet(t, lasting, tt.next)
			time.Sleep(time.Minute + time.Nanosecond)
		}
		h.mustMeet(t, harmless, hostA)

		ctx, cancel := context.WithCancel(hang)
		time.AfterFunc(5*time.Second, cancel)
		_, err := h.client.CreateTicket(ctx, lasting)
		require.ErrorIs(t, err, context.Canceled)
		h.mustMeet(t, lasting, hostA)
	})
}

// canned is a connection whose other end sends the response, as it stands, to
// every request.
func canned(response string) net.Conn {
	client, server := net.Pipe()
	go func() {
		defer server.Close()
		for in := bufio.NewReader(server); ; {
			r, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, r.Body)
			if _, err := io.WriteString(server, response); err != nil {
				return
			}
		}
	}()
	return client
}

func withLength(body string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

// Without a connection in time the next host is asked, with time left for it.
func TestNoConnectionInTime(t *testing.T) {
	dial := func(ctx context.Context, _, address string) (net.Conn, error) {
		if address == "a.invalid:80" {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return canned(withLength(created)), nil
	}
	for _, tt := range []struct{ deadline, wait, next time.Duration }{
		{24 * time.Hour, 3 * time.Second, 0}, // then the host is left
		{time.Minute, 3 * time.Second, 0},
		{0, 3 * time.Second, 0}, // no deadline
		{5 * time.Second, 2500 * time.Millisecond, 0},
		{900 * time.Millisecond, 450 * time.Millisecond, 0},
		{500 * time.Millisecond, 250 * time.Millisecond, 0},
		// Too short to tell.
		{498 * time.Millisecond, 249 * time.Millisecond, 249 * time.Millisecond},
	} {
		synctest.Test(t, func(t *testing.T) {
			transport := &http.Transport{DialContext: dial}
			defer transport.CloseIdleConnections()
			c := withToken(t, nil, wechatqr.WithHTTPClient(&http.Client{Transport: transport}),
				wechatqr.WithEndpoint(wechatqr.Endpoint{API: []string{"http://a.invalid",
					"http://b.invalid"}}))
			for _, want := range []time.Duration{tt.wait, tt.next} {
				ctx, cancel := context.WithCancel(t.Context())
				if tt.deadline > 0 {
					ctx, cancel = context.WithTimeout(ctx, tt.deadline)
				}
				start := time.Now()
				err := c.Do(ctx, post, nil) // which has not been sent to the first host
				cancel()
				require.NoError(t, err)
				assert.Equal(t, want, time.Since(start))
			}
		})
	}
}

// Where no other host will be asked, a connection has the whole time.
func TestSlowConnectionOfTheLastHost(t *testing.T) {
	const slow = 7 * time.Second
	dial := func(context.Context, string, string) (net.Conn, error) {
		time.Sleep(slow)
		return canned(withLength(created)), nil
	}
	for name, opts := range map[string][]wechatqr.Option{
		"one host": {wechatqr.WithBaseURL("http://a.invalid")},
		"last attempt": {wechatqr.WithMaxRetries(0),
			wechatqr.WithEndpoint(wechatqr.Endpoint{API: []string{"http://a.invalid",
				"http://b.invalid"}})},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				transport := &http.Transport{DialContext: dial}
				defer transport.CloseIdleConnections()
				c := withToken(t, nil, append(opts,
					wechatqr.WithHTTPClient(&http.Client{Transport: transport}))...)
				start := time.Now()
				require.NoError(t, c.Do(t.Context(), post, nil))
				assert.Equal(t, slow, time.Since(start))
			})
		})
	}
}

// A host that takes the request and is silent has 10 s, also where another could be asked.
func TestSilentHostWithAnother(t *testing.T) {
	for name, connects := range map[string]time.Duration{
		"at once": 0, "connects just in time": 3*time.Second - 1,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				c := withToken(t, func(r *http.Request) (*http.Response, error) {
					if r.URL.Host == "b" {
						return answer(200, created), nil
					}
					trace := httptrace.ContextClientTrace(r.Context())
					trace.GetConn(r.URL.Host)
					time.Sleep(connects)
					trace.GotConn(httptrace.GotConnInfo{})
					<-r.Context().Done()
					return nil, context.Cause(r.Context())
				}, wechatqr.WithEndpoint(wechatqr.Endpoint{API: []string{"http://a", "http://b"}}))
				get := wechatqr.Request{Method: "GET", Path: "/a"}
				require.NoError(t, c.Do(t.Context(), get, nil))
				assert.Equal(t, 10*time.Second, time.Since(start))
			})
		})
	}
}

// Pauses double up to 5 s: ten retries take less than a minute.
func TestPausesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Time
		c := withToken(t, func(*http.Request) (*http.Response, error) {
			at = append(at, time.Now())
			return answer(200, `{"errcode":-1}`), nil
		}, wechatqr.WithMaxRetries(10))
		_, err := c.CreateTicket(t.Context(), lasting)
		require.ErrorIs(t, err, wechatqr.ErrBusy)
		require.Len(t, at, 11)
		want := 200 * time.Millisecond
		for i := range at[1:] {
			pause := at[i+1].Sub(at[i])
			assert.GreaterOrEqual(t, pause, want/2, i)
			assert.LessOrEqual(t, pause, want, i)
			want = min(2*want, 5*time.Second)
		}
	})
}

// There is no pause before all hosts have failed, and one after that.
func TestAllHostsFailBeforeAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var hosts []string
		var at []time.Duration
		c := withToken(t, func(r *http.Request) (*http.Response, error) {
			hosts, at = append(hosts, r.URL.Host), append(at, time.Since(start))
			return answer(502, "down"), nil
		}, wechatqr.WithMaxRetries(5),
			wechatqr.WithEndpoint(wechatqr.Endpoint{API: []string{"http://a", "http://b"}}))
		err := c.Do(t.Context(), wechatqr.Request{Method: "GET", Path: "/a"}, nil)
		require.ErrorIs(t, err, wechatqr.ErrBusy)
		assert.Equal(t, []string{"a", "b", "a", "b", "a", "b"}, hosts)
		for i := 0; i < len(at); i += 2 {
			assert.Equal(t, at[i], at[i+1], "%v", at)
			assert.True(t, i == 0 || at[i] > at[i-1], "%v", at)
		}
	})
}

// What an attempt holds is let go when it has ended, and not when its time would be over.
func TestAttemptEndsItsContext(t *testing.T) {
	t.Parallel()
	var asked context.Context
	c := withToken(t, func(r *http.Request) (*http.Response, error) {
		asked = r.Context()
		require.NoError(t, asked.Err())
		return answer(200, created), nil
	})
	_, err := c.CreateTicket(t.Context(), lasting)
	require.NoError(t, err)
	require.ErrorIs(t, asked.Err(), context.Canceled)
}

// Each refusal of a token costs one renewal and one repetition with the same
// body, over HTTP/1 and HTTP/2.
func TestRefusedToken(t *testing.T) {
	t.Parallel()
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		for _, code := range []int{40001, 40014, 42001} {
			t.Run(fmt.Sprint(proto, " ", code), func(t *testing.T) {
				t.Parallel()
				wx := wechatqrtest.NewServer(wechatqrtest.WithOrigin("https://fake"))
				defer wx.Close()
				var bodies []string
				srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter,
					r *http.Request) {
					assert.Equal(t, proto, r.Proto)
					if strings.HasSuffix(r.URL.Path, "/create") {
						b, _ := io.ReadAll(r.Body)
						bodies = append(bodies, string(b))
						r.Body = io.NopCloser(strings.NewReader(string(b)))
					}
					wx.ServeHTTP(w, r)
				}))
				srv.EnableHTTP2 = proto == "HTTP/2.0"
				srv.StartTLS()
				defer srv.Close()
				c, err := wechatqr.New(wx.Credentials(), wechatqr.WithHTTPClient(srv.Client()),
					endpoints(srv.URL, "")[0])
				require.NoError(t, err)
				create := func() error {
					_, err := c.CreateTicket(t.Context(),
						wechatqr.Permanent(wechatqr.SceneString("同")))
					return err
				}
				require.NoError(t, create())
				wx.RevokeTokens()
				wx.Inject(wechatqrtest.Fault{Path: "/cgi-bin/qrcode/create",
					Code: wechatqr.ErrorCode(code), Times: 1})
				require.NoError(t, create())
				assert.Equal(t, 2, wx.Count("/cgi-bin/stable_token"))
				require.Len(t, bodies, 3)
				assert.Equal(t, bodies[1], bodies[2])
				assert.Equal(t,
					`{"action_name": "QR_LIMIT_STR_SCENE", "action_info": {"scene": {"scene_str": "同"}}}`,
					bodies[2])
			})
		}
	}
}

func TestRefusedTokenEnds(t *testing.T) {
	t.Parallel()
	t.Run("the new one is refused too", func(t *testing.T) {
		t.Parallel()
		wx := wechatqrtest.Start(t)
		wx.Inject(wechatqrtest.Fault{Path: "/cgi-bin/qrcode/create", Code: 40001})
		c := wx.Client(wechatqr.WithClassicToken())
		_, err := c.CreateTicket(t.Context(), wechatqr.Permanent(wechatqr.SceneID(1)))
		require.ErrorIs(t, err, wechatqr.ErrTokenRejected)
		assert.Equal(t, 2, wx.Count("/cgi-bin/qrcode/create"))
		assert.Equal(t, 2, wx.Count("/cgi-bin/token"))
	})
	t.Run("renewal gives the refused one again", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			wx := wechatqrtest.Start(t, wechatqrtest.WithoutNetwork())
			wx.Inject(wechatqrtest.Fault{Path: "/cgi-bin/user/get", Code: 40014})
			c := wx.Client() // the stable endpoint answers with the same token
			for range 10 {
				err := c.Do(t.Context(),
					wechatqr.Request{Method: http.MethodGet, Path: "/cgi-bin/user/get"}, nil)
				require.ErrorIs(t, err, wechatqr.ErrTokenRejected)
				require.ErrorContains(t, err, "the source gave the same one")
				_, err = c.CreateTicket(t.Context(), wechatqr.Permanent(wechatqr.SceneID(1)))
				require.NoError(t, err, "another API goes on")
			}
			assert.Equal(t, 10, wx.Count("/cgi-bin/user/get"), "not repeated with the same token")
			assert.Equal(t, 1+10, wx.Count("/cgi-bin/stable_token"),
				"asked once about each refusal")
		})
	})
	t.Run("renewal fails", func(t *testing.T) {
		t.Parallel()
		wx := wechatqrtest.Start(t)
		c := wx.Client()
		_, err := c.CreateTicket(t.Context(), wechatqr.Permanent(wechatqr.SceneID(1)))
		require.NoError(t, err)
		wx.RevokeTokens()
		wx.Inject(wechatqrtest.Fault{Path: "/cgi-bin/stable_token", Code: 40164})
		_, err = c.CreateTicket(t.Context(), wechatqr.Permanent(wechatqr.SceneID(1)))
		require.ErrorIs(t, err, wechatqr.ErrIPNotAllowed)
		require.ErrorIs(t, err, wechatqr.ErrTokenRejected, "both halves are told")
	})
	for _, code := range []int{48001, 40164} {
		t.Run(fmt.Sprintf("%d is no matter of the token", code), func(t *testing.T) {
			t.Parallel()
			wx := wechatqrtest.Start(t)
			wx.Inject(wechatqrtest.Fault{Path: "/cgi-bin/qrcode/create",
				Code: wechatqr.ErrorCode(code)})
			_, err := wx.Client().CreateTicket(t.Context(), wechatqr.Permanent(wechatqr.SceneID(1)))
			require.Error(t, err)
			assert.Equal(t, 1, wx.Count("/cgi-bin/qrcode/create"))
			assert.Equal(t, 1, wx.Count("/cgi-bin/stable_token"))
		})
	}
}

// directly is a transport to wx without a network, for tests of many callers.
func directly(wx *wechatqrtest.Server) wechatqr.Option {
	return wechatqr.WithHTTPClient(&http.Client{Timeout: time.Minute,
		Transport: doer(func(r *http.Request) (*http.Response, error) {
			if r.Body == nil {
				r.Body = http.NoBody
			}
			w := httptest.NewRecorder()
			wx.ServeHTTP(w, r)
			return w.Result(), nil
		})})
}

// The tokens are revoked while 1,000 goroutines make codes.
func TestRevokedUnderLoad(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string][]wechatqr.Option{
		"stable":  nil,
		"classic": {wechatqr.WithClassicToken()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wx := wechatqrtest.Start(t)
			c := wx.Client(append(opts, directly(wx))...)
			var wg sync.WaitGroup
			var made atomic.Int64
			for i := range 1000 {
				wg.Go(func() {
					for range 3 {
						_, err := c.CreateTicket(t.Context(),
							wechatqr.Temporary(wechatqr.SceneID(uint32(i+1)), time.Hour))
						assert.NoError(t, err)
						if made.Add(1) == 1000 {
							wx.RevokeTokens()
						}
					}
				})
			}
			wg.Wait()
			assert.Equal(t, 2, wx.Count("/cgi-bin/stable_token")+wx.Count("/cgi-bin/token"),
				"one token, one renewal")
			assert.Equal(t, 3000, len(wx.QRCodes()))
		})
	}
}

func TestColdHerd(t *testing.T) {
	t.Parallel()
	wx := wechatqrtest.Start(t)
	wx.Inject(wechatqrtest.Fault{Path: "/cgi-bin/stable_token", Delay: 100 * time.Millisecond})
	c := wx.Client(directly(wx))
	var wg sync.WaitGroup
	for i := range 1000 {
		wg.Go(func() {
			_, err := c.CreateTicket(t.Context(),
				wechatqr.Temporary(wechatqr.SceneID(uint32(i+1)), time.Hour))
			assert.NoError(t, err)
		})
	}
	wg.Wait()
	assert.Equal(t, 1, wx.Count("/cgi-bin/stable_token"))
}

func TestConnectionsAreKept(t *testing.T) {
	t.Parallel()
	// A dial may be under way when a connection comes free; on a machine at rest
	// the count is 64, see BenchmarkConnections.
	assert.Less(t, connectionsFor(t, 3200, 64), 4*64)
}

// connectionsFor makes codes, so many at once, and counts the connections.
func connectionsFor(tb testing.TB, codes, atOnce int) int {
	tb.Helper()
	var opened atomic.Int64
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter,
		_ *http.Request) {
		time.Sleep(2 * time.Millisecond)
		_, _ = io.WriteString(w, created)
	}))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			opened.Add(1)
		}
	}
	srv.Start()
	defer srv.Close()
	c, err := wechatqr.New(wechatqr.Credentials{},
		wechatqr.WithTokenSource(wechatqr.StaticTokenSource("T")), endpoints(srv.URL, "")[0])
	require.NoError(tb, err)
	var wg sync.WaitGroup
	for range atOnce {
		wg.Go(func() {
			for range codes / atOnce {
				_, err := c.CreateTicket(tb.Context(),
					wechatqr.Temporary(wechatqr.SceneID(1), time.Hour))
				assert.NoError(tb, err)
			}
		})
	}
	wg.Wait()
	return int(opened.Load())
}

// A request goes out in one piece: two writes are two system calls, and often
// two packets.
func TestOneWriteForARequest(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, created)
	}))
	defer srv.Close()
	var writes atomic.Int64
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		return countedConn{conn, &writes}, err
	}
	c, err := wechatqr.New(wechatqr.Credentials{},
		wechatqr.WithTokenSource(wechatqr.StaticTokenSource("T")), endpoints(srv.URL, "")[0],
		wechatqr.WithHTTPClient(&http.Client{Transport: &http.Transport{DialContext: dial}}))
	require.NoError(t, err)
	for range 10 {
		_, err := c.CreateTicket(t.Context(), wechatqr.Permanent(wechatqr.SceneID(1)))
		require.NoError(t, err)
	}
	assert.EqualValues(t, 10, writes.Load())
}

// countedConn counts its writes.
type countedConn struct {
	net.Conn
	writes *atomic.Int64
}

func (c countedConn) Write(b []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(b)
}

// A request can be sent anew by the transport, as HTTP/2 asks for at times.
func TestGetBody(t *testing.T) {
	t.Parallel()
	c := withToken(t, func(r *http.Request) (*http.Response, error) {
		first, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		for range 2 {
			body, err := r.GetBody()
			assert.NoError(t, err)
			again, err := io.ReadAll(body)
			assert.NoError(t, err)
			assert.Equal(t, string(first), string(again))
		}
		return answer(200, created), nil
	})
	_, err := c.CreateTicket(t.Context(), wechatqr.Permanent(wechatqr.SceneID(1)))
	require.NoError(t, err)
}

func TestOddRoundTrippers(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]doer{
		"neither a response nor an error": func(*http.Request) (*http.Response, error) {
			return nil,
				nil
		},
		"an empty body": func(*http.Request) (*http.Response,
			error) {
			return &http.Response{StatusCode: 200}, nil
		},
		"unexpected response": func(*http.Request) (*http.Response,
			error) {
			return &http.Response{}, nil
		},
	} {
		c := withToken(t, f, wechatqr.WithMaxRetries(0))
		_, err := c.CreateTicket(t.Context(), wechatqr.Permanent(wechatqr.SceneID(1)))
		require.ErrorContains(t, err, name)
	}
}

// The request's own timeout says so, over HTTP/2 too; the caller's does not.
func TestTimeoutsSayWhose(t *testing.T) {
	t.Parallel()
	for _, h2 := range []bool{false, true} {
		block := make(chan struct{}) // a handler that ends with its request may respond to it yet
		srv := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter,
			r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			<-block
		}))
		srv.EnableHTTP2 = h2
		srv.StartTLS()
		defer srv.Close()
		defer close(block)
		send := func(ctx context.Context, timeout time.Duration) error {
			hc := srv.Client()
			hc.Timeout = timeout
			c, err := wechatqr.New(wechatqr.Credentials{}, wechatqr.WithCloudHosting(),
				wechatqr.WithHTTPClient(hc),
				endpoints(srv.URL, "")[0], wechatqr.WithMaxRetries(0))
			require.NoError(t, err)
			req := wechatqr.Request{Method: "POST", Path: "/a", Body: struct{}{}}
			return c.Do(ctx, req, nil)
		}
		err := send(t.Context(), 2*time.Second) // the handshake too takes its time
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.ErrorContains(t, err, "no response within 2s")

		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		err = send(ctx, time.Hour)
		cancel()
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.NotContains(t, err.Error(), "no response within")
	}
}

func TestObserverAndLogger(t *testing.T) {
	t.Parallel()
	wx := wechatqrtest.Start(t)
	var mu sync.Mutex
	var calls []wechatqr.Call
	var log strings.Builder
	c := wx.Client(wechatqr.WithObserver(func(ctx context.Context, call wechatqr.Call) {
		mu.Lock()
		defer mu.Unlock()
		assert.NotNil(t, ctx)
		calls = append(calls, call)
	}), wechatqr.WithLogger(slog.New(slog.NewTextHandler(&log,
		&slog.HandlerOptions{Level: slog.LevelDebug}))))
	wx.Inject(wechatqrtest.Fault{Path: "/cgi-bin/qrcode/create", Code: -1, Times: 1})
	_, err := c.CreateTicket(t.Context(), wechatqr.Permanent(wechatqr.SceneID(1)))
	require.NoError(t, err)
	require.Len(t, calls, 3)
	assert.Equal(t, "get token", calls[0].Op)
	assert.Equal(t, wx.URL()+"/cgi-bin/stable_token", calls[0].URL)
	assert.Equal(t, wechatqr.ErrorCode(-1), calls[1].Code)
	assert.NotEmpty(t, calls[1].RequestID)
	assert.ErrorIs(t, calls[1].Err, wechatqr.ErrBusy)
	assert.Equal(t, 2, calls[2].Attempt)
	assert.Equal(t, 200, calls[2].StatusCode)
	assert.NoError(t, calls[2].Err)
	assert.Positive(t, calls[2].Duration)
	assert.Equal(t, 3, strings.Count(log.String(), "wechatqr: request"))
	assert.NotContains(t, log.String(), "panicked")
}

// An observer may hand the error on to another goroutine.
func TestObserversErrorIsNotChanged(t *testing.T) {
	t.Parallel()
	var seen error
	text := ""
	observe := func(_ context.Context, call wechatqr.Call) {
		seen, text = call.Err, call.Err.Error()
	}
	c := withToken(t, func(*http.Request) (*http.Response, error) {
		return answer(503, ""), nil
	}, wechatqr.WithObserver(observe))
	err := c.Do(t.Context(), wechatqr.Request{Method: "POST", Path: "/a"}, nil)
	require.ErrorIs(t, err, wechatqr.ErrOutcomeUnknown)
	require.NotErrorIs(t, seen, wechatqr.ErrOutcomeUnknown)
	assert.Equal(t, text, seen.Error())
}

// panickingHandler is a log handler with a fault.
type panickingHandler struct{ slog.Handler }

func (panickingHandler) Handle(context.Context, slog.Record) error { panic("handler") }

// disabledHandler fails at the first question.
type disabledHandler struct{ slog.Handler }

func (disabledHandler) Enabled(context.Context, slog.Level) bool { panic("enabled") }

// What is broken in an observer or a log handler takes no token and no ticket
// from anybody.
func TestPanicOfObserverOrLogger(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	for name, opt := range map[string]wechatqr.Option{
		"observer": wechatqr.WithObserver(func(context.Context,
			wechatqr.Call) {
			panic("observer")
		}),
		"logger": wechatqr.WithLogger(slog.New(panickingHandler{slog.NewTextHandler(&log,
			&slog.HandlerOptions{Level: slog.LevelDebug})})),
		"level of the logger": wechatqr.WithLogger(slog.New(disabledHandler{})),
	} {
		t.Run(name, func(t *testing.T) {
			wx := wechatqrtest.Start(t)
			var log strings.Builder
			c := wx.Client(wechatqr.WithLogger(slog.New(slog.NewTextHandler(&log, nil))), opt)
			_, err := c.CreateTicket(t.Context(), wechatqr.Permanent(wechatqr.SceneID(1)))
			require.NoError(t, err)
			if name == "observer" {
				assert.Equal(t, 2, strings.Count(log.String(), "panic=observer"))
			}
		})
	}
}

// The log needs no observer.
func TestLoggerAlone(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	handler := slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})
	c := withToken(t, func(r *http.Request) (*http.Response, error) {
		assert.Nil(t, r.Body)
		assert.NotContains(t, r.Header, "Content-Type")
		return nil, errors.New("reset")
	}, wechatqr.WithLogger(slog.New(handler)), wechatqr.WithMaxRetries(0))
	err := c.Do(t.Context(), wechatqr.Request{Method: "GET", Path: "/a"}, nil)
	require.ErrorContains(t, err, "/a: reset")
	assert.Equal(t, 1, strings.Count(log.String(), "wechatqr: request"))
	assert.NotContains(t, log.String(), "panicked")
}

// A user who replaced http.DefaultTransport by a mock meets the mock.
func TestDefaultTransportMocked(t *testing.T) {
	httpmock.Activate(t)
	httpmock.RegisterResponder("POST", "https://api.weixin.qq.com/cgi-bin/qrcode/create",
		httpmock.NewStringResponder(200, created))
	c, err := wechatqr.New(wechatqr.Credentials{},
		wechatqr.WithTokenSource(wechatqr.StaticTokenSource("T")))
	require.NoError(t, err)
	_, err = c.CreateTicket(t.Context(), wechatqr.Permanent(wechatqr.SceneID(1)))
	require.NoError(t, err)
}

func TestTokenSourceOfTheUser(t *testing.T) {
	t.Parallel()
	cause := errors.New("token server: 503")
	fail := wechatqr.TokenSourceFunc(func(context.Context, string) (wechatqr.Token,
		error) {
		return wechatqr.Token{}, cause
	})
	c := withToken(t, nil, wechatqr.WithTokenSource(fail))
	_, err := c.CreateTicket(t.Context(), wechatqr.Permanent(wechatqr.SceneID(1)))
	require.ErrorIs(t, err, cause)
	assert.EqualError(t, err, "wechatqr: create ticket: token server: 503")

	own := &ownSource{value: "A"}
	var tokens []string
	c = withToken(t, func(r *http.Request) (*http.Response, error) {
		tok := r.URL.Query().Get("access_token")
		tokens = append(tokens, tok)
		if tok == "A" {
			return answer(200, `{"errcode":42001,"errmsg":"access_token expired"}`), nil
		}
		return answer(200, created), nil
	}, wechatqr.WithTokenSource(own))
	_, err = c.CreateTicket(t.Context(), wechatqr.Permanent(wechatqr.SceneID(1)))
	require.NoError(t, err)
	assert.Equal(t, []string{"A", "B"}, tokens)
	assert.Equal(t, 2, own.asked, "what it gave is kept in memory")

	own.value = ""
	c = withToken(t, nil, wechatqr.WithTokenSource(own))
	_, err = c.CreateTicket(t.Context(), wechatqr.Permanent(wechatqr.SceneID(1)))
	require.ErrorIs(t, err, wechatqr.ErrUnexpectedResponse)
	assert.ErrorContains(t, err, "WithCloudHosting")
}

// ownSource gives B after A was refused. That it does more than it must changes
// nothing.
type ownSource struct {
	value string
	asked int
}

func (s *ownSource) Token(_ context.Context, rejected string) (wechatqr.Token, error) {
	s.asked++
	if rejected != "" && rejected == s.value {
		s.value = "B"
	}
	return wechatqr.Token{Value: s.value}, nil
}

func (s *ownSource) Invalidate(context.Context, string) error { panic("nobody calls it") }
