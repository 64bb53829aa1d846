package e2e_test

import (
	"archive/zip"
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var deskDir string // of the binary, once it is built

// buildDesk builds cmd/channeld once for all tests.
var buildDesk = sync.OnceValues(func() (bin string, err error) {
	if deskDir, err = os.MkdirTemp("", "channeld"); err != nil {
		return "", err
	}
	bin = filepath.Join(deskDir, "channeld")
	cmd := exec.Command("go", "build", "-o", bin, ".")
	cmd.Dir = "../cmd/channeld"
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return bin, nil
})

// desk is cmd/channeld, running.
type desk struct {
	origin string
	link   string // signs in, or chooses the administrator's password
}

// startDesk starts the program, with an account in its environment.
func startDesk(t *testing.T, args ...string) *desk {
	t.Helper()
	return startDeskWith(t, []string{"WECHAT_APP_ID=" + appID, "WECHAT_APP_SECRET=" + appSecret,
		"WECHAT_TOKEN=" + token, "WECHAT_AES_KEY=" + aesKey}, args...)
}

// startDeskWith starts the program and waits for the link that it prints.
func startDeskWith(t *testing.T, env []string, args ...string) *desk {
	t.Helper()
	bin, err := buildDesk()
	require.NoError(t, err)
	var stderr bytes.Buffer
	cmd := exec.Command(bin, append([]string{"-listen", "127.0.0.1:0"}, args...)...)
	cmd.Dir = t.TempDir() // for the database
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	lines := bufio.NewScanner(stdout)
	link := regexp.MustCompile(`(http://[^/\s]+)/(s|invite)/\S+`)
	d := &desk{}
	for d.link == "" && lines.Scan() {
		if m := link.FindStringSubmatch(lines.Text()); m != nil {
			d.link, d.origin = m[0], m[1]
		}
	}
	exited := make(chan error, 1)
	go func() {
		for lines.Scan() {
		}
		exited <- cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case err := <-exited:
			assert.NoError(t, err, "it ends cleanly: %s", &stderr)
		case <-time.After(30 * time.Second):
			_ = cmd.Process.Kill()
			t.Error("channeld does not end at SIGTERM")
		}
	})
	require.NotEmpty(t, d.link, "it prints a link")
	return d
}

// openDemo starts -demo and signs in.
func openDemo(t *testing.T, s screen) (*desk, *tab) {
	t.Helper()
	d, tb := startDesk(t, "-demo"), openTab(t, s)
	tb.run(chromedp.Navigate(d.link))
	tb.see(`nav [aria-current="page"]`, "")
	return d, tb
}

// readSheets prints the page on A4, and returns the different codes that a phone reads on
// the paper.
func readSheets(tb *tab) (read []string) {
	t := tb.t
	t.Helper()
	pdftoppm, yes := need(t, "pdftoppm"), true
	printed, err := chromedp.Call(tb.ctx, page.PrintToPDF, page.PrintToPDFParams{
		PreferCSSPageSize: &yes, PrintBackground: &yes, PaperWidth: 8.27, PaperHeight: 11.69,
	})
	require.NoError(t, err)
	dir := t.TempDir()
	pdf := filepath.Join(dir, "sheets.pdf")
	require.NoError(t, os.WriteFile(pdf, printed.Data, 0o600))
	for _, dpi := range []string{"150", "200", "300"} { // zbarimg misses some of a page at each
		prefix := filepath.Join(dir, "sheet-"+dpi)
		out, err := exec.CommandContext(t.Context(), pdftoppm, "-r", dpi, "-gray", pdf, prefix).
			CombinedOutput()
		require.NoError(t, err, "%s", out)
		sheets, err := filepath.Glob(prefix + "*.pgm")
		require.NoError(t, err)
		for _, sheet := range sheets {
			picture, err := os.ReadFile(sheet)
			require.NoError(t, err)
			read = append(read, readCodes(t, picture)...)
			if dpi == "300" {
				assert.InDelta(t, 50, longestLineAtFoot(t, picture)*25.4/300, 0.5, "millimetres")
			}
		}
	}
	slices.Sort(read)
	return slices.Compact(read)
}

