package wechatqrtest_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

func TestState(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	empty, err := json.Marshal(srv.State())
	require.NoError(t, err)
	assert.NotContains(t, string(empty), "null", "an empty list is a list")

	ticket, err := srv.Client().CreateTicket(t.Context(), wechatqr.Permanent(wechatqr.SceneID(7)))
	require.NoError(t, err)
	srv.ServeCallback(respondWith("success"))
	_, err = srv.Scan(t.Context(), ticket.Value, "o6_user")
	require.NoError(t, err)
	srv.Inject(wechatqrtest.Fault{Path: "/cgi-bin/user/get", Code: -1})
	srv.Advance(time.Hour)

	st := srv.State()
	assert.Equal(t, srv.QRCodes(), st.Codes)
	assert.Equal(t, srv.Users(), st.Users)
	assert.Equal(t, srv.Pushes(), st.Pushes)
	assert.Equal(t, srv.Requests(), st.Requests)
	assert.Equal(t, srv.Faults(), st.Faults)
	assert.Equal(t, srv.Quotas(), st.Quotas)
	assert.Empty(t, st.Messages)
	assert.WithinDuration(t, srv.Now(), st.Now, time.Minute)
	assert.Equal(t, srv.Account(), st.Account.ID)
	assert.Equal(t, srv.Credentials().AppID, st.Account.AppID)
	assert.Equal(t, srv.Callback().URL, st.Callback.URL)

	data, err := json.Marshal(st)
	require.NoError(t, err)
	for _, secret := range []string{
		srv.Credentials().AppSecret, srv.Callback().Token, srv.Callback().EncodingAESKey,
	} {
		assert.NotContains(t, string(data), secret)
		assert.Contains(t, string(data), secret[:4]+"…", "it can be told from another one")
	}
	require.NoError(t, srv.SetCallback(wechatqrtest.Callback{Token: "elevenbytes"}))
	assert.Equal(t, "…", srv.State().Callback.Token, "a short one is hidden as a whole")
}
