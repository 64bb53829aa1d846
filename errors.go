package wechatqr

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
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
