package main

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/wechatqr/wechatqr"
)

// newHandler gives src's token to who knows the key.
//
//	GET  /token          {"access_token":"…","expires_in":7123}, seconds that are left
//	POST /token/refused  {"access_token":"…"}: WeChat refused this one; 204
//
// Both want "Authorization: Bearer KEY". What goes wrong is told in plain text:
// 401 without the key, 502 if WeChat gives no token.
func newHandler(src wechatqr.TokenSource, key string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /token", func(w http.ResponseWriter, r *http.Request) {
		tok, err := src.Token(r.Context())
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		answer := map[string]any{"access_token": tok.Value}
		if !tok.Expiry.IsZero() {
			answer["expires_in"] = int64(max(0, time.Until(tok.Expiry)) / time.Second)
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(answer)
	})
	mux.HandleFunc("POST /token/refused", func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			AccessToken string `json:"access_token"`
		}
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 8<<10)).Decode(&in); err != nil {
			http.Error(w, `send {"access_token":"…"}`, http.StatusBadRequest)
			return
		}
		if inv, ok := src.(wechatqr.Invalidator); ok {
			if err := inv.Invalidate(r.Context(), in.AccessToken); err != nil {
				http.Error(w, err.Error(), http.StatusBadGateway)
				return
			}
		}
		w.WriteHeader(http.StatusNoContent)
	})
	want := sha256.Sum256([]byte(key))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		// Of equal length whatever was given, and so compared in constant time.
		sum := sha256.Sum256([]byte(given))
		if subtle.ConstantTimeCompare(sum[:], want[:]) != 1 || !ok {
			w.Header().Set("WWW-Authenticate", "Bearer")
			http.Error(w, "send Authorization: Bearer KEY", http.StatusUnauthorized)
			return
		}
		mux.ServeHTTP(w, r)
	})
}
