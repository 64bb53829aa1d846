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

	rejected []string // what it was told
}

func (u *upstream) set(value string, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.value, u.err = value, err
}

func (u *upstream) Token(_ context.Context, rejected string) (Token, error) {
	n := u.calls.Add(1)
	a := u.active.Add(1)
	defer u.active.Add(-1)
	if a > u.most.Load() {
		u.most.Store(a)
	}
	time.Sleep(u.takes)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.rejected = append(u.rejected, rejected)
	if u.err != nil {
		return Token{}, u.err
	}
	if u.value != "" {
		return Token{u.value, time.Now().Add(u.life)}, nil
	}
	return Token{fmt.Sprintf("T%d", n), time.Now().Add(u.life)}, nil
}

// A token whose end is not known is kept until it is refused.
func TestReuseTokenWithoutExpiry(t *testing.T) {
	calls := 0
	src := ReuseTokenSource(TokenSourceFunc(func(context.Context, string) (Token, error) {
		calls++
		return Token{Value: fmt.Sprint("T", calls)}, nil
	}), nil)
	synctest.Test(t, func(t *testing.T) {
		for range 10 {
			tok, err := src.Token(t.Context(), "")
			require.NoError(t, err)
			require.Equal(t, "T1", tok.Value)
			time.Sleep(24 * time.Hour)
		}
		tok, err := src.Token(t.Context(), "T1")
		require.NoError(t, err)
		assert.Equal(t, "T2", tok.Value)
		assert.Equal(t, 2, calls)
	})
}

func TestReuseColdHerd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := &upstream{takes: 300 * time.Millisecond, life: 2 * time.Hour}
		src := ReuseTokenSource(up, nil)
		start := time.Now()
		var wg sync.WaitGroup
		for range 1000 {
			wg.Go(func() {
				tok, err := src.Token(t.Context(), "")
				assert.NoError(t, err)
				assert.Equal(t, "T1", tok.Value)
				assert.Equal(t, up.takes, time.Since(start),
					"a caller waits for the call and no longer")
			})
		}
		wg.Wait()
		assert.EqualValues(t, 1, up.calls.Load())
	})
}

func TestReuseCallersOwnTheirContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := &upstream{takes: time.Second, life: 2 * time.Hour}
		src := ReuseTokenSource(up, nil)
		start := time.Now()
		first, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := src.Token(first, "")
			assert.ErrorIs(t, err, context.Canceled)
			assert.Equal(t, 50*time.Millisecond, time.Since(start))
		})
		synctest.Wait()
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			_, err := src.Token(ctx, "")
			assert.ErrorIs(t, err, context.DeadlineExceeded)
			assert.Equal(t, 100*time.Millisecond, time.Since(start))
		})
		for range 10 {
			wg.Go(func() {
				tok, err := src.Token(t.Context(), "")
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
		{"half of 300 s", 300 * time.Second, 150 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				up := &upstream{life: tt.life}
				var log bytes.Buffer
				src := ReuseTokenSource(up, slog.New(slog.NewTextHandler(&log, nil)))
				get := func() string {
					t.Helper()
					start := time.Now()
					tok, err := src.Token(t.Context(), "")
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
				assert.Empty(t, log.String(), "nothing failed")
			})
		})
	}
}

// The warm path takes no lock: all calls of a process pass it.
func TestReuseWarmTokenAllocatesNothing(t *testing.T) {
	src := ReuseTokenSource(&upstream{life: time.Hour}, nil)
	_, err := src.Token(t.Context(), "")
	require.NoError(t, err)
	assert.Zero(t, testing.AllocsPerRun(100, func() { _, _ = src.Token(t.Context(), "") }))
}

// A caller may find no token, and the lock only after a renewal has ended.
func TestReuseLateCallerCausesNoRenewal(t *testing.T) {
	up := &upstream{life: time.Hour}
	src := ReuseTokenSource(up, nil).(*reuseTokenSource)
	_, err := src.Token(t.Context(), "")
	require.NoError(t, err)
	r, err := src.renewal(t.Context(), "")
	require.NoError(t, err)
	<-r.done
	assert.Equal(t, "T1", r.tok.Value)
	assert.EqualValues(t, 1, up.calls.Load())
}

func TestReuseRefusalsDoNotHinderTheEarlyRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := &upstream{life: 2 * time.Second, value: "same"}
		src := ReuseTokenSource(up, nil)
		_, err := src.Token(t.Context(), "")
		require.NoError(t, err)
		for range refusalBurst {
			_, err = src.Token(t.Context(), "same")
			require.NoError(t, err)
		}
		time.Sleep(time.Second)
		_, err = src.Token(t.Context(), "")
		require.NoError(t, err)
		synctest.Wait()
		assert.EqualValues(t, 1+refusalBurst+1, up.calls.Load())
	})
}

func TestReuseFailedRenewalKeepsWhatWorks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := &upstream{life: 2 * time.Hour}
		var log bytes.Buffer
		src := ReuseTokenSource(up, slog.New(slog.NewTextHandler(&log, nil)))
		_, err := src.Token(t.Context(), "")
		require.NoError(t, err)
		up.set("", errors.New("the line is down"))
		time.Sleep(2*time.Hour - time.Minute)
		for range 60 {
			tok, err := src.Token(t.Context(), "")
			require.NoError(t, err)
			require.Equal(t, "T1", tok.Value)
			time.Sleep(time.Second - 1)
			synctest.Wait()
		}
		// Attempts at about 0, 2, 4, 9, 17, 25, 34, 42 and 51 s of that minute.
		assert.EqualValues(t, 1+9, up.calls.Load())
		assert.Contains(t, log.String(), "the line is down")
		time.Sleep(60 * time.Nanosecond)
		_, err = src.Token(t.Context(), "")
		assert.ErrorContains(t, err, "the line is down",
			"at its very end the token is given no more")
		time.Sleep(outagePause)
		logged := log.Len()
		_, err = src.Token(t.Context(), "")
		require.ErrorContains(t, err, "the line is down")
		synctest.Wait()
		assert.Equal(t, logged, log.Len(), "no token stays in use")
		up.set("", nil)
		time.Sleep(outagePause)
		tok, err := src.Token(t.Context(), "")
		require.NoError(t, err)
		assert.NotEqual(t, "T1", tok.Value)
	})
}

