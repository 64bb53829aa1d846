package redisstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wechatqr/wechatqr"
)

// unknownLife is how long a token without an Expiry is kept.
const unknownLife = 24 * time.Hour

// A token and the lease on its renewal are fields of one hash, so that one
// script on one key can judge them together. Times are milliseconds of Redis'
// clock.
//
//	token  the access token          owner  a random text, the lease-holder's
//	end    when it ends              until  when the lease ends
//	open   1 if its end is unknown
func tokenScript(body string) *redis.Script {
	return script(`
local h = redis.call('HMGET', KEYS[1], 'token', 'end', 'open', 'owner', 'until')
local token, ends, open = h[1], tonumber(h[2] or 0), h[3]
local owner, till = h[4], tonumber(h[5] or 0)
local function expire()
	redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', math.max(ends, till)))
end
` + body)
}

var (
	clockScript = script(`return now`)

	// now is cut to whole milliseconds: with one off, the end is not late.
	loadScript = tokenScript(`
local left = ends - now - 1
if not token or left <= 0 then return false end
if open then return {token, 0} end
return {token, left}`)

	// A lease by the same owner again is the client's repetition after a lost
	// answer. One that was delayed beyond ARGV[3] has nobody waiting for it.
	leaseScript = tokenScript(`
if now > tonumber(ARGV[3]) or owner and owner ~= ARGV[1] and till > now then return 0 end
till = now + ARGV[2]
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'until', string.format('%.0f', till))
expire()
return 1`)

	releaseScript = tokenScript(`
if owner ~= ARGV[1] then return 0 end
return redis.call('HDEL', KEYS[1], 'owner', 'until')`)

	saveScript = tokenScript(`
if ARGV[4] ~= '' and (owner ~= ARGV[4] or till <= now) then return 0 end
local new = tonumber(ARGV[2])
if new <= now or token and ends > new and not open and ARGV[3] == '' then return 1 end
redis.call('HSET', KEYS[1], 'token', ARGV[1], 'end', ARGV[2])
if ARGV[3] ~= '' then redis.call('HSET', KEYS[1], 'open', 1) else redis.call('HDEL', KEYS[1], 'open') end
ends = new
expire()
return 1`)

	discardScript = tokenScript(`
if token ~= ARGV[1] then return 0 end
return redis.call('HDEL', KEYS[1], 'token', 'end', 'open')`)
)

func (s *Store) tokenKey(key string) string { return s.prefix + "token:" + key }

// clock is Redis' time in milliseconds.
func (s *Store) clock(ctx context.Context, key string) (int64, error) {
	value, err := s.run(ctx, clockScript, key)
	if err != nil {
		return 0, err
	}
	now, ok := value.(int64)
	if !ok {
		return 0, unusual(value)
	}
	return now, nil
}

func unusual(value any) error { return fmt.Errorf("Redis answered with a %T", value) }

// Load returns the token, or [wechatqr.ErrTokenNotFound]. Its Expiry is
// reckoned by this machine's clock from the life that Redis says is left.
func (s *Store) Load(ctx context.Context, key string) (wechatqr.Token, error) {
	asked := time.Now()
	value, err := s.run(ctx, loadScript, s.tokenKey(key))
	if err != nil {
		return wechatqr.Token{}, failed("load token", err)
	}
	if value == nil {
		return wechatqr.Token{}, wechatqr.ErrTokenNotFound
	}
	if answer, ok := value.([]any); ok && len(answer) == 2 {
		token, ok1 := answer[0].(string)
		left, ok2 := answer[1].(int64)
		if ok1 && ok2 {
			tok := wechatqr.Token{Value: token}
			if left > 0 {
				tok.Expiry = asked.Add(time.Duration(left) * time.Millisecond).Round(0)
			}
			return tok, nil
		}
	}
	return wechatqr.Token{}, failed("load token", unusual(value))
}

// Save keeps the token until its Expiry, or for a day if that is unknown. It
// does not replace a token that ends later. After a Lease of this Store on key,
// until its release, it fails once the lease has passed.
func (s *Store) Save(ctx context.Context, key string, tok wechatqr.Token) error {
	const op = "save token"
	if tok.Value == "" {
		return invalid(op, errors.New("the token is empty"))
	}
	key = s.tokenKey(key)
	// The end goes out as a time of Redis' clock: a command that lies about on
	// its way does not lengthen the token's life.
	now, err := s.clock(ctx, key)
	if err != nil {
		return failed(op, err)
	}
	life, open := time.Until(tok.Expiry), ""
	if tok.Expiry.IsZero() {
		life, open = unknownLife, "1"
	}
	s.mu.Lock()
	owner := s.leases[key]
	s.mu.Unlock()
	kept, err := s.run(ctx, saveScript, key, tok.Value, now+life.Milliseconds(), open, owner)
	switch {
	case err != nil:
		return failed(op, err)
	case kept == int64(0):
		return failed(op, errors.New("the lease has passed: another process may have renewed it since"))
	}
	return nil
}

// Discard removes the token if its value is still rejected.
func (s *Store) Discard(ctx context.Context, key, rejected string) error {
	if _, err := s.run(ctx, discardScript, s.tokenKey(key), rejected); err != nil {
		return failed("discard token", err)
	}
	return nil
}

// Lease takes the right to renew the token under key, for ttl at most; ok is
// false while another holds it. release gives it back, and does not wait for
// Redis to have it.
func (s *Store) Lease(ctx context.Context, key string, ttl time.Duration) (release func(), ok bool, err error) {
	const op = "lease"
	key = s.tokenKey(key)
	if err := s.returned(ctx, key); err != nil {
		return nil, false, failed(op, err)
	}
	now, err := s.clock(ctx, key)
	if err != nil {
		return nil, false, failed(op, err)
	}
	wait := ttl
	if end, ok := ctx.Deadline(); ok {
		wait = min(wait, time.Until(end))
	}
	owner := rand.Text()
	got, err := s.run(ctx, leaseScript, key, owner, max(1, ttl.Milliseconds()), now+wait.Milliseconds())
	if err != nil {
		s.release(key, owner, ttl) // it may have been taken, and the answer lost
		return nil, false, failed(op, err)
	}
	if got != int64(1) {
		return nil, false, nil
	}
	s.mu.Lock()
	s.leases[key] = owner
	s.mu.Unlock()
	return func() { s.release(key, owner, ttl) }, true, nil
}

func (s *Store) release(key, owner string, ttl time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leases[key] == owner {
		delete(s.leases, key)
	}
	back := make(chan struct{})
	s.returns[key] = back
	go func() {
		// Sent even while Redis is left alone: as long as the lease lasts, whoever
		// wants to renew waits for it.
		ctx, cancel := context.WithTimeout(context.Background(), ttl)
		defer cancel()
		_, _ = s.send(ctx, releaseScript, key, owner)
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.returns[key] == back {
			delete(s.returns, key)
		}
		close(back)
	}()
}

// returned waits for a lease that this process gave back a moment ago.
func (s *Store) returned(ctx context.Context, key string) error {
	s.mu.Lock()
	back := s.returns[key]
	s.mu.Unlock()
	if back == nil {
		return nil
	}
	select {
	case <-back:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
