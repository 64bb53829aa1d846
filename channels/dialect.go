package channels

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wechatqr/wechatqr/internal/sqltx"
)

// Dialect is the SQL that a database speaks. The driver is the caller's to link.
type Dialect struct {
	name                string
	hash, text, options string // of CREATE TABLE
	forUpdate, forShare string // at the end of a SELECT

	// locksByWriting says that a transaction writes the rows that it must have to
	// itself: a cluster of Galera or Group Replication looks for collisions among
	// written rows alone, and TiDB has no shared locks.
	locksByWriting bool

	numbered bool // $1 instead of ?
	// literals says that statements have their arguments in the text, and none is
	// prepared. When another node's commit rolls a transaction back, and what the
	// client sends next is the end of a prepared statement, MariaDB does not tell:
	// what follows is committed statement by statement.
	literals  bool
	immediate bool // one writer, which locks the database
	// begin are the statements that begin a transaction, and beginRead those of one that sees
	// one state of the database.
	begin, beginRead []string
	// onConflict follows an INSERT to change, by what is set after it, the rows whose
	// {key} is there; inserted is the %s of the row that was to be inserted.
	onConflict, inserted string
	onTable              string // of DROP INDEX: " ON", or what makes a comment of the table
	// migrationLock keeps two processes from migrating at once, until migrationUnlock,
	// where a lock of the version ends with the first CREATE TABLE.
	migrationLock, migrationUnlock string
	tables                         string // SELECT of the names of the tables
	// committedDDL says that CREATE TABLE commits, so that a migration that was
	// cut off meets its own tables: its statements bear being run twice. The lock
	// may be missing.
	committedDDL bool
	// again is what has CockroachDB and YugabyteDB, where it commits too, bear that.
	again *strings.Replacer
}

// The dialects. Distributed engines that speak one of these protocols take the
// same statements.
var (
	// SQLite is for modernc.org/sqlite. The ledger puts the database in WAL mode
	// with synchronous=FULL.
	SQLite = Dialect{
		name: "SQLite", hash: "BLOB", text: "TEXT", options: "WITHOUT ROWID",
		immediate: true, begin: []string{beginImmediate}, beginRead: []string{"BEGIN"},
		onConflict: doUpdate, inserted: "excluded.%s", onTable: " --",
		tables: "SELECT name FROM sqlite_master WHERE type = 'table'",
	}
	// PostgreSQL is for github.com/jackc/pgx/v5/stdlib.
	PostgreSQL = Dialect{
		name: "PostgreSQL", hash: "BYTEA", text: "TEXT",
		forUpdate: " FOR UPDATE", forShare: " FOR SHARE", numbered: true,
		begin:      []string{"BEGIN ISOLATION LEVEL READ COMMITTED"},
		beginRead:  []string{"BEGIN ISOLATION LEVEL REPEATABLE READ"},
		onConflict: doUpdate, inserted: "excluded.%s", onTable: " --",
		again: strings.NewReplacer("DROP INDEX ", "DROP INDEX IF EXISTS ",
			"CREATE TABLE ", "CREATE TABLE IF NOT EXISTS ",
			" INDEX ", " INDEX IF NOT EXISTS ", "ADD COLUMN ", "ADD COLUMN IF NOT EXISTS "),
		tables: "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()",
	}
	// MySQL is for github.com/go-sql-driver/mysql, with MySQL 8 or MariaDB.
	MySQL = Dialect{
		name: "MySQL", hash: "VARBINARY(32)", text: "VARCHAR(255)",
		options:   "ENGINE=InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
		forUpdate: " FOR UPDATE", literals: true, locksByWriting: true,
		begin:      []string{"SET TRANSACTION ISOLATION LEVEL READ COMMITTED", "START TRANSACTION"},
		beginRead:  []string{"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", "START TRANSACTION"},
		onConflict: " ON DUPLICATE KEY UPDATE ", inserted: "VALUES(%s)", onTable: " ON",
		committedDDL:    true,
		migrationLock:   "SELECT GET_LOCK('wechatqr_channels', 60)",
		migrationUnlock: "SELECT RELEASE_LOCK('wechatqr_channels')",
		tables: "SELECT table_name FROM information_schema.tables" +
			" WHERE table_schema = DATABASE()",
	}
)

