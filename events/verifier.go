package events

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/wechatqr/wechatqr"
)

// MaxBodyBytes is the largest request body that is read. WeChat's have a few KiB.
const MaxBodyBytes = 256 << 10

const defaultMaxAge = 5 * time.Minute

// Config is what the account's console says about its callback: in 微信开发者平台
// 我的业务 → 服务号 → 消息与事件推送, in older consoles 公众平台 设置与开发 →
// 基本配置 → 服务器配置. It alone decides whether messages must be encrypted; a
// request has no say in that.
//
// WeChat's page: https://developers.weixin.qq.com/doc/service/guide/dev/push/encryption.html
type Config struct {
	AppID          string // needed with EncodingAESKey: a message sealed for another is refused; a third-party platform's own
	Token          string // 令牌, 3 to 32 letters and digits
	EncodingAESKey string // 消息加解密密钥, 43 letters and digits; empty in plaintext mode (明文模式)

	// Previous keys are accepted as well, so that a change in the console loses
	// nothing; the reply uses those that the message came with. A field left
	// empty is the same as the current one.
	Previous []Keys

	// MaxAge is how far the signed timestamp may be from this machine's clock,
	// to both sides, in whole seconds. Default 5 min. A [Handler] remembers
	// handled events for longer than twice that, so that none can be replayed.
	//
	// WeChat signs timestamp and nonce in sorted order. So whoever has recorded a
	// push whose nonce, a random number, looks like a later time can replay it
	// then with the two exchanged. Where that matters, serve HTTPS, and compare
	// Event.CreateTime, which encryption covers, with the present.
	MaxAge time.Duration

	// AllowPlaintext accepts messages that are not encrypted although there is an
	// EncodingAESKey: for compatible mode (兼容模式) and while the mode is being
	// changed. Where a body has both, the encrypted message is the one that is
	// read. A signature of plaintext mode covers the URL and not the body.
	AllowPlaintext bool

	// Account is the account's original id, gh_…. If set, a message to another is refused.
	Account string
}

const redacted = "[redacted]"

// Format prints the AppID alone, whatever the verb.
func (c Config) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "events.Config(%s, %s)", c.AppID, redacted)
}

// LogValue is what slog shows: no secret.
func (c Config) LogValue() slog.Value {
	return slog.GroupValue(slog.String("app_id", c.AppID), slog.String("keys", redacted))
}

// MarshalJSON writes [redacted] for the secrets: a configuration that is
// dumped or logged must not give them away.
func (c Config) MarshalJSON() ([]byte, error) {
	type plain Config
	k := Keys{c.Token, c.EncodingAESKey}.redacted()
	c.Token, c.EncodingAESKey = k.Token, k.EncodingAESKey
	return json.Marshal(plain(c))
}

// Verifier tells WeChat's requests from others and opens them. It is safe for
// concurrent use.
type Verifier struct {
	appID, account string
	maxAge         int64 // seconds
	plain, sealed  bool  // which messages are accepted

	// keys returns the pairs, the current one first. In a func no fmt verb finds
	// them: %s of a *pair would print what it points to.
	keys func() []*pair
}

// NewVerifier checks the configuration. Its error matches wechatqr.ErrInvalidArgument.
func NewVerifier(cfg Config) (*Verifier, error) {
	v := &Verifier{appID: cfg.AppID, account: cfg.Account, plain: cfg.AllowPlaintext || cfg.EncodingAESKey == ""}
	maxAge := cfg.MaxAge
	if maxAge == 0 {
		maxAge = defaultMaxAge
	}
	if maxAge < time.Second {
		return nil, invalid(fmt.Errorf("MaxAge is %v: use a second at the least", cfg.MaxAge))
	}
	v.maxAge = int64(maxAge / time.Second)
	var pairs []*pair
	for i, k := range append([]Keys{{cfg.Token, cfg.EncodingAESKey}}, cfg.Previous...) {
		if i > 0 && k.Token == "" {
			k.Token = cfg.Token
		}
		if i > 0 && k.EncodingAESKey == "" {
			k.EncodingAESKey = cfg.EncodingAESKey
		}
		p, err := newPair(k)
		if err != nil {
			if i > 0 {
				err = fmt.Errorf("Previous[%d]: %w", i-1, err)
			}
			return nil, invalid(err)
		}
		v.sealed = v.sealed || p.block != nil
		pairs = append(pairs, p)
	}
	v.keys = func() []*pair { return pairs }
	if v.sealed && v.appID == "" {
		return nil, invalid(errors.New("AppID is empty: an EncodingAESKey goes with the AppID that messages are sealed for / 设置了 EncodingAESKey 时须同时设置 AppID"))
	}
	return v, nil
}

