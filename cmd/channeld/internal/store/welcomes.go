package store

import (
	"context"
	"errors"
)

// Welcome returns the text that answers who comes by the channel, empty for none.
func (s *Store) Welcome(ctx context.Context, channel string) (text string, err error) {
	err = s.row(ctx, []any{&text}, "SELECT content FROM desk_welcomes WHERE channel = ?", channel)
	if errors.Is(err, ErrNotFound) {
		return "", nil
	}
	return text, err
}

// SetWelcome sets the text that answers who comes by the channel.
func (s *Store) SetWelcome(ctx context.Context, channel, text string) error {
	value := "excluded.content"
	if s.isMySQL() {
		value = "VALUES(content)"
	}
	_, err := s.exec(ctx, "INSERT INTO desk_welcomes (channel, content) VALUES (?, ?)"+
		s.onConflict("channel")+"content = "+value, channel, text)
	return err
}