// String is the dialect's name.
func (d Dialect) String() string { return d.name }

const doUpdate = " ON CONFLICT ({key}) DO UPDATE SET "

// relation names the columns of a table that is written row by row.
type relation struct {
	name        string
	key, values []string
}

// adds is what follows an INSERT to have the values added to the row that is there.
func (d *Dialect) adds(t relation) string {
	return d.onConflictSet(t, t.name+".%s + "+d.inserted)
}

// replaces is what follows an INSERT to have the values of the row that is there
// replaced.
func (d *Dialect) replaces(t relation) string { return d.onConflictSet(t, d.inserted) }

// onConflictSet sets each value to the expression, of whose %s it is the name.
func (d *Dialect) onConflictSet(t relation, expression string) string {
	var sets []string
	for _, c := range t.values {
		sets = append(sets, c+" = "+strings.ReplaceAll(expression, "%s", c))
	}
	key := strings.Join(t.key, ", ")
	return strings.ReplaceAll(d.onConflict, "{key}", key) + strings.Join(sets, ", ")
}

// bind puts numbers or the arguments themselves in the place of the question marks
// where the dialect wants that.
func (d *Dialect) bind(query string, args []any) (string, []any, error) {
	if !d.numbered && !d.literals {
		return query, args, nil
	}
	parts := strings.Split(query, "?")
	var b strings.Builder
	for i, part := range parts[:len(parts)-1] {
		b.WriteString(part)
		if d.numbered {
			b.WriteString("$" + strconv.Itoa(i+1))
			continue
		}
		text, err := literal(args[i])
		if err != nil {
			return "", nil, err
		}
		b.WriteString(text)
	}
	b.WriteString(parts[len(parts)-1])
	if d.literals {
		args = nil
	}
	return b.String(), args, nil
}

// literal is the value in MySQL's SQL, in whatever mode the session is.
func literal(v any) (string, error) {
	v, err := driver.DefaultParameterConverter.ConvertValue(v)
	if err != nil {
		return "", err
	}
	switch v := v.(type) {
	case nil:
		return "NULL", nil
	case int64:
		return strconv.FormatInt(v, 10), nil
	case string:
		return fmt.Sprintf("_utf8mb4 X'%x'", v), nil
	case []byte:
		return fmt.Sprintf("X'%x'", v), nil
	}
	return "", fmt.Errorf("no literal of %T", v)
}

// session is what transactions and connections have in common.
type session interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// tx is a transaction in a dialect.
type tx struct {
	dialect *Dialect
	session session
}

func (t *tx) exec(ctx context.Context, query string, args ...any) error {
	_, err := t.change(ctx, query, args...)
	return err
}

// change is exec that says what was changed.
func (t *tx) change(ctx context.Context, query string, args ...any) (sql.Result, error) {
	query, args, err := t.dialect.bind(query, args)
	if err != nil {
		return nil, err
	}
	return t.session.ExecContext(ctx, query, args...)
}

