//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/channels"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/setup"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/store"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/web"
	"github.com/wechatqr/wechatqr/events"
)

// scaleEnd is in the last hour of the ledgers that the tests of channels make.
var scaleEnd = time.Date(2026, 3, 1, 23, 30, 0, 0, time.FixedZone("UTC+8", 8*3600))

// TestScale prints what pages and alerts cost, and the ledger's part of it: on a small
// ledger or, with CHANNELS_SCALE_DIR, on one of CHANNELS_EVENTS events that the test of this
// name in channels has left there. It asserts nothing of times. The bubble has the clock of
// the ledger, which ends in the past.
func TestScale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(scaleEnd))
		s := newDeskScale(t)
		s.measurePages()
		s.measureAlerts()
	})
}

// deskScale is a desk on a ledger and what was measured of it.
type deskScale struct {
	*desk
	t       *testing.T
	cookie  *http.Cookie
	today   channels.Query
	month   channels.Query
	channel string // in the middle of the list
}

func newDeskScale(t *testing.T) *deskScale {
	t.Helper()
	s := &deskScale{t: t}
	path := filepath.Join(t.TempDir(), "desk.db")
	dir := os.Getenv("CHANNELS_SCALE_DIR")
	if dir != "" {
		path = filepath.Join(dir, os.Getenv("CHANNELS_EVENTS")+".db")
		_, err := os.Stat(path)
		require.NoError(t, err)
	}
	c := &config{
		db: path, origin: "http://127.0.0.1:8930",
		account: setup.Account{
			Credentials: wechatqr.Credentials{AppID: "wx1", AppSecret: "unused"},
			Events: events.Config{
				AppID: "wx1", Token: "unused", EncodingAESKey: strings.Repeat("a", 42) + "A",
			},
			Location: scaleEnd.Location(), Keep: 30 * 24 * time.Hour,
		},
	}
	var err error
	key := personKey{value: []byte("0123456789abcdef0123456789abcdef")}
	s.desk, err = openDesk(t.Context(), c, &key, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.close()) })
	if dir == "" {
		s.fill()
	}
	s.signIn()
	all, err := s.ledger.Channels(t.Context())
	require.NoError(t, err)
	s.channel = all[len(all)/2].Key
	midnight := scaleEnd.Truncate(time.Hour).Add(-23 * time.Hour)
	s.today = channels.Query{From: midnight, To: midnight.AddDate(0, 0, 1)}
	s.month = channels.Query{From: midnight.AddDate(0, 0, -29), To: s.today.To}
	return s
}

// fill records six weeks of 100 channels.
func (s *deskScale) fill() {
	ctx := s.t.Context()
	for n := range 100 {
		c := channels.Channel{Key: fmt.Sprintf("shop-%03d", n), Group: fmt.Sprint("region-", n%5)}
		require.NoError(s.t, s.ledger.Adopt(ctx, wechatqr.SceneString(fmt.Sprint("s", n)), c))
	}
	for n := range 500 {
		_, err := s.ledger.RecordEvent(ctx, &wechatqr.Event{
			MsgType: "event", Type: wechatqr.EventSubscribe, FromUserName: fmt.Sprint("o-", n),
			CreateTime: scaleEnd.Add(-time.Duration(n) * 2 * time.Hour),
			EventKey:   fmt.Sprint("qrscene_s", n%100), Ticket: "t",
		})
		require.NoError(s.t, err)
	}
}

func (s *deskScale) signIn() {
	link := store.Link{Role: web.Admin, Ends: time.Now().Add(time.Hour)}
	secret, err := s.store.NewLink(s.t.Context(), link)
	require.NoError(s.t, err)
	s.cookie = s.get("/s/"+secret, http.StatusSeeOther).Result().Cookies()[0]
}

func (s *deskScale) get(path string, want int) *httptest.ResponseRecorder {
	s.t.Helper()
	w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, s.config.origin+path, nil)
	if s.cookie != nil {
		r.AddCookie(s.cookie)
	}
	s.pages.ServeHTTP(w, r)
	require.Equal(s.t, want, w.Code)
	return w
}

// spent is time of the clock on the wall and of the processor.
type spent struct{ wall, cpu time.Duration }

// clocks are those outside of the bubble.
func (s *deskScale) clocks() spent {
	var now syscall.Timeval
	require.NoError(s.t, syscall.Gettimeofday(&now))
	var used syscall.Rusage
	require.NoError(s.t, syscall.Getrusage(syscall.RUSAGE_SELF, &used))
	return spent{
		time.Duration(now.Nano()), time.Duration(used.Utime.Nano() + used.Stime.Nano()),
	}
}

func (s *deskScale) measure(do func()) spent {
	before := s.clocks()
	do()
	after := s.clocks()
	return spent{after.wall - before.wall, after.cpu - before.cpu}
}

