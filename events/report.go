package events

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/wechatqr/wechatqr"
)

// Problem is something that went wrong: a refused request, an error or a panic of
// the function, a reply that could not be sent, a Deduper that failed.
type Problem struct {
	Err    error           // matches an Err value of this package
	Status int             // of the response; 0 if the problem did not change it
	Hint   string          // what to do about it, in one line of English
	HintZH string          // the same in Chinese
	Event  *wechatqr.Event // nil if the request was refused before it was known
	Stack  []byte          // of a panic
}

// Delivery is one push and the response to it.
type Delivery struct {
	Event     *wechatqr.Event // nil if the push was refused before it was known
	Status    int             // of the response
	Err       error           // matches an Err value of this package; nil if the status is 200
	Duration  time.Duration   // from the request to the response
	Runs      int             // of the function, one that goes on included
	Duplicate bool            // the event was handled before: the function did not run
}

// WithProblemHandler calls fn for every [Problem], instead of writing it to the
// logger. fn must be quick and safe for concurrent use; its panic is dropped.
func WithProblemHandler(fn func(context.Context, Problem)) Option {
	return func(c *config) {
		c.check(fn != nil, "WithProblemHandler(nil): leave the option out for the default")
		c.onProblem = fn
	}
}

// WithLogger sets where problems are written unless there is a problem handler:
// refused requests as warnings, the others as errors. The default is
// slog.Default.
func WithLogger(logger *slog.Logger) Option {
	return func(c *config) {
		c.check(logger != nil, "WithLogger(nil): leave the option out for the default")
		c.logger = logger
	}
}

// WithObserver calls fn once for every push, before the response is written:
// for metrics, which need successes and durations too. It does not hear of the
// console's checks of the URL, nor how a function ended that went on after its
// response; a [Problem] tells the latter. fn must be quick and safe for
// concurrent use; its panic is dropped.
func WithObserver(fn func(context.Context, Delivery)) Option {
	return func(c *config) {
		c.check(fn != nil, "WithObserver(nil): leave the option out for the default")
		c.observe = fn
	}
}

func (h *Handler) logProblem(ctx context.Context, p Problem) {
	logger, level := cmp.Or(h.logger, slog.Default()), slog.LevelError
	args := []any{
		slog.Any("err", p.Err), slog.Int("status", p.Status),
		slog.String("hint", p.Hint), slog.String("hint_zh", p.HintZH),
	}
	if p.Event == nil {
		level = slog.LevelWarn
	} else {
		// The openid stays out of logs, and so does the ID, which holds it.
		name := cmp.Or(string(p.Event.Type), p.Event.MsgType)
		args = append(args, slog.String("event", fmt.Sprintf("%.40s %.100s", name, p.Event.EventKey)),
			slog.Time("created", p.Event.CreateTime))
	}
	if p.Stack != nil {
		args = append(args, slog.String("stack", string(p.Stack)))
	}
	logger.Log(ctx, level, "wechatqr: callback", args...)
}
