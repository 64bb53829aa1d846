package channels

import (
	"context"
	"iter"
	"time"

	"github.com/wechatqr/wechatqr"
)

// FollowerInfo is what WeChat's user/info says of a follower.
type FollowerInfo struct {
	OpenID string
	Since  time.Time      // subscribe_time, of the latest follow
	Scene  wechatqr.Scene // qr_scene or qr_scene_str of that follow; the zero Scene if it has none
	ByCode bool           // subscribe_scene is ADD_SCENE_QR_CODE
}

// ImportFollowers takes over those who follow already, in groups. Who follows
// since before the ledger began is imported, and counts in the channel of their
// scene if it was adopted; the others have a follow that was missed, new or
// returning. A follow of which a push tells is not counted again, and running
// it again changes nothing.
//
// It stops at the first error, that of seq included. What came before is recorded.
func (l *Ledger) ImportFollowers(ctx context.Context, seq iter.Seq2[FollowerInfo, error]) error {
	var arrivals []*arrival
	flush := func() error {
		if len(arrivals) == 0 {
			return nil
		}
		err := l.commit(ctx, arrivals)
		arrivals = nil
		return err
	}
	for f, err := range seq {
		if err != nil {
			return failed("import followers", err)
		}
		if f.OpenID == "" || f.Since.Unix() <= 0 {
			return invalid("import followers: a follower has no OpenID or no Since")
		}
		arrivals = append(arrivals, &arrival{hash: l.hash(f.OpenID), event: f.event()})
		if len(arrivals) == maxGroup {
			if err := flush(); err != nil {
				return failed("import followers", err)
			}
		}
	}
	return failed("import followers", flush())
}

func (f *FollowerInfo) event() event {
	e := event{at: f.Since.Unix(), kind: found, scene: textID(f.Scene.Key())}
	if f.ByCode && e.scene == 0 {
		e.kind = foundByCode
	}
	return e
}
