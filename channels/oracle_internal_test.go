package channels

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"
)

// oracle counts as docs/counting.md says, from the list of all that happened,
// with loops. It uses nothing of the ledger but the number of a scene, which
// decides between two scenes in one second.
type oracle struct {
	happened []happening
	owners   []ownership
	merged   map[string]string // channel to channel
	groups   map[string]string // of each channel
	keep     int64             // seconds
	first    int64             // the ledger's first instant
	zone     *time.Location
	asOf     int64
}

type happening struct {
	who, what     string // subscribe, SCAN, unsubscribe, listed, listed by code, forget
	at            int64
	scene, ticket string
}

// ownership says whose a scene is from an instant on; later entries of the same
// instant win.
type ownership struct {
	scene, channel string
	since          int64
}

type countedScan struct {
	channel  string
	person   string
	at       int64
	follower bool
}

type countedFollow struct {
	channel     string
	start, end  int64 // end is 0 while it is open
	how, ending string
}

// channelOf is "unknown" for a scene that nobody owns at that time.
func (o *oracle) channelOf(scene string, at int64) string {
	best, since := "unknown", int64(-1)
	for _, own := range o.owners {
		if own.scene == scene && own.since <= at && own.since >= since {
			best, since = own.channel, own.since
		}
	}
	for o.merged[best] != "" {
		best = o.merged[best]
	}
	return best
}

// count returns the scans and follows of everybody.
func (o *oracle) count() (scans []countedScan, follows []countedFollow) {
	of := map[string]map[happening]bool{}
	for _, h := range o.happened {
		if of[h.who] == nil {
			of[h.who] = map[happening]bool{}
		}
		of[h.who][h] = true
	}
	for who, distinct := range of {
		var all []happening
		for h := range distinct {
			all = append(all, h)
		}
		s, f := o.countOne(who, all)
		scans, follows = append(scans, s...), append(follows, f...)
	}
	return scans, follows
}

// countOne goes through the life of one openid, second by second.
func (o *oracle) countOne(
	who string, all []happening,
) (scans []countedScan, follows []countedFollow) {
	var seconds []int64
	for _, h := range all {
		if !slices.Contains(seconds, h.at) {
			seconds = append(seconds, h.at)
		}
	}
	slices.Sort(seconds)

	number, hadFollow := 1, false
	var unfollowed, forgot int64 = -1, -1
	current := -1 // the open follow
	// meet is called for whatever somebody does; after a while they are a stranger.
	meet := func(at int64) {
		if forgot >= 0 && at > forgot ||
			forgot < 0 && current < 0 && unfollowed >= 0 && at >= unfollowed+o.keep {
			number, hadFollow, unfollowed, forgot = number+1, false, -1, -1
		}
	}
	end := func(at int64, ending string) {
		if current >= 0 {
			follows[current].end, follows[current].ending = at, ending
			current = -1
		}
	}

	for _, at := range seconds {
		var here []happening
		for _, h := range all {
			if h.at == at {
				here = append(here, h)
			}
		}
		subscribes := func() {
			tells := func(h happening) bool { return isSubscribe(h) && !isEcho(h, all) }
			if !slices.ContainsFunc(here, tells) {
				return
			}
			meet(at)
			for _, h := range here {
				if h.what == "subscribe" && h.scene != "" {
					scans = append(
						scans,
						countedScan{o.channelOf(h.scene, at), fmt.Sprint(who, number), at, false},
					)
				}
			}
			start := o.followOf(at, here, all)
			if start == nil {
				return
			}
			end(at, "lost")
			switch {
			case start.how == "imported":
			case hadFollow:
				start.how = "returning"
			default:
				start.how = "new"
			}
			hadFollow = true
			follows, current = append(follows, *start), len(follows)
		}
		doScans := func() {
			for _, h := range here {
				if h.what == "SCAN" {
					meet(at)
					scans = append(scans, countedScan{
						o.channelOf(h.scene, at), fmt.Sprint(who, number), at, current >= 0,
					})
				}
			}
		}
		unsubscribes := func() {
			for _, h := range here {
				if h.what == "unsubscribe" {
					meet(at)
					end(at, "lost")
					unfollowed = at
				}
			}
		}
		steps := []func(){subscribes, doScans, unsubscribes}
		if current >= 0 {
			steps = []func(){doScans, unsubscribes, subscribes}
		}
		for _, step := range steps {
			step()
		}
		for _, h := range here {
			if h.what == "forget" {
				end(at, "forgotten")
				forgot = at
			}
		}
	}
	return scans, follows
}

