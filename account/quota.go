package account

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/wechatqr/wechatqr"
)

// APIQuota is how often an API may be called.
type APIQuota struct {
	Daily, Used, Remaining int // calls of the present day in China; all 0 for an API without a quota

	// At most PerPeriod calls within Period, usually a minute; 0 if WeChat names no such limit.
	PerPeriod int
	Period    time.Duration

	Raw json.RawMessage
}

// Quota asks what is left today of an API, for instance
// "/cgi-bin/qrcode/create".
//
// WeChat's page: https://developers.weixin.qq.com/doc/service/api/apimanage/api_getapiquota
func Quota(ctx context.Context, c *wechatqr.Client, path string) (APIQuota, error) {
	var out withRaw[struct {
		Quota struct {
			Daily  int `json:"daily_limit"`
			Used   int `json:"used"`
			Remain int `json:"remain"`
		} `json:"quota"`
		RateLimit struct {
			CallCount     int `json:"call_count"`
			RefreshSecond int `json:"refresh_second"`
		} `json:"rate_limit"`
	}]
	err := post(ctx, c, "/cgi-bin/openapi/quota/get", map[string]string{"cgi_path": path}, &out)
	q, rate := out.fields.Quota, out.fields.RateLimit
	return APIQuota{
		Daily: q.Daily, Used: q.Used, Remaining: q.Remain,
		PerPeriod: rate.CallCount, Period: time.Duration(rate.RefreshSecond) * time.Second,
		Raw: out.raw,
	}, err
}

// ClearQuota gives all APIs of the account their calls of the day back, but for
// those that fetch tokens. An account can do so ten times a month, the console
// included; then the error is [wechatqr.ErrQuota] (48006). It is not repeated
// where it may have arrived: then the error is [wechatqr.ErrOutcomeUnknown].
//
// WeChat's page: https://developers.weixin.qq.com/doc/service/api/apimanage/api_clearquota
func ClearQuota(ctx context.Context, c *wechatqr.Client, appID string) error {
	body := map[string]string{"appid": appID}
	req := wechatqr.Request{Method: http.MethodPost, Path: "/cgi-bin/clear_quota", Body: body}
	return c.Do(ctx, req, nil)
}
