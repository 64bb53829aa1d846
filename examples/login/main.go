// Command login is a website where one logs in by scanning a code with WeChat
// (扫码登录), by package scanlogin. What is its own is the session.
//
// Without WECHAT_APP_ID it is a backend of the sandbox:
//
//	go run ./cmd/sandbox -appid wx0123456789abcdef -secret 0123456789abcdef0123456789abcdef \
//		-token token -aeskey abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG \
//		-callback http://127.0.0.1:8080/wechat
//	go run ./examples/login
//
// Then open http://127.0.0.1:8080, and scan the code on the sandbox's page. For an
// account set the variables of its console, and with -page the https address at which
// people see the page: something in front of it does TLS.
package main

import (
	"context"
	"crypto/rand"
	"flag"
	"fmt"
	"html/template"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/events"
	"github.com/wechatqr/wechatqr/scanlogin"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	listen := flag.String("listen", ":8080", "the `address` to serve")
	page := flag.String("page", "http://127.0.0.1:8080/login",
		"the login page's `address` as people see it")
	flag.Parse()
	if os.Getenv("WECHAT_APP_ID") == "" {
		sandbox()
	}
	l, err := net.Listen("tcp", *listen)
	if err == nil {
		log.Printf("serving %s: the page is at %s, the callback is at /wechat", l.Addr(), *page)
		err = run(ctx, l, *page)
	}
	if err != nil {
		log.Fatal(err)
	}
}

// sandbox sets what the command above does.
func sandbox() {
	for name, value := range map[string]string{
		"BASE_URL": "http://127.0.0.1:8900", "TOKEN": "token",
		"APP_ID": "wx0123456789abcdef", "APP_SECRET": "0123456789abcdef0123456789abcdef",
		"AES_KEY": "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG",
	} {
		os.Setenv("WECHAT_"+name, value)
	}
}

// run serves until ctx ends, and leaves no event half handled.
func run(ctx context.Context, l net.Listener, page string) error {
	creds, err := wechatqr.CredentialsFromEnv()
	if err != nil {
		return err
	}
	var opts []wechatqr.Option
	if base := os.Getenv("WECHAT_BASE_URL"); base != "" {
		opts = append(opts, wechatqr.WithBaseURL(base))
	}
	client, err := wechatqr.New(creds, opts...)
	if err != nil {
		return err
	}
	s := &sessions{secure: strings.HasPrefix(page, "https://"), bySecret: map[string]session{}}
	login, err := scanlogin.New(client, page, scanlogin.WithUnsubscribe(s.end))
	if err != nil {
		return err
	}
	var mux events.Mux
	login.Register(&mux)
	config, err := events.ConfigFromEnv()
	if err != nil {
		return err
	}
	callback, err := events.NewHandler(config, mux.Serve)
	if err != nil {
		return err
	}

	routes := http.NewServeMux()
	routes.Handle("/wechat", callback)
	routes.Handle("/login", login.Handler(s.begin))
	routes.Handle("POST /logout", http.NewCrossOriginProtection().Handler(http.HandlerFunc(s.logout)))
	routes.HandleFunc("GET /{$}", s.home)
	routes.HandleFunc("GET /favicon.ico", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNoContent)
	})
	srv := &http.Server{Handler: routes, ReadTimeout: 10 * time.Second, MaxHeaderBytes: 64 << 10}
	srv.RegisterOnShutdown(login.Close)
	return serve(ctx, srv, l, callback)
}

func serve(ctx context.Context, srv *http.Server, l net.Listener, callback *events.Handler) error {
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(l) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := srv.Shutdown(ctx); err != nil {
		return err
	}
	return callback.Shutdown(ctx) // functions may go on after their requests
}

// sessions are who is logged in: put them into your database, or use the sessions that
// your site has.
type sessions struct {
	secure   bool
	mu       sync.Mutex
	bySecret map[string]session
}

type session struct {
	openID string // find your own user by it
	ends   time.Time
}

// begin logs in who has scanned and confirmed. The secret is new: nobody knew it before.
func (s *sessions) begin(w http.ResponseWriter, r *http.Request, result scanlogin.Result) {
	secret, now := rand.Text(), time.Now()
	s.mu.Lock()
	s.bySecret[secret] = session{result.OpenID, now.Add(12 * time.Hour)}
	for key, one := range s.bySecret {
		if now.After(one.ends) {
			delete(s.bySecret, key)
		}
	}
	s.mu.Unlock()
	s.setCookie(w, secret)
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// end logs out who follows the account no longer.
func (s *sessions) end(_ context.Context, openID string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for secret, one := range s.bySecret {
		if one.openID == openID {
			delete(s.bySecret, secret)
		}
	}
	return nil
}

func (s *sessions) logout(w http.ResponseWriter, r *http.Request) {
	if c, err := r.Cookie(s.cookie()); err == nil {
		s.mu.Lock()
		delete(s.bySecret, c.Value)
		s.mu.Unlock()
	}
	s.setCookie(w, "")
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (s *sessions) cookie() string {
	if s.secure {
		return "__Host-session"
	}
	return "session"
}

func (s *sessions) setCookie(w http.ResponseWriter, secret string) {
	c := &http.Cookie{
		Name: s.cookie(), Value: secret, Path: "/",
		Secure: s.secure, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
	if secret == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

var home = template.Must(template.New("home").Parse(`<!DOCTYPE html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Home</title>
{{if .}}<p>You are <code>{{.}}</code>.</p>
<form method="post" action="/logout"><button>Log out</button></form>
{{else}}<p><a href="/login">Log in with WeChat</a></p>{{end}}`))

func (s *sessions) home(w http.ResponseWriter, r *http.Request) {
	var one session
	if c, err := r.Cookie(s.cookie()); err == nil {
		s.mu.Lock()
		one = s.bySecret[c.Value]
		s.mu.Unlock()
	}
	if time.Now().After(one.ends) {
		one = session{}
	}
	w.Header().Set("Cache-Control", "no-store")
	if err := home.Execute(w, one.openID); err != nil {
		fmt.Fprintln(os.Stderr, "login:", err)
	}
}
