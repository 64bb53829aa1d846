package wechatqrtest_test

import (
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

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/events"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

var modes = []wechatqrtest.Mode{wechatqrtest.Plain, wechatqrtest.Compatible, wechatqrtest.Safe}

// temporary makes a code with the scene "shop-7".
func temporary(t *testing.T, srv *wechatqrtest.Server) string {
	t.Helper()
	ticket, err := srv.Client().CreateTicket(t.Context(), wechatqr.Temporary(wechatqr.SceneString("shop-7"), time.Hour))
	require.NoError(t, err)
	return ticket.Value
}

// answering is a callback that says the same to every push.
func answering(body string) http.HandlerFunc {
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
			h, err := events.NewHandler(srv.CallbackConfig(), func(_ context.Context, ev *wechatqr.Event) (events.Reply, error) {
				got.Store(ev)
				return events.Text("欢迎 <&>]]> " + ev.Content), nil
			})
			require.NoError(t, err)
			address := srv.ServeCallback(h)
			require.NoError(t, srv.CheckCallback(t.Context()))

			push, err := srv.Scan(t.Context(), temporary(t, srv), "o6_user")
			require.NoError(t, err)
			assert.Equal(t, "欢迎 <&>]]> ", push.Shown())
			assert.Equal(t, mode != wechatqrtest.Plain, push.Reply.Encrypted)
			assert.True(t, push.Done)
			require.Len(t, push.Attempts, 1)
			assert.True(t, strings.HasPrefix(push.Attempts[0].URL, address+"?signature="))
			assert.Equal(t, mode != wechatqrtest.Safe, strings.Contains(push.Attempts[0].Body, "qrscene_shop-7"))
			assert.Equal(t, mode != wechatqrtest.Plain, strings.Contains(push.Attempts[0].Body, "<Encrypt>"))
			scan, ok := got.Load().Scan()
			require.True(t, ok)
			assert.Equal(t, wechatqr.Scan{Scene: "shop-7", OpenID: "o6_user", Ticket: push.Event.Ticket, NewFollower: true, Time: scan.Time}, scan)
			assert.Equal(t, push.Event.ID(), got.Load().ID())
			assert.Equal(t, srv.Account(), got.Load().ToUserName)

			push, err = srv.SendText(t.Context(), "o6_user", "a]]>b<c>")
			require.NoError(t, err)
			assert.Equal(t, "欢迎 <&>]]> a]]>b<c>", push.Shown())
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
		want  wechatqrtest.Reply
		shown string
	}{
		"none":  {nil, wechatqrtest.Reply{}, ""},
		"text":  {events.Text("hi"), wechatqrtest.Reply{MsgType: "text", Content: "hi"}, "hi"},
		"image": {events.Image("m1"), wechatqrtest.Reply{MsgType: "image", MediaID: "m1"}, "[image m1]"},
		"voice": {events.Voice("m2"), wechatqrtest.Reply{MsgType: "voice", MediaID: "m2"}, "[voice m2]"},
		"video": {events.Video("m3", "T", "D"), wechatqrtest.Reply{MsgType: "video", MediaID: "m3", Title: "T", Description: "D"}, "[video m3]\nT\nD"},
		"music": {
			events.Music(events.Track{Title: "T", URL: "http://u", HQURL: "http://h", ThumbMediaID: "m4"}),
			wechatqrtest.Reply{MsgType: "music", Title: "T", MusicURL: "http://u", HQMusicURL: "http://h", ThumbMediaID: "m4"}, "[music http://u]\nT",
		},
		"news": {
			events.News(events.Article{Title: "T", Description: "D", PicURL: "http://p", URL: "http://u"}, events.Article{Title: "T2", URL: "http://2"}),
			wechatqrtest.Reply{MsgType: "news", Articles: []events.Article{{Title: "T", Description: "D", PicURL: "http://p", URL: "http://u"}, {Title: "T2", URL: "http://2"}}},
			"T\nD\nhttp://u\nT2\nhttp://2",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := wechatqrtest.Start(t)
			h, err := events.NewHandler(srv.CallbackConfig(), func(context.Context, *wechatqr.Event) (events.Reply, error) { return tt.reply, nil })
			require.NoError(t, err)
			srv.ServeCallback(h)
			push, err := srv.Follow(t.Context(), "o6_user")
			require.NoError(t, err)
			assert.Equal(t, tt.shown, push.Shown())
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

// reply is a text to o6_user in the clear.
func reply(srv *wechatqrtest.Server) string {
	return "<xml><ToUserName><![CDATA[o6_user]]></ToUserName><FromUserName><![CDATA[" + srv.Account() + "]]></FromUserName>" +
		"<CreateTime>1700000000</CreateTime><MsgType><![CDATA[text]]></MsgType><Content><![CDATA[hi]]></Content></xml>"
}

func TestPushJudgesAnswers(t *testing.T) {
	t.Parallel()
	sealed := func(srv *wechatqrtest.Server, cfg events.Config) string {
		rec := httptest.NewRecorder()
		h, err := events.NewHandler(cfg, func(context.Context, *wechatqr.Event) (events.Reply, error) { return events.Text("hi"), nil })
		require.NoError(t, err)
		h.ServeHTTP(rec, wechatqrtest.NewRequest(cfg, wechatqr.Event{FromUserName: "o6_user", Event: "CLICK", EventKey: "k"}))
		require.Contains(t, rec.Body.String(), "<Encrypt>")
		return rec.Body.String()
	}
	for name, tt := range map[string]struct {
		mode   wechatqrtest.Mode
		answer func(*wechatqrtest.Server) string
		want   wechatqrtest.Problem
		detail string
	}{
		"success":             {wechatqrtest.Safe, func(*wechatqrtest.Server) string { return "success" }, "", ""},
		"success and newline": {wechatqrtest.Safe, func(*wechatqrtest.Server) string { return "success\n" }, "", ""},
		"nothing":             {wechatqrtest.Safe, func(*wechatqrtest.Server) string { return "" }, "", ""},
		"quoted success":      {wechatqrtest.Plain, func(*wechatqrtest.Server) string { return `"success"` }, wechatqrtest.Quoted, "as text"},
		"JSON":                {wechatqrtest.Plain, func(*wechatqrtest.Server) string { return `{"code":0}` }, wechatqrtest.NotXML, "JSON"},
		"HTML":                {wechatqrtest.Plain, func(*wechatqrtest.Server) string { return "<!DOCTYPE html><html><br></html>" }, wechatqrtest.NotXML, "HTML"},
		"other text":          {wechatqrtest.Plain, func(*wechatqrtest.Server) string { return "ok" }, wechatqrtest.NotXML, "neither"},
		"plain in plain":      {wechatqrtest.Plain, reply, "", ""},
		"plain in compatible": {wechatqrtest.Compatible, reply, "", ""},
		"plain in safe":       {wechatqrtest.Safe, reply, wechatqrtest.NotEncrypted, "clear"},
		"milliseconds": {wechatqrtest.Plain, func(s *wechatqrtest.Server) string {
			return strings.Replace(reply(s), "1700000000", "1700000000000", 1)
		}, "", ""},
		"a date":               {wechatqrtest.Plain, func(s *wechatqrtest.Server) string { return strings.Replace(reply(s), "1700000000", "2026-11-23", 1) }, wechatqrtest.WrongReply, "CreateTime"},
		"to another":           {wechatqrtest.Plain, func(s *wechatqrtest.Server) string { return strings.Replace(reply(s), "o6_user", "o6_other", 1) }, wechatqrtest.WrongReply, "ToUserName"},
		"from another":         {wechatqrtest.Plain, func(s *wechatqrtest.Server) string { return strings.Replace(reply(s), s.Account(), "gh_other", 1) }, wechatqrtest.WrongReply, "FromUserName"},
		"empty content":        {wechatqrtest.Plain, func(s *wechatqrtest.Server) string { return strings.Replace(reply(s), "[hi]", "[]", 1) }, wechatqrtest.WrongReply, "Content"},
		"unknown type":         {wechatqrtest.Plain, func(s *wechatqrtest.Server) string { return strings.Replace(reply(s), "[text]", "[card]", 1) }, wechatqrtest.WrongReply, `"card"`},
		"no type":              {wechatqrtest.Plain, func(*wechatqrtest.Server) string { return "<xml></xml>" }, wechatqrtest.WrongReply, "MsgType"},
		"news without article": {wechatqrtest.Plain, func(s *wechatqrtest.Server) string { return strings.Replace(reply(s), "[text]", "[news]", 1) }, wechatqrtest.WrongReply, "Articles"},
		"sealed in safe":       {wechatqrtest.Safe, func(s *wechatqrtest.Server) string { return sealed(s, s.CallbackConfig()) }, "", ""},
		"sealed in plain": {wechatqrtest.Plain, func(s *wechatqrtest.Server) string {
			cfg := s.CallbackConfig()
			cfg.EncodingAESKey, cfg.Plaintext = s.Callback().EncodingAESKey, false
			return sealed(s, cfg)
		}, wechatqrtest.NotOpened, "plain mode"},
		"other token": {wechatqrtest.Safe, func(s *wechatqrtest.Server) string {
			cfg := s.CallbackConfig()
			cfg.Token = "other"
			return sealed(s, cfg)
		}, wechatqrtest.NotOpened, "MsgSignature"},
		"other key": {wechatqrtest.Safe, func(s *wechatqrtest.Server) string {
			cfg := s.CallbackConfig()
			cfg.EncodingAESKey = strings.Repeat("k", 43)
			return sealed(s, cfg)
		}, wechatqrtest.NotOpened, ""},
		"other AppID": {wechatqrtest.Safe, func(s *wechatqrtest.Server) string {
			cfg := s.CallbackConfig()
			cfg.AppID = "wxother"
			return sealed(s, cfg)
		}, wechatqrtest.NotOpened, "wxother"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := wechatqrtest.Start(t)
			require.NoError(t, srv.SetCallback(wechatqrtest.Callback{Mode: tt.mode}))
			srv.ServeCallback(answering(tt.answer(srv)))
			push, err := srv.Follow(t.Context(), "o6_user")
			assert.Len(t, push.Attempts, 1, "an answer in time with status 200 is not asked for again")
			if tt.want == "" {
				require.NoError(t, err)
				assert.NotEqual(t, wechatqrtest.ServiceFault, push.Shown())
				return
			}
			var ce *wechatqrtest.CallbackError
			require.ErrorAs(t, err, &ce)
			assert.Equal(t, tt.want, ce.Problem)
			assert.Contains(t, ce.Detail, tt.detail)
			assert.Equal(t, http.StatusOK, ce.Status)
			assert.Equal(t, wechatqrtest.ServiceFault, push.Shown())
			assert.Zero(t, push.Reply)
		})
	}
}

func TestPushIsDeliveredThreeTimes(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		fail http.HandlerFunc
		want wechatqrtest.Problem
	}{
		"status": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }, wechatqrtest.WrongStatus},
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://elsewhere.example/", http.StatusFound)
		}, wechatqrtest.Redirected},
		"reset": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, wechatqrtest.Unreachable},
		"cut": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "succ")
		}, wechatqrtest.Unreachable},
		"slow": {func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // else the server does not see the client go
			<-r.Context().Done()
		}, wechatqrtest.TooSlow},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			deadline := 10 * time.Second
			if tt.want == wechatqrtest.TooSlow {
				deadline = 100 * time.Millisecond
			}
			srv := wechatqrtest.Start(t, wechatqrtest.WithDeadline(deadline), wechatqrtest.WithGap(time.Millisecond))
			var calls atomic.Int32
			srv.ServeCallback(tt.fail)
			push, err := srv.Follow(t.Context(), "o6_user")
			var ce *wechatqrtest.CallbackError
			require.ErrorAs(t, err, &ce)
			assert.Equal(t, tt.want, ce.Problem, ce.Detail)
			assert.Equal(t, push.Attempts[2].Status, ce.Status)
			assert.ErrorContains(t, err, "delivered 3 times")
			require.Len(t, push.Attempts, 3)
			assert.Equal(t, wechatqrtest.ServiceFault, push.Shown())
			assert.NotEqual(t, push.Attempts[0].URL, push.Attempts[1].URL, "each delivery is signed anew")

			srv.ServeCallback(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if calls.Add(1) < 3 {
					tt.fail(w, r)
					return
				}
				_, _ = io.WriteString(w, "success")
			}))
			if tt.want == wechatqrtest.TooSlow {
				return // 100 ms may be too short even for success, on a busy machine
			}
			push, err = srv.Follow(t.Context(), "o6_user")
			require.NoError(t, err)
			assert.Len(t, push.Attempts, 3)
			assert.Empty(t, push.Shown())
		})
	}
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
	assert.Equal(t, wechatqrtest.Unreachable, ce.Problem)
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
	h, err := events.NewHandler(srv.CallbackConfig(), func(context.Context, *wechatqr.Event) (events.Reply, error) {
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
	h, err := events.NewHandler(srv.CallbackConfig(), func(_ context.Context, ev *wechatqr.Event) (events.Reply, error) {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, ev.Event)
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
	require.NoError(t, srv.SetCallback(wechatqrtest.Callback{Mode: wechatqrtest.Plain}))
	raw := "<xml><ToUserName>gh_7</ToUserName><FromUserName>o6_7</FromUserName><MsgType>event</MsgType><Event>LOCATION</Event></xml>"
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
	srv.ServeCallback(answering("success"))
	for range 205 {
		_, err := srv.Push(t.Context(), wechatqr.Event{Event: "CLICK"})
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
