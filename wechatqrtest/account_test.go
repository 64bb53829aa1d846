package wechatqrtest_test

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// caller posts JSON to a path of the API, for the errcode and the response.
func caller(t *testing.T, srv *wechatqrtest.Server, path string) func(body string) (int, string) {
	address := srv.URL() + path + "?access_token=" + token(t, srv)
	return func(body string) (int, string) {
		t.Helper()
		_, response := post(t, address, body)
		return code(t, response), response
	}
}

func TestTagLimits(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	createURL := caller(t, srv, "/cgi-bin/tags/create")
	name := func(text string) string { return `{"tag":{"name":"` + text + `"}}` }
	errcode, response := createURL(name(strings.Repeat("n", 30)))
	assert.Equal(t, 0, errcode)
	assert.JSONEq(t, `{"tag":{"id":100,"name":"`+strings.Repeat("n", 30)+`"}}`, response)
	for body, want := range map[string]int{
		name(""): 45157, name(strings.Repeat("n", 30)): 45157,
		name(strings.Repeat("n", 31)): 45158, `[`: 47001,
	} {
		errcode, _ := createURL(body)
		assert.Equal(t, want, errcode, body)
	}
	for i := range 99 {
		errcode, _ := createURL(name(strconv.Itoa(i)))
		require.Equal(t, 0, errcode)
	}
	errcode, _ = createURL(name("one more"))
	assert.Equal(t, 45056, errcode)

	give := caller(t, srv, "/cgi-bin/tags/members/batchtagging")
	take := caller(t, srv, "/cgi-bin/tags/members/batchuntagging")
	members := func(tag, n int) string {
		ids := make([]string, n)
		for i := range ids {
			ids[i] = "o6_" + strconv.Itoa(i)
		}
		list, err := json.Marshal(ids)
		require.NoError(t, err)
		return fmt.Sprintf(`{"openid_list":%s,"tagid":%d}`, list, tag)
	}
	for i := range 51 {
		srv.PutUser(wechatqrtest.User{OpenID: "o6_" + strconv.Itoa(i), Follows: i != 50})
	}
	for _, change := range []func(string) (int, string){give, take} {
		for body, want := range map[string]int{
			members(100, 0): 40032, members(100, 51): 40032, members(99, 1): 45159, `[`: 47001,
			`{"openid_list":["o6_50"],"tagid":100}`: 40003,
			`{"openid_list":["o6_x"],"tagid":100}`:  40003,
		} {
			errcode, _ := change(body)
			assert.Equal(t, want, errcode, body)
		}
	}
	for tag := range 20 {
		errcode, _ := give(members(100+tag, 50))
		require.Equal(t, 0, errcode)
	}
	for _, step := range []struct {
		change    func(string) (int, string)
		tag, want int
	}{{give, 120, 45059}, {give, 100, 0}, {take, 100, 0}, {take, 100, 0}, {give, 120, 0}} {
		errcode, _ := step.change(members(step.tag, 1))
		assert.Equal(t, step.want, errcode)
	}
	user, _ := srv.User("o6_0")
	assert.NotContains(t, user.TagIDs, 100)
	assert.Contains(t, user.TagIDs, 120)
}

func TestDatacubeSpans(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	now := srv.Now().UTC()
	eight := time.Date(now.Year(), now.Month(), now.Day()+2, 0, 0, 0, 0, time.UTC) // in China
	srv.Advance(eight.Add(time.Minute).Sub(now))
	span := func(first, last int) string {
		day := func(n int) string { return eight.AddDate(0, 0, n).Format(time.DateOnly) }
		return fmt.Sprintf(`{"begin_date":%q,"end_date":%q}`, day(first), day(last))
	}
	for _, path := range []string{"/datacube/getusersummary", "/datacube/getusercumulate"} {
		call := caller(t, srv, path)
		for body, want := range map[string]int{
			span(-7, -1): 0, span(-1, -1): 0, span(-8, -1): 61501, span(-1, 0): 61501,
			span(-1, -2): 61501,
			`{"begin_date":"2026-1-2","end_date":"2026-01-02"}`: 61500, `{}`: 61500, `[`: 47001,
		} {
			errcode, _ := call(body)
			assert.Equal(t, want, errcode, "%s %s", path, body)
		}

		_, response := call(span(-2, -1))
		assert.Equal(t, 2, strings.Count(response, "ref_date"), response)
		srv.Advance(-2 * time.Minute)
		_, response = call(span(-2, -1))
		assert.Equal(t, 1, strings.Count(response, "ref_date"),
			"yesterday before 8:00: %s", response)
		srv.Advance(2 * time.Minute)
	}
}

func TestCallbackCheckActions(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	call := caller(t, srv, "/cgi-bin/callback/check")
	body := func(action, operator string) string {
		return fmt.Sprintf(`{"action":%q,"check_operator":%q}`, action, operator)
	}
	errcode, _ := call(body("all", "DEFAULT"))
	assert.Equal(t, 40201, errcode)
	srv.ServeCallback(respondWith("success"))
	for in, want := range map[string]int{
		body("every", "DEFAULT"): 40202, `{}`: 40202,
		body("all", "MINE"): 40203, body("all", "CAP"): 0, `[`: 47001,
	} {
		errcode, _ := call(in)
		assert.Equal(t, want, errcode, in)
	}
	_, response := call(body("dns", "DEFAULT"))
	assert.NotContains(t, response, "ping")
	_, response = call(body("ping", "DEFAULT"))
	assert.NotContains(t, response, "dns")
}
