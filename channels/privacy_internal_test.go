package channels

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/events"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// exports are everything that the ledger tells of a period.
type exports struct {
	report      *Report
	conversions map[Model]*ConversionReport
	retention   *RetentionReport
}

func exportAll(t *testing.T, l *Ledger, q Query) exports {
	t.Helper()
	ctx := t.Context()
	all := exports{conversions: map[Model]*ConversionReport{}}
	var err error
	all.retention, err = l.Retention(ctx, q, 0)
	require.NoError(t, err)
	q.By = ByHour | ByChannel
	all.report, err = l.Report(ctx, q)
	require.NoError(t, err)
	all.report.Rows = uncounted(all.report.Rows)
	for _, model := range []Model{ModelFollow, ModelFirst, ModelLast} {
		all.conversions[model], err = l.Conversions(ctx, ConversionQuery{Query: q, Model: model})
		require.NoError(t, err)
	}
	return all
}

// write writes them into files.
func (e *exports) write(t *testing.T, dir string) {
	t.Helper()
	save := func(name string, value any, writeCSV func(io.Writer) error) {
		text, err := json.Marshal(value)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name+".json"), text, 0o600))
		var out bytes.Buffer
		require.NoError(t, writeCSV(&out))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name+".csv"), out.Bytes(), 0o600))
	}
	save("report", e.report, e.report.WriteCSV)
	save("retention", e.retention, e.retention.WriteCSV)
	for model, report := range e.conversions {
		save("conversions by "+string(model), report, report.WriteCSV)
	}
}

// traces counts where the files of the directory tell of the person.
func traces(t *testing.T, l *Ledger, dir, who string) (n int) {
	t.Helper()
	hash := []byte(l.hash(who))
	for _, text := range []string{
		who, string(hash), hex.EncodeToString(hash), base64.StdEncoding.EncodeToString(hash),
	} {
		n += filesWith(t, dir, text)
	}
	return n
}

// After Forget and the repair window neither the database's files nor its log, the
// program's log and the exports tell who the person was, and every report of the time
// before is what it was.
func TestForgottenLeavesNothingAnywhere(t *testing.T) {
	t.Parallel()
	driver, file := source(t, SQLite)
	dir, ctx, c := filepath.Dir(file), t.Context(), &clock{time.Now()}
	l, err := openAt(ctx, connect(t, driver, file), SQLite, testConfig, c.now)
	require.NoError(t, err)
	wx := wechatqrtest.Start(t, wechatqrtest.WithRetryDelay(0))
	code, err := l.Ensure(ctx, wx.Client(), Channel{Key: "sh-7"})
	require.NoError(t, err)
	log, err := os.Create(filepath.Join(dir, "program.log"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = log.Close() })
	logger := slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))

	deliveries := 0
	next := func(ctx context.Context, _ *wechatqr.Event) (events.Reply, error) {
		visit, _ := VisitFrom(ctx)
		logger.InfoContext(ctx, "visit", "visit", visit)
		if deliveries++; deliveries == 1 {
			return nil, errors.New("the host's function fails")
		}
		return nil, nil
	}
	handler, err := events.NewHandler(wx.CallbackConfig(), l.Record(next),
		events.WithLogger(logger))
	require.NoError(t, err)
	wx.ServeCallback(handler)
	const follower, other = "o-somebody-7", "o-somebody-else"
	for _, who := range []string{follower, other} {
		_, _ = wx.Scan(ctx, code.Ticket.Value, who) // fails once, and is delivered again
		order := Conversion{ID: "order of " + who[len("o-"):], OpenID: who, At: c.Time, Value: 5}
		require.NoError(t, l.Convert(ctx, order))
		order.Value++
		err := l.Convert(ctx, order)
		require.ErrorIs(t, err, ErrConversionDiffers)
		logger.Error("convert", "error", err)
	}
	logger.Error("record", "error", l.Convert(ctx, Conversion{ID: "no time", OpenID: follower}))

	c.Time = startOfDay(c.In(china)).AddDate(0, 0, 2)
	query := Query{From: c.AddDate(0, 0, -3), To: c.Time}
	before := exportAll(t, l, query)
	assert.EqualValues(t, 2, before.report.Total.New)
	assert.EqualValues(t, 2, before.conversions[ModelFollow].Total.Converted)
	before.write(t, dir)
	assert.Positive(t, traces(t, l, dir, follower), "the test looks for the right thing")

	require.NoError(t, l.Forget(ctx, follower))
	c.Time = c.Add(repairSeconds * time.Second)
	require.NoError(t, l.DeleteExpired(ctx))
	after := exportAll(t, l, query)
	after.write(t, dir)
	assert.Zero(t, traces(t, l, dir, follower))
	assert.Positive(t, traces(t, l, dir, other))
	written, err := os.ReadFile(log.Name())
	require.NoError(t, err)
	assert.Contains(t, string(written), "the host's function fails")
	assert.Contains(t, string(written), "order of somebody-7")

	assert.Equal(t, before.report.Rows, after.report.Rows)
	assert.Equal(t, before.report.Total.HeldEnd, after.report.Total.HeldEnd)
	assert.Equal(t, before.retention.Rows, after.retention.Rows)
	for model, report := range before.conversions {
		assert.Equal(t, report.Rows, after.conversions[model].Rows, model)
		assert.Equal(t, report.Total, after.conversions[model].Total, model)
	}
}
