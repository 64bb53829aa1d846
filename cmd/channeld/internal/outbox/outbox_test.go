package outbox

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/store"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// newWorker returns a worker on a new database and a fake WeChat with followers o-0 to o-n.
func newWorker(t *testing.T, followers int, log io.Writer) (*Worker, *wechatqrtest.Server) {
	t.Helper()
	wx := wechatqrtest.Start(t)
	for n := range followers {
		wx.PutUser(wechatqrtest.User{OpenID: fmt.Sprint("o-", n), Follows: true})
	}
	client, err := wechatqr.New(wx.Credentials(), wechatqr.WithBaseURL(wx.URL()),
		wechatqr.WithMaxRetries(0))
	require.NoError(t, err)
	s, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "desk.db"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return &Worker{Store: s, Client: client, Logger: slog.New(slog.NewTextHandler(log, nil))}, wx
}

// tagged is how many followers have a tag.
func tagged(wx *wechatqrtest.Server) (n int) {
	for _, u := range wx.Users() {
		if len(u.TagIDs) > 0 {
			n++
		}
	}
	return n
}

func (w *Worker) waiting(t *testing.T) (n int64, problem string) {
	t.Helper()
	all, err := w.Store.TagsWaiting(t.Context())
	require.NoError(t, err)
	for _, one := range all {
		n += one.Number
		problem = one.Problem
	}
	return n, problem
}

func TestTagsAreGivenInBatches(t *testing.T) {
	t.Parallel()
	w, wx := newWorker(t, 120, io.Discard)
	for n := range 120 {
		require.NoError(t, w.Store.AddTagging(t.Context(), fmt.Sprint("o-", n), "上海店"))
	}
	for _, want := range []int{50, 100, 120} {
		require.NoError(t, w.step(t.Context(), "one"))
		assert.Equal(t, want, tagged(wx))
	}
	require.ErrorIs(t, w.step(t.Context(), "one"), store.ErrNotFound)
	n, _ := w.waiting(t)
	assert.Zero(t, n, "no openid stays")
}

func TestOneWorkerWorks(t *testing.T) {
	t.Parallel()
	w, wx := newWorker(t, 1, io.Discard)
	require.NoError(t, w.Store.AddTagging(t.Context(), "o-0", "上海店"))
	mine, err := w.Store.Lease(t.Context(), task, "another", time.Minute)
	require.NoError(t, err)
	require.True(t, mine)
	require.ErrorIs(t, w.step(t.Context(), "one"), store.ErrNotFound)
	assert.Zero(t, tagged(wx))
	require.NoError(t, w.Store.EndLease(t.Context(), task, "another"))
	require.NoError(t, w.step(t.Context(), "one"))
	assert.Equal(t, 1, tagged(wx))
}

// A worker that is killed between WeChat's answer and its note leaves the batch to another.
func TestAKilledWorkersBatchIsGivenAgain(t *testing.T) {
	t.Parallel()
	w, wx := newWorker(t, 3, io.Discard)
	for n := range 3 {
		require.NoError(t, w.Store.AddTagging(t.Context(), fmt.Sprint("o-", n), "上海店"))
	}
	batch, err := w.Store.NextTagging(t.Context(), batchSize)
	require.NoError(t, err)
	require.NoError(t, w.call(t.Context(), &batch))

	another := &Worker{Store: w.Store, Client: w.Client, Logger: w.Logger}
	require.NoError(t, another.step(t.Context(), "two"))
	assert.Equal(t, 3, tagged(wx))
	for _, u := range wx.Users() {
		assert.Len(t, u.TagIDs, 1)
	}
	n, _ := w.waiting(t)
	assert.Zero(t, n)
}

