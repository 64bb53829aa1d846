package benchmarks

import (
	"context"
	"encoding/xml"
	"errors"
	"net/http"
	"net/url"
	"testing"

	"github.com/ArtisanCloud/PowerLibs/v3/http/helper"
	"github.com/ArtisanCloud/PowerLibs/v3/logger/drivers"
	"github.com/ArtisanCloud/PowerWeChat/v3/src/kernel"
	"github.com/ArtisanCloud/PowerWeChat/v3/src/kernel/contract"
	"github.com/ArtisanCloud/PowerWeChat/v3/src/kernel/messages"
	"github.com/ArtisanCloud/PowerWeChat/v3/src/kernel/models"
	"github.com/ArtisanCloud/PowerWeChat/v3/src/officialAccount"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr/events"
)

func powerWeChatAdapter() adapter {
	return adapter{
		name:  "PowerWeChat",
		parse: powerWeChatParse,
		opener: func(tb testing.TB, cfg events.Config) func(url.Values, []byte) (scan, error) {
			e, err := kernel.NewEncryptor(cfg.AppID, cfg.Token, cfg.EncodingAESKey)
			require.NoError(tb, err)
			return func(query url.Values, body []byte) (scan, error) {
				raw, failure := e.Decrypt(body, query.Get("msg_signature"), query.Get("nonce"),
					query.Get("timestamp"))
				if failure != nil {
					return scan{}, errors.New(failure.ErrMsg)
				}
				return powerWeChatParse(raw)
			}
		},
		handler: func(tb testing.TB, cfg events.Config, fn func(scan) string) http.Handler {
			app, err := officialAccount.NewOfficialAccount(&officialAccount.UserConfig{
				AppID: cfg.AppID, Secret: "none", Token: cfg.Token, AESKey: cfg.EncodingAESKey,
				Log: officialAccount.Log{Driver: &drivers.DummyLogger{}},
			})
			require.NoError(tb, err)
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				response, err := app.Server.Notify(r, func(ev contract.EventInterface) any {
					scanned := sceneOf(ev.GetEvent(), ev.GetFromUserName(), ev.GetEventKey())
					if text := fn(scanned); text != "" {
						return messages.NewText(text)
					}
					return kernel.SUCCESS_EMPTY_RESPONSE
				})
				if err != nil {
					http.Error(w, err.Error(), http.StatusForbidden)
					return
				}
				_ = helper.HttpResponseSend(response, w) // a recorder does not fail
			})
		},
		tokens: func(tb testing.TB, a account) func() (string, error) {
			tokens := powerWeChatApp(tb, a).AccessToken
			return func() (string, error) {
				tok, err := tokens.GetToken(context.Background(), false)
				if err != nil {
					return "", err
				}
				return tok.AccessToken, nil
			}
		},
		creator: func(tb testing.TB, a account) func(string) (code, error) {
			app := powerWeChatApp(tb, a)
			return func(key string) (code, error) {
				t, err := app.QRCode.Temporary(context.Background(), key, 7*24*3600)
				if err != nil {
					return code{}, err
				}
				return code{t.Ticket, t.Url}, nil
			}
		},
	}
}

func powerWeChatParse(message []byte) (scan, error) {
	var m models.CallbackMessageHeader
	if err := xml.Unmarshal(message, &m); err != nil {
		return scan{}, err
	}
	return sceneOf(m.Event, m.FromUserName, m.EventKey), nil
}

func powerWeChatApp(tb testing.TB, a account) *officialAccount.OfficialAccount {
	app, err := officialAccount.NewOfficialAccount(&officialAccount.UserConfig{
		AppID: a.creds.AppID, Secret: a.creds.AppSecret,
		Http: officialAccount.Http{BaseURI: a.base + "/", Transport: a.transport},
		Log:  officialAccount.Log{Driver: &drivers.DummyLogger{}},
	})
	require.NoError(tb, err)
	return app
}
