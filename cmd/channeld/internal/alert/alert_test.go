package alert

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/channels"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/store"
)

// robot is a program that gets messages.
type robot struct {
	*httptest.Server

	mu     sync.Mutex
	status int // of the response; 0: 200
	got    []Message
	ids    []string
}

func newRobot(t *testing.T) *robot {
	t.Helper()
	b := &robot{}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.mu.Lock()
		defer b.mu.Unlock()
		var m Message
		assert.NoError(t, json.NewDecoder(r.Body).Decode(&m))
		b.got, b.ids = append(b.got, m), append(b.ids, r.Header.Get("webhook-id"))
		if b.status != 0 {
			w.WriteHeader(b.status)
		}
	}))
	t.Cleanup(b.Close)
	return b
}

func (b *robot) answer(status int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.status = status
}

// told are the rules and states of all messages that the robot got.
func (b *robot) told() (all []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range b.got {
		for _, one := range m.Alerts {
			all = append(all, string(one.Rule)+" "+one.Channel+" "+one.State)
		}
	}
	return all
}

// newWorker returns a worker whose ledger has 30 follows in this hour of each of the four
// last weeks, by the channel sh-7.
func newWorker(t *testing.T, now time.Time, log *strings.Builder) *Worker {
	t.Helper()
	w := newEmptyWorker(t, log)
	for week := 1; week <= weeks; week++ {
		w.follow(t, now.AddDate(0, 0, -7*week), 30)
	}
	return w
}

