package demo

import (
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite" // the driver

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/account"
	"github.com/wechatqr/wechatqr/channels"
)

// WeChat's figures of the two months fit the ledger's, but for a few people on some days,
// for each of whom there is a reason.
func TestFiguresDifferForReasons(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "demo.db"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	a := New()
	t.Cleanup(a.WeChat.Close)
	config := channels.Config{
		AppID: a.WeChat.Credentials().AppID, PersonKey: make([]byte, 32), Location: Location,
		KeepAfterUnfollow: 30 * 24 * time.Hour,
	}
	_, err = channels.Open(ctx, db, channels.SQLite, config)
	require.NoError(t, err)
	require.NoError(t, Backdate(ctx, db))
	ledger, err := channels.Open(ctx, db, channels.SQLite, config)
	require.NoError(t, err)
	client, err := wechatqr.New(
		a.WeChat.Credentials(), wechatqr.WithBaseURL(a.WeChat.URL()),
	)
	require.NoError(t, err)
	require.NoError(t, a.Fill(ctx, ledger, client))
	followers := account.Followers(ctx, client, "")
	_, err = ledger.Reconcile(ctx, account.Users(ctx, client, followers))
	require.NoError(t, err)
	a.LosePushes()

	now := time.Now()
	compared, err := ledger.Compare(ctx, client, now.AddDate(0, 0, -14), now.AddDate(0, 0, -1))
	require.NoError(t, err)
	found := map[channels.DiffKind]bool{}
	for _, day := range compared.Days {
		for _, n := range []int64{day.Diff.New, day.Diff.Lost, day.Diff.Followers} {
			assert.LessOrEqual(t, max(n, -n), int64(16), "%v", day.Date) // as many as differ takes
		}
		for _, reason := range day.Reasons {
			found[reason.Kind] = true
		}
	}
	for _, kind := range []channels.DiffKind{
		channels.WithoutCode, channels.EndsFoundLater, channels.RepeatedFollows,
		channels.PushesLost,
	} {
		assert.True(t, found[kind], kind)
	}
	assert.False(t, found[channels.BeforeLedger])
}
