package e2e_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
)

func TestTheTimelineInTheBrowser(t *testing.T) {
	t.Parallel()
	back := startBackend(t)
	box := startSandbox(t, "-callback", back.URL)
	_, err := box.client(t).CreateTicket(t.Context(),
		wechatqr.Permanent(wechatqr.SceneString("table-1")))
	require.NoError(t, err)
	tb := openTab(t, desktop)
	tb.run(chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, emulation.SetTimezoneOverride,
			emulation.SetTimezoneOverrideParams{TimezoneID: "Pacific/Kiritimati"})
		return err
	}))
	tb.run(chromedp.Navigate(box.url))
	tb.see("#live", "Live")

	// The reply comes long after the click, and is wrong: the notice turns.
	respond := make(chan struct{})
	back.breakWith(func(w http.ResponseWriter, _ *http.Request) {
		<-respond
		http.Error(w, "no", http.StatusInternalServerError)
	})
	tb.click(".codecard button")
	tb.see("#notice .notice:not(.bad)", "Lin scanned table-1 and followed the account.")
	close(respond)
	tb.see("#notice .notice.bad", "The backend failed: The response has the status 500, not 200.")
	back.breakWith(nil)
	tb.click("#notice [data-close]")
	tb.click(".codecard button")
	tb.see(latest, "Mei scanned table-1 and followed the account.")

	// Times are those of the browser, which is in another zone.
	at := eval[string](tb, `document.querySelector(".turn time").dateTime`)
	when, err := time.Parse(time.RFC3339, at)
	require.NoError(t, err)
	there := when.In(time.FixedZone("Kiritimati", 14*3600))
	assert.Equal(t, there.Format(time.TimeOnly), eval[string](tb,
		`document.querySelector(".turn time").textContent`))

	// A thread stays chosen, whatever else happens.
	tb.run(chromedp.Navigate(box.url + "/?show=p1"))
	tb.see("#live", "Live")
	tb.see(`.threads [aria-current="true"]`, "Lin")
	tb.see(latest, "Lin scanned table-1")
	tb.click(".codecard button")
	tb.see("#notice", "Bo scanned table-1")
	tb.see("#people", "Bo")
	assert.Equal(t, 1, eval[int](tb, `document.querySelectorAll(".feed > li").length`))
	tb.click(`.threads a[href="/?show=calls#timeline"]`)
	tb.see("#timeline .call", "/cgi-bin/qrcode/create")
	assert.Zero(t, eval[int](tb, `document.querySelectorAll(".turn").length`))

	// Any errcode, and its errmsg in the line of the call.
	tb.run(chromedp.SendKeys("#ft-code", "45047"))
	tb.click(`form[action="/_sandbox/fault"] button[value="1"]`)
	tb.see(".faults", "errcode 45047")
	_, err = box.client(t).CreateTicket(t.Context(),
		wechatqr.Permanent(wechatqr.SceneString("table-2")))
	require.ErrorContains(t, err, "45047")
	tb.see("#timeline .pill.bad", "45047")

	// The settings with their secrets, which the page does not have.
	tb.run(
		chromedp.Evaluate[chromedp.Void](
			`navigator.clipboard.writeText = async (text) => { window.copied = text; }`))
	tb.run(chromedp.Evaluate[chromedp.Void](`document.querySelector("#settings").open = true`))
	tb.click(`[data-setting="WECHAT_APP_SECRET"]`)
	tb.wait(`window.copied === `+quote(appSecret), "the AppSecret is copied")
	tb.click(`[data-setting=""]`)
	tb.wait(`window.copied.includes(`+quote("WECHAT_AES_KEY="+aesKey)+`)`,
		"the settings are copied")

	// A removed user, and everything gone.
	tb.run(chromedp.Evaluate[chromedp.Void](`document.querySelector("#people .more").open = true`))
	tb.click(`[aria-label="Remove Bo"]`)
	tb.wait(`![...document.querySelectorAll("#people strong")].some(e => e.textContent === "Bo")`,
		"Bo is gone")
	tb.click(`form[action="/_sandbox/reset"] button`)
	tb.see("#codes", "No QR codes yet.")
	tb.see("#people", "No users yet.")
	tb.clean()
}
