// Package sqltx is what the modules on database/sql share. It tells errors apart, and begins
// and ends transactions by statements, so that all of them end with a context. Commit and Rollback of [sql.Tx] take none, and those of go-sql-driver/mysql
// wait for a server that went away without a word for as long as TCP does.
package sqltx

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"time"
)

// Tx is a transaction on a connection that it has to itself. It is for one goroutine.
type Tx struct {
	*sql.Conn
	committed bool
}

// Begin begins a transaction by the statements. Have it ended by Rollback in any case.
func Begin(ctx context.Context, db *sql.DB, statements ...string) (*Tx, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	t := &Tx{Conn: conn}
	for _, statement := range statements {
		if _, err := conn.ExecContext(ctx, statement); err != nil {
			_ = t.rollback(ctx) // which fails on SQLite if nothing has begun
			_ = conn.Close()
			return nil, err
		}
	}
	return t, nil
}

// Commit commits. After an error the database may have done so all the same, unless it
// says otherwise. It is not for a transaction in which a statement has failed: PostgreSQL
// rolls that back, without an error.
func (t *Tx) Commit(ctx context.Context) error {
	_, err := t.ExecContext(ctx, "COMMIT")
	t.committed = err == nil
	return err
}

const rollbackTimeout = time.Second

// Rollback rolls back what is not committed, also when ctx has ended, and gives the
// connection back. If the database does not say within a second that it is rolled back the
// connection is closed, so that nobody else gets one that is in a transaction.
func (t *Tx) Rollback(ctx context.Context) {
	defer t.Close()
	if t.committed {
		return
	}
	if t.rollback(ctx) != nil {
		_ = t.Raw(func(any) error { return driver.ErrBadConn })
	}
}

func (t *Tx) rollback(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
	defer cancel()
	_, err := t.ExecContext(ctx, "ROLLBACK")
	return err
}
