package account

import (
	"context"
	"net/http"

	"github.com/wechatqr/wechatqr"
)

// SendText sends a user a customer service message (客服消息) of plain text.
// WeChat takes up to three within one minute after a scan, a follow or a menu
// click, and up to five within 48 hours after a message of the user's. Beyond
// that it refuses with errcode 45015 (too late) or 45047 (too many).
//
// It is not repeated where it may have arrived: then the error is
// [wechatqr.ErrOutcomeUnknown].
//
// WeChat's page: https://developers.weixin.qq.com/doc/service/api/customer/message/api_sendcustommessage
func SendText(ctx context.Context, c *wechatqr.Client, openID, text string) error {
	type content struct {
		Content string `json:"content"`
	}
	body := struct {
		ToUser  string  `json:"touser"`
		MsgType string  `json:"msgtype"`
		Text    content `json:"text"`
	}{openID, "text", content{text}}
	req := wechatqr.Request{Method: http.MethodPost, Path: "/cgi-bin/message/custom/send", Body: body}
	return c.Do(ctx, req, nil)
}
