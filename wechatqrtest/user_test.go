package wechatqrtest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/events"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

type info struct {
	Subscribe      int    `json:"subscribe"`
	SubscribeTime  int64  `json:"subscribe_time"`
	SubscribeScene string `json:"subscribe_scene"`
	QRScene        uint32 `json:"qr_scene"`
	QRSceneStr     string `json:"qr_scene_str"`
}

func userInfo(t *testing.T, srv *wechatqrtest.Server, openID string) (got info, err error) {
	t.Helper()
	err = srv.Client().Do(t.Context(), wechatqr.Request{
		Method: http.MethodGet, Path: "/cgi-bin/user/info", Query: url.Values{"openid": {openID}},
	}, &got)
	return got, err
}

// A user follows, unfollows and follows again.
func TestScans(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	srv.ServeCallback(respondWith("success"))
	text := temporary(t, srv)
	numbered, err := srv.Client().CreateTicket(t.Context(),
		wechatqr.Permanent(wechatqr.SceneID(42)))
	require.NoError(t, err)

	push, err := srv.Scan(t.Context(), text, "o6_user")
	require.NoError(t, err)
	assert.Equal(t, wechatqr.EventSubscribe, push.Event.Type)
	assert.Equal(t, "qrscene_shop-7", push.Event.EventKey)
	assert.Equal(t, text, push.Event.Ticket)
	got, err := userInfo(t, srv, "o6_user")
	require.NoError(t, err)
	assert.Equal(t, info{1, push.Event.CreateTime.Unix(), "ADD_SCENE_QR_CODE", 0, "shop-7"}, got)

	push, err = srv.Scan(t.Context(), numbered.Value, "o6_user")
	require.NoError(t, err)
	assert.Equal(t, wechatqr.EventScan, push.Event.Type)
	assert.Equal(t, "42", push.Event.EventKey)
	after, err := userInfo(t, srv, "o6_user")
	require.NoError(t, err)
	assert.Equal(t, got, after, "user/info reports the follow, not of later scans")

	push, err = srv.Unfollow(t.Context(), "o6_user")
	require.NoError(t, err)
	assert.Equal(t, wechatqr.EventUnsubscribe, push.Event.Type)
	assert.Empty(t, push.Event.EventKey)
	got, err = userInfo(t, srv, "o6_user")
	require.NoError(t, err)
	assert.Equal(t, info{}, got)
	_, err = srv.Unfollow(t.Context(), "o6_user")
	require.ErrorIs(t, err, wechatqrtest.ErrNotFollowing)
	_, err = srv.SendText(t.Context(), "o6_user", "hi")
	require.ErrorIs(t, err, wechatqrtest.ErrNotFollowing)

	push, err = srv.Scan(t.Context(), numbered.Value, "o6_user")
	require.NoError(t, err)
	assert.Equal(t, "qrscene_42", push.Event.EventKey)
	got, err = userInfo(t, srv, "o6_user")
	require.NoError(t, err)
	assert.EqualValues(t, 42, got.QRScene)
	assert.Empty(t, got.QRSceneStr)

	push, err = srv.Scan(t.Context(), text, "")
	require.NoError(t, err)
	assert.Regexp(t, `^o[A-Za-z0-9_-]{27}$`, push.Event.FromUserName)
	assert.Equal(t, wechatqr.EventSubscribe, push.Event.Type)

	push, err = srv.Follow(t.Context(), "o6_other")
	require.NoError(t, err)
	assert.Empty(t, push.Event.EventKey)
	assert.Empty(t, push.Event.Ticket)
	got, err = userInfo(t, srv, "o6_other")
	require.NoError(t, err)
	assert.Equal(t, "ADD_SCENE_SEARCH", got.SubscribeScene)

	_, err = userInfo(t, srv, "o6_nobody")
	require.ErrorIs(t, err, wechatqr.ErrInvalidArgument)
	assert.Len(t, srv.Users(), 3)
	given, _ := srv.QRCode(text)
	assert.Equal(t, 2, given.Scans)
}

