package channels

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// An error matches what it is, says which and what to do, and nothing is written.
func TestErrorsSayWhatToDo(t *testing.T) {
	t.Parallel()
	scene := wechatqr.SceneString("s7")
	open := func(ctx context.Context, l *Ledger, change func(*Config)) error {
		c := testConfig
		change(&c)
		_, err := Open(ctx, l.db, l.dialect, c)
		return err
	}
	for name, tt := range map[string]struct {
		call func(ctx context.Context, l *Ledger) error
		is   error
		says string
	}{
		"an unknown channel": {
			func(ctx context.Context, l *Ledger) error {
				return l.Reassign(ctx, scene, "nobody", monday)
			}, ErrUnknownChannel, `"nobody": make it with Put`,
		},
		"a report of an unknown channel": {
			func(ctx context.Context, l *Ledger) error {
				_, err := l.Report(ctx,
					Query{From: monday, To: monday.Add(time.Hour), Channel: "nobody"})
				return err
			}, ErrUnknownChannel, `"nobody": make it with Put`,
		},
		"an unknown scene": {
			func(ctx context.Context, l *Ledger) error {
				return l.Reassign(ctx, wechatqr.SceneString("s8"), "sh-7", monday)
			}, ErrUnknownScene, `"s8": make it with Ensure or take it with Adopt`,
		},
		"a scene in use": {
			func(ctx context.Context, l *Ledger) error {
				return l.Adopt(ctx, scene, Channel{Key: "sh-8"})
			}, ErrSceneInUse, `"s7" belongs to another channel: use Reassign`,
		},
		"a scene in use in a list": {
			func(ctx context.Context, l *Ledger) error {
				p, err := l.Plan(ctx, strings.NewReader("key,scene\nsh-8,s7\n"))
				return errors.Join(err, l.Apply(ctx, p))
			}, ErrSceneInUse, `line 2, column scene: the scene is in use: "s7" belongs to "sh-7"`,
		},
		"a wrong key": {
			func(ctx context.Context, l *Ledger) error {
				other := []byte("some other 32 bytes.")
				return open(ctx, l, func(c *Config) { c.PersonKey = other })
			}, ErrWrongKey, "set Config.PersonKey to the key it began with",
		},
		"no key": {
			func(ctx context.Context, l *Ledger) error {
				return open(ctx, l, func(c *Config) { c.PersonKey = nil })
			}, wechatqr.ErrInvalidArgument, "Config.PersonKey has 0 bytes: use 32 random ones",
		},
		"a wrong account": {
			func(ctx context.Context, l *Ledger) error {
				return open(ctx, l, func(c *Config) { c.AppID = "wx2" })
			}, ErrWrongAccount, "use one database for each account",
		},
		"a newer database": {
			func(ctx context.Context, l *Ledger) error {
				_, err := l.db.Exec("UPDATE channels_schema SET version = 99")
				return errors.Join(err, open(ctx, l, func(*Config) {}))
			}, ErrNewerDatabase, "(99, this library knows ",
		},
		"a copy into a ledger": {
			func(ctx context.Context, l *Ledger) error {
				return l.CopyTo(ctx, l.db, l.dialect, nil)
			}, ErrNotEmpty, "copy into a new one, or delete its tables",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onEach(t, func(t *testing.T, d Dialect) {
				l, _ := newLedger(t, d, testConfig)
				ctx := t.Context()
				require.NoError(t, l.Adopt(ctx, scene, Channel{Key: "sh-7"}))
				before := countRows(t, l.db, d)
				err := tt.call(ctx, l)
				require.ErrorIs(t, err, tt.is)
				assert.ErrorContains(t, err, tt.says)
				assert.Contains(t, err.Error(), "wechatqr: ")
				assert.NotContains(t, err.Error(), string(testKey))
				assert.Equal(t, before, countRows(t, l.db, d))
			})
		})
	}
}

// WeChat refuses when the account has all of its codes: the intent stays, and is what is
// made when there is room again.
func TestBudgetIsUsedUp(t *testing.T) {
	t.Parallel()
	l, _ := newLedger(t, SQLite, testConfig)
	wx := wechatqrtest.Start(t, wechatqrtest.WithPermanentLimit(0))
	_, err := l.Ensure(t.Context(), wx.Client(), Channel{Key: "sh-7"})
	require.ErrorIs(t, err, wechatqr.ErrPermanentLimit)
	b, err := l.Budget(t.Context())
	require.NoError(t, err)
	assert.Equal(t, Budget{Pending: 1}, b)
}

// codedError is an error of a database, with its code.
type codedError string

func (e codedError) Error() string    { return "no room (" + string(e) + ")" }
func (e codedError) SQLState() string { return string(e) }

// The codes are those of the documentation: PostgreSQL's disk_full, MySQL's
// ER_RECORD_FILE_FULL and ER_DISK_FULL.
func TestFullDatabaseIsRecognised(t *testing.T) {
	t.Parallel()
	for want, errs := range map[bool][]error{
		true: {
			fmt.Errorf("record: %w", codedError("53100")),
			errors.New("Error 1114 (HY000): The table 'channels_events' is full"),
			errors.New("Error 1021 (HY000): Disk full (./ledger); waiting for someone to free some space"),
		},
		false: {nil, codedError("53200"), errors.New("Error 1213 (40001): Deadlock found")},
	} {
		for _, err := range errs {
			assert.Equal(t, want, isFull(err), "%v", err)
		}
	}
}
