package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/events"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// result is what a program gets for an action.
type result struct {
	OK       bool
	Message  string
	Advice   string
	Detail   string
	UserSees string `json:"user_sees"`
	Push     *wechatqrtest.Push
}

func do(t *testing.T, h http.Handler, action string, form ...string) result {
	t.Helper()
	values := url.Values{}
	for i := 0; i < len(form); i += 2 {
		values.Set(form[i], form[i+1])
	}
	r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1/_sandbox/"+action,
		strings.NewReader(values.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "application/json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	var out result
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &out), "%d %s", w.Code, w.Body)
	assert.Equal(t, out.OK, w.Code == http.StatusOK)
	return out
}

// serveBackend has the account push to a backend that replies to scans.
func serveBackend(t *testing.T, a *app) {
	t.Helper()
	h, err := events.NewHandler(a.wx.CallbackConfig(),
		func(_ context.Context, ev *wechatqr.Event) (events.Reply, error) {
			if scan, ok := ev.Scan(); ok {
				return events.Text(fmt.Sprintf("%s %v", scan.SceneKey, scan.NewFollower)), nil
			}
			return nil, nil
		})
	require.NoError(t, err)
	a.wx.ServeCallback(h)
}

func TestActions(t *testing.T) {
	t.Parallel()
	a, h := newTestApp(t)
	serveBackend(t, a)

	require.True(t, do(t, h, "create", "scene", "shop-42", "kind", "text", "ttl", "10m").OK)
	require.True(t, do(t, h, "create", "scene", "7", "kind", "number").OK)
	codes := a.wx.QRCodes()
	require.Len(t, codes, 2)
	assert.Equal(t, "shop-42", codes[0].Scene())
	assert.Equal(t, uint32(7), codes[1].SceneID)
	assert.True(t, codes[1].Permanent())

	got := do(t, h, "scan", "scene", "shop-42")
	require.NotNil(t, got.Push)
	assert.True(t, got.OK)
	assert.Equal(t, "shop-42 true", got.UserSees)
	assert.Equal(t, "Lin scanned shop-42 and followed the account. The user sees: shop-42 true",
		got.Message)
	lin := got.Push.Event.FromUserName
	got = do(t, h, "scan", "ticket", codes[1].Ticket, "openid", lin)
	assert.Equal(t, "7 false", got.UserSees)
	assert.Equal(t, "Lin scanned 7. The user sees: 7 false", got.Message)

	got = do(t, h, "text", "openid", lin, "content", " hello ")
	assert.Equal(t, "hello", got.Push.Event.Content)
	first := got.Push
	got = do(t, h, "again", "id", fmt.Sprint(first.ID))
	assert.Equal(t, first.Event.ID(), got.Push.Event.ID(), "the same push")
	assert.NotEqual(t, first.ID, got.Push.ID)

	require.True(t, do(t, h, "unfollow", "openid", lin).OK)
	u, _ := a.wx.User(lin)
	assert.False(t, u.Follows)
	got = do(t, h, "follow", "openid", lin)
	assert.Equal(t, wechatqr.EventSubscribe, got.Push.Event.Type)
	assert.Empty(t, got.Push.Event.EventKey)

	require.True(t, do(t, h, "person", "follows", "1", "openid", "oTheirs").OK)
	require.True(t, do(t, h, "person").OK)
	users := a.wx.Users()
	require.Len(t, users, 3)
	assert.Equal(t, "oTheirs", users[1].OpenID)
	assert.True(t, users[1].Follows)
	assert.False(t, users[2].Follows)

	require.True(t, do(t, h, "check").OK)
	require.True(t, do(t, h, "fault", "what", "busy", "path", "/cgi-bin/token", "times", "3").OK)
	assert.Equal(t, []wechatqrtest.Fault{{Path: "/cgi-bin/token", Times: 3, Code: -1}},
		a.wx.Faults())
	require.True(t, do(t, h, "clear").OK)
	assert.Empty(t, a.wx.Faults())

	require.True(t, do(t, h, "quota", "path", "/cgi-bin/qrcode/create", "do", "use").OK)
	got = do(t, h, "create", "scene", "x", "ttl", "1h")
	assert.False(t, got.OK)
	assert.Contains(t, got.Message, "45009")
	require.True(t, do(t, h, "quota", "path", "/cgi-bin/qrcode/create", "do", "reset").OK)
	require.True(t, do(t, h, "revoke").OK)
	require.True(t, do(t, h, "create", "scene", "x", "ttl", "1h").OK, "the page renews its token")

	require.True(t, do(t, h, "clock", "by", "24h").OK)
	assert.Equal(t, 24*time.Hour, a.ahead())
	got = do(t, h, "scan", "scene", "shop-42", "openid", lin)
	assert.False(t, got.OK)
	assert.Contains(t, got.Message, "expired")
	require.True(t, do(t, h, "clock", "by", "reset").OK)
	assert.Zero(t, a.ahead())
}

