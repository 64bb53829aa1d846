package wechatqrtest

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const maxBody = 1 << 20 // of a request; WeChat's limit is not documented

// route is one API.
type route struct {
	method   string
	token    bool // wants an access_token
	verified bool // only for a verified account
	run      func(*Server, *call) (any, *refusal)
}

func apiRoutes() map[string]route {
	get, post := http.MethodGet, http.MethodPost
	return map[string]route{
		"/cgi-bin/token":               {method: get, run: (*Server).classicToken},
		"/cgi-bin/stable_token":        {method: post, run: (*Server).stableToken},
		"/cgi-bin/qrcode/create":       {method: post, token: true, verified: true, run: (*Server).createCode},
		"/cgi-bin/user/info":           {method: get, token: true, verified: true, run: (*Server).userInfo},
		"/cgi-bin/user/info/batchget":  {method: post, token: true, verified: true, run: (*Server).userInfoBatch},
		"/cgi-bin/user/get":            {method: get, token: true, verified: true, run: (*Server).userGet},
		"/cgi-bin/message/custom/send": {method: post, token: true, verified: true, run: (*Server).sendMessage},
		"/cgi-bin/clear_quota":         {method: post, token: true, run: (*Server).clearQuota},
		"/cgi-bin/clear_quota/v2":      {method: post, run: (*Server).clearQuotaBySecret},
		"/cgi-bin/openapi/quota/get":   {method: post, token: true, run: (*Server).getQuota},
		"/cgi-bin/openapi/rid/get":     {method: post, token: true, run: (*Server).getRID},
		"/cgi-bin/getcallbackip":       {method: get, token: true, run: (*Server).addresses},
		"/cgi-bin/get_api_domain_ip":   {method: get, token: true, run: (*Server).addresses},
	}
}

type ipList struct {
	IPList []string `json:"ip_list"`
}

// addresses is GET /cgi-bin/getcallbackip and get_api_domain_ip.
func (s *Server) addresses(*call) (any, *refusal) { return ipList{[]string{"127.0.0.1"}}, nil }

const showPath = "/cgi-bin/showqrcode"

// call is one request on its way.
type call struct {
	now   time.Time // by the Server's clock
	query url.Values
	body  []byte
	ip    string
}

// refusal is an errcode, with what a person needs to know beside WeChat's text.
type refusal struct {
	code   int
	detail string
}

func refuse(code int, detail string) *refusal { return &refusal{code, detail} }

// message is the errmsg: WeChat's text, the detail and the rid.
func (r *refusal) message(c *call, rid string) string {
	text := errmsg(r.code)
	if r.code == 40164 {
		text = fmt.Sprintf("invalid ip %s ipv6 ::ffff:%[1]s, not in whitelist", c.ip)
	}
	if r.detail != "" {
		text += ", " + r.detail
	}
	return text + " rid: " + rid
}

// answer is what goes back.
type answer struct {
	status int
	header http.Header
	body   []byte
	code   int    // errcode
	rid    string // of an error
}

// ServeHTTP is the API and the picture host in one.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.enter() {
		http.Error(w, "wechatqrtest: the Server is closed", http.StatusServiceUnavailable)
		return
	}
	defer s.leave()
	began := time.Now()
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		var tooLarge *http.MaxBytesError
		if !errors.As(err, &tooLarge) {
			return // the client is gone
		}
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	}
	c := &call{query: parseQuery(r.URL.RawQuery), body: body, ip: r.RemoteAddr}
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		c.ip = host
	}
	f := s.fault(r)
	if !f.wait(r, s.life.Done()) {
		s.record(r, c, began, answer{})
		drop(w)
		return
	}
	a := f.answer(c)
	if a == nil {
		a = s.serve(r, c)
	}
	s.record(r, c, began, *a)
	f.send(w, r, a)
}

// serve answers as WeChat does.
func (s *Server) serve(r *http.Request, c *call) *answer {
	if r.URL.Path == showPath {
		return s.showCode(r, c)
	}
	s.mu.Lock()
	c.now = s.now()
	out, ref := s.dispatch(r, c)
	s.mu.Unlock()
	if ref != nil {
		return refused(ref, c)
	}
	a := jsonAnswer(out)
	if s.cloudHosting {
		a.header.Set("X-Openapi-Seqid", random(22))
	}
	return a
}

