// Command fastwego makes a code by github.com/fastwego/offiaccount.
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"os"

	"github.com/fastwego/offiaccount"
	"github.com/fastwego/offiaccount/apis/account"
)

func main() {
	offiaccount.WXServerUrl = os.Args[1]
	app := offiaccount.New(offiaccount.Config{Appid: os.Args[2], Secret: os.Args[3]})
	app.Logger = nil
	body, err := json.Marshal(map[string]any{
		"expire_seconds": 604800, "action_name": "QR_STR_SCENE",
		"action_info": map[string]any{"scene": map[string]string{"scene_str": "shop-7"}},
	})
	if err != nil {
		log.Fatal(err)
	}
	answer, err := account.CreateQRCode(app, body)
	if err != nil {
		log.Fatal(err)
	}
	var code struct {
		Ticket string `json:"ticket"`
		URL    string `json:"url"`
	}
	if err := json.Unmarshal(answer, &code); err != nil {
		log.Fatal(err)
	}
	fmt.Println(code.Ticket, code.URL)
}
