package main

import (
	"context"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr/cmd/channeld/internal/setup"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/store"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/web"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// unsetDesk is the program without an account in its environment, running.
type unsetDesk struct {
	t              *testing.T
	wx             *wechatqrtest.Server
	db             string
	origin         string
	stdout, stderr *output
	stop           func()
}

func startUnset(
	t *testing.T, wx *wechatqrtest.Server, db string, flags ...string,
) *unsetDesk {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	d := &unsetDesk{t: t, wx: wx, db: db, stdout: &output{}, stderr: &output{}}
	ended := make(chan error, 1)
	go func() {
		args := []string{"-listen", "127.0.0.1:0", "-db", db, "-api", wx.URL()}
		ended <- run(ctx, append(args, flags...), noEnv, d.stdout, d.stderr)
	}()
	d.stop = func() {
		cancel()
		for err := range ended {
			assert.NoError(t, err)
			close(ended)
		}
	}
	t.Cleanup(d.stop)
	waitFor(t, "the addresses", func() bool { return strings.HasSuffix(d.stdout.String(), "\n\n") })
	d.origin = regexp.MustCompile(`http://127\.0\.0\.1:\d+`).FindString(d.stdout.String())
	return d
}

// as is a browser that is signed in with the role, as of another visit.
func (d *unsetDesk) as(role web.Role) *http.Client {
	d.t.Helper()
	browser := newBrowser(d.t)
	browser.CheckRedirect = func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}
	s, err := store.Open(d.t.Context(), d.db)
	require.NoError(d.t, err)
	defer s.Close()
	link := store.Link{Title: "test", Role: role, Ends: time.Now().Add(time.Hour)}
	secret, err := s.NewLink(d.t.Context(), link)
	require.NoError(d.t, err)
	status, _ := get(d.t, browser, d.origin+"/s/"+secret)
	require.Equal(d.t, http.StatusSeeOther, status)
	return browser
}

// pushTo has WeChat push to the desk by these keys.
func (d *unsetDesk) pushTo(token, aesKey string) {
	d.t.Helper()
	callback := d.wx.Callback()
	callback.URL, callback.Token, callback.EncodingAESKey = d.origin+callbackPath, token, aesKey
	require.NoError(d.t, d.wx.SetCallback(callback))
}

// valueOf is what a field of the form has.
func valueOf(body, name string) string {
	field := regexp.MustCompile(`<input name="` + name + `"[^>]* value="([^"]*)"`)
	if m := field.FindStringSubmatch(body); m != nil {
		return html.UnescapeString(m[1])
	}
	return ""
}

const accountPath = setup.Path

// accountFileOf is the account's file of a database desk.db.
func accountFileOf(db string) string { return strings.TrimSuffix(db, ".db") + ".account" }

