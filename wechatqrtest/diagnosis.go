package wechatqrtest

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/events"
)

// Diagnosis is what [Server.DiagnoseCallback] found.
type Diagnosis struct {
	Time     time.Time `json:"time"`
	URL      string    `json:"url"`
	Mode     Mode      `json:"mode"`
	Findings []Finding `json:"findings"` // one for each Question, in their order
}

// Finding is the verdict on one question.
type Finding struct {
	Question Question       `json:"question"`
	Verdict  Verdict        `json:"verdict"`
	Err      *CallbackError `json:"err,omitempty"`      // of VerdictFailed and VerdictWarning
	Attempts []Attempt      `json:"attempts,omitempty"` // the requests that it is based on
}

// Question is what a Finding is about.
type Question string

// The questions of a Diagnosis. Each is asked only if those before it did not fail.
const (
	QuestionAddress   Question = "address"   // does something respond at the URL?
	QuestionToken     Question = "token"     // does it respond to GET with echostr?
	QuestionKey       Question = "key"       // does it read a push and reply as WeChat wants?
	QuestionSignature Question = "signature" // does it refuse a wrong signature?
	QuestionReplay    Question = "replay"    // does it refuse a push of an hour ago?
)

// Verdict is the result of a question.
type Verdict string

// The verdicts. WeChat works with a callback that has warnings.
const (
	VerdictPassed  Verdict = "passed"
	VerdictWarning Verdict = "warning" // not proven, or not safe
	VerdictFailed  Verdict = "failed"
	VerdictSkipped Verdict = "skipped" // an earlier question failed
)

// Finding is that of a question.
func (d Diagnosis) Finding(q Question) Finding {
	for _, f := range d.Findings {
		if f.Question == q {
			return f
		}
	}
	return Finding{Question: q, Verdict: VerdictSkipped}
}

// Err is the error of the question that failed, or nil. Warnings are none.
func (d Diagnosis) Err() error {
	for _, f := range d.Findings {
		if f.Verdict == VerdictFailed {
			return fmt.Errorf("wechatqrtest: diagnosis: %s: %w", f.Question, f.Err)
		}
	}
	return nil
}

// CheckCallback sends the request by which the console checks a callback: a GET
// whose response must be its echostr. As on WeChat it proves the URL and the
// Token only; see DiagnoseCallback for the rest. The error is
// a *[CallbackError], ErrNoCallback, that of ctx or http.ErrServerClosed.
func (s *Server) CheckCallback(ctx context.Context) error {
	x, err := s.examiner()
	if err != nil {
		return err
	}
	echo := x.echo(ctx, x.codec)
	switch {
	case x.err != nil:
		return x.err
	case echo.Err != nil:
		explainEcho(echo)
		return echo.Err
	}
	return nil
}

// DiagnoseCallback asks the callback what the console asks it, and more: an echo with
// GET, which proves the URL and the Token; a debug_demo event with POST, which proves
// EncodingAESKey, AppID and the mode; both with a wrong signature; and an event of an
// hour ago. After a push that failed it may push once more, in the other mode, to
// find out which mode the callback expects. None of these are in Pushes.
//
// If the callback failed, the error is that of [Diagnosis.Err] and wraps
// a *[CallbackError]. Other errors are ErrNoCallback, that of ctx, and
// http.ErrServerClosed.
func (s *Server) DiagnoseCallback(ctx context.Context) (Diagnosis, error) {
	x, err := s.examiner()
	if err != nil {
		return Diagnosis{}, err
	}
	return x.run(ctx, s.Now())
}

// DiagnoseCallback is [Server.DiagnoseCallback] for the callback at address, which
// has this configuration. Unless cfg is Plaintext, the mode is ModeSafe.
func DiagnoseCallback(ctx context.Context, address string, cfg events.Config) (Diagnosis, error) {
	codec, err := newCodec(cfg)
	if err != nil {
		return Diagnosis{}, err
	}
	client := callbackClient{newPushClient(nil), callbackTimeout}
	x := examiner{codec: codec, base: address, account: cfg.Account, send: client.send}
	return x.run(ctx, time.Now())
}

