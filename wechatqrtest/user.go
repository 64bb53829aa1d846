package wechatqrtest

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/wechatqr/wechatqr"
)

// User is a WeChat user in relation to the account.
type User struct {
	OpenID  string `json:"openid"`
	UnionID string `json:"unionid,omitempty"` // of an account that belongs to an open platform
	Follows bool   `json:"follows"`

	// Of the last follow, as user/info returns them.
	FollowedAt     time.Time `json:"followed_at,omitzero"`
	SubscribeScene string    `json:"subscribe_scene,omitempty"` // ADD_SCENE_QR_CODE, …
	SceneID        uint32    `json:"scene_id,omitempty"`
	SceneStr       string    `json:"scene_str,omitempty"`
	TagIDs         []int     `json:"tag_ids,omitempty"`

	// In which the account may send the user customer service messages; the first
	// ends first.
	MessageWindows []MessageWindow `json:"message_windows,omitempty"`
}

// Errors of the methods by which users act.
var (
	ErrUnknownTicket = errors.New("wechatqrtest: no code has this ticket")
	ErrExpired       = errors.New("wechatqrtest: the code has expired")
	ErrNotFollowing  = errors.New("wechatqrtest: the user does not follow the account")
)

// Users are all users that the Server knows, in the order in which they were added.
func (s *Server) Users() []User {
	s.mu.Lock()
	defer s.mu.Unlock()
	return copies(s.st.Users)
}

// User finds a user by openid.
func (s *Server) User(openID string) (User, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u, ok := s.users[openID]
	if !ok {
		return User{}, false
	}
	return *u, true
}

// PutUser adds u, or replaces the user with its OpenID, and pushes nothing. An
// empty OpenID becomes a random one; a zero FollowedAt of a follower becomes the
// current time. A follower without MessageWindows has the one of the follow. It
// returns u with all of that set.
func (s *Server) PutUser(u User) User {
	s.mu.Lock()
	defer s.mu.Unlock()

	known := s.user(u.OpenID)
	u.OpenID = known.OpenID
	if u.Follows && u.FollowedAt.IsZero() {
		u.FollowedAt = s.now().Truncate(time.Second)
	}
	if u.Follows && u.MessageWindows == nil {
		u.openMessageWindow(u.FollowedAt, actionWindow, actionMessages)
	}
	s.st.FollowCounts.change(known, &u, s.now())
	*known = u
	s.notify()
	return u
}

// eventTimes are the CreateTime of each user's last event, by openid. PutUser does
// not change them.
type eventTimes map[string]time.Time

// nextEventTime is the CreateTime of the user's next event: now by this machine's
// clock, and at least one second after the last one, since two events within a second may
// have the same ID. The caller holds mu.
func (s *Server) nextEventTime(openID string) time.Time {
	at := time.Now().Truncate(time.Second)
	if next := s.st.LastEventTimes[openID].Add(time.Second); at.Before(next) {
		at = next
	}
	s.st.LastEventTimes[openID] = at
	return at
}

// user returns the user with this openid and adds one if there is none. The caller
// holds mu.
func (s *Server) user(openID string) *User {
	if openID == "" {
		openID = "o6_bm" + random(23)
	}
	u, ok := s.users[openID]
	if !ok {
		u = &User{OpenID: openID}
		s.users[openID] = u
		s.st.Users = append(s.st.Users, u)
	}
	return u
}

// follow makes u a follower: by a scan of c, or by searching if c is nil. The
// caller holds mu.
func (s *Server) follow(u *User, c *QRCode, at time.Time) {
	now := User{OpenID: u.OpenID, UnionID: u.UnionID, Follows: true, FollowedAt: at, SubscribeScene: "ADD_SCENE_SEARCH"}
	if c != nil {
		now.SubscribeScene, now.SceneID, now.SceneStr = "ADD_SCENE_QR_CODE", c.SceneID, c.SceneStr
	}
	s.st.FollowCounts.change(u, &now, s.now())
	*u = now
}

// Scan has the user scan the code, follow the account if they do not yet, and
// pushes the event: subscribe with the prefix qrscene_ for a new follower, SCAN for
// an existing one. An unknown openid is a user who does not follow yet; an empty
// one is a new user with a random openid. Events of one user have CreateTimes at
// least one second apart, so that no two have the same ID and a backend takes none
// for a redelivery of another. The errors are those of Push, ErrUnknownTicket and,
// unless the Server is lenient, ErrExpired.
func (s *Server) Scan(ctx context.Context, ticket, openID string) (Push, error) {
	ev, err := s.ScanEvent(ticket, openID)
	if err != nil {
		return Push{}, err
	}
	return s.Push(ctx, ev)
}

// ScanEvent is Scan without the push. Pass the event to Push: later, more than once,
// or in another order than the scans.
func (s *Server) ScanEvent(ticket, openID string) (wechatqr.Event, error) {
	s.mu.Lock()
	defer s.mu.Unlock()

	now := s.now()
	c, ok := s.codes[ticket]
	if !ok {
		return wechatqr.Event{}, ErrUnknownTicket
	}
	if c.expired(now) && !s.lenient {
		return wechatqr.Event{}, ErrExpired
	}

	u := s.user(openID)
	ev := wechatqr.Event{
		Type: wechatqr.EventScan, EventKey: c.Scene(), Ticket: c.Ticket,
		CreateTime: s.nextEventTime(u.OpenID),
	}
	if !u.Follows {
		s.follow(u, c, ev.CreateTime.Add(s.st.Ahead))
		ev.Type, ev.EventKey = wechatqr.EventSubscribe, "qrscene_"+c.Scene()
	}
	c.Scans++
	return s.emit(u, ev), nil
}

