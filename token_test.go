package wechatqr

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// upstream is a token source that counts, takes its time and fails when told.
type upstream struct {
	calls  atomic.Int64
	active atomic.Int64
	most   atomic.Int64
	takes  time.Duration
	life   time.Duration
	mu     sync.Mutex
	err    error
	value  string // given instead of a new one
}

func (u *upstream) set(value string, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.value, u.err = value, err
}

func (u *upstream) Token(context.Context) (Token, error) {
	n := u.calls.Add(1)
	a := u.active.Add(1)
	defer u.active.Add(-1)
	if a > u.most.Load() {
		u.most.Store(a)
	}
	time.Sleep(u.takes)
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.err != nil {
		return Token{}, u.err
	}
	if u.value != "" {
		return Token{u.value, time.Now().Add(u.life)}, nil
	}
	return Token{fmt.Sprintf("T%d", n), time.Now().Add(u.life)}, nil
}

func TestReuseColdHerd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := &upstream{takes: 300 * time.Millisecond, life: 2 * time.Hour}
		src := ReuseTokenSource(up)
		start := time.Now()
		var wg sync.WaitGroup
		for range 1000 {
			wg.Go(func() {
				tok, err := src.Token(t.Context())
				assert.NoError(t, err)
				assert.Equal(t, "T1", tok.Value)
				assert.Equal(t, up.takes, time.Since(start), "a caller waits for the call and no longer")
			})
		}
		wg.Wait()
		assert.EqualValues(t, 1, up.calls.Load())
	})
}

func TestReuseCallersOwnTheirContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := &upstream{takes: time.Second, life: 2 * time.Hour}
		src := ReuseTokenSource(up)
		start := time.Now()
		first, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := src.Token(first)
			assert.ErrorIs(t, err, context.Canceled)
			assert.Equal(t, 50*time.Millisecond, time.Since(start))
		})
		synctest.Wait()
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			_, err := src.Token(ctx)
			assert.ErrorIs(t, err, context.DeadlineExceeded)
			assert.Equal(t, 100*time.Millisecond, time.Since(start))
		})
		for range 10 {
			wg.Go(func() {
				tok, err := src.Token(t.Context())
				assert.NoError(t, err)
				assert.Equal(t, "T1", tok.Value)
			})
		}
		time.Sleep(50 * time.Millisecond)
		cancel()
		wg.Wait()
		assert.EqualValues(t, 1, up.calls.Load())
	})
}

func TestReuseRenewsEarly(t *testing.T) {
	for _, tt := range []struct {
		name        string
		life, early time.Duration
	}{
		{"five minutes of two hours", 2 * time.Hour, 5 * time.Minute},
		{"a tenth of 300 s", 300 * time.Second, 30 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				up := &upstream{life: tt.life}
				src := ReuseTokenSource(up)
				get := func() string {
					t.Helper()
					start := time.Now()
					tok, err := src.Token(t.Context())
					require.NoError(t, err)
					require.Zero(t, time.Since(start), "nobody waits for an early renewal")
					return tok.Value
				}
				require.Equal(t, "T1", get())
				up.takes = time.Second
				time.Sleep(tt.life - tt.early - 1)
				assert.Equal(t, "T1", get())
				synctest.Wait()
				assert.EqualValues(t, 1, up.calls.Load(), "1 ns before the window")
				time.Sleep(time.Nanosecond)
				for range 100 {
					assert.Equal(t, "T1", get())
				}
				synctest.Wait()
				assert.EqualValues(t, 2, up.calls.Load(), "one renewal for all")
				time.Sleep(time.Second)
				synctest.Wait()
				assert.Equal(t, "T2", get())
			})
		})
	}
}

