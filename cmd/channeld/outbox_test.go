package main

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr/channels"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/web"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

func TestFollowersGetTheChannelsTag(t *testing.T) {
	t.Parallel()
	d, ctx := newTestDesk(t), t.Context()
	code, err := d.ledger.Ensure(ctx, d.client, channels.Channel{Key: "sh-7", Name: "七店"})
	require.NoError(t, err)
	page := d.origin + "/channels/sh-7"
	operator := d.as(t, web.Operator)
	status, _ := post(t, operator, page+"/tag", url.Values{"tag": {"零一二三四五六七八九十"}})
	assert.Equal(t, http.StatusUnprocessableEntity, status, "33 bytes")
	status, _ = post(t, operator, page+"/tag", url.Values{"tag": {" 七店来客 "}})
	require.Equal(t, http.StatusSeeOther, status)
	_, body := get(t, operator, page+"/welcome")
	assert.Contains(t, body, `value="七店来客"`)

	// WeChat refuses the tag for now: the push is counted and answered all the same.
	wx := d.wx
	wx.Inject(wechatqrtest.Fault{Path: "/cgi-bin/tags/members/batchtagging", Code: 45159, Times: 1})
	_, err = wx.Scan(ctx, code.Ticket.Value, "o-ann")
	require.NoError(t, err)
	waitFor(t, "the refusal", func() bool { return len(wx.Faults()) == 0 })
	_, err = wx.Scan(ctx, code.Ticket.Value, "o-bob")
	require.NoError(t, err)
	hasTag := func(openID string) bool {
		for _, u := range wx.Users() {
			if u.OpenID == openID {
				return len(u.TagIDs) == 1
			}
		}
		return false
	}
	waitFor(t, "a follower's tag", func() bool { return hasTag("o-bob") })

	waiting := func() (n int64) {
		all, err := d.store.TagsWaiting(ctx)
		require.NoError(t, err)
		for _, one := range all {
			n += one.Number
		}
		return n
	}
	waitFor(t, "the refused one to wait alone", func() bool { return waiting() == 1 })
	_, err = wx.Unfollow(ctx, "o-ann")
	require.NoError(t, err)
	waitFor(t, "no openid stays after an unfollow", func() bool { return waiting() == 0 })
}
