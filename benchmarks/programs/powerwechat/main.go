// Command powerwechat makes a code by github.com/ArtisanCloud/PowerWeChat.
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/ArtisanCloud/PowerLibs/v3/logger/drivers"
	"github.com/ArtisanCloud/PowerWeChat/v3/src/officialAccount"
)

func main() {
	app, err := officialAccount.NewOfficialAccount(&officialAccount.UserConfig{
		AppID: os.Args[2], Secret: os.Args[3],
		Http: officialAccount.Http{BaseURI: os.Args[1] + "/"},
		Log:  officialAccount.Log{Driver: &drivers.DummyLogger{}},
	})
	if err != nil {
		log.Fatal(err)
	}
	code, err := app.QRCode.Temporary(context.Background(), "shop-7", 604800)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(code.Ticket, code.Url)
}
