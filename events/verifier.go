package events

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/wechatqr/wechatqr"
)

// MaxBodyBytes is the largest request body that is read. WeChat's largest, texts
// of 2048 bytes that compatible mode sends three times over, have about 8 KiB.
const MaxBodyBytes = 64 << 10

// maxParamBytes is how long a nonce or an echostr may be. WeChat's have 9 to 32
// characters.
const maxParamBytes = 128

const defaultMaxAge = 5 * time.Minute

// Config is what the account's console says about its callback: in 微信开发者平台
// 我的业务 → 服务号 → 消息与事件推送, in older consoles 公众平台 设置与开发 →
// 基本配置 → 服务器配置. It alone decides whether messages must be encrypted; a
// request has no say in that.
//
// WeChat's page: https://developers.weixin.qq.com/doc/service/guide/dev/push/encryption.html
type Config struct {
	// AppID is needed unless Plaintext is set: a message encrypted for another is
	// refused. A third-party platform (第三方平台) uses its own.
	AppID string

	Token string // 令牌, 3 to 32 letters and digits

	// EncodingAESKey is 消息加解密密钥, 43 letters and digits, of safe mode
	// (安全模式) and of compatible mode (兼容模式): in both the encrypted message
	// is the one that is read. It is needed unless Plaintext is set.
	EncodingAESKey string

	// Plaintext is plaintext mode (明文模式), the only one of a test account
	// (测试号), and has no EncodingAESKey. In compatible mode it reads the message
	// in the clear: change from plaintext to safe mode, or back, by way of that.
	//
	// The signature of plaintext mode covers the URL and not the body: who has
	// recorded a request, in an access log for instance, can send any message
	// within MaxAge of it. And since WeChat signs timestamp and nonce sorted and
	// joined, digits of some nonces can be passed off as a later timestamp, and the
	// request be used again then. Safe mode prevents both.
	Plaintext bool

	// Previous keys are accepted as well, so that a change in the console loses
	// nothing; the reply uses those that the message came with. A field left
	// empty is the same as the current one.
	Previous []Keys

	// MaxAge is how far the signed timestamp may be from this machine's clock,
	// and from the CreateTime of an encrypted message, to both sides, in whole
	// seconds. Default 5 min. WeChat holds pushes back for a minute after many
	// failures: less than 2 min loses those. A [Handler] remembers handled events
	// for longer than three times that, so that none can be replayed while its Deduper
	// does not forget: see [WithDeduper].
	MaxAge time.Duration

	// Account is the account's original id, gh_…. If set, a message to another is refused.
	Account string
}

// ConfigFromEnv reads WECHAT_APP_ID, WECHAT_TOKEN and WECHAT_AES_KEY; or, for
// plaintext mode, WECHAT_TOKEN and WECHAT_PLAINTEXT=1; and WECHAT_ACCOUNT, which
// need not be set. Its error matches wechatqr.ErrInvalidArgument and names the
// variable.
func ConfigFromEnv() (Config, error) {
	cfg := Config{
		AppID: os.Getenv("WECHAT_APP_ID"), Token: os.Getenv("WECHAT_TOKEN"),
		EncodingAESKey: os.Getenv("WECHAT_AES_KEY"), Account: os.Getenv("WECHAT_ACCOUNT"),
	}
	var err error
	if cfg.Plaintext, err = strconv.ParseBool(cmp.Or(os.Getenv("WECHAT_PLAINTEXT"), "0")); err != nil {
		return Config{}, invalid(errors.New("WECHAT_PLAINTEXT is neither 1 nor 0"))
	}
	if _, err = newVerifier(cfg); err != nil {
		variables := strings.NewReplacer("AppID", "WECHAT_APP_ID", "Token", "WECHAT_TOKEN",
			"EncodingAESKey", "WECHAT_AES_KEY", "Plaintext", "WECHAT_PLAINTEXT=1",
			"Account", "WECHAT_ACCOUNT")
		return Config{}, invalid(errors.New(variables.Replace(err.Error())))
	}
	return cfg, nil
}

