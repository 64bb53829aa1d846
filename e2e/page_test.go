package e2e_test

import (
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
)

var (
	desktop = screen{width: 1280, height: 900, lang: "en-US,en"}
	phone   = screen{width: 375, height: 812, lang: "en-US,en"}
)

func (s screen) chinese() screen { s.lang = "zh-CN,zh"; return s }

// latest is the newest turn of a chat.
const latest = ".feed > :nth-child(1 of .turn)"

func TestAPersonTriesABackend(t *testing.T) {
	t.Parallel()
	back := startBackend(t)
	box := startSandbox(t, "-callback", back.URL+"/wechat")
	tb := openTab(t, desktop)
	tb.run(chromedp.Navigate(box.url))
	tb.see("h1", "WeChat sandbox")
	tb.see("#live", "Live")

	// The callback is checked as the console does it.
	tb.click(`form[action="/_sandbox/check"] button`)
	tb.see("#notice", "The callback is right")
	assert.Equal(t, 5, eval[int](tb, `document.querySelectorAll("#check .finding.passed").length`))
	assert.Zero(t, eval[int](tb, `document.querySelectorAll(".turn").length`),
		"what the check asks is no chat")

	// A code that the backend makes appears without a reload.
	client := box.client(t)
	ticket, err := client.CreateTicket(t.Context(),
		wechatqr.Temporary(wechatqr.SceneString("table-12"), 24*time.Hour))
	require.NoError(t, err)
	tb.see(".codecard .scene", "table-12")
	tb.wait(`document.querySelector(".codecard img").naturalWidth === 430`,
		"the picture of the code")
	tb.see("#timeline .call", "/cgi-bin/qrcode/create")
	tb.see("#timeline .call", "/cgi-bin/stable_token")
	for _, secret := range []string{appSecret, token, aesKey} {
		assert.NotContains(t, eval[string](tb, `document.documentElement.outerHTML`), secret)
	}

	// A stranger scans it, follows, and reads the reply.
	tb.click(".codecard button")
	tb.see(latest+" .bubble", "Welcome! You are at table 12.")
	tb.see(latest, "Lin scanned table-12 and followed the account.")
	tb.see("#log", "Lin scanned table-12 and followed the account. The user sees: Welcome!")
	tb.see("#people", "followed by the QR code table-12")

	// The same person scans again, and writes.
	person := eval[string](tb,
		`document.querySelector(".codecard select option:nth-child(2)").value`)
	tb.choose(".codecard select", person)
	tb.click(".codecard button")
	tb.see(latest+" .bubble", "Good to see you again at table 12.")
	assert.Equal(t, person, eval[string](tb, `document.querySelector(".codecard select").value`),
		"the choice stays")
	tb.run(chromedp.SendKeys(`#people input[name="content"]`, "A glass of water, please"+kb.Enter))
	tb.see(latest+" .mine .bubble", "A glass of water, please")
	tb.see(latest+" .line:not(.mine) .bubble", "Somebody will be with you in a minute.")
	tb.wait(`document.querySelector('#people input[name="content"]').value === ""`,
		"the field is empty again")
	assert.Equal(t, "content", eval[string](tb, `document.activeElement.name`), "the focus stays")

	back.mu.Lock()
	require.Len(t, back.scans, 2)
	assert.Equal(t, "table-12", back.scans[0].SceneKey)
	assert.True(t, back.scans[0].NewFollower)
	assert.Equal(t, person, back.scans[1].OpenID)
	assert.False(t, back.scans[1].NewFollower)
	assert.Equal(t, ticket.Value, back.scans[1].Ticket)
	back.mu.Unlock()

	// A message of customer service is shown too.
	require.NoError(t, client.Do(t.Context(), wechatqr.Request{
		Method: http.MethodPost, Path: "/cgi-bin/message/custom/send",
		Body: map[string]any{"touser": person, "msgtype": "text",
			"text": map[string]string{"content": "Your water is on its way."}},
	}, nil))
	tb.see(latest, "customer service message")
	tb.see(latest+" .bubble", "Your water is on its way.")

	// The raw request is there to be copied.
	tb.click("#push-3 summary")
	tb.see("#push-3 pre", "curl -i 'http://127.0.0.1")
	tb.see("#push-3 pre", "<Content><![CDATA[A glass of water, please]]></Content>")

	tb.click(`form[action="/_sandbox/unfollow"] button`)
	tb.see(latest, "Lin unfollowed the account.")
	tb.see("#people", "not following")
	tb.named()
	tb.clean()
}

