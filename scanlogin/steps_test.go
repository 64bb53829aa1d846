package scanlogin_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/events"
	"github.com/wechatqr/wechatqr/scanlogin"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

func TestLogin(t *testing.T) {
	for who, follows := range map[string]bool{"o-wang": false, "o-li": true} {
		t.Run(who, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.wx.PutUser(wechatqrtest.User{OpenID: who, Follows: follows})
				w.is(scanlogin.StateNone, scanlogin.Visitor{})
				v := w.begin()
				code := w.code()
				assert.Equal(w, lifetime+time.Minute, code.ExpiresAt.Sub(code.CreatedAt),
					"it ends on the page first")
				assert.True(w, strings.HasPrefix(code.Scene(), "login-"))
				s, err := w.login.Status(w.Context(), v)
				require.NoError(w, err)
				assert.Equal(w, code.Content, s.Content)
				assert.Equal(w, time.Now().Add(lifetime), s.Ends.Local())

				text := w.scan(code, who)
				assert.Contains(w, text, shopSite+" ")
				number := numberIn(text)
				s, err = w.login.Status(w.Context(), v)
				require.NoError(w, err)
				assert.Equal(w, scanlogin.StateScanned, s.State)
				assert.Empty(w, s.Content)
				assert.Equal(w, number, numberIn(w.scan(code, who)),
					"the same person is told again")

				r := w.confirm(v, " "+number[:3]+" "+number[3:])
				assert.Equal(w, who, r.OpenID)
				assert.Equal(w, !follows, r.New)
				assert.Zero(w, r.User)
				scan, ok := r.Event.Scan()
				assert.True(w, ok)
				assert.Equal(w, code.Ticket, scan.Ticket)
				w.is(scanlogin.StateDone, v)
				assert.Contains(w, w.scan(code, who), "This code was used")
			})
		})
	}
}

func TestBind(t *testing.T) {
	inWorld(t, func(w *world) {
		alice := scanlogin.User{ID: "7", Name: "alice\n\u202esite"}
		v := w.beginAs(scanlogin.Visitor{User: alice})
		text := w.scan(w.code(), "o-wang")
		assert.Contains(w, text, "account “alice  site”")
		assert.Contains(w, text, "账号“alice  site”")
		number := numberIn(text)

		for _, other := range []scanlogin.User{{}, {ID: "8", Name: "alice"}} {
			as := v
			as.User = other
			w.is(scanlogin.StateExpired, as)
			w.refuses(as, number)
			require.NoError(w, w.login.Cancel(w.Context(), as))
		}
		r := w.confirm(v, number)
		assert.Equal(w, alice, r.User)
		assert.Equal(w, "o-wang", r.OpenID)

		v = w.begin()
		number = numberIn(w.scan(w.code(), "o-wang"))
		as := v
		as.User = alice
		w.refuses(as, number)
		w.confirm(v, number)
	})
}

// The code and the scene are seen by everybody, and the log by many.
func TestNothingElseIsTheSecret(t *testing.T) {
	var stored []string
	inWorld(t, func(w *world) {
		seen := map[string]bool{}
		for range 20 {
			v := w.begin()
			assert.Len(w, v.Secret, 26, "base32: 130 bits")
			code := w.code()
			id := strings.TrimPrefix(code.Scene(), "login-")
			assert.Len(w, id, 22, "base64: 128 bits")
			assert.False(w, seen[id] || seen[v.Secret])
			seen[id], seen[v.Secret] = true, true
			number := numberIn(w.scan(code, "o-wang"))
			for _, guess := range []string{"", code.Scene(), id, code.Ticket,
				code.Content, number} {
				w.refuses(scanlogin.Visitor{Secret: guess}, number)
			}
			public := fmt.Sprint(code, w.wx.Pushes(), w.log.String(), stored)
			assert.NotContains(w, public, v.Secret)
			w.confirm(v, number)
		}
		assert.NotEmpty(w, stored)
		assert.NotContains(w, w.log.String(), "o-wang")
	}, scanlogin.WithStore(&observed{Store: scanlogin.NewMemory(), wrote: func(value []byte) {
		stored = append(stored, string(value))
	}}))
}

