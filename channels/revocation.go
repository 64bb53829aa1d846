package channels

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"strings"

	"github.com/wechatqr/wechatqr"
)

// Of the three events by which WeChat tells that a user's data have changed
// (授权用户信息变更), one concerns the ledger: the user's WeChat account is gone. The other
// two, user_info_modified and user_authorization_revoke, are of data such as the nickname
// and the address, which the ledger does not have; who revokes them still follows.
//
// WeChat's page: https://developers.weixin.qq.com/doc/service/guide/h5/authorization_change.html
const eventCancellation wechatqr.EventType = "user_authorization_cancellation"

// personOf is the openid of whom the event concerns: that of a cancellation stands in
// an element of its own, since FromUserName is WeChat's sender.
func personOf(ev *wechatqr.Event) string {
	if !ev.Type.Is(eventCancellation) {
		return ev.FromUserName
	}
	raw := bytes.TrimSpace(ev.Raw)
	if bytes.HasPrefix(raw, []byte("{")) {
		return openIDOfJSON(raw)
	}
	var message struct{ OpenID string }
	if xml.Unmarshal(raw, &message) != nil {
		return ""
	}
	return message.OpenID
}

// openIDOfJSON trims the names: WeChat's page has " OpenID".
func openIDOfJSON(raw []byte) (openID string) {
	var elements map[string]json.RawMessage
	if json.Unmarshal(raw, &elements) != nil {
		return ""
	}
	for name, value := range elements {
		if strings.TrimSpace(name) == "OpenID" {
			_ = json.Unmarshal(value, &openID) // anything else than a string is none
		}
	}
	return openID
}
