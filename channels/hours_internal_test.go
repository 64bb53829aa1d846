package channels

import (
	"database/sql"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/account"
)

// A database of the version before has the numbers by person after its migration, as if
// everything had been recorded anew.
func TestMigrationSumsUpByPerson(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d Dialect) {
		h := newHistory(t, d, newDB(t, d), 7)
		for _, s := range h.people() {
			h.clock.Time = time.Unix(s.at, 0)
			require.NoError(t, s.call(t.Context()))
		}
		want := rowsOf(t, h.ledger, hoursTable, totalsTable, eventsTable, peopleTable)
		require.NotEmpty(t, want["channels_totals"])

		old := newDB(t, d)
		migrateBefore(t, d, old, "migrations/0003.sql")
		to := &Ledger{db: old, dialect: d}
		before := rowsOf(t, h.ledger, eventsTable, followsTable, peopleTable)
		for _, row := range before[eventsTable.name] {
			ticket := row[4].(int64)
			if ticket != 0 && row[2] != int64(conversion) {
				row[4] = (ticket-1)<<31 + 12345
			}
		}
		for _, row := range before[peopleTable.name] {
			if hash, ok := row[1].([]byte); ok {
				row[1] = append(slices.Clone(hash), "the other sixteen"[1:]...)
			}
		}
		require.NoError(t, to.transact(t.Context(), func(on *tx) error {
			for _, into := range []relation{eventsTable, followsTable, peopleTable} {
				all := slices.Concat(before[into.name]...)
				if err := on.insert(t.Context(), into, all, ""); err != nil {
					return err
				}
			}
			return nil
		}))
		_, err := Open(t.Context(), old, d, testConfig)
		require.NoError(t, err)
		assert.Equal(t, want, rowsOf(t, to, hoursTable, totalsTable, eventsTable, peopleTable))
	})
}

// migrateBefore brings an empty database to the version before the file's.
func migrateBefore(t *testing.T, d Dialect, db *sql.DB, file string) {
	t.Helper()
	files, err := fs.Glob(migrations, "migrations/*.sql")
	require.NoError(t, err)
	require.Contains(t, files, file)
	require.NoError(t, d.transact(t.Context(), db, func(on *tx) error {
		if _, err := on.lockVersion(t.Context()); err != nil {
			return err
		}
		for version, before := range files[:slices.Index(files, file)] {
			if err := on.migrateTo(t.Context(), version+1, before); err != nil {
				return err
			}
		}
		return nil
	}))
}

// rowsOf are the rows of the tables, in the order of their keys.
func rowsOf(t *testing.T, l *Ledger, tables ...relation) map[string][][]any {
	t.Helper()
	all := map[string][][]any{}
	for _, from := range tables {
		columns := slices.Concat(from.key, from.values)
		read := &tx{&l.dialect, l.db}
		require.NoError(t, read.rows(t.Context(), func(rows *sql.Rows) error {
			row, dest := make([]any, len(columns)), make([]any, len(columns))
			for i := range row {
				dest[i] = &row[i]
			}
			err := rows.Scan(dest...)
			all[from.name] = append(all[from.name], row)
			return err
		}, "SELECT "+strings.Join(columns, ", ")+" FROM "+from.name+
			" ORDER BY "+strings.Join(from.key, ", ")))
	}
	return all
}

// A code that is adopted, or given to another channel from the past on, takes the
// numbers of its events with it, whatever row they were in.
func TestNumbersMoveWithTheCode(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d Dialect) {
		l, c := newLedger(t, d, testConfig)
		ctx, scene := t.Context(), wechatqr.SceneString("s7")
		require.NoError(t, l.Put(ctx, Channel{Key: "b"}))
		list := usersOf(
			account.UserInfo{OpenID: "imported", Follows: true, FollowedAt: monday.Add(-time.Hour),
				Scene: "s7"},
			account.UserInfo{OpenID: "missed", Follows: true,
				FollowedAt: monday.Add(30 * time.Minute), Scene: "s7"},
			account.UserInfo{OpenID: "pushed", Follows: true,
				FollowedAt: monday.Add(40*time.Minute + time.Second), Scene: "s7"},
		)
		c.Time = monday.Add(time.Hour)
		for who, what := range map[string]wechatqr.EventType{
			"pushed": wechatqr.EventSubscribe, "scanned": wechatqr.EventScan,
		} {
			_, err := l.RecordEvent(ctx, newPush(who, monday.Add(40*time.Minute), what, "s7"))
			require.NoError(t, err)
		}
		require.NoError(t, l.ImportFollowers(ctx, list))
		q := Query{From: monday.Add(-2 * time.Hour), To: monday.Add(time.Hour), By: ByChannel}
		of := func() map[string]Counts {
			r, err := l.Report(ctx, q)
			require.NoError(t, err)
			all := map[string]Counts{}
			for _, row := range r.Rows {
				all[row.Channel.Key+string(row.Origin)] = row.Counts
			}
			return all
		}
		pushed := Counts{Scans: 2, Scanners: 2, New: 2, HeldEnd: 2}
		imported := Counts{Imported: 1, HeldEnd: 1}
		both := Counts{Scans: 2, Scanners: 2, New: 2, Imported: 1, HeldEnd: 3}
		assert.Equal(t, map[string]Counts{"unknown": pushed, "imported": imported}, of())

		require.NoError(t, l.Adopt(ctx, scene, Channel{Key: "a"}))
		assert.Equal(t, map[string]Counts{"a": both}, of())
		require.NoError(t, l.Reassign(ctx, scene, "b", monday.Add(40*time.Minute)))
		assert.Equal(t, map[string]Counts{
			"a": {New: 1, Imported: 1, HeldEnd: 2},
			"b": {Scans: 2, Scanners: 2, New: 1, HeldEnd: 1},
		}, of())
		require.NoError(t, l.Merge(ctx, "a", "b"))
		assert.Equal(t, map[string]Counts{"b": both}, of())
	})
}