func TestSecretIsNotPrinted(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	logger := slog.New(slog.NewJSONHandler(&log, nil))
	plain := slog.New(slog.NewTextHandler(&log, nil))
	for _, v := range []any{
		scanlogin.Visitor{Secret: "hidden"}, &scanlogin.Visitor{Secret: "hidden"},
		scanlogin.Attempt{Secret: "hidden"}, []scanlogin.Attempt{{Secret: "hidden"}},
	} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&log, verb, v)
		}
		logger.Info("value", "v", v)
		plain.Info("value", "v", v)
	}
	assert.NotContains(t, log.String(), "hidden")
	assert.NotContains(t, log.String(), fmt.Sprintf("%x", "hidden"))
}

func TestFirstScanWins(t *testing.T) {
	inWorld(t, func(w *world) {
		v := w.begin()
		code := w.code()
		var wg sync.WaitGroup
		var mu sync.Mutex
		numbers := map[string]string{} // by openid
		for i := range 20 {
			wg.Go(func() { // twice each
				who := fmt.Sprint("o-", i%10)
				push, err := w.wx.Scan(w.Context(), code.Ticket, who)
				assert.NoError(w, err)
				if number := numberIn(push.UserSees()); number != "" {
					mu.Lock()
					defer mu.Unlock()
					numbers[who] = number
					return
				}
				assert.Contains(w, push.UserSees(), "Somebody else has scanned this code")
			})
		}
		wg.Wait()
		require.Len(w, numbers, 1)
		w.is(scanlogin.StateUsed, v)
		for who, number := range numbers {
			assert.Equal(w, number, numberIn(w.scan(code, who)), "the same person is told again")
			assert.Equal(w, who, w.confirm(v, number).OpenID)
		}
	})
}

// Many confirm at once, one is let in.
func TestSingleUse(t *testing.T) {
	for name, opts := range map[string][]scanlogin.Option{
		"number": nil, "one tap": {scanlogin.WithOneTap()},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				v := w.begin()
				number := numberIn(w.scan(w.code(), "o-wang"))
				var confirmed atomic.Int32
				var wg sync.WaitGroup
				for range 50 {
					wg.Go(func() {
						if _, err := w.login.Confirm(w.Context(), v, number); err == nil {
							confirmed.Add(1)
						}
					})
				}
				wg.Wait()
				assert.EqualValues(w, 1, confirmed.Load())
				w.refuses(v, number)
				w.is(scanlogin.StateDone, v)
				assert.NotEqual(w, v.Secret, w.beginAs(v).Secret, "the secret is worth nothing")
			}, opts...)
		})
	}
}

func TestExpiry(t *testing.T) {
	const soon = lifetime - time.Nanosecond
	for name, c := range map[string]struct {
		scan, confirm time.Duration // later than what is before it
		want          scanlogin.State
	}{
		"in time":        {soon, soon, scanlogin.StateDone},
		"in no time":     {0, 0, scanlogin.StateDone},
		"scanned late":   {lifetime, 0, scanlogin.StateExpired},
		"days late":      {5 * 24 * time.Hour, 0, scanlogin.StateExpired},
		"confirmed late": {0, lifetime, scanlogin.StateExpired},
		"and next year":  {0, 400 * 24 * time.Hour, scanlogin.StateExpired},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				v := w.begin()
				ev, err := w.wx.ScanEvent(w.code().Ticket, "o-wang") // which WeChat delivers later
				require.NoError(w, err)
				time.Sleep(c.scan)
				ev.CreateTime, ev.Raw = time.Time{}, nil // the present
				push, err := w.wx.Push(w.Context(), ev)
				require.NoError(w, err)
				number := numberIn(push.UserSees())
				if c.scan >= lifetime {
					assert.Contains(w, push.UserSees(), "This code has expired")
				}
				time.Sleep(c.confirm)
				if c.want == scanlogin.StateDone {
					w.confirm(v, number)
					return
				}
				w.is(c.want, v)
				w.refuses(v, number)
				next := w.beginAs(v)
				w.confirm(next, numberIn(w.scan(w.code(), "o-wang")))
			})
		})
	}
}

// A Chinese keyboard types digits of another width.
func TestFullWidthDigits(t *testing.T) {
	inWorld(t, func(w *world) {
		v := w.begin()
		number := numberIn(w.scan(w.code(), "o-wang"))
		wide := strings.Map(func(r rune) rune { return r - '0' + '０' }, number)
		w.confirm(v, wide[:9]+"\u3000"+wide[9:])
	})
}

