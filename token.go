package wechatqr

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
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

// NoToken is for WeChat cloud hosting, whose network adds the token itself:
// requests carry no access_token. Use it with an [Endpoint] of
// http://api.weixin.qq.com inside the container.
//
// WeChat's page: https://developers.weixin.qq.com/minigame/dev/wxcloudrun/src/guide/weixin/open.html
func NoToken() TokenSource { return noToken{} }

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
	w, err := tokenWire(creds, opts)
	if err != nil {
		return nil, err
	}
	return w.stableToken(creds), nil
}

func (w *wire) stableToken(creds Credentials) TokenSource {
	return w.tokenSource(func() *exchange {
		// AppID and AppSecret are printable ASCII; %q writes them as JSON does.
		body := fmt.Appendf(nil, `{"grant_type":"client_credential","appid":%q,"secret":%q}`, creds.AppID, creds.AppSecret)
		return &exchange{method: http.MethodPost, path: "/cgi-bin/stable_token", body: body, secret: creds.AppSecret}
	})
}

// ClassicToken gives what GET /cgi-bin/token answers, anew at every call: put
// it behind [ReuseTokenSource], and behind [StoredTokenSource] if several
// processes use the account, for every call ends the token before it after
// about five minutes. An account has 2000 calls a day. Options as for [StableToken].
//
// WeChat's page: https://developers.weixin.qq.com/doc/offiaccount/Basic_Information/Get_access_token.html
func ClassicToken(creds Credentials, opts ...Option) (TokenSource, error) {
	w, err := tokenWire(creds, opts)
	if err != nil {
		return nil, err
	}
	return w.classicToken(creds), nil
}

func (w *wire) classicToken(creds Credentials) TokenSource {
	return w.tokenSource(func() *exchange {
		q := "grant_type=client_credential&appid=" + url.QueryEscape(creds.AppID) + "&secret=" + url.QueryEscape(creds.AppSecret)
		return &exchange{method: http.MethodGet, path: "/cgi-bin/token", rawQuery: q, secret: creds.AppSecret}
	})
}

// maxExpiresIn is far above the 7200 s WeChat documents, and far below what
// would overflow a time.Duration.
const maxExpiresIn = 30 * 24 * 3600

// tokenWire is the wire of a token source that stands by itself.
func tokenWire(creds Credentials, opts []Option) (*wire, error) {
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
	w, err := newWire(cfg)
	if err != nil {
		return nil, invalid(op, err)
	}
	return w, nil
}

