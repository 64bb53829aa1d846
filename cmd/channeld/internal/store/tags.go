package store

import (
	"context"
	"errors"
	"strings"
	"time"
)

// Tag returns the tag that who comes by the channel gets, empty for none.
func (s *Store) Tag(ctx context.Context, channel string) (tag string, err error) {
	err = s.row(ctx, []any{&tag}, "SELECT tag FROM desk_tags WHERE channel = ?", channel)
	if errors.Is(err, ErrNotFound) {
		return "", nil
	}
	return tag, err
}

// SetTag sets the tag that who comes by the channel gets; empty takes it away.
func (s *Store) SetTag(ctx context.Context, channel, tag string) error {
	if tag == "" {
		_, err := s.exec(ctx, "DELETE FROM desk_tags WHERE channel = ?", channel)
		return err
	}
	_, err := s.exec(ctx, "INSERT INTO desk_tags (channel, tag) VALUES (?, ?)"+
		s.onConflict("channel")+"tag = "+s.inserted("tag"), channel, tag)
	return err
}

// inserted is the value that an INSERT has for the column, after onConflict.
func (s *Store) inserted(column string) string {
	if s.isMySQL() {
		return "VALUES(" + column + ")"
	}
	return "excluded." + column
}

// outboxLife and the hour between two runs of DeleteExpired make the 48 hours for which an
// openid waits for its tag at most.
const outboxLife = 47 * time.Hour

// AddTagging notes that the person is to get the tag. Who waits for it already goes on
// waiting.
func (s *Store) AddTagging(ctx context.Context, openID, tag string) error {
	now := s.now().Unix()
	_, err := s.exec(ctx, "INSERT INTO desk_outbox (openid, tag, added, due, attempts, problem)"+
		" VALUES (?, ?, ?, ?, 0, '')"+s.onConflict("openid, tag")+"tag = "+s.inserted("tag"),
		openID, tag, now, now)
	return err
}

// DropTaggings forgets which tags the person is still to get.
func (s *Store) DropTaggings(ctx context.Context, openID string) error {
	var n int
	err := s.row(ctx, []any{&n}, "SELECT COUNT(*) FROM desk_outbox WHERE openid = ?", openID)
	if err != nil || n == 0 {
		return err // without taking a lock that the counts need
	}
	_, err = s.exec(ctx, "DELETE FROM desk_outbox WHERE openid = ?", openID)
	return err
}

// Tagging is persons who are to get the same tag.
type Tagging struct {
	Tag      string
	OpenIDs  []string
	Attempts int // of the one that was tried most often
}

// NextTagging returns persons whose tag is due, those who wait longest first, or
// ErrNotFound.
func (s *Store) NextTagging(ctx context.Context, limit int) (t Tagging, err error) {
	now := s.now().Unix()
	err = s.row(ctx, []any{&t.Tag},
		"SELECT tag FROM desk_outbox WHERE due <= ? ORDER BY due, added LIMIT 1", now)
	if err != nil {
		return t, err
	}
	type row struct {
		openID   string
		attempts int
	}
	rows, err := list(ctx, s, func(r *row) []any { return []any{&r.openID, &r.attempts} },
		"SELECT openid, attempts FROM desk_outbox WHERE tag = ? AND due <= ?"+
			" ORDER BY due, added, openid LIMIT ?", t.Tag, now, limit)
	for _, r := range rows {
		t.OpenIDs = append(t.OpenIDs, r.openID)
		t.Attempts = max(t.Attempts, r.attempts)
	}
	if err == nil && len(rows) == 0 {
		err = ErrNotFound
	}
	return t, err
}

// persons is a condition on the openids of the tagging.
func (t *Tagging) persons() (condition string, args []any) {
	marks := strings.TrimSuffix(strings.Repeat("?,", len(t.OpenIDs)), ",")
	args = []any{t.Tag}
	for _, one := range t.OpenIDs {
		args = append(args, one)
	}
	return "tag = ? AND openid IN (" + marks + ")", args
}

// EndTagging deletes the persons, who have the tag or will not get it.
func (s *Store) EndTagging(ctx context.Context, t *Tagging) error {
	condition, args := t.persons()
	_, err := s.exec(ctx, "DELETE FROM desk_outbox WHERE "+condition, args...)
	return err
}

// RetryTagging lets the persons wait until then, for a reason.
func (s *Store) RetryTagging(
	ctx context.Context, t *Tagging, problem string, due time.Time,
) error {
	condition, args := t.persons()
	args = append([]any{problem, due.Unix()}, args...)
	_, err := s.exec(ctx, "UPDATE desk_outbox SET attempts = attempts + 1, problem = ?, due = ?"+
		" WHERE "+condition, args...)
	return err
}

// TagFailure says that persons did not get a tag.
type TagFailure struct {
	Tag     string
	Problem string // an errcode, or "expired"
	Number  int64
	Latest  time.Time
}

const failureLife = 30 * 24 * time.Hour

// AddTagFailure counts persons who will not get the tag.
func (s *Store) AddTagFailure(ctx context.Context, tag, problem string, number int64) error {
	_, err := s.exec(ctx, "INSERT INTO desk_tag_failures (tag, problem, number, latest)"+
		" VALUES (?, ?, ?, ?)"+s.onConflict("tag, problem")+"number = desk_tag_failures.number + "+
		s.inserted("number")+", latest = "+s.inserted("latest"),
		tag, problem, number, s.now().Unix())
	return err
}

// TagFailures returns those of the last 30 days, the newest first.
func (s *Store) TagFailures(ctx context.Context) ([]TagFailure, error) {
	fields := func(f *TagFailure) []any {
		return []any{&f.Tag, &f.Problem, &f.Number, unix{&f.Latest}}
	}
	return list(ctx, s, fields,
		"SELECT tag, problem, number, latest FROM desk_tag_failures ORDER BY latest DESC, tag, problem")
}

// TagWait says how many wait for a tag.
type TagWait struct {
	Tag     string
	Problem string // of the last attempt, empty if there was none
	Number  int64
	Due     time.Time // of the next attempt
}

// TagsWaiting returns how many wait for which tag.
func (s *Store) TagsWaiting(ctx context.Context) ([]TagWait, error) {
	fields := func(w *TagWait) []any { return []any{&w.Tag, &w.Problem, &w.Number, unix{&w.Due}} }
	return list(ctx, s, fields,
		"SELECT tag, problem, COUNT(*), MIN(due) FROM desk_outbox GROUP BY tag, problem"+
			" ORDER BY tag, problem")
}

// expireTaggings deletes who has waited too long, and counts them as failures.
func (s *Store) expireTaggings(ctx context.Context) error {
	old := s.now().Add(-outboxLife).Unix()
	type row struct {
		tag    string
		number int64
	}
	rows, err := list(ctx, s, func(r *row) []any { return []any{&r.tag, &r.number} },
		"SELECT tag, COUNT(*) FROM desk_outbox WHERE added <= ? GROUP BY tag", old)
	if err != nil {
		return err
	}
	for _, r := range rows {
		n, err := s.exec(ctx, "DELETE FROM desk_outbox WHERE tag = ? AND added <= ?", r.tag, old)
		if err == nil && n > 0 {
			err = s.AddTagFailure(ctx, r.tag, "expired", n)
		}
		if err != nil {
			return err
		}
	}
	_, err = s.exec(ctx, "DELETE FROM desk_tag_failures WHERE latest <= ?",
		s.now().Add(-failureLife).Unix())
	return err
}
