package events_test

import (
	"bytes"
	"encoding"
	"encoding/base64"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/events"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// ever accepts the published messages, which are years old.
const ever = 200 * 365 * 24 * time.Hour

func newVerifier(t testing.TB, cfg events.Config) *events.Verifier {
	t.Helper()
	v, err := events.NewVerifier(cfg)
	require.NoError(t, err)
	return v
}

// The published messages that WeChat's pages and demo open.
func TestOpenVectors(t *testing.T) {
	t.Parallel()
	const (
		e3 = "+qdx1OKCy+5JPCBFWw70tm0fJGb2Jmeia4FCB7kao+/Q5c/ohsOzQHi8khUOb05JCpj0JB4RvQMkUyus8TPxLKJG" +
			"QqcvZqzDpVzazhZv6JsXUnnR8XGT740XgXZUXQ7vJVnAG+tE8NUd4yFyjPy7GgiaviNrlCTj+l5kdfMuFUPpRSrfMZuM" +
			"cp3Fn2Pede2IuQrKEYwKSqFIZoNqJ4M8EajAsjLY2km32IIjdf8YL/P50F7mStwntrA2cPDrM1kb6mOcfBgRtWygb3VI" +
			"YnSeOBrebufAlr7F9mFUPAJGj04="
		m3 = `{"ToUserName":"gh_97417a04a28d","FromUserName":"o9AgO5Kd5ggOC-bXrbNODIiE3bGY",` +
			`"CreateTime":1714112445,"MsgType":"event","Event":"debug_demo","debug_str":"hello world"}`
		e5 = "hyzAe4OzmOMbd6TvGdIOO6uBmdJoD0Fk53REIHvxYtJlE2B655HuD0m8KUePWB3+LrPXo87wzQ1QLvbeUgmBM4x6" +
			"F8PGHQHFVAFmOD2LdJF9FrXpbUAh0B5GIItb52sn896wVsMSHGuPE328HnRGBcrS7C41IzDWyWNlZkyyXwon8T332jis" +
			"a+h6tEDYsVticbSnyU8dKOIbgU6ux5VTjg3yt+WGzjlpKn6NPhRjpA912xMezR4kw6KWwMrCVKSVCZciVGCgavjIQ6X8" +
			"tCOp3yZbGpy0VxpAe+77TszTfRd5RJSVO/HTnifJpXgCSUdUue1v6h0EIBYYI1BD1DlD+C0CR8e6OewpusjZ4uBl9FyJ" +
			"vnhvQl+q5rv1ixrcpCumEPo5MJSgM9ehVsNPfUM669WuMyVWQLCzpu9GhglF2PE="
	)
	official := events.Config{AppID: "wxba5fad812f8e6fb9", Token: "AAAAA",
		EncodingAESKey: strings.Repeat("A", 43), MaxAge: ever}
	q3 := url.Values{
		"signature": {"6c5c811b55cc85e0e1b54100749188c20beb3f5d"}, "timestamp": {"1714112445"},
		"nonce":  {"415670741"},
		"openid": {"o9AgO5Kd5ggOC-bXrbNODIiE3bGY"}, "encrypt_type": {"aes"},
		"msg_signature": {"046e02f8204d34f8ba5fa3b1db94908f3df2e9b3"},
	}
	for name, body := range map[string]string{
		"XML": "<xml>\n    <ToUserName><![CDATA[gh_97417a04a28d]]></ToUserName>\n    " +
			"<Encrypt><![CDATA[" + e3 + "]]></Encrypt>\n</xml>",
		"JSON": `{"ToUserName":"gh_97417a04a28d","Encrypt":"` +
			strings.ReplaceAll(e3, "/", `\/`) + `"}`,
	} {
		t.Run("safe mode, "+name, func(t *testing.T) {
			t.Parallel()
			v := newVerifier(t, official)
			message, err := v.Open(q3, []byte(body))
			require.NoError(t, err)
			assert.Equal(t, m3, string(message))

			r := httptest.NewRequest(http.MethodPost, "/?"+q3.Encode(), strings.NewReader(body))
			ev, err := v.ParseRequest(r)
			require.NoError(t, err)
			assert.Equal(t, wechatqr.EventType("debug_demo"), ev.Type)
			assert.Equal(t, m3, string(ev.Raw))
		})
	}
	t.Run("compatible mode", func(t *testing.T) {
		t.Parallel()
		v := newVerifier(t, events.Config{
			AppID: "wx2c2769f8efd9abc2", Token: testToken, EncodingAESKey: testKey, MaxAge: ever,
		})
		q := url.Values{
			"timestamp": {"1409735669"}, "nonce": {"1320562132"}, "encrypt_type": {"aes"},
			"msg_signature": {"5d197aaffba7e9b25a30732f161a50dee96bd5fa"},
			"signature":     {"16120ec1b8dbb870f510d87ce6bc2463eae6ca1a"},
		}
		body := `<xml><ToUserName><![CDATA[gh_10f6c3c3ac5a]]></ToUserName>
<FromUserName><![CDATA[forged]]></FromUserName><CreateTime>1409735668</CreateTime>
<MsgType><![CDATA[text]]></MsgType><Content><![CDATA[forged]]></Content>
<MsgId>6054768590064713728</MsgId><Encrypt><![CDATA[` + e5 + `]]></Encrypt></xml>`
		message, err := v.Open(q, []byte(body))
		require.NoError(t, err)
		assert.Len(t, message, 280)
		ev, err := events.Parse(message)
		require.NoError(t, err)
		assert.Equal(t, "abcdteT", ev.Content, "what was sealed is what is read")
		assert.Equal(t, "6054768590064713728", ev.MsgID)
		assert.Equal(t, "oyORnuP8q7ou2gfYjqLzSIWZf0rs", ev.FromUserName)
	})
	t.Run("plaintext mode", func(t *testing.T) {
		t.Parallel()
		v := newVerifier(t, events.Config{Token: "AAAAA", Plaintext: true, MaxAge: ever})
		q := url.Values{"signature": {"899cf89e464efb63f54ddac96b0a0a235f53aa78"},
			"timestamp": {"1714037059"}, "nonce": {"486452656"}}
		message, err := v.Open(q, []byte(m3))
		require.NoError(t, err)
		assert.Equal(t, m3, string(message))
	})
	t.Run("echo", func(t *testing.T) {
		t.Parallel()
		q := url.Values{
			"signature": {"f464b24fc39322e44b38aa78f5edd27bd1441696"}, "timestamp": {"1714036504"},
			"nonce":   {"1514711492"},
			"echostr": {"4375120948345356249"},
		}
		for _, cfg := range []events.Config{official,
			{Token: "AAAAA", Plaintext: true, MaxAge: ever}} {
			echo, err := newVerifier(t, cfg).Echo(q)
			require.NoError(t, err)
			assert.Equal(t, "4375120948345356249", echo)
		}
	})
}

// A message of which one bit was changed is refused, whichever bit it is.
func TestOpenRefusesEveryChangedBit(t *testing.T) {
	t.Parallel()
	v := newVerifier(t, safeMode())
	s := wechat()
	sealed := s.seal(t, scanPush("shop-7"))
	p := s.envelope(envelope(sealed), sealed)
	_, err := v.Open(p.query, []byte(p.body))
	require.NoError(t, err)

	changed := 0
	for _, name := range []string{"timestamp", "nonce", "signature", "msg_signature"} {
		value := p.query.Get(name)
		for i := range 8 * len(value) {
			b := []byte(value)
			b[i/8] ^= 1 << (i % 8)
			p.query.Set(name, string(b))
			_, err := v.Open(p.query, []byte(p.body))
			require.Error(t, err)
			switch name {
			case "timestamp":
				require.True(t,
					errors.Is(err, events.ErrBadSignature) || errors.Is(err, events.ErrStale) ||
						errors.Is(err, events.ErrMalformed), err)
			case "nonce":
				require.True(t,
					errors.Is(err, events.ErrBadSignature) || errors.Is(err, events.ErrMalformed),
					err)
			default:
				require.ErrorIs(t, err, events.ErrBadSignature, "%s: %q", name, b)
			}
			changed++
		}
		p.query.Set(name, value)
	}
	start := strings.Index(p.body, sealed)
	for i := range 8 * len(sealed) {
		b := []byte(p.body)
		b[start+i/8] ^= 1 << (i % 8)
		_, err := v.Open(p.query, b)
		require.Error(t, err, "%q", b)
		require.True(t,
			errors.Is(err, events.ErrBadSignature) || errors.Is(err, events.ErrMalformed),
			err)
		changed++
	}
	assert.Greater(t, changed, 5000)
}

// The counterpart of "another ToUserName" below.
func TestVerifierTakesItsAccount(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		cfg  events.Config
		push push
	}{
		"plaintext mode": {plainMode(), wechat().clear(scanPush("shop-7"))},
		"safe mode":      {safeMode(), wechat().sealed(t, scanPush("shop-7"))},
	} {
		c.cfg.Account = testAccount
		ev, err := newVerifier(t, c.cfg).ParseRequest(c.push.request())
		require.NoError(t, err, name)
		assert.Equal(t, testAccount, ev.ToUserName, name)
	}
}

