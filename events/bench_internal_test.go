package events

import (
	"context"
	"crypto/cipher"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
)

// BenchmarkScan shows what the second XML scanner buys: encoding/xml takes some 20
// times as long.
func BenchmarkScan(b *testing.B) {
	message := []byte("<xml><ToUserName><![CDATA[gh_97417a04a28d]]></ToUserName>\n" +
		"<FromUserName><![CDATA[o9AgO5Kd5ggOC-bXrbNODIiE3bGY]]></FromUserName>\n" +
		"<CreateTime>1714112445</CreateTime>\n" +
		"<MsgType><![CDATA[event]]></MsgType>\n<Event><![CDATA[SCAN]]></Event>\n<EventKey>" +
		"<![CDATA[shop-7]]></EventKey>\n" +
		"<Ticket><![CDATA[" + strings.Repeat("gQH4", 24) + "]]></Ticket>\n</xml>")
	b.Run("encoding xml", func(b *testing.B) {
		for b.Loop() {
			var f fields
			require.NoError(b, f.scanXML(message))
		}
	})
	b.Run("by hand", func(b *testing.B) {
		for b.Loop() {
			var f fields
			require.True(b, f.scanFast(message, elementCount))
		}
	})
}

// BenchmarkDecrypt has crypto/cipher for its floor, on the 448 bytes of a scan.
func BenchmarkDecrypt(b *testing.B) {
	p, err := newKeyPair(Keys{Token: "token", EncodingAESKey: strings.Repeat("A", 43)}, false)
	require.NoError(b, err)
	message := make([]byte, 448)
	for name, decrypt := range map[string]func(){
		"crypto/cipher": func() {
			cipher.NewCBCDecrypter(p.block, p.iv[:]).CryptBlocks(message, message)
		},
		"by hand": func() { p.decrypt(message) },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				decrypt()
			}
		})
	}
}

// BenchmarkCalls shows what keeping the calls saves a delivery: the call, its
// channel and its timer, which are five allocations and a third of the time.
func BenchmarkCalls(b *testing.B) {
	for _, kept := range []bool{false, true} {
		b.Run(map[bool]string{false: "new", true: "kept"}[kept], func(b *testing.B) {
			fn := func(context.Context, *wechatqr.Event) (Reply, error) { return nil, nil }
			h, err := NewHandler(Config{Token: "token", Plaintext: true}, fn, WithDeduper(nil))
			require.NoError(b, err)
			b.ReportAllocs()
			for b.Loop() {
				if !kept {
					h.calls.Get()
				}
				d := Delivery{Event: &wechatqr.Event{}}
				require.NoError(b, h.deliver(b.Context(), time.Now(), &d).err)
			}
		})
	}
}
