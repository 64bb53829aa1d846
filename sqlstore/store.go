// Package sqlstore shares an account's access token, the events that were handled,
// the tickets of its codes, and logins by scanning, between servers through one
// table of a database: SQLite, PostgreSQL, MySQL or MariaDB.
//
//	store, err := sqlstore.New(db, sqlstore.PostgreSQL)
//	err = store.CreateTable(ctx)
//	client, err := wechatqr.New(creds, wechatqr.WithTokenStore(store))
//	handler, err := events.NewHandler(cfg, fn, events.WithDeduper(store))
//	keeper, err := tickets.NewKeeper(creds.AppID, client, store)
//	login, err := scanlogin.New(client, pageURL, scanlogin.WithStore(store))
//
// It links no driver: import the one that fits the [Dialect].
//
// Access tokens lie in the table as they are, and so do tickets; give the table
// the protection of a password file. The AppSecret does not. Keys are hashed, so
// that the openids and scenes in the IDs of events cannot be read.
package sqlstore

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"

	"github.com/wechatqr/wechatqr"
)

// ErrNoTable means that the database has no table wechatqr_store.
var ErrNoTable = errors.New(
	"the table wechatqr_store is missing: call Store.CreateTable, or run Dialect.Schema",
)

// Store is a [wechatqr.TokenStore], a [wechatqr.TokenLeaser], an [events.Deduper],
// a [tickets.Store] and a [scanlogin.Store]. It is safe for concurrent use: one for
// each process is enough, for any number of accounts.
//
// Ends and leases are times of the database's clock, so that servers whose clocks
// differ agree; the nodes of a cluster must agree within a second. An operation reads
// one row and writes it if nobody wrote it between: it holds no lock while it waits
// for the network, and needs nothing of a session. What another attempt may mend (a
// lost race, a deadlock, a busy SQLite file, a broken connection) is repeated until
// ctx ends, for five seconds at the longest.
//
// An operation that writes a new row, not a permanent ticket's, deletes up to 200 that
// ended more than a minute ago, once in 64 times. Permanent tickets do not end.
type Store struct {
	db      *sql.DB
	dialect Dialect
	inserts atomic.Uint64
}

// New makes a Store on a database of yours, which stays yours to close; the table is
// named wechatqr_store. It does no I/O: the table must exist, see [Store.CreateTable].
// Errors are [wechatqr.ErrInvalidArgument].
func New(db *sql.DB, dialect Dialect) (*Store, error) {
	switch {
	case db == nil:
		return nil, invalid("new store", errors.New("the database is nil"))
	case dialect.name == "":
		err := errors.New("the dialect is none of SQLite, PostgreSQL and MySQL")
		return nil, invalid("new store", err)
	}
	return &Store{db: db, dialect: dialect}, nil
}

// CreateTable makes the table unless it exists, by the statements of
// [Dialect.Schema]. Any number of processes may call it at every start. The user of
// the database needs the right to create tables, also where the table exists.
func (s *Store) CreateTable(ctx context.Context) error {
	for statement := range strings.SplitSeq(s.dialect.Schema(), ";\n") {
		if statement == "" {
			continue
		}
		_, err := repeat(ctx, "create table", func() (row, error) {
			_, err := s.db.ExecContext(ctx, statement)
			return row{}, err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Format prints the type and the dialect alone, whatever the verb: the database may
// hold a password.
func (s *Store) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "sqlstore.Store("+s.dialect.name+")")
}

// rowID names a row. The key is hashed: it may be longer than a database's keys, and
// may hold an openid.
func rowID(kind, key string) string {
	sum := sha256.Sum256([]byte(key))
	return kind + ":" + hex.EncodeToString(sum[:])
}

func invalid(op string, err error) error {
	return failed(op, fmt.Errorf("%w: %w", wechatqr.ErrInvalidArgument, err))
}

func failed(op string, err error) error { return fmt.Errorf("wechatqr: database: %s: %w", op, err) }
