package wechatqrtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/wechatqr/wechatqr"
)

// ErrFollowing means that the user follows the account already.
var ErrFollowing = errors.New("wechatqrtest: the user follows the account already")

// sceneMemory is how long after a scan a follow still has its scene: it was seen after four
// minutes, and not after five.
const sceneMemory = 5 * time.Minute

// ScanScene is Scan of the newest code with this scene. If there is none, the error is
// ErrUnknownTicket.
func (s *Server) ScanScene(ctx context.Context, scene wechatqr.Scene, openID string) (Push, error) {
	ticket := ""
	s.mu.Lock()
	for _, c := range slices.Backward(s.st.Codes) {
		if c.Scene() == scene.Key() {
			ticket = c.Ticket
			break
		}
	}
	s.mu.Unlock()
	return s.Scan(ctx, ticket, openID)
}

// ScanAndFollow has a user who does not follow scan the code, look at the account, and
// follow it only after that time, and pushes the event. After five minutes or more
// WeChat has forgotten the scene: the EventKey is empty, there is no ticket, and user/info
// says ADD_SCENE_QR_CODE without a scene. The Server's clock does not move, and a scan
// without a follow pushes nothing. The errors are those of Scan and ErrFollowing.
func (s *Server) ScanAndFollow(
	ctx context.Context, ticket, openID string, after time.Duration,
) (Push, error) {
	if u, ok := s.User(openID); ok && u.Follows {
		return Push{}, ErrFollowing
	}
	ev, err := s.ScanEvent(ticket, openID)
	if err != nil {
		return Push{}, err
	}
	if after >= sceneMemory {
		ev = s.forgetScene(ev)
	}
	return s.Push(ctx, ev)
}

// forgetScene takes the scene out of a follow.
func (s *Server) forgetScene(ev wechatqr.Event) wechatqr.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.user(ev.FromUserName)
	u.SceneID, u.SceneStr = 0, ""
	ev.EventKey, ev.Ticket, ev.Raw = "", "", nil
	complete(&ev, s.st.Account, s.nextEventTime)
	return ev
}

const menuClick = wechatqr.EventType("CLICK")

// ClickMenu has the user click the menu's button with this key and pushes the event. The
// errors are those of Push and ErrNotFollowing.
func (s *Server) ClickMenu(ctx context.Context, openID, key string) (Push, error) {
	s.mu.Lock()
	u, ok := s.users[openID]
	if !ok || !u.Follows {
		s.mu.Unlock()
		return Push{}, ErrNotFollowing
	}
	ev := s.emit(u, wechatqr.Event{Type: menuClick, EventKey: key})
	s.mu.Unlock()
	return s.Push(ctx, ev)
}

// Revocation is what a user asks WeChat for about their data (授权用户资料变更).
type Revocation string

// The kinds of Revocation, by the names of their events.
const (
	RevocationModified  Revocation = "user_info_modified"              // the user's data have changed
	RevocationRevoked   Revocation = "user_authorization_revoke"       // the user takes a permission back
	RevocationCancelled Revocation = "user_authorization_cancellation" // the user's WeChat account is gone
)

// Revoke pushes the event. The user stands in its element OpenID: FromUserName is
// WeChat's sender, so a backend that deletes the data of FromUserName deletes the wrong
// ones. A backend may respond with "success" only. The errors are those of Push.
func (s *Server) Revoke(ctx context.Context, kind Revocation, openID string) (Push, error) {
	s.mu.Lock()
	account, appID := s.st.Account, s.st.AppID
	at := s.nextEventTime(exampleOpenID)
	s.mu.Unlock()

	var b strings.Builder
	b.WriteString("<xml>")
	cdata(&b, "ToUserName", account)
	cdata(&b, "FromUserName", exampleOpenID)
	fmt.Fprintf(&b, "\n<CreateTime>%d</CreateTime>", at.Unix())
	cdata(&b, "MsgType", "event")
	cdata(&b, "Event", string(kind))
	cdata(&b, "OpenID", openID)
	cdata(&b, "AppID", appID)
	if kind != RevocationCancelled {
		cdata(&b, "RevokeInfo", "1")
	}
	b.WriteString("\n</xml>")
	return s.Push(ctx, wechatqr.Event{
		Type: wechatqr.EventType(kind), CreateTime: at, Raw: []byte(b.String()),
	})
}

// hasChat reports whether what the callback replies to ev can be shown to anybody.
func hasChat(ev wechatqr.Event) bool {
	switch Revocation(ev.Type) {
	case RevocationModified, RevocationRevoked, RevocationCancelled:
		return false
	}
	return !ev.Type.Is(wechatqr.EventUnsubscribe) // the chat is gone with the subscription
}
