package channels

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
)

// Every dialect into every dialect, a history with all kinds of rows: what the copy
// reports, records and knows of persons is what the oracle says.
func TestCopyTo(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, from Dialect) {
		for _, to := range databases {
			t.Run("to "+to.String(), func(t *testing.T) {
				t.Parallel()
				copyHistory(t, from, to, 11)
			})
		}
	})
}

func copyHistory(t *testing.T, from, to Dialect, seed uint64) {
	h := newHistory(t, from, newDB(t, from), seed)
	steps := h.people()
	half := len(steps) / 2
	for _, s := range steps[:half] {
		h.clock.Time = time.Unix(s.at, 0)
		require.NoError(t, s.call(t.Context()))
	}
	fillEmptyTables(t, h.ledger)
	was := countRows(t, h.ledger.db, from)

	db := newDB(t, to)
	var last CopyProgress
	require.NoError(t, h.ledger.CopyTo(t.Context(), db, to, func(p CopyProgress) { last = p }))
	assert.Equal(t, last.Total, last.Rows)
	assert.Empty(t, last.Table)
	assert.Equal(t, was, countRows(t, db, to))

	var err error
	h.ledger, err = openAt(t.Context(), db, to, h.ledger.config, h.clock.now)
	require.NoError(t, err)
	for _, s := range steps[half:] { // some by the same persons
		h.clock.Time = time.Unix(s.at, 0)
		require.NoError(t, s.call(t.Context()))
	}
	h.compareAll()
}

// countRows asks the database for its tables and counts their rows.
func countRows(t *testing.T, db *sql.DB, d Dialect) map[string]int64 {
	t.Helper()
	counts := map[string]int64{}
	on := tx{&d, db}
	require.NoError(t, on.rows(t.Context(), func(rows *sql.Rows) error {
		var table string
		err := rows.Scan(&table)
		if strings.HasPrefix(table, "channels_") {
			counts[table] = 0
		}
		return err
	}, d.tables))
	for table := range counts {
		var n int64
		require.NoError(t, db.QueryRow("SELECT COUNT(*) FROM "+table).Scan(&n))
		counts[table] = n
	}
	require.Greater(t, len(counts), 9)
	return counts
}

// fillEmptyTables writes a row into each table that the history has left empty, so that
// one which CopyTo forgets is missed.
func fillEmptyTables(t *testing.T, l *Ledger) {
	t.Helper()
	for table, n := range countRows(t, l.db, l.dialect) {
		if n > 0 || table == "channels_stale" { // which is empty when a copy is made
			continue
		}
		rows, err := l.db.Query("SELECT * FROM " + table)
		require.NoError(t, err)
		types, err := rows.ColumnTypes()
		require.NoError(t, err)
		require.NoError(t, rows.Close())
		into := relation{name: table}
		var values []any
		for _, col := range types {
			into.values = append(into.values, col.Name())
			switch name := col.DatabaseTypeName(); name {
			case "TEXT", "VARCHAR":
				values = append(values, "文本")
			case "BLOB", "BYTEA", "VARBINARY":
				values = append(values, []byte{0, 255, 39})
			default:
				assert.Contains(t, name, "INT", table)
				values = append(values, 7)
			}
		}
		on := tx{&l.dialect, l.db}
		require.NoError(t, on.insert(t.Context(), into, values, ""))
	}
}

func TestCopyToRefusesALedger(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d Dialect) {
		l, _ := newLedger(t, SQLite, testConfig)
		other, _ := newLedger(t, d, testConfig)
		require.NoError(t, other.Put(t.Context(), Channel{Key: "theirs"}))

		err := l.CopyTo(t.Context(), other.db, d, nil)
		require.ErrorIs(t, err, ErrNotEmpty)
		assert.ErrorContains(t, err, "copy into a new one")
		assert.ErrorIs(t, other.CopyTo(t.Context(), other.db, d, nil), ErrNotEmpty, "into itself")
		all, err := other.Channels(t.Context())
		require.NoError(t, err)
		assert.Len(t, all, 1)
		assert.ErrorIs(t, l.CopyTo(t.Context(), nil, d, nil), wechatqr.ErrInvalidArgument)
	})
}

// Recording goes on while the copy is made: the copy is of the instant of the call.
func TestCopyToIsOfOneInstant(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d Dialect) {
		l, c := newLedger(t, d, testConfig)
		ctx := t.Context()
		c.Time = monday.Add(time.Hour)
		require.NoError(t, l.Adopt(ctx, wechatqr.SceneString("s7"), Channel{Key: "sh-7"}))
		record := func(who string) {
			ev := newPush(who, c.Time, wechatqr.EventSubscribe, "s7")
			_, err := l.RecordEvent(ctx, ev)
			assert.NoError(t, err)
		}
		record("before")

		db := newDB(t, SQLite)
		n := 0
		require.NoError(t, l.CopyTo(ctx, db, SQLite, func(CopyProgress) {
			n++
			record(fmt.Sprint("meanwhile", n))
		}))
		assert.Positive(t, n)
		held := func(l *Ledger) int64 {
			r, err := l.Report(ctx, Query{From: monday, To: monday.Add(24 * time.Hour)})
			require.NoError(t, err)
			return r.Total.HeldEnd
		}
		assert.Equal(t, int64(1+n), held(l))
		copied, err := openAt(ctx, db, SQLite, testConfig, c.now)
		require.NoError(t, err)
		assert.Equal(t, int64(1), held(copied))
	})
}

