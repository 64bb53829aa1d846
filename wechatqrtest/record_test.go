package wechatqrtest_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr/wechatqrtest"
)

func TestCalls(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	tok := token(t, srv)
	post(t, srv.URL()+create+"?access_token="+tok+"&x=1",
		`{"action_name":"QR_SCENE","action_info":{"scene":{"scene_id":5}}}`)
	ticket := srv.QRCodes()[0].Ticket
	get(t, srv.URL()+"/cgi-bin/showqrcode?ticket="+ticket)

	calls := srv.Requests()
	require.Len(t, calls, 3)
	assert.Equal(t, `{"access_token":"[redacted]","expires_in":7200}`, calls[0].Response)
	assert.Contains(t, calls[0].Body, `"secret":"[redacted]"`)
	assert.Equal(t, "access_token=[redacted]&x=1", calls[1].Query)
	assert.Equal(t, http.MethodPost, calls[1].Method)
	assert.Equal(t, create, calls[1].Path)
	assert.Contains(t, calls[1].Body, `"scene_id":5`)
	assert.Contains(t, calls[1].Response, ticket)
	assert.Equal(t, 200, calls[1].Status)
	assert.Equal(t, 2, calls[1].ID)
	assert.Equal(t, "127.0.0.1", calls[1].IP)
	assert.Empty(t, calls[2].Response, "a picture is not kept")
	assert.Positive(t, calls[2].Duration)
}

func TestCallsHoldNoSecret(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	for _, body := range []string{
		`{"secret":"hunter2"}`, `{"secret" : "a\"hunter2"}`, `{'secret': 'hunter2'}`,
		`{"secret":"hunter2`, `{"secret":hunter2}`,
		`grant_type=x&secret=hunter2&appid=y`, `secret=hunter2`, `{"appsecret":"hunter2"}`,
		`{"access_token":"hunter2"}`,
	} {
		for _, path := range []string{"/cgi-bin/stable_token", "/cgi-bin/clear_quota/v2",
			create + "?access_token=hunter2", "/x?component_access_token=hunter2&secret=hunter2"} {
			post(t, srv.URL()+path, body)
		}
	}
	for _, c := range srv.Requests() {
		assert.NotContains(t, fmt.Sprintf("%+v", c), "hunter2")
	}
	post(t, srv.URL()+"/x", strings.Repeat("x", 20_000))
	calls := srv.Requests()
	assert.Len(t, calls[len(calls)-1].Body, 16<<10)
}

func TestCallsAreBounded(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t, wechatqrtest.WithoutNetwork())
	c := srv.HTTPClient()
	for range 1003 {
		resp, err := c.Get(srv.URL() + "/cgi-bin/getcallbackip")
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
	}
	calls := srv.Requests()
	require.Len(t, calls, 1000)
	for i, c := range calls {
		require.Equal(t, 4+i, c.ID, "oldest first")
	}
	assert.Equal(t, 1003, srv.Count(""))
	assert.Equal(t, 1003, srv.Count("/cgi-bin/getcallbackip"))
	assert.Zero(t, srv.Count("/cgi-bin/token"))
}

// Secrets of the account are known by their value, whatever they are called.
func TestCallsHoldNoSecretUnderAnotherName(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	tok := token(t, srv)
	secrets := []string{
		tok, srv.Credentials().AppSecret, srv.Callback().Token, srv.Callback().EncodingAESKey,
	}
	for _, secret := range secrets {
		post(t, srv.URL()+"/x/"+secret+"?q="+secret, `{"note":"`+secret+`"}`)
	}
	srv.RevokeTokens()
	post(t, srv.URL()+"/x", tok)
	for _, c := range srv.Requests() {
		for _, secret := range secrets {
			assert.NotContains(t, fmt.Sprintf("%+v", c), secret)
		}
	}

	require.NoError(t, srv.SetCallback(wechatqrtest.Callback{Token: "shop"}))
	post(t, srv.URL()+"/x", "shop-7")
	calls := srv.Requests()
	assert.Equal(t, "shop-7", calls[len(calls)-1].Body, "a short Token may be any word")
}
