package tickets_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/tickets"
)

// wechat creates tickets 1, 2, … after a delay, or fails.
type wechat struct {
	delay time.Duration

	mu      sync.Mutex
	fail    func(n int) error // the nth creation; nil: none
	created []wechatqr.TicketRequest
	fetch   func(ticket string) (*wechatqr.QRCode, error)
	fetched []string
}

func (w *wechat) CreateTicket(
	ctx context.Context, req wechatqr.TicketRequest,
) (*wechatqr.Ticket, error) {
	w.mu.Lock()
	w.created = append(w.created, req)
	n, fail := len(w.created), w.fail
	w.mu.Unlock()
	start := time.Now()
	select {
	case <-time.After(w.delay):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if fail != nil {
		if err := fail(n); err != nil {
			return nil, err
		}
	}
	for _, ttl := range []time.Duration{0, time.Hour} {
		for _, scene := range scenes() {
			key := tickets.Key{Scene: scene, TTL: ttl}
			if key.Request() != req {
				continue
			}
			t := &wechatqr.Ticket{Value: fmt.Sprint(n), Content: "c", Scene: scene}
			if ttl > 0 {
				t.ExpiresAt = start.Add(ttl).Round(0)
			}
			return t, nil
		}
	}
	return nil, errors.New("the mock knows no such code")
}

func (w *wechat) FetchQRCode(_ context.Context, ticket string) (*wechatqr.QRCode, error) {
	w.mu.Lock()
	w.fetched = append(w.fetched, ticket)
	fetch := w.fetch
	w.mu.Unlock()
	if fetch != nil {
		return fetch(ticket)
	}
	return &wechatqr.QRCode{Data: []byte("picture of " + ticket), ContentType: "image/png"}, nil
}

func (w *wechat) set(fail func(int) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fail = fail
}

func (w *wechat) requests() []wechatqr.TicketRequest {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.created)
}

func always(err error) func(int) error { return func(int) error { return err } }

func scenes() []wechatqr.Scene {
	list := []wechatqr.Scene{wechatqr.SceneString("door")}
	for i := range 10 {
		list = append(list, wechatqr.SceneID(uint32(i+1)))
	}
	return list
}

var (
	door   = wechatqr.SceneString("door")
	print1 = wechatqr.Permanent(door)
	hourly = wechatqr.Temporary(door, time.Hour)
)

func newKeeper(
	t *testing.T, w tickets.Client, s tickets.Store, opts ...tickets.Option,
) *tickets.Keeper {
	t.Helper()
	quiet := tickets.WithLogger(slog.New(slog.DiscardHandler))
	k, err := tickets.NewKeeper(appID, w, s, append([]tickets.Option{quiet}, opts...)...)
	require.NoError(t, err)
	return k
}

func value(t *testing.T, k *tickets.Keeper, req wechatqr.TicketRequest) string {
	t.Helper()
	ticket, err := k.Ticket(t.Context(), req)
	require.NoError(t, err)
	return ticket.Value
}

// bothKinds runs a test in a bubble of synctest, once for a permanent and once for a
// temporary code.
func bothKinds(t *testing.T, fn func(t *testing.T, req wechatqr.TicketRequest)) {
	t.Helper()
	t.Parallel()
	for name, req := range map[string]wechatqr.TicketRequest{"permanent": print1,
		"temporary": hourly} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { fn(t, req) })
		})
	}
}

// What is written down must be found by every later version.
func TestNamesOfKeys(t *testing.T) {
	t.Parallel()
	for want, req := range map[string]wechatqr.TicketRequest{
		"permanent/id/7":       wechatqr.Permanent(wechatqr.SceneID(7)),
		"permanent/str/7":      wechatqr.Permanent(wechatqr.SceneString("7")),
		"permanent/str/shop/7": wechatqr.Permanent(wechatqr.SceneString("shop/7")),
		"3600s/id/4294967295":  wechatqr.Temporary(wechatqr.SceneID(4294967295), time.Hour),
		"60s/str/号":            wechatqr.Temporary(wechatqr.SceneString("号"), time.Minute),
	} {
		s := &spy{Store: tickets.NewMemory()}
		k := newKeeper(t, &wechat{fail: always(errors.New("away"))}, s)
		_, err := k.Ticket(t.Context(), req)
		require.Error(t, err)
		require.NotEmpty(t, s.keys)
		assert.Equal(t, want, s.keys[0].Name())
		assert.Equal(t, appID+"/"+want, s.keys[0].String())
		assert.Equal(t, req, s.keys[0].Request())
	}
}

