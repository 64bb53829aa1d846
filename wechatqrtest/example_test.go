package wechatqrtest_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"time"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/events"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// welcome is the backend under test.
func welcome(_ context.Context, ev *wechatqr.Event) (events.Reply, error) {
	scan, ok := ev.Scan()
	if !ok {
		return nil, nil
	}
	return events.Text("Welcome to " + scan.SceneKey), nil
}

// A test of a backend: create a code, have a user scan it, read the reply.
func Example() {
	srv := wechatqrtest.NewServer() // in a test: wechatqrtest.Start(t)
	defer srv.Close()
	backend, err := events.NewHandler(srv.CallbackConfig(), welcome)
	if err != nil {
		fmt.Println(err)
		return
	}
	srv.ServeCallback(backend)

	ctx := context.Background()
	ticket, err := srv.Client().CreateTicket(ctx,
		wechatqr.Temporary(wechatqr.SceneString("shop-7"), time.Hour))
	if err != nil {
		fmt.Println(err)
		return
	}
	for range 2 {
		push, err := srv.Scan(ctx, ticket.Value, "o6_somebody")
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(push.Event.Type, push.Event.EventKey, "→", push.UserSees())
	}
	// Output:
	// subscribe qrscene_shop-7 → Welcome to shop-7
	// SCAN shop-7 → Welcome to shop-7
}

// Another program takes the token away, and then no new one is to be had.
func ExampleServer_RevokeTokens() {
	srv := wechatqrtest.NewServer()
	defer srv.Close()
	client := srv.Client()
	createURL := func() error {
		_, err := client.CreateTicket(context.Background(),
			wechatqr.Temporary(wechatqr.SceneID(1), time.Minute))
		return err
	}
	fmt.Println("at first:", createURL())
	srv.RevokeTokens()
	fmt.Println("revoked:", createURL(), "after", srv.Count("/cgi-bin/stable_token"), "tokens")
	srv.RevokeTokens()
	srv.Inject(
		wechatqrtest.Fault{Path: "/cgi-bin/stable_token", Code: 40243}) // the secret is frozen
	fmt.Println("frozen:", errors.Is(createURL(), wechatqr.ErrInvalidCredential))
	// Output:
	// at first: <nil>
	// revoked: <nil> after 2 tokens
	// frozen: true
}

// WeChat delivers a push again when it gets no response. A backend should act
// on it once.
func ExampleServer_Push() {
	srv := wechatqrtest.NewServer()
	defer srv.Close()
	coupons := 0
	backend, err := events.NewHandler(srv.CallbackConfig(),
		func(context.Context, *wechatqr.Event) (events.Reply, error) {
			coupons++
			return nil, nil
		})
	if err != nil {
		fmt.Println(err)
		return
	}
	srv.ServeCallback(backend)

	ctx := context.Background()
	push, err := srv.Follow(ctx, "o6_somebody")
	if err != nil {
		fmt.Println(err)
		return
	}
	for range 2 {
		if _, err := srv.Push(ctx, push.Event); err != nil {
			fmt.Println(err)
			return
		}
	}
	fmt.Println(len(srv.Pushes()), "pushes,", coupons, "coupon")
	// Output: 3 pushes, 1 coupon
}

// An encrypted push for any http.Handler, without a Server.
func ExampleNewRequest() {
	cfg := events.Config{AppID: "wx0123456789abcdef", Token: "token",
		EncodingAESKey: "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"}
	backend, err := events.NewHandler(cfg, welcome)
	if err != nil {
		fmt.Println(err)
		return
	}
	rec := httptest.NewRecorder()
	backend.ServeHTTP(rec, wechatqrtest.NewRequest(cfg,
		wechatqr.Event{Type: wechatqr.EventScan, EventKey: "shop-7"}))
	answered, err := wechatqrtest.ParseReply(cfg, rec.Body.Bytes())
	fmt.Println(answered.Text(), err)
	// Output: Welcome to shop-7 <nil>
}
