package wechatqr

import (
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// The kinds of failure. Test with errors.Is; the *[Error] beneath, if there is
// one, has the details.
var (
	ErrInvalidArgument   = errors.New("invalid argument")                 // change the call: repeating it is no use
	ErrInvalidCredential = errors.New("invalid credentials")              // AppID or AppSecret is wrong, missing or frozen
	ErrIPNotAllowed      = errors.New("this machine's IP is not allowed") // not on the IP whitelist, or awaiting the administrator
	ErrTokenRejected     = errors.New("WeChat refused the access token")  // and a renewed one too, if there was one
	ErrQuota             = errors.New("quota exhausted")                  // calls of the day or minute, or permanent codes
	ErrNotPermitted      = errors.New("not permitted for this account")   // not verified, not granted, banned
	ErrBusy              = errors.New("WeChat is busy")                   // it said so, or HTTP 5xx; retried already, try later
	ErrOutcomeUnknown    = errors.New("it may have been carried out")     // no answer to what must not be done twice: look before you repeat it
	ErrTicketNotFound    = errors.New("WeChat does not know the ticket")  // mistyped, of long ago, or escaped twice
	ErrUnexpectedAnswer  = errors.New("the answer is not WeChat's usual") // no JSON, no picture, a field missing, a redirect, too large
	ErrTokenNotFound     = errors.New("no token under this key")          // what TokenStore.Load returns for it
)

// Code is WeChat's errcode.
//
// WeChat's page: https://developers.weixin.qq.com/doc/offiaccount/Getting_Started/Global_Return_Code.html
type Code int

// Error is WeChat's answer when that is not the one asked for. It holds no
// secret. Test its kind with errors.Is, for instance [ErrIPNotAllowed].
type Error struct {
	Op         string // what was being done: "create ticket", "get token", "POST /cgi-bin/…"
	Code       Code   // WeChat's errcode; 0 if the answer had none
	Message    string // errmsg without the rid, or the beginning of an answer that is no JSON
	RequestID  string // rid, by which openapi/rid/get explains the call for seven days
	StatusCode int    // of HTTP; WeChat sends most errors with 200

	kind   error // where the code alone does not tell
	unsure bool  // ErrOutcomeUnknown too
}

// Error is one line for people: operation, code, message, rid, and the Hint.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("wechatqr: ")
	if e.Op != "" {
		b.WriteString(e.Op + ": ")
	}
	switch {
	case e.Code != 0:
		b.WriteString("errcode " + strconv.Itoa(int(e.Code)))
	case e.StatusCode != 0 && e.StatusCode != http.StatusOK:
		b.WriteString("HTTP " + strconv.Itoa(e.StatusCode))
	default:
		b.WriteString((*e.row().kind).Error())
	}
	if e.Message != "" {
		b.WriteString(": " + e.Message)
	}
	if e.RequestID != "" {
		b.WriteString(" (rid " + e.RequestID + ")")
	}
	if h := e.Hint(); h != "" {
		b.WriteString("; " + h)
	}
	return b.String()
}

// Is reports whether target, one of the Err values, is the error's kind;
// errors.Is calls it.
func (e *Error) Is(target error) bool {
	kind := e.row().kind
	return kind != nil && target == *kind || e.unsure && target == ErrOutcomeUnknown
}

// Hint says what to do about the error, in English and Chinese; for 40164 it
// names the IP to add. It is empty where the message says it all.
func (e *Error) Hint() string {
	r := e.row()
	if e.unsure {
		r.en, r.zh = outcomeHint, outcomeHintZ
	}
	if r.en == "" {
		return ""
	}
	en, zh := e.ip(), e.ip()
	if en == "" {
		en, zh = "this machine's public IP", "本机公网 IP "
	}
	return strings.ReplaceAll(r.en, "{ip}", en) + " / " + strings.ReplaceAll(r.zh, "{ip}", zh)
}

// ip is the first address in the message.
func (e *Error) ip() string {
	for word := range strings.FieldsFuncSeq(e.Message, func(r rune) bool { return r == ' ' || r == ',' || r == ';' || r == '[' || r == ']' }) {
		if _, err := netip.ParseAddr(word); err == nil {
			return word
		}
	}
	return ""
}

type codeRow struct {
	code   Code
	kind   *error // a pointer, so that the table needs no code to fill it
	en, zh string
}

