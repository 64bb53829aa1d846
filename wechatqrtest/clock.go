package wechatqrtest

import "time"

// Now is the time by which the Server reckons: this machine's, and what
// Advance added.
func (s *Server) Now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now()
}

// Advance lets d pass at once: tokens and temporary codes expire, quotas of
// the minute and the day come back. The client's clock stays as it is, and so
// does CreateTime of pushes. A negative d goes back.
func (s *Server) Advance(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.st.Ahead += d
	s.notify()
}

func (s *Server) now() time.Time { return time.Now().Add(s.st.Ahead).Round(0) }
