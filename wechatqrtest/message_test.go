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

func TestMessages(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	srv.ServeCallback(respondWith("success"))
	send := func(body string) int {
		_, response := post(t,
			srv.URL()+"/cgi-bin/message/custom/send?access_token="+token(t, srv), body)
		return code(t, response)
	}
	const hello = `{"touser":"o6_user","msgtype":"text","text":{"content":"你好"}}`
	assert.Equal(t, 40003, send(hello))
	srv.PutUser(wechatqrtest.User{OpenID: "o6_user"})
	assert.Equal(t, 45015, send(hello), "does not follow")
	_, err := srv.Follow(t.Context(), "o6_user")
	require.NoError(t, err)
	assert.Equal(t, 0, send(hello))
	assert.Equal(t, 0, send(`{"touser":"o6_user","msgtype":"image","image":{"media_id":"m1"}}`))
	assert.Equal(t, 40008, send(`{"touser":"o6_user","msgtype":"text"}`))
	assert.Equal(t, 44004, send(`{"touser":"o6_user","msgtype":"text","text":{}}`))
	assert.Equal(t, 47001, send(`[`))
	assert.Equal(t, 0, send(hello))
	assert.Equal(t, 45047, send(hello), "three after a follow")
	_, err = srv.SendText(t.Context(), "o6_user", "hi")
	require.NoError(t, err)
	srv.Advance(47 * time.Hour)
	for range 5 {
		assert.Equal(t, 0, send(hello))
	}
	assert.Equal(t, 45047, send(hello), "five after a message")
	srv.Advance(time.Hour)
	assert.Equal(t, 45015, send(hello), "48 hours after the message")
	tooLong := strings.Repeat("x", 2049)
	assert.Equal(t, 45002,
		send(`{"touser":"o6_user","msgtype":"text","text":{"content":"`+tooLong+`"}}`))

	messages := srv.Messages()
	require.Len(t, messages, 8)
	assert.Equal(t, "你好", messages[0].Content)
	assert.Equal(t, "image", messages[1].MsgType)
	assert.Contains(t, messages[1].Body, "m1")
	for range 200 {
		_, err := srv.SendText(t.Context(), "o6_user", "hi")
		require.NoError(t, err)
		require.Equal(t, 0, send(hello))
	}
	assert.Len(t, srv.Messages(), 200)
}

// A scan, a follow and a menu click open a minute, and a message two days: each its own.
func TestMessageWindows(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	srv.ServeCallback(respondWith("success"))
	ticket, err := srv.Client().CreateTicket(t.Context(), wechatqr.Permanent(wechatqr.SceneID(7)))
	require.NoError(t, err)
	send := func() int {
		_, response := post(t, srv.URL()+"/cgi-bin/message/custom/send?access_token="+token(t, srv),
			`{"touser":"o6_user","msgtype":"text","text":{"content":"hello"}}`)
		return code(t, response)
	}

	srv.PutUser(wechatqrtest.User{OpenID: "o6_user", Follows: true})
	assert.Equal(t, 0, send(), "a follower put in has followed just now")
	srv.Advance(time.Minute + time.Second)
	assert.Equal(t, 45015, send(), "a minute after the follow")
	_, err = srv.Scan(t.Context(), ticket.Value, "o6_user")
	require.NoError(t, err)
	before, _ := srv.User("o6_user")
	for range 3 {
		assert.Equal(t, 0, send())
	}
	assert.Equal(t, 3, before.MessageWindows[0].Left, "what was returned does not change")
	assert.Equal(t, 45047, send())

	_, err = srv.SendText(t.Context(), "o6_user", "hi")
	require.NoError(t, err)
	_, err = srv.Scan(t.Context(), ticket.Value, "o6_user")
	require.NoError(t, err)
	for range 3 + 5 {
		assert.Equal(t, 0, send())
	}
	assert.Equal(t, 45047, send())
	srv.Advance(48*time.Hour + time.Second)
	assert.Equal(t, 45015, send())
}
