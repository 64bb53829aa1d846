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
	ErrInvalidArgument    = errors.New("invalid argument")                 // change the call: repeating it is no use
	ErrInvalidScene       = errors.New("invalid scene")                    // ErrInvalidArgument too
	ErrInvalidCredential  = errors.New("invalid credentials")              // AppID or AppSecret is wrong, missing or frozen
	ErrIPNotAllowed       = errors.New("this machine's IP is not allowed") // not on the IP whitelist, or awaiting the administrator
	ErrTokenRejected      = errors.New("WeChat refused the access token")  // and a renewed one too, if there was one
	ErrQuota              = errors.New("quota exhausted")                  // the calls of the day or month: wait for the next
	ErrRateLimited        = errors.New("too many calls")                   // in this minute: wait a minute
	ErrPermanentLimit     = errors.New("no permanent codes left")          // waiting does not help
	ErrNotPermitted       = errors.New("not permitted for this account")   // not verified, not granted, banned
	ErrBusy               = errors.New("WeChat is busy")                   // it said so, or HTTP 5xx: try later
	ErrOutcomeUnknown     = errors.New("it may have been carried out")     // a request that must not run twice had no clear response
	ErrTicketNotFound     = errors.New("WeChat does not know the ticket")  // mistyped, of long ago, or escaped twice
	ErrUnexpectedResponse = errors.New("unexpected response")              // no JSON, no picture, a field missing, a redirect, too large
	ErrTokenNotFound      = errors.New("no token under this key")          // what TokenStore.Load returns for it
)

// ErrorCode is WeChat's errcode.
//
// WeChat's page: https://developers.weixin.qq.com/doc/offiaccount/Getting_Started/Global_Return_Code.html
type ErrorCode int

// Error is WeChat's response when that is not the one asked for. It holds no
// secret. Test its kind with errors.Is, for instance [ErrIPNotAllowed].
type Error struct {
	Op         string    // what was being done: "create ticket", "get token", "POST /cgi-bin/…"
	Code       ErrorCode // WeChat's errcode; 0 if the response had none
	Message    string    // errmsg without the rid, or the beginning of a response that is no JSON; at most about 512 bytes
	RequestID  string    // rid, by which openapi/rid/get explains the call for seven days
	StatusCode int       // of HTTP; WeChat sends most errors with 200

	known   *codeRow // where the code alone does not tell
	unsure  *advice  // ErrOutcomeUnknown too
	retried bool     // this was not the first attempt
}

// Error is one line for people: operation, code, message, rid, and the Hint.
func (e *Error) Error() string {
	text := "wechatqr: "
	if e.Op != "" {
		text += e.Op + ": "
	}
	switch {
	case e.Code != 0:
		text += "errcode " + strconv.Itoa(int(e.Code))
	case e.StatusCode != 0 && e.StatusCode != http.StatusOK:
		text += "HTTP " + strconv.Itoa(e.StatusCode)
	default:
		text += (*e.row().kind).Error()
	}
	if e.Message != "" {
		text += ": " + e.Message
	}
	if e.RequestID != "" {
		text += " (rid " + e.RequestID + ")"
	}
	if h := e.Hint(); h != "" {
		text += "; " + h
	}
	return text
}

// Is reports whether target, one of the Err values, is the error's kind;
// errors.Is calls it.
func (e *Error) Is(target error) bool {
	kind := e.row().kind
	return kind != nil && target == *kind || e.unsure != nil && target == ErrOutcomeUnknown
}

// Hint says what to do about the error; for 40164 it names the IP to add. It is
// empty where the message says it all.
func (e *Error) Hint() string {
	return e.withIP(e.advice().en, "this machine's public IP")
}

// HintZH is Hint in Chinese.
func (e *Error) HintZH() string {
	return e.withIP(e.advice().zh, "本机公网 IP ")
}

func (e *Error) advice() advice {
	row := e.row()
	if e.unsure == nil {
		return row.advice
	}
	if outcomeOf(e) == failed && row.en != "" { // of a later attempt
		return advice{row.en + "; " + adviceUnsureBefore.en, row.zh + "；" + adviceUnsureBefore.zh}
	}
	return *e.unsure
}

// withIP fills in the first address in the message, or else what stands for it.
func (e *Error) withIP(hint, ip string) string {
	for _, word := range strings.FieldsFunc(e.Message, func(r rune) bool { return strings.ContainsRune(" ,;[]", r) }) {
		if _, err := netip.ParseAddr(word); err == nil {
			ip = word
			break
		}
	}
	return strings.ReplaceAll(hint, "{ip}", ip)
}

// row finds what is known of the error.
func (e *Error) row() *codeRow {
	if e.known != nil {
		return e.known
	}
	for i := range codeTable {
		if codeTable[i].code == e.Code {
			return &codeTable[i]
		}
	}
	switch {
	case e.Code != 0:
		return &codeRow{}
	case e.StatusCode >= 500 && e.retried:
		return &rowStillDown
	case e.StatusCode >= 500:
		return &rowDown
	case e.StatusCode == http.StatusTooManyRequests:
		return &rowTooMany
	}
	return &rowUnexpected
}

// refused reports whether WeChat refused the token, so that a new one may help.
func refused(err error) bool {
	e, ok := err.(*Error)
	return ok && e.Is(ErrTokenRejected)
}

// splitRID takes the request id off the end of an errmsg.
func splitRID(errmsg string) (message, rid string) {
	const mark, length = "rid: ", 26 // three groups of eight hex digits
	i := strings.LastIndex(errmsg, mark)
	if i < 0 || len(errmsg) < i+len(mark)+length {
		return errmsg, ""
	}
	rid = errmsg[i+len(mark):][:length]
	for j, c := range rid {
		if c == '-' != (j == 8 || j == 17) || !strings.ContainsRune("0123456789abcdef-", c) {
			return errmsg, ""
		}
	}
	return strings.TrimRight(errmsg[:i]+errmsg[i+len(mark)+length:], " ,"), rid
}

// unexpected is a response that is not what WeChat documents.
func unexpected(op string, status int, message string) *Error {
	return &Error{Op: op, StatusCode: status, Message: message, known: &rowUnexpected}
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
