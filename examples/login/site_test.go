package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// world is a site and a WeChat, both in memory.
type world struct {
	*testing.T
	wx     *wechatqrtest.Server
	site   *site
	origin string
}

// inWorld runs the test with a clock of its own.
func inWorld(t *testing.T, test func(*world)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t, wx: wechatqrtest.Start(t, wechatqrtest.WithoutNetwork())}
		address := w.wx.ServeCallback(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			w.site.routes().ServeHTTP(rw, r)
		}))
		w.origin = strings.TrimSuffix(address, "/")
		var err error
		w.site, err = newSite(w.wx.Client(), w.wx.CallbackConfig(), w.origin, log.New(t.Output(), "", 0))
		require.NoError(t, err)
		require.NoError(t, w.wx.SetCallback(wechatqrtest.Callback{URL: w.origin + "/wechat"}))
		test(w)
	})
}

func (w *world) browser() *http.Client {
	b := newBrowser(w.wx.HTTPClient().Transport)
	w.Cleanup(b.CloseIdleConnections)
	return b
}

func (w *world) get(b *http.Client, path string) string {
	w.Helper()
	page, err := browse(b, http.MethodGet, w.origin+path, nil)
	require.NoError(w, err)
	return page
}

func (w *world) post(b *http.Client, path string, form url.Values) {
	w.Helper()
	_, err := browse(b, http.MethodPost, w.origin+path, form)
	require.NoError(w, err)
}

func (w *world) confirm(b *http.Client, number string) string {
	w.Helper()
	w.post(b, "/confirm", url.Values{"number": {number}})
	return w.get(b, "/status")
}

// code begins a login.
func (w *world) code(b *http.Client) wechatqrtest.QRCode {
	w.Helper()
	w.post(b, "/login", nil)
	codes := w.wx.QRCodes()
	return codes[len(codes)-1]
}

// scan is somebody scanning; it returns the number they are told, if any.
func (w *world) scan(code wechatqrtest.QRCode, who string) string {
	w.Helper()
	push, err := w.wx.Scan(w.Context(), code.Ticket, who)
	require.NoError(w, err)
	return w.told(push)
}

func (w *world) told(push wechatqrtest.Push) string {
	w.Helper()
	number := numberIn(push.UserSees())
	if number == "" {
		require.Contains(w, push.UserSees(), "This code has expired or was used")
	}
	return number
}

// login does all of it.
func (w *world) login(b *http.Client, who string) {
	w.Helper()
	require.Equal(w, "in", w.confirm(b, w.scan(w.code(b), who)))
}

// post is a request by a browser that has c and follows nothing.
func post(s *site, target string, c *http.Cookie, headers ...string) *http.Response {
	r := httptest.NewRequest(http.MethodPost, target, nil)
	if c != nil {
		r.AddCookie(c)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	rec := httptest.NewRecorder()
	s.routes().ServeHTTP(rec, r)
	return rec.Result()
}

func TestLogin(t *testing.T) {
	for who, followed := range map[string]bool{"o-wang": false, "o-li": true} {
		t.Run(who, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.wx.PutUser(wechatqrtest.User{OpenID: who, Follows: followed})
				b := w.browser()
				assert.Equal(w, "start", w.get(b, "/status"))
				assert.Contains(w, w.get(b, "/"), "Show a code")
				assert.Empty(w, w.wx.QRCodes(), "to look at the page takes no code")

				code := w.code(b)
				assert.Equal(w, life, code.ExpiresAt.Sub(code.CreatedAt))
				page := w.get(b, "/")
				assert.Contains(w, page, `<img src="`+w.wx.Client().QRCodeURL(code.Ticket)+`"`)
				assert.NotContains(w, page, code.Scene())
				assert.Equal(w, "code", w.get(b, "/status"))
				assert.Equal(w, code, w.code(b), "who asks again gets the same")

				number := w.scan(code, who)
				assert.Equal(w, "number", w.get(b, "/status"))
				page = w.get(b, "/")
				assert.Contains(w, page, `action="/confirm"`)
				assert.NotContains(w, page, number)
				assert.NotContains(w, page, who)

				assert.Equal(w, "in", w.confirm(b, number[:3]+" "+number[3:]))
				assert.Contains(w, w.get(b, "/"), "<code>"+who+"</code>")
				w.post(b, "/login", nil)
				assert.Len(w, w.wx.QRCodes(), 1, "who is in needs no code")
				assert.Empty(w, w.scan(code, who), "a code is used once")
				assert.Empty(w, w.scan(code, "o-zhao"))
				assert.Equal(w, "in", w.get(b, "/status"))

				w.post(b, "/logout", nil)
				assert.Equal(w, "start", w.get(b, "/status"))
			})
		})
	}
}