// Each of these is a request that somebody could make, and what is said of it.
func TestVerifierRefuses(t *testing.T) {
	t.Parallel()
	s := wechat()
	message := scanPush("shop-7")
	sealed := s.seal(t, message)
	genuine := s.envelope(envelope(sealed), sealed)
	with := func(p push, change func(q url.Values)) push {
		q := url.Values{}
		for k, v := range p.query {
			q[k] = append([]string(nil), v...)
		}
		change(q)
		return push{q, p.body}
	}
	set := func(p push, k, v string) push { return with(p, func(q url.Values) { q.Set(k, v) }) }
	del := func(p push, k string) push { return with(p, func(q url.Values) { q.Del(k) }) }
	add := func(p push, k, v string) push { return with(p, func(q url.Values) { q.Add(k, v) }) }
	blocks := func(b []byte) push {
		sealed := s.encrypt(t, b)
		return s.envelope(envelope(sealed), sealed)
	}
	raw := func(b []byte) push { // a ciphertext of any length
		sealed := base64.StdEncoding.EncodeToString(b)
		return s.envelope(envelope(sealed), sealed)
	}
	// padded puts n bytes of padding, the last of value pad, the others of value fill.
	padded := func(n int, pad, fill byte) []byte {
		b := s.plaintext(message)
		// belongs to the AppID, which is not what is tested
		b = append(b, bytes.Repeat([]byte{' '}, (16-(len(b)+n)%16)%16)...)
		b = append(b, bytes.Repeat([]byte{fill}, n)...)
		b[len(b)-1] = pad
		return b
	}
	// oneByte is right but for its padding, a byte of any value.
	oneByte := func(pad byte) []byte {
		fit := message + strings.Repeat(" ", 31-(len(s.plaintext(message))%16))
		b := append(s.plaintext(fit), pad)
		return b[:len(b):len(b)]
	}
	length := func(n uint32) []byte {
		b := s.plaintext(message)
		b[16], b[17], b[18], b[19] = byte(n>>24), byte(n>>16), byte(n>>8), byte(n)
		return pkcs7(b)
	}
	other := sender{appID: "wx0000000000000000", token: s.token, key: s.key}
	otherToken := sender{appID: s.appID, token: "othertoken", key: s.key}
	otherKey := sender{appID: s.appID, token: s.token, key: strings.Repeat("B", 43)}
	ours := safeMode()
	account := safeMode()
	account.Account = "gh_another"
	ancient := plainMode()
	ancient.MaxAge = ever // for what the form alone refuses
	// compatible is a body of both modes.
	compatible := func(sealed string) string {
		return strings.Replace(scanPush("forged"), "</xml>",
			"<Encrypt><![CDATA["+sealed+"]]></Encrypt></xml>", 1)
	}
	const inside = -1

	type row struct {
		name   string
		cfg    events.Config
		push   push
		err    error
		status int // inside: it fails once decryption has begun
	}
	rows := []row{
		{"an unsigned body with encrypt_type=aes, no key", plainMode(),
			push{url.Values{"encrypt_type": {"aes"}}, message}, events.ErrNoSignature, 403},
		{"a sealed push, no key", plainMode(), genuine, events.ErrNoAESKey, 400},
		{"a plaintext body that says aes, no key", plainMode(),
			set(s.clear(message), "encrypt_type", "aes"), events.ErrNoAESKey, 400},
		{"an unknown encrypt_type, no key", plainMode(),
			set(s.clear(message), "encrypt_type", "rot13"),
			events.ErrNoAESKey, 400},
		{"an encrypt_type in capitals, no key", plainMode(),
			set(s.clear(message), "encrypt_type", "RAW"),
			events.ErrNoAESKey, 400},
		{"an encrypted body that says raw, no key", plainMode(),
			set(genuine, "encrypt_type", "raw"),
			events.ErrMalformed, 400},
		{"an unsigned body with encrypt_type=aes", ours,
			push{url.Values{"encrypt_type": {"aes"}}, message}, events.ErrNoSignature, 403},
		{"an unsigned body, safe mode", ours, push{nil, message}, events.ErrNoSignature, 403},
		{"another Token, safe mode", ours, otherToken.clear(message), events.ErrBadSignature, 403},
		{"a signed URL and a forged plaintext body", ours, s.envelope(message, sealed),
			events.ErrPlaintext, 403},
		{"no signature, safe mode", ours, del(genuine, "signature"), events.ErrNoSignature, 403},
		{"an empty signature, safe mode", ours, set(genuine, "signature", ""),
			events.ErrNoSignature,
			403},
		{"no signature, compatible mode", ours,
			del(s.envelope(compatible(sealed), sealed), "signature"),
			events.ErrNoSignature, 403},
		{"msg_signature for signature", ours,
			set(genuine, "signature", genuine.query.Get("msg_signature")),
			events.ErrBadSignature, 403},
		{"an unsigned envelope", ours, push{url.Values{"encrypt_type": {"aes"}}, genuine.body},
			events.ErrNoSignature, 403},
		{"a plaintext body", ours, s.clear(message), events.ErrPlaintext, 403},
		{"a plaintext body that says raw", ours, set(s.clear(message), "encrypt_type", "raw"),
			events.ErrPlaintext, 403},
		{"a plaintext body that says aes", ours, push{genuine.query, message},
			events.ErrPlaintext, 403},
		{"a plaintext body that says rot13", ours,
			push{set(genuine, "encrypt_type", "rot13").query, message}, events.ErrPlaintext, 403},
		{"an empty Encrypt", ours, push{genuine.query, envelope("")}, events.ErrPlaintext, 403},
		{"no msg_signature", ours, del(genuine, "msg_signature"), events.ErrNoSignature, 403},
		{"no msg_signature, compatible mode", ours,
			del(s.envelope(compatible(sealed), sealed), "msg_signature"),
			events.ErrNoSignature, 403},
		{"an empty msg_signature", ours, set(genuine, "msg_signature", ""),
			events.ErrNoSignature, 403},
		{"no timestamp", ours, del(genuine, "timestamp"), events.ErrNoSignature, 403},
		{"no nonce", ours, del(genuine, "nonce"), events.ErrNoSignature, 403},
		{"no signature", plainMode(), del(s.clear(message), "signature"),
			events.ErrNoSignature, 403},
		{"no query", plainMode(), push{nil, message}, events.ErrNoSignature, 403},
		{"msg_signature of another message", ours,
			s.envelope(envelope(s.seal(t, scanPush("a"))), s.seal(t, scanPush("b"))),
			events.ErrBadSignature,
			403},
		{"the URL's signature for msg_signature", ours,
			set(genuine, "msg_signature", genuine.query.Get("signature")),
			events.ErrBadSignature, 403},
		{"a valid URL signature around somebody else's ciphertext", ours,
			push{s.clear("").query, envelope(otherKey.seal(t, message))},
			events.ErrNoSignature, 403},
		{"the same, with their msg_signature", ours, otherToken.envelope(envelope(sealed), sealed),
			events.ErrBadSignature, 403},
		{"a signature in capitals", ours,
			set(genuine, "msg_signature", strings.ToUpper(genuine.query.Get("msg_signature"))),
			events.ErrBadSignature, 403},
		{"a signature too long", ours,
			set(genuine, "msg_signature", genuine.query.Get("msg_signature")+"0"),
			events.ErrBadSignature,
			403},
		{"another Token", plainMode(), otherToken.clear(message), events.ErrBadSignature, 403},
		{"another nonce", plainMode(), set(s.clear(message), "nonce", "1"),
			events.ErrBadSignature, 403},
		{"another key", ours,
			s.envelope(envelope(otherKey.seal(t, message)), otherKey.seal(t, message)),
			events.ErrDecrypt, inside},
		{"another account's AppID", ours,
			s.envelope(envelope(other.seal(t, message)), other.seal(t, message)),
			events.ErrWrongAccount,
			inside},
		{"no AppID", ours, blocks(pkcs7((sender{}).plaintext(message))),
			events.ErrWrongAccount, inside},
		{"more after the AppID", ours, blocks(pkcs7(append(s.plaintext(message), 'x'))),
			events.ErrWrongAccount, inside},
		{"another ToUserName", account, genuine, events.ErrWrongAccount, inside},
		{"another ToUserName, in the clear",
			events.Config{Token: testToken, Plaintext: true, Account: "gh_another"},
			s.clear(message),
			events.ErrWrongAccount, 403},
		{"no ToUserName", account, s.sealed(t, strings.Replace(message, testAccount, "", 1)),
			events.ErrWrongAccount, inside},
		{"Encrypt that is no base64", ours, s.envelope(envelope("%%%"), "%%%"), events.ErrDecrypt,
			inside},
		{"Encrypt in base64 for URLs", ours, s.envelope(envelope("-_"+sealed[2:]), "-_"+sealed[2:]),
			events.ErrDecrypt, inside},
		{"Encrypt cut off", ours,
			s.envelope(envelope(sealed[:len(sealed)-3]), sealed[:len(sealed)-3]),
			events.ErrDecrypt, inside},
		{"pad 0", ours, blocks(padded(16, 0, 0)), events.ErrDecrypt, inside},
		{"pad 33", ours, blocks(padded(48, 33, 33)), events.ErrDecrypt, inside},
		{"pad 255", ours, blocks(padded(16, 255, 255)), events.ErrDecrypt, inside},
		{"pad 16, the first wrong", ours,
			blocks(func() []byte { b := padded(16, 16, 16); b[len(b)-16] = 15; return b }()),
			events.ErrDecrypt, inside},
		{"pad 32, one wrong", ours,
			blocks(func() []byte { b := padded(32, 32, 32); b[len(b)-20] = 31; return b }()),
			events.ErrDecrypt, inside},
		{"all pad, three blocks", ours, blocks(bytes.Repeat([]byte{32}, 48)),
			events.ErrDecrypt, inside},
		{"pad 200, one byte", ours, blocks(oneByte(200)), events.ErrDecrypt, inside},
		{"pad 0, one byte", ours, blocks(oneByte(0)), events.ErrDecrypt, inside},
		{"all pad", ours, blocks(bytes.Repeat([]byte{32}, 32)), events.ErrDecrypt, inside},
		{"pad over the length field", ours, blocks(bytes.Repeat([]byte{16}, 32)), events.ErrDecrypt,
			inside},
		{"length beyond the end by one", ours,
			blocks(length(uint32(len(message) + len(s.appID) + 1))),
			events.ErrDecrypt, inside},
		{"length 2³¹", ours, blocks(length(1 << 31)), events.ErrDecrypt, inside},
		{"length 2³²−1", ours, blocks(length(1<<32 - 1)), events.ErrDecrypt, inside},
		{"length one short", ours, blocks(length(uint32(len(message) - 1))), events.ErrWrongAccount,
			inside},
		{"length to the end", ours, blocks(length(uint32(len(message) + len(s.appID)))),
			events.ErrWrongAccount, inside},
		{"length 0", ours, blocks(length(0)), events.ErrWrongAccount, inside},
		{"a sealed message that is no event", ours, s.sealed(t, "hello"),
			events.ErrMalformed, inside},
		{"an empty sealed message", ours, s.sealed(t, ""), events.ErrMalformed, inside},
		{"an event that is none", plainMode(), s.clear("hello"), events.ErrMalformed, 400},
		{"an empty body", plainMode(), s.clear(""), events.ErrMalformed, 400},
		{"an empty body, safe mode", ours, push{genuine.query, ""}, events.ErrMalformed, 400},
		{"an envelope that is none", ours, push{genuine.query, "<html></html>"},
			events.ErrMalformed,
			400},
		{"two Encrypts", ours, push{genuine.query,
			strings.Replace(genuine.body, "<Encrypt>", "<Encrypt>x</Encrypt><Encrypt>", 1)},
			events.ErrMalformed, 400},
		{"Encrypt below another element", ours,
			push{genuine.query, strings.NewReplacer("<Encrypt>", "<a><Encrypt>", "</Encrypt>",
				"</Encrypt></a>").Replace(genuine.body)}, events.ErrPlaintext, 403},
		{"a push with echostr", ours, add(genuine, "echostr", "<script>"),
			events.ErrMalformed, 400},
		{"a timestamp that is no number", ours, func() push {
			p := s.signed("today", testNonce, genuine.body)
			return set(p, "msg_signature", sign(s.token, "today", testNonce, sealed))
		}(), events.ErrMalformed, 400},
		{"a timestamp of 1970", plainMode(), s.clearAt(0, message), events.ErrMalformed, 400},
		{"a timestamp of 1999", plainMode(), s.clearAt(946684799, message), events.ErrStale, 403},
		{"a timestamp of 2286", plainMode(), s.clearAt(9999999999, message), events.ErrStale, 403},
		{"a timestamp of eight digits", ancient, s.clearAt(99999999, message),
			events.ErrMalformed, 400},
		{"a timestamp of eleven digits", ancient, s.clearAt(10000000000, message),
			events.ErrMalformed,
			400},
		{"a timestamp in milliseconds", ancient, s.clearAt(time.Now().UnixMilli(), message),
			events.ErrMalformed, 400},
		{"the last timestamp there is", ancient, s.clearAt(math.MaxInt64, message),
			events.ErrMalformed,
			400},
		{"a timestamp with an underscore", ancient, s.signed("1_00000000", testNonce, message),
			events.ErrMalformed, 400},
		{"a negative timestamp", plainMode(), s.clearAt(-1, message), events.ErrMalformed, 400},
		{"a timestamp beyond 64 bits", plainMode(),
			s.signed("99999999999999999999", testNonce, message),
			events.ErrMalformed, 400},
		{"a timestamp with a sign", plainMode(),
			s.signed(fmt.Sprintf("+%d", time.Now().Unix()), testNonce, message),
			events.ErrMalformed, 400},
		{"a timestamp with a space", plainMode(),
			s.signed(fmt.Sprintf("%d ", time.Now().Unix()), testNonce, message),
			events.ErrMalformed, 400},
		{"a timestamp with a leading zero of ten", ancient,
			s.signed("0999999999", testNonce, message),
			events.ErrMalformed, 400},
		{"a timestamp with a leading zero", plainMode(),
			s.signed(fmt.Sprintf("0%d", time.Now().Unix()), testNonce, message),
			events.ErrMalformed, 400},
		{"a body over the limit", plainMode(), s.clear(strings.Repeat("x", events.MaxBodyBytes+1)),
			events.ErrTooLarge, 413},
		{"a body at the limit", plainMode(), s.clear(strings.Repeat("x", events.MaxBodyBytes)),
			events.ErrMalformed, 400},
	}
	for _, k := range []string{"signature", "msg_signature", "timestamp", "nonce", "encrypt_type"} {
		rows = append(rows, row{k + " twice", ours, add(genuine, k, genuine.query.Get(k)),
			events.ErrMalformed, 400})
	}
	for name, nonce := range map[string]string{
		"129 bytes": strings.Repeat("a", 129), "64 KiB": strings.Repeat("a", 1<<16),
		"a minus": "a-b",
		"a space": "a b", "NUL": "a\x00b",
		"0x80": "a\x80", "Chinese": "随机数", "a slash": "/", "a colon": ":", "an at": "@",
		"a bracket":  "[",
		"a backtick": "`", "a brace": "{",
	} {
		p := s.signed(strconv.FormatInt(time.Now().Unix(), 10), nonce, message)
		rows = append(rows, row{"a nonce of " + name, plainMode(), p, events.ErrMalformed, 400})
		p = set(p, "msg_signature", sign(s.token, p.query.Get("timestamp"), nonce, sealed))
		p.body = genuine.body
		rows = append(rows,
			row{"a nonce of " + name + ", safe mode", ours, p, events.ErrMalformed, 400})
	}
	for n := 1; n <= 48; n++ {
		rows = append(rows,
			row{fmt.Sprintf("a ciphertext of %d bytes", n), ours, raw(make([]byte, n)),
				events.ErrDecrypt, inside})
	}
	for _, c := range rows {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			text := c.err.Error()
			if c.status == inside {
				c.status, text = 400, events.ErrDecrypt.Error()
			}
			isKind := func(err error) {
				t.Helper()
				require.ErrorIs(t, err, c.err)
				if c.err == events.ErrDecrypt { // which is beside the others too
					require.NotErrorIs(t, err, events.ErrWrongAccount)
					require.NotErrorIs(t, err, events.ErrMalformed)
				}
			}
			v := newVerifier(t, c.cfg)
			message, err := v.Open(c.push.query, []byte(c.push.body))
			if err == nil {
				// What is inside is for the next height to judge.
				require.Contains(t, []error{events.ErrWrongAccount, events.ErrMalformed}, c.err)
				assert.NotNil(t, message)
			} else {
				isKind(err)
				assert.Nil(t, message)
			}
			ev, err := v.ParseRequest(c.push.request())
			isKind(err)
			assert.Nil(t, ev)
			assert.NotContains(t, err.Error(), s.token)
			assert.NotContains(t, err.Error(), s.key)
			if ts := c.push.query.Get("timestamp"); ts != "" {
				assert.NotContains(t, err.Error(), sign(s.token, ts, c.push.query.Get("nonce")))
			}

			var problems []events.Problem
			h := newHandler(t, c.cfg, nil, &problems)
			w := c.push.to(h)
			assert.Equal(t, c.status, w.Code)
			require.Len(t, problems, 1)
			p := problems[0]
			isKind(p.Err)
			assert.Equal(t, c.status, p.Status)
			for _, hint := range []string{p.Hint, p.HintZH} {
				assert.NotEmpty(t, hint)
				assert.NotContains(t, hint, "\n")
			}
			assert.Equal(t, text, w.Body.String(), "general words only")
			assert.NotContains(t, w.Body.String(), "script")

			a := h.Handle(t.Context(),
				events.Request{Method: "POST", RawQuery: c.push.query.Encode(),
					Body: []byte(c.push.body)})
			assert.Equal(t, c.status, a.Status)
			assert.Equal(t, text, string(a.Body))
		})
	}
}