func TestReuseFailedRenewalKeepsWhatWorks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := &upstream{life: 2 * time.Hour}
		var log bytes.Buffer
		src := ReuseTokenSource(up, WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
		_, err := src.Token(t.Context())
		require.NoError(t, err)
		up.set("", errors.New("the line is down"))
		time.Sleep(2*time.Hour - time.Minute)
		for range 60 {
			tok, err := src.Token(t.Context())
			require.NoError(t, err)
			require.Equal(t, "T1", tok.Value)
			time.Sleep(time.Second - 1)
			synctest.Wait()
		}
		// Attempts at 0, 1, 3, 7, 15 and 31 s of that minute.
		assert.EqualValues(t, 1+6, up.calls.Load())
		assert.Contains(t, log.String(), "the line is down")
		time.Sleep(60 * time.Nanosecond)
		_, err = src.Token(t.Context())
		assert.ErrorContains(t, err, "the line is down", "at its very end the token is given no more")
		up.set("", nil)
		time.Sleep(maxPause)
		tok, err := src.Token(t.Context())
		require.NoError(t, err)
		assert.NotEqual(t, "T1", tok.Value)
	})
}

func TestReuseBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cause := errors.New("invalid appsecret")
		up := &upstream{err: cause}
		src := ReuseTokenSource(up)
		for i, pause := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
			_, err := src.Token(t.Context())
			require.ErrorIs(t, err, cause)
			require.EqualValues(t, i+1, up.calls.Load())
			time.Sleep(pause*time.Second - 1)
			_, err = src.Token(t.Context())
			require.ErrorIs(t, err, cause, "the last cause is told meanwhile")
			require.ErrorContains(t, err, "not tried again for")
			require.EqualValues(t, i+1, up.calls.Load(), "1 ns before the pause ends")
			time.Sleep(time.Nanosecond)
		}
		up.set("good", nil)
		up.life = time.Hour
		tok, err := src.Token(t.Context())
		require.NoError(t, err)
		assert.Equal(t, "good", tok.Value)
	})
}

func TestReuseKeepsNothingUseless(t *testing.T) {
	for name, bad := range map[string]Token{
		"empty":            {Expiry: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)},
		"expired":          {"T", time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC)},
		"expired just now": {"T", time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)}, // where synctest's clock begins
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				calls := 0
				src := ReuseTokenSource(TokenSourceFunc(func(context.Context) (Token, error) {
					if calls++; calls == 1 {
						return bad, nil
					}
					return Token{Value: "good"}, nil
				}))
				_, err := src.Token(t.Context())
				require.ErrorIs(t, err, ErrUnexpectedResponse)
				time.Sleep(time.Second)
				tok, err := src.Token(t.Context())
				require.NoError(t, err)
				assert.Equal(t, "good", tok.Value)
				time.Sleep(1000 * time.Hour)
				_, err = src.Token(t.Context())
				require.NoError(t, err)
				assert.Equal(t, 2, calls, "a token without Expiry is kept")
			})
		})
	}
}

func TestReuseInvalidate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := &upstream{life: 2 * time.Hour, takes: time.Second}
		src := newReuse(up, slog.New(slog.DiscardHandler))
		get := func() string {
			tok, err := src.Token(t.Context())
			assert.NoError(t, err)
			return tok.Value
		}
		require.Equal(t, "T1", get())
		require.NoError(t, src.Invalidate(t.Context(), "another"))
		require.NoError(t, src.Invalidate(t.Context(), ""))
		assert.Equal(t, "T1", get())
		var wg sync.WaitGroup
		for range 1000 {
			wg.Go(func() {
				assert.NoError(t, src.Invalidate(t.Context(), "T1"))
				assert.Equal(t, "T2", get())
				assert.NoError(t, src.Invalidate(t.Context(), "T1"), "late, and so without effect")
				assert.Equal(t, "T2", get())
			})
		}
		wg.Wait()
		assert.EqualValues(t, 2, up.calls.Load())
	})
}

// A renewal that began before WeChat refused the token may bring that very
// token: it is not what the refusal's callers wait for.
func TestReuseRefusedWhileRenewing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := &upstream{life: 2 * time.Hour}
		src := newReuse(up, slog.New(slog.DiscardHandler))
		_, err := src.Token(t.Context())
		require.NoError(t, err)
		time.Sleep(2*time.Hour - 5*time.Minute)
		up.takes = time.Second
		up.set("T1", nil)
		_, err = src.Token(t.Context()) // starts the early renewal
		require.NoError(t, err)
		time.Sleep(500 * time.Millisecond)
		require.NoError(t, src.Invalidate(t.Context(), "T1"))
		time.AfterFunc(600*time.Millisecond, func() { up.set("T2", nil) })
		tok, err := src.Token(t.Context())
		require.NoError(t, err)
		assert.Equal(t, "T2", tok.Value)
		assert.EqualValues(t, 3, up.calls.Load())
	})
}

