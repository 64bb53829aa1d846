package page

import (
	"context"
	"fmt"
	"html"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/channels"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/live"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/store"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/web"
	"github.com/wechatqr/wechatqr/events"
	"github.com/wechatqr/wechatqr/internal/webui"
)

var shanghai = time.FixedZone("Asia/Shanghai", 8*3600)

// noon is when the tests begin.
var noon = time.Date(2026, 11, 25, 12, 0, 0, 0, shanghai)

// desk is the pages on a ledger of its own.
type desk struct {
	*Pages
	t      *testing.T
	record events.HandlerFunc
}

// testAt runs the test at noon of a clock that only Sleep moves.
func testAt(t *testing.T, f func(t *testing.T, d *desk)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(noon))
		f(t, newDesk(t))
	})
}

func newDesk(t *testing.T) *desk { return newDeskIn(t, shanghai) }

func newDeskIn(t *testing.T, location *time.Location) *desk {
	t.Helper()
	s, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "desk.db"))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Close()) })
	ledger, err := channels.Open(t.Context(), s.DB(), s.Dialect(), channels.Config{
		AppID: "wx0123456789abcdef", PersonKey: []byte("0123456789abcdef"), Location: location,
		KeepAfterUnfollow: 30 * 24 * time.Hour,
	})
	require.NoError(t, err)
	feed := live.NewFeed()
	t.Cleanup(feed.Close)
	p := New(Config{
		Ledger: ledger, Store: s, Feed: feed, Location: location, Now: time.Now,
		Logger: slog.New(slog.DiscardHandler),
	})
	next := func(context.Context, *wechatqr.Event) (events.Reply, error) { return nil, nil }
	return &desk{p, t, ledger.Record(feed.Watch(next))}
}

// channel makes a channel with a code whose scene is its key.
func (d *desk) channel(key, name, group string) {
	d.t.Helper()
	c := channels.Channel{Key: key, Name: name, Group: group}
	require.NoError(d.t, d.Ledger.Adopt(d.t.Context(), wechatqr.SceneString(key), c))
}

func (d *desk) push(ev *wechatqr.Event) {
	d.t.Helper()
	ev.MsgType = "event"
	_, err := d.record(d.t.Context(), ev)
	require.NoError(d.t, err)
}

// follow is by the channel's code, or by none if the key is empty.
func (d *desk) follow(who, key string, at time.Time) {
	d.t.Helper()
	ev := &wechatqr.Event{FromUserName: who, CreateTime: at, Type: wechatqr.EventSubscribe}
	if key != "" {
		ev.EventKey, ev.Ticket = "qrscene_"+key, "ticket of "+key
	}
	d.push(ev)
}

func (d *desk) leave(who string, at time.Time) {
	d.t.Helper()
	d.push(&wechatqr.Event{FromUserName: who, CreateTime: at, Type: wechatqr.EventUnsubscribe})
}

// handler serves the routes to the visitor.
func (d *desk) handler(v web.Visitor) http.Handler {
	d.t.Helper()
	refuse := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }
	mux, err := web.Mount(d.Routes(), d.Open(), refuse)
	require.NoError(d.t, err)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mux.ServeHTTP(w, r.WithContext(web.WithVisitor(r.Context(), v)))
	})
}

var (
	admin  = web.Visitor{Name: "ann", Role: web.Admin}
	viewer = web.Visitor{Name: "vic", Role: web.Viewer}
)

func (d *desk) get(v web.Visitor, address, language string) *httptest.ResponseRecorder {
	d.t.Helper()
	r := httptest.NewRequest(http.MethodGet, address, nil)
	r.Header.Set("Accept-Language", language)
	w := httptest.NewRecorder()
	d.handler(v).ServeHTTP(w, r)
	return w
}

var tags = regexp.MustCompile(`<[^>]*>`)

// text is what a reader sees of a page, with single spaces.
func textOf(w *httptest.ResponseRecorder) string {
	plain := html.UnescapeString(tags.ReplaceAllString(w.Body.String(), " "))
	return strings.Join(strings.Fields(plain), " ")
}

// has fails the test unless the page says it. It does not print the page.
func has(t *testing.T, page, part string) {
	t.Helper()
	if !strings.Contains(page, part) {
		t.Errorf("the page does not say %q", part)
	}
}

func hasNot(t *testing.T, page, part string) {
	t.Helper()
	if strings.Contains(page, part) {
		t.Errorf("the page says %q", part)
	}
}

func TestToday(t *testing.T) {
	testAt(t, func(t *testing.T, d *desk) {
		d.channel("sh-7", "<script>alert(7)</script>", "华东/门店")
		for i := range 12 {
			d.follow(fmt.Sprint("o-", i), "sh-7", noon.Add(-time.Minute))
		}
		d.follow("o-y", "", noon.Add(-23*time.Hour))
		d.leave("o-3", noon)

		w := d.get(admin, "/", webui.Chinese)
		require.Equal(t, http.StatusOK, w.Code)
		page := textOf(w)
		has(t, page, "净增 +11 截至 12:00 今日 +12 昨日 0 上周三 0 昨日全天 +1")
		has(t, page, "新增关注 12 回流关注 0 取关 1 扫码人次 12 在粉 12")
		has(t, page, "最近推送 0 秒前")
		has(t, page, "11-25 周三")
		has(t, page, "未完")
		has(t, page, "取关后 30 天内")
		hasNot(t, w.Body.String(), "<script>alert")
		hasNot(t, w.Body.String(), "o-3")

		has(t, textOf(d.get(admin, "/", webui.English)),
			"Net +11 until 12:00 today +12 yesterday 0")
	})
}

func TestPagesOfANewLedger(t *testing.T) {
	testAt(t, func(t *testing.T, d *desk) {
		has(t, textOf(d.get(admin, "/", webui.Chinese)), "还没有数字")
		has(t, textOf(d.get(admin, "/", webui.Chinese)), "还没有收到过推送")
		has(t, textOf(d.get(admin, "/channels", webui.Chinese)), "还没有渠道")
		has(t, textOf(d.get(admin, "/export", "en")), "0 rows and the total")
		d.channel("sh-7", "", "")
		has(t, textOf(d.get(admin, "/channels/sh-7", "en")), "No follows in the period")
		assert.Equal(t, http.StatusNotFound, d.get(admin, "/channels/none", "en").Code)
	})
}

// The line about the last push turns amber and red after what is unusual at this hour.
func TestLastPush(t *testing.T) {
	testAt(t, func(t *testing.T, d *desk) {
		d.channel("sh-7", "", "")
		for i := range 120 { // one every half a minute, yesterday from 11:30 on
			later := time.Duration(i) * time.Minute / 2
			d.follow(fmt.Sprint("o-", i), "sh-7", noon.Add(later-24*time.Hour))
		}
		d.follow("o-last", "sh-7", noon)
		state := func() string {
			body := d.get(admin, "/", "en").Body.String()
			_, after, _ := strings.Cut(body, `<p class="push `)
			word, _, _ := strings.Cut(after, `"`)
			return word
		}
		assert.Equal(t, "ok", state())
		time.Sleep(14 * time.Minute)
		assert.Equal(t, "ok", state())
		time.Sleep(2 * time.Minute)
		assert.Equal(t, "amber", state())
		time.Sleep(15 * time.Minute)
		assert.Equal(t, "red", state())
		d.follow("o-next", "sh-7", time.Now())
		assert.Equal(t, "ok", state())
		guest := web.Visitor{Role: web.Guest, Scope: web.Scope{Group: "g"}}
		hasNot(t, d.get(guest, "/", "en").Body.String(), "Last push")
	})
}
