package events

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode"
)

// Why a request was refused. Test with errors.Is; the text around it has the
// details, and never the signature or key that would have been right.
//
// Whatever fails once the decryption of a message has begun has the response of
// ErrDecrypt: a caller that can tell wrong padding from a foreign AppID can
// encrypt messages without the key.
var (
	ErrNoSignature  = errors.New("the request is not signed")          // signature, msg_signature, timestamp or nonce is missing
	ErrBadSignature = errors.New("the signature is wrong")             // made with another Token, or for another message
	ErrStale        = errors.New("the timestamp is too far from now")  // see Config.MaxAge
	ErrDecrypt      = errors.New("the message cannot be decrypted")    // encrypted with another EncodingAESKey, or damaged
	ErrWrongAccount = errors.New("the message is for another account") // by the AppID it was encrypted for, or by ToUserName
	ErrTooLarge     = errors.New("the body is too large")              // more than MaxBodyBytes
	ErrMalformed    = errors.New("the message is malformed")           // no push of WeChat's looks like this
	ErrNoAESKey     = errors.New("the message is encrypted, and there is no EncodingAESKey to open it")
	ErrPlaintext    = errors.New("the message is not encrypted, as it must be") // it has no Encrypt, and Config.Plaintext is not set

	ErrIncompleteBody = errors.New("the request ended before its body did") // the caller hung up, or the server's ReadTimeout passed
	ErrMethod         = errors.New("the method is not WeChat's")            // GET checks the URL, POST pushes
)

// What else a [Problem] can be.
var (
	ErrInProgress = errors.New("another delivery of this event is being handled")
	ErrNoTime     = errors.New("too little time is left for the function") // less than 1 s of 4.5 s
	ErrOverloaded = errors.New("too many functions are running")           // see WithMaxRunning
	ErrShutdown   = errors.New("the handler was shut down")
	ErrFunction   = errors.New("the function failed") // wraps the error that it returned
	ErrPanic      = errors.New("the function panicked")
	ErrLate       = errors.New("the outcome came too late for the response") // a reply, or beside ErrFunction or ErrPanic a failure
	ErrReply      = errors.New("the reply cannot be sent")
	ErrDeduper    = errors.New("the deduper failed")
	ErrForgotten  = errors.New("handled events were forgotten too soon") // while pushes of them could still be fresh
)

// cause is what is known of an Err value.
type cause struct {
	err    error
	status int // of the response; 0 if it does not depend on this
	en, zh string
}

var causes = [...]cause{
	{ErrNoSignature, http.StatusForbidden, "a browser or a stranger called, or a proxy dropped the query: WeChat signs every request", "请求未签名：可能是浏览器或他人访问，或代理丢弃了查询参数；微信的请求都有签名"},
	{ErrBadSignature, http.StatusForbidden, "compare Token with the console, letter by letter; after changing it there, keep the old one in Previous", "请核对 Token 是否与后台完全一致；更换 Token 后请将旧值放入 Previous"},
	{ErrStale, http.StatusForbidden, "this machine's clock is off, or an old request was replayed: check NTP", "本机时钟不准，或旧请求被重放：请检查 NTP 对时"},
	{ErrDecrypt, http.StatusBadRequest, "compare EncodingAESKey with the console; after changing it there, keep the old one in Previous", "请核对 EncodingAESKey 是否与后台一致；更换后请将旧值放入 Previous"},
	{ErrWrongAccount, http.StatusForbidden, "another account pushes to this URL, or AppID or Account is another account's: compare them with the console", "该 URL 收到其他账号的推送，或 AppID、Account 填成了其他账号的：请在后台核对"},
	{ErrTooLarge, http.StatusRequestEntityTooLarge, "WeChat sends a few KiB at the most: this is somebody else", "微信的推送最多几 KiB，此请求并非来自微信"},
	{ErrMalformed, http.StatusBadRequest, "WeChat does not send this: a proxy changed the request, or somebody else sent it", "微信不会发送这样的内容：请求被代理改动，或并非来自微信"},
	{ErrNoAESKey, http.StatusBadRequest, "the console says safe mode: set EncodingAESKey and AppID here instead of Plaintext, or choose plaintext mode there", "后台为安全模式：请在此处以 EncodingAESKey 与 AppID 取代 Plaintext，或在后台改为明文模式"},
	{ErrPlaintext, http.StatusForbidden, "the console says plaintext mode while an EncodingAESKey is set here: choose safe or compatible mode there, or set Plaintext here instead", "后台为明文模式而此处设置了 EncodingAESKey：请在后台改为安全模式或兼容模式，或在此处改设 Plaintext"},
	{ErrIncompleteBody, http.StatusBadRequest, "the caller hung up or was too slow: look at the network and proxies between, and at the server's ReadTimeout", "对方断开连接或发送过慢：请检查网络、中间代理与服务器的 ReadTimeout"},
	{ErrMethod, http.StatusMethodNotAllowed, "WeChat sends GET and POST only: this is somebody else", "微信只发送 GET 与 POST，此请求并非来自微信"},
	{ErrInProgress, http.StatusServiceUnavailable, "an earlier delivery is still running, or its process died a moment ago: a later delivery, if WeChat makes one, learns the outcome, or is handled", "上一次投递仍在处理，或其进程刚刚退出：若微信再次投递，会得知结果或被处理"},
	{ErrNoTime, http.StatusServiceUnavailable, "a slow body, a full Handler or another delivery took the time: look at the network and proxies between, and for a slow database or call", "时间被缓慢的正文、已满的 Handler 或另一次投递用尽：请检查网络与中间代理，以及慢查询或慢调用"},
	{ErrOverloaded, http.StatusServiceUnavailable, "the functions are slower than the pushes come: look for a slow database or call, or raise WithMaxRunning", "处理函数跟不上推送速度：请检查慢查询或慢调用，或调大 WithMaxRunning"},
	{ErrShutdown, http.StatusServiceUnavailable, "this process is ending: a later delivery, if WeChat makes one, may reach the process that follows it", "本进程正在退出：若微信再次投递，可能到达后续进程"},
	{ErrFunction, http.StatusInternalServerError, "the error says why; if WeChat delivers the event again, the function runs again: do not count on it, redo it from this event", "请看错误内容；若微信再次投递会再次处理，但不可依赖：请根据此事件自行补做"},
	{ErrPanic, http.StatusInternalServerError, "the stack shows where; if WeChat delivers the event again, the function runs again: do not count on it, redo it from this event", "请看堆栈定位；若微信再次投递会再次处理，但不可依赖：请根据此事件自行补做"},
	{ErrLate, 0, "WeChat waits 5 s: return sooner, and answer later with a customer service message", "微信只等待 5 秒：请尽快返回，稍后用客服消息回复"},
	{ErrReply, 0, "the event was handled and answered with success; correct the reply", "事件已处理并回复 success；请修正回复内容"},
	{ErrForgotten, 0, "more pushes come than the memory of handled events holds: pushes delivered again or replayed may run the function again; give NewMemoryDeduper a larger limit, or share a store", "推送数量超过去重内存的容量：重复投递或重放的推送可能再次执行处理函数；请调大 NewMemoryDeduper 的上限，或使用共享存储"},
}