// isSubscribe is said of what tells that somebody follows.
func isSubscribe(h happening) bool {
	return h.what == "subscribe" || strings.HasPrefix(h.what, "listed")
}

// followOf is the follow that all the subscribes of one second amount to, nil
// if pushes of other seconds tell of it.
func (o *oracle) followOf(at int64, here, all []happening) *countedFollow {
	var pushes, listed []happening
	for _, h := range here {
		switch {
		case h.what == "subscribe":
			pushes = append(pushes, h)
		case isSubscribe(h) && !isEcho(h, all):
			listed = append(listed, h)
		}
	}
	if len(pushes)+len(listed) == 0 {
		return nil
	}

	withScene := func(hs []happening) *happening {
		sort.Slice(hs, func(i, j int) bool { return textID(hs[i].scene) < textID(hs[j].scene) })
		for i := range hs {
			if hs[i].scene != "" {
				return &hs[i]
			}
		}
		return nil
	}
	f := &countedFollow{start: at}
	scene := withScene(pushes)
	if scene == nil {
		scene = withScene(listed)
	}
	if len(pushes) == 0 && at < o.first {
		f.how = "imported"
	}
	switch {
	case scene != nil:
		f.channel = o.channelOf(scene.scene, at)
	case listedByCode(at, here, all):
		f.channel = "unknown"
	default:
		f.channel = "no code"
	}
	if f.how == "imported" && (f.channel == "unknown" || f.channel == "no code") {
		f.channel = "imported"
	}
	return f
}

// echoed is the second of the push that tells of what the list tells of, the
// nearest, of two the earlier; −1 for none.
func echoed(listed happening, all []happening) int64 {
	best, distance := int64(-1), int64(61)
	for _, h := range all {
		if h.what != "subscribe" || h.scene != listed.scene {
			continue
		}
		d := max(h.at-listed.at, listed.at-h.at)
		if d < distance || d == distance && h.at < best {
			best, distance = h.at, d
		}
	}
	return best
}

func isEcho(h happening, all []happening) bool {
	return strings.HasPrefix(h.what, "listed") && echoed(h, all) >= 0
}

// listedByCode reports whether the list says so of the follow of that second.
func listedByCode(at int64, here, all []happening) bool {
	for _, h := range all {
		if h.what == "listed by code" && h.scene == "" && echoed(h, all) == at {
			return true
		}
	}
	for _, h := range here {
		if h.what == "listed by code" && h.scene == "" && !isEcho(h, all) {
			return true
		}
	}
	return false
}