// emit completes an event of u and opens the window for messages that it opens. The
// caller holds mu and passes the event to Push.
func (s *Server) emit(u *User, ev wechatqr.Event) wechatqr.Event {
	switch {
	case !u.Follows:
	case ev.MsgType == "text":
		u.openMessageWindow(s.now(), replyWindow, replyMessages)
	default:
		u.openMessageWindow(s.now(), actionWindow, actionMessages)
	}
	ev.FromUserName = u.OpenID
	complete(&ev, s.st.Account, s.nextEventTime)
	s.notify()
	return ev
}

// Follow has the user follow the account without a code, by searching, and pushes
// the event. openID is treated as in Scan. A follower follows again.
func (s *Server) Follow(ctx context.Context, openID string) (Push, error) {
	s.mu.Lock()
	u := s.user(openID)
	ev := wechatqr.Event{Type: wechatqr.EventSubscribe, CreateTime: s.nextEventTime(u.OpenID)}
	s.follow(u, nil, ev.CreateTime.Add(s.st.Ahead))
	ev = s.emit(u, ev)
	s.mu.Unlock()
	return s.Push(ctx, ev)
}

// Unfollow has the user unfollow the account and pushes the event. The errors are
// those of Push and ErrNotFollowing.
func (s *Server) Unfollow(ctx context.Context, openID string) (Push, error) {
	s.mu.Lock()
	u, ok := s.users[openID]
	if !ok || !u.Follows {
		s.mu.Unlock()
		return Push{}, ErrNotFollowing
	}
	gone := User{OpenID: openID, UnionID: u.UnionID}
	s.st.FollowCounts.change(u, &gone, s.now())
	*u = gone
	ev := s.emit(u, wechatqr.Event{Type: wechatqr.EventUnsubscribe})
	s.mu.Unlock()
	return s.Push(ctx, ev)
}

// SendText has the user send a text message to the account and pushes it. The
// errors are those of Push and ErrNotFollowing.
func (s *Server) SendText(ctx context.Context, openID, text string) (Push, error) {
	s.mu.Lock()
	u, ok := s.users[openID]
	if !ok || !u.Follows {
		s.mu.Unlock()
		return Push{}, ErrNotFollowing
	}
	ev := s.emit(u, wechatqr.Event{MsgType: "text", Content: text, MsgID: digits(17)})
	s.mu.Unlock()
	return s.Push(ctx, ev)
}

type userInfo struct {
	Subscribe      int    `json:"subscribe"`
	OpenID         string `json:"openid"`
	Language       string `json:"language"`
	SubscribeTime  int64  `json:"subscribe_time"`
	UnionID        string `json:"unionid,omitempty"`
	Remark         string `json:"remark"`
	GroupID        int    `json:"groupid"`
	TagIDs         []int  `json:"tagid_list"`
	SubscribeScene string `json:"subscribe_scene"`
	QRScene        uint32 `json:"qr_scene"`
	QRSceneStr     string `json:"qr_scene_str"`
}

// nonFollower is what user/info returns for a user who does not follow.
type nonFollower struct {
	Subscribe int    `json:"subscribe"`
	OpenID    string `json:"openid"`
}

func (s *Server) infoOf(openID string) (any, *apiError) {
	u, ok := s.users[openID]
	switch {
	case !ok:
		return nil, refuse(40003, "")
	case !u.Follows:
		return nonFollower{0, openID}, nil
	}
	return userInfo{
		Subscribe: 1, OpenID: openID, SubscribeTime: u.FollowedAt.Unix(),
		UnionID: u.UnionID, TagIDs: append([]int{}, u.TagIDs...),
		SubscribeScene: u.SubscribeScene, QRScene: u.SceneID, QRSceneStr: u.SceneStr,
	}, nil
}

// userInfo is GET /cgi-bin/user/info.
func (s *Server) userInfo(c *apiRequest) (any, *apiError) { return s.infoOf(c.query.Get("openid")) }

const maxBatch = 100

// userInfoBatch is POST /cgi-bin/user/info/batchget.
func (s *Server) userInfoBatch(c *apiRequest) (any, *apiError) {
	var in struct {
		UserList []struct {
			OpenID string `json:"openid"`
		} `json:"user_list"`
	}
	if r := c.decode(&in); r != nil {
		return nil, r
	}
	if len(in.UserList) == 0 || len(in.UserList) > maxBatch {
		return nil, refuse(40032, "")
	}
	list := make([]any, 0, len(in.UserList))
	for _, u := range in.UserList {
		info, r := s.infoOf(u.OpenID)
		if r != nil {
			return nil, r
		}
		list = append(list, info)
	}
	return map[string]any{"user_info_list": list}, nil
}

const userPageSize = 10_000

type userList struct {
	Total int `json:"total"`
	Count int `json:"count"`
	Data  *struct {
		OpenIDs []string `json:"openid"`
	} `json:"data,omitempty"`
	NextOpenID string `json:"next_openid"`
}

// userGet is GET /cgi-bin/user/get.
func (s *Server) userGet(c *apiRequest) (any, *apiError) {
	var all []string
	for _, u := range s.st.Users {
		if u.Follows {
			all = append(all, u.OpenID)
		}
	}
	out := userList{Total: len(all)}
	if after := c.query.Get("next_openid"); after != "" {
		i := slices.Index(all, after)
		if i < 0 {
			return nil, refuse(40003, "")
		}
		all = all[i+1:]
	}
	all = all[:min(len(all), userPageSize)]
	if out.Count = len(all); out.Count > 0 {
		out.NextOpenID = all[out.Count-1] // on the last page too
		out.Data = &struct {
			OpenIDs []string `json:"openid"`
		}{all}
	}
	return out, nil
}
