package store

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr/channels"
	"github.com/wechatqr/wechatqr/internal/testdb"
)

func TestJobs(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		all := make([]channels.Channel, 250)
		for i := range all {
			all[i] = channels.Channel{Key: fmt.Sprint("k-", i), Name: "店", Group: "华东"}
		}
		const id = "a-list"
		require.NoError(t, s.NewJob(ctx, id, "名单", "ann", all))
		require.Error(t, s.NewJob(ctx, id, "名单", "ann", all), "there is one")
		now := time.Unix(time.Now().Unix(), 0)
		s.now = func() time.Time { return now }
		job, err := s.ClaimJob(ctx, "one", time.Minute)
		require.NoError(t, err)
		assert.Equal(t, 250, job.Rows)
		_, err = s.ClaimJob(ctx, "two", time.Minute)
		require.ErrorIs(t, err, ErrNotFound)
		_, err = s.ClaimJob(ctx, "one", time.Minute)
		require.NoError(t, err, "the owner prolongs its lease, also within the same second")
		now = now.Add(time.Minute)
		_, err = s.ClaimJob(ctx, "two", time.Minute)
		require.NoError(t, err, "the lease has ended")
		_, err = s.ClaimJob(ctx, "one", time.Minute)
		require.ErrorIs(t, err, ErrNotFound)

		require.NoError(t, s.SetJobRow(ctx, id, 1, ""))
		require.NoError(t, s.SetJobRow(ctx, id, 2, "invalid"))
		rows, err := s.JobRowsLeft(ctx, id, 2)
		require.NoError(t, err)
		assert.Equal(t, []JobRow{
			{Number: 3, Channel: all[2]}, {Number: 4, Channel: all[3]},
		}, rows)
		problems, err := s.JobProblems(ctx, id, 9)
		require.NoError(t, err)
		assert.Equal(t, []JobRow{{Number: 2, Channel: all[1], Problem: "invalid"}}, problems)

		require.NoError(t, s.PauseJob(ctx, id, "quota", now.Add(time.Hour)))
		job, err = s.Job(ctx, id)
		require.NoError(t, err)
		assert.Equal(t, 248, job.Left())
		assert.Equal(t, "quota", job.Problem)
		assert.True(t, now.Add(time.Hour).Equal(job.ResumeAt))
		_, err = s.ClaimJob(ctx, "two", time.Minute)
		require.ErrorIs(t, err, ErrNotFound, "it pauses")
		require.NoError(t, s.ResumeJob(ctx, id))
		job, err = s.ClaimJob(ctx, "one", time.Minute)
		require.NoError(t, err)
		assert.Empty(t, job.Problem)
		require.NoError(t, s.PauseJob(ctx, id, "", time.Time{}))
		now = now.Add(time.Hour)
		_, err = s.ClaimJob(ctx, "one", time.Minute)
		require.ErrorIs(t, err, ErrNotFound, "it has ended")
		jobs, err := s.Jobs(ctx)
		require.NoError(t, err)
		require.Len(t, jobs, 1)
		assert.True(t, jobs[0].Ended)
	})
}

func TestDraftsEnd(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		long := strings.Repeat("编号", 200_000)
		id, err := s.NewDraft(ctx, "名单", long)
		require.NoError(t, err)
		require.NoError(t, s.DeleteExpired(ctx))
		title, csv, err := s.Draft(ctx, id)
		require.NoError(t, err)
		assert.Equal(t, "名单", title)
		assert.Equal(t, long, csv)
		s.now = func() time.Time { return time.Now().Add(draftLife + time.Minute) }
		require.NoError(t, s.DeleteExpired(ctx))
		_, _, err = s.Draft(ctx, id)
		require.ErrorIs(t, err, ErrNotFound)
	})
}

func TestLive(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *Store) {
		ctx, at := t.Context(), time.Unix(1_780_000_000, 0)
		events := []LiveEvent{
			{At: at, Kind: "new", Key: "sh-7", Name: "七店", Group: "华东"},
			{At: at.Add(time.Second), Kind: "scan"},
		}
		require.NoError(t, s.PutLive(ctx, events))
		got, err := s.Live(ctx, time.Now().Add(-time.Minute), 9)
		require.NoError(t, err)
		assert.Equal(t, []LiveEvent{events[1], events[0]}, got)
		got, err = s.Live(ctx, time.Now().Add(time.Minute), 9)
		require.NoError(t, err)
		assert.Empty(t, got)
	})
}

// Two processes begin at the same moment on a new database.
func TestOpenAtOnce(t *testing.T) {
	t.Parallel()
	for name, server := range map[string]*testdb.Server{
		"PostgreSQL": testdb.PostgreSQL, "MariaDB": testdb.MariaDB,
	} {
		database := server.NewDatabase(t).URL
		errs := make(chan error)
		for range 6 {
			go func() {
				s, err := Open(t.Context(), database)
				if err == nil {
					err = s.Close()
				}
				errs <- err
			}()
		}
		for range 6 {
			assert.NoError(t, <-errs, name)
		}
	}
}
