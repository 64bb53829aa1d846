package store

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr/channels"
	"github.com/wechatqr/wechatqr/internal/testdb"
)

// onEachBehindProxy runs the test on each kind of server, which a proxy can make silent.
func onEachBehindProxy(t *testing.T, test func(*testing.T, *Store, *testdb.Proxy)) {
	t.Helper()
	testdb.OnEachProxy(t, func(t *testing.T, proxy *testdb.Proxy) {
		s, err := Open(t.Context(), proxy.URL)
		require.NoError(t, err)
		t.Cleanup(func() { _ = s.Close() })
		test(t, s, proxy)
	})
}

// A server that is silent from any moment on holds up nobody who gives up, and keeps no
// connection, not even the only one. What was asked for is done whole or not at all.
func TestSilentServer(t *testing.T) {
	t.Parallel()
	onEachBehindProxy(t, func(t *testing.T, s *Store, proxy *testdb.Proxy) {
		s.db.SetMaxOpenConns(1)
		_, err := s.AddWebhook(t.Context(), &Webhook{Title: "群", Kind: "json"})
		require.NoError(t, err)
		count := func(table string) (n int) {
			t.Helper()
			require.NoError(t, s.row(t.Context(), []any{&n}, "SELECT COUNT(*) FROM "+table))
			return n
		}

		whileSilent := func(call func(ctx context.Context) error) {
			t.Helper()
			proxy.InSilence(t, func(ctx context.Context) { _ = call(ctx) }, func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				require.NoError(t, call(ctx), "the connection is free again")
			})
		}
		whileSilent(func(ctx context.Context) error {
			alerts := []Alert{{Rule: rand.Text()}, {Rule: rand.Text()}}
			return s.ChangeAlerts(ctx, alerts, nil, []string{"one", "two"})
		})
		assert.Equal(t, count("desk_alerts"), count("desk_messages"))

		const rows = rowsAStatement + 1
		whileSilent(func(ctx context.Context) error {
			return s.NewJob(ctx, rand.Text(), "名单", "ann", make([]channels.Channel, rows))
		})
		assert.Equal(t, rows*count("desk_jobs"), count("desk_job_rows"))

		whileSilent(func(ctx context.Context) error {
			_, err := s.Webhooks(ctx)
			return err
		})
		whileSilent(func(ctx context.Context) error {
			_, err := s.Attempt(ctx, "ann")
			return err
		})
		whileSilent(s.migrate)
	})
}

// A server that was silent while many waited for a connection serves them when it answers
// again, although database/sql opens connections for them that no context of theirs ends.
func TestAServerThatWasSilentIsUsedAgain(t *testing.T) {
	t.Parallel()
	onEachBehindProxy(t, func(t *testing.T, s *Store, proxy *testdb.Proxy) {
		s.db.SetMaxIdleConns(0)
		var connections atomic.Int64
		proxy.Set(testdb.Hooks{Answer: func(message string, left <-chan struct{}) bool {
			connections.Add(1)
			return testdb.Silent(message, left)
		}})
		eventually := func(what string, is func() bool) {
			t.Helper()
			require.Eventually(t, is, time.Minute, time.Millisecond, what)
		}

		var callers sync.WaitGroup
		callAll := func(ctx context.Context) {
			for range maxConnections {
				callers.Go(func() { _, _ = s.Webhooks(ctx) })
			}
		}
		first, endFirst := context.WithCancel(t.Context())
		defer endFirst()
		callAll(first)
		eventually("all connect", func() bool { return connections.Load() == maxConnections })
		second, endSecond := context.WithCancel(t.Context())
		defer endSecond()
		callAll(second)
		eventually("all wait", func() bool { return s.db.Stats().WaitCount == maxConnections })
		endFirst()
		eventually("one connects for them", func() bool {
			return connections.Load() > maxConnections
		})
		endSecond()
		callers.Wait()

		proxy.Set(testdb.Hooks{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for err := errors.New("not called yet"); err != nil; {
			require.NoError(t, ctx.Err())
			_, err = s.Webhooks(ctx) // who waits for the silent one is told that it failed
		}
	})
}
