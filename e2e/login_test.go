package e2e_test

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr/events"
	"github.com/wechatqr/wechatqr/scanlogin"
)

// buildLogin builds examples/login once for all tests.
var buildLogin = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "login")
	if err != nil {
		return "", err
	}
	bin := filepath.Join(dir, "login")
	cmd := exec.Command("go", "build", "-o", bin, "./examples/login")
	cmd.Dir = ".." // its own module
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return bin, nil
})

// startLogin starts examples/login as a backend of a sandbox.
func startLogin(t *testing.T) (origin string, box *sandbox) {
	t.Helper()
	bin, err := buildLogin()
	require.NoError(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := l.Addr().String()
	require.NoError(t, l.Close())
	origin = "http://" + addr
	box = startSandbox(t, "-callback", origin+"/wechat")
	var stderr bytes.Buffer
	cmd := exec.Command(bin, "-listen", addr, "-page", origin+"/login")
	cmd.Stderr = &stderr
	cmd.Env = append(os.Environ(), "WECHAT_BASE_URL="+box.url, "WECHAT_APP_ID="+appID,
		"WECHAT_APP_SECRET="+appSecret, "WECHAT_TOKEN="+token, "WECHAT_AES_KEY="+aesKey,
		"WECHAT_PLAINTEXT=", "WECHAT_ACCOUNT=")
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		assert.NoError(t, cmd.Wait(), "it ends cleanly, streams included: %s", &stderr)
	})
	require.Eventually(t, func() bool {
		resp, err := http.Get(origin)
		if err != nil {
			return false
		}
		return resp.Body.Close() == nil
	}, 20*time.Second, 20*time.Millisecond, "it listens: %s", &stderr)
	return origin, box
}

// loginWords are what the page says in a language.
type loginWords struct{ enter, scan, typed, wrong, expired string }

var (
	loginEnglish = loginWords{"Log in with WeChat", "Scan this code with WeChat", "Type the number",
		"That is not the number. Tries left: 4", "This was refused or cancelled"}
	loginChinese = loginWords{"微信登录", "请用微信扫描二维码", "请输入微信会话里收到的验证码",
		"验证码不正确，剩余次数：4", "已被拒绝或取消"}
)

var (
	sixDigits = regexp.MustCompile(`\b\d{6}\b`)
	address   = regexp.MustCompile(`http://\S+`)
)

// scanOnPhone scans the newest code on the sandbox's page, and finds in the chat what
// is to be found there.
func scanOnPhone(handset *tab, find *regexp.Regexp) string {
	handset.t.Helper()
	handset.click(".codecard button")
	handset.see(latest+" .bubble", "login")
	text := eval[string](handset,
		fmt.Sprintf("document.querySelector(%s).textContent", quote(latest+" .bubble")))
	found := find.FindString(text)
	require.NotEmpty(handset.t, found, text)
	return found
}

// usable checks the page as TestThePageFits does the sandbox's, and that what can be
// operated has a name.
func (tb *tab) usable() {
	tb.t.Helper()
	tb.fits()
	tb.legible()
	nameless := eval[[]string](tb, `[...document.querySelectorAll("button, a, img, input")]
		.filter(e => e.type !== "hidden")
		.filter(e => !(e.textContent.trim() || e.alt || e.labels?.length))
		.map(e => e.outerHTML)`)
	assert.Empty(tb.t, nameless)
	assert.NotEmpty(tb.t,
		eval[string](tb, `document.querySelector("[role=status]").textContent.trim()`))
}

func TestSomebodyLogsIn(t *testing.T) {
	t.Parallel()
	small := screen{width: 440, height: 540, lang: "en-US,en"}
	dark := phone.chinese()
	dark.dark = true
	for name, c := range map[string]struct {
		screen
		words loginWords
	}{
		"login":               {small, loginEnglish}, // this and the next are the pictures in docs
		"login.zh-CN":         {small.chinese(), loginChinese},
		"login-desktop":       {desktop, loginEnglish},
		"login-desktop.zh-CN": {desktop.chinese(), loginChinese},
		"login-phone":         {phone, loginEnglish},
		"login-phone.zh-CN":   {phone.chinese(), loginChinese},
		"login-phone-dark":    {dark, loginChinese},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			origin, box := startLogin(t)
			handset := openTab(t, desktop)
			handset.run(chromedp.Navigate(box.url))
			tb := openTab(t, c.screen)
			tb.run(chromedp.Navigate(origin))
			tb.click(`a[href="/login"]`)

			// The code is there without a click, and the same after a reload.
			tb.see("h1", c.words.enter)
			tb.see("[role=status]", c.words.scan)
			tb.wait(`document.querySelector(".code")?.naturalWidth > 0`, "the picture of the code")
			tb.usable()
			tb.shot(name)
			content := eval[string](tb, `document.querySelector("#view").dataset.content`)
			tb.run(chromedp.Reload())
			tb.see("[role=status]", c.words.scan)
			assert.Equal(t, content,
				eval[string](tb, `document.querySelector("#view").dataset.content`))

			// The scan changes the page by itself, and the number can be typed at once.
			number := scanOnPhone(handset, sixDigits)
			tb.see("[role=status]", c.words.typed)
			tb.wait(`document.activeElement.id === "number"`, "the focus is in the field")
			tb.usable()
			tb.shot(name + "-number")
			wrong := "000000"
			if number == wrong {
				wrong = "111111"
			}
			tb.run(chromedp.SendKeys("#number", wrong+kb.Enter))
			tb.see("[role=alert]", c.words.wrong)
			tb.wait(`document.activeElement.id === "number"`, "the focus is in the field again")
			tb.usable()
			tb.run(chromedp.SendKeys("#number", number+kb.Enter))
			tb.see("p", "You are ")
			tb.wait(`location.pathname === "/"`, "the site goes on")
			tb.see("button", "Log out")
			tb.clean()
		})
	}
}

