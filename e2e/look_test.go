package e2e_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
)

// TestThePageFits checks the page in each language and width, with all kinds of
// things on it, and takes the pictures of the README.
func TestThePageFits(t *testing.T) {
	back := startBackend(t)
	box := startSandbox(t, "-callback", back.URL+"/wechat")
	client := box.client(t)
	for _, req := range []wechatqr.TicketRequest{
		wechatqr.Permanent(wechatqr.SceneID(1001)),
		wechatqr.Temporary(wechatqr.SceneString("a-scene-of-sixty-four-bytes-that-goes-on-and-on-without-any-break"[:64]), time.Minute),
		wechatqr.Temporary(wechatqr.SceneString("table-12"), 30*24*time.Hour),
	} {
		_, err := client.CreateTicket(t.Context(), req)
		require.NoError(t, err)
	}
	tb := openTab(t, desktop)
	tb.run(chromedp.Navigate(box.url))
	tb.click(".codecard button")
	tb.see(latest+" .bubble", "Welcome!")
	person := eval[string](tb, `document.querySelector(".codecard select option:nth-child(2)").value`)
	back.breakWith(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "database is down", http.StatusInternalServerError)
	})
	tb.click(".codecard button")
	tb.see(latest+" .problem", "The answer has another status than 200.")
	back.breakWith(nil)
	tb.run(chromedp.SendKeys(`#people li:last-child input[name="content"]`, "Is table 12 still free?\r"))
	tb.see(latest+" .mine .bubble", "Is table 12 still free?")
	tb.see(latest+" .line:not(.mine) .bubble", "Somebody will be with you")
	require.NoError(t, client.Do(t.Context(), http.MethodPost, "/cgi-bin/message/custom/send", nil,
		map[string]any{"touser": person, "msgtype": "text", "text": map[string]string{"content": "It is: see you at seven."}}, nil))
	tb.see(latest+" .bubble", "It is: see you at seven.")
	tb.click(`#callback-form button[value="check"]`)
	tb.see("#check", "Works")

	dark := desktop
	dark.dark = true
	darkPhone := phone
	darkPhone.dark = true
	for name, s := range map[string]screen{
		"desktop-en": desktop, "desktop-zh": desktop.chinese(), "desktop-dark": dark,
		"phone-en": phone, "phone-zh": phone.chinese(), "phone-dark": darkPhone,
		"small-en": {width: 320, height: 640, lang: "en"}, "tablet-zh": {width: 900, height: 1100, lang: "zh-CN"},
	} {
		tb := openTab(t, s)
		tb.run(chromedp.Navigate(box.url))
		tb.wait(`document.querySelector("#live").classList.contains("on") && [...document.images].every(i => i.complete)`, name+": the page is there")
		tb.fits()
		tb.shot(name)
		if s.width < 600 {
			tb.run(chromedp.Evaluate[chromedp.Void](`document.querySelector("#codes").scrollIntoView()`))
			tb.shot(name + "-codes")
			tb.run(chromedp.Evaluate[chromedp.Void](`document.querySelector("#chat").scrollIntoView()`))
			tb.shot(name + "-chat")
		}
		tb.run(chromedp.Evaluate[chromedp.Void](`document.querySelectorAll("details").forEach(d => { d.open = true })`))
		tb.fits()
		tb.named()
		tb.clean()
	}
}

func TestTheLanguageCanBeChosen(t *testing.T) {
	box := startSandbox(t)
	tb := openTab(t, desktop.chinese())
	tb.run(chromedp.Navigate(box.url))
	tb.see("h1", "微信沙箱")
	tb.click(".lang")
	tb.see("h1", "WeChat sandbox")
	tb.run(chromedp.Reload())
	tb.see("h1", "WeChat sandbox")
	tb.click(".lang")
	tb.see("h1", "微信沙箱")
	tb.clean()
}
