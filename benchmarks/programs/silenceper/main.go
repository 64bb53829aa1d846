// Command silenceper makes a code by github.com/silenceper/wechat.
package main

import (
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"github.com/silenceper/wechat/v2/cache"
	"github.com/silenceper/wechat/v2/officialaccount"
	"github.com/silenceper/wechat/v2/officialaccount/basic"
	"github.com/silenceper/wechat/v2/officialaccount/config"
	"github.com/silenceper/wechat/v2/util"
)

func main() {
	util.SetURIModifier(func(uri string) string {
		return strings.Replace(uri, "https://api.weixin.qq.com", os.Args[1], 1)
	})
	account := officialaccount.NewOfficialAccount(&config.Config{
		AppID: os.Args[2], AppSecret: os.Args[3], Cache: cache.NewMemory(),
	})
	code, err := account.GetBasic().GetQRTicket(basic.NewTmpQrRequest(7*24*time.Hour, "shop-7"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(code.Ticket, code.URL)
}
