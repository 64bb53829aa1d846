// Package alert tells a group's robot, or a program, when the numbers are not as usual.
//
// Once a minute one of the processes on the database judges the rules by the ledger's
// numbers. An alert that is raised, or that is over, is written to the database together
// with the messages that tell of it, and these are sent until they arrive, for a day at
// most. A message whose sender was killed before it was noted may come twice.
//
// The ledger knows when a channel is to be retired, not when a temporary code ends: those
// are made for print and not kept. The budget is that of the codes that it knows.
package alert

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/wechatqr/wechatqr/channels"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/store"
)

// Worker judges the rules and sends the messages. One may run in each of several
// processes: one of them works at a time.
type Worker struct {
	Store    *store.Store
	Ledger   *channels.Ledger
	Logger   *slog.Logger
	Location *time.Location
	Origin   string // by which browsers reach the desk

	judged time.Time // the hour in which the seldom rules were judged
}

const (
	task      = "alerts"
	interval  = time.Minute
	leaseLife = 3 * time.Minute
)

// Run works until ctx ends.
func (w *Worker) Run(ctx context.Context) {
	owner := rand.Text()
	for {
		err := w.step(ctx, owner, time.Now())
		if err != nil && !errors.Is(err, store.ErrAlertsChanged) && ctx.Err() == nil {
			w.Logger.Error("channeld: alerts", "err", err)
		}
		select {
		case <-ctx.Done():
			_ = w.Store.EndLease(ctx, task, owner)
			return
		case <-time.After(interval):
		}
	}
}

// step judges and sends, if the task is the owner's. Without a webhook nothing is judged,
// so that the first one is told of all that is not as usual.
func (w *Worker) step(ctx context.Context, owner string, now time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, leaseLife)
	defer cancel()
	mine, err := w.Store.Lease(ctx, task, owner, leaseLife)
	if err != nil || !mine {
		w.judged = time.Time{}
		return err
	}
	hooks, err := w.Store.Webhooks(ctx)
	if err != nil {
		return err
	}
	if len(hooks) == 0 {
		w.judged = time.Time{}
		return w.Store.EndAlerts(ctx)
	}
	return errors.Join(w.judge(ctx, now), w.send(ctx, hooks))
}

// judge finds which rules hold, and notes what has changed.
func (w *Worker) judge(ctx context.Context, now time.Time) error {
	before, err := w.Store.Alerts(ctx)
	if err != nil {
		return err
	}
	raised := map[key]bool{}
	for _, a := range before {
		raised[key{Rule(a.Rule), a.Channel}] = true
	}
	found, err := w.judgeOften(ctx, now, raised)
	if err != nil {
		return err
	}
	rules, hour := slices.Clone(often), now.Truncate(time.Hour)
	if !w.judged.Equal(hour) {
		more, err := w.judgeSeldom(ctx, now, raised)
		if err != nil {
			return err
		}
		rules, found = append(rules, seldom...), append(found, more...)
	}
	if err := w.change(ctx, before, rules, found, now); err != nil {
		return err
	}
	w.judged = hour
	return nil
}

// change notes which alerts were raised and which are over, of the rules that were judged.
func (w *Worker) change(
	ctx context.Context, before []store.Alert, rules []Rule, found []finding, now time.Time,
) error {
	holds := map[key]*finding{}
	for i := range found {
		holds[found[i].key()] = &found[i]
	}
	var raised, over []store.Alert
	for _, a := range before {
		k := key{Rule(a.Rule), a.Channel}
		if holds[k] == nil && slices.Contains(rules, k.rule) {
			over = append(over, a)
		}
		delete(holds, k)
	}
	tell, err := w.tellOver(ctx, over, now)
	if err != nil {
		return err
	}
	for i := range found {
		f := &found[i]
		if holds[f.key()] != nil {
			raised = append(raised, store.Alert{Rule: string(f.rule), Channel: f.channel.Key})
			tell = append(tell, w.told(f, raisedState, now))
		}
	}
	if len(tell) == 0 {
		return nil
	}
	bodies, err := encode(pack(tell))
	if err != nil {
		return err
	}
	return w.Store.ChangeAlerts(ctx, raised, over, bodies)
}

// tellOver names the channels as they are called now.
func (w *Worker) tellOver(
	ctx context.Context, over []store.Alert, now time.Time,
) (tell []Told, err error) {
	if len(over) == 0 {
		return nil, nil
	}
	all, err := w.Ledger.Channels(ctx)
	if err != nil {
		return nil, err
	}
	known := channelsByKey(all)
	for _, a := range over {
		c := known[a.Channel]
		c.Key = a.Channel
		tell = append(tell, w.told(&finding{rule: Rule(a.Rule), channel: c}, overState, now))
	}
	return tell, nil
}

func encode(messages []Message) (bodies []string, err error) {
	for i := range messages {
		body, err := json.Marshal(&messages[i])
		if err != nil {
			return nil, err
		}
		bodies = append(bodies, string(body))
	}
	return bodies, nil
}

const (
	firstRetry = time.Minute
	maxRetry   = time.Hour
	sendPause  = time.Second // robots take 20 a minute
)

// send sends what is due, one message after another to each webhook.
func (w *Worker) send(ctx context.Context, hooks []store.Webhook) error {
	byID := map[string]*store.Webhook{}
	for i := range hooks {
		byID[hooks[i].ID] = &hooks[i]
	}
	for range maxMessages {
		messages, err := w.Store.NextMessages(ctx)
		if err != nil || len(messages) == 0 {
			return err
		}
		for i := range messages {
			if err := w.deliver(ctx, byID[messages[i].Webhook], &messages[i]); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(sendPause):
		}
	}
	return nil
}

// deliver sends a message, and notes what came of it. The webhook is nil if it was deleted.
func (w *Worker) deliver(ctx context.Context, hook *store.Webhook, m *store.Message) error {
	var message Message
	if hook == nil || json.Unmarshal([]byte(m.Body), &message) != nil {
		return w.Store.EndMessage(ctx, m.ID)
	}
	err := Send(ctx, hook, m.ID, &message)
	if err == nil {
		return errors.Join(w.Store.EndMessage(ctx, m.ID), w.Store.SetWebhookResult(ctx, hook.ID, ""))
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	w.Logger.WarnContext(ctx, "channeld: an alert did not arrive", "kind", hook.Kind, "err", err)
	pause := min(firstRetry<<min(m.Attempts, 10), maxRetry)
	return errors.Join(
		w.Store.RetryMessages(ctx, hook.ID, time.Now().Add(pause)), NoteResult(ctx, w.Store, hook.ID, err),
	)
}

const maxResult = 200 // bytes, of 255 that the table has

// NoteResult notes what came of sending to the webhook.
func NoteResult(ctx context.Context, s *store.Store, id string, err error) error {
	result := ""
	if err != nil {
		result = err.Error()
		result = strings.ToValidUTF8(result[:min(len(result), maxResult)], "")
	}
	return s.SetWebhookResult(ctx, id, result)
}
