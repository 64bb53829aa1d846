// Package store keeps what the desk knows beside the ledger: users, sessions, links,
// welcome texts and jobs, in the ledger's database. Its tables are named desk_….
package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/stdlib"
	"modernc.org/sqlite"

	"github.com/wechatqr/wechatqr/channels"
	"github.com/wechatqr/wechatqr/internal/sqltx"
)

// ErrNotFound says that there is no such row.
var ErrNotFound = errors.New("not found")

// Store is the desk's part of a database. Its methods may run concurrently, also in
// several processes on one database. Each changes the database by one statement or
// transaction, or by several of which each may be the last.
type Store struct {
	db      *sql.DB
	dialect channels.Dialect
	now     func() time.Time // tests turn it
}

// Open opens the database, and makes the desk's tables if there are none. source is
// postgres://…, mysql://…, or the path of a SQLite file, which is made if there is none.
// No error tells the password.
func Open(ctx context.Context, source string) (*Store, error) {
	driverName, dsn, dialect, err := parse(source)
	if err != nil {
		return nil, err
	}
	c, err := newConnector(driverName, dsn)
	if err != nil {
		return nil, fmt.Errorf("channeld: open the database: %w", err)
	}
	db := sql.OpenDB(c)
	db.SetMaxOpenConns(maxConnections)
	db.SetMaxIdleConns(maxConnections / 2)
	s := &Store{db: db, dialect: dialect, now: time.Now}
	if err := s.migrate(ctx); err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("channeld: open the database: %w", err)
	}
	return s, nil
}

// maxConnections is how many of a server's connections a process takes: PostgreSQL has 100
// as a rule, MySQL 151, for all processes. Requests beyond it wait for a connection.
const maxConnections = 20

// DB and Dialect are for channels.Open.
func (s *Store) DB() *sql.DB               { return s.db }
func (s *Store) Dialect() channels.Dialect { return s.dialect }

// Close closes the database.
func (s *Store) Close() error { return s.db.Close() }

func parse(source string) (driverName, dsn string, dialect channels.Dialect, err error) {
	scheme, _, isURL := strings.Cut(source, "://")
	switch {
	case !isURL:
		dsn, err = sqliteDSN(source)
		return "sqlite", dsn, channels.SQLite, err
	case scheme == "postgres", scheme == "postgresql":
		return "pgx", source, channels.PostgreSQL, nil
	case scheme == "mysql", scheme == "mariadb":
		dsn, err = mysqlDSN(source)
		return "mysql", dsn, channels.MySQL, err
	}
	return "", "", dialect, fmt.Errorf(
		"channeld: -db %s://…: use postgres://…, mysql://… or the path of a SQLite file", scheme)
}

func newConnector(driverName, dsn string) (c driver.Connector, err error) {
	switch driverName {
	case "sqlite":
		return sqlite.NewConnector(dsn)
	case "pgx":
		c, err = stdlib.GetDefaultDriver().(driver.DriverContext).OpenConnector(dsn)
	case "mysql":
		c, err = mysql.MySQLDriver{}.OpenConnector(dsn)
	}
	return connector{c}, err
}

// connector connects within connectTimeout. database/sql connects for those who wait, one
// after another, with a context that does not end: a server that is silent then would keep
// the connections that are still to be made from all, for as long as TCP waits.
type connector struct{ driver.Connector }

const connectTimeout = 10 * time.Second

// Connect is for database/sql.
func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	return c.Connector.Connect(ctx)
}

// sqliteDSN makes the file, which nobody else may read.
func sqliteDSN(path string) (string, error) {
	if strings.Contains(path, "?") {
		return "", fmt.Errorf("channeld: -db %q: a path without a question mark is needed", path)
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return "", fmt.Errorf("channeld: the database: %w", err)
	}
	return path + "?_pragma=busy_timeout(5000)", file.Close()
}