func TestOnePersonDoesNotSpoilTheBatch(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	w, wx := newWorker(t, 3, &log)
	full := wechatqrtest.User{OpenID: "o-full", Follows: true}
	for n := range 20 {
		full.TagIDs = append(full.TagIDs, wx.AddTag(fmt.Sprint("t", n)))
	}
	wx.PutUser(full)
	for _, openID := range []string{"o-0", "o-gone", "o-1", "o-full", "o-2"} {
		require.NoError(t, w.Store.AddTagging(t.Context(), openID, "上海店"))
	}
	require.NoError(t, w.step(t.Context(), "one"))
	assert.Equal(t, 4, tagged(wx))
	n, _ := w.waiting(t)
	assert.Zero(t, n)
	failures, err := w.Store.TagFailures(t.Context())
	require.NoError(t, err)
	require.Len(t, failures, 1, "who does not follow is none")
	assert.Equal(t, "45059", failures[0].Problem)
	assert.EqualValues(t, 1, failures[0].Number)
	assert.NotContains(t, log.String(), "o-")
}

func TestFailuresAreRepeated(t *testing.T) {
	t.Parallel()
	const path = "/cgi-bin/tags/members/batchtagging"
	for name, tt := range map[string]struct {
		fault   wechatqrtest.Fault
		problem string
	}{
		"no such tag":   {wechatqrtest.Fault{Path: path, Code: 45159}, "45159"},
		"busy":          {wechatqrtest.Fault{Path: path, Code: -1}, "-1"},
		"calls used up": {wechatqrtest.Fault{Path: path, Code: 45009}, "45009"},
		"no access":     {wechatqrtest.Fault{Path: path, Code: 48001}, "48001"},
		"broken response": {wechatqrtest.Fault{Path: path, Break: wechatqrtest.BreakReset},
			"unreachable"},
		"too many tags": {wechatqrtest.Fault{Path: "/cgi-bin/tags/create", Code: 45056}, "45056"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			w, wx := newWorker(t, 2, &log)
			require.NoError(t, w.Store.AddTagging(t.Context(), "o-0", "上海店"))
			require.NoError(t, w.Store.AddTagging(t.Context(), "o-1", "上海店"))
			wx.Inject(tt.fault)
			require.NoError(t, w.step(t.Context(), "one"))
			n, problem := w.waiting(t)
			assert.EqualValues(t, 2, n)
			assert.Equal(t, tt.problem, problem)
			require.ErrorIs(t, w.step(t.Context(), "one"), store.ErrNotFound, "they wait")

			wx.ClearFaults()
			batch := store.Tagging{Tag: "上海店", OpenIDs: []string{"o-0", "o-1"}}
			require.NoError(t, w.Store.RetryTagging(t.Context(), &batch, "", time.Now()))
			require.NoError(t, w.step(t.Context(), "one"))
			assert.Equal(t, 2, tagged(wx))
			assert.NotContains(t, log.String(), "o-0")
		})
	}
}

func TestRetriesArePaced(t *testing.T) {
	t.Parallel()
	w, wx := newWorker(t, 1, io.Discard)
	wx.Inject(wechatqrtest.Fault{Path: "/cgi-bin/tags/get", Code: 45009})
	var waits []time.Duration
	for range 10 {
		require.NoError(t, w.Store.AddTagging(t.Context(), "o-0", "上海店"))
		batch := store.Tagging{Tag: "上海店", OpenIDs: []string{"o-0"}, Attempts: len(waits)}
		before := time.Now()
		require.NoError(t, w.give(t.Context(), &batch))
		all, err := w.Store.TagsWaiting(t.Context())
		require.NoError(t, err)
		waits = append(waits, all[0].Due.Sub(before))
	}
	assert.True(t, slices.IsSorted(waits[:8]), "%v", waits)
	assert.InDelta(t, maxRetry, waits[9], float64(time.Minute))
}

func TestRunEndsItsLease(t *testing.T) {
	t.Parallel()
	w, wx := newWorker(t, 1, io.Discard)
	require.NoError(t, w.Store.AddTagging(t.Context(), "o-0", "上海店"))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		w.Run(ctx)
		close(ended)
	}()
	require.Eventually(t, func() bool { return tagged(wx) == 1 }, time.Minute, 10*time.Millisecond)
	cancel()
	<-ended
	mine, err := w.Store.Lease(t.Context(), task, "another", time.Minute)
	require.NoError(t, err)
	assert.True(t, mine)
}