// Without an account in the environment the administrator's first visit sets it up, and the
// desk counts at once; the next start finds the account in its file.
func TestSetUp(t *testing.T) {
	t.Parallel()
	wx := wechatqrtest.Start(t, wechatqrtest.WithRetryDelay(0))
	db := filepath.Join(t.TempDir(), "desk.db")
	d := startUnset(t, wx, db)
	d.pushTo(wx.CallbackConfig().Token, wx.CallbackConfig().EncodingAESKey)
	_, err := wx.Follow(t.Context(), "o-early")
	require.Error(t, err, "nothing is taken for delivered")

	link := shownLink.FindStringSubmatch(d.stdout.String())
	require.NotNil(t, link)
	admin := newBrowser(t) // follows redirects
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, d.origin+link[1],
		strings.NewReader("password=correct+horse"))
	require.NoError(t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := admin.Do(r)
	require.NoError(t, err)
	_ = resp.Body.Close()
	assert.Equal(t, accountPath, resp.Request.URL.Path, "the first visit leads to the page")

	status, body := get(t, admin, d.origin+accountPath)
	require.Equal(t, http.StatusOK, status)
	token, aesKey := valueOf(body, "token"), valueOf(body, "aeskey")
	secret := wx.Credentials().AppSecret
	form := url.Values{
		"appid": {wx.Credentials().AppID}, "secret": {secret}, "mode": {"safe"},
		"token": {token}, "aeskey": {aesKey}, "zone": {"Asia/Shanghai"}, "days": {"30"},
	}
	status, body = post(t, admin, d.origin+accountPath, form)
	require.Equal(t, http.StatusOK, status, body)
	for _, shown := range []string{d.origin + "/wechat", token, aesKey, "安全模式"} {
		assert.Contains(t, body, shown)
	}
	assert.NotContains(t, body, secret)
	assert.NotContains(t, body, `href="/language`, "the page cannot be shown again")

	// It is at work, without a restart.
	status, body = get(t, admin, d.origin+"/")
	require.Equal(t, http.StatusOK, status, body)
	assert.Contains(t, body, "<h1>今日")
	d.pushTo(token, aesKey)
	_, err = wx.Follow(t.Context(), "o-ann")
	require.NoError(t, err)
	_, body = get(t, admin, d.origin+"/settings")
	assert.Contains(t, body, "desk.account")
	assert.Contains(t, body, "30 天")

	// The secrets are in the file, which only its owner reads, and nowhere else.
	_, backup := post(t, admin, d.origin+"/settings/backup", nil)
	require.Contains(t, backup, "SQLite format 3")
	d.stop()
	info, err := os.Stat(accountFileOf(db))
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	elsewhere := backup + d.stdout.String() + d.stderr.String()
	for _, file := range []string{db, db + "-wal"} {
		data, err := os.ReadFile(file)
		if !os.IsNotExist(err) {
			require.NoError(t, err)
		}
		elsewhere += string(data)
	}
	for _, one := range []string{secret, token, aesKey} {
		assert.False(t, strings.Contains(elsewhere, one), "a secret is where it should not be")
	}

	d = startUnset(t, wx, db)
	d.pushTo(token, aesKey)
	_, err = wx.Follow(t.Context(), "o-bob")
	require.NoError(t, err)
}

// Who may set up, and what is refused, in words.
func TestSetUpRefuses(t *testing.T) {
	t.Parallel()
	wx := wechatqrtest.Start(t)
	db := filepath.Join(t.TempDir(), "desk.db")
	d := startUnset(t, wx, db)
	for role, want := range map[web.Role][2]int{
		web.Guest:    {http.StatusServiceUnavailable, http.StatusForbidden},
		web.Operator: {http.StatusServiceUnavailable, http.StatusForbidden},
		web.Admin:    {http.StatusSeeOther, http.StatusOK},
	} {
		browser := d.as(role)
		for i, path := range []string{"/channels", accountPath} {
			assert.Equal(t, want[i], statusOf(t, browser, http.MethodGet, d.origin+path), path)
		}
	}
	stranger := newBrowser(t)
	_, body := get(t, stranger, d.origin+accountPath)
	assert.Contains(t, body, "登录")
	status, _ := get(t, stranger, d.origin+"/healthz")
	assert.Equal(t, http.StatusOK, status)

	admin := d.as(web.Admin)
	aesKey := wx.CallbackConfig().EncodingAESKey
	const wrongSecret = "0123456789abcdef0123456789abcdee"
	for name, tt := range map[string]struct {
		field, value string
		want         string
	}{
		"no AppID":               {"appid", " ", "请填写 AppID"},
		"another AppID":          {"appid", "wx0000000000000000", "40013"},
		"no AppSecret":           {"secret", "", "请填写 AppSecret"},
		"another AppSecret":      {"secret", wrongSecret, "40125"},
		"a short Token":          {"token", "ab", "3 至 32 个"},
		"an odd Token":           {"token", "a-b-c", "3 至 32 个"},
		"a short key":            {"aeskey", aesKey[1:], "43 个"},
		"no such zone":           {"zone", "Asia/Atlantis", "没有这个时区"},
		"the server's zone":      {"zone", "Local", "没有这个时区"},
		"no zone":                {"zone", "", "没有这个时区"},
		"a zone of half an hour": {"zone", "Asia/Kolkata", "不是整小时"},
		"days before":            {"days", "-1", "0 至 3650"},
		"days for ever":          {"days", "3651", "0 至 3650"},
		"no days":                {"days", "NaN", "0 至 3650"},
	} {
		form := url.Values{
			"appid": {wx.Credentials().AppID}, "secret": {wx.Credentials().AppSecret},
			"mode": {"safe"}, "token": {"token123"}, "aeskey": {aesKey},
			"zone": {"Asia/Shanghai"}, "days": {"0"},
		}
		form.Set(tt.field, tt.value)
		status, body := post(t, admin, d.origin+accountPath, form)
		assert.Equal(t, http.StatusUnprocessableEntity, status, name)
		assert.Contains(t, body, tt.want, name)
		assert.NotContains(t, body, wx.Credentials().AppSecret, name)
		if tt.field != "token" {
			assert.Equal(t, "token123", valueOf(body, "token"), "%s: the Token stays", name)
		}
	}
	assert.NoFileExists(t, accountFileOf(db))
	assert.NotContains(t, d.stderr.String(), "secret")
	assert.Equal(t, http.StatusSeeOther, statusOf(t, admin, http.MethodGet, d.origin+"/"))
}

