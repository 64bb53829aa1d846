package scanlogin_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/wechatqr/wechatqr/account"
	"github.com/wechatqr/wechatqr/events"
	"github.com/wechatqr/wechatqr/scanlogin"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

func Example() {
	wx := wechatqrtest.NewServer() // in place of WeChat
	defer wx.Close()
	client := wx.Client()

	login, err := scanlogin.New(client, "https://example.com/login")
	if err != nil {
		log.Fatal(err)
	}
	var mux events.Mux
	login.Register(&mux) // scans of the prefix "login-", and unsubscribes
	site := http.NewServeMux()
	site.Handle("/login", login.Handler(func(w http.ResponseWriter, r *http.Request,
		result scanlogin.Result) {
		startSession(w, r, result.OpenID) // your own
		http.Redirect(w, r, "/", http.StatusSeeOther)
	}))
}

func startSession(http.ResponseWriter, *http.Request, string) {}

// Somebody who is logged in binds their WeChat to the account that they have.
func ExampleLogin_Bind() {
	wx := wechatqrtest.NewServer()
	defer wx.Close()
	login, err := scanlogin.New(wx.Client(), "https://example.com/login")
	if err != nil {
		log.Fatal(err)
	}
	users := userTable{}
	site := http.NewServeMux()

	site.Handle("/account/wechat", login.Bind(
		func(r *http.Request) (scanlogin.User, bool) {
			id, name := users.loggedIn(r)
			return scanlogin.User{ID: id, Name: name}, id != ""
		},
		func(w http.ResponseWriter, r *http.Request, result scanlogin.Result) {
			if err := users.bind(r.Context(), result.User.ID, result.OpenID); err != nil {
				http.Error(w, "this WeChat is bound to another account", http.StatusConflict)
				return
			}
			http.Redirect(w, r, "/account", http.StatusSeeOther)
		}))
}

type userTable struct{}

func (userTable) loggedIn(*http.Request) (id, name string)           { return "7", "alice" }
func (userTable) bind(context.Context, string, string) error         { return nil }
func (userTable) rename(context.Context, string, string, bool) error { return nil }

// The UnionID is the same for all accounts of one owner.
func ExampleResult_unionID() {
	wx := wechatqrtest.NewServer()
	defer wx.Close()
	client := wx.Client()
	login, err := scanlogin.New(client, "https://example.com/login")
	if err != nil {
		log.Fatal(err)
	}
	users := userTable{}

	_ = login.Handler(func(w http.ResponseWriter, r *http.Request, result scanlogin.Result) {
		user, err := account.User(r.Context(), client, result.OpenID)
		if err != nil {
			http.Error(w, "WeChat does not answer", http.StatusBadGateway)
			return
		}
		if err := users.rename(r.Context(), result.OpenID, user.UnionID, result.New); err != nil {
			http.Error(w, "no database", http.StatusInternalServerError)
		}
	})
}

// The steps, for a server of another kind than net/http.
func ExampleLogin_Begin() {
	ctx := context.Background()
	wx := wechatqrtest.NewServer()
	defer wx.Close()
	login, err := scanlogin.New(wx.Client(), "https://example.com/login")
	if err != nil {
		log.Fatal(err)
	}
	var mux events.Mux
	login.Register(&mux)
	quiet := events.WithLogger(slog.New(slog.NewTextHandler(io.Discard, nil)))
	callback, err := events.NewHandler(wx.CallbackConfig(), mux.Serve, quiet)
	if err != nil {
		log.Fatal(err)
	}
	wx.ServeCallback(callback)

	visitor := scanlogin.Visitor{Address: netip.MustParseAddr("203.0.113.7")}
	attempt, err := login.Begin(ctx, visitor)
	if err != nil {
		log.Fatal(err)
	}
	visitor.Secret = attempt.Secret // keep it in the browser's session
	fmt.Println(attempt.Status.State, time.Until(attempt.Status.Ends).Round(time.Minute))

	push, err := wx.Scan(ctx, wx.QRCodes()[0].Ticket, "o-wang") // somebody
	if err != nil {
		log.Fatal(err)
	}
	status, err := login.Wait(ctx, visitor, scanlogin.StateWaiting)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(status.State)

	result, err := login.Confirm(ctx, visitor, numberIn(push.UserSees()))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(result.OpenID, result.New)
	// Output:
	// waiting 5m0s
	// scanned
	// o-wang true
}