func newEmptyWorker(t *testing.T, log *strings.Builder) *Worker {
	t.Helper()
	ctx := t.Context()
	s, err := store.Open(ctx, filepath.Join(t.TempDir(), "desk.db"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	ledger, err := channels.Open(ctx, s.DB(), s.Dialect(), channels.Config{
		AppID: "wx1", PersonKey: []byte("0123456789abcdef0123456789abcdef"), Location: time.UTC,
	})
	require.NoError(t, err)
	c := channels.Channel{Key: "sh-7", Name: "七店"}
	require.NoError(t, ledger.Adopt(ctx, wechatqr.SceneString("s7"), c))
	return &Worker{
		Store: s, Ledger: ledger, Logger: slog.New(slog.NewTextHandler(log, nil)),
		Location: time.UTC, Origin: "https://desk.example.com",
	}
}

// follow has n persons follow by the channel sh-7.
func (w *Worker) follow(t *testing.T, at time.Time, n int) {
	t.Helper()
	for i := range n {
		_, err := w.Ledger.Backfill(t.Context(), &wechatqr.Event{
			ToUserName: "gh_1", FromUserName: fmt.Sprint("o-", at.Unix(), "-", i), CreateTime: at,
			MsgType: "event", Type: "subscribe", EventKey: "qrscene_s7", Ticket: "t",
		})
		require.NoError(t, err)
	}
}

func (w *Worker) addWebhook(t *testing.T, address string) string {
	t.Helper()
	id, err := w.Store.AddWebhook(t.Context(),
		&store.Webhook{Title: "x", Kind: JSON, Address: address})
	require.NoError(t, err)
	return id
}

// A week without pushes is not one with few follows: it is left out, whichever it is.
func TestWeeksWithoutPushes(t *testing.T) {
	t.Parallel()
	hour := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	for name, tt := range map[string]struct {
		follows [weeks]int // last week's first
		now     int
		want    []Rule
	}{
		"the last ones, as usual":    {[weeks]int{0, 0, 30, 30}, 30, nil},
		"the last ones, no drop":     {[weeks]int{0, 0, 60, 60}, 45, nil},
		"the last one, a drop":       {[weeks]int{0, 30, 30, 40}, 10, []Rule{Drop}},
		"the last one, no spike":     {[weeks]int{0, 30, 0, 30}, 80, nil},
		"those before, a spike":      {[weeks]int{30, 30, 0, 0}, 90, []Rule{Spike}},
		"there are not two with any": {[weeks]int{0, 0, 0, 30}, 90, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newEmptyWorker(t, &strings.Builder{})
			for i, n := range tt.follows {
				w.follow(t, hour.AddDate(0, 0, -7*(i+1)), n)
			}
			w.follow(t, hour, tt.now)
			found, err := w.judgeHours(t.Context(), hour, nil)
			require.NoError(t, err)
			var got []Rule
			for _, f := range found {
				if f.channel.Key == "" {
					got = append(got, f.rule)
				}
			}
			assert.Equal(t, tt.want, got)
		})
	}
}

func TestAlertsAreToldOnce(t *testing.T) {
	t.Parallel()
	ctx, now := t.Context(), time.Now().Truncate(time.Hour).Add(10*time.Minute)
	last := now.Truncate(time.Hour).Add(-30 * time.Minute)
	var log strings.Builder
	w := newWorker(t, last, &log)
	w.follow(t, last, 5)
	require.NoError(t, w.step(ctx, "one", now))
	raised, err := w.Store.Alerts(ctx)
	require.NoError(t, err)
	assert.Empty(t, raised, "nobody is to be told")

	told := newRobot(t)
	w.addWebhook(t, told.URL)
	require.NoError(t, w.step(ctx, "one", now))
	want := []string{"drop  raised", "drop sh-7 raised"}
	assert.ElementsMatch(t, want, told.told())
	text := told.got[0].Text
	for _, part := range []string{
		"渠道“七店”上一小时净增 5，平时约 30", "had a net of 5 in the last hour, usually about 30",
		"https://desk.example.com/channels/sh-7\n",
	} {
		assert.Contains(t, text, part)
	}
	for _, hidden := range []string{"o-", "s7"} {
		assert.NotContains(t, strings.ReplaceAll(text, "sh-7", ""), hidden)
	}

	another := &Worker{
		Store: w.Store, Ledger: w.Ledger, Logger: w.Logger, Location: w.Location, Origin: w.Origin,
	}
	require.NoError(t, another.step(ctx, "two", now))
	require.NoError(t, w.step(ctx, "one", now.Add(time.Minute)))
	require.NoError(t, w.Store.EndLease(ctx, task, "one"))
	require.NoError(t, another.step(ctx, "two", now.Add(time.Minute)))
	assert.Len(t, told.told(), 2, "not again, nor by another process")

	w.follow(t, last.Add(time.Minute), 20)
	another.judged = time.Time{}
	require.NoError(t, another.step(ctx, "two", now.Add(2*time.Minute)))
	assert.ElementsMatch(t, append(want, "drop  over", "drop sh-7 over"), told.told())
}

func TestMessagesAreRepeated(t *testing.T) {
	t.Parallel()
	ctx, now := t.Context(), time.Now().Truncate(time.Hour).Add(10*time.Minute)
	last := now.Truncate(time.Hour).Add(-30 * time.Minute)
	var log strings.Builder
	w := newWorker(t, last, &log)
	w.follow(t, last, 5)
	told := newRobot(t)
	told.answer(http.StatusBadGateway)
	id := w.addWebhook(t, told.URL+"/hidden")
	require.NoError(t, w.step(ctx, "one", now))
	hook, err := w.Store.Webhook(ctx, id)
	require.NoError(t, err)
	assert.Equal(t, "HTTP 502", hook.Result)
	assert.Equal(t, 1, hook.Waiting)
	assert.NotContains(t, log.String(), "hidden")
	require.NoError(t, w.step(ctx, "one", now))
	assert.Len(t, told.ids, 1, "it waits")

	// Another process takes over, after the restart, when the pause is over.
	told.answer(0)
	require.NoError(t, w.Store.RetryMessages(ctx, id, time.Now()))
	another := &Worker{
		Store: w.Store, Ledger: w.Ledger, Logger: w.Logger, Location: w.Location, Origin: w.Origin,
	}
	require.NoError(t, w.Store.EndLease(ctx, task, "one"))
	require.NoError(t, another.step(ctx, "two", now))
	require.Len(t, told.ids, 2)
	assert.Equal(t, told.ids[0], told.ids[1], "by the ID the robot knows it")
	hook, err = w.Store.Webhook(ctx, id)
	require.NoError(t, err)
	assert.Empty(t, hook.Result)
	assert.Zero(t, hook.Waiting)
}

// A sender that is killed before it noted the arrival leaves the message: it comes twice.
func TestAKilledSendersMessageComesTwice(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	var log strings.Builder
	w := newWorker(t, time.Now(), &log)
	told := newRobot(t)
	w.addWebhook(t, told.URL)
	bodies, err := encode(pack([]Told{{Rule: Budget, State: raisedState}}))
	require.NoError(t, err)
	require.NoError(t, w.Store.ChangeAlerts(ctx, nil, nil, bodies))
	hooks, err := w.Store.Webhooks(ctx)
	require.NoError(t, err)
	messages, err := w.Store.NextMessages(ctx)
	require.NoError(t, err)
	require.Len(t, messages, 1)
	var m Message
	require.NoError(t, json.Unmarshal([]byte(messages[0].Body), &m))
	require.NoError(t, Send(ctx, &hooks[0], messages[0].ID, &m))

	require.NoError(t, w.send(ctx, hooks))
	require.NoError(t, w.send(ctx, hooks))
	require.Len(t, told.ids, 2)
	assert.Equal(t, told.ids[0], told.ids[1])
}

func TestSilenceOfTheAccount(t *testing.T) {
	t.Parallel()
	ctx, now := t.Context(), time.Now().Truncate(time.Hour).Add(30*time.Minute)
	var log strings.Builder
	w := newWorker(t, now, &log) // 60 pushes in three hours, of which one has all
	w.follow(t, now.Add(-2*time.Hour).Truncate(time.Hour), 1)
	last, perHour, err := w.lastPush(ctx, now)
	require.NoError(t, err)
	assert.Equal(t, now.Truncate(time.Hour).Add(-time.Hour).Unix(), last.Unix(),
		"the end of the hour, as more is not known")
	assert.InDelta(t, 10, perHour, 0.1)
	found, err := w.judgeOften(ctx, now, nil)
	require.NoError(t, err)
	require.Len(t, found, 1)
	assert.Equal(t, Silence, found[0].rule)
	assert.InDelta(t, 90, found[0].number, 0.1)
	assert.InDelta(t, 60, found[0].expected, 0.1)

	found, err = w.judgeOften(ctx, now.Add(lookBack), map[key]bool{{Silence, ""}: true})
	require.NoError(t, err)
	assert.Len(t, found, 1, "it goes on when the last push is out of sight")
}
