package channels

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
)

var (
	testKey    = []byte("0123456789abcdef0123456789abcdef")
	testConfig = Config{AppID: "wx1", PersonKey: testKey, KeepAfterUnfollow: 30 * 24 * time.Hour}
	monday     = time.Date(2026, 3, 2, 0, 0, 0, 0, china)
)

// clock is what a ledger under test takes for now.
type clock struct{ time.Time }

func (c *clock) now() time.Time { return c.Time }

func newLedger(t *testing.T, d Dialect, config Config) (*Ledger, *clock) {
	t.Helper()
	c := &clock{monday}
	l, err := openAt(t.Context(), newDB(t, d), d, config, c.now)
	require.NoError(t, err)
	return l, c
}

// newPush is an event as package events parses it.
func newPush(who string, at time.Time, what wechatqr.EventType, scene string) *wechatqr.Event {
	ev := &wechatqr.Event{
		MsgType:      "event",
		FromUserName: who,
		CreateTime:   at,
		Type:         what,
		EventKey:     scene,
	}
	if scene != "" {
		ev.Ticket = "ticket of " + scene
	}
	if scene != "" && what == wechatqr.EventSubscribe {
		ev.EventKey = "qrscene_" + scene
	}
	return ev
}

func TestOpen(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d Dialect) {
		db := newDB(t, d)
		_, err := Open(t.Context(), db, d, testConfig)
		require.NoError(t, err)
		_, err = Open(t.Context(), db, d, testConfig)
		require.NoError(t, err)

		wrong := testConfig
		wrong.PersonKey = []byte("another key of 32 random bytes..")
		_, err = Open(t.Context(), db, d, wrong)
		assert.ErrorIs(t, err, ErrWrongKey)
		wrong = testConfig
		wrong.AppID = "wx2"
		_, err = Open(t.Context(), db, d, wrong)
		assert.ErrorIs(t, err, ErrWrongAccount)

		_, err = db.Exec("UPDATE channels_schema SET version = 99")
		require.NoError(t, err)
		_, err = Open(t.Context(), db, d, testConfig)
		assert.ErrorIs(t, err, ErrNewerDatabase)
		assert.ErrorContains(t, err, "update the library")
	})
}

func TestOpenChecksConfig(t *testing.T) {
	t.Parallel()
	zone := func(name string) *time.Location {
		loc, err := time.LoadLocation(name)
		require.NoError(t, err)
		return loc
	}
	for name, tt := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"no account":        {func(c *Config) { c.AppID = "" }, "AppID"},
		"a short key":       {func(c *Config) { c.PersonKey = testKey[:15] }, "15 bytes"},
		"a negative time":   {func(c *Config) { c.KeepAfterUnfollow = -1 }, "KeepAfterUnfollow"},
		"parts of a second": {func(c *Config) { c.KeepAfterUnfollow = 1 }, "KeepAfterUnfollow"},
		"half an hour": {func(c *Config) { c.Location = zone("Asia/Kolkata") },
			"whole hours"},
		"half an hour's shift": {func(c *Config) { c.Location = zone("Australia/Lord_Howe") },
			"whole hours"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := testConfig
			tt.change(&c)
			_, err := Open(t.Context(), newDB(t, SQLite), SQLite, c)
			assert.ErrorIs(t, err, wechatqr.ErrInvalidArgument)
			assert.ErrorContains(t, err, tt.want)
		})
	}
	for _, name := range []string{"Asia/Shanghai", "Europe/Berlin", "America/New_York", "UTC"} {
		assert.True(t, wholeHours(zone(name)), name)
	}
}

// Whoever clears the key once the ledger is open does not change who is known by it.
func TestOpenKeepsAKeyOfItsOwn(t *testing.T) {
	t.Parallel()
	config := testConfig
	config.PersonKey = bytes.Clone(testKey)
	l, _ := newLedger(t, SQLite, config)
	recordPush(t, l, "ann", monday, wechatqr.EventSubscribe, "")
	clear(config.PersonKey)
	visit, err := l.RecordEvent(
		t.Context(), newPush("ann", monday.Add(time.Second), wechatqr.EventScan, "s7"),
	)
	require.NoError(t, err)
	assert.Equal(t, Follower, visit.Kind)
}

func TestReportChecksTheQuery(t *testing.T) {
	t.Parallel()
	l, _ := newLedger(t, SQLite, testConfig)
	for name, tt := range map[string]struct {
		change func(*Query)
		want   string
	}{
		"two times":    {func(q *Query) { q.By = ByDay | ByHour }, "two times"},
		"two rows":     {func(q *Query) { q.By = ByChannel | ByGroup }, "both channel and group"},
		"two choices":  {func(q *Query) { q.Channel, q.Group = "a", "b" }, "use one"},
		"no period":    {func(q *Query) { q.To = q.From }, "not before"},
		"half an hour": {func(q *Query) { q.To = q.To.Add(30 * time.Minute) }, "full hours"},
		"top of days":  {func(q *Query) { q.By, q.Top = ByDay|ByChannel, 1 }, "ByChannel alone"},
		"below zero":   {func(q *Query) { q.By, q.Top = ByChannel, -1 }, "Top is -1"},
		"no dimension": {func(q *Query) { q.By = ByGroup << 1 }, "By is 32"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := Query{From: monday, To: monday.AddDate(0, 0, 1)}
			tt.change(&q)
			_, err := l.Report(t.Context(), q)
			assert.ErrorIs(t, err, wechatqr.ErrInvalidArgument)
			assert.ErrorContains(t, err, tt.want)
		})
	}
}

func TestFirstReport(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d Dialect) {
		l, c := newLedger(t, d, testConfig)
		ctx := t.Context()
		require.NoError(
			t, l.Adopt(ctx, wechatqr.SceneString("s7"), Channel{Key: "sh-7", Group: "华东/门店"}),
		)
		c.Time = monday.Add(time.Hour)
		for range 3 {
			v, err := l.RecordEvent(
				ctx, newPush("ann", monday.Add(time.Minute), wechatqr.EventSubscribe, "s7"),
			)
			require.NoError(t, err)
			assert.Equal(t, Visit{Channel{Key: "sh-7", Group: "华东/门店"}, NewFollower}, v)
		}
		_, err := l.RecordEvent(ctx,
			newPush("bob", monday.Add(time.Minute), wechatqr.EventScan, "s7"))
		require.NoError(t, err)

		r, err := l.Report(
			ctx, Query{From: monday, To: monday.AddDate(0, 0, 1), By: ByChannel | ByDay},
		)
		require.NoError(t, err)
		want := Counts{Scans: 2, Scanners: 2, New: 1, HeldEnd: 1}
		assert.Equal(t, want, r.Total)
		require.Len(t, r.Rows, 1)
		assert.Equal(t, want, r.Rows[0].Counts)
		assert.True(t, r.Open)
	})
}