func (s *Server) examiner() (*examiner, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	codec, err := s.codec()
	if err != nil {
		return nil, err
	}
	c := s.st.Callback
	if c.URL == "" {
		return nil, ErrNoCallback
	}
	x := &examiner{codec: codec, base: c.URL, account: s.st.Account, send: s.requestCallback}
	if codec.key == nil {
		x.otherKey, _ = aesKey(c.EncodingAESKey) // nil if there is none
	}
	return x, nil
}

// examiner asks one callback. It is used once.
type examiner struct {
	codec    callbackCodec
	otherKey []byte // of a callback in plain mode
	base     string
	account  string
	send     func(ctx context.Context, method, address, body string) (Attempt, http.Header, error)

	findings []Finding
	err      error // of ctx or the Server
}

func (x *examiner) run(ctx context.Context, now time.Time) (Diagnosis, error) {
	for _, q := range [...]Question{
		QuestionAddress, QuestionToken, QuestionKey, QuestionSignature, QuestionReplay,
	} {
		x.findings = append(x.findings, Finding{Question: q, Verdict: VerdictSkipped})
	}
	x.ask(ctx)
	if x.err != nil {
		return Diagnosis{}, x.err
	}
	out := Diagnosis{Time: now, URL: x.base, Mode: x.codec.mode, Findings: x.findings}
	return out, out.Err()
}

// ask asks one question after another until one fails.
func (x *examiner) ask(ctx context.Context) {
	echo := x.echo(ctx, x.codec)
	if !x.classifyAddress(echo) || !x.classifyEcho(echo) {
		return
	}
	forgedEcho := x.echo(ctx, x.stranger())
	if forgedEcho.accepted {
		wrong := &CallbackError{
			Reason: ReasonForged, Detail: "the echo comes with a wrong signature too",
		}
		wrong.advise(advice{
			"The echo does not prove the Token: the backend responds with echostr whatever the " +
				"signature is. Check the signature first.",
			"返回 echostr 并不能证明 Token 正确：业务服务器不论签名对错都会返回。请先校验签名。",
		})
		x.set(QuestionToken, VerdictWarning, wrong, echo, forgedEcho)
	}

	push := x.push(ctx, x.codec, time.Now())
	if x.err != nil {
		return
	}
	if push.Err != nil {
		x.classifyFailedPush(ctx, push, !forgedEcho.accepted)
		return
	}
	forged := x.push(ctx, x.stranger(), time.Now())
	old := x.push(ctx, x.codec, time.Now().Add(-time.Hour))
	x.classifyForged(push, forged, forgedEcho)
	x.classifyReplay(push, old)
}

// stranger signs without knowing the Token.
func (x *examiner) stranger() callbackCodec {
	out := x.codec
	out.token = random(16)
	return out
}

// probe is a request and what came of it.
type probe struct {
	Attempt
	header   http.Header
	reply    ReceivedReply // of a push
	accepted bool          // an echo came back
}

func (x *examiner) echo(ctx context.Context, codec callbackCodec) probe {
	text := digits(19)
	p := x.request(ctx, http.MethodGet, codec.echoURL(x.base, text, time.Now()), "")
	if p.Err == nil {
		if wrong := checkEcho(text, p.Response); wrong != nil {
			p.Err = wrong.withStatus(p.Status)
		}
	}
	p.accepted = x.err == nil && p.Status == http.StatusOK && strings.Contains(p.Response, text)
	return p
}

// testEvent is the event that the debug tool of WeChat's console sends.
const testEvent wechatqr.EventType = "debug_demo"

func (x *examiner) push(ctx context.Context, codec callbackCodec, at time.Time) probe {
	ev := wechatqr.Event{Type: testEvent, CreateTime: at}
	complete(&ev, x.account, nil)
	target, body := codec.push(x.base, ev, at)
	p := x.request(ctx, http.MethodPost, target, body)
	if p.Err == nil {
		p.reply, p.Err = codec.replyTo(ev, p.Attempt)
	}
	return p
}

