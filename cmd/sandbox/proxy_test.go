package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
)

// trusting returns a client that trusts the authority in the file and, unless proxy is
// empty, uses the proxy.
func trusting(t *testing.T, file, proxyURL string) *http.Client {
	t.Helper()
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(data))
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	if proxyURL != "" {
		u, err := url.Parse(proxyURL)
		require.NoError(t, err)
		transport.Proxy = http.ProxyURL(u)
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func TestProxyServesWeChatsHosts(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "state.json")
	creds := wechatqr.Credentials{AppID: "wx0123456789abcdef", AppSecret: "secret"}
	args := []string{"-proxy", "-tls", "127.0.0.1:0", "-state", file, "-appid", creds.AppID,
		"-secret", creds.AppSecret}
	base, greeting, stop := start(t, args...)
	ca := filepath.Join(filepath.Dir(file), "state-ca.pem")
	assert.Contains(t, greeting, "CA certificate  "+ca)
	before, err := os.ReadFile(ca)
	require.NoError(t, err)
	assert.NotContains(t, string(before), "PRIVATE")
	info, err := os.Stat(filepath.Join(filepath.Dir(file), "state-ca.key"))
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	proxied := trusting(t, ca, base)
	for _, host := range weChatHosts {
		c, err := wechatqr.New(creds, wechatqr.WithHTTPClient(proxied),
			wechatqr.WithEndpoint(wechatqr.Endpoint{
				API: []string{"https://" + host}, Image: "https://mp.weixin.qq.com",
			}))
		require.NoError(t, err)
		ticket, err := c.CreateTicket(t.Context(), wechatqr.Temporary(wechatqr.SceneString(host),
			time.Hour))
		require.NoError(t, err, host)
		_, err = c.FetchQRCode(t.Context(), ticket.Value)
		require.NoError(t, err)
	}
	resp, err := proxied.Get("http://api.weixin.qq.com/cgi-bin/token") // as in cloud hosting
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	_ = resp.Body.Close()
	assert.Contains(t, string(body), "errcode")

	// https without a proxy, for the page too.
	direct := regexp.MustCompile(`https +(https://\S+)`).FindStringSubmatch(greeting)[1]
	resp, err = trusting(t, ca, "").Get(direct + "/")
	require.NoError(t, err)
	_ = resp.Body.Close()
	assert.Equal(t, http.StatusOK, resp.StatusCode)
	assert.Equal(t, 1, resp.ProtoMajor)
	require.NoError(t, stop())

	_, _, stop = start(t, args...)
	after, err := os.ReadFile(ca)
	require.NoError(t, err)
	assert.Equal(t, before, after, "it is made once")
	require.NoError(t, stop())
}

func TestProxyReachesNothingElse(t *testing.T) {
	t.Parallel()
	base, greeting, stop := start(t, "-proxy", "-state", filepath.Join(t.TempDir(), "state.json"))
	address := strings.TrimPrefix(base, "http://")
	for _, tt := range []struct {
		line, host string
		want       int
	}{
		{"CONNECT api.weixin.qq.com:443", "api.weixin.qq.com:443", 200},
		{"CONNECT API.weixin.qq.com:443", "API.weixin.qq.com:443", 200},
		{"CONNECT api.weixin.qq.com:80", "api.weixin.qq.com:80", 403},
		{"CONNECT example.com:443", "example.com:443", 403},
		{"CONNECT example.com:443", "api.weixin.qq.com:443", 403},
		{"CONNECT api.weixin.qq.com.example.com:443", "x", 403},
		{"CONNECT 127.0.0.1:443", "127.0.0.1:443", 403},
		{"CONNECT weixin.qq.com:443", "weixin.qq.com:443", 403},
		{"GET http://example.com/", "example.com", 403},
		{"GET http://example.com/", "api.weixin.qq.com", 403},
		{"GET https://api.weixin.qq.com/cgi-bin/token", "api.weixin.qq.com", 200},
		{"GET http://api.weixin.qq.com/_sandbox/state", "api.weixin.qq.com", 421},
		{"DELETE http://api.weixin.qq.com/_sandbox/revoke", "api.weixin.qq.com", 421},
	} {
		request := tt.line + " HTTP/1.1\r\nHost: " + tt.host
		conn, err := net.Dial("tcp", address)
		require.NoError(t, err)
		_, err = io.WriteString(conn, request+"\r\n\r\n")
		require.NoError(t, err)
		status, err := bufio.NewReader(conn).ReadString('\n')
		require.NoError(t, err, request)
		assert.Equal(t, tt.want, statusOf(t, status), request)
		require.NoError(t, conn.Close())
	}
	require.NoError(t, stop())
	assert.Contains(t, greeting, "proxy           "+base)
}

func statusOf(t *testing.T, line string) int {
	t.Helper()
	_, rest, ok := strings.Cut(line, " ")
	require.True(t, ok, line)
	resp, err := http.ReadResponse(bufio.NewReader(strings.NewReader("HTTP/1.1 "+rest+"\r\n")), nil)
	require.NoError(t, err, line)
	return resp.StatusCode
}

func TestWithoutProxy(t *testing.T) {
	t.Parallel()
	base, greeting, stop := start(t)
	resp, err := (&http.Client{Transport: &http.Transport{Proxy: func(*http.Request) (*url.URL,
		error) {
		return url.Parse(base)
	}}}).Get("http://api.weixin.qq.com/cgi-bin/token")
	require.NoError(t, err)
	_ = resp.Body.Close()
	assert.Equal(t, http.StatusMethodNotAllowed, resp.StatusCode)
	assert.NotContains(t, greeting, "CA certificate")
	require.NoError(t, stop())
}

func TestAuthorityIsForFewHosts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "ca.key")
	a, err := loadAuthority(cert, key, "wechat.test")
	require.NoError(t, err)
	for host, want := range map[string]bool{
		"api.weixin.qq.com": true, "mp.weixin.qq.com": true, "localhost": true, "127.0.0.1": true,
		"::1": true, "wechat.test": true, "example.com": false, "qq.com": false,
		"weixin.qq.com.example.com": false, "10.0.0.1": false,
	} {
		_, err := a.certificate(host)
		assert.Equal(t, want, err == nil, "%s: %v", host, err)
	}

	_, err = loadAuthority(cert, key, "other.test")
	require.ErrorContains(t, err, "remove "+key)
	require.NoError(t, os.WriteFile(key, []byte("nothing"), 0o600))
	_, err = loadAuthority(cert, key, "wechat.test")
	require.ErrorContains(t, err, "remove the file")
	_, err = loadAuthority(cert, filepath.Join(key, "x"), "wechat.test")
	require.Error(t, err)
}

func TestAuthorityFiles(t *testing.T) {
	t.Parallel()
	cert, key, err := authorityFiles("/data/sandbox.json")
	require.NoError(t, err)
	assert.Equal(t, "/data/sandbox-ca.pem", cert)
	assert.Equal(t, "/data/sandbox-ca.key", key)
}
