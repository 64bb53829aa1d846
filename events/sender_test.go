package events_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr/events"
)

// sender signs and seals as WeChat's page says, with code that is not the
// package's.
type sender struct {
	appID, token, key string
}

const (
	testAppID   = "wx2c2769f8efd9abc2"
	testToken   = "spamtest"
	testKey     = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
	testAccount = "gh_97417a04a28d"
	testUser    = "o9AgO5Kd5ggOC-bXrbNODIiE3bGY"
	testTicket  = "gQH47joAAAAAAAAAASxodHRwOi8vd2VpeGluLnFxLmNvbS9xL2taZ2Z3TVRtNzJXV1Brb3ZhYmJJAAIE" +
		"Z23sUwMEmm3sUw=="
)

func wechat() sender { return sender{appID: testAppID, token: testToken, key: testKey} }

// safeMode and plainMode are the configurations that belong to wechat.
func safeMode() events.Config {
	return events.Config{AppID: testAppID, Token: testToken, EncodingAESKey: testKey}
}
func plainMode() events.Config { return events.Config{Token: testToken, Plaintext: true} }

func sign(parts ...string) string {
	slices.Sort(parts)
	return fmt.Sprintf("%x", sha1.Sum([]byte(strings.Join(parts, ""))))
}

func aesKey(t testing.TB, key string) []byte {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(key + "=")
	require.NoError(t, err)
	require.Len(t, raw, 32)
	return raw
}

// plaintext is what is encrypted, before the padding.
func (s sender) plaintext(message string) []byte {
	n := len(message)
	return []byte("0123456789abcdef" +
		string([]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}) + message + s.appID)
}

func pkcs7(b []byte) []byte {
	n := 32 - len(b)%32
	return append(slices.Clip(b), strings.Repeat(string(rune(n)), n)...)
}

// encrypt takes whole blocks.
func (s sender) encrypt(t testing.TB, blocks []byte) string {
	t.Helper()
	key := aesKey(t, s.key)
	block, err := aes.NewCipher(key)
	require.NoError(t, err)
	out := make([]byte, len(blocks))
	cipher.NewCBCEncrypter(block, key[:16]).CryptBlocks(out, blocks)
	return base64.StdEncoding.EncodeToString(out)
}

func (s sender) seal(t testing.TB, message string) string {
	return s.encrypt(t, pkcs7(s.plaintext(message)))
}

func (s sender) open(t testing.TB, sealed string) (message, appID string) {
	t.Helper()
	key := aesKey(t, s.key)
	b, err := base64.StdEncoding.DecodeString(sealed)
	require.NoError(t, err)
	block, err := aes.NewCipher(key)
	require.NoError(t, err)
	require.Zero(t, len(b)%32, "WeChat's block is 32")
	cipher.NewCBCDecrypter(block, key[:16]).CryptBlocks(b, b)
	pad := int(b[len(b)-1])
	require.True(t, 1 <= pad && pad <= 32)
	require.Equal(t, strings.Repeat(string(rune(pad)), pad), string(b[len(b)-pad:]))
	b = b[:len(b)-pad]
	n := int(b[16])<<24 | int(b[17])<<16 | int(b[18])<<8 | int(b[19])
	return string(b[20 : 20+n]), string(b[20+n:])
}

func envelope(sealed string) string {
	return "<xml>\n    <ToUserName><![CDATA[" + testAccount +
		"]]></ToUserName>\n    <Encrypt><![CDATA[" + sealed + "]]></Encrypt>\n</xml>\n"
}

// push is a request in the making.
type push struct {
	query url.Values
	body  string
}

const testNonce = "1320562132"

func (s sender) clear(message string) push {
	return s.clearAt(time.Now().Unix(), message)
}

func (s sender) clearAt(at int64, message string) push {
	return s.signed(strconv.FormatInt(at, 10), testNonce, message)
}

// signed signs whatever the timestamp and the nonce are.
func (s sender) signed(ts, nonce, message string) push {
	return push{url.Values{
		"signature": {sign(s.token, ts, nonce)}, "timestamp": {ts}, "nonce": {nonce},
		"openid": {testUser},
	}, message}
}

func (s sender) sealed(t testing.TB, message string) push {
	return s.envelope(envelope(s.seal(t, message)), s.seal(t, message))
}

// envelope signs sealed, whatever the body is.
func (s sender) envelope(body, sealed string) push {
	p := s.clear(body)
	p.query.Set("encrypt_type", "aes")
	p.query.Set("msg_signature", sign(s.token, p.query.Get("timestamp"), testNonce, sealed))
	return p
}

func (p push) request() *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/callback?"+p.query.Encode(),
		strings.NewReader(p.body))
	r.Header.Set("Content-Type", "text/xml")
	return r
}

func (p push) to(h http.Handler) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, p.request())
	return w
}

// scanPush is a scan by a follower, as WeChat sends it.
func scanPush(scene string) string { return scanPushAt(time.Now().Unix(), scene) }

func scanPushAt(at int64, scene string) string {
	return fmt.Sprintf(`<xml><ToUserName><![CDATA[%s]]></ToUserName>
<FromUserName><![CDATA[%s]]></FromUserName>
<CreateTime>%d</CreateTime>
<MsgType><![CDATA[event]]></MsgType>
<Event><![CDATA[SCAN]]></Event>
<EventKey><![CDATA[%s]]></EventKey>
<Ticket><![CDATA[%s]]></Ticket>
</xml>`, testAccount, testUser, at, scene, testTicket)
}
