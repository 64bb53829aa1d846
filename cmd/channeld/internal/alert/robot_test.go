package alert

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr/cmd/channeld/internal/store"
)

// The signatures were computed by Python's hmac from what the robots' pages say.
func TestRequests(t *testing.T) {
	t.Parallel()
	const secretPath = "/hook/0123456789"
	at, m := time.Unix(1_700_000_000, 0), &Message{Text: "t"}
	for name, tt := range map[string]struct {
		hook         store.Webhook
		query        url.Values
		body         string
		standardSign string
	}{
		"企业微信": {
			store.Webhook{Kind: WeCom, Address: "https://a" + secretPath + "?key=k"},
			url.Values{"key": {"k"}},
			`{"msgtype":"text","text":{"content":"t"}}`, "",
		},
		"飞书": {
			store.Webhook{Kind: Feishu, Address: "https://a" + secretPath}, url.Values{},
			`{"msg_type":"text","content":{"text":"t"}}`, "",
		},
		"飞书, signed": {
			store.Webhook{Kind: Feishu, Address: "https://a" + secretPath, Secret: "SECfeishu"},
			url.Values{},
			`{"msg_type":"text","content":{"text":"t"},"timestamp":"1700000000",` +
				`"sign":"T8PVsiE1HpAJWexa3tsPCf4uGJILpRXgMBTql5lUpP0="}`, "",
		},
		"钉钉": {
			store.Webhook{Kind: DingTalk, Address: "https://a" + secretPath + "?access_token=k"},
			url.Values{"access_token": {"k"}}, `{"msgtype":"text","text":{"content":"t"}}`, "",
		},
		"钉钉, signed": {
			store.Webhook{
				Kind: DingTalk, Address: "https://a" + secretPath + "?access_token=k",
				Secret: "SECding",
			},
			url.Values{"access_token": {"k"}, "timestamp": {"1700000000000"},
				"sign": {"91OgYC/84LD64pnkgzBURcCF7vZcB4YV/End/nleC2g="}},
			`{"msgtype":"text","text":{"content":"t"}}`, "",
		},
		"JSON": {
			store.Webhook{Kind: JSON, Address: "https://a" + secretPath}, url.Values{},
			`{"text":"t","alerts":null}`, "",
		},
		"JSON, signed": {
			store.Webhook{
				Kind: JSON, Address: "https://a" + secretPath,
				Secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
			}, url.Values{}, `{"text":"t","alerts":null}`,
			"v1,GICzsqCXg+w9xQEMZj7/N/YnthC1+Avl8d6LSSEe5CM=",
		},
		"JSON, plain secret": {
			store.Webhook{Kind: JSON, Address: "https://a" + secretPath, Secret: "plain"},
			url.Values{},
			`{"text":"t","alerts":null}`, "v1,A//umcBnl8jV+lZDKKhYzJfRxn2DTWUm+1h+xBFPABo=",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := newRequest(&tt.hook, "msg_1", m, at)
			require.NoError(t, err)
			assert.Equal(t, http.MethodPost, r.Method)
			assert.Equal(t, secretPath, r.URL.Path)
			assert.Equal(t, tt.query, r.URL.Query())
			body, err := io.ReadAll(r.Body)
			require.NoError(t, err)
			assert.JSONEq(t, tt.body, string(body))
			assert.Equal(t, tt.standardSign, r.Header.Get("webhook-signature"))
			if tt.hook.Kind == JSON {
				assert.Equal(t, "msg_1", r.Header.Get("webhook-id"))
				assert.Equal(t, "1700000000", r.Header.Get("webhook-timestamp"))
			}
		})
	}
}

// The vector is that of the Standard Webhooks libraries.
func TestStandardWebhooksVector(t *testing.T) {
	t.Parallel()
	h := http.Header{}
	signStandard(h, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek",
		[]byte(`{"test": 2432232314}`), time.Unix(1614265330, 0))
	assert.Equal(t, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", h.Get("webhook-signature"))
}

func TestSendFails(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		kind   string
		status int
		body   string
		want   string // of the error; empty: it arrives
	}{
		"taken":              {DingTalk, 200, `{"errcode":0,"errmsg":"ok"}`, ""},
		"taken by 飞书":        {Feishu, 200, `{"code":0,"data":{},"msg":"success"}`, ""},
		"taken by an old 飞书": {Feishu, 200, `{"StatusCode":0,"StatusMessage":"success"}`, ""},
		"taken by a program": {JSON, 204, "", ""},
		"wrong signature": {DingTalk, 200, `{"errcode":310000,"errmsg":"hidden"}`,
			"errcode 310000"},
		"wrong sign, 飞书":      {Feishu, 200, `{"code":19021,"msg":"hidden"}`, "errcode 19021"},
		"old 飞书":              {Feishu, 200, `{"StatusCode":9499}`, "errcode 9499"},
		"no such robot":       {WeCom, 200, `{"errcode":93000,"errmsg":"hidden"}`, "errcode 93000"},
		"not a robot":         {WeCom, 200, `<html>hidden</html>`, "not a robot's"},
		"something else":      {WeCom, 200, `{}`, "not a robot's"},
		"a redirect":          {JSON, 307, "", "HTTP 307"},
		"the program's fault": {JSON, 500, "hidden", "HTTP 500"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			one := httptest.NewServer(
				http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Location", "/hidden")
					w.WriteHeader(tt.status)
					_, _ = io.WriteString(w, tt.body)
				}))
			defer one.Close()
			hook := &store.Webhook{Kind: tt.kind, Address: one.URL + "/hidden?key=hidden",
				Secret: "hidden"}
			err := Send(t.Context(), hook, "1", &Message{Text: "t"})
			if tt.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, tt.want)
			assert.NotContains(t, err.Error(), "hidden")
		})
	}
}

func TestSendHidesTheAddress(t *testing.T) {
	t.Parallel()
	one := httptest.NewServer(http.NotFoundHandler())
	one.Close()
	tls := httptest.NewTLSServer(http.NotFoundHandler())
	defer tls.Close()
	for _, address := range []string{
		one.URL + "/hidden?key=hidden", tls.URL + "/hidden", "http://example.com/hidden",
		"https:///hidden",
		"https://hidden:hidden@example.com/", "ftp://example.com/hidden", "hidden\n",
	} {
		err := Send(t.Context(), &store.Webhook{Kind: JSON, Address: address}, "1", &Message{})
		require.Error(t, err, address)
		assert.NotContains(t, err.Error(), "hidden")
	}
}

func TestPack(t *testing.T) {
	t.Parallel()
	var all []Told
	for range 60 {
		all = append(all, Told{
			State: raisedState, TextZH: strings.Repeat("满", 100), TextEN: strings.Repeat("x", 200),
			Link: "https://desk.example.com/channels/" + strings.Repeat("%E5", 60),
		})
	}
	messages := pack(all)
	require.Len(t, messages, maxMessages)
	n := 0
	for _, m := range messages {
		assert.LessOrEqual(t, len(m.Text), 2048)
		n += len(m.Alerts)
	}
	assert.Contains(t, messages[maxMessages-1].Text, "and "+strconv.Itoa(60-n)+" more")
	assert.Empty(t, pack(nil))
}
