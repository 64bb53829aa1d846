// Command plain creates a code with net/http and encoding/json alone. Its arguments
// are the API's base URL, an AppID and an AppSecret.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"os"
	"time"
)

func main() {
	base, appID, secret := os.Args[1], os.Args[2], os.Args[3]
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var token struct {
		AccessToken string `json:"access_token"`
	}
	err := post(ctx, base+"/cgi-bin/stable_token", map[string]string{
		"grant_type": "client_credential", "appid": appID, "secret": secret,
	}, &token)
	if err != nil {
		log.Fatal(err) //nolint:gocritic // the context ends with the process
	}
	var code struct {
		Ticket string `json:"ticket"`
		URL    string `json:"url"`
	}
	err = post(ctx, base+"/cgi-bin/qrcode/create?access_token="+url.QueryEscape(token.AccessToken), map[string]any{
		"expire_seconds": 604800, "action_name": "QR_STR_SCENE",
		"action_info": map[string]any{"scene": map[string]string{"scene_str": "shop-7"}},
	}, &code)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(code.Ticket, code.URL)
}

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
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // it was read
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	var failure struct {
		ErrCode int    `json:"errcode"`
		ErrMsg  string `json:"errmsg"`
	}
	if err := json.Unmarshal(data, &failure); err != nil {
		return err
	}
	if failure.ErrCode != 0 {
		return fmt.Errorf("errcode %d: %s", failure.ErrCode, failure.ErrMsg)
	}
	return json.Unmarshal(data, out)
}