func TestVerifierMethods(t *testing.T) {
	t.Parallel()
	p := wechat().clear(sampleScan)
	for _, method := range []string{"HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "get", "BREW"} {
		var problems []events.Problem
		h := newHandler(t, plainMode(), nil, &problems)
		r := p.request()
		r.Method = method
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		assert.Equal(t, http.StatusMethodNotAllowed, w.Code, method)
		assert.Equal(t, "GET, POST", w.Header().Get("Allow"))
		require.Len(t, problems, 1)
		require.ErrorIs(t, problems[0].Err, events.ErrMethod)

		r = p.request()
		r.Method = method
		_, err := newVerifier(t, plainMode()).ParseRequest(r)
		require.ErrorIs(t, err, events.ErrMethod)
	}
	r := p.request()
	r.Method = http.MethodGet
	_, err := newVerifier(t, plainMode()).ParseRequest(r)
	require.ErrorIs(t, err, events.ErrMethod, "the check of the URL is no push")
}

func TestEcho(t *testing.T) {
	t.Parallel()
	for _, cfg := range []events.Config{plainMode(), safeMode()} {
		const echo = `<b>"4375 &%/中`
		p := wechat().clear("")
		p.query.Set("echostr", echo)
		var problems []events.Problem
		h := newHandler(t, cfg, nil, &problems)
		get := func(p push) *httptest.ResponseRecorder {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/?"+p.query.Encode(), nil))
			return w
		}
		w := get(p)
		assert.Equal(t, http.StatusOK, w.Code)
		assert.Equal(t, echo, w.Body.String())
		assert.Equal(t, strconv.Itoa(len(echo)), w.Header().Get("Content-Length"))
		assert.Equal(t, "text/plain; charset=utf-8", w.Header().Get("Content-Type"))
		assert.Equal(t, "nosniff", w.Header().Get("X-Content-Type-Options"))
		assert.Empty(t, problems)
		for _, n := range []int{1, 128} {
			p.query.Set("echostr", strings.Repeat("e", n))
			assert.Equal(t, 200, get(p).Code, "echostr of %d bytes", n)
		}
		p.query.Set("echostr", echo)

		a := h.Handle(t.Context(),
			events.Request{Method: http.MethodGet, RawQuery: p.query.Encode()})
		assert.Equal(t, events.Response{Status: 200, ContentType: "text/plain; charset=utf-8",
			Body: []byte(echo)}, a)

		for name, c := range map[string]struct {
			change func(q url.Values)
			err    error
		}{
			"no echostr":   {func(q url.Values) { q.Del("echostr") }, events.ErrMalformed},
			"no signature": {func(q url.Values) { q.Del("signature") }, events.ErrNoSignature},
			"a wrong one": {func(q url.Values) { q.Set("signature", strings.Repeat("0", 40)) },
				events.ErrBadSignature},
			"two encrypt_type": {
				func(q url.Values) { q["encrypt_type"] = []string{"raw", "raw"} },
				events.ErrMalformed,
			},
			"two echostr": {func(q url.Values) { q.Add("echostr", "x") }, events.ErrMalformed},
			"a long one": {
				func(q url.Values) { q.Set("echostr", strings.Repeat("secret echo", 12)) },
				events.ErrMalformed},
			"nothing": {func(q url.Values) { clearValues(q) }, events.ErrNoSignature},
			"an old one": {func(q url.Values) {
				old := wechat().clearAt(1_700_000_000, "")
				q["timestamp"], q["signature"] = old.query["timestamp"], old.query["signature"]
			}, events.ErrStale},
			"msg_signature": {func(q url.Values) {
				q["msg_signature"] = q["signature"]
				q.Del(
					"signature")
			},
				events.ErrNoSignature},
		} {
			p := wechat().clear("")
			p.query.Set("echostr", "secret echo")
			c.change(p.query)
			_, err := newVerifier(t, cfg).Echo(p.query)
			require.ErrorIs(t, err, c.err, name)
			w := get(p)
			assert.GreaterOrEqual(t, w.Code, 400, name)
			assert.NotContains(t, w.Body.String(), "secret echo")
		}

		last := p.query.Encode() + "&encrypt_type=raw&encrypt_type=raw" // after all that is needed
		a = h.Handle(t.Context(), events.Request{Method: http.MethodGet, RawQuery: last})
		assert.Equal(t, http.StatusBadRequest, a.Status)
	}
}