// New keys are accepted at once, and the former ones while the console is changed.
func TestNewKeys(t *testing.T) {
	t.Parallel()
	wx := wechatqrtest.Start(t)
	db := filepath.Join(t.TempDir(), "desk.db")
	a := setup.Account{
		Credentials: wx.Credentials(), Events: wx.CallbackConfig(), Location: time.UTC,
	}
	require.NoError(t, a.WriteFile(accountFileOf(db)))
	d := startUnset(t, wx, db)
	admin := d.as(web.Admin)
	_, body := get(t, admin, d.origin+accountPath)
	assert.Empty(t, valueOf(body, "token"), "what is set is not shown")
	_, body = get(t, admin, d.origin+accountPath+"?new-keys")
	form := url.Values{
		"mode": {"safe"}, "token": {valueOf(body, "token")}, "aeskey": {valueOf(body, "aeskey")},
		"zone": {"UTC"}, "days": {"0"},
	}
	require.NotEmpty(t, form.Get("token"))
	status, body := post(t, admin, d.origin+accountPath, form)
	require.Equal(t, http.StatusOK, status, body)
	assert.Contains(t, body, form.Get("aeskey"))

	for name, keys := range map[string][2]string{
		"the former": {a.Events.Token, a.Events.EncodingAESKey},
		"the new":    {form.Get("token"), form.Get("aeskey")},
	} {
		d.pushTo(keys[0], keys[1])
		_, err := wx.Follow(t.Context(), "o-"+name)
		require.NoError(t, err, name)
	}
	saved, err := setup.ReadFile(accountFileOf(db))
	require.NoError(t, err)
	assert.Equal(t, a.Credentials, saved.Credentials)
	assert.Equal(t, form.Get("token"), saved.Events.Token)
	assert.WithinDuration(t, time.Now().Add(time.Hour), saved.FormerUntil, 10*time.Minute)
}

