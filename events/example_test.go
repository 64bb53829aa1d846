package events_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/events"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// A callback for whoever scans one of the account's codes.
func ExampleNewHandler() {
	config, err := events.ConfigFromEnv()
	if err != nil {
		log.Print(err) // it says which variable is wrong
		return
	}
	handler, err := events.NewHandler(config,
		func(ctx context.Context, ev *wechatqr.Event) (events.Reply, error) {
			scan, ok := ev.Scan()
			if !ok {
				return nil, nil
			}
			return events.Text("Welcome! You scanned " + scan.SceneKey), nil
		})
	if err != nil {
		log.Print(err)
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	log.Print(events.Serve(ctx, &http.Server{Addr: ":8080"}, handler))
}

// Which function handles what: the scene, then the longest prefix of it, then
// the type of the event, then the default. The separator keeps "shop-" from
// "shopping", and the function reads the rest of the scene.
func ExampleMux() {
	config := events.Config{Token: "token", Plaintext: true}

	shop := func(_ context.Context, scan wechatqr.Scan, _ *wechatqr.Event) (events.Reply, error) {
		return events.Text("Welcome to shop " + strings.TrimPrefix(scan.SceneKey, "shop-")), nil
	}
	fair := func(context.Context, wechatqr.Scan, *wechatqr.Event) (events.Reply, error) {
		return events.Text("Welcome to the fair"), nil
	}
	say := func(text string) events.HandlerFunc {
		return func(context.Context, *wechatqr.Event) (events.Reply, error) {
			return events.Text(text), nil
		}
	}
	var mux events.Mux
	mux.HandleScenePrefix("shop-", shop)
	mux.HandleScene("fair-2026", fair)
	mux.HandleEvent(wechatqr.EventSubscribe, say("Thank you for following"))
	mux.HandleDefault(say("Please scan a code"))
	handler, err := events.NewHandler(config, mux.Serve)
	if err != nil {
		log.Fatal(err)
	}

	now := time.Now()
	for _, ev := range []wechatqr.Event{
		{Type: wechatqr.EventScan, EventKey: "shop-7", CreateTime: now},
		{Type: wechatqr.EventSubscribe, EventKey: "qrscene_fair-2026", CreateTime: now},
		{Type: wechatqr.EventSubscribe, CreateTime: now},
		{MsgType: "text", Content: "hello", MsgID: "1", CreateTime: now},
	} {
		r := wechatqrtest.NewRequest(config, ev)
		answer := handler.Handle(r.Context(),
			events.Request{Method: r.Method, RawQuery: r.URL.RawQuery, Body: read(r)})
		reply, err := wechatqrtest.ParseReply(config, answer.Body)
		fmt.Println(reply.Text(), err)
	}
	// Output:
	// Welcome to shop 7 <nil>
	// Welcome to the fair <nil>
	// Thank you for following <nil>
	// Please scan a code <nil>
}

// A server that is not built on net/http.
func ExampleHandler_Handle() {
	handler, err := events.NewHandler(events.Config{Token: "token", Plaintext: true},
		new(events.Mux).Serve)
	if err != nil {
		log.Fatal(err)
	}
	var method, query string // from the server's own request
	var body []byte
	answer := handler.Handle(context.Background(),
		events.Request{Method: method, RawQuery: query, Body: body})
	fmt.Println(answer.Status, answer.ContentType) // and answer.Body
	// Output: 405 text/plain; charset=utf-8
}

// Changing Token and EncodingAESKey in the console without losing a push: first
// deploy this, then change them there, and later take the old ones out.
func ExampleConfig_previous() {
	_, err := events.NewVerifier(events.Config{
		AppID: "wx2c2769f8efd9abc2",
		Token: "newtoken", EncodingAESKey: "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG",
		Previous: []events.Keys{{Token: "oldtoken",
			EncodingAESKey: "0123456789ABCDEFGabcdefghijklmnopqrstuvwxyz"}},
	})
	fmt.Println(err)
	// Output: <nil>
}

// What goes wrong is told with a hint, to a logger or a metric of yours.
func ExampleWithProblemHandler() {
	handler, err := events.NewHandler(events.Config{Token: "token", Plaintext: true},
		new(events.Mux).Serve,
		events.WithProblemHandler(func(_ context.Context, p events.Problem) {
			fmt.Println(p.Status, errors.Is(p.Err, events.ErrBadSignature))
			fmt.Println(p.HintZH) // or p.Hint, in English
		}))
	if err != nil {
		log.Fatal(err)
	}
	r := wechatqrtest.NewRequest(events.Config{Token: "another", Plaintext: true},
		wechatqr.Event{Type: wechatqr.EventScan})
	handler.Handle(r.Context(),
		events.Request{Method: r.Method, RawQuery: r.URL.RawQuery, Body: read(r)})
	// Output:
	// 403 true
	// 请核对 Token 是否与后台完全一致；更换 Token 后请将旧值放入 Previous
}

func read(r *http.Request) []byte {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		log.Fatal(err)
	}
	return body
}
