package wechatqrtest

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/wechatqr/wechatqr"
)

const (
	maxTTL         = 2_592_000 // seconds
	defaultTTL     = 60        // seconds
	maxPermanentID = 100_000
	maxSceneBytes  = 64
)

// QRCode is a parametric QR code that was created.
type QRCode struct {
	Ticket    string    `json:"ticket"`
	Content   string    `json:"url"`    // what the picture says
	Action    string    `json:"action"` // QR_SCENE, QR_STR_SCENE, QR_LIMIT_SCENE or QR_LIMIT_STR_SCENE
	SceneID   uint32    `json:"scene_id,omitempty"`
	SceneStr  string    `json:"scene_str,omitempty"`
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at,omitzero"` // zero for a permanent code
	Scans     int       `json:"scans,omitempty"`
}

// Scene is the text by which a scan reports the code's scene. It is "0" for a code
// created by a malformed request, see WithLenient.
func (c QRCode) Scene() string {
	if c.SceneStr != "" {
		return c.SceneStr
	}
	return strconv.FormatUint(uint64(c.SceneID), 10)
}

// Permanent reports whether the code never expires.
func (c QRCode) Permanent() bool { return c.ExpiresAt.IsZero() }

func (c QRCode) expired(now time.Time) bool { return !c.Permanent() && !now.Before(c.ExpiresAt) }

// QRCodes are the codes created so far, oldest first.
func (s *Server) QRCodes() []QRCode {
	s.mu.Lock()
	defer s.mu.Unlock()
	return copies(s.st.Codes)
}

// QRCode finds a code by its ticket.
func (s *Server) QRCode(ticket string) (QRCode, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.codes[ticket]
	if !ok {
		return QRCode{}, false
	}
	return *c, true
}

type createResponse struct {
	Ticket        string `json:"ticket"`
	ExpireSeconds int64  `json:"expire_seconds,omitempty"`
	URL           string `json:"url"`
}

// createCode is POST /cgi-bin/qrcode/create.
func (s *Server) createCode(c *apiRequest) (any, *apiError) {
	code, ttl, ref := s.readCreate(c.body)
	if ref != nil {
		return nil, ref
	}
	if ttl == 0 {
		if s.st.Permanent >= s.maxPermanent {
			return nil, refuse(45029, "")
		}
		s.st.Permanent++
	}
	s.addCode(code, ttl, c.now)
	return createResponse{code.Ticket, ttl, code.Content}, nil
}

// addCode completes and keeps a code. The caller holds mu.
func (s *Server) addCode(code *QRCode, ttl int64, now time.Time) {
	code.CreatedAt = now.Truncate(time.Second)
	if ttl > 0 {
		code.ExpiresAt = now.Add(time.Duration(ttl) * time.Second)
	}
	code.Content = s.contentPrefix + "02" + random(20)
	code.Ticket = newTicket(code.Content, code.CreatedAt, ttl)
	s.st.Codes = append(s.st.Codes, code)
	s.codes[code.Ticket] = code
	s.notify()
}

