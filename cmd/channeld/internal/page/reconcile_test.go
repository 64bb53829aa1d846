package page

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr/cmd/channeld/internal/reconcile"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/store"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/web"
	"github.com/wechatqr/wechatqr/internal/webui"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// What lost pushes left is found by the button, and the page says so.
func TestReconcile(t *testing.T) {
	t.Parallel()
	wx, d := wechatqrtest.Start(t), newDesk(t)
	d.Client = wx.Client()
	s, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "store.db"))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Close()) })
	d.Reconcile = &reconcile.Worker{
		Store: s, Ledger: d.Ledger, Client: d.Client, Logger: d.Logger, Location: shanghai,
		Asked: make(chan *reconcile.Run, 1),
	}
	d.channel("sh-7", "七店", "")
	now := time.Now()
	d.follow("o-left", "sh-7", now.Add(-time.Minute)) // whose unsubscribe was lost
	d.leave("o-nobody", now.Add(-time.Minute))        // whose follow was lost
	for _, who := range []string{"o-1", "o-2"} {
		wx.PutUser(wechatqrtest.User{
			OpenID: who, Follows: true, FollowedAt: now.Add(-time.Second), SceneStr: "sh-7",
		})
	}

	file := d.get(viewer, "/reconcile/comparison.csv", webui.Chinese)
	assert.Equal(t, http.StatusOK, file.Code)
	before := now.In(shanghai).AddDate(0, 0, -5).Format(time.DateOnly)
	has(t, file.Body.String(), "\n"+before+",ours,0,0,0,0,0,,")
	has(t, file.Body.String(), ",column,scanned_new,")
	page := textOf(d.get(viewer, "/reconcile", webui.Chinese))
	has(t, page, "逐日对照，附每列与每个原因的含义")
	has(t, page, "还没有对过账")
	hasNot(t, page, "现在对账")
	has(t, textOf(d.get(admin, "/reconcile", webui.Chinese)), "现在对账")

	for role, status := range map[web.Role]int{
		web.Viewer: http.StatusForbidden, web.Operator: http.StatusSeeOther,
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodPost, "/reconcile", nil)
		d.handler(web.Visitor{Role: role}).ServeHTTP(w, r)
		assert.Equal(t, status, w.Code)
	}
	has(t, textOf(d.get(viewer, "/reconcile", webui.Chinese)), "正在对账")
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { d.Reconcile.Run(ctx) })
	t.Cleanup(running.Wait)
	t.Cleanup(cancel)
	require.Eventually(t, func() bool {
		return strings.Contains(textOf(d.get(viewer, "/reconcile", webui.Chinese)),
			"微信列表 2 补上的关注 2 补上的取关 1 未知取关 1")
	}, time.Minute, 20*time.Millisecond)
	page = d.get(viewer, "/reconcile", "en").Body.String()
	has(t, page, `popovertarget="def-unknown-lost">Unsubscribes of nobody known</button></dt><dd>1</dd>`)
	has(t, page, `id="def-unknown-lost"`)
	has(t, textOf(d.get(viewer, "/channels/sh-7?period=7d", webui.Chinese)), "在粉 2")
}

func TestChanges(t *testing.T) {
	testAt(t, func(t *testing.T, d *desk) {
		d.channel("a", "甲", "")
		d.channel("b", "乙", "")
		d.follow("o-1", "a", noon.Add(-3*time.Hour))
		d.follow("o-2", "a", noon.Add(-time.Hour))
		send := func(path, form string) *httptest.ResponseRecorder {
			r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(form))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			w := httptest.NewRecorder()
			d.handler(admin).ServeHTTP(w, r)
			return w
		}
		post := func(path, form string) string {
			t.Helper()
			w := send(path, form)
			require.Equal(t, http.StatusSeeOther, w.Code, textOf(w))
			return w.Header().Get("Location")
		}
		refuse := func(path, form string) string {
			t.Helper()
			w := send(path, form)
			require.Equal(t, http.StatusUnprocessableEntity, w.Code, textOf(w))
			return textOf(w)
		}
		ask := func(query string) string {
			t.Helper()
			return textOf(d.get(admin, "/channels/a/change?"+query, webui.Chinese))
		}

		const give = "scene=a&target=b&from=2026-11-25T10:30"
		has(t, ask("action=give&"+give), "扫码人次 1 , 新增关注 1")
		post("/channels/a/give", give)
		has(t, textOf(d.get(admin, post("/channels/a/give", give), "zh-CN")), "已改归")
		has(t, textOf(d.get(admin, "/channels/b?period=today", "zh-CN")), "净增 +1 新增关注 1")
		has(t, textOf(d.get(admin, "/channels/a?period=today", "zh-CN")), "净增 +1 新增关注 1")
		has(t, textOf(d.get(admin, "/channels/a", "zh-CN")), "2026-11-25 10:30 乙")

		has(t, ask("action=retire"), "目前在粉 1")
		has(t, textOf(d.get(admin, post("/channels/a/retire", ""), "zh-CN")), "已停用")
		has(t, textOf(d.get(viewer, "/channels", "zh-CN")), "甲 已停用")
		has(t, textOf(d.get(admin, post("/channels/a/resume", ""), "zh-CN")), "已恢复使用")
		const edit = "was-name=甲&was-group=&name=New+&group=G/H"
		post("/channels/a/edit", edit)
		post("/channels/a/edit", edit) // a double click
		has(t, refuse("/channels/a/edit", "was-name=甲&was-group=&name=甲&group=I"), "有人刚刚改过")
		long := url.Values{
			"was-name": {"New"}, "was-group": {"G/H"}, "group": {strings.Repeat("长", 67)},
		}
		has(t, refuse("/channels/a/edit", long.Encode()), "有 201 字节：须为 0 到 200 字节")
		has(t, textOf(d.get(viewer, "/channels?group=G", "zh-CN")), "New G/H")

		has(t, ask("action=merge&target=b"), "不能撤销")
		has(t, ask("action=merge&target=a"), "目标就是这个渠道自己")
		has(t, ask("action=merge&target=none"), "没有这个目标渠道")
		has(t, ask("action=give&scene=a&target=b&from=2027-01-01T00:00"), "在将来")
		refuse("/channels/b/merge", "target=b")
		for range 2 { // a double click
			assert.Equal(t, "/channels/b?done=merge", post("/channels/a/merge", "target=b"))
		}
		has(t, textOf(d.get(admin, "/channels/b?period=today", "zh-CN")), "净增 +2 新增关注 2")
		w := d.get(admin, "/channels/a", "zh-CN")
		assert.Equal(t, "/channels/b", w.Header().Get("Location"), "of a merged channel")
	})
}
