package wechatqrtest

import (
	"maps"
	"time"
)

// Now is the time by which the Server reckons: this machine's, and what
// Advance added.
func (s *Server) Now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now()
}

// Advance lets d pass at once: tokens and temporary codes expire, quotas of
// the minute and the day come back. The client's clock stays as it is. A
// negative d goes back; a user whose last event is then more than an hour ahead
// of the clock acts by the clock again.
func (s *Server) Advance(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.st.Ahead += d
	if d < 0 {
		limit := s.now().Add(longAhead)
		maps.DeleteFunc(s.st.Moments, func(_ string, last time.Time) bool { return last.After(limit) })
	}
	s.notify()
}

func (s *Server) now() time.Time { return time.Now().Add(s.st.Ahead).Round(0) }
