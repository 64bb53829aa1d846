// Package outbox gives followers the tag of the channel that brought them.
//
// Enqueue writes who is to get a tag to the database, after the event was counted, and
// Worker has WeChat give the tags, 50 persons a call. The openid is in the database until
// its tag was given or refused, until an unfollow, and for 48 hours at most.
package outbox

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/account"
	"github.com/wechatqr/wechatqr/channels"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/store"
	"github.com/wechatqr/wechatqr/events"
)

// enqueueTimeout leaves WeChat's five seconds to the answer.
const enqueueTimeout = time.Second

// Enqueue notes who is to get a tag, and calls next. Put it within channels.Ledger.Record:
// the event has been counted then. It never fails: a tag that cannot be noted within a
// second is not given, and logged.
func Enqueue(s *store.Store, logger *slog.Logger, next events.HandlerFunc) events.HandlerFunc {
	return func(ctx context.Context, ev *wechatqr.Event) (events.Reply, error) {
		if visit, ok := channels.VisitFrom(ctx); ok {
			noting, cancel := context.WithTimeout(ctx, enqueueTimeout)
			err := note(noting, s, &visit, ev.FromUserName)
			cancel()
			if err != nil {
				logger.WarnContext(ctx, "channeld: a tag is not given", "err", err)
			}
		}
		return next(ctx, ev)
	}
}

func note(ctx context.Context, s *store.Store, visit *channels.Visit, openID string) error {
	switch visit.Kind {
	case channels.Unfollower, channels.Cancelled:
		return s.DropTaggings(ctx, openID)
	case channels.NewFollower, channels.ReturningFollower:
		if visit.Channel.Key == "" {
			return nil
		}
		tag, err := s.Tag(ctx, visit.Channel.Key)
		if err != nil || tag == "" {
			return err
		}
		return s.AddTagging(ctx, openID, tag)
	}
	return nil
}

// Worker gives the tags. One may run in each of several processes: one of them works at a
// time, and of one that dies another takes over. A batch whose worker was killed before it
// was marked, or overran its lease, is sent again, which changes nothing at WeChat.
type Worker struct {
	Store  *store.Store
	Client *wechatqr.Client
	Logger *slog.Logger

	ids map[string]int // of the account's tags, by their names
}

const (
	task        = "tags"
	leaseLife   = time.Minute // longer than a call
	poll        = 2 * time.Second
	pace        = time.Second // between two batches
	callTimeout = 20 * time.Second
	batchSize   = 50 // openids that WeChat takes in a call
)

