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

	"github.com/wechatqr/wechatqr"
)

const maxBody = 16 << 20 // bytes of a request; WeChat's limit is not documented

// route is one path of the API.
type route struct {
	method   string
	token    bool // requires an access_token
	verified bool // only for a verified account
	serve    func(*Server, *apiRequest) (any, *apiError)
}

func apiRoutes() map[string]route {
	get, post := http.MethodGet, http.MethodPost
	return map[string]route{
		"/cgi-bin/token":               {method: get, serve: (*Server).classicToken},
		"/cgi-bin/stable_token":        {method: post, serve: (*Server).stableToken},
		"/cgi-bin/qrcode/create":       {method: post, token: true, verified: true, serve: (*Server).createCode},
		"/cgi-bin/user/info":           {method: get, token: true, verified: true, serve: (*Server).userInfo},
		"/cgi-bin/user/info/batchget":  {method: post, token: true, verified: true, serve: (*Server).userInfoBatch},
		"/cgi-bin/user/get":            {method: get, token: true, verified: true, serve: (*Server).userGet},
		"/cgi-bin/message/custom/send": {method: post, token: true, verified: true, serve: (*Server).sendMessage},
		"/cgi-bin/clear_quota":         {method: post, token: true, serve: (*Server).clearQuota},
		"/cgi-bin/clear_quota/v2":      {method: post, serve: (*Server).clearQuotaBySecret},
		"/cgi-bin/openapi/quota/get":   {method: post, token: true, serve: (*Server).getQuota},
		"/cgi-bin/openapi/rid/get":     {method: post, token: true, serve: (*Server).getRID},
		"/cgi-bin/callback/check":      {method: post, token: true, serve: (*Server).checkCallback},
		"/cgi-bin/tags/get":            {method: get, token: true, verified: true, serve: (*Server).getTags},
		"/cgi-bin/tags/create":         {method: post, token: true, verified: true, serve: (*Server).createTag},
		"/cgi-bin/menu/create":         {method: post, token: true, verified: true, serve: (*Server).createMenu},
		"/cgi-bin/menu/get":            {method: get, token: true, verified: true, serve: (*Server).getMenu},
		"/cgi-bin/menu/delete":         {method: get, token: true, verified: true, serve: (*Server).deleteMenu},
		"/cgi-bin/media/upload":        {method: post, token: true, serve: (*Server).uploadMedia},
		"/cgi-bin/ticket/getticket":    {method: get, token: true, serve: (*Server).getJSTicket},
		"/sns/oauth2/access_token":     {method: get, verified: true, serve: (*Server).oauthToken},
		"/sns/userinfo":                {method: get, verified: true, serve: (*Server).oauthUser},
		"/cgi-bin/getcallbackip":       {method: get, token: true, serve: (*Server).addresses},
		"/cgi-bin/get_api_domain_ip":   {method: get, token: true, serve: (*Server).addresses},

		"/cgi-bin/message/template/send":       {method: post, token: true, verified: true, serve: (*Server).sendTemplate},
		"/cgi-bin/tags/members/batchtagging":   {method: post, token: true, verified: true, serve: (*Server).tagUsers},
		"/cgi-bin/tags/members/batchuntagging": {method: post, token: true, verified: true, serve: (*Server).untagUsers},
		"/datacube/getusersummary":             {method: post, token: true, verified: true, serve: (*Server).userSummary},
		"/datacube/getusercumulate":            {method: post, token: true, verified: true, serve: (*Server).userCumulate},
	}
}

type ipList struct {
	IPList []string `json:"ip_list"`
}

// addresses is GET /cgi-bin/getcallbackip and get_api_domain_ip.
func (s *Server) addresses(*apiRequest) (any, *apiError) { return ipList{[]string{"127.0.0.1"}}, nil }

const showPath = "/cgi-bin/showqrcode"

// apiRequest is a request whose body was read.
type apiRequest struct {
	now   time.Time // by the Server's clock
	query url.Values
	body  []byte
	ip    string

	contentType string
}

// apiError is an errcode and a detail that is appended to WeChat's errmsg.
type apiError struct {
	code   wechatqr.ErrorCode
	detail string
}

func refuse(code wechatqr.ErrorCode, detail string) *apiError { return &apiError{code, detail} }

// message is the errmsg: WeChat's text, the detail and the request ID.
func (r *apiError) message(c *apiRequest, rid string) string {
	text := errmsg(r.code)
	if r.code == 40164 {
		text = fmt.Sprintf("invalid ip %s ipv6 ::ffff:%[1]s, not in whitelist", c.ip)
	}
	if r.detail != "" {
		text += ", " + r.detail
	}
	return text + " rid: " + rid
}

type response struct {
	status int
	header http.Header
	body   []byte
	code   wechatqr.ErrorCode
	rid    string // of an error
}

