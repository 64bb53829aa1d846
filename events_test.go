package wechatqr_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
)

func TestScan(t *testing.T) {
	t.Parallel()
	at := time.Unix(1509862100, 0)
	for _, tt := range []struct {
		name, msgType, event, key string
		scene                     string // empty: no scan
		newFollower               bool
	}{
		{"subscribe by number", "event", "subscribe", "qrscene_123123", "123123", true},
		{"subscribe by text", "event", "subscribe", "qrscene_sharefrom_9", "sharefrom_9", true},
		{"the mark comes off once", "event", "subscribe", "qrscene_qrscene_1", "qrscene_1", true},
		{"scan by number", "event", "SCAN", "123123", "123123", false},
		{"scan by text", "event", "SCAN", "ecb41635bfc3fe57e6e352b7992873f2",
			"ecb41635bfc3fe57e6e352b7992873f2", false},
		{"a scene that begins with the mark", "event", "SCAN", "qrscene_1", "qrscene_1", false},
		{"any letter case", "event", "scan", "a", "a", false},
		{"any letter case", "event", "Subscribe", "qrscene_a", "a", true},
		{"the mark's letter case counts", "event", "subscribe", "QRSCENE_a", "", false},
		{"plain follow", "event", "subscribe", "", "", false},
		{"a mark without a scene", "event", "subscribe", "qrscene_", "", false},
		{"after a payment", "event", "subscribe", "last_trade_no_4008072001201701105817415015", "",
			false},
		{"product code", "event", "subscribe", "scanbarcode|keystandard|keystr", "", false},
		{"product picture", "event", "subscribe", "scanimage|keystandard|keystr", "", false},
		{"unfollow", "event", "unsubscribe", "", "", false},
		{"unfollow with a key", "event", "unsubscribe", "qrscene_1", "", false},
		{"scan of nothing", "event", "SCAN", "", "", false},
		{"menu", "event", "CLICK", "qrscene_1", "", false},
		{"menu scan", "event", "scancode_push", "7", "", false},
		{"a message", "text", "", "qrscene_1", "", false},
		{"a message that looks like an event", "text", "SCAN", "1", "", false},
		{"a malformed request made elsewhere", "event", "subscribe", "qrscene_0", "0", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ev := &wechatqr.Event{
				ToUserName: "gh_1", FromUserName: "o1", CreateTime: at, MsgType: tt.msgType,
				Type: wechatqr.EventType(tt.event), EventKey: tt.key, Ticket: "TICKET",
			}
			scan, ok := ev.Scan()
			assert.Equal(t, tt.scene != "", ok)
			if !ok {
				assert.Zero(t, scan)
				assert.False(t, ev.Matches(wechatqr.SceneString(tt.key)))
				assert.False(t, ev.Matches(wechatqr.Scene{}))
				return
			}
			assert.Equal(t, wechatqr.Scan{SceneKey: tt.scene, OpenID: "o1", Ticket: "TICKET",
				NewFollower: tt.newFollower, Time: at}, scan)
			assert.True(t, ev.Matches(wechatqr.SceneString(tt.scene)))
			assert.False(t, ev.Matches(wechatqr.SceneString(tt.scene+"x")))
			assert.False(t, ev.Matches(wechatqr.Scene{}))
		})
	}
	ev := &wechatqr.Event{MsgType: "event", Type: wechatqr.EventScan, EventKey: "4294967295"}
	assert.True(t, ev.Matches(wechatqr.SceneID(4294967295)),
		"numbers and their text are alike in a push")
	assert.False(t, ev.Matches(wechatqr.SceneID(429496729)))
}

