package wechatqr

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// WeChat's limits, all checked before a request is made.
const (
	MaxTTL         = 30 * 24 * time.Hour // the longest life of a temporary code
	MinTTL         = time.Second         // the shortest; WeChat documents none
	MaxPermanentID = 100_000             // the largest number a permanent code can carry
	MaxSceneBytes  = 64                  // the longest text scene, in bytes of UTF-8
)

// Scene is what a code carries and what WeChat reports when it is scanned: a
// number or a short text. The zero Scene is none and makes no code. Scenes
// compare with ==, and travel through JSON as {"scene_id":7} or {"scene_str":"shop-7"}.
type Scene struct {
	id  uint32
	str string
}

// SceneID is a number from 1 to 4294967295 on a temporary code, from 1 to
// [MaxPermanentID] on a permanent one.
func SceneID(id uint32) Scene { return Scene{id: id} }

// SceneString is a text of 1 to [MaxSceneBytes] bytes of UTF-8 (a Chinese
// character takes three) without control characters, U+2028, U+2029, U+FFFE,
// U+FFFF or "]]>", which no push could report. Keep to letters, digits, _ and -
// where you can: WeChat does not say which other characters it preserves.
//
// Treat a scene as public: it must hold no secret, and whoever shows the code
// need not be the one it was made for.
func SceneString(s string) Scene { return Scene{str: s} }

// Key is the text by which WeChat reports a scan: the number in decimal, or
// the text itself. It is what [Scan.SceneKey] holds.
func (s Scene) Key() string {
	if s.id != 0 {
		return strconv.FormatUint(uint64(s.id), 10)
	}
	return s.str
}

// String is Key.
func (s Scene) String() string { return s.Key() }

// sceneJSON is a Scene as WeChat's API writes it.
type sceneJSON struct {
	ID  uint32 `json:"scene_id,omitempty"`
	Str string `json:"scene_str,omitempty"`
}

// MarshalJSON writes {"scene_id":7} or {"scene_str":"shop-7"}, and {} for the zero Scene.
func (s Scene) MarshalJSON() ([]byte, error) { return marshal(sceneJSON{s.id, s.str}) }

// UnmarshalJSON reads what MarshalJSON writes. It checks the form, not WeChat's limits.
func (s *Scene) UnmarshalJSON(b []byte) error {
	var v sceneJSON
	if err := json.Unmarshal(b, &v); err != nil {
		return err
	}
	if v.ID != 0 && v.Str != "" {
		return errors.New("wechatqr: a scene has scene_id or scene_str, not both")
	}
	*s = Scene{v.ID, v.Str}
	return nil
}

// check says what WeChat would not take, or would take and mangle.
func (s Scene) check(permanent bool) error {
	switch {
	case s == Scene{}:
		return errors.New("the scene is empty: use SceneID with 1 to 4294967295 or SceneString with 1 to 64 bytes")
	case s.id > MaxPermanentID && permanent:
		return fmt.Errorf("scene id %d is too large for a permanent code: use at most %d, a SceneString, or a Temporary code", s.id, MaxPermanentID)
	case len(s.str) > MaxSceneBytes:
		return fmt.Errorf("the scene has %d bytes, WeChat takes %d: store the details yourself and carry a key to them", len(s.str), MaxSceneBytes)
	case !utf8.ValidString(s.str):
		return errors.New("the scene is not valid UTF-8")
	case strings.Contains(s.str, "]]>"):
		return errors.New(`the scene contains "]]>", which would break the XML that reports a scan`)
	}
	for _, r := range s.str {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || r == '\uFFFE' || r == '\uFFFF' {
			return fmt.Errorf("the scene contains the character %U, which WeChat would not report as it is", r)
		}
	}
	return nil
}

// TicketRequest says which code to make. [Temporary] and [Permanent] make one.
type TicketRequest struct {
	scene     Scene
	ttl       time.Duration
	permanent bool
}