// A refusal of WeChat's is not repeated often; the end of an outage is noticed soon.
func TestReuseBacksOff(t *testing.T) {
	refusal := &Error{Op: "get token", Code: 40125, StatusCode: 200}
	for name, tt := range map[string]struct {
		cause  error
		pauses []time.Duration
	}{
		"refused": {refusal, []time.Duration{1, 2, 4, 8, 16, 32, 60, 60}},
		"outage":  {errors.New("connection reset"), []time.Duration{1, 2, 4, 8, 8, 8}},
		"busy":    {&Error{Op: "get token", StatusCode: 502}, []time.Duration{1, 2, 4, 8, 8, 8}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				up := &upstream{err: tt.cause}
				src := ReuseTokenSource(up, nil)
				for i, seconds := range tt.pauses {
					_, err := src.Token(t.Context(), "")
					require.ErrorIs(t, err, tt.cause)
					require.EqualValues(t, i+1, up.calls.Load())
					time.Sleep(seconds*time.Second - 1)
					_, err = src.Token(t.Context(), "")
					require.ErrorIs(t, err, tt.cause, "the last cause is told meanwhile")
					require.ErrorContains(t, err, "not tried again for")
					require.EqualValues(t, i+1, up.calls.Load(), "1 ns before the pause ends")
					time.Sleep(time.Nanosecond)
				}
				up.set("good", nil)
				up.life = time.Hour
				tok, err := src.Token(t.Context(), "")
				require.NoError(t, err)
				assert.Equal(t, "good", tok.Value)
			})
		})
	}
}

func TestReuseKeepsNothingUseless(t *testing.T) {
	for name, bad := range map[string]Token{
		"empty":   {Expiry: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)},
		"expired": {"T", time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC)},
		// Where synctest's clock begins.
		"expired just now": {"T", time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				calls := 0
				src := ReuseTokenSource(TokenSourceFunc(func(context.Context, string) (Token,
					error) {
					if calls++; calls == 1 {
						return bad, nil
					}
					return Token{Value: "good"}, nil
				}), nil)
				_, err := src.Token(t.Context(), "")
				require.ErrorIs(t, err, ErrUnexpectedResponse)
				time.Sleep(time.Second)
				tok, err := src.Token(t.Context(), "")
				require.NoError(t, err)
				assert.Equal(t, "good", tok.Value)
				time.Sleep(1000 * time.Hour)
				_, err = src.Token(t.Context(), "")
				require.NoError(t, err)
				assert.Equal(t, 2, calls, "a token without Expiry is kept")
			})
		})
	}
}

func TestReuseRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := &upstream{life: 2 * time.Hour, takes: time.Second}
		src := ReuseTokenSource(up, nil)
		get := func(rejected string) string {
			tok, err := src.Token(t.Context(), rejected)
			assert.NoError(t, err)
			return tok.Value
		}
		require.Equal(t, "T1", get(""))
		require.Equal(t, "T1", get("another"), "of a token that is not in use")
		var wg sync.WaitGroup
		for range 1000 {
			wg.Go(func() {
				assert.Equal(t, "T2", get("T1"))
				assert.Equal(t, "T2", get("T1"), "late, and so without effect")
			})
		}
		wg.Wait()
		assert.EqualValues(t, 2, up.calls.Load())
		assert.Equal(t, []string{"", "T1"}, up.rejected, "the source is told")
	})
}

// One refusal, perhaps a spurious one, must not take a token that is good from
// everybody else.
func TestReuseRefusedWhileTheSourceIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := &upstream{life: 2 * time.Hour}
		src := ReuseTokenSource(up, slog.New(slog.DiscardHandler))
		_, err := src.Token(t.Context(), "")
		require.NoError(t, err)
		up.set("", errors.New("down"))
		up.takes = time.Second
		for range 600 {
			_, err = src.Token(t.Context(), "T1")
			require.ErrorContains(t, err, "down")
			start := time.Now()
			tok, err := src.Token(t.Context(), "")
			require.NoError(t, err)
			require.Equal(t, "T1", tok.Value)
			require.Zero(t, time.Since(start))
			time.Sleep(time.Second)
		}
		assert.Less(t, up.calls.Load(), int64(100), "the pauses hold for refusals too")
	})
}

func TestReuseOthersGoOnWhileARefusalIsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := &upstream{life: 2 * time.Hour}
		src := ReuseTokenSource(up, nil)
		_, err := src.Token(t.Context(), "")
		require.NoError(t, err)
		up.takes = time.Second
		start := time.Now()
		var wg sync.WaitGroup
		wg.Go(func() {
			tok, err := src.Token(t.Context(), "T1")
			assert.NoError(t, err)
			assert.Equal(t, "T2", tok.Value)
			assert.Equal(t, up.takes, time.Since(start))
		})
		synctest.Wait()
		tok, err := src.Token(t.Context(), "")
		require.NoError(t, err)
		assert.Equal(t, "T1", tok.Value)
		assert.Zero(t, time.Since(start))
		wg.Wait()
		assert.EqualValues(t, 2, up.calls.Load())
	})
}

