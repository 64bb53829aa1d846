// Command welcome is the program of README.md: it makes a code, and welcomes
// who scans it.
package main

import (
	"context"
	"log"
	"net/http"
	"os"
	"os/signal"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/events"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var opts []wechatqr.Option
	if url := os.Getenv("WECHAT_BASE_URL"); url != "" { // of the sandbox
		opts = append(opts, wechatqr.WithBaseURL(url))
	}
	client := must(wechatqr.New(must(wechatqr.CredentialsFromEnv()), opts...))
	var mux events.Mux
	mux.HandleScene("shop-7", func(_ context.Context, scan wechatqr.Scan, _ *wechatqr.Event) (events.Reply, error) {
		log.Printf("%s scanned %s, new follower: %t", scan.OpenID, scan.SceneKey, scan.NewFollower)
		return events.Text("Welcome to shop 7"), nil
	})
	handler := must(events.NewHandler(must(events.ConfigFromEnv()), mux.Serve))
	ticket := must(client.CreateTicket(ctx, wechatqr.Temporary(wechatqr.SceneString("shop-7"), wechatqr.MaxTTL)))
	log.Print("scan this: ", client.QRCodeURL(ticket.Value))
	if err := events.Serve(ctx, &http.Server{Addr: ":8080"}, handler); err != nil {
		log.Fatal(err)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}
