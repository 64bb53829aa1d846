package e2e_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// browser is one chromium for all tests; each test has a tab of its own.
var browser struct {
	once sync.Once
	ctx  context.Context
	end  []func()
	err  error
}

func stopBrowser() {
	for i := len(browser.end) - 1; i >= 0; i-- {
		browser.end[i]()
	}
}

func startBrowser(path string) {
	dir, err := os.MkdirTemp("", "chromium")
	if err != nil {
		browser.err = err
		return
	}
	opts := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.Env("LC_ALL=C.UTF-8"), // or it finds no file with a Chinese name
		chromedp.ExecPath(path), chromedp.UserDataDir(dir), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update",
			true), chromedp.Flag("hide-scrollbars", true))
	alloc, endAlloc := chromedp.NewExecAllocator(context.Background(), opts...)
	ctx, end := chromedp.NewContext(alloc)
	browser.ctx = ctx
	browser.end = []func(){func() { _ = os.RemoveAll(dir) }, endAlloc, end}
	browser.err = chromedp.Do(ctx)
}

// tab is a page of a browser, as a person has it.
type tab struct {
	t      *testing.T
	ctx    context.Context
	screen screen
	mu     sync.Mutex
	errors []string // of the page: exceptions, refused by the policy, not found
}

type screen struct {
	width, height int64
	lang          string // as of Accept-Language
	dark          bool
	noScript      bool
}

func openTab(t *testing.T, s screen) *tab {
	t.Helper()
	path := need(t, "chromium", "chromium-browser", "google-chrome")
	browser.once.Do(func() { startBrowser(path) })
	require.NoError(t, browser.err)
	tb := &tab{t: t, screen: s}
	ctx, end := chromedp.NewContext(browser.ctx, chromedp.WithNewBrowserContext(),
		chromedp.WithListener(tb.listen))
	t.Cleanup(end)
	require.NoError(t, chromedp.Do(ctx)) // binds the tab's life to ctx
	ctx, cancel := context.WithTimeout(ctx, 90*time.Second)
	t.Cleanup(cancel)
	tb.ctx = ctx
	theme := "light"
	if s.dark {
		theme = "dark"
	}
	tb.run(chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err1 := cdp.Call(ctx, target, log.Enable, cdp.Empty{})
		_, err2 := cdp.Call(ctx, target, emulation.SetDeviceMetricsOverride,
			emulation.SetDeviceMetricsOverrideParams{
				Width: s.width, Height: s.height, DeviceScaleFactor: 1, Mobile: s.width < 600,
			})
		_, err3 := cdp.Call(ctx, target, emulation.SetEmulatedMedia,
			emulation.SetEmulatedMediaParams{
				Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: theme}},
			})
		_, err4 := cdp.Call(ctx, target, emulation.SetUserAgentOverride,
			emulation.SetUserAgentOverrideParams{
				UserAgent: "Mozilla/5.0 e2e", AcceptLanguage: s.lang,
			})
		_, err5 := cdp.Call(ctx, target, emulation.SetScriptExecutionDisabled,
			emulation.SetScriptExecutionDisabledParams{Value: s.noScript})
		return errors.Join(err1, err2, err3, err4, err5)
	}))
	return tb
}

func (tb *tab) listen(ev any) {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	switch ev := ev.(type) {
	case *runtime.EventExceptionThrown:
		text := ev.ExceptionDetails.Text
		if x := ev.ExceptionDetails.Exception; x != nil {
			text += " " + x.Description
		}
		tb.errors = append(tb.errors, text)
	case *log.EventEntryAdded:
		if ev.Entry.Level == log.EntryLevelError {
			tb.errors = append(tb.errors, ev.Entry.Text+" "+ev.Entry.URL)
		}
	}
}

// clean checks that the page made no error so far.
func (tb *tab) clean() {
	tb.t.Helper()
	tb.mu.Lock()
	defer tb.mu.Unlock()
	assert.Empty(tb.t, tb.errors)
}

func (tb *tab) run(actions ...chromedp.Action[chromedp.Void]) {
	tb.t.Helper()
	if err := chromedp.Do(tb.ctx, actions...); err != nil {
		tb.fail(err)
	}
}

// fail shows the page as it is.
func (tb *tab) fail(err error) {
	tb.t.Helper()
	ctx, cancel := context.WithTimeout(tb.ctx, 5*time.Second)
	defer cancel()
	text, textErr := chromedp.Run(ctx, chromedp.Text("body"))
	if textErr != nil {
		text = textErr.Error()
	}
	tb.t.Fatalf("%v\nthe page reads:\n%s", err, text)
}

// see waits until an element that the selector picks contains the text.
func (tb *tab) see(selector, text string) {
	tb.t.Helper()
	js := fmt.Sprintf(`[...document.querySelectorAll(%s)].some(e => e.textContent.includes(%s) && `+
		`e.checkVisibility())`,
		quote(selector), quote(text))
	tb.wait(js, fmt.Sprintf("see %q in %s", text, selector))
}

