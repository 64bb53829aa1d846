package wechatqrtest_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

type issued struct {
	ErrCode     int    `json:"errcode"`
	AccessToken string `json:"access_token"`
	ExpiresIn   int    `json:"expires_in"`
}

func stable(t *testing.T, srv *wechatqrtest.Server, force bool) (out issued) {
	t.Helper()
	creds := srv.Credentials()
	_, body := post(t, srv.URL()+"/cgi-bin/stable_token", fmt.Sprintf(
		`{"grant_type":"client_credential","appid":%q,"secret":%q,"force_refresh":%t}`, creds.AppID,
		creds.AppSecret, force))
	require.NoError(t, json.Unmarshal([]byte(body), &out), body)
	return out
}

func classic(t *testing.T, srv *wechatqrtest.Server) (out issued) {
	t.Helper()
	creds := srv.Credentials()
	_, body := get(t,
		srv.URL()+"/cgi-bin/token?grant_type=client_credential&appid="+creds.AppID+
			"&secret="+creds.AppSecret)
	require.NoError(t, json.Unmarshal([]byte(body), &out), body)
	return out
}

// errcodeWith is the errcode of a call with a token.
func errcodeWith(t *testing.T, srv *wechatqrtest.Server, value string) int {
	t.Helper()
	_, body := get(t, srv.URL()+"/cgi-bin/getcallbackip?access_token="+url.QueryEscape(value))
	return code(t, body)
}

func TestTokenForm(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	tok := stable(t, srv, false)
	assert.Regexp(t, `^[0-9]{2}_[A-Za-z0-9_-]{133,509}$`, tok.AccessToken)
	assert.Equal(t, 7200, tok.ExpiresIn)
}

func TestClassicToken(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	first := classic(t, srv)
	second := classic(t, srv)
	assert.NotEqual(t, first.AccessToken, second.AccessToken)
	assert.Equal(t, 7200, second.ExpiresIn)
	assert.Equal(t, 0, errcodeWith(t, srv, first.AccessToken), "both work for five minutes")
	assert.Equal(t, 0, errcodeWith(t, srv, second.AccessToken))
	srv.Advance(5*time.Minute - 30*time.Second)
	assert.Equal(t, 0, errcodeWith(t, srv, first.AccessToken))
	srv.Advance(30 * time.Second)
	assert.Equal(t, 40001, errcodeWith(t, srv, first.AccessToken), "not latest")
	assert.Equal(t, 0, errcodeWith(t, srv, second.AccessToken))
	srv.Advance(2 * time.Hour)
	assert.Equal(t, 42001, errcodeWith(t, srv, second.AccessToken), "expired")
}

func TestStableToken(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	first := stable(t, srv, false)
	srv.Advance(time.Hour + 54*time.Minute)
	again := stable(t, srv, false)
	assert.Equal(t, first.AccessToken, again.AccessToken)
	assert.InDelta(t, 6*60, again.ExpiresIn, 30)
	srv.Advance(time.Minute)
	second := stable(t, srv, false)
	assert.NotEqual(t, first.AccessToken, second.AccessToken, "a new one in the last five minutes")
	assert.Equal(t, 7200, second.ExpiresIn)
	assert.Equal(t, 0, errcodeWith(t, srv, first.AccessToken), "the old one stays valid for them")
	srv.Advance(5 * time.Minute)
	assert.Equal(t, 42001, errcodeWith(t, srv, first.AccessToken))
	assert.Equal(t, 0, errcodeWith(t, srv, second.AccessToken))
}

func TestForcedRefresh(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	leaked := stable(t, srv, false)
	second := stable(t, srv, true)
	assert.NotEqual(t, leaked.AccessToken, second.AccessToken)
	assert.Equal(t, 0, errcodeWith(t, srv, leaked.AccessToken), "one forced refresh keeps it valid")
	assert.Equal(t, second.AccessToken, stable(t, srv, true).AccessToken,
		"nothing happens within 30 s")
	srv.Advance(30 * time.Second)
	third := stable(t, srv, true)
	assert.NotEqual(t, second.AccessToken, third.AccessToken)
	assert.Equal(t, 40001, errcodeWith(t, srv, leaked.AccessToken), "two forced refreshes end it")
	assert.Equal(t, 0, errcodeWith(t, srv, third.AccessToken))
	assert.Equal(t, third.AccessToken, stable(t, srv, false).AccessToken)
}

func TestForcedRefreshesOfADay(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	// Begin just after midnight in China, far from the next one.
	now := srv.Now().UTC().Add(8 * time.Hour)
	srv.Advance(now.Truncate(24 * time.Hour).Add(24*time.Hour + time.Second).Sub(now))
	seen := map[string]bool{stable(t, srv, false).AccessToken: true}
	for range 25 {
		srv.Advance(30 * time.Second)
		seen[stable(t, srv, true).AccessToken] = true
	}
	assert.Len(t, seen, 1+20)
	srv.Advance(24 * time.Hour)
	seen[stable(t, srv, false).AccessToken] = true
	seen[stable(t, srv, true).AccessToken] = true
	assert.Len(t, seen, 1+20+2)
}

