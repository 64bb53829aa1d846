package account_test

import (
	"errors"
	"io"
	"iter"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/account"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// errcode is WeChat's errcode of an error, 0 of nil.
func errcode(t *testing.T, err error) int {
	t.Helper()
	if err == nil {
		return 0
	}
	var e *wechatqr.Error
	require.ErrorAs(t, err, &e)
	assert.NotEmpty(t, e.Hint(), "errcode %d", e.Code)
	assert.NotEmpty(t, e.HintZH(), "errcode %d", e.Code)
	return int(e.Code)
}

var success = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
	_, _ = io.WriteString(w, "success")
})

// Three messages within a minute after a scan, five within two days after a message.
func TestSendText(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	srv.ServeCallback(success)
	client := srv.Client()
	const user = "o6_user"
	send := func() int {
		return errcode(t, account.SendText(t.Context(), client, user, `你好 <&> "x"`))
	}

	assert.Equal(t, 40003, send(), "an unknown openid")
	ticket, err := client.CreateTicket(t.Context(), wechatqr.Permanent(wechatqr.SceneID(7)))
	require.NoError(t, err)
	_, err = srv.Scan(t.Context(), ticket.Value, user)
	require.NoError(t, err)
	assert.Equal(t, []int{0, 0, 0, 45047}, []int{send(), send(), send(), send()})
	assert.Equal(t, `你好 <&> "x"`, srv.Messages()[0].Content)

	_, err = srv.Scan(t.Context(), ticket.Value, user)
	require.NoError(t, err)
	srv.Advance(time.Minute + time.Second)
	assert.Equal(t, 45015, send(), "a minute after the scan")
	_, err = srv.SendText(t.Context(), user, "hello")
	require.NoError(t, err)
	srv.Advance(47 * time.Hour)
	assert.Equal(t, []int{0, 0, 0, 0, 0, 45047},
		[]int{send(), send(), send(), send(), send(), send()})
	_, err = srv.Unfollow(t.Context(), user)
	require.NoError(t, err)
	assert.Equal(t, 45015, send(), "does not follow")
}

func TestQuota(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	client, appID := srv.Client(), srv.Credentials().AppID
	const path = "/cgi-bin/qrcode/create"
	srv.SetQuota(wechatqrtest.Quota{Path: path, Daily: 10, PerMinute: 5, Used: 10})

	quota, err := account.Quota(t.Context(), client, path)
	require.NoError(t, err)
	assert.Contains(t, string(quota.Raw), `"daily_limit":10`)
	quota.Raw = nil
	assert.Equal(t, account.APIQuota{Daily: 10, Used: 10, PerPeriod: 5, Period: time.Minute}, quota)
	require.NoError(t, account.ClearQuota(t.Context(), client, appID))
	quota, err = account.Quota(t.Context(), client, path)
	require.NoError(t, err)
	assert.Equal(t, []int{10, 0, 10}, []int{quota.Daily, quota.Used, quota.Remaining})

	_, err = account.Quota(t.Context(), client, "cgi-bin/nothing")
	assert.Equal(t, 76021, errcode(t, err))
	for range 9 {
		require.NoError(t, account.ClearQuota(t.Context(), client, appID))
	}
	err = account.ClearQuota(t.Context(), client, appID)
	require.ErrorIs(t, err, wechatqr.ErrQuota)
	assert.Equal(t, 48006, errcode(t, err))
	assert.Equal(t, 40013, errcode(t, account.ClearQuota(t.Context(), client, "wx0")))
}

func TestExplainCall(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	client := srv.Client()
	_, err := account.User(t.Context(), client, "o6_stranger")
	var e *wechatqr.Error
	require.ErrorAs(t, err, &e)

	call, err := account.ExplainCall(t.Context(), client, e.RequestID)
	require.NoError(t, err)
	assert.WithinDuration(t, srv.Now(), call.Time, time.Minute)
	assert.Contains(t, call.Request, "/cgi-bin/user/info?")
	assert.Contains(t, call.Request, "openid=o6_stranger")
	assert.Contains(t, call.ResponseBody, "40003")
	assert.Equal(t, "127.0.0.1", call.ClientIP)

	_, err = account.ExplainCall(t.Context(), client, "61725984-6126f6f9-040f19c4")
	assert.Equal(t, 76001, errcode(t, err))
	_, err = account.ExplainCall(t.Context(), client, "")
	assert.Equal(t, 76002, errcode(t, err))
}

