package store

import (
	"context"
	"crypto/rand"
	"time"
)

// Reconcile is a run that compared the ledger with WeChat's list of followers.
type Reconcile struct {
	ID    string
	Began time.Time
	Ended time.Time // zero: it goes on, or its process was killed

	Listed, Found, Lost int
	Unknown             int    // see channels.Reconciled
	Problem             string // why it did not succeed
}

// Succeeded reports whether the whole list was compared.
func (r *Reconcile) Succeeded() bool { return !r.Ended.IsZero() && r.Problem == "" }

const reconcilesLife = 100 * 24 * time.Hour

// BeginReconcile notes that a run begins now.
func (s *Store) BeginReconcile(ctx context.Context) (Reconcile, error) {
	r := Reconcile{ID: rand.Text(), Began: time.Unix(s.now().Unix(), 0)}
	_, err := s.exec(ctx, "INSERT INTO desk_reconciles"+
		" (id, began, ended, listed, found, lost, unknown_lost, problem)"+
		" VALUES (?, ?, 0, 0, 0, 0, 0, '')",
		r.ID, r.Began.Unix())
	return r, err
}

// EndReconcile notes what the run found, or its problem, and that it ends now.
func (s *Store) EndReconcile(ctx context.Context, r *Reconcile) error {
	_, err := s.exec(ctx, "UPDATE desk_reconciles"+
		" SET ended = ?, listed = ?, found = ?, lost = ?, unknown_lost = ?, problem = ?"+
		" WHERE id = ?",
		s.now().Unix(), r.Listed, r.Found, r.Lost, r.Unknown, r.Problem, r.ID)
	return err
}

// Reconciles returns the last runs, the newest first.
func (s *Store) Reconciles(ctx context.Context, limit int) ([]Reconcile, error) {
	fields := func(r *Reconcile) []any {
		return []any{
			&r.ID, unix{&r.Began}, unix{&r.Ended}, &r.Listed, &r.Found, &r.Lost, &r.Unknown,
			&r.Problem,
		}
	}
	return list(ctx, s, fields, "SELECT id, began, ended, listed, found, lost, unknown_lost,"+
		" problem FROM desk_reconciles ORDER BY began DESC, id LIMIT ?", limit)
}
