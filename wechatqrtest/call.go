package wechatqrtest

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Call is one request to the API or the picture host and its answer. AppSecret
// and access tokens are "[redacted]" in it, wrong ones too, and of bodies it has
// the first 16 KiB.
type Call struct {
	ID       int           `json:"id"` // 1, 2, … in the order of the answers
	Time     time.Time     `json:"time"`
	Duration time.Duration `json:"duration"`
	Method   string        `json:"method"`
	Path     string        `json:"path"`
	Query    string        `json:"query"`
	Body     string        `json:"body"`
	Status   int           `json:"status"` // of HTTP; 0: no answer was sent
	Code     int           `json:"code"`   // errcode
	Answer   string        `json:"answer"` // empty for a picture
	RID      string        `json:"rid"`    // of an error
	IP       string        `json:"ip"`     // the client's
}

const (
	keptCalls = 1000
	keptBody  = 16 << 10
)

// ring is the latest calls.
type ring struct {
	list []Call
	last int // ID
}

func (r *ring) add(c Call) {
	r.last++
	c.ID = r.last
	if len(r.list) < keptCalls {
		r.list = append(r.list, c)
		return
	}
	r.list[(r.last-1)%keptCalls] = c
}

// ordered is the calls, oldest first.
func (r *ring) ordered() []Call {
	if len(r.list) < keptCalls {
		return slices.Clone(r.list)
	}
	at := r.last % keptCalls
	return append(slices.Clone(r.list[at:]), r.list[:at]...)
}

// Calls are the latest 1000, oldest first.
func (s *Server) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls.ordered()
}

// Count is how many calls of path there were since the Server started,
// faulty ones included; of all paths if path is empty.
func (s *Server) Count(path string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if path == "" {
		return s.calls.last
	}
	return s.counts[path]
}

var (
	secretJSON  = regexp.MustCompile(`(["'](?:secret|appsecret|access_token)["']\s*:\s*)(?:"(?:[^"\\]|\\.)*"?|'[^']*'?|[^\s,}]+)`)
	secretQuery = regexp.MustCompile(`(^|&)((?:[a-z_]*access_token|secret|appsecret)=)[^&]*`)
)

// redactBody takes the secrets out of a body, be it JSON, nearly JSON or a form.
func redactBody(b []byte) string {
	text := string(b)
	if strings.Contains(text, "secret") || strings.Contains(text, "access_token") {
		text = redactQuery(secretJSON.ReplaceAllString(text, `$1"[redacted]"`))
	}
	return text[:min(len(text), keptBody)]
}

func redactQuery(text string) string { return secretQuery.ReplaceAllString(text, "${1}${2}[redacted]") }

func (s *Server) record(r *http.Request, c *call, began time.Time, a answer) {
	entry := Call{
		Time: c.now, Duration: time.Since(began),
		Method: r.Method, Path: r.URL.Path, Query: redactQuery(r.URL.RawQuery), Body: redactBody(c.body),
		Status: a.status, Code: a.code, RID: a.rid, IP: c.ip,
	}
	if !strings.HasPrefix(a.header.Get("Content-Type"), "image/") {
		entry.Answer = redactBody(a.body)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if entry.Time.IsZero() {
		entry.Time = s.now()
	}
	s.calls.add(entry)
	s.counts[r.URL.Path]++
	s.notify()
}

var ridForm = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{8}){2}$`)

type ridAnswer struct {
	errorAnswer
	Request ridRequest `json:"request"`
}

type ridRequest struct {
	InvokeTime   int64  `json:"invoke_time"`
	CostInMS     int64  `json:"cost_in_ms"`
	RequestURL   string `json:"request_url"`
	RequestBody  string `json:"request_body"`
	ResponseBody string `json:"response_body"`
	ClientIP     string `json:"client_ip"`
}

const ridLife = 7 * 24 * time.Hour

// getRID is POST /cgi-bin/openapi/rid/get.
func (s *Server) getRID(c *call) (any, *refusal) {
	var in struct {
		RID string `json:"rid"`
	}
	if r := c.decode(&in); r != nil {
		return nil, r
	}
	if !ridForm.MatchString(in.RID) {
		return nil, refuse(76002, "")
	}
	i := slices.IndexFunc(s.calls.list, func(e Call) bool { return e.RID == in.RID })
	switch {
	case i < 0:
		return nil, refuse(76001, "")
	case c.now.Sub(s.calls.list[i].Time) > ridLife:
		return nil, refuse(76004, "")
	}
	e := s.calls.list[i]
	return ridAnswer{errorAnswer{0, "ok"}, ridRequest{
		InvokeTime: e.Time.Unix(), CostInMS: e.Duration.Milliseconds(),
		RequestURL: s.origin + e.Path + "?" + e.Query, RequestBody: e.Body, ResponseBody: e.Answer, ClientIP: e.IP,
	}}, nil
}
