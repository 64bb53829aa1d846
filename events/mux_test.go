package events_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/events"
)

func TestMux(t *testing.T) {
	t.Parallel()
	var mux events.Mux
	mux.HandleScenePrefix("shop-", scanReply("a shop"))
	mux.HandleScenePrefix("shop-7", scanReply("seventh shops"))
	mux.HandleScene("shop-7", scanReply("shop 7"))
	mux.HandleScenePrefix("展会/", scanReply("fair"))
	mux.HandleScene("42", scanReply("forty-two"))
	mux.HandleEvent(wechatqr.EventSubscribe, replyWith(events.Text("welcome")))
	mux.HandleEvent("click", replyWith(events.Text("clicked")))
	mux.HandleEvent("SCAN", replyWith(events.Text("another code")))
	mux.HandleDefault(replyWith(events.Text("default")))

	scan := func(scene string) string {
		return strings.Replace(sampleScan, "SCENE_VALUE", scene, 1)
	}
	follow := func(key string) string {
		return strings.Replace(sampleSubscribeByCode, "qrscene_123123",
			key, 1)
	}
	for message, want := range map[string]string{
		scan("shop-1"):                 "a shop",
		scan("shop-"):                  "a shop",
		scan("shop-7"):                 "shop 7",
		scan("shop-77"):                "seventh shops",
		scan("shop-7 "):                "seventh shops",
		scan("421"):                    "another code",
		scan("4"):                      "another code",
		follow("qrscene_shop-1"):       "a shop",
		follow("qrscene_shop-7"):       "shop 7",
		scan("展会/1"):                   "fair",
		follow("qrscene_展会/1"):         "fair",
		scan("42"):                     "forty-two",
		scan("shop"):                   "another code",
		scan("Shop-7"):                 "another code",
		scan("qrscene_shop-7"):         "another code",
		follow("qrscene_other"):        "welcome",
		follow("shop-7"):               "welcome", // no code was scanned
		follow("last_trade_no_shop-7"): "welcome",
		sampleSubscribe:                "welcome",
		sampleText:                     "default",
		strings.Replace(sampleScanCode, "scancode_push", "CLICK", 1):               "clicked",
		strings.Replace(sampleScanCode, "scancode_push", "VIEW", 1):                "default",
		strings.Replace(sampleSubscribe, "subscribe", "unsubscribe", 1):            "default",
		strings.Replace(scan("shop-7"), "<![CDATA[event]]>", "text", 1):            "default",
		strings.Replace(scan("shop-7"), "[SCAN]", "[scan]", 1):                     "shop 7",
		strings.Replace(follow("qrscene_shop-1"), "[subscribe]", "[Subscribe]", 1): "a shop",
	} {
		ev, err := events.Parse([]byte(message))
		require.NoError(t, err)
		reply, err := mux.Serve(t.Context(), ev)
		require.NoError(t, err)
		assert.Equal(t, events.Text(want), reply, message)
	}
}

func TestMuxOfNothing(t *testing.T) {
	t.Parallel()
	var mux events.Mux
	ev, err := events.Parse([]byte(sampleScan))
	require.NoError(t, err)
	reply, err := mux.Serve(t.Context(), ev)
	require.NoError(t, err)
	assert.Nil(t, reply)
	assert.Equal(t, "success",
		wechat().clear(sampleScan).to(newHandler(t, plainMode(), mux.Serve, nil)).Body.String())

	mux.HandleScenePrefix("", scanReply("every code"))
	reply, err = mux.Serve(t.Context(), ev)
	require.NoError(t, err)
	assert.Equal(t, events.Text("every code"), reply)
	reply, err = mux.Serve(t.Context(), &wechatqr.Event{
		MsgType: "event", Type: wechatqr.EventUnsubscribe,
	})
	require.NoError(t, err)
	assert.Nil(t, reply, "it is no scan")
}

// A key may be as long as a body: finding out that no prefix is its own takes
// no longer then.
func TestMuxOfLongKey(t *testing.T) {
	t.Parallel()
	var mux events.Mux
	for i := range 100 {
		mux.HandleScenePrefix(fmt.Sprint("shop-", i), scanReply(""))
		mux.HandleScene(fmt.Sprint("shop-", i), scanReply(""))
	}
	mux.HandleDefault(replyWith(events.Text("default")))
	ev := &wechatqr.Event{MsgType: "event", Type: wechatqr.EventScan,
		EventKey: strings.Repeat("x", 64<<20)}
	for range 10 { // 64 MiB hashed a byte less each time would take days
		reply, err := mux.Serve(t.Context(), ev)
		require.NoError(t, err)
		require.Equal(t, events.Text("default"), reply)
	}
}

// The mistakes of a set-up show when it is made.
func TestMuxPanicsOnMistakes(t *testing.T) {
	t.Parallel()
	fn, scanFn := replyWith(nil), scanReply("")
	for name, set := range map[string]func(*events.Mux){
		"a nil scene function":  func(m *events.Mux) { m.HandleScene("a", nil) },
		"a nil prefix function": func(m *events.Mux) { m.HandleScenePrefix("a", nil) },
		"a nil event function":  func(m *events.Mux) { m.HandleEvent("a", nil) },
		"a nil default":         func(m *events.Mux) { m.HandleDefault(nil) },
		"a scene of no key":     func(m *events.Mux) { m.HandleScene("", scanFn) },
		"a scene twice": func(m *events.Mux) {
			m.HandleScene("a", scanFn)
			m.HandleScene("a",
				scanFn)
		},
		"a prefix twice": func(m *events.Mux) {
			m.HandleScenePrefix("a", scanFn)
			m.HandleScenePrefix("a", scanFn)
		},
		"an event twice": func(m *events.Mux) {
			m.HandleEvent("SCAN", fn)
			m.HandleEvent("scan", fn)
		},
		"a second default": func(m *events.Mux) { m.HandleDefault(fn); m.HandleDefault(fn) },
	} {
		assert.Panics(t, func() { set(new(events.Mux)) }, name)
	}
	assert.NotPanics(t, func() {
		var m events.Mux
		m.HandleScene("a", scanFn)
		m.HandleScene("A", scanFn)
		m.HandleScenePrefix("a", scanFn)
		m.HandleEvent("a", fn)
		m.HandleDefault(fn)
	})
}

// scanReply answers a scan with text.
func scanReply(text string) events.ScanFunc {
	return func(context.Context, wechatqr.Scan, *wechatqr.Event) (events.Reply, error) {
		return events.Text(text), nil
	}
}

// Shop 7's function hears of shop 7 alone, and is told who scanned.
func TestSceneOfOneIsNotSceneOfTen(t *testing.T) {
	t.Parallel()
	var scans []wechatqr.Scan
	var mux events.Mux
	mux.HandleScene("7", func(
		_ context.Context, scan wechatqr.Scan, ev *wechatqr.Event,
	) (events.Reply, error) {
		want, ok := ev.Scan()
		assert.True(t, ok)
		assert.Equal(t, want, scan)
		scans = append(scans, scan)
		return nil, nil
	})
	for _, key := range []string{"7", "70", "17", "07"} {
		ev := wechatqr.Event{
			MsgType: "event", Type: wechatqr.EventScan, EventKey: key, FromUserName: testUser,
		}
		_, err := mux.Serve(t.Context(), &ev)
		require.NoError(t, err)
	}
	assert.Equal(t, []wechatqr.Scan{{SceneKey: "7", OpenID: testUser}}, scans)
}
