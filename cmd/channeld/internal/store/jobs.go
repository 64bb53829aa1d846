package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/wechatqr/wechatqr/channels"
)

// Job makes the codes of a list of channels. It survives the process that works on it.
type Job struct {
	ID      string
	Title   string
	By      string // who made it
	Created time.Time

	ResumeAt time.Time // not before then; zero: at once
	Problem  string    // why it pauses, an errcode such as "45009"; empty if it does not
	Ended    bool      // nothing is left to do, or nothing can be done

	Rows, Made, Failed int
}

// Left is how many rows are still to be made.
func (j *Job) Left() int { return j.Rows - j.Made - j.Failed }

// JobRow is a channel of a job.
type JobRow struct {
	Number  int // in the list, from 1 on
	Channel channels.Channel
	Made    bool
	Problem string // why it could not be made
}

// jobLife is how long a job is kept that has ended.
const jobLife = 90 * 24 * time.Hour

// NewJob starts the job with the ID of the draft that it is from. If there is one by then, it
// is an error.
func (s *Store) NewJob(
	ctx context.Context, id, title, by string, all []channels.Channel,
) error {
	return s.transact(ctx, func(tx execer) error {
		columns := []string{"job", "number", "channel", "title", "grp", "made", "problem"}
		for first := 0; first < len(all); first += rowsAStatement {
			var values []any
			for i, c := range all[first:min(first+rowsAStatement, len(all))] {
				values = append(values, id, first+i+1, c.Key, c.Name, c.Group, 0, "")
			}
			if err := s.insert(ctx, tx, "desk_job_rows", columns, values); err != nil {
				return err
			}
		}
		columns = []string{
			"id", "title", "made_by", "created", "ended", "resume_at", "problem", "owner", "lease",
		}
		values := []any{id, title, by, s.now().Unix(), 0, 0, "", "", 0}
		return s.insert(ctx, tx, "desk_jobs", columns, values)
	})
}

const rowsAStatement = 100

// execer is a database or a transaction.
type execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

func (s *Store) insert(
	ctx context.Context, db execer, table string, columns []string, values []any,
) error {
	one := "(" + strings.TrimSuffix(strings.Repeat("?,", len(columns)), ",") + ")"
	all := strings.TrimSuffix(strings.Repeat(one+",", len(values)/len(columns)), ",")
	query := fmt.Sprintf("INSERT INTO %s (%s) VALUES %s", table, strings.Join(columns, ", "), all)
	if _, err := db.ExecContext(ctx, s.rebind(query), values...); err != nil {
		return fmt.Errorf("channeld: database: %w", err)
	}
	return nil
}

func (j *Job) fields() []any {
	return []any{
		&j.ID, &j.Title, &j.By, unix{&j.Created}, &j.Ended, unix{&j.ResumeAt}, &j.Problem,
		&j.Rows, &j.Made, &j.Failed,
	}
}

const jobColumns = "SELECT j.id, j.title, j.made_by, j.created, j.ended = 1, j.resume_at," +
	" j.problem, (SELECT COUNT(*) FROM desk_job_rows r WHERE r.job = j.id)," +
	" (SELECT COUNT(*) FROM desk_job_rows r WHERE r.job = j.id AND r.made = 1)," +
	" (SELECT COUNT(*) FROM desk_job_rows r WHERE r.job = j.id AND r.problem <> '')" +
	" FROM desk_jobs j"

// Job returns the job, or ErrNotFound.
func (s *Store) Job(ctx context.Context, id string) (Job, error) {
	var j Job
	err := s.row(ctx, j.fields(), jobColumns+" WHERE j.id = ?", id)
	return j, err
}

// Jobs returns the last jobs, the newest first.
func (s *Store) Jobs(ctx context.Context) ([]Job, error) {
	return list(ctx, s, (*Job).fields, jobColumns+" ORDER BY j.created DESC, j.id LIMIT 20")
}

