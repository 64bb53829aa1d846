package events_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha1"
	"encoding/base64"
	"encoding/xml"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr/events"
)

// beside runs subject and its floor by turns, and reports how many times the
// floor subject takes. The median turn counts, so that a turn in which the
// machine was busy with something else does not.
func beside(b *testing.B, floor, subject func()) {
	b.Helper()
	const each = 2000 // so many that the garbage collector has its share of every turn
	turn := func(do func()) float64 {
		start := time.Now()
		for range each {
			do()
		}
		return float64(time.Since(start)) / each
	}
	turn(floor)
	turn(subject)
	var below, above []float64
	for b.Loop() {
		below, above = append(below, turn(floor)), append(above, turn(subject))
	}
	median := func(turns []float64) float64 {
		slices.Sort(turns)
		return turns[len(turns)/2]
	}
	b.ReportMetric(median(above), "ns/op")
	b.ReportMetric(median(below), "floor-ns/op")
	b.ReportMetric(median(above)/median(below), "x-floor")
	b.ReportMetric(testing.AllocsPerRun(1000, subject), "own-allocs/op")
	b.ReportMetric(testing.AllocsPerRun(1000, floor), "floor-allocs/op")
}

// BenchmarkParseScan has encoding/xml for its floor, the usual way.
func BenchmarkParseScan(b *testing.B) {
	message := []byte(scanPush("shop-7"))
	beside(b, func() {
		var v struct {
			XMLName                                          xml.Name `xml:"xml"`
			ToUserName, FromUserName                         string
			CreateTime                                       int64
			MsgType, Event, EventKey, Ticket, Content, MsgId string
		}
		if err := xml.Unmarshal(message, &v); err != nil || v.EventKey != "shop-7" {
			b.Fatal(err)
		}
	}, func() {
		ev, err := events.Parse(message)
		if err != nil || ev.EventKey != "shop-7" {
			b.Fatal(err)
		}
	})
}

// BenchmarkOpenParse has the bare SHA-1 of both signatures, base64 and AES-CBC
// for its floor.
func BenchmarkOpenParse(b *testing.B) {
	s := wechat()
	p := s.sealed(b, scanPush("shop-7"))
	v, err := events.NewVerifier(safeMode())
	require.NoError(b, err)
	body := []byte(p.body)

	sealed := s.seal(b, scanPush("shop-7"))
	parts := []string{s.token, p.query.Get("timestamp"), testNonce, sealed}
	signedURL := []byte(strings.Join(parts[:3], ""))
	slices.Sort(parts)
	signed := []byte(strings.Join(parts, ""))
	key := aesKey(b, s.key)
	block, err := aes.NewCipher(key)
	require.NoError(b, err)
	beside(b, func() {
		_, _ = sha1.Sum(signedURL), sha1.Sum(signed)
		raw := make([]byte, base64.StdEncoding.DecodedLen(len(sealed)))
		n, err := base64.StdEncoding.Decode(raw, []byte(sealed))
		if err != nil {
			b.Fatal(err)
		}
		cipher.NewCBCDecrypter(block, key[:16]).CryptBlocks(raw[:n], raw[:n])
	}, func() {
		message, err := v.Open(p.query, body)
		if err != nil {
			b.Fatal(err)
		}
		if ev, err := events.Parse(message); err != nil || ev.EventKey != "shop-7" {
			b.Fatal(err)
		}
	})
}

// BenchmarkHandler has an empty handler under the same recorder for its floor.
func BenchmarkHandler(b *testing.B) {
	empty := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	for _, c := range []struct {
		name  string
		cfg   events.Config
		push  push
		reply events.Reply
	}{
		{"plain", plainMode(), wechat().clear(scanPush("shop-7")), nil},
		{"plain with a reply", plainMode(), wechat().clear(scanPush("shop-7")),
			events.Text("欢迎光临")},
		{"sealed", safeMode(), wechat().sealed(b, scanPush("shop-7")), nil},
		{"sealed with a reply", safeMode(), wechat().sealed(b, scanPush("shop-7")),
			events.Text("欢迎光临")},
	} {
		target := "/callback?" + c.push.query.Encode()
		serve := func(h http.Handler) func() {
			return func() {
				w := httptest.NewRecorder()
				h.ServeHTTP(w,
					httptest.NewRequest(http.MethodPost, target, strings.NewReader(c.push.body)))
				if w.Code != http.StatusOK {
					b.Fatal(w.Code, w.Body)
				}
			}
		}
		b.Run(c.name, func(b *testing.B) {
			beside(b, serve(empty), serve(newHandler(b, c.cfg, replyWith(c.reply), nil,
				events.WithDeduper(nil))))
		})
	}
	b.Run("plain, deduped", func(b *testing.B) {
		// Another event each time: the signature does not cover the body.
		h := newHandler(b, plainMode(), nil, nil)
		p := wechat().clear("")
		target := "/callback?" + p.query.Encode()
		n := 0
		serve := func(h http.Handler) func() {
			return func() {
				n++
				w := httptest.NewRecorder()
				h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, target,
					strings.NewReader(scanPush(strconv.Itoa(n)))))
			}
		}
		beside(b, serve(empty), serve(h))
	})
}