// wait waits for an expression to be true.
func (tb *tab) wait(js, what string) {
	tb.t.Helper()
	ctx, cancel := context.WithTimeout(tb.ctx, 20*time.Second)
	defer cancel()
	for {
		ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool](js))
		if err == nil && ok {
			return
		}
		if ctx.Err() != nil {
			tb.fail(fmt.Errorf("waited in vain: %s", what))
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// get is the value of an action.
func get[T any](tb *tab, action chromedp.Action[T]) T {
	tb.t.Helper()
	out, err := chromedp.Run(tb.ctx, action)
	if err != nil {
		tb.fail(err)
	}
	return out
}

// eval is the value of an expression.
func eval[T any](tb *tab, js string) T {
	tb.t.Helper()
	return get(tb, chromedp.Evaluate[T](js))
}

// click clicks an element that the pointer can reach. It scrolls, looks and
// clicks in one go, for the page moves under whoever is slower. It clicks once: the window's
// name tells the next page so, where the answer was lost with the page before.
func (tb *tab) click(selector string) {
	tb.t.Helper()
	id := quote(rand.Text())
	tb.wait(fmt.Sprintf(`(() => {
		if (window.name === %[2]s) return true;
		const e = document.querySelector(%[1]s);
		if (!e) return false;
		e.scrollIntoView({ block: "center", behavior: "instant" });
		const r = e.getBoundingClientRect();
		if (!e.contains(document.elementFromPoint(r.x + r.width / 2, r.y + r.height / 2))) return false;
		window.name = %[2]s;
		e.focus();
		e.click();
		return true;
	})()`, quote(selector), id), "click "+selector)
}

// choose takes an option of a select, as a person does.
func (tb *tab) choose(selector, value string) {
	tb.t.Helper()
	tb.run(chromedp.SetValue(selector, value))
}

func quote(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// named checks that whatever can be operated has a name to be read out.
func (tb *tab) named() {
	tb.t.Helper()
	operable := map[string]bool{"button": true, "textbox": true, "combobox": true, "link": true,
		"image": true, "DisclosureTriangle": true}
	tree, err := chromedp.Call(tb.ctx, accessibility.GetFullAXTree,
		accessibility.GetFullAXTreeParams{})
	require.NoError(tb.t, err)
	found := 0
	for _, n := range tree.Nodes {
		if n.Ignored || n.Role == nil {
			continue
		}
		var role string
		require.NoError(tb.t, json.Unmarshal(n.Role.Value, &role))
		if !operable[role] {
			continue
		}
		found++
		var name string
		if n.Name != nil {
			_ = json.Unmarshal(n.Name.Value, &name)
		}
		if name == "" && role != "image" { // an empty alt is decoration
			assert.Fail(tb.t, "no accessible name", "%s, node %d", role, n.BackendDOMNodeID)
		}
	}
	assert.Greater(tb.t, found, 20, "the tree was read")
}

// fits checks that nothing sticks out at the side. A phone's innerWidth grows
// with what sticks out, so it is the screen's width that counts.
func (tb *tab) fits() {
	tb.t.Helper()
	width := tb.screen.width
	wide := eval[[]string](tb, fmt.Sprintf(`[...document.querySelectorAll("body *")].filter(e => {
		const r = e.getBoundingClientRect();
		return r.width > 1 && (r.right > %d || r.left < 0) && !e.closest(".skip, nav, pre, .visually-hidden");
	}).map(e => e.tagName + "." + e.className + " " + e.textContent.slice(0, 40))`, width))
	assert.Empty(tb.t, wide, "wider than the page")
	assert.Equal(tb.t, width, eval[int64](tb, `document.documentElement.scrollWidth`),
		"the page scrolls sideways")
}

// legible checks the contrast of every text with what is behind it, as WCAG 2
// wants it: 4.5 to 1.
func (tb *tab) legible() {
	tb.t.Helper()
	faint := eval[[]string](tb, `(() => {
		const rgba = (c) => {
			const n = c.match(/[\d.]+/g).map(Number), unit = c.startsWith("color(srgb ") ? 255 : 1; // of a mix
			return [...n.slice(0, 3).map((v) => v * unit), n[3] ?? 1];
		};
		const over = (a, b) => [0, 1, 2].map((i) => a[i] * a[3] + b[i] * (1 - a[3]));
		const light = (c) => { const [r, g, b] = c.map((v) => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
		const out = [];
		const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
		while (walk.nextNode()) {
			const e = walk.currentNode.parentElement;
			if (!walk.currentNode.data.trim() || !e.checkVisibility() || e.closest(".visually-hidden, script, option")) continue;
			const layers = [];
			for (let at = e; at; at = at.parentElement) layers.unshift(rgba(getComputedStyle(at).backgroundColor));
			const back = layers.reduce((b, a) => over(a, b), [255, 255, 255]);
			const text = rgba(getComputedStyle(e).color);
			const [hi, lo] = [light(over(text, back)), light(back)].sort((a, b) => b - a);
			const ratio = (hi + 0.05) / (lo + 0.05);
			if (ratio < 4.5) out.push(ratio.toFixed(2) + " " + e.className + " " + walk.currentNode.data.trim().slice(0, 30));
		}
		return out;
	})()`)
	assert.Empty(tb.t, faint, "too faint to read")
}

// shot writes a picture of the page, if pictures are wanted.
func (tb *tab) shot(name string) {
	tb.t.Helper()
	dir := os.Getenv("WECHATQR_SCREENSHOTS")
	if dir == "" {
		return
	}
	data := get(tb, chromedp.CaptureScreenshot())
	require.NoError(tb.t, os.MkdirAll(dir, 0o755))
	require.NoError(tb.t, os.WriteFile(filepath.Join(dir, name+".png"), data, 0o644))
}

// one is a text in one line.
func one(s string) string { return strings.Join(strings.Fields(s), " ") }