// request sends nothing after an error that is not the callback's.
func (x *examiner) request(ctx context.Context, method, address, body string) (p probe) {
	if x.err == nil {
		p.Attempt, p.header, x.err = x.send(ctx, method, address, body)
	}
	return p
}

func (x *examiner) set(q Question, v Verdict, wrong *CallbackError, probes ...probe) {
	f := Finding{Question: q, Verdict: v, Err: wrong}
	for _, p := range probes {
		f.Attempts = append(f.Attempts, p.Attempt)
	}
	i := slices.IndexFunc(x.findings, func(f Finding) bool { return f.Question == q })
	x.findings[i] = f
}

// classifyAddress reports whether the URL leads to a backend.
func (x *examiner) classifyAddress(echo probe) bool {
	if x.err != nil {
		return false
	}
	if wrong := echo.Err; wrong != nil && isAddressError(wrong) {
		x.set(QuestionAddress, VerdictFailed, wrong, echo)
		return false
	}
	x.set(QuestionAddress, VerdictPassed, nil, echo)
	return true
}

func isAddressError(e *CallbackError) bool {
	switch e.Reason {
	case ReasonUnreachable, ReasonTLS, ReasonRedirected:
		return true
	case ReasonWrongStatus:
		switch e.Status {
		case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusGone,
			http.StatusBadGateway, http.StatusGatewayTimeout:
			return true
		}
	}
	return false
}

// classifyEcho reports whether the echo is right.
func (x *examiner) classifyEcho(echo probe) bool {
	if echo.Err == nil {
		x.set(QuestionToken, VerdictPassed, nil, echo)
		return true
	}
	explainEcho(echo)
	x.set(QuestionToken, VerdictFailed, echo.Err, echo)
	return false
}

// explainEcho improves the advice on a wrong echo.
func explainEcho(echo probe) {
	wrong := echo.Err
	switch {
	case isRefusal(wrong.Status):
		wrong.advise(advice{
			"The backend refused the signature: compare Token letter by letter.",
			"业务服务器拒绝了签名：请逐字核对 Token。",
		})
		explainRefusal(wrong, echo)
	case wrong.Reason == ReasonWrongEcho && echo.Response == "":
		wrong.advise(advice{
			"Many backends respond with nothing to a wrong signature: compare Token letter by letter. " +
				"If it is right, respond with echostr.",
			"许多业务服务器在签名错误时返回空内容：请逐字核对 Token。如果 Token 正确，请原样返回 echostr。",
		})
	}
}

func isRefusal(status int) bool {
	switch status {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden:
		return true
	}
	return false
}

const maxClockError = 5 * time.Minute // of backends that check the timestamp

// explainRefusal replaces the advice if the response shows another reason than the
// signature.
func explainRefusal(wrong *CallbackError, p probe) bool {
	if date, err := http.ParseTime(p.header.Get("Date")); err == nil {
		if off := time.Until(date).Round(time.Second); off.Abs() > maxClockError {
			wrong.Detail += fmt.Sprintf("; by its Date header the backend's clock is %v off", off)
			wrong.advise(advice{
				"The backend's clock is wrong, so that it takes every timestamp for an old one: set its " +
					"clock.",
				"业务服务器的时钟不准，把每个时间戳都当成过期的：请校准它的时钟。",
			})
			return true
		}
	}
	switch {
	case p.header.Get("WWW-Authenticate") != "":
		wrong.advise(advice{
			"Something in front of the backend asks for a login: let WeChat's requests to this path " +
				"pass without it.",
			"业务服务器前面要求登录：请让微信对这个路径的请求免登录通过。",
		})
	case strings.Contains(strings.ToLower(p.Response), "csrf"):
		wrong.advise(advice{
			"The framework's CSRF protection refuses the push: exempt this path from it.",
			"框架的 CSRF 防护拒绝了推送：请为这个路径关闭它。",
		})
	default:
		return false
	}
	return true
}

