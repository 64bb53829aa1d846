package benchmarks

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chanxuehong/wechat/mp/core"
	"github.com/chanxuehong/wechat/mp/message/callback/response"
	"github.com/chanxuehong/wechat/mp/qrcode"
	"github.com/chanxuehong/wechat/util"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr/events"
)

func chanxuehongAdapter() adapter {
	return adapter{
		name: "chanxuehong",
		parse: func(message []byte) (scan, error) {
			var m core.MixedMsg
			if err := xml.Unmarshal(message, &m); err != nil {
				return scan{}, err
			}
			return chanxuehongScan(&m), nil
		},
		opener: func(_ testing.TB, cfg events.Config) func(url.Values, []byte) (scan, error) {
			var got scan
			var failure error
			srv := core.NewServer("", cfg.AppID, cfg.Token, cfg.EncodingAESKey,
				core.HandlerFunc(func(c *core.Context) {
					got = chanxuehongScan(c.MixedMsg)
				}), core.ErrorHandlerFunc(func(_ http.ResponseWriter, _ *http.Request, err error) {
					failure = err
				}))
			return func(query url.Values, body []byte) (scan, error) {
				got, failure = scan{}, nil
				srv.ServeHTTP(nil, &http.Request{Method: http.MethodPost,
					Body: io.NopCloser(bytes.NewReader(body))}, query)
				return got, failure
			}
		},
		handler: func(_ testing.TB, cfg events.Config, fn func(scan) string) http.Handler {
			srv := core.NewServer("", cfg.AppID, cfg.Token, cfg.EncodingAESKey,
				core.HandlerFunc(func(c *core.Context) {
					text := fn(chanxuehongScan(c.MixedMsg))
					if text == "" {
						_ = c.NoneResponse() // a recorder does not fail
						return
					}
					reply := response.NewText(c.MixedMsg.FromUserName, c.MixedMsg.ToUserName,
						time.Now().Unix(),
						text)
					if c.EncryptType == "aes" {
						_ = c.AESResponse(reply, 0, "", nil)
						return
					}
					_ = c.RawResponse(reply)
				}), core.ErrorHandlerFunc(func(w http.ResponseWriter, _ *http.Request, err error) {
					http.Error(w, err.Error(), http.StatusForbidden)
				}))
			return http.HandlerFunc(func(w http.ResponseWriter,
				r *http.Request) {
				srv.ServeHTTP(w, r, nil)
			})
		},
		tokens: func(tb testing.TB, a account) func() (string, error) {
			return chanxuehongTokens(tb, a).Token
		},
		creator: func(tb testing.TB, a account) func(string) (code, error) {
			client := core.NewClient(chanxuehongTokens(tb, a), chanxuehongHTTP(tb, a))
			return func(key string) (code, error) {
				t, err := qrcode.CreateStrSceneTempQrcode(client, key, 7*24*3600)
				if err != nil {
					return code{}, err
				}
				return code{t.Ticket, t.URL}, nil
			}
		},
	}
}

func chanxuehongScan(m *core.MixedMsg) scan {
	return sceneOf(string(m.EventType), m.FromUserName, m.EventKey)
}

func chanxuehongTokens(tb testing.TB, a account) *core.DefaultAccessTokenServer {
	return core.NewDefaultAccessTokenServer(a.creds.AppID, a.creds.AppSecret,
		chanxuehongHTTP(tb, a))
}

// chanxuehongHTTP is the library's own client but for the host, which is a
// constant there.
func chanxuehongHTTP(tb testing.TB, a account) *http.Client {
	client := *util.DefaultHttpClient
	client.Transport = a.transport
	if a.transport == nil {
		base, err := url.Parse(a.base)
		require.NoError(tb, err)
		client.Transport = toHost{base}
	}
	return &client
}

// toHost sends every request to another host, by http.DefaultTransport.
type toHost struct{ base *url.URL }

func (t toHost) RoundTrip(r *http.Request) (*http.Response, error) {
	if !strings.HasSuffix(r.URL.Host, ".weixin.qq.com") {
		return nil, errors.New("not a request to WeChat")
	}
	sent, u := *r, *r.URL
	u.Scheme, u.Host = t.base.Scheme, t.base.Host
	sent.URL, sent.Host = &u, u.Host
	return http.DefaultTransport.RoundTrip(&sent)
}
