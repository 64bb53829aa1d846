package events

import (
	"errors"
	"fmt"
	"net/http"
)

// Why a request was refused. Test with errors.Is; the text around it has the
// details, and never the signature or key that would have been right.
var (
	ErrNoSignature  = errors.New("the request is not signed")          // signature, msg_signature, timestamp or nonce is missing
	ErrBadSignature = errors.New("the signature is wrong")             // made with another Token, or for another message
	ErrStale        = errors.New("the timestamp is too far from now")  // older or newer than Config.MaxAge
	ErrDecrypt      = errors.New("the message cannot be decrypted")    // sealed with another EncodingAESKey, or damaged
	ErrWrongAccount = errors.New("the message is for another account") // by the AppID it was sealed for, or by ToUserName
	ErrTooLarge     = errors.New("the body is too large")              // more than MaxBodyBytes
	ErrMalformed    = errors.New("the message is malformed")           // no push of WeChat's looks like this
	ErrNoAESKey     = errors.New("the message is encrypted, and there is no EncodingAESKey to open it")
	ErrPlaintext    = errors.New("the message is not encrypted, as it must be") // an EncodingAESKey is set and AllowPlaintext is not
	ErrMethod       = errors.New("the method is not WeChat's")                  // GET checks the URL, POST pushes
)

// What else a [Problem] can be.
var (
	ErrInProgress = errors.New("another delivery of this event is being handled") // also what Deduper.Claim returns then
	ErrOverloaded = errors.New("too many functions are running")                  // see WithMaxRunning
	ErrShutdown   = errors.New("the handler was shut down")
	ErrFunction   = errors.New("the function failed") // wraps the error that it returned
	ErrPanic      = errors.New("the function panicked")
	ErrLate       = errors.New("the reply came too late to be sent")
	ErrReply      = errors.New("the reply cannot be sent")
	ErrDeduper    = errors.New("the deduper failed")
)

// cause is what is known of an Err value.
type cause struct {
	err    error
	status int // of the answer; 0 if the answer does not depend on it
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
	{ErrNoAESKey, http.StatusBadRequest, "the console says safe or compatible mode: set EncodingAESKey and AppID here, or choose plaintext mode there", "后台为安全模式或兼容模式：请在此处设置 EncodingAESKey 与 AppID，或在后台改为明文模式"},
	{ErrPlaintext, http.StatusForbidden, "the console says plaintext mode while an EncodingAESKey is set here: choose safe mode there, or AllowPlaintext here during the change", "后台为明文模式而此处设置了 EncodingAESKey：请在后台改为安全模式，或切换期间在此处设 AllowPlaintext"},
	{ErrMethod, http.StatusMethodNotAllowed, "WeChat sends GET and POST only: this is somebody else", "微信只发送 GET 与 POST，此请求并非来自微信"},
	{ErrInProgress, http.StatusServiceUnavailable, "an earlier delivery is still running, or its process died a moment ago: WeChat's next delivery is handled", "上一次投递仍在处理，或其进程刚刚退出：微信的下一次投递会被处理"},
	{ErrOverloaded, http.StatusServiceUnavailable, "the functions are slower than the pushes come: look for a slow database or call, or raise WithMaxRunning", "处理函数跟不上推送速度：请检查慢查询或慢调用，或调大 WithMaxRunning"},
	{ErrShutdown, http.StatusServiceUnavailable, "this process is ending: WeChat's next delivery reaches the one that follows it", "本进程正在退出：微信的下一次投递会到达后续进程"},
	{ErrFunction, http.StatusInternalServerError, "the error says why; WeChat's next delivery runs the function again", "请看错误内容；微信的下一次投递会再次处理"},
	{ErrPanic, http.StatusInternalServerError, "the stack shows where; WeChat's next delivery runs the function again", "请看堆栈定位；微信的下一次投递会再次处理"},
	{ErrLate, 0, "WeChat waits 5 s: return sooner, and answer later with a customer service message", "微信只等待 5 秒：请尽快返回，稍后用客服消息回复"},
	{ErrReply, 0, "the event was handled and answered with success; correct the reply", "事件已处理并回复 success；请修正回复内容"},
	{ErrDeduper, 0, "the event was delivered all the same, and may be delivered twice: look after the store", "事件照常投递，但可能重复：请检查去重存储"},
}

// explain finds the cause of an error that refuse made.
func explain(err error) (c cause) {
	var r *refusal
	if errors.As(err, &r) {
		for _, c = range causes {
			if c.err == r.kind {
				break
			}
		}
	}
	return c
}

// refusal keeps apart what it is and what it wraps: that may be of another kind.
type refusal struct{ kind, reason error }

func refuse(kind error, format string, args ...any) error {
	return &refusal{kind, fmt.Errorf(format, args...)}
}

func (r *refusal) Error() string {
	return "wechatqr: push: " + r.kind.Error() + ": " + r.reason.Error()
}

func (r *refusal) Unwrap() []error { return []error{r.kind, r.reason} }
