package demo

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/channels"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// historyDays are those before today that the history has.
const historyDays = 61

// history makes up what happened until now.
type history struct {
	now    time.Time
	random *rand.Rand
	codes  map[string]*channels.Code // by the key of the channel

	events []*wechatqr.Event // that were pushed
	states []state           // of the users on WeChat
	left   []gone

	byPerson map[string][]*wechatqr.Event // of events, by openid
}

// state is what a user is on WeChat from an instant on.
type state struct {
	at   time.Time
	user wechatqrtest.User
}

// gone is somebody who unfollowed, and may come back.
type gone struct {
	openID string
	at     time.Time
}

func (h *history) make() {
	today := midnight(h.now)
	for back := historyDays; back >= 0; back-- {
		day := today.AddDate(0, 0, -back)
		for i := range places {
			p := &places[i]
			for range h.poisson(p.on(day, back)) {
				h.follow(p, p.hours.pick(h.random, day))
			}
		}
		for range h.poisson(9) {
			h.followWithoutCode(onlineHours.pick(h.random, day))
		}
	}
}

// on is how many follows the place has on a day, so many days ago.
func (p *place) on(day time.Time, back int) float64 {
	n := p.perDay * (1 - p.growth*float64(back)/30)
	weekend := day.Weekday() == time.Saturday || day.Weekday() == time.Sunday
	switch {
	case p.hours == shopHours && weekend:
		n *= 1.7
	case p.hours == commuteHours && weekend:
		n *= 0.4
	case p.hours == streamHours && day.Weekday() != time.Friday && !weekend:
		n *= 0.5
	case p.hours == burstHours && back%9 != 2:
		n *= 0.1
	case p.hours == burstHours:
		n *= 8
	}
	return n
}

func (h *history) follow(p *place, at time.Time) {
	code := h.codes[p.Key]
	if at.After(h.now) || code == nil {
		return
	}
	scene := code.Ticket.Scene.Key()
	who := h.somebody(at)
	h.push(&wechatqr.Event{
		FromUserName: who, CreateTime: at, Type: wechatqr.EventSubscribe,
		EventKey: "qrscene_" + scene, Ticket: code.Ticket.Value,
	})
	until := h.until(p, at)
	for range h.poisson(0.12) {
		again := at.Add(time.Duration(h.random.Int64N(int64(until.Sub(at)))))
		h.push(&wechatqr.Event{
			FromUserName: who, CreateTime: again.Truncate(time.Second), Type: wechatqr.EventScan,
			EventKey: scene, Ticket: code.Ticket.Value,
		})
	}
	h.end(wechatqrtest.User{
		OpenID: who, Follows: true, FollowedAt: at, SubscribeScene: "ADD_SCENE_QR_CODE",
		SceneStr: scene,
	}, until)
}

func (h *history) followWithoutCode(at time.Time) {
	if at.After(h.now) {
		return
	}
	who := h.somebody(at)
	h.push(&wechatqr.Event{FromUserName: who, CreateTime: at, Type: wechatqr.EventSubscribe})
	h.end(wechatqrtest.User{
		OpenID: who, Follows: true, FollowedAt: at, SubscribeScene: "ADD_SCENE_SEARCH",
	}, h.until(&place{quick: 0.05, stay: 100}, at))
}

// until is when a follow that begins at the place ends.
func (h *history) until(p *place, at time.Time) time.Time {
	life := time.Duration(h.random.ExpFloat64() * p.stay / math.Ln2 * float64(24*time.Hour))
	if h.random.Float64() < p.quick {
		life = time.Duration(h.random.Int64N(int64(24 * time.Hour)))
	}
	return at.Add(max(life, 30*time.Second)).Truncate(time.Second)
}

// end has the follower leave, or follow still.
func (h *history) end(user wechatqrtest.User, until time.Time) {
	h.states = append(h.states, state{user.FollowedAt, user})
	if until.After(h.now) {
		return
	}
	h.push(&wechatqr.Event{
		FromUserName: user.OpenID, CreateTime: until, Type: wechatqr.EventUnsubscribe,
	})
	user.Follows = false
	h.states = append(h.states, state{until, user})
	h.left = append(h.left, gone{user.OpenID, until})
}

// somebody is new, or one in twelve times somebody who left before.
func (h *history) somebody(at time.Time) string {
	if len(h.left) > 0 && h.random.IntN(12) == 0 {
		i := h.random.IntN(len(h.left))
		if one := h.left[i]; one.at.Before(at) {
			h.left[i] = h.left[len(h.left)-1]
			h.left = h.left[:len(h.left)-1]
			return one.openID
		}
	}
	return newOpenID(h.random)
}

func (h *history) push(ev *wechatqr.Event) {
	if !ev.CreateTime.After(h.now) {
		ev.MsgType = "event"
		h.events = append(h.events, ev)
	}
}

// poisson is how often something happens that happens so often on average.
func (h *history) poisson(mean float64) (n int) {
	for p := h.random.Float64(); p > math.Exp(-mean) && n < 1000; n++ {
		p *= h.random.Float64()
	}
	return n
}

// pick is an instant of the day, of an hour that is drawn by the weights.
func (w *hours) pick(random *rand.Rand, day time.Time) time.Time {
	sum := 0.0
	for _, weight := range w {
		sum += weight
	}
	drawn := random.Float64() * sum
	for hour, weight := range w {
		if drawn -= weight; drawn < 0 {
			second := hour*3600 + random.IntN(3600)
			return day.Add(time.Duration(second) * time.Second)
		}
	}
	return day
}

// record has the ledger record the events: many at once, which share commits.
func (h *history) record(ctx context.Context, ledger *channels.Ledger) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	queue := make(chan *wechatqr.Event)
	var workers sync.WaitGroup
	for range 100 {
		workers.Go(func() {
			for ev := range queue {
				if err := backfill(ctx, ledger, ev); err != nil {
					cancel(err)
				}
			}
		})
	}
	for _, ev := range h.events {
		queue <- ev
	}
	close(queue)
	workers.Wait()
	return context.Cause(ctx)
}

// backfill records an event, again when the machine was too slow for a commit in time: twice
// recorded is once counted.
func backfill(ctx context.Context, ledger *channels.Ledger, ev *wechatqr.Event) error {
	for {
		_, err := ledger.Backfill(ctx, ev)
		if !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
			return err
		}
	}
}