func TestFiveWrongNumbers(t *testing.T) {
	inWorld(t, func(w *world) {
		v := w.begin()
		w.refuses(v, "")
		w.refuses(v, "000000")
		code := w.code()
		number := numberIn(w.scan(code, "o-wang"))
		for i := range 4 {
			w.refuses(v, wrong(number))
			s, err := w.login.Status(w.Context(), v)
			require.NoError(w, err)
			assert.Equal(w, i+1, s.Wrong)
		}
		w.confirm(v, number)

		v = w.begin()
		code = w.code()
		number = numberIn(w.scan(code, "o-wang"))
		for _, typed := range []string{"", number + "0", number[:5], "o-wang", wrong(number)} {
			w.is(scanlogin.StateScanned, v)
			w.refuses(v, typed)
		}
		w.is(scanlogin.StateRefused, v)
		w.refuses(v, number)
		assert.Contains(w, w.scan(code, "o-wang"), "This was refused")
	})
}

// Whoever guesses from many connections at once has five guesses as well.
func TestGuessesAtOnce(t *testing.T) {
	inWorld(t, func(w *world) {
		v := w.begin()
		number := numberIn(w.scan(w.code(), "o-wang"))
		var wg sync.WaitGroup
		for range 200 {
			wg.Go(func() { w.refuses(v, wrong(number)) })
		}
		wg.Wait()
		w.is(scanlogin.StateRefused, v)
		s, err := w.login.Status(w.Context(), v)
		require.NoError(w, err)
		assert.Equal(w, 5, s.Wrong)
	})
}

func TestCodeIsReusedWhileItWaits(t *testing.T) {
	inWorld(t, func(w *world) {
		v := w.begin()
		code := w.code()
		time.Sleep(lifetime - time.Second)
		assert.Equal(w, v.Secret, w.beginAs(v).Secret)
		assert.Len(w, w.wx.QRCodes(), 1)

		number := numberIn(w.scan(code, "o-stranger"))
		next := w.beginAs(v)
		assert.NotEqual(w, v.Secret, next.Secret, "whose code another scanned gets a new one")
		w.is(scanlogin.StateRefused, v)
		w.refuses(v, number)
		assert.Contains(w, w.scan(code, "o-stranger"), "refused or cancelled")
		w.is(scanlogin.StateWaiting, next)

		require.NoError(w, w.login.Cancel(w.Context(), next))
		w.is(scanlogin.StateRefused, next)
		assert.Contains(w, w.scan(w.code(), "o-wang"), "refused or cancelled")
	})
}

func TestUnsubscribe(t *testing.T) {
	var ended []string
	inWorld(t, func(w *world) {
		v := w.begin()
		number := numberIn(w.scan(w.code(), "o-wang"))
		other := w.begin()
		others := numberIn(w.scan(w.code(), "o-li"))
		_, err := w.wx.Unfollow(w.Context(), "o-wang")
		require.NoError(w, err)
		assert.Equal(w, []string{"o-wang"}, ended)
		w.is(scanlogin.StateRefused, v)
		w.refuses(v, number)
		w.is(scanlogin.StateScanned, other)

		again := w.begin()
		time.Sleep(time.Second)
		w.confirm(again, numberIn(w.scan(w.code(), "o-wang")))
		_, err = w.wx.Unfollow(w.Context(), "o-wang")
		require.NoError(w, err)
		w.is(scanlogin.StateDone, again)
		w.confirm(other, others)
	}, scanlogin.WithUnsubscribe(func(_ context.Context, openID string) error {
		ended = append(ended, openID)
		return nil
	}))
}

func TestOneTap(t *testing.T) {
	inWorld(t, func(w *world) {
		v := w.begin()
		code := w.code()
		w.refuses(v, "")
		text := w.scan(code, "o-wang")
		assert.Contains(w, text, "The login is confirmed: "+shopSite)
		assert.Empty(w, numberIn(text))
		w.is(scanlogin.StateConfirmed, v)
		assert.Contains(w, w.scan(code, "o-wang"), "confirmed")
		assert.Contains(w, w.scan(code, "o-li"), "Somebody else")
		assert.Equal(w, "o-wang", w.confirm(v, "").OpenID)
	}, scanlogin.WithOneTap())
}

