// Command library makes a code with this library: what a program grows by is
// measured against plain.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/wechatqr/wechatqr"
)

func main() {
	c, err := wechatqr.New(wechatqr.Credentials{AppID: os.Getenv("WECHAT_APP_ID"), AppSecret: os.Getenv("WECHAT_APP_SECRET")})
	if err != nil {
		panic(err)
	}
	t, err := c.CreateTicket(context.Background(), wechatqr.Temporary(wechatqr.SceneString("shop-7"), time.Hour))
	if err != nil {
		panic(err)
	}
	fmt.Println(t.Value, t.Content)
}
