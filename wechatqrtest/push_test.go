package wechatqrtest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/events"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

var modes = []wechatqrtest.Mode{wechatqrtest.ModePlain, wechatqrtest.ModeCompatible,
	wechatqrtest.ModeSafe}

// temporary makes a code with the scene "shop-7".
func temporary(t *testing.T, srv *wechatqrtest.Server) string {
	t.Helper()
	ticket, err := srv.Client().CreateTicket(t.Context(),
		wechatqr.Temporary(wechatqr.SceneString("shop-7"), time.Hour))
	require.NoError(t, err)
	return ticket.Value
}

// respondWith is a callback with the same response to every push.
func respondWith(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }
}

func TestPushReachesHandler(t *testing.T) {
	t.Parallel()
	for _, mode := range modes {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			srv := wechatqrtest.Start(t)
			require.NoError(t, srv.SetCallback(wechatqrtest.Callback{Mode: mode}))
			var got atomic.Pointer[wechatqr.Event]
			h, err := events.NewHandler(srv.CallbackConfig(),
				func(_ context.Context, ev *wechatqr.Event) (events.Reply, error) {
					got.Store(ev)
					return events.Text("欢迎 <&>]]> " + ev.Content), nil
				})
			require.NoError(t, err)
			address := srv.ServeCallback(h)
			require.NoError(t, srv.CheckCallback(t.Context()))

			push, err := srv.Scan(t.Context(), temporary(t, srv), "o6_user")
			require.NoError(t, err)
			assert.Equal(t, "欢迎 <&>]]> ", push.UserSees())
			assert.Equal(t, mode != wechatqrtest.ModePlain, push.Reply.Encrypted)
			assert.True(t, push.Done)
			require.Len(t, push.Attempts, 1)
			assert.True(t, strings.HasPrefix(push.Attempts[0].URL, address+"?signature="))
			assert.Equal(t, mode != wechatqrtest.ModeSafe,
				strings.Contains(push.Attempts[0].Body, "qrscene_shop-7"))
			assert.Equal(t, mode != wechatqrtest.ModePlain,
				strings.Contains(push.Attempts[0].Body, "<Encrypt>"))
			scan, ok := got.Load().Scan()
			require.True(t, ok)
			assert.Equal(t,
				wechatqr.Scan{SceneKey: "shop-7", OpenID: "o6_user", Ticket: push.Event.Ticket,
					NewFollower: true, Time: scan.Time}, scan)
			assert.Equal(t, push.Event.ID(), got.Load().ID())
			assert.Equal(t, srv.Account(), got.Load().ToUserName)

			push, err = srv.SendText(t.Context(), "o6_user", "a]]>b<c>")
			require.NoError(t, err)
			assert.Equal(t, "欢迎 <&>]]> a]]>b<c>", push.UserSees())
			assert.Len(t, push.Event.MsgID, 17)
			assert.Equal(t, push.Event.MsgID, got.Load().MsgID)

			pushes := srv.Pushes()
			require.Len(t, pushes, 2)
			assert.Equal(t, push, pushes[1])
		})
	}
}

