package wechatqrtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/wechatqr/wechatqr/events"
)

// Mode is how pushes travel.
type Mode string

// The modes, as the console offers them.
const (
	Plain      Mode = "plain"      // 明文模式: the message in the clear
	Compatible Mode = "compatible" // 兼容模式: in the clear and encrypted, both in one body
	Safe       Mode = "safe"       // 安全模式: encrypted
)

// Callback is what the account's console says about its callback.
type Callback struct {
	URL            string `json:"url"` // empty: nothing is pushed
	Token          string `json:"token"`
	EncodingAESKey string `json:"encoding_aes_key"`
	Mode           Mode   `json:"mode"`
}

var (
	tokenForm = regexp.MustCompile(`^[A-Za-z0-9]{3,32}$`)
	keyForm   = regexp.MustCompile(`^[A-Za-z0-9]{43}$`)
)

func (c Callback) check() error {
	switch {
	case !tokenForm.MatchString(c.Token):
		return errors.New("wechatqrtest: callback: Token must be 3 to 32 letters and digits")
	case !keyForm.MatchString(c.EncodingAESKey) && (c.Mode != Plain || c.EncodingAESKey != ""):
		return errors.New("wechatqrtest: callback: EncodingAESKey must be 43 letters and digits")
	case c.Mode != Plain && c.Mode != Compatible && c.Mode != Safe:
		return fmt.Errorf("wechatqrtest: callback: the mode is %q, not %q, %q or %q", c.Mode, Plain, Compatible, Safe)
	}
	if c.URL == "" {
		return nil
	}
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.Fragment != "" {
		return fmt.Errorf("wechatqrtest: callback: %q is no http or https URL", c.URL)
	}
	return nil
}

// newCallback is in safe mode, with keys of WeChat's form and without a URL.
func newCallback() Callback {
	alnum := strings.NewReplacer("-", "x", "_", "y")
	return Callback{Token: alnum.Replace(random(16)), EncodingAESKey: alnum.Replace(random(43)), Mode: Safe}
}

// Callback is where and how the Server pushes. At first there is no URL, the
// keys are random and the mode is Safe.
func (s *Server) Callback() Callback {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.st.Callback
}

// SetCallback says where and how to push from now on. An empty Token or
// EncodingAESKey or Mode leaves the one there is. Unlike the console it makes
// no check of the URL: see CheckCallback.
func (s *Server) SetCallback(c Callback) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.st.Callback
	c.Token = cmp.Or(c.Token, old.Token)
	c.EncodingAESKey = cmp.Or(c.EncodingAESKey, old.EncodingAESKey)
	c.Mode = cmp.Or(c.Mode, old.Mode)
	if err := c.check(); err != nil {
		return err
	}
	s.st.Callback = c
	s.notify()
	return nil
}

// ServeCallback serves h on a port of its own until Close, has the Server push
// there, and returns the URL. Close waits for h to return. Like NewServer it
// panics if there is no port.
func (s *Server) ServeCallback(h http.Handler) string {
	address := s.listen(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.enter() { // so that Close waits for h
			defer s.leave()
			h.ServeHTTP(w, r)
		}
	}))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.st.Callback.URL = address + "/"
	s.notify()
	return s.st.Callback.URL
}

// CallbackConfig is what a backend needs to receive the pushes, for
// events.NewHandler. It follows the Callback at the time of the call.
func (s *Server) CallbackConfig() events.Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.st.Callback
	cfg := events.Config{AppID: s.st.AppID, Token: c.Token, Account: s.st.Account, Plaintext: c.Mode == Plain}
	if !cfg.Plaintext {
		cfg.EncodingAESKey = c.EncodingAESKey
	}
	return cfg
}

// line is the way to the callback. The caller holds the lock.
func (s *Server) line() (line, error) {
	c := s.st.Callback
	l := line{appID: s.st.AppID, token: c.Token, mode: c.Mode}
	if c.Mode == Plain {
		return l, nil
	}
	var err error
	l.key, err = aesKey(c.EncodingAESKey)
	return l, err
}

// Problem is what is wrong with a callback's answer.
type Problem string

// The problems. WeChat delivers a push again after the first four.
const (
	ProblemUnreachable   Problem = "unreachable"      // no connection, or it broke
	ProblemTooSlow       Problem = "too slow"         // no whole answer within the deadline
	ProblemRedirected    Problem = "redirected"       // WeChat does not follow
	ProblemWrongStatus   Problem = "wrong status"     // another than 200
	ProblemQuoted        Problem = "quoted"           // the right text, but in quotes
	ProblemWrongEcho     Problem = "wrong echo"       // another text than echostr
	ProblemNotXML        Problem = "not xml"          // nor success
	ProblemWrongReply    Problem = "wrong reply"      // XML that WeChat does not show
	ProblemNotEncrypted  Problem = "not encrypted"    // in safe mode
	ProblemUndecryptable Problem = "cannot be opened" // the reply's signature or encryption is wrong
)