// spy notes the keys and fails as it is told.
type spy struct {
	tickets.Store
	keys              []tickets.Key
	load, claim, save func() error
}

func (s *spy) LoadTicket(ctx context.Context, key tickets.Key) (wechatqr.Ticket, error) {
	if s.load != nil {
		if err := s.load(); err != nil {
			return wechatqr.Ticket{}, err
		}
	}
	return s.Store.LoadTicket(ctx, key)
}

func (s *spy) ClaimTicket(
	ctx context.Context, key tickets.Key, owner string, lease time.Duration, budget int,
) (tickets.Claim, error) {
	s.keys = append(s.keys, key)
	if s.claim != nil {
		if err := s.claim(); err != nil {
			return 0, err
		}
	}
	return s.Store.ClaimTicket(ctx, key, owner, lease, budget)
}

func (s *spy) SaveTicket(
	ctx context.Context, key tickets.Key, t wechatqr.Ticket,
) (wechatqr.Ticket, error) {
	if s.save != nil {
		if err := s.save(); err != nil {
			return wechatqr.Ticket{}, err
		}
	}
	return s.Store.SaveTicket(ctx, key, t)
}

// Four keepers stand for four processes; package redisstore has real ones.
func TestManyAskAtOnce(t *testing.T) {
	bothKinds(t, func(t *testing.T, req wechatqr.TicketRequest) {
		w, s := &wechat{delay: 20 * time.Second}, tickets.NewMemory()
		var wg sync.WaitGroup
		for range 4 {
			k := newKeeper(t, w, s)
			for range 250 {
				wg.Go(func() { assert.Equal(t, "1", value(t, k, req)) })
			}
		}
		wg.Wait()
		assert.Len(t, w.requests(), 1, "though it takes longer than a claim lasts")
		assert.Equal(t, "1", value(t, newKeeper(t, w, s), req))
	})
}

func TestCallerGivesUp(t *testing.T) {
	bothKinds(t, func(t *testing.T, req wechatqr.TicketRequest) {
		w := &wechat{delay: 9 * time.Second}
		k := newKeeper(t, w, tickets.NewMemory())
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := k.Ticket(ctx, req)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		_, err = k.Ticket(ctx, req)
		require.ErrorIs(t, err, context.DeadlineExceeded, "before anything else")
		assert.Equal(t, "1", value(t, k, req))
		assert.Len(t, w.requests(), 1)
	})
}

func TestOutcomeUnknown(t *testing.T) {
	bothKinds(t, func(t *testing.T, req wechatqr.TicketRequest) {
		unknown := fmt.Errorf("create ticket: %w", wechatqr.ErrOutcomeUnknown)
		w := &wechat{fail: func(n int) error {
			if n != 2 {
				return unknown
			}
			return nil
		}}
		k := newKeeper(t, w, tickets.NewMemory())
		assert.Equal(t, "2", value(t, k, req))
		assert.Equal(t, []wechatqr.TicketRequest{req, req}, w.requests())

		w = &wechat{fail: always(unknown)}
		k = newKeeper(t, w, tickets.NewMemory())
		_, err := k.Ticket(t.Context(), req)
		require.ErrorIs(t, err, wechatqr.ErrOutcomeUnknown)
		assert.Len(t, w.requests(), 2)
	})
}

func TestFailedCreationEndsItsClaim(t *testing.T) {
	bothKinds(t, func(t *testing.T, req wechatqr.TicketRequest) {
		w, s := &wechat{fail: always(&wechatqr.Error{Code: -1})}, tickets.NewMemory()
		_, err := newKeeper(t, w, s).Ticket(t.Context(), req)
		require.ErrorIs(t, err, wechatqr.ErrBusy)
		w.set(nil)
		start := time.Now()
		assert.Equal(t, "2", value(t, newKeeper(t, w, s), req))
		assert.Zero(t, time.Since(start), "another process need not wait")
	})
}