// tokenSource asks WeChat by a request whose secret stays within the closure,
// where fmt does not look.
func (w *wire) tokenSource(request func() *exchange) TokenSource {
	return TokenSourceFunc(func(ctx context.Context) (Token, error) {
		const op = "get token"
		x := request()
		x.op, x.repeatable, x.forToken = op, true, true
		var ans struct {
			AccessToken string `json:"access_token"`
			ExpiresIn   int64  `json:"expires_in"`
		}
		// Reckoned from before the request, so that of two tokens the one asked
		// for later ends later, however long an answer lies about.
		asked := time.Now()
		if err := w.exchangeJSON(ctx, x, &ans); err != nil {
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

// The ways of a kept token.
const (
	renewalTimeout = 30 * time.Second // for one renewal by a source that does not end by itself
	maxEarly       = 5 * time.Minute  // how long before its end a token is renewed, at most; a tenth of its life at most
	firstPause     = time.Second      // after a failed renewal; doubles
	maxPause       = time.Minute
	againAfter     = 10 * time.Second // when an early renewal brought the same token
	freeRefusals   = 20               // heeded at once; further ones with pauses
	calm           = 2 * maxPause     // without a refusal
)

// ReuseTokenSource keeps what src gives in memory and asks src again when
// that is about to end, or refused. Its Token costs an atomic load and a look
// at the clock.
//
// One renewal runs at a time, in a goroutine of its own that ends with it; it
// does not end when the caller that caused it gives up, and a caller that
// waits returns when its own ctx ends. In the last five minutes of a token's
// life, or the last tenth if that is shorter, callers get it at once while the
// renewal runs behind them. After a failed renewal the next is tried 1 s
// later, then 2 s, up to a minute; until then callers without a token get the
// last error.
//
// A token that WeChat refused is renewed at once, and callers with a later one
// notice nothing. If src gives the same again it serves on, for it may be one
// API that refuses it, and src is asked about it again after 1 s, then 2 s, up
// to a minute; so it is after 20 refusals of different tokens in a row.
//
// Of the options only WithLogger counts; it hears of failures that no caller
// is told.
func ReuseTokenSource(src TokenSource, opts ...Option) TokenSource {
	return newReuse(src, loggerOf(opts))
}

func newReuse(src TokenSource, log *slog.Logger) *reuseTokenSource {
	return &reuseTokenSource{src: src, log: log}
}

func loggerOf(opts []Option) *slog.Logger {
	cfg, _ := configure(opts)
	if cfg.logger == nil {
		return slog.Default()
	}
	return cfg.logger
}

type reuseTokenSource struct {
	src TokenSource
	log *slog.Logger
	cur atomic.Pointer[heldToken]

	mu       sync.Mutex // not held during I/O
	running  *renewal
	failures int
	retryAt  time.Time
	cause    error

	// The token that Invalidate took away last. src may insist on it: then it
	// serves on, for WeChat, or one API of it, may refuse a token that is good.
	refused hidden
	told    bool // src knows of refused
	insists int  // how often in a row it came back

	// Refusals are heeded at most so often, or an account whose every token is
	// refused would use up the day's quota in a moment.
	heeded     int // since it was calm
	lastHeeded time.Time
	heedAt     time.Time
}

type heldToken struct {
	Token
	renewAt time.Time
}

// hidden is a token's value where fmt does not look: pointers it follows, for
// some verbs. nil is none.
type hidden func() string

func hide(value string) hidden { return func() string { return value } }

func (h hidden) is(value string) bool { return h != nil && h() == value }

// Format prints the type alone, whatever the verb.
func (s *reuseTokenSource) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "wechatqr.ReuseTokenSource")
}

type renewal struct {
	done chan struct{} // closed when tok and err are set
	tok  Token
	err  error
}

func (s *reuseTokenSource) Token(ctx context.Context) (Token, error) {
	if h := s.cur.Load(); h != nil {
		if h.Expiry.IsZero() {
			return h.Token, nil
		}
		now := time.Now()
		if now.Before(h.renewAt) {
			return h.Token, nil
		}
		if now.Before(h.Expiry) {
			_, _ = s.renewal(ctx)
			return h.Token, nil
		}
	}
	r, err := s.renewal(ctx)
	if err != nil {
		return Token{}, err
	}
	select {
	case <-r.done:
		return r.tok, r.err
	case <-ctx.Done():
		return Token{}, &opError{"get token", ctx.Err()}
	}
}

// renewal returns the renewal under way, starts one, or says why not yet.
func (s *reuseTokenSource) renewal(ctx context.Context) (*renewal, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running != nil {
		return s.running, nil
	}
	now := time.Now()
	if h := s.cur.Load(); h != nil && (h.Expiry.IsZero() || now.Before(h.renewAt)) {
		// It came between the caller's look and the lock.
		done := make(chan struct{})
		close(done)
		return &renewal{done: done, tok: h.Token}, nil
	}
	if wait := s.retryAt.Sub(now); wait > 0 {
		return nil, fmt.Errorf("%w; not tried again for %v", s.cause, wait.Round(time.Millisecond))
	}
	r := &renewal{done: make(chan struct{}), err: errors.New("wechatqr: get token: the token source ended its goroutine")}
	s.running = r
	go s.renew(context.WithoutCancel(ctx), r)
	return r, nil
}

func (s *reuseTokenSource) renew(ctx context.Context, r *renewal) {
	ctx, cancel := context.WithTimeout(ctx, renewalTimeout)
	defer cancel()
	// Deferred, so that callers are served even if src ends this goroutine.
	defer func() {
		if left := s.settle(r); left != nil {
			s.log.WarnContext(ctx, "wechatqr: the token was not renewed; the present one serves on", "expiry", left.Expiry, "error", clean(r.err, left.Value))
		}
	}()
	r.tok, r.err = s.ask(ctx)
	if r.err == nil && s.mustTell(r.tok) {
		// Refused while it was being fetched, or the fetch began before.
		r.tok, r.err = s.ask(ctx)
	}
	if r.err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		r.err = &opError{"get token", fmt.Errorf("the token source gave none within %v: %w", renewalTimeout, r.err)}
	}
}

// mustTell reports whether tok has been refused and src does not know of it.
func (s *reuseTokenSource) mustTell(tok Token) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refused.is(tok.Value) && !s.told
}

