package wechatqrtest_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// Threads of 2022 and 2024: four minutes with the scene, five and ten without.
func TestFollowAfterScanForgetsTheScene(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		after      time.Duration
		key, scene string
	}{
		"four minutes": {4 * time.Minute, "qrscene_shop-7", "shop-7"},
		"five minutes": {5 * time.Minute, "", ""},
		"six minutes":  {6 * time.Minute, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := wechatqrtest.Start(t)
			srv.ServeCallback(respondWith("success"))
			ticket := temporary(t, srv)
			push, err := srv.ScanAndFollow(t.Context(), ticket, "o6_user", tt.after)
			require.NoError(t, err)
			assert.Equal(t, wechatqr.EventSubscribe, push.Event.Type)
			assert.Equal(t, tt.key, push.Event.EventKey)
			assert.Equal(t, tt.key == "", push.Event.Ticket == "")
			assert.Contains(t, string(push.Event.Raw), "<EventKey><![CDATA["+tt.key+"]]>")

			u, _ := srv.User("o6_user")
			assert.Equal(t, tt.scene, u.SceneStr)
			assert.Equal(t, "ADD_SCENE_QR_CODE", u.SubscribeScene)
			_, err = srv.ScanAndFollow(t.Context(), ticket, "o6_user", tt.after)
			require.ErrorIs(t, err, wechatqrtest.ErrFollowing)
		})
	}
}

func TestClickMenu(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	srv.ServeCallback(respondWith("success"))
	_, err := srv.ClickMenu(t.Context(), "o6_user", "k")
	require.ErrorIs(t, err, wechatqrtest.ErrNotFollowing)
	srv.PutUser(wechatqrtest.User{OpenID: "o6_user", Follows: true})
	push, err := srv.ClickMenu(t.Context(), "o6_user", "k")
	require.NoError(t, err)
	assert.Equal(t, wechatqr.EventType("CLICK"), push.Event.Type)
	assert.Equal(t, "k", push.Event.EventKey)
}

func TestRevokeNamesTheUserInOpenID(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	srv.ServeCallback(respondWith("success"))
	for _, kind := range []wechatqrtest.Revocation{wechatqrtest.RevocationModified,
		wechatqrtest.RevocationRevoked, wechatqrtest.RevocationCancelled} {
		push, err := srv.Revoke(t.Context(), kind, "o6_user")
		require.NoError(t, err)
		raw := string(push.Event.Raw)
		assert.Contains(t, raw, "<OpenID><![CDATA[o6_user]]></OpenID>")
		assert.Contains(t, raw, "<Event><![CDATA["+string(kind)+"]]></Event>")
		assert.NotEqual(t, "o6_user", push.Event.FromUserName)
		assert.Contains(t, push.Attempts[0].URL, "signature=")
	}
	assert.Empty(t, srv.Users(), "nobody is made up")

	srv.ServeCallback(respondWith("no reply"))
	push, err := srv.Revoke(t.Context(), wechatqrtest.RevocationRevoked, "o6_user")
	require.Error(t, err)
	assert.Empty(t, push.UserSees(), "there is no chat")
}

func TestScanScene(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	srv.ServeCallback(respondWith("success"))
	for _, req := range []wechatqr.TicketRequest{
		wechatqr.Permanent(wechatqr.SceneID(7)),
		wechatqr.Temporary(wechatqr.SceneString("7"), time.Hour),
		wechatqr.Permanent(wechatqr.SceneString("shop")),
		wechatqr.Temporary(wechatqr.SceneID(8), time.Minute),
	} {
		given, err := srv.CreateCode(req)
		require.NoError(t, err)
		assert.Equal(t, req.TTL() == 0, given.Permanent())
		assert.Equal(t, strings.Contains(given.Action, "STR"), given.SceneStr != "")
		push, err := srv.ScanScene(t.Context(), req.Scene(), "")
		require.NoError(t, err)
		assert.Equal(t, given.Ticket, push.Event.Ticket, "the newest")
		assert.Equal(t, "qrscene_"+req.Scene().Key(), push.Event.EventKey)
	}
	assert.Zero(t, srv.Count(""), "no request was made")
	_, err := srv.CreateCode(wechatqr.Permanent(wechatqr.SceneID(100_001)))
	require.ErrorIs(t, err, wechatqr.ErrInvalidScene)
	_, err = srv.ScanScene(t.Context(), wechatqr.SceneString("other"), "")
	require.ErrorIs(t, err, wechatqrtest.ErrUnknownTicket)
}

func TestPushFaults(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := wechatqrtest.Start(t, wechatqrtest.WithoutNetwork())
		srv.ServeCallback(respondWith("success"))
		dropped := func(pushes int) (n int) {
			for range pushes {
				push, err := srv.Follow(t.Context(), "o6_user")
				require.NoError(t, err)
				require.True(t, push.Done)
				require.Equal(t, push.Dropped, len(push.Attempts) == 0)
				if push.Dropped {
					require.Empty(t, push.UserSees())
					n++
				}
			}
			return n
		}

		require.NoError(t, srv.InjectPush(wechatqrtest.PushFault{Drop: true, Times: 2}))
		assert.Equal(t, 2, dropped(5))
		assert.Empty(t, srv.PushFaults())
		require.NoError(t, srv.InjectPush(wechatqrtest.PushFault{Drop: true, Share: 1.0 / 3}))
		assert.Equal(t, 1, dropped(3))
		assert.Equal(t, 99, dropped(297))
		data, err := json.Marshal(srv.State().PushFaults)
		require.NoError(t, err)
		assert.Contains(t, string(data), `"drop":true`)
		srv.ClearFaults()
		assert.Zero(t, dropped(9))

		require.NoError(t, srv.InjectPush(wechatqrtest.PushFault{Delay: 10 * time.Minute}))
		began := time.Now()
		assert.Zero(t, dropped(1))
		assert.Equal(t, 10*time.Minute, time.Since(began))
	})
}

func TestInjectPushRefuses(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	for name, f := range map[string]wechatqrtest.PushFault{
		"nothing to do": {}, "no number": {Drop: true, Share: math.NaN()},
		"share above 1": {Drop: true, Share: 1.1}, "share below 0": {Drop: true, Share: -1},
		"times": {Drop: true, Times: -1}, "delay": {Delay: -1},
	} {
		require.Error(t, srv.InjectPush(f), name)
	}
	assert.Empty(t, srv.PushFaults())
}
