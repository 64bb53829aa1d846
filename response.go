package wechatqr

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// classify says what a response means and fills out from it.
func (x *apiRequest) classify(status int, response []byte) (outcome, error) {
	if x.accept != nil {
		return x.accept(status, response)
	}
	return x.classifyJSON(status, response)
}

// classifyJSON reads a response of the API. HTTP 200 means little: errcode comes first.
func (x *apiRequest) classifyJSON(status int, response []byte) (outcome, error) {
	if status != http.StatusOK || mayHoldErrcode(response) {
		if err := x.errorIn(status, response); err != nil {
			return outcomeOf(err), err
		}
	}
	if !bytes.HasPrefix(bytes.TrimLeft(response, " \t\r\n"), []byte("{")) {
		return unreadable, x.notJSON(status, response)
	}
	out := x.out
	if out == nil {
		out = &struct{}{} // so that the JSON is checked
	}
	switch err := json.Unmarshal(response, out).(type) {
	case nil:
		return succeeded, nil
	case *json.SyntaxError:
		return unreadable, x.notJSON(status, response)
	default:
		return unreadable, unexpected(x.op, status, clean(err, x.secret).Error())
	}
}

func outcomeOf(e *Error) outcome {
	switch {
	case e.Code != 0 && e.Is(ErrBusy):
		return busy
	case e.Code == 0 && e.StatusCode >= 500:
		return serverError
	case e.Code == 0 && e.StatusCode < 300:
		return unreadable
	}
	return failed
}

// mayHoldErrcode reports whether encoding/json, which takes any letter case and
// escapes, may find errcode in the text.
func mayHoldErrcode(text []byte) bool {
	name := []byte("errcode")
	for rest, found := text, true; found; {
		_, rest, found = bytes.Cut(rest, []byte(`"`))
		if len(rest) >= len(name) && bytes.EqualFold(rest[:len(name)], name) {
			return true
		}
	}
	return bytes.Contains(text, []byte(`\u`))
}

// errcode is the first value that is not 0, should the name come twice.
type errcode struct {
	value    ErrorCode
	noNumber bool
}

func (c *errcode) UnmarshalJSON(b []byte) error {
	var value ErrorCode
	if json.Unmarshal(b, &value) != nil {
		c.noNumber = true
	}
	if c.value == 0 {
		c.value = value
	}
	return nil
}

// errorIn returns the *Error that a response stands for, nil if it is none, and
// of HTTP 200 also if it is no JSON.
func (x *apiRequest) errorIn(status int, response []byte) *Error {
	var env struct {
		ErrCode errcode `json:"errcode"`
		ErrMsg  string  `json:"errmsg"`
	}
	_ = json.Unmarshal(response, &env) // fills the other fields where one has the wrong type
	switch {
	case env.ErrCode.value != 0:
		return x.apiError(status, env.ErrCode.value, env.ErrMsg)
	case status == http.StatusOK && env.ErrCode.noNumber:
		return unexpected(x.op, status, "errcode is no number")
	case status == http.StatusOK:
		return nil
	case status >= 300 && status < 400:
		return unexpected(x.op, status, "a redirect, not followed: is there a proxy or a login page between here and WeChat?")
	}
	return &Error{Op: x.op, StatusCode: status, Message: x.snippet(response)}
}

// apiError makes the *Error that an errcode stands for.
func (x *apiRequest) apiError(status int, code ErrorCode, errmsg string) *Error {
	e := &Error{Op: x.op, Code: code, StatusCode: status}
	e.Message, e.RequestID = splitRID(redact(clip(errmsg), x.secret))
	switch {
	case x.forToken && code == 40001:
		e.known = &rowWrongSecret
	case x.forToken && code == 45009 && x.method == http.MethodGet:
		e.known = &rowClassicQuota
	}
	return e
}

func (x *apiRequest) notJSON(status int, response []byte) *Error {
	return unexpected(x.op, status, "no JSON object: "+x.snippet(response))
}

// snippet is how a response begins, enough to tell a proxy's page from WeChat's.
// What looks like JSON is not shown, for it may hold a token.
func (x *apiRequest) snippet(response []byte) string {
	first := bytes.TrimLeft(response, " \t\r\n\ufeff")
	switch {
	case len(first) == 0:
		return "an empty body"
	case first[0] == '{' || first[0] == '[' || first[0] != '<' && x.forToken:
		return fmt.Sprintf("%d bytes, not shown, for they may hold a secret", len(response))
	}
	text := redact(clip(string(first[:min(len(first), 2*maxText)])), x.secret)
	return strconv.Quote(cutText(text, 120))
}