// A renewal that brings the refused token's successor has answered the refusal:
// another one would end that successor on the classic endpoint.
func TestReuseRefusedWhileItsSuccessorComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := &upstream{life: 2 * time.Hour}
		src := newReuse(up, slog.New(slog.DiscardHandler))
		_, err := src.Token(t.Context())
		require.NoError(t, err)
		time.Sleep(2*time.Hour - 5*time.Minute)
		up.takes = time.Second
		_, err = src.Token(t.Context()) // starts the early renewal
		require.NoError(t, err)
		time.Sleep(500 * time.Millisecond)
		require.NoError(t, src.Invalidate(t.Context(), "T1"))
		tok, err := src.Token(t.Context())
		require.NoError(t, err)
		assert.Equal(t, "T2", tok.Value)
		assert.EqualValues(t, 2, up.calls.Load())
	})
}

// A token that the source insists on serves on: one API that refuses it must
// not take the others down.
func TestReuseRefusedTokenComesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := &upstream{life: 2 * time.Hour, value: "same"}
		src := newReuse(up, slog.New(slog.DiscardHandler))
		// refuse is an API call that WeChat answers with 40001.
		refuse := func() {
			t.Helper()
			for range 2 {
				tok, err := src.Token(t.Context())
				require.NoError(t, err)
				require.Equal(t, "same", tok.Value)
				require.NoError(t, src.Invalidate(t.Context(), tok.Value))
			}
			_, err := src.Token(t.Context())
			require.NoError(t, err)
		}
		refuse()
		assert.EqualValues(t, 2, up.calls.Load())
		for range 100 {
			refuse()
		}
		assert.EqualValues(t, 2, up.calls.Load(), "no loop")
		time.Sleep(time.Second - time.Nanosecond)
		refuse()
		assert.EqualValues(t, 2, up.calls.Load())
		time.Sleep(time.Nanosecond)
		refuse()
		assert.EqualValues(t, 3, up.calls.Load(), "a second later it is asked about again")
		for range 3600 {
			time.Sleep(time.Second)
			refuse()
		}
		assert.Less(t, up.calls.Load(), int64(70), "an hour of refusals costs one call a minute")

		up.set("", nil)
		time.Sleep(maxPause)
		require.NoError(t, src.Invalidate(t.Context(), "same"))
		tok, err := src.Token(t.Context())
		require.NoError(t, err)
		require.NotEqual(t, "same", tok.Value)
		calls := up.calls.Load()
		require.NoError(t, src.Invalidate(t.Context(), tok.Value))
		_, err = src.Token(t.Context())
		require.NoError(t, err)
		assert.Equal(t, calls+1, up.calls.Load(), "another token ends the pauses")
	})
}

// An account whose every token is refused must not use up the day's quota.
func TestReuseEveryTokenRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := &upstream{life: 2 * time.Hour}
		src := newReuse(up, slog.New(slog.DiscardHandler))
		refuse := func() {
			tok, err := src.Token(t.Context())
			require.NoError(t, err)
			require.NoError(t, src.Invalidate(t.Context(), tok.Value))
		}
		for range 1000 {
			refuse()
		}
		_, err := src.Token(t.Context())
		require.NoError(t, err)
		assert.EqualValues(t, 1+freeRefusals+1, up.calls.Load())
		for range 3600 {
			time.Sleep(time.Second)
			refuse()
		}
		assert.Less(t, up.calls.Load(), int64(freeRefusals+70), "one a minute")

		time.Sleep(calm + time.Nanosecond)
		before := up.calls.Load()
		for range freeRefusals {
			refuse()
		}
		_, err = src.Token(t.Context())
		require.NoError(t, err)
		assert.EqualValues(t, before+freeRefusals, up.calls.Load(), "after a calm time refusals are heeded at once again")
	})
}