func TestPushReplies(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		reply events.Reply
		want  wechatqrtest.ReceivedReply
		shown string
	}{
		"none": {nil, wechatqrtest.ReceivedReply{}, ""},
		"text": {events.Text("hi"),
			wechatqrtest.ReceivedReply{MsgType: "text", Content: "hi"}, "hi"},
		"image": {events.Image("m1"), wechatqrtest.ReceivedReply{MsgType: "image", MediaID: "m1"},
			"[image m1]"},
		"voice": {events.Voice("m2"), wechatqrtest.ReceivedReply{MsgType: "voice", MediaID: "m2"},
			"[voice m2]"},
		"video": {events.Video(events.Clip{MediaID: "m3", Title: "T", Description: "D"}),
			wechatqrtest.ReceivedReply{MsgType: "video", MediaID: "m3", Title: "T",
				Description: "D"},
			"[video m3]\nT\nD"},
		"music": {
			events.Music(
				events.Track{Title: "T", URL: "http://u", HQURL: "http://h", ThumbMediaID: "m4"}),
			wechatqrtest.ReceivedReply{MsgType: "music", Title: "T", MusicURL: "http://u",
				HQMusicURL: "http://h", ThumbMediaID: "m4"}, "[music http://u]\nT",
		},
		"news": {
			events.News(
				events.Article{Title: "T", Description: "D", PicURL: "http://p", URL: "http://u"},
				events.Article{Title: "T2", URL: "http://2"}),
			wechatqrtest.ReceivedReply{MsgType: "news",
				Articles: []events.Article{
					{Title: "T", Description: "D", PicURL: "http://p", URL: "http://u"},
					{Title: "T2", URL: "http://2"}}},
			"T\nD\nhttp://u\nT2\nhttp://2",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := wechatqrtest.Start(t)
			h, err := events.NewHandler(srv.CallbackConfig(),
				func(context.Context,
					*wechatqr.Event) (events.Reply, error) {
					return tt.reply, nil
				})
			require.NoError(t, err)
			srv.ServeCallback(h)
			push, err := srv.Follow(t.Context(), "o6_user")
			require.NoError(t, err)
			assert.Equal(t, tt.shown, push.UserSees())
			got := push.Reply
			if tt.reply != nil {
				assert.Equal(t, "o6_user", got.ToUserName)
				assert.Equal(t, srv.Account(), got.FromUserName)
				assert.NotEmpty(t, got.XML)
				assert.True(t, got.Encrypted)
			}
			got.ToUserName, got.FromUserName, got.XML, got.Encrypted = "", "", "", false
			assert.Equal(t, tt.want, got)
		})
	}
}

// fixed is a response that depends on nothing.
func fixed(body string) func(*wechatqrtest.Server) string {
	return func(*wechatqrtest.Server) string { return body }
}

// replaced is reply with a mistake.
func replaced(from, to string) func(*wechatqrtest.Server) string {
	return func(srv *wechatqrtest.Server) string {
		return strings.Replace(reply(srv), from, to, 1)
	}
}

// reply is an unencrypted text to o6_user.
func reply(srv *wechatqrtest.Server) string {
	return "<xml><ToUserName><![CDATA[o6_user]]></ToUserName>" +
		"<FromUserName><![CDATA[" + srv.Account() + "]]></FromUserName>" +
		"<CreateTime>1700000000</CreateTime><MsgType><![CDATA[text]]></MsgType><Content>" +
		"<![CDATA[hi]]></Content></xml>"
}

