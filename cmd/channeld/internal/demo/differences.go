package demo

import (
	"context"
	"database/sql"
	"slices"
	"strconv"
	"time"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// Backdate has the ledger of the database begin before the history. It applies to a
// ledger that is opened afterwards.
func Backdate(ctx context.Context, db *sql.DB) error {
	first := midnight(time.Now()).AddDate(0, 0, -historyDays).Unix()
	_, err := db.ExecContext(ctx,
		"UPDATE channels_settings SET value = ? WHERE name = 'first_instant'",
		strconv.FormatInt(first, 10))
	return err
}

// differ has pushes and WeChat's figures differ a little on some days, as they do. It
// returns the states of those whose follow is to be missing in the ledger.
func (h *history) differ() (missing []state) {
	h.byPerson = map[string][]*wechatqr.Event{}
	for _, ev := range h.events {
		h.byPerson[ev.FromUserName] = append(h.byPerson[ev.FromUserName], ev)
	}
	// Unfollows whose push was lost.
	lostEnds := h.some(4, 9, func(s *state) bool { return !s.user.Follows && h.hasEvents(s, 2) })
	h.dropEvents(func(ev *wechatqr.Event) bool {
		return lostEnds[ev.FromUserName] && ev.Type == wechatqr.EventUnsubscribe
	})
	// People whom WeChat has taken out of its figures: they came and left on a day.
	h.dropStates(h.some(4, 11, func(s *state) bool {
		return !s.user.Follows && h.hasEvents(s, 2) && h.within(s)
	}))
	// Follows so long after the scan that the push has no scene.
	for range 3 {
		h.followLate(midnight(h.now).AddDate(0, 0, -7))
	}
	// People who left and came back, which WeChat counts once.
	for who := range h.some(2, 5, func(s *state) bool { return h.hasEvents(s, 1) }) {
		h.followTwice(h.byPerson[who][0])
	}
	// Follows whose push was lost since the last reconciling.
	lostFollows := h.some(3, 2, func(s *state) bool { return h.hasEvents(s, 1) })
	h.dropEvents(func(ev *wechatqr.Event) bool { return lostFollows[ev.FromUserName] })
	return h.dropStates(lostFollows)
}

// some are the openids of n users who became ok so many days ago.
func (h *history) some(n, daysAgo int, ok func(*state) bool) map[string]bool {
	who := map[string]bool{}
	day := midnight(h.now).AddDate(0, 0, -daysAgo)
	for i := range h.states {
		s := &h.states[i]
		if len(who) < n && midnight(s.at).Equal(day) && ok(s) {
			who[s.user.OpenID] = true
		}
	}
	return who
}

// hasEvents reports whether the user has had so many.
func (h *history) hasEvents(s *state, n int) bool { return len(h.byPerson[s.user.OpenID]) == n }

// within reports whether all events of the user are of one day.
func (h *history) within(s *state) bool {
	return !slices.ContainsFunc(h.byPerson[s.user.OpenID], func(ev *wechatqr.Event) bool {
		return !midnight(ev.CreateTime).Equal(midnight(s.at))
	})
}

func (h *history) dropEvents(drop func(*wechatqr.Event) bool) {
	h.events = slices.DeleteFunc(h.events, drop)
}

// dropStates takes the users out, and returns what they were.
func (h *history) dropStates(who map[string]bool) (dropped []state) {
	h.states = slices.DeleteFunc(h.states, func(s state) bool {
		if who[s.user.OpenID] {
			dropped = append(dropped, s)
		}
		return who[s.user.OpenID]
	})
	return dropped
}

// followLate has somebody follow whom WeChat counts as scanned, though the push does not
// say so, and leave before anybody asks for them.
func (h *history) followLate(day time.Time) {
	who, at := newOpenID(h.random), onlineHours.pick(h.random, day)
	h.push(&wechatqr.Event{FromUserName: who, CreateTime: at, Type: wechatqr.EventSubscribe})
	h.end(wechatqrtest.User{
		OpenID: who, Follows: true, FollowedAt: at, SubscribeScene: "ADD_SCENE_QR_CODE",
	}, at.Add(36*time.Hour))
}

// followTwice has who follows have followed and left just before.
func (h *history) followTwice(ev *wechatqr.Event) {
	follow, unfollow := *ev, *ev
	follow.CreateTime = ev.CreateTime.Add(-2 * time.Minute)
	unfollow.CreateTime = ev.CreateTime.Add(-time.Minute)
	unfollow.Type, unfollow.EventKey, unfollow.Ticket = wechatqr.EventUnsubscribe, "", ""
	h.events = append(h.events, &follow, &unfollow)
}
