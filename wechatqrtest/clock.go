package wechatqrtest

import "time"

// Now is the time of the Server's clock: this machine's time plus what Advance
// added.
func (s *Server) Now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now()
}

// Advance moves the Server's clock forward by d, or back if d is negative: tokens
// and temporary codes expire, and the quotas of the minute and the day are
// restored. The client's clock and the CreateTime of pushes do not move.
func (s *Server) Advance(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.st.Ahead += d
	s.notify()
}

func (s *Server) now() time.Time { return time.Now().Add(s.st.Ahead).Round(0) }
