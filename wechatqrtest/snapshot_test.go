package wechatqrtest_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr/wechatqrtest"
)

func TestSnapshot(t *testing.T) {
	t.Parallel()
	old := wechatqrtest.Start(t)
	old.ServeCallback(respondWith("success"))
	old.Advance(time.Hour)
	ticket := temporary(t, old)
	tok := token(t, old)
	_, err := old.Scan(t.Context(), ticket, "o6_user")
	require.NoError(t, err)
	_, err = old.SendText(t.Context(), "o6_user", "hi")
	require.NoError(t, err)
	post(t, old.URL()+"/cgi-bin/message/custom/send?access_token="+tok,
		`{"touser":"o6_user","msgtype":"text","text":{"content":"hi"}}`)
	old.SetQuota(wechatqrtest.Quota{Path: create, Daily: 9, Used: 8})
	post(t, old.URL()+"/cgi-bin/menu/create?access_token="+tok, `{"button":[{"name":"n"}]}`)
	snapshot, err := old.Snapshot()
	require.NoError(t, err)

	srv := wechatqrtest.Start(t)
	first := srv.Changed()
	require.NoError(t, srv.Restore(snapshot))
	<-first
	again, err := srv.Snapshot()
	require.NoError(t, err)
	assert.JSONEq(t, string(snapshot), string(again))
	assert.Equal(t, old.Credentials(), srv.Credentials())
	assert.Equal(t, old.Account(), srv.Account())
	assert.Equal(t, old.Callback(), srv.Callback())
	assert.Equal(t, old.Quotas(), srv.Quotas())
	assert.WithinDuration(t, old.Now(), srv.Now(), time.Minute)
	assert.Len(t, srv.Messages(), 1)
	assert.Equal(t, 0, errcodeWith(t, srv, tok), "tokens stay valid")
	assert.Equal(t, tok, token(t, srv))
	_, menu := get(t, srv.URL()+"/cgi-bin/menu/get?access_token="+tok)
	assert.Equal(t, `{"menu":{"button":[{"name":"n"}]}}`, menu)
	push, err := srv.Scan(t.Context(), ticket, "o6_user")
	require.NoError(t, err)
	assert.Equal(t, 3, push.ID)
	assert.Equal(t, "shop-7", push.Event.EventKey)
}

func TestRestoreRefuses(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	before, err := srv.Snapshot()
	require.NoError(t, err)
	for _, bad := range []string{
		``, `[]`, `{"appid":""}`, `{"codes":[null]}`, `{"users":[null]}`, `{"pushes":[null]}`,
		`{"quotas":[null]}`, `{"last_event_times":null}`,
		`{"tokens":{"classic":[null]}}`, `{"callback":{"token":"x"}}`,
	} {
		require.ErrorContains(t, srv.Restore([]byte(bad)), "wechatqrtest: restore: ", bad)
	}
	after, err := srv.Snapshot()
	require.NoError(t, err)
	assert.Equal(t, string(before), string(after))
	require.NoError(t, srv.Restore([]byte(`{}`)), "what is not there is as in a new Server")
}