// A renewal that began before WeChat refused the token may bring that very
// token: it is not what the refusal's callers wait for.
func TestReuseRefusedWhileRenewing(t *testing.T) {
	for _, tt := range []struct {
		name, brings, want string
		calls              int
	}{
		{"the same token", "T1", "T3", 3},
		{"its successor", "T2", "T2", 2}, // another would end that one on the classic endpoint
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				up := &upstream{life: 2 * time.Hour}
				src := ReuseTokenSource(up, nil)
				_, err := src.Token(t.Context(), "")
				require.NoError(t, err)
				time.Sleep(2*time.Hour - 5*time.Minute)
				up.takes = time.Second
				up.set(tt.brings, nil)
				_, err = src.Token(t.Context(), "") // starts the early renewal
				require.NoError(t, err)
				time.Sleep(500 * time.Millisecond)
				time.AfterFunc(600*time.Millisecond, func() { up.set("", nil) })
				tok, err := src.Token(t.Context(), "T1")
				require.NoError(t, err)
				assert.Equal(t, tt.want, tok.Value)
				assert.EqualValues(t, tt.calls, up.calls.Load())
			})
		})
	}
}

// A renewal that fails fails for those too whose refusal it did not know of.
func TestReuseRefusedWhileARenewalFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := &upstream{life: 2 * time.Hour}
		src := ReuseTokenSource(up, slog.New(slog.DiscardHandler))
		_, err := src.Token(t.Context(), "")
		require.NoError(t, err)
		time.Sleep(2*time.Hour - maxEarly)
		up.takes = time.Second
		up.set("", errors.New("down"))
		_, err = src.Token(t.Context(), "") // starts the early renewal
		require.NoError(t, err)
		synctest.Wait()
		_, err = src.Token(t.Context(), "T1")
		require.ErrorContains(t, err, "down")
		assert.EqualValues(t, 2, up.calls.Load())
	})
}

// A token that the source insists on stays in use: one API that refuses it must
// not take the others down, nor ask for ever.
func TestReuseRefusedTokenComesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := &upstream{life: 2 * time.Hour, value: "same"}
		src := ReuseTokenSource(up, nil)
		_, err := src.Token(t.Context(), "")
		require.NoError(t, err)
		for i := range 100 {
			tok, err := src.Token(t.Context(), "same")
			if i < refusalBurst {
				require.NoError(t, err)
				require.Equal(t, "same", tok.Value)
			} else {
				require.ErrorContains(t, err, "too many tokens were refused")
			}
			tok, err = src.Token(t.Context(), "")
			require.NoError(t, err)
			require.Equal(t, "same", tok.Value)
		}
		assert.EqualValues(t, 1+refusalBurst, up.calls.Load())

		time.Sleep(refusalInterval - time.Nanosecond)
		_, err = src.Token(t.Context(), "same")
		require.Error(t, err)
		time.Sleep(time.Nanosecond)
		up.set("another", nil)
		tok, err := src.Token(t.Context(), "same")
		require.NoError(t, err, "a real refusal is heard soon after all the others")
		require.Equal(t, "another", tok.Value)

		time.Sleep(refusalBurst*refusalInterval - time.Nanosecond)
		for range refusalBurst - 1 {
			_, err = src.Token(t.Context(), "another")
			require.NoError(t, err)
		}
		_, err = src.Token(t.Context(), "another")
		require.Error(t, err, "1 ns before the bucket is full")
	})
}

// What a day costs at WeChat, call by call, with one caller a second. stable
// answers as /cgi-bin/stable_token does, classic as /cgi-bin/token.
func TestReuseCallsOfADay(t *testing.T) {
	const life = 2 * time.Hour
	stable := func() func() Token {
		var tok Token
		return func() Token {
			if time.Until(tok.Expiry) <= 5*time.Minute {
				tok = Token{fmt.Sprint("T", time.Now()), time.Now().Add(life)}
			}
			return Token{tok.Value, time.Now().Add(time.Until(tok.Expiry).Truncate(time.Second))}
		}
	}
	classic := func() func() Token {
		return func() Token { return Token{fmt.Sprint("T", time.Now()), time.Now().Add(life)} }
	}
	for _, tt := range []struct {
		name     string
		endpoint func() func() Token
		interval time.Duration
		refused  func(i int, tok string) bool
		most     int
	}{
		{"stable", stable, refusalInterval, func(int, string) bool { return false }, 13},
		{"classic", classic, classicInterval, func(int, string) bool { return false }, 13},
		{"stable, one API refuses", stable, refusalInterval,
			func(i int, _ string) bool { return i%2 == 0 }, 500_000 / 10},
		{"classic, one API refuses", classic, classicInterval,
			func(i int, _ string) bool { return i%2 == 0 }, 2000},
		{"classic, every API refuses", classic, classicInterval,
			func(int, string) bool { return true }, 2000},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				calls, fetch := 0, tt.endpoint()
				src := &reuseTokenSource{
					src: TokenSourceFunc(func(context.Context, string) (Token, error) {
						calls++
						return fetch(), nil
					}),
					logger: slog.New(slog.DiscardHandler), refusals: bucket{interval: tt.interval},
				}
				for i := range 24 * 3600 {
					tok, err := src.Token(t.Context(), "")
					require.NoError(t, err)
					if tt.refused(i, tok.Value) {
						_, _ = src.Token(t.Context(), tok.Value)
					}
					time.Sleep(time.Second)
				}
				assert.LessOrEqual(t, calls, tt.most)
				assert.GreaterOrEqual(t, calls, 12)
			})
		})
	}
}

// WeChat's clock decides when the stable token changes: asked a moment early,
// it gives the old one, and must be asked again long before the end.
func TestReuseEarlyRenewalBringsTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		end := time.Now().Add(2 * time.Hour)
		change := end.Add(-5*time.Minute + 50*time.Millisecond)
		calls := 0
		src := ReuseTokenSource(TokenSourceFunc(func(context.Context, string) (Token, error) {
			calls++
			if time.Now().Before(change) {
				return Token{"T1", end}, nil
			}
			return Token{"T2", time.Now().Add(2 * time.Hour)}, nil
		}), nil)
		get := func() string {
			tok, err := src.Token(t.Context(), "")
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
		time.Sleep(150 * time.Second)
		get()
		assert.Equal(t, 3, calls)
		assert.Equal(t, "T2", get(), "long before T1 ends")
	})
}

func TestReuseBackOffStartsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := &upstream{life: time.Hour}
		src := ReuseTokenSource(up, slog.New(slog.DiscardHandler))
		rejected := ""
		for range 2 {
			up.set("", errors.New("down"))
			for _, seconds := range []time.Duration{1, 2, 4} {
				before := up.calls.Load()
				_, err := src.Token(t.Context(), rejected)
				require.Error(t, err)
				require.Equal(t, before+1, up.calls.Load())
				time.Sleep(seconds * time.Second)
			}
			up.set("", nil)
			tok, err := src.Token(t.Context(), rejected)
			require.NoError(t, err)
			rejected = tok.Value
		}
	})
}

// typedNil is an error whose nil pointer nobody checked.
type typedNil struct{ text string }

func (e *typedNil) Error() string { return e.text }

// panicHandler is a log handler with a fault.
type panicHandler struct{ slog.Handler }

func (panicHandler) Handle(context.Context, slog.Record) error { panic("log") }

func TestReuseSourceThatPanicsOrEndsItsGoroutine(t *testing.T) {
	for name, f := range map[string]func() error{
		"the token source panicked: boom":          func() error { panic("boom") },
		"the token source ended its goroutine":     func() error { runtime.Goexit(); return nil },
		"the token source panicked: runtime error": func() error { return (*typedNil)(nil) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				logger := slog.New(panicHandler{slog.NewTextHandler(io.Discard, nil)})
				good := true
				src := ReuseTokenSource(TokenSourceFunc(func(context.Context, string) (Token,
					error) {
					if good {
						return Token{"T1", time.Now().Add(time.Hour)}, nil
					}
					return Token{}, f()
				}), logger)
				_, err := src.Token(t.Context(), "")
				require.NoError(t, err)
				good = false
				time.Sleep(time.Hour - time.Minute)
				_, err = src.Token(t.Context(), "") // renews behind the scenes
				require.NoError(t, err)
				synctest.Wait()
				for range 2 {
					_, err = src.Token(t.Context(), "T1")
					require.ErrorContains(t, err, name)
				}
			})
		})
	}
}

func TestReuseSourceThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := ReuseTokenSource(TokenSourceFunc(func(ctx context.Context, _ string) (Token, error) {
			<-ctx.Done()
			return Token{}, ctx.Err()
		}), nil)
		start := time.Now()
		_, err := src.Token(t.Context(), "")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.ErrorContains(t, err, "the token source gave none within 30s")
		assert.Equal(t, renewalTimeout, time.Since(start))
	})
}

func TestReuseTokenThatComesLateIsTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := ReuseTokenSource(&upstream{takes: renewalTimeout + time.Second, life: time.Hour},
			nil)
		tok, err := src.Token(t.Context(), "")
		require.NoError(t, err)
		assert.Equal(t, "T1", tok.Value)
	})
}

func TestSourcesWithoutLoggerUseTheDefault(t *testing.T) {
	before := slog.Default()
	defer slog.SetDefault(before)
	var log bytes.Buffer
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	synctest.Test(t, func(t *testing.T) {
		store := newMemoryStore()
		store.err = errors.New("OOM")
		up := &upstream{life: time.Hour}
		src := ReuseTokenSource(StoredTokenSource(store, "wx0", up, nil), nil)
		_, err := src.Token(t.Context(), "")
		require.NoError(t, err)
		assert.Contains(t, log.String(), "the token store failed")
		up.set("", errors.New("down"))
		time.Sleep(time.Hour - time.Minute)
		_, err = src.Token(t.Context(), "")
		require.NoError(t, err)
		synctest.Wait()
		assert.Contains(t, log.String(), "the token was not renewed")
	})
}