// classifyFailedPush says why, from what is known: the URL is right, and so is the
// Token, if tokenProven. Otherwise a push with a wrong signature shows whether the
// backend tells the two apart.
func (x *examiner) classifyFailedPush(ctx context.Context, push probe, tokenProven bool) {
	wrong := push.Err
	probes := []probe{push}
	switch {
	case wrong.Status == http.StatusNotFound || wrong.Status == http.StatusMethodNotAllowed:
		wrong.advise(advice{
			"The path accepts GET and not POST: WeChat pushes to the same URL with POST.",
			"这个路径只接受 GET，不接受 POST：微信会用 POST 向同一个 URL 推送。",
		})
	case isRefusal(wrong.Status) && explainRefusal(wrong, push):
	case mayBeKey(wrong):
		if !tokenProven {
			forged := x.push(ctx, x.stranger(), time.Now())
			tokenProven = forged.Status != push.Status || forged.Response != push.Response
			probes = append(probes, forged)
		}
		other, accepted := x.pushInOtherMode(ctx)
		probes = append(probes, other...)
		wrong.advise(x.keyAdvice(wrong, tokenProven, accepted))
	}
	x.set(QuestionKey, VerdictFailed, wrong, probes...)
}

// mayBeKey reports whether backends with a wrong key fail like this.
func mayBeKey(e *CallbackError) bool {
	switch e.Reason {
	case ReasonNoResponse:
		return true
	case ReasonWrongStatus:
		return isRefusal(e.Status) || e.Status == http.StatusInternalServerError ||
			e.Status == http.StatusUnprocessableEntity
	}
	return false
}

// pushInOtherMode sends nothing if the key for the other mode is not known.
func (x *examiner) pushInOtherMode(ctx context.Context) (probes []probe, accepted bool) {
	other := x.codec
	switch {
	case x.codec.key != nil:
		other.key, other.mode = nil, ModePlain
	case x.otherKey != nil:
		other.key, other.mode = x.otherKey, ModeSafe
	default:
		return nil, false
	}
	p := x.push(ctx, other, time.Now())
	return []probe{p}, p.Err == nil
}

func (x *examiner) keyAdvice(wrong *CallbackError, tokenProven, otherModeAccepted bool) advice {
	plain := x.codec.key == nil
	switch {
	case otherModeAccepted && plain:
		return advice{
			"The backend expects encrypted pushes: choose the safe mode for the callback, or plaintext " +
				"in the backend.",
			"业务服务器期望加密的推送：请在服务器配置里选安全模式，或在业务服务器里改用明文模式。",
		}
	case otherModeAccepted:
		return advice{
			"The backend expects plaintext: choose the plaintext mode for the callback, or the safe " +
				"mode in the backend.",
			"业务服务器期望明文：请在服务器配置里选明文模式，或在业务服务器里改用安全模式。",
		}
	case wrong.Reason == ReasonNoResponse && !plain:
		return advice{
			"The backend closed the connection without a response: it panicked or crashed on the push. " +
				"See its log. If it failed at decrypting, compare EncodingAESKey, AppID and the mode.",
			"业务服务器没有响应就关闭了连接：处理推送时 panic 或崩溃了。请看业务服务器日志；如果是解密时出错，请核对 EncodingAESKey、" +
				"AppID 和消息加解密方式。",
		}
	case !isRefusal(wrong.Status) && !plain:
		return advice{
			"The backend failed: see its log. If it failed at decrypting, compare EncodingAESKey, AppID " +
				"and the mode.",
			"业务服务器出错：请看业务服务器日志；如果是解密时出错，请核对 EncodingAESKey、AppID 和消息加解密方式。",
		}
	case !isRefusal(wrong.Status):
		return advice{wrong.Advice, wrong.AdviceZH}
	case plain && tokenProven:
		return advice{
			"The Token is right. Compare the mode: the callback's is plaintext.",
			"Token 正确。请核对消息加解密方式：服务器配置里是明文模式。",
		}
	case plain:
		return advice{
			"Compare Token, and the mode: the callback's is plaintext.",
			"请核对 Token 和消息加解密方式：服务器配置里是明文模式。",
		}
	case tokenProven:
		return advice{
			"The Token is right. Compare EncodingAESKey and AppID, then the mode.",
			"Token 正确。请核对 EncodingAESKey 和 AppID，再核对消息加解密方式。",
		}
	}
	return advice{
		"Compare Token, EncodingAESKey and AppID, then the mode.",
		"请核对 Token、EncodingAESKey 和 AppID，再核对消息加解密方式。",
	}
}