// The mode is changed by way of compatible mode without losing a push, in the steps that the
// page says; beside safe mode nothing is taken in the clear.
func TestTheModeIsChanged(t *testing.T) {
	t.Parallel()
	wx := wechatqrtest.Start(t, wechatqrtest.WithRetryDelay(0))
	db := filepath.Join(t.TempDir(), "desk.db")
	keys := wx.CallbackConfig()
	a := setup.Account{Credentials: wx.Credentials(), Events: keys, Location: time.UTC}
	a.Events.Plaintext, a.Events.EncodingAESKey = true, ""
	require.NoError(t, a.WriteFile(accountFileOf(db)))
	d := startUnset(t, wx, db)
	admin, followed := d.as(web.Admin), 0
	_, body := get(t, admin, d.origin+accountPath)
	assert.Contains(t, body, "先在微信后台选“兼容模式”")
	aesKey := valueOf(body, "aeskey")
	follow := func(mode wechatqrtest.Mode, token string) error {
		callback := wechatqrtest.Callback{URL: d.origin + callbackPath, Token: token,
			EncodingAESKey: aesKey, Mode: mode}
		require.NoError(t, wx.SetCallback(callback))
		followed++
		_, err := wx.Follow(t.Context(), fmt.Sprint("o-", followed))
		return err
	}
	save := func(mode, token string) string {
		status, body := post(t, admin, d.origin+accountPath, url.Values{
			"mode": {mode}, "token": {token}, "aeskey": {aesKey}, "zone": {"UTC"}, "days": {"0"},
		})
		require.Equal(t, http.StatusOK, status, body)
		return body
	}

	require.NoError(t, follow(wechatqrtest.ModePlain, keys.Token))
	require.NoError(t, follow(wechatqrtest.ModeCompatible, keys.Token))
	assert.Contains(t, save("safe", "another"), "<strong>安全模式</strong>")
	require.NoError(t, follow(wechatqrtest.ModeCompatible, keys.Token))
	require.Error(t, follow(wechatqrtest.ModePlain, keys.Token))
	require.NoError(t, follow(wechatqrtest.ModeSafe, "another"))

	require.NoError(t, follow(wechatqrtest.ModeCompatible, "another"))
	assert.Contains(t, save("plaintext", ""), "<strong>明文模式</strong>")
	require.NoError(t, follow(wechatqrtest.ModeCompatible, "another"))
	require.NoError(t, follow(wechatqrtest.ModePlain, "another"))
	require.Error(t, follow(wechatqrtest.ModeSafe, "another"))
}

// What another process has set up meanwhile is taken, and not replaced.
func TestSetUpElsewhere(t *testing.T) {
	t.Parallel()
	wx := wechatqrtest.Start(t)
	db := filepath.Join(t.TempDir(), "desk.db")
	d := startUnset(t, wx, db)
	admin := d.as(web.Admin)
	a := setup.Account{
		Credentials: wx.Credentials(), Events: wx.CallbackConfig(), Location: time.UTC,
	}
	require.NoError(t, a.WriteFile(accountFileOf(db)))
	form := url.Values{
		"appid": {wx.Credentials().AppID}, "secret": {wx.Credentials().AppSecret}, "mode": {"safe"},
		"token": {"token123"}, "aeskey": {a.Events.EncodingAESKey}, "zone": {"UTC"}, "days": {"0"},
	}
	status, body := post(t, admin, d.origin+accountPath, form)
	assert.Equal(t, http.StatusUnprocessableEntity, status)
	assert.Contains(t, body, "已经设置好了")
	saved, err := setup.ReadFile(accountFileOf(db))
	require.NoError(t, err)
	assert.Equal(t, a.Events.Token, saved.Events.Token)
	d.pushTo(a.Events.Token, a.Events.EncodingAESKey)
	_, err = wx.Follow(t.Context(), "o-ann")
	require.NoError(t, err)
}

// The database goes away when the desk is opened again for a changed account: the program goes
// on when it is back.
func TestTheDatabaseIsAwayAfterAChange(t *testing.T) {
	t.Parallel()
	wx := wechatqrtest.Start(t)
	dir, file := filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "account")
	require.NoError(t, os.Mkdir(dir, 0o700))
	a := setup.Account{
		Credentials: wx.Credentials(), Events: wx.CallbackConfig(), Location: time.UTC,
	}
	require.NoError(t, a.WriteFile(file))
	d := startUnset(t, wx, filepath.Join(dir, "desk.db"), "-account", file)
	admin := d.as(web.Admin)
	require.NoError(t, os.Rename(dir, dir+"-away"))
	status, body := post(t, admin, d.origin+accountPath,
		url.Values{"mode": {"safe"}, "token": {"another"}, "zone": {"UTC"}, "days": {"0"}})
	require.Equal(t, http.StatusOK, status, body)
	waitFor(t, "a failure", func() bool {
		return strings.Contains(d.stderr.String(), "the desk cannot be opened again")
	})
	require.NoError(t, os.Rename(dir+"-away", dir))
	waitFor(t, "the desk", func() bool {
		return statusOf(t, admin, http.MethodGet, d.origin+"/healthz") == http.StatusOK
	})
	d.pushTo("another", a.Events.EncodingAESKey)
	_, err := wx.Follow(t.Context(), "o-ann")
	require.NoError(t, err)
}

