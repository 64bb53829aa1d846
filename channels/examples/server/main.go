// Command server serves WeChat's callback and counts in the file ledger.db. For each
// channel named on the command line it prints the text of the code to put up there.
//
// WECHAT_APP_ID, WECHAT_APP_SECRET, WECHAT_TOKEN and WECHAT_AES_KEY are of the
// account; PERSON_KEY is 32 random bytes in hex, the same for ever.
package main

import (
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"
	"log"
	"net/http"
	"os"
	"time"

	_ "modernc.org/sqlite"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/channels"
	"github.com/wechatqr/wechatqr/events"
)

func main() {
	ctx := context.Background()
	client, err := wechatqr.New(wechatqr.Credentials{
		AppID: os.Getenv("WECHAT_APP_ID"), AppSecret: os.Getenv("WECHAT_APP_SECRET"),
	})
	if err != nil {
		log.Fatal(err)
	}
	callback, err := events.ConfigFromEnv()
	if err != nil {
		log.Fatal(err)
	}
	key, err := hex.DecodeString(os.Getenv("PERSON_KEY"))
	if err != nil {
		log.Fatal(err)
	}

	db, err := sql.Open("sqlite", "ledger.db")
	if err != nil {
		log.Fatal(err)
	}
	ledger, err := channels.Open(ctx, db, channels.SQLite, channels.Config{
		AppID: os.Getenv("WECHAT_APP_ID"), PersonKey: key,
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, shop := range os.Args[1:] {
		code, err := ledger.Ensure(ctx, client, channels.Channel{Key: shop}) // made once, ever
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(shop, code.Ticket.Content)
	}

	handler, err := events.NewHandler(callback, ledger.Record(greet))
	if err != nil {
		log.Fatal(err)
	}
	go printDay(ctx, ledger)
	http.Handle("/wechat", handler)
	log.Fatal(http.ListenAndServe(":8080", nil))
}

func greet(ctx context.Context, _ *wechatqr.Event) (events.Reply, error) {
	visit, _ := channels.VisitFrom(ctx)
	if visit.Kind == channels.NewFollower {
		return events.Text("欢迎光临 " + visit.Channel.Key), nil
	}
	return nil, nil
}

// printDay prints the numbers of the last 24 hours, every hour.
func printDay(ctx context.Context, ledger *channels.Ledger) {
	for now := range time.Tick(time.Hour) {
		hour := now.Truncate(time.Hour)
		query := channels.Query{
			From: hour.Add(-23 * time.Hour), To: hour.Add(time.Hour), By: channels.ByChannel,
		}
		report, err := ledger.Report(ctx, query)
		if err != nil {
			log.Print(err)
			continue
		}
		for _, row := range report.Rows {
			fmt.Println(row.Channel.Key, row.Origin, row.New, row.Returning, row.Lost, row.HeldEnd)
		}
		if err := ledger.DeleteExpired(ctx); err != nil {
			log.Print(err)
		}
	}
}
