package scanlogin

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"
	"unicode"

	"github.com/wechatqr/wechatqr"
)

// The kinds of failure that are this package's own. Test with errors.Is.
var (
	ErrTooMany      = errors.New("too many logins")            // by Limits or by WeChat's quota
	ErrNotConfirmed = errors.New("the login is not confirmed") // its Status says why
	ErrSuperseded   = errors.New("the same browser waits elsewhere")
	ErrClosed       = errors.New("this server stops waiting") // see Login.Close
)

// pollInterval is how late a change is seen that was made at another server.
const pollInterval = time.Second

// Visitor is a browser. The steps work for one whatever the transport: what its
// secret is kept in, a cookie or a session, is the caller's matter. [Login.Handler]
// does all of that.
type Visitor struct {
	Secret  string     `json:"-"` // what Begin returned to it; empty if nothing
	User    User       // of your site, who is logged in, for a binding; zero: to log in
	Address netip.Addr // counted by Begin
	Agent   string     // its User-Agent, for the page of WithLink
}

// User is somebody who has an account at your site, to which a scan binds an openid.
type User struct {
	ID   string `json:"id"`   // tells them apart; not shown
	Name string `json:"name"` // is shown in the chat and on the page
}

// Status is what a browser may know of its login: no openid and no number.
type Status struct {
	State   State     `json:"state"`
	Content string    `json:"content,omitempty"` // what the code says, while it is to be scanned
	Ends    time.Time `json:"ends,omitzero"`
	Wrong   int       `json:"wrong,omitempty"` // numbers typed, of five
}

// Attempt is a login that was begun.
type Attempt struct {
	Secret string `json:"-"` // for this browser alone, as a password is
	Status Status
}

// Format prints no secret, whatever the verb.
func (v Visitor) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "scanlogin.Visitor") }

// Format prints no secret, whatever the verb.
func (a Attempt) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "scanlogin.Attempt("+string(a.Status.State)+")")
}

// Result is who has scanned and confirmed.
type Result struct {
	OpenID string
	New    bool            // the scan made them a follower; account.User tells their UnionID
	Event  *wechatqr.Event // the push of the scan
	User   User            // to whom the openid is to be bound; zero: they log in
}

// Begin starts a login, or a binding if v has a User, and makes its code. While the
// code of v's Secret waits to be scanned it is the one returned. Another login of v
// ends.
//
// Errors: [ErrTooMany], those of [wechatqr.Client.CreateTicket] and those of the Store.
// A ctx that ends frees nothing of [Limits], and the code is made all the same, within
// a minute.
func (l *Login) Begin(ctx context.Context, v Visitor) (Attempt, error) {
	const op = "begin"
	r, _, err := l.load(ctx, l.id(v.Secret, v.User))
	if err != nil {
		return Attempt{}, failed(op, err)
	}
	now := time.Now()
	switch r.at(now) {
	case StateWaiting:
		return Attempt{v.Secret, r.status(now)}, nil
	case StateScanned, StateUsed, StateConfirmed:
		if err := l.Cancel(ctx, v); err != nil {
			return Attempt{}, err
		}
	}

	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), workTimeout)
	defer cancel()
	if err := l.allow(ctx, v.Address, now); err != nil {
		return Attempt{}, failed(op, err)
	}
	secret := rand.Text()
	r, err = l.create(ctx, secret, v)
	if err != nil {
		return Attempt{}, failed(op, err)
	}
	return Attempt{secret, r.status(now)}, nil
}

// create makes the code, and then the record: somebody who could scan it at once
// would have to see it before this browser does.
func (l *Login) create(ctx context.Context, secret string, v Visitor) (*record, error) {
	id := l.id(secret, v.User)
	begun := time.Now()
	scene := wechatqr.SceneString(l.prefix + id)
	ticket, err := l.client.CreateTicket(ctx, wechatqr.Temporary(scene, life+codeMargin))
	if errors.Is(err, wechatqr.ErrQuota) || errors.Is(err, wechatqr.ErrRateLimited) {
		err = errors.Join(ErrTooMany, err)
	}
	if err != nil {
		return nil, err
	}

	r := &record{
		State: StateWaiting, Begun: begun, Ends: begun.Add(life), Ticket: *ticket, User: v.User,
	}
	if l.confirm == byLink {
		r.Browser = browser{v.Agent, v.Address}
	}
	return r, l.add(ctx, id, r)
}

// Status tells where the login is. One that is not known, or was another user's, is
// expired; without a Secret there is none. Its errors are those of the Store.
func (l *Login) Status(ctx context.Context, v Visitor) (Status, error) {
	s, _, err := l.look(ctx, v)
	return s, err
}