// ask gets one token from src and checks it.
func (s *reuseTokenSource) ask(ctx context.Context) (tok Token, err error) {
	defer func() {
		if p := recover(); p != nil {
			tok, err = Token{}, fmt.Errorf("wechatqr: get token: the token source panicked: %v", p)
			s.log.ErrorContext(ctx, "wechatqr: panic while getting a token", "panic", p, "stack", string(debug.Stack()))
		}
	}()
	s.mu.Lock()
	refused, told := s.refused, s.told
	s.told = true
	s.mu.Unlock()
	if inv, ok := s.src.(Invalidator); ok && refused != nil && !told {
		if err := inv.Invalidate(ctx, refused()); err != nil {
			s.log.WarnContext(ctx, "wechatqr: the token source could not drop a refused token", "error", clean(err, refused()))
		}
	}
	tok, err = s.src.Token(ctx)
	switch {
	case err != nil:
		return Token{}, err
	case tok.Value == "":
		return Token{}, unexpected("get token", 0, "the token source gave an empty token")
	case tok.expired(time.Now()):
		return Token{}, unexpected("get token", 0, "the token source gave a token that has expired: check the clocks")
	}
	return tok, nil
}

// settle ends the renewal and keeps what it brought. It returns the token that
// serves on although the renewal failed, if there is one.
func (s *reuseTokenSource) settle(r *renewal) (left *heldToken) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer close(r.done)
	s.running = nil
	now := time.Now()
	h := s.cur.Load()
	if r.err == nil {
		s.failures, s.cause = 0, nil
		switch {
		case !s.refused.is(r.tok.Value):
			s.refused, s.insists = nil, 0
		case s.told:
			s.insists++
			s.heeded-- // it cost no token
			s.heedAt = now.Add(pauseAfter(s.insists))
		}
		renewAt := r.tok.Expiry.Add(-min(maxEarly, r.tok.Expiry.Sub(now)/10))
		if h != nil && h.Value == r.tok.Value {
			// WeChat changes the token five minutes before its end by its own clock.
			renewAt = earlier(now.Add(againAfter), r.tok.Expiry)
		}
		s.cur.Store(&heldToken{r.tok, renewAt})
		return nil
	}
	s.failures++
	s.cause = r.err
	s.retryAt = now.Add(pauseAfter(s.failures))
	if h == nil || h.expired(now) {
		return nil
	}
	left = &heldToken{h.Token, earlier(s.retryAt, h.Expiry)}
	s.cur.Store(left)
	return left
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func pauseAfter(failures int) time.Duration {
	return min(firstPause<<min(failures-1, 10), maxPause)
}

