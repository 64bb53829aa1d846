// Package redisstore shares an account's access token, the events that were
// handled, the tickets of its codes, and logins by scanning, between servers through
// one Redis.
//
//	store, err := redisstore.New(rdb)
//	client, err := wechatqr.New(creds, wechatqr.WithTokenStore(store))
//	handler, err := events.NewHandler(cfg, fn, events.WithDeduper(store))
//	keeper, err := tickets.NewKeeper(creds.AppID, client, store)
//	login, err := scanlogin.New(client, pageURL, scanlogin.WithStore(store))
//
// It needs Redis 5 or later, or what speaks its language, and runs Lua scripts
// on one key each, so that Redis Cluster serves as well as a single server.
package redisstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wechatqr/wechatqr"
)

// errNoScripts is in place of Redis' own text, which repeats the arguments, an
// access token among them.
var errNoScripts = errors.New("Redis knows no EVALSHA or no EVAL: it must run Lua scripts")

// Store is a [wechatqr.TokenStore], a [wechatqr.TokenLeaser], an [events.Deduper],
// a [tickets.Store] and a [scanlogin.Store]. It is safe for concurrent use and remembers nothing: one
// for each process is enough, for any number of accounts.
//
// An operation returns when its context ends, with any settings of the client.
// A command that is under way then goes on until the client's own timeouts end
// it, and Redis may still carry it out: ask again with the same owner. Each
// operation is tried on its own; one that fails delays no other. Every entry
// expires by itself, but for permanent tickets.
type Store struct {
	client redis.UniversalClient
	prefix string
}

// Option changes a default of [New].
type Option func(*config)

type config struct{ prefix string }

// WithPrefix sets what every key begins with, "wechatqr:" by default. Give
// test and production different ones if they share a Redis.
func WithPrefix(prefix string) Option { return func(c *config) { c.prefix = prefix } }

// New makes a Store on a client of yours, which stays yours to close. It does
// no I/O. Errors are [wechatqr.ErrInvalidArgument].
func New(client redis.UniversalClient, opts ...Option) (*Store, error) {
	if client == nil {
		return nil, invalid("new store", errors.New("the client is nil"))
	}

	c := config{prefix: "wechatqr:"}
	for _, opt := range opts {
		if opt == nil {
			return nil, invalid("new store", errors.New("a nil Option"))
		}
		opt(&c)
	}
	if c.prefix == "" {
		err := errors.New(`WithPrefix(""): leave the option out for the default`)
		return nil, invalid("new store", err)
	}
	return &Store{client: client, prefix: c.prefix}, nil
}

func invalid(op string, err error) error {
	return failed(op, fmt.Errorf("%w: %w", wechatqr.ErrInvalidArgument, err))
}

func failed(op string, err error) error { return fmt.Errorf("wechatqr: redis: %s: %w", op, err) }

// Format prints the type and the prefix alone, whatever the verb: the client
// may hold a password.
func (s *Store) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "redisstore.Store("+s.prefix+")")
}

// run runs a script on one key. The client waits for a response without regard
// to a cancelled ctx, and by default to its deadline too: hence the goroutine.
func (s *Store) run(
	ctx context.Context, script *redis.Script, key string, args ...any,
) (any, error) {
	start := time.Now()
	type response struct {
		value any
		err   error
	}
	responses := make(chan response, 1)
	go func() {
		r := response{err: errors.New("the Redis client ended its goroutine")}
		defer func() {
			if p := recover(); p != nil { // of a hook or a dialer of the user's
				r.err = fmt.Errorf("the Redis client panicked: %v", p)
			}
			responses <- r
		}()
		r.value, r.err = script.Run(ctx, s.client, []string{key}, args...).Result()
	}()

	var r response
	select {
	case r = <-responses:
	case <-ctx.Done():
		r.err = ctx.Err()
	}

	switch {
	case r.err == nil:
		return r.value, nil
	case errors.Is(r.err, redis.Nil):
		return nil, nil
	case ctx.Err() != nil:
		took := time.Since(start).Round(time.Millisecond)
		return nil, fmt.Errorf("no response within %v: %w", took, ctx.Err())
	case redis.HasErrorPrefix(r.err, "unknown command"):
		return nil, errNoScripts
	}
	return nil, r.err
}

// do runs a script whose result does not matter.
func (s *Store) do(
	ctx context.Context, op string, script *redis.Script, key string, args ...any,
) error {
	if _, err := s.run(ctx, script, key, args...); err != nil {
		return failed(op, err)
	}
	return nil
}

func unexpected(value any) error { return fmt.Errorf("unexpected response %T from Redis", value) }