func TestPushFaults(t *testing.T) {
	t.Parallel()
	a, h := newTestApp(t)
	serveBackend(t, a)
	require.True(t, do(t, h, "create", "scene", "shop-42").OK)
	require.True(t, do(t, h, "pushfault", "drop", "1", "times", "1").OK)
	require.True(t, do(t, h, "pushfault", "delay", "1ms", "share", "0.5").OK)
	assert.Equal(t, []wechatqrtest.PushFault{
		{Times: 1, Drop: true}, {Share: 0.5, Delay: time.Millisecond},
	}, a.wx.PushFaults())
	got := do(t, h, "scan", "scene", "shop-42")
	require.True(t, got.OK, got.Message)
	assert.True(t, got.Push.Dropped)
	turn := a.view(english, "p1").Timeline.Items[0].Turn
	assert.True(t, turn.Lost)
	assert.Empty(t, turn.Fault)
	assert.Equal(t, "Lin scanned shop-42 and followed the account. The push was lost.",
		turn.Announcement.in(english))
	require.True(t, do(t, h, "clear").OK)
	assert.Empty(t, a.wx.PushFaults())
	for _, form := range [][]string{
		nil, {"drop", "1", "times", "-1"}, {"drop", "1", "times", "x"}, {"delay", "soon"},
		{"drop", "1", "share", "2"}, {"drop", "1", "share", "x"},
	} {
		assert.False(t, do(t, h, "pushfault", form...).OK, form)
	}

	got = do(t, h, "scan", "scene", "shop-42", "after", "6m")
	require.True(t, got.OK, got.Message)
	assert.Equal(t, wechatqr.EventSubscribe, got.Push.Event.Type)
	assert.Empty(t, got.Push.Event.EventKey, "WeChat has forgotten the scene")
	assert.False(t, do(t, h, "scan", "scene", "shop-42", "after", "later").OK)
	assert.False(t, do(t, h, "scan", "scene", "shop-42", "after", "6m", "openid",
		got.Push.Event.FromUserName).OK, "they follow already")
}

