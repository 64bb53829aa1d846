package store

import (
	"context"
	"crypto/rand"
	"time"
)

// Webhook is where alerts are sent.
type Webhook struct {
	ID      string
	Title   string
	Kind    string
	Address string // a secret: it is in no page, log or error
	Secret  string // with which messages are signed; may be empty

	Result   string    // why the last message did not arrive; empty: it did
	ResultAt time.Time // zero: none was sent
	Waiting  int       // messages that have not arrived
}

func (w *Webhook) fields() []any {
	return []any{
		&w.ID, &w.Title, &w.Kind, &w.Address, &w.Secret, &w.Result, unix{&w.ResultAt}, &w.Waiting,
	}
}

const webhookColumns = "SELECT id, title, kind, address, secret, result, result_at," +
	" (SELECT COUNT(*) FROM desk_messages m WHERE m.webhook = w.id) FROM desk_webhooks w"

// AddWebhook stores a webhook and returns its ID.
func (s *Store) AddWebhook(ctx context.Context, w *Webhook) (string, error) {
	id := rand.Text()
	_, err := s.exec(ctx, "INSERT INTO desk_webhooks"+
		" (id, title, kind, address, secret, created, result, result_at)"+
		" VALUES (?, ?, ?, ?, ?, ?, '', 0)",
		id, w.Title, w.Kind, w.Address, w.Secret, s.now().Unix())
	return id, err
}

// Webhooks returns all webhooks, the oldest first.
func (s *Store) Webhooks(ctx context.Context) ([]Webhook, error) {
	return list(ctx, s, (*Webhook).fields, webhookColumns+" ORDER BY created, id")
}

// Webhook returns the webhook, or ErrNotFound.
func (s *Store) Webhook(ctx context.Context, id string) (Webhook, error) {
	var w Webhook
	err := s.row(ctx, w.fields(), webhookColumns+" WHERE id = ?", id)
	return w, err
}

// DeleteWebhook deletes the webhook with the messages that have not arrived.
func (s *Store) DeleteWebhook(ctx context.Context, id string) error {
	if _, err := s.exec(ctx, "DELETE FROM desk_webhooks WHERE id = ?", id); err != nil {
		return err
	}
	_, err := s.exec(ctx, "DELETE FROM desk_messages WHERE webhook = ?", id)
	return err
}

// SetWebhookResult notes why a message did not arrive; empty says that it did.
func (s *Store) SetWebhookResult(ctx context.Context, id, result string) error {
	_, err := s.exec(ctx, "UPDATE desk_webhooks SET result = ?, result_at = ? WHERE id = ?",
		result, s.now().Unix(), id)
	return err
}
