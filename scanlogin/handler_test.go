package scanlogin_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/scanlogin"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// visit is a browser at a page. Its requests reach the handler over a connection.
type visit struct {
	*world
	http   *http.Client
	accept string
	last   *http.Response // the latest, after redirects
}

// atSite sends requests for the site to where its handler listens, as a proxy that
// does TLS does.
type atSite struct {
	host string
	next http.RoundTripper
}

func (a atSite) RoundTrip(asked *http.Request) (*http.Response, error) {
	r := asked.Clone(asked.Context())
	r.Host = r.URL.Host
	r.URL.Scheme, r.URL.Host = "http", a.host
	resp, err := a.next.RoundTrip(r)
	if err == nil {
		resp.Request = asked
	}
	return resp, err
}

// mount serves the site's handler and returns what makes a browser.
func (w *world) mount(h http.Handler) func() *visit {
	w.Helper()
	callback := w.wx.Callback().URL
	address, err := url.Parse(w.wx.ServeCallback(h))
	require.NoError(w, err)
	require.NoError(w, w.wx.SetCallback(wechatqrtest.Callback{URL: callback}))
	return func() *visit {
		jar, err := cookiejar.New(nil)
		require.NoError(w, err)
		base := w.wx.HTTPClient().Transport.(*http.Transport)
		w.Cleanup(base.CloseIdleConnections)
		c := &http.Client{Jar: jar, Transport: atSite{address.Host, base}}
		return &visit{world: w, http: c, accept: "text/html,*/*;q=0.8"}
	}
}

