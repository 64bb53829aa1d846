package channels

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr/internal/sqltx"
)

// A server that is silent from any moment on holds up nobody who gives up, and keeps no
// connection of the pool, not even the only one.
func TestSilentServer(t *testing.T) {
	t.Parallel()
	for name, call := range map[string]func(ctx context.Context, l *Ledger) error{
		"open": func(ctx context.Context, l *Ledger) error {
			_, err := Open(ctx, l.db, l.dialect, l.config)
			return err
		},
		"report": func(ctx context.Context, l *Ledger) error {
			hour := time.Now().Truncate(time.Hour)
			_, err := l.Report(ctx, Query{From: hour.Add(-time.Hour), To: hour})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onServers(t, func(t *testing.T, b *behindProxy) {
				b.db.SetMaxOpenConns(1)
				inSilence := func(ctx context.Context) { _ = call(ctx, b.Ledger) }
				b.InSilence(t, inSilence, func() {
					ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
					defer cancel()
					require.NoError(t, call(ctx, b.Ledger), "the connection is free again")
				})
			})
		})
	}
}

// A transaction that cannot begin leaves the connection to others: SQLite has a database in
// memory as long as its connection.
func TestAConnectionOutlivesATransactionThatCannotBegin(t *testing.T) {
	t.Parallel()
	db := connect(t, "sqlite", ":memory:")
	db.SetMaxOpenConns(1)
	_, err := db.ExecContext(t.Context(), "CREATE TABLE kept (id INTEGER)")
	require.NoError(t, err)
	for _, statements := range [][]string{{"no SQL"}, {"BEGIN", "no SQL"}} {
		_, err = sqltx.Begin(t.Context(), db, statements...)
		require.Error(t, err)
		x, err := sqltx.Begin(t.Context(), db, "BEGIN")
		require.NoError(t, err)
		_, err = x.ExecContext(t.Context(), "INSERT INTO kept VALUES (1)")
		require.NoError(t, err)
		x.Rollback(t.Context())
	}
}
