package sqlstore

import (
	"context"
	"time"

	"github.com/wechatqr/wechatqr/events"
)

// handled is the data of an event that was committed. One that is claimed has none.
const handled = "done"

func eventID(id string) string { return rowID("event", id) }

// Claim claims the event id for the time lease, 1 ms at least, or prolongs the
// claim that owner has. After an error the database may have done so all the same:
// ask again, or call Commit or Release, or let the lease end.
func (s *Store) Claim(
	ctx context.Context, id, owner string, lease time.Duration,
) (events.Claim, error) {
	r, err := s.change(ctx, "claim event", eventID(id), func(r *row) bool {
		return r.data != handled && r.lease(owner, lease)
	})
	switch {
	case err != nil:
		return 0, err
	case r.written:
		return events.ClaimGranted, nil
	case r.data == handled:
		return events.ClaimHandled, nil
	}
	return events.ClaimBusy, nil
}

// Commit marks id as handled for the time ttl, 1 ms at least, whoever claimed
// it: what one process has handled no other needs to handle.
func (s *Store) Commit(ctx context.Context, id string, ttl time.Duration) error {
	_, err := s.change(ctx, "commit event", eventID(id), func(r *row) bool {
		r.data, r.ends = handled, r.now+atLeast1(ttl)
		r.owner, r.leaseEnd = "", 0
		return true
	})
	return err
}

// Release ends the claim on id if it is owner's.
func (s *Store) Release(ctx context.Context, id, owner string) error {
	return s.release(ctx, "release event", eventID(id), owner)
}
