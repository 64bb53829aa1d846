package store

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr/cmd/channeld/internal/web"
)

func TestSessions(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		require.NoError(t, s.PutUser(ctx, "ann", web.Operator))
		secret, err := s.NewSession(ctx, "ann")
		require.NoError(t, err)
		visitor := func() web.Visitor {
			v, err := s.Visitor(ctx, secret)
			require.NoError(t, err)
			return v
		}
		assert.Equal(t, web.Visitor{Name: "ann", Role: web.Operator}, visitor())

		require.NoError(t, s.PutUser(ctx, "ann", web.Viewer))
		assert.Equal(t, web.Viewer, visitor().Role, "a role applies at once")
		require.NoError(t, s.PutUser(ctx, "ann", web.Viewer))
		assert.Equal(t, web.Viewer, visitor().Role)

		now := time.Now()
		s.now = func() time.Time { return now.Add(SessionLife + time.Second) }
		assert.Zero(t, visitor(), "it has ended")
		s.now = time.Now
		require.NoError(t, s.SetPassword(ctx, "ann", "hash"))
		assert.Zero(t, visitor(), "a new password ends it")

		secret, err = s.NewSession(ctx, "ann")
		require.NoError(t, err)
		require.NoError(t, s.EndSession(ctx, secret))
		assert.Zero(t, visitor())

		secret, err = s.NewSession(ctx, "ann")
		require.NoError(t, err)
		require.NoError(t, s.DeleteUser(ctx, "ann"))
		assert.Zero(t, visitor())
		_, err = s.User(ctx, "ann")
		require.ErrorIs(t, err, ErrNotFound)
	})
}

// Processes that start on an empty database all make its first user.
func TestUsersAreMadeAtOnce(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *Store) {
		for n := range 20 {
			var processes sync.WaitGroup
			for range 8 {
				processes.Go(func() {
					assert.NoError(t, s.PutUser(t.Context(), fmt.Sprint("user", n), web.Admin))
				})
			}
			processes.Wait()
		}
		all, err := s.Users(t.Context())
		require.NoError(t, err)
		assert.Len(t, all, 20)
	})
}

// Who has chosen a password by one invitation cannot be locked out by another.
func TestAPasswordEndsInvitations(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		require.NoError(t, s.PutUser(ctx, "ann", web.Admin))
		invite := func(name string) string {
			secret, err := s.NewLink(ctx, Link{User: name, Ends: time.Now().Add(time.Hour)})
			require.NoError(t, err)
			return secret
		}
		anns, bobs, shared := invite("ann"), invite("bob"), invite("")
		require.NoError(t, s.SetPassword(ctx, "ann", "hash"))
		_, err := s.Link(ctx, anns)
		require.ErrorIs(t, err, ErrNotFound)
		for _, secret := range []string{bobs, shared} {
			_, err = s.Link(ctx, secret)
			require.NoError(t, err)
		}
	})
}

func TestShareLinks(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		ends := time.Unix(time.Now().Unix(), 0).Add(time.Hour)
		shared := Link{Title: "shop", Role: web.Guest, Channel: "sh-7", Ends: ends}
		opens, err := s.NewLink(ctx, shared)
		require.NoError(t, err)
		l, err := s.Link(ctx, opens)
		require.NoError(t, err)
		_, err = s.Link(ctx, l.ID)
		require.ErrorIs(t, err, ErrNotFound, "what the database has opens nothing")

		secret, err := s.NewLinkSession(ctx, &l)
		require.NoError(t, err)
		v, err := s.Visitor(ctx, secret)
		require.NoError(t, err)
		want := web.Visitor{
			Name: "shop", Role: web.Guest, Scope: web.Scope{Channel: "sh-7", Ends: ends},
		}
		assert.Equal(t, want, v)
		links, err := s.ShareLinks(ctx)
		require.NoError(t, err)
		assert.Equal(t, []Link{l}, links)

		there, err := s.EndLink(ctx, l.ID)
		require.NoError(t, err)
		assert.True(t, there)
		v, err = s.Visitor(ctx, secret)
		require.NoError(t, err)
		assert.Zero(t, v, "a revoked link ends the sessions that it began")
		there, err = s.EndLink(ctx, l.ID)
		require.NoError(t, err)
		assert.False(t, there)
	})
}

func TestLinksEnd(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		now := time.Now()
		opens, err := s.NewLink(ctx, Link{User: "ann", Ends: now.Add(time.Hour)})
		require.NoError(t, err)
		s.now = func() time.Time { return now.Add(time.Hour - time.Second) }
		_, err = s.Link(ctx, opens)
		require.NoError(t, err)
		s.now = func() time.Time { return now.Add(time.Hour) }
		_, err = s.Link(ctx, opens)
		require.ErrorIs(t, err, ErrNotFound)
		require.NoError(t, s.DeleteExpired(ctx))
		s.now = time.Now
		_, err = s.Link(ctx, opens)
		require.ErrorIs(t, err, ErrNotFound)
	})
}

func TestAttempts(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		now := time.Unix(900*1000, 0)
		s.now = func() time.Time { return now }
		for want := range int64(3) {
			n, err := s.Attempt(ctx, "ann")
			require.NoError(t, err)
			assert.Equal(t, want+1, n)
		}
		n, err := s.Attempt(ctx, "bob")
		require.NoError(t, err)
		assert.EqualValues(t, 1, n)
		now = now.Add(15 * time.Minute)
		n, err = s.Attempt(ctx, "ann")
		require.NoError(t, err)
		assert.EqualValues(t, 1, n)
	})
}

func TestWelcomes(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		text, err := s.Welcome(ctx, "sh-7")
		require.NoError(t, err)
		assert.Empty(t, text)
		for _, want := range []string{"欢迎", "再次欢迎"} {
			require.NoError(t, s.SetWelcome(ctx, "sh-7", want))
			text, err = s.Welcome(ctx, "sh-7")
			require.NoError(t, err)
			assert.Equal(t, want, text)
		}
	})
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	for name, source := range map[string]string{
		"another database": "oracle://ann:hunter2@db/x",
		"no name":          "mysql://ann:hunter2@db:3306",
		"no URL":           "mysql://ann:hunter2%zz@db/x",
		"unreachable":      "postgres://ann:hunter2@127.0.0.1:1/x?connect_timeout=1",
		"malformed":        "postgres://ann:hunter2@127.0.0.1:port/x",
	} {
		_, err := Open(t.Context(), source)
		require.Error(t, err, name)
		assert.NotContains(t, err.Error(), "hunter2", name)
	}
}

func TestOnlyTheOwnerReadsTheFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "desk.db")
	s, err := Open(t.Context(), path)
	require.NoError(t, err)
	require.NoError(t, s.Close())
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
}

func TestMySQLSource(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]string{
		"mysql://ann:pw@db/x":                   "ann:pw@tcp(db:3306)/x",
		"mysql://ann:p%40w@db:3307/x?tls=true":  "ann:p@w@tcp(db:3307)/x?tls=true",
		"mysql://root@localhost/x?socket=/a/so": "root@unix(/a/so)/x",
	} {
		got, err := mysqlDSN(source)
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
}
