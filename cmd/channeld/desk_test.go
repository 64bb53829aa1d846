package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr/channels"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/setup"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/signin"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/store"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/web"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// testDesk is a desk, on a new SQLite file as a rule, and a fake WeChat, served at origin.
type testDesk struct {
	*desk
	wx     *wechatqrtest.Server
	origin string
}

func newTestDesk(t *testing.T) *testDesk {
	t.Helper()
	return newTestDeskWithLog(t, io.Discard)
}

func newTestDeskWithLog(t *testing.T, log io.Writer) *testDesk {
	t.Helper()
	return newTestDeskOn(t, filepath.Join(t.TempDir(), "desk.db"), log)
}

func newTestDeskOn(t *testing.T, db string, log io.Writer) *testDesk {
	t.Helper()
	wx := wechatqrtest.Start(t)
	c := &config{
		db: db, api: wx.URL(), listen: "127.0.0.1:0",
		account: setup.Account{
			Credentials: wx.Credentials(), Events: wx.CallbackConfig(), Location: time.UTC,
		},
	}
	l, err := c.listeners(t.Context())
	require.NoError(t, err)
	key := personKey{value: []byte("0123456789abcdef0123456789abcdef")}
	logger := slog.New(slog.NewTextHandler(log, nil))
	d, err := openDesk(t.Context(), c, &key, logger)
	require.NoError(t, err)
	ended := make(chan error, 1)
	ctx := t.Context() // ends before the functions of Cleanup run
	go func() { ended <- d.serve(ctx, l) }()
	t.Cleanup(func() {
		assert.NoError(t, <-ended)
		assert.NoError(t, d.close())
	})
	callback := wx.Callback()
	callback.URL = c.callbackURL
	require.NoError(t, wx.SetCallback(callback))
	require.NoError(t, d.ledger.Put(ctx, channels.Channel{Key: "sh-7", Name: "七店", Group: "华东"}))
	return &testDesk{d, wx, c.origin}
}

// as is a browser that is signed in with the role. It does not follow redirects.
func (d *testDesk) as(t *testing.T, role web.Role) *http.Client {
	t.Helper()
	browser := newBrowser(t)
	browser.CheckRedirect = func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}
	if role == web.Nobody {
		return browser
	}
	link := store.Link{Title: "test", Role: role, Ends: time.Now().Add(time.Hour)}
	if role == web.Guest {
		link.Channel = "sh-7"
	}
	secret, err := d.store.NewLink(t.Context(), link)
	require.NoError(t, err)
	status, _ := get(t, browser, d.origin+"/s/"+secret)
	require.Equal(t, http.StatusSeeOther, status)
	return browser
}

func post(
	t *testing.T, client *http.Client, address string, form url.Values,
) (status int, body string) {
	t.Helper()
	return request(t, client, http.MethodPost, address, form)
}

// allowed says who may ask for what. A route that is not here fails the test.
var allowed = map[string]web.Role{
	"GET /":                 web.Nobody,
	"GET /healthz":          web.Nobody,
	"GET /static/{file}":    web.Nobody,
	"GET /language":         web.Nobody,
	"GET /sign-in":          web.Nobody,
	"POST /sign-in":         web.Nobody,
	"POST /sign-out":        web.Nobody,
	"GET /invite/{secret}":  web.Nobody,
	"POST /invite/{secret}": web.Nobody,
	"GET /s/{secret}":       web.Nobody,

	"GET /{$}":                     web.Guest,
	"GET /channels":                web.Guest,
	"GET /channels/{key}":          web.Guest,
	"GET /export":                  web.Guest,
	"GET /export/{file}":           web.Guest,
	"GET /live":                    web.Guest,
	"GET /channels/{key}/code.svg": web.Guest,

	"GET /make":                       web.Operator,
	"POST /make":                      web.Operator,
	"GET /make/{job}":                 web.Operator,
	"GET /make/drafts/{draft}":        web.Operator,
	"POST /make/drafts/{draft}/start": web.Operator,
	"POST /make/{job}/resume":         web.Operator,
	"GET /print":                      web.Viewer,
	"POST /print/sheet":               web.Viewer,
	"POST /print/zip":                 web.Viewer,
	"POST /print/temporary":           web.Operator,

	"GET /reconcile":                    web.Viewer,
	"GET /reconcile/comparison.csv":     web.Viewer,
	"POST /reconcile":                   web.Operator,
	"GET /find":                         web.Operator,
	"GET /channels/{key}/change":        web.Operator,
	"POST /channels/{key}/{action}":     web.Operator,
	"POST /channels/{key}/notes":        web.Operator,
	"POST /channels/{key}/notes/delete": web.Operator,
	"GET /channels/{key}/welcome":       web.Operator,
	"POST /channels/{key}/welcome":      web.Operator,
	"POST /channels/{key}/tag":          web.Operator,

	"POST /settings/webhooks/add":    web.Admin,
	"POST /settings/webhooks/test":   web.Admin,
	"POST /settings/webhooks/remove": web.Admin,

	"POST /settings/backup":       web.Admin,
	"POST /settings/forget":       web.Admin,
	"GET /settings":               web.Admin,
	"GET /settings/account":       web.Admin,
	"POST /settings/account":      web.Admin,
	"POST /settings/check":        web.Admin,
	"POST /settings/users/add":    web.Admin,
	"POST /settings/users/role":   web.Admin,
	"POST /settings/users/invite": web.Admin,
	"POST /settings/users/remove": web.Admin,
	"POST /settings/links/add":    web.Admin,
	"POST /settings/links/end":    web.Admin,
}

