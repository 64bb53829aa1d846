package channels

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"testing"
)

// statementHook is told of a statement; if it returns an error that is the statement's.
type statementHook func(ctx context.Context, statement string) error

// watch connects to a database and calls a hook before each statement and one after each
// that has run.
func watch(t testing.TB, driverName, dsn string, before, after statementHook) *sql.DB {
	t.Helper()
	w := &watcher{connect(t, driverName, dsn).Driver(), dsn, before, after}
	db := sql.OpenDB(w)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// watcher is a driver.Connector.
type watcher struct {
	driver        driver.Driver
	dsn           string
	before, after statementHook
}

func (w *watcher) Driver() driver.Driver { return w.driver }

func (w *watcher) Connect(context.Context) (driver.Conn, error) {
	conn, err := w.driver.Open(w.dsn)
	return &watchedConn{conn, w}, err
}

func (w *watcher) run(ctx context.Context, statement string, run func() error) error {
	if err := w.before(ctx, statement); err != nil {
		return err
	}
	if err := run(); err != nil {
		return err
	}
	return w.after(ctx, statement)
}

type watchedConn struct {
	driver.Conn
	*watcher
}

func (c *watchedConn) ExecContext(
	ctx context.Context, query string, args []driver.NamedValue,
) (result driver.Result, err error) {
	err = c.run(ctx, query, func() (err error) {
		result, err = c.Conn.(driver.ExecerContext).ExecContext(ctx, query, args)
		return err
	})
	return result, err
}

func (c *watchedConn) QueryContext(
	ctx context.Context, query string, args []driver.NamedValue,
) (rows driver.Rows, err error) {
	err = c.run(ctx, query, func() (err error) {
		rows, err = c.Conn.(driver.QueryerContext).QueryContext(ctx, query, args)
		return err
	})
	return rows, err
}

func (c *watchedConn) CheckNamedValue(v *driver.NamedValue) error {
	if checker, ok := c.Conn.(driver.NamedValueChecker); ok {
		return checker.CheckNamedValue(v)
	}
	return driver.ErrSkip
}
