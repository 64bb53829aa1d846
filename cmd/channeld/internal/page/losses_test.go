package page

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr/account"
	"github.com/wechatqr/wechatqr/internal/webui"
)

// The chart and its table have each loss of the period once, and apart those that a
// reconciliation found.
func TestLossesByAge(t *testing.T) {
	testAt(t, func(t *testing.T, d *desk) {
		d.channel("sh-1", "一店", "")
		d.channel("sh-2", "二店", "")
		began := noon.Add(-23 * time.Hour)
		for _, who := range []string{"o-1", "o-2", "o-3", "o-gone", "o-stays"} {
			d.follow(who, "sh-1", began)
		}
		d.follow("o-other", "sh-2", began)
		d.leave("o-1", began.Add(time.Hour))
		d.leave("o-2", began.Add(time.Hour+time.Second))
		d.leave("o-3", noon)
		d.leave("o-other", noon)
		list := func(yield func(account.UserInfo, error) bool) {
			yield(account.UserInfo{OpenID: "o-stays", Follows: true, FollowedAt: began}, nil)
		}
		_, err := d.Ledger.Reconcile(t.Context(), list)
		require.NoError(t, err)

		w := d.get(viewer, "/channels/sh-1", "en")
		has(t, textOf(w), "Followed for lost share ≤ 1 h 1 25.0% 1–24 h 2 50.0% 1–7 d 0 0.0% "+
			"7–30 d 0 0.0% 30–90 d 0 0.0% > 90 d 0 0.0% unknown 1 25.0%")
		has(t, w.Body.String(), `d="M2 100V50h6V100zM12 100V0h6V100zM62 100V50h6V100z"/>`)
		page := textOf(d.get(viewer, "/channels/sh-1?period=yesterday", webui.Chinese))
		has(t, page, "≤ 1 小时 1 50.0% 1–24 小时 1 50.0%")
		hasNot(t, page, "不详 ")
		page = textOf(d.get(viewer, "/channels/sh-2?period=yesterday", "en"))
		has(t, page, "No losses in the period")
	})
}
