package main

import (
	"fmt"
	"net/http"
	"time"

	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// mask shows enough of a secret to tell it from another one.
func mask(secret string) string {
	switch {
	case secret == "":
		return ""
	case len(secret) < 12:
		return "…"
	}
	return secret[:4] + "…"
}

func masked(cb wechatqrtest.Callback) wechatqrtest.Callback {
	cb.Token, cb.EncodingAESKey = mask(cb.Token), mask(cb.EncodingAESKey)
	return cb
}

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

// accountJSON is the account without its secrets.
type accountJSON struct {
	AppID     string `json:"appid"`
	AppSecret string `json:"appsecret"` // masked
	ID        string `json:"account"`
}

// stateJSON is what the page shows. Lists are never null.
type stateJSON struct {
	Now      time.Time                      `json:"now"`
	BaseURL  string                         `json:"base_url"`
	Account  accountJSON                    `json:"account"`
	Callback wechatqrtest.Callback          `json:"callback"` // its keys are masked
	Check    *wechatqrtest.Diagnosis        `json:"check,omitempty"`
	Codes    []wechatqrtest.QRCode          `json:"codes"`
	Users    []wechatqrtest.User            `json:"users"`
	Pushes   []wechatqrtest.Push            `json:"pushes"`
	Messages []wechatqrtest.Message         `json:"messages"`
	Requests []wechatqrtest.RecordedRequest `json:"requests"`
	Faults   []wechatqrtest.Fault           `json:"faults"`
	Quotas   []wechatqrtest.Quota           `json:"quotas"`
}

// state responds with everything that the page shows, as JSON.
func (a *app) state(w http.ResponseWriter, _ *http.Request) {
	creds, cb := a.wx.Credentials(), a.wx.Callback()
	pushes := a.wx.Pushes()
	for i, p := range pushes {
		pushes[i].Attempts = list(p.Attempts)
	}
	writeJSON(w, http.StatusOK, stateJSON{
		Now: a.wx.Now(), BaseURL: a.origin,
		Account:  accountJSON{creds.AppID, mask(creds.AppSecret), a.wx.Account()},
		Callback: masked(cb), Check: a.lastCheck(cb),
		Codes: list(a.wx.QRCodes()), Users: list(a.wx.Users()), Pushes: list(pushes),
		Messages: list(a.wx.Messages()), Requests: list(a.wx.Requests()),
		Faults: list(a.wx.Faults()), Quotas: list(a.wx.Quotas()),
	})
}

// list is l, or an empty list if l is nil, for JSON.
func list[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}
