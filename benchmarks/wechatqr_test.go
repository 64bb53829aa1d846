package benchmarks

import (
	"context"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/events"
)

func wechatqrAdapter() adapter {
	return adapter{
		name: "wechatqr",
		parse: func(message []byte) (scan, error) {
			ev, err := events.Parse(message)
			if err != nil {
				return scan{}, err
			}
			return scanOf(ev), nil
		},
		opener: func(tb testing.TB, cfg events.Config) func(url.Values, []byte) (scan, error) {
			v, err := events.NewVerifier(cfg)
			require.NoError(tb, err)
			return func(query url.Values, body []byte) (scan, error) {
				message, err := v.Open(query, body)
				if err != nil {
					return scan{}, err
				}
				ev, err := events.Parse(message)
				if err != nil {
					return scan{}, err
				}
				return scanOf(ev), nil
			}
		},
		// Without the deduper: no other library has one.
		handler: func(tb testing.TB, cfg events.Config, fn func(scan) string) http.Handler {
			return wechatqrHandler(tb, cfg, fn, events.WithDeduper(nil))
		},
		tokens: func(tb testing.TB, a account) func() (string, error) {
			client, err := wechatqr.New(a.creds, wechatqrOptions(a)...)
			require.NoError(tb, err)
			tokens := client.TokenSource()
			return func() (string, error) {
				tok, err := tokens.Token(context.Background(), "")
				return tok.Value, err
			}
		},
		creator: func(tb testing.TB, a account) func(string) (code, error) {
			client, err := wechatqr.New(a.creds, wechatqrOptions(a)...)
			require.NoError(tb, err)
			return func(key string) (code, error) {
				t, err := client.CreateTicket(context.Background(),
					wechatqr.Temporary(wechatqr.SceneString(key), 7*24*time.Hour))
				if err != nil {
					return code{}, err
				}
				return code{t.Value, t.Content}, nil
			}
		},
	}
}

func wechatqrHandler(tb testing.TB, cfg events.Config, fn func(scan) string,
	opts ...events.Option) http.Handler {
	h, err := events.NewHandler(cfg, func(_ context.Context,
		ev *wechatqr.Event) (events.Reply, error) {
		if text := fn(scanOf(ev)); text != "" {
			return events.Text(text), nil
		}
		return nil, nil
	}, append(opts, events.WithProblemHandler(func(context.Context, events.Problem) {}))...)
	require.NoError(tb, err)
	return h
}

func wechatqrOptions(a account) []wechatqr.Option {
	opts := []wechatqr.Option{wechatqr.WithEndpoint(wechatqr.Endpoint{API: []string{a.base}})}
	if a.transport != nil {
		opts = append(opts, wechatqr.WithHTTPClient(&http.Client{Transport: a.transport}))
	}
	return opts
}

func scanOf(ev *wechatqr.Event) scan {
	s, ok := ev.Scan()
	if !ok {
		return scan{}
	}
	return scan{s.OpenID, s.SceneKey, s.NewFollower}
}
