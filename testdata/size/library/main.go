// Command library creates a code with this library, as plain does without: what a
// program grows by is the difference of their sizes.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/wechatqr/wechatqr"
)

func main() {
	client, err := wechatqr.New(
		wechatqr.Credentials{AppID: os.Args[2], AppSecret: os.Args[3]},
		wechatqr.WithEndpoint(wechatqr.Endpoint{API: []string{os.Args[1]}}),
	)
	if err != nil {
		log.Fatal(err)
	}
	code, err := client.CreateTicket(context.Background(), wechatqr.Temporary(wechatqr.SceneString("shop-7"), 7*24*time.Hour))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(code.Value, code.Content)
}
