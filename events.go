package wechatqr

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
	"time"
)

// EventType names what happened. WeChat has more types than the ones named
// here; an Event carries those as WeChat wrote them.
type EventType string

// The event types that concern parametric QR codes. Compare with [EventType.Is],
// or with == on an event from events.Parse, which spells these as here
// whatever the letter case of the push.
const (
	EventSubscribe   EventType = "subscribe"   // follows the account now, with or without a code
	EventUnsubscribe EventType = "unsubscribe" // follows no longer; WeChat asks for the user's data to be deleted
	EventScan        EventType = "SCAN"        // follows already and scanned a code
)

var scanTypes = [...]EventType{EventScan, EventSubscribe, EventUnsubscribe}

// Is reports whether both name the same event, whatever their letter case.
func (t EventType) Is(other EventType) bool { return strings.EqualFold(string(t), string(other)) }

// Canonical returns the type as the constants above spell it, and one that is
// none of them as it is.
func (t EventType) Canonical() EventType {
	for _, known := range scanTypes {
		if t.Is(known) {
			return known
		}
	}
	return t
}

// Event is one push of WeChat: an event or an ordinary message. Package
// events makes it from what arrives; an Event by itself proves nothing about
// who sent it.
//
// WeChat's page: https://developers.weixin.qq.com/doc/offiaccount/Message_Management/Receiving_event_pushes.html
type Event struct {
	ToUserName   string    // the account's original id, gh_…
	FromUserName string    // the user's openid
	CreateTime   time.Time // whole seconds
	MsgType      string    // "event", or "text", "image", … for a message
	Type         EventType // empty unless MsgType is "event"
	EventKey     string    // as WeChat sent it, the qrscene_ mark included: Scan takes it off
	Ticket       string    // of the code that was scanned, else empty
	Content      string    // of a text message, else empty
	MsgID        string    // digits; events of this library's concern have none

	// Raw is the whole message as XML or JSON, decrypted, for the elements that
	// have no field here. It shares memory with what was parsed: do not change it.
	Raw []byte
}

// qrscene is what WeChat puts before the scene on subscribe, and only there.
const qrscene = "qrscene_"

// Scan is somebody scanning a parametric code, in one shape for new followers
// and existing ones.
type Scan struct {
	SceneKey    string // what the code carries, Scene.Key of the code's scene
	OpenID      string // who scanned
	Ticket      string // of the code
	NewFollower bool   // the scan made them a follower, perhaps again; false: they were one already
	Time        time.Time
}

// Scan returns the scan that the event tells of, and false if it is anything
// else: a follow without a code, after a payment (last_trade_no_…) or by a
// product's bar code, a message, a menu click.
//
// A number and its decimal text are the same here: WeChat reports SceneID(7)
// and SceneString("7") alike. A scan of "0" is most likely of a code that was
// made with a malformed request elsewhere.
func (e *Event) Scan() (Scan, bool) {
	key, newFollower, scanned := e.EventKey, e.Type.Is(EventSubscribe), e.Type.Is(EventScan)
	if newFollower {
		// The mark comes off once: a scene may itself begin with it.
		key, scanned = strings.CutPrefix(key, qrscene)
	}
	if e.MsgType != "event" || !scanned || key == "" {
		return Scan{}, false
	}
	return Scan{key, e.FromUserName, e.Ticket, newFollower, e.CreateTime}, true
}

// Matches reports whether the event is a scan of a code with this scene.
// The zero Scene matches nothing.
func (e *Event) Matches(scene Scene) bool {
	scan, ok := e.Scan()
	return ok && scan.SceneKey == scene.Key()
}

// ID returns the same text for every delivery of one push, so that a push which
// WeChat delivers several times can be handled once. A message is identified by
// its MsgID; an event has none, and WeChat's own rule of user and second takes
// two codes scanned in one second for one, so the event's type, key and ticket
// belong to it too. What else may tell two events of other types apart is in
// Raw, of which their ID has a checksum.
//
// The text is plain and holds the openid and the scene: see [Event.KeyedID].
func (e *Event) ID() string {
	if e.MsgType != "event" && e.MsgID != "" {
		return e.ToUserName + "|" + e.MsgID
	}
	kind := e.MsgType
	if e.Type != "" {
		kind = strings.ToLower(string(e.Type))
	}
	if e.MsgType == "event" && len(e.Raw) > 0 && !slices.Contains(scanTypes[:], e.Type.Canonical()) {
		h := fnv.New64a()
		_, _ = h.Write(e.Raw)
		kind += "#" + strconv.FormatUint(h.Sum64(), 16)
	}
	// The key comes last: it alone may hold the separator.
	return e.ToUserName + "|" + e.FromUserName + "|" + strconv.FormatInt(e.CreateTime.Unix(), 10) +
		"|" + kind + "|" + e.MsgID + "|" + e.Ticket + "|" + e.EventKey
}

// KeyedID is the HMAC-SHA-256 of ID under key, as 64 hex digits: what to keep in
// a database, as the unique key of an effect that must happen once. It tells
// nobody without the key whose push it was, so it may stay when the user's data
// is deleted. key has 16 bytes at the least, random and not kept in that
// database; otherwise the error is [ErrInvalidArgument].
func (e *Event) KeyedID(key []byte) (string, error) {
	if len(key) < 16 {
		return "", invalid("event ID", fmt.Errorf("the key has %d bytes: use 16 random ones at the least", len(key)))
	}
	mac := hmac.New(sha256.New, key)
	_, _ = mac.Write([]byte(e.ID()))
	return hex.EncodeToString(mac.Sum(nil)), nil
}
