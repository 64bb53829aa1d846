package codes

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"time"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/channels"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/store"
)

// Worker works on the jobs of the database. Several may, in several processes: each job is
// one worker's at a time, and of one that dies another takes over.
type Worker struct {
	Store  *store.Store
	Ledger *channels.Ledger
	Client *wechatqr.Client
	Logger *slog.Logger

	// Wake is sent to when a job was started.
	Wake chan struct{}
}

const (
	jobLease    = 30 * time.Second // longer than a batch and a call
	jobPoll     = 2 * time.Second
	jobBatch    = 50 // rows between two renewals of the lease
	batchTime   = 5 * time.Second
	callTimeout = 20 * time.Second
	pauseBroken = time.Minute
)

// Run works until ctx ends.
func (w *Worker) Run(ctx context.Context) {
	owner := rand.Text()
	for ctx.Err() == nil {
		err := w.step(ctx, owner)
		if err == nil {
			continue
		}
		if !errors.Is(err, store.ErrNotFound) && ctx.Err() == nil {
			w.Logger.Error("channeld: make codes", "err", err)
		}
		select {
		case <-ctx.Done():
		case <-w.Wake:
		case <-time.After(jobPoll):
		}
	}
}

// step works on a job for a while. store.ErrNotFound says that there is none.
func (w *Worker) step(ctx context.Context, owner string) error {
	ctx, cancel := context.WithTimeout(ctx, jobLease)
	defer cancel()
	job, err := w.Store.ClaimJob(ctx, owner, jobLease)
	if err != nil {
		return err
	}
	return w.work(ctx, &job)
}

// work makes the codes of a batch, or ends the job if none is left.
func (w *Worker) work(ctx context.Context, job *store.Job) error {
	rows, err := w.Store.JobRowsLeft(ctx, job.ID, jobBatch)
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		return w.Store.PauseJob(ctx, job.ID, "", time.Time{})
	}
	began := time.Now()
	for _, row := range rows {
		if ctx.Err() != nil || time.Since(began) > batchTime {
			return ctx.Err() // the rest comes in the next batch
		}
		err := w.ensure(ctx, row.Channel)
		switch {
		case errors.Is(err, wechatqr.ErrInvalidArgument):
			err = w.Store.SetJobRow(ctx, job.ID, row.Number, "invalid")
		case err != nil:
			return w.pause(ctx, job, err)
		default:
			err = w.Store.SetJobRow(ctx, job.ID, row.Number, "")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// ensure is not cut off when ctx ends: a code whose ticket was not received is made again,
// and uses up another of the account's.
func (w *Worker) ensure(ctx context.Context, c channels.Channel) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	_, err := w.Ledger.Ensure(ctx, w.Client, c)
	return err
}

// pause lets the job rest until WeChat will take calls again.
func (w *Worker) pause(ctx context.Context, job *store.Job, err error) error {
	w.Logger.Warn("channeld: making codes pauses", "err", err)
	now := time.Now()
	switch {
	case errors.Is(err, wechatqr.ErrPermanentLimit):
		return w.Store.PauseJob(ctx, job.ID, "limit", time.Time{})
	case errors.Is(err, wechatqr.ErrQuota):
		return w.Store.PauseJob(ctx, job.ID, "quota", nextQuota(now))
	case errors.Is(err, wechatqr.ErrRateLimited):
		return w.Store.PauseJob(ctx, job.ID, "rate", now.Add(pauseBroken))
	}
	return w.Store.PauseJob(ctx, job.ID, "failed", now.Add(pauseBroken))
}

// nextQuota is some minutes after midnight in China, when the day's calls are restored.
func nextQuota(now time.Time) time.Time {
	now = now.In(time.FixedZone("UTC+8", 8*3600))
	return time.Date(now.Year(), now.Month(), now.Day()+1, 0, 5, 0, 0, now.Location())
}
