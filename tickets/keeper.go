package tickets

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/wechatqr/wechatqr"
)

const (
	createTimeout = time.Minute     // for one creation, waiting for another process included
	storeTimeout  = 5 * time.Second // for one operation of a Store
	claimLease    = 3 * time.Second // prolonged while its owner creates
	claimPoll     = 100 * time.Millisecond

	firstPause = time.Second // after a renewal that failed; doubles
	maxPause   = time.Minute
)

// Client is what a [Keeper] needs of a [wechatqr.Client].
type Client interface {
	CreateTicket(ctx context.Context, req wechatqr.TicketRequest) (*wechatqr.Ticket, error)
	FetchQRCode(ctx context.Context, ticket string) (*wechatqr.QRCode, error)
}

// Keeper creates each code once and keeps it in a [Store]. It is safe for
// concurrent use; one for each account and process is enough. It needs no
// closing: a goroutine of its own ends with the creation or the fetch for which
// it was started, within a minute.
type Keeper struct {
	account string
	client  Client
	store   Store
	config

	mu       sync.Mutex // guards what follows; not held during I/O
	running  map[Key]*flight[wechatqr.Ticket]
	unsaved  map[Key]wechatqr.Ticket // permanent ones that the store did not take
	renewals pause
}

// Option changes a default of [NewKeeper].
type Option func(*config)

type config struct {
	budget int
	pace   time.Duration
	logger *slog.Logger
}

// WithBudget sets how many permanent codes the store may know of: a request of
// one more is [ErrBudget]. The default and the largest is 100000, WeChat's limit;
// set it lower where other programs create permanent codes of the account too.
func WithBudget(n int) Option { return func(c *config) { c.budget = n } }

// WithPace sets the least time between two creations by [Keeper.All], 100 ms by
// default. WeChat publishes a limit of 100000 calls a day and none a minute.
func WithPace(d time.Duration) Option { return func(c *config) { c.pace = d } }

// WithLogger tells l, as warnings, what no caller is told: a renewal that failed
// while the old code is good, a pause of [Keeper.All], why [Keeper.Picture] has none.
// The default is slog.Default at the time of NewKeeper.
func WithLogger(l *slog.Logger) Option { return func(c *config) { c.logger = l } }

// NewKeeper makes a Keeper of the account with this AppID. It does no I/O.
// Errors are [wechatqr.ErrInvalidArgument].
func NewKeeper(appID string, client Client, store Store, opts ...Option) (*Keeper, error) {
	const op = "new keeper"
	c := config{
		budget: wechatqr.MaxPermanentID, pace: 100 * time.Millisecond, logger: slog.Default(),
	}
	for _, opt := range opts {
		if opt == nil {
			return nil, invalid(op, errors.New("a nil Option"))
		}
		opt(&c)
	}

	err := checkAccount(appID)
	switch {
	case err != nil:
	case client == nil || store == nil:
		err = errors.New("the client or the store is nil")
	case c.budget < 0 || c.budget > wechatqr.MaxPermanentID:
		err = fmt.Errorf("WithBudget(%d): use 0 to %d", c.budget, wechatqr.MaxPermanentID)
	case c.pace < 0:
		err = fmt.Errorf("WithPace(%v): use 0 or more", c.pace)
	case c.logger == nil:
		err = errors.New("a nil logger: leave WithLogger out for the default")
	}
	if err != nil {
		return nil, invalid(op, err)
	}
	return &Keeper{
		account: appID, client: client, store: store, config: c,
		running: map[Key]*flight[wechatqr.Ticket]{}, unsaved: map[Key]wechatqr.Ticket{},
	}, nil
}

func checkAccount(appID string) error {
	bad := func(r rune) bool { return r <= ' ' || r > '~' || r == '/' }
	if appID == "" || strings.ContainsFunc(appID, bad) {
		return fmt.Errorf("%q is no AppID", appID)
	}
	return nil
}

// checkTicket says why the ticket cannot be the one under key.
func checkTicket(key Key, t wechatqr.Ticket) error {
	if t.Value == "" || t.Scene != key.Scene || t.Permanent() != key.Permanent() {
		return fmt.Errorf("%s has the ticket of another scene or kind, or none", key)
	}
	return nil
}

func failed(op string, err error) error { return fmt.Errorf("wechatqr: tickets: %s: %w", op, err) }

func invalid(op string, err error) error {
	return failed(op, fmt.Errorf("%w: %w", wechatqr.ErrInvalidArgument, err))
}

