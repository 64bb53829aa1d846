package wechatqr

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"strings"
)

// Credentials identify an account. fmt, slog and the encoders of JSON, YAML and
// XML leave the secret out; gob refuses it.
type Credentials struct {
	AppID     string `json:"app_id"`             // wx…
	AppSecret string `json:"app_secret" xml:"-"` // not needed with WithTokenSource or WithCloudHosting
}

// CredentialsFromEnv reads WECHAT_APP_ID and WECHAT_APP_SECRET. The error names
// those that are not set; it is [ErrInvalidArgument].
func CredentialsFromEnv() (Credentials, error) {
	creds := Credentials{os.Getenv("WECHAT_APP_ID"), os.Getenv("WECHAT_APP_SECRET")}
	var missing []string
	if creds.AppID == "" {
		missing = append(missing, "WECHAT_APP_ID")
	}
	if creds.AppSecret == "" {
		missing = append(missing, "WECHAT_APP_SECRET")
	}
	if len(missing) > 0 {
		return Credentials{}, invalid("credentials", fmt.Errorf("set %s in the environment", strings.Join(missing, " and ")))
	}
	return creds, nil
}

// plainCredentials is Credentials without its methods.
type plainCredentials Credentials

func (c Credentials) withoutSecret() plainCredentials {
	if c.AppSecret != "" {
		c.AppSecret = redacted
	}
	return plainCredentials(c)
}

// Format prints the AppID alone, whatever the verb.
func (c Credentials) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "wechatqr.Credentials(%s, %s)", c.AppID, redacted)
}

// MarshalJSON writes [redacted] for the secret: a configuration that is dumped
// or logged must not give it away.
func (c Credentials) MarshalJSON() ([]byte, error) { return json.Marshal(c.withoutSecret()) }

// MarshalYAML is MarshalJSON for the packages for YAML.
func (c Credentials) MarshalYAML() (any, error) { return c.withoutSecret(), nil }

// GobEncode refuses: what it left out could not be told from what was never there.
func (c Credentials) GobEncode() ([]byte, error) {
	return nil, errors.New("wechatqr: Credentials cannot be encoded: store the AppSecret by itself")
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
		return errors.New("Credentials.AppSecret is \"[redacted]\": they were written as JSON or YAML, which leaves the secret out")
	}
	return nil
}

// Client makes codes for one account. It is safe for concurrent use, and one
// for each account is enough: it keeps the token and the connections. It needs
// no closing. For many accounts share the connections by [WithHTTPClient].
type Client struct {
	sender *sender
	tokens TokenSource
	images *hosts
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
	w, err := newSender(cfg)
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
	return &Client{sender: w, tokens: tokens, images: images}, nil
}

// newTokens composes memory in front of the store in front of WeChat.
func newTokens(cfg *config, w *sender, creds Credentials) (TokenSource, error) {
	if src := cfg.tokenSource; src != nil {
		_, keeps := src.(Invalidator)
		_, none := src.(noToken)
		if _, stored := src.(*storedTokenSource); none || keeps && !stored {
			return src, nil
		}
		return newReuse(src, cfg.logger), nil
	}
	if err := creds.check(); err != nil {
		return nil, err
	}
	src, key := w.stableToken(creds), creds.AppID+"/stable"
	if cfg.classic {
		// Tokens of the two endpoints do not replace each other.
		src, key = w.classicToken(creds), creds.AppID+"/classic"
	}
	if cfg.stored != nil {
		src = cfg.stored(key, src)
	}
	return newReuse(src, cfg.logger), nil
}

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
// JSON of a successful response. Do supports neither uploads nor responses that
// are not JSON.
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
	x := &apiRequest{op: op, method: req.Method, path: req.Path, rawQuery: req.Query.Encode()}
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
	return c.call(ctx, x, out)
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

// call is the one path to WeChat: token, then send, read, classify and retry,
// then once more with another token if WeChat refused the first.
func (c *Client) call(ctx context.Context, x *apiRequest, out any) error {
	if _, none := c.tokens.(noToken); none {
		return c.sender.sendJSON(ctx, x, out)
	}
	query := x.rawQuery
	var refusal error // of the first token
	for {
		tok, err := c.tokens.Token(ctx)
		switch {
		case err != nil && refusal != nil:
			return fmt.Errorf("%w; then no other token could be had: %w", refusal, clean(err))
		case err != nil:
			return &opError{x.op, clean(err)}
		case tok.Value == "":
			return &opError{x.op, unexpected("get token", 0, "the token source gave an empty token: use WithCloudHosting for calls without one")}
		case refusal != nil && tok.Value == x.secret:
			return fmt.Errorf("%w; renewing the token gave the same one again", refusal)
		}
		x.secret = tok.Value
		x.rawQuery = "access_token=" + url.QueryEscape(tok.Value)
		if query != "" {
			x.rawQuery += "&" + query
		}
		err = c.sender.sendJSON(ctx, x, out)
		inv, ok := c.tokens.(Invalidator)
		if !ok || refusal != nil || !refused(err) {
			return err
		}
		if ierr := inv.Invalidate(ctx, tok.Value); ierr != nil {
			c.sender.logger.WarnContext(ctx, "wechatqr: the token source could not drop a refused token", "error", clean(ierr, tok.Value))
		}
		refusal = err
	}
}