// mysqlDSN is the driver's form of mysql://user:password@host:port/name?options.
func mysqlDSN(source string) (string, error) {
	u, err := url.Parse(source)
	if err != nil { // whose text has the password
		return "", errors.New("channeld: -db mysql://…: it is not a URL: " +
			"escape special characters of the password by %")
	}
	name := strings.TrimPrefix(u.Path, "/")
	if name == "" {
		return "", errors.New("channeld: -db mysql://…: the database's name is missing: " +
			"mysql://user:password@host:3306/name")
	}
	password, _ := u.User.Password()
	c := mysql.NewConfig()
	c.User, c.Passwd, c.DBName = u.User.Username(), password, name
	c.Net, c.Addr = "tcp", u.Host
	if u.Port() == "" {
		c.Addr = u.Hostname() + ":3306"
	}
	if socket := u.Query().Get("socket"); socket != "" {
		c.Net, c.Addr = "unix", socket
	}
	options := u.Query()
	options.Del("socket")
	dsn := c.FormatDSN()
	if len(options) > 0 {
		separator := "?"
		if strings.Contains(dsn[strings.LastIndex(dsn, "/"):], "?") {
			separator = "&"
		}
		dsn += separator + options.Encode()
	}
	return dsn, nil
}

// transact runs fn in a transaction: all of it or nothing. fn fails if a statement does.
func (s *Store) transact(ctx context.Context, fn func(tx execer) error) error {
	tx, err := sqltx.Begin(ctx, s.db, "BEGIN")
	if err != nil {
		return fmt.Errorf("channeld: database: %w", err)
	}
	defer tx.Rollback(ctx)
	if err := fn(tx); err != nil {
		return err
	}
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("channeld: database: %w", err)
	}
	return nil
}

// exec returns how many rows it has changed.
func (s *Store) exec(ctx context.Context, query string, args ...any) (int64, error) {
	result, err := s.db.ExecContext(ctx, s.rebind(query), args...)
	if err != nil {
		return 0, fmt.Errorf("channeld: database: %w", err)
	}
	return result.RowsAffected()
}

// row reads one row, or returns ErrNotFound.
func (s *Store) row(ctx context.Context, dest []any, query string, args ...any) error {
	found, err := list(ctx, s, func(*struct{}) []any { return dest }, query, args...)
	if err == nil && len(found) == 0 {
		return ErrNotFound
	}
	return err
}

// list reads rows to the end; fields are what one of them is read into. It serves for one
// row too: QueryRow of database/sql leaves the end to Close, which with go-sql-driver/mysql
// heeds no context.
func list[T any](
	ctx context.Context, s *Store, fields func(*T) []any, query string, args ...any,
) (all []T, err error) {
	rows, err := s.db.QueryContext(ctx, s.rebind(query), args...)
	if err != nil {
		return nil, fmt.Errorf("channeld: database: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var one T
		if err := rows.Scan(fields(&one)...); err != nil {
			return nil, fmt.Errorf("channeld: database: %w", err)
		}
		all = append(all, one)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("channeld: database: %w", err)
	}
	return all, nil
}

// unix is a time in a column of Unix seconds, of which 0 is the zero Time.
type unix struct{ *time.Time }

// Scan is for database/sql.
func (u unix) Scan(column any) error {
	var seconds sql.NullInt64
	err := seconds.Scan(column)
	*u.Time = time.Time{}
	if seconds.Int64 != 0 {
		*u.Time = time.Unix(seconds.Int64, 0)
	}
	return err
}

// onConflict begins what an INSERT does to the row that has its key, columns of a table.
func (s *Store) onConflict(key string) string {
	if s.isMySQL() {
		return " ON DUPLICATE KEY UPDATE "
	}
	return " ON CONFLICT (" + key + ") DO UPDATE SET "
}

func (s *Store) isMySQL() bool { return s.dialect.String() == channels.MySQL.String() }

// rebind numbers the question marks where the database wants that.
func (s *Store) rebind(query string) string {
	if s.dialect.String() != channels.PostgreSQL.String() {
		return query
	}
	var b strings.Builder
	for n, part := range strings.Split(query, "?") {
		if n > 0 {
			b.WriteString("$" + strconv.Itoa(n))
		}
		b.WriteString(part)
	}
	return b.String()
}