// longestLineAtFoot is the length, in pixels, of the longest dark line at the foot of a PGM.
func longestLineAtFoot(t *testing.T, picture []byte) (longest float64) {
	t.Helper()
	var width, height int
	_, err := fmt.Sscanf(string(picture[:64]), "P5\n%d %d\n255\n", &width, &height)
	require.NoError(t, err)
	pixels := picture[len(picture)-width*height:]
	for row := range slices.Chunk(pixels[width*height*98/100:], width) {
		dark := 0.0
		for _, shade := range row {
			dark++
			if shade > 128 {
				dark = 0
			}
			longest = max(longest, dark)
		}
	}
	return longest
}

// readCodes is what a phone reads in a picture.
func readCodes(t *testing.T, picture []byte) []string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "codes")
	require.NoError(t, os.WriteFile(file, picture, 0o600))
	out, err := exec.CommandContext(t.Context(), need(t, "zbarimg"), "--quiet", "--raw", file).
		Output()
	require.NoError(t, err)
	return strings.Fields(string(out))
}

func TestFromTheDemoToAPrintedSheet(t *testing.T) {
	t.Parallel()
	d, tb := openDemo(t, desktop.chinese())
	tb.click(`nav a[href="/channels"]`)
	tb.wait(`location.pathname === "/channels" && document.readyState === "complete"`, "channels")
	first := eval[string](tb, `document.querySelector("tbody th a").pathname`)

	// After a click the two pages are mixed for a moment, and with them the code.
	tb.run(chromedp.Navigate(d.origin + first))
	tb.wait(`document.querySelector(".picture img")?.naturalWidth > 0 && `+
		`document.getAnimations().length === 0`, "the picture of the code")
	onScreen := readCodes(t, get(tb, chromedp.Screenshot(".picture img")))
	require.Len(t, onScreen, 1)

	tb.click(`nav a[href="/print"]`)
	tb.see("h1", "打印")
	shown := eval[int](tb, `Number(document.querySelector("[role=status] strong").textContent)`)
	require.Equal(t, 40, shown)
	tb.clean()

	// The sheet opens in a tab of its own; this one stands for it.
	tb.run(chromedp.Evaluate[chromedp.Void](
		`document.querySelector("form[action='/print/sheet']").target = ""`))
	tb.click(`form[action="/print/sheet"] button`)
	tb.wait(`location.pathname === "/print/sheet" && document.readyState === "complete"`, "sheets")
	assert.Equal(t, shown, eval[int](tb, `document.querySelectorAll("figure").length`))
	read := readSheets(tb)
	assert.Len(t, read, shown, "every code is read, and none is there twice")
	for _, content := range read {
		assert.Regexp(t, `^http://weixin\.qq\.com/q/02[A-Za-z0-9_-]{20}$`, content)
	}
	assert.Subset(t, read, onScreen, "the paper has what the channel's page shows")
}

