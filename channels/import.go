package channels

import (
	"context"
	"iter"

	"github.com/wechatqr/wechatqr/account"
)

// ImportFollowers takes over those who follow already, in groups: give it
// account.Users of account.Followers. Who follows since before the ledger began is
// imported, and counts in the channel of their scene if it was adopted; the others
// have a follow that was missed, new or returning. A follow of which a push tells is
// not counted again, and running it again changes nothing.
//
// Users who do not follow, and those of whom account.Users has an error of their own,
// are passed over. Any other error ends it. What came before is recorded.
func (l *Ledger) ImportFollowers(
	ctx context.Context, seq iter.Seq2[account.UserInfo, error],
) error {
	return failed("import followers", l.importFollowers(ctx, seq))
}

func (l *Ledger) importFollowers(
	ctx context.Context, seq iter.Seq2[account.UserInfo, error],
) error {
	var arrivals []*arrival
	for user, err := range seq {
		switch {
		case err != nil && user.OpenID == "":
			return err
		case err != nil || !user.Follows:
			continue
		case user.OpenID == "" || user.FollowedAt.Unix() <= 0:
			return invalid("a follower has no OpenID or no FollowedAt")
		}

		arrivals = append(arrivals, &arrival{hash: l.hash(user.OpenID), event: foundEvent(&user)})
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

// foundEvent is what WeChat's list tells of a follower.
func foundEvent(user *account.UserInfo) event {
	e := event{at: user.FollowedAt.Unix(), kind: found, scene: textID(user.Scene)}
	if user.Source == "ADD_SCENE_QR_CODE" && e.scene == 0 {
		e.kind = foundByCode
	}
	return e
}