// Everybody who sees the code knows its scene.
func TestOtherBrowserGetsNothing(t *testing.T) {
	inWorld(t, func(w *world) {
		b := w.browser()
		code := w.code(b)
		number := w.scan(code, "o-wang")
		scene := code.Scene()
		site, err := url.Parse(w.origin)
		require.NoError(w, err)
		for _, guess := range []string{"", scene, strings.TrimPrefix(scene, prefix), code.Ticket} {
			other, before := w.browser(), "start"
			if guess != "" {
				other.Jar.SetCookies(site, []*http.Cookie{{Name: "login", Value: guess}})
				before = "over"
			}
			assert.Equal(w, before, w.get(other, "/status?scene="+url.QueryEscape(scene)), guess)
			assert.Equal(w, before, w.confirm(other, number), guess)
			assert.NotContains(w, w.get(other, "/"), "o-wang")
		}
		assert.Equal(w, "in", w.confirm(b, number))
	})
}

func TestFirstScanWins(t *testing.T) {
	inWorld(t, func(w *world) {
		b := w.browser()
		code := w.code(b)
		var wg sync.WaitGroup
		var mu sync.Mutex
		numbers := make(map[string]string) // by openid
		for i := range 20 {
			wg.Go(func() { // twice each
				who := fmt.Sprintf("o-%d", i%10)
				push, err := w.wx.Scan(w.Context(), code.Ticket, who)
				assert.NoError(w, err)
				if number := numberIn(push.UserSees()); number != "" {
					mu.Lock()
					defer mu.Unlock()
					numbers[who] = number
				}
			})
			wg.Go(func() { w.site.view(httptest.NewRequest(http.MethodGet, "/", nil)) })
		}
		wg.Wait()
		require.Len(w, numbers, 1)
		for who, number := range numbers {
			assert.Empty(w, w.scan(code, "o-late"))
			assert.Equal(w, number, w.scan(code, who), "the same person is told again")
			assert.Equal(w, "in", w.confirm(b, number))
			assert.Contains(w, w.get(b, "/"), "<code>"+who+"</code>")
		}
	})
}

func TestRepeatedPush(t *testing.T) {
	inWorld(t, func(w *world) {
		b := w.browser()
		ev, err := w.wx.ScanEvent(w.code(b).Ticket, "o-wang")
		require.NoError(w, err)
		first, err := w.wx.Push(w.Context(), ev)
		require.NoError(w, err)
		again, err := w.wx.Push(w.Context(), ev)
		require.NoError(w, err)
		assert.Empty(w, again.UserSees(), "WeChat shows the first answer")
		assert.Equal(w, "in", w.confirm(b, w.told(first)))

		time.Sleep(15 * time.Minute) // older than the callback takes
		_, err = w.wx.Push(w.Context(), ev)
		require.Error(w, err)
		assert.Equal(w, "in", w.get(b, "/status"))
	})
}

