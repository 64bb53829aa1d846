package redisstore

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"
)

// A login is the text under a key of its own, and so is a count.
var (
	loadLoginScript = redis.NewScript(`
return redis.call('GET', KEYS[1])`)

	swapLoginScript = redis.NewScript(`
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1`)

	countLoginScript = redis.NewScript(`
local n = redis.call('INCR', KEYS[1])
if n == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return n`)
)

func (s *Store) loginKey(key string) string { return s.prefix + "scanlogin:" + key }

// LoadLogin returns the value under key, nil if there is none.
func (s *Store) LoadLogin(ctx context.Context, key string) ([]byte, error) {
	const op = "load login"
	value, err := s.run(ctx, loadLoginScript, s.loginKey(key))
	if err != nil {
		return nil, failed(op, err)
	}
	if value == nil {
		return nil, nil
	}
	text, ok := value.(string)
	if !ok {
		return nil, failed(op, unexpected(value))
	}
	return []byte(text), nil
}

// SwapLogin has new under key for the time ttl, 1 ms at least, if what is there is old.
// After an error Redis may have done so all the same.
func (s *Store) SwapLogin(
	ctx context.Context, key string, old, new []byte, ttl time.Duration,
) (bool, error) {
	const op = "swap login"
	value, err := s.run(ctx, swapLoginScript, s.loginKey(key), old, new, max(1, ttl.Milliseconds()))
	if err != nil {
		return false, failed(op, err)
	}
	if value != int64(0) && value != int64(1) {
		return false, failed(op, unexpected(value))
	}
	return value == int64(1), nil
}

// CountLogin adds one to the number under key, which ends ttl, 1 ms at least, after
// the first.
func (s *Store) CountLogin(ctx context.Context, key string, ttl time.Duration) (int, error) {
	const op = "count login"
	value, err := s.run(ctx, countLoginScript, s.loginKey("count/"+key), max(1, ttl.Milliseconds()))
	if err != nil {
		return 0, failed(op, err)
	}
	n, ok := value.(int64)
	if !ok {
		return 0, failed(op, unexpected(value))
	}
	return int(n), nil
}
