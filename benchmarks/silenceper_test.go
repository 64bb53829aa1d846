package benchmarks

import (
	"encoding/xml"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/silenceper/wechat/v2/cache"
	"github.com/silenceper/wechat/v2/officialaccount"
	"github.com/silenceper/wechat/v2/officialaccount/basic"
	"github.com/silenceper/wechat/v2/officialaccount/config"
	"github.com/silenceper/wechat/v2/officialaccount/message"
	"github.com/silenceper/wechat/v2/util"
	"github.com/sirupsen/logrus"

	"github.com/wechatqr/wechatqr/events"
)

func silenceperAdapter() adapter {
	logrus.SetLevel(logrus.FatalLevel)
	return adapter{
		name:  "silenceper",
		parse: silenceperParse,
		opener: func(_ testing.TB, cfg events.Config) func(url.Values, []byte) (scan, error) {
			return func(query url.Values, body []byte) (scan, error) {
				var envelope message.EncryptedXMLMsg
				if err := xml.Unmarshal(body, &envelope); err != nil {
					return scan{}, err
				}
				sign := util.Signature(cfg.Token, query.Get("timestamp"), query.Get("nonce"),
					envelope.EncryptedMsg)
				if sign != query.Get("msg_signature") {
					return scan{}, errors.New("wrong signature")
				}
				_, raw, err := util.DecryptMsg(cfg.AppID, envelope.EncryptedMsg, cfg.EncodingAESKey)
				if err != nil {
					return scan{}, err
				}
				return silenceperParse(raw)
			}
		},
		handler: func(_ testing.TB, cfg events.Config, fn func(scan) string) http.Handler {
			acct := officialaccount.NewOfficialAccount(&config.Config{
				AppID: cfg.AppID, Token: cfg.Token, EncodingAESKey: cfg.EncodingAESKey,
				Cache: cache.NewMemory(),
			})
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				srv := acct.GetServer(r, w)
				srv.SetMessageHandler(func(m *message.MixMessage) *message.Reply {
					text := fn(sceneOf(string(m.Event), string(m.FromUserName), m.EventKey))
					if text == "" {
						return nil
					}
					return &message.Reply{
						MsgType: message.MsgTypeText, MsgData: message.NewText(text),
					}
				})
				err := srv.Serve()
				// Without a reply Send would encrypt an empty text.
				if err == nil && srv.ResponseMsg != nil {
					err = srv.Send()
				}
				if err != nil {
					http.Error(w, err.Error(), http.StatusForbidden)
				}
			})
		},
		tokens: func(_ testing.TB, a account) func() (string, error) {
			return silenceperAccount(a).GetAccessToken
		},
		creator: func(_ testing.TB, a account) func(string) (code, error) {
			codes := silenceperAccount(a).GetBasic()
			return func(key string) (code, error) {
				t, err := codes.GetQRTicket(basic.NewTmpQrRequest(7*24*time.Hour, key))
				if err != nil {
					return code{}, err
				}
				return code{t.Ticket, t.URL}, nil
			}
		},
	}
}

func silenceperParse(raw []byte) (scan, error) {
	var m message.MixMessage
	if err := xml.Unmarshal(raw, &m); err != nil {
		return scan{}, err
	}
	return sceneOf(string(m.Event), string(m.FromUserName), m.EventKey), nil
}

func silenceperAccount(a account) *officialaccount.OfficialAccount {
	util.SetURIModifier(func(uri string) string {
		return strings.Replace(uri, "https://api.weixin.qq.com", a.base, 1)
	})
	util.DefaultHTTPClient = http.DefaultClient
	if a.transport != nil {
		util.DefaultHTTPClient = &http.Client{Transport: a.transport}
	}
	return officialaccount.NewOfficialAccount(&config.Config{
		AppID: a.creds.AppID, AppSecret: a.creds.AppSecret, Cache: cache.NewMemory(),
	})
}
