package account

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/wechatqr/wechatqr"
)

// CallbackCheck is how WeChat's own servers reach the callback URL that the
// console has.
type CallbackCheck struct {
	DNS  []CallbackAddress
	Ping []CallbackPing

	Raw json.RawMessage
}

// CallbackAddress is an address that WeChat's resolvers found for the URL's host.
type CallbackAddress struct {
	IP       string
	Operator string // of the network: CHINANET, UNICOM, CAP (Tencent's own), …
}

// CallbackPing is one ping from a network that WeChat is in.
type CallbackPing struct {
	IP       string
	From     string        // the operator of that network
	Lost     float64       // share of the packets, 0 to 1
	Duration time.Duration // 0 if none came back
}

// CheckCallback has WeChat resolve and ping the host of the callback URL. It says
// nothing of the Token, the key or what answers there. Without a URL in the
// console the error is [wechatqr.ErrInvalidArgument] (40201).
//
// WeChat's page: https://developers.weixin.qq.com/doc/service/api/apimanage/api_callbackcheck
func CheckCallback(ctx context.Context, c *wechatqr.Client) (CallbackCheck, error) {
	var out withRaw[struct {
		DNS []struct {
			IP       string `json:"ip"`
			Operator string `json:"real_operator"`
		} `json:"dns"`
		Ping []struct {
			IP   string `json:"ip"`
			From string `json:"from_operator"`
			Lost string `json:"package_loss"`
			Time string `json:"time"`
		} `json:"ping"`
	}]
	body := map[string]string{"action": "all", "check_operator": "DEFAULT"}
	if err := post(ctx, c, "/cgi-bin/callback/check", body, &having{"dns", &out}); err != nil {
		return CallbackCheck{}, err
	}

	check := CallbackCheck{Raw: out.raw}
	for _, d := range out.fields.DNS {
		check.DNS = append(check.DNS, CallbackAddress{d.IP, d.Operator})
	}
	for _, p := range out.fields.Ping {
		ping := CallbackPing{IP: p.IP, From: p.From}
		if lost, err := strconv.ParseFloat(strings.TrimSuffix(p.Lost, "%"), 64); err == nil {
			ping.Lost = lost / 100
		}
		ping.Duration, _ = time.ParseDuration(p.Time) // "23.079ms"
		check.Ping = append(check.Ping, ping)
	}
	return check, nil
}