func (b *visit) do(method, query string, form url.Values, headers ...string) string {
	b.Helper()
	req, err := http.NewRequestWithContext(b.Context(), method, pageURL+query,
		strings.NewReader(form.Encode()))
	require.NoError(b, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", b.accept)
	req.Header.Set("Accept-Language", "en-US,en;q=0.9")
	req.Header.Set("User-Agent", "Mozilla/5.0 (Windows NT 10.0) Gecko/20100101 Firefox/140.0")
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	b.last, err = b.http.Do(req)
	require.NoError(b, err)
	defer b.last.Body.Close()
	body, err := io.ReadAll(b.last.Body)
	require.NoError(b, err)
	return string(body)
}

func (b *visit) get(query string, headers ...string) string {
	b.Helper()
	return b.do(http.MethodGet, query, nil, headers...)
}

func (b *visit) post(do string, form ...string) string {
	b.Helper()
	values := url.Values{"do": {do}}
	for i := 0; i < len(form); i += 2 {
		values.Set(form[i], form[i+1])
	}
	return b.do(http.MethodPost, "", values)
}

// status is that of a response in JSON.
func (b *visit) status(body string) (s scanlogin.Status) {
	b.Helper()
	require.Equal(b, "application/json", b.last.Header.Get("Content-Type"), body)
	require.NoError(b, json.Unmarshal([]byte(body), &s))
	return s
}

// welcome says who has logged in, as a site never would.
func welcome(w http.ResponseWriter, _ *http.Request, r scanlogin.Result) {
	fmt.Fprintf(w, "welcome %s %s new=%t", r.OpenID, r.User.Name, r.New)
}

func TestPage(t *testing.T) {
	inWorld(t, func(w *world) {
		b := w.mount(w.login.Handler(welcome))()
		page := b.get("")
		assert.Contains(w, page, `data-state="none" data-content="" data-auto`)
		assert.Empty(w, w.wx.QRCodes(), "to look at the page takes no code")

		page = b.post("begin")
		code := w.code()
		assert.Equal(w, pageURL+"?begun=&lang=en", b.last.Request.URL.String())
		assert.Contains(w, page, `data-state="waiting" data-content="`+code.Content+`"`)
		assert.NotContains(w, page, "data-auto")
		assert.NotContains(w, page, code.Scene())
		_, picture, _ := strings.Cut(page, `src="?picture`)
		picture, _, _ = strings.Cut(picture, `"`)
		want, err := w.wx.Picture(code.Ticket)
		require.NoError(w, err)
		assert.Equal(w, string(want), b.get("?picture"+picture))
		assert.Equal(w, "image/jpeg", b.last.Header.Get("Content-Type"))

		b.post("begin")
		assert.Equal(w, page, b.get("?begun=&lang=en"), "reloading makes no new one")
		assert.Len(w, w.wx.QRCodes(), 1)

		number := numberIn(w.scan(code, "o-wang"))
		page = b.get("")
		assert.Contains(w, page, `name="number"`)
		assert.NotContains(w, page, number)
		assert.NotContains(w, page, "o-wang")
		b.get("?picture=1")
		assert.Equal(w, http.StatusNotFound, b.last.StatusCode)
		assert.Contains(w, b.post("confirm", "number", wrong(number)), "Tries left: 4")

		assert.Equal(w, "welcome o-wang  new=true", b.post("confirm", "number", number))
		assert.Equal(w, pageURL, b.last.Request.URL.String())
		assert.Empty(w, b.last.Header.Get("Content-Security-Policy"), "it is the page's")
		assert.NotContains(w, b.post("confirm", "number", number), "welcome")
		assert.Contains(w, b.get(""), "Logged in.")
		for _, secret := range []string{"o-wang", number} {
			assert.NotContains(w, w.log.String(), secret)
		}
	})
}

func TestCookie(t *testing.T) {
	inWorld(t, func(w *world) {
		start := func(h http.Handler) *http.Cookie {
			r := httptest.NewRequest(http.MethodPost, pageURL, strings.NewReader("do=begin"))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			rec := httptest.NewRecorder()
			h.ServeHTTP(rec, r)
			require.Len(w, rec.Result().Cookies(), 1)
			return rec.Result().Cookies()[0]
		}
		c := start(w.login.Handler(welcome))
		assert.Equal(w, "__Host-login-scan", c.Name)
		assert.True(w, c.Secure && c.HttpOnly && c.Domain == "" && c.Path == "/")
		assert.Equal(w, http.SameSiteLaxMode, c.SameSite)
		assert.NotContains(w, fmt.Sprint(w.code()), c.Value)

		local, err := scanlogin.New(w.wx.Client(), "http://127.0.0.1:8080/",
			scanlogin.WithPrefix("shop-"))
		require.NoError(w, err)
		c = start(local.Handler(welcome))
		assert.Equal(w, "shop-scan", c.Name)
		assert.False(w, c.Secure)
	})
}

// A cookie that was planted in a browser, or seen in it, opens nothing afterwards.
func TestFixation(t *testing.T) {
	inWorld(t, func(w *world) {
		open := w.mount(w.login.Handler(welcome))
		victim, attacker := open(), open()
		address, err := url.Parse(pageURL)
		require.NoError(w, err)
		victim.post("begin")
		number := numberIn(w.scan(w.code(), "o-victim"))
		cookies := victim.http.Jar.Cookies(address)
		attacker.http.Jar.SetCookies(address, cookies)
		require.Contains(w, victim.post("confirm", "number", number), "welcome")
		assert.NotContains(w, attacker.post("confirm", "number", number), "welcome")
		attacker.post("begin")
		assert.NotEqual(w, cookies, attacker.http.Jar.Cookies(address))
	})
}

// Each state has its page in both languages, and its text in the chat.
func TestStates(t *testing.T) {
	for _, c := range []struct {
		state        scanlogin.State
		en, zh, chat string
		opts         []scanlogin.Option
		reach        func(w *world, b *visit)
		status       int
		again        bool // a new code is offered
	}{
		{state: scanlogin.StateNone, en: "Scan a code with WeChat to go on", zh: "用微信扫描二维码即可继续",
			reach: func(*world, *visit) {}, again: true},
		{state: scanlogin.StateWaiting, en: "good for five minutes", zh: "五分钟内有效",
			chat:  "The number for the login",
			reach: func(_ *world, b *visit) { b.post("begin") }},
		{state: scanlogin.StateScanned, en: "Type the number", zh: "请输入微信会话里收到的验证码",
			chat:  "The number for the login",
			reach: func(w *world, b *visit) { b.post("begin"); w.scan(w.code(), "o-wang") },
			again: true},
		{state: scanlogin.StateScanned, en: "Open the link", zh: "请在手机上打开",
			chat:  "Open this page within five minutes",
			opts:  []scanlogin.Option{scanlogin.WithLink(nil)},
			reach: func(w *world, b *visit) { b.post("begin"); w.scan(w.code(), "o-wang") },
			again: true},
		{state: scanlogin.StateUsed, en: "More than one person", zh: "不止一个人",
			chat: "Somebody else has scanned",
			reach: func(w *world, b *visit) {
				b.post("begin")
				w.scan(w.code(), "o-first")
				w.scan(w.code(), "o-second")
			}, again: true},
		{state: scanlogin.StateConfirmed, en: "One moment", zh: "正在继续",
			chat:  "The login is confirmed",
			opts:  []scanlogin.Option{scanlogin.WithOneTap()},
			reach: func(w *world, b *visit) { b.post("begin"); w.scan(w.code(), "o-wang") }},
		{state: scanlogin.StateDone, en: "Logged in", zh: "已登录", chat: "This code was used",
			reach: func(w *world, b *visit) {
				b.post("begin")
				b.post("confirm", "number", numberIn(w.scan(w.code(), "o-wang")))
			}, again: true},
		{state: scanlogin.StateExpired, en: "The code has expired", zh: "二维码已过期",
			chat:  "This code has expired",
			reach: func(_ *world, b *visit) { b.post("begin"); time.Sleep(lifetime) }, again: true},
		{state: scanlogin.StateRefused, en: "refused or cancelled", zh: "已被拒绝或取消",
			chat:  "refused or cancelled",
			reach: func(_ *world, b *visit) { b.post("begin"); b.post("cancel") }, again: true},
		{state: scanlogin.StateTooMany, en: "Too many requests", zh: "请求过多",
			status: http.StatusTooManyRequests,
			opts:   []scanlogin.Option{scanlogin.WithLimits(scanlogin.Limits{PerDay: 1})},
			reach:  func(w *world, _ *visit) { w.begin() }, again: true},
	} {
		t.Run(string(c.state), func(t *testing.T) {
			inWorld(t, func(w *world) {
				b := w.mount(w.login.Handler(welcome))()
				c.reach(w, b)
				for lang, want := range map[string]string{"en": c.en, "zh": c.zh} {
					page := b.get("?lang=" + lang)
					if c.state == scanlogin.StateTooMany {
						page = b.do(http.MethodPost, "?lang="+lang, url.Values{"do": {"begin"}})
						assert.NotEmpty(w, b.last.Header.Get("Retry-After"))
					}
					assert.Equal(w, max(c.status, http.StatusOK), b.last.StatusCode)
					assert.Contains(w, page, `data-state="`+string(c.state)+`"`)
					_, text, _ := strings.Cut(page, `role="status">`)
					text, _, _ = strings.Cut(text, "</p>")
					assert.Contains(w, text, want)
					assert.Equal(w, c.again, strings.Contains(page, `value="begin"`))
					assert.Contains(w, page,
						`<html lang="`+map[string]string{"en": "en", "zh": "zh-CN"}[lang])
				}
				if c.chat != "" {
					who := map[bool]string{true: "o-third",
						false: "o-wang"}[c.state == scanlogin.StateUsed]
					assert.Contains(w, w.scan(w.code(), who), c.chat)
				}
			}, c.opts...)
		})
	}
}

func TestLanguage(t *testing.T) {
	inWorld(t, func(w *world) {
		b := w.mount(w.login.Handler(welcome))()
		for accept, want := range map[string]string{
			"zh-CN,zh;q=0.9,en;q=0.8": "zh-CN", "en-GB": "en",
			"de,zh-TW;q=0.5": "zh-CN", "de": "en",
			"": "zh-CN",
		} {
			page := b.get("", "Accept-Language", accept)
			assert.Contains(w, page, `<html lang="`+want+`"`, accept)
		}
		page := b.get("", "Accept-Language", "zh")
		assert.Contains(w, page, `<a href="?lang=en" lang="en" hreflang="en">English</a>`)
		b.do(http.MethodPost, "?lang=en", url.Values{"do": {"begin"}}, "Accept-Language", "zh")
		assert.Equal(w, "en", b.last.Request.URL.Query().Get("lang"), "the choice goes along")
	})
}

func TestAPI(t *testing.T) {
	inWorld(t, func(w *world) {
		b := w.mount(w.login.Handler(welcome))()
		b.accept = "application/json"
		assert.Equal(w, scanlogin.StateNone, b.status(b.get("")).State)
		s := b.status(b.post("begin"))
		assert.Equal(w, http.StatusOK, b.last.StatusCode)
		assert.Equal(w, w.code().Content, s.Content)
		number := numberIn(w.scan(w.code(), "o-wang"))
		s = b.status(b.get("?wait=waiting"))
		assert.Equal(w, scanlogin.StateScanned, s.State)
		s = b.status(b.post("confirm", "number", wrong(number)))
		assert.Equal(w, http.StatusConflict, b.last.StatusCode)
		assert.Equal(w, 1, s.Wrong)
		start := time.Now()
		s = b.status(b.get("?wait=scanned"))
		assert.Equal(w, scanlogin.StateScanned, s.State)
		assert.Equal(w, 25*time.Second, time.Since(start))
		assert.Equal(w, "welcome o-wang  new=true", b.post("confirm", "number", number))

		b.status(b.post("begin"))
		assert.Equal(w, scanlogin.StateRefused, b.status(b.post("cancel")).State)
		w.login.Close()
		b.status(b.post("begin"))
		b.get("?wait=waiting")
		assert.Equal(w, http.StatusServiceUnavailable, b.last.StatusCode)
	})
}

// The poll ends while the store is asked once more, or for the first time.
func TestPollOfASlowStore(t *testing.T) {
	memory := scanlogin.NewMemory()
	slow := &stalled{Store: memory}
	inWorld(t, func(w *world) {
		b := w.mount(w.newLogin(scanlogin.WithStore(memory)).Handler(welcome))()
		polled := w.mount(w.login.Handler(welcome))()
		polled.http.Jar, polled.accept = b.http.Jar, "application/json"
		b.post("begin")
		slow.load = 700 * time.Millisecond
		s := polled.status(polled.get("?wait=waiting"))
		assert.Equal(w, http.StatusOK, polled.last.StatusCode)
		assert.Equal(w, scanlogin.StateWaiting, s.State)
		slow.load = time.Minute
		polled.get("?wait=waiting")
		assert.Equal(w, http.StatusBadGateway, polled.last.StatusCode)
	}, scanlogin.WithStore(slow))
}

// stream is what a browser reads of server-sent events.
type stream struct{ lines chan string }

func (b *visit) stream() *stream {
	b.Helper()
	ctx, cancel := context.WithCancel(b.Context())
	b.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, pageURL, nil)
	require.NoError(b, err)
	req.Header.Set("Accept", "text/event-stream")
	resp, err := b.http.Do(req)
	require.NoError(b, err)
	require.Equal(b, "text/event-stream", resp.Header.Get("Content-Type"))
	s := &stream{make(chan string, 100)}
	go func() {
		defer close(s.lines)
		defer resp.Body.Close()
		for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
			if lines.Text() != "" {
				s.lines <- lines.Text()
			}
		}
	}()
	return s
}