func TestOwnerDied(t *testing.T) {
	bothKinds(t, func(t *testing.T, req wechatqr.TicketRequest) {
		w, s := &wechat{}, &spy{Store: tickets.NewMemory()}
		_, _ = newKeeper(t, &wechat{fail: always(errors.New("away"))}, s).Ticket(t.Context(), req)
		got, err := s.ClaimTicket(t.Context(), s.keys[0], "dead", 3*time.Second, 1)
		require.NoError(t, err)
		require.Equal(t, tickets.ClaimGranted, got)

		start := time.Now()
		assert.Equal(t, "1", value(t, newKeeper(t, w, s), req))
		assert.InDelta(t, 3, time.Since(start).Seconds(), 0.2)
	})
}

// The owner is suspended for longer than its claim, and another process overtakes.
func TestOvertaken(t *testing.T) {
	bothKinds(t, func(t *testing.T, req wechatqr.TicketRequest) {
		s := &spy{Store: tickets.NewMemory()}
		calls := 0
		s.claim = func() error {
			if calls++; calls > 1 {
				return errors.New("suspended")
			}
			return nil
		}
		slow := &wechat{delay: 10 * time.Second}
		first := make(chan string)
		go func() { first <- value(t, newKeeper(t, slow, s), req) }()
		synctest.Wait()
		quick := &wechat{fail: func(n int) error {
			if n == 1 {
				return errors.New("so that its ticket is number 2")
			}
			return nil
		}}
		k := newKeeper(t, quick, s.Store)
		_, err := k.Ticket(t.Context(), req)
		require.Error(t, err)
		kept := value(t, k, req)
		assert.Equal(t, "2", kept)
		if req == print1 {
			assert.Equal(t, kept, <-first, "two runs end with the same ticket")
		} else {
			<-first
		}
	})
}

func TestStoreFails(t *testing.T) {
	bothKinds(t, func(t *testing.T, req wechatqr.TicketRequest) {
		away := errors.New("the store is away")
		panics := func() error { panic("the store is broken") }
		for name, s := range map[string]*spy{
			"load":        {load: func() error { return away }},
			"claim":       {claim: func() error { return away }},
			"load panics": {load: panics}, "claim panics": {claim: panics},
			"claim ends the goroutine": {claim: func() error { runtime.Goexit(); return nil }},
		} {
			w := &wechat{}
			s.Store = tickets.NewMemory()
			_, err := newKeeper(t, w, s).Ticket(t.Context(), req)
			require.Error(t, err, name)
			assert.Empty(t, w.requests(), name)
		}
	})
}

func TestStoreDoesNotTakeTheTicket(t *testing.T) {
	bothKinds(t, func(t *testing.T, req wechatqr.TicketRequest) {
		away, saves := errors.New("the store is away"), 0
		w, s := &wechat{}, &spy{Store: tickets.NewMemory()}
		s.save = func() error { saves++; return away }
		k := newKeeper(t, w, s)
		_, err := k.Ticket(t.Context(), req)
		require.ErrorIs(t, err, away)
		assert.Equal(t, 3, saves)

		s.save = nil
		ticket := value(t, k, req)
		if req == print1 {
			assert.Equal(t, "1", ticket, "a permanent one is not created again")
			assert.Len(t, w.requests(), 1)
		}
		assert.Equal(t, ticket, value(t, newKeeper(t, w, s), req))

		s.Store = tickets.NewMemory()
		assert.NotEqual(t, ticket, value(t, k, req), "it is not remembered once it is saved")
	})
}

// lateClient ignores ctx and has a ticket after all.
type lateClient struct{ *wechat }

func (c lateClient) CreateTicket(
	ctx context.Context, req wechatqr.TicketRequest,
) (*wechatqr.Ticket, error) {
	return c.wechat.CreateTicket(context.WithoutCancel(ctx), req)
}

