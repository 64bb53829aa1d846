package wechatqrtest

import (
	"encoding/json"
	"slices"
	"time"
)

// Message is a customer service message that the account sent to a user.
type Message struct {
	Time    time.Time `json:"time"`
	OpenID  string    `json:"openid"`
	MsgType string    `json:"type"`              // "text", "image", …
	Content string    `json:"content,omitempty"` // of a text
	Body    string    `json:"body"`              // as it was sent
}

const (
	keptMessages  = 200
	messageWindow = 48 * time.Hour // after the user's last event or message
)

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
	case !u.Follows || c.now.Sub(u.ActiveAt) > messageWindow:
		return nil, refuse(45015, "")
	}
	if len(s.st.Messages) >= keptMessages {
		s.st.Messages = slices.Delete(s.st.Messages, 0, 1)
	}
	s.st.Messages = append(s.st.Messages, Message{c.now, in.ToUser, in.MsgType, in.Text.Content, string(c.body)})
	return errorResponse{0, "ok"}, nil
}
