package main

import (
	"net/http"

	"github.com/wechatqr/wechatqr/internal/webui"
)

// guardAPI guards the API. Backends may use any host name, api.weixin.qq.com included.
// Browsers, which send Sec-Fetch-Site or Origin, get only pictures in pages of
// other origins.
func guardAPI(g *webui.Guard, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		site := r.Header.Get("Sec-Fetch-Site")
		reads := r.Method == http.MethodGet || r.Method == http.MethodHead
		picture := reads && r.URL.Path == "/cgi-bin/showqrcode"
		if site != "" || r.Header.Get("Origin") != "" {
			crossOrigin := site == "cross-site" || site == "same-site" || g.CrossOrigin(r)
			if !g.AllowsHost(r.Host) || crossOrigin && !picture {
				http.Error(w, "sandbox: the request comes from another origin: the API is for backends",
					http.StatusForbidden)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}
