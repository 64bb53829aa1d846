package store

import (
	"context"
	"fmt"
	"strings"
)

// copied are the tables that CopyTo copies, with their columns. Who is signed in signs in
// again, and no openid is copied: tags that are still to be given are given here.
var copied = []struct {
	table   string
	columns []string
}{
	{"desk_users", []string{"name", "role", "password", "created"}},
	{"desk_links", []string{
		"hash", "title", "user_name", "role", "channel", "grp", "ends", "created",
	}},
	{"desk_welcomes", []string{"channel", "content"}},
	{"desk_notes", []string{"channel", "id", "day", "content", "spent", "created"}},
	{"desk_tags", []string{"channel", "tag"}},
	{"desk_webhooks", []string{
		"id", "title", "kind", "address", "secret", "created", "result", "result_at",
	}},
	{"desk_alerts", []string{"rule", "channel", "since"}},
	{"desk_reconciles", []string{
		"id", "began", "ended", "listed", "found", "lost", "unknown_lost", "problem",
	}},
	{"desk_jobs", []string{
		"id", "title", "made_by", "created", "ended", "resume_at", "problem", "owner", "lease",
	}},
	{"desk_job_rows", []string{
		"job", "number", "channel", "title", "grp", "made", "problem",
	}},
}

// CopyTo copies the tables of copied to a store that is new. Copy the ledger first: that
// refuses a database which has one.
func (s *Store) CopyTo(ctx context.Context, to *Store) error {
	for _, one := range copied {
		if err := s.copyTable(ctx, to, one.table, one.columns); err != nil {
			return fmt.Errorf("channeld: copy %s: %w", one.table, err)
		}
	}
	return nil
}

func (s *Store) copyTable(ctx context.Context, to *Store, table string, columns []string) error {
	rows, err := s.db.QueryContext(ctx, "SELECT "+strings.Join(columns, ", ")+" FROM "+table)
	if err != nil {
		return err
	}
	defer rows.Close()
	var values []any
	for rows.Next() {
		one, dest := make([]any, len(columns)), make([]any, len(columns))
		for i := range one {
			dest[i] = &one[i]
		}
		if err := rows.Scan(dest...); err != nil {
			return err
		}
		for i := range one {
			if text, ok := one[i].([]byte); ok { // how MySQL's driver gives texts
				one[i] = string(text)
			}
		}
		if values = append(values, one...); len(values) == rowsAStatement*len(columns) {
			if err := to.insert(ctx, to.db, table, columns, values); err != nil {
				return err
			}
			values = nil
		}
	}
	if err := rows.Err(); err != nil || len(values) == 0 {
		return err
	}
	return to.insert(ctx, to.db, table, columns, values)
}