// What has hints of its own beside those of its Err value.
var (
	emptyBody  = cause{ErrMalformed, http.StatusBadRequest, "WeChat sends a body: a middleware in front, one that logs requests perhaps, has read it and not put it back", "微信的推送都有正文：可能被前面的中间件（如记录请求的日志）读走而未放回"}
	undecided  = cause{ErrLate, http.StatusInternalServerError, "the function goes on: if it fails, a later delivery runs it again; find what is slow", "函数仍在执行：若失败，微信再次投递时会重新执行；请检查哪里过慢"}
	failedLate = cause{ErrLate, 0, "WeChat was told success already: nobody runs it again; redo it from this event", "已向微信回复 success，不会再次投递：请根据此事件自行补做"}
	recovered  = cause{ErrFunction, 0, "the function ran again and succeeded: the event is handled; look for what was away for a moment", "再次执行后成功，事件已处理：请检查短暂不可用的依赖"}
	claimLost  = cause{ErrInProgress, 0, "another process may run the function for this event too: this one stalled, or the store lost the claim", "其他进程可能也在处理此事件：本进程曾停顿，或去重存储丢失了占用记录"}
	notClaimed = cause{ErrDeduper, 0, "the event is handled all the same, once in this process, perhaps in another too: look after the store", "事件照常处理，本进程内只处理一次，但其他进程可能重复：请检查去重存储"}
	notSettled = cause{ErrDeduper, 0, "the store does not know how the event ended: another process may handle it again, or wait some seconds before it can: look after the store", "去重存储未记下处理结果：其他进程可能重复处理，或需等几秒才能处理：请检查去重存储"}
)

// pushError is every error of a push. kind and reason are kept apart, since the
// reason may itself match another Err value.
type pushError struct {
	cause
	kind, reason error
}

func errorf(kind error, format string, args ...any) error {
	return causeOf(kind).errorf(format, args...)
}

func (c cause) errorf(format string, args ...any) error {
	return &pushError{c, c.err, fmt.Errorf(format, args...)}
}

// wrap returns err with the hints of c, when more is known of it.
func (c cause) wrap(err error, when string) error {
	r := pushErrorOf(err)
	return &pushError{c, r.kind, fmt.Errorf("%s: %w", when, r.reason)}
}

// conceal gives an error the response of ErrDecrypt. It keeps its kind and its
// hints.
func conceal(err error) error {
	r, outside := *pushErrorOf(err), causeOf(ErrDecrypt)
	r.err, r.status = outside.err, outside.status
	return &r
}

func causeOf(kind error) cause {
	i := slices.IndexFunc(causes[:], func(c cause) bool { return c.err == kind })
	return causes[i]
}

// pushErrorOf takes an error that errorf made, wrapped or not.
func pushErrorOf(err error) (r *pushError) {
	errors.As(err, &r)
	return r
}

const maxErrorBytes = 512

// Error is a line of at most about 512 bytes, whatever the request held or the
// function said.
func (r *pushError) Error() string {
	s := "wechatqr: push: " + r.kind.Error() + ": " + r.reason.Error()
	if len(s) > maxErrorBytes {
		s = strings.ToValidUTF8(s[:maxErrorBytes], "") + "…"
	}
	return strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) {
			return ' '
		}
		return c
	}, s)
}

func (r *pushError) Unwrap() []error { return []error{r.kind, r.reason, r.err} }
