package redisstore

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/tickets"
)

// permanentScript is a script on a hash of all permanent tickets of an account, so
// that they can be counted; it does not expire. Its fields are the names of the
// keys, and hold when the claim ends, who holds it in hex, and the ticket as JSON:
// "1700000000000 6f776e6572 {…}". What is missing is "0", "-" or "".
func permanentScript(body string) *redis.Script {
	return redis.NewScript(`
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local field = redis.call('HMGET', KEYS[1], ARGV[1])[1]
local till, owner, ticket = string.match(field or '0 - ', '^(%d+) (%S+) (.*)$')
local function put(till, owner, ticket)
	redis.call('HSET', KEYS[1], ARGV[1],
		string.format('%.0f', till) .. ' ' .. owner .. ' ' .. ticket)
end
` + body)
}

var (
	loadPermanentScript = permanentScript(`
return ticket`)

	claimPermanentScript = permanentScript(`
if owner ~= ARGV[2] and tonumber(till) > now then return -1 end
if not field and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[4]) then return 0 end
put(now + ARGV[3], ARGV[2], ticket)
return 1`)

	savePermanentScript = permanentScript(`
if ticket == '' then ticket = ARGV[2] end
put(0, '-', ticket)
return ticket`)

	releasePermanentScript = permanentScript(`
if owner == ARGV[2] then put(0, '-', ticket) end
return 1`)

	countScript = redis.NewScript(`
return redis.call('HLEN', KEYS[1])`)

	// A temporary ticket is in a hash of its own, with the fields of a token's.
	saveTemporaryScript = tokenScript(`
owner, till = false, 0
redis.call('HDEL', KEYS[1], 'owner', 'until')
local new = tonumber(ARGV[2])
if new > ends and new > now then
	token, ends = ARGV[1], new
	redis.call('HSET', KEYS[1], 'token', token, 'end', ARGV[2])
end
if not token then return false end
expire()
return {token, ends - now - 1}`)
)

func (s *Store) ticketKey(key tickets.Key) string {
	if key.Permanent() {
		return s.permanentKey(key.Account)
	}
	return s.prefix + "ticket:" + key.String()
}

func (s *Store) permanentKey(account string) string { return s.prefix + "tickets:" + account }

// LoadTicket returns the ticket, or [tickets.ErrNotFound]. The end of a temporary
// one is counted on this machine's clock from the life that Redis says is left.
func (s *Store) LoadTicket(ctx context.Context, key tickets.Key) (wechatqr.Ticket, error) {
	script, args := loadScript, []any(nil)
	if key.Permanent() {
		script, args = loadPermanentScript, []any{key.Name()}
	}
	return s.ticket(ctx, "load ticket", script, key, args...)
}

// ClaimTicket takes the right to create the ticket for the time lease, or prolongs
// the claim that owner has. A permanent key stays known from the first claim on.
func (s *Store) ClaimTicket(
	ctx context.Context, key tickets.Key, owner string, lease time.Duration, budget int,
) (tickets.Claim, error) {
	const op = "claim ticket"
	if !key.Permanent() {
		ok, err := s.lease(ctx, op, s.ticketKey(key), owner, lease)
		if ok || err != nil {
			return tickets.ClaimGranted, err
		}
		return tickets.ClaimBusy, nil
	}

	value, err := s.run(ctx, claimPermanentScript, s.ticketKey(key),
		key.Name(), hexOwner(owner), lease.Milliseconds(), budget)
	if err != nil {
		return 0, failed(op, err)
	}
	switch value {
	case int64(1):
		return tickets.ClaimGranted, nil
	case int64(0):
		return tickets.ClaimOverBudget, nil
	case int64(-1):
		return tickets.ClaimBusy, nil
	}
	return 0, failed(op, unexpected(value))
}

// SaveTicket keeps the ticket unless one that is permanent or does not end before
// it is kept, and returns the one that is. It ends the claim, whoever holds it.
func (s *Store) SaveTicket(
	ctx context.Context, key tickets.Key, ticket wechatqr.Ticket,
) (wechatqr.Ticket, error) {
	const op = "save ticket"
	b, err := json.Marshal(ticket)
	if err != nil {
		return wechatqr.Ticket{}, failed(op, err)
	}
	if key.Permanent() {
		return s.ticket(ctx, op, savePermanentScript, key, key.Name(), b)
	}

	end, err := s.redisTime(ctx, s.ticketKey(key), ticket.ExpiresAt)
	if err != nil {
		return wechatqr.Ticket{}, failed(op, err)
	}
	return s.ticket(ctx, op, saveTemporaryScript, key, b, end)
}

// ReleaseTicket ends the claim on key if it is owner's.
func (s *Store) ReleaseTicket(ctx context.Context, key tickets.Key, owner string) error {
	script, args := unleaseScript, []any{owner}
	if key.Permanent() {
		script, args = releasePermanentScript, []any{key.Name(), hexOwner(owner)}
	}
	if _, err := s.run(ctx, script, s.ticketKey(key), args...); err != nil {
		return failed("release ticket", err)
	}
	return nil
}

// CountPermanent returns how many permanent keys of the account are known.
func (s *Store) CountPermanent(ctx context.Context, account string) (int, error) {
	const op = "count tickets"
	value, err := s.run(ctx, countScript, s.permanentKey(account))
	if err != nil {
		return 0, failed(op, err)
	}
	n, ok := value.(int64)
	if !ok {
		return 0, failed(op, unexpected(value))
	}
	return int(n), nil
}

func hexOwner(owner string) string { return "x" + hex.EncodeToString([]byte(owner)) }

// ticket runs a script whose response is a ticket: a permanent one, or a temporary
// one and how many milliseconds of its life are left.
func (s *Store) ticket(
	ctx context.Context, op string, script *redis.Script, key tickets.Key, args ...any,
) (t wechatqr.Ticket, err error) {
	start := time.Now()
	value, err := s.run(ctx, script, s.ticketKey(key), args...)
	if err != nil {
		return t, failed(op, err)
	}
	if value == nil || value == "" {
		return t, tickets.ErrNotFound
	}

	text, ok := value.(string)
	var left int64
	if fields, two := value.([]any); two && len(fields) == 2 {
		text, ok = fields[0].(string)
		left, _ = fields[1].(int64)
	}
	if !ok {
		return t, failed(op, unexpected(value))
	}
	if err := json.Unmarshal([]byte(text), &t); err != nil {
		return wechatqr.Ticket{}, failed(op, err)
	}
	if !key.Permanent() {
		t.ExpiresAt = start.Add(time.Duration(left) * time.Millisecond).Round(0)
	}
	return t, nil
}
