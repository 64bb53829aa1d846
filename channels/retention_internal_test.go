package channels

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/wechatqr/wechatqr"
)

func TestRetentionRefuses(t *testing.T) {
	t.Parallel()
	l, _ := newLedger(t, SQLite, testConfig)
	for name, tt := range map[string]struct {
		change func(*Query)
		days   int
		want   string
	}{
		"by hour":         {func(q *Query) { q.By = ByHour }, 1, "more than ByDay and ByChannel"},
		"by group":        {func(q *Query) { q.By = ByGroup }, 1, "more than ByDay and ByChannel"},
		"from an hour on": {func(q *Query) { q.From = q.From.Add(time.Hour) }, 1, "not midnights"},
		"to an hour":      {func(q *Query) { q.To = q.To.Add(time.Hour) }, 1, "not midnights"},
		"no period":       {func(q *Query) { q.To = q.From }, 1, "not before"},
		"days before":     {func(*Query) {}, -1, "0 to 3650"},
		"too many days":   {func(*Query) {}, 3651, "0 to 3650"},
		"top":             {func(q *Query) { q.By, q.Top = ByChannel, 1 }, 1, "Top is 1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := Query{From: monday, To: monday.AddDate(0, 0, 7)}
			tt.change(&q)
			_, err := l.Retention(t.Context(), q, tt.days)
			assert.ErrorIs(t, err, wechatqr.ErrInvalidArgument)
			assert.ErrorContains(t, err, tt.want)
		})
	}
}