func TestTicketAfterTheTimeoutIsSaved(t *testing.T) {
	bothKinds(t, func(t *testing.T, req wechatqr.TicketRequest) {
		w, s := &wechat{delay: 61 * time.Second}, tickets.NewMemory()
		assert.Equal(t, "1", value(t, newKeeper(t, lateClient{w}, s), req))
		assert.Equal(t, "1", value(t, newKeeper(t, w, s), req))
	})
}

func TestClaimEndsWithTheTimeout(t *testing.T) {
	bothKinds(t, func(t *testing.T, req wechatqr.TicketRequest) {
		w, s := &wechat{delay: time.Hour}, tickets.NewMemory()
		_, err := newKeeper(t, w, s).Ticket(t.Context(), req)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		w.delay = 0
		start := time.Now()
		assert.Equal(t, "2", value(t, newKeeper(t, w, s), req))
		assert.Zero(t, time.Since(start))
	})
}

// expiring is a store that drops nothing, as one over a database may do.
type expiring struct {
	tickets.Store
	last wechatqr.Ticket
}

func (s *expiring) LoadTicket(context.Context, tickets.Key) (wechatqr.Ticket, error) {
	if s.last.Value == "" {
		return s.last, tickets.ErrNotFound
	}
	return s.last, nil
}

func (s *expiring) SaveTicket(
	ctx context.Context, key tickets.Key, t wechatqr.Ticket,
) (wechatqr.Ticket, error) {
	s.last = t
	return s.Store.SaveTicket(ctx, key, t)
}

func TestStoreReturnsAnExpiredTicket(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := newKeeper(t, &wechat{}, &expiring{Store: tickets.NewMemory()})
		assert.Equal(t, "1", value(t, k, hourly))
		time.Sleep(time.Hour)
		assert.Equal(t, "2", value(t, k, hourly))
	})
}

func TestClientPanics(t *testing.T) {
	bothKinds(t, func(t *testing.T, req wechatqr.TicketRequest) {
		w := &wechat{fail: func(int) error { panic("a mock without an expectation") }}
		k := newKeeper(t, w, tickets.NewMemory())
		_, err := k.Ticket(t.Context(), req)
		require.ErrorContains(t, err, "a mock without an expectation")
		w.set(nil)
		assert.Equal(t, "2", value(t, k, req))
	})
}

// typedNil is a store whose error prints as <nil> and panics in errors.Is.
type typedNil struct{ tickets.Store }

func (typedNil) LoadTicket(context.Context, tickets.Key) (wechatqr.Ticket, error) {
	return wechatqr.Ticket{}, (*net.OpError)(nil)
}

func TestStoreReturnsATypedNil(t *testing.T) {
	bothKinds(t, func(t *testing.T, req wechatqr.TicketRequest) {
		k := newKeeper(t, &wechat{}, typedNil{tickets.NewMemory()})
		_, err := k.Ticket(t.Context(), req)
		require.ErrorContains(t, err, "load ticket: panic")
		require.NotErrorIs(t, err, tickets.ErrNotFound)
	})
}

// panickingHandler is a log handler with a fault.
type panickingHandler struct{ slog.Handler }

func (panickingHandler) Handle(context.Context, slog.Record) error { panic("handler") }

// What is broken in a log handler ends no renewal behind the scenes, no call and no process.
func TestLoggerPanics(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &wechat{}
		k := newKeeper(t, w, tickets.NewMemory(), tickets.WithLogger(
			slog.New(panickingHandler{slog.NewTextHandler(io.Discard, nil)})))
		h := k.Picture(hourly)
		require.Equal(t, http.StatusOK, get(h).Code)
		w.fetch = func(string) (*wechatqr.QRCode, error) { return nil, errors.New("away") }
		w.set(always(errors.New("away")))
		time.Sleep(30 * time.Minute)
		get(h)
		synctest.Wait()
		w.set(nil)
		time.Sleep(time.Second)
		get(h)
		synctest.Wait()
		get(h)
		synctest.Wait()
		assert.Len(t, w.fetched, 2)
		assert.Equal(t, "3", value(t, k, hourly))

		none := k.Picture(wechatqr.Temporary(wechatqr.SceneID(9), time.Hour))
		assert.Equal(t, http.StatusServiceUnavailable, get(none).Code)
		asked := len(w.requests())
		w.set(func(n int) error {
			if n == asked+1 {
				return &wechatqr.Error{Code: 45011}
			}
			return nil
		})
		_, errs := all(t.Context(), k, shopRequests(1))
		assert.Empty(t, errs)
	})
}

