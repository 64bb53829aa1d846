package channels

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/events"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// What is nil or empty is refused with an error that says so, and leaves nothing.
func TestNothingIsRefused(t *testing.T) {
	t.Parallel()
	l, _ := newLedger(t, SQLite, testConfig)
	ctx, client := t.Context(), wechatqrtest.Start(t).Client()
	_, record := l.RecordEvent(ctx, nil)
	_, backfill := l.Backfill(ctx, nil)
	_, ensure := l.Ensure(ctx, nil, Channel{Key: "a"})
	var ensureAll error
	for _, err := range l.EnsureAll(ctx, client, nil) {
		ensureAll = err
	}
	_, compare := l.Compare(ctx, nil, monday, monday)
	_, reconcile := l.Reconcile(ctx, nil)
	_, plan := l.Plan(ctx, nil)
	_, report := l.Report(ctx, Query{})
	keyless := Plan{Lines: []PlanLine{{Status: LineNew}}}
	for name, tt := range map[string]struct {
		err  error
		want string
	}{
		"record":     {record, "the event is nil"},
		"backfill":   {backfill, "the event is nil"},
		"ensure":     {ensure, "the client is nil"},
		"ensure all": {ensureAll, "the list of channels is nil"},
		"compare":    {compare, "the client is nil"},
		"reconcile":  {reconcile, "the list is nil: use account.Users"},
		"import":     {l.ImportFollowers(ctx, nil), "the list is nil: use account.Users"},
		"plan":       {plan, "there is no file"},
		"apply":      {l.Apply(ctx, nil), "make one with Plan"},
		"apply none": {l.Apply(ctx, &keyless), "Channel.Key is empty"},
		"put":        {l.Put(ctx, Channel{}), "Channel.Key is empty"},
		"adopt":      {l.Adopt(ctx, wechatqr.Scene{}, Channel{Key: "a"}), "the scene is empty"},
		"forget":     {l.Forget(ctx, ""), "the openid is empty"},
		"convert":    {l.Convert(ctx, Conversion{}), "ID has 0 bytes"},
		"report":     {report, "is not before"},
		"copy":       {l.CopyTo(ctx, nil, SQLite, nil), "db and dialect are needed"},
	} {
		require.ErrorIs(t, tt.err, wechatqr.ErrInvalidArgument, name)
		assert.ErrorContains(t, tt.err, tt.want, name)
	}
	all, err := l.Channels(ctx)
	require.NoError(t, err)
	assert.Empty(t, all)

	cfg := events.Config{Token: "token", Plaintext: true}
	_, err = events.NewHandler(cfg, l.Record(nil))
	assert.ErrorContains(t, err, "the HandlerFunc is nil")
}
