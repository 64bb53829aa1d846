package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr/channels"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/store"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/web"
)

var shownLink = regexp.MustCompile(`http://127\.0\.0\.1:\d+(/(?:s|invite)/\w+)`)

func TestUsersAreInvited(t *testing.T) {
	t.Parallel()
	d, ctx := newTestDesk(t), t.Context()
	admin := d.as(t, web.Admin)
	status, body := post(t, admin, d.origin+"/settings/users/add",
		url.Values{"name": {"小林"}, "role": {"3"}})
	require.Equal(t, http.StatusOK, status)
	link := shownLink.FindStringSubmatch(body)
	require.NotNil(t, link)
	_, body = get(t, admin, d.origin+"/settings")
	assert.NotRegexp(t, shownLink, body, "it is shown once")

	lin := d.as(t, web.Nobody)
	status, _ = post(t, lin, d.origin+link[1], url.Values{"password": {"一二三四五六七八九十"}})
	require.Equal(t, http.StatusSeeOther, status)
	status, _ = get(t, lin, d.origin+"/make")
	assert.Equal(t, http.StatusOK, status)
	status, _ = get(t, lin, d.origin+"/settings")
	assert.Equal(t, http.StatusForbidden, status)

	for name, tt := range map[string]struct {
		path string
		form url.Values
	}{
		"twice":        {"/users/add", url.Values{"name": {"小林"}, "role": {"2"}}},
		"no name":      {"/users/add", url.Values{"name": {""}, "role": {"2"}}},
		"a space":      {"/users/add", url.Values{"name": {"a b"}, "role": {"2"}}},
		"no role":      {"/users/add", url.Values{"name": {"bob"}}},
		"a guest":      {"/users/add", url.Values{"name": {"bob"}, "role": {"1"}}},
		"a god":        {"/users/add", url.Values{"name": {"bob"}, "role": {"5"}}},
		"not there":    {"/users/remove", url.Values{"name": {"bob"}}},
		"role unknown": {"/users/role", url.Values{"name": {"小林"}, "role": {"x"}}},
		"link to all":  {"/links/add", url.Values{"title": {"x"}, "days": {"1"}}},
		"link to both": {"/links/add", url.Values{"title": {"x"}, "days": {"1"}, "channel": {"a"},
			"group": {"b"}}},
		"link for ever": {"/links/add", url.Values{"title": {"x"}, "days": {"366"},
			"channel": {"a"}}},
		"link for no one": {"/links/add", url.Values{"days": {"1"}, "channel": {"a"}}},
	} {
		status, body = post(t, admin, d.origin+"/settings"+tt.path, tt.form)
		assert.Equal(t, http.StatusUnprocessableEntity, status, name)
		assert.Contains(t, body, `role="alert"`, name)
	}

	_, _ = post(t, admin, d.origin+"/settings/users/remove", url.Values{"name": {"小林"}})
	status, _ = get(t, lin, d.origin+"/make")
	assert.Equal(t, http.StatusSeeOther, status, "who is removed is signed out")
	users, err := d.store.Users(ctx)
	require.NoError(t, err)
	assert.Empty(t, users)
}

func TestTheLastAdministratorRemains(t *testing.T) {
	t.Parallel()
	d, ctx := newTestDesk(t), t.Context()
	require.NoError(t, d.store.PutUser(ctx, "ann", web.Admin))
	require.NoError(t, d.store.SetPassword(ctx, "ann", "hash"))
	require.NoError(t, d.store.PutUser(ctx, "bob", web.Admin)) // has not accepted
	admin := d.as(t, web.Admin)
	for path, form := range map[string]url.Values{
		"/remove": {"name": {"ann"}}, "/role": {"name": {"ann"}, "role": {"2"}},
	} {
		status, body := post(t, admin, d.origin+"/settings/users"+path, form)
		assert.Equal(t, http.StatusUnprocessableEntity, status)
		assert.Contains(t, body, "至少要保留一位管理员")
	}
	require.NoError(t, d.store.SetPassword(ctx, "bob", "hash"))
	status, _ := post(t, admin, d.origin+"/settings/users/role",
		url.Values{"name": {"ann"}, "role": {"2"}})
	assert.Equal(t, http.StatusSeeOther, status)
	u, err := d.store.User(ctx, "ann")
	require.NoError(t, err)
	assert.Equal(t, web.Viewer, u.Role)
}