func TestStoreMixesTicketsUp(t *testing.T) {
	t.Parallel()
	w, ctx := &wechat{}, t.Context()
	s := tickets.NewMemory()
	_, err := s.SaveTicket(ctx, tickets.Key{Account: appID, Scene: door},
		wechatqr.Ticket{Value: "9", Scene: wechatqr.SceneID(9)})
	require.NoError(t, err)
	_, err = newKeeper(t, w, s).Ticket(ctx, print1)
	require.EqualError(t, err, "wechatqr: tickets: load ticket: "+
		appID+"/permanent/str/door has the ticket of another scene or kind, or none")
	assert.Empty(t, w.requests())
}

func TestRenewal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &wechat{}
		k := newKeeper(t, w, tickets.NewMemory())
		start := time.Now()
		at := func(d time.Duration) string {
			time.Sleep(time.Until(start.Add(d)))
			got := value(t, k, hourly)
			synctest.Wait()
			return got
		}
		assert.Equal(t, "1", at(0))
		w.delay = 5 * time.Second
		assert.Equal(t, "1", at(30*time.Minute-1))
		assert.Len(t, w.requests(), 1)
		assert.Equal(t, "1", at(30*time.Minute), "at once, though it is renewed")
		assert.Equal(t, "1", at(30*time.Minute+4*time.Second))
		assert.Len(t, w.requests(), 2, "one renewal at a time")
		assert.Equal(t, "2", at(30*time.Minute+6*time.Second))
		assert.Equal(t, "2", at(time.Hour-1))
		assert.Len(t, w.requests(), 2)
		assert.Equal(t, "3", at(3*time.Hour), "the caller waits when there is no good one")
	})
}

func TestWeChatIsAwayWhenItIsTimeToRenew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		w := &wechat{}
		k := newKeeper(t, w, tickets.NewMemory(),
			tickets.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
		value(t, k, hourly)
		w.set(always(errors.New("away")))

		time.Sleep(30 * time.Minute)
		var tried []time.Duration
		start := time.Now()
		for since := time.Duration(0); since < 30*time.Minute; since = time.Since(start) {
			before := len(w.requests())
			assert.Equal(t, "1", value(t, k, hourly))
			synctest.Wait()
			if len(w.requests()) > before {
				tried = append(tried, since)
			}
			time.Sleep(time.Second)
		}
		assert.Equal(t, []time.Duration{0, time.Second, 3 * time.Second, 7 * time.Second,
			15 * time.Second, 31 * time.Second, 63 * time.Second, 123 * time.Second}, tried[:8])
		assert.Less(t, len(tried), 40)
		assert.Contains(t, log.String(), "was not renewed")

		_, err := k.Ticket(t.Context(), hourly)
		require.ErrorContains(t, err, "away", "it has expired")
		w.set(nil)
		assert.Equal(t, fmt.Sprint(len(w.requests())+1), value(t, k, hourly), "without a pause")
	})
}

func TestBudget(t *testing.T) {
	t.Parallel()
	w, s, ctx := &wechat{}, tickets.NewMemory(), t.Context()
	k := newKeeper(t, w, s, tickets.WithBudget(2))
	first, second := wechatqr.Permanent(wechatqr.SceneID(1)),
		wechatqr.Permanent(wechatqr.SceneID(2))
	assert.Equal(t, "1", value(t, k, first))
	w.set(always(&wechatqr.Error{Code: 45009}))
	_, err := k.Ticket(ctx, second)
	require.ErrorIs(t, err, wechatqr.ErrQuota)
	b, err := k.Budget(ctx)
	require.NoError(t, err)
	assert.Equal(t, tickets.Budget{Known: 2, Limit: 2}, b, "one of them may have been created")
	assert.Zero(t, b.Left())

	w.set(nil)
	_, err = k.Ticket(ctx, print1)
	require.ErrorIs(t, err, tickets.ErrBudget)
	assert.Len(t, w.requests(), 2, "WeChat was not asked")
	assert.Equal(t, "3", value(t, k, second), "it counts already")
	assert.Equal(t, "4", value(t, k, hourly), "a temporary one does not count")

	b, err = newKeeper(t, w, s).Budget(ctx)
	require.NoError(t, err)
	assert.Equal(t, 99_998, b.Left())
}

