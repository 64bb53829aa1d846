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

// Mode is how pushes are encrypted (消息加解密方式).
type Mode string

// The modes that the console offers.
const (
	ModePlain      Mode = "plain"      // 明文模式: not encrypted
	ModeCompatible Mode = "compatible" // 兼容模式: plain text and ciphertext in one body
	ModeSafe       Mode = "safe"       // 安全模式: encrypted
)

// Callback is the configuration of the account's callback (服务器配置).
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
	case !keyForm.MatchString(c.EncodingAESKey) && (c.Mode != ModePlain || c.EncodingAESKey != ""):
		return errors.New("wechatqrtest: callback: EncodingAESKey must be 43 letters and digits")
	case c.Mode != ModePlain && c.Mode != ModeCompatible && c.Mode != ModeSafe:
		return fmt.Errorf("wechatqrtest: callback: the mode is %q, not %q, %q or %q",
			c.Mode, ModePlain, ModeCompatible, ModeSafe)
	}
	if c.URL == "" {
		return nil
	}
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.Fragment != "" {
		return fmt.Errorf("wechatqrtest: callback: %q is not an http or https URL", c.URL)
	}
	return nil
}

// newCallback has random keys, safe mode and no URL.
func newCallback() Callback {
	alnum := strings.NewReplacer("-", "x", "_", "y")
	return Callback{Token: alnum.Replace(random(16)), EncodingAESKey: alnum.Replace(random(43)), Mode: ModeSafe}
}

// Callback is the configuration in use. At first the URL is empty, the keys are
// random and the mode is ModeSafe.
func (s *Server) Callback() Callback {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.st.Callback
}

// SetCallback sets where and how later pushes are sent. An empty Token,
// EncodingAESKey or Mode keeps the current one. Unlike the console it sends no
// request to the URL: see CheckCallback.
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

// ServeCallback serves h on a free port until Close, sets the callback's URL to
// it and returns that URL. Close waits until h has returned. Like NewServer it
// panics if it cannot listen.
func (s *Server) ServeCallback(h http.Handler) string {
	address := s.listen(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.acquire() { // so that Close waits for h
			defer s.release()
			h.ServeHTTP(w, r)
		}
	}))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.st.Callback.URL = address + "/"
	s.notify()
	return s.st.Callback.URL
}

// CallbackConfig is the configuration with which events.NewHandler accepts the
// pushes. It is that of the current Callback.
func (s *Server) CallbackConfig() events.Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.st.Callback
	cfg := events.Config{
		AppID: s.st.AppID, Token: c.Token, Account: s.st.Account, Plaintext: c.Mode == ModePlain,
	}
	if !cfg.Plaintext {
		cfg.EncodingAESKey = c.EncodingAESKey
	}
	return cfg
}

// codec returns that of the callback. The caller holds mu.
func (s *Server) codec() (callbackCodec, error) {
	c := s.st.Callback
	out := callbackCodec{appID: s.st.AppID, token: c.Token, mode: c.Mode}
	if c.Mode == ModePlain {
		return out, nil
	}
	var err error
	out.key, err = aesKey(c.EncodingAESKey)
	return out, err
}

// Reason is why WeChat does not accept a callback's response.
type Reason string

// WeChat delivers a push again after the first four.
const (
	ReasonUnreachable   Reason = "unreachable"   // the connection failed
	ReasonTooSlow       Reason = "too slow"      // no complete response within the timeout
	ReasonRedirected    Reason = "redirected"    // status 3xx, which WeChat does not follow
	ReasonWrongStatus   Reason = "wrong status"  // a status other than 200
	ReasonQuoted        Reason = "quoted"        // the right text in quotes
	ReasonWrongEcho     Reason = "wrong echo"    // a text other than echostr
	ReasonNotXML        Reason = "not xml"       // neither XML nor success
	ReasonWrongReply    Reason = "wrong reply"   // XML that is not a reply
	ReasonNotEncrypted  Reason = "not encrypted" // plain text in safe mode
	ReasonUndecryptable Reason = "undecryptable" // the reply's signature or encryption is wrong
)

// CallbackError says why WeChat does not accept a callback's response.
type CallbackError struct {
	Reason Reason `json:"reason"`
	Detail string `json:"detail"`
	Status int    `json:"status,omitempty"` // of HTTP; 0: no response, or the error is that of ParseReply
}

