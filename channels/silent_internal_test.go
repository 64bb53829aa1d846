package channels

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
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
