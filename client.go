package wechatqr

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strings"
)

// Credentials identify an account. fmt, slog and the encoders of JSON, YAML and
// XML leave the secret out; gob refuses it.
type Credentials struct {
	AppID     string `json:"app_id"`     // wx…
	AppSecret string `json:"app_secret"` // not needed with WithTokenSource or WithCloudHosting
}

// CredentialsFromEnv reads WECHAT_APP_ID and WECHAT_APP_SECRET. The error names
// those that are not set; it is [ErrInvalidArgument].
func CredentialsFromEnv() (Credentials, error) {
	missing := slices.DeleteFunc([]string{"WECHAT_APP_ID", "WECHAT_APP_SECRET"},
		func(name string) bool { return os.Getenv(name) != "" })
	if len(missing) > 0 {
		return Credentials{}, invalid("credentials",
			errors.New("set "+strings.Join(missing, " and ")+" in the environment"))
	}
	return Credentials{os.Getenv("WECHAT_APP_ID"), os.Getenv("WECHAT_APP_SECRET")}, nil
}

// Format prints the AppID alone, whatever the verb.
func (c Credentials) Format(f fmt.State, _ rune) {
	text, _ := c.MarshalText()
	_, _ = f.Write(text)
}

// MarshalText is what JSON, YAML, XML and slog show: the AppID and no secret.
func (c Credentials) MarshalText() ([]byte, error) {
	return []byte("wechatqr.Credentials(" + c.AppID + ", " + redacted + ")"), nil
}

// MarshalBinary refuses, so that gob stores no secret and none is missed later.
func (c Credentials) MarshalBinary() ([]byte, error) { return nil, errNotEncoded }

var errNotEncoded = errors.New("wechatqr: secrets are not encoded: store their fields by themselves")

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
	}
	return nil
}

// Client makes codes for one account. It is safe for concurrent use, and one
// for each account is enough: it keeps the token and the connections. It needs
// no closing. For many accounts share the connections by [WithHTTPClient].
type Client struct {
	sender *sender
	tokens TokenSource
}

// New makes a Client. It does no I/O: what it refuses, with
// [ErrInvalidArgument], is credentials and options that cannot be right.
//
// By default tokens come from the stable endpoint and are kept in memory, a
// request may take 10 s, a response 1 MiB and a picture 4 MiB.
func New(creds Credentials, opts ...Option) (*Client, error) {
	const op = "new client"
	cfg, err := configure(opts)
	if err != nil {
		return nil, invalid(op, err)
	}
	s := newSender(cfg)
	tokens, err := newTokens(cfg, s, creds)
	if err != nil {
		return nil, invalid(op, err)
	}
	return &Client{sender: s, tokens: tokens}, nil
}

// newTokens composes memory in front of the store in front of WeChat.
func newTokens(cfg *config, s *sender, creds Credentials) (TokenSource, error) {
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
	src, key, interval := s.stableToken(creds), creds.AppID+"/stable", refusalInterval
	if cfg.classic {
		// Tokens of the two endpoints do not replace each other.
		src, key, interval = s.classicToken(creds), creds.AppID+"/classic", classicInterval
	}
	if cfg.stored != nil {
		src = cfg.stored(key, src)
	}
	return &reuseTokenSource{src: src, logger: cfg.logger, refusals: bucket{interval: interval}}, nil
}

// TokenSource returns the source of the client's tokens, for a token server or
// for another library that needs a token of this account. With
// [WithCloudHosting] it gives empty ones.
func (c *Client) TokenSource() TokenSource { return c.tokens }

// Format prints the type alone, whatever the verb.
func (c Client) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "wechatqr.Client") }

// Request is a call of any other API of WeChat's, for [Client.Do].
type Request struct {
	Method string     // http.MethodGet or http.MethodPost
	Path   string     // like "/cgi-bin/user/info", unescaped
	Query  url.Values // further parameters; access_token is added by the client
	Body   any        // sent as JSON in raw UTF-8, unless nil

	// Idempotent says that the call may be carried out twice. A GET may be, always.
	Idempotent bool
}

// Do calls any other API of WeChat's with the client's token, timeouts,
// retries, errors and redaction. out, unless nil, points to what receives the
// JSON object of a successful response. Do supports neither uploads nor responses
// that are something else.
//
// An idempotent request is repeated after a broken connection, HTTP 5xx or
// errcode -1. Another one is repeated only when it cannot have arrived;
// otherwise the error is [ErrOutcomeUnknown].
//
// Errors: [ErrInvalidArgument] before any request, then every kind of [Error],
// and as they are those of the network, of ctx and of a [TokenSource].
func (c *Client) Do(ctx context.Context, req Request, out any) error {
	op := req.Method + " " + cutQuery(req.Path)
	if err := req.check(out); err != nil {
		return invalid(op, err)
	}
	x := &apiRequest{op: op, method: req.Method, path: req.Path, rawQuery: req.Query.Encode(), out: out}
	if req.Idempotent || req.Method == http.MethodGet {
		x.kind = idempotent
	}
	if req.Body != nil {
		body, err := marshal(req.Body)
		if err != nil {
			return invalid(op, clean(err))
		}
		x.body = body
	}
	return c.call(ctx, x)
}

func (r Request) check(out any) error {
	_, raw := r.Body.([]byte)
	v := reflect.ValueOf(out)
	switch {
	case !strings.HasPrefix(r.Path, "/") || strings.ContainsAny(r.Path, "?#"):
		return fmt.Errorf("the path is %q: begin with / and put parameters into Query", cutQuery(r.Path))
	case r.Method == "" || strings.ContainsFunc(r.Method, func(c rune) bool { return c < 'A' || c > 'Z' }):
		return fmt.Errorf("the method is %q: use http.MethodGet or http.MethodPost", r.Method)
	case r.Query.Has("access_token"):
		return errors.New("Query has access_token: leave it out, the client adds its own")
	case raw:
		return errors.New("Body is []byte, which JSON would encode as base64: pass json.RawMessage")
	case out != nil && (v.Kind() != reflect.Pointer || v.IsNil()):
		return fmt.Errorf("out is a %T: pass a pointer to what the response is to fill, or nil", out)
	}
	return nil
}

// call is the one path to WeChat: token, then send, and once more with another
// token if WeChat refused the first.
func (c *Client) call(ctx context.Context, x *apiRequest) error {
	if _, none := c.tokens.(noToken); none {
		return c.sender.send(ctx, x, c.sender.api, maxResponseBytes)
	}
	query := x.rawQuery
	if query != "" {
		query = "&" + query
	}
	var refusal error
	for {
		rejected := x.secret
		tok, err := c.tokens.Token(ctx, rejected)
		switch {
		case refusal == nil && err != nil:
			return &opError{x.op, clean(err)}
		case err != nil:
			return fmt.Errorf("%w; then no other token could be had: %w", refusal, clean(err, rejected))
		case tok.Value == rejected:
			return fmt.Errorf("%w; asked for another token, the source gave the same one", refusal)
		}
		x.secret = tok.Value
		x.rawQuery = "access_token=" + url.QueryEscape(tok.Value) + query
		err = c.sender.send(ctx, x, c.sender.api, maxResponseBytes)
		if refusal != nil || !refused(err) {
			return err
		}
		refusal = err
	}
}