func TestShareLinksAreRevoked(t *testing.T) {
	t.Parallel()
	d := newTestDesk(t)
	admin := d.as(t, web.Admin)
	_, body := post(t, admin, d.origin+"/settings/links/add",
		url.Values{"title": {"加盟商"}, "days": {"7"}, "group": {"华东"}})
	link := shownLink.FindStringSubmatch(body)
	require.NotNil(t, link)
	assert.NotContains(t, body, `href="/language`, "the page cannot be shown again")
	_, body = get(t, admin, d.origin+"/settings")
	assert.Contains(t, body, `href="/language`)
	guest := d.as(t, web.Nobody)
	status, location := request(t, guest, http.MethodGet, d.origin+link[1], nil)
	require.Equal(t, http.StatusSeeOther, status)
	assert.Contains(t, location, "/channels?group=%E5%8D%8E%E4%B8%9C")
	assert.Equal(t, http.StatusOK, statusOf(t, guest, http.MethodGet, d.origin+"/live"))
	assert.Equal(t, http.StatusForbidden, statusOf(t, guest, http.MethodGet, d.origin+"/print"))

	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, d.origin+"/live", nil)
	require.NoError(t, err)
	stream, err := guest.Do(r)
	require.NoError(t, err)
	defer stream.Body.Close()

	links, err := d.store.ShareLinks(t.Context())
	require.NoError(t, err)
	ours := links[0]
	for _, one := range links {
		if one.Title == "加盟商" {
			ours = one
		}
	}
	assert.WithinDuration(t, time.Now().AddDate(0, 0, 7), ours.Ends, time.Hour)
	_, _ = post(t, admin, d.origin+"/settings/links/end", url.Values{"id": {ours.ID}})
	assert.Equal(t, http.StatusSeeOther, statusOf(t, guest, http.MethodGet, d.origin+"/live"))
	assert.Equal(t, http.StatusNotFound, statusOf(t, guest, http.MethodGet, d.origin+link[1]))

	code, err := d.ledger.Ensure(t.Context(), d.client, channels.Channel{Key: "sh-8", Group: "华东"})
	require.NoError(t, err)
	_, err = d.wx.Scan(t.Context(), code.Ticket.Value, "o-ann")
	require.NoError(t, err)
	told, err := io.ReadAll(stream.Body)
	require.NoError(t, err, "the stream ends")
	assert.NotContains(t, string(told), "sh-8")
}

func TestChecksAreLive(t *testing.T) {
	t.Parallel()
	d := newTestDesk(t)
	status, body := post(t, d.as(t, web.Admin), d.origin+"/settings/check", nil)
	require.Equal(t, http.StatusOK, status)
	for _, want := range []string{"AppID 与 AppSecret", "access_token", "回调接收推送"} {
		assert.Regexp(t, want+`</th>\s*<td>✓ 正常`, body)
	}
	assert.NotContains(t, body, "-tickets", "a flag of another program")
	keys, appSecret := d.wx.CallbackConfig(), d.wx.Credentials().AppSecret
	for _, secret := range []string{appSecret, keys.EncodingAESKey, keys.Token} {
		assert.NotContains(t, body, secret)
	}
}

// A guest sees what their link shows, and nothing else.
func TestScope(t *testing.T) {
	t.Parallel()
	channel := web.Visitor{Role: web.Guest, Scope: web.Scope{Channel: "sh-7"}}
	group := web.Visitor{Role: web.Guest, Scope: web.Scope{Group: "华东"}}
	for name, tt := range map[string]struct {
		visitor    web.Visitor
		key, group string
		want       bool
	}{
		"its channel":        {channel, "sh-7", "华东", true},
		"another channel":    {channel, "sh-8", "华东", false},
		"no channel":         {channel, "", "", false},
		"its group":          {group, "sh-7", "华东", true},
		"beneath":            {group, "sh-7", "华东/门店", true},
		"alike":              {group, "sh-7", "华东南", false},
		"the account":        {group, "", "", false},
		"a viewer":           {web.Visitor{Role: web.Viewer}, "", "", true},
		"nobody":             {web.Visitor{}, "sh-7", "华东", false},
		"a guest of nothing": {web.Visitor{Role: web.Guest}, "", "", false},
	} {
		assert.Equal(t, tt.want, tt.visitor.Sees(tt.key, tt.group), name)
	}
}

// Many channels do not make the page heavy: it has those of the alerts, and another one is
// found while it is typed.
func TestSettingsOfManyChannels(t *testing.T) {
	t.Parallel()
	d, ctx := newTestDesk(t), t.Context()
	list := "key,name,group\n"
	for n := range 2000 {
		list += fmt.Sprintf("shop-%04d,Shop %04d,group-%04d\n", n, n, n)
	}
	planned, err := d.ledger.Plan(ctx, strings.NewReader(list))
	require.NoError(t, err)
	require.NoError(t, d.ledger.Apply(ctx, planned))
	require.NoError(t, d.store.ChangeAlerts(ctx, []store.Alert{
		{Rule: "spike", Channel: "shop-1999"}, {Rule: "drop", Channel: "none"}, {Rule: "silence"},
	}, nil, nil))

	_, body := get(t, d.as(t, web.Admin), d.origin+"/settings")
	for _, want := range []string{
		"突增：渠道 Shop 1999", "骤降：渠道 none", "推送中断", `<option value="group-0001">`,
		`<input name="channel" list="channels" data-find`, `<datalist id="channels">`,
	} {
		assert.Contains(t, body, want)
	}
	assert.NotContains(t, body, "shop-")
	assert.Less(t, len(body), 80_000)
}