func (c Config) redacted() string { return "events.Config(" + c.AppID + ", [redacted])" }

// Format prints the AppID alone, whatever the verb.
func (c Config) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.redacted()) }

// MarshalText is what slog, JSON, YAML and XML show: the AppID and no secret.
func (c Config) MarshalText() ([]byte, error) { return []byte(c.redacted()), nil }

// MarshalBinary refuses, so that gob stores no secret and none is missed later.
func (c Config) MarshalBinary() ([]byte, error) { return nil, errNotEncoded }

// Verifier checks that a request is WeChat's, and decrypts and parses it. It does
// not change once it is made: any goroutine may use it.
type Verifier struct {
	appID, account string
	maxAge         int64 // seconds
	plaintext      bool

	// keys returns the pairs, the current one first. In a func no fmt verb finds
	// them: %s of a *keyPair would print what it points to.
	keys func() []*keyPair
}

// NewVerifier checks the configuration. Its error matches wechatqr.ErrInvalidArgument.
func NewVerifier(cfg Config) (*Verifier, error) {
	v, err := newVerifier(cfg)
	if err != nil {
		return nil, invalid(err)
	}
	return v, nil
}

func newVerifier(cfg Config) (*Verifier, error) {
	v := &Verifier{appID: cfg.AppID, account: cfg.Account, plaintext: cfg.Plaintext}
	v.maxAge = int64(cmp.Or(cfg.MaxAge, defaultMaxAge) / time.Second)
	if v.maxAge < 1 {
		return nil, fmt.Errorf("MaxAge is %v: use a second at the least", cfg.MaxAge)
	}
	var pairs []*keyPair
	for i, k := range append([]Keys{{}}, cfg.Previous...) {
		k.Token = cmp.Or(k.Token, cfg.Token)
		k.EncodingAESKey = cmp.Or(k.EncodingAESKey, cfg.EncodingAESKey)
		p, err := newKeyPair(k, cfg.Plaintext)
		if err != nil && i > 0 {
			err = fmt.Errorf("Previous[%d]: %w", i-1, err)
		}
		if err != nil {
			return nil, err
		}
		pairs = append(pairs, p)
	}
	switch {
	case strings.ContainsFunc(cfg.AppID+cfg.Account, func(r rune) bool { return r <= ' ' || r > '~' }):
		return nil, errors.New("AppID or Account has white space or another odd character: " +
			"was a line end read with it?")
	case !cfg.Plaintext && cfg.AppID == "":
		return nil, errors.New("AppID is empty: messages are encrypted for an AppID")
	}
	v.keys = func() []*keyPair { return pairs }
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
	if err := v.checkQuery(q, now); err != nil {
		return "", err
	}
	if n := len(q.echostr); n < 1 || n > maxParamBytes {
		return "", errorf(ErrMalformed, "echostr has %d bytes, not 1 to %d", n, maxParamBytes)
	}
	return q.echostr, nil
}

// Open checks a push, given the URL's query and the body, and returns the
// message: decrypted, or in plaintext mode body itself. Give the message to
// [Parse]. Open does not check Config.Account, which is for the message's
// ToUserName. As for its error, see ParseRequest.
func (v *Verifier) Open(values url.Values, body []byte) ([]byte, error) {
	q, err := queryOf(values)
	if err != nil {
		return nil, err
	}
	message, keys, err := v.open(&q, time.Now(), func() ([]byte, error) { return body, nil })
	if keys == nil {
		return message, err
	}

	var f fields
	if f.scan(message, elementCreateTime) == nil && f.has(elementCreateTime) {
		created, err := f.unixTime()
		if err == nil {
			err = v.checkCreateTime(&q, created)
		}
		if err != nil {
			return nil, conceal(err)
		}
	}
	return message, nil
}

