package store

import (
	"context"
	"time"
)

const attemptsPeriod = int64(15 * time.Minute / time.Second)

// Attempt counts one more attempt by the subject and returns how many there were in this
// quarter of an hour. The subject is stored as a hash.
func (s *Store) Attempt(ctx context.Context, subject string) (n int64, err error) {
	quarter := s.now().Unix() / attemptsPeriod
	key := hashOf(subject)
	_, err = s.exec(ctx, "INSERT INTO desk_attempts (subject, quarter, number) VALUES (?, ?, 1)"+
		s.onConflict("subject, quarter")+"number = desk_attempts.number + 1", key, quarter)
	if err != nil {
		return 0, err
	}
	err = s.row(ctx, []any{&n},
		"SELECT number FROM desk_attempts WHERE subject = ? AND quarter = ?", key, quarter)
	return n, err
}

// DeleteExpired deletes what has ended: sessions, links, attempts, drafts, last events,
// messages, jobs that ended and openids that wait for a tag. Have it run every hour.
func (s *Store) DeleteExpired(ctx context.Context) error {
	now, oldJob := s.now().Unix(), s.now().Add(-jobLife).Unix()
	for _, statement := range []struct {
		query string
		until int64
	}{
		{"DELETE FROM desk_sessions WHERE ends <= ?", now},
		{"DELETE FROM desk_links WHERE ends <= ?", now},
		{"DELETE FROM desk_messages WHERE created < ?", s.now().Add(-messageLife).Unix()},
		{"DELETE FROM desk_drafts WHERE created < ?", s.now().Add(-draftLife).Unix()},
		{"DELETE FROM desk_live WHERE stored < ?", s.now().Add(-liveLife).Unix()},
		{"DELETE FROM desk_job_rows WHERE job IN" +
			" (SELECT id FROM desk_jobs WHERE ended = 1 AND created < ?)", oldJob},
		{"DELETE FROM desk_jobs WHERE ended = 1 AND created < ?", oldJob},
		{
			"DELETE FROM desk_reconciles WHERE began < ?", s.now().Add(-reconcilesLife).Unix(),
		},
		{"DELETE FROM desk_attempts WHERE quarter < ?", now/attemptsPeriod - 1},
	} {
		if _, err := s.exec(ctx, statement.query, statement.until); err != nil {
			return err
		}
	}
	return s.expireTaggings(ctx)
}
