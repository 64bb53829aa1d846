package main

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr/channels"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/store"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/web"
)

// A backup is a desk with the same numbers, users and texts.
func TestBackup(t *testing.T) {
	t.Parallel()
	d, ctx := newTestDesk(t), t.Context()
	require.NoError(t, d.store.PutUser(ctx, "小林", web.Operator))
	require.NoError(t, d.store.SetPassword(ctx, "小林", "hash"))
	require.NoError(t, d.store.SetWelcome(ctx, "sh-7", "欢迎"))
	note := store.Note{Channel: "sh-7", Day: "2026-11-25", Text: "改了海报", Spent: 123450}
	require.NoError(t, d.store.AddNote(ctx, &note))
	list := make([]channels.Channel, 250)
	const id = "a-list"
	err := d.store.NewJob(ctx, id, "名单", "小林", list)
	require.NoError(t, err)
	_, err = d.wx.Follow(ctx, "o-ann")
	require.NoError(t, err)

	status, body := post(t, d.as(t, web.Admin), d.origin+"/settings/backup", nil)
	require.Equal(t, http.StatusOK, status)
	path := filepath.Join(t.TempDir(), "backup.db")
	require.NoError(t, os.WriteFile(path, []byte(body), 0o600))
	s, err := store.Open(ctx, path)
	require.NoError(t, err)
	defer s.Close()
	want, err := d.store.Users(ctx)
	require.NoError(t, err)
	got, err := s.Users(ctx)
	require.NoError(t, err)
	assert.Equal(t, want, got)
	text, err := s.Welcome(ctx, "sh-7")
	require.NoError(t, err)
	assert.Equal(t, "欢迎", text)
	notes, err := s.Notes(ctx, "sh-7", "2026-11-26", 9)
	require.NoError(t, err)
	require.Len(t, notes, 1)
	note.ID = notes[0].ID
	assert.Equal(t, note, notes[0])
	job, err := s.Job(ctx, id)
	require.NoError(t, err)
	assert.Equal(t, 250, job.Rows)

	ledger, err := channels.Open(ctx, s.DB(), s.Dialect(), channels.Config{
		AppID:     d.config.account.Credentials.AppID,
		PersonKey: []byte("0123456789abcdef0123456789abcdef"),
	})
	require.NoError(t, err)
	hour := time.Now().Truncate(time.Hour)
	r, err := ledger.Report(ctx, channels.Query{From: hour, To: hour.Add(2 * time.Hour)})
	require.NoError(t, err)
	assert.EqualValues(t, 1, r.Total.New)
}
