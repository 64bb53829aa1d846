package wechatqrtest

import "slices"

// WithAccount sets the account's original ID (gh_…). The default is random.
func WithAccount(id string) Option { return func(c *config) { c.account = id } }

// WithContentPrefix sets what the contents of codes begin with, in place of
// "http://weixin.qq.com/q/": the URL of a page of your own, which a phone's camera
// then opens. See [QRCode.Content].
func WithContentPrefix(url string) Option { return func(c *config) { c.contentPrefix = url } }

// Reset forgets codes, users, pushes, messages, requests, their Count and faults, makes
// the quotas whole and shows the current time again. Credentials, tokens and the
// callback stay; the next push has the next number.
func (s *Server) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	fresh := newSnapshot()
	fresh.AppID, fresh.AppSecret, fresh.Account = s.st.AppID, s.st.AppSecret, s.st.Account
	fresh.Callback, fresh.Tokens = s.st.Callback, s.st.Tokens
	fresh.LastPush, fresh.LastEventTimes = s.st.LastPush, s.st.LastEventTimes
	s.st = fresh
	s.codes, s.users, s.faults = map[string]*QRCode{}, map[string]*User{}, faults{}
	s.requests, s.counts = requestLog{}, map[string]int{}
	s.notify()
}

// RemoveUser forgets a user, as if they had never been, and pushes nothing. It
// reports whether there was one.
func (s *Server) RemoveUser(openID string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.users[openID]; !ok {
		return false
	}
	delete(s.users, openID)
	s.st.Users = slices.DeleteFunc(s.st.Users, func(u *User) bool { return u.OpenID == openID })
	s.notify()
	return true
}
