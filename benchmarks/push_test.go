package benchmarks

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha1" //nolint:gosec // WeChat's choice
	"encoding/base64"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/events"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

const (
	openID = "o9AgO5Kd5ggOC-bXrbNODIiE3bGY"
	scene  = "shop-00000007"
	ticket = "gQH47joAAAAAAAAAASxodHRwOi8vd2VpeGluLnFxLmNvbS9xL2taZ2Z3TVRtNzJXV1Brb3ZhYmJJAAIEZ23s" +
		"UwMEmm3sUw=="
)

// plain and safeMode are the configurations of plaintext and of safe mode.
func plain() events.Config {
	return events.Config{Token: "spamtest", Plaintext: true}
}

func safeMode() events.Config {
	return events.Config{AppID: "wx2c2769f8efd9abc2", Token: "spamtest",
		EncodingAESKey: "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"}
}

func scanEvent() wechatqr.Event {
	return wechatqr.Event{FromUserName: openID, Type: wechatqr.EventScan, EventKey: scene,
		Ticket: ticket}
}

func subscribeEvent() wechatqr.Event {
	return wechatqr.Event{FromUserName: openID, Type: wechatqr.EventSubscribe,
		EventKey: "qrscene_" + scene, Ticket: ticket}
}

// push is a request that can be made anew.
type push struct {
	target string
	query  url.Values
	body   []byte
}

func newPush(tb testing.TB, cfg events.Config, ev wechatqr.Event) push {
	tb.Helper()
	r := wechatqrtest.NewRequest(cfg, ev)
	body, err := io.ReadAll(r.Body)
	require.NoError(tb, err)
	return push{r.URL.String(), r.URL.Query(), body}
}

var contentType = []string{"text/xml"}

func (p push) request() *http.Request {
	r := httptest.NewRequest(http.MethodPost, p.target, bytes.NewReader(p.body))
	r.Header["Content-Type"] = contentType
	return r
}

// events that a push may tell of, and what is to be read out of them.
func pushes() map[string]struct {
	event wechatqr.Event
	want  scan
} {
	return map[string]struct {
		event wechatqr.Event
		want  scan
	}{
		"SCAN":      {scanEvent(), scan{openID, scene, false}},
		"subscribe": {subscribeEvent(), scan{openID, scene, true}},
	}
}

func TestParse(t *testing.T) {
	for name, p := range pushes() {
		message := newPush(t, plain(), p.event).body
		for _, a := range adapters() {
			t.Run(name+"/"+a.name, func(t *testing.T) {
				got, err := a.parse(message)
				require.NoError(t, err)
				require.Equal(t, p.want, got)
			})
		}
		t.Run(name+"/hand scanner", func(t *testing.T) {
			got, err := handScan(message)
			require.NoError(t, err)
			require.Equal(t, p.want, got)
		})
		t.Run(name+"/encoding xml", func(t *testing.T) {
			got, err := xmlScan(message)
			require.NoError(t, err)
			require.Equal(t, p.want, got)
		})
	}
}

func TestOpenParse(t *testing.T) {
	for name, p := range pushes() {
		sent := newPush(t, safeMode(), p.event)
		for _, a := range adapters() {
			t.Run(name+"/"+a.name, func(t *testing.T) {
				got, err := a.opener(t, safeMode())(sent.query, sent.body)
				require.NoError(t, err)
				require.Equal(t, p.want, got)
			})
		}
	}
}

func BenchmarkParseScan(b *testing.B) {
	benchmarkParse(b, scanEvent(), scan{openID, scene, false})
}

func BenchmarkParseSubscribe(b *testing.B) {
	benchmarkParse(b, subscribeEvent(), scan{openID, scene, true})
}

func benchmarkParse(b *testing.B, ev wechatqr.Event, want scan) {
	message := newPush(b, plain(), ev).body
	bench := func(name string, parse func([]byte) (scan, error)) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			var got scan
			var err error
			for b.Loop() {
				got, err = parse(message)
			}
			require.NoError(b, err)
			require.Equal(b, want, got)
		})
	}
	bench("encoding/xml", xmlScan)
	bench("hand scanner", handScan)
	for _, a := range adapters() {
		bench(a.name, a.parse)
	}
}

// xmlScan is the usual way.
func xmlScan(message []byte) (scan, error) {
	var m struct {
		XMLName                                          xml.Name `xml:"xml"`
		ToUserName, FromUserName                         string
		CreateTime                                       int64
		MsgType, Event, EventKey, Ticket, Content, MsgId string
	}
	if err := xml.Unmarshal(message, &m); err != nil {
		return scan{}, err
	}
	return sceneOf(m.Event, m.FromUserName, m.EventKey), nil
}

