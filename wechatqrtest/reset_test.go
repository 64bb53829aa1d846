package wechatqrtest_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

func TestReset(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	srv.ServeCallback(respondWith("success"))
	client := srv.Client()
	ticket, err := client.CreateTicket(t.Context(), wechatqr.Permanent(wechatqr.SceneID(1)))
	require.NoError(t, err)
	before, err := srv.Scan(t.Context(), ticket.Value, "o6_user")
	require.NoError(t, err)
	srv.Inject(wechatqrtest.Fault{Path: "/cgi-bin/user/get", Code: -1})
	srv.Advance(24 * time.Hour)
	creds, settings, account := srv.Credentials(), srv.Callback(), srv.Account()

	srv.Reset()
	assert.Empty(t, srv.QRCodes())
	assert.Empty(t, srv.Users())
	assert.Empty(t, srv.Pushes())
	assert.Empty(t, srv.Requests())
	assert.Empty(t, srv.Faults())
	assert.Zero(t, srv.Count(""))
	assert.WithinDuration(t, time.Now(), srv.Now(), time.Minute)
	for _, q := range srv.Quotas() {
		assert.Zero(t, q.Used, q.Path)
	}
	assert.Equal(t, creds, srv.Credentials())
	assert.Equal(t, settings, srv.Callback())
	assert.Equal(t, account, srv.Account())
	_, err = srv.Scan(t.Context(), ticket.Value, "o6_user")
	require.ErrorIs(t, err, wechatqrtest.ErrUnknownTicket)

	ticket, err = client.CreateTicket(t.Context(), wechatqr.Permanent(wechatqr.SceneID(1)))
	require.NoError(t, err)
	assert.Equal(t, 1, srv.Count(""), "the token of before is good")
	after, err := srv.Scan(t.Context(), ticket.Value, "o6_user")
	require.NoError(t, err)
	assert.Equal(t, before.ID+1, after.ID)
	assert.Equal(t, wechatqr.EventSubscribe, after.Event.Type, "nobody is known")
	assert.NotEqual(t, before.Event.ID(), after.Event.ID())
}

func TestRemoveUser(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	srv.PutUser(wechatqrtest.User{OpenID: "o6_a", Follows: true})
	srv.PutUser(wechatqrtest.User{OpenID: "o6_b"})
	assert.True(t, srv.RemoveUser("o6_a"))
	assert.False(t, srv.RemoveUser("o6_a"))
	_, ok := srv.User("o6_a")
	assert.False(t, ok)
	users := srv.Users()
	require.Len(t, users, 1)
	assert.Equal(t, "o6_b", users[0].OpenID)
}

func TestWithAccountAndContentPrefix(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t, wechatqrtest.WithAccount("gh_0123456789ab"),
		wechatqrtest.WithContentPrefix("http://192.0.2.1/q/"))
	assert.Equal(t, "gh_0123456789ab", srv.Account())
	ticket, err := srv.Client().CreateTicket(t.Context(), wechatqr.Permanent(wechatqr.SceneID(1)))
	require.NoError(t, err)
	assert.True(t, strings.HasPrefix(ticket.Content, "http://192.0.2.1/q/"), ticket.Content)
}
