package events_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
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
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		fmt.Println(ev.Type, ev.EventKey) // into the queue
		fmt.Fprint(w, "success")
	}

	scan := wechatqr.Event{Type: wechatqr.EventScan, EventKey: "shop-7"}
	receive(httptest.NewRecorder(), wechatqrtest.NewRequest(config, scan))
	// Output: SCAN shop-7
}
