package wechatqrtest

import (
	"encoding/json"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"
)

// Handle serves the requests for path with fn, in place of what the Server has there: an
// API that it lacks, or a response of your own. An access_token is checked before fn, if
// the request has one, and faults and the record of requests apply as everywhere. fn may
// be called concurrently; a nil fn restores the Server's own.
func (s *Server) Handle(path string, fn http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if fn == nil {
		delete(s.handlers, path)
		return
	}
	s.handlers[path] = fn
}

// serveHandled responds with what the function of Handle wrote.
func (s *Server) serveHandled(fn http.HandlerFunc, r *http.Request, c *apiRequest) *response {
	if c.query.Has("access_token") {
		s.mu.Lock()
		ref := s.checkToken(c.query.Get("access_token"), true, c.now)
		s.mu.Unlock()
		if ref != nil {
			return ref.response(c)
		}
	}

	r = r.Clone(r.Context())
	r.Body = io.NopCloser(strings.NewReader(string(c.body)))
	rec := httptest.NewRecorder()
	fn(rec, r)
	return handledResponse(rec.Result(), rec.Body.Bytes())
}

func handledResponse(result *http.Response, body []byte) *response {
	var e errorResponse
	_ = json.Unmarshal(body, &e) // a response without errcode has none to record
	return &response{status: result.StatusCode, header: result.Header, body: body, code: e.ErrCode}
}

// Backends call the following before or beside the API of parametric codes. The Server
// checks the token and the form of the request and gives a plausible response; of all
// that it keeps the menu alone.

// createMenu is POST /cgi-bin/menu/create.
func (s *Server) createMenu(c *apiRequest) (any, *apiError) {
	var in struct {
		Button []json.RawMessage `json:"button"`
	}
	if r := c.decode(&in); r != nil {
		return nil, r
	}
	if len(in.Button) < 1 || len(in.Button) > 3 {
		return nil, refuse(40016, "")
	}
	s.st.Menu = json.RawMessage(c.body)
	return errorResponse{0, "ok"}, nil
}

// getMenu is GET /cgi-bin/menu/get.
func (s *Server) getMenu(*apiRequest) (any, *apiError) {
	if s.st.Menu == nil {
		return nil, refuse(46003, "")
	}
	return map[string]any{"menu": s.st.Menu}, nil
}

// deleteMenu is GET /cgi-bin/menu/delete.
func (s *Server) deleteMenu(*apiRequest) (any, *apiError) {
	s.st.Menu = nil
	return errorResponse{0, "ok"}, nil
}

type templateResponse struct {
	errorResponse
	MsgID json.Number `json:"msgid"`
}

// sendTemplate is POST /cgi-bin/message/template/send.
func (s *Server) sendTemplate(c *apiRequest) (any, *apiError) {
	var in struct {
		ToUser     string         `json:"touser"`
		TemplateID string         `json:"template_id"`
		Data       map[string]any `json:"data"`
	}
	if r := c.decode(&in); r != nil {
		return nil, r
	}
	u, ok := s.users[in.ToUser]
	switch {
	case !ok:
		return nil, refuse(40003, "")
	case in.TemplateID == "":
		return nil, refuse(40037, "")
	case in.Data == nil:
		return nil, refuse(47001, "data is missing")
	case !u.Follows:
		return nil, refuse(43004, "")
	}
	return templateResponse{errorResponse{0, "ok"}, json.Number(digits(17))}, nil
}

type mediaResponse struct {
	Type      string `json:"type"`
	MediaID   string `json:"media_id"`
	CreatedAt int64  `json:"created_at"`
}

// uploadMedia is POST /cgi-bin/media/upload.
func (s *Server) uploadMedia(c *apiRequest) (any, *apiError) {
	kind := c.query.Get("type")
	switch kind {
	case "image", "voice", "video", "thumb":
	default:
		return nil, refuse(40004, "")
	}
	if !hasFile(c.contentType, c.body, "media") {
		return nil, refuse(41005, "")
	}
	return mediaResponse{kind, random(64), c.now.Unix()}, nil
}

// hasFile reports whether a multipart form has a file that is not empty.
func hasFile(mediaType string, body []byte, name string) bool {
	_, params, err := mime.ParseMediaType(mediaType)
	if err != nil {
		return false
	}
	form := multipart.NewReader(strings.NewReader(string(body)), params["boundary"])
	for {
		part, err := form.NextPart()
		if err != nil {
			return false
		}
		data, err := io.ReadAll(part)
		if err == nil && part.FormName() == name && part.FileName() != "" && len(data) > 0 {
			return true
		}
	}
}

type ticketResponse struct {
	errorResponse
	Ticket    string `json:"ticket"`
	ExpiresIn int64  `json:"expires_in"`
}

// getJSTicket is GET /cgi-bin/ticket/getticket.
func (s *Server) getJSTicket(c *apiRequest) (any, *apiError) {
	if kind := c.query.Get("type"); kind != "jsapi" && kind != "wx_card" {
		return nil, refuse(40097, "type is jsapi or wx_card")
	}
	return ticketResponse{errorResponse{0, "ok"}, random(86), int64(tokenTTL / time.Second)}, nil
}

type oauthResponse struct {
	AccessToken  string `json:"access_token"`
	ExpiresIn    int64  `json:"expires_in"`
	RefreshToken string `json:"refresh_token"`
	OpenID       string `json:"openid"`
	Scope        string `json:"scope"`
}

// oauthToken is GET /sns/oauth2/access_token. As on WeChat a code is good for once. Whoever it stands
// for is new: map a code to a person of yours with Handle.
func (s *Server) oauthToken(c *apiRequest) (any, *apiError) {
	q := c.query
	if r := s.checkSecret(q.Get("appid"), q.Get("secret")); r != nil {
		return nil, r
	}
	code := q.Get("code")
	switch {
	case q.Get("grant_type") != "authorization_code":
		return nil, refuse(40002, "")
	case code == "":
		return nil, refuse(41008, "")
	case s.oauthCodes[code]:
		return nil, refuse(40163, "")
	}
	s.oauthCodes[code] = true
	access := "98_" + random(85)
	openID := s.user("").OpenID
	s.oauthTokens[access] = openID
	return oauthResponse{
		access, int64(tokenTTL / time.Second), "98_" + random(85), openID, "snsapi_userinfo",
	}, nil
}

// oauthUser is GET /sns/userinfo.
func (s *Server) oauthUser(c *apiRequest) (any, *apiError) {
	openID, ok := s.oauthTokens[c.query.Get("access_token")]
	switch {
	case !ok:
		return nil, refuse(40001, "")
	case openID != c.query.Get("openid"):
		return nil, refuse(40003, "")
	}
	return map[string]any{
		"openid": openID, "nickname": "", "sex": 0, "province": "", "city": "", "country": "",
		"headimgurl": "", "privilege": []string{},
	}, nil
}