func (s *stream) state() string {
	_, state, _ := strings.Cut(<-s.lines, `{"state":"`)
	state, _, _ = strings.Cut(state, `"`)
	return state
}

func TestStream(t *testing.T) {
	inWorld(t, func(w *world) {
		b := w.mount(w.login.Handler(welcome))()
		none := b.stream()
		assert.Equal(w, "none", none.state())
		assert.Empty(w, <-none.lines, "it has ended")

		b.post("begin")
		first := b.stream()
		assert.Equal(w, "waiting", first.state())
		second := b.stream()
		assert.Equal(w, "waiting", second.state())
		assert.Equal(w, "event: superseded", <-first.lines)
		assert.Equal(w, "data: {}", <-first.lines)
		assert.Empty(w, <-first.lines, "one stream a browser")

		time.Sleep(20 * time.Second)
		assert.Equal(w, ":", <-second.lines, "a proxy sees that it lives")
		start := time.Now()
		number := numberIn(w.scan(w.code(), "o-wang"))
		for line := range second.lines {
			if line != ":" {
				assert.Contains(w, line, `data: {"state":"scanned",`)
				assert.NotContains(w, line, number)
				assert.NotContains(w, line, "o-wang")
				break
			}
		}
		assert.Equal(w, start, time.Now(), "at once")
		b.post("confirm", "number", number)
		assert.Equal(w, "done", second.state())
		assert.Empty(w, <-second.lines, "nothing comes after it")

		b.post("begin")
		last := b.stream()
		assert.Equal(w, "waiting", last.state())
		w.login.Close()
		assert.Empty(w, <-last.lines, "it ends, and the browser comes again")
	})
}

