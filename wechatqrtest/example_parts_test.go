package wechatqrtest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
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
	greeting := func(context.Context, wechatqr.Scan, *wechatqr.Event) (events.Reply, error) {
		return events.Text("Welcome to shop 7"), nil
	}
	var mux events.Mux
	mux.HandleScene("shop-7", greeting)
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

// A failed test logs the State by itself; a page or a tool can show it too.
func ExampleServer_State() {
	srv := wechatqrtest.NewServer()
	defer srv.Close()
	if _, err := srv.CreateCode(wechatqr.Permanent(wechatqr.SceneString("shop-7"))); err != nil {
		log.Fatal(err)
	}

	st := srv.State()
	fmt.Println(len(st.QRCodes), st.QRCodes[0].Scene(), len(st.Pushes))
	fmt.Println(st.AppSecret == srv.Credentials().AppSecret)
	// Output:
	// 1 shop-7 0
	// false
}

// An API that the Server does not have. The token is checked before.
func ExampleServer_Handle() {
	srv := wechatqrtest.NewServer()
	defer srv.Close()
	srv.Handle("/cgi-bin/shorten/gen", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"errcode":0,"errmsg":"ok","short_key":"k7"}`)
	})

	var out struct {
		ShortKey string `json:"short_key"`
	}
	err := srv.Client().Do(context.Background(), wechatqr.Request{
		Method: http.MethodPost, Path: "/cgi-bin/shorten/gen",
		Body: map[string]string{"long_data": "x"},
	}, &out)
	fmt.Println(out.ShortKey, err, srv.Count("/cgi-bin/shorten/gen"))
	// Output: k7 <nil> 1
}

// Every second push is lost: what a backend counts differs from what happened.
func ExampleServer_InjectPush() {
	srv := wechatqrtest.NewServer()
	defer srv.Close()
	follows := 0
	srv.ServeFunc(func(context.Context, *wechatqr.Event) (events.Reply, error) {
		follows++
		return nil, nil
	})
	if err := srv.InjectPush(wechatqrtest.PushFault{Drop: true, Share: 0.5}); err != nil {
		log.Fatal(err)
	}

	for range 10 {
		if _, err := srv.Follow(context.Background(), ""); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println(len(srv.Users()), "followers,", follows, "counted")
	// Output: 10 followers, 5 counted
}
