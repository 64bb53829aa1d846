package page

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr/cmd/channeld/internal/web"
	"github.com/wechatqr/wechatqr/internal/webui"
)

var operator = web.Visitor{Name: "oscar", Role: web.Operator}

func (d *desk) post(v web.Visitor, address string, form url.Values) *httptest.ResponseRecorder {
	d.t.Helper()
	r := httptest.NewRequest(http.MethodPost, address, strings.NewReader(form.Encode()))
	r.Header.Set("Accept-Language", "en")
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	d.handler(v).ServeHTTP(w, r)
	return w
}

// note writes a note by the form.
func (d *desk) note(key, day, text, spent string) {
	d.t.Helper()
	form := url.Values{"day": {day}, "text": {text}, "spent": {spent}}
	w := d.post(operator, channelPath(key)+"/notes", form)
	require.Equal(d.t, http.StatusSeeOther, w.Code)
}

func TestNotes(t *testing.T) {
	testAt(t, func(t *testing.T, d *desk) {
		d.channel("sh-1", "一店", "")
		d.channel("sh-2", "二店", "")
		d.note("sh-1", "2026-11-24", "改了<b>海报", "1234.5")
		time.Sleep(time.Second)
		d.note("sh-1", "2026-11-24", "开播", "")
		d.note("sh-1", "2026-11-25", "今天", "")
		d.note("sh-2", "2026-11-25", "别家的", "")

		guest := web.Visitor{Role: web.Guest, Scope: web.Scope{Channel: "sh-1"}}
		for _, v := range []web.Visitor{operator, viewer, guest} {
			w := d.get(v, "/channels/sh-1?period=7d", webui.Chinese)
			page := textOf(w)
			has(t, page, "2026-11-24 改了<b>海报 1 234.50")
			has(t, w.Body.String(), "改了&lt;b&gt;海报 (1\u202f234.50) · 开播</td>")
			has(t, w.Body.String(), `<path class="note" d="M55 0V100M65 0V100"/>`)
			hasNot(t, page, "别家的")
			assert.Equal(t, v.Role >= web.Operator, strings.Contains(page, "写备注"))
			assert.Equal(t, v.Role >= web.Operator, strings.Contains(page, "确定删除"))
		}
		w := d.get(viewer, "/channels/sh-1?period=yesterday", webui.Chinese)
		hasNot(t, textOf(w), "今天")
		has(t, textOf(w), "开播")
		hasNot(t, w.Body.String(), `class="note"`) // by hour, which a note has not
		has(t, textOf(d.get(viewer, "/channels/sh-2?period=yesterday", "en")), "There are no notes")

		body := d.get(operator, "/channels/sh-1", "en").Body.String()
		ids := regexp.MustCompile(`name="note" value="(\w+)"`).FindAllStringSubmatch(body, -1)
		require.Len(t, ids, 3)
		first := url.Values{"note": {ids[0][1]}} // the latest
		other := d.post(operator, "/channels/sh-2/notes/delete", first)
		assert.Equal(t, http.StatusSeeOther, other.Code)
		has(t, textOf(d.get(viewer, "/channels/sh-1", "en")), "今天")
		w = d.post(operator, "/channels/sh-1/notes/delete?period=7d", first)
		assert.Equal(t, "/channels/sh-1?done=no-note&period=7d", w.Header().Get("Location"))
		page := textOf(d.get(viewer, "/channels/sh-1?done=no-note", "en"))
		hasNot(t, page, "今天")
		has(t, page, "The note is deleted.")
	})
}