// xlsx is a workbook as small as the format allows, with texts in the cells.
func xlsx(t *testing.T, rows [][]string) []byte {
	t.Helper()
	const (
		relations = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
		packages  = "http://schemas.openxmlformats.org/package/2006/"
		cells     = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
		kind      = "application/vnd.openxmlformats-officedocument.spreadsheetml."
	)
	var sheet strings.Builder
	for i, row := range rows {
		fmt.Fprintf(&sheet, `<row r="%d">`, i+1)
		for j, text := range row {
			fmt.Fprintf(&sheet, `<c r="%c%d" t="inlineStr"><is><t>%s</t></is></c>`,
				'A'+j, i+1, text)
		}
		sheet.WriteString("</row>")
	}
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for name, content := range map[string]string{
		"[Content_Types].xml": `<Types xmlns="` + packages + `content-types">` +
			`<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.` +
			`relationships+xml"/>` +
			`<Override PartName="/xl/workbook.xml" ContentType="` + kind + `sheet.main+xml"/>` +
			`<Override PartName="/xl/worksheets/sheet1.xml" ContentType="` + kind +
			`worksheet+xml"/></Types>`,
		"_rels/.rels": `<Relationships xmlns="` + packages + `relationships"><Relationship ` +
			`Id="rId1" Type="` + relations + `/officeDocument" Target="xl/workbook.xml"/>` +
			`</Relationships>`,
		"xl/workbook.xml": `<workbook xmlns="` + cells + `" xmlns:r="` + relations + `"><sheets>` +
			`<sheet name="渠道" sheetId="1" r:id="rId1"/></sheets></workbook>`,
		"xl/_rels/workbook.xml.rels": `<Relationships xmlns="` + packages + `relationships">` +
			`<Relationship Id="rId1" Type="` + relations + `/worksheet" ` +
			`Target="worksheets/sheet1.xml"/></Relationships>`,
		"xl/worksheets/sheet1.xml": `<worksheet xmlns="` + cells + `"><sheetData>` +
			sheet.String() + `</sheetData></worksheet>`,
	} {
		part, err := w.Create(name)
		require.NoError(t, err)
		_, err = io.WriteString(part,
			`<?xml version="1.0" encoding="UTF-8" standalone="yes"?>`+content)
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return b.Bytes()
}

func TestFiveHundredChannelsFromAWorkbook(t *testing.T) {
	t.Parallel()
	d, tb := openDemo(t, desktop.chinese())
	tb.run(chromedp.Navigate(d.origin + "/channels"))
	old := eval[string](tb, `document.querySelector("tbody th a").pathname.split("/").pop()`)
	name := eval[string](tb, `document.querySelector("tbody th a").textContent`)
	group := eval[string](tb, `document.querySelector("tbody td.text").textContent`)
	rows := [][]string{{"编号", "渠道名称", "分组"}, {old, name, group}}
	for n := range 500 {
		rows = append(rows, []string{fmt.Sprintf("x-%03d", n), fmt.Sprintf("新店%03d", n), "新店"})
	}
	rows = append(rows, []string{"x-000", "又一个", "新店"}) // in conflict with another row
	file := filepath.Join(t.TempDir(), "名单.xlsx")
	require.NoError(t, os.WriteFile(file, xlsx(t, rows), 0o600))

	tb.click(`nav a[href="/make"]`)
	tb.run(chromedp.SetUploadFiles(`input[name=file]`, []string{file}))
	tb.click(`form[action="/make"] button`)
	tb.wait(`location.pathname.startsWith("/make/drafts/")`, "the dry run")
	counts := eval[[]string](tb,
		`[...document.querySelectorAll(".counts > div")].map(e => e.innerText)`)
	for i, text := range counts {
		counts[i] = one(text)
	}
	assert.Equal(t, []string{"新建 500 新渠道", "已有 1 不变", "冲突 1 跳过",
		"超额 0 之后还能建 99 460"}, counts, "an account may have 100 000, and the demo has 40")
	tb.see(`form[action$="/start"] button`, "500")
	assert.Equal(t, 1, eval[int](tb, `document.querySelectorAll("main form button").length`))
	tb.click(`form[action$="/start"] button`)
	tb.wait(`/^\/make\/[^/]+$/.test(location.pathname)`, "the job")
	job := eval[string](tb, `location.pathname`)

	// Who left and comes again finds it where it is by then.
	tb.click(`nav a[href="/make"]`)
	tb.see("tbody th a", "名单.xlsx")
	tb.click(fmt.Sprintf(`a[href=%q]`, job))
	tb.wait(`!!document.querySelector("progress")`, "the progress")
	tb.run(chromedp.Evaluate[chromedp.Void](`window.sameDocument = true`))
	tb.see("[role=status]", "已完成")
	tb.see("main", "501 / 501")
	assert.True(t, eval[bool](tb, `window.sameDocument`), "it moves in place")
	tb.run(chromedp.Reload())
	tb.see("main", "501 / 501")

	tb.run(chromedp.Navigate(d.origin + "/channels"))
	tb.run(chromedp.SendKeys("input[type=search]", "新店499"+kb.Enter))
	tb.see("tbody th a", "新店499")
	tb.clean()
}

// openDesk starts the desk of the sandbox's account and chooses the administrator's password.
func openDesk(t *testing.T, box *sandbox, s screen) (*desk, *tab) {
	t.Helper()
	d := startDesk(t, "-api", box.url)
	out := box.act(t, "callback", "url", d.origin+"/wechat", "token", token, "aeskey", aesKey,
		"mode", "safe", "then", "check")
	require.True(t, out.OK, out.Message)
	tb := openTab(t, s)
	choosePassword(tb, d.link)
	return d, tb
}

// choosePassword accepts an invitation, which signs in.
func choosePassword(tb *tab, link string) {
	tb.t.Helper()
	tb.run(chromedp.Navigate(link), chromedp.SendKeys("input[name=password]", "correct horse"))
	tb.click("form button")
	tb.see("form[action='/sign-out'] button", "")
}

// makeChannel makes a channel with a code by the page.
func (d *desk) makeChannel(tb *tab, line string) {
	tb.t.Helper()
	tb.run(chromedp.Navigate(d.origin+"/make"), chromedp.SetValue("textarea", line))
	tb.click(`form[action="/make"] button`)
	tb.click(`form[action$="/start"] button`)
	tb.see("[role=status]", "Done.")
}

// The first visit leads to the page of the account. What that shows is entered in the console,
// and the next scan is counted.
func TestTheAccountIsSetUpByThePage(t *testing.T) {
	t.Parallel()
	box := startSandbox(t)
	d := startDeskWith(t, nil, "-api", box.url)
	tb := openTab(t, screen{width: 390, height: 844, lang: desktop.lang})
	choosePassword(tb, d.link)
	tb.wait(`location.pathname === "/settings/account"`, "the page of the account")
	tb.legible()
	assert.LessOrEqual(t, eval[int64](tb, `document.documentElement.scrollWidth`), tb.screen.width)

	tb.run(chromedp.SendKeys("input[name=appid]", appID),
		chromedp.SendKeys("input[name=secret]", appSecret))
	tb.click("main form button.primary")
	tb.see("h1", "It is set up")
	tb.legible()
	shown := eval[[]string](tb, `[...document.querySelectorAll(".once input")].map(e => e.value)`)
	require.Len(t, shown, 3)
	out := box.act(t, "callback", "url", shown[0], "token", shown[1], "aeskey", shown[2],
		"mode", "safe", "then", "check")
	require.True(t, out.OK, out.Message)
	tb.click(`a[href="/"]`)
	box.act(t, "person", "openid", "o-first")
	require.True(t, box.act(t, "follow", "openid", "o-first").OK)
	tb.wait(todayJS("New")+` === "1"`, "one new follower")
	tb.clean()
}

// todayJS is a number of today's page, by its name.
func todayJS(name string) string {
	return fmt.Sprintf(`[...document.querySelectorAll(".stats > div")].`+
		`find(e => e.querySelector("dt").innerText.trim() === %s)?.querySelector("dd").innerText`,
		quote(name))
}

func TestAScanMovesTodaysNumber(t *testing.T) {
	t.Parallel()
	box := startSandbox(t)
	d, tb := openDesk(t, box, desktop)
	d.makeChannel(tb, "sh-08\tShop 8\tEast")
	tb.click(`nav a[href="/"]`)
	tb.wait(`document.querySelectorAll(".stats > div").length > 0`, "today's numbers")
	tb.run(chromedp.Evaluate[chromedp.Void](`window.sameDocument = true`))

	// Somebody scans on the sandbox's page.
	wechat := openTab(t, desktop)
	wechat.run(chromedp.Navigate(box.url))
	wechat.click(".codecard button")
	wechat.see(latest, " and followed the account.")

	tb.wait(todayJS("New")+` === "1"`, "one new follower")
	tb.wait(todayJS("Scans")+` === "1"`, "one scan")
	tb.see("#live-events li a", "Shop 8")
	assert.True(t, eval[bool](tb, `window.sameDocument`), "without a reload")
	tb.clean()
}

// What is typed as the channel that takes a code, or that a share link shows, is looked for
// among all.
func TestAChannelIsFoundWhileTyping(t *testing.T) {
	t.Parallel()
	d, tb := openDesk(t, startSandbox(t), desktop)
	d.makeChannel(tb, "sh-08\tShop 8\tEast")
	d.makeChannel(tb, "sh-09\tShop 9\tEast")
	tb.run(chromedp.Navigate(d.origin + "/channels/sh-08"))
	tb.click(`.changes details:has([value="merge"]) summary`)
	tb.run(chromedp.SendKeys(`.changes details:has([value="merge"]) input[name=target]`, "shop 9"))
	tb.wait(`[...document.querySelectorAll("#targets option")].map(o => o.value + " " + o.text)`+
		`.join() === "sh-09 Shop 9"`, "the one that is found")

	tb.run(chromedp.Navigate(d.origin + "/settings"))
	tb.run(chromedp.SendKeys(`[action="/settings/links/add"] input[name=channel]`, "shop 8"))
	tb.wait(`[...document.querySelectorAll("#channels option")].map(o => o.value + " " + o.text)`+
		`.join() === "sh-08 Shop 8"`, "the one of a share link")
	tb.clean()
}

// streamLaterJS keeps the page's stream closed until openStream is called, and stops what
// refreshes without it.
const streamLaterJS = `
	const Stream = EventSource, every = setInterval;
	window.setInterval = (f, ms) => ms < 60000 && every(f, ms);
	window.EventSource = function (url) {
		const listeners = [];
		this.addEventListener = (...listener) => listeners.push(listener);
		window.openStream = () => {
			const stream = new Stream(url);
			for (const listener of listeners) stream.addEventListener(...listener);
		};
	};`

// A push between the writing of the page and the opening of its stream is shown without
// another one, and so is each push after that.
func TestEveryPushMovesTodaysNumber(t *testing.T) {
	t.Parallel()
	box := startSandbox(t)
	d, tb := openDesk(t, box, desktop)
	_, err := chromedp.Call(tb.ctx, page.AddScriptToEvaluateOnNewDocument,
		page.AddScriptToEvaluateOnNewDocumentParams{Source: streamLaterJS})
	require.NoError(t, err)
	follow := func(who string) {
		box.act(t, "person", "openid", who)
		require.True(t, box.act(t, "follow", "openid", who).OK)
	}

	tb.run(chromedp.Navigate(d.origin + "/"))
	tb.wait(`!!window.openStream && `+todayJS("New")+` === "0"`, "the page of before")
	follow("o-one")
	tb.run(chromedp.Evaluate[chromedp.Void](`openStream()`))
	tb.wait(todayJS("New")+` === "1"`, "the push of before the stream")
	follow("o-two")
	tb.wait(todayJS("New")+` === "2"`, "the push after it")
	assert.Equal(t, 2, eval[int](tb, `performance.getEntriesByType("resource").
		filter(e => e.initiatorType === "fetch").length`), "one request for each")
	tb.clean()
}

func TestReconcilingMendsDroppedPushes(t *testing.T) {
	t.Parallel()
	box := startSandbox(t)
	d, tb := openDesk(t, box, desktop.chinese())
	box.act(t, "person", "openid", "o-stays")
	box.act(t, "person", "openid", "o-leaves")
	require.True(t, box.act(t, "follow", "openid", "o-leaves").OK)

	// One comes and one goes, and both pushes are lost.
	require.True(t, box.act(t, "pushfault", "drop", "1", "times", "2").OK)
	box.act(t, "follow", "openid", "o-stays")
	box.act(t, "unfollow", "openid", "o-leaves")
	tb.run(chromedp.Navigate(d.origin + "/"))
	tb.wait(todayJS("新增关注")+` === "1"`, "the push before")
	assert.Equal(t, "0", eval[string](tb, todayJS("取关")))

	// Instants are whole seconds, and what came in the second of a run is left alone.
	followed := time.Now().Unix()
	require.Eventually(t, func() bool { return time.Now().Unix() > followed }, 20*time.Second,
		10*time.Millisecond)
	tb.click(`nav a[href="/reconcile"]`)
	tb.run(chromedp.Evaluate[chromedp.Void](`window.before = true`))
	tb.click(`form[action="/reconcile"] button`)
	tb.wait(`!window.before && document.readyState === "complete"`, "the page after the click")
	tb.wait(`!document.querySelector("[data-poll]")`, "the end of the run")
	for name, want := range map[string]string{
		"微信列表": "1", "补上的关注": "1", "补上的取关": "1",
	} {
		assert.Equal(t, want, eval[string](tb, todayJS(name)), name)
	}
	tb.click(`nav a[href="/"]`)
	tb.wait(todayJS("取关")+` === "1"`, "the loss that was found")
	assert.Equal(t, "1", eval[string](tb, todayJS("在粉")))
	tb.clean()
}

// A viewer sees the numbers, and is refused where codes are made and at the settings.
func TestAViewerIsRefused(t *testing.T) {
	t.Parallel()
	d, tb := openDesk(t, startSandbox(t), desktop)
	tb.click(`nav a[href="/settings"]`)
	tb.run(chromedp.SendKeys(`form[action$="/add"] input[name=name]`, "lin"))
	tb.choose(`form[action$="/users/add"] select`, "2")
	tb.click(`form[action$="/users/add"] button`)
	tb.see(".once", "lin")
	link := eval[string](tb, `document.querySelector(".once input").value`)
	tb.clean()

	viewer := openTab(t, desktop)
	choosePassword(viewer, link)
	for path, want := range map[string]int64{
		"/": 200, "/channels": 200, "/print": 200, "/reconcile": 200, "/make": 403,
		"/settings": 403,
	} {
		viewer.run(chromedp.Navigate(d.origin + path))
		assert.Equal(t, want, eval[int64](viewer,
			`performance.getEntriesByType("navigation")[0].responseStatus`), path)
		if want == 403 {
			viewer.see("[role=alert]", "ask an administrator")
		}
	}
	menu := eval[[]string](viewer, `[...document.querySelectorAll("nav a")].map(e => e.pathname)`)
	assert.NotContains(t, menu, "/settings")
	assert.NotContains(t, menu, "/make")

	// The invitation was good once.
	stranger := openTab(t, desktop)
	stranger.run(chromedp.Navigate(link))
	stranger.see("h1", "has ended")
}

// A note is written, found on the chart and below it, and deleted without a pointer, and
// everything has a name to be read out.
func TestANoteByTheKeyboard(t *testing.T) {
	t.Parallel()
	d, tb := openDemo(t, desktop)
	tb.run(chromedp.Navigate(d.origin + "/channels/zhihu"))
	tb.see(".notes", "There are no notes yet")
	tb.run(chromedp.SendKeys(".notes > details > summary", kb.Enter),
		chromedp.SendKeys("input[name=spent]", "1,50"),
		chromedp.SendKeys("input[name=text]", "new poster"+kb.Enter))
	tb.see("[role=alert]", "Write what was spent as 1234.50")
	tb.run(chromedp.Evaluate[chromedp.Void](`document.querySelector("input[name=spent]").select()`),
		chromedp.SendKeys("input[name=spent]", "1.50"+kb.Enter))
	tb.see("[role=status]", "The note is saved")
	tb.named()
	assert.Equal(t, 1, eval[int](tb, `document.querySelectorAll("svg path.note").length`))
	tb.run(chromedp.SendKeys(".chart summary", kb.Enter))
	tb.see(".chart td", "new poster (1.50)")

	tb.run(chromedp.SendKeys(".notes table summary", kb.Enter+kb.Tab+kb.Enter))
	tb.see("[role=status]", "The note is deleted")
	tb.see(".notes", "There are no notes yet")
	assert.Equal(t, 0, eval[int](tb, `document.querySelectorAll("svg path.note").length`))
}

// Most that a page may weigh, with its style, script and pictures.
const maxPageBytes = 120 << 10

// weightJS is what the page took over the network when nothing was in the cache.
const weightJS = `performance.getEntriesByType("navigation").
	concat(performance.getEntriesByType("resource").filter(e => e.initiatorType !== "fetch")).
	reduce((sum, e) => sum + e.encodedBodySize, 0)`

// Every page fits, can be read, is light, asks no other host and makes no error.
func TestTheDesksPages(t *testing.T) {
	t.Parallel()
	d := startDesk(t, "-demo")
	wide, narrow := desktop, screen{width: 360, height: 740, lang: desktop.lang}
	wideDark, narrowDark := wide.chinese(), narrow.chinese()
	wideDark.dark, narrowDark.dark = true, true
	for name, s := range map[string]screen{
		"desktop": wide, "desktop dark, Chinese": wideDark,
		"phone": narrow, "phone dark, Chinese": narrowDark,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tb := openTab(t, s)
			tb.run(chromedp.Navigate(d.link), chromedp.Navigate(d.origin+"/channels"))
			first := eval[string](tb, `document.querySelector("tbody th a").pathname`)
			for _, path := range []string{"/", "/channels", first, first + "/welcome",
				"/channels/live-mon", "/make", "/print", "/reconcile", "/export", "/settings",
				"/settings/account"} {
				tb.run(chromedp.Navigate(d.origin + path))
				tb.wait(`document.readyState === "complete"`, path)
				assert.LessOrEqual(t,
					eval[int64](tb, `document.documentElement.scrollWidth`), s.width,
					"%s scrolls sideways", path)
				weight := eval[int](tb, weightJS)
				assert.Greater(t, weight, 5000, "%s: its parts were counted", path)
				assert.Less(t, weight, maxPageBytes, path)
				assert.Empty(t, eval[[]string](tb, `performance.getEntriesByType("resource").
					map(e => e.name).filter(url => !url.startsWith(location.origin + "/") && `+
					`!url.startsWith("data:"))`), "%s asks other hosts", path)
				assert.Equal(t, s.lang[:2],
					eval[string](tb, `document.documentElement.lang.slice(0, 2)`))
				tb.legible()
				tb.shot("desk " + name + strings.ReplaceAll(path, "/", " "))
			}
			tb.clean()
		})
	}
}
