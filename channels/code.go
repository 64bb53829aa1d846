package channels

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/base32"
	"errors"
	"iter"
	"strings"

	"github.com/wechatqr/wechatqr"
)

// MaxCodes is how many permanent codes WeChat lets an account have, those made
// elsewhere included.
const MaxCodes = 100_000

// scenePrefix is that of the scenes that Ensure makes: route them by it.
const scenePrefix = "c."

// Code is a permanent code of a channel.
type Code struct {
	Channel Channel         `json:"channel"`
	Ticket  wechatqr.Ticket `json:"ticket"` // FetchQRCode gets the picture, Ticket.Content is what it says
}

// Ensure returns the channel's code, which it has WeChat make if there is none:
// once, ever, unless [Ledger.Reassign] gives it away. The channel is made, or renamed, as by [Ledger.Put]. The scene, "c."
// and eight random letters and digits, is written before WeChat is asked, so that
// a crash in between, or a second process at the same moment, repeats the same
// scene and allocates no other.
//
// Errors: wechatqr.ErrInvalidArgument; those of wechatqr.Client.CreateTicket, of
// which ErrPermanentLimit says that the account has [MaxCodes] codes.
func (l *Ledger) Ensure(ctx context.Context, client *wechatqr.Client, c Channel) (*Code, error) {
	if client == nil {
		return nil, invalid("ensure: the client is nil")
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	code := &Code{}
	err := l.transact(ctx, func(t *tx) error { return l.intend(ctx, t, &c, code) })
	if err != nil || code.Ticket.Value != "" {
		return code, failed("ensure", err)
	}

	ticket, err := client.CreateTicket(ctx, wechatqr.Permanent(code.Ticket.Scene))
	if err != nil {
		return nil, failed("ensure", err)
	}
	code.Ticket = *ticket
	err = l.transact(ctx, func(t *tx) error {
		return t.exec(ctx, "UPDATE channels_codes SET ticket = ?, picture = ? WHERE scene = ?",
			ticket.Value, ticket.Content, textID(ticket.Scene.Key()))
	})
	return code, failed("ensure", err)
}

// intend reads the channel's code, or writes one that WeChat is to make. The channel
// must not be merged into another one meanwhile.
func (l *Ledger) intend(ctx context.Context, t *tx, c *Channel, code *Code) error {
	if _, err := l.shareRules(ctx, t); err != nil {
		return err
	}
	id, err := l.putChannel(ctx, t, c)
	if err != nil {
		return err
	}
	code.Channel = *c
	var scene string
	err = t.row(ctx, []any{&scene, &code.Ticket.Value, &code.Ticket.Content},
		"SELECT content, ticket, picture FROM channels_codes WHERE made_for = ?", id)
	if errors.Is(err, sql.ErrNoRows) {
		scene = newScene()
		err = errors.Join(t.addCode(ctx, scene, id), t.assign(ctx, textID(scene), 0, id))
	}
	code.Ticket.Scene = wechatqr.SceneString(scene)
	return err
}

// newScene has 40 random bits: two of 100 000 are the same once in 200 times,
// and then the table refuses the second.
func newScene() string {
	var random [5]byte
	_, _ = rand.Read(random[:]) // cannot fail
	return scenePrefix + strings.ToLower(base32.StdEncoding.EncodeToString(random[:]))
}

// EnsureAll is [Ledger.Ensure] for each channel, in order: run again, it goes on
// where it stopped. It yields an error with the channel that it is of and goes on
// with the next, but stops where WeChat would refuse the next one too
// (wechatqr.ErrQuota, ErrRateLimited, ErrPermanentLimit) and when ctx ends.
func (l *Ledger) EnsureAll(
	ctx context.Context, client *wechatqr.Client, seq iter.Seq[Channel],
) iter.Seq2[*Code, error] {
	return func(yield func(*Code, error) bool) {
		if seq == nil {
			yield(&Code{}, invalid("ensure: the list of channels is nil"))
			return
		}
		for c := range seq {
			code, err := l.Ensure(ctx, client, c)
			if err != nil {
				code = &Code{Channel: c}
			}
			if !yield(code, err) || ctx.Err() != nil || refusesAll(err) {
				return
			}
		}
	}
}

func refusesAll(err error) bool {
	return errors.Is(err, wechatqr.ErrQuota) || errors.Is(err, wechatqr.ErrRateLimited) ||
		errors.Is(err, wechatqr.ErrPermanentLimit)
}

// Budget is how many of the account's [MaxCodes] permanent codes this ledger knows of.
type Budget struct {
	Made    int `json:"made"`    // by Ensure
	Pending int `json:"pending"` // written, and not yet made by WeChat
}

// Budget counts the codes. Those adopted are not among them: some may be temporary.
func (l *Ledger) Budget(ctx context.Context) (Budget, error) {
	var b Budget
	t := &tx{&l.dialect, l.db}
	err := t.row(
		ctx, []any{&b.Made, &b.Pending}, "SELECT COUNT(CASE WHEN ticket <> '' THEN 1 END),"+
			" COUNT(CASE WHEN ticket = '' THEN 1 END) FROM channels_codes WHERE made_for IS NOT NULL",
	)
	return b, failed("budget", err)
}