func TestActionsRefuse(t *testing.T) {
	t.Parallel()
	a, h := newTestApp(t)
	stranger := a.wx.PutUser(wechatqrtest.User{}).OpenID
	follower := a.wx.PutUser(wechatqrtest.User{Follows: true}).OpenID
	for _, tc := range []struct {
		action string
		form   []string
		want   string
	}{
		{"create", []string{"scene", "", "kind", "text"}, "not created"},
		{"create", []string{"scene", strings.Repeat("x", 65), "kind", "text"}, "not created"},
		{"create", []string{"scene", "x", "kind", "number"}, "from 1 to 4294967295"},
		{"create", []string{"scene", "4294967296", "kind", "number"}, "from 1 to 4294967295"},
		{"create", []string{"scene", "100001", "kind", "number"}, "not created"},
		{"create", []string{"scene", "x", "ttl", "a while"}, "is not a duration"},
		{"create", []string{"scene", "x", "ttl", "721h"}, "not created"},
		{"scan", []string{"ticket", "unknown"}, "does not exist"},
		{"scan", []string{"scene", "unknown"}, "does not exist"},
		{"text", []string{"openid", stranger, "content", "x"}, "does not follow"},
		{"text", []string{"openid", "unknown", "content", "x"}, "does not exist"},
		{"unfollow", []string{"openid", stranger}, "does not follow"},
		{"follow", []string{"openid", "unknown"}, "does not exist"},
		{"follow", nil, "does not exist"},
		{"person", []string{"openid", stranger}, "already exists"},
		{"again", []string{"id", "1"}, "does not exist"},
		{"check", nil, "callback URL first"},
		{"callback", []string{"token", "x"}, "Not saved: Token must be"},
		{"callback", []string{"url", "localhost:3000"}, "Not saved"},
		{"callback", []string{"mode", "aes"}, "Not saved"},
		{"quota", []string{"path", "/cgi-bin/unknown"}, "has no quota"},
		{"fault", []string{"what", "unknown", "times", "1"}, "does not exist"},
		{"fault", []string{"what", "busy", "times", "-1"}, "is not a number of calls"},
		{"fault", []string{"what", "busy"}, "is not a number of calls"},
		{"fault", []string{"errcode", "x", "times", "1"}, "is not an errcode"},
		{"fault", []string{"errcode", "0", "times", "1"}, "is not an errcode"},
		{"fault", []string{"errcode", "4294967296", "times", "1"}, "is not an errcode"},
		{"remove", []string{"openid", "unknown"}, "does not exist"},
		{"event", []string{"openid", "unknown", "xml", "<MsgType>text</MsgType>"},
			"does not exist"},
		{"event", []string{"openid", stranger}, "is empty"},
		{"event", []string{"openid", stranger, "xml", "<MsgType>text"}, "not a message of WeChat"},
		{"click", []string{"openid", stranger, "key", "x"}, "does not follow"},
		{"image", []string{"openid", stranger}, "does not follow"},
		{"location", []string{"openid", stranger}, "does not follow"},
		{"click", []string{"openid", follower}, "has no key"},
		{"location", []string{"openid", follower, "lat", "91", "lng", "0"}, "is a latitude"},
		{"location", []string{"openid", follower, "lat", "x", "lng", "0"}, "is a latitude"},
		{"clock", []string{"by", "tomorrow"}, "is not a duration"},
		{"clock", []string{"by", "90000h"}, "ten years"},
		{"clock", []string{"by", "-90000h"}, "ten years"},
		{"clock", []string{"by", "2562047h"}, "ten years"},
	} {
		got := do(t, h, tc.action, tc.form...)
		assert.False(t, got.OK, "%s %v", tc.action, tc.form)
		assert.Contains(t, got.Message, tc.want, "%s %v", tc.action, tc.form)
	}

	require.True(t, do(t, h, "create", "scene", "x", "ttl", "1h").OK)
	got := do(t, h, "scan", "scene", "x")
	assert.False(t, got.OK)
	assert.Contains(t, got.Message, "nothing was pushed")

	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "http://127.0.0.1/_sandbox/unknown", nil))
	assert.Equal(t, http.StatusNotFound, w.Code)
	r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1/_sandbox/text",
		strings.NewReader("content="+strings.Repeat("x", maxFormBytes)))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w = httptest.NewRecorder()
	h.ServeHTTP(w, r)
	assert.Equal(t, http.StatusBadRequest, w.Code)
}

// A program learns as much of a failure as the page shows.
func TestAdviceForPrograms(t *testing.T) {
	t.Parallel()
	a, h := newTestApp(t)
	require.True(t, do(t, h, "create", "scene", "x", "ttl", "1h").OK)
	a.wx.ServeCallback(http.NotFoundHandler())
	for _, got := range []result{do(t, h, "check"), do(t, h, "scan", "scene", "x")} {
		assert.False(t, got.OK)
		assert.Contains(t, got.Message, "The response has the status 404, not 200.")
		assert.Contains(t, got.Advice, "The backend does not serve this path")
		assert.Contains(t, got.Detail, `HTTP 404: "404 page not found`)
	}
	serveBackend(t, a)
	got := do(t, h, "scan", "scene", "x")
	assert.True(t, got.OK)
	assert.Empty(t, got.Advice+got.Detail)
}

func TestEveryFaultCanBeArmedAndIsNamed(t *testing.T) {
	t.Parallel()
	a, h := newTestApp(t)
	for _, k := range faultKinds {
		require.True(t, do(t, h, "fault", "what", k.Key, "times", "0").OK, k.Key)
	}
	faults := a.wx.Faults()
	require.Len(t, faults, len(faultKinds))
	for i, f := range faults {
		assert.Equal(t, faultKinds[i].label, faultLabel(f).Text)
	}
	assert.Equal(t, "errcode 40003", faultLabel(wechatqrtest.Fault{Code: 40003}).in(english))
	assert.Equal(t, "Another fault", faultLabel(wechatqrtest.Fault{Status: 418}).in(english))
}

