package tickets

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/wechatqr/wechatqr"
)

// The kinds of failure that are this package's own. Test with errors.Is.
var (
	ErrNotFound = errors.New("no ticket under this key")                 // what Store.LoadTicket returns for it
	ErrBudget   = errors.New("the budget of permanent codes is used up") // see WithBudget
	ErrInUse    = errors.New("another process has the file open")        // see OpenFile
	ErrCorrupt  = errors.New("the file is not one of this package's")    // see OpenFile
)

// Key names a ticket in a [Store]. Requests with the same Key are the same code:
// the same account, the same scene (the number 7 and the text "7" are two), and
// the same life, so that a code for an hour and one for a day are kept side by side.
type Key struct {
	Account string // the AppID
	Scene   wechatqr.Scene
	TTL     time.Duration // 0 for a permanent code
}

func keyOf(account string, req wechatqr.TicketRequest) Key {
	return Key{Account: account, Scene: req.Scene(), TTL: req.TTL()}
}

// Permanent reports whether the key is that of a permanent code.
func (k Key) Permanent() bool { return k.TTL == 0 }

// Request is the request for the code that the key names.
func (k Key) Request() wechatqr.TicketRequest {
	if k.Permanent() {
		return wechatqr.Permanent(k.Scene)
	}
	return wechatqr.Temporary(k.Scene, k.TTL)
}

// String is the account and Name: "wx0123456789abcdef/permanent/str/shop-7".
func (k Key) String() string { return k.Account + "/" + k.Name() }

// Name tells the account's keys apart: "permanent/str/shop-7", "3600s/id/7". It
// has at most 80 bytes and stays the same in later versions of this package.
func (k Key) Name() string {
	life, form := "permanent", "id"
	if !k.Permanent() {
		life = fmt.Sprintf("%ds", k.TTL/time.Second)
	}
	if k.Scene == wechatqr.SceneString(k.Scene.Key()) {
		form = "str"
	}
	return life + "/" + form + "/" + k.Scene.Key()
}

// Store keeps tickets. It is safe for concurrent use and respects ctx.
//
// A claim is a lease with an owner, a random text that the caller brings: if the
// process that holds it dies, it ends by itself. Nothing in a Store remembers
// who called. A permanent ticket is kept for ever, and so is the mark that one
// was claimed; both are on disk, where there is one, when the call returns.
type Store interface {
	// LoadTicket returns the ticket that is kept, or ErrNotFound. A temporary
	// ticket may be dropped when it has expired.
	LoadTicket(ctx context.Context, key Key) (wechatqr.Ticket, error)

	// ClaimTicket takes the right to create the ticket for the time lease, whether
	// one is kept or not. The same owner gets it again, counted from now: that
	// prolongs the claim, and repeats a call whose response was lost.
	//
	// The first claim of a permanent key marks the key as known, for ever. It is
	// refused with ClaimOverBudget where the account has budget known permanent keys
	// already. For a temporary key budget does not count. No outcome is an error.
	ClaimTicket(ctx context.Context, key Key, owner string, lease time.Duration, budget int) (Claim, error)

	// SaveTicket keeps the ticket, ends the claim on key, whoever holds it, and
	// returns the ticket that is kept. That is another one if the store has one
	// that is permanent or ends at the same time or later. No claim is needed; a
	// permanent key is known from then on.
	SaveTicket(ctx context.Context, key Key, ticket wechatqr.Ticket) (wechatqr.Ticket, error)

	// ReleaseTicket ends the claim on key. It does nothing unless owner holds it.
	ReleaseTicket(ctx context.Context, key Key, owner string) error

	// CountPermanent returns how many permanent keys of the account are known.
	CountPermanent(ctx context.Context, account string) (int, error)
}

// Claim is the outcome of [Store.ClaimTicket].
type Claim int

// The outcomes. The zero Claim is none of them.
const (
	ClaimGranted    Claim = iota + 1 // the caller is to create the ticket
	ClaimBusy                        // another owner holds the claim
	ClaimOverBudget                  // the account has as many permanent codes as it may have
)
