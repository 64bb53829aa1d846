package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/events"
	"github.com/wechatqr/wechatqr/internal/testdb"
	"github.com/wechatqr/wechatqr/scanlogin"
	"github.com/wechatqr/wechatqr/tickets"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.DiscardHandler)) // of the databases' failures
	if process := os.Getenv(childEnv); process != "" {
		if err := runChild(process); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	code := m.Run()
	testdb.Stop()
	os.Exit(code)
}

func newStore(t testing.TB, d Dialect) *Store {
	t.Helper()
	return openStore(t, newDB(t, d), d)
}

func openStore(t testing.TB, db *sql.DB, d Dialect) *Store {
	t.Helper()
	s, err := New(db, d)
	require.NoError(t, err)
	require.NoError(t, s.CreateTable(t.Context()))
	return s
}

func TestConformance(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d Dialect) {
		s := newStore(t, d)
		t.Run("tokens", func(t *testing.T) {
			t.Parallel()
			wechatqrtest.TestTokenStore(t, func(*testing.T) wechatqr.TokenStore { return s })
		})
		t.Run("events", func(t *testing.T) {
			t.Parallel()
			wechatqrtest.TestDeduper(t, func(*testing.T) events.Deduper { return s })
		})
		t.Run("tickets", func(t *testing.T) {
			t.Parallel()
			wechatqrtest.TestTicketStore(t, func(*testing.T) tickets.Store { return s })
		})
		t.Run("logins", func(t *testing.T) {
			t.Parallel()
			wechatqrtest.TestLoginStore(t, func(*testing.T) scanlogin.Store { return s })
		})
	})
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	_, err := New(nil, SQLite)
	require.ErrorIs(t, err, wechatqr.ErrInvalidArgument)
	_, err = New(newDB(t, SQLite), Dialect{})
	require.ErrorIs(t, err, wechatqr.ErrInvalidArgument)
}

func TestCreateTable(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d Dialect) {
		s, err := New(newDB(t, d), d)
		require.NoError(t, err)
		_, err = s.Claim(t.Context(), "id", "owner", time.Minute)
		require.ErrorIs(t, err, ErrNoTable)

		for range 50 { // PostgreSQL refuses who comes second with any of several errors
			_, err := s.db.ExecContext(t.Context(), "DROP TABLE IF EXISTS wechatqr_store")
			require.NoError(t, err)
			var wg sync.WaitGroup
			for range 8 { // servers that start at once
				wg.Go(func() { assert.NoError(t, s.CreateTable(t.Context())) })
			}
			wg.Wait()
		}
		_, err = s.Claim(t.Context(), "id", "owner", time.Minute)
		require.NoError(t, err)
		require.NoError(t, s.CreateTable(t.Context()))
		got, err := s.Claim(t.Context(), "id", "another", time.Minute)
		require.NoError(t, err)
		assert.Equal(t, events.ClaimBusy, got, "the table's rows stay")
	})
}

// The processes' clocks play no part in what ends when.
func TestClock(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d Dialect) {
		r, err := newStore(t, d).read(t.Context(), "none")
		require.NoError(t, err)
		assert.WithinDuration(t, time.Now(), time.UnixMilli(r.now), 10*time.Second)
	})
}

// A zone whose clock is put back has one hour twice.
func TestClockIgnoresTheSessionsZone(t *testing.T) {
	t.Parallel()
	for d, zone := range map[string]string{
		"PostgreSQL": "SET TIME ZONE 'America/New_York'", "MySQL": "SET time_zone = '-05:00'",
	} {
		for _, dialect := range databases {
			if dialect.name != d {
				continue
			}
			t.Run(d, func(t *testing.T) {
				t.Parallel()
				s := newStore(t, dialect)
				s.db.SetMaxOpenConns(1)
				_, err := s.db.Exec(zone)
				require.NoError(t, err)
				r, err := s.read(t.Context(), "none")
				require.NoError(t, err)
				assert.WithinDuration(t, time.Now(), time.UnixMilli(r.now), 10*time.Second)
			})
		}
	}
}