// roundTripper is WeChat in memory.
type roundTripper func(*http.Request) (int, string)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) {
	status, body := f(r)
	return &http.Response{
		StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)),
		ContentLength: int64(len(body)), Request: r,
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
		{"expires_in 0", `{"access_token":"T","expires_in":0}`, 200, ErrUnexpectedResponse,
			`expires_in is "0"`},
		{"expires_in negative", `{"access_token":"T","expires_in":-1}`, 200, ErrUnexpectedResponse,
			`expires_in is "-1"`},
		{"expires_in below a second", `{"access_token":"T","expires_in":0.9}`, 200,
			ErrUnexpectedResponse, "expires_in"},
		{"expires_in missing", `{"access_token":"T"}`, 200, ErrUnexpectedResponse,
			"expires_in is \"\""},
		{"expires_in a string", `{"access_token":"T","expires_in":"7200"}`, 200, nil, ""},
		{"expires_in 7200.0", `{"access_token":"T","expires_in":7200.0}`, 200, nil, ""},
		{"expires_in of 30 days", `{"access_token":"T","expires_in":2592000}`, 200, nil, ""},
		{"expires_in above 30 days", `{"access_token":"T","expires_in":2592001}`, 200,
			ErrUnexpectedResponse, "expires_in"},
		{"expires_in a word", `{"access_token":"T","expires_in":"soon"}`, 200,
			ErrUnexpectedResponse, ""},
		{"expires_in overflows", `{"access_token":"T","expires_in":9223372036854775807}`, 200,
			ErrUnexpectedResponse, "expires_in"},
		{"token empty", `{"access_token":"","expires_in":7200}`, 200, ErrUnexpectedResponse,
			"lacks access_token"},
		{"token missing", `{"expires_in":7200}`, 200, ErrUnexpectedResponse, "lacks access_token"},
		{"empty body", ``, 200, ErrUnexpectedResponse, "no JSON"},
		{"null", `null`, 200, ErrUnexpectedResponse, "no JSON object"},
		{"wrong secret",
			`{"errcode":40001,"errmsg":"invalid credential rid: 611740a4-27f9a8ba-065da01b"}`, 200,
			ErrInvalidCredential, "AppSecret"},
		{"wrong appid", `{"errcode":40013,"errmsg":"invalid appid"}`, 200, ErrInvalidCredential,
			"AppID"},
		{"quota", `{"errcode":45009,"errmsg":"reach max api daily quota limit"}`, 200, ErrQuota,
			"quota of the day"},
		{"IP",
			`{"errcode":40164,"errmsg":"invalid ip 218.58.124.130 ipv6 ::ffff:218.58.124.130, not in whitelist rid: 611740a4-27f9a8ba-065da01b"}`,
			200, ErrIPNotAllowed, "add 218.58.124.130 to"},
		{"gateway", `<html>bad gateway</html>`, 502, ErrBusy, "HTTP 502"},
	} {
		for endpoint, opts := range map[string][]Option{
			"stable": nil, "classic": {WithClassicToken()},
		} {
			t.Run(tt.name+"/"+endpoint, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var seen *http.Request
					var sent []byte
					transport := roundTripper(func(r *http.Request) (int, string) {
						seen = r
						if r.Body != nil {
							sent, _ = io.ReadAll(r.Body)
						}
						return tt.status, tt.body
					})
					opts = append(opts, WithMaxRetries(0),
						WithHTTPClient(&http.Client{Transport: transport}))
					c, err := New(creds, opts...)
					require.NoError(t, err)
					tok, err := c.TokenSource().Token(t.Context(), "")
					if endpoint == "stable" {
						assert.Equal(t, "POST https://api.weixin.qq.com/cgi-bin/stable_token",
							seen.Method+" "+seen.URL.String())
						assert.Equal(t,
							`{"grant_type":"client_credential","appid":"wx0","secret":"s3cret"}`,
							string(sent))
					} else {
						assert.Equal(t,
							"GET https://api.weixin.qq.com/cgi-bin/token?grant_type=client_credential&appid=wx0&secret=s3cret",
							seen.Method+" "+seen.URL.String())
					}
					if tt.kind == nil {
						require.NoError(t, err)
						assert.NotEmpty(t, tok.Value)
						return
					}
					require.ErrorIs(t, err, tt.kind)
					assert.ErrorContains(t, err, tt.text)
					assert.NotErrorIs(t, err, ErrTokenRejected,
						"nothing here is a refused access token")
				})
			})
		}
	}
}

// memoryStore is a TokenStore that fails, panics and hangs when told.
type memoryStore struct {
	mu     sync.Mutex
	tokens map[string]Token
	leases map[string]heldLease
	err    error
	hang   bool
	deaf   chan struct{} // it hangs until this is closed, whatever ctx says
	panics bool
	log    []string

	lostLeases int    // leases that are taken although an error is returned
	onLease    func() // runs before a lease is taken
	saveCtx    error  // what the context of Save said
}

type heldLease struct {
	owner string
	until time.Time
}

func newMemoryStore() *memoryStore {
	return &memoryStore{tokens: map[string]Token{}, leases: map[string]heldLease{}}
}

func (m *memoryStore) do(ctx context.Context, what string, f func() error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.log = append(m.log, what)
	switch {
	case m.hang:
		m.mu.Unlock()
		<-ctx.Done()
		m.mu.Lock()
		return ctx.Err()
	case m.deaf != nil:
		m.mu.Unlock()
		<-m.deaf
		m.mu.Lock()
		return ctx.Err()
	case m.panics:
		panic("store")
	case m.err != nil:
		return m.err
	}
	return f()
}

func (m *memoryStore) Load(ctx context.Context, key string) (tok Token, err error) {
	err = m.do(ctx, "load", func() error {
		var ok bool
		if tok, ok = m.tokens[key]; !ok {
			return ErrTokenNotFound
		}
		return nil
	})
	return tok, err
}

func (m *memoryStore) Save(ctx context.Context, key string, tok Token, owner string) error {
	return m.do(ctx, "save", func() error {
		m.saveCtx = ctx.Err()
		if held, ok := m.leases[key]; ok && time.Now().Before(held.until) && held.owner != owner {
			return errors.New("leased")
		}
		if old, ok := m.tokens[key]; !ok || !old.Expiry.After(tok.Expiry) {
			m.tokens[key] = tok
		}
		return nil
	})
}

func (m *memoryStore) Discard(ctx context.Context, key, rejected string) error {
	return m.do(ctx, "discard", func() error {
		if m.tokens[key].Value == rejected {
			delete(m.tokens, key)
		}
		return nil
	})
}

// leasingStore is a memoryStore that is a TokenLeaser too.
type leasingStore struct{ *memoryStore }

func (m leasingStore) Lease(ctx context.Context, key, owner string, ttl time.Duration) (ok bool,
	err error) {
	err = m.do(ctx, "lease", func() error {
		if m.onLease != nil {
			m.onLease()
		}
		held, taken := m.leases[key]
		if taken && time.Now().Before(held.until) && held.owner != owner {
			return nil
		}
		ok = true
		m.leases[key] = heldLease{owner, time.Now().Add(ttl)}
		if m.lostLeases--; m.lostLeases >= 0 {
			return errors.New("the answer was lost")
		}
		return nil
	})
	return ok, err
}

func (m leasingStore) Unlease(ctx context.Context, key, owner string) error {
	return m.do(ctx, "unlease", func() error {
		if m.leases[key].owner == owner {
			delete(m.leases, key)
		}
		return nil
	})
}

