package wechatqrtest

import (
	"time"
)

// State is what a Server knows at one moment, for people to read. Secrets are masked;
// lists are never nil.
type State struct {
	Now      time.Time         `json:"now"` // by the Server's clock
	Account  AccountState      `json:"account"`
	Callback Callback          `json:"callback"` // its Token and EncodingAESKey are masked
	Codes    []QRCode          `json:"codes"`    // oldest first, as all lists are
	Users    []User            `json:"users"`
	Pushes   []Push            `json:"pushes"`   // the latest 200
	Messages []Message         `json:"messages"` // of customer service
	Requests []RecordedRequest `json:"requests"` // the latest 1000
	Faults   []Fault           `json:"faults"`
	Quotas   []Quota           `json:"quotas"`
}

// AccountState is the account of a Server.
type AccountState struct {
	AppID     string `json:"appid"`
	AppSecret string `json:"appsecret"` // masked
	ID        string `json:"account"`   // gh_…
}

// State returns everything that the Server's methods return one by one.
func (s *Server) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := &s.st
	callback := st.Callback
	callback.Token, callback.EncodingAESKey = mask(callback.Token), mask(callback.EncodingAESKey)
	return State{
		Now:      s.now(),
		Account:  AccountState{st.AppID, mask(st.AppSecret), st.Account},
		Callback: callback,
		Codes:    values(st.Codes),
		Users:    values(st.Users),
		Pushes:   s.pushes(),
		Messages: append([]Message{}, st.Messages...),
		Requests: append([]RecordedRequest{}, s.requests.ordered()...),
		Faults:   values(s.faults.list),
		Quotas:   s.quotas(),
	}
}

func values[T any](list []*T) []T {
	out := make([]T, len(list))
	for i, v := range list {
		out[i] = *v
	}
	return out
}

// pushes are copies, whose Attempts are not nil. The caller holds mu.
func (s *Server) pushes() []Push {
	out := values(s.st.Pushes)
	for i := range out {
		out[i].Attempts = append([]Attempt{}, out[i].Attempts...)
	}
	return out
}

// quotas counts from today on. The caller holds mu.
func (s *Server) quotas() []Quota {
	now := s.now()
	out := make([]Quota, len(s.st.Quotas))
	for i, m := range s.st.Quotas {
		m.reset(now)
		out[i] = m.Quota
	}
	return out
}

// mask shows enough of a secret to tell it from another one.
func mask(secret string) string {
	switch {
	case secret == "":
		return ""
	case len(secret) < minSecret:
		return "…"
	}
	return secret[:4] + "…"
}
