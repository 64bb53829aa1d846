// Package redisstore shares an account's access token, and the events that
// were handled, between servers through one Redis.
//
//	store, err := redisstore.New(rdb)
//	client, err := wechatqr.New(creds, wechatqr.WithTokenStore(store))
//	handler, err := events.NewHandler(cfg, fn, events.WithDeduper(store))
//
// It needs Redis 5 or later, or what speaks its language, and runs Lua scripts
// on one key each, so that Redis Cluster serves as well as a single server.
package redisstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wechatqr/wechatqr"
)

const (
	slow    = 100 * time.Millisecond // a failure that took as long is Redis not answering
	silence = time.Second            // for which Redis is then left alone
)

// errNoScripts is in place of Redis' own text, which repeats the arguments, an
// access token among them.
var errNoScripts = errors.New("Redis knows no EVALSHA or no EVAL: it must run Lua scripts")

// Store is a [wechatqr.TokenStore], a [wechatqr.Leaser] and an
// [events.Deduper]. It is safe for concurrent use; one for each process is
// enough, for any number of accounts.
//
// An operation returns when its context ends, also with a client that has
// longer timeouts and no ContextTimeoutEnabled. After one that Redis left
// unanswered the others fail at once for a second, so that a Redis that hangs
// delays nobody twice; their errors wrap that one's. Every entry expires by
// itself.
type Store struct {
	client redis.UniversalClient
	prefix string

	mu      sync.Mutex               // not held during I/O
	quiet   time.Time                // until when Redis is left alone
	cause   error                    // why it is
	leases  map[string]string        // the owner of each lease this process holds, by key
	returns map[string]chan struct{} // leases on their way back, each closed when it is there
	claims  map[string]string        // the owner of each claim this process holds, or may hold
}

// Option changes a default of [New].
type Option func(*Store) error

// WithPrefix sets what every key begins with, "wechatqr:" by default. Give
// test and production different ones if they share a Redis.
func WithPrefix(prefix string) Option {
	return func(s *Store) error {
		if prefix == "" {
			return errors.New(`WithPrefix(""): leave the option out for the default, "wechatqr:"`)
		}
		s.prefix = prefix
		return nil
	}
}

// New makes a Store on a client of yours, which stays yours to close. It does
// no I/O. Errors are [wechatqr.ErrInvalidArgument].
func New(client redis.UniversalClient, opts ...Option) (*Store, error) {
	s := &Store{
		client: client, prefix: "wechatqr:",
		leases: map[string]string{}, returns: map[string]chan struct{}{}, claims: map[string]string{},
	}
	if client == nil {
		return nil, invalid("new store", errors.New("the client is nil"))
	}
	for _, opt := range opts {
		if opt == nil {
			return nil, invalid("new store", errors.New("a nil Option"))
		}
		if err := opt(s); err != nil {
			return nil, invalid("new store", err)
		}
	}
	return s, nil
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

// run runs a script on one key, unless Redis is left alone.
func (s *Store) run(ctx context.Context, script *redis.Script, key string, args ...any) (any, error) {
	s.mu.Lock()
	quiet, cause := time.Now().Before(s.quiet), s.cause
	s.mu.Unlock()
	if quiet {
		return nil, fmt.Errorf("not tried again yet after: %w", cause)
	}
	return s.send(ctx, script, key, args...)
}

// send runs a script on one key. What is under way when ctx ends goes on until
// the client's own timeouts end it.
func (s *Store) send(ctx context.Context, script *redis.Script, key string, args ...any) (any, error) {
	start := time.Now()
	type answer struct {
		value any
		err   error
	}
	answers := make(chan answer, 1)
	go func() {
		value, err := script.Run(ctx, s.client, []string{key}, args...).Result()
		answers <- answer{value, err}
	}()
	var a answer
	select {
	case a = <-answers:
	case <-ctx.Done():
		a.err = ctx.Err()
	}
	took := time.Since(start)
	switch {
	case errors.Is(a.err, redis.Nil):
		return nil, nil
	case ctx.Err() != nil && errors.Is(a.err, ctx.Err()):
		a.err = fmt.Errorf("no answer within %v: %w", took.Round(time.Millisecond), ctx.Err())
	case redis.HasErrorPrefix(a.err, "unknown command"):
		a.err = errNoScripts
	}
	if a.err != nil && took >= slow {
		s.mu.Lock()
		s.quiet, s.cause = time.Now().Add(silence), a.err
		s.mu.Unlock()
	}
	return a.value, a.err
}

// script reads Redis' own clock, the one by which all processes agree.
func script(body string) *redis.Script {
	return redis.NewScript(`
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
` + body)
}