func TestStoredShares(t *testing.T) {
	for name, store := range map[string]TokenStore{
		"plain":   newMemoryStore(),
		"leasing": leasingStore{newMemoryStore()},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				up := &upstream{life: 2 * time.Hour}
				process := func() TokenSource { return exclusive(store, up) }
				a, b := process(), process()
				for _, p := range []TokenSource{a, b, a, b, process()} {
					tok, err := p.Token(t.Context(), "")
					require.NoError(t, err)
					require.Equal(t, "T1", tok.Value)
				}
				time.Sleep(2*time.Hour - time.Minute)
				for range 10 { // each process looks for a renewal once, one makes it
					for _, p := range []TokenSource{a, b} {
						_, err := p.Token(t.Context(), "")
						require.NoError(t, err)
						synctest.Wait()
					}
				}
				for _, p := range []TokenSource{a, b, process()} {
					tok, err := p.Token(t.Context(), "")
					require.NoError(t, err)
					require.Equal(t, "T2", tok.Value)
				}
				assert.EqualValues(t, 2, up.calls.Load())
			})
		})
	}
}

// exclusive is a source behind a store, as the classic endpoint's is.
func exclusive(store TokenStore, src TokenSource) TokenSource {
	return ReuseTokenSource(StoredTokenSource(store, "wx0", src, slog.New(slog.DiscardHandler)),
		nil)
}

func TestStoredLeaseLetsOneRenew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := leasingStore{newMemoryStore()}
		up := &upstream{takes: 5 * time.Second, life: 2 * time.Hour} // longer than a lease
		start := time.Now()
		var wg sync.WaitGroup
		for range 8 {
			src := exclusive(store, up)
			for range 10 {
				wg.Go(func() {
					tok, err := src.Token(t.Context(), "")
					assert.NoError(t, err)
					assert.Equal(t, "T1", tok.Value)
					assert.LessOrEqual(t, time.Since(start), up.takes+leasePoll)
				})
			}
		}
		wg.Wait()
		assert.EqualValues(t, 1, up.calls.Load())
		assert.Empty(t, store.leases, "the lease is given back")
	})
}

func TestStoredLeaderDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := leasingStore{newMemoryStore()}
		ok, err := store.Lease(t.Context(), "wx0", "dead", leaseTTL) // and is never heard of again
		require.NoError(t, err)
		require.True(t, ok)
		src := exclusive(store, &upstream{life: 2 * time.Hour})
		start := time.Now()
		tok, err := src.Token(t.Context(), "")
		require.NoError(t, err)
		assert.Equal(t, "T1", tok.Value)
		assert.LessOrEqual(t, time.Since(start), leaseTTL+leasePoll)
	})
}

// Fetching a stable token twice costs nothing: nobody waits for a leader.
func TestStoredStableTokenNeedsNoLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := leasingStore{newMemoryStore()}
		c, err := New(Credentials{"wx0", "s3cret"}, WithTokenStore(store),
			WithHTTPClient(&http.Client{
				Transport: roundTripper(func(*http.Request) (int, string) {
					return 200, `{"access_token":"T","expires_in":7200}`
				}),
			}))
		require.NoError(t, err)
		_, err = store.Lease(t.Context(), "wx0/stable", "dead", time.Hour)
		require.NoError(t, err)
		start := time.Now()
		tok, err := c.TokenSource().Token(t.Context(), "")
		require.NoError(t, err)
		assert.Equal(t, "T", tok.Value)
		assert.Zero(t, time.Since(start))
	})
}

// A lease whose answer was lost is asked for again by the same owner.
func TestStoredLeaseAnswerLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := leasingStore{newMemoryStore()}
		store.lostLeases = 2
		up := &upstream{life: time.Hour}
		src := exclusive(store, up)
		start := time.Now()
		_, err := src.Token(t.Context(), "")
		require.NoError(t, err)
		assert.Equal(t, 2*leasePoll, time.Since(start), "not the end of its own lease")
		assert.Equal(t, "T1", store.tokens["wx0"].Value)
	})
}

// The leader may find the store emptied under it.
func TestStoredLeaderWhoseLeaseWasFlushed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := leasingStore{newMemoryStore()}
		src := exclusive(store, TokenSourceFunc(func(context.Context, string) (Token, error) {
			clear(store.leases)
			return Token{"T1", time.Now().Add(time.Hour)}, nil
		}))
		_, err := src.Token(t.Context(), "")
		require.NoError(t, err)
		assert.Equal(t, "T1", store.tokens["wx0"].Value)
	})
}

func TestStoredStoreFails(t *testing.T) {
	for _, tt := range []struct {
		name   string
		set    func(*memoryStore)
		stable time.Duration
		leader time.Duration
	}{
		{"error", func(m *memoryStore) { m.err = errors.New("OOM") }, 0, leaserTimeout},
		{"panic", func(m *memoryStore) { m.panics = true }, 0, leaserTimeout},
		{"hang", func(m *memoryStore) { m.hang = true }, storeTimeout,
			leaserTimeout + 2*storeTimeout},
		{"hang whatever ctx says", func(m *memoryStore) { m.deaf = make(chan struct{}) },
			2 * storeTimeout, leaserTimeout + 2*storeTimeout},
	} {
		for _, leases := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, leases %v", tt.name, leases), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					store := newMemoryStore()
					tt.set(store)
					if store.deaf != nil {
						defer close(store.deaf)
					}
					var shared TokenStore = store
					wait := tt.stable
					if leases {
						shared, wait = leasingStore{store}, tt.leader
					}
					up := &upstream{life: 2 * time.Hour}
					var log bytes.Buffer
					logger := slog.New(slog.NewTextHandler(&log, nil))
					src := ReuseTokenSource(StoredTokenSource(shared, "wx0", up, logger), nil)
					start := time.Now()
					for range 100 {
						tok, err := src.Token(t.Context(), "")
						require.NoError(t, err)
						require.Equal(t, "T1", tok.Value)
					}
					assert.LessOrEqual(t, time.Since(start), wait)
					assert.EqualValues(t, 1, up.calls.Load())
					assert.Contains(t, log.String(), "the token store failed")
					lines := 1
					if leases {
						lines = 2
						assert.Contains(t, log.String(), "wechatqr: save: ")
					}
					assert.Contains(t, log.String(), "wechatqr: load: ")
					assert.Equal(t, store.panics, strings.Contains(log.String(), "panic: store"))
					assert.Equal(t, lines, strings.Count(log.String(), "\n"), "not at every look")
					synctest.Wait()
					assert.NotContains(t, store.log, "lease", "of a store that cannot be read")
				})
			})
		}
	}
}

