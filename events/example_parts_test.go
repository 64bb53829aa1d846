package events_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/events"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// One scene exactly: "7" does not take "70".
func ExampleMux_HandleScene() {
	table := func(context.Context, wechatqr.Scan, *wechatqr.Event) (events.Reply, error) {
		return events.Text("Welcome to table 7"), nil
	}
	var mux events.Mux
	mux.HandleScene("7", table)

	for _, key := range []string{"7", "70"} {
		ev := wechatqr.Event{MsgType: "event", Type: wechatqr.EventScan, EventKey: key}
		reply, err := mux.Serve(context.Background(), &ev)
		fmt.Println(key, reply != nil, err)
	}
	// Output:
	// 7 true <nil>
	// 70 false <nil>
}

// The shops' codes carry "shop-1", "shop-2" and so on, and the fair's codes one
// of two texts: the longest prefix wins.
func ExampleMux_HandleScenePrefix() {
	say := func(what string) events.ScanFunc {
		return func(_ context.Context, scan wechatqr.Scan, _ *wechatqr.Event) (events.Reply, error) {
			fmt.Println(scan.SceneKey, "is", what)
			return nil, nil
		}
	}
	var mux events.Mux
	mux.HandleScenePrefix("shop-", say("a shop"))
	mux.HandleScenePrefix("fair-", say("the fair"))
	mux.HandleScenePrefix("fair-vip-", say("the fair's other door"))

	for _, key := range []string{"shop-7", "fair-2026", "fair-vip-2026"} {
		ev := wechatqr.Event{MsgType: "event", Type: wechatqr.EventScan, EventKey: key}
		if _, err := mux.Serve(context.Background(), &ev); err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// shop-7 is a shop
	// fair-2026 is the fair
	// fair-vip-2026 is the fair's other door
}

// A callback beside other routes. Without any, leave the Handler out.
func ExampleServe() {
	config, err := events.ConfigFromEnv()
	if err != nil {
		log.Fatal(err)
	}
	handler, err := events.NewHandler(config, new(events.Mux).Serve)
	if err != nil {
		log.Fatal(err)
	}
	routes := http.NewServeMux()
	routes.Handle("/callback", handler)
	routes.Handle("/", http.FileServer(http.Dir("public")))

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err = events.Serve(ctx, &http.Server{Addr: ":8080", Handler: routes}, handler)
	if err != nil {
		log.Fatal(err)
	}
}

// What to set is in the error's text.
func ExampleConfigFromEnv() {
	for name, value := range map[string]string{
		"WECHAT_TOKEN": "token", "WECHAT_PLAINTEXT": "1", // a test account's
		"WECHAT_APP_ID": "", "WECHAT_AES_KEY": "", "WECHAT_ACCOUNT": "",
	} {
		if err := os.Setenv(name, value); err != nil {
			log.Fatal(err)
		}
	}
	_, err := events.ConfigFromEnv()
	fmt.Println(err)

	if err := os.Setenv("WECHAT_TOKEN", ""); err != nil {
		log.Fatal(err)
	}
	_, err = events.ConfigFromEnv()
	fmt.Println(err)
	// Output:
	// <nil>
	// wechatqr: events: invalid argument: WECHAT_TOKEN is empty: copy it from the console
}

// WeChat may deliver one push several times. This memory holds 8 million events;
// several processes share a redisstore.Store instead.
func ExampleWithDeduper() {
	config := events.Config{Token: "token", Plaintext: true}
	fn := func(_ context.Context, ev *wechatqr.Event) (events.Reply, error) {
		fmt.Println("handled", ev.EventKey)
		return nil, nil
	}
	handler, err := events.NewHandler(config, fn, events.WithDeduper(events.NewMemoryDeduper(8<<20)))
	if err != nil {
		log.Fatal(err)
	}

	scan := wechatqr.Event{Type: wechatqr.EventScan, EventKey: "shop-7", CreateTime: time.Now()}
	for range 3 {
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, wechatqrtest.NewRequest(config, scan))
		fmt.Println(recorder.Body)
	}
	// Output:
	// handled shop-7
	// success
	// success
	// success
}

// Figures for a dashboard: how many pushes, how they ended, how long they took.
func ExampleWithObserver() {
	config := events.Config{Token: "token", Plaintext: true}
	observe := func(_ context.Context, d events.Delivery) {
		fmt.Println(d.Status, d.Runs, d.Duplicate, d.Err, d.Duration > 0)
	}
	handler, err := events.NewHandler(config, new(events.Mux).Serve, events.WithObserver(observe))
	if err != nil {
		log.Fatal(err)
	}

	scan := wechatqr.Event{Type: wechatqr.EventScan, EventKey: "shop-7", CreateTime: time.Now()}
	for range 2 {
		handler.ServeHTTP(httptest.NewRecorder(), wechatqrtest.NewRequest(config, scan))
	}
	// Output:
	// 200 1 false <nil> true
	// 200 0 true <nil> true
}

// What a user can read in answer to a scan.
func ExampleReply() {
	replies := []events.Reply{
		events.Text("Welcome"),
		events.Image("media-id"),
		events.Voice("media-id"),
		events.Video(events.Clip{MediaID: "media-id", Title: "Our shop"}),
		events.Music(events.Track{URL: "https://example.com/song.mp3", ThumbMediaID: "media-id"}),
		events.News(events.Article{Title: "Your coupon", URL: "https://example.com/coupon"}),
	}

	config := events.Config{Token: "token", Plaintext: true}
	for _, reply := range replies {
		fn := func(context.Context, *wechatqr.Event) (events.Reply, error) { return reply, nil }
		handler, err := events.NewHandler(config, fn)
		if err != nil {
			log.Fatal(err)
		}
		scan := wechatqr.Event{Type: wechatqr.EventScan, EventKey: "shop-7"}
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, wechatqrtest.NewRequest(config, scan))
		shown, err := wechatqrtest.ParseReply(config, recorder.Body.Bytes())
		fmt.Println(shown.MsgType, err)
	}
	// Output:
	// text <nil>
	// image <nil>
	// voice <nil>
	// video <nil>
	// music <nil>
	// news <nil>
}

// Without Serve: first the server, so that no push comes any more, then the
// handler, whose functions may outlive their requests.
func ExampleHandler_Shutdown() {
	config := events.Config{Token: "token", Plaintext: true}
	handler, err := events.NewHandler(config, new(events.Mux).Serve)
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Handler: handler, ReadTimeout: 5 * time.Second}

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	fmt.Println(server.Shutdown(ctx), handler.Shutdown(ctx))
	// Output: <nil> <nil>
}

// A queue of your own in place of a Handler: check the push, keep it, and say
// success. Then repetitions are yours to find, by Event.KeyedID for instance.
func ExampleVerifier() {
	config := events.Config{Token: "token", Plaintext: true}

	verifier, err := events.NewVerifier(config)
	if err != nil {
		log.Fatal(err)
	}
	receive := func(w http.ResponseWriter, r *http.Request) {
		ev, err := verifier.ParseRequest(r)
		if err != nil {
			log.Print(err) // it is not for the caller: see ParseRequest
			http.Error(w, "not a push of WeChat's", http.StatusForbidden)
			return
		}
		fmt.Println(ev.Type, ev.EventKey) // into the queue
		fmt.Fprint(w, "success")
	}

	scan := wechatqr.Event{Type: wechatqr.EventScan, EventKey: "shop-7"}
	receive(httptest.NewRecorder(), wechatqrtest.NewRequest(config, scan))
	// Output: SCAN shop-7
}