// A stream is held for what is under way alone, which Limits bound.
func TestStreamsOfStrangers(t *testing.T) {
	inWorld(t, func(w *world) {
		h := w.login.Handler(welcome)
		for i := range 1000 {
			for _, accept := range []string{"text/event-stream", "application/json"} {
				r := httptest.NewRequest(http.MethodGet, pageURL+"?wait=expired", nil)
				r.Header.Set("Accept", accept)
				r.AddCookie(&http.Cookie{Name: "__Host-login-scan", Value: fmt.Sprint("guess", i)})
				rec := httptest.NewRecorder()
				h.ServeHTTP(rec, r) // returns
				require.Contains(w, rec.Body.String(), `"state":"expired"`)
			}
		}
	})
}

func TestOtherOrigins(t *testing.T) {
	inWorld(t, func(w *world) {
		b := w.mount(w.login.Handler(welcome))()
		for _, headers := range [][]string{
			{"Origin", "https://evil.example"}, {"Origin", "null"},
			{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"},
		} {
			for _, do := range []string{"begin", "confirm", "cancel", "approve"} {
				b.do(http.MethodPost, "", url.Values{"do": {do}, "token": {"x"}}, headers...)
				assert.Equal(w, http.StatusForbidden, b.last.StatusCode, "%s %s", do, headers)
			}
		}
		assert.Empty(w, w.wx.QRCodes())

		b.do(http.MethodPost, "?next=//evil.example&return_to=https://evil.example",
			url.Values{"do": {"begin"}},
			"Origin", shopSite)
		assert.Equal(w, pageURL+"?begun=&lang=en", b.last.Request.URL.String())
		for query, kind := range map[string]string{
			"": "text/html", "?style": "text/css", "?script": "text/javascript",
			"?lang=zh":   "text/html",
			"?do=cancel": "text/html", "?do=confirm&number=1": "text/html",
			"?do=begin": "text/html",
		} {
			b.get(query)
			h := b.last.Header
			assert.Equal(w, kind+"; charset=utf-8", h.Get("Content-Type"), query)
			assert.Equal(w, "nosniff", h.Get("X-Content-Type-Options"), query)
			assert.Contains(w, h.Get("Content-Security-Policy"), "frame-ancestors 'none'", query)
			assert.NotContains(w, h.Get("Content-Security-Policy"), "unsafe", query)
			assert.Equal(w, kind == "text/html", h.Get("Cache-Control") == "no-store", query)
		}
		assert.Len(w, w.wx.QRCodes(), 1, "a link changes nothing")
		assert.Contains(w, b.get(""), `data-state="waiting"`)

		b.do(http.MethodPut, "", nil)
		assert.Equal(w, http.StatusMethodNotAllowed, b.last.StatusCode)
		b.post("something")
		assert.Equal(w, http.StatusBadRequest, b.last.StatusCode)
		number := numberIn(w.scan(w.code(), "o-wang"))
		assert.NotContains(w,
			b.post("confirm", "number", strings.Repeat(" ", 4<<10)+number), "welcome",
			"that much is not read")
		time.Sleep(time.Second) // until the server has closed that connection
	})
}

func TestBindPage(t *testing.T) {
	inWorld(t, func(w *world) {
		mux := http.NewServeMux()
		mux.Handle("/login", w.login.Handler(welcome))
		bind := w.login.Bind(func(r *http.Request) (scanlogin.User, bool) {
			name := r.Header.Get("X-User")
			return scanlogin.User{ID: strings.Trim(name, "-"), Name: name}, name != ""
		}, welcome)
		b := w.mount(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if r.Header.Get("X-Login") != "" {
				mux.ServeHTTP(rw, r)
				return
			}
			bind.ServeHTTP(rw, r)
		}))()
		for _, nobody := range []string{"", "-"} {
			b.get("", "X-User", nobody)
			assert.Equal(w, http.StatusUnauthorized, b.last.StatusCode)
		}

		page := b.do(http.MethodPost, "", url.Values{"do": {"begin"}}, "X-User", "alice")
		assert.Contains(w, page, "Connect WeChat")
		assert.Contains(w, page, "<b>alice</b>")
		number := numberIn(w.scan(w.code(), "o-wang"))
		form := url.Values{"do": {"confirm"}, "number": {number}}
		assert.NotContains(w, b.do(http.MethodPost, "", form, "X-User", "bob"), "welcome")
		assert.NotContains(w, b.do(http.MethodPost, "", form, "X-Login", "1"), "welcome")
		assert.Equal(w, "welcome o-wang alice new=true",
			b.do(http.MethodPost, "", form, "X-User", "alice"))

		b.do(http.MethodPost, "", url.Values{"do": {"begin"}}, "X-Login", "1")
		form.Set("number", numberIn(w.scan(w.code(), "o-wang")))
		assert.NotContains(w, b.do(http.MethodPost, "", form, "X-User", "alice"), "welcome")
		assert.Equal(w, "welcome o-wang  new=false",
			b.do(http.MethodPost, "", form, "X-Login", "1"))
	})
}