func TestTheStreamTellsOfEachChange(t *testing.T) {
	t.Parallel()
	a, h := newTestApp(t)
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	resp, err := http.Get(srv.URL + "/_sandbox/events")
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	assert.Equal(t, "text/event-stream", resp.Header.Get("Content-Type"))
	next := func() string {
		var text strings.Builder
		b := make([]byte, 1)
		for !strings.HasSuffix(text.String(), "\n\n") {
			_, err := io.ReadFull(resp.Body, b)
			require.NoError(t, err)
			text.Write(b)
		}
		return text.String()
	}
	assert.Contains(t, next(), "event: change\ndata:\n")
	a.wx.PutUser(wechatqrtest.User{})
	assert.Equal(t, "event: change\ndata:\n\n", next())
	a.notify(func() {}) // one of the page's own
	assert.Equal(t, "event: change\ndata:\n\n", next())
}

func TestThePageHidesSecretsOfCallsAndEscapes(t *testing.T) {
	t.Parallel()
	a, h := newTestApp(t)
	require.True(t, do(t, h, "create", "scene", `<b>"x"</b>`, "ttl", "1h").OK)
	r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1/", nil)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	page := w.Body.String()
	assert.Contains(t, page, `&lt;b&gt;&#34;x&#34;&lt;/b&gt;`)
	assert.NotContains(t, page, `<b>"x"</b>`)
	assert.Contains(t, page, "/cgi-bin/stable_token")
	assert.NotContains(t, page, "97_", "no token")
	assert.Contains(t, page, "[redacted]")
	for _, secret := range []string{
		a.wx.Credentials().AppSecret, a.wx.Callback().Token, a.wx.Callback().EncodingAESKey,
	} {
		assert.NotContains(t, page, secret)
	}
}

func TestStateForPrograms(t *testing.T) {
	t.Parallel()
	a, h := newTestApp(t)
	state := func() string {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://127.0.0.1/_sandbox/state", nil))
		return w.Body.String()
	}
	assert.NotContains(t, state(), "null", "an empty list is a list")
	require.True(t, do(t, h, "create", "scene", "shop-42", "ttl", "1h").OK)
	serveBackend(t, a)
	require.True(t, do(t, h, "check").OK)
	require.True(t, do(t, h, "scan", "scene", "shop-42").OK)

	text := state()
	for _, secret := range []string{
		a.wx.Credentials().AppSecret, a.wx.Callback().Token, a.wx.Callback().EncodingAESKey, "97_",
	} {
		assert.NotContains(t, text, secret)
	}
	var got struct {
		AppID     string
		AppSecret string
		Account   string
		Callback  wechatqrtest.Callback
		Check     wechatqrtest.Diagnosis
		Codes     []wechatqrtest.QRCode
		Pushes    []wechatqrtest.Push
		Requests  []wechatqrtest.RecordedRequest
	}
	require.NoError(t, json.Unmarshal([]byte(text), &got))
	assert.Equal(t, a.wx.Credentials().AppID, got.AppID)
	assert.Equal(t, a.wx.Account(), got.Account)
	assert.Equal(t, a.wx.Credentials().AppSecret[:4]+"…", got.AppSecret)
	assert.Equal(t, a.wx.Callback().URL, got.Callback.URL)
	assert.Equal(t, wechatqrtest.VerdictPassed, got.Check.Finding(wechatqrtest.QuestionKey).Verdict)
	require.Len(t, got.Codes, 1)
	assert.Equal(t, "shop-42", got.Codes[0].SceneStr)
	assert.Len(t, got.Pushes, 1)
	assert.Len(t, got.Requests, 2)
}

