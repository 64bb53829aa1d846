package channels

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Dialect is the SQL that a database speaks. The driver is the caller's to link.
type Dialect struct {
	name                string
	hash, text, options string // of CREATE TABLE
	forUpdate, forShare string // at the end of a SELECT

	numbered  bool // $1 instead of ?
	immediate bool // BEGIN IMMEDIATE on a connection of its own
	// adds is what follows an INSERT to have the columns added to a row that is there.
	adds func(table string, key, columns []string) string
	// migrationLock keeps two processes from migrating at once, until
	// migrationUnlock or, if that is empty, the end of the transaction.
	migrationLock, migrationUnlock string
	tables                         string // SELECT of the names of the tables
	// committedDDL says that CREATE TABLE commits, so that a migration that was
	// cut off meets its own tables.
	committedDDL bool
}

// The dialects. Distributed engines that speak one of these protocols take the
// same statements.
var (
	// SQLite is for modernc.org/sqlite. The ledger puts the database in WAL mode
	// with synchronous=FULL.
	SQLite = Dialect{
		name: "SQLite", hash: "BLOB", text: "TEXT", options: "WITHOUT ROWID",
		immediate: true, adds: onConflict,
		tables: "SELECT name FROM sqlite_master WHERE type = 'table'",
	}
	// PostgreSQL is for github.com/jackc/pgx/v5/stdlib.
	PostgreSQL = Dialect{
		name: "PostgreSQL", hash: "BYTEA", text: "TEXT",
		forUpdate: " FOR UPDATE", forShare: " FOR SHARE", numbered: true, adds: onConflict,
		migrationLock: "SELECT pg_advisory_xact_lock(7596553794191001)",
		tables:        "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()",
	}
	// MySQL is for github.com/go-sql-driver/mysql, with MySQL 8 or MariaDB.
	MySQL = Dialect{
		name: "MySQL", hash: "VARBINARY(32)", text: "VARCHAR(255)",
		options:   "ENGINE=InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
		forUpdate: " FOR UPDATE", forShare: " LOCK IN SHARE MODE",
		adds: onDuplicateKey, committedDDL: true,
		migrationLock:   "SELECT GET_LOCK('wechatqr_channels', 60)",
		migrationUnlock: "SELECT RELEASE_LOCK('wechatqr_channels')",
		tables: "SELECT table_name FROM information_schema.tables" +
			" WHERE table_schema = DATABASE()",
	}
)

// String is the dialect's name.
func (d Dialect) String() string { return d.name }

func onConflict(table string, key, columns []string) string {
	var sets []string
	for _, c := range columns {
		sets = append(sets, fmt.Sprintf("%s = %s.%s + excluded.%s", c, table, c, c))
	}
	return fmt.Sprintf(
		" ON CONFLICT (%s) DO UPDATE SET %s", strings.Join(key, ", "), strings.Join(sets, ", "),
	)
}

func onDuplicateKey(_ string, _, columns []string) string {
	var sets []string
	for _, c := range columns {
		sets = append(sets, fmt.Sprintf("%s = %s + VALUES(%s)", c, c, c))
	}
	return " ON DUPLICATE KEY UPDATE " + strings.Join(sets, ", ")
}

// rebind numbers the question marks where the dialect wants that.
func (d *Dialect) rebind(query string) string {
	if !d.numbered {
		return query
	}
	var b strings.Builder
	n := 0
	for part := range strings.SplitSeq(query, "?") {
		if n > 0 {
			b.WriteString("$" + strconv.Itoa(n))
		}
		b.WriteString(part)
		n++
	}
	return b.String()
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
	_, err := t.session.ExecContext(ctx, t.dialect.rebind(query), args...)
	return err
}

// rows calls read for each row.
func (t *tx) rows(
	ctx context.Context, read func(*sql.Rows) error, query string, args ...any,
) error {
	rows, err := t.session.QueryContext(ctx, t.dialect.rebind(query), args...)
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

// insert writes the rows, in statements of several. suffix may be empty.
func (t *tx) insert(
	ctx context.Context, into string, columns int, rows []any, suffix string,
) error {
	one := "(" + strings.TrimSuffix(strings.Repeat("?,", columns), ",") + ")"
	for len(rows) > 0 {
		n := min(len(rows)/columns, rowsAStatement)
		values := strings.TrimSuffix(strings.Repeat(one+",", n), ",")
		if err := t.exec(ctx, "INSERT INTO "+into+" VALUES "+values+suffix, rows[:n*columns]...); err != nil {
			return err
		}
		rows = rows[n*columns:]
	}
	return nil
}

// marks is n question marks for IN.
func marks(n int) string { return "(" + strings.TrimSuffix(strings.Repeat("?,", n), ",") + ")" }

const maxAttempts = 50

// transact runs fn in a transaction, again when it lost against another one.
// What fn did outside the transaction must bear that.
func (d *Dialect) transact(ctx context.Context, db *sql.DB, fn func(*tx) error) error {
	for attempt := 1; ; attempt++ {
		err := d.attempt(ctx, db, fn)
		if err == nil || !lostRace(err) || attempt == maxAttempts || ctx.Err() != nil {
			return err
		}
		pause := time.Duration(min(attempt, 20)) * time.Millisecond
		select {
		case <-ctx.Done():
		case <-time.After(pause + rand.N(pause)):
		}
	}
}

func (d *Dialect) attempt(ctx context.Context, db *sql.DB, fn func(*tx) error) error {
	if d.immediate {
		return d.attemptImmediate(ctx, db, fn)
	}
	t, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return err
	}
	if err := fn(&tx{d, t}); err != nil {
		_ = t.Rollback()
		return err
	}
	return t.Commit()
}

// attemptImmediate takes SQLite's write lock first: a transaction that reads and
// then writes would fail, whatever its timeout, when another one wrote between.
func (d *Dialect) attemptImmediate(ctx context.Context, db *sql.DB, fn func(*tx) error) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	t := &tx{d, conn}
	begin := "PRAGMA busy_timeout=5000; PRAGMA synchronous=FULL; PRAGMA secure_delete=ON; BEGIN IMMEDIATE"
	if err := t.exec(ctx, begin); err != nil {
		return err
	}
	err = fn(t)
	if err == nil {
		err = t.exec(ctx, "COMMIT")
	}
	if err != nil {
		_, _ = conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
	}
	return err
}

// lostRace reports whether the same transaction may succeed when it is repeated:
// after a deadlock, a failed serialization, a row inserted by another one at
// the same time, or a busy SQLite database.
func lostRace(err error) bool {
	var state interface{ SQLState() string } // pgx
	if errors.As(err, &state) {
		return slices.Contains([]string{"40001", "40P01", "23505", "55P03"}, state.SQLState())
	}
	var code interface{ Code() int } // modernc.org/sqlite; the low byte is the primary code
	if errors.As(err, &code) {
		return code.Code()&0xff == 5 || code.Code()&0xff == 6
	}
	number, ok := mySQLNumber(err)
	return ok && slices.Contains([]string{"1213", "1205", "1020", "1062"}, number)
}

// mySQLNumber takes it from the text, "Error 1213 (40001): …": the driver's type
// has it in a field only, and the driver is not linked here.
func mySQLNumber(err error) (string, bool) {
	_, text, ok := strings.Cut(err.Error(), "Error ")
	number, _, spaced := strings.Cut(text, " ")
	return strings.TrimSuffix(number, ":"), ok && spaced
}