func TestPushChecksResponses(t *testing.T) {
	t.Parallel()
	encrypted := func(srv *wechatqrtest.Server, cfg events.Config) string {
		rec := httptest.NewRecorder()
		h, err := events.NewHandler(cfg, func(context.Context,
			*wechatqr.Event) (events.Reply, error) {
			return events.Text("hi"), nil
		})
		require.NoError(t, err)
		h.ServeHTTP(rec, wechatqrtest.NewRequest(cfg,
			wechatqr.Event{FromUserName: "o6_user", Type: "CLICK", EventKey: "k"}))
		require.Contains(t, rec.Body.String(), "<Encrypt>")
		return rec.Body.String()
	}
	for name, tt := range map[string]struct {
		mode     wechatqrtest.Mode
		response func(*wechatqrtest.Server) string
		want     wechatqrtest.Reason
		detail   string
	}{
		"success":             {wechatqrtest.ModeSafe, fixed("success"), "", ""},
		"success and newline": {wechatqrtest.ModeSafe, fixed("success\n"), "", ""},
		"nothing":             {wechatqrtest.ModeSafe, fixed(""), "", ""},
		"quoted success": {wechatqrtest.ModePlain, fixed(`"success"`), wechatqrtest.ReasonQuoted,
			"as text"},
		"JSON": {wechatqrtest.ModePlain, fixed(`{"code":0}`), wechatqrtest.ReasonNotXML,
			"JSON"},
		"HTML": {wechatqrtest.ModePlain, fixed("<!DOCTYPE html><html><br></html>"),
			wechatqrtest.ReasonNotXML, "HTML"},
		"other text": {wechatqrtest.ModePlain, fixed("ok"), wechatqrtest.ReasonNotXML,
			"neither"},
		"plain in plain":      {wechatqrtest.ModePlain, reply, "", ""},
		"plain in compatible": {wechatqrtest.ModeCompatible, reply, "", ""},
		"plain in safe": {wechatqrtest.ModeSafe, reply, wechatqrtest.ReasonNotEncrypted,
			"plain text"},
		"milliseconds": {wechatqrtest.ModePlain, replaced("1700000000", "1700000000000"), "", ""},
		"a date": {wechatqrtest.ModePlain, replaced("1700000000", "2026-11-23"),
			wechatqrtest.ReasonWrongReply, "CreateTime"},
		"to another": {wechatqrtest.ModePlain, replaced("o6_user", "o6_other"),
			wechatqrtest.ReasonWrongReply, "ToUserName"},
		"from another": {wechatqrtest.ModePlain,
			func(s *wechatqrtest.Server) string { return replaced(s.Account(), "gh_other")(s) },
			wechatqrtest.ReasonWrongReply, "FromUserName"},
		"empty content": {wechatqrtest.ModePlain, replaced("[hi]", "[]"),
			wechatqrtest.ReasonWrongReply, "Content"},
		"unknown type": {wechatqrtest.ModePlain, replaced("[text]", "[card]"),
			wechatqrtest.ReasonWrongReply, `"card"`},
		"no type": {wechatqrtest.ModePlain, fixed("<xml></xml>"),
			wechatqrtest.ReasonWrongReply, "MsgType"},
		"news without article": {wechatqrtest.ModePlain, replaced("[text]", "[news]"),
			wechatqrtest.ReasonWrongReply, "Articles"},
		"encrypted in safe": {wechatqrtest.ModeSafe,
			func(s *wechatqrtest.Server) string { return encrypted(s, s.CallbackConfig()) }, "",
			""},
		"encrypted in plain": {wechatqrtest.ModePlain, func(s *wechatqrtest.Server) string {
			cfg := s.CallbackConfig()
			cfg.EncodingAESKey, cfg.Plaintext = s.Callback().EncodingAESKey, false
			return encrypted(s, cfg)
		}, wechatqrtest.ReasonUndecryptable, "plain mode"},
		"other token": {wechatqrtest.ModeSafe, func(s *wechatqrtest.Server) string {
			cfg := s.CallbackConfig()
			cfg.Token = "other"
			return encrypted(s, cfg)
		}, wechatqrtest.ReasonUndecryptable, "MsgSignature"},
		"other key": {wechatqrtest.ModeSafe, func(s *wechatqrtest.Server) string {
			cfg := s.CallbackConfig()
			cfg.EncodingAESKey = strings.Repeat("k", 43)
			return encrypted(s, cfg)
		}, wechatqrtest.ReasonUndecryptable, ""},
		"other AppID": {wechatqrtest.ModeSafe, func(s *wechatqrtest.Server) string {
			cfg := s.CallbackConfig()
			cfg.AppID = "wxother"
			return encrypted(s, cfg)
		}, wechatqrtest.ReasonUndecryptable, "wxother"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := wechatqrtest.Start(t)
			require.NoError(t, srv.SetCallback(wechatqrtest.Callback{Mode: tt.mode}))
			srv.ServeCallback(respondWith(tt.response(srv)))
			push, err := srv.Follow(t.Context(), "o6_user")
			assert.Len(t, push.Attempts, 1, "a response in time with status 200 is final")
			if tt.want == "" {
				require.NoError(t, err)
				assert.NotEqual(t, wechatqrtest.ServiceFault, push.UserSees())
				return
			}
			var ce *wechatqrtest.CallbackError
			require.ErrorAs(t, err, &ce)
			assert.Equal(t, tt.want, ce.Reason)
			assert.Contains(t, ce.Detail, tt.detail)
			assert.Equal(t, http.StatusOK, ce.Status)
			assert.Equal(t, wechatqrtest.ServiceFault, push.UserSees())
			assert.Zero(t, push.Reply)
		})
	}
}

