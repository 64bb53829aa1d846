package main

import (
	"cmp"
	"fmt"
	"html"
	"net/http"

	"github.com/wechatqr/wechatqr/cmd/channeld/internal/web"
)

// plainFrame writes the body with nothing around it.
func plainFrame(w http.ResponseWriter, r *http.Request, p web.Page) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(cmp.Or(p.Status, http.StatusOK))
	_, _ = fmt.Fprintf(w, "<!doctype html><html lang=%q><meta charset=utf-8>"+
		"<meta name=viewport content='width=device-width'><title>%s</title>%s", web.Language(r),
		html.EscapeString(p.Title), p.Body) // the browser may have closed the connection
}