func TestEventID(t *testing.T) {
	t.Parallel()
	base := wechatqr.Event{ToUserName: "gh_1", FromUserName: "o1", CreateTime: time.Unix(1, 0),
		MsgType: "event", Type: "SCAN", EventKey: "a", Ticket: "T"}
	seen := map[string]string{base.ID(): "base"}
	for name, change := range map[string]func(*wechatqr.Event){
		"account": func(e *wechatqr.Event) { e.ToUserName = "gh_2" },
		"user":    func(e *wechatqr.Event) { e.FromUserName = "o2" },
		"time":    func(e *wechatqr.Event) { e.CreateTime = time.Unix(2, 0) },
		"event":   func(e *wechatqr.Event) { e.Type = "subscribe" },
		"key":     func(e *wechatqr.Event) { e.EventKey = "b" },
		"ticket":  func(e *wechatqr.Event) { e.Ticket = "U" },
		"id":      func(e *wechatqr.Event) { e.MsgID = "1" },
		"message": func(e *wechatqr.Event) { e.MsgType, e.Type = "text", "" },
	} {
		e := base
		change(&e)
		assert.NotContains(t, seen, e.ID(), name)
		seen[e.ID()] = name
	}
	again := base
	again.Type, again.Raw = "scan", []byte("<xml/>")
	again.CreateTime = again.CreateTime.UTC()
	assert.Equal(t, base.ID(), again.ID(), "letter case, zone and bytes are not the push")

	// A user may get two cards in one second, and only elements without a field differ.
	card := wechatqr.Event{ToUserName: "gh_1", FromUserName: "o1", CreateTime: time.Unix(1, 0),
		MsgType: "event", Type: "user_get_card",
		Raw: []byte("<xml><UserCardCode>1</UserCardCode></xml>")}
	other := card
	other.Raw = []byte("<xml><UserCardCode>2</UserCardCode></xml>")
	assert.NotEqual(t, card.ID(), other.ID())
	other.Raw = append([]byte(nil), card.Raw...)
	assert.Equal(t, card.ID(), other.ID())

	msg := wechatqr.Event{ToUserName: "gh_1", FromUserName: "o1", CreateTime: time.Unix(1, 0),
		MsgType: "text", MsgID: "12345678901234567890"}
	id := msg.ID()
	msg.CreateTime = time.Unix(2, 0)
	assert.Equal(t, id, msg.ID(), "a message is told by its MsgID")
}

// The key is the 20 bytes of RFC 4231's first vector; the sum is openssl's:
//
//	printf %s 'gh_1|o6_a|1700000000|scan||gQ==|7' |
//	openssl dgst -sha256 -mac HMAC -macopt hexkey:…
func TestEventKeyedID(t *testing.T) {
	t.Parallel()
	ev := wechatqr.Event{
		ToUserName: "gh_1", FromUserName: "o6_a", CreateTime: time.Unix(1700000000, 0),
		MsgType: "event", Type: wechatqr.EventScan, EventKey: "7", Ticket: "gQ==",
	}
	require.Equal(t, "gh_1|o6_a|1700000000|scan||gQ==|7", ev.ID())

	id, err := ev.KeyedID(bytes.Repeat([]byte{0x0b}, 20))
	require.NoError(t, err)
	assert.Equal(t, "ae200074d1a854b690d848abc42e470c8a92ebb89a8a7e8312a3052ee7c09db1", id)

	_, err = ev.KeyedID(make([]byte, 16))
	require.NoError(t, err)
	_, err = ev.KeyedID(make([]byte, 15))
	require.ErrorIs(t, err, wechatqr.ErrInvalidArgument)
}

func TestEventTypeCanonical(t *testing.T) {
	t.Parallel()
	for given, want := range map[wechatqr.EventType]wechatqr.EventType{
		"scan":          wechatqr.EventScan,
		"SUBSCRIBE":     wechatqr.EventSubscribe,
		"Unsubscribe":   wechatqr.EventUnsubscribe,
		"VIEW":          "VIEW",
		"scancode_push": "scancode_push",
		"":              "",
	} {
		assert.Equal(t, want, given.Canonical(), given)
	}
}