// Each is handled, though all may fall into one second; a redelivery is not.
func TestEventsOfOneUserHaveTheirOwnSecond(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	var handled []string
	h, err := events.NewHandler(srv.CallbackConfig(),
		func(_ context.Context, ev *wechatqr.Event) (events.Reply, error) {
			handled = append(handled, string(ev.Type))
			return nil, nil
		})
	require.NoError(t, err)
	srv.ServeCallback(h)
	ctx, ticket := t.Context(), temporary(t, srv)
	var last time.Time
	push := func(p wechatqrtest.Push, err error) {
		t.Helper()
		require.NoError(t, err)
		assert.False(t, p.Event.CreateTime.Before(last.Add(time.Second)),
			"%v, and the last was at %v",
			p.Event.CreateTime, last)
		last = p.Event.CreateTime
	}
	for range 3 {
		push(srv.Scan(ctx, ticket, "o6_user"))
	}
	push(srv.Push(ctx, wechatqr.Event{FromUserName: "o6_user", Type: "CLICK"}))
	push(srv.Push(ctx, wechatqr.Event{FromUserName: "o6_user", Type: "CLICK"}))
	srv.PutUser(wechatqrtest.User{OpenID: "o6_user"}) // follows no longer
	push(srv.Scan(ctx, ticket, "o6_user"))
	got, err := userInfo(t, srv, "o6_user")
	require.NoError(t, err)
	assert.Equal(t, last.Unix(), got.SubscribeTime)
	push(srv.Follow(ctx, "o6_user"))
	push(srv.Unfollow(ctx, "o6_user"))
	push(srv.Follow(ctx, "o6_user"))
	got, err = userInfo(t, srv, "o6_user")
	require.NoError(t, err)
	assert.Equal(t, last.Unix(), got.SubscribeTime)
	push(srv.SendText(ctx, "o6_user", "hi"))
	want := []string{"subscribe", "SCAN", "SCAN", "CLICK", "CLICK", "subscribe", "subscribe",
		"unsubscribe", "subscribe", ""}
	assert.Equal(t, want, handled)
	assert.WithinDuration(t, srv.Now(), last, time.Minute)

	for _, p := range srv.Pushes() {
		again, err := srv.Push(ctx, p.Event)
		require.NoError(t, err)
		assert.Equal(t, p.Event, again.Event)
	}
	assert.Equal(t, want, handled, "delivered again, and handled once")

	other, err := srv.Scan(ctx, ticket, "o6_other")
	require.NoError(t, err)
	assert.True(t, other.Event.CreateTime.Before(last), "others do not wait for this one")
}

func TestMomentsFollowTheClock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := wechatqrtest.Start(t, wechatqrtest.WithoutNetwork())
		ticket := temporary(t, srv)
		zero := srv.Now()
		scan := func(openID string) time.Duration {
			ev, err := srv.ScanEvent(ticket, openID)
			require.NoError(t, err)
			return ev.CreateTime.Sub(zero)
		}
		for _, openID := range []string{"o6_1", "o6_2"} {
			assert.Equal(t, time.Duration(0), scan(openID))
			assert.Equal(t, time.Second, scan(openID))
		}
		time.Sleep(10 * time.Second)
		assert.Equal(t, 10*time.Second, scan("o6_1"))
		srv.Advance(10 * time.Minute)
		assert.Equal(t, 11*time.Second, scan("o6_1"), "not by a clock that was turned")
		time.Sleep(50 * time.Second)
		assert.Equal(t, time.Minute, scan("o6_1"))
		assert.Equal(t, time.Minute, scan("o6_2"))

		snapshot, err := srv.Snapshot()
		require.NoError(t, err)
		require.NoError(t, srv.Restore(snapshot))
		assert.Equal(t, 61*time.Second, scan("o6_2"), "a restart changes nothing")
	})
}

