package wechatqrtest_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr/wechatqrtest"
)

func TestMessages(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	srv.ServeCallback(respondWith("success"))
	send := func(body string) int {
		_, response := post(t, srv.URL()+"/cgi-bin/message/custom/send?access_token="+token(t, srv), body)
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
	srv.Advance(47 * time.Hour)
	assert.Equal(t, 0, send(hello))
	srv.Advance(time.Hour)
	assert.Equal(t, 45015, send(hello), "48 hours after what the user last did")

	messages := srv.Messages()
	require.Len(t, messages, 3)
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
