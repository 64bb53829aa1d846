package store

import (
	"context"
	"errors"
	"time"

	"github.com/wechatqr/wechatqr/cmd/channeld/internal/web"
)

// User is somebody who may sign in.
type User struct {
	Name     string
	Role     web.Role
	Password string // its argon2id hash; empty until the invitation was used
	Created  time.Time
}

const userColumns = "SELECT name, role, password, created FROM desk_users"

func (u *User) fields() []any {
	return []any{&u.Name, &u.Role, &u.Password, unix{&u.Created}}
}

// PutUser makes the user, or changes their role.
func (s *Store) PutUser(ctx context.Context, name string, role web.Role) error {
	_, err := s.exec(ctx, "INSERT INTO desk_users (name, role, password, created)"+
		" VALUES (?, ?, '', ?)"+s.onConflict("name")+"role = "+s.inserted("role"),
		name, role, s.now().Unix())
	return err
}

// SetPassword sets the hash of the user's password, and ends their sessions and the
// invitations that they have not used.
func (s *Store) SetPassword(ctx context.Context, name, hash string) error {
	_, err := s.exec(ctx, "UPDATE desk_users SET password = ? WHERE name = ?", hash, name)
	return errors.Join(err, s.endInvitationsOf(ctx, name), s.endSessionsOf(ctx, name))
}

func (s *Store) endInvitationsOf(ctx context.Context, name string) error {
	_, err := s.exec(ctx, "DELETE FROM desk_links WHERE user_name = ?", name)
	return err
}

// DeleteUser deletes the user with their sessions and invitations.
func (s *Store) DeleteUser(ctx context.Context, name string) error {
	_, err := s.exec(ctx, "DELETE FROM desk_users WHERE name = ?", name)
	return errors.Join(err, s.endInvitationsOf(ctx, name), s.endSessionsOf(ctx, name))
}

// User returns the user, or ErrNotFound.
func (s *Store) User(ctx context.Context, name string) (User, error) {
	var u User
	err := s.row(ctx, u.fields(), userColumns+" WHERE name = ?", name)
	return u, err
}

// Users returns all users by name.
func (s *Store) Users(ctx context.Context) ([]User, error) {
	return list(ctx, s, (*User).fields, userColumns+" ORDER BY name")
}
