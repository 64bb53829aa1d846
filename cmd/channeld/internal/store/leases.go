package store

import (
	"context"
	"errors"
	"time"
)

// Lease reports whether the task is the owner's from now on, for that long. The owner who
// asks again prolongs it.
func (s *Store) Lease(
	ctx context.Context, task, owner string, life time.Duration,
) (bool, error) {
	now := s.now()
	n, err := s.exec(ctx,
		"UPDATE desk_leases SET owner = ?, ends = ? WHERE task = ? AND (ends <= ? OR owner = ?)",
		owner, now.Add(life).Unix(), task, now.Unix(), owner)
	if err != nil || n > 0 {
		return n > 0, err
	}
	has, err := s.leaseOwner(ctx, task)
	if !errors.Is(err, ErrNotFound) {
		return has == owner, err // MySQL does not count a row that stays as it was
	}
	_, err = s.exec(ctx, "INSERT INTO desk_leases (task, owner, ends) VALUES (?, ?, ?)",
		task, owner, now.Add(life).Unix())
	if err == nil {
		return true, nil
	}
	if has, readErr := s.leaseOwner(ctx, task); readErr == nil { // another was faster
		return has == owner, nil
	}
	return false, err
}

func (s *Store) leaseOwner(ctx context.Context, task string) (owner string, err error) {
	err = s.row(ctx, []any{&owner}, "SELECT owner FROM desk_leases WHERE task = ?", task)
	return owner, err
}

// EndLease gives the task back, so that another process need not wait, also when ctx has
// ended. If it fails the lease ends by itself.
func (s *Store) EndLease(ctx context.Context, task, owner string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_, err := s.exec(ctx, "DELETE FROM desk_leases WHERE task = ? AND owner = ?", task, owner)
	return err
}

// IsLeased reports whether the task is somebody's.
func (s *Store) IsLeased(ctx context.Context, task string) (bool, error) {
	var n int
	err := s.row(ctx, []any{&n}, "SELECT COUNT(*) FROM desk_leases WHERE task = ? AND ends > ?",
		task, s.now().Unix())
	return n > 0, err
}