// WeChat's clock decides when the stable token changes: asked a moment early,
// it gives the old one, and must be asked again soon.
func TestReuseEarlyRenewalBringsTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		end := time.Now().Add(2 * time.Hour)
		change := end.Add(-5*time.Minute + 50*time.Millisecond)
		calls := 0
		src := ReuseTokenSource(TokenSourceFunc(func(context.Context) (Token, error) {
			calls++
			if time.Now().Before(change) {
				return Token{"T1", end}, nil
			}
			return Token{"T2", time.Now().Add(2 * time.Hour)}, nil
		}))
		get := func() string {
			tok, err := src.Token(t.Context())
			require.NoError(t, err)
			synctest.Wait()
			return tok.Value
		}
		require.Equal(t, "T1", get())
		time.Sleep(time.Until(end.Add(-5 * time.Minute)))
		for range 10 {
			require.Equal(t, "T1", get())
		}
		assert.Equal(t, 2, calls, "not at every call")
		time.Sleep(againAfter)
		get()
		assert.Equal(t, 3, calls)
		assert.Equal(t, "T2", get(), "long before T1 ends")
	})
}

func TestReuseBackOffStartsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := &upstream{life: time.Hour}
		src := newReuse(up, slog.New(slog.DiscardHandler))
		for range 2 {
			up.set("", errors.New("down"))
			for _, pause := range []time.Duration{1, 2, 4} {
				before := up.calls.Load()
				_, err := src.Token(t.Context())
				require.Error(t, err)
				require.Equal(t, before+1, up.calls.Load())
				time.Sleep(pause * time.Second)
			}
			up.set("", nil)
			tok, err := src.Token(t.Context())
			require.NoError(t, err)
			require.NoError(t, src.Invalidate(t.Context(), tok.Value))
		}
	})
}

func TestReuseSourceThatPanicsOrEndsItsGoroutine(t *testing.T) {
	for name, f := range map[string]func(){
		"the token source panicked: boom":          func() { panic("boom") },
		"the token source ended its goroutine":     runtime.Goexit,
		"the token source panicked: runtime error": func() { var p *Token; _ = p.Value },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				src := ReuseTokenSource(TokenSourceFunc(func(context.Context) (Token, error) { f(); return Token{}, nil }))
				_, err := src.Token(t.Context())
				require.ErrorContains(t, err, name)
				_, err = src.Token(t.Context())
				require.ErrorContains(t, err, name)
			})
		})
	}
}

func TestReuseSourceThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := ReuseTokenSource(TokenSourceFunc(func(ctx context.Context) (Token, error) {
			<-ctx.Done()
			return Token{}, ctx.Err()
		}))
		start := time.Now()
		_, err := src.Token(t.Context())
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, renewalTimeout, time.Since(start))
	})
}

// roundTripper is WeChat in memory.
type roundTripper func(*http.Request) (int, string)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) {
	status, body := f(r)
	return &http.Response{
		StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)), Request: r,
	}, nil
}

