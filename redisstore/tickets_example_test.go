package redisstore_test

import (
	"context"
	"fmt"
	"log"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/events"
	"github.com/wechatqr/wechatqr/redisstore"
	"github.com/wechatqr/wechatqr/tickets"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// shopServer is one of several that share a Redis.
type shopServer struct {
	keeper  *tickets.Keeper
	handler *events.Handler
}

// newServer has all that a server of an account needs.
func newServer(
	rdb redis.UniversalClient, api string, creds wechatqr.Credentials, cfg events.Config,
	onEvent events.HandlerFunc,
) (shopServer, error) {
	store, err := redisstore.New(rdb)
	if err != nil {
		return shopServer{}, err
	}
	client, err := wechatqr.New(creds, wechatqr.WithBaseURL(api), wechatqr.WithTokenStore(store))
	if err != nil {
		return shopServer{}, err
	}
	keeper, err := tickets.NewKeeper(creds.AppID, client, store)
	if err != nil {
		return shopServer{}, err
	}
	handler, err := events.NewHandler(cfg, onEvent, events.WithDeduper(store))
	return shopServer{keeper, handler}, err
}

// Two servers behind a load balancer: one token, one code, and a push that both get
// is handled once.
func Example_twoServers() {
	wx, rs := wechatqrtest.NewServer(), miniredis.NewMiniRedis()
	defer wx.Close()
	if err := rs.Start(); err != nil {
		log.Fatal(err)
	}
	defer rs.Close()

	var push wechatqr.Event
	for n := range 2 {
		rdb := redis.NewClient(&redis.Options{Addr: rs.Addr()})
		defer rdb.Close()
		onEvent := func(_ context.Context, ev *wechatqr.Event) (events.Reply, error) {
			scan, _ := ev.Scan()
			fmt.Printf("server %d: %s scanned\n", n+1, scan.SceneKey)
			return nil, nil
		}
		s, err := newServer(rdb, wx.URL(), wx.Credentials(), wx.CallbackConfig(), onEvent)
		if err != nil {
			log.Fatal(err)
		}

		code := wechatqr.Permanent(wechatqr.SceneString("shop-7"))
		ticket, err := s.keeper.Ticket(context.Background(), code)
		if err != nil {
			log.Fatal(err)
		}
		wx.ServeCallback(s.handler)
		if n == 0 {
			if push, err = wx.ScanEvent(ticket.Value, "o-wang"); err != nil {
				log.Fatal(err)
			}
		}
		if _, err := wx.Push(context.Background(), push); err != nil {
			log.Fatal(err)
		}
	}

	calls := map[string]int{}
	for _, r := range wx.Requests() {
		calls[r.Path]++
	}
	fmt.Println(calls)
	// Output:
	// server 1: shop-7 scanned
	// map[/cgi-bin/qrcode/create:1 /cgi-bin/stable_token:1]
}
