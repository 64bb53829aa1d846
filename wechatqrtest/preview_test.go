package wechatqrtest_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

func TestPictureIsOfTheCodeAndNoCall(t *testing.T) {
	t.Parallel()
	wx := wechatqrtest.Start(t)
	client := wx.Client()
	ticket, err := client.CreateTicket(t.Context(), wechatqr.Temporary(wechatqr.SceneString("shop-42"), time.Minute))
	require.NoError(t, err)
	shown, err := client.FetchQRCode(t.Context(), ticket.Value)
	require.NoError(t, err)

	wx.Inject(wechatqrtest.Fault{Status: 502})
	wx.Advance(time.Hour)
	calls := wx.Count("")
	data, err := wx.Picture(ticket.Value)
	require.NoError(t, err)
	assert.Equal(t, shown.Data, data)
	assert.Equal(t, calls, wx.Count(""))
	assert.Len(t, wx.Faults(), 1)

	_, err = wx.Picture("unknown")
	assert.ErrorIs(t, err, wechatqrtest.ErrNoCode)
}
