package main

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr/channels"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/web"
)

func TestManageAChannel(t *testing.T) {
	t.Parallel()
	d, ctx := newTestDesk(t), t.Context()
	code, err := d.ledger.Ensure(ctx, d.client, channels.Channel{Key: "上海/7", Name: "七店"})
	require.NoError(t, err)
	browser := d.as(t, web.Operator)
	page := d.origin + "/channels/" + url.PathEscape("上海/7") + "/manage"
	act := func(action string, form url.Values) int {
		status, body := post(t, browser, page+"/"+action, form)
		t.Log(action, status, len(body))
		return status
	}
	channel := func(key string) channels.Channel {
		all, err := d.ledger.Channels(ctx)
		require.NoError(t, err)
		for _, c := range all {
			if c.Key == key {
				return c
			}
		}
		return channels.Channel{}
	}

	form := url.Values{"name": {"七号店"}, "group": {"华东"}}
	require.Equal(t, http.StatusSeeOther, act("edit", form))
	assert.Equal(t, channels.Channel{Key: "上海/7", Name: "七号店", Group: "华东"}, channel("上海/7"))
	require.Equal(t, http.StatusSeeOther, act("welcome", url.Values{"text": {"<欢迎>"}}))
	_, body := get(t, browser, page+"?done")
	assert.Contains(t, body, "&lt;欢迎&gt;</textarea>")
	assert.Contains(t, body, `action="/channels/%E4%B8%8A%E6%B5%B7%2F7/manage/edit"`)

	require.Equal(t, http.StatusSeeOther, act("retire", url.Values{"retired": {"yes"}}))
	assert.WithinDuration(t, time.Now(), channel("上海/7").Retired, time.Minute)
	require.Equal(t, http.StatusSeeOther, act("retire", nil))
	assert.Zero(t, channel("上海/7").Retired)

	scene := code.Ticket.Scene.Key()
	form = url.Values{"scene": {scene}, "to": {"sh-7"}, "from": {"2026-01-02T03:04"}}
	require.Equal(t, http.StatusOK, act("reassign", form), "it asks first")
	codesOf := func(key string) int {
		all, err := d.ledger.Codes(ctx, channels.Query{Channel: key})
		require.NoError(t, err)
		return len(all)
	}
	assert.Equal(t, 1, codesOf("上海/7"))
	form.Set("sure", "yes")
	require.Equal(t, http.StatusSeeOther, act("reassign", form))
	assert.Equal(t, 0, codesOf("上海/7"))
	assert.Equal(t, 1, codesOf("sh-7"))

	form = url.Values{"into": {"sh-7"}}
	require.Equal(t, http.StatusOK, act("merge", form), "it asks first")
	form.Set("sure", "yes")
	require.Equal(t, http.StatusSeeOther, act("merge", form))
	assert.Zero(t, channel("上海/7"))

	for name, status := range map[string]int{
		"/none/manage/edit":      http.StatusNotFound,
		"/none/manage/welcome":   http.StatusNotFound,
		"/sh-7/manage/reassign":  http.StatusUnprocessableEntity,
		"/sh-7/manage/merge":     http.StatusUnprocessableEntity,
		"/none/manage/retire":    http.StatusNotFound,
		"/sh-7/manage/something": http.StatusNotFound,
	} {
		got, _ := post(t, browser, d.origin+"/channels"+name, nil)
		assert.Equal(t, status, got, name)
	}
}

func TestForget(t *testing.T) {
	t.Parallel()
	d, ctx := newTestDesk(t), t.Context()
	_, err := d.wx.Follow(ctx, "o-ann")
	require.NoError(t, err)
	admin := d.as(t, web.Admin)
	forgotten := func() int64 {
		hour := time.Now().Truncate(time.Hour)
		r, err := d.ledger.Report(ctx, channels.Query{From: hour, To: hour.Add(2 * time.Hour)})
		require.NoError(t, err)
		return r.Total.Forgotten
	}
	_, _ = post(t, admin, d.origin+"/settings/forget", url.Values{"openid": {"o-ann"}})
	assert.Zero(t, forgotten(), "not without the tick")
	_, location := post(t, admin, d.origin+"/settings/forget",
		url.Values{"openid": {"o-ann"}, "sure": {"yes"}})
	assert.NotContains(t, location, "o-ann")
	assert.EqualValues(t, 1, forgotten())
}
