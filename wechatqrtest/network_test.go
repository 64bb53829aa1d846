package wechatqrtest_test

import (
	"context"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// WeChat's 5 s, to the nanosecond and without waiting.
func TestDeadlineToTheNanosecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := wechatqrtest.Start(t, wechatqrtest.WithoutNetwork(),
			wechatqrtest.WithRetryDelay(time.Second))
		var takes time.Duration
		srv.ServeCallback(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			time.Sleep(takes)
			_, _ = io.WriteString(w, "success")
		}))
		began := time.Now()
		takes = 5*time.Second - time.Nanosecond
		push, err := srv.Follow(t.Context(), "o6_user")
		require.NoError(t, err)
		assert.Len(t, push.Attempts, 1)
		assert.Equal(t, takes, push.Attempts[0].Duration)
		assert.Equal(t, takes, time.Since(began))

		began = time.Now()
		takes = 5*time.Second + time.Nanosecond
		push, err = srv.Follow(t.Context(), "o6_user")
		var ce *wechatqrtest.CallbackError
		require.ErrorAs(t, err, &ce)
		assert.Equal(t, wechatqrtest.ReasonTooSlow, ce.Reason)
		assert.Len(t, push.Attempts, 3)
		assert.Equal(t, 17*time.Second, time.Since(began), "three times 5 s and two gaps")
		assert.Equal(t, wechatqrtest.ServiceFault, push.UserSees())
	})
}

func TestWithoutNetwork(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := wechatqrtest.Start(t, wechatqrtest.WithoutNetwork())
		c := srv.Client()
		ticket, err := c.CreateTicket(t.Context(), wechatqr.Temporary(wechatqr.SceneID(7),
			30*24*time.Hour))
		require.NoError(t, err)
		time.Sleep(2 * time.Hour) // the token expires, for client and Server alike
		_, err = c.CreateTicket(t.Context(), wechatqr.Temporary(wechatqr.SceneID(8), time.Minute))
		require.NoError(t, err)
		assert.Equal(t, 2, srv.Count("/cgi-bin/stable_token"))
		picture, err := c.FetchQRCode(t.Context(), ticket.Value)
		require.NoError(t, err)
		assert.NotEmpty(t, picture.Data)

		_, err = srv.HTTPClient().Get("http://elsewhere.example/")
		require.ErrorContains(t, err, "WithoutNetwork")
		require.NoError(t, srv.SetCallback(wechatqrtest.Callback{URL: "http://elsewhere.example/"}))
		_, err = srv.Follow(t.Context(), "o6_user")
		require.ErrorContains(t, err, "WithoutNetwork")

		srv.Inject(wechatqrtest.Fault{Break: wechatqrtest.BreakHang})
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		_, err = c.FetchQRCode(ctx, ticket.Value)
		require.Error(t, err)
		srv.Close()
		_, err = srv.HTTPClient().Get(srv.URL() + "/cgi-bin/token")
		require.Error(t, err)
	})
}