func (s *Server) dispatch(r *http.Request, c *call) (any, *refusal) {
	rt, ok := s.routes[r.URL.Path]
	if !ok {
		return nil, refuse(40066, "wechatqrtest has no "+r.URL.Path)
	}
	if r.Method != rt.method {
		if rt.method == http.MethodGet {
			return nil, refuse(43001, "")
		}
		return nil, refuse(43002, "")
	}
	if rt.token {
		if ref := s.checkToken(c.query.Get("access_token"), c.query.Has("access_token"), c.now); ref != nil {
			return nil, ref
		}
	}
	if rt.verified && s.unverified {
		return nil, refuse(48001, "")
	}
	if ref := s.count(r.URL.Path, c.now); ref != nil {
		return nil, ref
	}
	return rt.run(s, c)
}

// contentType is, letter for letter, WeChat's.
const contentType = "application/json; encoding=utf-8"

func jsonAnswer(v any) *answer {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // maps and structs of this package: cannot fail
	return &answer{
		status: http.StatusOK,
		header: http.Header{"Content-Type": {contentType}},
		body:   []byte(strings.TrimSuffix(b.String(), "\n")),
	}
}

type errorAnswer struct {
	ErrCode int    `json:"errcode"`
	ErrMsg  string `json:"errmsg"`
}

func refused(r *refusal, c *call) *answer {
	rid := newRID()
	a := jsonAnswer(errorAnswer{r.code, r.message(c, rid)})
	a.code, a.rid = r.code, rid
	return a
}

// newRID is three groups of eight hex digits, the first of them the time.
func newRID() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return fmt.Sprintf("%08x-%s-%s", uint32(time.Now().Unix()), hex.EncodeToString(b[:4]), hex.EncodeToString(b[4:]))
}

// parseQuery reads a query as url.ParseQuery does, except that a raw + stays a
// plus: clients in use send tickets unescaped.
func parseQuery(raw string) url.Values {
	v, _ := url.ParseQuery(strings.ReplaceAll(raw, "+", "%2B")) // the parts that are well-formed
	return v
}

// errmsg is WeChat's text for the codes it was seen to send.
func errmsg(code int) string {
	switch code {
	case -1:
		return "system error"
	case 0:
		return "ok"
	case 40001:
		return "invalid credential, access_token is invalid or not latest"
	case 40002:
		return "invalid grant_type"
	case 40003:
		return "invalid openid"
	case 40008:
		return "invalid message type"
	case 40013:
		return "invalid appid"
	case 40014:
		return "invalid access_token"
	case 40032:
		return "invalid openid list size"
	case 40033:
		return `invalid charset. please check your request, if include \uxxxx will create fail!`
	case 40052:
		return "invalid action name"
	case 40053:
		return "invalid action info"
	case 40066:
		return "invalid url"
	case 40125:
		return "invalid appsecret"
	case 40243:
		return "appsecret is frozen"
	case 41001:
		return "access_token missing"
	case 41002:
		return "appid missing"
	case 41004:
		return "appsecret missing"
	case 42001:
		return "access_token expired"
	case 43001:
		return "require GET method"
	case 43002:
		return "require POST method"
	case 43003:
		return "require https"
	case 44002:
		return "empty post data"
	case 44004:
		return "empty content"
	case 45009:
		return "reach max api daily quota limit"
	case 45011:
		return "api minute-quota reach limit, must slower, retry next minute"
	case 45015:
		return "response out of time limit or subscription is canceled"
	case 45029:
		return "qrcode count out of limit"
	case 47001:
		return "data format error"
	case 48001:
		return "api unauthorized"
	case 48004:
		return "api forbidden for irregularities"
	case 48006:
		return "forbid to clear quota because of reaching the limit"
	case 50002:
		return "user limited"
	case 76001:
		return "rid not found"
	case 76002:
		return "rid is empty or malformed"
	case 76003:
		return "no permission to query this rid"
	case 76004:
		return "rid is expired"
	case 76021:
		return "cgi_path not found, please check"
	}
	return "error " + strconv.Itoa(code)
}
