package wechatqrtest_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

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
	srv := wechatqrtest.Start(t)
	srv.ServeCallback(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.URL.Query().Get("echostr"))
	}))
	require.NoError(t, srv.CheckCallback(t.Context()))

	for name, tt := range wrongEchoes() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := tt.start(t)
			srv.ServeCallback(tt.callback)
			tt.is(t, srv.CheckCallback(t.Context()))
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
