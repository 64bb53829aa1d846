package sqlstore

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
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
		return r.lease(owner, lease)
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

// changeTicket changes a ticket's row. A permanent one is known first; beyond the budget it
// is not made.
func (s *Store) changeTicket(
	ctx context.Context, op string, key tickets.Key, budget int,
	decide func(r *row) bool,
) (row, error) {
	id := ticketID(key)
	if key.Permanent() {
		_, err := repeat(ctx, op, func() (row, error) {
			return row{}, s.addPermanent(ctx, permanentID(key.Account), id, budget)
		})
		if err != nil {
			return row{}, err
		}
	}
	return s.change(ctx, op, id, decide)
}

func permanentID(account string) string { return rowID("permanent", account) }

// addPermanent counts a permanent ticket and then makes its row, unless that is there. The
// number's row has as its owner the ticket that was counted last, whose row is made before
// the next one is counted: the process that counted it may have ended before it did that.
func (s *Store) addPermanent(ctx context.Context, numberID, id string, budget int) error {
	number, isKnown, err := s.readNumber(ctx, numberID, id)
	if err != nil || isKnown {
		return err
	}
	if number.owner != "" {
		err := s.insertPermanent(ctx, number.owner)
		if err != nil || number.owner == id {
			return err
		}
	}

	n, _ := strconv.Atoi(number.data)
	if n >= budget {
		return errOverBudget
	}
	counted := row{data: strconv.Itoa(n + 1), ends: forever, owner: id, revision: rand.Int64()}
	if err := s.write(ctx, numberID, number, counted); err != nil {
		return err
	}
	return s.insertPermanent(ctx, id)
}

// readNumber reads the number's row, and whether the ticket has one, as both were at one
// moment: nodes of a cluster may be apart.
func (s *Store) readNumber(
	ctx context.Context, numberID, id string,
) (number row, isKnown bool, err error) {
	var data, owner []byte
	query := "SELECT n.id IS NOT NULL, COALESCE(n.revision, 0), n.data, n.owner," +
		" t.id IS NOT NULL FROM (SELECT 1 AS one) one" +
		" LEFT JOIN wechatqr_store n ON n.id = ? LEFT JOIN wechatqr_store t ON t.id = ?"
	err = s.queryRow(ctx, query, []any{numberID, id},
		&number.exists, &number.revision, &data, &owner, &isKnown)
	number.data, number.owner = string(data), string(owner)
	return number, isKnown, err
}

// insertPermanent makes the row of a permanent ticket that was counted, unless it is there.
func (s *Store) insertPermanent(ctx context.Context, id string) error {
	r := row{data: claimed, ends: forever, revision: rand.Int64()}
	err := s.write(ctx, id, row{}, r)
	if errors.Is(err, errChanged) {
		return nil
	}
	return err
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
