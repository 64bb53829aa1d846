// Package demo is an account of a company that does not exist: a fake WeChat with forty
// channels, two months behind it, and people who go on scanning.
package demo

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/channels"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// Location is where the company is.
var Location = time.FixedZone("Asia/Shanghai", 8*3600)

// Account is the account, on a fake WeChat.
type Account struct {
	WeChat *wechatqrtest.Server

	random  *rand.Rand
	tickets map[string]string // by the key of the channel
	follow  []string          // openids of those who follow
	missing []state           // of those whose follow the ledger is to miss
}

// New starts the fake WeChat. Close it when done.
func New() *Account {
	seed := uint64(time.Now().UnixNano())
	return &Account{
		WeChat: wechatqrtest.NewServer(), random: rand.New(rand.NewPCG(seed, 0)),
		tickets: map[string]string{},
	}
}

// Fill makes the channels' codes and records two months.
func (a *Account) Fill(
	ctx context.Context, ledger *channels.Ledger, client *wechatqr.Client,
) error {
	codes := map[string]*channels.Code{}
	for code, err := range ledger.EnsureAll(ctx, client, slices.Values(Channels())) {
		if err != nil {
			return err
		}
		codes[code.Channel.Key] = code
		a.tickets[code.Channel.Key] = code.Ticket.Value
	}
	now := time.Now().In(Location).Truncate(time.Second)
	h := &history{now: now, random: a.random, codes: codes}
	h.make()
	a.missing = h.differ()
	a.replay(h.states)
	return h.record(ctx, ledger)
}

// LosePushes has some follow on WeChat whose pushes were lost. Call it after a reconciling,
// which would find them.
func (a *Account) LosePushes() { a.replay(a.missing) }

// replay has WeChat see what its users became, by its own clock: its figures of a day
// count when they left.
func (a *Account) replay(states []state) {
	slices.SortStableFunc(states, func(a, b state) int { return a.at.Compare(b.at) })
	following := map[string]bool{}
	for i := range states {
		a.WeChat.Advance(states[i].at.Sub(a.WeChat.Now()))
		a.WeChat.PutUser(states[i].user)
		following[states[i].user.OpenID] = states[i].user.Follows
	}
	a.WeChat.Advance(time.Since(a.WeChat.Now()))
	for who, follows := range following {
		if follows {
			a.follow = append(a.follow, who)
		}
	}
}

// Channels are those that the company has.
func Channels() (all []channels.Channel) {
	for i := range places {
		all = append(all, places[i].Channel)
	}
	return all
}

// Run has people scan, follow and leave, until ctx ends: one every second or two, by
// pushes to the callback.
func (a *Account) Run(ctx context.Context, logger *slog.Logger) {
	for {
		pause := 600*time.Millisecond + time.Duration(a.random.IntN(2000))*time.Millisecond
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		if _, err := a.act(ctx); err != nil && ctx.Err() == nil {
			logger.Warn("demo: a push failed", "err", err)
		}
	}
}

// act is one thing that somebody does.
func (a *Account) act(ctx context.Context) (wechatqrtest.Push, error) {
	ticket := a.tickets[a.drawn().Key]
	switch n := a.random.IntN(100); {
	case n < 14 && len(a.follow) > 0:
		return a.WeChat.Scan(ctx, ticket, a.follow[a.random.IntN(len(a.follow))])
	case n < 32 && len(a.follow) > 0:
		i := a.random.IntN(len(a.follow))
		who := a.follow[i]
		a.follow = slices.Delete(a.follow, i, i+1)
		return a.WeChat.Unfollow(ctx, who)
	case n < 38:
		return a.WeChat.Follow(ctx, a.newFollower())
	}
	return a.WeChat.Scan(ctx, ticket, a.newFollower())
}

func (a *Account) newFollower() string {
	who := newOpenID(a.random)
	a.follow = append(a.follow, who)
	return who
}

// drawn is a place, drawn by how many come there.
func (a *Account) drawn() *place {
	sum := 0.0
	for i := range places {
		sum += places[i].perDay
	}
	n := a.random.Float64() * sum
	for i := range places {
		if n -= places[i].perDay; n < 0 {
			return &places[i]
		}
	}
	return &places[0]
}

func newOpenID(random *rand.Rand) string {
	return fmt.Sprintf("o6_demo%021x", random.Uint64())
}

func midnight(at time.Time) time.Time {
	at = at.In(Location)
	return time.Date(at.Year(), at.Month(), at.Day(), 0, 0, 0, 0, Location)
}
