package wechatqrtest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"mime/multipart"
	"net/http"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/events"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

func TestNeighbours(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	srv.PutUser(wechatqrtest.User{OpenID: "o6_user", Follows: true})
	srv.PutUser(wechatqrtest.User{OpenID: "o6_other"})
	tok := "access_token=" + token(t, srv)
	creds := srv.Credentials()
	oauth := "/sns/oauth2/access_token?grant_type=authorization_code&appid=" + creds.AppID +
		"&secret=" + creds.AppSecret
	menu := `{"button":[{"type":"click","name":"n","key":"k"}]}`
	for _, tt := range []struct {
		name, path, body string // a body is posted
		code             int
		has              string
	}{
		{"no menu yet", "/cgi-bin/menu/get?" + tok, "", 46003, ""},
		{"menu", "/cgi-bin/menu/create?" + tok, menu, 0, `"errmsg":"ok"`},
		{"empty menu", "/cgi-bin/menu/create?" + tok, `{"button":[]}`, 40016, ""},
		{"the menu", "/cgi-bin/menu/get?" + tok, "", 0, menu},
		{"menu away", "/cgi-bin/menu/delete?" + tok, "", 0, ""},
		{"menu is away", "/cgi-bin/menu/get?" + tok, "", 46003, ""},
		{"template", "/cgi-bin/message/template/send?" + tok,
			`{"touser":"o6_user","template_id":"t","data":{}}`, 0, `"msgid":`},
		{"template to a stranger", "/cgi-bin/message/template/send?" + tok,
			`{"touser":"o6_other","template_id":"t","data":{}}`, 43004, ""},
		{"no template", "/cgi-bin/message/template/send?" + tok, `{"touser":"o6_user"}`, 40037, ""},
		{"no token", "/cgi-bin/ticket/getticket?type=jsapi", "", 41001, ""},
		{"ticket", "/cgi-bin/ticket/getticket?type=jsapi&" + tok, "", 0, `"expires_in":7200`},
		{"ticket of no type", "/cgi-bin/ticket/getticket?" + tok, "", 40097, ""},
		{"upload without a file", "/cgi-bin/media/upload?type=image&" + tok, "x", 41005, ""},
		{"upload of no type", "/cgi-bin/media/upload?" + tok, "x", 40004, ""},
		{"no oauth code", oauth, "", 41008, ""},
		{"oauth", oauth + "&code=c1", "", 0, `"openid":"o6_`},
		{"oauth code again", oauth + "&code=c1", "", 40163, ""},
		{"a wrong oauth token", "/sns/userinfo?access_token=x", "", 40001, ""},
	} {
		fetch := func() (*http.Response, string) {
			if tt.body != "" {
				return post(t, srv.URL()+tt.path, tt.body)
			}
			return get(t, srv.URL()+tt.path)
		}
		_, body := fetch()
		assert.Equal(t, tt.code, code(t, body), "%s: %s", tt.name, body)
		assert.Contains(t, body, tt.has, tt.name)
	}
	assert.Equal(t, 2, srv.Count("/cgi-bin/menu/create"), "recorded like the rest")
}

func TestOAuthUser(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	creds := srv.Credentials()
	_, body := get(t,
		srv.URL()+"/sns/oauth2/access_token?grant_type=authorization_code&code=c&appid="+
			creds.AppID+"&secret="+creds.AppSecret)
	var granted struct {
		AccessToken  string `json:"access_token"`
		RefreshToken string `json:"refresh_token"`
		OpenID       string `json:"openid"`
	}
	require.NoError(t, json.Unmarshal([]byte(body), &granted))
	_, body = get(t,
		srv.URL()+"/sns/userinfo?access_token="+granted.AccessToken+"&openid="+granted.OpenID)
	assert.Contains(t, body, granted.OpenID)
	assert.Equal(t, 40001, errcodeWith(t, srv, granted.AccessToken),
		"it is none of the account's tokens")

	data, err := json.Marshal(srv.Requests())
	require.NoError(t, err)
	assert.NotContains(t, string(data), granted.AccessToken)
	assert.NotContains(t, string(data), granted.RefreshToken)
}

