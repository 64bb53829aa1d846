package wechatqrtest

// Picture is the picture of a code that a page beside the API shows: the JPEG
// of showqrcode, but no call is made of it, no fault befalls it, and a code
// that expired still has one. The error is ErrNoCode.
func (s *Server) Picture(ticket string) ([]byte, error) {
	c, ok := s.Code(ticket)
	if !ok {
		return nil, ErrNoCode
	}
	return s.pictures.get(c.URL)
}
