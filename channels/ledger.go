package channels

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// Config is what a ledger must know. A database holds the ledger of one account.
type Config struct {
	AppID string // of the account

	// PersonKey keys the hash by which the tables know a person: 32 random
	// bytes, the same for as long as the database lives, and not kept in it.
	// 16 bytes are the least. The ledger has a copy of its own.
	PersonKey []byte

	// Location says when a day begins. Its offset from UTC must be whole hours.
	// nil is China's, UTC+8.
	Location *time.Location

	// KeepAfterUnfollow says how long somebody who unfollowed is remembered: who
	// returns within it is returning, who returns at its end or later is new.
	// WeChat demands that nothing be kept, which is 0. To repair the order of
	// late pushes the hash outlives it by 24 hours, and no more. Keep it as it is, in
	// all processes: whoever has an event after a change is counted anew by it, for all
	// of the past for which they are still known.
	KeepAfterUnfollow time.Duration
}

// Ledger records what happens to the codes of an account, and reports on it.
// Its methods may run concurrently, also in several processes on one database.
type Ledger struct {
	db      *sql.DB
	dialect Dialect
	config  Config
	rules   rules
	now     func() time.Time // tests turn it

	assignments assignments
	rulesRow    int
	numbers     numbers
	group       group
}

var china = time.FixedZone("UTC+8", 8*3600)

// Open returns the ledger in db, whose tables it makes or brings to this
// version; they are named channels_…. The driver must fit the dialect. Close db
// when the ledger is no longer in use.
//
// Errors: wechatqr.ErrInvalidArgument; [ErrNewerDatabase], [ErrWrongAccount],
// [ErrWrongKey] and [ErrUnfinishedCopy] if the database does not fit, before anything is
// recorded.
func Open(ctx context.Context, db *sql.DB, dialect Dialect, config Config) (*Ledger, error) {
	return openAt(ctx, db, dialect, config, time.Now)
}

func openAt(
	ctx context.Context, db *sql.DB, dialect Dialect, config Config, now func() time.Time,
) (*Ledger, error) {
	if config.Location == nil {
		config.Location = china
	}
	if err := config.check(); err != nil {
		return nil, err
	}
	if db == nil || dialect.name == "" {
		return nil, invalid("open: db and dialect are needed: SQLite, PostgreSQL or MySQL")
	}

	config.PersonKey = bytes.Clone(config.PersonKey)
	l := &Ledger{
		db: db, dialect: dialect, config: config, now: now, rulesRow: rand.N(rulesRows),
	}
	l.rules.keep = int64(config.KeepAfterUnfollow / time.Second)
	if err := l.dialect.prepare(ctx, db); err != nil {
		return nil, failed("migrate", err)
	}
	if err := l.transact(ctx, func(t *tx) error { return l.claim(ctx, t) }); err != nil {
		return nil, failed("open", err)
	}
	return l, nil
}

func (c *Config) check() error {
	switch {
	case c.AppID == "":
		return invalid("open: Config.AppID is empty")
	case len(c.PersonKey) < 16:
		return invalid(
			"open: Config.PersonKey has %d bytes: use 32 random ones, the same each time",
			len(c.PersonKey),
		)
	case c.KeepAfterUnfollow < 0 || c.KeepAfterUnfollow%time.Second != 0:
		return invalid(
			"open: Config.KeepAfterUnfollow is %v: use whole seconds from 0 on",
			c.KeepAfterUnfollow,
		)
	case !wholeHours(c.Location):
		return invalid(
			"open: the offset of %v is not whole hours: numbers are kept by hour of UTC",
			c.Location,
		)
	}
	return nil
}

// wholeHours looks at the offset in each month from 2011, when WeChat began, to 2100.
func wholeHours(loc *time.Location) bool {
	for month := range 12 * (2100 - 2011) {
		at := time.Date(2011, time.January+time.Month(month), 1, 0, 0, 0, 0, time.UTC)
		if _, offset := at.In(loc).Zone(); offset%hourSeconds != 0 {
			return false
		}
	}
	return true
}