// What the copy does not hold as it was written is named.
func TestCopyToFindsDifferences(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ fault, want string }{
		"in a report": {
			"AFTER INSERT ON channels_hours BEGIN UPDATE channels_hours SET begun = 2; END",
			"Key:sh-7",
		},
		"in a scan": {
			"AFTER INSERT ON channels_events BEGIN UPDATE channels_events SET happened = 5; END",
			"table channels_events has other values",
		},
		"in retention": {
			"AFTER INSERT ON channels_follows BEGIN UPDATE channels_follows SET how = 3; END",
			"Follows:1",
		},
		"in a hash": {
			"AFTER INSERT ON channels_people BEGIN UPDATE channels_people SET hash = 'x'; END",
			"table channels_people has other values",
		},
		"a row too few": {
			"AFTER INSERT ON channels_codes BEGIN DELETE FROM channels_codes; END",
			"table channels_codes has 0 rows, not 1",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, c := newLedger(t, SQLite, testConfig)
			ctx := t.Context()
			require.NoError(t, l.Adopt(ctx, wechatqr.SceneString("s7"), Channel{Key: "sh-7"}))
			c.Time = monday.Add(time.Hour)
			_, err := l.RecordEvent(ctx, newPush("ann", c.Time, wechatqr.EventSubscribe, "s7"))
			require.NoError(t, err)
			c.Time = monday.Add(50 * time.Hour)

			db, d := newDB(t, SQLite), SQLite
			require.NoError(t, d.prepare(ctx, db))
			_, err = db.Exec("CREATE TRIGGER fault " + tt.fault)
			require.NoError(t, err)
			err = l.CopyTo(ctx, db, SQLite, nil)
			require.ErrorIs(t, err, ErrCopyDiffers)
			require.ErrorContains(t, err, tt.want)
			_, err = Open(ctx, db, SQLite, testConfig)
			require.ErrorIs(t, err, ErrUnfinishedCopy)

			_, err = db.Exec("DROP TRIGGER fault")
			require.NoError(t, err)
			require.NoError(t, l.CopyTo(ctx, db, SQLite, nil))
			_, err = Open(ctx, db, SQLite, testConfig)
			assert.NoError(t, err)
		})
	}
}

// Of two that copy into one database the first one fails, and the copy is whole.
func TestCopyToTakesOver(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d Dialect) {
		l, _ := newLedger(t, SQLite, testConfig)
		ctx := t.Context()
		require.NoError(t, l.Put(ctx, Channel{Key: "sh-7"}))
		db := newDB(t, d)
		var second error
		takeOver := sync.OnceFunc(func() { second = l.CopyTo(ctx, db, d, nil) })
		first := l.CopyTo(ctx, db, d, func(CopyProgress) { takeOver() })
		require.NoError(t, second)
		require.ErrorIs(t, first, ErrUnfinishedCopy)
		assert.ErrorContains(t, first, "took over")
		copied, err := Open(ctx, db, d, testConfig)
		require.NoError(t, err)
		all, err := copied.Channels(ctx)
		require.NoError(t, err)
		assert.Len(t, all, 1)
	})
}

// Wherever a copy is cut off, what is left is nothing, what Open refuses, or the whole.
func TestCopyToIsCutOff(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d Dialect) {
		l, c := newLedger(t, SQLite, testConfig)
		ctx := t.Context()
		require.NoError(t, l.Adopt(ctx, wechatqr.SceneString("s7"), Channel{Key: "sh-7"}))
		c.Time = monday.Add(time.Hour)
		_, err := l.RecordEvent(ctx, newPush("ann", c.Time, wechatqr.EventSubscribe, "s7"))
		require.NoError(t, err)

		driverName, dsn := source(t, d)
		complete := connect(t, driverName, dsn)
		require.NoError(t, d.prepare(ctx, complete))
		refused := 0
		for cutAt := 1; ; cutAt += 1 + rand.IntN(5) {
			db, faults := cutDB(t, driverName, dsn, cutAt)
			err := l.CopyTo(ctx, db, d, nil)
			if finished(t, complete, d) {
				assert.Equal(t, faults.cut(), err != nil)
				break
			}
			require.ErrorIs(t, err, errCut)
			if countRows(t, complete, d)["channels_schema"] == unfinishedCopy {
				refused++
				_, err = Open(ctx, complete, d, testConfig)
				require.ErrorIs(t, err, ErrUnfinishedCopy)
				require.ErrorContains(t, err, "call CopyTo into it again")
			}
		}
		assert.Greater(t, refused, 10)
		copied, err := openAt(ctx, complete, d, testConfig, c.now)
		require.NoError(t, err)
		r, err := copied.Report(ctx, Query{From: monday, To: monday.Add(24 * time.Hour)})
		require.NoError(t, err)
		assert.Equal(t, int64(1), r.Total.HeldEnd)
	})
}

// finished reports whether Open would take the database for a ledger.
func finished(t *testing.T, db *sql.DB, d Dialect) bool {
	t.Helper()
	rows := countRows(t, db, d)
	return rows["channels_schema"] == 1 && rows["channels_settings"] > 0
}
