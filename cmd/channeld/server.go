package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// listeners are those of the flags; callback is nil if it is beside the pages.
type listeners struct{ pages, callback net.Listener }

// listeners listens, and completes the origin.
func (c *config) listeners(ctx context.Context) (l listeners, err error) {
	var lc net.ListenConfig
	if l.pages, err = lc.Listen(ctx, "tcp", c.listen); err != nil {
		return l, fmt.Errorf("channeld: -listen: %w", err)
	}
	if c.origin == "" {
		c.origin = originOf(l.pages.Addr())
	}
	c.callbackURL = c.origin + callbackPath
	if c.callback == "" {
		return l, nil
	}
	if l.callback, err = lc.Listen(ctx, "tcp", c.callback); err != nil {
		l.close()
		return l, fmt.Errorf("channeld: -callback: %w", err)
	}
	c.callbackURL = originOf(l.callback.Addr()) + callbackPath
	return l, nil
}

func (l listeners) close() {
	for _, one := range []net.Listener{l.pages, l.callback} {
		if one != nil {
			_ = one.Close() // a server may have done it
		}
	}
}

// turn is a listener that its server leaves open: connections wait for the next server.
type turn struct{ *net.TCPListener }

func newTurn(l net.Listener) turn {
	t := turn{l.(*net.TCPListener)}
	_ = t.SetDeadline(time.Time{}) // if it is closed, Accept says so
	return t
}

// Close ends Accept.
func (t turn) Close() error { return t.SetDeadline(time.Now()) }

const (
	callbackPath = "/wechat"

	readHeaderTimeout = 10 * time.Second
	maxHeaderBytes    = 64 << 10        // of a stranger's request, or it holds 1 MiB
	postTimeout       = time.Minute     // for the body of a form, an upload included
	callbackTimeout   = 5 * time.Second // as long as WeChat waits
	shutdownTimeout   = 10 * time.Second
	cleanInterval     = time.Hour
	accountPoll       = 2 * time.Second
)

// errReopen says that the account has changed: the desk is to be opened again.
var errReopen = errors.New("channeld: the account has changed")

// serve serves until ctx ends, a listener fails or, with errReopen, the account has changed.
// No push is left half handled. After errReopen the listeners are open.
func (d *desk) serve(ctx context.Context, l listeners) error {
	servers := d.servers(l)
	served := make(chan error, len(servers))
	for listener, srv := range servers {
		go func() { served <- srv.Serve(listener) }()
	}
	ctx, cancel := context.WithCancel(ctx)
	var background sync.WaitGroup
	for _, work := range d.background() {
		background.Go(func() { work(ctx) })
	}

	var err error
	select {
	case err = <-served:
		err = fmt.Errorf("channeld: %w", err)
	case <-d.reopen:
		err = errReopen
	case <-ctx.Done():
	}
	cancel()
	if !errors.Is(err, errReopen) {
		l.close()
	}
	d.feed.Close() // the streams, for which Shutdown would wait
	end, stop := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer stop()
	for _, srv := range servers {
		if srv.Shutdown(end) != nil {
			_ = srv.Close()
		}
	}
	if d.callback != nil {
		err = errors.Join(err, d.callback.Shutdown(end))
	}
	background.Wait()
	return err
}

// background is what goes on while the desk serves.
func (d *desk) background() []func(context.Context) {
	if !d.config.isSetUp() {
		return []func(context.Context){d.watchAccount}
	}
	return []func(context.Context){
		d.watchAccount,
		d.clean, d.worker.Run, d.tags.Run, d.alerts.Run, d.lists.Run, d.endFormerKeys,
		func(ctx context.Context) { d.feed.Share(ctx, d.store, d.logger) },
	}
}

// watchAccount has the desk opened again when another process has changed the account.
func (d *desk) watchAccount(ctx context.Context) {
	for d.config.accountFile != "" {
		select {
		case <-ctx.Done():
			return
		case <-time.After(accountPoll):
		}
		if d.config.accountChanged() {
			d.accountChanged()
			return
		}
	}
}

// endFormerKeys has the desk opened again when the former keys of the callback end.
func (d *desk) endFormerKeys(ctx context.Context) {
	if len(d.config.account.Events.Previous) == 0 {
		return
	}
	select {
	case <-ctx.Done():
	case <-time.After(time.Until(d.config.account.FormerUntil)):
		d.accountChanged()
	}
}

func (d *desk) servers(l listeners) map[net.Listener]*http.Server {
	newServer := func(h http.Handler) *http.Server {
		return &http.Server{
			Handler: h, ReadHeaderTimeout: readHeaderTimeout, IdleTimeout: 2 * time.Minute,
			MaxHeaderBytes: maxHeaderBytes,
			ErrorLog:       slog.NewLogLogger(d.logger.Handler(), slog.LevelWarn),
		}
	}
	callback := http.NewServeMux()
	callback.Handle(callbackPath, withReadTimeout(callbackTimeout, d.pushes()))
	if l.callback != nil {
		return map[net.Listener]*http.Server{
			newTurn(l.pages): newServer(d.pages), newTurn(l.callback): newServer(callback),
		}
	}
	callback.Handle("/", d.pages)
	return map[net.Listener]*http.Server{newTurn(l.pages): newServer(callback)}
}

// pushes is the callback. Before the account is set up nothing is taken for delivered.
func (d *desk) pushes() http.Handler {
	if d.callback != nil {
		return d.callback
	}
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "channeld: the account is not set up yet", http.StatusServiceUnavailable)
	})
}

// withReadTimeout bounds the time in which the body of a POST must arrive.
func withReadTimeout(limit time.Duration, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			// A response that records, in a test, has no deadlines.
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(limit))
		}
		next.ServeHTTP(w, r)
	})
}

// clean deletes what has expired, every hour.
func (d *desk) clean(ctx context.Context) {
	for {
		limited, cancel := context.WithTimeout(ctx, cleanInterval)
		err := errors.Join(d.ledger.DeleteExpired(limited), d.store.DeleteExpired(limited))
		cancel()
		if err != nil && ctx.Err() == nil {
			d.logger.Error("channeld: delete what has expired", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(cleanInterval):
		}
	}
}