func TestWait(t *testing.T) {
	inWorld(t, func(w *world) {
		v := w.begin()
		s, err := w.login.Wait(w.Context(), v, scanlogin.StateNone)
		require.NoError(w, err)
		assert.Equal(w, scanlogin.StateWaiting, s.State, "it is another already")

		type outcome struct {
			scanlogin.Status
			err error
			at  time.Time
		}
		wait := func(l *scanlogin.Login, v scanlogin.Visitor, seen scanlogin.State) chan outcome {
			c := make(chan outcome, 1)
			go func() {
				s, err := l.Wait(w.Context(), v, seen)
				c <- outcome{s, err, time.Now()}
			}()
			synctest.Wait()
			return c
		}
		first := wait(w.login, v, scanlogin.StateWaiting)
		second := wait(w.login, v, scanlogin.StateWaiting)
		require.ErrorIs(w, (<-first).err, scanlogin.ErrSuperseded, "a browser waits once")
		time.Sleep(100 * time.Millisecond)
		number := numberIn(w.scan(w.code(), "o-wang"))
		o := <-second
		require.NoError(w, o.err)
		assert.Equal(w, scanlogin.StateScanned, o.State)
		assert.Equal(w, time.Now(), o.at, "at once")

		time.Sleep(300 * time.Millisecond)
		third := wait(w.login, v, scanlogin.StateScanned)
		time.Sleep(300 * time.Millisecond)
		w.confirm(v, number)
		assert.Equal(w, scanlogin.StateDone, (<-third).State)

		v = w.begin()
		ends := time.Now().Add(lifetime)
		o = <-wait(w.login, v, scanlogin.StateWaiting)
		assert.Equal(w, scanlogin.StateExpired, o.State)
		assert.Equal(w, ends, o.at)

		o = <-wait(w.login, v, scanlogin.StateExpired)
		require.NoError(w, o.err)
		assert.Equal(w, ends, o.at, "nothing comes after it")

		ctx, cancel := context.WithTimeout(w.Context(), 2500*time.Millisecond)
		defer cancel()
		s, err = w.login.Wait(ctx, w.begin(), scanlogin.StateWaiting)
		require.ErrorIs(w, err, context.DeadlineExceeded)
		assert.Equal(w, scanlogin.StateWaiting, s.State)

		last := wait(w.login, w.begin(), scanlogin.StateWaiting)
		w.login.Close()
		require.ErrorIs(w, (<-last).err, scanlogin.ErrClosed)
		_, err = w.login.Wait(w.Context(), w.begin(), scanlogin.StateWaiting)
		require.ErrorIs(w, err, scanlogin.ErrClosed)
	})
}

// The push reaches one server and the browser another.
func TestTwoServers(t *testing.T) {
	store := scanlogin.NewMemory()
	inWorld(t, func(w *world) {
		v := w.begin()
		code := w.code()
		other := w.newLogin(scanlogin.WithStore(store))
		w.serve(other)
		number := make(chan string, 1)
		go func() {
			time.Sleep(time.Minute)
			number <- numberIn(w.scan(code, "o-wang"))
		}()
		start := time.Now()
		s, err := w.login.Wait(w.Context(), v, scanlogin.StateWaiting)
		require.NoError(w, err)
		assert.Equal(w, scanlogin.StateScanned, s.State)
		assert.LessOrEqual(w, time.Since(start), time.Minute+time.Second)
		r, err := other.Confirm(w.Context(), v, <-number)
		require.NoError(w, err)
		assert.Equal(w, "o-wang", r.OpenID)
		w.is(scanlogin.StateDone, v)
	}, scanlogin.WithStore(store))
}

func TestFloodFromOneAddress(t *testing.T) {
	for name, address := range map[string]func(i int) netip.Addr{
		"IPv4": func(int) netip.Addr { return netip.MustParseAddr("198.51.100.9") },
		"IPv4 in IPv6": func(i int) netip.Addr {
			return netip.MustParseAddr([]string{"::ffff:198.51.100.9", "198.51.100.9"}[i%2])
		},
		"IPv6 network": func(i int) netip.Addr {
			return netip.MustParseAddr(fmt.Sprintf("2001:db8:0:1:%x::%x", i, i))
		},
		"unknown": func(int) netip.Addr { return netip.Addr{} },
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				var made int
				for i := range 10_000 {
					_, err := w.login.Begin(w.Context(), scanlogin.Visitor{Address: address(i)})
					if err == nil {
						made++
						continue
					}
					require.ErrorIs(w, err, scanlogin.ErrTooMany)
				}
				assert.Equal(w, 30, made)
				assert.Len(w, w.wx.QRCodes(), 30)

				v := w.begin()
				w.confirm(v, numberIn(w.scan(w.code(), "o-wang")))
				neighbour := netip.MustParseAddr("2001:db8:0:2::1")
				w.beginAs(scanlogin.Visitor{Address: neighbour})

				time.Sleep(lifetime)
				w.beginAs(scanlogin.Visitor{Address: address(0)})
			})
		})
	}
}