// Temporary is a code for screens: it lives for ttl, [MinTTL] to [MaxTTL] in
// whole seconds, and there may be any number of them. Do not print it: a code
// that has expired cannot be extended.
func Temporary(scene Scene, ttl time.Duration) TicketRequest {
	return TicketRequest{scene: scene, ttl: ttl}
}

// Permanent is a code for print. It never expires and cannot be deleted, and
// an account has 100000 of them in all: keep the Ticket and use it again.
func Permanent(scene Scene) TicketRequest {
	return TicketRequest{scene: scene, permanent: true}
}

// Scene returns what the code is to carry.
func (r TicketRequest) Scene() Scene { return r.scene }

// TTL returns the life of a temporary code, 0 for a permanent one.
func (r TicketRequest) TTL() time.Duration { return r.ttl }

// Validate says what would keep CreateTicket from sending the request:
// [ErrInvalidArgument], and [ErrInvalidScene] too if it is the scene. It does no I/O.
func (r TicketRequest) Validate() error {
	if err := r.check(); err != nil {
		return invalid("ticket request", err)
	}
	return nil
}

// sceneError is ErrInvalidScene, which its text need not repeat.
type sceneError struct{ error }

func (sceneError) Is(target error) bool { return target == ErrInvalidScene }

func (r TicketRequest) check() error {
	if err := r.scene.check(r.permanent); err != nil {
		return sceneError{err}
	}
	switch {
	case r.permanent:
		return nil
	case r.ttl < MinTTL:
		return fmt.Errorf("a temporary code lives from 1 s to 30 days, not %v: write 300*time.Second for 300 seconds", r.ttl)
	case r.ttl > MaxTTL:
		return fmt.Errorf("a temporary code lives from 1 s to 30 days, not %v", r.ttl)
	case r.ttl%time.Second != 0:
		return fmt.Errorf("a temporary code lives for whole seconds, not %v", r.ttl)
	}
	return nil
}

