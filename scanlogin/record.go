package scanlogin

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/netip"
	"time"

	"github.com/wechatqr/wechatqr"
)

// State is where a login is. See the package comment.
type State string

// The states. Where none was begun it is StateNone.
const (
	StateNone      State = "none"
	StateWaiting   State = "waiting"
	StateScanned   State = "scanned"
	StateUsed      State = "used"
	StateConfirmed State = "confirmed"
	StateDone      State = "done"
	StateExpired   State = "expired"
	StateRefused   State = "refused"
	StateTooMany   State = "too_many" // of pages only: Begin has ErrTooMany
)

// over reports whether nothing comes after the state.
func (s State) over() bool {
	switch s {
	case StateWaiting, StateScanned, StateUsed, StateConfirmed:
		return false
	}
	return true
}

// record is a login in the store. Who scanned is in it once somebody has.
type record struct {
	Revision string          `json:"rev"` // random: no two writes are the same
	State    State           `json:"state"`
	Begun    time.Time       `json:"begun"`
	Ends     time.Time       `json:"ends"`
	Ticket   wechatqr.Ticket `json:"ticket"`
	User     User            `json:"user"` // zero: a login
	Browser  browser         `json:"browser"`

	Event  *wechatqr.Event `json:"event,omitempty"`  // of the first scan
	Number string          `json:"number,omitempty"` // that they were told
	Wrong  int             `json:"wrong,omitempty"`  // numbers typed
	Link   string          `json:"link,omitempty"`   // hash of the link's secret
}

// browser is what the page of [WithLink] names. It is empty otherwise.
type browser struct {
	Agent   string     `json:"agent,omitempty"`
	Address netip.Addr `json:"address,omitzero"`
}

// at is the state at a time by this server's clock.
func (r *record) at(now time.Time) State {
	switch {
	case r == nil:
		return StateExpired
	case r.State == StateDone || r.State == StateRefused || now.Before(r.Ends):
		return r.State
	}
	return StateExpired
}

func (r *record) scan() (scan wechatqr.Scan) {
	if r != nil && r.Event != nil {
		scan, _ = r.Event.Scan()
	}
	return scan
}

// id is the login of a visitor: what the scene has after its prefix. Another user's,
// or a login in place of a binding, has another, so that none passes for the other.
func (l *Login) id(secret string, user User) string {
	if secret == "" {
		return ""
	}
	return l.hash(secret, user.ID)
}

// hash is 128 bits of a hash. To look one up in a map or a database gives nothing
// away by the time that takes.
func (l *Login) hash(secret, purpose string) string {
	sum := sha256.Sum256([]byte(secret + "\x00" + l.prefix + "\x00" + purpose))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

func recordKey(id string) string { return "login/" + id }

// load is the record, or nil.
func (l *Login) load(ctx context.Context, id string) (*record, []byte, error) {
	if id == "" {
		return nil, nil, nil
	}
	value, err := l.store.LoadLogin(ctx, recordKey(id))
	if err != nil || value == nil {
		return nil, nil, err
	}
	var r record
	if err := json.Unmarshal(value, &r); err != nil {
		return nil, nil, errors.New("the store holds something else than a login")
	}
	return &r, value, nil
}

// swap is the store's SwapLogin, and sees it if new was written and the response lost,
// or sent twice by a client that repeats: no two values are the same.
func (l *Login) swap(ctx context.Context, key string, old, new []byte) (bool, error) {
	ok, err := l.store.SwapLogin(ctx, key, old, new, keptFor)
	if ok && err == nil {
		return true, nil
	}
	value, loadErr := l.store.LoadLogin(ctx, key)
	if bytes.Equal(value, new) {
		return true, nil
	}
	return false, errors.Join(err, loadErr)
}

// add stores a login that is new.
func (l *Login) add(ctx context.Context, id string, r *record) error {
	value, err := encode(r)
	if err != nil {
		return err
	}
	ok, err := l.swap(ctx, recordKey(id), nil, value)
	if err == nil && !ok {
		return errors.New("the store has a login under a new key")
	}
	return err
}

func encode(r *record) ([]byte, error) {
	r.Revision = rand.Text()
	return json.Marshal(r)
}

// maxConflicts is how often one change may meet others: of people who scan one code
// at once, or of pages of one browser.
const maxConflicts = 100

var errConflicts = errors.New("too many changes at once")

// update changes the record by change, which returns false to leave it as it is, and
// may run several times. The record is nil if there is none, or it has ended.
func (l *Login) update(
	ctx context.Context, id string, change func(*record) bool,
) (*record, error) {
	for range maxConflicts {
		r, old, err := l.load(ctx, id)
		if err != nil || r == nil || !change(r) {
			return r, err
		}
		value, err := encode(r)
		if err != nil {
			return nil, err
		}
		ok, err := l.swap(ctx, recordKey(id), old, value)
		if err != nil {
			return nil, err
		}
		if ok {
			l.waiting.wake(id)
			return r, nil
		}
	}
	return nil, errConflicts
}

// leave marks that somebody follows no longer: what they scanned until then has ended.
// Both times are WeChat's, for pushes may come late and in any order.
func (l *Login) leave(ctx context.Context, openID string, at time.Time) error {
	for range maxConflicts {
		old, err := l.store.LoadLogin(ctx, l.leftKey(openID))
		if err != nil {
			return err
		}
		var before time.Time
		if old != nil && before.UnmarshalText(old) == nil && !before.Before(at) {
			return nil
		}
		left, err := at.MarshalText()
		if err != nil {
			return err
		}
		ok, err := l.store.SwapLogin(ctx, l.leftKey(openID), old, left, keptFor)
		if ok || err != nil {
			return err
		}
	}
	return errConflicts
}

func (l *Login) leftKey(openID string) string { return "left/" + l.hash(openID, "left") }

// hasLeft reports whether who scanned has stopped following since.
func (l *Login) hasLeft(ctx context.Context, r *record) (bool, error) {
	if r == nil || r.Event == nil {
		return false, nil
	}
	value, err := l.store.LoadLogin(ctx, l.leftKey(r.scan().OpenID))
	if value == nil || err != nil {
		return false, err
	}
	var left time.Time
	if err := left.UnmarshalText(value); err != nil {
		return false, err
	}
	return !left.Before(r.Event.CreateTime), nil
}
