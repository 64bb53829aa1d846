package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr/cmd/channeld/internal/web"
)

var webhookID = regexp.MustCompile(
	`/settings/webhooks/test"><input type="hidden" name="id" value="(\w+)"`)

func TestWebhooksAreSetAndTried(t *testing.T) {
	t.Parallel()
	var log output
	d := newTestDeskWithLog(t, &log)
	got := make(chan string, 2)
	taken := `{"errcode":0,"errmsg":"ok"}`
	robot := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		got <- string(body)
		if len(got) == 2 {
			taken = `{"errcode":310000,"errmsg":"keywords not in content"}`
		}
		_, _ = io.WriteString(w, taken)
	}))
	defer robot.Close()
	admin, page := d.as(t, web.Admin), d.origin+"/settings"
	form := url.Values{
		"title": {"运营群"}, "kind": {"dingtalk"}, "secret": {"SECunspoken"},
		"address": {robot.URL + "/robot/send?access_token=unspoken"},
	}
	status, _ := post(t, admin, page+"/webhooks/add", form)
	require.Equal(t, http.StatusSeeOther, status)
	_, body := get(t, admin, page)
	assert.Contains(t, body, "还没有发过")
	id := webhookID.FindStringSubmatch(body)
	require.NotNil(t, id)
	for _, want := range []string{"✓ 已送达", "✗ errcode 310000"} {
		status, _ = post(t, admin, page+"/webhooks/test", url.Values{"id": {id[1]}})
		require.Equal(t, http.StatusSeeOther, status)
		_, body = get(t, admin, page)
		assert.Contains(t, body, want)
	}
	assert.Contains(t, <-got, "测试消息")
	assert.NotContains(t, body+log.String(), "unspoken")

	for name, change := range map[string]url.Values{
		"no title":      {"title": {""}},
		"unknown kind":  {"kind": {"fax"}},
		"plain http":    {"address": {"http://example.com/x"}},
		"not a URL":     {"address": {"example.com"}},
		"with a secret": {"address": {"https://a:b@example.com/"}},
	} {
		wrong := url.Values{}
		for _, fields := range []url.Values{form, change} {
			for key, values := range fields {
				wrong[key] = values
			}
		}
		status, _ = post(t, admin, page+"/webhooks/add", wrong)
		assert.Equal(t, http.StatusUnprocessableEntity, status, name)
	}
	status, _ = post(t, admin, page+"/webhooks/remove", url.Values{"id": {id[1]}})
	require.Equal(t, http.StatusSeeOther, status)
	status, _ = post(t, admin, page+"/webhooks/test", url.Values{"id": {id[1]}})
	assert.Equal(t, http.StatusUnprocessableEntity, status)
}