func TestABackendThatIsBroken(t *testing.T) {
	t.Parallel()
	back := startBackend(t)
	box := startSandbox(t, "-callback", back.URL, "-push-timeout", "2s")
	_, err := box.client(t).CreateTicket(t.Context(), wechatqr.Permanent(wechatqr.SceneID(7)))
	require.NoError(t, err)
	tb := openTab(t, desktop)
	tb.run(chromedp.Navigate(box.url))
	tb.see("#live", "Live")

	for i, tc := range []struct {
		name  string
		with  http.HandlerFunc
		push  string // what the page says of a push
		check string // and of the check; empty: as of a push
		tries int
	}{
		{"an exception", func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "NullPointerException", http.StatusInternalServerError)
		},
			"The response has the status 500, not 200.", "", 4},
		{"a redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/login", http.StatusFound)
		},
			"The address redirects, and WeChat does not follow redirects.", "", 4},
		{"JSON", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"code":0}`) },
			"The response is neither XML nor “success”.", "The response is not the echostr.", 1},
		{"quotes", func(w http.ResponseWriter, r *http.Request) {
			if echo := r.URL.Query().Get("echostr"); echo != "" {
				fmt.Fprintf(w, "%q", echo)
				return
			}
			fmt.Fprint(w, `"success"`)
		}, "The text is right, but it is in quotes.", "", 1},
		{"a reply in the clear", func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, r.URL.Query().Get("echostr")+`<xml><MsgType>text</MsgType></xml>`)
		}, "The reply is not encrypted, and in safe mode it must be.",
			"The response is not the echostr.", 1},
		{"sleep", func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // so that the end of the connection is seen
			select {
			case <-r.Context().Done():
			case <-time.After(10 * time.Second):
			}
		}, "The response took too long.", "", 3},
	} {
		back.breakWith(tc.with)
		tb.click(".codecard button")
		turn := fmt.Sprintf("#push-%d", i+1)
		tb.wait(fmt.Sprintf(`document.querySelector(%s)?.dataset.state === "failed"`, quote(turn)),
			tc.name+": the push fails")
		tb.see(turn+" .problem", tc.push)
		tb.see(turn+" .fault", "该公众号提供的服务出现故障，请稍后再试")
		assert.Equal(t, tc.tries, eval[int](tb, fmt.Sprintf(`document.querySelectorAll(%s).length`,
			quote(turn+" details .code"))), tc.name)
		if tc.check == "" {
			tc.check = tc.push
		}
		tb.click(`form[action="/_sandbox/check"] button`)
		tb.see("#check .finding.failed", tc.check)
		tb.see("#notice", tc.check)
	}

	back.Close()
	tb.click(`form[action="/_sandbox/check"] button`)
	tb.see("#check .finding.failed", "There is no connection to this address.")
	tb.clean()
}

func TestTroubleFromThePage(t *testing.T) {
	t.Parallel()
	back := startBackend(t)
	box := startSandbox(t, "-callback", back.URL)
	client := box.client(t)
	make := func(scene string) error {
		_, err := client.CreateTicket(t.Context(), wechatqr.Temporary(wechatqr.SceneString(scene),
			time.Hour))
		return err
	}
	require.NoError(t, make("first"))
	tb := openTab(t, desktop)
	tb.run(chromedp.Navigate(box.url))
	tb.see("#live", "Live")

	// Tokens that another program renewed.
	tb.click(`form[action="/_sandbox/revoke"] button`)
	tb.see("#notice", "calls with them get 40001")
	require.NoError(t, make("second"), "the library renews its token")
	tb.see("#timeline .pill.bad", "40001")
	tb.see("#timeline .errmsg", "invalid credential")

	// The day's quota.
	tb.click(`[aria-label="Use up the quota of /cgi-bin/qrcode/create"]`)
	tb.see(".quotas .out", "100000 / 100000")
	require.ErrorIs(t, make("third"), wechatqr.ErrQuota)
	tb.click(`[aria-label="Make the quota of /cgi-bin/qrcode/create whole"]`)
	tb.see("#notice", "was reset")
	require.NoError(t, make("third"))

	// A fault for the next calls.
	tb.choose("#ft-what", "40164")
	tb.choose("#ft-path", "/cgi-bin/qrcode/create")
	tb.click(`form[action="/_sandbox/fault"] button[value="1"]`)
	tb.see(".faults", "The IP is not on the whitelist (40164)")
	require.ErrorIs(t, make("fourth"), wechatqr.ErrIPNotAllowed)
	tb.wait(`document.querySelector(".faults") === null`, "the fault is used up")

	// A day later the codes have expired.
	tb.click(`button[name="by"][value="24h"]`)
	tb.see("#trouble .pill", "+1d 00:00:00")
	tb.see(".codecard .pill.bad", "expired")
	tb.click(".codecard button")
	tb.see("#notice .bad", "The QR code has expired")
	tb.click(`button[name="by"][value="reset"]`)
	tb.see("#trouble", "current time")
	tb.wait(`document.querySelector(".codecard.expired") === null`, "the codes live again")
	tb.clean()
}

func TestThePageByKeyboard(t *testing.T) {
	t.Parallel()
	back := startBackend(t)
	box := startSandbox(t, "-callback", back.URL)
	_, err := box.client(t).CreateTicket(t.Context(),
		wechatqr.Permanent(wechatqr.SceneString("table-1")))
	require.NoError(t, err)
	tb := openTab(t, desktop)
	tb.run(chromedp.Navigate(box.url))
	tb.see("#live", "Live")

	tb.run(chromedp.KeyEvent(kb.Tab))
	assert.Equal(t, "Skip to the content",
		one(eval[string](tb, `document.activeElement.textContent`)))
	tb.run(chromedp.KeyEvent(kb.Enter))
	tb.wait(`document.activeElement.id === "main"`, "the content has the focus")
	for range 60 {
		tb.run(chromedp.KeyEvent(kb.Tab))
		if eval[bool](tb, `document.activeElement.matches(".codecard button")`) {
			break
		}
	}
	require.True(t, eval[bool](tb, `document.activeElement.matches(".codecard button")`),
		"the button is reached by Tab")
	tb.run(chromedp.KeyEvent(kb.Enter))
	tb.see(latest+" .bubble", "Welcome!")
	assert.True(t, eval[bool](tb, `document.activeElement.matches(".codecard button")`),
		"the focus stays on the button")
	tb.see("#log", "Lin scanned table-1 and followed the account.")
	tb.clean()
}

func TestThePageWithoutScript(t *testing.T) {
	t.Parallel()
	back := startBackend(t)
	box := startSandbox(t, "-callback", back.URL)
	_, err := box.client(t).CreateTicket(t.Context(),
		wechatqr.Permanent(wechatqr.SceneString("table-1")))
	require.NoError(t, err)
	s := desktop
	s.noScript = true
	tb := openTab(t, s)
	tb.run(chromedp.Navigate(box.url), chromedp.Click(".codecard button"),
		chromedp.WaitVisible("#notice .notice"))
	assert.Contains(t, one(get(tb, chromedp.Text("#notice"))),
		"Lin scanned table-1 and followed the account. The user sees: Welcome! You are at table 1.")
	assert.Contains(t, get(tb, chromedp.Text(latest)), "Welcome! You are at table 1.")
	tb.clean()
}

func TestStateOutlivesARestart(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "state.json")
	back := startBackend(t)
	box := startSandbox(t, "-callback", back.URL, "-state", file)
	client := box.client(t)
	ticket, err := client.CreateTicket(t.Context(),
		wechatqr.Permanent(wechatqr.SceneString("table-1")))
	require.NoError(t, err)
	tb := openTab(t, desktop)
	tb.run(chromedp.Navigate(box.url))
	tb.click(".codecard button")
	tb.see(latest+" .bubble", "Welcome!")
	box.stop(t) // a page that listens does not keep it
	tb.see("#live", "Not connected")

	box = startSandbox(t, "-state", file)
	tb.run(chromedp.Navigate(box.url))
	tb.see(".codecard .scene", "table-1")
	tb.see(latest+" .bubble", "Welcome!")
	tb.click(".codecard button")
	tb.see(latest, "Mei scanned table-1 and followed the account.")
	pic, err := box.client(t).FetchQRCode(t.Context(), ticket.Value)
	require.NoError(t, err)
	assert.NotEmpty(t, pic.Data)
}
