package wechatqrtest

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// snapshot is what Snapshot writes.
type snapshot struct {
	AppID     string        `json:"appid"`
	AppSecret string        `json:"appsecret"`
	Account   string        `json:"account"`
	Ahead     time.Duration `json:"ahead"` // of this machine's clock, in nanoseconds

	Tokens         tokens          `json:"tokens"`
	Codes          []*QRCode       `json:"codes"`
	Permanent      int             `json:"permanent"` // codes created
	Users          []*User         `json:"users"`
	LastEventTimes eventTimes      `json:"last_event_times"`
	FollowCounts   followCounts    `json:"follow_counts"`
	Tags           []Tag           `json:"tags"`
	Callback       Callback        `json:"callback"`
	Pushes         []*Push         `json:"pushes"`
	LastPush       int             `json:"last_push"` // ID
	Messages       []Message       `json:"messages"`
	Menu           json.RawMessage `json:"menu,omitempty"`
	LastOrder      int             `json:"last_order"`
	Quotas         quotaCounters   `json:"quotas"`
	ClearMonth     string          `json:"clear_month"` // that Clears counts
	Clears         int             `json:"clears"`      // calls of clear_quota
}

// nextOrder numbers a request, push or message by its arrival, since the clock may be
// turned back. The caller holds mu.
func (s *Server) nextOrder() int {
	s.st.LastOrder++
	return s.st.LastOrder
}

func newSnapshot() snapshot {
	return snapshot{
		AppID:          "wx" + hex.EncodeToString([]byte(random(8))),
		AppSecret:      hex.EncodeToString([]byte(random(16))),
		Account:        "gh_" + hex.EncodeToString([]byte(random(6))),
		Callback:       newCallback(),
		Quotas:         newQuotaCounters(),
		LastEventTimes: eventTimes{},
		FollowCounts:   followCounts{},
	}
}

// Snapshot returns the Server's state as JSON: the account, its callback, codes,
// users, tokens, quotas, messages, pushes and the clock, without recorded requests
// and faults. It contains the AppSecret, tokens and keys. Its form may change with
// the version of this package.
func (s *Server) Snapshot() ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return json.Marshal(s.st)
}

// Restore replaces the Server's state by that of a Snapshot. If it returns an
// error, nothing has changed.
func (s *Server) Restore(data []byte) error {
	st := newSnapshot() // fields that an older version did not write keep these values
	if err := json.Unmarshal(data, &st); err != nil {
		return fmt.Errorf("wechatqrtest: restore: %w", err)
	}
	codes, users, byValue, err := st.index()
	if err != nil {
		return fmt.Errorf("wechatqrtest: restore: %w", err)
	}
	for _, p := range st.Pushes {
		p.Done = true // no goroutine delivers it any more
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	s.st, s.codes, s.users, s.tokens = st, codes, users, byValue
	s.notify()
	return nil
}

func (st *snapshot) index() (map[string]*QRCode, map[string]*User, map[string]*token, error) {
	if st.AppID == "" || st.AppSecret == "" || st.Account == "" {
		return nil, nil, nil, errors.New("appid, appsecret or account is empty")
	}
	if err := st.Callback.check(); err != nil {
		return nil, nil, nil, err
	}
	if st.LastEventTimes == nil || st.FollowCounts == nil {
		return nil, nil, nil, errors.New("last_event_times or follow_counts is null")
	}
	codes, users, byValue := map[string]*QRCode{}, map[string]*User{}, map[string]*token{}
	for _, c := range st.Codes {
		if c == nil {
			return nil, nil, nil, errors.New("a code is null")
		}
		codes[c.Ticket] = c
	}
	for _, u := range st.Users {
		if u == nil {
			return nil, nil, nil, errors.New("a user is null")
		}
		users[u.OpenID] = u
	}
	for _, list := range [][]*token{st.Tokens.Classic, st.Tokens.Stable} {
		for _, t := range list {
			if t == nil {
				return nil, nil, nil, errors.New("a token is null")
			}
			byValue[t.Value] = t
		}
	}
	for _, p := range st.Pushes {
		if p == nil {
			return nil, nil, nil, errors.New("a push is null")
		}
	}
	for _, m := range st.Quotas {
		if m == nil {
			return nil, nil, nil, errors.New("a quota is null")
		}
	}
	return codes, users, byValue, nil
}
