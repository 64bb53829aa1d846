// Package sqlstore keeps tickets in a table of a database: a [tickets.Store] over
// database/sql to copy. It is for SQLite and PostgreSQL; MySQL has INSERT IGNORE
// and ON DUPLICATE KEY UPDATE instead of ON CONFLICT, and ? instead of $1.
package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/tickets"
)

// Schema makes the table. Times are milliseconds since 1970. Names differ in case
// and in spaces at their end: MySQL needs them as VARBINARY(255).
const Schema = `CREATE TABLE IF NOT EXISTS wechat_tickets (
	account     VARCHAR(64)  NOT NULL,
	name        VARCHAR(255) NOT NULL,            -- tickets.Key.Name
	permanent   SMALLINT     NOT NULL,            -- 1 or 0
	ticket      TEXT         NOT NULL DEFAULT '', -- JSON; '': it was only claimed
	ends        BIGINT       NOT NULL DEFAULT 0,
	owner       VARCHAR(255) NOT NULL DEFAULT '',
	claim_until BIGINT       NOT NULL DEFAULT 0,
	PRIMARY KEY (account, name)
)`

// Store is a table. Each of its operations that changes something is decided by
// one statement, so that it needs no transaction. The clocks of servers that share
// the table must agree within a second, for a claim lasts three.
//
// Temporary tickets that ended remain until they are deleted, now and then, by
// DELETE FROM wechat_tickets WHERE permanent = 0 AND ends < … AND claim_until < ….
type Store struct{ DB *sql.DB }

// LoadTicket returns the ticket, also one that has expired.
func (s Store) LoadTicket(ctx context.Context, key tickets.Key) (wechatqr.Ticket, error) {
	return scan(s.DB.QueryRowContext(ctx,
		`SELECT ticket FROM wechat_tickets WHERE account = $1 AND name = $2`,
		key.Account, key.Name()))
}

// ClaimTicket makes a row if there may be one more, then takes it. PostgreSQL lets
// claims at the same instant pass the budget by one each.
func (s Store) ClaimTicket(
	ctx context.Context, key tickets.Key, owner string, lease time.Duration, budget int,
) (tickets.Claim, error) {
	_, err := s.DB.ExecContext(ctx,
		`INSERT INTO wechat_tickets (account, name, permanent)
		SELECT CAST($1 AS VARCHAR(64)), CAST($2 AS VARCHAR(255)), CAST($3 AS SMALLINT)
		WHERE $3 = 0 OR $4 > (SELECT COUNT(*) FROM wechat_tickets WHERE account = $1 AND permanent = 1)
		ON CONFLICT DO NOTHING`,
		key.Account, key.Name(), permanent(key), budget)
	if err != nil {
		return 0, err
	}

	now := time.Now()
	taken, err := s.DB.ExecContext(ctx,
		`UPDATE wechat_tickets SET owner = $1, claim_until = $2
		WHERE account = $3 AND name = $4 AND (owner = $1 OR claim_until <= $5)`,
		owner, now.Add(lease).UnixMilli(), key.Account, key.Name(), now.UnixMilli())
	if err != nil {
		return 0, err
	}
	if n, err := taken.RowsAffected(); n == 1 || err != nil {
		return tickets.ClaimGranted, err
	}

	var rows int
	err = s.DB.QueryRowContext(ctx,
		`SELECT COUNT(*) FROM wechat_tickets WHERE account = $1 AND name = $2`,
		key.Account, key.Name()).Scan(&rows)
	if rows == 0 {
		return tickets.ClaimOverBudget, err
	}
	return tickets.ClaimBusy, err
}

// SaveTicket keeps the ticket unless one is kept that is permanent or does not end
// before it, and returns the one that is kept.
func (s Store) SaveTicket(
	ctx context.Context, key tickets.Key, ticket wechatqr.Ticket,
) (wechatqr.Ticket, error) {
	text, err := json.Marshal(ticket)
	if err != nil {
		return wechatqr.Ticket{}, err
	}
	var ends int64
	if !ticket.Permanent() {
		ends = ticket.ExpiresAt.UnixMilli()
	}
	return scan(s.DB.QueryRowContext(ctx,
		`INSERT INTO wechat_tickets AS kept (account, name, permanent, ticket, ends)
		VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (account, name) DO UPDATE SET owner = '', claim_until = 0,
			ticket = CASE WHEN kept.ticket = '' OR excluded.ends > kept.ends
				THEN excluded.ticket ELSE kept.ticket END,
			ends = CASE WHEN excluded.ends > kept.ends THEN excluded.ends ELSE kept.ends END
		RETURNING ticket`,
		key.Account, key.Name(), permanent(key), string(text), ends))
}

// ReleaseTicket ends the claim if it is owner's.
func (s Store) ReleaseTicket(ctx context.Context, key tickets.Key, owner string) error {
	_, err := s.DB.ExecContext(ctx,
		`UPDATE wechat_tickets SET owner = '', claim_until = 0
		WHERE account = $1 AND name = $2 AND owner = $3`, key.Account, key.Name(), owner)
	return err
}

// CountPermanent counts rows.
func (s Store) CountPermanent(ctx context.Context, account string) (n int, err error) {
	err = s.DB.QueryRowContext(ctx,
		`SELECT COUNT(*) FROM wechat_tickets WHERE account = $1 AND permanent = 1`,
		account).Scan(&n)
	return n, err
}

func permanent(key tickets.Key) int {
	if key.Permanent() {
		return 1
	}
	return 0
}

func scan(row *sql.Row) (t wechatqr.Ticket, err error) {
	var text string
	err = row.Scan(&text)
	if errors.Is(err, sql.ErrNoRows) || err == nil && text == "" {
		return t, tickets.ErrNotFound
	}
	if err != nil {
		return t, err
	}
	return t, json.Unmarshal([]byte(text), &t)
}