func TestTokenAnswers(t *testing.T) {
	creds := Credentials{"wx0", "s3cret"}
	for _, tt := range []struct {
		name, body string
		status     int
		kind       error
		text       string
	}{
		{"good", `{"access_token":"T","expires_in":7200}`, 200, nil, ""},
		{"slashes escaped", `{"access_token":"a\/b","expires_in":1}`, 200, nil, ""},
		{"expires_in 0", `{"access_token":"T","expires_in":0}`, 200, ErrUnexpectedResponse, "expires_in is 0"},
		{"expires_in negative", `{"access_token":"T","expires_in":-1}`, 200, ErrUnexpectedResponse, "expires_in is -1"},
		{"expires_in missing", `{"access_token":"T"}`, 200, ErrUnexpectedResponse, "expires_in is 0"},
		{"expires_in a string", `{"access_token":"T","expires_in":"7200"}`, 200, ErrUnexpectedResponse, "expires_in"},
		{"expires_in overflows", `{"access_token":"T","expires_in":9223372036854775807}`, 200, ErrUnexpectedResponse, "expires_in"},
		{"token empty", `{"access_token":"","expires_in":7200}`, 200, ErrUnexpectedResponse, "lacks access_token"},
		{"token missing", `{"expires_in":7200}`, 200, ErrUnexpectedResponse, "lacks access_token"},
		{"empty body", ``, 200, ErrUnexpectedResponse, "no JSON"},
		{"null", `null`, 200, ErrUnexpectedResponse, "lacks access_token"},
		{"wrong secret", `{"errcode":40001,"errmsg":"invalid credential rid: 611740a4-27f9a8ba-065da01b"}`, 200, ErrInvalidCredential, "AppSecret"},
		{"wrong appid", `{"errcode":40013,"errmsg":"invalid appid"}`, 200, ErrInvalidCredential, "AppID"},
		{"quota", `{"errcode":45009,"errmsg":"reach max api daily quota limit"}`, 200, ErrQuota, "quota of the day"},
		{"IP", `{"errcode":40164,"errmsg":"invalid ip 218.58.124.130 ipv6 ::ffff:218.58.124.130, not in whitelist rid: 611740a4-27f9a8ba-065da01b"}`, 200, ErrIPNotAllowed, "add 218.58.124.130 to"},
		{"gateway", `<html>bad gateway</html>`, 502, ErrBusy, "HTTP 502"},
	} {
		for endpoint, source := range map[string]func(Credentials, ...Option) (TokenSource, error){"stable": StableToken, "classic": ClassicToken} {
			t.Run(tt.name+"/"+endpoint, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var seen *http.Request
					var sent []byte
					src, err := source(creds, WithMaxRetries(0), WithHTTPClient(&http.Client{Transport: roundTripper(func(r *http.Request) (int, string) {
						seen = r
						if r.Body != nil {
							sent, _ = io.ReadAll(r.Body)
						}
						return tt.status, tt.body
					})}))
					require.NoError(t, err)
					tok, err := ReuseTokenSource(src).Token(t.Context())
					if endpoint == "stable" {
						assert.Equal(t, "POST https://api.weixin.qq.com/cgi-bin/stable_token", seen.Method+" "+seen.URL.String())
						assert.Equal(t, `{"grant_type":"client_credential","appid":"wx0","secret":"s3cret"}`, string(sent))
					} else {
						assert.Equal(t, "GET https://api.weixin.qq.com/cgi-bin/token?grant_type=client_credential&appid=wx0&secret=s3cret", seen.Method+" "+seen.URL.String())
					}
					if tt.kind == nil {
						require.NoError(t, err)
						assert.NotEmpty(t, tok.Value)
						return
					}
					require.ErrorIs(t, err, tt.kind)
					assert.ErrorContains(t, err, tt.text)
					assert.NotErrorIs(t, err, ErrTokenRejected, "nothing here is a refused access token")
				})
			})
		}
	}
}

// memoryStore is a TokenStore and Leaser that fails and hangs when told.
type memoryStore struct {
	mu     sync.Mutex
	tokens map[string]Token
	leased map[string]time.Time
	err    error
	hang   bool
	log    []string

	saveCtx error // what the context of Save said
}

func newMemoryStore() *memoryStore {
	return &memoryStore{tokens: map[string]Token{}, leased: map[string]time.Time{}}
}

func (m *memoryStore) do(ctx context.Context, what string, f func()) error {
	m.mu.Lock()
	m.log = append(m.log, what)
	hang, err := m.hang, m.err
	if err == nil && !hang {
		f()
	}
	m.mu.Unlock()
	if hang {
		<-ctx.Done()
		return ctx.Err()
	}
	return err
}

func (m *memoryStore) Load(ctx context.Context, key string) (tok Token, err error) {
	ferr := m.do(ctx, "load", func() {
		var ok bool
		if tok, ok = m.tokens[key]; !ok {
			err = ErrTokenNotFound
		}
	})
	return tok, errors.Join(err, ferr)
}

func (m *memoryStore) Save(ctx context.Context, key string, tok Token, _ string) error {
	m.saveCtx = ctx.Err()
	return m.do(ctx, "save", func() { m.tokens[key] = tok })
}

