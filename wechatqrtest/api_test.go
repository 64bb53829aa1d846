package wechatqrtest_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

func TestAPIRefusals(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	tok := token(t, srv)
	_, body := get(t, srv.URL()+create+"?access_token="+tok)
	assert.Equal(t, 43002, code(t, body))
	_, body = post(t, srv.URL()+"/cgi-bin/user/info?access_token="+tok, "{}")
	assert.Equal(t, 43001, code(t, body))
	_, body = post(t, srv.URL()+"/cgi-bin/poi/addpoi?access_token="+tok, "{}")
	assert.Equal(t, 40066, code(t, body))
	assert.Contains(t, body, "wechatqrtest has no /cgi-bin/poi/addpoi")
	_, body = post(t, srv.URL()+create, "{}")
	assert.Equal(t, 41001, code(t, body))
	resp, _ := post(t, srv.URL()+create+"?access_token="+tok, strings.Repeat(" ", 16<<20+1))
	assert.Equal(t, http.StatusRequestEntityTooLarge, resp.StatusCode)
}

func TestUnverifiedAccount(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t, wechatqrtest.WithUnverified())
	_, err := srv.Client().CreateTicket(t.Context(), wechatqr.Permanent(wechatqr.SceneID(1)))
	require.ErrorIs(t, err, wechatqr.ErrNotPermitted)
	var e *wechatqr.Error
	require.ErrorAs(t, err, &e)
	assert.EqualValues(t, 48001, e.Code)
	assert.NotEmpty(t, e.RequestID)
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	for _, path := range []string{"getcallbackip", "get_api_domain_ip"} {
		_, body := get(t, srv.URL()+"/cgi-bin/"+path+"?access_token="+token(t, srv))
		assert.JSONEq(t, `{"ip_list":["127.0.0.1"]}`, body)
	}
}

func TestRID(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	c := srv.Client()
	err := c.Do(t.Context(), wechatqr.Request{
		Method: http.MethodPost, Path: create, Body: map[string]any{"action_name": "QR_CARD"},
	}, nil)
	var e *wechatqr.Error
	require.ErrorAs(t, err, &e)
	ask := func(rid string) (string, int) {
		_, body := post(t, srv.URL()+"/cgi-bin/openapi/rid/get?access_token="+token(t, srv),
			fmt.Sprintf(`{"rid":%q}`, rid))
		return body, code(t, body)
	}
	body, errcode := ask(e.RequestID)
	assert.Zero(t, errcode)
	for _, part := range []string{"QR_CARD", "40052", "127.0.0.1", create, "invoke_time",
		"cost_in_ms"} {
		assert.Contains(t, body, part)
	}
	_, errcode = ask("61725984-6126f6f9-040f19c4")
	assert.Equal(t, 76001, errcode)
	_, errcode = ask("61725984")
	assert.Equal(t, 76002, errcode)
	srv.Advance(7*24*time.Hour + time.Second)
	_, errcode = ask(e.RequestID)
	assert.Equal(t, 76004, errcode)
}

// Clients in use put tickets into the query unescaped.
func TestRawPlusStaysAPlus(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	ticket := temporary(t, srv)
	snapshot, err := srv.Snapshot()
	require.NoError(t, err)
	old := "gQ+/" + ticket[4:] + "==" // the alphabet of older tickets
	require.NoError(t, srv.Restore([]byte(strings.ReplaceAll(string(snapshot), ticket, old))))
	for _, form := range []string{old, url.QueryEscape(old), url.PathEscape(old)} {
		resp, _ := get(t, srv.URL()+"/cgi-bin/showqrcode?ticket="+form)
		assert.Equal(t, http.StatusOK, resp.StatusCode, form)
	}
}