// Ticket returns the ticket that is kept, or creates one and keeps it. Of callers
// at the same time, also in other processes on the same store, one creates it
// and the others get that one. Which requests are the same, [Key] says.
//
// A permanent ticket is created once, ever. If the process dies in between, the
// next call creates the same scene again, and so does Ticket itself, once, after
// [wechatqr.ErrOutcomeUnknown]: each takes at most one more of the account's
// permanent codes. Only a process that is suspended for more than 3 s while it
// creates one may be overtaken by another; both return the ticket of the first
// to save.
//
// A temporary ticket has at least half of its life left. Past that, callers get it
// at once while another is created behind them; if that fails, it is tried again at
// a call 1 s later, then 2 s, up to a minute, and callers get the old one until it
// ends. From then on they wait for a new one, and get the error if there is none.
//
// A caller that gives up does not end the creation; it goes on for a minute at
// most, and its ticket is kept.
//
// Errors: [wechatqr.ErrInvalidArgument] as [wechatqr.TicketRequest.Validate] has it;
// [ErrBudget]; those of CreateTicket, of the Store and of ctx. When the store fails
// nothing is created that could not be kept. If it fails between creating and
// saving a permanent ticket, the Keeper has the ticket in memory, and the next
// call saves it.
func (k *Keeper) Ticket(ctx context.Context, req wechatqr.TicketRequest) (*wechatqr.Ticket, error) {
	if err := req.Validate(); err != nil {
		return nil, err
	}
	key := keyOf(k.account, req)
	if t, err := k.kept(ctx, key); t != nil || err != nil {
		return t, err
	}
	return k.created(ctx, key)
}

// kept is the ticket in the store if it is good, or nil. It is renewed behind the
// caller when that is due.
func (k *Keeper) kept(ctx context.Context, key Key) (*wechatqr.Ticket, error) {
	t, err := k.load(ctx, key)
	switch {
	case errors.Is(err, ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, err
	case t.Expired(time.Now()):
		return nil, nil
	case renewalDue(key, t):
		k.create(ctx, key, true)
	}
	return &t, nil
}

func (k *Keeper) created(ctx context.Context, key Key) (*wechatqr.Ticket, error) {
	t, err := k.create(ctx, key, false).wait(ctx)
	if err != nil {
		return nil, err
	}
	return &t, nil
}

// renewAt is when half of a temporary ticket's life is over.
func renewAt(key Key, t wechatqr.Ticket) time.Time { return t.ExpiresAt.Add(-key.TTL / 2) }

func renewalDue(key Key, t wechatqr.Ticket) bool {
	return !key.Permanent() && !time.Now().Before(renewAt(key, t))
}

// create returns the creation under way or starts one. A renewal is not started,
// and nil is returned, so shortly after one that failed.
func (k *Keeper) create(ctx context.Context, key Key, renewal bool) *flight[wechatqr.Ticket] {
	k.mu.Lock()
	defer k.mu.Unlock()
	if f := k.running[key]; f != nil {
		return f
	}
	if renewal && !k.renewals.over(time.Now()) {
		return nil
	}

	f := newFlight[wechatqr.Ticket]("create ticket")
	k.running[key] = f
	f.behind(ctx, func(ctx context.Context) (wechatqr.Ticket, error) {
		return k.createClaimed(ctx, key)
	}, func() { k.settle(ctx, key, f.err, renewal) })
	return f
}

func (k *Keeper) settle(ctx context.Context, key Key, err error, renewal bool) {
	k.mu.Lock()
	delete(k.running, key)
	if !key.Permanent() {
		k.renewals.note(err, time.Now())
	}
	k.mu.Unlock()
	if renewal && err != nil {
		k.warn(ctx, "wechatqr: the code was not renewed; the present one stays in use", key, err)
	}
}

// warn tells the logger, whose handler may panic.
func (k *Keeper) warn(ctx context.Context, message string, key Key, err error) {
	defer func() { _ = recover() }()
	k.logger.WarnContext(ctx, message, "key", key.Name(), "error", err)
}

// createClaimed creates the ticket when no other process does and none is kept.
func (k *Keeper) createClaimed(ctx context.Context, key Key) (wechatqr.Ticket, error) {
	owner := rand.Text()
	defer k.release(ctx, key, owner)
	for {
		claim, err := k.claim(ctx, key, owner)
		if err != nil {
			return wechatqr.Ticket{}, err
		}
		t, err := k.load(ctx, key)
		switch {
		case err == nil && !t.Expired(time.Now()) && (claim == ClaimBusy || !renewalDue(key, t)):
			return t, nil
		case err != nil && !errors.Is(err, ErrNotFound):
			return wechatqr.Ticket{}, err
		case claim == ClaimGranted:
			return k.createAndSave(ctx, key, owner)
		}

		select {
		case <-time.After(claimPoll):
		case <-ctx.Done():
			return wechatqr.Ticket{}, failed("create ticket",
				fmt.Errorf("another process holds the claim on %s: %w", key, ctx.Err()))
		}
	}
}

// createAndSave saves the ticket that could not be saved before, or a new one.
func (k *Keeper) createAndSave(
	ctx context.Context, key Key, owner string,
) (t wechatqr.Ticket, err error) {
	k.mu.Lock()
	t, ok := k.unsaved[key]
	k.mu.Unlock()
	if !ok {
		if t, err = k.ask(ctx, key, owner); err != nil {
			return t, err
		}
	}

	kept, err := k.save(ctx, key, t)
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case err == nil:
		delete(k.unsaved, key)
	case key.Permanent():
		k.unsaved[key] = t
	}
	return kept, err
}