// CreateCode creates a code without a request to the API: no quota, fault or permanent
// limit applies. The error is that of req.Validate.
func (s *Server) CreateCode(req wechatqr.TicketRequest) (QRCode, error) {
	if err := req.Validate(); err != nil {
		return QRCode{}, err
	}
	code := &QRCode{Action: "QR_"}
	ttl := int64(req.TTL() / time.Second)
	if ttl == 0 {
		code.Action += "LIMIT_"
	}
	scene := req.Scene()
	if scene == wechatqr.SceneString(scene.Key()) {
		code.Action, code.SceneStr = code.Action+"STR_SCENE", scene.Key()
	} else {
		id, err := strconv.ParseUint(scene.Key(), 10, 32)
		if err != nil {
			return QRCode{}, fmt.Errorf("wechatqrtest: create code: %w", err)
		}
		code.Action, code.SceneID = code.Action+"SCENE", uint32(id)
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	if ttl == 0 {
		s.st.Permanent++
	}
	s.addCode(code, ttl, s.now())
	return *code, nil
}

// readCreate checks the body of qrcode/create. A ttl of 0 is a permanent code.
func (s *Server) readCreate(body []byte) (code *QRCode, ttl int64, ref *apiError) {
	if len(body) == 0 {
		return nil, 0, refuse(44002, "")
	}
	var in struct {
		ExpireSeconds json.RawMessage `json:"expire_seconds"`
		ActionName    string          `json:"action_name"`
		ActionInfo    struct {
			Scene *struct {
				ID  json.RawMessage `json:"scene_id"`
				Str json.RawMessage `json:"scene_str"`
			} `json:"scene"`
		} `json:"action_info"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		if strings.HasPrefix(strings.TrimSpace(string(body)), "{'") {
			return nil, 0, refuse(40052, "JSON strings take double quotes") // WeChat's errcode for it
		}
		return nil, 0, refuse(47001, err.Error())
	}

	code = &QRCode{Action: in.ActionName}
	var text bool
	switch in.ActionName {
	case "QR_SCENE", "QR_STR_SCENE":
		var why error
		if ttl, why = s.readTTL(in.ExpireSeconds); why != nil {
			return nil, 0, refuse(40053, why.Error())
		}
		text = in.ActionName == "QR_STR_SCENE"
	case "QR_LIMIT_SCENE", "QR_LIMIT_STR_SCENE":
		text = in.ActionName == "QR_LIMIT_STR_SCENE"
	default:
		return nil, 0, refuse(40052, fmt.Sprintf("action_name is %q", in.ActionName))
	}

	scene := in.ActionInfo.Scene
	if scene == nil {
		if s.lenient {
			return code, ttl, nil
		}
		return nil, 0, refuse(40053, "action_info.scene is missing")
	}

	other := scene.ID
	if text {
		code.SceneStr, ref = s.readSceneStr(scene.Str, ttl == 0)
	} else {
		code.SceneID, ref = s.readSceneID(scene.ID, ttl == 0)
		other = scene.Str
	}
	if ref == nil && !s.lenient && !isUnset(other) {
		ref = refuse(40053, "scene_id and scene_str were both sent")
	}
	return code, ttl, ref
}

func isUnset(v json.RawMessage) bool {
	t := string(v)
	return t == "" || t == "null" || t == "0" || t == `""`
}

func (s *Server) readTTL(v json.RawMessage) (int64, error) {
	if len(v) == 0 || string(v) == "null" {
		return defaultTTL, nil
	}
	n, err := s.number(v)
	switch {
	case s.lenient && (err != nil || n < 1):
		return defaultTTL, nil
	case s.lenient:
		return min(n, maxTTL), nil
	case err != nil:
		return 0, fmt.Errorf("expire_seconds: %w", err)
	case n < 1 || n > maxTTL:
		return 0, fmt.Errorf("expire_seconds is %d, not 1 to %d", n, maxTTL)
	}
	return n, nil
}

// number reads an integer, of a lenient Server also one in quotes. Out of int64's
// range it returns the nearest value and an error.
func (s *Server) number(v json.RawMessage) (int64, error) {
	t := string(v)
	if s.lenient {
		t = strings.Trim(t, `"`)
	}
	n, err := strconv.ParseInt(t, 10, 64)
	if err != nil {
		return n, fmt.Errorf("%s is not an integer", v)
	}
	return n, nil
}

func (s *Server) readSceneID(v json.RawMessage, permanent bool) (uint32, *apiError) {
	limit := int64(math.MaxUint32)
	if permanent {
		limit = maxPermanentID
	}
	n, err := s.number(v)
	switch {
	case s.lenient && (err != nil || n < 0):
		return 0, nil
	case s.lenient && !permanent:
		return uint32(min(n, limit)), nil
	case err != nil:
		return 0, refuse(40053, "scene_id: "+err.Error())
	case n < 1 && !s.lenient, n > limit:
		return 0, refuse(40053, fmt.Sprintf("scene_id is %d, not 1 to %d", n, limit))
	}
	return uint32(n), nil
}

func (s *Server) readSceneStr(v json.RawMessage, permanent bool) (string, *apiError) {
	raw := keepEscapes(string(v))
	if raw != string(v) && !s.lenient {
		return "", refuse(40033, "")
	}
	var str string
	if err := json.Unmarshal([]byte(raw), &str); err != nil && len(v) > 0 && !s.lenient {
		return "", refuse(40053, "scene_str is not a string")
	}
	switch {
	case len(str) > maxSceneBytes && (permanent || !s.lenient):
		return "", refuse(40053,
			fmt.Sprintf("scene_str has %d bytes, not at most %d", len(str), maxSceneBytes))
	case s.lenient:
		return str, nil
	case str == "":
		return "", refuse(40053, "scene_str is missing or empty")
	case !utf8.ValidString(raw), strings.ContainsFunc(str, unicode.IsControl),
		strings.ContainsAny(str, "\uFFFE\uFFFF"), strings.Contains(str, "]]>"):
		return "", refuse(40053, "scene_str has characters that a push cannot carry")
	}
	return str, nil
}

// keepEscapes escapes the backslash of each \u escape, so that decoding the JSON
// string keeps it: WeChat does not decode them, and a scan reports them as sent.
func keepEscapes(raw string) string {
	var b strings.Builder
	for i := 0; i < len(raw); i++ {
		b.WriteByte(raw[i])
		if raw[i] != '\\' || i+1 == len(raw) {
			continue
		}
		i++
		if raw[i] == 'u' {
			b.WriteByte('\\')
		}
		b.WriteByte(raw[i])
	}
	return b.String()
}

// newTicket has the layout of WeChat's tickets: two random bytes, the URL, the time
// of creation and the lifetime in seconds.
func newTicket(url string, created time.Time, ttl int64) string {
	b := make([]byte, 0, 96)
	b = append(b, 0x81, 0x01)
	var vary [2]byte
	_, _ = rand.Read(vary[:]) // never fails
	b = append(b, vary[:]...)
	b = append(b, 0x3c, 0, 0, 0, 0, 0, 0, 0, 0x01, byte(len(url)+1))
	b = append(b, url...)
	b = append(b, 0, 0x02, 0x04)
	b = binary.LittleEndian.AppendUint32(b, uint32(created.Unix()))
	b = append(b, 0x03, 0x04)
	b = binary.LittleEndian.AppendUint32(b, uint32(ttl))
	return base64.RawURLEncoding.EncodeToString(b)
}

// showCode is GET /cgi-bin/showqrcode.
func (s *Server) showCode(r *http.Request, c *apiRequest) *response {
	notFound := &response{
		status: http.StatusNotFound,
		header: http.Header{"Content-Type": {"text/html"}},
		body:   []byte("<html><head><title>404 Not Found</title></head><body>404 Not Found</body></html>\n"),
	}
	s.mu.Lock()
	c.now = s.now()
	code, ok := s.codes[c.query.Get("ticket")]
	if ok && !s.lenient && code.expired(c.now) {
		ok = false
	}
	s.mu.Unlock()
	if !ok || r.Method != http.MethodGet && r.Method != http.MethodHead {
		return notFound
	}
	data, err := s.pictures.get(code.Content)
	if err != nil {
		return notFound
	}
	return &response{
		status: http.StatusOK,
		header: http.Header{
			"Content-Type":  {"image/jpg"}, // WeChat's spelling
			"Accept-Ranges": {"bytes"},
			"Cache-Control": {"max-age=604800"},
			"Expires":       {c.now.Add(7 * 24 * time.Hour).UTC().Format(http.TimeFormat)},
		},
		body: data,
	}
}
