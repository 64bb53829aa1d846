package account

import (
	"context"
	"encoding/json"
	"regexp"
	"time"

	"github.com/wechatqr/wechatqr"
)

// CallRecord is what WeChat kept of a call, without its access token.
type CallRecord struct {
	Time         time.Time
	Duration     time.Duration // at WeChat
	ClientIP     string
	Request      string // method and address, or the query alone, as WeChat writes it
	RequestBody  string
	ResponseBody string

	Raw json.RawMessage
}

// ExplainCall asks what WeChat kept of a call for seven days, by the rid of its
// error: [wechatqr.Error.RequestID]. Only the account that made the call can ask.
//
// WeChat's page: https://developers.weixin.qq.com/doc/service/api/apimanage/api_getridinfo
func ExplainCall(ctx context.Context, c *wechatqr.Client, rid string) (CallRecord, error) {
	var out withRaw[struct {
		Request struct {
			InvokeTime   int64  `json:"invoke_time"`
			CostInMS     int64  `json:"cost_in_ms"`
			RequestURL   string `json:"request_url"`
			RequestBody  string `json:"request_body"`
			ResponseBody string `json:"response_body"`
			ClientIP     string `json:"client_ip"`
		} `json:"request"`
	}]
	body := map[string]string{"rid": rid}
	err := post(ctx, c, "/cgi-bin/openapi/rid/get", body, &having{"request", &out})
	if err != nil {
		return CallRecord{}, err
	}

	r := out.fields.Request
	return CallRecord{
		Time: time.Unix(r.InvokeTime, 0), Duration: time.Duration(r.CostInMS) * time.Millisecond,
		ClientIP: r.ClientIP, Request: hideSecrets(r.RequestURL),
		RequestBody: hideSecrets(r.RequestBody), ResponseBody: hideSecrets(r.ResponseBody),
		Raw: json.RawMessage(hideSecrets(string(out.raw))),
	}, nil
}

// secretValue finds access_token, secret and appsecret in a query or in JSON, which
// may be quoted in JSON itself.
var secretValue = regexp.MustCompile(
	`((?:access_token|secret)(?:\\*")?\s*[=:]\s*(?:\\*")?)[^&"\\\s,}]+`)

func hideSecrets(text string) string { return secretValue.ReplaceAllString(text, "${1}[redacted]") }
