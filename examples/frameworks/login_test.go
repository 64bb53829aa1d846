package frameworks_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"

	"github.com/alexedwards/scs/v2"
	"github.com/gin-gonic/gin"

	"github.com/wechatqr/wechatqr/events"
	"github.com/wechatqr/wechatqr/scanlogin"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// newLogin is a Login of a site that is not there yet, with a WeChat whose pushes it gets.
func newLogin(pageURL string) (*scanlogin.Login, *wechatqrtest.Server) {
	wx := wechatqrtest.NewServer()
	login, err := scanlogin.New(wx.Client(), pageURL)
	if err != nil {
		log.Fatal(err)
	}
	var mux events.Mux
	login.Register(&mux)
	handler, err := events.NewHandler(wx.CallbackConfig(), mux.Serve)
	if err != nil {
		log.Fatal(err)
	}
	wx.ServeCallback(handler)
	return login, wx
}

// logIn is somebody who opens the page, scans, types the number, and sees what is next.
func logIn(site http.Handler, wx *wechatqrtest.Server) {
	defer wx.Close()
	srv := httptest.NewServer(site)
	defer srv.Close()
	jar, _ := cookiejar.New(nil) // has no error
	browser := http.Client{Jar: jar}
	post := func(form url.Values) string {
		resp, err := browser.PostForm(srv.URL+"/login", form)
		if err != nil {
			log.Fatal(err)
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return resp.Request.URL.Path + ": " + string(body)
	}

	post(url.Values{"do": {"begin"}})
	push, err := wx.Scan(context.Background(), wx.QRCodes()[0].Ticket, "o-wang")
	if err != nil {
		log.Fatal(err)
	}
	number := regexp.MustCompile(`\b\d{6}\b`).FindString(push.UserSees())
	fmt.Println(post(url.Values{"do": {"confirm"}, "number": {number}}))
}

func Example_loginWithSCS() {
	login, wx := newLogin("http://127.0.0.1/login")

	sessions := scs.New()
	mux := http.NewServeMux()
	mux.Handle("/login", login.Handler(func(w http.ResponseWriter, r *http.Request,
		result scanlogin.Result) {
		if err := sessions.RenewToken(r.Context()); err != nil { // against session fixation
			http.Error(w, "no session", http.StatusInternalServerError)
			return
		}
		sessions.Put(r.Context(), "openid", result.OpenID)
		http.Redirect(w, r, "/", http.StatusSeeOther)
	}))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "hello", sessions.GetString(r.Context(), "openid"))
	})

	logIn(sessions.LoadAndSave(mux), wx)
	// Output: /: hello o-wang
}

func Example_loginWithGin() {
	login, wx := newLogin("http://127.0.0.1/login")
	sessions := map[string]string{} // yours

	gin.SetMode(gin.ReleaseMode)
	router := gin.New()
	router.Any("/login", gin.WrapH(login.Handler(
		func(w http.ResponseWriter, r *http.Request, result scanlogin.Result) {
			sessions["secret"] = result.OpenID
			http.SetCookie(w, &http.Cookie{
				Name: "session", Value: "secret", Path: "/", HttpOnly: true,
			})
			http.Redirect(w, r, "/", http.StatusSeeOther)
		})))
	router.GET("/", func(c *gin.Context) {
		secret, _ := c.Cookie("session")
		c.String(http.StatusOK, "hello %s", sessions[secret])
	})

	logIn(router, wx)
	// Output: /: hello o-wang
}