// row finds what is known of the error.
func (e *Error) row() codeRow {
	if e.kind != nil {
		r := codeRow{kind: &e.kind}
		if e.kind == ErrInvalidCredential && e.Code == 40001 {
			r.en, r.zh = "the AppSecret is not this AppID's, or was reset, and the console does not show it again: ask who reset it", "AppSecret 与 AppID 不匹配或已被重置；后台不再显示原值，请先确认是否有人重置过"
		}
		return r
	}
	for _, r := range codeTable {
		if r.code == e.Code {
			return r
		}
	}
	switch {
	case e.Code != 0:
		return codeRow{}
	case e.StatusCode >= 500:
		return codeRow{kind: &ErrBusy, en: "WeChat, or a proxy on the way, is down; it was tried again already", zh: "微信或中间代理不可用，已自动重试"}
	case e.StatusCode == http.StatusTooManyRequests:
		return codeRow{kind: &ErrQuota}
	}
	return codeRow{kind: &ErrUnexpectedAnswer}
}

const (
	checkArgs    = "correct the request: repeating it is no use"
	checkArgsZ   = "请修正请求参数，重试无用"
	outcomeHint  = "it may have been carried out: a permanent code cannot be looked up, and making it again costs at most one of the 100000; look before you repeat anything else"
	outcomeHintZ = "请求可能已被执行：永久二维码无法查询，重试最多多占一个名额；其他请求请先确认结果再重试"
	tryLater     = "try again in a moment"
	tryLaterZ    = "请稍后重试"
)

