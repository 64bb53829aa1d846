package main

import (
	"net/http"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

func TestLeftText(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		-time.Second:                       "00:00:00",
		0:                                  "00:00:00",
		999 * time.Millisecond:             "00:00:00",
		time.Second:                        "00:00:01",
		24*time.Hour - 1:                   "23:59:59",
		24 * time.Hour:                     "1d 00:00:00",
		30*24*time.Hour - time.Second:      "29d 23:59:59",
		time.Hour + time.Minute + 1500_000: "01:01:00",
	} {
		assert.Equal(t, want, leftText(english, d), d)
	}
	assert.Equal(t, "1天 00:00:00", leftText(chinese, 24*time.Hour))
	assert.Equal(t, "−1d 00:00:00", longText(english, -24*time.Hour))
}

func TestTookText(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		0:                       "<1 ms",
		time.Millisecond - 1:    "<1 ms",
		time.Millisecond:        "1 ms",
		time.Second - 1:         "999 ms",
		time.Second:             "1.0 s",
		5012 * time.Millisecond: "5.0 s",
	} {
		assert.Equal(t, want, tookText(d), d)
	}
}

func TestClockText(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 15, 4, 5, 0, time.Local)
	assert.Equal(t, "15:04:05", clockText(now, now))
	assert.Equal(t, "2026-11-22 15:04:05", clockText(now.AddDate(0, 0, -1), now))
	assert.Equal(t, "2025-11-23 15:04:05", clockText(now.AddDate(-1, 0, 0), now))
}

func TestCurlIsOneRequestWhateverTheBody(t *testing.T) {
	t.Parallel()
	at := wechatqrtest.Attempt{URL: "http://127.0.0.1/a?b=c&d=$HOME",
		Body: "it's `id` \\ \"quoted\"\n$(id)"}
	out, err := exec.Command("sh", "-c",
		"curl() { for a; do printf '[%s]' \"$a\"; done; }; "+curl(at)).Output()
	require.NoError(t, err)
	assert.Equal(t,
		"[-i]["+at.URL+"][-H][Content-Type: text/xml][-A][Mozilla/4.0][--data-binary]["+at.Body+"]",
		string(out))
}

func TestNamesStay(t *testing.T) {
	t.Parallel()
	a, _ := newTestApp(t)
	for range len(userNames) + 1 {
		a.wx.PutUser(wechatqrtest.User{})
	}
	users := a.wx.Users()
	names := a.names()
	assert.Equal(t, "Lin", names[users[0].OpenID].name.in(english))
	assert.Equal(t, "Lin 2", names[users[len(userNames)].OpenID].name.in(english))
	assert.Equal(t, "林林 2", names[users[len(userNames)].OpenID].name.in(chinese))
}

func TestPushItem(t *testing.T) {
	t.Parallel()
	scan := wechatqr.Event{FromUserName: "o1", MsgType: "event", Type: "SCAN", EventKey: "7",
		CreateTime: time.Now()}
	names := map[string]namedUser{"o1": {name: say("Lin")}}
	ok := wechatqrtest.Attempt{Time: time.Now(), Duration: time.Millisecond, Status: 200,
		Response: "success"}
	bad := wechatqrtest.Attempt{Time: time.Now(),
		Err: &wechatqrtest.CallbackError{Reason: wechatqrtest.ReasonUnreachable, Detail: "refused"}}
	for name, tc := range map[string]struct {
		push  wechatqrtest.Push
		state string
		fault bool
		quiet bool
		says  string
	}{
		"waiting": {wechatqrtest.Push{Event: scan}, "running", false, false, "Lin scanned 7."},
		"again": {wechatqrtest.Push{Event: scan, Attempts: []wechatqrtest.Attempt{bad}}, "running",
			false, false, "Lin scanned 7."},
		"success": {
			wechatqrtest.Push{Event: scan, Attempts: []wechatqrtest.Attempt{ok}, Done: true},
			"ok", false, true, "Lin scanned 7."},
		"late": {wechatqrtest.Push{Event: scan, Attempts: []wechatqrtest.Attempt{bad, ok},
			Done: true}, "ok", false, true, "Lin scanned 7."},
		"failed": {wechatqrtest.Push{Event: scan, Attempts: []wechatqrtest.Attempt{bad, bad, bad},
			Done: true}, "failed", true, false,
			"Lin scanned 7. The backend failed: There is no connection to this address."},
		"broken off": {wechatqrtest.Push{Event: scan, Done: true}, "failed", false, false,
			"Lin scanned 7."},
		"text": {wechatqrtest.Push{Event: scan, Attempts: []wechatqrtest.Attempt{ok}, Done: true,
			Reply: wechatqrtest.ReceivedReply{MsgType: "text", Content: "hi"}}, "ok", false, false,
			"Lin scanned 7. The user sees: hi"},
	} {
		got := pushItem(tc.push, names, english)
		assert.Equal(t, tc.state, got.State, name)
		assert.Equal(t, tc.fault, got.Fault != "", name)
		assert.Equal(t, tc.quiet, got.Silent, name)
		assert.Equal(t, tc.says, got.Announcement.in(english), name)
	}
	left := scan
	left.Type, left.EventKey = wechatqr.EventUnsubscribe, ""
	got := pushItem(wechatqrtest.Push{Event: left, Attempts: []wechatqrtest.Attempt{bad, bad, bad},
		Done: true}, names, english)
	assert.Empty(t, got.Fault, "one who left sees nothing")
	assert.Equal(t, "failed", got.State)
}

func TestALongHistoryIsCutShort(t *testing.T) {
	t.Parallel()
	a, h := newTestApp(t)
	for range maxUsers + 3 {
		a.wx.PutUser(wechatqrtest.User{})
	}
	last := a.wx.PutUser(wechatqrtest.User{OpenID: "oLast", Follows: true})
	for range maxCodes + 2 {
		require.True(t, do(t, h, "create", "scene", "x", "ttl", "1h").OK)
	}
	for range maxCalls {
		_, err := a.client.FetchQRCode(t.Context(), a.wx.QRCodes()[0].Ticket)
		require.NoError(t, err)
	}
	a.wx.ServeCallback(http.NotFoundHandler())
	for range maxTurns + 1 {
		_, err := a.wx.SendText(t.Context(), last.OpenID, "hi")
		require.Error(t, err)
	}
	v := a.view(english, "")
	assert.Len(t, v.Users, maxUsers)
	assert.Equal(t, 4, v.OlderUsers)
	assert.Equal(t, "oLast", v.Users[0].OpenID, "newest first")
	assert.Len(t, v.Codes, maxCodes)
	assert.Equal(t, 2, v.OlderCodes)
	turns, calls := 0, 0
	for _, i := range v.Timeline.Items {
		if i.Turn != nil {
			turns++
		} else {
			calls++
		}
	}
	assert.Equal(t, maxTurns, turns)
	assert.Equal(t, maxCalls, calls)
	assert.Equal(t, maxTurns+1, v.Timeline.Items[0].Turn.Push)
	assert.Equal(t, 1+maxCodes+2+1, v.Timeline.Older,
		"a push, the calls that made codes, and one for the token")

	v = a.view(english, a.names()[last.OpenID].thread)
	assert.Len(t, v.Timeline.Items, maxTurns)
	assert.Equal(t, 1, v.Timeline.Older)
	v = a.view(english, callsThread)
	assert.Len(t, v.Timeline.Items, maxCalls)
	v = a.view(english, "p1")
	assert.Empty(t, v.Timeline.Items)
}