func invalid(err error) error {
	return fmt.Errorf("wechatqr: events: %w: %w", wechatqr.ErrInvalidArgument, err)
}

// Echo checks the GET request by which the console tries the URL, and returns
// the text to answer it with, verbatim. It is in the clear in every mode.
func (v *Verifier) Echo(values url.Values) (string, error) {
	q, err := queryOf(values)
	if err != nil {
		return "", err
	}
	return v.echo(&q, time.Now())
}

func (v *Verifier) echo(q *query, now time.Time) (string, error) {
	if err := v.admit(q, signature, now); err != nil {
		return "", err
	}
	if _, err := v.verify(q, signature, nil); err != nil {
		return "", err
	}
	if q[echostr] == "" {
		return "", refuse(ErrMalformed, "the query has no echostr")
	}
	return q[echostr], nil
}

// Open checks a push, given the URL's query and the body, and returns the
// message: decrypted if it was encrypted, else body itself. Give the message to
// [Parse]. Open does not look at Config.Account, for that is in the message.
func (v *Verifier) Open(values url.Values, body []byte) ([]byte, error) {
	q, err := queryOf(values)
	if err != nil {
		return nil, err
	}
	if len(body) > MaxBodyBytes {
		return nil, tooLarge()
	}
	message, _, err := v.open(&q, body, time.Now())
	return message, err
}

// open returns also the keys with which the message came, nil if in the clear.
func (v *Verifier) open(q *query, body []byte, now time.Time) ([]byte, *pair, error) {
	if err := v.knock(q, now); err != nil {
		return nil, nil, err
	}
	return v.read(q, body)
}

// knock checks what can be checked of a push before its body is read.
func (v *Verifier) knock(q *query, now time.Time) error {
	if q[echostr] != "" {
		return refuse(ErrMalformed, "a push has no echostr")
	}
	if !v.sealed && q[encryptType] != "" && q[encryptType] != "raw" {
		return refuse(ErrNoAESKey, "encrypt_type is %.16q", q[encryptType])
	}
	by := v.signedBy(q)
	err := v.admit(q, by, now)
	if err == nil && by == signature {
		_, err = v.verify(q, signature, nil)
	}
	return err
}

// signedBy is the parameter by which a push shows where it comes from: the one
// that covers the message, unless it is not there or there is no key.
func (v *Verifier) signedBy(q *query) param {
	if v.sealed && (q[msgSignature] != "" || q[signature] == "") {
		return msgSignature
	}
	return signature
}

// read opens the body of a push that has knocked.
func (v *Verifier) read(q *query, body []byte) ([]byte, *pair, error) {
	if !v.sealed {
		return body, nil, nil
	}
	var f fields
	if err := f.scan(body); err != nil {
		return nil, nil, err
	}
	switch {
	case f.has(encrypt):
		return v.unseal(q, f.value[encrypt])
	case !v.plain:
		return nil, nil, refuse(ErrPlaintext, "the body has no Encrypt")
	case v.signedBy(q) != signature:
		if _, err := v.verify(q, signature, nil); err != nil {
			return nil, nil, err
		}
	}
	return body, nil, nil
}

// admit tells whether the query has what is signed, and is of now.
func (v *Verifier) admit(q *query, by param, now time.Time) error {
	for _, p := range [...]param{by, timestamp, nonce} {
		if q[p] == "" {
			return unsigned(p)
		}
	}
	return v.fresh(q[timestamp], now)
}

func unsigned(p param) error { return refuse(ErrNoSignature, "the query has no %s", paramNames[p]) }

// verify finds the keys from which on the signature in the given parameter is
// right: those before it are not the ones.
func (v *Verifier) verify(q *query, by param, sealed []byte) ([]*pair, error) {
	if q[by] == "" {
		return nil, unsigned(by)
	}
	pairs := v.keys()
	for i, p := range pairs {
		if p.signed(q[by], q[timestamp], q[nonce], sealed) {
			return pairs[i:], nil
		}
	}
	return nil, refuse(ErrBadSignature, "%s was made with another Token or for another request", paramNames[by])
}

