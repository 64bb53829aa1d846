package events_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha1" //nolint:gosec // WeChat's choice
	"encoding/base64"
	"encoding/xml"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/events"
)

// beside runs subject and its floor by turns, so that whatever else the
// machine does hits both, and reports how many times the floor subject takes.
func beside(b *testing.B, floor, subject func()) {
	b.Helper()
	floor()
	subject()
	var below, above time.Duration
	const turn = 200
	n := 0
	for b.Loop() {
		start := time.Now()
		for range turn {
			floor()
		}
		middle := time.Now()
		for range turn {
			subject()
		}
		below, above = below+middle.Sub(start), above+time.Since(middle)
		n += turn
	}
	b.ReportMetric(float64(above)/float64(n), "ns/op")
	b.ReportMetric(float64(below)/float64(n), "floor-ns/op")
	b.ReportMetric(float64(above)/float64(below), "x-floor")
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

// BenchmarkOpenParse has the bare SHA-1, base64 and AES-CBC for its floor.
func BenchmarkOpenParse(b *testing.B) {
	s := wechat()
	p := s.sealed(b, scanPush("shop-7"))
	v, err := events.NewVerifier(safeMode())
	require.NoError(b, err)
	body := []byte(p.body)

	sealed := s.seal(b, scanPush("shop-7"))
	parts := []string{s.token, p.query.Get("timestamp"), testNonce, sealed}
	slices.Sort(parts)
	signed := []byte(strings.Join(parts, ""))
	key := aesKey(b, s.key)
	block, err := aes.NewCipher(key)
	require.NoError(b, err)
	beside(b, func() {
		_ = sha1.Sum(signed) //nolint:gosec // WeChat's choice
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
	fn := func(context.Context, *wechatqr.Event) (events.Reply, error) { return nil, nil }
	for _, c := range []struct {
		name string
		cfg  events.Config
		push push
	}{
		{"plain", plainMode(), wechat().clear(scanPush("shop-7"))},
		{"sealed", safeMode(), wechat().sealed(b, scanPush("shop-7"))},
	} {
		for _, d := range []struct {
			name string
			opts []events.HandlerOption
		}{
			{"", []events.HandlerOption{events.WithDeduper(nil)}},
		} {
			h, err := events.NewHandler(c.cfg, fn, d.opts...)
			require.NoError(b, err)
			run := func(h http.Handler, r *http.Request, body *bytes.Reader) func() {
				return func() {
					_, _ = body.Seek(0, io.SeekStart)
					w := httptest.NewRecorder()
					h.ServeHTTP(w, r)
					if w.Code != http.StatusOK {
						b.Fatal(w.Code, w.Body)
					}
				}
			}
			fresh := func(h http.Handler) func() {
				target := "/callback?" + c.push.query.Encode()
				return func() {
					w := httptest.NewRecorder()
					h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, target, strings.NewReader(c.push.body)))
				}
			}
			body := bytes.NewReader([]byte(c.push.body))
			r := c.push.request()
			r.Body = io.NopCloser(body)
			b.Run(c.name+d.name+"/reused", func(b *testing.B) { beside(b, run(empty, r, body), run(h, r, body)) })
			b.Run(c.name+d.name+"/fresh", func(b *testing.B) { beside(b, fresh(empty), fresh(h)) })
		}
	}
}
