package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/examples/tokenserver/tokenclient"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

const key = "0123456789abcdef0123456789abcdef"

// start runs the server against a fake WeChat and returns its host and port.
func start(t *testing.T, wx *wechatqrtest.Server, args ...string) string {
	t.Helper()
	creds := wx.Credentials()
	env := map[string]string{
		"WECHAT_APP_ID": creds.AppID, "WECHAT_APP_SECRET": creds.AppSecret,
		"WECHAT_BASE_URL": wx.URL(), "TOKEN_SERVER_KEY": key,
	}
	ctx, stop := context.WithCancel(context.Background())
	r, w := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		getenv := func(name string) string { return env[name] }
		err := run(ctx, append([]string{"-listen", "127.0.0.1:0"}, args...), getenv, w)
		_ = w.CloseWithError(err)
		ended <- err
	}()
	t.Cleanup(func() {
		stop()
		assert.NoError(t, <-ended)
	})
	line, err := bufio.NewReader(r).ReadString('\n')
	require.NoError(t, err)
	go func() { _, _ = io.Copy(io.Discard, r) }()
	return strings.TrimPrefix(strings.TrimSpace(line), "listening on ")
}

// worker is a client that knows the AppID and the key, and no AppSecret.
func worker(t *testing.T, wx *wechatqrtest.Server, base string, hc *http.Client) *wechatqr.Client {
	t.Helper()
	src, err := tokenclient.New(base, key, hc)
	require.NoError(t, err)
	c, err := wechatqr.New(wechatqr.Credentials{AppID: wx.Credentials().AppID},
		wechatqr.WithTokenSource(src), wechatqr.WithEndpoint(wx.Endpoint()))
	require.NoError(t, err)
	return c
}

func makesCodes(t *testing.T, c *wechatqr.Client) {
	t.Helper()
	_, err := c.CreateTicket(t.Context(), wechatqr.Temporary(wechatqr.SceneID(7), time.Hour))
	require.NoError(t, err)
}

func fetches(wx *wechatqrtest.Server) (n int) {
	for _, c := range wx.Requests() {
		if c.Path == "/cgi-bin/stable_token" {
			n++
		}
	}
	return n
}

func TestWorkersShareOneToken(t *testing.T) {
	wx := wechatqrtest.Start(t)
	base := "http://" + start(t, wx)
	a, b := worker(t, wx, base, nil), worker(t, wx, base, nil)
	for range 3 {
		makesCodes(t, a)
		makesCodes(t, b)
	}
	assert.Equal(t, 1, fetches(wx))

	wx.RevokeTokens()
	makesCodes(t, a)
	makesCodes(t, b)
	assert.Equal(t, 2, fetches(wx), "a refused token is replaced for all")
}

func TestHeadersAreBounded(t *testing.T) {
	req, err := http.NewRequest(http.MethodGet, "http://"+start(t, wechatqrtest.Start(t)), nil)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+strings.Repeat("x", 80<<10))
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Equal(t, http.StatusRequestHeaderFieldsTooLarge, resp.StatusCode)
}

func TestTLS(t *testing.T) {
	cert, certKey, pool := certificate(t)
	wx := wechatqrtest.Start(t)
	addr := start(t, wx, "-cert", cert, "-certkey", certKey)
	makesCodes(t, worker(t, wx, "https://"+addr, &http.Client{
		Timeout: 10 * time.Second,
		Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12},
		},
	}))

	src, err := tokenclient.New("https://"+addr, key, nil)
	require.NoError(t, err)
	_, err = src.Token(t.Context(), "")
	var unknown x509.UnknownAuthorityError
	require.ErrorAs(t, err, &unknown)
}

// certificate makes one for 127.0.0.1.
func certificate(t *testing.T) (cert, certKey string, pool *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotAfter:     time.Now().Add(time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	require.NoError(t, err)
	der2, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	dir := t.TempDir()
	cert, certKey = filepath.Join(dir, "cert"), filepath.Join(dir, "key")
	pemCert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	require.NoError(t, os.WriteFile(cert, pemCert, 0o600))
	pemKey := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der2})
	require.NoError(t, os.WriteFile(certKey, pemKey, 0o600))
	pool = x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM(pemCert))
	return cert, certKey, pool
}

