package store

import (
	"context"
	"time"

	"github.com/wechatqr/wechatqr/cmd/channeld/internal/web"
)

// Link is an address that lets in who has it: an invitation, by which a user chooses
// their password, or a share link, which shows a channel, a group or everything.
type Link struct {
	ID    string // tells the link, and does not open it
	Title string
	User  string // of an invitation

	Role           web.Role // of a share link
	Channel, Group string

	Ends, Created time.Time
}

const linkColumns = "SELECT hash, title, user_name, role, channel, grp, ends, created" +
	" FROM desk_links"

func (l *Link) fields() []any {
	return []any{
		&l.ID, &l.Title, &l.User, &l.Role, &l.Channel, &l.Group, unix{&l.Ends}, unix{&l.Created},
	}
}

// NewLink returns the secret of a new link. ID and Created are not looked at.
func (s *Store) NewLink(ctx context.Context, l Link) (string, error) {
	secret := newSecret()
	_, err := s.exec(ctx, "INSERT INTO desk_links"+
		" (hash, title, user_name, role, channel, grp, ends, created)"+
		" VALUES (?, ?, ?, ?, ?, ?, ?, ?)", hashOf(secret), l.Title, l.User, l.Role, l.Channel,
		l.Group, l.Ends.Unix(), s.now().Unix())
	return secret, err
}

// Link returns the link of the secret, or ErrNotFound if it has ended.
func (s *Store) Link(ctx context.Context, secret string) (Link, error) {
	return s.link(ctx, hashOf(secret))
}

func (s *Store) link(ctx context.Context, id string) (Link, error) {
	var l Link
	err := s.row(
		ctx, l.fields(), linkColumns+" WHERE hash = ? AND ends > ?", id, s.now().Unix(),
	)
	return l, err
}

// ShareLinks returns those that have not ended, the newest first.
func (s *Store) ShareLinks(ctx context.Context) ([]Link, error) {
	return list(ctx, s, (*Link).fields,
		linkColumns+" WHERE user_name = '' AND ends > ? ORDER BY created DESC, hash",
		s.now().Unix())
}

// EndLink ends the link, and the sessions by it. It reports whether there was one: of
// several who use an invitation at once, the first gets true.
func (s *Store) EndLink(ctx context.Context, id string) (bool, error) {
	n, err := s.exec(ctx, "DELETE FROM desk_links WHERE hash = ?", id)
	return n > 0, err
}
