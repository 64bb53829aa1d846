package benchmarks

import (
	"io"
	"net/http"
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/fastwego/offiaccount"
	accountapi "github.com/fastwego/offiaccount/apis/account"
	"github.com/fastwego/offiaccount/type/type_event"
	"github.com/fastwego/offiaccount/type/type_message"

	"github.com/wechatqr/wechatqr/events"
)

func fastwegoAdapter() adapter {
	bare := fastwegoAccount(events.Config{})
	return adapter{
		name: "fastwego",
		parse: func(message []byte) (scan, error) {
			return fastwegoParse(bare, message)
		},
		opener: func(_ testing.TB, cfg events.Config) func(url.Values, []byte) (scan, error) {
			acct := fastwegoAccount(cfg)
			return func(_ url.Values, body []byte) (scan, error) {
				return fastwegoParse(acct, body)
			}
		},
		handler: func(_ testing.TB, cfg events.Config, fn func(scan) string) http.Handler {
			acct := fastwegoAccount(cfg)
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				if err != nil {
					http.Error(w, err.Error(), http.StatusBadRequest)
					return
				}
				m, err := acct.Server.ParseXML(body)
				if err != nil {
					http.Error(w, err.Error(), http.StatusBadRequest)
					return
				}
				got, head := fastwegoScan(m)
				var reply any
				if text := fn(got); text != "" {
					reply = type_message.ReplyMessageText{
						ReplyMessage: type_message.ReplyMessage{
							ToUserName:   type_message.CDATA(head.FromUserName),
							FromUserName: type_message.CDATA(head.ToUserName),
							CreateTime:   strconv.FormatInt(time.Now().Unix(), 10),
							MsgType:      type_message.ReplyMsgTypeText,
						},
						Content: type_message.CDATA(text),
					}
				}
				if err := acct.Server.Response(w, r, reply); err != nil {
					http.Error(w, err.Error(), http.StatusInternalServerError)
				}
			})
		},
		tokens: func(tb testing.TB, a account) func() (string, error) {
			acct := fastwegoApp(tb, a)
			return func() (string, error) { return offiaccount.GetAccessToken(acct) }
		},
		creator: func(tb testing.TB, a account) func(string) (code, error) {
			acct := fastwegoApp(tb, a)
			return func(key string) (code, error) {
				body, err := marshalCreate(key)
				if err != nil {
					return code{}, err
				}
				data, err := accountapi.CreateQRCode(acct, body)
				if err != nil {
					return code{}, err
				}
				return unmarshalCode(data)
			}
		},
	}
}

func fastwegoParse(acct *offiaccount.OffiAccount, message []byte) (scan, error) {
	m, err := acct.Server.ParseXML(message)
	if err != nil {
		return scan{}, err
	}
	got, _ := fastwegoScan(m)
	return got, nil
}

func fastwegoScan(m any) (scan, type_event.Event) {
	switch ev := m.(type) {
	case type_event.EventScan:
		return sceneOf(ev.Event.Event, ev.FromUserName, ev.EventKey), ev.Event
	case type_event.EventSubscribe:
		return sceneOf(ev.Event.Event, ev.FromUserName, ev.EventKey), ev.Event
	}
	return scan{}, type_event.Event{}
}

func fastwegoAccount(cfg events.Config) *offiaccount.OffiAccount {
	acct := offiaccount.New(offiaccount.Config{Appid: cfg.AppID, Token: cfg.Token,
		EncodingAESKey: cfg.EncodingAESKey})
	acct.Logger = nil
	return acct
}

// fastwegoApp works by http.DefaultClient: the library has no other.
func fastwegoApp(tb testing.TB, a account) *offiaccount.OffiAccount {
	offiaccount.WXServerUrl = a.base
	http.DefaultClient.Transport = a.transport
	tb.Cleanup(func() { http.DefaultClient.Transport = nil })
	acct := offiaccount.New(offiaccount.Config{Appid: a.creds.AppID, Secret: a.creds.AppSecret})
	acct.Logger = nil
	return acct
}