func clearValues(q url.Values) {
	for k := range q {
		q.Del(k)
	}
}

func TestFreshness(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		minute := safeMode()
		minute.MaxAge = time.Minute
		// the year 2000, where synctest begins, and 2044
		for _, at := range []time.Duration{0, 45 * 365 * 24 * time.Hour} {
			time.Sleep(at)
			for _, c := range []struct {
				cfg events.Config
				max int64
			}{{safeMode(), 300}, {plainMode(), 300}, {minute, 60}} {
				v := newVerifier(t, c.cfg)
				for off, fresh := range map[int64]bool{0: true, c.max: true, -c.max: true,
					c.max + 1:  false,
					-c.max - 1: false, time.Now().Unix() / 2: false, -c.max * 1000: false} {
					stamp := time.Now().Unix() + off
					ts := strconv.FormatInt(stamp, 10)
					sealed := wechat().seal(t, scanPushAt(stamp, "a"))
					p := push{url.Values{"timestamp": {ts}, "nonce": {"1"},
						"signature":     {sign(testToken, ts, "1")},
						"msg_signature": {sign(testToken, ts, "1", sealed)}},
						envelope(sealed)}
					if c.cfg.Plaintext {
						p.body = scanPushAt(stamp, "a")
					}
					_, err := v.Open(p.query, []byte(p.body))
					if fresh {
						require.NoError(t, err, off)
						continue
					}
					require.ErrorIs(t, err, events.ErrStale, off)
					if off > 0 {
						require.ErrorContains(t, err, fmt.Sprintf("%d s in the future", off))
					} else {
						require.ErrorContains(t, err, fmt.Sprintf("%d s old", -off))
					}
				}
			}
		}
	})
}

