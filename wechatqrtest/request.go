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

// NewRequest is a push of ev as WeChat sends it to a callback with this
// configuration: in the way of plaintext mode with Plaintext, else in that of
// safe mode. It is for a handler's ServeHTTP and has the path "/"; to send
// pushes over the network, in compatible mode too and with deadline and
// repetition, see [Server.Push].
//
// The blanks of ev are filled in: ToUserName with cfg.Account or a fixed one,
// FromUserName with a fixed one, CreateTime with the present, MsgType with
// "event", or "text" for an ev with Content. CreateTime is also the signed
// timestamp. If ev.Raw is set it is the message as it stands, and blanks are
// filled in from it first.
//
// Like httptest.NewRequest it panics if it cannot do it: if the EncodingAESKey
// is none.
func NewRequest(cfg events.Config, ev wechatqr.Event) *http.Request {
	l := line{appID: cfg.AppID, token: cfg.Token, mode: modeOf(cfg)}
	if l.mode != Plain {
		key, err := aesKey(cfg.EncodingAESKey)
		if err != nil {
			panic("wechatqrtest: " + err.Error())
		}
		l.key = key
	}
	complete(&ev, cfg.Account, func(string) time.Time { return time.Now() })
	address, body := l.push("/", ev, ev.CreateTime)
	return serverRequest(http.MethodPost, address, body)
}

// NewEchoRequest is the GET request by which the console checks a callback's
// URL: a handler is to answer it with echo and nothing else.
func NewEchoRequest(cfg events.Config, echo string) *http.Request {
	l := line{token: cfg.Token}
	return serverRequest(http.MethodGet, l.echo("/", echo, time.Now()), "")
}

func modeOf(cfg events.Config) Mode {
	if cfg.Plaintext {
		return Plain
	}
	return Safe
}

// serverRequest is a request as a handler gets it.
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

// setHeader sets what pushes captured from WeChat carry.
func setHeader(h http.Header, method string) {
	h.Set("User-Agent", "Mozilla/4.0")
	h.Set("Accept", "*/*")
	h.Set("Pragma", "no-cache")
	if method == http.MethodPost {
		h.Set("Content-Type", "text/xml")
	}
}

const (
	someAccount = "gh_7f083739789a"              // of WeChat's documentation
	someOpenID  = "o6_bmjrPTlm6_2sgVt7hMZOPfL2M" // of WeChat's documentation
)

// complete fills in what is blank; moment is when a user does something.
func complete(ev *wechatqr.Event, account string, moment func(openID string) time.Time) {
	var raw struct {
		ToUserName   string `xml:"ToUserName"`
		FromUserName string `xml:"FromUserName"`
	}
	if len(ev.Raw) > 0 && xml.Unmarshal(ev.Raw, &raw) == nil {
		ev.ToUserName = cmp.Or(ev.ToUserName, raw.ToUserName)
		ev.FromUserName = cmp.Or(ev.FromUserName, raw.FromUserName)
	}
	ev.ToUserName = cmp.Or(ev.ToUserName, account, someAccount)
	ev.FromUserName = cmp.Or(ev.FromUserName, someOpenID)
	if ev.CreateTime.IsZero() {
		ev.CreateTime = moment(ev.FromUserName)
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

// message writes ev as WeChat does.
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

// cdata writes an element. A "]]>" in the text goes into two sections.
func cdata(w io.Writer, name, text string) {
	text = strings.ReplaceAll(text, "]]>", "]]]]><![CDATA[>")
	_, _ = fmt.Fprintf(w, "\n<%s><![CDATA[%s]]></%[1]s>", name, text) // a strings.Builder cannot fail
}

func xmlText(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}

// line is the way between WeChat and one callback: its keys and mode.
type line struct {
	appID, token string
	key          []byte // nil in plain mode
	mode         Mode
}

// push is the address and body of a push to the URL base.
func (l line) push(base string, ev wechatqr.Event, now time.Time) (address, body string) {
	timestamp, nonce := strconv.FormatInt(now.Unix(), 10), digits(10)
	query := "signature=" + sign(l.token, timestamp, nonce) + "&timestamp=" + timestamp + "&nonce=" + nonce +
		"&openid=" + url.QueryEscape(ev.FromUserName)
	if l.mode == Plain {
		return withQuery(base, query), string(ev.Raw)
	}
	sealed := seal(l.key, l.appID, ev.Raw)
	query += "&encrypt_type=aes&msg_signature=" + sign(l.token, timestamp, nonce, sealed)
	encrypt := "\n<Encrypt><![CDATA[" + sealed + "]]></Encrypt>\n</xml>"
	if open, ok := strings.CutSuffix(string(ev.Raw), "</xml>"); ok && l.mode == Compatible {
		return withQuery(base, query), strings.TrimSuffix(open, "\n") + encrypt
	}
	var b strings.Builder
	b.WriteString("<xml>")
	cdata(&b, "ToUserName", ev.ToUserName)
	return withQuery(base, query), b.String() + encrypt
}

// echo is the address by which the URL base is checked.
func (l line) echo(base, echo string, now time.Time) string {
	timestamp, nonce := strconv.FormatInt(now.Unix(), 10), digits(10)
	return withQuery(base, "signature="+sign(l.token, timestamp, nonce)+"&echostr="+url.QueryEscape(echo)+
		"&timestamp="+timestamp+"&nonce="+nonce)
}

func withQuery(base, query string) string {
	if strings.Contains(base, "?") {
		return base + "&" + query
	}
	return base + "?" + query
}

// digits is a random number of n digits.
func digits(n int) string {
	least := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n-1)), nil)
	v, err := rand.Int(rand.Reader, new(big.Int).Mul(least, big.NewInt(9)))
	if err != nil {
		panic(err) // never fails
	}
	return v.Add(v, least).String()
}