// handScan looks for the elements it needs and at nothing else: no reader of
// pushes can do with much less, and none should do with as little.
func handScan(message []byte) (scan, error) {
	text := string(message)
	element := func(start string) string {
		_, rest, _ := strings.Cut(text, start)
		value, _, _ := strings.Cut(rest, "]]>")
		return value
	}
	got := sceneOf(element("<Event><![CDATA["), element("<FromUserName><![CDATA["),
		element("<EventKey><![CDATA["))
	if got.openID == "" {
		return scan{}, errors.New("no FromUserName")
	}
	return got, nil
}

func BenchmarkOpenParse(b *testing.B) {
	cfg := safeMode()
	p := newPush(b, cfg, scanEvent())
	b.Run("bare crypto", func(b *testing.B) {
		crypto := bareCrypto(b, cfg, p)
		b.ReportAllocs()
		var got []byte
		for b.Loop() {
			got = crypto()
		}
		require.Contains(b, string(got), "<EventKey><![CDATA["+scene+"]]>")
	})
	for _, a := range adapters() {
		b.Run(a.name, func(b *testing.B) {
			open := a.opener(b, cfg)
			b.ReportAllocs()
			var got scan
			var err error
			for b.Loop() {
				got, err = open(p.query, p.body)
			}
			require.NoError(b, err)
			require.Equal(b, scan{openID, scene, false}, got)
		})
	}
}

// bareCrypto does the two SHA-1, the base64 and the AES-CBC of one push; the
// rest was done before.
func bareCrypto(tb testing.TB, cfg events.Config, p push) func() []byte {
	tb.Helper()
	var envelope struct{ Encrypt string }
	require.NoError(tb, xml.Unmarshal(p.body, &envelope))
	encrypt := []byte(envelope.Encrypt)
	sorted := func(parts ...string) []byte {
		parts = append(parts, cfg.Token, p.query.Get("timestamp"), p.query.Get("nonce"))
		slices.Sort(parts)
		return []byte(strings.Join(parts, ""))
	}
	signed := [][]byte{sorted(), sorted(envelope.Encrypt)} // signature and msg_signature
	key, err := base64.StdEncoding.DecodeString(cfg.EncodingAESKey + "=")
	require.NoError(tb, err)
	block, err := aes.NewCipher(key)
	require.NoError(tb, err)
	return func() []byte {
		var sum [sha1.Size]byte
		for _, s := range signed {
			sum = sha1.Sum(s) //nolint:gosec // WeChat's choice
		}
		raw := make([]byte, base64.StdEncoding.DecodedLen(len(encrypt)))
		n, err := base64.StdEncoding.Decode(raw, encrypt)
		if err != nil || sum[0] == 0 && sum[1] == 0 && sum[2] == 0 && sum[3] == 0 {
			return nil
		}
		cipher.NewCBCDecrypter(block, key[:aes.BlockSize]).CryptBlocks(raw[:n], raw[:n])
		return raw[:n]
	}
}

func TestChecks(t *testing.T) {
	now := time.Now()
	old := func(ev wechatqr.Event) wechatqr.Event {
		ev.CreateTime = now.Add(-time.Hour)
		return ev
	}
	otherToken, otherApp := safeMode(), safeMode()
	otherToken.Token = "another"
	otherApp.AppID = "wxba5fad812f8e6fb9"
	plainOther := plain()
	plainOther.Token = "another"
	for _, wrong := range []struct {
		check Check
		name  string
		cfg   events.Config
		push  push
	}{
		{Signature, "plain", plain(), newPush(t, plainOther, scanEvent())},
		{Signature, "safe", safeMode(), newPush(t, otherToken, scanEvent())},
		{Age, "plain", plain(), newPush(t, plain(), old(scanEvent()))},
		{Age, "safe", safeMode(), newPush(t, safeMode(), old(scanEvent()))},
		{AppID, "safe", safeMode(), newPush(t, otherApp, scanEvent())},
	} {
		for i, a := range adapters() {
			library := Libraries()[i]
			require.Equal(t, library.Name, a.name, "the two lists go together")
			t.Run(string(wrong.check)+"/"+wrong.name+"/"+a.name, func(t *testing.T) {
				told := false
				h := a.handler(t, wrong.cfg, func(scan) string { told = true; return "" })
				h.ServeHTTP(httptest.NewRecorder(), wrong.push.request())
				require.Equal(t, slices.Contains(library.Skips, wrong.check), told)
			})
		}
	}
}