// open checks a push as far as it is possible without reading the message. It
// gets the body only once the query is in order and signed. The keys are those
// that the message was encrypted with, nil if it was in the clear.
func (v *Verifier) open(
	q *query, now time.Time, read func() ([]byte, error),
) (message []byte, keys *keyPair, err error) {
	if q.echostr != "" {
		return nil, nil, errorf(ErrMalformed, "a push has no echostr")
	}
	if err := v.checkQuery(q, now); err != nil {
		return nil, nil, err
	}
	body, err := read()
	switch {
	case err != nil:
		return nil, nil, err
	case len(body) > MaxBodyBytes:
		return nil, nil, tooLarge()
	case v.plaintext && (q.encryptType == "" || q.encryptType == "raw"):
		return body, nil, nil
	}

	var f fields
	if err := f.scan(body, elementCount); err != nil {
		return nil, nil, err
	}
	switch {
	case v.plaintext && f.has(elementEncrypt) && f.has(elementFromUserName): // compatible mode
		return body, nil, nil
	case v.plaintext:
		return nil, nil, errorf(ErrNoAESKey, "encrypt_type is %.16q", q.encryptType)
	case !f.has(elementEncrypt):
		return nil, nil, errorf(ErrPlaintext, "the body has no Encrypt")
	}
	return v.decrypt(q, f[elementEncrypt])
}

// checkQuery checks what WeChat signs of a URL, and the signature.
func (v *Verifier) checkQuery(q *query, now time.Time) error {
	switch "" {
	case q.signature:
		return unsigned("signature")
	case q.timestamp:
		return unsigned("timestamp")
	case q.nonce:
		return unsigned("nonce")
	}

	// Other bytes than these could be SHA-1 padding, by which one signature can be
	// extended to others without the Token.
	if len(q.nonce) > maxParamBytes || !alphanumeric(q.nonce) {
		return errorf(ErrMalformed, "nonce %.32q is not 1 to %d letters and digits",
			q.nonce, maxParamBytes)
	}
	if err := v.checkTimestamp(q, now); err != nil {
		return err
	}
	for _, p := range v.keys() {
		if p.signed(q, q.signature, nil) {
			return nil
		}
	}
	return wrongSignature("signature")
}

func unsigned(param string) error {
	return errorf(ErrNoSignature, "the query has no %s", param)
}

func wrongSignature(param string) error {
	return errorf(ErrBadSignature, "%s was made with another Token or for another request", param)
}

// checkTimestamp takes one way to write a time: ten digits, of which the first
// is not 0. The clock of testing/synctest begins in 2000, with nine.
func (v *Verifier) checkTimestamp(q *query, now time.Time) error {
	stamp := q.timestamp
	t, err := strconv.ParseUint(stamp, 10, 63)
	if err != nil || len(stamp) < 9 || len(stamp) > 10 || stamp[0] == '0' {
		return errorf(ErrMalformed, "timestamp %.32q is no Unix time of ten digits", stamp)
	}
	q.time = int64(t)
	switch age := now.Unix() - q.time; {
	case age > v.maxAge:
		return errorf(ErrStale, "it is %d s old, and %d s are allowed", age, v.maxAge)
	case -age > v.maxAge:
		return errorf(ErrStale, "it is %d s in the future, and %d s are allowed", -age, v.maxAge)
	}
	return nil
}

// decrypt opens Encrypt with the keys that signed it. Whatever fails from here on
// has the same response.
func (v *Verifier) decrypt(q *query, sealed []byte) (message []byte, keys *keyPair, err error) {
	if q.msgSignature == "" {
		return nil, nil, unsigned("msg_signature")
	}
	for _, p := range v.keys() {
		if !p.signed(q, q.msgSignature, sealed) {
			continue
		}
		message, failure := p.open(sealed, v.appID)
		if failure == nil {
			return message, p, nil
		}
		// Keys that share a Token sign alike: the one that fits says what is wrong.
		if err == nil || errors.Is(failure, ErrWrongAccount) {
			err = failure
		}
	}
	if err == nil {
		return nil, nil, wrongSignature("msg_signature")
	}
	return nil, nil, conceal(err)
}