// Correct padding of either block size is accepted, the shortest and the longest too.
func TestOpenAcceptsEveryPadding(t *testing.T) {
	t.Parallel()
	s := wechat()
	v := newVerifier(t, safeMode())
	for pad := 1; pad <= 32; pad++ {
		message := strings.Repeat("x", 16-(20+len(s.appID)+pad)%16)
		b := append(s.plaintext(message), bytes.Repeat([]byte{byte(pad)}, pad)...)
		sealed := s.encrypt(t, b)
		p := s.envelope(envelope(sealed), sealed)
		got, err := v.Open(p.query, []byte(p.body))
		require.NoError(t, err, pad)
		require.Equal(t, message, string(got))
	}
}

func TestRotation(t *testing.T) {
	t.Parallel()
	newKey := strings.Repeat("N", 43)
	old := wechat()
	current := sender{appID: testAppID, token: "newtoken", key: newKey}
	message := scanPush("shop-7")
	for name, c := range map[string]struct {
		cfg  events.Config
		from sender
	}{
		"the current pair": {
			events.Config{AppID: testAppID, Token: "newtoken", EncodingAESKey: newKey,
				Previous: []events.Keys{{Token: testToken, EncodingAESKey: testKey}}}, current},
		"the previous pair": {
			events.Config{AppID: testAppID, Token: "newtoken", EncodingAESKey: newKey,
				Previous: []events.Keys{{Token: testToken, EncodingAESKey: testKey}}}, old},
		"the one before that": {
			events.Config{AppID: testAppID, Token: "newtoken", EncodingAESKey: newKey,
				Previous: []events.Keys{{Token: "xxx", EncodingAESKey: newKey},
					{Token: testToken, EncodingAESKey: testKey}}}, old},
		"an old key behind another Token": {
			events.Config{AppID: testAppID, Token: testToken, EncodingAESKey: newKey,
				Previous: []events.Keys{{Token: "xxx", EncodingAESKey: testKey},
					{EncodingAESKey: testKey}}},
			old},
		"a new key only": {events.Config{AppID: testAppID, Token: testToken, EncodingAESKey: newKey,
			Previous: []events.Keys{{EncodingAESKey: testKey}}}, old},
		"a new token only": {
			events.Config{AppID: testAppID, Token: "newtoken", EncodingAESKey: testKey,
				Previous: []events.Keys{{Token: testToken}}}, old},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := newVerifier(t, c.cfg)
			p := c.from.sealed(t, message)
			got, err := v.Open(p.query, []byte(p.body))
			require.NoError(t, err)
			assert.Equal(t, message, string(got))

			// The reply is sealed with the keys that the message came with.
			h := newHandler(t, c.cfg, replyWith(events.Text("hi")), nil)
			w := p.to(h)
			require.Equal(t, http.StatusOK, w.Code)
			reply := openReply(t, c.from, w.Body.Bytes())
			assert.Contains(t, reply, "<![CDATA[hi]]>")
		})
	}
	t.Run("Tokens in plaintext mode", func(t *testing.T) {
		t.Parallel()
		v := newVerifier(t, events.Config{Token: "newtoken", Plaintext: true,
			Previous: []events.Keys{{Token: testToken}}})
		for _, from := range []sender{current, old} {
			p := from.clear(message)
			_, err := v.Open(p.query, []byte(p.body))
			require.NoError(t, err)
		}
	})
	t.Run("keys that were never ours", func(t *testing.T) {
		t.Parallel()
		v := newVerifier(t,
			events.Config{AppID: testAppID, Token: "newtoken", EncodingAESKey: newKey,
				Previous: []events.Keys{{Token: testToken}}})
		p := old.sealed(t, message)
		_, err := v.Open(p.query, []byte(p.body))
		require.ErrorIs(t, err, events.ErrDecrypt)
	})
	t.Run("a Token that is no longer accepted", func(t *testing.T) {
		t.Parallel()
		v := newVerifier(t,
			events.Config{AppID: testAppID, Token: "newtoken", EncodingAESKey: testKey})
		p := old.sealed(t, message)
		_, err := v.Open(p.query, []byte(p.body))
		require.ErrorIs(t, err, events.ErrBadSignature)
	})
	t.Run("the right key and another account", func(t *testing.T) {
		t.Parallel()
		// The key that opens decides what is said, whichever comes first.
		other := sender{appID: "wx0000000000000000", token: testToken, key: testKey}
		for _, cfg := range []events.Config{
			{AppID: testAppID, Token: testToken, EncodingAESKey: newKey,
				Previous: []events.Keys{{EncodingAESKey: testKey}}},
			{AppID: testAppID, Token: testToken, EncodingAESKey: testKey,
				Previous: []events.Keys{{EncodingAESKey: newKey}}},
		} {
			p := other.sealed(t, message)
			_, err := newVerifier(t, cfg).Open(p.query, []byte(p.body))
			require.ErrorIs(t, err, events.ErrWrongAccount)
			assert.ErrorContains(t, err, "wx0000000000000000")
		}
	})
}

