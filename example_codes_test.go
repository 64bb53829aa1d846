package wechatqr_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// A scene is a number or a text; Key is what a scan of it reports.
func ExampleScene() {
	shop, desk := wechatqr.SceneString("shop-7"), wechatqr.SceneID(7)

	fmt.Println(shop.Key(), desk.Key(), shop == wechatqr.SceneString("shop-7"))
	// WeChat reports these two alike: begin texts with a word of your own.
	fmt.Println(desk.Key() == wechatqr.SceneString("7").Key())
	// Output:
	// shop-7 7 true
	// true
}

// For a screen: the code of an order that is to be paid within a quarter of an
// hour.
func ExampleTemporary() {
	srv := wechatqrtest.NewServer()
	defer srv.Close()

	req := wechatqr.Temporary(wechatqr.SceneString("order-1984"), 15*time.Minute)
	ticket, err := srv.Client().CreateTicket(context.Background(), req)
	if err != nil {
		log.Fatal(err)
	}

	fmt.Println(ticket.Permanent(), ticket.Expired(time.Now().Add(16*time.Minute)))
	// Output: false true
}

// For print: made once, kept for ever. An account has 100000 of them.
func ExamplePermanent() {
	srv := wechatqrtest.NewServer()
	defer srv.Close()

	req := wechatqr.Permanent(wechatqr.SceneString("shop-7"))
	ticket, err := srv.Client().CreateTicket(context.Background(), req)
	if err != nil {
		log.Fatal(err)
	}

	fmt.Println(ticket.Permanent()) // keep the ticket, as JSON perhaps
	// Output: true
}

// What a caller of your own asks for can be refused without a call.
func ExampleTicketRequest_Validate() {
	err := wechatqr.Permanent(wechatqr.SceneID(100_001)).Validate()
	fmt.Println(errors.Is(err, wechatqr.ErrInvalidScene),
		errors.Is(err, wechatqr.ErrInvalidArgument))
	// Output: true true
}

// Processes that share a store share the token. Package redisstore has a store;
// table stands for one on a database.
func ExampleWithTokenStore() {
	srv := wechatqrtest.NewServer()
	defer srv.Close()
	store := &table{rows: map[string]wechatqr.Token{}}

	for range 4 { // processes
		client := srv.Client(wechatqr.WithTokenStore(store))
		req := wechatqr.Temporary(wechatqr.SceneString("shop-7"), time.Hour)
		if _, err := client.CreateTicket(context.Background(), req); err != nil {
			log.Fatal(err)
		}
	}

	fmt.Println(srv.Count("/cgi-bin/qrcode/create"), "codes")
	fmt.Println(srv.Count("/cgi-bin/stable_token"), "token")
	// Output:
	// 4 codes
	// 1 token
}

// The unique key of an effect that must happen once, such as a coupon. It says
// nothing about the user to those who have no key.
func ExampleEvent_KeyedID() {
	key := []byte("0123456789abcdef") // random, and not kept in the same database
	ev := wechatqr.Event{
		MsgType: "event", Type: wechatqr.EventScan, EventKey: "shop-7",
		FromUserName: "o6_somebody", CreateTime: time.Unix(1714112445, 0),
	}

	id, err := ev.KeyedID(key)
	fmt.Println(len(id), err) // INSERT INTO coupons (push, …) VALUES (id, …)
	// Output: 64 <nil>
}
