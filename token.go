package wechatqr

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"
)

// Token is an access token. It prints as [redacted]; its JSON is the token
// itself, for a [TokenStore] to keep.
type Token struct {
	Value  string    `json:"value"`
	Expiry time.Time `json:"expiry,omitzero"` // zero: unknown, good until WeChat refuses it
}

// Format prints the token without its value, whatever the verb.
func (t Token) Format(f fmt.State, _ rune) {
	value := redacted
	if t.Value == "" {
		value = "none"
	}
	end := "at an unknown time"
	if !t.Expiry.IsZero() {
		end = t.Expiry.Format(time.RFC3339)
	}
	_, _ = fmt.Fprintf(f, "wechatqr.Token(%s, expires %s)", value, end)
}

// LogValue is what slog shows of the token: not its value.
func (t Token) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(t)) }

// expired reports whether the token is of no more use.
func (t Token) expired(now time.Time) bool { return !t.Expiry.IsZero() && !now.Before(t.Expiry) }

// TokenSource gives access tokens. It must be safe for concurrent use and
// return when ctx ends.
type TokenSource interface {
	Token(ctx context.Context) (Token, error)
}

// Invalidator is a TokenSource that keeps tokens and can drop one that WeChat
// refused. It acts only if rejected is the token it would give next: a caller
// that comes late must not drop its successor.
type Invalidator interface {
	Invalidate(ctx context.Context, rejected string) error
}

// TokenSourceFunc is a function as a TokenSource.
type TokenSourceFunc func(ctx context.Context) (Token, error)

// Token calls f.
func (f TokenSourceFunc) Token(ctx context.Context) (Token, error) { return f(ctx) }

// StaticToken always gives this token: for tests, and for tools that get one
// by hand. Nothing renews it: once WeChat refuses it, calls end in
// [ErrTokenRejected].
func StaticToken(value string) TokenSource {
	return TokenSourceFunc(func(context.Context) (Token, error) { return Token{Value: value}, nil })
}

type noToken struct{}

func (noToken) Token(context.Context) (Token, error) { return Token{}, nil }

// StableToken gives what POST /cgi-bin/stable_token answers, anew at every
// call: put it behind [ReuseTokenSource]. The endpoint answers with the same
// token until five minutes before its end, so that several processes do each
// other no harm. force_refresh is never sent. Of the options those of sending
// count: WithHTTPClient, WithEndpoint, WithMaxRetries, WithUserAgent,
// WithLogger, WithObserver; errors here are [ErrInvalidArgument].
//
// WeChat's page: https://developers.weixin.qq.com/doc/offiaccount/Basic_Information/getStableAccessToken.html
func StableToken(creds Credentials, opts ...Option) (TokenSource, error) {
	w, err := tokenSender(creds, opts)
	if err != nil {
		return nil, err
	}
	return w.stableToken(creds), nil
}

func (w *sender) stableToken(creds Credentials) TokenSource {
	return w.tokenSource(func() *apiRequest {
		// AppID and AppSecret are printable ASCII; %q writes them as JSON does.
		body := fmt.Appendf(nil, `{"grant_type":"client_credential","appid":%q,"secret":%q}`, creds.AppID, creds.AppSecret)
		return &apiRequest{method: http.MethodPost, path: "/cgi-bin/stable_token", body: body, secret: creds.AppSecret}
	})
}

// ClassicToken gives what GET /cgi-bin/token answers, anew at every call: put
// it behind [ReuseTokenSource], and behind [StoredTokenSource] if several
// processes use the account, for every call ends the token before it after
// about five minutes. An account has 2000 calls a day. Options as for [StableToken].
//
// WeChat's page: https://developers.weixin.qq.com/doc/offiaccount/Basic_Information/Get_access_token.html
func ClassicToken(creds Credentials, opts ...Option) (TokenSource, error) {
	w, err := tokenSender(creds, opts)
	if err != nil {
		return nil, err
	}
	return w.classicToken(creds), nil
}

func (w *sender) classicToken(creds Credentials) TokenSource {
	return w.tokenSource(func() *apiRequest {
		q := "grant_type=client_credential&appid=" + url.QueryEscape(creds.AppID) + "&secret=" + url.QueryEscape(creds.AppSecret)
		return &apiRequest{method: http.MethodGet, path: "/cgi-bin/token", rawQuery: q, secret: creds.AppSecret}
	})
}

// maxExpiresIn is far above the 7200 s WeChat documents, and far below what
// would overflow a time.Duration.
const maxExpiresIn = 30 * 24 * 3600

// tokenSender is the wire of a token source that stands by itself.
func tokenSender(creds Credentials, opts []Option) (*sender, error) {
	const op = "new token source"
	cfg, err := configure(opts)
	if err == nil && (cfg.tokenSource != nil || cfg.stored != nil || cfg.classic) {
		err = errors.New("WithTokenSource, WithTokenStore and WithClassicToken are for New")
	}
	if err == nil {
		err = creds.check()
	}
	if err != nil {
		return nil, invalid(op, err)
	}
	w, err := newSender(cfg)
	if err != nil {
		return nil, invalid(op, err)
	}
	return w, nil
}

// tokenSource asks WeChat by a request whose secret stays within the closure,
// where fmt does not look.
func (w *sender) tokenSource(request func() *apiRequest) TokenSource {
	return TokenSourceFunc(func(ctx context.Context) (Token, error) {
		const op = "get token"
		x := request()
		x.op, x.kind, x.forToken = op, idempotent, true
		var ans struct {
			AccessToken string `json:"access_token"`
			ExpiresIn   int64  `json:"expires_in"`
		}
		// Reckoned from before the request, so that of two tokens the one asked
		// for later ends later, however long an answer lies about.
		asked := time.Now()
		if err := w.sendJSON(ctx, x, &ans); err != nil {
			return Token{}, err
		}
		if ans.AccessToken == "" {
			return Token{}, unexpected(op, http.StatusOK, "the answer lacks access_token")
		}
		if ans.ExpiresIn <= 0 || ans.ExpiresIn > maxExpiresIn {
			return Token{}, unexpected(op, http.StatusOK, fmt.Sprintf("expires_in is %d, not 1 to 7200 seconds", ans.ExpiresIn))
		}
		return Token{ans.AccessToken, asked.Add(time.Duration(ans.ExpiresIn) * time.Second).Round(0)}, nil
	})
}