// What is delivered again, how often, when and how, depends on what went wrong.
func TestPushIsDeliveredAgain(t *testing.T) {
	t.Parallel()
	status := func(given int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(given)
			_, _ = io.WriteString(w, "success")
		}
	}
	cut := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "succ")
	}
	silent := func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // else the server does not see the client go
		<-r.Context().Done()
	}
	redirect := func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://elsewhere.example/", http.StatusFound)
	}
	spaced := []wechatqrtest.Option{
		wechatqrtest.WithSpacedRetries(), wechatqrtest.WithRetryDelay(time.Second),
	}
	for _, tt := range []struct {
		name  string
		fail  http.HandlerFunc
		opts  []wechatqrtest.Option
		want  wechatqrtest.Reason
		times int
		takes time.Duration
		anew  bool // each delivery is signed anew
	}{
		{"500", status(500), nil, wechatqrtest.ReasonWrongStatus, 4, 0, false},
		{"201", status(201), nil, wechatqrtest.ReasonWrongStatus, 4, 0, false},
		{"redirect", redirect, nil, wechatqrtest.ReasonRedirected, 4, 0, false},
		{"500, delay", status(500), spaced[1:], wechatqrtest.ReasonWrongStatus, 4, 0, false},
		{"500, spaced", status(500), spaced, wechatqrtest.ReasonWrongStatus, 3,
			2 * time.Second, true},
		{"reset", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, nil,
			wechatqrtest.ReasonNoResponse, 3, 0, true},
		{"cut", cut, spaced[1:], wechatqrtest.ReasonIncomplete, 3, 2 * time.Second, true},
		{"silent", silent, nil, wechatqrtest.ReasonTooSlow, 3, 15 * time.Second, true},
		{"silent, delay", silent, spaced[1:], wechatqrtest.ReasonTooSlow, 3,
			17 * time.Second, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				srv := wechatqrtest.Start(t, append(tt.opts, wechatqrtest.WithoutNetwork())...)
				srv.ServeCallback(tt.fail)
				start := time.Now()
				push, err := srv.Follow(t.Context(), "o6_user")
				var ce *wechatqrtest.CallbackError
				require.ErrorAs(t, err, &ce)
				assert.Equal(t, tt.want, ce.Reason, ce.Detail)
				assert.ErrorContains(t, err, fmt.Sprintf("delivered %d times", tt.times))
				require.Len(t, push.Attempts, tt.times)
				assert.Equal(t, tt.takes, time.Since(start))
				assert.Equal(t, wechatqrtest.ServiceFault, push.UserSees())
				first, second := push.Attempts[0], push.Attempts[1]
				assert.Equal(t, tt.anew, first.URL != second.URL)
				assert.Equal(t, tt.anew, first.Body != second.Body)

				var calls atomic.Int32
				srv.ServeCallback(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if calls.Add(1) < int32(tt.times) {
						tt.fail(w, r)
						return
					}
					_, _ = io.WriteString(w, "success")
				}))
				push, err = srv.Follow(t.Context(), "o6_user")
				require.NoError(t, err)
				assert.Len(t, push.Attempts, tt.times)
				assert.Empty(t, push.UserSees())
			})
		})
	}
}

// A database that fails for a moment loses no event, although WeChat's
// deliveries after a wrong status are over within it.
func TestHandlerOutlivesTheBurst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := wechatqrtest.Start(t, wechatqrtest.WithoutNetwork())
		back := time.Now().Add(2 * time.Second)
		h, err := events.NewHandler(srv.CallbackConfig(),
			func(context.Context, *wechatqr.Event) (events.Reply, error) {
				if time.Now().Before(back) {
					return nil, errors.New("database is away")
				}
				return events.Text("welcome"), nil
			})
		require.NoError(t, err)
		srv.ServeCallback(h)
		push, err := srv.Follow(t.Context(), "o6_user")
		require.NoError(t, err)
		assert.Equal(t, "welcome", push.UserSees())
		assert.Len(t, push.Attempts, 1)
	})
}