// Who takes all the codes that one address can get leaves most of the day's to others.
func TestFloodOfADay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		login, err := scanlogin.New(&instant{}, pageURL,
			scanlogin.WithLogger(slog.New(slog.DiscardHandler)))
		require.NoError(t, err)
		flood := scanlogin.Visitor{Address: netip.MustParseAddr("198.51.100.9")}
		made := 0
		for range 24 * 60 {
			for range 40 {
				if _, err := login.Begin(t.Context(), flood); err == nil {
					made++
				}
			}
			time.Sleep(time.Minute)
		}
		assert.Equal(t, 30*24*60/5, made)
		assert.Less(t, made, 80_000/9)
		_, err = login.Begin(t.Context(),
			scanlogin.Visitor{Address: netip.MustParseAddr("203.0.113.7")})
		require.NoError(t, err)
	})
}

func TestLimits(t *testing.T) {
	addr := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}) }
	t.Run("in all", func(t *testing.T) {
		inWorld(t, func(w *world) {
			first := w.beginAs(scanlogin.Visitor{Address: addr(1)})
			w.beginAs(scanlogin.Visitor{Address: addr(2)})
			w.beginAs(scanlogin.Visitor{Address: addr(3)})
			_, err := w.login.Begin(w.Context(), scanlogin.Visitor{Address: addr(4)})
			require.ErrorIs(w, err, scanlogin.ErrTooMany)
			assert.Equal(w, first, w.beginAs(first), "who has a code keeps it")
		}, scanlogin.WithLimits(scanlogin.Limits{InAll: 3}))
	})
	t.Run("a day in China", func(t *testing.T) {
		shared := scanlogin.WithStore(scanlogin.NewMemory())
		inWorld(t, func(w *world) {
			midnight := time.Date(2000, 1, 1, 16, 0, 0, 0, time.UTC) // the next one there
			for i := range 5 {
				w.beginAs(scanlogin.Visitor{Address: addr(i)})
			}
			for _, l := range []*scanlogin.Login{w.login, w.newLogin(shared,
				scanlogin.WithLimits(scanlogin.Limits{PerDay: 5}))} {
				_, err := l.Begin(w.Context(), scanlogin.Visitor{Address: addr(9)})
				require.ErrorIs(w, err, scanlogin.ErrTooMany)
			}
			assert.Contains(w, w.log.String(), "WithLimits")
			time.Sleep(time.Until(midnight) - time.Nanosecond)
			_, err := w.login.Begin(w.Context(), scanlogin.Visitor{Address: addr(9)})
			require.ErrorIs(w, err, scanlogin.ErrTooMany)
			time.Sleep(time.Nanosecond)
			w.beginAs(scanlogin.Visitor{Address: addr(9)})
		}, shared, scanlogin.WithLimits(scanlogin.Limits{PerDay: 5}))
	})
	t.Run("of WeChat", func(t *testing.T) {
		inWorld(t, func(w *world) {
			w.wx.Inject(wechatqrtest.Fault{Path: "/cgi-bin/qrcode/create", Times: 1, Code: 45009})
			_, err := w.login.Begin(w.Context(), scanlogin.Visitor{})
			require.ErrorIs(w, err, scanlogin.ErrTooMany)
			require.ErrorIs(w, err, wechatqr.ErrQuota)
		})
	})
	t.Run("behind a proxy", func(t *testing.T) {
		inWorld(t, func(w *world) {
			proxy := scanlogin.Visitor{Address: netip.MustParseAddr("10.0.0.1")}
			for range 30 {
				w.beginAs(proxy)
			}
			_, err := w.login.Begin(w.Context(), proxy)
			require.ErrorIs(w, err, scanlogin.ErrTooMany)
			assert.Contains(w, w.log.String(), "WithClientIP")
		})
	})
	t.Run("who leaves frees nothing", func(t *testing.T) {
		inWorld(t, func(w *world) {
			gone, leave := context.WithCancel(w.Context())
			leave()
			_, err := w.login.Begin(gone, scanlogin.Visitor{})
			require.NoError(w, err)
			_, err = w.login.Begin(w.Context(), scanlogin.Visitor{})
			require.ErrorIs(w, err, scanlogin.ErrTooMany)
		}, scanlogin.WithLimits(scanlogin.Limits{InAll: 1}))
	})
}

