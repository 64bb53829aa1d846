package store

import (
	"context"
	"crypto/rand"
	"time"
)

// LiveEvent is one of the last events, for the pages of every process.
type LiveEvent struct {
	ID    string // empty before it is stored
	At    time.Time
	Kind  string
	Key   string // of the channel, with its name and group
	Name  string
	Group string
}

const liveLife = 6 * time.Hour

// PutLive stores the events, and sets their IDs.
func (s *Store) PutLive(ctx context.Context, all []LiveEvent) error {
	if len(all) == 0 {
		return nil
	}
	columns := []string{"id", "stored", "happened", "kind", "channel", "title", "grp"}
	var values []any
	for i := range all {
		e := &all[i]
		e.ID = rand.Text()
		values = append(values, e.ID, s.now().Unix(), e.At.Unix(), e.Kind, e.Key, e.Name, e.Group)
	}
	return s.insert(ctx, s.db, "desk_live", columns, values)
}

// Live returns the last events that were stored since then, the newest first.
func (s *Store) Live(ctx context.Context, since time.Time, limit int) ([]LiveEvent, error) {
	fields := func(e *LiveEvent) []any {
		return []any{&e.ID, unix{&e.At}, &e.Kind, &e.Key, &e.Name, &e.Group}
	}
	return list(ctx, s, fields,
		"SELECT id, happened, kind, channel, title, grp FROM desk_live WHERE stored >= ?"+
			" ORDER BY stored DESC, happened DESC, id LIMIT ?", since.Unix(), limit)
}