// One setting serves safe and compatible mode, and the way from plaintext to
// safe mode goes by compatible mode without losing a push.
func TestModes(t *testing.T) {
	t.Parallel()
	s := wechat()
	sealed := s.seal(t, scanPush("shop-7"))
	raw := func(p push) push { p.query.Set("encrypt_type", "raw"); return p }
	both := func(clear string) push {
		return s.envelope(strings.Replace(scanPush(clear), "</xml>",
			"<Encrypt><![CDATA["+sealed+"]]></Encrypt></xml>", 1), sealed)
	}
	for name, c := range map[string]struct {
		cfg    events.Config
		push   push
		sealed bool // the reply
	}{
		"safe":                          {safeMode(), s.sealed(t, scanPush("shop-7")), true},
		"safe, said to be raw":          {safeMode(), raw(s.sealed(t, scanPush("shop-7"))), true},
		"compatible":                    {safeMode(), both("forged"), true},
		"plaintext":                     {plainMode(), s.clear(scanPush("shop-7")), false},
		"plaintext, said to be raw":     {plainMode(), raw(s.clear(scanPush("shop-7"))), false},
		"compatible, read as plaintext": {plainMode(), both("shop-7"), false},
		"plaintext, created long ago": {
			plainMode(), s.clear(scanPushAt(1_600_000_000, "shop-7")), false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ev, err := newVerifier(t, c.cfg).ParseRequest(c.push.request())
			require.NoError(t, err)
			assert.Equal(t, "shop-7", ev.EventKey)

			w := c.push.to(newHandler(t, c.cfg, replyWith(events.Text("hi")), nil))
			reply := w.Body.String()
			if c.sealed {
				reply = openReply(t, s, w.Body.Bytes())
			}
			assert.Contains(t, reply, "<![CDATA[hi]]>")
		})
	}
}

func TestNewVerifierRefuses(t *testing.T) {
	t.Parallel()
	with := func(change func(*events.Config)) events.Config {
		cfg := safeMode()
		change(&cfg)
		return cfg
	}
	for name, c := range map[string]struct {
		cfg    events.Config
		reason string
	}{
		"nothing":  {events.Config{}, "Token is empty"},
		"no Token": {with(func(c *events.Config) { c.Token = "" }), "Token is empty"},
		"a Token with a line end": {
			with(func(c *events.Config) { c.Token = "token\n" }),
			"Token has a character that is neither",
		},
		"a Token with a space": {
			with(func(c *events.Config) { c.Token = "to ken" }),
			"Token has a character that is neither",
		},
		"a Token that is no ASCII": {
			with(func(c *events.Config) { c.Token = "令牌" }),
			"Token has a character that is neither",
		},
		"a Token of 2": {
			with(func(c *events.Config) { c.Token = "ab" }), "Token has 2 characters",
		},
		"a Token of 33": {
			with(func(c *events.Config) { c.Token = strings.Repeat("a", 33) }),
			"Token has 33 characters",
		},
		"no key": {
			with(func(c *events.Config) { c.EncodingAESKey = "" }), "EncodingAESKey is empty",
		},
		"a key of 42": {with(func(c *events.Config) { c.EncodingAESKey = testKey[1:] }),
			"EncodingAESKey has 42 characters"},
		"a key of 44": {with(func(c *events.Config) { c.EncodingAESKey = testKey + "a" }),
			"EncodingAESKey has 44 characters"},
		"a key with an equals sign": {with(func(c *events.Config) {
			c.EncodingAESKey = testKey +
				"="
		}),
			"EncodingAESKey has a character that is neither"},
		"a key with a line end": {with(func(c *events.Config) {
			c.EncodingAESKey = testKey[1:] +
				"\n"
		}),
			"EncodingAESKey has a character that is neither"},
		"a key with a minus": {with(func(c *events.Config) {
			c.EncodingAESKey = "-" +
				testKey[1:]
		}),
			"EncodingAESKey has a character that is neither"},
		"a key in plaintext mode": {
			with(func(c *events.Config) { c.Plaintext = true }), "remove EncodingAESKey",
		},
		"an old key, plaintext mode": {events.Config{Token: "token", Plaintext: true,
			Previous: []events.Keys{{EncodingAESKey: testKey}}},
			"Previous[0]: both EncodingAESKey and Plaintext"},
		"no AppID": {with(func(c *events.Config) { c.AppID = "" }), "AppID is empty"},
		"a line end after the AppID": {
			with(func(c *events.Config) { c.AppID += "\n" }), "was a line end read",
		},
		"a control character in the AppID": {
			with(func(c *events.Config) { c.AppID += "\x7f" }), "was a line end read",
		},
		"a space after the Account": {
			with(func(c *events.Config) { c.Account = "gh_1 " }), "was a line end read",
		},
		"a bad previous key": {with(func(c *events.Config) {
			c.Previous = []events.Keys{{},
				{EncodingAESKey: "x"}}
		}),
			"Previous[1]: EncodingAESKey has 1"},
		"a bad previous Token": {
			with(func(c *events.Config) { c.Previous = []events.Keys{{Token: " "}} }),
			"Previous[0]: Token"},
		"a negative MaxAge": {with(func(c *events.Config) { c.MaxAge = -time.Second }), "MaxAge"},
		"a MaxAge below a second": {
			with(func(c *events.Config) { c.MaxAge = time.Second - 1 }), "MaxAge",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := events.NewVerifier(c.cfg)
			require.ErrorIs(t, err, wechatqr.ErrInvalidArgument)
			require.ErrorContains(t, err, c.reason)
			_, err = events.NewHandler(c.cfg, replyWith(nil))
			require.ErrorContains(t, err, c.reason)
			assert.NotContains(t, err.Error(), testKey[2:40])
			assert.NotContains(t, err.Error(), "Previous[-1]", "it is the current key")
		})
	}
	_, err := events.NewVerifier(with(func(c *events.Config) { c.AppID = "!~" }))
	require.NoError(t, err)
}

// No verb and no marshaller shows a secret.
func TestSecretsStayHidden(t *testing.T) {
	t.Parallel()
	cfg := safeMode()
	cfg.Previous = []events.Keys{{Token: "previoustoken", EncodingAESKey: strings.Repeat("P", 43)}}
	v := newVerifier(t, cfg)
	h := newHandler(t, cfg, nil, nil)
	type holder struct {
		V    *events.Verifier
		v    events.Verifier
		h    *events.Handler
		Keys events.Keys
	}
	var out bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&out, nil))
	text := slog.New(slog.NewTextHandler(&out, nil))
	for _, x := range []any{cfg, &cfg, cfg.Previous, cfg.Previous[0], v, h,
		struct{ C events.Config }{cfg}, holder{V: v, v: *v, h: h, Keys: cfg.Previous[0]}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&out, verb+"\n", x)
		}
		logger.Info("x", "x", x)
		text.Info("x", "x", x)
		_ = json.NewEncoder(&out).Encode(x)
		_ = xml.NewEncoder(&out).Encode(x)
		_ = gob.NewEncoder(&out).Encode(x)
	}
	for _, x := range []any{cfg, cfg.Previous[0]} {
		require.Implements(t, (*encoding.TextMarshaler)(nil), x,
			"what the packages for YAML and TOML ask for")
	}
	require.ErrorContains(t, gob.NewEncoder(io.Discard).Encode(cfg), "are not encoded",
		"it would miss the keys")
	key, err := base64.StdEncoding.DecodeString(testKey + "=")
	require.NoError(t, err)
	for _, secret := range []string{testToken, testKey, "previoustoken", strings.Repeat("P", 43),
		string(key[:8]), fmt.Sprintf("%x", key[:8]), fmt.Sprintf("%d", key[:8])[1:20],
		fmt.Sprintf("%x", testToken)} {
		at := strings.Index(out.String(), secret)
		assert.Negative(t, at, "%q in …%.200s", secret, out.String()[max(0, at-100):])
	}
	assert.Equal(t, "events.Keys([redacted])", fmt.Sprintf("%d", cfg.Previous[0]))
	assert.Equal(t, "events.Config("+testAppID+", [redacted])", fmt.Sprintf("%d", cfg))
	assert.Positive(t, strings.Count(out.String(), testAppID))
	assert.Positive(t, strings.Count(out.String(), "[redacted]"))
}