// A ticket that was created elsewhere is kept by saving it, whatever the budget.
func TestTicketCreatedElsewhere(t *testing.T) {
	t.Parallel()
	w, s := &wechat{}, tickets.NewMemory()
	old := wechatqr.Ticket{Value: "old", Content: "c", Scene: door}
	_, err := s.SaveTicket(t.Context(), tickets.Key{Account: appID, Scene: door}, old)
	require.NoError(t, err)
	assert.Equal(t, "old", value(t, newKeeper(t, w, s, tickets.WithBudget(0)), print1))
	assert.Empty(t, w.requests())
}

// hanging is a store that answers when it is released, and not to ctx.
type hanging struct {
	tickets.Store
	release chan struct{}
	load    bool
}

func (s hanging) LoadTicket(ctx context.Context, key tickets.Key) (wechatqr.Ticket, error) {
	if s.load {
		<-s.release
	}
	return s.Store.LoadTicket(ctx, key)
}

func (s hanging) ClaimTicket(
	ctx context.Context, key tickets.Key, owner string, lease time.Duration, budget int,
) (tickets.Claim, error) {
	<-s.release
	return s.Store.ClaimTicket(ctx, key, owner, lease, budget)
}

func TestStoreHangs(t *testing.T) {
	bothKinds(t, func(t *testing.T, req wechatqr.TicketRequest) {
		for _, load := range []bool{true, false} {
			w := &wechat{}
			s := hanging{tickets.NewMemory(), make(chan struct{}), load}
			k := newKeeper(t, w, s)
			start := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err := k.Ticket(ctx, req)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			assert.Equal(t, time.Second, time.Since(start), "the caller leaves with its own ctx")

			_, err = k.Ticket(t.Context(), req)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			assert.LessOrEqual(t, time.Since(start), 10*time.Second, "and nobody waits for ever")
			assert.Empty(t, w.requests())
			close(s.release)
			synctest.Wait()
			time.Sleep(time.Minute)
			assert.Equal(t, "1", value(t, k, req))
		}
	})
}

func TestInvalidArguments(t *testing.T) {
	t.Parallel()
	w, s := &wechat{}, tickets.NewMemory()
	_, err := newKeeper(t, w, s).Ticket(t.Context(), wechatqr.TicketRequest{})
	require.ErrorIs(t, err, wechatqr.ErrInvalidScene)

	for name, newBad := range map[string]func() (*tickets.Keeper, error){
		"no AppID":  func() (*tickets.Keeper, error) { return tickets.NewKeeper("", w, s) },
		"a space":   func() (*tickets.Keeper, error) { return tickets.NewKeeper("wx 1", w, s) },
		"no ASCII":  func() (*tickets.Keeper, error) { return tickets.NewKeeper("wx号", w, s) },
		"a slash":   func() (*tickets.Keeper, error) { return tickets.NewKeeper("wx/1", w, s) },
		"no client": func() (*tickets.Keeper, error) { return tickets.NewKeeper(appID, nil, s) },
		"no store":  func() (*tickets.Keeper, error) { return tickets.NewKeeper(appID, w, nil) },
		"nil option": func() (*tickets.Keeper, error) {
			return tickets.NewKeeper(appID, w, s, nil)
		},
		"budget": func() (*tickets.Keeper, error) {
			return tickets.NewKeeper(appID, w, s, tickets.WithBudget(100_001))
		},
		"pace": func() (*tickets.Keeper, error) {
			return tickets.NewKeeper(appID, w, s, tickets.WithPace(-1))
		},
		"logger": func() (*tickets.Keeper, error) {
			return tickets.NewKeeper(appID, w, s, tickets.WithLogger(nil))
		},
	} {
		_, err := newBad()
		assert.ErrorIs(t, err, wechatqr.ErrInvalidArgument, name)
	}
}