func TestScanOfNoCode(t *testing.T) {
	t.Parallel()
	for _, lenient := range []bool{false, true} {
		var opts []wechatqrtest.Option
		if lenient {
			opts = append(opts, wechatqrtest.WithLenient())
		}
		srv := wechatqrtest.Start(t, opts...)
		srv.ServeCallback(respondWith("success"))
		_, err := srv.Scan(t.Context(), "gQ", "o6_user")
		require.ErrorIs(t, err, wechatqrtest.ErrUnknownTicket)
		assert.Empty(t, srv.Users())

		ticket := temporary(t, srv)
		srv.Advance(59 * time.Minute)
		_, err = srv.Scan(t.Context(), ticket, "o6_user")
		require.NoError(t, err)
		srv.Advance(time.Minute)
		push, err := srv.Scan(t.Context(), ticket, "o6_user")
		if lenient {
			require.NoError(t, err, "late scans were seen to be reported")
			assert.WithinDuration(t, time.Now(), push.Event.CreateTime, time.Minute)
			continue
		}
		require.ErrorIs(t, err, wechatqrtest.ErrExpired)
	}
}

func TestUserGet(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	c := srv.Client()
	page := func(next string) (out struct {
		Total, Count int
		Data         struct{ OpenID []string }
		NextOpenID   string `json:"next_openid"`
	}) {
		require.NoError(t, c.Do(t.Context(), wechatqr.Request{
			Method: http.MethodGet, Path: "/cgi-bin/user/get",
			Query: url.Values{"next_openid": {next}},
		}, &out))
		return out
	}
	assert.Zero(t, page(""))
	srv.PutUser(wechatqrtest.User{OpenID: "o6_stranger"})
	for i := range 10_000 {
		srv.PutUser(wechatqrtest.User{OpenID: fmt.Sprintf("o6_%05d", i), Follows: true})
	}
	p := page("")
	assert.Equal(t, []any{10_000, 10_000, "o6_09999"}, []any{p.Total, p.Count, p.NextOpenID})
	p = page(p.NextOpenID)
	assert.Equal(t, []any{10_000, 0, ""}, []any{p.Total, p.Count, p.NextOpenID})
	last := srv.PutUser(wechatqrtest.User{Follows: true})
	p = page("")
	assert.Equal(t, []any{10_001, 10_000, "o6_09999"}, []any{p.Total, p.Count, p.NextOpenID})
	p = page(p.NextOpenID)
	assert.Equal(t, []any{10_001, 1, last.OpenID, []string{last.OpenID}},
		[]any{p.Total, p.Count, p.NextOpenID, p.Data.OpenID})
	err := c.Do(t.Context(), wechatqr.Request{
		Method: http.MethodGet, Path: "/cgi-bin/user/get",
		Query: url.Values{"next_openid": {"o6_x"}},
	}, nil)
	require.ErrorIs(t, err, wechatqr.ErrInvalidArgument)
}

func TestUserInfoBatch(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	address := srv.URL() + "/cgi-bin/user/info/batchget?access_token=" + token(t, srv)
	srv.PutUser(wechatqrtest.User{OpenID: "o6_1", Follows: true, SceneID: 9})
	srv.PutUser(wechatqrtest.User{OpenID: "o6_2"})
	_, body := post(t, address,
		`{"user_list":[{"openid":"o6_1","lang":"zh_CN"},{"openid":"o6_2"}]}`)
	var out struct {
		List []info `json:"user_info_list"`
	}
	require.NoError(t, json.Unmarshal([]byte(body), &out), body)
	require.Len(t, out.List, 2)
	assert.EqualValues(t, 9, out.List[0].QRScene)
	assert.Zero(t, out.List[1])

	one := `{"openid":"o6_1"}`
	_, body = post(t, address, `{"user_list":[`+strings.Repeat(one+",", 99)+one+`]}`)
	assert.Equal(t, 0, code(t, body))
	_, body = post(t, address, `{"user_list":[`+strings.Repeat(one+",", 100)+one+`]}`)
	assert.Equal(t, 40032, code(t, body))
	_, body = post(t, address, `{"user_list":[]}`)
	assert.Equal(t, 40032, code(t, body))
	_, body = post(t, address, `{"user_list":[{"openid":"o6_3"}]}`)
	assert.Equal(t, 40003, code(t, body))
}
