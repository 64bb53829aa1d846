package store

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"time"

	"github.com/wechatqr/wechatqr/cmd/channeld/internal/web"
)

// SessionLife is how long somebody stays signed in.
const SessionLife = 30 * 24 * time.Hour

// newSecret is 26 letters and digits that cannot be guessed; the database has hashOf it.
func newSecret() string { return rand.Text() }

func hashOf(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// NewSession returns the secret of a new session of the user.
func (s *Store) NewSession(ctx context.Context, user string) (string, error) {
	return s.newSession(ctx, user, "", s.now().Add(SessionLife))
}

// NewLinkSession returns the secret of a new session by a link, which ends with it.
func (s *Store) NewLinkSession(ctx context.Context, l *Link) (string, error) {
	ends := s.now().Add(SessionLife)
	if l.Ends.Before(ends) {
		ends = l.Ends
	}
	return s.newSession(ctx, "", l.ID, ends)
}

func (s *Store) newSession(
	ctx context.Context, user, link string, ends time.Time,
) (string, error) {
	secret := newSecret()
	_, err := s.exec(ctx,
		"INSERT INTO desk_sessions (hash, user_name, link, ends) VALUES (?, ?, ?, ?)",
		hashOf(secret), user, link, ends.Unix())
	return secret, err
}

// Visitor returns whose session it is; the zero Visitor if it has ended. What the user or
// the link may do is read at every request, so that a change applies at once.
func (s *Store) Visitor(ctx context.Context, secret string) (web.Visitor, error) {
	var user, link string
	err := s.row(ctx, []any{&user, &link},
		"SELECT user_name, link FROM desk_sessions WHERE hash = ? AND ends > ?",
		hashOf(secret), s.now().Unix())
	switch {
	case errors.Is(err, ErrNotFound):
		return web.Visitor{}, nil
	case err != nil:
		return web.Visitor{}, err
	case link != "":
		return s.linkVisitor(ctx, link)
	}
	u, err := s.User(ctx, user)
	if errors.Is(err, ErrNotFound) {
		return web.Visitor{}, nil
	}
	return web.Visitor{Name: u.Name, Role: u.Role}, err
}

func (s *Store) linkVisitor(ctx context.Context, id string) (web.Visitor, error) {
	l, err := s.link(ctx, id)
	if errors.Is(err, ErrNotFound) {
		return web.Visitor{}, nil
	}
	scope := web.Scope{Channel: l.Channel, Group: l.Group, Ends: l.Ends}
	return web.Visitor{Name: l.Title, Role: l.Role, Scope: scope}, err
}

// EndSession ends the session.
func (s *Store) EndSession(ctx context.Context, secret string) error {
	_, err := s.exec(ctx, "DELETE FROM desk_sessions WHERE hash = ?", hashOf(secret))
	return err
}

func (s *Store) endSessionsOf(ctx context.Context, user string) error {
	_, err := s.exec(ctx, "DELETE FROM desk_sessions WHERE user_name = ?", user)
	return err
}
