package main

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr/channels"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/web"
)

func TestWelcomeText(t *testing.T) {
	t.Parallel()
	d, ctx := newTestDesk(t), t.Context()
	require.NoError(t, d.ledger.Put(ctx, channels.Channel{Key: "上海/7", Name: "七店"}))
	browser := d.as(t, web.Operator)
	page := d.origin + "/channels/" + url.PathEscape("上海/7") + "/welcome"
	status, location := post(t, browser, page, url.Values{"text": {"<欢迎>"}})
	require.Equal(t, http.StatusSeeOther, status)
	_, body := get(t, browser, d.origin+location)
	assert.Contains(t, body, "&lt;欢迎&gt;</textarea>")
	assert.Contains(t, body, `action="/channels/%E4%B8%8A%E6%B5%B7%2F7/welcome"`)

	long := url.Values{"text": {strings.Repeat("x", 2049)}}
	status, _ = post(t, browser, page, long)
	assert.Equal(t, http.StatusUnprocessableEntity, status)
	text, err := d.store.Welcome(ctx, "上海/7")
	require.NoError(t, err)
	assert.Equal(t, "<欢迎>", text)
	status, _ = post(t, browser, d.origin+"/channels/none/welcome", url.Values{"text": {"x"}})
	assert.Equal(t, http.StatusNotFound, status)
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