func TestConfigFromEnv(t *testing.T) {
	set := func(t *testing.T, env map[string]string) {
		t.Helper()
		for _, name := range []string{"WECHAT_APP_ID", "WECHAT_TOKEN", "WECHAT_AES_KEY",
			"WECHAT_PLAINTEXT", "WECHAT_ACCOUNT"} {
			t.Setenv(name, env[name])
		}
	}
	all := map[string]string{
		"WECHAT_APP_ID": testAppID, "WECHAT_TOKEN": testToken, "WECHAT_AES_KEY": testKey,
		"WECHAT_ACCOUNT": testAccount,
	}
	with := func(pairs ...string) map[string]string {
		env := maps.Clone(all)
		for i := 0; i < len(pairs); i += 2 {
			env[pairs[i]] = pairs[i+1]
		}
		return env
	}
	for name, c := range map[string]struct {
		env  map[string]string
		want events.Config
	}{
		"safe mode": {all,
			events.Config{AppID: testAppID, Token: testToken, EncodingAESKey: testKey,
				Account: testAccount}},
		"safe mode by 0": {with("WECHAT_PLAINTEXT", "0"),
			events.Config{AppID: testAppID, Token: testToken, EncodingAESKey: testKey,
				Account: testAccount}},
		"plaintext mode": {map[string]string{"WECHAT_TOKEN": testToken, "WECHAT_PLAINTEXT": "1"},
			events.Config{Token: testToken, Plaintext: true}},
		"by true": {map[string]string{"WECHAT_TOKEN": testToken, "WECHAT_PLAINTEXT": "true"},
			events.Config{Token: testToken, Plaintext: true}},
	} {
		t.Run(name, func(t *testing.T) {
			set(t, c.env)
			cfg, err := events.ConfigFromEnv()
			require.NoError(t, err)
			assert.Equal(t, c.want, cfg)
		})
	}
	for name, c := range map[string]struct {
		env     map[string]string
		reasons []string
	}{
		"nothing": {nil, []string{"WECHAT_TOKEN is empty"}},
		"no key": {with("WECHAT_AES_KEY", ""),
			[]string{"WECHAT_AES_KEY is empty", "测试号", "WECHAT_PLAINTEXT=1"}},
		"no AppID": {with("WECHAT_APP_ID", ""), []string{"WECHAT_APP_ID is empty"}},
		"key and plaintext": {with("WECHAT_PLAINTEXT", "1"),
			[]string{"both WECHAT_AES_KEY and WECHAT_PLAINTEXT=1"}},
		"a word": {with("WECHAT_PLAINTEXT", "maybe"),
			[]string{"WECHAT_PLAINTEXT is neither"}},
		"a short Token": {with("WECHAT_TOKEN", "ab"), []string{"WECHAT_TOKEN has 2"}},
		"a cut key":     {with("WECHAT_AES_KEY", testKey[1:]), []string{"WECHAT_AES_KEY has 42"}},
	} {
		t.Run(name, func(t *testing.T) {
			set(t, c.env)
			cfg, err := events.ConfigFromEnv()
			require.ErrorIs(t, err, wechatqr.ErrInvalidArgument)
			assert.Equal(t, events.Config{}, cfg)
			for _, reason := range c.reasons {
				require.ErrorContains(t, err, reason)
			}
			assert.NotContains(t, err.Error(), testKey[1:])
			assert.NotContains(t, err.Error(), testToken)
		})
	}
}

// Open is also for messages that are no events.
func TestOpenWithoutCreateTime(t *testing.T) {
	t.Parallel()
	const message = `{"action":"CheckContainerPath"}`
	p := wechat().sealed(t, message)
	got, err := newVerifier(t, safeMode()).Open(p.query, []byte(p.body))
	require.NoError(t, err)
	assert.Equal(t, message, string(got))
}

// In the clear there is nothing that vouches for a CreateTime.
func TestOpenTakesAnyCreateTimeInTheClear(t *testing.T) {
	t.Parallel()
	p := wechat().clear(scanPushAt(1_400_000_000, "shop-7"))
	_, err := newVerifier(t, plainMode()).Open(p.query, []byte(p.body))
	require.NoError(t, err)
}

func TestOpenTellsThatCreateTimeIsNoTime(t *testing.T) {
	t.Parallel()
	message := "<xml><FromUserName>a</FromUserName><CreateTime>soon</CreateTime></xml>"
	p := wechat().sealed(t, message)
	_, err := newVerifier(t, safeMode()).Open(p.query, []byte(p.body))
	require.ErrorIs(t, err, events.ErrMalformed)
	require.NotErrorIs(t, err, events.ErrStale)
}

func TestNonceOfAnyLettersAndDigits(t *testing.T) {
	t.Parallel()
	now := strconv.FormatInt(time.Now().Unix(), 10)
	for _, nonce := range []string{"0", "9z", "azAZ09", strings.Repeat("Z", 128)} {
		p := wechat().signed(now, nonce, scanPush("shop-7"))
		_, err := newVerifier(t, plainMode()).Open(p.query, []byte(p.body))
		require.NoError(t, err, nonce)
	}
}

// endless is a body of the letter x.
type endless struct{ n int64 }

func (e *endless) Read(b []byte) (int, error) {
	if e.n <= 0 {
		return 0, io.EOF
	}
	n := min(int64(len(b)), e.n)
	e.n -= n
	for i := range b[:n] {
		b[i] = 'x'
	}
	return int(n), nil
}

// A post of 64 MiB costs less than 2 MiB, whether it says its length or not.
func TestLargeBodyIsCheap(t *testing.T) {
	h := newHandler(t, safeMode(), nil, nil)
	const size = 64 << 20
	for _, length := range []int64{-1, size, 100} {
		body := &endless{n: size}
		r := wechat().clear("").request()
		r.Body, r.ContentLength = io.NopCloser(body), length
		w := httptest.NewRecorder()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		h.ServeHTTP(w, r)
		runtime.ReadMemStats(&after)
		assert.Equal(t, http.StatusRequestEntityTooLarge, w.Code)
		assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(2<<20))
		assert.Greater(t, body.n, int64(size-2<<20), "most of it was not even read")
		if length == size {
			assert.Equal(t, length, body.n, "nothing was")
		}
	}
}

func TestBodyThatBreaksOff(t *testing.T) {
	t.Parallel()
	var problems []events.Problem
	h := newHandler(t, plainMode(), nil, &problems)
	r := wechat().clear("").request()
	r.Body, r.ContentLength = io.NopCloser(
		io.MultiReader(strings.NewReader("<xml>"), brokenReader{})),
		500
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	assert.Equal(t, http.StatusBadRequest, w.Code)
	require.Len(t, problems, 1)
	require.ErrorIs(t, problems[0].Err, events.ErrIncompleteBody)
	require.ErrorIs(t, problems[0].Err, io.ErrUnexpectedEOF)
	assert.NotErrorIs(t, problems[0].Err, events.ErrMalformed)
}

