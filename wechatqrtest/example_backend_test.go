package wechatqrtest_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/account"
	"github.com/wechatqr/wechatqr/events"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// couponShop is a backend that replies at once and sends the coupon half a minute later.
type couponShop struct{ client *wechatqr.Client }

func (c *couponShop) handle(ctx context.Context, ev *wechatqr.Event) (events.Reply, error) {
	scan, ok := ev.Scan()
	if !ok {
		return nil, nil
	}
	go c.sendCoupon(context.WithoutCancel(ctx), scan)
	return events.Text("Your coupon is on its way."), nil
}

func (c *couponShop) sendCoupon(ctx context.Context, scan wechatqr.Scan) {
	time.Sleep(30 * time.Second)
	_ = account.SendText(ctx, c.client, scan.OpenID,
		"10 % off at "+scan.SceneKey) // a test shows if it fails
}

// The backend's clock and WeChat's are one: a bubble of synctest turns both, so that half
// a minute and thirty days take no time.
func TestCouponShop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := wechatqrtest.Start(t, wechatqrtest.WithoutNetwork())
		shop := &couponShop{client: srv.Client()}
		srv.ServeFunc(shop.handle)
		scene := wechatqr.SceneString("shop-7")
		ticket, err := shop.client.CreateTicket(t.Context(),
			wechatqr.Temporary(scene, 30*24*time.Hour))
		require.NoError(t, err)

		push, err := srv.ScanScene(t.Context(), scene, "o6_somebody")
		require.NoError(t, err)
		assert.Equal(t, "Your coupon is on its way.", push.UserSees())
		began := time.Now()
		message, err := srv.WaitMessage(t.Context(), nil)
		require.NoError(t, err)
		assert.Equal(t, "10 % off at shop-7", message.Content)
		assert.Equal(t, 30*time.Second, time.Since(began))

		time.Sleep(30 * 24 * time.Hour)
		_, err = srv.Scan(t.Context(), ticket.Value, "o6_somebody")
		require.ErrorIs(t, err, wechatqrtest.ErrExpired)
	})
}
