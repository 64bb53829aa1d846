package main

import (
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr/cmd/channeld/internal/web"
)

// What cannot be shown is a page like the others, which says why and leads on.
func TestProblemsArePages(t *testing.T) {
	t.Parallel()
	d := newTestDesk(t)
	viewer, stranger := d.as(t, web.Viewer), newBrowser(t)
	for name, c := range map[string]struct {
		client *http.Client
		path   string
		status int
		zh, en string
	}{
		"no page":            {viewer, "/none", 404, "没有这个页面", "There is no such page"},
		"no page, no name":   {stranger, "/none", 404, "没有这个页面", "There is no such page"},
		"no channel":         {viewer, "/channels/none", 404, "没有这个渠道", "no such channel"},
		"no code":            {viewer, "/channels/none/code.svg", 404, "没有这个页面", "no such page"},
		"a wrong question":   {viewer, "/channels?page=x", 400, "地址有误", "address is wrong"},
		"not allowed":        {viewer, "/settings", 403, "没有权限", "Not allowed"},
		"a link that ended":  {stranger, "/invite/none", 404, "此链接已失效", "This link has ended"},
		"a share that ended": {stranger, "/s/none", 404, "此链接已失效", "This link has ended"},
	} {
		t.Run(name,
			func(t *testing.T) { d.checkProblem(t, c.client, c.path, c.status, c.zh, c.en) })
	}

	require.NoError(t, d.store.DB().Close())
	d.checkProblem(t, viewer, "/channels", 503, "暂时打不开", "Not available for the moment")
	d.checkProblem(t, stranger, "/s/none", 503, "暂时打不开", "Not available for the moment")
}

func (d *testDesk) checkProblem(
	t *testing.T, client *http.Client, path string, status int, zh, en string,
) {
	t.Helper()
	for language, text := range map[string]string{"zh-CN": zh, "en": en} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, d.origin+path, nil)
		require.NoError(t, err)
		r.Header.Set("Accept-Language", language)
		resp, err := client.Do(r)
		require.NoError(t, err)
		defer resp.Body.Close()
		read, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		body := string(read)
		assert.Equal(t, status, resp.StatusCode, path)
		assert.Contains(t, body, text)
		assert.Contains(t, body, `<main id="main">`)
		assert.Contains(t, body, `<p><a class="button" href="/`, "it leads on")
	}
}
