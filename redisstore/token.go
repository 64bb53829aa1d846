package redisstore

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wechatqr/wechatqr"
)

// unknownLife is how long a token without an Expiry is kept.
const unknownLife = 24 * time.Hour

// tokenScript is a script on a hash that holds a token and the lease on its
// renewal, so that both are looked at together. Times are milliseconds of
// Redis' own clock, the one by which all processes agree.
//
//	token     the access token       owner  who holds the lease
//	end       when it ends           until  when the lease ends
//	noexpiry  1 if its end is unknown
func tokenScript(body string) *redis.Script {
	return redis.NewScript(`
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local h = redis.call('HMGET', KEYS[1], 'token', 'end', 'noexpiry', 'owner', 'until')
local token, ends, noexpiry = h[1], tonumber(h[2] or 0), h[3]
local owner, till = h[4], tonumber(h[5] or 0)
local function expire()
	redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', math.max(ends, till)))
end
` + body)
}

var (
	clockScript = redis.NewScript(`
local time = redis.call('TIME')
return time[1] * 1000 + math.floor(time[2] / 1000)`)

	// now is cut to whole milliseconds: with one off, the end is not late.
	loadScript = tokenScript(`
local left = ends - now - 1
if left <= 0 then return false end
if noexpiry then return {token, 0} end
return {token, left}`)

	saveScript = tokenScript(`
if owner ~= ARGV[4] and till > now then return 0 end
local new = tonumber(ARGV[2])
if new <= now or ends > new and not noexpiry then return 1 end
redis.call('HSET', KEYS[1], 'token', ARGV[1], 'end', ARGV[2])
if ARGV[3] ~= '' then
	redis.call('HSET', KEYS[1], 'noexpiry', 1)
else
	redis.call('HDEL', KEYS[1], 'noexpiry')
end
ends = new
expire()
return 1`)

	discardScript = tokenScript(`
if token ~= ARGV[1] then return 0 end
return redis.call('HDEL', KEYS[1], 'token', 'end', 'noexpiry')`)

	leaseScript = tokenScript(`
if owner ~= ARGV[1] and till > now then return 0 end
till = now + ARGV[2]
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'until', string.format('%.0f', till))
expire()
return 1`)

	unleaseScript = tokenScript(`
if owner ~= ARGV[1] then return 0 end
return redis.call('HDEL', KEYS[1], 'owner', 'until')`)
)

func (s *Store) tokenKey(key string) string { return s.prefix + "token:" + key }

// Load returns the token, or [wechatqr.ErrTokenNotFound]. Its Expiry is counted
// on this machine's clock from the life that Redis says is left.
func (s *Store) Load(ctx context.Context, key string) (wechatqr.Token, error) {
	const op = "load token"
	start := time.Now()
	value, err := s.run(ctx, loadScript, s.tokenKey(key))
	if err != nil {
		return wechatqr.Token{}, failed(op, err)
	}
	if value == nil {
		return wechatqr.Token{}, wechatqr.ErrTokenNotFound
	}

	if fields, _ := value.([]any); len(fields) == 2 {
		token, ok1 := fields[0].(string)
		left, ok2 := fields[1].(int64)
		if ok1 && ok2 {
			tok := wechatqr.Token{Value: token}
			if left > 0 {
				tok.Expiry = start.Add(time.Duration(left) * time.Millisecond).Round(0)
			}
			return tok, nil
		}
	}
	return wechatqr.Token{}, failed(op, unexpected(value))
}

// Save keeps the token until its Expiry, or for a day if that is unknown. It does
// not replace a token that ends later, unless that one's end is unknown. It fails
// while another owner's lease on key runs; a lease of owner's own is not needed.
func (s *Store) Save(ctx context.Context, key string, tok wechatqr.Token, owner string) error {
	const op = "save token"
	if tok.Value == "" {
		return invalid(op, errors.New("the token is empty"))
	}
	key = s.tokenKey(key)

	expiry, noexpiry := tok.Expiry, ""
	if tok.Expiry.IsZero() {
		expiry, noexpiry = time.Now().Add(unknownLife), "1"
	}
	end, err := s.redisTime(ctx, key, expiry)
	if err != nil {
		return failed(op, err)
	}
	value, err := s.run(ctx, saveScript, key, tok.Value, end, noexpiry, owner)
	switch {
	case err != nil:
		return failed(op, err)
	case value == int64(0):
		return failed(op, errors.New("another process holds the lease and renews the token"))
	}
	return nil
}

// redisTime is a time of this machine's in milliseconds of Redis' clock. An end is
// sent so, and not as a life: a command that is delayed on its way cannot extend it.
func (s *Store) redisTime(ctx context.Context, key string, t time.Time) (int64, error) {
	value, err := s.run(ctx, clockScript, key)
	if err != nil {
		return 0, err
	}
	now, ok := value.(int64)
	if !ok {
		return 0, unexpected(value)
	}
	return now + time.Until(t).Milliseconds(), nil
}

// Discard removes the token if its value is still rejected.
func (s *Store) Discard(ctx context.Context, key, rejected string) error {
	return s.do(ctx, "discard token", discardScript, s.tokenKey(key), rejected)
}

// Lease takes the right to renew the token under key for the time ttl, or
// prolongs it for the owner that has it; false while another has it.
func (s *Store) Lease(ctx context.Context, key, owner string, ttl time.Duration) (bool, error) {
	return s.lease(ctx, "lease", s.tokenKey(key), owner, ttl)
}

func (s *Store) lease(ctx context.Context, op, key, owner string, ttl time.Duration) (bool, error) {
	value, err := s.run(ctx, leaseScript, key, owner, ttl.Milliseconds())
	if err != nil {
		return false, failed(op, err)
	}
	return value == int64(1), nil
}

// Unlease ends the lease on key if it is owner's.
func (s *Store) Unlease(ctx context.Context, key, owner string) error {
	return s.do(ctx, "unlease", unleaseScript, s.tokenKey(key), owner)
}