func TestExpiry(t *testing.T) {
	for name, c := range map[string]struct {
		scan, confirm time.Duration // later than what is before it
		want          string
	}{
		"in time":         {life - time.Nanosecond, life - time.Nanosecond, "in"},
		"scanned late":    {life, 0, "over"},
		"days late":       {5 * 24 * time.Hour, 0, "over"},
		"confirmed late":  {0, life, "over"},
		"both in no time": {0, 0, "in"},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				b := w.browser()
				ev, err := w.wx.ScanEvent(w.code(b).Ticket, "o-wang") // which WeChat delivers later
				require.NoError(w, err)
				time.Sleep(c.scan)
				ev.CreateTime, ev.Raw = time.Time{}, nil // the present
				push, err := w.wx.Push(w.Context(), ev)
				require.NoError(w, err)
				number := w.told(push)
				assert.Equal(w, c.scan < life, number != "")
				time.Sleep(c.confirm)
				assert.Equal(w, c.want, w.confirm(b, number))
				if c.want == "over" {
					assert.Contains(w, w.get(b, "/"), "That has expired")
					w.login(b, "o-wang")
				}
			})
		})
	}
}

func TestSessionEnds(t *testing.T) {
	inWorld(t, func(w *world) {
		b := w.browser()
		w.login(b, "o-wang")
		time.Sleep(sessionLife - time.Nanosecond)
		assert.Equal(w, "in", w.get(b, "/status"))
		time.Sleep(time.Nanosecond)
		assert.Equal(w, "over", w.get(b, "/status"))

		other := w.browser()
		w.login(b, "o-wang")
		w.login(other, "o-li")
		assert.Len(w, w.site.sessions, 2, "what has ended is forgotten")
		half := w.browser()
		number := w.scan(w.code(half), "o-wang")
		_, err := w.wx.Unfollow(w.Context(), "o-wang")
		require.NoError(w, err)
		assert.Equal(w, "over", w.get(b, "/status"))
		assert.Equal(w, "over", w.confirm(half, number))
		assert.Equal(w, "in", w.get(other, "/status"))
	})
}

func TestNumber(t *testing.T) {
	inWorld(t, func(w *world) {
		b := w.browser()
		code := w.code(b)
		assert.Equal(w, "code", w.confirm(b, ""), "no number is right before there is one")
		assert.Equal(w, "code", w.confirm(b, "000000"))
		number := w.scan(code, "o-wang")
		wrong := strings.Map(func(r rune) rune { return '0' + ('9' - r) }, number)
		for range maxWrong - 1 {
			assert.Equal(w, "number", w.confirm(b, wrong))
			assert.Contains(w, w.get(b, "/"), "That is not the number")
		}
		assert.Equal(w, "in", w.confirm(b, number))

		b = w.browser()
		code = w.code(b)
		number = w.scan(code, "o-wang")
		for _, typed := range []string{"", number + "0", number[:5], "o-wang"} {
			assert.Equal(w, "number", w.confirm(b, typed), typed)
		}
		assert.Equal(w, "over", w.confirm(b, strings.Repeat(" ", 4<<10)+number), "that much is not read")
		time.Sleep(time.Second) // until the server has closed that connection
		assert.Equal(w, "over", w.confirm(b, number))
		assert.Empty(w, w.scan(code, "o-wang"))

		code = w.code(b)
		w.scan(code, "o-stranger")
		assert.NotEqual(w, code, w.code(b), "whose code another scanned gets a new one")
		assert.Empty(w, w.scan(code, "o-stranger"))
		assert.Len(w, w.site.attempts, 1)
	})
}

// Whoever put a cookie into the browser, or saw it, is not logged in with it.
func TestCookieChanges(t *testing.T) {
	inWorld(t, func(w *world) {
		b := w.browser()
		site, err := url.Parse(w.origin)
		require.NoError(w, err)
		number := w.scan(w.code(b), "o-wang")
		before := b.Jar.Cookies(site)
		assert.Equal(w, "in", w.confirm(b, number))
		within := b.Jar.Cookies(site)
		w.post(b, "/logout", nil)
		assert.Empty(w, b.Jar.Cookies(site))
		for _, cookies := range [][]*http.Cookie{before, within} {
			require.Len(w, cookies, 1)
			other := w.browser()
			other.Jar.SetCookies(site, cookies)
			assert.Equal(w, "over", w.get(other, "/status"))
		}
		assert.NotEqual(w, before, within)
	})
}

