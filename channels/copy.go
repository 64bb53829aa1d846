package channels

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"regexp"
	"slices"
	"time"
)

// CopyProgress says how far [Ledger.CopyTo] has come.
type CopyProgress struct {
	Table string // which is copied, empty when all are and the copy is verified
	Rows  int64  // copied so far, of all tables
	Total int64  // to copy
}

// CopyTo copies the ledger into another database, of the same or of another dialect,
// and verifies the copy: every table has the same rows, and every report by day and
// channel, by weekday and hour, and of retention is the same. Open it then with the
// same Config: persons are known by the same hashes. progress is called after some
// thousand rows, and may be nil.
//
// The copy is of one instant, that of the call. Recording may go on meanwhile, and
// what it records then is not in the copy: to move to another database stop recording
// before. The memory that it takes does not grow with the ledger, but a SQLite database
// that is written to keeps its log until the copy is done.
//
// db must not hold a ledger: [ErrNotEmpty]. Tables with other names do not matter. A
// copy that was cut off, or that failed, is no ledger: Open refuses it with
// [ErrUnfinishedCopy], and CopyTo into it begins anew. Of two that copy into one
// database at once the first fails.
//
// Errors: wechatqr.ErrInvalidArgument; [ErrNotEmpty], [ErrNewerDatabase];
// [ErrUnfinishedCopy] if another CopyTo took over; [ErrCopyDiffers] with the first
// difference.
func (l *Ledger) CopyTo(
	ctx context.Context, db *sql.DB, dialect Dialect, progress func(CopyProgress),
) error {
	if db == nil || dialect.name == "" {
		return invalid("copy: db and dialect are needed: SQLite, PostgreSQL or MySQL")
	}
	if progress == nil {
		progress = func(CopyProgress) {}
	}
	asOf := l.now()
	at := func(db *sql.DB, d Dialect) *Ledger {
		return &Ledger{
			db: db, dialect: d, config: l.config, rules: l.rules,
			now: func() time.Time { return asOf },
		}
	}
	c := copier{
		from: at(l.db, l.dialect), to: at(db, dialect), number: 1 + rand.Int32N(1<<30),
		notify: progress,
	}
	return failed("copy", c.run(ctx))
}

// copier is one run of CopyTo.
type copier struct {
	from, to *Ledger // with one clock, that stands
	source   *tx     // sees one state of the database
	number   int32   // of this run, in the database while the copy is unfinished
	tables   []string
	sums     map[string]rowSum
	progress CopyProgress
	notify   func(CopyProgress)
}

func (c *copier) run(ctx context.Context) (err error) {
	if c.tables, err = migratedTables(); err != nil {
		return err
	}
	if err := c.to.dialect.prepare(ctx, c.to.db); err != nil {
		return err
	}
	begin := func(t *tx) error { return c.begin(ctx, t) }
	if err := c.to.dialect.transact(ctx, c.to.db, begin); err != nil {
		return err
	}
	err = c.from.readSettled(ctx, func(t *tx) error {
		c.source = t
		return c.copyTables(ctx)
	})
	if err != nil {
		return err
	}
	return c.transact(ctx, func(t *tx) error {
		return t.exec(ctx, "DELETE FROM channels_schema WHERE id = ?", unfinishedCopy)
	})
}

var createTable = regexp.MustCompile(`(?m)^CREATE TABLE (\w+)`)

// migratedTables are those that the migrations make.
func migratedTables() (tables []string, err error) {
	files, err := fs.Glob(migrations, "migrations/*.sql")
	for _, file := range files {
		script, readErr := migrations.ReadFile(file)
		err = errors.Join(err, readErr)
		for _, m := range createTable.FindAllStringSubmatch(string(script), -1) {
			tables = append(tables, m[1])
		}
	}
	slices.Sort(tables) // one that is dropped and made anew is there twice
	return slices.Compact(tables), err
}

// unfinishedCopy is the id of the row of channels_schema that is there while a copy is
// made. Its version is the number of the run of CopyTo.
const unfinishedCopy = 2

