package wechatqr_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
)

// inMemory answers every request as WeChat does a creation.
type inMemory struct{}

func (inMemory) RoundTrip(r *http.Request) (*http.Response, error) {
	_, _ = io.Copy(io.Discard, r.Body)
	_ = r.Body.Close()
	return &http.Response{
		StatusCode: 200, ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header:        http.Header{"Content-Type": {"application/json"}},
		Body:          io.NopCloser(bytes.NewReader([]byte(created))),
		ContentLength: int64(len(created)),
	}, nil
}

// BenchmarkCreateTicket is one creation beside what a program without this
// library would do: net/http and encoding/json with errcode
// looked at, and no timeout.
func BenchmarkCreateTicket(b *testing.B) {
	hc := &http.Client{Transport: inMemory{}}
	c, err := wechatqr.New(wechatqr.Credentials{}, wechatqr.WithHTTPClient(hc),
		wechatqr.WithTokenSource(wechatqr.StaticTokenSource("TOKEN")))
	require.NoError(b, err)
	ctx := context.Background()

	type answerT struct {
		ErrCode int    `json:"errcode"`
		ErrMsg  string `json:"errmsg"`
		Ticket  string `json:"ticket"`
		URL     string `json:"url"`
	}
	const address = "https://api.weixin.qq.com/cgi-bin/qrcode/create?access_token=TOKEN"
	type scene struct {
		Str string `json:"scene_str"`
	}
	type info struct {
		Scene scene `json:"scene"`
	}
	type request struct {
		ExpireSeconds int    `json:"expire_seconds"`
		ActionName    string `json:"action_name"`
		ActionInfo    info   `json:"action_info"`
	}
	plain := func() error {
		body, err := json.Marshal(request{3600, "QR_STR_SCENE", info{scene{"shop-7"}}})
		if err != nil {
			return err
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := hc.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		var a answerT
		return json.NewDecoder(resp.Body).Decode(&a)
	}
	req := wechatqr.Temporary(wechatqr.SceneString("shop-7"), time.Hour)
	for _, bm := range []struct {
		name string
		f    func() error
	}{
		{"floor: net/http and encoding/json", plain},
		{"this library", func() error { _, err := c.CreateTicket(ctx, req); return err }},
	} {
		b.Run(bm.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := bm.f(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkConnections is 3,200 creations, 64 at once, against a server that
// takes 2 ms.
func BenchmarkConnections(b *testing.B) {
	for b.Loop() {
		b.ReportMetric(float64(connectionsFor(b, 3200, 64)), "connections")
	}
}
