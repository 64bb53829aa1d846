package wechatqr

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// Token is an access token. fmt, slog and the encoders of JSON, YAML and XML
// leave its value out; gob refuses it. A [TokenStore] keeps Value and Expiry.
type Token struct {
	Value  string
	Expiry time.Time // zero: unknown, good until WeChat refuses it
}

// Format prints the token without its value, whatever the verb.
func (t Token) Format(f fmt.State, _ rune) {
	text, _ := t.MarshalText()
	_, _ = f.Write(text)
}

// MarshalText is what JSON, YAML, XML and slog show of the token: not its value.
func (t Token) MarshalText() ([]byte, error) {
	value := redacted
	if t.Value == "" {
		value = "none"
	}
	end := "at an unknown time"
	if !t.Expiry.IsZero() {
		end = t.Expiry.Format(time.RFC3339)
	}
	return fmt.Appendf(nil, "wechatqr.Token(%s, expires %s)", value, end), nil
}

// MarshalBinary refuses, so that gob stores no token and none is missed later.
func (t Token) MarshalBinary() ([]byte, error) { return nil, errNotEncoded }

// expired reports whether the token is of no more use.
func (t Token) expired(now time.Time) bool { return !t.Expiry.IsZero() && !now.Before(t.Expiry) }

// TokenSource gives access tokens. It must be safe for concurrent use and
// return when ctx ends.
type TokenSource interface {
	// Token returns a token to use now. rejected, unless empty, is one that WeChat
	// has refused: another is wanted. A source that has no other gives the same
	// again, or an error.
	Token(ctx context.Context, rejected string) (Token, error)
}

// TokenSourceFunc is a function as a TokenSource.
type TokenSourceFunc func(ctx context.Context, rejected string) (Token, error)

// Token calls f.
func (f TokenSourceFunc) Token(ctx context.Context, rejected string) (Token, error) {
	return f(ctx, rejected)
}

// StaticTokenSource always gives this token: for tests, and for tools that get
// one by hand. Nothing renews it: once WeChat refuses it, calls end in
// [ErrTokenRejected].
func StaticTokenSource(value string) TokenSource {
	return TokenSourceFunc(func(context.Context, string) (Token, error) {
		return Token{Value: value}, nil
	})
}

// noToken is for cloud hosting, whose network adds the token itself.
type noToken struct{}

func (noToken) Token(context.Context, string) (Token, error) { return Token{}, nil }

// stableToken asks for the token that WeChat gives to everybody who asks, until
// five minutes before its end. force_refresh is never sent.
//
// WeChat's page: https://developers.weixin.qq.com/doc/offiaccount/Basic_Information/getStableAccessToken.html
func (s *sender) stableToken(creds Credentials) TokenSource {
	// AppID and AppSecret are printable ASCII; %q writes them as JSON does.
	body := fmt.Appendf(nil, `{"grant_type":"client_credential","appid":%q,"secret":%q}`,
		creds.AppID, creds.AppSecret)
	return s.endpointToken(apiRequest{
		method: http.MethodPost, path: "/cgi-bin/stable_token", body: body, secret: creds.AppSecret,
	})
}

// classicToken asks for a new token. Each ends the one before it, after about
// five minutes, and an account has classicQuota a day.
//
// WeChat's page: https://developers.weixin.qq.com/doc/offiaccount/Basic_Information/Get_access_token.html
func (s *sender) classicToken(creds Credentials) TokenSource {
	query := "grant_type=client_credential&appid=" + url.QueryEscape(creds.AppID) +
		"&secret=" + url.QueryEscape(creds.AppSecret)
	return s.endpointToken(apiRequest{
		method: http.MethodGet, path: "/cgi-bin/token", rawQuery: query, secret: creds.AppSecret,
	})
}

const getToken = "get token" // the op

// maxExpiresIn is far above the 7200 s WeChat documents, and far below what
// would overflow a time.Duration.
const maxExpiresIn = 30 * 24 * 3600

// endpointToken sends this request for each token. The secret stays within the
// closure, where fmt does not look.
func (s *sender) endpointToken(request apiRequest) TokenSource {
	request.op, request.kind, request.forToken = getToken, idempotent, true
	return TokenSourceFunc(func(ctx context.Context, _ string) (Token, error) {
		var response struct {
			AccessToken string      `json:"access_token"`
			ExpiresIn   json.Number `json:"expires_in"` // proxies write 7200.0 or "7200"
		}
		x := request
		x.out = &response

		if err := s.send(ctx, &x, s.api, maxResponseBytes); err != nil {
			return Token{}, err
		}
		if response.AccessToken == "" {
			return Token{}, unexpected(getToken, http.StatusOK, "the response lacks access_token")
		}
		seconds, _ := response.ExpiresIn.Float64() // 0 or infinity with an error
		if seconds < 1 || seconds > maxExpiresIn {
			return Token{}, unexpected(getToken, http.StatusOK,
				fmt.Sprintf("expires_in is %.32q, not 1 second to 30 days", response.ExpiresIn))
		}
		life := time.Duration(seconds) * time.Second
		return Token{response.AccessToken, x.began.Add(life).Round(0)}, nil
	})
}
