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

const (
	callbackPath = "/wechat"

	readHeaderTimeout = 10 * time.Second
	postTimeout       = time.Minute     // for the body of a form, an upload included
	callbackTimeout   = 5 * time.Second // as long as WeChat waits
	shutdownTimeout   = 10 * time.Second
	cleanInterval     = time.Hour
)

// serve serves until ctx ends or a listener fails, and ends so that no push is left half
// handled.
func (d *desk) serve(ctx context.Context, l listeners) error {
	servers := d.servers(l)
	served := make(chan error, len(servers))
	for listener, srv := range servers {
		go func() { served <- srv.Serve(listener) }()
	}
	ctx, cancel := context.WithCancel(ctx)
	var background sync.WaitGroup
	background.Go(func() { d.clean(ctx) })
	background.Go(func() { d.worker.Run(ctx) })
	background.Go(func() { d.tags.Run(ctx) })
	background.Go(func() { d.alerts.Run(ctx) })
	background.Go(func() { d.feed.Share(ctx, d.store, d.logger) })

	var err error
	select {
	case err = <-served:
		err = fmt.Errorf("channeld: %w", err)
	case <-ctx.Done():
	}
	cancel()
	d.feed.Close() // the streams, for which Shutdown would wait
	end, stop := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer stop()
	for _, srv := range servers {
		if srv.Shutdown(end) != nil {
			_ = srv.Close()
		}
	}
	err = errors.Join(err, d.callback.Shutdown(end))
	background.Wait()
	return err
}

func (d *desk) servers(l listeners) map[net.Listener]*http.Server {
	newServer := func(h http.Handler) *http.Server {
		return &http.Server{
			Handler: h, ReadHeaderTimeout: readHeaderTimeout, IdleTimeout: 2 * time.Minute,
			ErrorLog: slog.NewLogLogger(d.logger.Handler(), slog.LevelWarn),
		}
	}
	callback := http.NewServeMux()
	callback.Handle(callbackPath, withReadTimeout(callbackTimeout, d.callback))
	if l.callback != nil {
		return map[net.Listener]*http.Server{
			l.pages: newServer(d.pages), l.callback: newServer(callback),
		}
	}
	callback.Handle("/", d.pages)
	return map[net.Listener]*http.Server{l.pages: newServer(callback)}
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
		err := errors.Join(d.ledger.DeleteExpired(ctx), d.store.DeleteExpired(ctx))
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
