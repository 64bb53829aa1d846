// Command plain makes a code with net/http and encoding/json alone.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"time"
)

func post(ctx context.Context, address string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := (&http.Client{Timeout: 10 * time.Second}).Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return json.NewDecoder(resp.Body).Decode(out)
}

func main() {
	ctx := context.Background()
	var token struct {
		Value string `json:"access_token"`
	}
	err := post(ctx, "https://api.weixin.qq.com/cgi-bin/stable_token", map[string]string{
		"grant_type": "client_credential", "appid": os.Getenv("WECHAT_APP_ID"), "secret": os.Getenv("WECHAT_APP_SECRET"),
	}, &token)
	if err != nil {
		panic(err)
	}
	var ticket struct {
		Ticket string `json:"ticket"`
		URL    string `json:"url"`
	}
	err = post(ctx, "https://api.weixin.qq.com/cgi-bin/qrcode/create?access_token="+url.QueryEscape(token.Value), map[string]any{
		"expire_seconds": 3600, "action_name": "QR_STR_SCENE", "action_info": map[string]any{"scene": map[string]any{"scene_str": "shop-7"}},
	}, &ticket)
	if err != nil {
		panic(err)
	}
	fmt.Println(ticket.Ticket, ticket.URL)
}
