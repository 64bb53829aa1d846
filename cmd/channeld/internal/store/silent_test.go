package store

import (
	"context"
	"crypto/rand"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr/channels"
	"github.com/wechatqr/wechatqr/internal/testdb"
)

// A server that is silent from any moment on holds up nobody who gives up, and keeps no
// connection, not even the only one. What was asked for is done whole or not at all.
func TestSilentServer(t *testing.T) {
	t.Parallel()
	for name, server := range map[string]*testdb.Server{
		"PostgreSQL": testdb.PostgreSQL, "MariaDB": testdb.MariaDB,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			proxy := server.NewProxy(t)
			s, err := Open(t.Context(), proxy.URL)
			require.NoError(t, err)
			t.Cleanup(func() { _ = s.Close() })
			s.db.SetMaxOpenConns(1)
			_, err = s.AddWebhook(t.Context(), &Webhook{Title: "群", Kind: "json"})
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
}