// classifyForged compares the responses to a right and a wrong signature.
func (x *examiner) classifyForged(push, forged, forgedEcho probe) {
	alike := forged.likeAccepted(push)
	x.set(QuestionKey, VerdictPassed, nil, push)
	if alike {
		wrong := &CallbackError{
			Reason: ReasonForged, Status: push.Status,
			Detail: "the response to a push with a wrong signature is the same",
		}
		wrong.advise(advice{
			"This does not prove the key and the mode: the backend responds to a push that it cannot " +
				"trust in the same way.",
			"这不能证明密钥和加解密方式正确：对无法信任的推送，业务服务器的响应也一样。",
		})
		x.set(QuestionKey, VerdictWarning, wrong, push, forged)
	}

	switch {
	case forgedEcho.accepted && alike:
		x.warnForged("GET and POST with a wrong signature are accepted", forgedEcho, forged)
	case forgedEcho.accepted:
		x.warnForged("GET with a wrong signature is accepted", forgedEcho)
	case alike:
		x.warnForged("POST with a wrong signature gets the same response as with the right one", forged)
	default:
		x.set(QuestionSignature, VerdictPassed, nil, forgedEcho, forged)
	}
}

func (x *examiner) warnForged(detail string, probes ...probe) {
	wrong := &CallbackError{Reason: ReasonForged, Detail: detail}
	x.set(QuestionSignature, VerdictWarning, wrong.withStatus(http.StatusOK), probes...)
}

func (x *examiner) classifyReplay(push, old probe) {
	if !old.likeAccepted(push) {
		x.set(QuestionReplay, VerdictPassed, nil, old)
		return
	}
	wrong := &CallbackError{Reason: ReasonReplayed,
		Detail: "a push of an hour ago gets the same response as a new one"}
	x.set(QuestionReplay, VerdictWarning, wrong.withStatus(http.StatusOK), old)
}

// likeAccepted reports whether the response is one to an accepted push: a reply, or
// the same text as to the right one.
func (p probe) likeAccepted(right probe) bool {
	return p.Status == http.StatusOK && p.Err == nil && (p.reply.MsgType != "" ||
		p.Response == right.Response)
}

func checkEcho(echo, resp string) *CallbackError {
	wrong := func(reason Reason, detail string) *CallbackError {
		return &CallbackError{Reason: reason, Detail: detail}
	}
	switch {
	case resp == echo:
		return nil
	case resp == `"`+echo+`"`, resp == `'`+echo+`'`:
		return wrong(ReasonQuoted, "the response is echostr in quotes: send it as text, not as JSON")
	case resp == "\ufeff"+echo:
		return wrong(ReasonWrongEcho,
			"the response has a byte order mark before echostr: send nothing else")
	case strings.TrimSpace(resp) == echo:
		return wrong(ReasonWrongEcho,
			"the response has spaces or line breaks around echostr: send nothing else")
	case strings.Contains(resp, echo):
		return wrong(ReasonWrongEcho, fmt.Sprintf("the response has more than echostr: %.80q", resp))
	case resp == "":
		return wrong(ReasonWrongEcho, "the response is empty: send the echostr of the query")
	}
	return wrong(ReasonWrongEcho, fmt.Sprintf("the response is not echostr: %.80q", resp))
}