func TestLink(t *testing.T) {
	place := func(a netip.Addr) string { return "Shanghai <" + a.String() + ">" }
	inWorld(t, func(w *world) {
		open := w.mount(w.login.Handler(welcome))
		b, phone := open(), open()
		link := func(who string) string {
			_, query, ok := strings.Cut(w.scan(w.code(), who), pageURL)
			require.True(w, ok)
			return query
		}
		begun := time.Now()
		b.post("begin")
		old := link("o-wang")
		query := link("o-wang")
		assert.Contains(w, phone.get(old), "This has expired", "the latest is good")
		for range 2 {
			assert.Contains(w, w.scan(w.code(), "o-li"), "Somebody else has scanned")
		}
		page := phone.get(query)
		for _, text := range []string{
			"Let this browser log in as you?", "Firefox, Windows", "Shanghai &lt;198.51.100.4&gt;",
			begun.Format("2006-01-02 15:04:05"),
		} {
			assert.Contains(w, page, text)
		}
		assert.NotContains(w, page, "o-wang")
		assert.NotContains(w, query, "o-wang")
		token, err := url.QueryUnescape(strings.TrimPrefix(query, "?confirm="))
		require.NoError(w, err)

		// The browser, and whoever sees the scene, cannot confirm by themselves.
		id := strings.TrimPrefix(w.code().Scene(), "login-")
		for _, guess := range []string{id, id + ".", id + ".x", "x." + token,
			token[:len(token)-1]} {
			assert.Contains(w, b.post("approve", "token", guess), "This has expired")
		}
		assert.NotContains(w, b.post("confirm"), "welcome")
		assert.NotContains(w, b.post("confirm", "number", ""), "welcome")
		assert.Contains(w, b.get(""), `data-state="used"`)

		assert.Contains(w, phone.post("approve", "token", token), "Go back to the other screen")
		assert.Contains(w, b.get(""), `data-state="confirmed" data-content="" data-auto`)
		assert.Equal(w, "welcome o-wang  new=true", b.post("confirm"))
		assert.Contains(w, phone.post("refuse", "token", token), "Go back", "it is done")

		b.post("begin")
		token, err = url.QueryUnescape(strings.TrimPrefix(link("o-wang"), "?confirm="))
		require.NoError(w, err)
		phone.post("approve", "token", token)
		assert.Contains(w, phone.post("refuse", "token", token), "Refused")
		assert.Contains(w, phone.post("approve", "token", token), "Refused")
		assert.NotContains(w, b.post("confirm"), "welcome")

		b.post("begin")
		query = link("o-wang")
		_, err = w.wx.Unfollow(w.Context(), "o-wang")
		require.NoError(w, err)
		assert.Contains(w, phone.get(query), "Refused")
		assert.NotContains(w, w.log.String(), token)
	}, scanlogin.WithLink(place), scanlogin.WithClientIP(func(*http.Request) netip.Addr {
		return netip.MustParseAddr("198.51.100.4")
	}))
}