// rows calls read for each row.
func (t *tx) rows(
	ctx context.Context, read func(*sql.Rows) error, query string, args ...any,
) error {
	query, args, err := t.dialect.bind(query, args)
	if err != nil {
		return err
	}
	rows, err := t.session.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := read(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// row reads one row, or returns sql.ErrNoRows.
func (t *tx) row(ctx context.Context, dest []any, query string, args ...any) error {
	exists := false
	err := t.rows(ctx, func(rows *sql.Rows) error {
		exists = true
		return rows.Scan(dest...)
	}, query, args...)
	if err == nil && !exists {
		return sql.ErrNoRows
	}
	return err
}

// rowsAStatement keeps statements below every engine's limit of parameters.
const rowsAStatement = 500

// insert writes the rows, key before values, in statements of several. suffix may be
// empty.
func (t *tx) insert(ctx context.Context, into relation, rows []any, suffix string) error {
	columns := append(slices.Clone(into.key), into.values...)
	begin := "INSERT INTO " + into.name + " (" + strings.Join(columns, ", ") + ") VALUES "
	for chunk := range slices.Chunk(rows, rowsAStatement*len(columns)) {
		one := marks(len(columns)) + ","
		values := strings.TrimSuffix(strings.Repeat(one, len(chunk)/len(columns)), ",")
		if err := t.exec(ctx, begin+values+suffix, chunk...); err != nil {
			return err
		}
	}
	return nil
}

// marks is n question marks for IN.
func marks(n int) string { return "(" + strings.TrimSuffix(strings.Repeat("?,", n), ",") + ")" }

const maxAttempts = 50

// transact runs fn in a transaction, again when it lost against another one or
// lost its connection, if need be after it was committed: fn must bear that, and
// so must what it does outside the transaction.
func (d *Dialect) transact(ctx context.Context, db *sql.DB, fn func(*tx) error) error {
	err := repeat(ctx, func() error { return d.attempt(ctx, db, fn) })
	if isFull(err) {
		return fmt.Errorf("the database is full: make room on its disk: %w", err)
	}
	return err
}

func repeat(ctx context.Context, fn func() error) error {
	for attempt := 1; ; attempt++ {
		err := fn()
		switch {
		case err == nil || !mayRepeat(err) || attempt == maxAttempts:
			return err
		case ctx.Err() != nil:
			return fmt.Errorf("%w, after %d attempts: %w", ctx.Err(), attempt, err)
		}
		pause := time.Duration(min(attempt, 20)) * time.Millisecond
		select {
		case <-ctx.Done():
		case <-time.After(pause + rand.N(pause)):
		}
	}
}

func (d *Dialect) attempt(ctx context.Context, db *sql.DB, fn func(*tx) error) error {
	t, err := sqltx.Begin(ctx, db, d.begin...)
	if err != nil {
		return err
	}
	defer t.Rollback(ctx)
	if err := fn(&tx{d, t}); err != nil {
		return err
	}
	return t.Commit(ctx)
}

// beginImmediate takes SQLite's write lock first: a transaction that reads and then writes
// would fail, whatever its timeout, when another one wrote between.
const beginImmediate = "PRAGMA busy_timeout=5000; PRAGMA synchronous=FULL; " +
	"PRAGMA secure_delete=ON; BEGIN IMMEDIATE"

// mayRepeat reports whether the same transaction may succeed when it is repeated:
// after a deadlock, a failed serialization, a row inserted by another one at
// the same time, a busy SQLite database, or at another server of a cluster.
func mayRepeat(err error) bool {
	if code := sqltx.ErrorCode(err); code != "" {
		return slices.Contains(repeatedCodes, code)
	}
	return lostConnection(err)
}

// isFull reports whether there is no room for what was to be written.
func isFull(err error) bool {
	return slices.Contains(fullCodes, sqltx.ErrorCode(err))
}

var repeatedCodes = []string{
	"40001",                            // serialization failure
	"40003",                            // CockroachDB: whether it was committed is not known
	"40P01",                            // deadlock
	"23505",                            // unique violation
	"55P03",                            // lock not available
	"57P01", "57P02", "57P03", "08006", // the server goes down or comes up

	"1213",                                 // deadlock; Galera: certification failed
	"1205",                                 // lock wait timeout
	"1020",                                 // MariaDB: the record has changed
	"1062",                                 // duplicate key
	"1047",                                 // Galera: the node does not take part in the cluster
	"1053",                                 // the server goes down
	"8002", "8005", "8022", "8028", "9007", // TiDB: write conflicts, and a schema that has changed

	"5", "6", // SQLite: busy, locked
}

var fullCodes = []string{
	"53100",        // PostgreSQL
	"1114", "1021", // MySQL: the tablespace, the disk
	"13", // SQLite
}

// lostConnection reports whether there is no connection, or no longer one.
func lostConnection(err error) bool {
	var broken *net.OpError
	return errors.Is(err, driver.ErrBadConn) || errors.Is(err, io.EOF) ||
		errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &broken) ||
		strings.HasSuffix(err.Error(), "invalid connection") // go-sql-driver/mysql
}
