package alert

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/wechatqr/wechatqr/cmd/channeld/internal/store"
)

// The kinds of webhooks.
const (
	WeCom    = "wecom"    // a robot of a group in 企业微信
	Feishu   = "feishu"   // a robot of a group in 飞书
	DingTalk = "dingtalk" // a robot of a group in 钉钉
	JSON     = "json"     // Message as it is
)

// Kinds are all kinds of webhooks.
var Kinds = []string{WeCom, Feishu, DingTalk, JSON}

// CheckAddress returns an error unless messages may be sent to the address: by https, or by
// http to this machine. It does not tell the address.
func CheckAddress(address string) error {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "" || u.User != nil:
		return errors.New("it is not an address: https://… is needed")
	case u.Scheme == "https", u.Scheme == "http" && isLoopback(u.Hostname()):
		return nil
	}
	return errors.New("https://… is needed")
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Host is what of the address may be shown.
func Host(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Host
}

const (
	sendTimeout      = 10 * time.Second
	maxResponseBytes = 64 << 10
)

// httpClient refuses redirects: they would carry the message elsewhere.
var httpClient = &http.Client{
	Timeout:       sendTimeout,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// Send sends the message, whose ID is the same in every attempt. The error tells neither
// the address nor the secret.
func Send(ctx context.Context, w *store.Webhook, id string, m *Message) error {
	if err := CheckAddress(w.Address); err != nil {
		return err
	}
	r, err := newRequest(w, id, m, time.Now())
	if err != nil {
		return errors.New("the request cannot be made")
	}
	resp, err := httpClient.Do(r.WithContext(ctx))
	if err != nil {
		var failed *url.Error // whose text has the address
		if errors.As(err, &failed) {
			err = failed.Err
		}
		return fmt.Errorf("no response: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxResponseBytes))
	switch {
	case resp.StatusCode < 200 || resp.StatusCode > 299:
		return fmt.Errorf("HTTP %d", resp.StatusCode)
	case w.Kind == JSON:
		return nil
	case err != nil:
		return errors.New("the response broke off")
	}
	return checkResponse(body)
}

// checkResponse reads the errcode of 企业微信 and 钉钉 and the code of 飞书, which is 0 if the
// message was taken. Their texts are left out: they may repeat the address.
func checkResponse(body []byte) error {
	var result struct {
		ErrCode    *int `json:"errcode"`
		Code       *int `json:"code"`
		StatusCode *int // of robots of 飞书 that are older
	}
	if json.Unmarshal(body, &result) != nil {
		return errors.New("the response is not a robot's")
	}
	known := false
	for _, code := range []*int{result.ErrCode, result.Code, result.StatusCode} {
		known = known || code != nil
		if code != nil && *code != 0 {
			return fmt.Errorf("errcode %d", *code)
		}
	}
	if !known {
		return errors.New("the response is not a robot's")
	}
	return nil
}

func newRequest(w *store.Webhook, id string, m *Message, now time.Time) (*http.Request, error) {
	body, address := any(m), w.Address
	switch w.Kind {
	case WeCom:
		body = textBody(m)
	case Feishu:
		body = feishuBody(m, w.Secret, now)
	case DingTalk:
		body, address = textBody(m), dingTalkAddress(w, now)
	}
	content, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequest(http.MethodPost, address, bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json; charset=utf-8")
	r.Header.Set("User-Agent", "channeld")
	if w.Kind == JSON {
		signStandard(r.Header, w.Secret, id, content, now)
	}
	return r, nil
}

// textBody is a text of 企业微信, of at most 2048 bytes, or of 钉钉.
//
// Pages: https://developer.work.weixin.qq.com/document/path/91770 and
// https://open.dingtalk.com/document/robots/custom-robot-access
func textBody(m *Message) any {
	return map[string]any{"msgtype": "text", "text": map[string]string{"content": m.Text}}
}

// feishuBody is a text of 飞书. The signature is of nothing, keyed with timestamp, line
// break and secret.
//
// Page: https://open.feishu.cn/document/client-docs/bot-v3/add-custom-bot
func feishuBody(m *Message, secret string, now time.Time) any {
	body := map[string]any{"msg_type": "text", "content": map[string]string{"text": m.Text}}
	if secret != "" {
		timestamp := strconv.FormatInt(now.Unix(), 10)
		body["timestamp"], body["sign"] = timestamp, sign([]byte(timestamp+"\n"+secret), "")
	}
	return body
}

// dingTalkAddress adds the signature of timestamp, in milliseconds, and secret.
//
// Page: https://open.dingtalk.com/document/robots/customize-robot-security-settings
func dingTalkAddress(w *store.Webhook, now time.Time) string {
	u, err := url.Parse(w.Address)
	if w.Secret == "" || err != nil {
		return w.Address
	}
	timestamp := strconv.FormatInt(now.UnixMilli(), 10)
	query := u.Query()
	query.Set("timestamp", timestamp)
	query.Set("sign", sign([]byte(w.Secret), timestamp+"\n"+w.Secret))
	u.RawQuery = query.Encode()
	return u.String()
}

// signStandard sets the headers of Standard Webhooks, which libraries in most languages
// verify. A secret that begins with whsec_ is base64.
//
// Page: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
func signStandard(h http.Header, secret, id string, body []byte, now time.Time) {
	timestamp := strconv.FormatInt(now.Unix(), 10)
	h.Set("webhook-id", id)
	h.Set("webhook-timestamp", timestamp)
	if secret == "" {
		return
	}
	signingKey := []byte(secret)
	if text, ok := strings.CutPrefix(secret, "whsec_"); ok {
		if decoded, err := base64.StdEncoding.DecodeString(text); err == nil {
			signingKey = decoded
		}
	}
	h.Set("webhook-signature", "v1,"+sign(signingKey, id+"."+timestamp+"."+string(body)))
}

// sign is HMAC-SHA-256 in base64.
func sign(signingKey []byte, text string) string {
	mac := hmac.New(sha256.New, signingKey)
	mac.Write([]byte(text))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
