package wechatqrtest_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// Captured in 2026: a token of 43 characters that WeChat never issued.
func TestUnknownTokenHasWeChatsText(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	for _, length := range []int{1, 43, 512} {
		_, body := get(t, srv.URL()+"/cgi-bin/user/get?access_token="+strings.Repeat("x", length))
		assert.Regexp(t,
			`^\{"errcode":40001,"errmsg":"invalid credential, access_token is invalid or not latest, `+
				`could get access_token by getStableAccessToken, more details at https://mmbizurl\.cn/s/JtxxFh33r`+
				` rid: [0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8}"\}$`, body)
	}
}

func TestAppIDIsCheckedBeforeGrantType(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	_, body := get(t, srv.URL()+"/cgi-bin/token?grant_type=x&appid=wx0")
	assert.Equal(t, 40013, code(t, body))
	_, body = post(t, srv.URL()+"/cgi-bin/stable_token", `{"grant_type":"x","appid":"wx0"}`)
	assert.Equal(t, 40013, code(t, body))
}

func TestFault40001RevokesTheToken(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	tok := token(t, srv)
	srv.Inject(wechatqrtest.Fault{Times: 1, Code: 40001})
	assert.Equal(t, 40001, errcodeWith(t, srv, tok), "by the fault")
	assert.Equal(t, 40001, errcodeWith(t, srv, tok), "the fault was true")
	next := token(t, srv)
	assert.NotEqual(t, tok, next)
	assert.Equal(t, 0, errcodeWith(t, srv, next))
}

func TestConnectIsRefused(t *testing.T) {
	t.Parallel()
	rec := httptest.NewRecorder()
	req := httptest.NewRequest(http.MethodConnect, "example.com:443", nil)
	wechatqrtest.Start(t).ServeHTTP(rec, req)
	assert.Equal(t, http.StatusMethodNotAllowed, rec.Code)
}

// Secrets are found wherever they stand, also where no parameter has their name.
func TestRequestsHoldNoSecretByValue(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	tok, secret := token(t, srv), srv.Credentials().AppSecret
	for _, value := range []string{tok, secret} {
		post(t, srv.URL()+create+"?note="+value+"&access_token="+tok, `{"note":"`+value+`"}`)
		post(t, srv.URL()+"/x/"+value, "note="+value)
	}
	get(t, srv.URL()+create+"?access_token=hunter2&note=hunter2")
	text := fmt.Sprintf("%+v", srv.Requests())
	for _, value := range []string{tok, secret, "hunter2"} {
		assert.NotContains(t, text, value)
	}
}

func TestOrderIsByArrivalWhenTheClockWasTurnedBack(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	srv.ServeCallback(respondWith("success"))
	ticket := temporary(t, srv)
	srv.Advance(-time.Hour)
	_, err := srv.Scan(t.Context(), ticket, "o6_user")
	require.NoError(t, err)
	get(t, srv.URL()+"/later")

	text := srv.State().String()
	scanned, later := strings.Index(text, "push 1:"), strings.Index(text, "/later")
	assert.Less(t, strings.Index(text, create), scanned)
	assert.Less(t, scanned, later)
	st := srv.State()
	assert.Less(t, st.Pushes[0].Order, st.Requests[len(st.Requests)-1].Order)
}

func replyOf(content string) string {
	return "<xml><ToUserName>o6_user</ToUserName><FromUserName>gh_1</FromUserName>" +
		"<CreateTime>1</CreateTime>" + content + "</xml>"
}

func TestRepliesAreJudgedAsByWeChat(t *testing.T) {
	t.Parallel()
	text := replyOf("<MsgType>text</MsgType><Content>hi</Content>")
	cards := func(n int) string {
		return replyOf(
			fmt.Sprintf(
				"<MsgType>news</MsgType><ArticleCount>%d</ArticleCount><Articles>%s</Articles>",
				n, strings.Repeat("<item><Title>t</Title></item>", n)))
	}
	message := wechatqr.Event{MsgType: "text", Content: "hi"}
	scan := wechatqr.Event{Type: wechatqr.EventScan, EventKey: "shop-7"}
	for name, tt := range map[string]struct {
		ev     wechatqr.Event
		body   string
		reason wechatqrtest.Reason
		detail string
	}{
		"good":               {message, text, "", ""},
		"white space around": {message, "\n" + text + "\n", "", ""},
		"a comment after":    {message, text + "<!-- -->", "", ""},
		"text after": {message, text + "\nOK", wechatqrtest.ReasonNotXML,
			"line 1, column"},
		"two documents": {message, text + text, wechatqrtest.ReasonNotXML, "second"},
		"success after": {message, text + "success", wechatqrtest.ReasonNotXML, "after"},
		"an element not closed": {message, "<xml>\n<MsgType>", wechatqrtest.ReasonNotXML,
			"syntax error on line 2"},
		"one card":           {message, cards(1), "", ""},
		"two cards, message": {message, cards(2), wechatqrtest.ReasonWrongReply, "2 articles"},
		"eight cards, event": {scan, cards(8), "", ""},
		"nine cards, event":  {scan, cards(9), wechatqrtest.ReasonWrongReply, "9 articles"},
		"64 KiB": {message, text + strings.Repeat(" ", 64<<10),
			wechatqrtest.ReasonWrongReply, "64 KiB"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := wechatqrtest.Start(t)
			require.NoError(t, srv.SetCallback(wechatqrtest.Callback{Mode: wechatqrtest.ModePlain}))
			srv.ServeCallback(respondWith(tt.body))
			ev := tt.ev
			ev.FromUserName, ev.ToUserName = "o6_user", "gh_1"
			_, err := srv.Push(t.Context(), ev)
			if tt.reason == "" {
				require.NoError(t, err)
				return
			}
			var wrong *wechatqrtest.CallbackError
			require.ErrorAs(t, err, &wrong)
			assert.Equal(t, tt.reason, wrong.Reason)
			assert.Contains(t, wrong.Detail, tt.detail)
		})
	}
}
