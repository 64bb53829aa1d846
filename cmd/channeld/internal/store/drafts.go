package store

import (
	"context"
	"time"
)

const draftLife = 24 * time.Hour

// NewDraft keeps a list, as CSV, for a day, and returns its ID, which a job of it has too.
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