func TestTokenEndpointsAreIsolated(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	a, b := stable(t, srv, false), classic(t, srv)
	assert.NotEqual(t, a.AccessToken, b.AccessToken)
	for range 3 {
		classic(t, srv)
		srv.Advance(6 * time.Minute)
	}
	assert.Equal(t, 0, errcodeWith(t, srv, a.AccessToken))
	assert.Equal(t, 40001, errcodeWith(t, srv, b.AccessToken))
}

func TestRevokeTokens(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	a, b := stable(t, srv, false), classic(t, srv)
	srv.RevokeTokens()
	assert.Equal(t, 40001, errcodeWith(t, srv, a.AccessToken))
	assert.Equal(t, 40001, errcodeWith(t, srv, b.AccessToken))
	assert.NotEqual(t, a.AccessToken, stable(t, srv, false).AccessToken)
	assert.Equal(t, 0, errcodeWith(t, srv, stable(t, srv, false).AccessToken))
	assert.Equal(t, 0, errcodeWith(t, srv, classic(t, srv).AccessToken))
}

func TestTokensThatAreNone(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	assert.Equal(t, 41001, errcodeWith(t, srv, ""))
	assert.Equal(t, 40001, errcodeWith(t, srv, "short"))
	assert.Equal(t, 40001, errcodeWith(t, srv, stable(t, wechatqrtest.Start(t), false).AccessToken),
		"of another account")
}

func TestTokenRefusals(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t, wechatqrtest.WithCredentials(wechatqr.Credentials{AppID: "wx1",
		AppSecret: "s3cr3t"}))
	for name, tt := range map[string]struct {
		grant, appID, secret string
		want                 int
	}{
		"good":         {"client_credential", "wx1", "s3cr3t", 0},
		"grant":        {"password", "wx1", "s3cr3t", 40002},
		"no grant":     {"", "wx1", "s3cr3t", 40002},
		"no appid":     {"client_credential", "", "s3cr3t", 41002},
		"wrong appid":  {"client_credential", "wx2", "s3cr3t", 40013},
		"no secret":    {"client_credential", "wx1", "", 41004},
		"wrong secret": {"client_credential", "wx1", "wr0ng", 40125},
	} {
		_, body := get(t, srv.URL()+"/cgi-bin/token?"+url.Values{"grant_type": {tt.grant},
			"appid": {tt.appID}, "secret": {tt.secret}}.Encode())
		assert.Equal(t, tt.want, code(t, body), name)
		_, body = post(t, srv.URL()+"/cgi-bin/stable_token",
			fmt.Sprintf(`{"grant_type":%q,"appid":%q,"secret":%q}`, tt.grant, tt.appID, tt.secret))
		assert.Equal(t, tt.want, code(t, body), name)
	}
	_, body := post(t, srv.URL()+"/cgi-bin/stable_token", "")
	assert.Equal(t, 44002, code(t, body))
	_, body = post(t, srv.URL()+"/cgi-bin/stable_token", "grant_type=client_credential")
	assert.Equal(t, 47001, code(t, body))
	_, body = get(t, srv.URL()+"/cgi-bin/stable_token")
	assert.Equal(t, 43002, code(t, body))
	_, body = post(t, srv.URL()+"/cgi-bin/token", "")
	assert.Equal(t, 43001, code(t, body))
	for _, c := range srv.Requests() {
		line := fmt.Sprintf("%+v", c)
		assert.NotContains(t, line, "s3cr3t")
		assert.NotContains(t, line, "wr0ng")
		assert.NotContains(t, line, `"access_token":"97_`)
	}
}

// Cloud hosting puts no token into its calls.
func TestCloudHosting(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t, wechatqrtest.WithCloudHosting())
	resp, body := get(t, srv.URL()+"/cgi-bin/getcallbackip")
	assert.Equal(t, 0, code(t, body))
	assert.NotEmpty(t, resp.Header.Get("X-Openapi-Seqid"))
	assert.Equal(t, 41001, errcodeWith(t, srv, ""), "an empty token is a mistake")
	assert.Equal(t, 40001, errcodeWith(t, srv, "short"))
	c := srv.Client(wechatqr.WithCloudHosting())
	_, err := c.CreateTicket(t.Context(), wechatqr.Temporary(wechatqr.SceneID(1), time.Minute))
	require.NoError(t, err)
	for _, c := range srv.Requests() {
		assert.NotEqual(t, "/cgi-bin/stable_token", c.Path)
	}
}
