package channels

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
)

// filesWith counts the files of the directory that have the text.
func filesWith(t *testing.T, dir, text string) (n int) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, name := range files {
		content, err := os.ReadFile(name)
		require.NoError(t, err)
		n += bytes.Count(content, []byte(text))
	}
	return n
}

// After Forget and the repair window nothing in SQLite's files, its log included, tells
// who the person was, and every number is what it was.
func TestForgottenLeavesNothingInTheFiles(t *testing.T) {
	t.Parallel()
	driver, file := source(t, SQLite)
	db, dir := connect(t, driver, file), filepath.Dir(file)
	c, ctx := &clock{monday}, t.Context()
	l, err := openAt(ctx, db, SQLite, testConfig, c.now)
	require.NoError(t, err)
	require.NoError(t, l.Adopt(ctx, wechatqr.SceneString("s7"), Channel{Key: "sh-7"}))
	for n := range 200 {
		who := fmt.Sprint("o-somebody-", n)
		_, err := l.RecordEvent(ctx, newPush(who, c.Time, wechatqr.EventSubscribe, "s7"))
		require.NoError(t, err)
		c.Time = c.Add(time.Minute)
	}
	const follower, left = "o-somebody-77", "o-somebody-120"
	_, err = l.RecordEvent(ctx, newPush(left, c.Time, wechatqr.EventUnsubscribe, ""))
	require.NoError(t, err)
	for _, who := range []string{follower, left} {
		assert.Positive(t, filesWith(t, dir, l.hash(who)), "the test looks for the right thing")
		assert.Zero(t, filesWith(t, dir, who))
	}

	until := c.Time.Truncate(time.Hour).Add(time.Hour)
	query := Query{From: monday, To: until, By: ByHour | ByChannel}
	before, err := l.Report(ctx, query)
	require.NoError(t, err)
	c.Time = until
	require.NoError(t, l.Forget(ctx, follower))
	require.NoError(t, l.DeleteExpired(ctx))
	assert.Positive(t, filesWith(t, dir, l.hash(follower)), "late pushes are still repaired")

	c.Time = until.Add(repairSeconds * time.Second)
	require.NoError(t, l.DeleteExpired(ctx))
	assert.Zero(t, filesWith(t, dir, l.hash(follower)))
	assert.Positive(t, filesWith(t, dir, l.hash(left)), "known for KeepAfterUnfollow")
	after, err := l.Report(ctx, query)
	require.NoError(t, err)
	assert.Equal(t, before.Rows, uncounted(after.Rows))

	c.Time = c.Add(testConfig.KeepAfterUnfollow)
	require.NoError(t, l.DeleteExpired(ctx))
	assert.Zero(t, filesWith(t, dir, l.hash(left)))
	assert.Positive(t, filesWith(t, dir, l.hash("o-somebody-1")), "who follows is known")
	tomorrow, err := l.Report(ctx, Query{From: until, To: until.AddDate(0, 0, 1)})
	require.NoError(t, err)
	assert.Equal(t, Counts{Forgotten: 1, HeldStart: 199, HeldEnd: 198}, tomorrow.Total)
}

// uncounted is the rows without the quick losses, which become countable by time alone.
func uncounted(rows []Row) []Row {
	for i := range rows {
		rows[i].QuickOf, rows[i].QuickLost = 0, 0
	}
	return rows
}
