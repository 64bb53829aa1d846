package redisstore

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wechatqr/wechatqr/events"
)

// What an event's key holds is its state:
//
//	no key     unknown
//	by:OWNER   claimed, until the key expires
//	done       handled, until the key expires
var (
	// claimScript returns the number of an events.Claim.
	claimScript = redis.NewScript(`
local holder = redis.call('GET', KEYS[1])
if holder == 'done' then return 2 end
if holder and holder ~= ARGV[1] then return 3 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1`)

	commitScript = redis.NewScript(`
return redis.call('SET', KEYS[1], 'done', 'PX', ARGV[1])`)

	releaseScript = redis.NewScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])`)
)

// eventKey hides the openid and the scene that an event's ID holds.
func (s *Store) eventKey(id string) string {
	sum := sha256.Sum256([]byte(id))
	return s.prefix + "event:" + hex.EncodeToString(sum[:])
}

func holder(owner string) string { return "by:" + owner }

// Claim claims the event id for the time lease, 1 ms at least, or prolongs the
// claim that owner has. After an error Redis may have done so all the same: ask
// again, or call Commit or Release, or let the lease end.
func (s *Store) Claim(
	ctx context.Context, id, owner string, lease time.Duration,
) (events.Claim, error) {
	const op = "claim event"
	ms := max(1, lease.Milliseconds())
	value, err := s.run(ctx, claimScript, s.eventKey(id), holder(owner), ms)
	if err != nil {
		return 0, failed(op, err)
	}

	n, _ := value.(int64)
	if got := events.Claim(n); events.ClaimGranted <= got && got <= events.ClaimBusy {
		return got, nil
	}
	return 0, failed(op, unexpected(value))
}

// Commit marks id as handled for the time ttl, 1 ms at least, whoever claimed
// it: what one process has handled no other needs to handle.
func (s *Store) Commit(ctx context.Context, id string, ttl time.Duration) error {
	ms := max(1, ttl.Milliseconds())
	return s.do(ctx, "commit event", commitScript, s.eventKey(id), ms)
}

// Release ends the claim on id if it is owner's.
func (s *Store) Release(ctx context.Context, id, owner string) error {
	return s.do(ctx, "release event", releaseScript, s.eventKey(id), holder(owner))
}
