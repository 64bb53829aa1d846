package wechatqrtest_test

import (
	"context"
	"io"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/events"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

func configs() map[string]events.Config {
	const key = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
	return map[string]events.Config{
		"plain": {AppID: "wx2c2769f8efd9abc2", Token: "spamtest", Plaintext: true},
		"safe":  {AppID: "wx2c2769f8efd9abc2", Token: "spamtest", EncodingAESKey: key},
	}
}

func TestNewRequest(t *testing.T) {
	t.Parallel()
	for name, cfg := range configs() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			now := time.Now().Truncate(time.Second)
			want := wechatqr.Event{
				ToUserName: "gh_1", FromUserName: "o6_user", CreateTime: now, MsgType: "event",
				Type: wechatqr.EventScan, EventKey: "a]]>b", Ticket: "gQ==",
			}
			v, err := events.NewVerifier(cfg)
			require.NoError(t, err)
			got, err := v.ParseRequest(wechatqrtest.NewRequest(cfg, want))
			require.NoError(t, err)
			got.Raw = nil
			assert.True(t, got.CreateTime.Equal(now))
			got.CreateTime = now
			assert.Equal(t, &want, got)

			h, err := events.NewHandler(cfg, func(_ context.Context,
				ev *wechatqr.Event) (events.Reply, error) {
				return events.Text(ev.Content + "!"), nil
			})
			require.NoError(t, err)
			rec := httptest.NewRecorder()
			h.ServeHTTP(rec, wechatqrtest.NewRequest(cfg,
				wechatqr.Event{Content: "hi", MsgID: "12345678901234567890"}))
			r, err := wechatqrtest.ParseReply(cfg, rec.Body.Bytes())
			require.NoError(t, err)
			assert.Equal(t, "hi!", r.Content)

			rec = httptest.NewRecorder()
			h.ServeHTTP(rec, wechatqrtest.NewEchoRequest(cfg, "echo me"))
			assert.Equal(t, "echo me", rec.Body.String())
		})
	}
}

func TestNewRequestOfLongAgo(t *testing.T) {
	t.Parallel()
	cfg := configs()["safe"]
	v, err := events.NewVerifier(cfg)
	require.NoError(t, err)
	_, err = v.ParseRequest(wechatqrtest.NewRequest(cfg,
		wechatqr.Event{CreateTime: time.Now().Add(-time.Hour)}))
	require.ErrorIs(t, err, events.ErrStale)
}

func TestNewRequestIsRepeatable(t *testing.T) {
	t.Parallel()
	cfg := configs()["plain"]
	ev := wechatqr.Event{Type: wechatqr.EventScan, EventKey: "7",
		CreateTime: time.Unix(1_700_000_000, 0)}
	read := func() string {
		b, err := io.ReadAll(wechatqrtest.NewRequest(cfg, ev).Body)
		require.NoError(t, err)
		return string(b)
	}
	assert.Equal(t, `<xml>
<ToUserName><![CDATA[gh_7f083739789a]]></ToUserName>
<FromUserName><![CDATA[o6_bmjrPTlm6_2sgVt7hMZOPfL2M]]></FromUserName>
<CreateTime>1700000000</CreateTime>
<MsgType><![CDATA[event]]></MsgType>
<Event><![CDATA[SCAN]]></Event>
<EventKey><![CDATA[7]]></EventKey>
</xml>`, read())
	assert.Equal(t, read(), read())
}

func TestNewRequestNeedsAKey(t *testing.T) {
	t.Parallel()
	cfg := events.Config{Token: "spamtest", EncodingAESKey: "short"}
	assert.Panics(t, func() { wechatqrtest.NewRequest(cfg, wechatqr.Event{}) })
	_, err := wechatqrtest.ParseReply(cfg, nil)
	var ce *wechatqrtest.CallbackError
	require.ErrorAs(t, err, &ce)
	assert.Equal(t, wechatqrtest.ReasonUndecryptable, ce.Reason)
}