// Each route is requested with each role.
func TestRoles(t *testing.T) {
	t.Parallel()
	d := newTestDesk(t)
	needs := map[string]web.Role{}
	routes := slices.Concat(d.setupPages(nil).Routes(), d.routes(), d.open())
	for _, route := range routes {
		needs[route.Pattern] = route.Needs
	}
	assert.Equal(t, allowed, needs)

	for role := web.Nobody; role <= web.Admin; role++ {
		browser := d.as(t, role)
		for pattern, need := range needs {
			if pattern == "POST /sign-out" { // which would end the session
				continue
			}
			method, path, _ := strings.Cut(pattern, " ")
			path = anyPath.Replace(path)
			status := statusOf(t, browser, method, d.origin+path)
			want := http.StatusOK
			switch {
			case role >= need:
				refused := status == http.StatusForbidden || status == http.StatusUnauthorized
				assert.False(t, refused && path != "/sign-in", "%d %s: %d", role, pattern, status)
				continue
			case role != web.Nobody:
				want = http.StatusForbidden
			case method == http.MethodGet:
				want = http.StatusSeeOther
			default:
				want = http.StatusUnauthorized
			}
			assert.Equal(t, want, status, "%d %s", role, pattern)
		}
	}
}

// A browser that has gone away meanwhile is no fault, whatever it asked for.
func TestBrowsersThatHaveGoneAreNoFault(t *testing.T) {
	t.Parallel()
	var log output
	d := newTestDeskWithLog(t, &log)
	routes := slices.Concat(d.setupPages(nil).Routes(), d.routes())
	mux, err := web.Mount(routes, d.open(), http.NotFound)
	require.NoError(t, err)
	gone, leave := context.WithCancel(t.Context())
	leave()
	admin := web.WithVisitor(gone, web.Visitor{Name: "ann", Role: web.Admin})
	for pattern := range allowed {
		if pattern == "GET /healthz" { // who asks waits for a database that does not answer
			continue
		}
		method, path, _ := strings.Cut(pattern, " ")
		path = anyPath.Replace(path)
		form := strings.NewReader("name=bob&role=2&title=x&days=1&channel=sh-7&openid=o&text=x")
		r := httptest.NewRequestWithContext(admin, method, path, form)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		mux.ServeHTTP(httptest.NewRecorder(), r)
	}
	assert.Empty(t, log.String())
}

// anyPath puts something into the places of a pattern.
var anyPath = strings.NewReplacer(
	"{secret}", "none", "{key}", "sh-7", "{job}", "none", "{draft}", "none",
	"{file}", "page.css", "{action}", "none", "{$}", "",
)

// statusOf does not read the body, which may not end.
func statusOf(t *testing.T, client *http.Client, method, address string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, address, nil)
	require.NoError(t, err)
	resp, err := client.Do(r)
	require.NoError(t, err)
	defer resp.Body.Close()
	return resp.StatusCode
}

func TestMountRefusesARouteWithoutARole(t *testing.T) {
	t.Parallel()
	handle := func(http.ResponseWriter, *http.Request) {}
	_, err := web.Mount([]web.Route{{Pattern: "GET /a", Handle: handle}}, nil, handle)
	require.ErrorContains(t, err, "GET /a")
	route := web.Route{Pattern: "GET /a", Needs: web.Viewer, Handle: handle}
	_, err = web.Mount(nil, []web.Route{route}, handle)
	require.ErrorContains(t, err, "GET /a")
}