func TestActionsReadJSON(t *testing.T) {
	t.Parallel()
	a, h := newTestApp(t)
	post := func(action, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1/_sandbox/"+action,
			strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json; charset=utf-8")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	w := post("person", `{"openid": "oLin", "follows": true}`)
	require.Equal(t, http.StatusOK, w.Code, "%s", w.Body)
	assert.Equal(t, "application/json", w.Header().Get("Content-Type"))
	u, ok := a.wx.User("oLin")
	assert.True(t, ok && u.Follows)
	require.Equal(t, http.StatusOK, post("person",
		`{"openid": "oMei", "follows": false, "x": null}`).Code)
	u, ok = a.wx.User("oMei")
	assert.True(t, ok && !u.Follows)
	require.Equal(t, http.StatusOK, post("fault", `{"errcode": 45029, "times": 2}`).Code)
	assert.Equal(t, []wechatqrtest.Fault{{Code: 45029, Times: 2}}, a.wx.Faults())
	require.Equal(t, http.StatusOK, post("clear", `{}`).Code)
	for _, bad := range []string{"", "scene=x", "[]", `{"openid": ["o"]}`, `{"openid":`} {
		assert.Equal(t, http.StatusBadRequest, post("person", bad).Code, bad)
	}
}

func TestMessagesOfAUser(t *testing.T) {
	t.Parallel()
	a, h := newTestApp(t)
	serveBackend(t, a)
	lin := a.wx.PutUser(wechatqrtest.User{Follows: true}).OpenID
	ids := map[string]bool{}
	push := func(action string, form ...string) wechatqr.Event {
		t.Helper()
		got := do(t, h, action, append(form, "openid", lin)...)
		require.True(t, got.OK, got.Message)
		require.NotNil(t, got.Push)
		assert.Equal(t, lin, got.Push.Event.FromUserName)
		assert.Equal(t, a.wx.Account(), got.Push.Event.ToUserName)
		assert.False(t, ids[got.Push.Event.ID()], "no two have one ID")
		ids[got.Push.Event.ID()] = true
		return got.Push.Event
	}
	ev := push("click", "key", "MENU_1")
	assert.True(t, ev.Type.Is("CLICK"))
	assert.Equal(t, "MENU_1", ev.EventKey)
	ev = push("image", "url", "http://shop.example/a?b&c")
	assert.Equal(t, "image", ev.MsgType)
	assert.Contains(t, string(ev.Raw), "<PicUrl>http://shop.example/a?b&amp;c</PicUrl>")
	ev = push("image")
	assert.Contains(t, string(ev.Raw), "/_sandbox/icon.svg</PicUrl>")
	ev = push("location", "lat", "39.9", "lng", "-116.4")
	assert.Contains(t, string(ev.Raw),
		"<Location_X>39.900000</Location_X><Location_Y>-116.400000</Location_Y>")
	for range 2 {
		ev = push("event", "xml",
			"<MsgType>event</MsgType><Event>VIEW</Event><EventKey>http://x/</EventKey>")
		assert.True(t, ev.Type.Is("VIEW"))
		assert.Equal(t, "http://x/", ev.EventKey)
	}

	got := do(t, h, "event", "openid", lin, "xml", fmt.Sprintf("<xml><ToUserName>%s</ToUserName>"+
		"<FromUserName>oX</FromUserName><CreateTime>%d</CreateTime><MsgType>event</MsgType><Event>user_info_modified"+
		"</Event></xml>", a.wx.Account(), time.Now().Unix()))
	require.True(t, got.OK, got.Message)
	assert.Equal(t, "oX", got.Push.Event.FromUserName, "a whole message is pushed as it is")

	require.True(t, do(t, h, "remove", "openid", lin).OK)
	_, ok := a.wx.User(lin)
	assert.False(t, ok)
	assert.Contains(t, do(t, h, "click", "openid", lin, "key", "x").Message, "does not exist")
	require.True(t, do(t, h, "reset").OK)
	assert.Empty(t, a.wx.Pushes())
}

// A push that fails after the page was shown turns its notice.
func TestNoticeTurns(t *testing.T) {
	t.Parallel()
	a, h := newTestApp(t)
	require.True(t, do(t, h, "create", "scene", "x", "ttl", "1h").OK)
	respond := make(chan struct{})
	a.wx.ServeCallback(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		<-respond
		http.Error(w, "no", http.StatusInternalServerError)
	}))
	r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1/_sandbox/scan",
		strings.NewReader("scene=x"))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Referer", "http://127.0.0.1/?show=p1&n=7")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	require.Equal(t, http.StatusSeeOther, w.Code)
	assert.Equal(t, "/?n=1&show=p1", w.Header().Get("Location"))
	page := func() string {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://127.0.0.1/?n=1", nil))
		return w.Body.String()
	}
	assert.Contains(t, page(), `<div class="notice"><p>Lin scanned x and followed the account.</p>`)
	changed := a.change()
	close(respond)
	<-changed
	assert.Contains(t, page(),
		`<div class="notice bad"><p>Lin scanned x and followed the account. The backend failed: `+
			`The response has the status 500, not 200. The backend failed: see its log.</p>`)
}

func TestPicture(t *testing.T) {
	t.Parallel()
	a, h := newTestApp(t)
	require.True(t, do(t, h, "create", "scene", "shop-42", "ttl", "1h").OK)
	for ticket, want := range map[string]int{a.wx.QRCodes()[0].Ticket: http.StatusOK,
		"unknown": http.StatusNotFound} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet,
			"http://127.0.0.1/_sandbox/picture?ticket="+ticket, nil))
		assert.Equal(t, want, w.Code)
	}
}
