// Package tokenclient is a worker's half of the token server beside it: copy
// this file into your program.
package tokenclient

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/wechatqr/wechatqr"
)

const (
	timeout          = 10 * time.Second
	maxResponseBytes = 64 << 10
)

// New returns the token source that reads from the token server at the address
// base, for wechatqr.WithTokenSource. It keeps the token in memory and asks
// again shortly before its end, or when WeChat refuses it. hc is for a private
// certificate authority or a client certificate; nil is a client of its own.
func New(base, key string, hc *http.Client) (wechatqr.TokenSource, error) {
	u, err := url.Parse(base)
	switch {
	case err != nil, u.Host == "" && strings.Contains(base, "@"): // the error would show a password
		return nil, errors.New("token server: the address cannot be read: use one like https://tokens.internal:8787")
	case u.Scheme != "https" && u.Scheme != "http" || u.Host == "":
		return nil, fmt.Errorf("token server: %q is no address: use one like https://tokens.internal:8787", u.Redacted())
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("token server: leave user, query and fragment out of the address")
	case key == "":
		return nil, errors.New("token server: the key is empty")
	}
	if hc == nil {
		hc = &http.Client{Timeout: timeout}
	}
	own := *hc
	// A redirect would carry the key elsewhere.
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	s := &source{
		base: strings.TrimRight(u.String(), "/"), http: &own,
		authorize: func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+key) },
	}
	return wechatqr.ReuseTokenSource(s, nil), nil
}

// source asks the token server at every call.
type source struct {
	base      string
	http      *http.Client
	authorize func(*http.Request) // holds the key where fmt does not look
}

func (s *source) Token(ctx context.Context, rejected string) (wechatqr.Token, error) {
	method, body := http.MethodGet, []byte(nil)
	if rejected != "" {
		method = http.MethodPost
		var err error
		if body, err = json.Marshal(map[string]string{"rejected": rejected}); err != nil {
			return wechatqr.Token{}, err
		}
	}

	var response struct {
		AccessToken string `json:"access_token"`
		ExpiresIn   *int64 `json:"expires_in"`
	}
	// The server tells the life that is left, so that clocks need not agree.
	asked := time.Now()
	if err := s.do(ctx, method, "/token", body, &response); err != nil {
		return wechatqr.Token{}, err
	}

	tok := wechatqr.Token{Value: response.AccessToken}
	if response.ExpiresIn != nil {
		tok.Expiry = asked.Add(time.Duration(*response.ExpiresIn) * time.Second).Round(0)
	}
	return tok, nil
}

func (s *source) do(ctx context.Context, method, path string, body []byte, out any) error {
	req, err := http.NewRequestWithContext(ctx, method, s.base+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("token server: %w", err)
	}
	s.authorize(req)
	resp, err := s.http.Do(req)
	if err != nil {
		return fmt.Errorf("token server: %w", err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxResponseBytes))
	switch {
	case err != nil:
		return fmt.Errorf("token server: %w", err)
	case resp.StatusCode == http.StatusUnauthorized:
		return errors.New("token server: it does not know the key: compare both sides")
	case resp.StatusCode >= 300:
		return fmt.Errorf("token server: HTTP %d: %.500s", resp.StatusCode, bytes.TrimSpace(data))
	}
	if err := json.Unmarshal(data, out); err != nil {
		return fmt.Errorf("token server: not the response of a token server: is %s its address?", s.base)
	}
	return nil
}
