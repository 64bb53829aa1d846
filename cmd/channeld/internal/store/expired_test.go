package store

import (
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr/channels"
)

// lasting are the tables that do not grow with time: what somebody has set, a row for each
// rule and channel, a row for each task.
var lasting = []string{
	"desk_users", "desk_welcomes", "desk_notes", "desk_tags", "desk_webhooks", "desk_alerts",
	"desk_leases",
}

// Every other table is empty again when nothing happens for long.
func TestEveryRowHasAnEnd(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *Store) {
		now := time.Now()
		s.now = func() time.Time { return now }
		fillExpiring(t, s)
		var expiring []string
		for _, found := range regexp.MustCompile(`EXISTS (\w+)`).FindAllStringSubmatch(schema, -1) {
			if !slices.Contains(lasting, found[1]) {
				expiring = append(expiring, found[1])
			}
		}
		require.Len(t, expiring, 11)
		rows := func(table string) (n int) {
			require.NoError(t, s.row(t.Context(), []any{&n}, "SELECT COUNT(*) FROM "+table))
			return n
		}
		for _, table := range expiring {
			assert.Positive(t, rows(table), "%s: the test is to fill it", table)
		}
		for range 2 { // who got no tag is counted as a failure first
			now = now.Add(400 * 24 * time.Hour)
			require.NoError(t, s.DeleteExpired(t.Context()))
		}
		for _, table := range expiring {
			assert.Zero(t, rows(table), table)
		}
	})
}

// fillExpiring adds a row to each table whose rows end.
func fillExpiring(t *testing.T, s *Store) {
	t.Helper()
	ctx := t.Context()
	_, err := s.NewSession(ctx, "ann")
	require.NoError(t, err)
	_, err = s.NewLink(ctx, Link{User: "ann", Ends: s.now().Add(time.Hour)})
	require.NoError(t, err)
	_, err = s.Attempt(ctx, "ann")
	require.NoError(t, err)
	draft, err := s.NewDraft(ctx, "名单", "a,b")
	require.NoError(t, err)
	err = s.NewJob(ctx, draft, "名单", "ann", []channels.Channel{{Key: "k-1"}})
	require.NoError(t, err)
	require.NoError(t, s.PauseJob(ctx, draft, "", time.Time{}))
	require.NoError(t, s.PutLive(ctx, []LiveEvent{{At: s.now(), Kind: "new"}}))
	require.NoError(t, s.AddTagging(ctx, "o-a", "甲"))
	require.NoError(t, s.AddTagFailure(ctx, "甲", "45059", 1))
	_, err = s.AddWebhook(ctx, &Webhook{Title: "群", Kind: "json", Address: "https://a/b"})
	require.NoError(t, err)
	require.NoError(t, s.ChangeAlerts(ctx, nil, nil, []string{"message"}))
	_, err = s.BeginReconcile(ctx)
	require.NoError(t, err)
}

// A list that could not be written leaves no rows behind.
func TestAJobIsWrittenWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *Store) {
		_, err := s.exec(t.Context(), "DROP TABLE desk_jobs")
		require.NoError(t, err)
		err = s.NewJob(t.Context(), "a-list", "名单", "ann", make([]channels.Channel, 250))
		require.Error(t, err)
		var n int
		require.NoError(t, s.row(t.Context(), []any{&n}, "SELECT COUNT(*) FROM desk_job_rows"))
		assert.Zero(t, n)
	})
}

// A list whose codes are still to be made stays, however old it is.
func TestJobsThatHaveNotEndedStay(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *Store) {
		ctx, now := t.Context(), time.Now()
		s.now = func() time.Time { return now }
		const id = "a-list"
		all := []channels.Channel{{Key: "k-1"}}
		require.NoError(t, s.NewJob(ctx, id, "名单", "ann", all))
		now = now.Add(2 * jobLife)
		require.NoError(t, s.DeleteExpired(ctx))
		job, err := s.Job(ctx, id)
		require.NoError(t, err)
		assert.Equal(t, 1, job.Left())
	})
}
