package wechatqrtest

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"

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
	return Callback{Token: alnum.Replace(random(16)), EncodingAESKey: alnum.Replace(random(43)),
		Mode: ModeSafe}
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
	return s.callbackConfig()
}

// callbackConfig is CallbackConfig for a caller that holds mu.
func (s *Server) callbackConfig() events.Config {
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
	c, err := newCodec(s.callbackConfig())
	c.mode = s.st.Callback.Mode // a configuration does not tell compatible from safe
	return c, err
}
