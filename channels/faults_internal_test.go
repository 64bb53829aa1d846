package channels

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"sync"
	"testing"
)

var errCut = errors.New("the connection was cut")

// cutter is a driver.Connector that cuts all of its connections before or after a
// statement, once and for all: a kill of the process, as the database sees it.
type cutter struct {
	driver driver.Driver
	dsn    string
	cutAt  int // each statement is two: before and after it

	mu    sync.Mutex
	ran   int
	conns []driver.Conn
}

// cutDB returns connections to the database that are cut there.
func cutDB(t *testing.T, d, dsn string, cutAt int) (*sql.DB, *cutter) {
	t.Helper()
	c := &cutter{driver: connect(t, d, dsn).Driver(), dsn: dsn, cutAt: cutAt}
	db := sql.OpenDB(c)
	t.Cleanup(func() { _ = db.Close() })
	return db, c
}

func (c *cutter) Driver() driver.Driver { return c.driver }

func (c *cutter) Connect(context.Context) (driver.Conn, error) {
	if c.cut() {
		return nil, errCut
	}
	conn, err := c.driver.Open(c.dsn)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conns = append(c.conns, conn)
	return &cutConn{conn, c}, nil
}

// cut reports whether the connections are cut.
func (c *cutter) cut() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cutAt > 0 && c.ran >= c.cutAt
}

// around runs the statement, unless the cut comes before it. If the cut comes after it the
// result is closed: what is open keeps SQLite from closing the connection.
func (c *cutter) around(run func() (io.Closer, error)) error {
	if c.step() {
		return errCut
	}
	result, err := run()
	c.mu.Lock()
	if c.ran+1 == c.cutAt && result != nil && err == nil {
		_ = result.Close()
	}
	c.mu.Unlock()
	if c.step() {
		return errCut
	}
	return err
}

func (c *cutter) step() (isCut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ran++
	if c.cutAt == 0 || c.ran < c.cutAt {
		return false
	}
	for _, conn := range c.conns {
		_ = conn.Close()
	}
	c.conns = nil
	return true
}

type cutConn struct {
	driver.Conn
	*cutter
}

func (c *cutConn) ExecContext(
	ctx context.Context, query string, args []driver.NamedValue,
) (result driver.Result, err error) {
	err = c.around(func() (_ io.Closer, err error) {
		result, err = c.Conn.(driver.ExecerContext).ExecContext(ctx, query, args)
		return nil, err
	})
	return result, err
}

func (c *cutConn) QueryContext(
	ctx context.Context, query string, args []driver.NamedValue,
) (rows driver.Rows, err error) {
	err = c.around(func() (_ io.Closer, err error) {
		rows, err = c.Conn.(driver.QueryerContext).QueryContext(ctx, query, args)
		return rows, err
	})
	return rows, err
}

func (c *cutConn) PrepareContext(ctx context.Context, query string) (stmt driver.Stmt, err error) {
	err = c.around(func() (_ io.Closer, err error) {
		stmt, err = c.Conn.(driver.ConnPrepareContext).PrepareContext(ctx, query)
		return stmt, err
	})
	return stmt, err
}

func (c *cutConn) CheckNamedValue(v *driver.NamedValue) error {
	if checker, ok := c.Conn.(driver.NamedValueChecker); ok {
		return checker.CheckNamedValue(v)
	}
	return driver.ErrSkip
}

func (c *cutConn) Close() error {
	if c.cut() {
		return nil
	}
	return c.Conn.Close()
}
