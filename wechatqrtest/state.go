package wechatqrtest

import (
	"encoding/hex"
	"time"
)

// state is what the Server knows and Snapshot writes.
type state struct {
	AppID     string        `json:"appid"`
	AppSecret string        `json:"appsecret"`
	Account   string        `json:"account"`
	Ahead     time.Duration `json:"ahead"` // of this machine's clock, in nanoseconds

	Tokens tokens  `json:"tokens"`
	Codes  []*Code `json:"codes"`
	Users  []*User `json:"users"`
	Quotas quotas  `json:"quotas"`

	Permanent int `json:"permanent"` // codes made
}

func newState() state {
	return state{
		AppID:     "wx" + hex.EncodeToString([]byte(random(8))),
		AppSecret: hex.EncodeToString([]byte(random(16))),
		Account:   "gh_" + hex.EncodeToString([]byte(random(6))),
		Quotas:    newQuotas(),
	}
}