func TestStoredStoreThatPrintsTheToken(t *testing.T) {
	store := newMemoryStore()
	up := &upstream{life: time.Hour, value: "t0k3n-0f-b3f0r3"}
	var log bytes.Buffer
	src := StoredTokenSource(store, "wx0", up, slog.New(slog.NewTextHandler(&log, nil)))
	_, err := src.Token(t.Context(), "")
	require.NoError(t, err)
	store.err = errors.New("cannot decode " + up.value)
	_, err = src.Token(t.Context(), "")
	require.NoError(t, err)
	assert.Contains(t, log.String(), "cannot decode ")
	assert.NotContains(t, log.String(), up.value)
}

// A caller that gives up is not a store that fails.
func TestStoredCallerGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemoryStore()
		store.hang = true
		var log bytes.Buffer
		src := StoredTokenSource(store, "wx0", &upstream{},
			slog.New(slog.NewTextHandler(&log, nil)))
		ctx, cancel := context.WithTimeout(t.Context(), storeTimeout/2)
		defer cancel()
		_, _ = src.Token(ctx, "")
		assert.Empty(t, log.String())
	})
}

func TestStoredRefusedTokenIsNotTakenAgain(t *testing.T) {
	for _, leases := range []bool{false, true} {
		t.Run(fmt.Sprintf("leases %v", leases), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := newMemoryStore()
				store.tokens["wx0"] = Token{"revoked", time.Now().Add(3 * time.Hour)}
				var shared TokenStore = store
				if leases {
					shared = leasingStore{store}
				}
				src := exclusive(shared, &upstream{life: 2 * time.Hour})
				tok, err := src.Token(t.Context(), "")
				require.NoError(t, err)
				require.Equal(t, "revoked", tok.Value)
				tok, err = src.Token(t.Context(), "revoked")
				require.NoError(t, err)
				assert.Equal(t, "T1", tok.Value)
				assert.Equal(t, "T1", store.tokens["wx0"].Value, "although it ends earlier")
			})
		})
	}
}

// What another process has saved meanwhile answers a refusal without a fetch.
func TestStoredRefusalTakesTheOthersToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := leasingStore{newMemoryStore()}
		up := &upstream{life: 2 * time.Hour}
		a, b := exclusive(store, up), exclusive(store, up)
		for _, src := range []TokenSource{a, b} {
			_, err := src.Token(t.Context(), "")
			require.NoError(t, err)
		}
		for _, src := range []TokenSource{a, b} {
			tok, err := src.Token(t.Context(), "T1")
			require.NoError(t, err)
			require.Equal(t, "T2", tok.Value)
		}
		assert.EqualValues(t, 2, up.calls.Load())
	})
}

// The store keeps the refused token until its successor is there.
func TestStoredRefusedWhileTheSourceIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := leasingStore{newMemoryStore()}
		up := &upstream{life: 2 * time.Hour}
		src := exclusive(store, up)
		_, err := src.Token(t.Context(), "")
		require.NoError(t, err)
		up.set("", errors.New("down"))
		_, err = src.Token(t.Context(), "T1")
		require.ErrorContains(t, err, "down")
		tok, err := exclusive(store, up).Token(t.Context(), "")
		require.NoError(t, err, "a process that begins meanwhile")
		assert.Equal(t, "T1", tok.Value)
	})
}

// A token that was revoked while the store could not be written is still in it.
func TestStoredOlderTokenIsNotTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemoryStore()
		src := exclusive(store, &upstream{life: 2 * time.Hour})
		get := func(rejected string) string {
			tok, err := src.Token(t.Context(), rejected)
			require.NoError(t, err)
			return tok.Value
		}
		require.Equal(t, "T1", get(""))
		time.Sleep(time.Hour)
		store.err = errors.New("READONLY")
		require.Equal(t, "T2", get("T1"))
		store.err = nil
		require.Equal(t, "T1", store.tokens["wx0"].Value)
		assert.Equal(t, "T3", get("T2"))
	})
}

// keepingStore discards nothing, and so keeps what ends last.
type keepingStore struct{ *memoryStore }

func (keepingStore) Discard(context.Context, string, string) error {
	return errors.New("READONLY")
}

func TestStoredRefusedTokenThatStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := keepingStore{newMemoryStore()}
		store.tokens["wx0"] = Token{"revoked", time.Now().Add(2 * time.Hour)}
		var log bytes.Buffer
		logger := slog.New(slog.NewTextHandler(&log, nil))
		src := ReuseTokenSource(StoredTokenSource(store, "wx0", &upstream{life: time.Hour}, logger),
			nil)
		rejected := ""
		for _, want := range []string{"revoked", "T1", "revoked", "T2"} {
			tok, err := src.Token(t.Context(), rejected)
			require.NoError(t, err)
			require.Equal(t, want, tok.Value)
			rejected = tok.Value
		}
		assert.Contains(t, log.String(), "READONLY", "although Save reports no error")
	})
}

// Between Discard and Save other processes would find no token.
func TestStoredRefusedTokenThatComesAgainIsNotDiscarded(t *testing.T) {
	store := newMemoryStore()
	up := &upstream{life: time.Hour, value: "same"}
	_, err := StoredTokenSource(store, "wx0", up, nil).Token(t.Context(), "same")
	require.NoError(t, err)
	assert.Equal(t, []string{"load", "save"}, store.log)
}

