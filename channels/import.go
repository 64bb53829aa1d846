package channels

import (
	"context"
	"database/sql"
	"iter"
	"slices"

	"github.com/wechatqr/wechatqr/account"
)

// ImportFollowers takes over those who follow already, in groups: give it
// account.Users of account.Followers. Who follows since before the ledger began is
// imported, and counts in the channel of their scene if it was adopted; the others
// have a follow that was missed, new or returning. A follow of which a push tells is
// not counted again, and running it again changes nothing.
//
// Who may have been forgotten since they followed, and is not known, is imported at the
// time of the call: no report of the time before changes. That is everybody unknown whose
// follow is not younger than one that [Ledger.Forget] ended more than 24 hours ago.
//
// Users who do not follow, and those of whom account.Users has an error of their own,
// are passed over. Any other error ends it. What came before is recorded.
func (l *Ledger) ImportFollowers(
	ctx context.Context, seq iter.Seq2[account.UserInfo, error],
) error {
	if seq == nil {
		return invalid("import followers: the list is nil: use account.Users")
	}
	return failed("import followers", l.importFollowers(ctx, seq, l.now().Unix()))
}

func (l *Ledger) importFollowers(
	ctx context.Context, seq iter.Seq2[account.UserInfo, error], told int64,
) error {
	list, err := l.newListing(ctx, told)
	if err != nil {
		return err
	}
	var arrivals []*arrival
	for user, err := range seq {
		switch {
		case err != nil && user.OpenID == "":
			return err
		case err != nil || !user.Follows:
			continue
		case user.OpenID == "" || user.FollowedAt.Unix() <= 0:
			return badInput("a follower has no OpenID or no FollowedAt")
		}

		arrivals = append(arrivals, &arrival{
			hash: l.hash(user.OpenID), event: foundEvent(&user), listing: list,
		})
		if len(arrivals) == maxGroup {
			if err := l.commit(ctx, arrivals); err != nil {
				return err
			}
			arrivals = nil
		}
	}
	if len(arrivals) == 0 {
		return nil
	}
	return l.commit(ctx, arrivals)
}

// listing is one reading of WeChat's list of followers.
type listing struct {
	began     int64
	forgotten []int64 // when Forget ended a follow, in order
}

func (l *Ledger) newListing(ctx context.Context, told int64) (*listing, error) {
	list := &listing{began: told}
	t := &tx{&l.dialect, l.db}
	err := t.rows(ctx, func(rows *sql.Rows) error {
		var at int64
		err := rows.Scan(&at)
		list.forgotten = append(list.forgotten, at)
		return err
	}, "SELECT DISTINCT ended FROM channels_follows WHERE ending = ? ORDER BY ended", forgotten)
	return list, err
}

// mayBeForgotten reports whether it may be a follow of somebody whose hash is gone.
func (l *listing) mayBeForgotten(followedAt, now int64) bool {
	n, _ := slices.BinarySearch(l.forgotten, now-repairSeconds+1)
	return n > 0 && followedAt <= l.forgotten[n-1]
}

// takeBack takes back that an earlier list did not have the subject: WeChat says that they
// have followed since before.
func (l *listing) takeBack(of *subject, e event) {
	if l == nil {
		return
	}
	of.events = slices.DeleteFunc(of.events, func(o event) bool {
		return o.kind == gone && o.at >= e.at && o.at < l.began
	})
}

// meaning is what the event amounts to for the subject, if anything: a listing tells of
// strangers who may have been forgotten. What is no listing's is what it is.
func (l *listing) meaning(e event, of *subject, now int64) (_ event, ok bool) {
	isKnown := func(o event) bool { return o.tells() && o.at <= e.at+sameFollow }
	switch {
	case l == nil || !l.mayBeForgotten(e.at, now) || slices.ContainsFunc(of.events, isKnown):
		return e, true
	case of.follows():
		return event{}, false
	}
	return event{at: l.began, kind: retaken, scene: e.scene}, true
}

// foundEvent is what WeChat's list tells of a follower.
func foundEvent(user *account.UserInfo) event {
	e := event{at: user.FollowedAt.Unix(), kind: found, scene: textID(user.Scene)}
	if user.Source == "ADD_SCENE_QR_CODE" && e.scene == 0 {
		e.kind = foundByCode
	}
	return e
}
