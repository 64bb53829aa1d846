package wechatqrtest

import (
	"encoding/json"
	"slices"
	"time"
)

// Message is a customer service message that the account sent to a user.
type Message struct {
	Time    time.Time `json:"time"`
	Order   int       `json:"order"` // among requests, pushes and messages, by arrival
	OpenID  string    `json:"openid"`
	MsgType string    `json:"type"`              // "text", "image", …
	Content string    `json:"content,omitempty"` // of a text
	Body    string    `json:"body"`              // as it was sent
}

// MessageWindow is a time in which the account may send a user customer service
// messages: three within a minute after a follow, a scan or a menu click, five
// within 48 hours after a message of the user's.
type MessageWindow struct {
	Until time.Time `json:"until"` // by the Server's clock
	Left  int       `json:"left"`  // messages
}

const (
	keptMessages   = 200
	maxMessageText = 2048 // bytes

	actionWindow, actionMessages = time.Minute, 3
	replyWindow, replyMessages   = 48 * time.Hour, 5
)

// openMessageWindow puts a new window before those that end after it, and takes the
// place of the others.
func (u *User) openMessageWindow(at time.Time, length time.Duration, messages int) {
	windows := []MessageWindow{{at.Add(length), messages}}
	for _, w := range u.MessageWindows {
		if w.Until.After(windows[0].Until) {
			windows = append(windows, w)
		}
	}
	u.MessageWindows = windows
}

// useMessageWindow counts a message.
func (u *User) useMessageWindow(now time.Time) *apiError {
	ref := refuse(45015, "")
	windows := slices.Clone(u.MessageWindows) // what Users has returned does not change
	for i := range windows {
		if now.After(windows[i].Until) {
			continue
		}
		if windows[i].Left > 0 {
			windows[i].Left--
			u.MessageWindows = windows
			return nil
		}
		ref = refuse(45047, "")
	}
	return ref
}

// Messages are the latest 200 customer service messages, oldest first.
func (s *Server) Messages() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.st.Messages)
}

// sendMessage is POST /cgi-bin/message/custom/send.
func (s *Server) sendMessage(c *apiRequest) (any, *apiError) {
	var in struct {
		ToUser  string `json:"touser"`
		MsgType string `json:"msgtype"`
		Text    struct {
			Content string `json:"content"`
		} `json:"text"`
	}
	if r := c.decode(&in); r != nil {
		return nil, r
	}
	var fields map[string]json.RawMessage
	if r := c.decode(&fields); r != nil {
		return nil, r
	}
	u, ok := s.users[in.ToUser]
	switch {
	case !ok:
		return nil, refuse(40003, "")
	case in.MsgType == "" || fields[in.MsgType] == nil:
		return nil, refuse(40008, "")
	case in.MsgType == "text" && in.Text.Content == "":
		return nil, refuse(44004, "")
	case len(in.Text.Content) > maxMessageText:
		return nil, refuse(45002, "")
	case !u.Follows:
		return nil, refuse(45015, "")
	}
	if r := u.useMessageWindow(c.now); r != nil {
		return nil, r
	}
	if len(s.st.Messages) >= keptMessages {
		s.st.Messages = slices.Delete(s.st.Messages, 0, 1)
	}
	s.st.Messages = append(s.st.Messages, Message{
		c.now, s.nextOrder(), in.ToUser, in.MsgType, in.Text.Content, string(c.body),
	})
	return errorResponse{0, "ok"}, nil
}