func TestMediaUpload(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	part, err := w.CreateFormFile("media", "a.png")
	require.NoError(t, err)
	_, _ = part.Write(bytes.Repeat([]byte{1}, 2<<20))
	require.NoError(t, w.Close())
	resp, err := http.Post(srv.URL()+"/cgi-bin/media/upload?type=image&access_token="+token(t, srv),
		w.FormDataContentType(), &form)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	assert.Regexp(t, `^\{"type":"image","media_id":"[A-Za-z0-9_-]{64}","created_at":[0-9]{10}\}$`,
		string(body))
}

func TestHandle(t *testing.T) {
	t.Parallel()
	const path = "/wxa/getwxacodeunlimit"
	srv := wechatqrtest.Start(t)
	tok := token(t, srv)
	_, body := post(t, srv.URL()+path, "{}")
	assert.Equal(t, 40066, code(t, body))

	srv.Handle(path, func(w http.ResponseWriter, r *http.Request) {
		sent, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		w.Header().Set("X-Sent", string(sent))
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, `{"errcode":45009,"errmsg":"mine"}`)
	})
	resp, body := post(t, srv.URL()+path+"?access_token="+tok, "{}")
	assert.Equal(t, `{"errcode":45009,"errmsg":"mine"}`, body)
	assert.Equal(t, http.StatusAccepted, resp.StatusCode)
	assert.Equal(t, "{}", resp.Header.Get("X-Sent"))
	requests := srv.Requests()
	assert.Equal(t, wechatqr.ErrorCode(45009), requests[len(requests)-1].Code)

	_, body = post(t, srv.URL()+path+"?access_token=wrong", "{}")
	assert.Equal(t, 40001, code(t, body))
	srv.Inject(wechatqrtest.Fault{Path: path, Times: 1, Code: -1})
	_, body = post(t, srv.URL()+path, "{}")
	assert.Equal(t, -1, code(t, body))
	srv.Handle(path, nil)
	_, body = post(t, srv.URL()+path, "{}")
	assert.Equal(t, 40066, code(t, body))
}

func TestWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := wechatqrtest.Start(t, wechatqrtest.WithoutNetwork())
		release := make(chan struct{})
		srv.ServeFunc(func(context.Context, *wechatqr.Event) (events.Reply, error) {
			<-release
			return events.Text("hi"), nil
		})
		ctx, cancel := context.WithCancel(t.Context())
		_, err := srv.CreateCode(wechatqr.Permanent(wechatqr.SceneID(7)))
		require.NoError(t, err)
		go func() { _, _ = srv.ScanScene(t.Context(), wechatqr.SceneID(7), "o6_user") }()

		got := make(chan wechatqrtest.Push, 1)
		go func() {
			push, err := srv.WaitPush(ctx, nil)
			assert.NoError(t, err)
			got <- push
		}()
		synctest.Wait()
		assert.Empty(t, got, "the push is not done")
		close(release)
		assert.Equal(t, "hi", (<-got).UserSees())

		go func() {
			_, err := srv.WaitMessage(ctx, nil)
			assert.ErrorIs(t, err, context.Canceled)
		}()
		synctest.Wait()
		cancel()
		synctest.Wait()

		require.NoError(t, srv.Client().Do(t.Context(), wechatqr.Request{
			Method: http.MethodPost, Path: "/cgi-bin/message/custom/send",
			Body: json.RawMessage(`{"touser":"o6_user","msgtype":"text","text":{"content":"hi"}}`),
		}, nil))
		m, err := srv.WaitMessage(t.Context(), func(m wechatqrtest.Message) bool {
			return m.OpenID == "o6_user"
		})
		require.NoError(t, err)
		assert.Equal(t, "hi", m.Content)

		srv.Close()
		_, err = srv.WaitPush(t.Context(), func(wechatqrtest.Push) bool { return false })
		require.ErrorIs(t, err, http.ErrServerClosed)
	})
}
