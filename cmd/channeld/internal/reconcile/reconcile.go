// Package reconcile compares the ledger with WeChat's list of followers: once a day, and when
// somebody asks for it.
package reconcile

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"strconv"
	"time"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/account"
	"github.com/wechatqr/wechatqr/channels"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/store"
)

// Worker runs it. One may be in each of several processes: one run goes on at a time. A run
// reads the whole list, which takes a minute or two for each hundred thousand followers; the
// pushes that come meanwhile are counted as ever.
type Worker struct {
	Store    *store.Store
	Ledger   *channels.Ledger
	Client   *wechatqr.Client
	Logger   *slog.Logger
	Location *time.Location

	// Asked has the run that Start has begun. Make it with room for one.
	Asked chan *Run
}

// Run is a run that this process has begun.
type Run struct {
	store.Reconcile
	owner string // of the lease
}

// Problems of a run, beside WeChat's errcodes.
const (
	Broken = "broken" // WeChat did not answer, or the database did not
	Empty  = "empty"  // WeChat's list has no follower
	Killed = "killed" // its process ended
)

const (
	task      = "reconcile"
	leaseLife = 2 * time.Minute
	poll      = time.Minute
	maxLength = 2 * time.Hour

	// Hour is when the daily run is due: WeChat's figures of the day before are then complete.
	Hour = 8
	// RetryPause is how long after a run that did not succeed the next one is due.
	RetryPause = time.Hour
)

// Run runs it when it is due or was asked for, until ctx ends.
func (w *Worker) Run(ctx context.Context) {
	for {
		if err := w.RunIfDue(ctx); err != nil && ctx.Err() == nil {
			w.Logger.Error("channeld: reconcile", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case run := <-w.Asked:
			w.work(ctx, run)
		case <-time.After(poll):
		}
	}
}

// RunIfDue runs it now if it is due.
func (w *Worker) RunIfDue(ctx context.Context) error {
	run, err := w.beginDue(ctx)
	if run != nil {
		w.work(ctx, run)
	}
	return err
}

// Start begins a run, unless one goes on.
func (w *Worker) Start(ctx context.Context) error {
	run, err := w.begin(ctx, func(context.Context) (bool, error) { return true, nil })
	if run != nil {
		select {
		case w.Asked <- run:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return err
}

// beginDue returns a run that is due, or nil. It looks again when the lease is its own:
// another process may have run it meanwhile.
func (w *Worker) beginDue(ctx context.Context) (*Run, error) {
	ctx, cancel := context.WithTimeout(ctx, leaseLife)
	defer cancel()
	if due, err := w.isDue(ctx); err != nil || !due {
		return nil, err
	}
	return w.begin(ctx, w.isDue)
}

func (w *Worker) isDue(ctx context.Context) (bool, error) {
	last, err := w.Store.Reconciles(ctx, maxShown)
	now := time.Now()
	return !w.next(last, now).After(now), err
}

// begin returns a run, or nil if another goes on or it is not wanted.
func (w *Worker) begin(
	ctx context.Context, wanted func(context.Context) (bool, error),
) (*Run, error) {
	owner := rand.Text()
	mine, err := w.Store.Lease(ctx, task, owner, leaseLife)
	if err != nil || !mine {
		return nil, err
	}
	yes, err := wanted(ctx)
	if err == nil && yes {
		var r store.Reconcile
		if r, err = w.Store.BeginReconcile(ctx); err == nil {
			return &Run{r, owner}, nil
		}
	}
	return nil, errors.Join(err, w.Store.EndLease(ctx, task, owner))
}

// next is when a run is due: at Hour of each day, and RetryPause after one that did not
// succeed. last are the last runs, the newest first.
func (w *Worker) next(last []store.Reconcile, now time.Time) time.Time {
	now = now.In(w.Location)
	slot := time.Date(now.Year(), now.Month(), now.Day(), Hour, 0, 0, 0, w.Location)
	if slot.After(now) {
		slot = slot.AddDate(0, 0, -1)
	}
	due := slot
	for _, r := range last {
		switch {
		case r.Began.Before(slot):
			return due
		case r.Succeeded():
			return slot.AddDate(0, 0, 1)
		case r.Began.Add(RetryPause).After(due):
			due = r.Began.Add(RetryPause)
		}
	}
	return due
}

// work compares, and notes what came of it. A run that ends early leaves nothing half done:
// Reconcile ends nobody's follow before it has the whole list.
func (w *Worker) work(ctx context.Context, run *Run) {
	during, cancel := context.WithTimeout(ctx, maxLength)
	defer cancel()
	go w.keepLease(during, run.owner)
	followers := account.Followers(during, w.Client, "")
	found, err := w.Ledger.Reconcile(during, account.Users(during, w.Client, followers))
	run.Listed, run.Found, run.Lost = found.Listed, found.Found, found.Ended
	run.Unknown = found.Unknown
	run.Problem = problem(ctx, err)
	if err != nil && run.Problem != Empty && run.Problem != Killed {
		w.Logger.Error("channeld: reconcile", "err", err)
	}
	cancel()

	end, stop := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer stop()
	err = errors.Join(
		w.Store.EndReconcile(end, &run.Reconcile), w.Store.EndLease(end, task, run.owner),
	)
	if err != nil {
		w.Logger.Error("channeld: reconcile", "err", err)
	}
}

func (w *Worker) keepLease(ctx context.Context, owner string) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(leaseLife / 4):
			if _, err := w.Store.Lease(ctx, task, owner, leaseLife); err != nil && ctx.Err() == nil {
				w.Logger.Warn("channeld: reconcile", "err", err)
			}
		}
	}
}

func problem(ctx context.Context, err error) string {
	var e *wechatqr.Error
	switch {
	case err == nil:
		return ""
	case ctx.Err() != nil:
		return Killed
	case errors.As(err, &e) && e.Code != 0:
		return strconv.Itoa(int(e.Code))
	case errors.Is(err, wechatqr.ErrInvalidArgument):
		return Empty
	}
	return Broken
}

const maxShown = 30

// State is how it stands.
type State struct {
	Running *store.Reconcile  // nil: none
	Last    *store.Reconcile  // that succeeded; nil: none
	Failed  *store.Reconcile  // the latest, if it did not succeed
	Next    time.Time         // when one is due
	Runs    []store.Reconcile // that have ended, the newest first
}

// State returns how it stands, for all processes on the database.
func (w *Worker) State(ctx context.Context) (s State, err error) {
	leased, err := w.Store.IsLeased(ctx, task)
	if err != nil {
		return s, err
	}
	all, err := w.Store.Reconciles(ctx, maxShown)
	if err != nil {
		return s, err
	}
	s.Next = w.next(all, time.Now()).In(w.Location)
	if now := time.Now(); s.Next.Before(now) {
		s.Next = now.In(w.Location)
	}
	for i := range all {
		r := &all[i]
		r.Began, r.Ended = r.Began.In(w.Location), r.Ended.In(w.Location)
		switch {
		case r.Ended.IsZero() && i == 0 && leased:
			s.Running = r
			continue
		case r.Ended.IsZero():
			r.Ended, r.Problem = r.Began, Killed
		}
		s.Runs = append(s.Runs, *r)
	}
	for i := range s.Runs {
		if s.Runs[i].Succeeded() {
			s.Last = &s.Runs[i]
			break
		}
		if i == 0 {
			s.Failed = &s.Runs[i]
		}
	}
	return s, nil
}
