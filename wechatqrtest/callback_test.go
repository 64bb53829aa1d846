package wechatqrtest_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr/events"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

func TestSetCallback(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	first := srv.Callback()
	assert.Equal(t, wechatqrtest.ModeSafe, first.Mode)
	assert.Empty(t, first.URL)
	_, err := events.NewVerifier(srv.CallbackConfig())
	require.NoError(t, err, "the keys of a new Server are good")

	for name, bad := range map[string]wechatqrtest.Callback{
		"short token":    {Token: "ab"},
		"long token":     {Token: strings.Repeat("a", 33)},
		"token of signs": {Token: "a_b"},
		"short key":      {EncodingAESKey: strings.Repeat("k", 42)},
		"long key":       {EncodingAESKey: strings.Repeat("k", 44)},
		"key of signs":   {EncodingAESKey: strings.Repeat("+", 43)},
		"mode":           {Mode: "secret"},
		"no scheme":      {URL: "127.0.0.1:80/x"},
		"other scheme":   {URL: "ftp://127.0.0.1/x"},
		"no host":        {URL: "http:///x"},
		"fragment":       {URL: "http://127.0.0.1/#x"},
	} {
		assert.ErrorContains(t, srv.SetCallback(bad), "wechatqrtest: callback: ", name)
		assert.Equal(t, first, srv.Callback(), name)
	}
	require.NoError(t, srv.SetCallback(wechatqrtest.Callback{URL: "https://127.0.0.1/x?y=z"}))
	first.URL = "https://127.0.0.1/x?y=z"
	assert.Equal(t, first, srv.Callback(), "what is left empty stays")
	for _, value := range []string{"abc", strings.Repeat("a", 32)} {
		require.NoError(t, srv.SetCallback(wechatqrtest.Callback{Token: value,
			Mode: wechatqrtest.ModePlain}))
	}
	assert.Empty(t, srv.CallbackConfig().EncodingAESKey)
	assert.True(t, srv.CallbackConfig().Plaintext)
	require.NoError(t, srv.SetCallback(wechatqrtest.Callback{Mode: wechatqrtest.ModeCompatible}))
	assert.Equal(t, first.EncodingAESKey, srv.CallbackConfig().EncodingAESKey)
	assert.False(t, srv.CallbackConfig().Plaintext)
}

func TestCheckCallback(t *testing.T) {
	t.Parallel()
	echo := func(r *http.Request) string { return r.URL.Query().Get("echostr") }
	say := func(fn func(*http.Request) string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, fn(r)) }
	}
	for name, tt := range map[string]struct {
		callback http.HandlerFunc
		want     wechatqrtest.Reason
		detail   string
		status   int
	}{
		"right": {say(echo), "", "", 0},
		"quoted": {say(func(r *http.Request) string { return `"` + echo(r) + `"` }),
			wechatqrtest.ReasonQuoted, "as text", 200},
		"newline": {say(func(r *http.Request) string { return echo(r) + "\n" }),
			wechatqrtest.ReasonWrongEcho, "line breaks", 200},
		"empty": {say(func(*http.Request) string { return "" }), wechatqrtest.ReasonWrongEcho,
			"empty", 200},
		"success": {say(func(*http.Request) string { return "success" }),
			wechatqrtest.ReasonWrongEcho,
			`"success"`, 200},
		"not found": {http.NotFound, wechatqrtest.ReasonWrongStatus, "404", 404},
		"redirected": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/login", http.StatusFound)
		}, wechatqrtest.ReasonRedirected, `"/login"`, 302},
		"slow": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
			wechatqrtest.ReasonTooSlow, "100ms", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var opts []wechatqrtest.Option
			if tt.want == wechatqrtest.ReasonTooSlow {
				opts = append(opts, wechatqrtest.WithPushTimeout(100*time.Millisecond))
			}
			srv := wechatqrtest.Start(t, opts...)
			srv.ServeCallback(tt.callback)
			err := srv.CheckCallback(t.Context())
			if tt.want == "" {
				require.NoError(t, err)
				return
			}
			var ce *wechatqrtest.CallbackError
			require.ErrorAs(t, err, &ce)
			assert.Equal(t, tt.want, ce.Reason)
			assert.Contains(t, ce.Detail, tt.detail)
			assert.Equal(t, tt.status, ce.Status)
		})
	}
}

// A URL that has a query of its own keeps it.
func TestCallbackURLWithQuery(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	address := srv.ServeCallback(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("tenant") != "7" || r.URL.Query().Get("signature") == "" {
			http.Error(w, r.URL.RawQuery, http.StatusBadRequest)
			return
		}
		_, _ = io.WriteString(w, r.URL.Query().Get("echostr"))
	}))
	require.NoError(t, srv.SetCallback(wechatqrtest.Callback{URL: address + "wechat?tenant=7"}))
	require.NoError(t, srv.CheckCallback(t.Context()))
	_, err := srv.Follow(t.Context(), "o6_user")
	require.NoError(t, err)
}
