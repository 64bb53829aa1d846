package sqlstore

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// forever is the end of what does not end.
const forever = math.MaxInt64

// row is a row of the table, without its id. Times are milliseconds of the database's
// clock, 0 if there is none.
type row struct {
	data     string
	ends     int64 // of data; 0: there is none
	owner    string
	leaseEnd int64

	// revision is a random number that each write replaces: a row is written if it
	// still has the one that was read, and a write whose response was lost is found
	// again by the one that it wrote.
	revision int64
	exists   bool

	now     int64     // when it was read
	readAt  time.Time // by this machine's clock, not late
	written bool      // by change
}

// read returns the row under id, without data that has ended.
func (s *Store) read(ctx context.Context, id string) (r row, err error) {
	r.readAt = time.Now().Round(0)
	var data, owner []byte
	query := "SELECT clock.now_ms, r.revision IS NOT NULL, COALESCE(r.revision, 0), r.data, " +
		"COALESCE(r.ends, 0), r.owner, COALESCE(r.lease_ends, 0) FROM (SELECT " + s.dialect.now +
		" AS now_ms) clock LEFT JOIN wechatqr_store r ON r.id = ?"
	err = s.queryRow(ctx, query, []any{id},
		&r.now, &r.exists, &r.revision, &data, &r.ends, &owner, &r.leaseEnd)
	r.data, r.owner = string(data), string(owner)
	if r.ends <= r.now {
		r.data, r.ends = "", 0
	}
	return r, err
}

// queryRow reads the one row of the result, and on to the end of that. QueryRow of
// database/sql leaves the end to Close, which with go-sql-driver/mysql heeds no context.
func (s *Store) queryRow(ctx context.Context, query string, args []any, dest ...any) error {
	rows, err := s.db.QueryContext(ctx, s.dialect.rebind(query), args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := rows.Scan(dest...); err != nil {
			return err
		}
	}
	return rows.Err()
}

// load is read, repeated.
func (s *Store) load(ctx context.Context, op, id string) (row, error) {
	return repeat(ctx, op, func() (row, error) { return s.read(ctx, id) })
}

// localEnd is when data ends by this machine's clock, not late. It is for data that ends.
func (r *row) localEnd() time.Time {
	return r.readAt.Add(time.Duration(r.ends-r.now-1) * time.Millisecond)
}

// change has decide change the row under id, empty at first, writes it unless decide
// returns false, and returns it as decide left it. decide may be called several times.
func (s *Store) change(
	ctx context.Context, op, id string, decide func(r *row) bool,
) (row, error) {
	var wrote row // by an attempt whose response may be lost
	revision := rand.Int64()
	return repeat(ctx, op, func() (row, error) {
		old, err := s.read(ctx, id)
		switch {
		case err != nil:
			return row{}, err
		case old.exists && old.revision == revision:
			return wrote, nil
		}
		r := old
		if !decide(&r) {
			return r, nil
		}

		r.revision, r.written = revision, true
		wrote = r
		err = s.write(ctx, id, old, r)
		if err == nil && !old.exists && s.inserts.Add(1)%cleanEvery == 1 {
			s.clean(ctx, r.now)
		}
		return r, err
	})
}

// write replaces old by r, or returns errChanged if the table has another row than old.
func (s *Store) write(ctx context.Context, id string, old, r row) error {
	query := "UPDATE wechatqr_store SET revision = ?, data = ?, ends = ?, owner = ?, " +
		"lease_ends = ?, expires = ? WHERE id = ? AND revision = ?"
	last := []any{id, old.revision}
	if !old.exists {
		query = s.dialect.insert + " INTO wechatqr_store " +
			"(revision, data, ends, owner, lease_ends, expires, id) VALUES (?, ?, ?, ?, ?, ?, ?)" +
			s.dialect.ignore
		last = []any{id}
	}
	args := append([]any{
		r.revision, []byte(r.data), r.ends, []byte(r.owner), r.leaseEnd, max(r.ends, r.leaseEnd),
	}, last...)

	result, err := s.db.ExecContext(ctx, s.dialect.rebind(query), args...)
	if err != nil {
		return err
	}
	n, err := result.RowsAffected()
	if err == nil && n == 0 {
		err = errChanged
	}
	return err
}

// lease takes the row's lease for the time ttl, 1 ms at least, or prolongs it for the
// owner that has it. It returns false while another has it.
func (r *row) lease(owner string, ttl time.Duration) bool {
	if r.leasedByAnother(owner) {
		return false
	}
	r.owner, r.leaseEnd = owner, r.now+atLeast1(ttl)
	return true
}

// leasedByAnother reports whether the lease of another than owner runs.
func (r *row) leasedByAnother(owner string) bool {
	return r.leaseEnd > r.now && r.owner != owner
}

// release ends the row's lease if it is owner's.
func (s *Store) release(ctx context.Context, op, id, owner string) error {
	_, err := s.change(ctx, op, id, func(r *row) bool {
		if r.owner != owner || r.leaseEnd == 0 {
			return false
		}
		r.owner, r.leaseEnd = "", 0
		return true
	})
	return err
}

func atLeast1(d time.Duration) int64 { return max(1, d.Milliseconds()) }

const (
	cleanEvery   = 64 // inserts of this Store
	cleanRows    = 200
	cleanTimeout = 100 * time.Millisecond
	// cleanAfter leaves room for the clocks of a cluster's nodes.
	cleanAfter = time.Minute
)

// clean deletes some of the rows that ended. What it cannot do the next call does.
func (s *Store) clean(ctx context.Context, now int64) {
	ctx, cancel := context.WithTimeout(ctx, cleanTimeout)
	defer cancel()
	before := now - cleanAfter.Milliseconds()

	query := "SELECT id FROM wechatqr_store WHERE expires < ? ORDER BY expires LIMIT ?"
	rows, err := s.db.QueryContext(ctx, s.dialect.rebind(query), before, cleanRows)
	if err != nil {
		return
	}
	defer rows.Close()
	var ids []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return
		}
		ids = append(ids, id)
	}
	if rows.Err() != nil || len(ids) == 0 {
		return
	}

	slices.Sort(ids) // so that two processes wait for each other in one order
	args := []any{before}
	for _, id := range ids {
		args = append(args, id)
	}
	query = "DELETE FROM wechatqr_store WHERE expires < ? AND id IN (?" +
		strings.Repeat(", ?", len(ids)-1) + ")"
	_, _ = s.db.ExecContext(ctx, s.dialect.rebind(query), args...)
}
