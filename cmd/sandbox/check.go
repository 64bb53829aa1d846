package main

import (
	"context"
	"errors"
	"net/http"

	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// whatIsWrong says what is wrong with a callback's response; its Advice says what to
// do about it.
func whatIsWrong(e *wechatqrtest.CallbackError) phrase {
	switch e.Reason {
	case wechatqrtest.ReasonUnreachable:
		return say("There is no connection to this address.")
	case wechatqrtest.ReasonTLS:
		return say("There is no secure connection to this address.")
	case wechatqrtest.ReasonNoResponse:
		return say("The connection was closed without a response.")
	case wechatqrtest.ReasonIncomplete:
		return say("The connection broke within the response.")
	case wechatqrtest.ReasonTooSlow:
		return say("The response took too long.")
	case wechatqrtest.ReasonRedirected:
		return say("The address redirects, and WeChat does not follow redirects.")
	case wechatqrtest.ReasonWrongStatus:
		return say("The response has the status %d, not 200.", e.Status)
	case wechatqrtest.ReasonQuoted:
		return say("The text is right, but it is in quotes.")
	case wechatqrtest.ReasonWrongEcho:
		return say("The response is not the echostr.")
	case wechatqrtest.ReasonNotXML:
		return say("The response is neither XML nor “success”.")
	case wechatqrtest.ReasonWrongReply:
		return say("The XML is not a reply that WeChat shows.")
	case wechatqrtest.ReasonNotEncrypted:
		return say("The reply is not encrypted, and in safe mode it must be.")
	case wechatqrtest.ReasonUndecryptable:
		return say("The encrypted reply cannot be decrypted.")
	case wechatqrtest.ReasonForged:
		return say("A wrong signature is not refused.")
	case wechatqrtest.ReasonReplayed:
		return say("A push of an hour ago is not refused.")
	}
	return say("WeChat does not accept this response.")
}

// adviceIn is the advice in a language; e may be nil.
func adviceIn(lang string, e *wechatqrtest.CallbackError) string {
	switch {
	case e == nil:
		return ""
	case lang == chinese:
		return e.AdviceZH
	}
	return e.Advice
}

// questions are the lines of the check: their titles, and what it means to pass.
var questions = map[wechatqrtest.Question]struct{ title, passed string }{
	wechatqrtest.QuestionAddress:   {"Address", "The URL leads to the backend."},
	wechatqrtest.QuestionToken:     {"Token", "echostr comes back, and only for a right signature."},
	wechatqrtest.QuestionKey:       {"Key and mode", "A test push is read, and the response is right."},
	wechatqrtest.QuestionSignature: {"Wrong signature", "Refused, as it must be."},
	wechatqrtest.QuestionReplay:    {"Old push", "A push of an hour ago is refused."},
}

// verdicts are the words for them.
var verdicts = map[wechatqrtest.Verdict]string{
	wechatqrtest.VerdictPassed:  "passed",
	wechatqrtest.VerdictWarning: "warning",
	wechatqrtest.VerdictFailed:  "failed",
	wechatqrtest.VerdictSkipped: "not checked",
}

// checkView is a Diagnosis in words.
type checkView struct {
	wechatqrtest.Diagnosis
	Findings []findingView `json:"findings"`
}

type findingView struct {
	wechatqrtest.Finding
	Title   string `json:"title"`
	Word    string `json:"-"` // for the verdict
	Message string `json:"message,omitempty"`
	Advice  string `json:"advice,omitempty"`
}

func newCheckView(lang string, d *wechatqrtest.Diagnosis) *checkView {
	if d == nil {
		return nil
	}
	out := &checkView{Diagnosis: *d}
	for _, f := range d.Findings {
		q := questions[f.Question]
		v := findingView{
			Finding: f, Title: translate(lang, q.title), Word: translate(lang, verdicts[f.Verdict]),
		}
		switch {
		case f.Err != nil:
			v.Message, v.Advice = whatIsWrong(f.Err).in(lang), adviceIn(lang, f.Err)
		case f.Verdict == wechatqrtest.VerdictPassed:
			v.Message = translate(lang, q.passed)
		}
		out.Findings = append(out.Findings, v)
	}
	return out
}

// lastCheck is nil if the callback has changed since.
func (a *app) lastCheck(cb wechatqrtest.Callback) *wechatqrtest.Diagnosis {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.checked == nil || a.checked.URL != cb.URL || a.checked.Mode != cb.Mode {
		return nil
	}
	return a.checked
}

// diagnose checks the callback and keeps the result for the page.
func (a *app) diagnose(ctx context.Context) (wechatqrtest.Diagnosis, error) {
	d, err := a.wx.DiagnoseCallback(ctx)
	if d.Findings != nil {
		a.notify(func() { a.checked = &d })
	}
	return d, err
}

// check is the action of the page.
func (a *app) check(r *http.Request) outcome {
	a.notify(func() { a.checked = nil })
	d, err := a.diagnose(r.Context())
	out := outcome{place: "connect"}
	if d.Findings != nil {
		out.check = &d
	}
	switch {
	case r.Context().Err() != nil:
		return failed("connect", "The check was cancelled.")
	case errors.Is(err, wechatqrtest.ErrNoCallback):
		return failed("connect", "Set the callback URL first.")
	case errors.As(err, &out.wrong):
		out.bad = true
		out.text = say("The callback's response is wrong: %s", whatIsWrong(out.wrong))
	case err != nil:
		return failed("connect", "%s", plain(err))
	case warnings(d) > 0:
		out.text = say("WeChat would accept the callback, but see the warnings.")
	default:
		out.text = say("The callback is right: URL, Token, key and mode.")
	}
	return out
}

func warnings(d wechatqrtest.Diagnosis) int {
	n := 0
	for _, f := range d.Findings {
		if f.Verdict == wechatqrtest.VerdictWarning {
			n++
		}
	}
	return n
}