// ResumeJob ends the pause of the job.
func (s *Store) ResumeJob(ctx context.Context, id string) error {
	_, err := s.exec(ctx, "UPDATE desk_jobs SET resume_at = 0 WHERE id = ?", id)
	return err
}

// ClaimJob returns a job to work on, which no other owner works on until the lease ends,
// or ErrNotFound. The owner who claims again prolongs the lease.
func (s *Store) ClaimJob(ctx context.Context, owner string, lease time.Duration) (Job, error) {
	now := s.now().Unix()
	var id string
	err := s.row(ctx, []any{&id}, "SELECT id FROM desk_jobs WHERE ended = 0"+
		" AND resume_at <= ? AND (lease <= ? OR owner = ?) ORDER BY created, id LIMIT 1",
		now, now, owner)
	if err != nil {
		return Job{}, err
	}
	n, err := s.exec(ctx, "UPDATE desk_jobs SET owner = ?, lease = ?, problem = '', resume_at = 0"+
		" WHERE id = ? AND ended = 0 AND resume_at <= ? AND (lease <= ? OR owner = ?)",
		owner, s.now().Add(lease).Unix(), id, now, now, owner)
	switch {
	case err != nil:
		return Job{}, err
	case n == 0: // another was faster, or the same lease was written again
		return s.jobOf(ctx, id, owner)
	}
	return s.Job(ctx, id)
}

func (s *Store) jobOf(ctx context.Context, id, owner string) (Job, error) {
	var found string
	err := s.row(
		ctx, []any{&found}, "SELECT id FROM desk_jobs WHERE id = ? AND owner = ?", id, owner,
	)
	if err != nil {
		return Job{}, err
	}
	return s.Job(ctx, id)
}

// JobRowsLeft returns rows of the job that are still to be made, in order.
func (s *Store) JobRowsLeft(ctx context.Context, id string, limit int) ([]JobRow, error) {
	return s.jobRows(ctx, "job = ? AND made = 0 AND problem = ''", id, limit)
}

// JobProblems returns rows of the job that could not be made, in order.
func (s *Store) JobProblems(ctx context.Context, id string, limit int) ([]JobRow, error) {
	return s.jobRows(ctx, "job = ? AND problem <> ''", id, limit)
}

// JobRows returns rows of the job, in order.
func (s *Store) JobRows(ctx context.Context, id string, limit int) ([]JobRow, error) {
	return s.jobRows(ctx, "job = ?", id, limit)
}

func (s *Store) jobRows(
	ctx context.Context, where, id string, limit int,
) ([]JobRow, error) {
	fields := func(r *JobRow) []any {
		return []any{
			&r.Number, &r.Channel.Key, &r.Channel.Name, &r.Channel.Group, &r.Made, &r.Problem,
		}
	}
	query := "SELECT number, channel, title, grp, made = 1, problem FROM desk_job_rows WHERE " +
		where + " ORDER BY number LIMIT ?"
	return list(ctx, s, fields, query, id, limit)
}

// SetJobRow notes that the row was made or, with a problem, that it cannot be.
func (s *Store) SetJobRow(ctx context.Context, id string, number int, problem string) error {
	made := 1
	if problem != "" {
		made = 0
	}
	_, err := s.exec(ctx,
		"UPDATE desk_job_rows SET made = ?, problem = ? WHERE job = ? AND number = ?",
		made, problem, id, number)
	return err
}

// PauseJob lets the job rest until then, for a reason. The zero time ends it.
func (s *Store) PauseJob(ctx context.Context, id, problem string, until time.Time) error {
	ended, resume := 0, until.Unix()
	if until.IsZero() {
		ended, resume = 1, 0
	}
	_, err := s.exec(ctx, "UPDATE desk_jobs SET problem = ?, resume_at = ?, ended = ?, owner = '',"+
		" lease = 0 WHERE id = ?", problem, resume, ended, id)
	return err
}