// codeTable is every code of the API that this library knows. The README's
// table is the same.
var codeTable = [...]codeRow{
	{-1, &ErrBusy, tryLater, tryLaterZ},
	{40001, &ErrTokenRejected, "another program had a new token made (force_refresh, or a token of the classic endpoint that is not shared), the AppSecret was reset, or the token is another account's", "可能有其他程序重新获取了 token（force_refresh，或未共用的 /cgi-bin/token）、AppSecret 已被重置，或 token 属于其他账号"},
	{40002, &ErrInvalidCredential, "grant_type must be client_credential", "grant_type 须为 client_credential"},
	{40003, &ErrInvalidArgument, "the openid is not a follower of this account", "openid 不属于该账号的关注者"},
	{40013, &ErrInvalidCredential, "no such AppID: compare it with the console", "AppID 无效，请在后台核对"},
	{40014, &ErrTokenRejected, "the token is not this account's or was cut off in storage", "access_token 无效，可能属于其他账号或存储时被截断"},
	{40032, &ErrInvalidArgument, "the list is empty or has more than 100 entries", "列表为空或超过 100 条"},
	{40033, &ErrInvalidArgument, `send raw UTF-8, not \u escapes, and no control characters`, `请发送原始 UTF-8，不要用 \u 转义或控制字符`},
	{40052, &ErrInvalidArgument, checkArgs, checkArgsZ},
	{40053, &ErrInvalidArgument, "the scene is out of range: text of 1 to 64 bytes, permanent numbers up to 100000", "场景值超出范围：字符串 1–64 字节，永久整数不超过 100000"},
	{40097, &ErrInvalidArgument, checkArgs, checkArgsZ},
	{40125, &ErrInvalidCredential, "the AppSecret is wrong or was reset, and the console does not show it again: ask who reset it; another reset ends the present one at once", "AppSecret 错误或已被重置；后台不再显示原值，请先确认是否有人重置过，再次重置会使现用的立即失效"},
	{40164, &ErrIPNotAllowed, "add {ip} to the IP whitelist in the account's console; it acts within minutes", "请在后台将 {ip} 加入 IP 白名单，数分钟后生效"},
	{40201, &ErrInvalidArgument, "set the callback URL in the console first", "请先在后台配置回调 URL"},
	{40202, &ErrInvalidArgument, checkArgs, checkArgsZ},
	{40203, &ErrInvalidArgument, checkArgs, checkArgsZ},
	{40243, &ErrInvalidCredential, "the AppSecret is frozen: unfreeze it in the console, it acts after 10 minutes", "AppSecret 已冻结，请在后台解冻，约 10 分钟后生效"},
	{41001, &ErrInvalidCredential, "no token was sent: NoToken is for cloud hosting only", "缺少 access_token：NoToken 仅用于云托管"},
	{41002, &ErrInvalidCredential, "the AppID is missing", "缺少 AppID"},
	{41004, &ErrInvalidCredential, "the AppSecret is missing", "缺少 AppSecret"},
	{42001, &ErrTokenRejected, "the token expired: check this machine's clock", "access_token 已过期，请检查本机时钟"},
	{43001, &ErrInvalidArgument, "this API wants GET", "该接口须用 GET"},
	{43002, &ErrInvalidArgument, "this API wants POST", "该接口须用 POST"},
	{43003, &ErrInvalidArgument, "this API wants https", "该接口须用 https"},
	{44002, &ErrInvalidArgument, "the request had no body", "请求体为空"},
	{45009, &ErrQuota, "the quota of the day is used up: wait for tomorrow or call clear_quota; for tokens use the stable endpoint", "当日调用次数已用完，请等次日或调用 clear_quota；获取 token 请改用 stable_token"},
	{45011, &ErrQuota, "too many calls in this minute: wait a minute", "调用过于频繁，请等一分钟"},
	{45029, &ErrQuota, "the account's 100000 permanent codes are used up, and none can be freed: for screens use Temporary codes, for print another account", "永久二维码数量已达上限且无法释放：屏幕展示可改用临时二维码，印刷请换用其他账号"},
	{47001, &ErrInvalidArgument, "the body is no JSON that WeChat can read", "请求体不是可解析的 JSON"},
	{47003, &ErrInvalidArgument, checkArgs, checkArgsZ},
	{48001, &ErrNotPermitted, "the account may not use this API: parametric codes need a verified service account (or the test account)", "账号无此接口权限：带参数二维码须为已认证的服务号（或测试号）"},
	{48004, &ErrNotPermitted, "the API is banned for this account: see the console's notices", "接口被封禁，请查看后台通知"},
	{48006, &ErrQuota, "this month's clear_quota calls are used up", "本月 clear_quota 次数已用完"},
	{50001, &ErrNotPermitted, "the user has not authorised this", "用户未授权该接口"},
	{50002, &ErrNotPermitted, "the account is limited: see the console's notices", "账号受限，请查看后台通知"},
	{50004, &ErrNotPermitted, "the account may not fetch tokens: see the console", "账号被禁止获取 token，请查看后台"},
	{50007, &ErrNotPermitted, "the account is frozen: see the console", "账号已冻结，请查看后台"},
	{61004, &ErrIPNotAllowed, "add {ip} to the IP whitelist of the third-party platform or the account", "请将 {ip} 加入第三方平台或账号的 IP 白名单"},
	{61007, &ErrNotPermitted, "the account has not granted this permission set to the platform: have it authorise again", "账号未将该权限集授权给第三方平台，请重新授权"},
	{61016, &ErrInvalidArgument, checkArgs, checkArgsZ},
	{76001, &ErrInvalidArgument, checkArgs, checkArgsZ},
	{76002, &ErrInvalidArgument, checkArgs, checkArgsZ},
	{76003, &ErrInvalidArgument, checkArgs, checkArgsZ},
	{76004, &ErrInvalidArgument, checkArgs, checkArgsZ},
	{76021, &ErrInvalidArgument, "cgi_path is unknown: begin with / and leave the host out", "cgi_path 不存在：须以 / 开头且不含域名"},
	{76022, &ErrInvalidArgument, "cgi_path wants another kind of token", "cgi_path 与 token 类型不符"},
	{89503, &ErrIPNotAllowed, "the administrator must confirm {ip} in the message WeChat sent; then call again", "请管理员在微信消息中确认 {ip} 后再调用"},
	{89506, &ErrIPNotAllowed, "the administrator refused {ip}: it stays blocked for 24 hours", "管理员已拒绝 {ip}，24 小时内不可调用"},
	{89507, &ErrIPNotAllowed, "the administrator refused {ip}: it stays blocked for an hour", "管理员已拒绝 {ip}，1 小时内不可调用"},
	{9410010, &ErrInvalidArgument, "long_data has more than 4 KB", "long_data 超过 4 KB"},
	{9410011, &ErrInvalidArgument, "expire_seconds is above 30 days", "expire_seconds 超过 30 天"},
	{9410012, &ErrInvalidArgument, "the short key is unknown, expired or another account's", "short_key 不存在、已过期或不属于该账号"},
	{268487001, &ErrBusy, tryLater, tryLaterZ},
	{268487002, &ErrBusy, tryLater, tryLaterZ},
}

// refused reports whether WeChat refused the token, so that a new one may help.
func refused(err error) bool {
	e, ok := err.(*Error)
	return ok && e.Is(ErrTokenRejected)
}

// fault makes the *Error that an errcode stands for.
func fault(op string, status int, code Code, errmsg string) *Error {
	e := &Error{Op: op, Code: code, StatusCode: status}
	e.Message, e.RequestID = splitRID(errmsg)
	return e
}