func TestBrowserWithoutCookies(t *testing.T) {
	inWorld(t, func(w *world) {
		b := w.mount(w.login.Handler(welcome))()
		b.http.Jar = nil
		page := b.post("begin")
		assert.Contains(w, page, "did not keep the cookie")
		assert.NotContains(w, page, "data-auto", "it would go on for ever")
	})
}

func TestWeChatFails(t *testing.T) {
	inWorld(t, func(w *world) {
		b := w.mount(w.login.Handler(welcome))()
		w.wx.Inject(wechatqrtest.Fault{Path: "/cgi-bin/qrcode/create", Times: 1, Code: 48001})
		page := b.post("begin")
		assert.Equal(w, http.StatusBadGateway, b.last.StatusCode)
		assert.Contains(w, page, "does not work right now")
		assert.NotContains(w, page, "data-auto")
		assert.NotContains(w, page, "48001")
		assert.Contains(w, w.log.String(), "48001")

		b.post("begin")
		w.wx.Inject(wechatqrtest.Fault{Path: "/cgi-bin/showqrcode", Times: 1, Status: 404})
		b.get("?picture=1")
		assert.Equal(w, http.StatusBadGateway, b.last.StatusCode)
		b.get("?picture=1")
		assert.Equal(w, http.StatusOK, b.last.StatusCode)
	})
}