// checkCreateTime compares an encrypted CreateTime with the signed timestamp.
// WeChat signs timestamp and nonce in sorted order, so a push whose nonce looks
// like a later time could be replayed then with the two exchanged.
func (v *Verifier) checkCreateTime(q *query, created time.Time) error {
	if off := q.time - created.Unix(); off > v.maxAge || -off > v.maxAge {
		return errorf(ErrStale, "CreateTime is %d s from the signed timestamp, and %d s are allowed",
			max(off, -off), v.maxAge)
	}
	return nil
}

// ParseRequest checks and reads a push. It accepts POST only; r.Body is read
// up to [MaxBodyBytes] and not closed, and only if the query is in order and
// signed. To answer with more than "success" use a [Handler], which encrypts
// the reply when it must.
//
// Answer every error with the same status and text, and keep its own text for
// the log: a caller that can tell wrong padding from a foreign AppID can encrypt
// messages without the key.
func (v *Verifier) ParseRequest(r *http.Request) (*wechatqr.Event, error) {
	if r.Method != http.MethodPost {
		return nil, errorf(ErrMethod, "a push is a POST, not %.16q", r.Method)
	}
	q, err := parseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	ev, _, err := v.parse(&q, time.Now(), func() ([]byte, error) { return readBody(r) })
	return ev, err
}

// parse opens and reads a push: see open.
func (v *Verifier) parse(
	q *query, now time.Time, read func() ([]byte, error),
) (*wechatqr.Event, *keyPair, error) {
	message, keys, err := v.open(q, now, read)
	if err != nil {
		return nil, nil, err
	}
	ev, err := Parse(message)
	if err == nil && keys != nil {
		err = v.checkCreateTime(q, ev.CreateTime)
	}
	if err == nil && v.account != "" && ev.ToUserName != v.account {
		err = errorf(ErrWrongAccount, "ToUserName is %.64q", ev.ToUserName)
	}
	switch {
	case err == nil:
		return ev, keys, nil
	case keys != nil:
		err = conceal(err)
	}
	return nil, nil, err
}

// seal encrypts a reply in the envelope that belongs to it.
func (v *Verifier) seal(
	q *query, keys *keyPair, ev *wechatqr.Event, reply []byte, now time.Time,
) []byte {
	var random [16]byte
	_, _ = rand.Read(random[:]) // never fails
	sealed := keys.seal(random, reply, v.appID)
	stamp := now.Unix()
	sign := keys.signature(strconv.FormatInt(stamp, 10), q.nonce, sealed)
	envelope := newObject("xml", newText("Encrypt", string(sealed)),
		newText("MsgSignature", string(sign[:])), newNumber("TimeStamp", stamp), newText("Nonce", q.nonce))
	return envelope.append(make([]byte, 0, len(sealed)+256), isJSON(ev.Raw))
}

func tooLarge() error { return errorf(ErrTooLarge, "more than %d bytes", MaxBodyBytes) }

// readBody reads to the end or one byte beyond the limit, which open refuses.
func readBody(r *http.Request) ([]byte, error) {
	if r.ContentLength > MaxBodyBytes {
		return nil, tooLarge()
	}
	if r.Body == nil {
		return nil, nil
	}
	size := min(max(r.ContentLength, 512), 16<<10) + bytes.MinRead // so that few have to grow
	b := bytes.NewBuffer(make([]byte, 0, size))
	_, err := b.ReadFrom(io.LimitReader(r.Body, MaxBodyBytes+1))
	if err == nil {
		return b.Bytes(), nil
	}
	if e := (*http.MaxBytesError)(nil); errors.As(err, &e) {
		return nil, errorf(ErrTooLarge, "a middleware allows %d bytes", e.Limit)
	}
	return nil, errorf(ErrIncompleteBody, "%w", err)
}
