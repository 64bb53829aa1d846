package redisstore_test

import (
	"context"
	"fmt"
	"log"

	"github.com/redis/go-redis/v9"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/events"
	"github.com/wechatqr/wechatqr/redisstore"
	"github.com/wechatqr/wechatqr/scanlogin"
	"github.com/wechatqr/wechatqr/tickets"
)

func Example() {
	creds := wechatqr.Credentials{AppID: "wx0123456789abcdef",
		AppSecret: "0123456789abcdef0123456789abcdef"}
	callback := events.Config{AppID: creds.AppID, Token: "token", Plaintext: true}
	onScan := func(context.Context, *wechatqr.Event) (events.Reply, error) { return nil, nil }

	rdb := redis.NewUniversalClient(&redis.UniversalOptions{Addrs: []string{"127.0.0.1:6379"}})
	defer rdb.Close()
	store, err := redisstore.New(rdb)
	if err != nil {
		log.Fatal(err)
	}
	client, err := wechatqr.New(creds, wechatqr.WithTokenStore(store))
	if err != nil {
		log.Fatal(err)
	}
	handler, err := events.NewHandler(callback, onScan, events.WithDeduper(store))
	if err != nil {
		log.Fatal(err)
	}
	keeper, err := tickets.NewKeeper(creds.AppID, client, store)
	if err != nil {
		log.Fatal(err)
	}

	login, err := scanlogin.New(client, "https://example.com/login", scanlogin.WithStore(store))
	if err != nil {
		log.Fatal(err)
	}

	fmt.Printf("%v, %T, %T and %T are ready\n", client, handler, keeper, login)
	// Output: wechatqr.Client, *events.Handler, *tickets.Keeper and *scanlogin.Login are ready
}

func ExampleWithPrefix() {
	rdb := redis.NewUniversalClient(&redis.UniversalOptions{Addrs: []string{"127.0.0.1:6379"}})
	defer rdb.Close()

	store, err := redisstore.New(rdb, redisstore.WithPrefix("wechatqr-test:"))

	fmt.Println(store, err)
	// Output: redisstore.Store(wechatqr-test:) <nil>
}

// Any client of go-redis will do: of one server, a Sentinel or a cluster. New sends
// nothing.
func ExampleNew() {
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:6379"})
	defer rdb.Close()

	store, err := redisstore.New(rdb)
	if err != nil {
		log.Fatal(err)
	}

	fmt.Println(store)
	// Output: redisstore.Store(wechatqr:)
}

// A Store is each of the memories that servers share.
func ExampleStore() {
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:6379"})
	defer rdb.Close()
	store, err := redisstore.New(rdb)
	if err != nil {
		log.Fatal(err)
	}

	var (
		_ wechatqr.TokenStore  = store // for wechatqr.WithTokenStore
		_ wechatqr.TokenLeaser = store // of classic tokens
		_ events.Deduper       = store // for events.WithDeduper
		_ tickets.Store        = store // for tickets.NewKeeper
	)
}