func (m *memoryStore) Discard(ctx context.Context, key, rejected string) error {
	return m.do(ctx, "discard", func() {
		if m.tokens[key].Value == rejected {
			delete(m.tokens, key)
		}
	})
}

// leasingStore adds Lease, which memoryStore by itself has not.
type leasingStore struct{ *memoryStore }

func (m leasingStore) Lease(ctx context.Context, key, owner string, ttl time.Duration) (ok bool, err error) {
	err = m.do(ctx, "lease", func() {
		if ok = !time.Now().Before(m.leased[key]); ok {
			m.leased[key] = time.Now().Add(ttl)
		}
	})
	return ok, err
}

func (m leasingStore) Unlease(ctx context.Context, key, owner string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.leased, key)
	return nil
}

func TestStoredShares(t *testing.T) {
	for name, store := range map[string]TokenStore{"plain": newMemoryStore(), "leasing": leasingStore{newMemoryStore()}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				up := &upstream{life: 2 * time.Hour}
				process := func() TokenSource { return ReuseTokenSource(StoredTokenSource(store, "wx0", up)) }
				a, b := process(), process()
				for _, p := range []TokenSource{a, b, a, b, process()} {
					tok, err := p.Token(t.Context())
					require.NoError(t, err)
					require.Equal(t, "T1", tok.Value)
				}
				time.Sleep(2*time.Hour - time.Minute)
				for range 10 { // each process looks for a renewal once, one makes it
					for _, p := range []TokenSource{a, b} {
						_, err := p.Token(t.Context())
						require.NoError(t, err)
						synctest.Wait()
					}
				}
				for _, p := range []TokenSource{a, b, process()} {
					tok, err := p.Token(t.Context())
					require.NoError(t, err)
					require.Equal(t, "T2", tok.Value)
				}
				assert.EqualValues(t, 2, up.calls.Load())
			})
		})
	}
}

func TestStoredLeaseLetsOneRenew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := leasingStore{newMemoryStore()}
		up := &upstream{takes: 2 * time.Second, life: 2 * time.Hour}
		start := time.Now()
		var wg sync.WaitGroup
		for range 8 {
			src := ReuseTokenSource(StoredTokenSource(store, "wx0", up))
			for range 10 {
				wg.Go(func() {
					tok, err := src.Token(t.Context())
					assert.NoError(t, err)
					assert.Equal(t, "T1", tok.Value)
					assert.LessOrEqual(t, time.Since(start), up.takes+leasePoll)
				})
			}
		}
		wg.Wait()
		assert.EqualValues(t, 1, up.calls.Load())
	})
}

func TestStoredLeaderDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := leasingStore{newMemoryStore()}
		ok, err := store.Lease(t.Context(), "wx0", "dead", leaseTTL) // and is never heard of again
		require.NoError(t, err)
		require.True(t, ok)
		up := &upstream{life: 2 * time.Hour}
		src := ReuseTokenSource(StoredTokenSource(store, "wx0", up))
		start := time.Now()
		tok, err := src.Token(t.Context())
		require.NoError(t, err)
		assert.Equal(t, "T1", tok.Value)
		assert.LessOrEqual(t, time.Since(start), leaseTTL+leasePoll)
	})
}

func TestStoredLeaderGivesUpWithItsLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hangs := TokenSourceFunc(func(ctx context.Context) (Token, error) {
			<-ctx.Done()
			return Token{}, ctx.Err()
		})
		src := StoredTokenSource(leasingStore{newMemoryStore()}, "wx0", hangs)
		start := time.Now()
		_, err := src.Token(t.Context())
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, leaseTTL, time.Since(start))
	})
}