// ask asks WeChat, twice at most, while it prolongs the claim.
func (k *Keeper) ask(ctx context.Context, key Key, owner string) (wechatqr.Ticket, error) {
	stop := k.prolong(ctx, key, owner)
	defer stop()
	t, err := k.client.CreateTicket(ctx, key.Request())
	if errors.Is(err, wechatqr.ErrOutcomeUnknown) {
		t, err = k.client.CreateTicket(ctx, key.Request())
	}
	if err != nil {
		return wechatqr.Ticket{}, err
	}
	if err := checkTicket(key, *t); err != nil {
		return wechatqr.Ticket{}, failed("create ticket", err)
	}
	return *t, nil
}

// prolong keeps the claim until stop is called. A claim that is lost meanwhile
// does not end the creation: SaveTicket settles who was first.
func (k *Keeper) prolong(ctx context.Context, key Key, owner string) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(claimLease / 3)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				_, _ = k.claim(ctx, key, owner)
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() { cancel(); <-done }
}

func (k *Keeper) load(ctx context.Context, key Key) (wechatqr.Ticket, error) {
	return inStore(ctx, "load ticket", func(ctx context.Context) (wechatqr.Ticket, error) {
		t, err := k.store.LoadTicket(ctx, key)
		if err == nil {
			err = checkTicket(key, t)
		}
		return t, err
	})
}

func (k *Keeper) claim(ctx context.Context, key Key, owner string) (Claim, error) {
	return inStore(ctx, "claim ticket", func(ctx context.Context) (Claim, error) {
		claim, err := k.store.ClaimTicket(ctx, key, owner, claimLease, k.budget)
		switch {
		case err != nil:
		case claim == ClaimOverBudget:
			err = fmt.Errorf("%w: %d are known", ErrBudget, k.budget)
		case claim != ClaimGranted && claim != ClaimBusy:
			err = fmt.Errorf("the store returned Claim(%d)", claim)
		}
		return claim, err
	})
}

// save outlasts the creation's ctx and a store that fails for a moment: the
// ticket is there, and would be lost.
func (k *Keeper) save(
	ctx context.Context, key Key, t wechatqr.Ticket,
) (kept wechatqr.Ticket, err error) {
	for n := range 3 {
		time.Sleep(time.Duration(n) * claimPoll)
		kept, err = inStore(context.WithoutCancel(ctx), "save ticket",
			func(ctx context.Context) (wechatqr.Ticket, error) {
				kept, err := k.store.SaveTicket(ctx, key, t)
				if err == nil {
					err = checkTicket(key, kept)
				}
				return kept, err
			})
		if err == nil {
			return kept, nil
		}
	}
	return wechatqr.Ticket{}, err
}

func (k *Keeper) release(ctx context.Context, key Key, owner string) {
	ctx = context.WithoutCancel(ctx)
	_, _ = inStore(ctx, "release ticket", func(ctx context.Context) (any, error) {
		return nil, k.store.ReleaseTicket(ctx, key, owner)
	}) // a claim that is not released ends by itself
}

// Budget is how many permanent codes there may be, and are.
type Budget struct {
	Known int // the store knows of: those kept, and those claimed that may have been created
	Limit int // of WithBudget
}

// Left is how many may be created yet, as far as the store knows: WeChat does not
// say how many an account has.
func (b Budget) Left() int { return max(0, b.Limit-b.Known) }

// Budget counts the account's permanent codes that the store knows of. One that
// WeChat refused to create is among them: asked for again, it counts once.
func (k *Keeper) Budget(ctx context.Context) (Budget, error) {
	known, err := inStore(ctx, "count tickets", func(ctx context.Context) (int, error) {
		return k.store.CountPermanent(ctx, k.account)
	})
	return Budget{Known: known, Limit: k.budget}, err
}