func TestPushToNobody(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := "http://" + l.Addr().String() + "/callback"
	require.NoError(t, l.Close())

	srv := wechatqrtest.Start(t)
	_, err = srv.Follow(t.Context(), "o6_user")
	require.ErrorIs(t, err, wechatqrtest.ErrNoCallback)
	require.ErrorIs(t, srv.CheckCallback(t.Context()), wechatqrtest.ErrNoCallback)
	user, ok := srv.User("o6_user")
	assert.True(t, ok && user.Follows, "what people do does not depend on the callback")

	require.NoError(t, srv.SetCallback(wechatqrtest.Callback{URL: address}))
	_, err = srv.Follow(t.Context(), "o6_user")
	var ce *wechatqrtest.CallbackError
	require.ErrorAs(t, err, &ce)
	assert.Equal(t, wechatqrtest.ReasonUnreachable, ce.Reason)
	assert.NotContains(t, ce.Detail, "signature")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	push, err := srv.Follow(ctx, "o6_user")
	require.ErrorIs(t, err, context.Canceled)
	assert.True(t, push.Done)
	srv.Close()
	_, err = srv.Follow(t.Context(), "o6_user")
	require.ErrorIs(t, err, http.ErrServerClosed)
}

func TestPushAgainHasTheSameID(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	var handled atomic.Int32
	h, err := events.NewHandler(srv.CallbackConfig(),
		func(context.Context, *wechatqr.Event) (events.Reply, error) {
			handled.Add(1)
			return nil, nil
		})
	require.NoError(t, err)
	srv.ServeCallback(h)
	push, err := srv.Scan(t.Context(), temporary(t, srv), "o6_user")
	require.NoError(t, err)
	again, err := srv.Push(t.Context(), push.Event)
	require.NoError(t, err)
	assert.Equal(t, push.Event.ID(), again.Event.ID())
	assert.Equal(t, push.ID+1, again.ID)
	assert.EqualValues(t, 1, handled.Load())
}

func TestPushInAnotherOrder(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	var mu sync.Mutex
	var got []wechatqr.EventType
	h, err := events.NewHandler(srv.CallbackConfig(),
		func(_ context.Context, ev *wechatqr.Event) (events.Reply, error) {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, ev.Type)
			return nil, nil
		})
	require.NoError(t, err)
	srv.ServeCallback(h)
	ticket := temporary(t, srv)
	first, err := srv.ScanEvent(ticket, "o6_user")
	require.NoError(t, err)
	second, err := srv.ScanEvent(ticket, "o6_user")
	require.NoError(t, err)
	for _, ev := range []wechatqr.Event{second, first} {
		_, err = srv.Push(t.Context(), ev)
		require.NoError(t, err)
	}
	assert.Equal(t, []wechatqr.EventType{wechatqr.EventScan, wechatqr.EventSubscribe}, got)
}

// A push that WeChat has beyond those of scans goes out as it is.
func TestPushRaw(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	require.NoError(t, srv.SetCallback(wechatqrtest.Callback{Mode: wechatqrtest.ModePlain}))
	raw := "<xml><ToUserName>gh_7</ToUserName><FromUserName>o6_7</FromUserName><MsgType>" +
		"event</MsgType><Event>LOCATION</Event></xml>"
	bodies := make(chan string, 1)
	srv.ServeCallback(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		assert.Equal(t, "text/xml", r.Header.Get("Content-Type"))
		assert.Equal(t, "Mozilla/4.0", r.UserAgent())
		assert.Equal(t, "no-cache", r.Header.Get("Pragma"))
		bodies <- string(b)
	}))
	push, err := srv.Push(t.Context(), wechatqr.Event{Raw: []byte(raw)})
	require.NoError(t, err)
	assert.Equal(t, "gh_7", push.Event.ToUserName)
	assert.Equal(t, "o6_7", push.Event.FromUserName)
	assert.Equal(t, raw, <-bodies)
}

func TestPushesAreBounded(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	srv.ServeCallback(respondWith("success"))
	for range 205 {
		_, err := srv.Push(t.Context(), wechatqr.Event{Type: "CLICK"})
		require.NoError(t, err)
	}
	pushes := srv.Pushes()
	assert.Len(t, pushes, 200)
	assert.Equal(t, 6, pushes[0].ID)
	assert.Equal(t, 205, pushes[199].ID)
	b, err := json.Marshal(pushes[0])
	require.NoError(t, err)
	var back wechatqrtest.Push
	require.NoError(t, json.Unmarshal(b, &back))
	assert.Equal(t, fmt.Sprint(pushes[0].Attempts), fmt.Sprint(back.Attempts))
}
