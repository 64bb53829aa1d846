package wechatqrtest

import (
	"bytes"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wechatqr/wechatqr"
)

// Fault is a failure of the API or the picture host. Which of its fields act,
// in this order:
//
//	Delay           the request waits
//	BreakHang       the request gets no response; the API does not see it
//	Code or Status  the response is this error; the API does not see the request
//	otherwise       the API serves the request, and Break damages the response
//
// Break damages the response of Code and Status too.
type Fault struct {
	Path  string `json:"path"`  // the requests it applies to, "/cgi-bin/qrcode/create"; empty: all
	Times int    `json:"times"` // how many requests it applies to; 0: all, until ClearFaults

	Delay   time.Duration      `json:"delay,omitempty"`   // before anything else, in nanoseconds
	Code    wechatqr.ErrorCode `json:"errcode,omitempty"` // errcode; 40001 revokes the request's token
	Message string             `json:"message,omitempty"` // errmsg; empty: WeChat's text for Code
	Status  int                `json:"status,omitempty"`  // of HTTP; alone: with a page of HTML
	Break   Break              `json:"break,omitempty"`
}

// Break is a way for a response to be lost or damaged.
type Break string

// The API has served the request in each case but BreakHang.
const (
	BreakHang        Break = "hang"         // no response until the client or the Server gives up
	BreakReset       Break = "reset"        // the connection is reset after half the response
	BreakTruncate    Break = "truncate"     // half the response, with a Content-Length to match
	BreakWrongLength Break = "wrong length" // Content-Length is ten bytes more than the body has
	BreakEmpty       Break = "empty"        // no body
	BreakHTML        Break = "html"         // an HTML page in place of the response
	BreakNotJSON     Break = "not json"     // a line of text in place of the response
	BreakHuge        Break = "huge"         // the response, then 8 MiB of spaces
)

type faults struct {
	list []*Fault
	fn   func(*http.Request) (Fault, bool)

	pushes []*pushFault
}

// Inject adds a fault. If several apply to a request, the one added first is used.
func (s *Server) Inject(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.faults.list = append(s.faults.list, &f)
	s.notify()
}

// InjectFunc has fn choose the fault of each request that no injected fault
// applies to. Path and Times of its result are ignored. fn may be called
// concurrently and must not read the body. A nil fn removes the one before.
func (s *Server) InjectFunc(fn func(*http.Request) (Fault, bool)) {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.faults.fn = fn
	s.notify()
}

// Faults are those of Inject that still apply, with the Times that remain.
func (s *Server) Faults() []Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	return copies(s.faults.list)
}

// ClearFaults removes every fault, those of InjectFunc and InjectPush included. A request that
// hangs keeps hanging.
func (s *Server) ClearFaults() {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.faults = faults{}
	s.notify()
}

// takeFault chooses the fault of r. If it refuses the token, it is revoked.
func (s *Server) takeFault(r *http.Request, accessToken string) Fault {
	f := s.chooseFault(r)
	if f.Code == 40001 {
		s.mu.Lock()
		defer s.mu.Unlock()
		if t, ok := s.tokens[accessToken]; ok {
			t.revoke(s.now())
		}
	}
	return f
}

// chooseFault returns the fault that applies to r and counts it; the zero Fault is none.
func (s *Server) chooseFault(r *http.Request) Fault {
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

// wait delays or hangs. It reports whether a response is still wanted.
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
	if f.Break == BreakHang {
		select {
		case <-r.Context().Done():
		case <-done:
		}
		return false
	}
	return true
}

const errorPage = "<html><head><title>Service Unavailable</title></head><body>The service is temporarily unavailable.</body></html>\n"

// response takes the place of the API's; nil if the API serves the request.
func (f Fault) response(c *apiRequest) *response {
	switch {
	case f.Code != 0:
		resp := refuse(f.Code, "").response(c)
		if f.Message != "" {
			resp = jsonResponse(errorResponse{f.Code, f.Message})
			resp.code = f.Code
		}
		if f.Status != 0 {
			resp.status = f.Status
		}
		return resp
	case f.Status != 0:
		return &response{
			status: f.Status,
			header: http.Header{"Content-Type": {"text/html"}},
			body:   []byte(errorPage),
		}
	}
	return nil
}

// write sends the response, damaged as Break says.
func (f Fault) write(w http.ResponseWriter, r *http.Request, resp *response) {
	header, body := w.Header(), resp.body
	for k, v := range resp.header {
		header[k] = v
	}
	length := len(body)
	switch f.Break {
	case BreakReset:
		reset(w, resp)
		return
	case BreakTruncate:
		body = body[:len(body)/2]
		length = len(body)
	case BreakWrongLength:
		length += 10
	case BreakEmpty:
		body, length = nil, 0
	case BreakHTML:
		header.Set("Content-Type", "text/html")
		body, length = []byte(errorPage), len(errorPage)
	case BreakNotJSON:
		body = []byte("upstream connect error or disconnect/reset before headers\n")
		length = len(body)
	case BreakHuge:
		length += hugeSize
	}

	header.Set("Content-Length", strconv.Itoa(length))
	w.WriteHeader(resp.status)
	if r.Method == http.MethodHead {
		return
	}
	_, _ = w.Write(body) // the client may have closed the connection
	if f.Break == BreakHuge {
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
func reset(w http.ResponseWriter, resp *response) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		drop(w)
		return
	}

	var b strings.Builder
	b.WriteString("HTTP/1.1 " + strconv.Itoa(resp.status) + " " + http.StatusText(resp.status) + "\r\n")
	_ = resp.header.Write(&b) // a strings.Builder cannot fail
	b.WriteString("Content-Length: " + strconv.Itoa(len(resp.body)) + "\r\n\r\n")
	b.Write(resp.body[:len(resp.body)/2])
	_, _ = conn.Write([]byte(b.String())) // the connection is closed anyway

	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // close sends RST
	}
	_ = conn.Close()
}

// drop closes the connection without a response. A ResponseWriter without
// a connection, such as httptest.ResponseRecorder, gets status 502.
func drop(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	_ = conn.Close()
}
