package wechatqrtest

import (
	"context"
	"net/http"
)

// WaitPush waits until a push is done for which match reports true, and returns the
// oldest such one of the latest 200. A nil match takes any. The error is that of ctx or
// http.ErrServerClosed.
func (s *Server) WaitPush(ctx context.Context, match func(Push) bool) (Push, error) {
	return waitFor(ctx, s, s.Pushes, func(p Push) bool { return p.Done && (match == nil || match(p)) })
}

// WaitMessage waits until the account has sent a customer service message for which match
// reports true, and returns the oldest such one of the latest 200. A nil match takes any.
// The error is that of ctx or http.ErrServerClosed.
func (s *Server) WaitMessage(ctx context.Context, match func(Message) bool) (Message, error) {
	return waitFor(ctx, s, s.Messages, func(m Message) bool { return match == nil || match(m) })
}

func waitFor[T any](ctx context.Context, s *Server, list func() []T, match func(T) bool) (T, error) {
	for {
		changed := s.Changed()
		for _, v := range list() {
			if match(v) {
				return v, nil
			}
		}
		var none T
		select {
		case <-changed:
		case <-ctx.Done():
			return none, ctx.Err()
		case <-s.ctx.Done():
			return none, http.ErrServerClosed
		}
	}
}