// Invalidate drops the token if it is still the one in use, unless src insisted
// on it, or others were refused, only a moment ago: then it serves on. It does
// no I/O: the next renewal tells src.
func (s *reuseTokenSource) Invalidate(_ context.Context, rejected string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if h := s.cur.Load(); h == nil || h.Value != rejected || now.Before(s.heedAt) {
		return nil
	}
	if now.Sub(s.lastHeeded) > calm {
		s.heeded = 0
	}
	s.lastHeeded = now
	if s.heeded++; s.heeded > freeRefusals {
		s.heedAt = now.Add(pauseAfter(s.heeded - freeRefusals))
	}
	s.cur.Store(nil)
	s.refused, s.told = hide(rejected), false
	return nil
}

// TokenStore keeps one token under each key for several processes. It must be
// safe for concurrent use and return when ctx ends, which is 200 ms after the
// call. A store that fails costs sharing, not service. Package redisstore has
// one; wechatqrtest.TestTokenStore checks one of your own.
type TokenStore interface {
	// Load returns the token, or ErrTokenNotFound.
	Load(ctx context.Context, key string) (Token, error)

	// Save keeps the token until its Expiry. It must not replace a token by
	// one that ends before it; that is no error.
	Save(ctx context.Context, key string, tok Token) error

	// Discard removes the token if its value is still rejected.
	Discard(ctx context.Context, key, rejected string) error
}

// Leaser is a TokenStore that can have one process renew for all.
type Leaser interface {
	// Lease takes the right to renew the token under key, for ttl at most;
	// ok is false while another holds it. release gives it back; it may be called
	// when the lease has passed, and must then leave another's alone.
	Lease(ctx context.Context, key string, ttl time.Duration) (release func(), ok bool, err error)
}

const (
	storeTimeout = 200 * time.Millisecond // for one operation of a TokenStore
	leaseTTL     = 10 * time.Second       // for one renewal under a lease
	leasePoll    = 50 * time.Millisecond  // between looks at what the leader has saved
	maxRefused   = 16                     // refused tokens that are remembered, for a store that cannot drop them
)

// StoredTokenSource puts a store in front of src. It looks into the store at
// every call: put it behind [ReuseTokenSource]. With a store that is a
// [Leaser] only one process asks src at a time, and the others take its token
// when it comes. If the store fails, src is asked as if there were none.
//
// key names the token in the store: another account's must have another. Of
// the options only WithLogger counts; it hears of a store that fails.
func StoredTokenSource(store TokenStore, key string, src TokenSource, opts ...Option) TokenSource {
	return newStored(store, key, src, loggerOf(opts))
}

func newStored(store TokenStore, key string, src TokenSource, log *slog.Logger) *storedTokenSource {
	return &storedTokenSource{store: store, key: key, src: src, log: log}
}

type storedTokenSource struct {
	store TokenStore
	key   string
	src   TokenSource
	log   *slog.Logger

	mu      sync.Mutex
	given   hidden   // what Token returned last
	refused []hidden // what the store may still hold, the latest last
}

// Format prints the type and the key, whatever the verb.
func (s *storedTokenSource) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "wechatqr.StoredTokenSource("+s.key+")")
}

func (s *storedTokenSource) Token(ctx context.Context) (Token, error) {
	tok, err := s.ask(ctx)
	if err == nil {
		s.mu.Lock()
		s.given = hide(tok.Value)
		s.mu.Unlock()
	}
	return tok, err
}

func (s *storedTokenSource) ask(ctx context.Context) (Token, error) {
	tok, fresh, err := s.load(ctx)
	if fresh {
		return tok, nil
	}
	if err != nil {
		return s.src.Token(ctx)
	}
	leaser, ok := s.store.(Leaser)
	if !ok {
		return s.fetch(ctx)
	}
	poll := time.NewTicker(leasePoll)
	defer poll.Stop()
	// Time for one leader that died and for the next; a store that never frees a
	// lease costs sharing, not service.
	patience := time.Now().Add(2 * leaseTTL)
	for {
		release, ok, err := s.lease(ctx, leaser)
		if err != nil {
			return s.src.Token(ctx)
		}
		if ok {
			return s.lead(ctx, release)
		}
		if time.Now().After(patience) {
			return s.fetch(ctx)
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return Token{}, &opError{"get token", fmt.Errorf("waiting for the process that renews it: %w", ctx.Err())}
		}
		tok, fresh, err = s.load(ctx)
		if fresh {
			return tok, nil
		}
		if err != nil {
			return s.src.Token(ctx)
		}
	}
}

