package wechatqr

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"strings"
)

// Credentials identify an account. They print and marshal without the secret.
type Credentials struct {
	AppID     string `json:"app_id"`     // wx…
	AppSecret string `json:"app_secret"` // not needed with WithTokenSource
}

// Format prints the AppID alone, whatever the verb.
func (c Credentials) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "wechatqr.Credentials(%s, %s)", c.AppID, redacted)
}

// MarshalJSON writes [redacted] for the secret: a configuration that is dumped
// or logged must not give it away.
func (c Credentials) MarshalJSON() ([]byte, error) {
	type plain Credentials
	if c.AppSecret != "" {
		c.AppSecret = redacted
	}
	return json.Marshal(plain(c))
}

func (c Credentials) check() error {
	switch {
	case c.AppID == "":
		return errors.New("Credentials.AppID is empty")
	case c.AppSecret == "":
		return errors.New("Credentials.AppSecret is empty: set it, or take tokens from elsewhere by WithTokenSource")
	case strings.HasPrefix(c.AppSecret, "wx") && !strings.HasPrefix(c.AppID, "wx"):
		return errors.New("Credentials.AppSecret looks like an AppID: are the two swapped?")
	case strings.ContainsFunc(c.AppID+c.AppSecret, func(r rune) bool { return r <= ' ' || r > '~' }):
		return errors.New("Credentials contain white space or other odd characters: was a line end read with them?")
	case c.AppSecret == redacted:
		return errors.New("Credentials.AppSecret is \"[redacted]\": they were written as JSON, which leaves the secret out")
	}
	return nil
}

// Client makes codes for one account. It is safe for concurrent use, and one
// for each account is enough: it keeps the token and the connections. It needs
// no closing. For many accounts share the connections by [WithHTTPClient].
type Client struct {
	wire   *wire
	tokens TokenSource
	images *hosts
}

// New makes a Client. It does no I/O: what it refuses, with
// [ErrInvalidArgument], is credentials and options that cannot be right.
//
// By default tokens come from the stable endpoint and are kept in memory, an
// exchange may take 10 s, an answer 1 MiB and a picture 4 MiB.
func New(creds Credentials, opts ...Option) (*Client, error) {
	const op = "new client"
	cfg, err := configure(opts)
	if err != nil {
		return nil, invalid(op, err)
	}
	w, err := newWire(cfg)
	if err != nil {
		return nil, invalid(op, err)
	}
	images, err := newHosts(cfg.endpoint.Image)
	if err != nil {
		return nil, invalid(op, err)
	}
	tokens, err := newTokens(cfg, w, creds)
	if err != nil {
		return nil, invalid(op, err)
	}
	return &Client{wire: w, tokens: tokens, images: images}, nil
}

// newTokens composes memory in front of the store in front of WeChat.
func newTokens(cfg *config, w *wire, creds Credentials) (TokenSource, error) {
	if src := cfg.tokenSource; src != nil {
		switch src.(type) {
		case noToken, *reuseTokenSource:
			return src, nil
		}
		return ReuseTokenSource(src, cfg.logger), nil
	}
	if err := creds.check(); err != nil {
		return nil, err
	}
	src, key, interval := w.stableToken(creds), creds.AppID+"/stable", refusalInterval
	if cfg.classic {
		// Tokens of the two endpoints do not replace each other.
		src, key, interval = w.classicToken(creds), creds.AppID+"/classic", classicInterval
	}
	if cfg.stored != nil {
		src = cfg.stored(key, src)
	}
	return newReuse(src, cfg.logger, interval), nil
}

// TokenSource returns the source of the client's tokens, for a token server or
// for another library that needs a token of this account. With
// [WithCloudHosting] it gives empty ones.
func (c *Client) TokenSource() TokenSource { return c.tokens }

// Format prints the type alone, whatever the verb.
func (c Client) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "wechatqr.Client") }

// Do calls any other API of WeChat's with the client's token, timeouts,
// retries, errors and redaction. path is like "/cgi-bin/user/info", unescaped;
// query adds parameters, access_token excepted; in, unless nil, is sent as JSON
// in raw UTF-8; out, unless nil, points to what receives the JSON of a
// successful answer.
//
// A GET is repeated after a broken connection or HTTP 5xx; another method is
// not, when its request may have arrived: that is [ErrOutcomeUnknown]. A busy
// answer (-1) is repeated always. Files and other answers than JSON are not for
// Do.
//
// Errors: [ErrInvalidArgument] before any request, then every kind of [Error],
// and as they are those of the network, of ctx and of a [TokenSource].
func (c *Client) Do(ctx context.Context, method, path string, query url.Values, in, out any) error {
	op := method + " " + cutQuery(path)
	if !strings.HasPrefix(path, "/") || strings.ContainsAny(path, "?#") {
		return invalid(op, fmt.Errorf("the path is %q: begin with / and put parameters into query", cutQuery(path)))
	}
	if method == "" || strings.ContainsFunc(method, func(r rune) bool { return r < 'A' || r > 'Z' }) {
		return invalid(op, fmt.Errorf("the method is %q: use http.MethodGet or http.MethodPost", method))
	}
	if v := reflect.ValueOf(out); out != nil && (v.Kind() != reflect.Pointer || v.IsNil()) {
		return invalid(op, fmt.Errorf("out is a %T: pass a pointer to what the answer is to fill, or nil", out))
	}
	if _, raw := in.([]byte); raw {
		return invalid(op, errors.New("in is []byte, which JSON would encode as base64: pass json.RawMessage"))
	}
	if query.Has("access_token") {
		return invalid(op, errors.New("the query has access_token: leave it out, the client adds its own"))
	}
	x := &exchange{op: op, method: method, path: path, rawQuery: query.Encode(), repeatable: method == http.MethodGet}
	if in != nil {
		body, err := marshal(in)
		if err != nil {
			return invalid(op, err)
		}
		x.body = body
	}
	return c.call(ctx, x, out)
}

// call is the one path to WeChat: token, then send, and once more with another
// token if WeChat refused the first.
func (c *Client) call(ctx context.Context, x *exchange, out any) error {
	if _, none := c.tokens.(noToken); none {
		return c.wire.exchangeJSON(ctx, x, out)
	}
	tok, err := c.tokens.Token(ctx, "")
	if err != nil {
		return &opError{x.op, clean(err)}
	}
	query := x.rawQuery
	refusal := c.callWith(ctx, x, query, tok, out)
	if !refused(refusal) {
		return refusal
	}

	next, err := c.tokens.Token(ctx, tok.Value)
	switch {
	case err != nil:
		return fmt.Errorf("%w; then no other token could be had: %w", refusal, clean(err, tok.Value))
	case next.Value == tok.Value:
		return fmt.Errorf("%w; asked for another token, the source gave the same one", refusal)
	}
	return c.callWith(ctx, x, query, next, out)
}

func (c *Client) callWith(ctx context.Context, x *exchange, query string, tok Token, out any) error {
	x.secret = tok.Value
	x.rawQuery = "access_token=" + url.QueryEscape(tok.Value)
	if query != "" {
		x.rawQuery += "&" + query
	}
	return c.wire.exchangeJSON(ctx, x, out)
}
