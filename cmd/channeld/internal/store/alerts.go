package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"
)

// Alert is one that is raised.
type Alert struct {
	Rule    string
	Channel string // key; empty: the account
	Since   time.Time
}

// ErrAlertsChanged says that another process has changed the alerts meanwhile.
var ErrAlertsChanged = errors.New("channeld: another process has changed the alerts")

// Alerts returns those that are raised.
func (s *Store) Alerts(ctx context.Context) ([]Alert, error) {
	fields := func(a *Alert) []any { return []any{&a.Rule, &a.Channel, unix{&a.Since}} }
	return list(ctx, s, fields,
		"SELECT rule, channel, since FROM desk_alerts ORDER BY since, rule, channel")
}

// ChangeAlerts raises alerts, ends others, and has the messages sent to every webhook: all
// of it or, with ErrAlertsChanged, nothing.
func (s *Store) ChangeAlerts(ctx context.Context, raised, over []Alert, messages []string) error {
	return s.transact(ctx, func(tx execer) error {
		if err := s.changeAlerts(ctx, tx, raised, over); err != nil {
			return err
		}
		return s.addMessages(ctx, tx, messages)
	})
}

func (s *Store) changeAlerts(ctx context.Context, tx execer, raised, over []Alert) error {
	for _, a := range over {
		result, err := tx.ExecContext(ctx,
			s.rebind("DELETE FROM desk_alerts WHERE rule = ? AND channel = ?"), a.Rule, a.Channel)
		if err != nil {
			return fmt.Errorf("channeld: database: %w", err)
		}
		if n, err := result.RowsAffected(); err != nil || n == 0 {
			return errors.Join(ErrAlertsChanged, err)
		}
	}
	for _, a := range raised {
		_, err := tx.ExecContext(ctx,
			s.rebind("INSERT INTO desk_alerts (rule, channel, since) VALUES (?, ?, ?)"),
			a.Rule, a.Channel, s.now().Unix())
		if err != nil { // a duplicate key, unless the database fails
			return fmt.Errorf("%w: %w", ErrAlertsChanged, err)
		}
	}
	return nil
}

// addMessages makes a message for every webhook, with an ID of its own.
func (s *Store) addMessages(ctx context.Context, tx execer, messages []string) error {
	id := "CAST(? AS TEXT) || w.id"
	if s.isMySQL() {
		id = "CONCAT(?, w.id)"
	}
	for i, body := range messages {
		_, err := tx.ExecContext(ctx, s.rebind("INSERT INTO desk_messages"+
			" (id, webhook, created, number, due, attempts, body)"+
			" SELECT "+id+", w.id, ?, ?, ?, 0, ? FROM desk_webhooks w"),
			rand.Text(), s.now().Unix(), i, s.now().Unix(), body)
		if err != nil {
			return fmt.Errorf("channeld: database: %w", err)
		}
	}
	return nil
}

// EndAlerts forgets which alerts are raised.
func (s *Store) EndAlerts(ctx context.Context) error {
	_, err := s.exec(ctx, "DELETE FROM desk_alerts")
	return err
}

// messageLife is how long a message is tried.
const messageLife = 24 * time.Hour

// Message is what is still to be sent to a webhook.
type Message struct {
	ID       string // the same in every attempt
	Webhook  string
	Attempts int
	Body     string
}

// NextMessages returns for each webhook the oldest message, if it is due.
func (s *Store) NextMessages(ctx context.Context) ([]Message, error) {
	all, err := list(ctx, s,
		func(m *Message) []any { return []any{&m.ID, &m.Webhook, &m.Attempts, &m.Body} },
		"SELECT id, webhook, attempts, body FROM desk_messages WHERE due <= ? AND created > ?"+
			" ORDER BY created, number, id LIMIT 1000",
		s.now().Unix(), s.now().Add(-messageLife).Unix())
	var first []Message
	seen := map[string]bool{}
	for _, m := range all {
		if !seen[m.Webhook] {
			first = append(first, m)
		}
		seen[m.Webhook] = true
	}
	return first, err
}

// EndMessage deletes a message that has arrived or is given up.
func (s *Store) EndMessage(ctx context.Context, id string) error {
	_, err := s.exec(ctx, "DELETE FROM desk_messages WHERE id = ?", id)
	return err
}

// RetryMessages lets all messages of the webhook wait until then.
func (s *Store) RetryMessages(ctx context.Context, webhook string, due time.Time) error {
	_, err := s.exec(ctx,
		"UPDATE desk_messages SET due = ?, attempts = attempts + 1 WHERE webhook = ?",
		due.Unix(), webhook)
	return err
}