func TestKeyIsAskedFor(t *testing.T) {
	wx := wechatqrtest.Start(t)
	base := "http://" + start(t, wx)
	for _, header := range []string{
		"", "Bearer", "Bearer ", "Bearer " + key[1:], "Bearer " + key + "x", "Basic " + key, key,
	} {
		for _, r := range []struct{ method, path string }{
			{http.MethodGet, "/token"}, {http.MethodPost, "/token"}, {http.MethodGet, "/other"},
		} {
			req, err := http.NewRequestWithContext(t.Context(), r.method, base+r.path, nil)
			require.NoError(t, err)
			req.Header.Set("Authorization", header)
			resp, err := http.DefaultClient.Do(req)
			require.NoError(t, err)
			body, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			assert.Equal(t, http.StatusUnauthorized, resp.StatusCode, "%q %s", header, r.path)
			assert.NotContains(t, string(body), "access_token")
		}
	}
	assert.Zero(t, fetches(wx))

	src, err := tokenclient.New(base, key+"x", nil)
	require.NoError(t, err)
	_, err = src.Token(t.Context(), "")
	require.ErrorContains(t, err, "does not know the key")
	assert.NotContains(t, err.Error()+fmt.Sprintf("%+v %#v", src, src), key)
}

func TestHandler(t *testing.T) {
	tok, fails := wechatqr.Token{Value: "T", Expiry: time.Now().Add(time.Hour + time.Minute)},
		error(nil)
	src := wechatqr.TokenSourceFunc(func(context.Context, string) (wechatqr.Token, error) {
		return tok, fails
	})
	h := newHandler(src, key)
	do := func(method, path, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer "+key)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	w := do(http.MethodGet, "/token", "")
	assert.Equal(t, http.StatusOK, w.Code)
	assert.Regexp(t, `^{"access_token":"T","expires_in":36[56]\d}\n$`, w.Body.String())
	assert.Equal(t, "no-store", w.Header().Get("Cache-Control"))

	tok.Expiry = time.Time{}
	assert.Equal(t, "{\"access_token\":\"T\"}\n", do(http.MethodGet, "/token", "").Body.String())

	fails = errors.New("errcode 40164: add 192.0.2.7 to the IP whitelist")
	w = do(http.MethodGet, "/token", "")
	assert.Equal(t, http.StatusBadGateway, w.Code)
	assert.Contains(t, w.Body.String(), "192.0.2.7")

	long := `{"rejected":"` + strings.Repeat("x", 9000) + `"}`
	for _, body := range []string{"", "{", "{}", `{"rejected":""}`, long} {
		assert.Equal(t, http.StatusBadRequest, do(http.MethodPost, "/token", body).Code)
	}
	assert.Equal(t, http.StatusMethodNotAllowed, do(http.MethodDelete, "/token", "").Code)
	assert.Equal(t, http.StatusNotFound, do(http.MethodGet, "/other", "").Code)
}

// A life of no whole second would be told as expires_in 0, which no worker takes.
func TestTokenInItsLastSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		h := newHandler(wechatqr.ReuseTokenSource(wechatqr.TokenSourceFunc(
			func(context.Context, string) (wechatqr.Token, error) {
				if n++; n == 2 {
					return wechatqr.Token{}, errors.New("WeChat is away")
				}
				return wechatqr.Token{Value: fmt.Sprint("T", n),
					Expiry: time.Now().Add(4 * time.Second)}, nil
			}), slog.New(slog.DiscardHandler)), key)
		get := func() string {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/token", nil)
			r.Header.Set("Authorization", "Bearer "+key)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			synctest.Wait()
			return w.Body.String()
		}
		require.JSONEq(t, `{"access_token":"T1","expires_in":4}`, get())
		time.Sleep(2 * time.Second)
		require.JSONEq(t, `{"access_token":"T1","expires_in":2}`, get())
		time.Sleep(1100 * time.Millisecond)
		require.JSONEq(t, `{"access_token":"T3","expires_in":3}`, get())
	})
}