func TestSignIn(t *testing.T) {
	t.Parallel()
	d, ctx := newTestDesk(t), t.Context()
	address, err := invite(ctx, d.store, d.origin, "admin")
	require.NoError(t, err)
	browser := d.as(t, web.Nobody)
	status, body := get(t, browser, address)
	require.Equal(t, http.StatusOK, status)
	assert.Contains(t, body, "admin")

	status, _ = post(t, browser, address, url.Values{"password": {"too short"}})
	assert.Equal(t, http.StatusUnprocessableEntity, status)
	const password = "correct horse"
	status, _ = post(t, browser, address, url.Values{"password": {password}})
	assert.Equal(t, http.StatusSeeOther, status)
	status, _ = get(t, browser, d.origin+"/settings")
	assert.Equal(t, http.StatusOK, status, "who has chosen a password is signed in")
	status, _ = post(t, browser, address, url.Values{"password": {password + "2"}})
	assert.Equal(t, http.StatusNotFound, status, "an invitation is used once")

	status, _ = post(t, browser, d.origin+"/sign-out", nil)
	assert.Equal(t, http.StatusSeeOther, status)
	assert.Equal(t, http.StatusSeeOther, statusOf(t, browser, "GET", d.origin+"/settings"))
	for name, tt := range map[string]struct {
		form url.Values
		want int
	}{
		"wrong":   {url.Values{"name": {"admin"}, "password": {"wrong"}}, 401},
		"a phone": {url.Values{"name": {"admin "}, "password": {password}}, 303},
		"nobody":  {url.Values{"name": {"nobody"}, "password": {password}}, 401},
		"nothing": {url.Values{}, 401},
		"right":   {url.Values{"name": {"admin"}, "password": {password}}, 303},
		"elsewhere": {
			url.Values{"name": {"admin"}, "password": {password}, "next": {"//evil"}}, 303,
		},
	} {
		status, location := post(t, d.as(t, web.Nobody), d.origin+"/sign-in", tt.form)
		assert.Equal(t, tt.want, status, name)
		assert.NotContains(t, location, "evil", name)
	}
}

// Neither one name nor one address may try for long, and the right password does not help.
func TestSignInIsBounded(t *testing.T) {
	t.Parallel()
	d, browser := newTestDesk(t), newBrowser(t)
	require.NoError(t, d.store.PutUser(t.Context(), "ann", web.Viewer))
	statuses := map[int]int{}
	for n := range 12 {
		status, _ := post(t, browser, d.origin+"/sign-in",
			url.Values{"name": {"ann" + strings.Repeat(" ", n)}, "password": {"guess"}})
		statuses[status]++
	}
	assert.Equal(t, map[int]int{401: 10, 429: 2}, statuses)
	for range 60 {
		_, err := d.store.Attempt(t.Context(), "address:127.0.0.1")
		require.NoError(t, err)
	}
	status, _ := post(t, browser, d.origin+"/sign-in",
		url.Values{"name": {"bob"}, "password": {"guess"}})
	assert.Equal(t, http.StatusTooManyRequests, status, "by address")
	n, err := d.store.Attempt(t.Context(), "name:bob")
	require.NoError(t, err)
	assert.EqualValues(t, 1, n, "a refused address uses up nobody's attempts")
}

// Why nobody can sign in is in the log, without what they entered.
func TestWhySignInFailsIsLogged(t *testing.T) {
	t.Parallel()
	var log output
	d := newTestDeskWithLog(t, &log)
	viewer := d.as(t, web.Viewer)
	for _, table := range []string{"desk_sessions", "desk_attempts"} {
		_, err := d.store.DB().ExecContext(t.Context(), "DROP TABLE "+table)
		require.NoError(t, err)
	}
	assert.Equal(t, http.StatusServiceUnavailable,
		statusOf(t, viewer, http.MethodGet, d.origin+"/channels"))
	assert.Regexp(t, `level=ERROR msg="channeld: sign-in" err=.*desk_sessions`, log.String())
	status, _ := post(t, d.as(t, web.Nobody), d.origin+"/sign-in",
		url.Values{"name": {"ann"}, "password": {"correct horse"}})
	assert.Equal(t, http.StatusServiceUnavailable, status)
	assert.Regexp(t, `level=ERROR msg="channeld: sign-in" err=.*desk_attempts`, log.String())
	assert.NotContains(t, log.String(), "horse")
}

