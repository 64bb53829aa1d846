package e2e_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// tabbableJS are the elements that the Tab key is to reach, in the order in which they are
// to come. Of radio buttons it reaches the chosen one.
const tabbableJS = `[...document.querySelectorAll(
	"a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex='0']")].
	filter((e) => e.checkVisibility() && !e.disabled && (e.type !== "radio" || e.checked))`

// A person without a mouse reaches everything on every page, sees where they are, and a
// screen reader tells them what it is.
func TestTheDeskByKeyboard(t *testing.T) {
	t.Parallel()
	d := startDesk(t, "-demo")
	narrow := screen{width: 390, height: 844, lang: desktop.lang}
	for name, s := range map[string]screen{
		"desktop, Chinese": desktop.chinese(), "phone": narrow,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tb := openTab(t, s)
			tb.run(chromedp.Navigate(d.link), chromedp.Navigate(d.origin+"/channels?period=today"))
			first := eval[string](tb, `document.querySelector("tbody th a").pathname`)
			for _, path := range []string{
				"/", "/channels", first, first + "/change?action=retire", first + "/welcome",
				"/make", "/print", "/reconcile", "/export", "/settings", "/settings/account",
				"/none",
			} {
				tb.run(chromedp.Navigate(d.origin + path))
				tb.wait(`document.readyState === "complete"`, path)
				tb.readable(path)
				tb.reachable(path)
			}
		})
	}
}

// readable checks the names that a screen reader reads out, and what it navigates by.
func (tb *tab) readable(path string) {
	tb.t.Helper()
	tree, err := chromedp.Call(tb.ctx, accessibility.GetFullAXTree,
		accessibility.GetFullAXTreeParams{})
	require.NoError(tb.t, err)
	count := map[string]int{}
	for _, n := range tree.Nodes {
		if n.Ignored || n.Role == nil {
			continue
		}
		var role, name string
		require.NoError(tb.t, json.Unmarshal(n.Role.Value, &role))
		if n.Name != nil {
			_ = json.Unmarshal(n.Name.Value, &name)
		}
		count[role]++
		if slices.Contains(namedRoles, role) {
			assert.NotEmpty(
				tb.t, name, "%s: %s, node %d, has no name", path, role, n.BackendDOMNodeID,
			)
		}
	}
	assert.Equal(tb.t, 1, count["main"], "%s: main", path)
	assert.Equal(tb.t, 1, eval[int](tb, `document.querySelectorAll("h1").length`), "%s: h1", path)
	assert.Positive(tb.t, count["link"], "%s: the tree was read", path)
}

var namedRoles = []string{
	"button", "checkbox", "combobox", "DisclosureTriangle", "image", "link", "navigation",
	"radio", "region", "searchbox", "spinbutton", "table", "textbox",
}

// reachable walks through the page by the Tab key.
func (tb *tab) reachable(path string) {
	tb.t.Helper()
	tb.run(chromedp.Evaluate[chromedp.Void](`(() => {
		for (const e of document.querySelectorAll("[data-live]")) e.removeAttribute("data-live");
		document.activeElement.blur(); // of a field that has the focus from the beginning
		getSelection().collapse(document.body, 0);
		window.places = ` + tabbableJS + `;
		return undefined;
	})()`))
	places := eval[int](tb, `places.length`)
	var visited []int
	for range places + 2 {
		tb.run(chromedp.KeyEvent(kb.Tab))
		at := eval[int](tb, `places.indexOf(document.activeElement)`)
		if at < 0 || len(visited) > 0 && at == visited[0] {
			break
		}
		visited = append(visited, at)
		assert.True(tb.t, eval[bool](tb, `(() => {
			const e = document.activeElement, r = e.getBoundingClientRect();
			return getComputedStyle(e).outlineStyle !== "none" &&
				r.bottom > 0 && r.top < innerHeight && r.left < innerWidth;
		})()`), "%s: the focus is seen on %s", path,
			eval[string](tb, `document.activeElement.outerHTML.slice(0, 80)`))
	}
	missed := eval[[]string](tb, `places.map((e) => e.outerHTML.slice(0, 80))`)
	all := make([]int, places)
	for i := range all {
		all[i] = i
	}
	if !assert.Equal(tb.t, all, visited, "%s: the order of the Tab key", path) {
		tb.t.Log(missed)
	}
	first := eval[string](tb, `places[0].className`)
	assert.Equal(tb.t, "skip", first, "%s: the first is to skip", path)
}

// The numbers go on while a word among them has the focus, which stays.
func TestARefreshKeepsTheFocus(t *testing.T) {
	t.Parallel()
	_, tb := openDemo(t, desktop)
	tb.run(chromedp.Evaluate[chromedp.Void](`(() => {
		window.word = document.querySelector("#live-numbers .word");
		word.focus();
		document.querySelector("#live-numbers details").open = true;
		window.scans = () => document.querySelector("#live-numbers .stats").innerText;
		window.before = scans();
		return undefined;
	})()`))
	tb.wait(`scans() !== before`, "the numbers move")
	tb.wait(`document.querySelectorAll("#live-events a").length > 1`, "an event with a channel")
	tb.run(chromedp.Evaluate[chromedp.Void](`before = scans()`))
	tb.wait(`scans() !== before`, "the numbers move again")
	kept := eval[bool](tb, `document.activeElement === word && word.isConnected`)
	assert.True(t, kept, "the focus")
	open := eval[bool](tb, `document.querySelector("#live-numbers details").open`)
	assert.True(t, open, "the table")

	// In the list of events, a link stays the link that it is.
	tb.run(chromedp.Evaluate[chromedp.Void](`(() => {
		window.link = document.querySelector("#live-events a");
		window.text = link.closest("li").innerText;
		link.focus();
		window.newest = document.querySelector("#live-events li").innerText;
		return undefined;
	})()`))
	tb.wait(`document.querySelector("#live-events li").innerText !== newest`, "another event")
	assert.True(t, eval[bool](tb,
		`document.activeElement === link && link.closest("li").innerText === text`), "the link")
	tb.clean()
}
