package wechatqrtest

import (
	"cmp"
	"crypto/rand"
	"encoding/xml"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/events"
)

// NewRequest returns the push of ev that WeChat sends to a callback with this
// configuration: in plaintext mode if cfg.Plaintext is set, else in safe mode.
// Pass it to a handler's ServeHTTP; its path is "/". To send pushes over the
// network, in compatible mode too, with WeChat's timeout and retries, see
// [Server.Push].
//
// Empty fields of ev get defaults: ToUserName cfg.Account or a fixed account,
// FromUserName a fixed openid, CreateTime the current time, MsgType "event", or
// "text" if ev has Content. CreateTime is also the signed timestamp. A non-empty
// ev.Raw is sent unchanged, and ToUserName and FromUserName default to its own.
//
// Like httptest.NewRequest it panics on invalid arguments: here, if
// cfg.EncodingAESKey is not a key.
func NewRequest(cfg events.Config, ev wechatqr.Event) *http.Request {
	codec, err := newCodec(cfg)
	if err != nil {
		panic("wechatqrtest: " + err.Error())
	}
	complete(&ev, cfg.Account, func(string) time.Time { return time.Now() })
	target, body := codec.push("/", ev, ev.CreateTime)
	return serverRequest(http.MethodPost, target, body)
}

// NewEchoRequest returns the GET request by which the console checks a callback's
// URL. A handler must respond with echo and nothing else.
func NewEchoRequest(cfg events.Config, echo string) *http.Request {
	codec := callbackCodec{token: cfg.Token}
	return serverRequest(http.MethodGet, codec.echoURL("/", echo, time.Now()), "")
}

// serverRequest returns a request as a handler receives it.
func serverRequest(method, target, body string) *http.Request {
	req, err := http.NewRequest(method, "http://callback.example"+target, strings.NewReader(body))
	if err != nil {
		panic("wechatqrtest: " + err.Error()) // no target of this package is malformed
	}
	req.RequestURI = target
	req.RemoteAddr = "192.0.2.1:1234" // reserved for documentation
	setHeader(req.Header, method)
	return req
}

// setHeader sets the header fields of pushes captured from WeChat.
func setHeader(h http.Header, method string) {
	h.Set("User-Agent", "Mozilla/4.0")
	h.Set("Accept", "*/*")
	h.Set("Pragma", "no-cache")
	if method == http.MethodPost {
		h.Set("Content-Type", "text/xml")
	}
}

const (
	exampleAccount = "gh_7f083739789a"              // from WeChat's documentation
	exampleOpenID  = "o6_bmjrPTlm6_2sgVt7hMZOPfL2M" // from WeChat's documentation
)

// complete sets the empty fields of ev; nextEventTime gives the CreateTime.
func complete(ev *wechatqr.Event, account string, nextEventTime func(openID string) time.Time) {
	var raw struct {
		ToUserName   string `xml:"ToUserName"`
		FromUserName string `xml:"FromUserName"`
	}
	if len(ev.Raw) > 0 && xml.Unmarshal(ev.Raw, &raw) == nil {
		ev.ToUserName = cmp.Or(ev.ToUserName, raw.ToUserName)
		ev.FromUserName = cmp.Or(ev.FromUserName, raw.FromUserName)
	}
	ev.ToUserName = cmp.Or(ev.ToUserName, account, exampleAccount)
	ev.FromUserName = cmp.Or(ev.FromUserName, exampleOpenID)
	if ev.CreateTime.IsZero() {
		ev.CreateTime = nextEventTime(ev.FromUserName)
	}
	ev.CreateTime = ev.CreateTime.Truncate(time.Second)
	if ev.MsgType == "" {
		ev.MsgType = "event"
		if ev.Type == "" && ev.Content != "" {
			ev.MsgType = "text"
		}
	}
	if len(ev.Raw) == 0 {
		ev.Raw = message(ev)
	}
}

