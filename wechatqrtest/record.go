package wechatqrtest

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/wechatqr/wechatqr"
)

// RecordedRequest is one request to the API or the picture host and the response
// to it. AppSecrets and access tokens are replaced by "[redacted]", wrong ones
// too, and so are the account's AppSecret, tokens and callback keys under any name.
// Bodies are cut after 16 KiB.
type RecordedRequest struct {
	ID       int                `json:"id"` // 1, 2, … in the order of the responses
	Time     time.Time          `json:"time"`
	Duration time.Duration      `json:"duration"`
	Method   string             `json:"method"`
	Path     string             `json:"path"`
	Query    string             `json:"query"`
	Body     string             `json:"body"`
	Status   int                `json:"status"`   // of HTTP; 0: no response was sent
	Code     wechatqr.ErrorCode `json:"errcode"`  // errcode
	Response string             `json:"response"` // empty for a picture
	RID      string             `json:"rid"`      // of an error
	IP       string             `json:"ip"`       // the client's
}

const (
	keptRequests = 1000
	keptBody     = 16 << 10
)

// requestLog is a ring buffer of the latest keptRequests.
type requestLog struct {
	list []RecordedRequest
	last int // ID
}

func (r *requestLog) add(c RecordedRequest) {
	r.last++
	c.ID = r.last
	if len(r.list) < keptRequests {
		r.list = append(r.list, c)
		return
	}
	r.list[(r.last-1)%keptRequests] = c
}

// ordered returns the requests, oldest first.
func (r *requestLog) ordered() []RecordedRequest {
	if len(r.list) < keptRequests {
		return append([]RecordedRequest{}, r.list...)
	}
	at := r.last % keptRequests
	return append(slices.Clone(r.list[at:]), r.list[:at]...)
}

// Requests are the latest 1000, oldest first.
func (s *Server) Requests() []RecordedRequest {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests.ordered()
}

// Count is the number of requests for path since the Server started, of all paths
// if path is empty. Requests that a Fault applied to count too.
func (s *Server) Count(path string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if path == "" {
		return s.requests.last
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

const redacted = "[redacted]"

const minSecret = 12 // bytes: a shorter callback Token may be a word like any other

// issuedToken is what newToken makes.
var issuedToken = regexp.MustCompile(`97_[0-9A-Za-z_-]{100,}`)

// redactValues takes out secrets of the account wherever they are, under any name. The
// caller holds mu.
func (s *Server) redactValues(text string) string {
	for _, secret := range []string{
		s.st.AppSecret, s.st.Callback.Token, s.st.Callback.EncodingAESKey,
	} {
		if len(secret) >= minSecret {
			text = strings.ReplaceAll(text, secret, redacted)
		}
	}
	return issuedToken.ReplaceAllString(text, redacted)
}

func (s *Server) record(r *http.Request, c *apiRequest, began time.Time, resp response) {
	entry := RecordedRequest{
		Time: c.now, Duration: time.Since(began),
		Method: r.Method, Path: r.URL.Path, Query: redactQuery(r.URL.RawQuery), Body: redactBody(c.body),
		Status: resp.status, Code: resp.code, RID: resp.rid, IP: c.ip,
	}
	if !strings.HasPrefix(resp.header.Get("Content-Type"), "image/") {
		entry.Response = redactBody(resp.body)
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	for _, text := range []*string{&entry.Path, &entry.Query, &entry.Body, &entry.Response} {
		*text = s.redactValues(*text)
	}
	if entry.Time.IsZero() {
		entry.Time = s.now()
	}
	s.requests.add(entry)
	s.counts[r.URL.Path]++
	s.notify()
}

var ridForm = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{8}){2}$`)

type ridResponse struct {
	errorResponse
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

const ridTTL = 7 * 24 * time.Hour

// getRID is POST /cgi-bin/openapi/rid/get.
func (s *Server) getRID(c *apiRequest) (any, *apiError) {
	var in struct {
		RID string `json:"rid"`
	}
	if r := c.decode(&in); r != nil {
		return nil, r
	}
	if !ridForm.MatchString(in.RID) {
		return nil, refuse(76002, "")
	}
	i := slices.IndexFunc(s.requests.list, func(e RecordedRequest) bool { return e.RID == in.RID })
	switch {
	case i < 0:
		return nil, refuse(76001, "")
	case c.now.Sub(s.requests.list[i].Time) > ridTTL:
		return nil, refuse(76004, "")
	}
	e := s.requests.list[i]
	return ridResponse{errorResponse{0, "ok"}, ridRequest{
		InvokeTime: e.Time.Unix(), CostInMS: e.Duration.Milliseconds(),
		RequestURL: s.origin + e.Path + "?" + e.Query, RequestBody: e.Body,
		ResponseBody: e.Response, ClientIP: e.IP,
	}}, nil
}