// WeChat writes the token into the address of the call.
func TestExplainCallHidesSecrets(t *testing.T) {
	t.Parallel()
	client := fixedClient(t, `{"errcode":0,"errmsg":"ok","request":{
			"invoke_time":1635156704,"cost_in_ms":30,
			"request_url":"access_token=50_Im7xxSECRET&component_access_token=SECRET2&secret=\u0026type=1",
			"request_body":"{\"appid\":\"wx1\", \"secret\" : \"SECRET3\",\"appsecret\":\"SECRET4\"}",
			"response_body":"{\"access_token\":\"SECRET5\",\"expires_in\":7200}",
			"client_ip":"113.89.11.1"}}`)
	call, err := account.ExplainCall(t.Context(), client, "61725984-6126f6f9-040f19c4")
	require.NoError(t, err)
	for _, text := range []string{
		call.Request, call.RequestBody, call.ResponseBody, string(call.Raw),
	} {
		assert.NotContains(t, text, "SECRET")
		assert.Contains(t, text, "[redacted]")
	}
	assert.Contains(t, call.Request, "type=1")
	assert.Contains(t, call.RequestBody, "wx1")
	assert.Contains(t, call.ResponseBody, `"expires_in":7200`)
	assert.Equal(t, 30*time.Millisecond, call.Duration)
	assert.JSONEq(t, string(call.Raw), string(call.Raw), "still JSON")
}

func TestCheckCallback(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	_, err := account.CheckCallback(t.Context(), srv.Client())
	assert.Equal(t, 40201, errcode(t, err))
	srv.ServeCallback(http.NotFoundHandler())
	check, err := account.CheckCallback(t.Context(), srv.Client())
	require.NoError(t, err)
	assert.NotEmpty(t, check.DNS[0].IP)
	assert.Positive(t, check.Ping[0].Duration)
	assert.Contains(t, string(check.Raw), "package_loss")

	// As in WeChat's page, and a ping of which nothing came back.
	client := fixedClient(t, `{
			"dns":[{"ip":"111.161.64.40","real_operator":"UNICOM"},
				{"ip":"111.161.64.48","real_operator":"UNICOM"}],
			"ping":[{"ip":"111.161.64.40","from_operator":"UNICOM","package_loss":"0%","time":"23.079ms"},
				{"ip":"111.161.64.48","from_operator":"CAP","package_loss":"100%","time":""}]}`)
	check, err = account.CheckCallback(t.Context(), client)
	require.NoError(t, err)
	assert.Equal(t, account.CallbackAddress{IP: "111.161.64.48", Operator: "UNICOM"}, check.DNS[1])
	assert.Equal(t, []account.CallbackPing{
		{IP: "111.161.64.40", From: "UNICOM", Duration: 23_079 * time.Microsecond},
		{IP: "111.161.64.48", From: "CAP", Lost: 1},
	}, check.Ping)
}

func TestTagBatches(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	client, ids, tag := srv.Client(), follow(srv, 101), srv.AddTag("华东")
	calls := 0
	for _, n := range []int{0, 1, 49, 50, 51, 100, 101} {
		require.NoError(t, account.Tag(t.Context(), client, tag, account.OpenIDs(ids[:n]...)))
		calls += (n + 49) / 50
		assert.Equal(t, calls, srv.Count("/cgi-bin/tags/members/batchtagging"), "%d openids", n)
		tags, err := account.Tags(t.Context(), client)
		require.NoError(t, err)
		assert.Equal(t, []account.TagInfo{{ID: tag, Name: "华东", Followers: n}}, tags)
	}
	everybody := account.Followers(t.Context(), client, "")
	require.NoError(t, account.Untag(t.Context(), client, tag, everybody))
	tags, err := account.Tags(t.Context(), client)
	require.NoError(t, err)
	assert.Zero(t, tags[0].Followers)
}

func TestTagRefused(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	client, ids, tag := srv.Client(), follow(srv, 60), srv.AddTag("VIP")
	give := func(tag int, ids ...string) int {
		return errcode(t, account.Tag(t.Context(), client, tag, account.OpenIDs(ids...)))
	}
	assert.Equal(t, 45159, give(tag+1, ids[0]))
	assert.Equal(t, 40003, give(tag, append(slices.Clone(ids), "o6_stranger")...))
	tags, err := account.Tags(t.Context(), client)
	require.NoError(t, err)
	assert.Equal(t, 50, tags[0].Followers, "those before the refused call have it")
	for range 20 {
		assert.Equal(t, 0, give(srv.AddTag("more"), ids[59]))
	}
	assert.Equal(t, 45059, give(tag, ids[59]))

	failed := errors.New("the database is gone")
	source := func(yield func(string, error) bool) { _ = yield(ids[58], nil) && yield("", failed) }
	require.ErrorIs(t, account.Tag(t.Context(), client, tag, source), failed)
}

