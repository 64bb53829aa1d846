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
// to it. AppSecrets, access tokens and the callback's keys are replaced by "[redacted]"
// wherever they stand, wrong ones where they were sent. Bodies are cut after 16 KiB.
type RecordedRequest struct {
	ID       int                `json:"id"`    // 1, 2, … in the order of the responses
	Order    int                `json:"order"` // among requests, pushes and messages, by arrival
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
	secretJSON  = regexp.MustCompile(`(["'](?:secret|appsecret|access_token|refresh_token)["']\s*:\s*)(?:"(?:[^"\\]|\\.)*"?|'[^']*'?|[^\s,}]+)`)
	secretQuery = regexp.MustCompile(`(^|&)((?:[a-z_]*access_token|secret|appsecret)=)[^&]*`)
)

const redacted = "[redacted]"

// redactNamed takes the values of secret parameters out of a query or a body, be it JSON,
// nearly JSON or a form.
func redactNamed(text string) string {
	if !strings.Contains(text, "secret") && !strings.Contains(text, "access_token") {
		return text
	}
	text = secretJSON.ReplaceAllString(text, `$1"`+redacted+`"`)
	return secretQuery.ReplaceAllString(text, "${1}${2}"+redacted)
}

const minSecret = 6 // bytes; a shorter text may stand anywhere by chance

// redactor replaces secrets by value, wherever they stand: the AppSecret, the tokens,
// the callback's keys, and what the request sent in their place. The caller holds mu.
func (s *Server) redactor(c *apiRequest) *strings.Replacer {
	var pairs []string
	add := func(value string) {
		if len(value) >= minSecret {
			pairs = append(pairs, value, redacted)
		}
	}

	add(s.st.AppSecret)
	add(s.st.Callback.EncodingAESKey)
	if value := s.st.Callback.Token; len(value) >= minMasked { // a shorter one may be any word
		add(value)
	}
	for value := range s.tokens {
		add(value)
	}
	for value := range s.oauthTokens {
		add(value)
	}
	add(c.query.Get("access_token"))
	add(c.query.Get("secret"))
	return strings.NewReplacer(pairs...)
}

func (s *Server) record(r *http.Request, c *apiRequest, began time.Time, resp response) {
	received := string(resp.body)
	if strings.HasPrefix(resp.header.Get("Content-Type"), "image/") {
		received = ""
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	byValue := s.redactor(c)
	redact := func(text string) string { return byValue.Replace(redactNamed(text)) }
	sent, received := redact(string(c.body)), redact(received)
	entry := RecordedRequest{
		Order: s.nextOrder(), Time: c.now, Duration: time.Since(began),
		Method: r.Method, Path: redact(r.URL.Path), Query: redact(r.URL.RawQuery),
		Body: sent[:min(len(sent), keptBody)], Response: received[:min(len(received), keptBody)],
		Status: resp.status, Code: resp.code, RID: resp.rid, IP: c.ip,
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