func TestStoredStoreFails(t *testing.T) {
	for _, tt := range []struct {
		name string
		set  func(*memoryStore)
		wait time.Duration
	}{
		{"error", func(m *memoryStore) { m.err = errors.New("OOM") }, 0},
		{"hang", func(m *memoryStore) { m.hang = true }, storeTimeout},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := leasingStore{newMemoryStore()}
				tt.set(store.memoryStore)
				up := &upstream{life: 2 * time.Hour}
				var log bytes.Buffer
				src := ReuseTokenSource(StoredTokenSource(store, "wx0", up, WithLogger(slog.New(slog.NewTextHandler(&log, nil)))))
				start := time.Now()
				for range 100 {
					tok, err := src.Token(t.Context())
					require.NoError(t, err)
					require.Equal(t, "T1", tok.Value)
				}
				assert.Equal(t, tt.wait, time.Since(start))
				assert.EqualValues(t, 1, up.calls.Load())
				assert.Equal(t, []string{"load"}, store.log, "after one failure the store is left alone")
				assert.Contains(t, log.String(), "the token store failed")
			})
		})
	}
}

func TestStoredRefusedTokenIsNotTakenAgain(t *testing.T) {
	for _, fails := range []bool{false, true} {
		t.Run(fmt.Sprintf("discard fails %v", fails), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := newMemoryStore()
				store.tokens["wx0"] = Token{"revoked", time.Now().Add(time.Hour)}
				up := &upstream{life: 2 * time.Hour}
				src := newReuse(newStored(store, "wx0", up, slog.New(slog.DiscardHandler)), slog.New(slog.DiscardHandler))
				tok, err := src.Token(t.Context())
				require.NoError(t, err)
				require.Equal(t, "revoked", tok.Value)
				if fails {
					store.err = errors.New("READONLY")
				}
				require.NoError(t, src.Invalidate(t.Context(), "revoked"))
				tok, err = src.Token(t.Context())
				require.NoError(t, err)
				assert.Equal(t, "T1", tok.Value)
				assert.Contains(t, store.log, "discard")
				if !fails {
					assert.Equal(t, "T1", store.tokens["wx0"].Value)
				}
			})
		})
	}
}

// readOnlyStore keeps what it has, refused or not.
type readOnlyStore struct{ *memoryStore }

func (readOnlyStore) Save(context.Context, string, Token, string) error {
	return errors.New("READONLY")
}
func (readOnlyStore) Discard(context.Context, string, string) error {
	return errors.New("READONLY")
}

func TestStoredRefusedTokenThatStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := readOnlyStore{newMemoryStore()}
		store.tokens["wx0"] = Token{"revoked", time.Now().Add(2 * time.Hour)}
		up := &upstream{life: time.Hour}
		src := newReuse(newStored(store, "wx0", up, slog.New(slog.DiscardHandler)), slog.New(slog.DiscardHandler))
		for _, want := range []string{"revoked", "T1", "T2", "T3"} {
			tok, err := src.Token(t.Context())
			require.NoError(t, err)
			require.Equal(t, want, tok.Value)
			require.NoError(t, src.Invalidate(t.Context(), tok.Value))
		}
	})
}

func TestStoredFailedRenewalKeepsWhatWorks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := &upstream{life: 2 * time.Hour}
		src := ReuseTokenSource(StoredTokenSource(leasingStore{newMemoryStore()}, "wx0", up))
		get := func() string {
			tok, err := src.Token(t.Context())
			require.NoError(t, err)
			synctest.Wait()
			return tok.Value
		}
		get()
		time.Sleep(2*time.Hour - maxEarly)
		up.set("", errors.New("down"))
		require.Equal(t, "T1", get())
		require.EqualValues(t, 2, up.calls.Load())
		time.Sleep(firstPause)
		up.set("", nil)
		require.Equal(t, "T1", get(), "and the renewal is tried again, long before the end")
		require.Equal(t, "T3", get())
	})
}

func TestStoredLeaseThatNeverFrees(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := leasingStore{newMemoryStore()}
		store.leased["wx0"] = time.Now().Add(1000 * time.Hour)
		src := StoredTokenSource(store, "wx0", &upstream{life: time.Hour})
		start := time.Now()
		tok, err := src.Token(t.Context())
		require.NoError(t, err)
		assert.Equal(t, "T1", tok.Value)
		assert.LessOrEqual(t, time.Since(start), 2*leaseTTL+2*leasePoll)
	})
}

