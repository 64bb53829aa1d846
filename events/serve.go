package events

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

const (
	readTimeout     = 5 * time.Second // WeChat waits no longer
	idleTimeout     = time.Minute
	maxHeaderBytes  = 64 << 10 // of which WeChat sends less than 1 KiB
	shutdownTimeout = 10 * time.Second
)

// Serve runs srv until ctx ends, and ends it so that no event is left half
// handled: first srv.Shutdown, then h.Shutdown, for functions may go on after
// their requests; each has 10 s. It returns nil if that was enough, and else
// what went wrong.
//
// It listens at srv.Addr, with TLS if srv.TLSConfig is set. Unless they are set
// already, it sets srv.Handler to h, ReadTimeout to 5 s, IdleTimeout to 1 min and
// MaxHeaderBytes to 64 KiB: with other routes beside the callback, set a Handler
// that has h among them. To end on a signal, use signal.NotifyContext.
func Serve(ctx context.Context, srv *http.Server, h *Handler) error {
	if srv.Handler == nil {
		srv.Handler = h
	}
	srv.ReadTimeout = cmp.Or(srv.ReadTimeout, readTimeout)
	srv.IdleTimeout = cmp.Or(srv.IdleTimeout, idleTimeout)
	srv.MaxHeaderBytes = cmp.Or(srv.MaxHeaderBytes, maxHeaderBytes)

	down := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() { down <- within(ctx, "the server", srv.Shutdown) })

	var err error
	if srv.TLSConfig != nil {
		err = srv.ListenAndServeTLS("", "")
	} else {
		err = srv.ListenAndServe()
	}
	switch {
	case !stop():
		err = <-down
	case errors.Is(err, http.ErrServerClosed):
		err = nil // somebody else called Shutdown or Close
	}
	return errors.Join(err, within(ctx, "the handler", h.Shutdown))
}

// within gives shutdown its time, although ctx has ended.
func within(ctx context.Context, what string, shutdown func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if err := shutdown(ctx); err != nil {
		return fmt.Errorf("wechatqr: shutdown of %s: %w", what, err)
	}
	return nil
}
