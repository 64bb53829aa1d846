package store

import (
	"context"
	"time"
)

const draftLife = 24 * time.Hour

// NewDraft keeps a list, as CSV, for a day, and returns its ID.
func (s *Store) NewDraft(ctx context.Context, title, csv string) (string, error) {
	id := newSecret()
	_, err := s.exec(ctx, "INSERT INTO desk_drafts (id, title, csv, created) VALUES (?, ?, ?, ?)",
		id, title, csv, s.now().Unix())
	return id, err
}

// Draft returns the list, or ErrNotFound.
func (s *Store) Draft(ctx context.Context, id string) (title, csv string, err error) {
	err = s.row(
		ctx, []any{&title, &csv}, "SELECT title, csv FROM desk_drafts WHERE id = ?", id,
	)
	return title, csv, err
}

// DeleteDraft deletes the list. It reports whether there was one: of several who start it
// at once, the first gets true.
func (s *Store) DeleteDraft(ctx context.Context, id string) (bool, error) {
	n, err := s.exec(ctx, "DELETE FROM desk_drafts WHERE id = ?", id)
	return n > 0, err
}