// panickingHandler is a log handler with a fault.
type panickingHandler struct{ slog.Handler }

func (panickingHandler) Enabled(context.Context, slog.Level) bool { panic("handler") }

func TestLoggerPanics(t *testing.T) {
	logger := scanlogin.WithLogger(slog.New(panickingHandler{}))
	inWorld(t, func(w *world) {
		b := w.mount(w.login.Handler(welcome))()
		w.wx.Inject(wechatqrtest.Fault{Path: "/cgi-bin/qrcode/create", Times: 1, Code: 40013})
		b.post("begin")
		assert.Equal(w, http.StatusBadGateway, b.last.StatusCode)
		b.post("begin")
		b.http.Jar, _ = cookiejar.New(nil) // has no error
		b.post("begin")
		assert.Equal(w, http.StatusTooManyRequests, b.last.StatusCode)
	}, logger, scanlogin.WithLimits(scanlogin.Limits{PerClient: 2}))
}

func TestFloodOverHTTP(t *testing.T) {
	inWorld(t, func(w *world) {
		h := w.login.Handler(welcome)
		start := func(address string) int {
			r := httptest.NewRequest(http.MethodPost, pageURL, strings.NewReader("do=begin"))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set("X-Forwarded-For", "203.0.113.8") // anybody can say so
			r.RemoteAddr = address
			rec := httptest.NewRecorder()
			h.ServeHTTP(rec, r)
			return rec.Code
		}
		codes := map[int]int{}
		for i := range 10_000 {
			codes[start(fmt.Sprint("198.51.100.9:", 1024+i))]++
		}
		assert.Equal(w,
			map[int]int{http.StatusSeeOther: 30, http.StatusTooManyRequests: 9970}, codes)
		assert.Equal(w, http.StatusSeeOther, start("203.0.113.7:1024"))
		assert.Equal(w, http.StatusSeeOther, start("[2001:db8::1]:1024"))
	})
}

func TestTemplateOfOnesOwn(t *testing.T) {
	t.Run("that works", func(t *testing.T) {
		own := template.Must(template.New("").Parse(
			`{{.State}} {{.Lang}} {{.Say "你好" "hello"}} {{.Number}}`))
		inWorld(t, func(w *world) {
			open := w.mount(w.login.Handler(welcome))
			assert.Equal(w, "none en hello false", open().get(""))
		}, scanlogin.WithTemplate(own))
	})
	t.Run("that fails", func(t *testing.T) {
		bad := template.Must(template.New("").Parse(`begins {{.Nothing}}`))
		inWorld(t, func(w *world) {
			b := w.mount(w.login.Handler(welcome))()
			assert.NotContains(w, b.get(""), "begins")
			assert.Equal(w, http.StatusInternalServerError, b.last.StatusCode)
		}, scanlogin.WithTemplate(bad))
	})
}

// The handler does not know where it is mounted.
func TestMountedElsewhere(t *testing.T) {
	inWorld(t, func(w *world) {
		h := http.StripPrefix("/login", w.login.Handler(welcome))
		b := w.mount(h)()
		assert.Contains(w, b.post("begin"), `data-state="waiting"`)
		assert.Equal(w, pageURL, strings.Split(b.last.Request.URL.String(), "?")[0])
	})
}