// Who may not write changes nothing, and a form that is refused comes back as it was.
func TestNotesThatAreRefused(t *testing.T) {
	testAt(t, func(t *testing.T, d *desk) {
		d.channel("sh-1", "一店", "")
		form := func(day, text, spent string) url.Values {
			return url.Values{"day": {day}, "text": {text}, "spent": {spent}}
		}
		good := form("2026-11-25", "海报", "1")
		guest := web.Visitor{Role: web.Guest, Scope: web.Scope{Channel: "sh-1"}}
		for _, v := range []web.Visitor{viewer, guest} {
			for _, path := range []string{"/notes", "/notes/delete"} {
				assert.Equal(t, http.StatusForbidden, d.post(v, "/channels/sh-1"+path, good).Code)
			}
		}
		nowhere := d.post(operator, "/channels/none/notes", good)
		assert.Equal(t, http.StatusNotFound, nowhere.Code)
		unknown := d.post(operator, "/channels/sh-1/notes?period=8d", good)
		assert.Equal(t, http.StatusBadRequest, unknown.Code, "and nothing is written")

		for name, tt := range map[string]struct {
			form url.Values
			want string
		}{
			"no day":       {form("", "海报", ""), "The day is none"},
			"not a day":    {form("2026-11-31", "海报", ""), "The day is none"},
			"tomorrow":     {form("2026-11-26", "海报", ""), "to come"},
			"too early":    {form("2010-12-31", "海报", ""), "The day is none"},
			"no text":      {form("2026-11-25", " ", "1"), "1 to 80 letters"},
			"a long text":  {form("2026-11-25", strings.Repeat("字", 81), ""), "1 to 80 letters"},
			"two lines":    {form("2026-11-25", "a\nb", ""), "1 to 80 letters"},
			"no UTF-8":     {form("2026-11-25", "a\xff", ""), "1 to 80 letters"},
			"a currency":   {form("2026-11-25", "海报", "¥12"), "Write what was spent as"},
			"a separator":  {form("2026-11-25", "海报", "1,200"), "Write what was spent as"},
			"negative":     {form("2026-11-25", "海报", "-1"), "Write what was spent as"},
			"three digits": {form("2026-11-25", "海报", "1.005"), "Write what was spent as"},
			"too much":     {form("2026-11-25", "海报", "1000000000"), "Write what was spent as"},
		} {
			w := d.post(operator, "/channels/sh-1/notes?period=7d", tt.form)
			assert.Equal(t, http.StatusUnprocessableEntity, w.Code, name)
			page := w.Body.String()
			has(t, textOf(w), tt.want)
			if text := strings.TrimSpace(tt.form.Get("text")); text != "" && name != "no UTF-8" {
				assert.Contains(t, strings.ReplaceAll(page, "&#43;", "+"), `value="`+text, name)
			}
			assert.Contains(t, page, `value="`+tt.form.Get("spent")+`"`, name)
			has(t, page, `/notes?period=7d"`)
		}
		has(t, textOf(d.get(viewer, "/channels/sh-1", "en")), "There are no notes yet.")
	})
}

func TestMergesMoveNotes(t *testing.T) {
	testAt(t, func(t *testing.T, d *desk) {
		d.channel("sh-1", "一店", "")
		d.channel("sh-2", "二店", "")
		d.channel("sh-3", "三店", "")
		d.note("sh-1", "2026-11-24", "印刷", "10")
		d.note("sh-2", "2026-11-25", "开播", "5.05")
		w := d.post(operator, "/channels/sh-1/merge", url.Values{"target": {"sh-1"}})
		assert.Equal(t, http.StatusUnprocessableEntity, w.Code)
		w = d.post(operator, "/channels/sh-1/merge", url.Values{"target": {"none"}})
		assert.Equal(t, http.StatusNotFound, w.Code)
		has(t, textOf(d.get(viewer, "/channels/sh-1", "en")), "印刷")

		d.post(operator, "/channels/sh-2/merge", url.Values{"target": {"sh-3"}})
		d.post(operator, "/channels/sh-1/merge", url.Values{"target": {"sh-2"}}) // by its old key
		page := textOf(d.get(viewer, "/channels/sh-3", "en"))
		has(t, page, "2026-11-25 开播 5.05 2026-11-24 印刷 10.00")
		d.note("sh-1", "2026-11-23", "旧编号", "")
		has(t, textOf(d.get(viewer, "/channels/sh-3", "en")), "旧编号")
	})
}

func TestMoney(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{
		"": 0, "0": 0, "7": 700, "7.5": 750, "0.07": 7, "999999999.99": 99_999_999_999,
	} {
		n, ok := parseMoney(text)
		assert.True(t, ok, text)
		assert.Equal(t, want, n, text)
	}
	assert.Equal(t, "1\u202f234\u202f567.08", money(123_456_708))
	assert.Equal(t, "0.00", money(0))
}
