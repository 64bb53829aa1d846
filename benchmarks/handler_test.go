package benchmarks

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr/events"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

const welcome = "欢迎光临 <a&b>"

func TestHandle(t *testing.T) {
	for mode, cfg := range map[string]events.Config{"plain": plain(), "safe": safeMode()} {
		for name, p := range pushes() {
			for _, a := range adapters() {
				t.Run(mode+"/"+name+"/"+a.name, func(t *testing.T) {
					for _, text := range []string{"", welcome} {
						checkHandler(t, a.name, a.handler, cfg, newPush(t, cfg, p.event),
							p.want, text)
					}
				})
			}
		}
	}
}

// checkHandler requires that the function hears of the push and that WeChat
// would understand the response.
func checkHandler(tb testing.TB, name string,
	handler func(testing.TB, events.Config, func(scan) string) http.Handler,
	cfg events.Config, p push,
	want scan, text string) {
	tb.Helper()
	var got scan
	w := httptest.NewRecorder()
	handler(tb, cfg, func(s scan) string { got = s; return text }).ServeHTTP(w, p.request())
	require.Equal(tb, http.StatusOK, w.Code, w.Body)
	require.Equal(tb, want, got)
	reply, err := wechatqrtest.ParseReply(cfg, w.Body.Bytes())
	if name == "PowerWeChat" && text != "" {
		require.ErrorContains(tb, err, "CreateTime", "what the table says of it")
		return
	}
	require.NoError(tb, err)
	require.Equal(tb, text, reply.Content)
	if text != "" {
		require.Equal(tb, want.openID, reply.ToUserName)
		require.Equal(tb, cfg.EncodingAESKey != "", reply.Encrypted)
	}
}

func BenchmarkHandlePlain(b *testing.B)          { benchmarkHandle(b, plain(), "") }
func BenchmarkHandlePlainReply(b *testing.B)     { benchmarkHandle(b, plain(), welcome) }
func BenchmarkHandleEncrypted(b *testing.B)      { benchmarkHandle(b, safeMode(), "") }
func BenchmarkHandleEncryptedReply(b *testing.B) { benchmarkHandle(b, safeMode(), welcome) }

func benchmarkHandle(b *testing.B, cfg events.Config, text string) {
	p := newPush(b, cfg, scanEvent())
	b.Run("empty handler", func(b *testing.B) {
		serve(b, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), p)
	})
	bench := func(name string,
		handler func(testing.TB, events.Config, func(scan) string) http.Handler) {
		b.Run(name, func(b *testing.B) {
			checkHandler(b, name, handler, cfg, p, scan{openID, scene, false}, text)
			told := 0
			served := serve(b, handler(b, cfg, func(scan) string { told++; return text }), p)
			require.Equal(b, served, told)
		})
	}
	for _, a := range adapters() {
		bench(a.name, a.handler)
		if a.name == "wechatqr" && cfg.EncodingAESKey == "" {
			bench("wechatqr deduping", func(tb testing.TB, cfg events.Config,
				fn func(scan) string) http.Handler {
				return wechatqrHandler(tb, cfg, fn)
			})
		}
	}
}

// serve returns how many requests h was given. In plaintext mode each is of
// another event: the signature does not cover the body.
func serve(b *testing.B, h http.Handler, p push) int {
	b.Helper()
	n := 0
	p.body = bytes.Clone(p.body)
	var digits []byte
	if at := bytes.Index(p.body, []byte(scene)); at >= 0 {
		digits = p.body[at+len("shop-") : at+len(scene)]
	}
	b.ReportAllocs()
	for b.Loop() {
		n++
		number(digits, n)
		h.ServeHTTP(httptest.NewRecorder(), p.request())
	}
	return n
}

// number writes n in decimal, with leading zeros.
func number(to []byte, n int) {
	for i := len(to) - 1; i >= 0; i-- {
		to[i] = byte('0' + n%10)
		n /= 10
	}
}

const largeSize = 64 << 20

// largeBody is one message of 64 MiB that is never held as a whole.
func largeBody() io.Reader {
	return io.MultiReader(
		strings.NewReader(`<xml><ToUserName><![CDATA[gh_97417a04a28d]]></ToUserName><FromUserName>`+
			`<![CDATA[`+openID+
			`]]></FromUserName><CreateTime>1408091189</CreateTime><MsgType><![CDATA[text]]></MsgType>`+
			`<Content><![CDATA[`),
		io.LimitReader(endless{}, largeSize),
		strings.NewReader(`]]></Content><MsgId>6054768590064713728</MsgId></xml>`),
	)
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'a'
	}
	return len(p), nil
}

// BenchmarkLargePost is of somebody who has seen one signed URL.
func BenchmarkLargePost(b *testing.B) { benchmarkLargePost(b, plain()) }

// BenchmarkLargePostUnsigned is of anybody.
func BenchmarkLargePostUnsigned(b *testing.B) {
	other := plain()
	other.Token = "another"
	benchmarkLargePost(b, other)
}

func benchmarkLargePost(b *testing.B, signer events.Config) {
	p := newPush(b, signer, scanEvent())
	for _, a := range adapters() {
		b.Run(a.name, func(b *testing.B) {
			h := a.handler(b, plain(), func(scan) string { return "" })
			b.ReportAllocs()
			for b.Loop() {
				// A body of unknown length.
				r := httptest.NewRequest(http.MethodPost, p.target, largeBody())
				r.Header["Content-Type"] = contentType
				h.ServeHTTP(httptest.NewRecorder(), r)
			}
		})
	}
}
