package main

import (
	"fmt"
	"log"
	"os"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/examples/tokenserver/tokenclient"
)

func Example_worker() {
	_ = os.Setenv("TOKEN_SERVER_KEY", key)

	tokens, err := tokenclient.New("https://tokens.internal:8787",
		os.Getenv("TOKEN_SERVER_KEY"), nil)
	if err != nil {
		log.Fatal(err)
	}
	client, err := wechatqr.New(wechatqr.Credentials{AppID: "wx0123456789abcdef"},
		wechatqr.WithTokenSource(tokens))
	if err != nil {
		log.Fatal(err)
	}

	fmt.Println(client)
	// Output: wechatqr.Client
}
