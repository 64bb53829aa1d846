package sqlstore

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/internal/testdb"
	"github.com/wechatqr/wechatqr/tickets"
)

// silentServer is a store with one connection to a server that is silent at times.
type silentServer struct {
	*Store
	known int // permanent keys
}

// A server that is silent from any moment of a claim on holds nobody up who gives up: the
// claim ends with its context, and its connection is free. Whether the claim was carried
// out, in part or not, each key counts once, also if another one is claimed first.
func TestServerIsSilentWithinAClaim(t *testing.T) {
	t.Parallel()
	for d, server := range map[*Dialect]*testdb.Server{
		&PostgreSQL: testdb.PostgreSQL, &MySQL: testdb.MariaDB,
	} {
		t.Run(d.String(), func(t *testing.T) {
			t.Parallel()
			proxy := server.NewProxy(t)
			db := connect(t, server.Driver, proxy.DSN)
			db.SetMaxOpenConns(1)
			s := &silentServer{openStore(t, db, *d), 0}
			proxy.InSilence(t, s.claimNext, func() { s.claimAfter(t) })
			assert.Greater(t, s.known, 20)
			assert.Equal(t, tickets.ClaimOverBudget, s.claim(t, s.known+1, "owner"))
		})
	}
}

func permanentKey(number int) tickets.Key {
	return tickets.Key{Account: "wx", Scene: wechatqr.SceneID(uint32(number))}
}

func (s *silentServer) claimNext(ctx context.Context) {
	_, _ = s.ClaimTicket(ctx, permanentKey(s.known+1), "owner", time.Hour, s.known+2)
}

// claimAfter claims another key, and then the one that was claimed in silence.
func (s *silentServer) claimAfter(t *testing.T) {
	t.Helper()
	first := s.known + 1
	s.known += 2
	assert.Equal(t, tickets.ClaimGranted, s.claim(t, s.known, "owner"))
	assert.Equal(t, tickets.ClaimGranted, s.claim(t, first, "owner"))
	assert.Equal(t, tickets.ClaimBusy, s.claim(t, first, "another"))

	n, err := s.CountPermanent(t.Context(), "wx")
	require.NoError(t, err)
	assert.Equal(t, s.known, n)
	var rows int
	query := "SELECT COUNT(*) FROM wechatqr_store WHERE id LIKE 'ticket:%'"
	require.NoError(t, s.db.QueryRowContext(t.Context(), query).Scan(&rows))
	assert.Equal(t, s.known, rows)
}

// claim claims a key, with a budget for those that are known.
func (s *silentServer) claim(t *testing.T, number int, owner string) tickets.Claim {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	got, err := s.ClaimTicket(ctx, permanentKey(number), owner, time.Hour, s.known)
	require.NoError(t, err, "the connection is free again")
	return got
}