// marshal is JSON as WeChat reads it: raw UTF-8, no \u escape for what can
// stand as it is.
func marshal(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	// encoding/json escapes U+2028 and U+2029 whatever it is told.
	raw := strings.NewReplacer(`\\`, `\\`, `\u2028`, "\u2028", `\u2029`, "\u2029")
	return []byte(raw.Replace(strings.TrimSuffix(buf.String(), "\n"))), nil
}

const (
	redacted = "[redacted]"
	piece    = 8   // how much of a secret is never shown
	maxText  = 512 // bytes of what others wrote, in an error
)

// clip cuts a text that others wrote to maxText bytes, and puts spaces for its
// control characters. It comes before all that looks at the text more closely.
func clip(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, cutText(text, maxText))
}

// cutText cuts at the beginning of a character.
func cutText(text string, most int) string {
	if len(text) <= most {
		return text
	}
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most] + "…"
}

// redact takes the secrets out of a text that clip has cut: as they are, as a
// query holds them, quoted, as in JSON or in an error that quotes JSON, and then
// whatever piece of them is left, for an unknown escape or a cut may stand in
// between.
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
		text = redactPieces(text, s)
	}
	return text
}

// redactPieces replaces what is left of the secret in the text.
func redactPieces(text, secret string) string {
	for at := 0; at+piece <= len(text); at++ {
		from := strings.Index(secret, text[at:at+piece])
		if from < 0 {
			continue
		}
		end := at + piece
		for end < len(text) && from+end-at < len(secret) && text[end] == secret[from+end-at] {
			end++
		}
		text = text[:at] + redacted + text[end:]
		at += len(redacted) - 1
	}
	return text
}

// clean is the gate of all errors that others made: it returns err with a short
// text, without secrets and without the queries of addresses. A copy of a
// *url.Error, which is what net/http gives, keeps errors.As and Timeout as they were.
func clean(err error, secrets ...string) (cleaned error) {
	defer func() {
		if p := recover(); p != nil {
			cleaned = &scrubbed{text: fmt.Sprintf("an error of type %T that cannot be printed", err)}
		}
	}()
	if ue, ok := err.(*url.Error); ok {
		return &url.Error{Op: ue.Op, URL: redact(clip(cutQuery(ue.URL)), secrets...), Err: clean(ue.Err, secrets...)}
	}
	full := err.Error()
	_ = errors.Is(err, io.EOF) // a typed nil panics here at the latest, and not in its readers
	clipped := clip(full)
	text := redact(cutQueries(clipped), secrets...)
	if text == full {
		return err
	}
	s := &scrubbed{text: text, err: err}
	if text == clipped && len(full) <= maxText { // only control characters are gone
		s.shown = err
	}
	return s
}

// cutQueries takes the queries off the addresses in a text.
func cutQueries(text string) (cut string) {
	for {
		before, address, found := strings.Cut(text, "://")
		if !found {
			return cut + text
		}
		ends := " \"'<"
		scheme := max(strings.LastIndexByte(before, ' '), strings.LastIndexByte(before, '"'))
		if scheme >= 0 && before[scheme] == '"' {
			ends = `"` // a *url.Error quotes it
		}
		end := strings.IndexAny(strings.ReplaceAll(address, `\"`, "__"), ends)
		if end < 0 {
			end = len(address)
		}
		cut += before + "://" + cutQuery(address[:end])
		text = address[end:]
	}
}

func cutQuery(address string) string {
	if i := strings.IndexAny(address, "?#"); i >= 0 {
		return address[:i]
	}
	return address
}

// scrubbed is err with another text.
type scrubbed struct {
	text  string
	err   error
	shown error // err for errors.As too, nil where its own text holds what must not be shown
}

func (e *scrubbed) Error() string        { return e.text }
func (e *scrubbed) Is(target error) bool { return errors.Is(e.err, target) }
func (e *scrubbed) Unwrap() error        { return e.shown }

func (e *scrubbed) Timeout() bool {
	return errors.Is(e.err, context.DeadlineExceeded) || errors.Is(e.err, os.ErrDeadlineExceeded)
}