// ServeHTTP serves the API and the picture host.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.acquire() {
		http.Error(w, "wechatqrtest: the Server is closed", http.StatusServiceUnavailable)
		return
	}
	defer s.release()
	if r.Method == http.MethodConnect {
		http.Error(w, "wechatqrtest: the Server is not a proxy", http.StatusMethodNotAllowed)
		return
	}

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

	c := &apiRequest{
		query: parseQuery(r.URL.RawQuery), body: body, ip: r.RemoteAddr,
		contentType: r.Header.Get("Content-Type"),
	}
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		c.ip = host
	}

	f := s.takeFault(r, c.query.Get("access_token"))
	if !f.wait(r, s.ctx.Done()) {
		s.record(r, c, began, response{})
		drop(w)
		return
	}

	resp := f.response(c)
	if resp == nil {
		resp = s.serve(r, c)
	}
	s.record(r, c, began, *resp)
	f.write(w, r, resp)
}

func (s *Server) serve(r *http.Request, c *apiRequest) *response {
	s.mu.Lock()
	c.now = s.now()
	fn, handled := s.handlers[r.URL.Path]
	s.mu.Unlock()
	if handled {
		return s.serveHandled(fn, r, c)
	}
	if r.URL.Path == showPath {
		return s.showCode(r, c)
	}

	s.mu.Lock()
	c.now = s.now()
	out, ref := s.dispatch(r, c)
	s.mu.Unlock()

	if ref != nil {
		return ref.response(c)
	}
	resp := jsonResponse(out)
	if s.cloudHosting {
		resp.header.Set("X-Openapi-Seqid", random(22))
	}
	return resp
}

func (s *Server) dispatch(r *http.Request, c *apiRequest) (any, *apiError) {
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
	return rt.serve(s, c)
}

// contentType is what WeChat sends, byte for byte.
const contentType = "application/json; encoding=utf-8"

func jsonResponse(v any) *response {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // maps and structs of this package: cannot fail
	return &response{
		status: http.StatusOK,
		header: http.Header{"Content-Type": {contentType}},
		body:   []byte(strings.TrimSuffix(b.String(), "\n")),
	}
}

type errorResponse struct {
	ErrCode wechatqr.ErrorCode `json:"errcode"`
	ErrMsg  string             `json:"errmsg"`
}

func (r *apiError) response(c *apiRequest) *response {
	rid := newRID()
	resp := jsonResponse(errorResponse{r.code, r.message(c, rid)})
	resp.code, resp.rid = r.code, rid
	return resp
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

const stableTokenHint = "could get access_token by getStableAccessToken, " +
	"more details at https://mmbizurl.cn/s/JtxxFh33r"

// errmsg is WeChat's text for the codes it was seen to send.
func errmsg(code wechatqr.ErrorCode) string {
	switch code {
	case -1:
		return "system error"
	case 0:
		return "ok"
	case 40001:
		return "invalid credential, access_token is invalid or not latest, " + stableTokenHint
	case 40002:
		return "invalid grant_type"
	case 40003:
		return "invalid openid"
	case 40004:
		return "invalid media type"
	case 40008:
		return "invalid message type"
	case 40013:
		return "invalid appid"
	case 40014:
		return "invalid access_token"
	case 40016:
		return "invalid button size"
	case 40032:
		return "invalid openid list size"
	case 40033:
		return `invalid charset. please check your request, if include \uxxxx will create fail!`
	case 40037:
		return "invalid template_id"
	case 40052:
		return "invalid action name"
	case 40053:
		return "invalid action info"
	case 40066:
		return "invalid url"
	case 40097:
		return "invalid args"
	case 40125:
		return "invalid appsecret"
	case 40163:
		return "code been used"
	case 40243:
		return "appsecret is frozen"
	case 41001:
		return "access_token missing"
	case 41002:
		return "appid missing"
	case 41004:
		return "appsecret missing"
	case 41005:
		return "media data missing"
	case 41008:
		return "missing code"
	case 42001:
		return "access_token expired"
	case 40202:
		return "invalid check action"
	case 40203:
		return "invalid check operator"
	case 40201:
		return "callback url is empty"
	case 43001:
		return "require GET method"
	case 43002:
		return "require POST method"
	case 43003:
		return "require https"
	case 43004:
		return "require subscribe"
	case 44002:
		return "empty post data"
	case 44004:
		return "empty content"
	case 45002:
		return "content size out of limit"
	case 45009:
		return "reach max api daily quota limit"
	case 45011:
		return "api minute-quota reach limit, must slower, retry next minute"
	case 45015:
		return "response out of time limit or subscription is canceled"
	case 45029:
		return "qrcode count out of limit"
	case 45047:
		return "out of response count limit"
	case 45056:
		return "too many tags now, please delete some"
	case 45059:
		return "has reached the limit of one user's tags"
	case 45157:
		return "invalid tag name"
	case 45158:
		return "tag name too long"
	case 45159:
		return "invalid tag id"
	case 46003:
		return "menu no exist"
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
	case 61500:
		return "date format error"
	case 61501:
		return "date range error"
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
	return "error " + strconv.Itoa(int(code))
}
