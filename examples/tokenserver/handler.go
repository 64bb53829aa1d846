package main

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/wechatqr/wechatqr"
)

// newHandler gives the token of src to those who know the secret.
//
//	GET  /token                     {"access_token":"…","expires_in":7123}, seconds that are left
//	POST /token {"rejected":"…"}    the same, after WeChat was asked for another: it refused this one
//
// Both want "Authorization: Bearer SECRET". Errors are plain text: 401 without the
// secret, 502 if WeChat gives no token.
func newHandler(src wechatqr.TokenSource, secret string) http.Handler {
	mux := http.NewServeMux()
	give := func(w http.ResponseWriter, r *http.Request, rejected string) {
		tok, left, err := lasting(r.Context(), src, rejected)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		response := map[string]any{"access_token": tok.Value}
		if !tok.Expiry.IsZero() {
			response["expires_in"] = int64(left / time.Second)
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(response)
	}
	mux.HandleFunc("GET /token", func(w http.ResponseWriter, r *http.Request) { give(w, r, "") })
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			Rejected string `json:"rejected"`
		}
		body := http.MaxBytesReader(w, r.Body, 8<<10)
		if err := json.NewDecoder(body).Decode(&in); err != nil || in.Rejected == "" {
			http.Error(w, `send {"rejected":"…"}, the token that WeChat refused`, http.StatusBadRequest)
			return
		}
		give(w, r, in.Rejected)
	})
	want := sha256.Sum256([]byte(secret))
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

// lasting returns a token and what is left of its life, a whole second at least, for
// expires_in counts whole seconds. In a token's last second it waits for the next one.
func lasting(
	ctx context.Context, src wechatqr.TokenSource, rejected string,
) (tok wechatqr.Token, left time.Duration, err error) {
	for {
		tok, err = src.Token(ctx, rejected)
		left = time.Until(tok.Expiry)
		if err != nil || tok.Expiry.IsZero() || left >= time.Second {
			return tok, left, err
		}
		select {
		case <-time.After(left):
		case <-ctx.Done():
			return wechatqr.Token{}, 0, ctx.Err()
		}
	}
}