func TestTableTellsNoOpenID(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d Dialect) {
		s, ctx := newStore(t, d), t.Context()
		const id = "gh_7f08|OPENID|1700000000|scan|||SCENE"
		for _, suffix := range []string{"claimed", "committed"} {
			_, err := s.Claim(ctx, id+suffix, "owner", time.Minute)
			require.NoError(t, err)
		}
		require.NoError(t, s.Commit(ctx, id+"committed", time.Minute))

		rows, err := s.db.Query("SELECT id, data, owner FROM wechatqr_store")
		require.NoError(t, err)
		defer rows.Close()
		n := 0
		for ; rows.Next(); n++ {
			var id, data, owner string
			require.NoError(t, rows.Scan(&id, &data, &owner))
			assert.Regexp(t, "^event:[0-9a-f]{64}$", id)
			for _, secret := range []string{"OPENID", "SCENE", "gh_"} {
				assert.NotContains(t, id+data+owner, secret)
			}
		}
		require.NoError(t, rows.Err())
		assert.Equal(t, 2, n)
	})
}

// What ended goes, a bounded number at a time; what has not ended stays.
func TestClean(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d Dialect) {
		s, ctx := newStore(t, d), t.Context()
		permanent := tickets.Key{Account: "wx", Scene: wechatqr.SceneString("shop-7")}
		_, err := s.ClaimTicket(ctx, permanent, "owner", time.Millisecond, 10)
		require.NoError(t, err)
		require.NoError(t, s.Commit(ctx, "kept", time.Hour))
		r, err := s.read(ctx, "none")
		require.NoError(t, err)
		const old = 500
		for i := range old {
			ended := row{data: handled, ends: r.now - 2*cleanAfter.Milliseconds()}
			require.NoError(t, s.write(ctx, eventID(fmt.Sprint("old", i)), row{}, ended))
		}

		count := func() (n int) {
			require.NoError(t, s.db.QueryRow("SELECT COUNT(*) FROM wechatqr_store").Scan(&n))
			return n
		}
		const kept = 3 // with the number of the permanent tickets
		require.Equal(t, old+kept, count())
		s.clean(ctx, r.now)
		assert.Equal(t, old+kept-cleanRows, count())

		for i := range 4 * cleanEvery { // and by itself
			require.NoError(t, s.Commit(ctx, fmt.Sprint("new", i), time.Hour))
		}
		assert.Equal(t, kept+4*cleanEvery, count())
		n, err := s.CountPermanent(ctx, "wx")
		require.NoError(t, err)
		assert.Equal(t, 1, n)
		got, err := s.Claim(ctx, "kept", "owner", time.Minute)
		require.NoError(t, err)
		assert.Equal(t, events.ClaimHandled, got)
	})
}

// Many that claim at once, also the same key, do not pass the budget.
func TestBudgetIsExact(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d Dialect) {
		s := newStore(t, d)
		const budget = 5
		var granted atomic.Int32
		var wg sync.WaitGroup
		for i := range 24 {
			wg.Go(func() {
				key, owner := permanentKey(1+i/2), fmt.Sprint("owner", i)
				got, err := s.ClaimTicket(t.Context(), key, owner, time.Hour, budget)
				if assert.NoError(t, err) && got == tickets.ClaimGranted {
					granted.Add(1)
				}
			})
		}
		wg.Wait()
		assert.EqualValues(t, budget, granted.Load())
		n, err := s.CountPermanent(t.Context(), "wx")
		require.NoError(t, err)
		assert.Equal(t, budget, n)
	})
}

func TestErrorsThatAreRepeated(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err  error
		want bool
	}{
		"MySQL deadlock":       {errors.New("Error 1213 (40001): Deadlock found"), true},
		"MySQL invalid":        {errors.New("invalid connection"), true},
		"end of the stream":    {fmt.Errorf("read: %w", io.ErrUnexpectedEOF), true},
		"another wrote":        {errChanged, true},
		"MySQL syntax":         {errors.New("Error 1064 (42000): You have an error"), false},
		"over budget":          {errOverBudget, false},
		"a context that ended": {context.Canceled, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, c.want, lostRace(c.err) || lostConnection(c.err))
		})
	}
}
