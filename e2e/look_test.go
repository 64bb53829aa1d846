package e2e_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
)

// evening is a sandbox with something of every kind in it.
func evening(t *testing.T, texts replies, question, message string) *sandbox {
	t.Helper()
	back := startBackend(t)
	back.texts = texts
	box := startSandbox(t, "-callback", back.URL+"/wechat")
	client := box.client(t)
	for _, req := range []wechatqr.TicketRequest{
		wechatqr.Temporary(
			wechatqr.SceneString("a-scene-of-sixty-four-bytes-that-goes-on-and-on-with"+
				"out-an-end-x"),
			time.Minute),
		wechatqr.Permanent(wechatqr.SceneID(1001)),
		wechatqr.Temporary(wechatqr.SceneString("table-12"), 30*24*time.Hour),
	} {
		_, err := client.CreateTicket(t.Context(), req)
		require.NoError(t, err)
	}
	box.act(t, "check")
	back.breakWith(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "database is down", http.StatusInternalServerError)
	})
	box.act(t, "scan", "scene", "1001")
	back.breakWith(nil)
	guest := box.act(t, "scan", "scene", "table-12").Push.Event.FromUserName
	box.act(t, "text", "openid", guest, "content", question)
	require.NoError(t, client.Do(t.Context(), wechatqr.Request{
		Method: http.MethodPost, Path: "/cgi-bin/message/custom/send",
		Body: map[string]any{"touser": guest, "msgtype": "text",
			"text": map[string]string{"content": message}},
	}, nil))
	return box
}

// TestThePageFits looks at the page in each language, width and theme. The
// pictures named sandbox… are those of the README.
func TestThePageFits(t *testing.T) {
	t.Parallel()
	boxes := map[bool]*sandbox{
		false: evening(t, inEnglish, "Could we have the bill, please?",
			"Your receipt: https://shop.example/r/12"),
		true: evening(t, inChinese, "可以结账了吗？", "您的电子小票：https://shop.example/r/12"),
	}
	dark, darkPhone := desktop, phone
	dark.dark, darkPhone.dark = true, true
	for _, tc := range []struct {
		name string
		screen
		zh bool
	}{
		{"sandbox", desktop, false},
		{"sandbox.zh-CN", desktop.chinese(), true},
		{"desktop-dark", dark, false},
		{"sandbox-phone", phone, false},
		{"sandbox-phone.zh-CN", phone.chinese(), true},
		{"phone-dark", darkPhone, true},
		{"small", screen{width: 320, height: 640, lang: "en"}, false},
		{"tablet.zh-CN", screen{width: 900, height: 1100, lang: "zh-CN"}, true},
	} {
		box := boxes[tc.zh]
		tb := openTab(t, tc.screen)
		tb.run(chromedp.Navigate(box.url))
		tb.wait(`document.querySelector("#live").classList.contains("on") && `+
			`[...document.images].every(i => i.complete)`,
			tc.name+": the page is there")
		tb.fits()
		if tc.width < 600 {
			tb.run(
				chromedp.Evaluate[chromedp.Void](
					`document.querySelector("#timeline").scrollIntoView()`))
		}
		tb.shot(tc.name)
	}

	// With trouble, more people, and everything open.
	for _, box := range boxes {
		for range 4 {
			box.act(t, "person", "follows", "1")
		}
		box.act(t, "fault", "what", "busy", "path", "/cgi-bin/user/info", "times", "3")
		box.act(t, "clock", "by", "24h")
		box.act(t, "quota", "path", "/cgi-bin/user/get", "do", "use")
	}
	for name, s := range map[string]screen{"small": {width: 320, height: 640, lang: "en"},
		"phone.zh-CN": phone.chinese(), "desktop": desktop, "dark": dark, "phone-dark": darkPhone} {
		tb := openTab(t, s)
		tb.run(chromedp.Navigate(boxes[s.lang == phone.chinese().lang].url))
		tb.wait(`document.querySelector("#live").classList.contains("on")`,
			name+": the page is there")
		tb.run(
			chromedp.Evaluate[chromedp.Void](
				`document.querySelectorAll("details").forEach(d => { ` +
					`d.open = true })`))
		tb.click(".codecard button")
		tb.wait(`document.querySelector("#notice .notice") !== null`, "the notice")
		tb.fits()
		tb.legible()
		tb.named()
		for _, id := range []string{"connect", "codes", "people", "push-1", "trouble"} {
			tb.run(
				chromedp.Evaluate[chromedp.Void](
					fmt.Sprintf("document.querySelector('#%s').scrollInt"+
						"oView()",
						id)))
			tb.shot("open-" + name + "-" + id)
		}
		tb.clean()
	}
}

func TestTheLanguageCanBeChosen(t *testing.T) {
	t.Parallel()
	box := startSandbox(t)
	tb := openTab(t, desktop.chinese())
	tb.run(chromedp.Navigate(box.url))
	tb.see("h1", "微信沙箱")
	tb.shot("empty")
	tb.click(".lang")
	tb.see("h1", "WeChat sandbox")
	tb.run(chromedp.Reload())
	tb.see("h1", "WeChat sandbox")
	tb.click(".lang")
	tb.see("h1", "微信沙箱")
	tb.clean()
}