func TestStoreFailsDuringAStream(t *testing.T) {
	var fails atomic.Bool
	store := &observed{Store: scanlogin.NewMemory(), before: func(string, string) error {
		if fails.Load() {
			return io.ErrUnexpectedEOF
		}
		return nil
	}}
	inWorld(t, func(w *world) {
		b := w.mount(w.login.Handler(welcome))()
		b.post("begin")
		s := b.stream()
		assert.Equal(w, "waiting", s.state())
		synctest.Wait()
		fails.Store(true)
		time.Sleep(2 * time.Second)
		assert.Empty(w, <-s.lines, "it ends, and the browser comes again")
		assert.Contains(w, w.log.String(), "unexpected EOF")
		b.accept = "application/json"
		b.get("?wait=waiting")
		assert.Equal(w, http.StatusBadGateway, b.last.StatusCode)
	}, scanlogin.WithStore(store))
}

// Whichever operation of the store fails, the page says so and shows no more, nobody is
// let in twice, and the second time it works.
func TestEachOperationOfTheStoreFails(t *testing.T) {
	for name, opts := range map[string][]scanlogin.Option{
		"number": nil, "link": {scanlogin.WithLink(nil)},
	} {
		for n := range 30 {
			t.Run(fmt.Sprint(name, " ", n), func(t *testing.T) {
				var ops atomic.Int32
				store := &observed{Store: scanlogin.NewMemory(),
					before: func(string, string) error {
						if ops.Add(1) == int32(n)+1 {
							return io.ErrUnexpectedEOF
						}
						return nil
					}}
				inWorld(t, func(w *world) {
					open := w.mount(w.login.Handler(welcome))
					b, phone := open(), open()
					welcomes := 0
					for welcomes == 0 && len(w.wx.QRCodes()) < 4 {
						b.post("begin")
						if b.last.StatusCode != http.StatusOK {
							continue
						}
						push, err := w.wx.Scan(w.Context(), w.code().Ticket, "o-wang")
						if err != nil {
							continue
						}
						if _, query, ok := strings.Cut(push.UserSees(), pageURL+"?confirm="); ok {
							token, err := url.QueryUnescape(query)
							require.NoError(w, err)
							phone.get("?confirm=" + query)
							phone.post("approve", "token", token)
						}
						for range 2 {
							page := b.post("confirm", "number", numberIn(push.UserSees()))
							welcomes += strings.Count(page, "welcome o-wang")
						}
						_, err = w.wx.Unfollow(w.Context(), "o-wang")
						if err != nil {
							require.Greater(w, ops.Load(), int32(n))
						}
						time.Sleep(time.Second) // who follows again does so later
					}
					assert.Equal(w, 1, welcomes)
				}, append(opts, scanlogin.WithStore(store))...)
			})
		}
	}
}

func TestPictureOfOnesOwn(t *testing.T) {
	inWorld(t, func(w *world) {
		b := w.mount(w.login.Handler(welcome))()
		b.post("begin")
		assert.Equal(w, "drawn "+w.code().Content, b.get("?picture=1"))
		assert.Equal(w, "image/png", b.last.Header.Get("Content-Type"))
	}, scanlogin.WithPicture(func(_ context.Context, t wechatqr.Ticket) (*wechatqr.QRCode, error) {
		return &wechatqr.QRCode{Data: []byte("drawn " + t.Content), ContentType: "image/png"}, nil
	}))
}

func TestBrowserNames(t *testing.T) {
	inWorld(t, func(w *world) {
		b := w.mount(w.login.Handler(welcome))()
		for agent, want := range map[string]string{
			"Mozilla/5.0 (Windows NT 10.0) Chrome/140.0 Safari/537.36 Edg/140.0": "Edge, Windows",
			"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Safari/605.1.15":    "Safari, macOS",
			"Mozilla/5.0 (Linux; Android 15) Chrome/140.0 Mobile Safari/537.36":  "Chrome, Android",
			"Mozilla/5.0 (iPhone; CPU iPhone OS 18_0) MicroMessenger/8.0":        "WeChat, iPhone",
			"curl/8.5 <b>":           "curl/8.5 &lt;b&gt;",
			strings.Repeat("x", 300): strings.Repeat("x", 40) + "…",
		} {
			b.do(http.MethodPost, "", url.Values{"do": {"begin"}}, "User-Agent", agent)
			_, query, ok := strings.Cut(w.scan(w.code(), "o-wang"), pageURL)
			require.True(w, ok)
			assert.Contains(w, b.get(query), "<dd>"+want+"</dd>")
		}
	}, scanlogin.WithLink(nil))
}