func TestRequestWithoutBody(t *testing.T) {
	t.Parallel()
	r := wechat().clear("").request()
	r.Body = nil
	_, err := newVerifier(t, plainMode()).ParseRequest(r)
	require.ErrorIs(t, err, events.ErrMalformed)
	require.ErrorContains(t, err, "empty")
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestOpenAllocates(t *testing.T) {
	v := newVerifier(t, safeMode())
	p := wechat().sealed(t, scanPush("shop-7"))
	body := []byte(p.body)
	n := testing.AllocsPerRun(100, func() {
		message, err := v.Open(p.query, body)
		if err == nil {
			_, err = events.Parse(message)
		}
		if err != nil {
			t.Error(err)
		}
	})
	assert.LessOrEqual(t, n, 9.0)
}

// FuzzOpen seals whatever comes, correctly signed, so that every check behind
// the signature is reached, and compares with a reading that is not the package's.
func FuzzOpen(f *testing.F) {
	s := wechat()
	message := `{"FromUserName":"a","CreateTime":1}`
	f.Add("signature=a&timestamp=1&nonce=2", []byte(message), []byte("0123456789abcdef"))
	f.Add("", []byte(envelope("abcd")), s.plaintext(message))
	f.Add("encrypt_type=aes", []byte(sampleScan), pkcs7(s.plaintext(message)))
	f.Add("echostr=1", []byte(`{"Encrypt":"a"}`), bytes.Repeat([]byte{32}, 64))
	f.Add("nonce=%41", []byte("<xml>"), append(s.plaintext(message)[:19], 0xff))
	v, err := events.NewVerifier(safeMode())
	require.NoError(f, err)
	plain, err := events.NewVerifier(plainMode())
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, rawQuery string, body, blocks []byte) {
		values, _ := url.ParseQuery(rawQuery)
		for _, v := range []*events.Verifier{v, plain} {
			_, err := v.Open(values, body)
			require.Error(t, err)
			_, _ = v.Echo(values)
			r := &http.Request{Method: http.MethodPost, URL: &url.URL{RawQuery: rawQuery},
				Body: io.NopCloser(bytes.NewReader(body))}
			_, err = v.ParseRequest(r)
			require.Error(t, err)
		}
		if len(blocks) > events.MaxBodyBytes/2 {
			return
		}
		sealed := base64.StdEncoding.EncodeToString(blocks)
		if len(blocks)%16 == 0 {
			sealed = s.encrypt(t, blocks)
		}
		p := s.envelope(envelope(sealed), sealed)
		got, err := v.Open(p.query, []byte(p.body))
		want, ok := reference(blocks)
		if !ok {
			require.Error(t, err)
			return
		}
		if errors.Is(err, events.ErrStale) || errors.Is(err, events.ErrMalformed) {
			return // by its CreateTime
		}
		require.NoError(t, err)
		require.Equal(t, want, string(got))
		_, _ = events.Parse(got)
	})
}

// reference reads decrypted blocks as WeChat's page describes them.
func reference(b []byte) (string, bool) {
	if len(b) < 32 || len(b)%16 != 0 {
		return "", false
	}
	pad := int(b[len(b)-1])
	if pad == 0 || pad > 32 || len(b)-pad < 20 ||
		!bytes.HasSuffix(b, bytes.Repeat([]byte{byte(pad)}, pad)) {
		return "", false
	}
	b = b[16 : len(b)-pad]
	n := int64(b[0])<<24 | int64(b[1])<<16 | int64(b[2])<<8 | int64(b[3])
	if n != int64(len(b)-4-len(testAppID)) || string(b[4+n:]) != testAppID {
		return "", false
	}
	return string(b[4 : 4+n]), true
}

// The fake WeChat seals and reads with code of its own.
func TestAgainstFake(t *testing.T) {
	t.Parallel()
	for mode, cfg := range map[string]events.Config{"plaintext": plainMode(), "safe": safeMode()} {
		for _, ev := range []wechatqr.Event{
			{Type: wechatqr.EventScan, EventKey: "渠道=北京&a<b", Ticket: "TICKET"},
			{Type: wechatqr.EventSubscribe, EventKey: "qrscene_7", Ticket: "TICKET"},
			{Type: wechatqr.EventUnsubscribe},
			{Content: "a]]>b 🏮", MsgID: "24681357902468135790"},
		} {
			got, err := newVerifier(t, cfg).ParseRequest(wechatqrtest.NewRequest(cfg, ev))
			require.NoError(t, err, mode)
			assert.Equal(t, []string{string(ev.Type), ev.EventKey, ev.Ticket, ev.Content, ev.MsgID},
				[]string{string(got.Type), got.EventKey, got.Ticket, got.Content, got.MsgID})

			w := httptest.NewRecorder()
			newHandler(t, cfg, replyWith(events.Text("欢迎]]>")), nil).ServeHTTP(w,
				wechatqrtest.NewRequest(cfg, ev))
			reply, err := wechatqrtest.ParseReply(cfg, w.Body.Bytes())
			require.NoError(t, err, mode)
			assert.Equal(t, "欢迎]]>", reply.Content)
			assert.Equal(t, got.FromUserName, reply.ToUserName)
			assert.Equal(t, mode != "plaintext", reply.Encrypted)
		}
		w := httptest.NewRecorder()
		newHandler(t, cfg, nil, nil).ServeHTTP(w,
			wechatqrtest.NewEchoRequest(cfg, "4375120948345356249"))
		assert.Equal(t, "4375120948345356249", w.Body.String())
	}
}

// What a stranger sends without a signature costs nothing: the body is not
// even read.
func TestUnsignedBodyIsNotRead(t *testing.T) {
	t.Parallel()
	now := strconv.FormatInt(time.Now().Unix(), 10)
	for mode, cfg := range map[string]events.Config{"plain": plainMode(), "safe": safeMode()} {
		for query, want := range map[string]error{
			"":                              events.ErrNoSignature,
			"timestamp=" + now + "&nonce=2": events.ErrNoSignature,
			"timestamp=1700000000&nonce=2&signature=x":  events.ErrStale,
			"timestamp=1&nonce=2&signature=x":           events.ErrMalformed,
			"timestamp=x&nonce=2&signature=x":           events.ErrMalformed,
			"timestamp=" + now + "&nonce=-&signature=x": events.ErrMalformed,
			"timestamp=" + now + "&signature=x":         events.ErrNoSignature,
			"nonce=2&signature=x&msg_signature=x":       events.ErrNoSignature,
			"timestamp=" + now + "&nonce=2&msg_signature=" +
				sign(testToken, now, "2", "y"): events.ErrNoSignature,
			"timestamp=" + now + "&nonce=2&signature=" +
				strings.Repeat("0", 40): events.ErrBadSignature,
			"timestamp=" + now + "&nonce=2&echostr=3&signature=" +
				sign(testToken, now, "2"): events.ErrMalformed,
		} {
			body := &endless{n: 1 << 20}
			r := push{}.request()
			r.URL.RawQuery, r.Body, r.ContentLength = query, io.NopCloser(body), -1
			_, err := newVerifier(t, cfg).ParseRequest(r)
			require.ErrorIs(t, err, want, "%s, %s", mode, query)
			var problems []events.Problem
			newHandler(t, cfg, nil, &problems).ServeHTTP(httptest.NewRecorder(), r)
			require.Len(t, problems, 1)
			require.ErrorIs(t, problems[0].Err, want, "%s, %s", mode, query)
			assert.Equal(t, int64(1<<20), body.n)

			// Given the body all the same, nothing looks into it.
			values, err := url.ParseQuery(query)
			require.NoError(t, err)
			_, err = newVerifier(t, cfg).Open(values, []byte("\xff"))
			require.ErrorIs(t, err, want, "%s, %s", mode, query)
		}
	}
}

// What stands in front of a Handler can spoil a body; the hint says so.
func TestBodyThatAMiddlewareSpoiled(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil  func(w http.ResponseWriter, r *http.Request)
		err    error
		status int
		hint   string
	}{
		"a limit": {func(w http.ResponseWriter,
			r *http.Request) {
			r.Body = http.MaxBytesReader(w, r.Body, 10)
		}, events.ErrTooLarge, 413,
			"somebody else"},
		"read already": {func(_ http.ResponseWriter, r *http.Request) {
			_,
				_ = io.Copy(io.Discard, r.Body)
		}, events.ErrMalformed, 400, "middleware"},
		"broken off": {func(_ http.ResponseWriter,
			r *http.Request) {
			r.Body = io.NopCloser(brokenReader{})
		}, events.ErrIncompleteBody, 400,
			"hung up"},
	} {
		var problems []events.Problem
		h := newHandler(t, plainMode(), nil, &problems)
		r := wechat().clear(scanPush("shop-7")).request()
		w := httptest.NewRecorder()
		c.spoil(w, r)
		r.ContentLength = -1
		h.ServeHTTP(w, r)
		assert.Equal(t, c.status, w.Code, name)
		require.Len(t, problems, 1)
		require.ErrorIs(t, problems[0].Err, c.err, name)
		assert.Contains(t, problems[0].Hint, c.hint, name)
		assert.Equal(t, "nosniff", w.Header().Get("X-Content-Type-Options"), name)
	}
}
