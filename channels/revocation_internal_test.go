package channels

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/events"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// Who cancels their WeChat account is forgotten; who revokes or changes data still follows.
func TestRevocations(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d Dialect) {
		wx, ctx := wechatqrtest.Start(t), t.Context()
		l, err := Open(ctx, newDB(t, d), d, testConfig)
		require.NoError(t, err)
		var visits []VisitKind
		next := func(ctx context.Context, _ *wechatqr.Event) (events.Reply, error) {
			visit, recorded := VisitFrom(ctx)
			if recorded {
				visits = append(visits, visit.Kind)
			}
			return nil, nil
		}
		handler, err := events.NewHandler(wx.CallbackConfig(), l.Record(next))
		require.NoError(t, err)
		wx.ServeCallback(handler)
		client, scene := wx.Client(), wechatqr.SceneString("s-a")
		_, err = client.CreateTicket(ctx, wechatqr.Permanent(scene))
		require.NoError(t, err)
		for _, who := range []string{"o-modified", "o-revoked", "o-cancelled"} {
			_, err := wx.ScanScene(ctx, scene, who)
			require.NoError(t, err)
		}
		visits = nil
		for who, what := range map[string]wechatqrtest.Revocation{
			"o-modified": wechatqrtest.RevocationModified,
			"o-revoked":  wechatqrtest.RevocationRevoked,
		} {
			_, err := wx.Revoke(ctx, what, who)
			require.NoError(t, err)
		}
		assert.Empty(t, visits, "not recorded")
		push, err := wx.Revoke(ctx, wechatqrtest.RevocationCancelled, "o-cancelled")
		require.NoError(t, err)
		_, err = l.RecordEvent(ctx, &push.Event) // delivered again
		require.NoError(t, err)
		assert.Equal(t, []VisitKind{Cancelled}, visits)

		now := push.Event.CreateTime.Truncate(time.Hour)
		r, err := l.Report(ctx, Query{From: now.Add(-time.Hour), To: now.Add(2 * time.Hour)})
		require.NoError(t, err)
		assert.EqualValues(t, 3, r.Total.New)
		assert.EqualValues(t, 1, r.Total.Forgotten)
		assert.EqualValues(t, 2, r.Total.HeldEnd)
	})
}

func TestCancellationNamesThePerson(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ raw, want string }{
		"XML": {"\n<xml><OpenID><![CDATA[o-1]]></OpenID><AppID>wx1</AppID></xml>",
			"o-1"},
		"JSON":                {`{"OpenID":"o-1","AppID":"wx1"}`, "o-1"},
		"JSON of WeChat page": {`{" OpenID":"o-1"}`, "o-1"},
		"a number":            {`{"OpenID":7}`, ""},
		"none in XML":         {"<xml><OpenPID>o-2</OpenPID></xml>", ""},
		"none in JSON":        {`{"FromUserName":"o-2"}`, ""},
		"broken XML":          {"<xml><OpenID>o-1", ""},
		"broken JSON":         {`{"OpenID":"o-1"`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ev := &wechatqr.Event{
				MsgType: "event", Type: "User_Authorization_Cancellation", FromUserName: "o-sender",
				CreateTime: monday, Raw: []byte(test.raw),
			}
			assert.Equal(t, test.want, personOf(ev))
			l, _ := newLedger(t, SQLite, testConfig)
			visit, err := l.RecordEvent(t.Context(), ev)
			if test.want == "" {
				require.ErrorIs(t, err, wechatqr.ErrInvalidArgument)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, Cancelled, visit.Kind)
		})
	}
}