// What is set up, and changed, in one process another one takes over.
func TestProcessesShareTheAccount(t *testing.T) {
	t.Parallel()
	wx := wechatqrtest.Start(t)
	db := filepath.Join(t.TempDir(), "desk.db")
	one, other := startUnset(t, wx, db), startUnset(t, wx, db)
	admin := one.as(web.Admin)
	_, body := get(t, admin, one.origin+accountPath)
	form := url.Values{
		"appid": {wx.Credentials().AppID}, "secret": {wx.Credentials().AppSecret}, "mode": {"safe"},
		"token": {valueOf(body, "token")}, "aeskey": {valueOf(body, "aeskey")}, "zone": {"UTC"},
		"days": {"0"},
	}
	followed := 0
	counts := func() bool {
		followed++
		_, err := wx.Follow(t.Context(), fmt.Sprint("o-", followed))
		return err == nil
	}
	status, body := post(t, admin, one.origin+accountPath, form)
	require.Equal(t, http.StatusOK, status, body)
	other.pushTo(form.Get("token"), form.Get("aeskey"))
	waitFor(t, "the account", counts)

	form.Set("token", "another")
	waitFor(t, "the change", func() bool { // the desk may be opening
		status, _ := post(t, admin, one.origin+accountPath, form)
		return status == http.StatusOK
	})
	other.pushTo("another", form.Get("aeskey"))
	waitFor(t, "the new Token", counts)
}

// A file that is gone or damaged is not taken over: the desk goes on counting.
func TestAccountChanged(t *testing.T) {
	t.Parallel()
	wx := wechatqrtest.Start(t)
	c := config{accountFile: filepath.Join(t.TempDir(), "account")}
	a := setup.Account{
		Credentials: wx.Credentials(), Events: wx.CallbackConfig(), Location: time.UTC,
	}
	read := func() { require.NoError(t, c.readAccount()) }
	write := func() { require.NoError(t, a.WriteFile(c.accountFile)) }
	read()
	assert.False(t, c.accountChanged(), "there is none")
	write()
	assert.True(t, c.accountChanged(), "the first")
	read()
	assert.False(t, c.accountChanged(), "the same")
	write()
	assert.True(t, c.accountChanged(), "another")
	require.NoError(t, os.WriteFile(c.accountFile, []byte("{"), 0o600))
	assert.False(t, c.accountChanged(), "a damaged one")
	require.NoError(t, os.Remove(c.accountFile))
	assert.False(t, c.accountChanged(), "none any more")
}

// An account of the environment is not changed by the page.
func TestTheEnvironmentIsNotChanged(t *testing.T) {
	t.Parallel()
	d := newTestDesk(t)
	admin := d.as(t, web.Admin)
	_, body := get(t, admin, d.origin+accountPath)
	assert.Contains(t, body, "环境变量")
	assert.NotContains(t, body, `action="`+accountPath)
	status, _ := post(t, admin, d.origin+accountPath, url.Values{"token": {"token123"}})
	assert.Equal(t, http.StatusUnprocessableEntity, status)
	_, body = get(t, admin, d.origin+"/settings")
	assert.Contains(t, body, "来自环境变量")
}

// A part of the account in the environment is a mistake.
func TestPartOfTheEnvironment(t *testing.T) {
	t.Parallel()
	getenv := func(name string) string { return map[string]string{"WECHAT_TOKEN": "abc"}[name] }
	_, err := parseConfig(nil, getenv, os.Stderr)
	require.ErrorContains(t, err, "WECHAT_APP_ID")
	c, err := parseConfig([]string{"-db", "a/b.db"}, noEnv, os.Stderr)
	require.NoError(t, err)
	assert.Equal(t, "b.account", filepath.Base(c.accountFile))
	assert.Equal(t, "a", filepath.Base(filepath.Dir(c.accountFile)))
}