// lead renews under the lease, and not beyond it.
func (s *storedTokenSource) lead(ctx context.Context, release func()) (Token, error) {
	if release != nil {
		defer release()
	}
	ctx, cancel := context.WithTimeout(ctx, leaseTTL)
	defer cancel()
	tok, fresh, err := s.load(ctx) // the leader before may have saved one
	if fresh {
		return tok, nil
	}
	if err != nil {
		return s.src.Token(ctx)
	}
	return s.fetch(ctx)
}

// fetch asks src and saves what it gives.
func (s *storedTokenSource) fetch(ctx context.Context) (Token, error) {
	tok, err := s.src.Token(ctx)
	if err != nil {
		return Token{}, err
	}
	if tok.Value == "" || tok.expired(time.Now()) {
		return tok, nil
	}
	s.mu.Lock()
	// What src gives is good, whatever was said of it before.
	s.refused = slices.DeleteFunc(s.refused, func(h hidden) bool { return h.is(tok.Value) })
	s.mu.Unlock()
	op, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	if err := s.store.Save(op, s.key, tok); err != nil {
		s.warn(ctx, "save", err, tok.Value)
	}
	return tok, nil
}

// load returns the store's token, empty if there is none of use, and whether
// it is new to the caller or has long to live. err means that the store failed.
func (s *storedTokenSource) load(ctx context.Context) (tok Token, fresh bool, err error) {
	op, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	tok, err = s.store.Load(op, s.key)
	switch {
	case errors.Is(err, ErrTokenNotFound):
		return Token{}, false, nil
	case err != nil:
		s.warn(ctx, "load", err)
		return Token{}, false, err
	}
	now := time.Now()
	if tok.Value == "" || tok.expired(now) || s.isRefused(tok.Value) {
		return Token{}, false, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	fresh = !s.given.is(tok.Value) || tok.Expiry.IsZero() || tok.Expiry.Sub(now) > maxEarly
	return tok, fresh, nil
}

func (s *storedTokenSource) lease(ctx context.Context, l Leaser) (func(), bool, error) {
	op, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	release, ok, err := l.Lease(op, s.key, leaseTTL)
	if err != nil {
		s.warn(ctx, "lease", err)
	}
	return release, ok, err
}

func (s *storedTokenSource) isRefused(value string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.refused, func(h hidden) bool { return h.is(value) })
}

// Invalidate removes the token from the store, and does not take it from
// there again even if that fails.
func (s *storedTokenSource) Invalidate(ctx context.Context, rejected string) error {
	s.mu.Lock()
	s.refused = append(s.refused[max(0, len(s.refused)-maxRefused+1):], hide(rejected))
	s.mu.Unlock()
	if inv, ok := s.src.(Invalidator); ok {
		if err := inv.Invalidate(ctx, rejected); err != nil {
			return err
		}
	}
	op, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	if err := s.store.Discard(op, s.key, rejected); err != nil {
		s.warn(ctx, "discard", err, rejected)
		return err
	}
	return nil
}

func (s *storedTokenSource) warn(ctx context.Context, what string, err error, secrets ...string) {
	s.mu.Lock()
	for _, h := range append(s.refused[:len(s.refused):len(s.refused)], s.given) {
		if h != nil {
			secrets = append(secrets, h())
		}
	}
	s.mu.Unlock()
	s.log.WarnContext(ctx, "wechatqr: the token store failed; this process goes on without it",
		"operation", what, "key", s.key, "error", clean(err, secrets...))
}
