package redisstore

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wechatqr/wechatqr/events"
)

// An event's key holds the text of who claimed it, then "done".
var (
	// A claim by the same owner again is the client's repetition after a lost
	// answer.
	claimScript = redis.NewScript(`
local holder = redis.call('GET', KEYS[1])
if holder == 'done' then return 0 end
if holder and holder ~= ARGV[1] then return -1 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1`)

	commitScript = redis.NewScript(`
return redis.call('SET', KEYS[1], 'done', 'PX', ARGV[1])`)

	giveBackScript = redis.NewScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])`)
)

// eventKey hides the openid and the scene that an event's ID holds.
func (s *Store) eventKey(id string) string {
	sum := sha256.Sum256([]byte(id))
	return s.prefix + "event:" + hex.EncodeToString(sum[:])
}

// Claim takes the event id for the time lease and returns true, unless id is
// taken. It returns false and no error if id was committed, and false and
// [events.ErrInProgress] if another's lease on it runs. After any other error
// call Release or Commit, for Redis may have taken it all the same.
func (s *Store) Claim(ctx context.Context, id string, lease time.Duration) (bool, error) {
	key, owner := s.eventKey(id), rand.Text()
	s.expect(key, owner) // Redis may carry it out and the answer be lost
	got, err := s.run(ctx, claimScript, key, owner, max(1, lease.Milliseconds()))
	if err != nil {
		return false, failed("claim event", err)
	}
	if got == int64(1) {
		s.mu.Lock()
		s.claims[key] = owner
		s.mu.Unlock()
		return true, nil
	}
	s.drop(key, owner)
	if got == int64(0) {
		return false, nil
	}
	return false, events.ErrInProgress
}

// Commit marks id as handled for the time ttl, whoever claimed it: what one
// process has handled no other needs to handle.
func (s *Store) Commit(ctx context.Context, id string, ttl time.Duration) error {
	key := s.eventKey(id)
	s.forget(key)
	if _, err := s.run(ctx, commitScript, key, max(1, ttl.Milliseconds())); err != nil {
		return failed("commit event", err)
	}
	return nil
}

// Release gives back the latest claim of this Store's if it still holds, be it
// one whose answer was lost; another process' claim and a committed id stay as
// they are.
func (s *Store) Release(ctx context.Context, id string) error {
	key := s.eventKey(id)
	owner, ok := s.forget(key)
	if !ok {
		return nil
	}
	if _, err := s.run(ctx, giveBackScript, key, owner); err != nil {
		return failed("release event", err)
	}
	return nil
}

// expect notes a claim before its answer, unless an earlier one of this process
// may hold.
func (s *Store) expect(key, owner string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.claims[key]; !ok {
		s.claims[key] = owner
	}
}

// drop forgets a claim that did not come to be, and none that did.
func (s *Store) drop(key, owner string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.claims[key] == owner {
		delete(s.claims, key)
	}
}

func (s *Store) forget(key string) (owner string, claimed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	owner, claimed = s.claims[key]
	delete(s.claims, key)
	return owner, claimed
}