func TestOtherOriginsAreRefused(t *testing.T) {
	t.Parallel()
	d := newTestDesk(t)
	for path, want := range map[string]int{
		"/settings": http.StatusMisdirectedRequest, "/healthz": http.StatusMisdirectedRequest,
		"/wechat": http.StatusForbidden, // not signed
	} {
		r := httptest.NewRequest(http.MethodGet, d.origin+path, nil)
		r.RequestURI, r.Host = "", "evil.example"
		resp, err := http.DefaultClient.Do(r.WithContext(t.Context()))
		require.NoError(t, err)
		_ = resp.Body.Close()
		assert.Equal(t, want, resp.StatusCode, path)
	}
	r := httptest.NewRequest(http.MethodPost, d.origin+"/sign-in", nil)
	r.RequestURI = ""
	r.Header.Set("Origin", "http://evil.example")
	resp, err := http.DefaultClient.Do(r.WithContext(t.Context()))
	require.NoError(t, err)
	_ = resp.Body.Close()
	assert.Equal(t, http.StatusForbidden, resp.StatusCode)
}

func TestCookies(t *testing.T) {
	t.Parallel()
	d := newTestDesk(t)
	link := store.Link{Role: web.Guest, Ends: time.Now().Add(time.Hour)}
	secret, err := d.store.NewLink(t.Context(), link)
	require.NoError(t, err)
	for origin, want := range map[string]string{
		"https://desk.example":   "__Host-desk",
		"http://127.0.0.1:12345": "desk_12345",
	} {
		door, err := signin.New(signin.Config{
			Store: d.store, Frame: d.numbers.Frame, Origin: origin,
		})
		require.NoError(t, err)
		h, err := web.Mount(nil, door.Open(), door.Refuse)
		require.NoError(t, err)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/s/"+secret, nil))
		cookie := w.Result().Cookies()[0]
		assert.Equal(t, want, cookie.Name)
		assert.Equal(t, strings.HasPrefix(origin, "https"), cookie.Secure)
		assert.True(t, cookie.HttpOnly)
		assert.Equal(t, "/", cookie.Path)
		assert.Empty(t, cookie.Domain)
	}
}

// A database that is locked for long has WeChat deliver again: no push is answered with
// success and not recorded, and no log tells whose it was.
func TestALockedDatabaseLosesNothing(t *testing.T) {
	t.Parallel()
	var log output
	d, ctx := newTestDeskWithLog(t, &log), t.Context()
	conn, err := d.store.DB().Conn(ctx)
	require.NoError(t, err)
	defer conn.Close()
	_, err = conn.ExecContext(ctx, "BEGIN IMMEDIATE")
	require.NoError(t, err)

	answered := make(chan error)
	for n := range 4 { // one after another: the later ones wait for the first ones' commit
		go func() {
			time.Sleep(time.Duration(n) * 700 * time.Millisecond)
			_, err := d.wx.Follow(ctx, fmt.Sprint("o-somebody-", n))
			answered <- err
		}()
	}
	waitFor(t, "a failure", func() bool {
		return strings.Contains(log.String(), "status=500")
	})
	time.Sleep(2 * time.Second) // for the later ones to be in trouble too
	_, err = conn.ExecContext(ctx, "ROLLBACK")
	require.NoError(t, err)
	for range 4 {
		require.NoError(t, <-answered)
	}
	hour := time.Now().Truncate(time.Hour)
	query := channels.Query{From: hour.Add(-time.Hour), To: hour.Add(2 * time.Hour)}
	r, err := d.ledger.Report(ctx, query)
	require.NoError(t, err)
	assert.EqualValues(t, 4, r.Total.New)
	assert.NotContains(t, log.String(), "o-somebody")
}

func TestPushesAreCountedAndAnswered(t *testing.T) {
	t.Parallel()
	d, ctx := newTestDesk(t), t.Context()
	code, err := d.ledger.Ensure(ctx, d.client, channels.Channel{Key: "sh-7", Name: "七店"})
	require.NoError(t, err)
	require.NoError(t, d.store.SetWelcome(ctx, "sh-7", "欢迎来到七店"))
	push, err := d.wx.Scan(ctx, code.Ticket.Value, "o-ann")
	require.NoError(t, err)
	assert.Equal(t, "欢迎来到七店", push.UserSees())
	push, err = d.wx.Unfollow(ctx, "o-ann")
	require.NoError(t, err)
	assert.Empty(t, push.UserSees())

	last := d.feed.Last()
	require.Len(t, last, 2)
	assert.Equal(t, channels.Unfollower, last[0].Kind)
	assert.Equal(t, "sh-7", last[1].Key)
}
