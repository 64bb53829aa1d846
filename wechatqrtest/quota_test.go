package wechatqrtest_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr/wechatqrtest"
)

const create = "/cgi-bin/qrcode/create"

func TestQuota(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	tok := token(t, srv)
	make := func() int {
		_, body := post(t, srv.URL()+create+"?access_token="+tok,
			`{"action_name":"QR_SCENE","action_info":{"scene":{"scene_id":1}}}`)
		return code(t, body)
	}
	quota := func() (out struct {
		Quota struct {
			DailyLimit int `json:"daily_limit"`
			Used       int
			Remain     int
		}
		RateLimit struct {
			CallCount     int `json:"call_count"`
			RefreshSecond int `json:"refresh_second"`
		} `json:"rate_limit"`
	}) {
		_, body := post(t, srv.URL()+"/cgi-bin/openapi/quota/get?access_token="+tok,
			`{"cgi_path":"`+create+`"}`)
		require.NoError(t, json.Unmarshal([]byte(body), &out), body)
		return out
	}
	now := srv.Now().UTC().Add(8 * time.Hour)
	// to midnight in China
	srv.Advance(now.Truncate(24 * time.Hour).Add(24*time.Hour + time.Second).Sub(now))
	tok = token(t, srv)
	assert.Equal(t, 0, make())
	q := quota()
	assert.Equal(t, []int{100_000, 1, 99_999},
		[]int{q.Quota.DailyLimit, q.Quota.Used, q.Quota.Remain})

	srv.SetQuota(wechatqrtest.Quota{Path: create, Daily: 3, Used: 2})
	assert.Equal(t, 0, make())
	assert.Equal(t, 45009, make())
	assert.Equal(t, 45009, make())
	assert.Equal(t, 3, quota().Quota.Used)
	assert.Zero(t, quota().Quota.Remain)
	srv.Advance(24 * time.Hour)
	tok = token(t, srv)
	assert.Zero(t, quota().Quota.Used, "a new day")
	assert.Equal(t, 0, make())

	srv.SetQuota(wechatqrtest.Quota{Path: create, PerMinute: 2})
	assert.Equal(t, []int{2, 60},
		[]int{quota().RateLimit.CallCount, quota().RateLimit.RefreshSecond})
	var codes []int
	for range 5 { // of which two minutes at the most have a part
		codes = append(codes, make())
	}
	assert.Contains(t, codes, 45011)
	srv.Advance(time.Minute)
	assert.Equal(t, 0, make())

	_, body := post(t, srv.URL()+"/cgi-bin/openapi/quota/get?access_token="+tok,
		`{"cgi_path":"https://api.weixin.qq.com`+create+`"}`)
	assert.Equal(t, 76021, code(t, body))
	_, body = post(t, srv.URL()+"/cgi-bin/openapi/quota/get?access_token="+tok,
		`{"cgi_path":"/cgi-bin/getcallbackip"}`)
	assert.Equal(t, 0, code(t, body))
}

func TestQuotaOfAnyPath(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	tok := token(t, srv)
	srv.SetQuota(wechatqrtest.Quota{Path: "/cgi-bin/getcallbackip", Daily: 1, Used: 1})
	assert.Equal(t, 45009, errcodeWith(t, srv, tok))
	assert.Contains(t, srv.Quotas(), wechatqrtest.Quota{Path: "/cgi-bin/getcallbackip", Daily: 1,
		Used: 1})
}

func TestClearQuota(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	creds := srv.Credentials()
	now := srv.Now().UTC().Add(8 * time.Hour)
	month := time.Date(now.Year(), now.Month()+1, 1, 0, 0, 1, 0, time.UTC)
	srv.Advance(month.Sub(now)) // to the first of a month
	tok := token(t, srv)
	srv.SetQuota(wechatqrtest.Quota{Path: create, Daily: 5, Used: 5})
	srv.SetQuota(wechatqrtest.Quota{Path: "/cgi-bin/token", Daily: 5, Used: 5})
	clear := func() int {
		_, body := post(t, srv.URL()+"/cgi-bin/clear_quota?access_token="+tok,
			fmt.Sprintf(`{"appid":%q}`, creds.AppID))
		return code(t, body)
	}
	used := func(path string) int {
		for _, q := range srv.Quotas() {
			if q.Path == path {
				return q.Used
			}
		}
		return -1
	}
	assert.Equal(t, 0, clear())
	assert.Equal(t, 0, used(create))
	assert.Equal(t, 5, used("/cgi-bin/token"), "those of tokens are not cleared by it")
	assert.Equal(t, 45009, classic(t, srv).ErrCode)

	_, body := post(t, srv.URL()+"/cgi-bin/clear_quota/v2",
		fmt.Sprintf(`{"appid":%q,"appsecret":%q}`, creds.AppID, creds.AppSecret))
	assert.Equal(t, 0, code(t, body))
	_, body = post(t,
		srv.URL()+"/cgi-bin/clear_quota/v2?appid="+creds.AppID+"&appsecret="+creds.AppSecret, "")
	assert.Equal(t, 0, code(t, body))
	_, body = post(t, srv.URL()+"/cgi-bin/clear_quota/v2",
		fmt.Sprintf(`{"appid":%q,"appsecret":"x"}`, creds.AppID))
	assert.Equal(t, 40125, code(t, body))
	_, body = post(t, srv.URL()+"/cgi-bin/clear_quota?access_token="+tok, `{"appid":"wxother"}`)
	assert.Equal(t, 40013, code(t, body))
	_, body = post(t, srv.URL()+"/cgi-bin/clear_quota?access_token="+tok, `{}`)
	assert.Equal(t, 41002, code(t, body))
	for range 7 {
		assert.Equal(t, 0, clear())
	}
	assert.Equal(t, 48006, clear(), "ten a month")
	srv.Advance(31 * 24 * time.Hour)
	tok = token(t, srv)
	assert.Equal(t, 0, clear())
}