func (l *Login) look(ctx context.Context, v Visitor) (Status, *record, error) {
	const op = "status"
	if v.Secret == "" {
		return Status{State: StateNone}, nil, nil
	}
	r, _, err := l.load(ctx, l.id(v.Secret, v.User))
	if err != nil {
		return Status{}, nil, failed(op, err)
	}
	left, err := l.hasLeft(ctx, r)
	if err != nil {
		return Status{}, nil, failed(op, err)
	}
	if left && r.State != StateDone {
		r.State = StateRefused
	}
	return r.status(time.Now()), r, nil
}

func (r *record) status(now time.Time) Status {
	s := Status{State: r.at(now)}
	if r == nil {
		return s
	}
	s.Ends, s.Wrong = r.Ends, r.Wrong
	if s.State == StateWaiting {
		s.Content = r.Ticket.Content
	}
	return s
}

// Wait returns when the state is another than seen: at once for a change at this
// server, within a second for one at another. What has ended, or was never begun, is
// not waited for. A browser waits once: who waits for the same Secret since earlier
// gets [ErrSuperseded], and all get [ErrClosed] by [Login.Close]. When ctx ends the
// error is that of ctx, and the Status the one that goes on.
func (l *Login) Wait(ctx context.Context, v Visitor, seen State) (Status, error) {
	id := l.id(v.Secret, v.User)
	w := l.waiting.join(id)
	defer l.waiting.leave(id, w)
	return l.wait(ctx, w, v, seen)
}

func (l *Login) wait(ctx context.Context, w *waiter, v Visitor, seen State) (Status, error) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var s Status
	for {
		next, err := l.Status(ctx, v)
		switch {
		case err != nil && ctx.Err() != nil && s.State != "":
			return s, ctx.Err()
		case err != nil || next.State != seen || next.State.over():
			return next, err
		}
		s = next
		pause := pollInterval
		if left := time.Until(s.Ends); left > 0 {
			pause = min(pause, left)
		}
		timer.Reset(pause)
		select {
		case <-timer.C:
		case <-w.changed:
		case err := <-w.over:
			return s, err
		case <-ctx.Done():
			return s, ctx.Err()
		}
	}
}

// Close ends what waits. Servers use it as http.Server.RegisterOnShutdown(login.Close):
// browsers come again, at another server.
func (l *Login) Close() { l.waiting.close() }

// Confirm ends the login with the number that was typed, and returns who scanned,
// once. By [WithOneTap] and [WithLink] there is no number: it succeeds in
// [StateConfirmed]. What comes after it, a session or a binding, needs a secret of
// its own; v's Secret is worth nothing from then on.
//
// Otherwise the error is [ErrNotConfirmed], and [Login.Status] says why; or it is the
// Store's. A process that dies in Confirm leaves a login that is used: begin another.
func (l *Login) Confirm(ctx context.Context, v Visitor, number string) (Result, error) {
	const op = "confirm"
	number = plainDigits(number)
	var confirmed bool
	r, err := l.update(ctx, l.id(v.Secret, v.User), func(r *record) bool {
		confirmed = false
		switch r.at(time.Now()) {
		case StateConfirmed:
		case StateScanned, StateUsed:
			if l.confirm != byNumber {
				return false
			}
			// A server with WithLink took the scan if there is no number.
			if r.Number == "" ||
				subtle.ConstantTimeCompare([]byte(number), []byte(r.Number)) != 1 {
				if r.Wrong++; r.Wrong == maxWrong {
					r.State = StateRefused
				}
				return true
			}
		default:
			return false
		}
		confirmed, r.State = true, StateDone
		return true
	})
	if err != nil {
		return Result{}, failed(op, err)
	}
	left, err := l.hasLeft(ctx, r)
	if err == nil && (r == nil || left || !confirmed) {
		err = ErrNotConfirmed
	}
	if err != nil {
		return Result{}, failed(op, err)
	}

	scan := r.scan()
	return Result{OpenID: scan.OpenID, New: scan.NewFollower, Event: r.Event, User: r.User}, nil
}

// plainDigits takes what a Chinese keyboard types, full-width digits (１２３) and white
// space among them.
func plainDigits(typed string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return -1
		case r >= '０' && r <= '９':
			return r - '０' + '0'
		}
		return r
	}, typed)
}

// Cancel ends the login, whoever scans or confirms it later. Its errors are those of
// the Store.
func (l *Login) Cancel(ctx context.Context, v Visitor) error {
	_, err := l.update(ctx, l.id(v.Secret, v.User), (*record).refuse)
	if err != nil {
		return failed("cancel", err)
	}
	return nil
}

// refuse ends the login unless it has ended.
func (r *record) refuse() bool {
	if r.at(time.Now()).over() {
		return false
	}
	r.State = StateRefused
	return true
}