// report is the numbers of each row that is not empty, by a text that names it.
func (o *oracle) report(q Query) (rows map[string]Counts, total Counts) {
	scans, follows := o.count()
	rows = map[string]Counts{}
	selections := map[string]func(channel string) bool{"": func(string) bool { return true }}
	special := []string{"no code", "unknown", "imported"}
	switch {
	case q.By&ByChannel != 0:
		delete(selections, "")
		for _, name := range special {
			selections[name] = func(c string) bool { return c == name }
		}
		for name := range o.groups {
			selections["channel "+name] = func(c string) bool { return c == name }
		}
	case q.By&ByGroup != 0:
		delete(selections, "")
		for _, name := range special {
			selections[name] = func(c string) bool { return c == name }
		}
		for _, path := range o.groups {
			selections["group "+path] = func(c string) bool {
				g, is := o.groups[c]
				return is && g == path
			}
		}
	}

	asked := func(c string) bool {
		g, is := o.groups[c]
		switch {
		case q.Channel != "":
			return c == q.Channel
		case q.Group != "":
			return is && (g == q.Group || strings.HasPrefix(g, q.Group+"/"))
		}
		return true
	}
	countsOf := func(selected func(string) bool, within func(int64) bool, start, end int64,
		holds bool) Counts {
		var c Counts
		persons := map[string]bool{}
		for _, s := range scans {
			if within(s.at) && selected(s.channel) && asked(s.channel) {
				c.Scans++
				persons[s.person] = true
				if s.follower {
					c.FollowerScans++
				}
			}
		}
		c.Scanners = int64(len(persons))
		for _, f := range follows {
			if !selected(f.channel) || !asked(f.channel) {
				continue
			}
			if within(f.start) {
				switch f.how {
				case "new":
					c.New++
				case "returning":
					c.Returning++
				case "imported":
					c.Imported++
				}
				if f.how != "imported" && f.start+86400 <= o.asOf {
					c.QuickOf++
					if f.ending == "lost" && f.end-f.start <= 86400 {
						c.QuickLost++
					}
				}
			}
			if f.ending == "lost" && within(f.end) {
				c.Lost++
			}
			if f.ending == "forgotten" && within(f.end) {
				c.Forgotten++
			}
			open := func(at int64) int64 {
				if holds && f.start < at && (f.ending == "" || f.end >= at) {
					return 1
				}
				return 0
			}
			c.HeldStart += open(start)
			c.HeldEnd += open(end)
		}
		return c
	}

	in := func(start, end int64) func(int64) bool {
		return func(at int64) bool { return at >= start && at < end }
	}
	from, to := q.From.Unix(), q.To.Unix()
	total = countsOf(func(string) bool { return true }, in(from, to), from, to, true)
	for name, selected := range selections {
		note := func(key string, c Counts) {
			if c != (Counts{}) {
				rows[strings.TrimSpace(key+" "+name)] = c
			}
		}
		switch {
		case q.By&ByWeekday != 0:
			for weekday := range 7 {
				for hour := range 24 {
					note(
						fmt.Sprintf("%v %d", time.Weekday(weekday), hour),
						countsOf(selected, func(at int64) bool {
							local := time.Unix(at, 0).In(o.zone)
							return at >= from && at < to && int(local.Weekday()) == weekday &&
								local.Hour() == hour
						}, 0, 0, false),
					)
				}
			}
		case q.By&(ByDay|ByHour) != 0:
			for start := from; start < to; {
				end := start + 3600
				if q.By&ByDay != 0 {
					day := time.Unix(start, 0).In(o.zone).Format(time.DateOnly)
					for end < to && time.Unix(end, 0).In(o.zone).Format(time.DateOnly) == day {
						end += 3600
					}
				}
				if start <= o.asOf {
					note(
						time.Unix(start, 0).UTC().Format(time.RFC3339),
						countsOf(selected, in(start, end), start, end, true),
					)
				}
				start = end
			}
		default:
			note("", countsOf(selected, in(from, to), from, to, true))
		}
	}
	return rows, total
}

// retained counts the follows that began on the local day and those of them that were
// open at the end of the day n days later, and false if that day is not over.
func (o *oracle) retained(q Query, day time.Time, n int) (all, stayed int64, over bool) {
	until := time.Date(day.Year(), day.Month(), day.Day()+n+1, 0, 0, 0, 0, o.zone).Unix()
	_, follows := o.count()
	for _, f := range follows {
		beganOn := time.Unix(f.start, 0).In(o.zone).Format(time.DateOnly)
		asked := q.Channel == "" || f.channel == q.Channel
		if f.how == "imported" || !asked || beganOn != day.Format(time.DateOnly) {
			continue
		}
		all++
		if f.ending == "" || f.end >= until {
			stayed++
		}
	}
	return all, stayed, until <= o.asOf
}
