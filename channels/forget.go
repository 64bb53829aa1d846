package channels

import (
	"context"
)

// Forget deletes what tells who the person is, as somebody may demand of the account:
// the hash goes 24 hours later, in which late pushes still find it. The person's number
// stays and points to nobody, so that no count of the past changes; a follow that is open
// ends now, as forgotten. Who comes back is a stranger. Whose WeChat account is gone is
// forgotten by [Ledger.Record].
//
// Who goes on following stands on WeChat's list of followers: [Ledger.Reconcile] takes
// them over from there when the hash is gone, as a stranger who is imported that day, with
// a hash again. Who wants to be forgotten for good has to unfollow.
func (l *Ledger) Forget(ctx context.Context, openID string) error {
	if openID == "" {
		return invalid("forget: the openid is empty")
	}
	_, err := l.put(
		ctx, &arrival{hash: l.hash(openID), event: event{at: l.now().Unix(), kind: forget}},
	)
	return err
}

// DeleteExpired deletes the hashes whose time has come: of the forgotten, and of
// those who unfollowed longer than Config.KeepAfterUnfollow and 24 hours ago.
// They are no longer looked at then, but lie in the tables until somebody comes
// back or DeleteExpired runs: have it run every hour.
func (l *Ledger) DeleteExpired(ctx context.Context) error {
	now := l.now().Unix()
	err := l.transact(ctx, func(t *tx) error {
		return t.exec(
			ctx,
			"UPDATE channels_people SET hash = NULL WHERE expires > 0 AND expires <= ? AND hash IS NOT NULL",
			now,
		)
	})
	if err == nil && l.dialect.immediate {
		t := tx{&l.dialect, l.db} // the log holds old pages
		err = t.call(ctx, "PRAGMA wal_checkpoint(TRUNCATE)")
	}
	return failed("delete expired", err)
}
