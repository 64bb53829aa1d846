package e2e_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
)

// A client whose hosts cannot be changed reaches the sandbox by a proxy that
// has certificates for WeChat's names, to which the names are pointed.
func TestAClientThatInsistsOnWeChatsHosts(t *testing.T) {
	t.Parallel()
	box := startSandbox(t)
	target, err := url.Parse(box.url)
	require.NoError(t, err)
	hosts := make(chan string, 10)
	front := httptest.NewTLSServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host
		hosts <- r.In.Host
	}})
	t.Cleanup(front.Close)
	transport, ok := front.Client().Transport.(*http.Transport)
	require.True(t, ok)
	transport.TLSClientConfig.ServerName = "example.com" // of the test's certificate
	transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", front.Listener.Addr().String())
	}
	c, err := wechatqr.New(wechatqr.Credentials{AppID: appID, AppSecret: appSecret},
		wechatqr.WithHTTPClient(&http.Client{Transport: transport}))
	require.NoError(t, err)
	ticket, err := c.CreateTicket(t.Context(), wechatqr.Temporary(wechatqr.SceneID(1), time.Hour))
	require.NoError(t, err)
	_, err = c.FetchQRCode(t.Context(), ticket.Value)
	require.NoError(t, err)
	close(hosts)
	var seen []string
	for host := range hosts {
		seen = append(seen, host)
	}
	assert.Equal(t, []string{"api.weixin.qq.com", "api.weixin.qq.com", "mp.weixin.qq.com"}, seen)
}
