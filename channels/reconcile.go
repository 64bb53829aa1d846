package channels

import (
	"context"
	"database/sql"
	"iter"
	"maps"

	"github.com/wechatqr/wechatqr/account"
)

// Reconciled is what [Ledger.Reconcile] found.
type Reconciled struct {
	Listed int `json:"listed"` // followers on WeChat's list
	Found  int `json:"found"`  // of these, who did not follow by what the ledger knew
	Ended  int `json:"ended"`  // who followed by what the ledger knew, and is not on the list

	// Unknown are the unsubscribes, ever, by which no follow ended: of somebody who did not
	// follow by what the ledger knows. They are in no report.
	Unknown int `json:"unknown"`
}

// Reconcile is [Ledger.ImportFollowers] of the whole list, and ends the follows of those
// who are not on it: what lost pushes left is mended. Run it every day, say, with
// account.Users of account.Followers from the beginning.
//
// When somebody left whose unsubscribe was lost is not known: they are lost when
// Reconcile finds it, and never a quick loss. Follows that began since Reconcile began
// are not ended. A scan by a follower that was lost cannot be found.
//
// If seq breaks off with an error, what came before is recorded and nobody's follow is
// ended. A list that is not whole, or another account's, would end the follows of
// everybody who is missing: an empty one is refused with wechatqr.ErrInvalidArgument. The
// next one that has them takes that back, within Config.KeepAfterUnfollow and 24 hours.
func (l *Ledger) Reconcile(
	ctx context.Context, seq iter.Seq2[account.UserInfo, error],
) (Reconciled, error) {
	if seq == nil {
		return Reconciled{}, invalid("reconcile: the list is nil: use account.Users")
	}
	r := reconciler{ledger: l, began: l.now().Unix(), listed: map[string]bool{}}
	err := r.run(ctx, seq)
	return r.Reconciled, failed("reconcile", err)
}

// reconciler is one run of Reconcile.
type reconciler struct {
	Reconciled
	ledger *Ledger
	began  int64
	listed map[string]bool // by hash
}

func (r *reconciler) run(ctx context.Context, seq iter.Seq2[account.UserInfo, error]) error {
	before, err := r.openFollows(ctx)
	if err != nil {
		return err
	}
	if err := r.ledger.importFollowers(ctx, r.note(seq), r.began); err != nil {
		return err
	}
	if r.Listed = len(r.listed); r.Listed == 0 {
		return badInput("WeChat's list has no follower: the ledger is not changed")
	}

	after, err := r.openFollows(ctx)
	if err != nil {
		return err
	}
	for hash := range r.listed {
		_, had := before[hash]
		if since, has := after[hash]; has && !had && since <= r.began {
			r.Found++
		}
	}
	maps.DeleteFunc(after, func(hash string, since int64) bool {
		return r.listed[hash] || since >= r.began
	})
	if err := r.endFollows(ctx, after); err != nil {
		return err
	}
	return r.countUnknown(ctx)
}

func (r *reconciler) countUnknown(ctx context.Context) error {
	t := &tx{&r.ledger.dialect, r.ledger.db}
	return t.row(ctx, []any{&r.Unknown}, "SELECT COUNT(*) FROM channels_events e"+
		" LEFT JOIN channels_follows f ON f.person = e.person AND f.ended = e.happened"+
		" AND f.ending = ? WHERE e.kind = ? AND f.person IS NULL", asLost, unsubscribe)
}

// note passes the list on and notes who is on it.
func (r *reconciler) note(
	seq iter.Seq2[account.UserInfo, error],
) iter.Seq2[account.UserInfo, error] {
	return func(yield func(account.UserInfo, error) bool) {
		for user, err := range seq {
			if user.OpenID != "" && (user.Follows || err != nil) {
				r.listed[r.ledger.hash(user.OpenID)] = true
			}
			if !yield(user, err) {
				return
			}
		}
	}
}

// openFollows returns since when those follow who do, by hash.
func (r *reconciler) openFollows(ctx context.Context) (map[string]int64, error) {
	open := map[string]int64{}
	t := &tx{&r.ledger.dialect, r.ledger.db}
	err := t.rows(ctx, func(rows *sql.Rows) error {
		var hash []byte
		var since int64
		err := rows.Scan(&hash, &since)
		open[string(hash)] = since
		return err
	}, "SELECT p.hash, f.began FROM channels_follows f JOIN channels_people p ON p.id = f.person"+
		" WHERE f.ending = ? AND p.hash IS NOT NULL", stillOpen)
	return open, err
}

func (r *reconciler) endFollows(ctx context.Context, hashes map[string]int64) error {
	var arrivals []*arrival
	for hash := range hashes {
		arrivals = append(arrivals, &arrival{hash: hash, event: event{at: r.began, kind: gone}})
	}
	for len(arrivals) > 0 {
		n := min(len(arrivals), maxGroup)
		if err := r.ledger.commit(ctx, arrivals[:n]); err != nil {
			return err
		}
		r.Ended += n
		arrivals = arrivals[n:]
	}
	return nil
}