// Run works until ctx ends.
func (w *Worker) Run(ctx context.Context) {
	owner := rand.Text()
	for ctx.Err() == nil {
		pause := pace
		err := w.step(ctx, owner)
		if err != nil {
			pause = poll
		}
		if err != nil && !errors.Is(err, store.ErrNotFound) && ctx.Err() == nil {
			w.Logger.Error("channeld: give tags", "err", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
	_ = w.Store.EndLease(ctx, task, owner)
}

// step gives a tag to a batch. store.ErrNotFound says that nobody waits, or that another
// process works.
func (w *Worker) step(ctx context.Context, owner string) error {
	ctx, cancel := context.WithTimeout(ctx, leaseLife)
	defer cancel()
	mine, err := w.Store.Lease(ctx, task, owner, leaseLife)
	if err != nil {
		return err
	}
	if !mine {
		return store.ErrNotFound
	}
	t, err := w.Store.NextTagging(ctx, batchSize)
	if err != nil {
		return err
	}
	return w.give(ctx, &t)
}

// give has WeChat give the tag, and notes what came of it. A batch that WeChat refuses for
// the sake of one person is given one by one.
func (w *Worker) give(ctx context.Context, t *store.Tagging) error {
	err := w.call(ctx, t)
	switch {
	case err == nil:
		return w.Store.EndTagging(ctx, t)
	case ctx.Err() != nil:
		return ctx.Err()
	case !isPersonal(err):
		return w.retry(ctx, t, err)
	case len(t.OpenIDs) == 1:
		return w.refused(ctx, t, err)
	}
	for _, openID := range t.OpenIDs {
		mine := store.Tagging{Tag: t.Tag, OpenIDs: []string{openID}, Attempts: t.Attempts}
		if err := w.give(ctx, &mine); err != nil {
			return err
		}
	}
	return nil
}

func (w *Worker) call(ctx context.Context, t *store.Tagging) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	id, err := w.id(ctx, t.Tag)
	if err != nil {
		return err
	}
	return account.Tag(ctx, w.Client, id, account.OpenIDs(t.OpenIDs...))
}

// codes of WeChat's that the worker knows.
const (
	invalidOpenID wechatqr.ErrorCode = 40003 // does not follow
	otherAccount  wechatqr.ErrorCode = 49003
	tooManyTags   wechatqr.ErrorCode = 45059 // of the person
)

func codeOf(err error) wechatqr.ErrorCode {
	var refusal *wechatqr.Error
	if errors.As(err, &refusal) {
		return refusal.Code
	}
	return 0
}

// isPersonal reports whether WeChat refused one of the persons, which it will do again.
func isPersonal(err error) bool {
	switch codeOf(err) {
	case invalidOpenID, otherAccount, tooManyTags:
		return true
	}
	return false
}

// refused gives one person up. Who does not follow is no failure.
func (w *Worker) refused(ctx context.Context, t *store.Tagging, err error) error {
	if code := codeOf(err); code != invalidOpenID {
		number := int64(len(t.OpenIDs))
		if err := w.Store.AddTagFailure(ctx, t.Tag, problemOf(err), number); err != nil {
			return err
		}
	}
	return w.Store.EndTagging(ctx, t)
}

const (
	firstRetry = 15 * time.Second
	maxRetry   = time.Hour
)

// retry lets the batch wait, twice as long each time. 45159 (there is no such tag) is seen
// for tags that exist, and comes when somebody deleted the tag: its ID is looked up again.
func (w *Worker) retry(ctx context.Context, t *store.Tagging, err error) error {
	w.Logger.WarnContext(ctx, "channeld: giving a tag pauses", "err", err)
	delete(w.ids, t.Tag)
	pause := min(firstRetry<<min(t.Attempts, 10), maxRetry)
	return w.Store.RetryTagging(ctx, t, problemOf(err), time.Now().Add(pause))
}

// problemOf is WeChat's errcode, or "unreachable".
func problemOf(err error) string {
	if code := codeOf(err); code != 0 {
		return strconv.Itoa(int(code))
	}
	return "unreachable"
}

// id returns the ID of the account's tag with this name. A tag that is not there is made.
func (w *Worker) id(ctx context.Context, name string) (int, error) {
	if id, ok := w.ids[name]; ok {
		return id, nil
	}
	tags, err := account.Tags(ctx, w.Client)
	if err != nil {
		return 0, err
	}
	w.ids = map[string]int{}
	for _, tag := range tags {
		w.ids[tag.Name] = tag.ID
	}
	if id, ok := w.ids[name]; ok {
		return id, nil
	}
	id, err := w.create(ctx, name)
	if err == nil {
		w.ids[name] = id
	}
	return id, err
}

// create makes a tag.
//
// WeChat's page: https://developers.weixin.qq.com/doc/service/api/usermanage/tag/api_createtag
func (w *Worker) create(ctx context.Context, name string) (int, error) {
	type tag struct {
		ID   int    `json:"id,omitempty"`
		Name string `json:"name"`
	}
	var out struct {
		Tag tag `json:"tag"`
	}
	err := w.Client.Do(ctx, wechatqr.Request{
		Method: http.MethodPost, Path: "/cgi-bin/tags/create", Body: map[string]tag{"tag": {Name: name}},
	}, &out)
	if err != nil {
		return 0, fmt.Errorf("channeld: make a tag: %w", err)
	}
	return out.Tag.ID, nil
}