func (e *CallbackError) Error() string {
	return "wechatqrtest: callback: " + string(e.Reason) + ": " + e.Detail
}

// ErrNoCallback means that the callback has no URL.
var ErrNoCallback = errors.New("wechatqrtest: there is no callback URL: use ServeCallback or SetCallback")

// CheckCallback sends the request by which the console checks a callback: a GET
// whose response must be its echostr. As on WeChat it proves the URL and the
// Token only; a wrong EncodingAESKey, AppID or mode shows with the first push.
// The error is a *[CallbackError], ErrNoCallback or that of ctx.
func (s *Server) CheckCallback(ctx context.Context) error {
	s.mu.Lock()
	base := s.st.Callback.URL
	codec, err := s.codec()
	s.mu.Unlock()

	if err != nil {
		return err
	}
	if base == "" {
		return ErrNoCallback
	}

	echo := digits(19)
	a, err := s.requestCallback(ctx, http.MethodGet, codec.echoURL(base, echo, time.Now()), "")
	if err != nil {
		return err
	}
	if a.Err != nil {
		return a.Err
	}
	if wrong := checkEcho(echo, a.Response); wrong != nil {
		wrong.Status = a.Status
		return wrong
	}
	return nil
}

func checkEcho(echo, response string) *CallbackError {
	wrong := func(reason Reason, detail string) *CallbackError {
		return &CallbackError{Reason: reason, Detail: detail}
	}
	switch {
	case response == echo:
		return nil
	case response == `"`+echo+`"`, response == `'`+echo+`'`:
		return wrong(ReasonQuoted, "the response is echostr in quotes: send it as text, not as JSON")
	case strings.TrimSpace(response) == echo:
		return wrong(ReasonWrongEcho,
			"the response has spaces or line breaks around echostr: send nothing else")
	case response == "":
		return wrong(ReasonWrongEcho, "the response is empty: send the echostr of the query")
	}
	return wrong(ReasonWrongEcho, fmt.Sprintf("the response is not echostr: %.80q", response))
}

const maxResponseBytes = 64 << 10 // of a callback

// requestCallback sends one request to the callback. The error is that of ctx or
// http.ErrServerClosed; failures of the callback are in Attempt.Err.
func (s *Server) requestCallback(ctx context.Context, method, address, body string) (Attempt, error) {
	if !s.acquire() {
		return Attempt{}, http.ErrServerClosed
	}
	defer s.release()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(s.ctx, stop)()
	limited, cancel := context.WithTimeout(ctx, s.pushTimeout)
	defer cancel()

	a := Attempt{Time: s.Now(), URL: address, Body: body}
	began := time.Now()
	fail := func(p Reason, detail string) (Attempt, error) {
		a.Duration = time.Since(began)
		if ctx.Err() != nil {
			if s.ctx.Err() != nil {
				return a, http.ErrServerClosed
			}
			return a, ctx.Err()
		}
		if limited.Err() != nil {
			p, detail = ReasonTooSlow, fmt.Sprintf("no complete response within %v", s.pushTimeout)
		}
		a.Err = &CallbackError{p, detail, a.Status}
		return a, nil
	}

	req, err := http.NewRequestWithContext(limited, method, address, strings.NewReader(body))
	if err != nil {
		return fail(ReasonUnreachable, err.Error())
	}
	setHeader(req.Header, method)
	resp, err := s.client.Do(req)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err // without the signed URL
		}
		return fail(ReasonUnreachable, err.Error())
	}
	defer func() { _ = resp.Body.Close() }() // it was read

	a.Status = resp.StatusCode
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxResponseBytes))
	a.Response = string(data)
	if err != nil {
		return fail(ReasonUnreachable, "the connection broke within the response: "+err.Error())
	}
	switch {
	case resp.StatusCode/100 == 3:
		return fail(ReasonRedirected, fmt.Sprintf("HTTP %d to %q: give the console the final URL",
			resp.StatusCode, resp.Header.Get("Location")))
	case resp.StatusCode != http.StatusOK:
		return fail(ReasonWrongStatus, fmt.Sprintf("HTTP %d: %.80q", resp.StatusCode, data))
	}
	a.Duration = time.Since(began)
	return a, nil
}