func (v *Verifier) fresh(stamp string, now time.Time) error {
	t, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil || stamp[0] < '1' && stamp != "0" { // one way to write a time
		return refuse(ErrMalformed, "timestamp %.32q is no Unix time", stamp)
	}
	switch age := now.Unix() - t; {
	case age > v.maxAge:
		return refuse(ErrStale, "it is %d s old, and %d s are allowed", age, v.maxAge)
	case -age > v.maxAge:
		return refuse(ErrStale, "it is %d s in the future, and %d s are allowed", -age, v.maxAge)
	}
	return nil
}

func (v *Verifier) unseal(q *query, sealed []byte) ([]byte, *pair, error) {
	pairs, err := v.verify(q, msgSignature, sealed)
	if err != nil {
		return nil, nil, err
	}
	var first error
	for i, p := range pairs {
		// Keys that share a Token verify alike: the one that opens is the one.
		if i > 0 && !p.signed(q[msgSignature], q[timestamp], q[nonce], sealed) {
			continue
		}
		message, err := p.open(sealed, v.appID)
		if err == nil {
			return message, p, nil
		}
		if first == nil || errors.Is(err, ErrWrongAccount) {
			first = err
		}
	}
	return nil, nil, first
}

// ParseRequest checks and reads a push. It accepts POST only; r.Body is read
// up to [MaxBodyBytes] and not closed, and only if the query is in order. To answer with more than "success" use
// a [Handler], which seals the reply when it must.
func (v *Verifier) ParseRequest(r *http.Request) (*wechatqr.Event, error) {
	if r.Method != http.MethodPost {
		return nil, refuse(ErrMethod, "a push is a POST, not %.16q", r.Method)
	}
	q, err := scanQuery(r.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	message, _, err := v.receive(&q, r, time.Now())
	if err != nil {
		return nil, err
	}
	return v.parse(message)
}

// receive reads the body of a push if the query deserves it.
func (v *Verifier) receive(q *query, r *http.Request, now time.Time) ([]byte, *pair, error) {
	if err := v.knock(q, now); err != nil {
		return nil, nil, err
	}
	body, err := readBody(r)
	if err != nil {
		return nil, nil, err
	}
	return v.read(q, body)
}

func (v *Verifier) parse(message []byte) (*wechatqr.Event, error) {
	ev, err := Parse(message)
	if err != nil {
		return nil, err
	}
	if v.account != "" && ev.ToUserName != v.account {
		return nil, refuse(ErrWrongAccount, "ToUserName is %.64q", ev.ToUserName)
	}
	return ev, nil
}

// seal encrypts a reply in the envelope that belongs to it.
func (v *Verifier) seal(q *query, keys *pair, ev *wechatqr.Event, reply []byte, now time.Time) ([]byte, error) {
	var random [16]byte
	_, _ = rand.Read(random[:]) // never fails
	sealed := keys.seal(random, reply, v.appID)
	stamp := now.Unix()
	sign := keys.signature(strconv.FormatInt(stamp, 10), q[nonce], sealed)
	w := &writer{b: make([]byte, 0, len(sealed)+256), json: isJSON(ev.Raw)}
	w.open("xml", '{')
	w.text("Encrypt", string(sealed))
	w.text("MsgSignature", string(sign[:]))
	w.number("TimeStamp", stamp)
	w.text("Nonce", q[nonce])
	return w.end()
}

func tooLarge() error { return refuse(ErrTooLarge, "more than %d bytes", MaxBodyBytes) }

// readBody reads to the end or one byte beyond the limit.
func readBody(r *http.Request) ([]byte, error) {
	if r.ContentLength > MaxBodyBytes {
		return nil, tooLarge()
	}
	if r.Body == nil {
		return nil, nil
	}
	size := int64(1024)
	if r.ContentLength >= 0 {
		size = min(r.ContentLength, 16<<10) + 1 // one more, to meet the end without growing
	}
	b := make([]byte, 0, size)
	for {
		n, err := r.Body.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		switch {
		case len(b) > MaxBodyBytes:
			return nil, tooLarge()
		case errors.Is(err, io.EOF):
			return b, nil
		case err != nil:
			if e := (*http.MaxBytesError)(nil); errors.As(err, &e) {
				return nil, refuse(ErrTooLarge, "a middleware allows %d bytes", e.Limit)
			}
			return nil, refuse(ErrBrokenOff, "%w", err)
		}
		if len(b) == cap(b) {
			b = slices.Grow(b, len(b))
		}
	}
}