// CallbackError says why a callback's answer is not what WeChat wants.
type CallbackError struct {
	Problem Problem `json:"problem"`
	Detail  string  `json:"detail"`
	Status  int     `json:"status,omitempty"` // of HTTP; 0: there was no answer, or ParseReply read it
}

func (e *CallbackError) Error() string {
	return "wechatqrtest: callback: " + string(e.Problem) + ": " + e.Detail
}

// ErrNoCallback is returned when there is nowhere to push to.
var ErrNoCallback = errors.New("wechatqrtest: there is no callback URL: use ServeCallback or SetCallback")

// CheckCallback does what the console does when the callback is set: a GET
// request that the callback is to answer with its echostr. This proves the URL
// and the Token alone, as on WeChat: EncodingAESKey, AppID and the mode are not
// part of it and show with the first push. The error is a *[CallbackError],
// ErrNoCallback or that of ctx.
func (s *Server) CheckCallback(ctx context.Context) error {
	s.mu.Lock()
	base := s.st.Callback.URL
	l, err := s.line()
	s.mu.Unlock()
	if err != nil {
		return err
	}
	if base == "" {
		return ErrNoCallback
	}
	echo := digits(19)
	a, err := s.exchange(ctx, http.MethodGet, l.echo(base, echo, time.Now()), "")
	if err != nil {
		return err
	}
	if a.Err != nil {
		return a.Err
	}
	if problem := judgeEcho(echo, a.Answer); problem != nil {
		problem.Status = a.Status
		return problem
	}
	return nil
}

func judgeEcho(echo, answer string) *CallbackError {
	switch {
	case answer == echo:
		return nil
	case answer == `"`+echo+`"`, answer == `'`+echo+`'`:
		return &CallbackError{Problem: ProblemQuoted, Detail: "the answer is echostr in quotes: send it as text, not as JSON"}
	case strings.TrimSpace(answer) == echo:
		return &CallbackError{Problem: ProblemWrongEcho, Detail: "the answer has spaces or line breaks around echostr: send nothing else"}
	case answer == "":
		return &CallbackError{Problem: ProblemWrongEcho, Detail: "the answer is empty: send the echostr of the query"}
	}
	return &CallbackError{Problem: ProblemWrongEcho, Detail: fmt.Sprintf("the answer is not echostr: %.80q", answer)}
}

const maxAnswer = 64 << 10

// exchange makes one request of a callback. Its error is that of ctx or of a
// closed Server; what the callback does wrong is in the Attempt.
func (s *Server) exchange(ctx context.Context, method, address, body string) (Attempt, error) {
	if !s.enter() {
		return Attempt{}, http.ErrServerClosed
	}
	defer s.leave()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(s.life, stop)()
	limited, cancel := context.WithTimeout(ctx, s.pushTimeout)
	defer cancel()

	a := Attempt{Time: s.Now(), URL: address, Body: body}
	began := time.Now()
	fail := func(p Problem, detail string) (Attempt, error) {
		a.Duration = time.Since(began)
		if ctx.Err() != nil {
			if s.life.Err() != nil {
				return a, http.ErrServerClosed
			}
			return a, ctx.Err()
		}
		if limited.Err() != nil {
			p, detail = ProblemTooSlow, fmt.Sprintf("no whole answer within %v", s.pushTimeout)
		}
		a.Err = &CallbackError{p, detail, a.Status}
		return a, nil
	}
	req, err := http.NewRequestWithContext(limited, method, address, strings.NewReader(body))
	if err != nil {
		return fail(ProblemUnreachable, err.Error())
	}
	setHeader(req.Header, method)
	resp, err := s.client.Do(req)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err // without the signed URL
		}
		return fail(ProblemUnreachable, err.Error())
	}
	defer func() { _ = resp.Body.Close() }() // it was read
	a.Status = resp.StatusCode
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	a.Answer = string(answer)
	if err != nil {
		return fail(ProblemUnreachable, "the connection broke within the answer: "+err.Error())
	}
	switch {
	case resp.StatusCode/100 == 3:
		return fail(ProblemRedirected, fmt.Sprintf("HTTP %d to %q: give the console the final URL", resp.StatusCode, resp.Header.Get("Location")))
	case resp.StatusCode != http.StatusOK:
		return fail(ProblemWrongStatus, fmt.Sprintf("HTTP %d: %.80q", resp.StatusCode, answer))
	}
	a.Duration = time.Since(began)
	return a, nil
}