// median measures five times, after once without.
func (s *deskScale) median(do func()) spent {
	do()
	var all []spent
	for range 5 {
		all = append(all, s.measure(do))
	}
	slices.SortFunc(all, func(a, b spent) int { return int(a.cpu - b.cpu) })
	return all[len(all)/2]
}

// line prints a line of the table; the part is of the processor's time.
func (s *deskScale) line(what string, bytes int, whole spent, part time.Duration) {
	short := func(d time.Duration) time.Duration { return d.Round(100 * time.Microsecond) }
	fmt.Printf("| %-20s | %6d | %8v | %8v | %8v | %3.0f %% |\n", what, bytes,
		short(whole.wall), short(whole.cpu), short(part), 100*part.Seconds()/whole.cpu.Seconds())
}

// measurePages prints each page beside the reports that it needs.
func (s *deskScale) measurePages() {
	all, err := s.ledger.Channels(s.t.Context())
	require.NoError(s.t, err)
	fmt.Printf("%d channels\n| page | bytes | time | CPU | the ledger's CPU | share |\n", len(all))
	for _, page := range []struct {
		what, path string
		reports    func(ctx context.Context) error
	}{
		{"today", "/", s.reportsOfToday},
		{"channels, 30 days", "/channels", s.reportsOf(s.month)},
		{"channels, today", "/channels?period=today", s.reportsOf(s.today)},
		{"a channel, 30 days", "/channels/" + s.channel, s.reportsOfChannel},
	} {
		bytes := s.get(page.path, http.StatusOK).Body.Len()
		whole := s.median(func() { s.get(page.path, http.StatusOK) })
		part := s.median(func() { require.NoError(s.t, page.reports(s.t.Context())) })
		s.line(page.what, bytes, whole, part.cpu)
	}
}

func (s *deskScale) report(ctx context.Context, q channels.Query, by channels.By) error {
	q.By = by
	_, err := s.ledger.Report(ctx, q)
	return err
}

func (s *deskScale) reportsOfToday(ctx context.Context) error {
	two, before := s.today, s.today
	two.From = two.From.AddDate(0, 0, -1)
	before.From, before.To = before.From.AddDate(0, 0, -7), before.To.AddDate(0, 0, -7)
	best, last := s.today, s.today
	best.Top, last.From = 5, time.Now().Truncate(time.Hour)
	two.Sums, before.Sums, best.Sums = true, true, true
	return errors.Join(s.report(ctx, two, channels.ByHour), s.report(ctx, before, channels.ByHour),
		s.report(ctx, best, channels.ByChannel), s.report(ctx, last, 0))
}

func (s *deskScale) reportsOf(q channels.Query) func(context.Context) error {
	return func(ctx context.Context) error {
		_, list := s.ledger.Channels(ctx)
		_, whole := s.ledger.Retention(ctx, q, 7)
		q.By = channels.ByChannel
		_, each := s.ledger.Retention(ctx, q, 7)
		return errors.Join(list, whole, each, s.report(ctx, q, channels.ByChannel))
	}
}

func (s *deskScale) reportsOfChannel(ctx context.Context) error {
	q := s.month
	days := []int{0, 1, 2, 3, 7, 14, 30, 60, 90}
	_, all := s.ledger.Retention(ctx, q, days...)
	q.Channel = s.channel
	_, own := s.ledger.Retention(ctx, q, days...)
	return errors.Join(all, own, s.report(ctx, q, channels.ByDay),
		s.report(ctx, q, channels.ByWeekday))
}

// measureAlerts prints how long the rules take: all of them once an hour, few each minute.
func (s *deskScale) measureAlerts() {
	ctx, cancel := context.WithCancel(s.t.Context())
	id, err := s.store.AddWebhook(ctx, &store.Webhook{
		Title: "nobody", Kind: "json", Address: "http://127.0.0.1:1/",
	})
	require.NoError(s.t, err)
	var running sync.WaitGroup
	hourly := s.measure(func() {
		running.Go(func() { s.alerts.Run(ctx) })
		synctest.Wait()
	})
	often := s.measure(func() {
		time.Sleep(time.Minute + time.Second)
		synctest.Wait()
	})
	raised, err := s.store.Alerts(ctx)
	require.NoError(s.t, err)
	cancel()
	running.Wait()
	ctx = s.t.Context() // the ledger is left as it was
	require.NoError(s.t, errors.Join(s.store.EndAlerts(ctx), s.store.DeleteWebhook(ctx, id)))
	for what, one := range map[string]spent{"each hour": hourly, "each minute": often} {
		fmt.Printf("alerts %s: %v, CPU %v; %d are raised\n", what,
			one.wall.Round(100*time.Microsecond), one.cpu.Round(100*time.Microsecond), len(raised))
	}
}
