package sqlstore

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
	"strings"
	"time"
)

// errChanged means that another process wrote the row after it was read.
var errChanged = errors.New("other processes keep changing the row")

const (
	repeatFor = 5 * time.Second
	// racePause is short: who lost a race is to have the chance of who has just won.
	racePause       = 2 * time.Millisecond
	connectionPause = 50 * time.Millisecond
)

// repeat calls fn until it succeeds or fails in a way that another attempt would not
// mend. It returns when ctx ends; fn may then still run.
func repeat(ctx context.Context, op string, fn func() (row, error)) (row, error) {
	begun, last := time.Now(), error(nil) // what the last attempt failed with
	for {
		r, err := attempt(ctx, fn)
		took := time.Since(begun).Round(time.Millisecond)
		switch {
		case err == nil:
			return r, nil
		case isNoTable(err):
			return row{}, failed(op, fmt.Errorf("%w (%w)", ErrNoTable, err))
		case ctx.Err() != nil:
			return row{}, failed(op, fmt.Errorf("not done within %v: %w", took, withCause(ctx, last)))
		case !lostRace(err) && !lostConnection(err) || took >= repeatFor:
			return row{}, failed(op, err)
		}
		last = err
		pause := racePause
		if lostConnection(err) {
			pause = connectionPause
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause/2 + rand.N(pause)):
		}
	}
}

// withCause is the end of ctx, and what was tried in vain until then.
func withCause(ctx context.Context, last error) error {
	if last == nil {
		return ctx.Err()
	}
	return fmt.Errorf("%w; %w", ctx.Err(), last)
}

// attempt calls fn in a goroutine: a SQLite driver waits for a lock without regard to
// ctx.
func attempt(ctx context.Context, fn func() (row, error)) (row, error) {
	type result struct {
		row row
		err error
	}
	results := make(chan result, 1)
	go func() {
		r := result{err: errors.New("the driver ended its goroutine")}
		defer func() {
			if p := recover(); p != nil {
				r.err = fmt.Errorf("the driver panicked: %v", p)
			}
			results <- r
		}()
		r.row, r.err = fn()
	}()

	select {
	case r := <-results:
		return r.row, r.err
	case <-ctx.Done():
		return row{}, ctx.Err()
	}
}

// sqlState is PostgreSQL's code of the error, by pgx.
func sqlState(err error) string {
	var state interface{ SQLState() string }
	if errors.As(err, &state) {
		return state.SQLState()
	}
	return ""
}

// sqliteCode is the primary code of the error, by modernc.org/sqlite.
func sqliteCode(err error) int {
	var code interface{ Code() int }
	if errors.As(err, &code) {
		return code.Code() & 0xff
	}
	return 0
}

// mySQLNumber takes it from the text, "Error 1213 (40001): …": the driver's type
// has it in a field only, and the driver is not linked here.
func mySQLNumber(err error) string {
	_, text, _ := strings.Cut(err.Error(), "Error ")
	number, _, spaced := strings.Cut(text, " ")
	if !spaced {
		return ""
	}
	return strings.TrimSuffix(number, ":")
}

// lostRaces are codes of PostgreSQL. Of two who create one table it refuses one by any of
// the last three.
var lostRaces = []string{"40001", "40P01", "55P03", "23505", "42P07", "42710"}

// lostRace reports a row or a table that another process wrote at the same time, a
// deadlock, a failed serialization, a lock that was not given in time, or a busy
// SQLite database.
func lostRace(err error) bool {
	const busy, locked = 5, 6
	code := sqliteCode(err)
	return errors.Is(err, errChanged) || code == busy || code == locked ||
		slices.Contains(lostRaces, sqlState(err)) ||
		slices.Contains([]string{"1213", "1205", "1020"}, mySQLNumber(err))
}

// lostConnection reports a connection that broke or could not be made, and a server
// that is starting, stopping or without its cluster.
func lostConnection(err error) bool {
	var network net.Error
	if errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &network) {
		return true
	}
	state := sqlState(err)
	return strings.HasPrefix(state, "08") || strings.HasPrefix(state, "57P") ||
		slices.Contains([]string{"1053", "1047"}, mySQLNumber(err)) ||
		err.Error() == "invalid connection" // go-sql-driver/mysql
}

func isNoTable(err error) bool {
	return sqlState(err) == "42P01" || mySQLNumber(err) == "1146" ||
		strings.Contains(err.Error(), "no such table: wechatqr_store")
}
