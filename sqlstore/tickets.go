package sqlstore

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"time"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/tickets"
)

var errOverBudget = errors.New("the budget of permanent tickets is used up")

// claimed is the data of a permanent ticket that was claimed and not yet made, so that
// its row stays.
const claimed = "claimed"

func ticketID(key tickets.Key) string { return rowID("ticket", key.String()) }

// LoadTicket returns the ticket, or [tickets.ErrNotFound]. The end of a temporary
// one is counted on this machine's clock from the life that the database says is left.
func (s *Store) LoadTicket(ctx context.Context, key tickets.Key) (wechatqr.Ticket, error) {
	const op = "load ticket"
	r, err := s.load(ctx, op, ticketID(key))
	switch {
	case err != nil:
		return wechatqr.Ticket{}, err
	case r.data == "" || r.data == claimed:
		return wechatqr.Ticket{}, tickets.ErrNotFound
	}
	return decodeTicket(op, key, &r)
}

func decodeTicket(op string, key tickets.Key, r *row) (t wechatqr.Ticket, err error) {
	if err := json.Unmarshal([]byte(r.data), &t); err != nil {
		return wechatqr.Ticket{}, failed(op, err)
	}
	if !key.Permanent() {
		t.ExpiresAt = r.localEnd()
	}
	return t, nil
}

// ClaimTicket takes the right to create the ticket for the time lease, or prolongs
// the claim that owner has. A permanent key stays known from the first claim on.
func (s *Store) ClaimTicket(
	ctx context.Context, key tickets.Key, owner string, lease time.Duration, budget int,
) (tickets.Claim, error) {
	r, err := s.changeTicket(ctx, "claim ticket", key, budget, func(r *row) bool {
		if !r.lease(owner, lease) {
			return false
		}
		if key.Permanent() && r.data == "" {
			r.data, r.ends = claimed, forever
		}
		return true
	})
	switch {
	case errors.Is(err, errOverBudget):
		return tickets.ClaimOverBudget, nil
	case err != nil:
		return 0, err
	case r.written:
		return tickets.ClaimGranted, nil
	}
	return tickets.ClaimBusy, nil
}

// SaveTicket keeps the ticket unless one that is permanent or does not end before
// it is kept, and returns the one that is. It ends the claim, whoever holds it.
func (s *Store) SaveTicket(
	ctx context.Context, key tickets.Key, ticket wechatqr.Ticket,
) (wechatqr.Ticket, error) {
	const op = "save ticket"
	data, err := json.Marshal(ticket)
	if err != nil {
		return wechatqr.Ticket{}, failed(op, err)
	}

	kept, err := s.changeTicket(ctx, op, key, math.MaxInt, func(r *row) bool {
		ends := int64(forever)
		if !key.Permanent() {
			ends = r.now + time.Until(ticket.ExpiresAt).Milliseconds()
		}
		if r.data == claimed || ends > max(r.now, r.ends) {
			r.data, r.ends = string(data), ends
		}
		r.owner, r.leaseEnd = "", 0
		return true
	})
	switch {
	case err != nil:
		return wechatqr.Ticket{}, err
	case kept.data == "": // it has ended, and no other is there
		return wechatqr.Ticket{}, tickets.ErrNotFound
	}
	return decodeTicket(op, key, &kept)
}

// changeTicket changes a ticket's row. A new permanent one is counted in the same
// transaction; beyond the budget it is not made.
func (s *Store) changeTicket(
	ctx context.Context, op string, key tickets.Key, budget int,
	decide func(r *row) bool,
) (row, error) {
	if !key.Permanent() {
		return s.change(ctx, op, ticketID(key), decide)
	}
	return s.changeCounted(ctx, op, ticketID(key), decide, func(tx session) error {
		return s.countTicket(ctx, tx, permanentID(key.Account), budget)
	})
}

func permanentID(account string) string { return rowID("permanent", account) }

// countTicket adds one to the number of permanent tickets.
func (s *Store) countTicket(ctx context.Context, tx session, id string, budget int) error {
	old, err := s.read(ctx, tx, id)
	if err != nil {
		return err
	}
	n, _ := strconv.Atoi(old.data)
	if n >= budget {
		return errOverBudget
	}
	r := old
	r.data, r.ends, r.revision = strconv.Itoa(n+1), forever, old.revision+1
	return s.write(ctx, tx, id, old, r)
}

// ReleaseTicket ends the claim on key if it is owner's.
func (s *Store) ReleaseTicket(ctx context.Context, key tickets.Key, owner string) error {
	return s.release(ctx, "release ticket", ticketID(key), owner)
}

// CountPermanent returns how many permanent keys of the account are known.
func (s *Store) CountPermanent(ctx context.Context, account string) (int, error) {
	r, err := s.load(ctx, "count tickets", permanentID(account))
	if err != nil || r.data == "" {
		return 0, err
	}
	return strconv.Atoi(r.data)
}