// begin takes the database, unless there is a ledger, and deletes what a run before has
// left and what the migrations have written.
func (c *copier) begin(ctx context.Context, t *tx) error {
	before, err := t.unfinishedCopy(ctx)
	if err != nil {
		return err
	}
	var settings int64
	count := "SELECT COUNT(*) FROM channels_settings"
	if err := t.row(ctx, []any{&settings}, count); err != nil {
		return err
	}
	if before == 0 && settings > 0 {
		return fmt.Errorf("%w: copy into a new one, or delete its tables channels_…", ErrNotEmpty)
	}

	for _, table := range c.tables {
		if err := t.exec(ctx, "DELETE FROM "+table); err != nil {
			return err
		}
	}
	if before == 0 {
		insert := "INSERT INTO channels_schema (id, version) VALUES (?, ?)"
		return t.exec(ctx, insert, unfinishedCopy, c.number)
	}
	update := "UPDATE channels_schema SET version = ? WHERE id = ?"
	return t.exec(ctx, update, c.number, unfinishedCopy)
}

// unfinishedCopy returns the number of the run whose copy is unfinished, or 0. Nobody else
// gets an answer until the transaction ends.
func (t *tx) unfinishedCopy(ctx context.Context) (number int32, err error) {
	err = t.rows(ctx, func(rows *sql.Rows) error {
		var id int
		var version int32
		err := rows.Scan(&id, &version)
		if id == unfinishedCopy {
			number = version
		}
		return err
	}, "SELECT id, version FROM channels_schema"+t.dialect.forUpdate)
	return number, err
}

// transact is for the copy, for as long as no other run has taken over.
func (c *copier) transact(ctx context.Context, fn func(*tx) error) error {
	return c.to.dialect.transact(ctx, c.to.db, func(t *tx) error {
		number, err := t.unfinishedCopy(ctx)
		if err == nil && number != c.number {
			err = fmt.Errorf("%w: another CopyTo into the database took over", ErrUnfinishedCopy)
		}
		if err != nil {
			return err
		}
		return fn(t)
	})
}

// copyTables copies all of the tables and verifies them.
func (c *copier) copyTables(ctx context.Context) error {
	for _, table := range c.tables {
		var rows int64
		if err := c.source.row(ctx, []any{&rows}, "SELECT COUNT(*) FROM "+table); err != nil {
			return err
		}
		c.progress.Total += rows
	}
	c.sums = map[string]rowSum{}
	for _, c.progress.Table = range c.tables {
		c.notify(c.progress)
		if err := c.copyTable(ctx, c.progress.Table); err != nil {
			return fmt.Errorf("table %s: %w", c.progress.Table, err)
		}
	}

	c.progress.Table = ""
	c.notify(c.progress)
	return c.to.read(ctx, func(t *tx) error {
		if err := c.compareReports(ctx, t); err != nil {
			return err
		}
		return c.compareTables(ctx, t)
	})
}

const copiedRows = 20 * rowsAStatement // a transaction

func (c *copier) copyTable(ctx context.Context, table string) error {
	var batch []any
	into := relation{name: table}
	write := func() error {
		insert := func(t *tx) error { return t.insert(ctx, into, batch, "") }
		err := c.transact(ctx, insert)
		c.progress.Rows += int64(len(batch) / len(into.values))
		batch = batch[:0]
		c.notify(c.progress)
		return err
	}
	sum := rowSum{}
	err := c.source.eachRow(ctx, table, func(names []string, values []any) error {
		into.values = names
		sum.add(values)
		batch = append(batch, values...)
		if len(batch) < copiedRows*len(names) {
			return nil
		}
		return write()
	})
	c.sums[table] = sum
	if err != nil || len(batch) == 0 {
		return err
	}
	return write()
}

// eachRow calls read for each row of the table, with the names of its columns and values
// that every dialect takes.
func (t *tx) eachRow(
	ctx context.Context, table string, read func(names []string, values []any) error,
) error {
	var types []*sql.ColumnType
	var names []string
	return t.rows(ctx, func(rows *sql.Rows) (err error) {
		if types == nil {
			if types, err = rows.ColumnTypes(); err != nil {
				return err
			}
			for _, col := range types {
				names = append(names, col.Name())
			}
		}
		values, dest := make([]any, len(types)), make([]any, len(types))
		for i := range values {
			dest[i] = &values[i]
		}
		if err := rows.Scan(dest...); err != nil {
			return err
		}
		for i, col := range types {
			values[i] = portable(values[i], col.DatabaseTypeName())
		}
		return read(names, values)
	}, "SELECT * FROM "+table)
}

// portable makes a text of what a driver returns as bytes although the column holds text.
func portable(value any, columnType string) any {
	bytes, isBytes := value.([]byte)
	if isBytes && !slices.Contains([]string{"BLOB", "BYTEA", "VARBINARY"}, columnType) {
		return string(bytes)
	}
	return value
}