// The second that was left is also told if it is over by the time it is written.
func TestTokenAsItsLastSecondBegins(t *testing.T) {
	for i := range 2000 {
		life := time.Second + time.Duration(i%50)*40*time.Nanosecond
		h := newHandler(wechatqr.TokenSourceFunc(
			func(context.Context, string) (wechatqr.Token, error) {
				return wechatqr.Token{Value: "T", Expiry: time.Now().Add(life)}, nil
			}), key)
		ctx, cancel := context.WithCancel(t.Context())
		r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/token", nil)
		r.Header.Set("Authorization", "Bearer "+key)
		w := httptest.NewRecorder()
		time.AfterFunc(time.Millisecond, cancel) // it waits if the second is not whole
		h.ServeHTTP(w, r)
		cancel()
		require.NotContains(t, w.Body.String(), `"expires_in":0`)
	}
}

func TestClientSaysWhatIsWrong(t *testing.T) {
	for base, want := range map[string]string{
		"tokens.internal:8787":         "is no address",
		"ftp://tokens.internal":        "is no address",
		"https://user:pw@tokens":       "leave user",
		"https://tokens/?key=" + key:   "leave user",
		"https://user:pw@tokens:\x00/": "cannot be read",
		"user:pw@tokens":               "cannot be read",
		"https:/user:pw@tokens":        "cannot be read",
		"https:///user:pw@tokens":      "cannot be read",
	} {
		_, err := tokenclient.New(base, key, nil)
		require.ErrorContains(t, err, want)
		assert.NotContains(t, err.Error(), "pw")
	}
	_, err := tokenclient.New("https://tokens", "", nil)
	require.ErrorContains(t, err, "the key is empty")

	for name, tt := range map[string]struct {
		respond http.HandlerFunc
		want    string
	}{
		"a web page": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "<html>")
		}, "not the response of a token server"},
		"no token": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "{}")
		}, "empty token"},
		"WeChat's error": {func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "errcode 40164: add 192.0.2.7 to the IP whitelist", http.StatusBadGateway)
		}, "HTTP 502: errcode 40164: add 192.0.2.7"},
		"a redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/login", http.StatusFound)
		}, "HTTP 302"},
	} {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewServer(tt.respond)
			defer srv.Close()
			src, err := tokenclient.New(srv.URL, key, nil)
			require.NoError(t, err)
			_, err = src.Token(t.Context(), "")
			require.ErrorContains(t, err, tt.want)
		})
	}
}

func TestRunRefuses(t *testing.T) {
	good := map[string]string{
		"WECHAT_APP_ID":     "wx0123456789abcdef",
		"WECHAT_APP_SECRET": "0123456789abcdef0123456789abcdef",
		"TOKEN_SERVER_KEY":  key,
	}
	for _, tt := range []struct {
		name, args string
		env        map[string]string
		want       string
		code       int
	}{
		{"unknown flag", "-x", nil, "flag provided but not defined", 2},
		{"stray word", "extra", nil, `"extra" is no flag`, 2},
		{"no port", "-listen 8787", nil, "-listen: ", 2},
		{"all addresses", "-listen :8787", nil, "in the clear from :8787", 2},
		{"another address", "-listen 192.0.2.1:8787", nil, "in the clear from 192", 2},
		{"half a pair", "-cert x", nil, "go together", 2},
		{"no file", "-listen 127.0.0.1:0 -cert x -certkey x", nil, "no such file", 1},
		{"short key", "", map[string]string{"TOKEN_SERVER_KEY": key[1:]}, "has 31 characters", 1},
		{"no AppID", "", map[string]string{"WECHAT_APP_ID": ""}, "set WECHAT_APP_ID", 1},
		{"no URL", "", map[string]string{"WECHAT_BASE_URL": "127.0.0.1:8900"}, "base address", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			env := maps.Clone(good)
			maps.Copy(env, tt.env)
			getenv := func(name string) string { return env[name] }
			var out bytes.Buffer
			err := run(t.Context(), strings.Fields(tt.args), getenv, &out)
			require.ErrorContains(t, err, tt.want)
			assert.Equal(t, tt.code, exitCode(err))
			if tt.code == 2 {
				assert.Empty(t, out.String(), "said once, by the error")
			}
		})
	}

	var out bytes.Buffer
	err := run(t.Context(), []string{"-h"}, func(string) string { return "" }, &out)
	require.ErrorIs(t, err, flag.ErrHelp)
	assert.Zero(t, exitCode(err))
	for _, want := range []string{"-listen host:port", "TOKEN_SERVER_KEY", "WECHAT_BASE_URL"} {
		assert.Contains(t, out.String(), want)
	}
}