// Two pages of one browser: one has the stream, and both come to know.
func TestTwoPagesOfOneBrowser(t *testing.T) {
	t.Parallel()
	origin, box := startLogin(t)
	handset := openTab(t, desktop)
	handset.run(chromedp.Navigate(box.url))
	tb := openTab(t, desktop)
	tb.run(chromedp.Navigate(origin + "/login"))
	tb.see("[role=status]", loginEnglish.scan)
	tb.run(chromedp.Evaluate[chromedp.Void](
		`void document.body.appendChild(Object.assign(document.createElement("i"), { id: "kept" }))`))

	// The other page is a fetch that takes the stream over.
	tb.run(chromedp.Evaluate[chromedp.Void](`void (window.other = new EventSource("?other"))`))
	number := scanOnPhone(handset, sixDigits)
	tb.see("[role=status]", loginEnglish.typed)
	assert.True(t, eval[bool](tb, `document.querySelector("#kept") !== null`), "without a reload")
	tb.run(chromedp.SendKeys("#number", number+kb.Enter))
	tb.see("p", "You are ")
}

func TestLoginWithoutScripts(t *testing.T) {
	t.Parallel()
	origin, box := startLogin(t)
	handset := openTab(t, desktop)
	handset.run(chromedp.Navigate(box.url))
	plain := desktop
	plain.noScript = true
	tb := openTab(t, plain)
	tb.run(chromedp.Navigate(origin + "/login"))
	tb.click("button")
	tb.see("[role=status]", loginEnglish.scan)
	number := scanOnPhone(handset, sixDigits)
	tb.see("[role=status]", loginEnglish.typed) // by the refresh
	tb.run(chromedp.SendKeys("#number", number+kb.Enter))
	tb.see("p", "You are ")
}

// With a link in the chat the phone confirms, and the other screen goes on by itself.
func TestLoginByLink(t *testing.T) {
	t.Parallel()
	box := startSandbox(t)
	var mux events.Mux
	routes := http.NewServeMux()
	srv := httptest.NewServer(routes)
	login, err := scanlogin.New(box.client(t), srv.URL+"/login",
		scanlogin.WithLink(func(netip.Addr) string { return "Shanghai" }))
	require.NoError(t, err)
	t.Cleanup(func() { login.Close(); srv.Close() })
	login.Register(&mux)
	callback, err := events.NewHandler(
		events.Config{AppID: appID, Token: token, EncodingAESKey: aesKey}, mux.Serve)
	require.NoError(t, err)
	routes.Handle("/wechat", callback)
	routes.Handle("/login", login.Handler(
		func(w http.ResponseWriter, r *http.Request, _ scanlogin.Result) {
			http.Redirect(w, r, "/home", http.StatusSeeOther)
		}))
	routes.HandleFunc("/home", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprint(w, "<p>You are in")
	})
	box.act(t, "callback", "url", srv.URL+"/wechat", "mode", "safe", "token", token,
		"aeskey", aesKey)

	chat := openTab(t, desktop)
	chat.run(chromedp.Navigate(box.url))
	tb, inWeChat := openTab(t, desktop), openTab(t, phone)
	tb.run(chromedp.Navigate(srv.URL + "/login"))
	tb.see("[role=status]", loginEnglish.scan)
	link := scanOnPhone(chat, address)
	tb.see("[role=status]", "Open the link")

	inWeChat.run(chromedp.Navigate(link))
	inWeChat.see("[role=status]", "Let this browser log in as you?")
	inWeChat.see("dd", "Shanghai")
	inWeChat.usable()
	inWeChat.shot("login-link")
	inWeChat.click(`button[value="approve"]`)
	inWeChat.see("[role=status]", "Go back to the other screen")
	inWeChat.clean()
	tb.see("p", "You are in")
}

func TestLoginIsCancelled(t *testing.T) {
	t.Parallel()
	origin, _ := startLogin(t)
	tb := openTab(t, desktop)
	tb.run(chromedp.Navigate(origin + "/login"))
	tb.see("[role=status]", loginEnglish.scan)
	tb.click(`button[value="cancel"]`)
	tb.see("[role=status]", loginEnglish.expired)
	tb.usable()
	tb.click("nav a")
	tb.see("[role=status]", loginChinese.expired)
	tb.click(`button[value="begin"]`)
	tb.see("[role=status]", loginChinese.scan)
	assert.Equal(t, "zh-CN", eval[string](tb, `document.documentElement.lang`),
		"the choice goes along")
}
