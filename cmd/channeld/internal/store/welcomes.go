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
	return s.put(ctx, "desk_welcomes", 1, []string{"channel", "content"}, channel, text)
}

// Setting returns the value of the name, or ErrNotFound.
func (s *Store) Setting(ctx context.Context, name string) (value string, err error) {
	err = s.row(ctx, []any{&value}, "SELECT value FROM desk_settings WHERE name = ?", name)
	return value, err
}

// SetSetting sets the value of the name.
func (s *Store) SetSetting(ctx context.Context, name, value string) error {
	return s.put(ctx, "desk_settings", 1, []string{"name", "value"}, name, value)
}
