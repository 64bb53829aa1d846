//go:build unix

package main

import (
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr/cmd/channeld/internal/web"
	"github.com/wechatqr/wechatqr/internal/testdb"
)

// Of a database that is silent the visitor is told, and nothing is left waiting for it.
func TestASilentDatabaseIsSaid(t *testing.T) {
	t.Parallel()
	testdb.OnEachProxy(t, func(t *testing.T, proxy *testdb.Proxy) {
		d := newTestDeskOn(t, proxy.URL, io.Discard)
		browser := d.as(t, web.Viewer)
		browser.Timeout = 10 * time.Minute
		status, _ := get(t, browser, d.origin+"/")
		require.Equal(t, http.StatusOK, status)

		proxy.Set(testdb.Hooks{Answer: testdb.Silent})
		status, body := get(t, browser, d.origin+"/channels")
		assert.Equal(t, http.StatusServiceUnavailable, status)
		assert.Contains(t, body, "暂时打不开")

		proxy.Set(testdb.Hooks{})
		require.Eventually(t, func() bool {
			status, _ := get(t, browser, d.origin+"/channels")
			return status == http.StatusOK
		}, time.Minute, 10*time.Millisecond)
	})
}