// The leader before may have saved a token between a follower's look and its lease.
func TestStoredLeaderLooksAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := leasingStore{newMemoryStore()}
		store.leased["wx0"] = time.Now().Add(time.Hour)
		up := &upstream{life: time.Hour}
		src := newStored(store, "wx0", up, slog.New(slog.DiscardHandler))
		tok, err := src.lead(t.Context(), store, "leader")
		require.NoError(t, err)
		require.Equal(t, "T1", tok.Value)
		tok, err = src.lead(t.Context(), store, "leader")
		require.NoError(t, err)
		assert.Equal(t, "T1", tok.Value)
		assert.EqualValues(t, 1, up.calls.Load())
	})
}

func TestStoredTakesNothingUseless(t *testing.T) {
	for name, bad := range map[string]Token{
		"empty":   {"", time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)},
		"expired": {"old", time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)}, // synctest's now
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := newMemoryStore()
				store.tokens["wx0"] = bad
				tok, err := StoredTokenSource(store, "wx0", &upstream{life: time.Hour}).Token(t.Context())
				require.NoError(t, err)
				assert.Equal(t, "T1", tok.Value)
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		store := newMemoryStore()
		store.tokens["wx0"] = Token{Value: "of unknown end"}
		src := StoredTokenSource(store, "wx0", &upstream{life: time.Hour})
		for range 3 {
			tok, err := src.Token(t.Context())
			require.NoError(t, err)
			assert.Equal(t, "of unknown end", tok.Value)
		}
	})
}

// A source that gives the refused token again says that it is good, for the
// other processes too.
func TestStoredSourceInsists(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemoryStore()
		up := &upstream{life: time.Hour, value: "same"}
		src := newStored(store, "wx0", up, slog.New(slog.DiscardHandler))
		_, err := src.Token(t.Context())
		require.NoError(t, err)
		require.NoError(t, src.Invalidate(t.Context(), "same"))
		require.Empty(t, store.tokens)
		for range 5 {
			_, err = src.Token(t.Context())
			require.NoError(t, err)
		}
		assert.Equal(t, "same", store.tokens["wx0"].Value)
		assert.EqualValues(t, 2, up.calls.Load())
	})
}

func TestStoredSavesWhatCameAsTheContextEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemoryStore()
		ctx, cancel := context.WithCancel(t.Context())
		src := StoredTokenSource(store, "wx0", TokenSourceFunc(func(context.Context) (Token, error) {
			cancel()
			return Token{"T1", time.Now().Add(time.Hour)}, nil
		}))
		_, err := src.Token(ctx)
		require.NoError(t, err)
		assert.Equal(t, "T1", store.tokens["wx0"].Value)
		assert.NoError(t, store.saveCtx)
	})
}

// New puts a stored source behind memory, or every call would look into the store.
func TestStoredSourceOfTheUserIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemoryStore()
		c, err := New(Credentials{}, WithTokenSource(StoredTokenSource(store, "wx0", &upstream{life: time.Hour})))
		require.NoError(t, err)
		for range 100 {
			_, err := c.tokens.Token(t.Context())
			require.NoError(t, err)
		}
		assert.Equal(t, []string{"load", "save"}, store.log)
	})
}

func BenchmarkWarmToken(b *testing.B) {
	src := ReuseTokenSource(TokenSourceFunc(func(context.Context) (Token, error) {
		return Token{"T", time.Now().Add(2 * time.Hour)}, nil
	}))
	ctx := context.Background()
	_, err := src.Token(ctx)
	require.NoError(b, err)
	var held atomic.Pointer[Token]
	held.Store(&Token{"T", time.Now().Add(2 * time.Hour)})
	floor := func() bool { return time.Now().Before(held.Load().Expiry) }
	token := func() bool { _, err := src.Token(ctx); return err == nil }
	for _, bm := range []struct {
		name string
		f    func() bool
	}{{"floor: atomic load and time.Now", floor}, {"token", token}} {
		b.Run(bm.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				bm.f()
			}
		})
		b.Run(bm.name+"/parallel", func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					bm.f()
				}
			})
		})
	}
}