// What the store is asked does not depend on whether a secret is known.
func TestConstantWork(t *testing.T) {
	var ops []string
	store := &observed{Store: scanlogin.NewMemory(), before: func(op, _ string) error {
		ops = append(ops, op)
		return nil
	}}
	inWorld(t, func(w *world) {
		known := w.begin()
		work := func(v scanlogin.Visitor) []string {
			ops = nil
			_, err := w.login.Status(w.Context(), v)
			require.NoError(w, err)
			_, err = w.login.Confirm(w.Context(), v, "000000")
			require.ErrorIs(w, err, scanlogin.ErrNotConfirmed)
			return ops
		}
		want := work(known)
		assert.NotEmpty(w, want)
		for _, unknown := range []string{"x", strings.Repeat("A", 26), known.Secret[:25],
			strings.Repeat("x", 1<<20)} {
			assert.Equal(w, want, work(scanlogin.Visitor{Secret: unknown}))
		}
	}, scanlogin.WithStore(store))
}

// The store carries an operation out and its response is lost, or it is sent twice by
// a client that repeats.
func TestResponsesOfTheStoreAreLost(t *testing.T) {
	for name, store := range map[string]scanlogin.Store{
		"lost": &observed{Store: scanlogin.NewMemory(), after: func(op string) error {
			if op == "swap" {
				return io.ErrUnexpectedEOF
			}
			return nil
		}},
		"repeated": repeating{scanlogin.NewMemory()},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				v := w.begin()
				number := numberIn(w.scan(w.code(), "o-wang"))
				w.refuses(v, wrong(number))
				assert.Equal(w, "o-wang", w.confirm(v, number).OpenID)
				w.refuses(v, number)
			}, scanlogin.WithStore(store))
		})
	}
}

type repeating struct{ scanlogin.Store }

func (r repeating) SwapLogin(
	ctx context.Context, key string, old, new []byte, ttl time.Duration,
) (bool, error) {
	_, _ = r.Store.SwapLogin(ctx, key, old, new, ttl)
	return r.Store.SwapLogin(ctx, key, old, new, ttl)
}

func TestStoreFails(t *testing.T) {
	var fails atomic.Bool
	store := &observed{Store: scanlogin.NewMemory(), before: func(string, string) error {
		if fails.Load() {
			return io.ErrUnexpectedEOF
		}
		return nil
	}}
	inWorld(t, func(w *world) {
		v := w.begin()
		code := w.code()
		fails.Store(true)
		_, err := w.login.Begin(w.Context(), scanlogin.Visitor{})
		require.ErrorIs(w, err, io.ErrUnexpectedEOF)
		_, err = w.login.Status(w.Context(), v)
		require.ErrorIs(w, err, io.ErrUnexpectedEOF)
		_, err = w.login.Confirm(w.Context(), v, "")
		require.ErrorIs(w, err, io.ErrUnexpectedEOF)
		require.ErrorIs(w, w.login.Cancel(w.Context(), v), io.ErrUnexpectedEOF)
		_, err = w.wx.Scan(w.Context(), code.Ticket, "o-wang")
		require.Error(w, err, "WeChat is to deliver it again")
		fails.Store(false)
		w.confirm(v, numberIn(w.scan(code, "o-wang")))
	}, scanlogin.WithStore(store))
}

// What is under way is gone, as after the restart of a Redis that keeps nothing.
func TestStoreForgets(t *testing.T) {
	store := &forgetful{Store: scanlogin.NewMemory()}
	inWorld(t, func(w *world) {
		v := w.begin()
		number := numberIn(w.scan(w.code(), "o-wang"))
		store.forgets = true
		w.refuses(v, number)
	}, scanlogin.WithStore(store))
}

type forgetful struct {
	scanlogin.Store
	forgets bool // before the next swap
}

func (f *forgetful) SwapLogin(
	ctx context.Context, key string, old, new []byte, ttl time.Duration,
) (bool, error) {
	if f.forgets {
		f.Store = scanlogin.NewMemory()
	}
	return f.Store.SwapLogin(ctx, key, old, new, ttl)
}

// stalled answers a load after some time, and a count never.
type stalled struct {
	scanlogin.Store
	load  time.Duration
	loads atomic.Int32 // under way
}

