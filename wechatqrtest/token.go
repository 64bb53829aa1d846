package wechatqrtest

import (
	"encoding/json"
	"time"
)

const (
	tokenTTL          = 7200 * time.Second
	tokenOverlap      = 5 * time.Minute  // the old token stays valid beside the new one
	minForcedInterval = 30 * time.Second // between two forced refreshes
	maxForcedPerDay   = 20
)

// token is an access token. Its states, and what a call with it gets:
//
//	current     not Superseded, before Expires   served
//	expired     not Superseded, after Expires    42001
//	superseded  Superseded, before Expires       served: the overlap with its successor
//	replaced    Superseded, after Expires        40001, "not latest"
//	forgotten   a day after Expires              40001
type token struct {
	Value      string    `json:"value"`
	Expires    time.Time `json:"expires"`
	Superseded bool      `json:"superseded,omitempty"` // a newer one was issued
}

// tokens are those issued. As on WeChat the two endpoints are isolated from each
// other.
type tokens struct {
	Classic []*token `json:"classic"` // oldest first: the last one is current
	Stable  []*token `json:"stable"`

	ForcedAt    time.Time `json:"forced_at,omitzero"`
	ForcedDay   string    `json:"forced_day,omitempty"`
	ForcedCount int       `json:"forced_count,omitempty"`
}

type tokenResponse struct {
	AccessToken string `json:"access_token"`
	ExpiresIn   int64  `json:"expires_in"`
}

// issue appends a new token to list and removes those that expired a day ago.
func (s *Server) issue(list *[]*token, now time.Time) *token {
	kept := (*list)[:0]
	for _, t := range *list {
		if now.Before(t.Expires.Add(24 * time.Hour)) {
			kept = append(kept, t)
		} else {
			delete(s.tokens, t.Value)
		}
	}
	t := &token{Value: "97_" + random(133), Expires: now.Add(tokenTTL)}
	*list = append(kept, t)
	s.tokens[t.Value] = t
	return t
}

// supersede lets t expire after the overlap, or earlier.
func (t *token) supersede(now time.Time) {
	t.Superseded = true
	if end := now.Add(tokenOverlap); end.Before(t.Expires) {
		t.Expires = end
	}
}

func current(list []*token) *token {
	if len(list) == 0 {
		return nil
	}
	return list[len(list)-1]
}

// checkTokenRequest checks in WeChat's order, in which the AppID comes first.
func (s *Server) checkTokenRequest(appID, grantType, secret string) *apiError {
	switch r := s.checkSecret(appID, secret); {
	case r != nil && (r.code == 41002 || r.code == 40013):
		return r
	case grantType != "client_credential":
		return refuse(40002, "")
	default:
		return r
	}
}

func (s *Server) checkSecret(appID, secret string) *apiError {
	switch {
	case appID == "":
		return refuse(41002, "")
	case appID != s.st.AppID:
		return refuse(40013, "")
	case secret == "":
		return refuse(41004, "")
	case secret != s.st.AppSecret:
		return refuse(40125, "")
	}
	return nil
}

// classicToken is GET /cgi-bin/token: each call issues a new token.
func (s *Server) classicToken(c *apiRequest) (any, *apiError) {
	q := c.query
	if r := s.checkTokenRequest(q.Get("appid"), q.Get("grant_type"), q.Get("secret")); r != nil {
		return nil, r
	}
	for _, t := range s.st.Tokens.Classic {
		if !t.Superseded {
			t.supersede(c.now)
		}
	}
	return tokenResponse{s.issue(&s.st.Tokens.Classic, c.now).Value, int64(tokenTTL / time.Second)}, nil
}

// stableToken is POST /cgi-bin/stable_token: the same token until its last
// five minutes.
func (s *Server) stableToken(c *apiRequest) (any, *apiError) {
	var in struct {
		GrantType    string `json:"grant_type"`
		AppID        string `json:"appid"`
		Secret       string `json:"secret"`
		ForceRefresh bool   `json:"force_refresh"`
	}
	if r := c.decode(&in); r != nil {
		return nil, r
	}
	if r := s.checkTokenRequest(in.AppID, in.GrantType, in.Secret); r != nil {
		return nil, r
	}

	list := &s.st.Tokens.Stable
	t := current(*list)
	switch {
	case t == nil || t.Superseded || t.Expires.Sub(c.now) < tokenOverlap:
		t = s.issue(list, c.now) // the old one stays valid until it expires
	case in.ForceRefresh && s.allowForcedRefresh(c.now):
		// Only the previous token stays valid: two forced refreshes end a leaked one.
		for _, old := range *list {
			if old.Superseded {
				old.revoke(c.now)
			} else {
				old.supersede(c.now)
			}
		}
		t = s.issue(list, c.now)
	}
	return tokenResponse{t.Value, int64(t.Expires.Sub(c.now).Round(time.Second) / time.Second)}, nil
}

// allowForcedRefresh reports whether force_refresh issues a new token now, and
// counts it. Otherwise WeChat returns the current token.
func (s *Server) allowForcedRefresh(now time.Time) bool {
	ts := &s.st.Tokens
	if day := chinaDay(now); ts.ForcedDay != day {
		ts.ForcedDay, ts.ForcedCount = day, 0
	}
	if ts.ForcedCount >= maxForcedPerDay || now.Sub(ts.ForcedAt) < minForcedInterval {
		return false
	}
	ts.ForcedAt = now
	ts.ForcedCount++
	return true
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// RevokeTokens invalidates every token issued so far, as a forced refresh by
// another program or a reset of the AppSecret does: calls with them get 40001, and
// the token endpoints issue new ones.
func (s *Server) RevokeTokens() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	for _, t := range s.tokens {
		t.revoke(now)
	}
	s.notify()
}

// revoke makes a call with t get 40001.
func (t *token) revoke(now time.Time) {
	t.Superseded = true
	t.Expires = earlier(t.Expires, now)
}

// checkToken checks the access_token of a request.
func (s *Server) checkToken(value string, sent bool, now time.Time) *apiError {
	if value == "" {
		if s.cloudHosting && !sent {
			return nil
		}
		return refuse(41001, "")
	}
	t, ok := s.tokens[value]
	switch {
	case !ok:
		return refuse(40001, "")
	case now.Before(t.Expires):
		return nil
	case t.Superseded:
		return refuse(40001, "")
	}
	return refuse(42001, "")
}

// decode reads the body as a JSON object.
func (c *apiRequest) decode(into any) *apiError {
	if len(c.body) == 0 {
		return refuse(44002, "")
	}
	if err := json.Unmarshal(c.body, into); err != nil {
		return refuse(47001, err.Error())
	}
	return nil
}