// body is the request as WeChat documents it, to the byte. Text goes out as
// raw UTF-8: WeChat does not decode \u escapes in scene_str, and encoding/json
// cannot be kept from writing some.
func (r TicketRequest) body() []byte {
	b := append(make([]byte, 0, 160), '{') // enough for most: no other allocation
	limit := "LIMIT_"
	if !r.permanent {
		b = strconv.AppendInt(append(b, `"expire_seconds": `...), int64(r.ttl/time.Second), 10)
		b, limit = append(b, ", "...), ""
	}
	b = append(append(b, `"action_name": "QR_`...), limit...)
	if r.scene.id != 0 {
		b = append(b, `SCENE", "action_info": {"scene": {"scene_id": `...)
		b = strconv.AppendUint(b, uint64(r.scene.id), 10)
	} else {
		text := strings.ReplaceAll(strings.ReplaceAll(r.scene.str, `\`, `\\`), `"`, `\"`)
		b = append(b, `STR_SCENE", "action_info": {"scene": {"scene_str": "`...)
		b = append(append(b, text...), '"')
	}
	return append(b, "}}}"...)
}

// Ticket is a code that was made. It survives JSON, so that it can be stored.
type Ticket struct {
	Value   string `json:"ticket"` // for FetchQRCode and QRCodeURL
	Content string `json:"url"`    // what the picture says, WeChat's "url"; draw it yourself, verbatim, if you like
	Scene   Scene  `json:"scene"`

	// ExpiresAt counts from the request by this machine's clock; zero for
	// a permanent code. WeChat was seen to report scans some time after it.
	ExpiresAt time.Time `json:"expires_at,omitzero"`
}

// Permanent reports whether the code never expires.
func (t *Ticket) Permanent() bool { return t.ExpiresAt.IsZero() }

// Expired reports whether the code's life has passed at the time now.
func (t *Ticket) Expired(now time.Time) bool { return !t.Permanent() && !now.Before(t.ExpiresAt) }

// CreateTicket makes a code.
//
// Errors: [ErrInvalidArgument] before any request as [TicketRequest.Validate] has
// it; then every kind of [Error], and as they are those of the network, of ctx
// and of a [TokenSource]. [ErrPermanentLimit] says that the account's permanent
// codes are used up.
//
// A permanent creation that may have arrived and had no response is repeated
// once, with the same scene, which takes at most one more of the account's 100000
// codes. If that has no response either, the error is [ErrOutcomeUnknown].
//
// WeChat's page: https://developers.weixin.qq.com/doc/service/api/qrcode/qrcodes/api_createqrcode
func (c *Client) CreateTicket(ctx context.Context, req TicketRequest) (*Ticket, error) {
	const op = "create ticket"
	if err := req.check(); err != nil {
		return nil, invalid(op, err)
	}
	x := &apiRequest{op: op, method: http.MethodPost, path: "/cgi-bin/qrcode/create", body: req.body(), kind: idempotent}
	if req.permanent {
		x.kind = permanentCreation
	}
	made := &struct { // in one allocation
		ticket   Ticket
		response struct {
			Ticket string `json:"ticket"`
			URL    string `json:"url"`
		}
	}{}
	x.out = &made.response
	if err := c.call(ctx, x); err != nil {
		return nil, err
	}

	wrong := ""
	switch {
	case made.response.Ticket == "" || made.response.URL == "":
		wrong = "the response lacks ticket or url"
	case checkTicket(made.response.Ticket) != nil:
		wrong = "the response has a ticket that is none"
	}
	if wrong != "" {
		err := unexpected(op, http.StatusOK, wrong)
		if req.permanent {
			return nil, outcomeUnknown(x, err)
		}
		return nil, err
	}
	made.ticket = Ticket{Value: made.response.Ticket, Content: made.response.URL, Scene: req.scene}
	if !req.permanent {
		made.ticket.ExpiresAt = x.began.Add(req.ttl).Round(0)
	}
	return &made.ticket, nil
}

const showPath = "/cgi-bin/showqrcode"

// QRCodeURL is the address of the code's picture, for <img src>. It needs no
// token and reveals no secret, but whoever has it can show the code. ticket is
// Ticket.Value as it is: it is escaped here.
func (c *Client) QRCodeURL(ticket string) string {
	return c.sender.images.urls[0].String() + showPath + "?ticket=" + url.QueryEscape(ticket)
}

// checkTicket says what FetchQRCode does not take.
func checkTicket(ticket string) error {
	if strings.Contains(ticket, "://") {
		return errors.New("that is an address, perhaps Ticket.Content: pass Ticket.Value")
	}
	if ticket == "" || strings.ContainsFunc(ticket, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return fmt.Errorf("%q is no ticket: pass Ticket.Value, unescaped", clip(ticket))
	}
	return nil
}

// FetchQRCode gets the picture of a code, at most 4 MiB. It needs no token.
//
// Errors: [ErrTicketNotFound] if WeChat does not know the ticket,
// [ErrUnexpectedResponse] if what comes is no JPEG, PNG or GIF, and
// [ErrInvalidArgument] before any request if ticket is empty or no ticket at all.
//
// WeChat's page: https://developers.weixin.qq.com/doc/service/api/qrcode/qrcodes/api_createqrcode
func (c *Client) FetchQRCode(ctx context.Context, ticket string) (*QRCode, error) {
	const op = "fetch QR code"
	if err := checkTicket(ticket); err != nil {
		return nil, invalid(op, err)
	}
	x := &apiRequest{op: op, method: http.MethodGet, path: showPath, rawQuery: "ticket=" + url.QueryEscape(ticket), kind: idempotent}
	code := &QRCode{}
	x.accept = func(status int, response []byte) (outcome, error) { return code.accept(x, status, response) }
	if err := c.sender.send(ctx, x, c.sender.images, maxPictureBytes); err != nil {
		return nil, err
	}
	return code, nil
}