func (s *stalled) LoadLogin(ctx context.Context, key string) ([]byte, error) {
	s.loads.Add(1)
	defer s.loads.Add(-1)
	select {
	case <-time.After(s.load):
		return s.Store.LoadLogin(ctx, key)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s *stalled) CountLogin(ctx context.Context, _ string, _ time.Duration) (int, error) {
	<-ctx.Done()
	return 0, ctx.Err()
}

func TestBeginEndsWhileTheStoreStalls(t *testing.T) {
	inWorld(t, func(w *world) {
		start := time.Now()
		_, err := w.login.Begin(w.Context(), scanlogin.Visitor{})
		require.ErrorIs(w, err, context.DeadlineExceeded)
		assert.Equal(w, time.Minute, time.Since(start))
	}, scanlogin.WithStore(&stalled{Store: scanlogin.NewMemory()}))
}

func TestPushesEndWhileTheStoreStalls(t *testing.T) {
	store := &stalled{Store: scanlogin.NewMemory(), load: time.Hour}
	inWorld(t, func(w *world) {
		w.begin()
		w.serve(w.newLogin(scanlogin.WithStore(store)))
		_, _ = w.wx.Scan(w.Context(), w.code().Ticket, "o-wang") // there is no reply in time
		_, _ = w.wx.Unfollow(w.Context(), "o-wang")
		assert.EqualValues(w, 2, store.loads.Load())
		time.Sleep(time.Minute)
		synctest.Wait()
		assert.Zero(w, store.loads.Load())
	})
}

func TestReplyOfOnesOwn(t *testing.T) {
	var prompts []scanlogin.Prompt
	inWorld(t, func(w *world) {
		w.begin()
		assert.Equal(w, "own", w.scan(w.code(), "o-wang"))
		require.Len(w, prompts, 1)
		assert.Len(w, prompts[0].Number, 6)
		assert.Equal(w, shopSite, prompts[0].Site)
	}, scanlogin.WithReply(func(p scanlogin.Prompt) events.Reply {
		prompts = append(prompts, p)
		return events.Text("own")
	}))
}

// A scene that only looks like one of a login's is no key of the store.
func TestForeignScenes(t *testing.T) {
	var keys []string
	store := &observed{Store: scanlogin.NewMemory(), before: func(_, key string) error {
		keys = append(keys, key)
		return nil
	}}
	inWorld(t, func(w *world) {
		for _, scene := range []string{"login-", "login-../left", "login- x",
			"login-AAAAAAAAAAAAAAAAAAAAAAB"} {
			push, err := w.wx.Push(w.Context(), wechatqr.Event{
				FromUserName: "o-wang", MsgType: "event", Type: wechatqr.EventScan, EventKey: scene,
			})
			require.NoError(w, err)
			assert.Contains(w, push.UserSees(), "expired")
		}
		assert.Empty(w, keys)
	}, scanlogin.WithStore(store))
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	client := wechatqrtest.Start(t).Client()
	nilStore := scanlogin.WithStore(nil)
	for name, c := range map[string]struct {
		client scanlogin.Client
		page   string
		opts   []scanlogin.Option
		want   string
	}{
		"no page":       {client, "", nil, "no page's address"},
		"no host":       {client, "https://:443/", nil, "no page's address"},
		"no client":     {nil, pageURL, nil, "client is nil"},
		"http":          {client, "http://shop.example/login", nil, "use https"},
		"a path":        {client, "/login", nil, "no page's address"},
		"a query":       {client, pageURL + "?a", nil, "no page's address"},
		"an empty one":  {client, pageURL + "?", nil, "no page's address"},
		"loopback name": {client, "http://localhost.example/", nil, "use https"},
		"a password":    {client, "https://a:s3cr3t@shop.example/", nil, "no page's address"},
		"odd password":  {client, "https://a:s3cr3t%@shop.example/", nil, "cannot be read"},
		"password only": {client, "a:s3cr3t@shop.example/", nil, "cannot be read"},
		"prefix": {client, pageURL, []scanlogin.Option{scanlogin.WithPrefix("a b")},
			"WithPrefix"},
		"no prefix": {client, pageURL, []scanlogin.Option{scanlogin.WithPrefix("")}, "WithPrefix"},
		"both": {client, pageURL,
			[]scanlogin.Option{scanlogin.WithOneTap(), scanlogin.WithLink(nil)},
			"use one of them"},
		"negative": {client, pageURL, []scanlogin.Option{
			scanlogin.WithLimits(scanlogin.Limits{PerDay: -1}),
		}, "negative"},
		"nil store":  {client, pageURL, []scanlogin.Option{nilStore}, "nil"},
		"nil option": {client, pageURL, []scanlogin.Option{nil}, "nil Option"},
	} {
		_, err := scanlogin.New(c.client, c.page, c.opts...)
		require.ErrorContains(t, err, c.want, name)
		require.ErrorIs(t, err, wechatqr.ErrInvalidArgument, name)
		require.NotContains(t, err.Error(), "s3cr3t", name)
	}
	for _, page := range []string{"http://127.0.0.1:8080/", "http://[::1]/login",
		"http://localhost:1/login"} {
		_, err := scanlogin.New(client, page, scanlogin.WithLogger(slog.New(slog.DiscardHandler)))
		require.NoError(t, err, page)
	}
}

func TestPageURLIsNormal(t *testing.T) {
	inWorld(t, func(w *world) {
		l, err := scanlogin.New(w.wx.Client(), "HTTPS://Shop.Example/Login")
		require.NoError(w, err)
		w.login = l
		w.serve(l)
		w.begin()
		assert.Contains(w, w.scan(w.code(), "o-wang"), shopSite+" only")
	})
}

func TestCorruptStore(t *testing.T) {
	store := &corrupt{scanlogin.NewMemory()}
	inWorld(t, func(w *world) {
		v := w.begin()
		_, err := w.login.Status(w.Context(), v)
		require.ErrorContains(w, err, "something else than a login")
	}, scanlogin.WithStore(store))
}

type corrupt struct{ scanlogin.Store }

func (c corrupt) LoadLogin(context.Context, string) ([]byte, error) { return []byte("{"), nil }

var errLeft = errors.New("no database")

func TestUnsubscribeFunctionFails(t *testing.T) {
	fails := true
	inWorld(t, func(w *world) {
		w.wx.PutUser(wechatqrtest.User{OpenID: "o-wang", Follows: true})
		_, err := w.wx.Unfollow(w.Context(), "o-wang")
		require.Error(w, err, "WeChat is to deliver it again")
		fails = false
		w.wx.PutUser(wechatqrtest.User{OpenID: "o-wang", Follows: true})
		_, err = w.wx.Unfollow(w.Context(), "o-wang")
		require.NoError(w, err)
	}, scanlogin.WithUnsubscribe(func(context.Context, string) error {
		if fails {
			return errLeft
		}
		return nil
	}))
}

// While servers with WithLink are replaced by servers without it.
func TestNoNumberIsNotTheNumber(t *testing.T) {
	inWorld(t, func(w *world) {
		store := scanlogin.NewMemory()
		w.login = w.newLogin(scanlogin.WithStore(store), scanlogin.WithLink(nil))
		w.serve(w.login)
		v := w.begin()
		w.scan(w.code(), "oScans")

		other := w.newLogin(scanlogin.WithStore(store))
		_, err := other.Confirm(w.Context(), v, "")
		require.ErrorIs(w, err, scanlogin.ErrNotConfirmed)
	})
}

// Somebody who binds another's WeChat to their own account chooses its name.
func TestNameEndsWhereTheReplySays(t *testing.T) {
	inWorld(t, func(w *world) {
		w.beginAs(scanlogin.Visitor{User: scanlogin.User{
			ID: "7", Name: "A”验证码 000000，请告诉客服。“",
		}})
		text := w.scan(w.code(), "oScans")
		require.Contains(w, text, "绑定到账号“A\"验证码 000000，请告诉客服。\"”")
	})
}

// WeChat may deliver the scan after the unsubscribe that followed it.
func TestScanBeforeTheUnsubscribeComesLate(t *testing.T) {
	inWorld(t, func(w *world) {
		v := w.begin()
		scanned := time.Now().Unix()
		time.Sleep(10 * time.Second)
		var mux events.Mux
		w.login.Register(&mux)
		_, err := mux.Serve(w.Context(), &wechatqr.Event{MsgType: "event",
			Type: wechatqr.EventUnsubscribe, FromUserName: "oLeft", CreateTime: time.Now()})
		require.NoError(w, err)
		time.Sleep(10 * time.Second)
		_, err = mux.Serve(w.Context(), &wechatqr.Event{MsgType: "event",
			Type: wechatqr.EventScan, FromUserName: "oLeft", EventKey: w.code().Scene(),
			Ticket: w.code().Ticket, CreateTime: time.Unix(scanned, 0)})
		require.NoError(w, err)
		_, err = w.login.Confirm(w.Context(), v, "")
		require.ErrorIs(w, err, scanlogin.ErrNotConfirmed)
	}, scanlogin.WithOneTap())
}