// message returns the XML that WeChat sends for ev.
func message(ev *wechatqr.Event) []byte {
	var b strings.Builder
	b.WriteString("<xml>")
	cdata(&b, "ToUserName", ev.ToUserName)
	cdata(&b, "FromUserName", ev.FromUserName)
	fmt.Fprintf(&b, "\n<CreateTime>%d</CreateTime>", ev.CreateTime.Unix())
	cdata(&b, "MsgType", ev.MsgType)
	if ev.MsgType == "event" {
		cdata(&b, "Event", string(ev.Type))
		cdata(&b, "EventKey", ev.EventKey) // there and empty on events without one
		if ev.Ticket != "" {
			cdata(&b, "Ticket", ev.Ticket)
		}
	}
	if ev.Content != "" {
		cdata(&b, "Content", ev.Content)
	}
	if ev.MsgID != "" {
		fmt.Fprintf(&b, "\n<MsgId>%s</MsgId>", xmlText(ev.MsgID))
	}
	b.WriteString("\n</xml>")
	return []byte(b.String())
}

// cdata writes an element. A "]]>" in the text is split between two sections.
func cdata(w io.Writer, name, text string) {
	text = strings.ReplaceAll(text, "]]>", "]]]]><![CDATA[>")
	_, _ = fmt.Fprintf(w, "\n<%s><![CDATA[%s]]></%[1]s>", name, text) // a strings.Builder cannot fail
}

func xmlText(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}

// callbackCodec writes the pushes to one callback and reads its replies.
type callbackCodec struct {
	appID, token string
	key          []byte // nil in plain mode
	mode         Mode
}

func newCodec(cfg events.Config) (callbackCodec, error) {
	c := callbackCodec{appID: cfg.AppID, token: cfg.Token, mode: ModePlain}
	if cfg.Plaintext {
		return c, nil
	}
	c.mode = ModeSafe
	var err error
	c.key, err = aesKey(cfg.EncodingAESKey)
	return c, err
}

// push returns the URL and body of a push to the URL base.
func (c callbackCodec) push(base string, ev wechatqr.Event, now time.Time) (target, body string) {
	timestamp, nonce := strconv.FormatInt(now.Unix(), 10), digits(10)
	query := "signature=" + sign(c.token, timestamp, nonce) + "&timestamp=" + timestamp + "&nonce=" + nonce +
		"&openid=" + url.QueryEscape(ev.FromUserName)
	if c.mode == ModePlain {
		return withQuery(base, query), string(ev.Raw)
	}

	ciphertext := encrypt(c.key, c.appID, ev.Raw)
	query += "&encrypt_type=aes&msg_signature=" + sign(c.token, timestamp, nonce, ciphertext)
	encrypted := "\n<Encrypt><![CDATA[" + ciphertext + "]]></Encrypt>\n</xml>"
	if plain, ok := strings.CutSuffix(string(ev.Raw), "</xml>"); ok && c.mode == ModeCompatible {
		return withQuery(base, query), strings.TrimSuffix(plain, "\n") + encrypted
	}

	var b strings.Builder
	b.WriteString("<xml>")
	cdata(&b, "ToUserName", ev.ToUserName)
	return withQuery(base, query), b.String() + encrypted
}

// echoURL returns the URL by which the callback with the URL base is checked.
func (c callbackCodec) echoURL(base, echo string, now time.Time) string {
	timestamp, nonce := strconv.FormatInt(now.Unix(), 10), digits(10)
	return withQuery(base, "signature="+sign(c.token, timestamp, nonce)+"&echostr="+url.QueryEscape(echo)+
		"&timestamp="+timestamp+"&nonce="+nonce)
}

func withQuery(base, query string) string {
	if strings.Contains(base, "?") {
		return base + "&" + query
	}
	return base + "?" + query
}

// digits returns a random number of n digits.
func digits(n int) string {
	least := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n-1)), nil)
	v, err := rand.Int(rand.Reader, new(big.Int).Mul(least, big.NewInt(9)))
	if err != nil {
		panic(err) // never fails
	}
	return v.Add(v, least).String()
}
