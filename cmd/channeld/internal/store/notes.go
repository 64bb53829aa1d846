package store

import (
	"context"
	"crypto/rand"
)

// Note is what somebody wrote at a day of a channel.
type Note struct {
	ID      string
	Channel string // its key
	Day     string // 2006-01-02, a local day
	Text    string
	Spent   int64 // on the channel, in the currency's smallest unit; 0 is nothing
}

func (n *Note) fields() []any { return []any{&n.ID, &n.Channel, &n.Day, &n.Text, &n.Spent} }

// AddNote stores the note under a new ID.
func (s *Store) AddNote(ctx context.Context, n *Note) error {
	_, err := s.exec(ctx,
		"INSERT INTO desk_notes (channel, id, day, content, spent, created) VALUES (?, ?, ?, ?, ?, ?)",
		n.Channel, rand.Text(), n.Day, n.Text, n.Spent, s.now().Unix())
	return err
}

// DeleteNote deletes a note of the channel. It is no error if there is none.
func (s *Store) DeleteNote(ctx context.Context, channel, id string) error {
	_, err := s.exec(ctx, "DELETE FROM desk_notes WHERE channel = ? AND id = ?", channel, id)
	return err
}

// Notes returns the latest notes of the channel at days before one, the latest first, and
// of one day the last written.
func (s *Store) Notes(ctx context.Context, channel, before string, most int) ([]Note, error) {
	return list(ctx, s, (*Note).fields, "SELECT id, channel, day, content, spent"+
		" FROM desk_notes WHERE channel = ? AND day < ? ORDER BY day DESC, created DESC, id LIMIT ?",
		channel, before, most)
}

// MoveNotes gives the notes of a channel to another one.
func (s *Store) MoveNotes(ctx context.Context, from, to string) error {
	_, err := s.exec(ctx, "UPDATE desk_notes SET channel = ? WHERE channel = ?", to, from)
	return err
}

// Spent returns what was spent on each channel at days before one, by the channel's key.
func (s *Store) Spent(ctx context.Context, before string) (map[string]int64, error) {
	sums, err := list(ctx, s, func(n *Note) []any { return []any{&n.Channel, &n.Spent} },
		"SELECT channel, SUM(spent) FROM desk_notes WHERE spent > 0 AND day < ? GROUP BY channel",
		before)
	spent := make(map[string]int64, len(sums))
	for i := range sums {
		spent[sums[i].Channel] = sums[i].Spent
	}
	return spent, err
}
