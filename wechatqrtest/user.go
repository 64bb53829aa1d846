package wechatqrtest

import "time"

// User is somebody with WeChat.
type User struct {
	OpenID     string    `json:"openid"`
	Follows    bool      `json:"follows"`
	FollowedAt time.Time `json:"followed_at,omitzero"`
}