func TestStoredSavesNothingUseless(t *testing.T) {
	failure := errors.New("down")
	for name, tt := range map[string]struct {
		tok Token
		err error
	}{
		"empty":         {Token{}, nil},
		"expired":       {Token{"old", time.Unix(1700000000, 0)}, nil},
		"with an error": {Token{Value: "T1"}, failure},
	} {
		t.Run(name, func(t *testing.T) {
			store := newMemoryStore()
			src := StoredTokenSource(store, "wx0",
				TokenSourceFunc(func(context.Context, string) (Token, error) {
					return tt.tok, tt.err
				}), nil)
			_, err := src.Token(t.Context(), "")
			assert.Equal(t, tt.err, err)
			assert.Empty(t, store.tokens)
		})
	}
}

func TestStoredFailedRenewalKeepsWhatWorks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := &upstream{life: 2 * time.Hour}
		src := exclusive(leasingStore{newMemoryStore()}, up)
		get := func() string {
			tok, err := src.Token(t.Context(), "")
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
		_, err := store.Lease(t.Context(), "wx0", "another", 1000*time.Hour)
		require.NoError(t, err)
		var log bytes.Buffer
		src := StoredTokenSource(store, "wx0", &upstream{life: time.Hour},
			slog.New(slog.NewTextHandler(&log, nil)))
		start := time.Now()
		tok, err := src.Token(t.Context(), "")
		require.NoError(t, err)
		assert.Equal(t, "T1", tok.Value)
		assert.Equal(t, maxLeaseWait, time.Since(start))
		assert.Equal(t, 1, strings.Count(log.String(), "\n"), log.String())
		assert.Contains(t, log.String(), "leased", "by another, so the token cannot be saved")
	})
}

// The leader before may have saved a token between a follower's look and its lease.
func TestStoredLeaderLooksAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := leasingStore{newMemoryStore()}
		up := &upstream{life: time.Hour}
		store.onLease = func() {
			store.tokens["wx0"] = Token{"just saved",
				time.Now().Add(time.Hour)}
		}
		tok, err := exclusive(store, up).Token(t.Context(), "")
		require.NoError(t, err)
		assert.Equal(t, "just saved", tok.Value)
		assert.Zero(t, up.calls.Load())
		_, err = exclusive(store, up).Token(t.Context(), "")
		require.NoError(t, err)
		assert.Equal(t, []string{"load", "lease", "load", "unlease", "load"}, store.log,
			"who finds a token needs no lease")
	})
}

// halfReadStore returns a token and an error.
type halfReadStore struct{ *memoryStore }

func (halfReadStore) Load(context.Context, string) (Token, error) {
	return Token{Value: "half"}, errors.New("unexpected EOF")
}

func TestStoredTakesNoTokenThatComesWithAnError(t *testing.T) {
	src := StoredTokenSource(halfReadStore{newMemoryStore()}, "wx0", &upstream{life: time.Hour},
		slog.New(slog.DiscardHandler))
	tok, err := src.Token(t.Context(), "")
	require.NoError(t, err)
	assert.Equal(t, "T1", tok.Value)
}

func TestStoredTakesNothingUseless(t *testing.T) {
	for name, bad := range map[string]Token{
		"empty":   {"", time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)},
		"expired": {"old", time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)}, // synctest's now
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := newMemoryStore()
				for _, rejected := range []string{"", "another"} {
					store.tokens["wx0"] = bad
					src := StoredTokenSource(store, "wx0", &upstream{life: time.Hour}, nil)
					tok, err := src.Token(t.Context(), rejected)
					require.NoError(t, err)
					assert.Equal(t, "T1", tok.Value)
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		store := newMemoryStore()
		store.tokens["wx0"] = Token{Value: "of unknown end"}
		src := StoredTokenSource(store, "wx0", &upstream{life: time.Hour}, nil)
		for range 3 {
			tok, err := src.Token(t.Context(), "")
			require.NoError(t, err)
			assert.Equal(t, "of unknown end", tok.Value)
		}
	})
}

func TestStoredSavesWhatCameAsTheContextEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemoryStore()
		var log bytes.Buffer
		ctx, cancel := context.WithCancel(t.Context())
		src := StoredTokenSource(store, "wx0",
			TokenSourceFunc(func(context.Context, string) (Token, error) {
				cancel()
				return Token{"T1", time.Now().Add(time.Hour)}, nil
			}), slog.New(slog.NewTextHandler(&log, nil)))
		_, err := src.Token(ctx, "")
		require.NoError(t, err)
		assert.Equal(t, "T1", store.tokens["wx0"].Value)
		assert.NoError(t, store.saveCtx)
		assert.Empty(t, log.String(), "nothing failed")
	})
}

// New puts a stored source behind memory, or every call would look into the store.
func TestStoredSourceOfTheUserIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemoryStore()
		c, err := New(Credentials{},
			WithTokenSource(StoredTokenSource(store, "wx0", &upstream{life: time.Hour}, nil)))
		require.NoError(t, err)
		for range 100 {
			_, err := c.tokens.Token(t.Context(), "")
			require.NoError(t, err)
		}
		assert.Equal(t, []string{"load", "save"}, store.log)
	})
}

func BenchmarkWarmToken(b *testing.B) {
	src := ReuseTokenSource(TokenSourceFunc(func(context.Context, string) (Token, error) {
		return Token{"T", time.Now().Add(2 * time.Hour)}, nil
	}), nil)
	ctx := context.Background()
	_, err := src.Token(ctx, "")
	require.NoError(b, err)
	var held atomic.Pointer[Token]
	held.Store(&Token{"T", time.Now().Add(2 * time.Hour)})
	floor := func() bool { return time.Now().Before(held.Load().Expiry) }
	token := func() bool { _, err := src.Token(ctx, ""); return err == nil }
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
