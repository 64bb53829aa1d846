package store

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAlerts(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		now := time.Unix(time.Now().Unix(), 0)
		s.now = func() time.Time { return now }
		one, err := s.AddWebhook(ctx, &Webhook{Title: "群", Kind: "feishu", Address: "https://a/b"})
		require.NoError(t, err)
		two, err := s.AddWebhook(ctx, &Webhook{Title: "b", Kind: "json", Address: "https://c/d"})
		require.NoError(t, err)

		silence, drop := Alert{Rule: "silence", Since: now}, Alert{"drop", "sh-7", now}
		raised := []Alert{silence, drop}
		require.NoError(t, s.ChangeAlerts(ctx, raised, nil, []string{"first", "second"}))
		err = s.ChangeAlerts(ctx, []Alert{{"spike", "a", now}, silence}, nil, []string{"twice"})
		require.ErrorIs(t, err, ErrAlertsChanged)
		err = s.ChangeAlerts(ctx, nil, []Alert{drop, {"spike", "a", now}}, []string{"none"})
		require.ErrorIs(t, err, ErrAlertsChanged)
		all, err := s.Alerts(ctx)
		require.NoError(t, err)
		assert.ElementsMatch(t, raised, all, "nothing is half done")

		next := func() map[string]string {
			messages, err := s.NextMessages(ctx)
			require.NoError(t, err)
			bodies := map[string]string{}
			for _, m := range messages {
				bodies[m.Webhook] = m.Body
			}
			return bodies
		}
		assert.Equal(t, map[string]string{one: "first", two: "first"}, next())
		messages, err := s.NextMessages(ctx)
		require.NoError(t, err)
		for _, m := range messages {
			if m.Webhook == one {
				require.NoError(t, s.EndMessage(ctx, m.ID))
			}
		}
		require.NoError(t, s.RetryMessages(ctx, two, now.Add(time.Minute)))
		assert.Equal(t, map[string]string{one: "second"}, next())
		w, err := s.Webhook(ctx, two)
		require.NoError(t, err)
		assert.Equal(t, 2, w.Waiting)
		now = now.Add(time.Minute)
		assert.Equal(t, map[string]string{one: "second", two: "first"}, next())

		require.NoError(t, s.DeleteWebhook(ctx, two))
		assert.Equal(t, map[string]string{one: "second"}, next())
		now = now.Add(messageLife)
		assert.Empty(t, next(), "too old")
		require.NoError(t, s.SetWebhookResult(ctx, one, "errcode 310000"))
		hooks, err := s.Webhooks(ctx)
		require.NoError(t, err)
		require.Len(t, hooks, 1)
		assert.Equal(t, "errcode 310000", hooks[0].Result)
		assert.Equal(t, now, hooks[0].ResultAt)

		require.NoError(t, s.ChangeAlerts(ctx, nil, []Alert{drop}, nil))
		require.NoError(t, s.EndAlerts(ctx))
		all, err = s.Alerts(ctx)
		require.NoError(t, err)
		assert.Empty(t, all)
	})
}