// transact runs fn in a transaction, again until no other one was in its way.
func (l *Ledger) transact(ctx context.Context, fn func(*tx) error) error {
	for {
		err := l.dialect.transact(ctx, l.db, fn)
		if !errors.Is(err, errNoNumbers) {
			return err
		}
		if err := l.reserve(ctx); err != nil {
			return err
		}
	}
}

// claim compares the settings with those of the database, which it writes first
// if there are none.
func (l *Ledger) claim(ctx context.Context, t *tx) error {
	unfinished, err := t.unfinishedCopy(ctx)
	switch {
	case err != nil:
		return err
	case unfinished != 0:
		return fmt.Errorf("%w: call CopyTo into it again", ErrUnfinishedCopy)
	}
	first := fmt.Sprint(l.now().Unix())
	for _, s := range []struct {
		name, value string
		wrong       error
	}{
		{"app_id", l.config.AppID, fmt.Errorf("%w: use one database for each account", ErrWrongAccount)},
		{"person_check", l.keyCheck(), fmt.Errorf("%w: set Config.PersonKey to the key it began with", ErrWrongKey)},
		{"first_instant", first, nil},
	} {
		var stored string
		err := t.row(
			ctx, []any{&stored}, "SELECT value FROM channels_settings WHERE name = ?", s.name,
		)
		if errors.Is(err, sql.ErrNoRows) {
			stored = s.value
			err = t.exec(
				ctx, "INSERT INTO channels_settings (name, value) VALUES (?, ?)", s.name, s.value,
			)
		}
		switch {
		case err != nil:
			return err
		case s.wrong != nil && stored != s.value:
			return s.wrong
		case s.wrong == nil:
			if _, err := fmt.Sscan(stored, &l.rules.first); err != nil {
				return err
			}
		}
	}
	return nil
}

// personBytes is how much of an HMAC stands for a person: 128 bits.
const personBytes = 16

// hash is what the tables know the person by.
func (l *Ledger) hash(openID string) string { return l.hmac(openID)[:personBytes] }

func (l *Ledger) hmac(text string) string {
	mac := hmac.New(sha256.New, l.config.PersonKey)
	_, _ = mac.Write([]byte(text))
	return string(mac.Sum(nil))
}

// keyCheck is the HMAC of a text that is no openid.
func (l *Ledger) keyCheck() string { return hex.EncodeToString([]byte(l.hmac("\x00check"))) }

const numbersABlock = 10_000

// numbers hands out the numbers of persons and channels, from a block that this
// process has to itself: databases have no common way to make them.
type numbers struct {
	mu         sync.Mutex
	next, last int64
}

// errNoNumbers says that the block is used up: reserve, which needs a transaction
// of its own, and begin again.
var errNoNumbers = errors.New("no numbers left")

// take returns a number that nobody else has, or errNoNumbers.
func (n *numbers) take() (int64, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.next == n.last {
		return 0, errNoNumbers
	}
	n.next++
	return n.next, nil
}

// reserve gets a block. What is left of the last one is lost.
func (l *Ledger) reserve(ctx context.Context) error {
	var first int64
	err := l.dialect.transact(ctx, l.db, func(t *tx) error {
		read := "SELECT value FROM channels_counters WHERE name = 'numbers'" + t.dialect.forUpdate
		if err := t.row(ctx, []any{&first}, read); err != nil {
			return err
		}
		return t.exec(
			ctx, "UPDATE channels_counters SET value = ? WHERE name = 'numbers'",
			first+numbersABlock,
		)
	})
	if err != nil {
		return err
	}
	l.numbers.mu.Lock()
	defer l.numbers.mu.Unlock()
	l.numbers.next, l.numbers.last = first, first+numbersABlock
	return nil
}