// noonInChina is the Server's clock at 12:00 in China, some day ahead.
func noonInChina(srv *wechatqrtest.Server) time.Time {
	now := srv.Now().UTC()
	noon := time.Date(now.Year(), now.Month(), now.Day()+2, 4, 0, 0, 0, time.UTC)
	srv.Advance(noon.Sub(now))
	return noon
}

func TestDailySummary(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	srv.ServeCallback(success)
	noon := noonInChina(srv)
	put := func(id string, daysAgo int, scene string) {
		at := noon.AddDate(0, 0, -daysAgo)
		srv.PutUser(
			wechatqrtest.User{OpenID: id, Follows: true, FollowedAt: at, SubscribeScene: scene})
	}
	put("early", 20, "ADD_SCENE_SEARCH")
	put("a", 9, "ADD_SCENE_QR_CODE")
	put("b", 9, "ADD_SCENE_QR_CODE")
	put("c", 9, "ADD_SCENE_SEARCH")
	put("d", 1, "ADD_SCENE_QR_CODE")
	put("today", 0, "ADD_SCENE_QR_CODE")

	// Sixteen days are three calls of each.
	first, last := noon.AddDate(0, 0, -16), noon.AddDate(0, 0, -1)
	days, err := collect(t, account.DailySummary(t.Context(), srv.Client(), first, last))
	require.NoError(t, err)
	require.Len(t, days, 16)
	assert.Equal(t, 3, srv.Count("/datacube/getusersummary"))
	for i, day := range days {
		want := first.AddDate(0, 0, i).Format(time.DateOnly) // noon in China is the same day in UTC
		assert.Equal(t, want, day.Date.Format(time.DateOnly))
		assert.Equal(t, "00:00 +0800", day.Date.Format("15:04 -0700"))
		require.Len(t, day.Raw, 1+len(day.Sources))
	}
	assert.Equal(t, []int{3, 0, 4}, []int{days[7].New, days[7].Lost, days[7].Followers})
	assert.Equal(t, []account.SourceCount{
		{Source: account.SourceOther},
		{Source: account.SourceSearch, New: 1},
		{Source: account.SourceQRCode, New: 2},
	}, days[7].Sources)
	assert.Equal(t, []int{0, 0, 4}, []int{days[8].New, days[8].Lost, days[8].Followers})
	assert.Equal(t, []int{1, 0, 5}, []int{days[15].New, days[15].Lost, days[15].Followers})

	_, err = srv.Unfollow(t.Context(), "a")
	require.NoError(t, err)
	srv.Advance(24 * time.Hour)
	days, err = collect(t, account.DailySummary(t.Context(), srv.Client(), noon, noon))
	require.NoError(t, err)
	require.Len(t, days, 1)
	assert.Equal(t, []int{1, 1, 5}, []int{days[0].New, days[0].Lost, days[0].Followers})
}

func TestDailySummarySpans(t *testing.T) {
	t.Parallel()
	for days, calls := range map[int]int{0: 0, 1: 1, 6: 1, 7: 1, 8: 2, 14: 2, 15: 3} {
		srv := wechatqrtest.Start(t)
		last := noonInChina(srv).AddDate(0, 0, -1)
		first := last.AddDate(0, 0, 1-days)
		got, err := collect(t, account.DailySummary(t.Context(), srv.Client(), first, last))
		require.NoError(t, err)
		assert.Len(t, got, days)
		assert.Equal(t, calls, srv.Count("/datacube/getusersummary"), "%d days", days)
		assert.Equal(t, calls, srv.Count("/datacube/getusercumulate"), "%d days", days)
	}
}

// Today is refused; yesterday before 8:00 is not there yet, rather than empty.
func TestDailySummaryOfDaysWithoutFigures(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	noon := noonInChina(srv)
	summary := func(first, last time.Time) iter.Seq2[account.Day, error] {
		return account.DailySummary(t.Context(), srv.Client(), first, last)
	}
	_, err := collect(t, summary(noon, noon))
	assert.Equal(t, 61501, errcode(t, err))
	days, err := collect(t, summary(noon.AddDate(0, 0, -7), noon))
	assert.Equal(t, 61501, errcode(t, err))
	assert.Len(t, days, 7, "those of the call before")

	yesterday := noon.AddDate(0, 0, -1)
	srv.Advance(-5 * time.Hour)
	days, err = collect(t, summary(noon.AddDate(0, 0, -2), yesterday))
	require.NoError(t, err)
	assert.Len(t, days, 1)

	before := srv.Count("/datacube/getusercumulate")
	for range summary(noon.AddDate(0, 0, -20), yesterday) {
		break
	}
	assert.Equal(t, before+1, srv.Count("/datacube/getusercumulate"), "a break ends the calls")
}
