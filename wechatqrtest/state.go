package wechatqrtest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// State is what a Server knows at one moment, for people: its page, its JSON and the
// log of a failed test. Secrets are masked: [Server.Credentials] and [Server.Callback]
// have them. No list is nil.
type State struct {
	Now       time.Time         `json:"now"`   // by the Server's clock
	Ahead     time.Duration     `json:"ahead"` // of this machine's clock, in nanoseconds
	BaseURL   string            `json:"base_url"`
	AppID     string            `json:"appid"`
	AppSecret string            `json:"appsecret"` // masked
	Account   string            `json:"account"`   // gh_…
	Callback  Callback          `json:"callback"`  // its Token and EncodingAESKey are masked
	QRCodes   []QRCode          `json:"codes"`
	Users     []User            `json:"users"`
	Pushes    []Push            `json:"pushes"`   // the latest 200
	Messages  []Message         `json:"messages"` // the latest 200
	Requests  []RecordedRequest `json:"requests"` // the latest 1000
	Faults    []Fault           `json:"faults"`
	Quotas    []Quota           `json:"quotas"`

	PushFaults []PushFault `json:"push_faults"`
}

// State returns a copy of the state, taken under one lock: no list is newer than
// another. Lists are oldest first.
func (s *Server) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()

	cb := s.st.Callback
	cb.Token, cb.EncodingAESKey = mask(cb.Token), mask(cb.EncodingAESKey)
	return State{
		Now: s.now(), Ahead: s.st.Ahead, BaseURL: s.origin,
		AppID: s.st.AppID, AppSecret: mask(s.st.AppSecret), Account: s.st.Account, Callback: cb,
		QRCodes: copies(s.st.Codes), Users: copies(s.st.Users), Pushes: s.pushes(),
		Messages: append([]Message{}, s.st.Messages...), Requests: s.requests.ordered(),
		Faults: copies(s.faults.list), Quotas: s.quotas(),
		PushFaults: s.pushFaults(),
	}
}

const minMasked = 12 // bytes of a secret of which the first four are shown

// mask shows enough of a secret to tell it from another one.
func mask(secret string) string {
	if len(secret) < minMasked {
		return strings.Repeat("…", min(len(secret), 1))
	}
	return secret[:4] + "…"
}

// copies returns what the pointers of list point to, never nil.
func copies[T any](list []*T) []T {
	out := make([]T, len(list))
	for i, p := range list {
		out[i] = *p
	}
	return out
}

const dumpedLines = 100

// String is the state as text for people: the account, its codes and users, and the
// latest 100 requests, pushes and messages in the order of their arrival, each cut after
// 500 characters.
func (st State) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "WeChat at %s: account %s, AppID %s, callback %q in mode %s",
		st.BaseURL, st.Account, st.AppID, st.Callback.URL, st.Callback.Mode)
	if st.Ahead != 0 {
		fmt.Fprintf(&b, ", clock ahead by %v", st.Ahead)
	}
	b.WriteString("\n")

	for _, c := range st.QRCodes {
		fmt.Fprintf(&b, "code %s %q: %d scans, ticket %s\n", c.Action, c.Scene(), c.Scans, c.Ticket)
	}
	for _, u := range st.Users {
		fmt.Fprintf(&b, "user %s: follows %v\n", u.OpenID, u.Follows)
	}
	for _, f := range st.Faults {
		fmt.Fprintf(&b, "fault %+v\n", f)
	}
	for _, f := range st.PushFaults {
		fmt.Fprintf(&b, "push fault %+v\n", f)
	}
	lines := st.timeline()
	if n := len(lines) - dumpedLines; n > 0 {
		fmt.Fprintf(&b, "%d older lines left out\n", n)
		lines = lines[n:]
	}
	for _, l := range lines {
		fmt.Fprintf(&b, "%s %.500s\n", l.at.Format("15:04:05.000"), l.text)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

type timelineEntry struct {
	order int
	at    time.Time
	text  string
}

func (st State) timeline() []timelineEntry {
	var out []timelineEntry
	for _, r := range st.Requests {
		out = append(out, timelineEntry{r.Order, r.Time, fmt.Sprintf("%s %s?%s %s: HTTP %d %s",
			r.Method, r.Path, r.Query, r.Body, r.Status, r.Response)})
	}
	for _, m := range st.Messages {
		out = append(out, timelineEntry{m.Order, m.Time, fmt.Sprintf("message to %s: %s", m.OpenID, m.Body)})
	}
	for _, p := range st.Pushes {
		out = append(out, timelineEntry{p.Order, p.time(), p.summary()})
	}
	slices.SortStableFunc(out, func(a, b timelineEntry) int { return cmp.Compare(a.order, b.order) })
	return out
}

// time is that of the first delivery by the Server's clock, or the event's.
func (p Push) time() time.Time {
	if len(p.Attempts) > 0 {
		return p.Attempts[0].Time
	}
	return p.Event.CreateTime
}

func (p Push) summary() string {
	outcome := "replied " + cmp.Or(p.Reply.Text(), "nothing")
	switch err := p.Err(); {
	case p.Dropped:
		outcome = "dropped"
	case !p.Done:
		outcome = "in progress"
	case err != nil:
		outcome = err.Error()
	}
	kind := cmp.Or(string(p.Event.Type), p.Event.MsgType)
	return fmt.Sprintf("push %d: %s %q from %s, delivered %d times: %s",
		p.ID, kind, p.Event.EventKey+p.Event.Content, p.Event.FromUserName, len(p.Attempts), outcome)
}
