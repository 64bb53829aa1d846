package wechatqrtest_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/events"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// Somebody scans a code, and the backend's reply comes back.
func ExampleServer_Scan() {
	srv := wechatqrtest.NewServer()
	defer srv.Close()
	ctx := context.Background()
	welcome := func(context.Context, wechatqr.Scan, *wechatqr.Event) (events.Reply, error) {
		return events.Text("Welcome to shop 7"), nil
	}
	var mux events.Mux
	mux.HandleScene("shop-7", welcome)
	handler, err := events.NewHandler(srv.CallbackConfig(), mux.Serve)
	if err != nil {
		log.Fatal(err)
	}
	srv.ServeCallback(handler)

	req := wechatqr.Temporary(wechatqr.SceneString("shop-7"), time.Hour)
	ticket, err := srv.Client().CreateTicket(ctx, req)
	if err != nil {
		log.Fatal(err)
	}
	push, err := srv.Scan(ctx, ticket.Value, "o6_somebody")
	if err != nil {
		log.Fatal(err)
	}

	fmt.Println(push.Event.Type, push.Reply.Content)
	// Output: subscribe Welcome to shop 7
}

// The next creation is refused as if the day's quota were used up.
func ExampleServer_Inject() {
	srv := wechatqrtest.NewServer()
	defer srv.Close()
	srv.Inject(wechatqrtest.Fault{Path: "/cgi-bin/qrcode/create", Code: 45009, Times: 1})

	for range 2 {
		req := wechatqr.Temporary(wechatqr.SceneString("shop-7"), time.Hour)
		_, err := srv.Client().CreateTicket(context.Background(), req)
		fmt.Println(errors.Is(err, wechatqr.ErrQuota), err == nil)
	}
	// Output:
	// true false
	// false true
}
