package events_test

import (
	"context"
	"errors"
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
		return func(_ context.Context, scan wechatqr.Scan,
			_ *wechatqr.Event) (events.Reply, error) {
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
	handler, err := events.NewHandler(config, fn,
		events.WithDeduper(events.NewMemoryDeduper(8<<20)))
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

// Whatever no scene has a function for, by its type: here somebody who leaves.
func ExampleMux_HandleEvent() {
	left := func(_ context.Context, ev *wechatqr.Event) (events.Reply, error) {
		fmt.Println("delete what is kept of", ev.FromUserName)
		return nil, nil
	}
	var mux events.Mux
	mux.HandleEvent(wechatqr.EventUnsubscribe, left)

	ev := wechatqr.Event{
		MsgType: "event", Type: wechatqr.EventUnsubscribe, FromUserName: "o6_somebody",
	}
	_, err := mux.Serve(context.Background(), &ev)
	fmt.Println(err)
	// Output:
	// delete what is kept of o6_somebody
	// <nil>
}

// Everything else, ordinary messages included.
func ExampleMux_HandleDefault() {
	var mux events.Mux
	mux.HandleDefault(func(_ context.Context, ev *wechatqr.Event) (events.Reply, error) {
		fmt.Println(ev.MsgType, ev.Content)
		return events.Text("Please scan a code"), nil
	})

	ev := wechatqr.Event{MsgType: "text", Content: "hello", MsgID: "1"}
	if _, err := mux.Serve(context.Background(), &ev); err != nil {
		log.Fatal(err)
	}
	// Output: text hello
}

// A Handler is an http.Handler: mount it at the URL that the console knows.
func ExampleHandler() {
	config := events.Config{Token: "token", Plaintext: true}
	handler, err := events.NewHandler(config,
		func(context.Context, *wechatqr.Event) (events.Reply, error) {
			return events.Text("Welcome"), nil
		})
	if err != nil {
		log.Fatal(err)
	}
	routes := http.NewServeMux()
	routes.Handle("/wechat", handler)

	scan := wechatqrtest.NewRequest(config,
		wechatqr.Event{Type: wechatqr.EventScan, EventKey: "shop-7", CreateTime: time.Now()})
	scan.URL.Path = "/wechat"
	recorder := httptest.NewRecorder()
	routes.ServeHTTP(recorder, scan)
	reply, err := wechatqrtest.ParseReply(config, recorder.Body.Bytes())
	fmt.Println(recorder.Code, reply.Text(), err)
	// Output: 200 Welcome <nil>
}

// A function that is slow to fail, or must not run again for one delivery.
func ExampleWithoutRetries() {
	config := events.Config{Token: "token", Plaintext: true}
	fails := func(context.Context, *wechatqr.Event) (events.Reply, error) {
		fmt.Println("runs")
		return nil, errors.New("no database")
	}
	handler, err := events.NewHandler(config, fails, events.WithoutRetries(),
		events.WithProblemHandler(func(_ context.Context, p events.Problem) {
			fmt.Println(p.Status, p.Err)
		}))
	if err != nil {
		log.Fatal(err)
	}

	scan := wechatqr.Event{Type: wechatqr.EventScan, EventKey: "shop-7", CreateTime: time.Now()}
	handler.ServeHTTP(httptest.NewRecorder(), wechatqrtest.NewRequest(config, scan))
	// Output:
	// runs
	// 500 wechatqr: push: the function failed: no database
}

// No more functions at once than the database has connections.
func ExampleWithMaxRunning() {
	config := events.Config{Token: "token", Plaintext: true}
	handler, err := events.NewHandler(config, new(events.Mux).Serve, events.WithMaxRunning(20))
	fmt.Println(handler != nil, err)
	// Output: true <nil>
}

// A message that is known to be WeChat's, out of a queue for instance.
func ExampleParse() {
	message := `<xml><ToUserName>gh_1</ToUserName><FromUserName>o6_somebody</FromUserName>` +
		`<CreateTime>1714112445</CreateTime><MsgType>event</MsgType><Event>SCAN</Event>` +
		`<EventKey>shop-7</EventKey><Ticket>gQH47joAA==</Ticket></xml>`

	ev, err := events.Parse([]byte(message))
	if err != nil {
		log.Fatal(err)
	}

	scan, ok := ev.Scan()
	fmt.Println(ok, scan.OpenID, scan.SceneKey, scan.Time.UTC())
	// Output: true o6_somebody shop-7 2024-04-26 06:20:45 +0000 UTC
}

// A card with a link.
func ExampleNews() {
	coupon := events.Article{
		Title:       "10 % off today",
		Description: "Show this at the counter of shop 7",
		PicURL:      "https://example.com/coupon.png",
		URL:         "https://example.com/coupon",
	}
	var mux events.Mux
	mux.HandleScene("shop-7",
		func(context.Context, wechatqr.Scan, *wechatqr.Event) (events.Reply, error) {
			return events.News(coupon), nil
		})

	ev := wechatqr.Event{MsgType: "event", Type: wechatqr.EventScan, EventKey: "shop-7"}
	reply, err := mux.Serve(context.Background(), &ev)
	fmt.Println(reply != nil, err)
	// Output: true <nil>
}

// A memory for one process. Package redisstore has one for several, and
// wechatqrtest.TestDeduper checks one of your own.
func ExampleNewMemoryDeduper() {
	ctx := context.Background()
	deduper := events.NewMemoryDeduper(1 << 20)

	first, err := deduper.Claim(ctx, "push", "delivery-1", 5*time.Second)
	fmt.Println(first == events.ClaimGranted, err)
	second, err := deduper.Claim(ctx, "push", "delivery-2", 5*time.Second)
	fmt.Println(second == events.ClaimBusy, err)

	err = deduper.Commit(ctx, "push", 10*time.Minute)
	fmt.Println(err)
	second, err = deduper.Claim(ctx, "push", "delivery-2", 5*time.Second)
	fmt.Println(second == events.ClaimHandled, err)
	// Output:
	// true <nil>
	// true <nil>
	// <nil>
	// true <nil>
}

// The console's check of the URL, on a server that is not built on net/http.
func ExampleVerifier_Echo() {
	config := events.Config{Token: "token", Plaintext: true}
	verifier, err := events.NewVerifier(config)
	if err != nil {
		log.Fatal(err)
	}

	request := wechatqrtest.NewEchoRequest(config, "4375120948345356249")
	echo, err := verifier.Echo(request.URL.Query())
	fmt.Println(echo, err) // respond with it, and nothing else
	// Output: 4375120948345356249 <nil>
}

// The query and the body of a push, wherever they come from.
func ExampleVerifier_Open() {
	config := events.Config{
		AppID: "wx0123456789abcdef", Token: "token",
		EncodingAESKey: "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG",
	}
	verifier, err := events.NewVerifier(config)
	if err != nil {
		log.Fatal(err)
	}
	request := wechatqrtest.NewRequest(config,
		wechatqr.Event{Type: wechatqr.EventScan, EventKey: "shop-7", CreateTime: time.Now()})

	message, err := verifier.Open(request.URL.Query(), read(request))
	if err != nil {
		log.Fatal(err)
	}
	ev, err := events.Parse(message)
	if err != nil {
		log.Fatal(err)
	}

	fmt.Println(ev.Type, ev.EventKey)
	// Output: SCAN shop-7
}
