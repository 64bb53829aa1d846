package channels

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/wechatqr/wechatqr/internal/sqltx"
)

//go:embed migrations
var migrations embed.FS

// prepare makes the database ready for the ledger's tables, and makes these.
func (d *Dialect) prepare(ctx context.Context, db *sql.DB) error {
	if d.immediate {
		t := tx{d, db}
		if err := t.exec(ctx, "PRAGMA busy_timeout=5000; PRAGMA journal_mode=WAL"); err != nil {
			return err
		}
	}
	return d.migrate(ctx, db)
}

// migrate brings the database to the newest version, one transaction a version.
func (d *Dialect) migrate(ctx context.Context, db *sql.DB) error {
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return err
	}
	for {
		done := false
		err := d.transact(ctx, db, func(t *tx) (err error) {
			if err := t.call(ctx, d.migrationLock); err != nil && !d.committedDDL {
				return err
			}
			defer func() { err = errors.Join(err, t.unlockMigration(ctx)) }()
			version, err := t.lockVersion(ctx)
			switch {
			case err != nil:
				return err
			case version > len(files):
				return fmt.Errorf(
					"%w (%d, this library knows %d): update the library", ErrNewerDatabase, version,
					len(files),
				)
			case version == len(files):
				done = true
				return nil
			}
			return t.migrateTo(ctx, version+1, files[version])
		})
		if err != nil || done {
			return err
		}
	}
}

const unlockTimeout = time.Second

// unlockMigration has a time of its own if ctx has ended: the connection has the lock still.
func (t *tx) unlockMigration(ctx context.Context) error {
	if ctx.Err() != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), unlockTimeout)
		defer cancel()
	}
	return t.call(ctx, t.dialect.migrationUnlock)
}

// call runs a SELECT for its effect. The empty one does nothing.
func (t *tx) call(ctx context.Context, query string) error {
	if query == "" {
		return nil
	}
	return t.rows(ctx, func(*sql.Rows) error { return nil }, query)
}

// lockVersion returns the database's version, 0 at first. Nobody else migrates
// until the transaction ends.
func (t *tx) lockVersion(ctx context.Context) (int, error) {
	create := fmt.Sprintf(
		"CREATE TABLE IF NOT EXISTS channels_schema (id INTEGER NOT NULL PRIMARY KEY, "+
			"version INTEGER NOT NULL) %s", t.dialect.options,
	)
	if err := t.refuseOthersTables(ctx); err != nil {
		return 0, err
	}
	if err := t.exec(ctx, create); err != nil {
		return 0, err
	}
	version := 0
	read := "SELECT version FROM channels_schema WHERE id = 1" + t.dialect.forUpdate
	err := t.row(ctx, []any{&version}, read)
	if errors.Is(err, sql.ErrNoRows) {
		err = t.exec(ctx, "INSERT INTO channels_schema (id, version) VALUES (1, 0)")
	}
	return version, err
}

// refuseOthersTables keeps a migration that finds its tables there from taking those of
// another program for its own: channels_schema is always made before them.
func (t *tx) refuseOthersTables(ctx context.Context) error {
	ours, err := migratedTables()
	if err != nil {
		return err
	}
	var other string
	begun := false
	err = t.rows(ctx, func(rows *sql.Rows) error {
		var name string
		err := rows.Scan(&name)
		begun = begun || name == "channels_schema"
		if slices.Contains(ours, name) {
			other = name
		}
		return err
	}, t.dialect.tables)
	if err != nil || begun || other == "" {
		return err
	}
	return badInput("the table %s is another program's: use another database or schema", other)
}

func (t *tx) migrateTo(ctx context.Context, version int, file string) error {
	script, err := migrations.ReadFile(file)
	if err != nil {
		return err
	}
	d := t.dialect
	text := strings.NewReplacer(
		"{hash}", d.hash, "{text}", d.text, "{options}", d.options, "{on}", d.onTable,
	).Replace(string(script))
	for statement := range strings.SplitSeq(text, ";\n") {
		if strings.TrimSpace(statement) == "" {
			continue
		}
		if d.again != nil {
			statement = d.again.Replace(statement)
			if strings.Contains(statement, "INSERT INTO ") {
				statement += " ON CONFLICT DO NOTHING"
			}
		}
		err := t.exec(ctx, statement)
		if err != nil && !(d.committedDDL && alreadyThere(err)) {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	return t.exec(ctx, "UPDATE channels_schema SET version = ? WHERE id = 1 AND version < ?",
		version, version)
}

// alreadyThere reports whether an earlier, interrupted run of the statement has
// succeeded: the table, the key, the row or the column exists, or what is to be dropped
// does not. Other statements of a migration must bear that they are run again.
func alreadyThere(err error) bool {
	codes := []string{"1050", "1060", "1061", "1062", "1091"}
	return slices.Contains(codes, sqltx.ErrorCode(err))
}