// splitRID takes the request id off the end of an errmsg.
func splitRID(errmsg string) (message, rid string) {
	const mark, length = "rid: ", 26 // three groups of eight hex digits
	i := strings.LastIndex(errmsg, mark)
	if i < 0 || len(errmsg) < i+len(mark)+length {
		return errmsg, ""
	}
	rid = errmsg[i+len(mark):][:length]
	for j := range length {
		c := rid[j]
		if dash := j == 8 || j == 17; dash != (c == '-') || !dash && !strings.ContainsRune("0123456789abcdef", rune(c)) {
			return errmsg, ""
		}
	}
	return strings.TrimRight(errmsg[:i]+errmsg[i+len(mark)+length:], " ,"), rid
}

// unexpected is an answer that is not what WeChat documents.
func unexpected(op string, status int, message string) *Error {
	return &Error{Op: op, StatusCode: status, Message: message, kind: ErrUnexpectedAnswer}
}

// invalid is a call that cannot be made as it stands.
func invalid(op string, err error) error {
	return fmt.Errorf("wechatqr: %s: %w: %w", op, ErrInvalidArgument, err)
}

// opError puts the operation before an error from further down, once.
type opError struct {
	op  string
	err error
}

func (e *opError) Error() string {
	return "wechatqr: " + e.op + ": " + strings.TrimPrefix(e.err.Error(), "wechatqr: ")
}

func (e *opError) Unwrap() error { return e.err }

const redacted = "[redacted]"

// piece is how much of a secret is never shown.
const piece = 8

// redact takes the secrets out of a text: as they are, as a query holds them,
// quoted, as in JSON or in an error that quotes JSON, and then whatever piece
// of them is left, for an unknown escape or a cut may stand in between.
func redact(text string, secrets ...string) string {
	for _, s := range secrets {
		if s == "" {
			continue
		}
		once := strconv.Quote(s)
		once = once[1 : len(once)-1]
		twice := strconv.Quote(once)
		for _, form := range [...]string{
			twice[1 : len(twice)-1], once, s, url.QueryEscape(s), url.PathEscape(s), strings.ReplaceAll(once, "/", `\/`),
		} {
			text = strings.ReplaceAll(text, form, redacted)
		}
		for i := 0; i+piece <= len(s); i++ {
			for from := 0; ; {
				j := strings.Index(text[from:], s[i:i+piece])
				if j < 0 {
					break
				}
				j += from
				n := piece
				for i+n < len(s) && j+n < len(text) && s[i+n] == text[j+n] {
					n++
				}
				text = text[:j] + redacted + text[j+n:]
				from = j + len(redacted)
			}
		}
	}
	return text
}

// clean returns err without secrets. A *url.Error, which is what net/http
// gives, holds the whole query: a copy of it without the query keeps
// errors.Is, errors.As and Timeout as they were.
func clean(err error, secrets ...string) error {
	if ue, ok := err.(*url.Error); ok {
		return &url.Error{Op: ue.Op, URL: redact(cutQuery(ue.URL), secrets...), Err: clean(ue.Err, secrets...)}
	}
	text := err.Error()
	for e := range layers(err) {
		if ue, ok := e.(*url.Error); ok {
			text = strings.ReplaceAll(text, strconv.Quote(ue.URL), strconv.Quote(cutQuery(ue.URL))) // as its Error has it
			text = strings.ReplaceAll(text, ue.URL, cutQuery(ue.URL))
		}
	}
	if text = redact(text, secrets...); text != err.Error() {
		return &scrubbed{text, err}
	}
	return err
}

// layers are err and all that it wraps.
func layers(err error) iter.Seq[error] {
	return func(yield func(error) bool) { walk(err, yield) }
}

func walk(err error, yield func(error) bool) bool {
	if err == nil {
		return true
	}
	if !yield(err) {
		return false
	}
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		return walk(e.Unwrap(), yield)
	case interface{ Unwrap() []error }:
		for _, err := range e.Unwrap() {
			if !walk(err, yield) {
				return false
			}
		}
	}
	return true
}

func cutQuery(address string) string {
	if i := strings.IndexAny(address, "?#"); i >= 0 {
		return address[:i]
	}
	return address
}

// scrubbed has no Unwrap, for that would hand out the text it hides.
type scrubbed struct {
	text string
	err  error
}

func (e *scrubbed) Error() string        { return e.text }
func (e *scrubbed) Is(target error) bool { return errors.Is(e.err, target) }
func (e *scrubbed) Timeout() bool {
	for err := range layers(e.err) {
		if t, ok := err.(interface{ Timeout() bool }); ok {
			return t.Timeout()
		}
	}
	return false
}