func TestPendingIsBounded(t *testing.T) {
	inWorld(t, func(w *world) {
		first := post(w.site, "/login", nil).Cookies()[0]
		for range maxPending - 1 {
			require.Equal(w, http.StatusSeeOther, post(w.site, "/login", nil).StatusCode)
		}
		full := post(w.site, "/login", nil)
		assert.Equal(w, http.StatusServiceUnavailable, full.StatusCode)
		assert.NotEmpty(w, full.Header.Get("Retry-After"))
		assert.Empty(w, full.Cookies())
		assert.Equal(w, http.StatusSeeOther, post(w.site, "/login", first).StatusCode, "who has a code keeps it")
		assert.Len(w, w.wx.QRCodes(), maxPending)

		time.Sleep(life)
		assert.Equal(w, http.StatusSeeOther, post(w.site, "/login", nil).StatusCode)
		assert.Len(w, w.site.attempts, 1, "what has expired is forgotten")

		gone, leave := context.WithCancel(w.Context())
		leave()
		w.site.routes().ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(gone, http.MethodPost, "/login", nil))
		assert.Len(w, w.site.attempts, 2, "who leaves at once frees nothing")
	})
}

func TestWithoutWeChat(t *testing.T) {
	inWorld(t, func(w *world) {
		w.wx.Inject(wechatqrtest.Fault{Path: "/cgi-bin/qrcode/create", Times: 1, Code: 45009})
		resp := post(w.site, "/login", nil)
		assert.Equal(w, http.StatusBadGateway, resp.StatusCode)
		assert.Empty(w, resp.Cookies())
		page, err := io.ReadAll(resp.Body)
		require.NoError(w, err)
		assert.NotContains(w, string(page), "45009")
		assert.Empty(w, w.site.attempts)
		w.login(w.browser(), "o-wang")
	})
}

func TestPagesElsewhere(t *testing.T) {
	inWorld(t, func(w *world) {
		for _, path := range []string{"/login", "/confirm", "/logout"} {
			for _, headers := range [][]string{{"Origin", "https://evil.example"}, {"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}} {
				assert.Equal(w, http.StatusForbidden, post(w.site, path, nil, headers...).StatusCode, "%s %s", path, headers)
			}
			resp := post(w.site, path+"?next=https://evil.example&return_to=//evil.example", nil, "Origin", w.origin) // a proxy changed Host
			assert.Equal(w, http.StatusSeeOther, resp.StatusCode, path)
			assert.Equal(w, "/", resp.Header.Get("Location"), path)
		}
		b := w.browser()
		code := w.code(b)
		for path, kind := range map[string]string{"/": "text/html", "/status": "text/plain", "/page.css": "text/css", "/page.js": "text/javascript"} {
			resp, err := b.Get(w.origin + path)
			require.NoError(w, err)
			require.NoError(w, resp.Body.Close())
			assert.Equal(w, http.StatusOK, resp.StatusCode, path)
			assert.Equal(w, kind+"; charset=utf-8", resp.Header.Get("Content-Type"))
			assert.Equal(w, "no-store", resp.Header.Get("Cache-Control"), path)
			assert.Equal(w, "nosniff", resp.Header.Get("X-Content-Type-Options"), path)
			policy := resp.Header.Get("Content-Security-Policy")
			assert.Contains(w, policy, "frame-ancestors 'none'", path)
			assert.True(w, strings.HasSuffix(policy, "img-src "+w.wx.URL()), policy)
		}
		assert.NotEmpty(w, w.scan(code, "o-wang"), "the code is still good")
		for _, path := range []string{"/login", "/confirm", "/logout"} {
			_, err := browse(b, http.MethodGet, w.origin+path, nil)
			require.ErrorContains(w, err, "405", "a link changes nothing")
		}
	})
}
