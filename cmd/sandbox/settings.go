package main

import (
	"fmt"
	"net/http"

	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// env responds with the settings of a backend, as the examples of this library read
// them from the environment. It is the one place that shows the secrets.
func (a *app) env(w http.ResponseWriter, _ *http.Request) {
	creds, cb := a.wx.Credentials(), a.wx.Callback()
	key := "WECHAT_AES_KEY=" + cb.EncodingAESKey
	if cb.Mode == wechatqrtest.ModePlain {
		key = "WECHAT_PLAINTEXT=1"
	}
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	_, _ = fmt.Fprintf(w, "WECHAT_BASE_URL=%s\nWECHAT_APP_ID=%s\nWECHAT_APP_SECRET=%s\n"+
		"WECHAT_ACCOUNT=%s\nWECHAT_TOKEN=%s\n%s\n", // the client may have closed the connection
		a.origin, creds.AppID, creds.AppSecret, a.wx.Account(), cb.Token, key)
}

// stateJSON is what the page shows.
type stateJSON struct {
	wechatqrtest.State
	Check *wechatqrtest.Diagnosis `json:"check,omitempty"`
}

// state responds with everything that the page shows, as JSON.
func (a *app) state(w http.ResponseWriter, _ *http.Request) {
	st := a.wx.State()
	writeJSON(w, http.StatusOK, stateJSON{st, a.lastCheck(st.Callback)})
}
