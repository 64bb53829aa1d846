package wechatqr

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// exchangeJSON does an exchange with the API and fills out from the answer.
func (w *wire) exchangeJSON(ctx context.Context, x *exchange, out any) error {
	return w.send(ctx, x, w.api, maxAnswer, func(status int, answer []byte) (fate, error) {
		return judge(x, status, answer, out)
	})
}

// judge reads an API answer. HTTP 200 means little: errcode comes first.
func judge(x *exchange, status int, answer []byte, out any) (fate, error) {
	if status != http.StatusOK || bytes.Contains(answer, []byte("errcode")) {
		if err := faultIn(x, status, answer); err != nil {
			f := final
			switch {
			case err.Code != 0 && err.Is(ErrBusy):
				f = busy
			case status >= 500 && err.Code == 0:
				f = failed
			case status >= 200 && status < 300 && err.Code == 0:
				f = garbled
			}
			return f, err
		}
	}
	if out == nil {
		if !json.Valid(answer) {
			return garbled, notJSON(x, status, answer)
		}
		return final, nil
	}
	switch err := json.Unmarshal(answer, out).(type) {
	case nil:
		return final, nil
	case *json.SyntaxError:
		return garbled, notJSON(x, status, answer)
	default:
		return garbled, unexpected(x.op, status, redact(err.Error(), x.secret))
	}
}

// faultIn returns the *Error that an answer stands for, nil if it is none.
func faultIn(x *exchange, status int, answer []byte) *Error {
	var env struct {
		ErrCode Code   `json:"errcode"`
		ErrMsg  string `json:"errmsg"`
	}
	err := json.Unmarshal(answer, &env)
	wrongType, typed := err.(*json.UnmarshalTypeError) // the other fields are filled all the same
	switch {
	case env.ErrCode != 0:
		e := fault(x.op, status, env.ErrCode, redact(env.ErrMsg, x.secret))
		if x.forToken && e.Code == 40001 {
			e.kind = ErrInvalidCredential
		}
		return e
	case status == http.StatusOK && typed && wrongType.Field == "errcode":
		return unexpected(x.op, status, "errcode is no number")
	case status == http.StatusOK && (err == nil || typed):
		return nil
	case status == http.StatusOK:
		return notJSON(x, status, answer)
	case status >= 300 && status < 400:
		return unexpected(x.op, status, "a redirect, not followed: is there a proxy or a login page between here and WeChat?")
	}
	return &Error{Op: x.op, StatusCode: status, Message: snippet(x, answer)}
}

func notJSON(x *exchange, status int, answer []byte) *Error {
	return unexpected(x.op, status, "no JSON: "+snippet(x, answer))
}

// snippet is how an answer begins, enough to tell a proxy's page from WeChat's.
// What looks like JSON is not shown, for it may hold a token.
func snippet(x *exchange, answer []byte) string {
	const looked, most = 4 << 10, 120
	first := bytes.TrimLeft(answer, " \t\r\n\ufeff")
	switch {
	case len(first) == 0:
		return "an empty body"
	case first[0] == '{' || first[0] == '[' || first[0] != '<' && x.forToken:
		return fmt.Sprintf("%d bytes, not shown, for they may hold a secret", len(answer))
	}
	text := redact(string(first[:min(len(first), looked)]), x.secret)
	if len(text) > most {
		text = text[:most] + "…"
	}
	return strconv.Quote(text)
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
	in := bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
	if !bytes.Contains(in, []byte(`\u202`)) {
		return in, nil
	}
	// encoding/json escapes U+2028 and U+2029 whatever it is told.
	out := make([]byte, 0, len(in))
	for len(in) > 0 {
		switch {
		case bytes.HasPrefix(in, []byte(`\u2028`)):
			out, in = append(out, "\u2028"...), in[6:]
		case bytes.HasPrefix(in, []byte(`\u2029`)):
			out, in = append(out, "\u2029"...), in[6:]
		case in[0] == '\\':
			out, in = append(out, in[:2]...), in[2:]
		default:
			out, in = append(out, in[0]), in[1:]
		}
	}
	return out, nil
}

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
