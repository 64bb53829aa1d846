package wechatqrtest

import (
	"bytes"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Fault is something going wrong with calls of the API or the picture host.
// Delay comes first. Then Code or Status answer in place of the API, which
// does not see the call. Otherwise the API does what the call asks, and Break
// says what becomes of its answer.
type Fault struct {
	Path  string `json:"path"`  // of the calls it befalls, "/cgi-bin/qrcode/create"; empty: all
	Times int    `json:"times"` // how many calls it befalls; 0: all, until ClearFaults

	Delay   time.Duration `json:"delay,omitempty"`   // before anything else, in nanoseconds
	Code    int           `json:"code,omitempty"`    // errcode
	Message string        `json:"message,omitempty"` // errmsg; empty: WeChat's text for Code
	Status  int           `json:"status,omitempty"`  // of HTTP; alone: with a page of HTML
	Break   Break         `json:"break,omitempty"`
}

// Break is a way for an answer to be lost or mangled.
type Break string

// The ways. The API has acted on the call in each of them but Hang.
const (
	Hang        Break = "hang"         // no answer until the client or the Server gives up
	Reset       Break = "reset"        // the connection is reset after half the answer
	Truncate    Break = "truncate"     // half the answer, as if it were all
	WrongLength Break = "wrong length" // Content-Length is ten bytes more than what comes
	Empty       Break = "empty"        // no body
	HTML        Break = "html"         // a page in place of the answer
	NotJSON     Break = "not json"     // a line of text in place of the answer
	Huge        Break = "huge"         // the answer, then 8 MiB of spaces
)

type faults struct {
	list []*Fault
	fn   func(*http.Request) (Fault, bool)
}

// Inject arms a fault. Of several for one call the first armed comes first.
func (s *Server) Inject(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults.list = append(s.faults.list, &f)
	s.notify()
}

// InjectFunc has fn decide for each call that no injected fault befalls; its
// Path and Times are not read. fn may be called by many goroutines at once
// and must not read the body. nil ends it.
func (s *Server) InjectFunc(fn func(*http.Request) (Fault, bool)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults.fn = fn
	s.notify()
}

// Faults are those armed, with the Times that are left.
func (s *Server) Faults() []Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Fault, len(s.faults.list))
	for i, f := range s.faults.list {
		out[i] = *f
	}
	return out
}

// ClearFaults disarms every fault, the function included. A call that hangs
// goes on hanging.
func (s *Server) ClearFaults() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = faults{}
	s.notify()
}

// fault takes the fault that befalls r; the zero Fault is none.
func (s *Server) fault(r *http.Request) Fault {
	s.mu.Lock()
	for i, f := range s.faults.list {
		if f.Path != "" && f.Path != r.URL.Path {
			continue
		}
		out := *f
		if f.Times == 1 {
			s.faults.list = slices.Delete(s.faults.list, i, i+1)
		} else if f.Times > 1 {
			f.Times--
		}
		s.mu.Unlock()
		return out
	}
	fn := s.faults.fn
	s.mu.Unlock()
	if fn != nil {
		if f, ok := fn(r); ok {
			return f
		}
	}
	return Fault{}
}

// wait delays or hangs. It reports whether there is still somebody to answer.
func (f Fault) wait(r *http.Request, done <-chan struct{}) bool {
	if f.Delay > 0 {
		t := time.NewTimer(f.Delay)
		defer t.Stop()
		select {
		case <-t.C:
		case <-r.Context().Done():
			return false
		case <-done:
			return false
		}
	}
	if f.Break == Hang {
		select {
		case <-r.Context().Done():
		case <-done:
		}
		return false
	}
	return true
}

const page = "<html><head><title>Service Unavailable</title></head><body>The service is temporarily unavailable.</body></html>\n"

// answer is what comes in place of the API's, or nil.
func (f Fault) answer(c *call) *answer {
	switch {
	case f.Code != 0:
		ref := refuse(f.Code, "")
		a := refused(ref, c)
		if f.Message != "" {
			a = jsonAnswer(errorAnswer{f.Code, f.Message})
			a.code = f.Code
		}
		if f.Status != 0 {
			a.status = f.Status
		}
		return a
	case f.Status != 0:
		return &answer{status: f.Status, header: http.Header{"Content-Type": {"text/html"}}, body: []byte(page)}
	}
	return nil
}

// send writes the answer, broken as the fault says.
func (f Fault) send(w http.ResponseWriter, r *http.Request, a *answer) {
	header, body := w.Header(), a.body
	for k, v := range a.header {
		header[k] = v
	}
	length := len(body)
	switch f.Break {
	case Reset:
		reset(w, a)
		return
	case Truncate:
		body = body[:len(body)/2]
		length = len(body)
	case WrongLength:
		length += 10
	case Empty:
		body, length = nil, 0
	case HTML:
		header.Set("Content-Type", "text/html")
		body, length = []byte(page), len(page)
	case NotJSON:
		body = []byte("upstream connect error or disconnect/reset before headers\n")
		length = len(body)
	case Huge:
		length += hugeSize
	}
	header.Set("Content-Length", strconv.Itoa(length))
	w.WriteHeader(a.status)
	if r.Method == http.MethodHead {
		return
	}
	_, _ = w.Write(body) // a client that is gone is no concern of the Server
	if f.Break == Huge {
		block := bytes.Repeat([]byte{' '}, 1<<16)
		for range hugeSize / len(block) {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	}
}

const hugeSize = 8 << 20

// reset sends the headers and half the body, then resets the connection.
func reset(w http.ResponseWriter, a *answer) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		drop(w)
		return
	}
	var b strings.Builder
	b.WriteString("HTTP/1.1 " + strconv.Itoa(a.status) + " " + http.StatusText(a.status) + "\r\n")
	_ = a.header.Write(&b) // a strings.Builder cannot fail
	b.WriteString("Content-Length: " + strconv.Itoa(len(a.body)) + "\r\n\r\n")
	b.Write(a.body[:len(a.body)/2])
	_, _ = conn.Write([]byte(b.String())) // the connection is about to go anyway
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // close sends RST
	}
	_ = conn.Close()
}

// drop ends the connection without an answer. A ResponseWriter without
// a connection, such as a recorder, gets a 502.
func drop(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	_ = conn.Close()
}
