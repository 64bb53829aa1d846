package e2e_test

import (
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
)

// readPicture is what a phone's camera reads of a code's picture.
func readPicture(t *testing.T, client *wechatqr.Client, ticket string) string {
	t.Helper()
	zbarimg := need(t, "zbarimg")
	picture, err := client.FetchQRCode(t.Context(), ticket)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "code"+picture.Extension())
	require.NoError(t, os.WriteFile(file, picture.Data, 0o600))
	out, err := exec.CommandContext(t.Context(), zbarimg, "--quiet", "--raw", file).Output()
	require.NoError(t, err)
	return strings.TrimSpace(string(out))
}

func TestAPhoneScansACode(t *testing.T) {
	t.Parallel()
	back := startBackend(t)
	box := startSandbox(t, "-callback", back.URL+"/wechat", "-phone", "127.0.0.1:0")
	client := box.client(t)
	ticket, err := client.CreateTicket(t.Context(),
		wechatqr.Permanent(wechatqr.SceneString("table-12")))
	require.NoError(t, err)
	baseURL := readPicture(t, client, ticket.Value)
	require.Equal(t, ticket.Content, baseURL)

	// A stranger follows, and writes.
	tb := openTab(t, phone)
	tb.run(chromedp.Navigate(baseURL))
	tb.see("h2", "You have scanned table-12")
	tb.fits()
	tb.shot("scan-page")
	tb.click(`button[value="stranger"]`)
	tb.see("#thread .bubble", "Welcome! You are at table 12.")
	tb.see("header", "You are Lin")
	tb.run(chromedp.SendKeys("#say", "The bill, please"))
	tb.click("form.row button")
	tb.see("#thread .mine .bubble", "The bill, please")
	tb.see("#thread .bubble", "Somebody will be with you in a minute.")
	tb.fits()
	tb.legible()
	tb.shot("sandbox-scan")

	// The same phone scans again: it is known, and a follower by now.
	tb.run(chromedp.Navigate(baseURL))
	tb.click(`button[value="me"]`)
	tb.see("#thread .bubble", "Good to see you again at table 12.")
	back.mu.Lock()
	require.Len(t, back.scans, 2)
	assert.True(t, back.scans[0].NewFollower)
	assert.False(t, back.scans[1].NewFollower)
	assert.Equal(t, back.scans[0].OpenID, back.scans[1].OpenID)
	back.mu.Unlock()
	tb.click(`button[value="unfollow"]`)
	tb.see("main button", "Follow")

	// Another phone is a follower from the start, who reads Chinese.
	back.mu.Lock()
	back.texts = inChinese
	back.mu.Unlock()
	other := openTab(t, phone.chinese())
	other.run(chromedp.Navigate(baseURL))
	other.see("h2", "您扫描了 table-12")
	other.click(`button[value="follower"]`)
	other.see("#thread .bubble", "欢迎回来，12 号桌。")
	other.see("header", "小梅")
	other.run(chromedp.SendKeys("#say", "可以结账了吗？"))
	other.click("form.row button")
	other.see("#thread .bubble", "好的，服务员马上过来。")
	other.shot("sandbox-scan.zh-CN")

	// The one at the desk sees both.
	wide := openTab(t, desktop)
	wide.run(chromedp.Navigate(box.url))
	wide.see("#timeline .turn", "Lin scanned table-12 and followed the account.")
	wide.see("#timeline .turn", "Mei scanned table-12.")

	tb.run(chromedp.Navigate(baseURL + "x"))
	tb.see("h2", "This QR code does not exist.")
	tb.clean()
	other.clean()

	// Who reaches the scan page reaches nothing else.
	u, err := url.Parse(baseURL)
	require.NoError(t, err)
	for _, path := range []string{"/", "/_sandbox/state", "/_sandbox/env", "/cgi-bin/token",
		"/_sandbox/page.html"} {
		resp, err := http.Get("http://" + u.Host + path)
		require.NoError(t, err)
		_ = resp.Body.Close()
		assert.Equal(t, http.StatusNotFound, resp.StatusCode, path)
	}
}
