package channels

import (
	"cmp"
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
	who, what     string // subscribe, SCAN, unsubscribe, listed, listed by code, forget, convert
	at            int64
	heard         int64 // of what the list tells: when it did
	scene, ticket string

	act   string // the name of what was converted
	value int64
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
	person      string
}

type countedConversion struct {
	person string
	happening
	current string         // the channel of the open follow, else "no follow"
	touches []countedTouch // all before it, in order
}

// countedTouch is a scan, or a follow that begins.
type countedTouch struct {
	channel string
	at      int64
	scan    bool
}

// channelBy is what the model attributes the conversion to.
func (c *countedConversion) channelBy(model Model, window int64) string {
	switch model {
	case ModelFirst:
		for _, one := range c.touches {
			if one.scan {
				return one.channel
			}
		}
		if len(c.touches) > 0 {
			return c.touches[0].channel
		}
	case ModelLast:
		if n := len(c.touches); n > 0 && c.at-c.touches[n-1].at <= window {
			return c.touches[n-1].channel
		}
	default:
		return c.current
	}
	return "no follow"
}

// counted is all that happened.
type counted struct {
	scans       []countedScan
	follows     []countedFollow
	conversions []countedConversion
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

// settle looks for what the list tells of somebody who may have been forgotten since they
// followed, 24 hours ago or earlier, and of whom nothing is known from before: they are
// taken over when the list told it.
func (o *oracle) settle() {
	var listed []int
	for i, h := range o.happened {
		if strings.HasPrefix(h.what, "listed") {
			listed = append(listed, i)
		}
	}
	sort.SliceStable(listed, func(a, b int) bool {
		return o.happened[listed[a]].heard < o.happened[listed[b]].heard
	})
	for _, i := range listed {
		h := o.happened[i]
		var forgot int64 = -1
		for _, f := range o.count().follows {
			if f.ending == "forgotten" && f.end+86400 <= h.heard {
				forgot = max(forgot, f.end)
			}
		}
		if h.at <= forgot && !o.knew(h) {
			o.happened[i].what, o.happened[i].at = "taken over", h.heard
		}
	}
}

// knew reports whether the person was known when the list told of them, from the time when
// they followed or before.
func (o *oracle) knew(listed happening) bool {
	for _, h := range o.happened {
		if h.who != listed.who || h.what == "convert" || h.at > listed.at+60 ||
			h.heard >= listed.heard {
			continue
		}
		isForgotten := slices.ContainsFunc(o.happened, func(f happening) bool {
			return f.who == h.who && f.what == "forget" && h.at <= f.at &&
				f.at+86400 <= listed.heard
		})
		if !isForgotten {
			return true
		}
	}
	return false
}

// count returns what everybody did.
func (o *oracle) count() (all counted) {
	of := map[string]map[happening]bool{}
	for _, h := range o.happened {
		if of[h.who] == nil {
			of[h.who] = map[happening]bool{}
		}
		of[h.who][h] = true
	}
	for who, once := range of {
		var did []happening
		for h := range once {
			did = append(did, h)
		}
		one := o.countOne(who, did)
		all.scans = append(all.scans, one.scans...)
		all.follows = append(all.follows, one.follows...)
		all.conversions = append(all.conversions, one.conversions...)
	}
	return all
}

// countOne goes through the life of one openid, second by second.
func (o *oracle) countOne(who string, all []happening) counted {
	var scans []countedScan
	var follows []countedFollow
	var conversions []countedConversion
	var touches []countedTouch // of the present person
	var firstAct int64 = -1    // of somebody who did nothing else yet
	onlyActs := true
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
			touches, firstAct, onlyActs = nil, -1, true
		}
		if onlyActs && firstAct >= 0 && at >= firstAct+86400 {
			number, firstAct = number+1, -1
		}
	}
	numbered := func() string { return fmt.Sprint(who, " ", number) }
	scanned := func(scene string, at int64, follower bool) {
		scans = append(scans, countedScan{o.channelOf(scene, at), numbered(), at, follower})
		touches = append(touches, countedTouch{o.channelOf(scene, at), at, true})
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
			onlyActs = false
			for _, h := range inOrderOfScenes(here) {
				if h.what == "subscribe" && h.scene != "" {
					scanned(h.scene, at, false)
				}
			}
			start := o.followOf(at, here, all)
			if start == nil || start.how == "taken over" && current >= 0 {
				return
			}
			end(at, "lost")
			switch {
			case start.how == "imported" || start.how == "taken over":
				start.how = "imported"
			case hadFollow:
				start.how = "returning"
			default:
				start.how = "new"
			}
			hadFollow, start.person = true, numbered()
			follows, current = append(follows, *start), len(follows)
			touches = append(touches, countedTouch{start.channel, at, false})
		}
		doScans := func() {
			for _, h := range inOrderOfScenes(here) {
				if h.what == "SCAN" {
					meet(at)
					onlyActs = false
					scanned(h.scene, at, current >= 0)
				}
			}
			for _, h := range here {
				if h.what != "convert" {
					continue
				}
				meet(at)
				if firstAct < 0 {
					firstAct = at
				}
				one := countedConversion{numbered(), h, "no follow", slices.Clone(touches)}
				if current >= 0 {
					one.current = follows[current].channel
				}
				conversions = append(conversions, one)
			}
		}
		unsubscribes := func() {
			for _, h := range here {
				if h.what == "unsubscribe" {
					meet(at)
					onlyActs = false
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
				onlyActs = false
				end(at, "forgotten")
				forgot = at
			}
		}
	}
	return counted{scans, follows, conversions}
}

// inOrderOfScenes decides between several scenes in one second.
func inOrderOfScenes(here []happening) []happening {
	return slices.SortedFunc(slices.Values(here), func(a, b happening) int {
		return cmp.Compare(textID(a.scene), textID(b.scene))
	})
}

// isSubscribe is said of what tells that somebody follows.
func isSubscribe(h happening) bool {
	return h.what == "subscribe" || h.what == "taken over" || strings.HasPrefix(h.what, "listed")
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
	if len(pushes) == 0 && here[0].what == "taken over" {
		f.how = "taken over"
	}
	switch {
	case scene != nil:
		f.channel = o.channelOf(scene.scene, at)
	case listedByCode(at, here, all):
		f.channel = "unknown"
	default:
		f.channel = "no code"
	}
	if f.how != "" && (f.channel == "unknown" || f.channel == "no code") {
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

// oracleCell is one cell of a report.
type oracleCell struct {
	name       string
	selected   func(channel string) bool
	within     func(at int64) bool
	start, end int64
	holds      bool // it has a start and an end
}

// cells are those of the query, without that of the total, by a text that names each.
func (o *oracle) cells(q Query) (cells []oracleCell) {
	selections := map[string]func(channel string) bool{"": func(string) bool { return true }}
	if q.By&(ByChannel|ByGroup) != 0 {
		delete(selections, "")
		for _, name := range []string{"no code", "unknown", "imported", "no follow"} {
			selections[name] = func(c string) bool { return c == name }
		}
	}
	switch {
	case q.By&ByChannel != 0:
		for name := range o.groups {
			selections["channel "+name] = func(c string) bool { return c == name }
		}
	case q.By&ByGroup != 0:
		for _, path := range o.groups {
			selections["group "+path] = func(c string) bool {
				g, is := o.groups[c]
				return is && g == path
			}
		}
	}

	from, to := q.From.Unix(), q.To.Unix()
	for name, selected := range selections {
		add := func(key string, within func(int64) bool, start, end int64, holds bool) {
			key = strings.TrimSpace(key + " " + name)
			cells = append(cells, oracleCell{key, selected, within, start, end, holds})
		}
		switch {
		case q.By&ByWeekday != 0:
			for weekday := range 7 {
				for hour := range 24 {
					within := func(at int64) bool {
						local := time.Unix(at, 0).In(o.zone)
						return at >= from && at < to && int(local.Weekday()) == weekday &&
							local.Hour() == hour
					}
					add(fmt.Sprintf("%v %d", time.Weekday(weekday), hour), within, 0, 0, false)
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
					key := time.Unix(start, 0).UTC().Format(time.RFC3339)
					add(key, between(start, end), start, end, true)
				}
				start = end
			}
		default:
			add("", between(from, to), from, to, true)
		}
	}
	return cells
}

func between(start, end int64) func(int64) bool {
	return func(at int64) bool { return at >= start && at < end }
}

// whole is the cell of the total.
func whole(q Query) oracleCell {
	from, to := q.From.Unix(), q.To.Unix()
	everything := func(string) bool { return true }
	return oracleCell{"", everything, between(from, to), from, to, true}
}

// asked reports whether the query selects the channel.
func (o *oracle) asked(q Query, channel string) bool {
	g, is := o.groups[channel]
	switch {
	case q.Channel != "":
		return channel == q.Channel
	case q.Group != "":
		return is && (g == q.Group || strings.HasPrefix(g, q.Group+"/"))
	}
	return true
}

// report is the numbers of each row that is not empty, by the name of its cell.
func (o *oracle) report(q Query) (rows map[string]Counts, sum Counts) {
	all := o.count()
	rows = map[string]Counts{}
	for _, place := range o.cells(q) {
		if c := o.countsOf(q, &all, place); c != (Counts{}) {
			rows[place.name] = c
		}
	}
	return rows, o.countsOf(q, &all, whole(q))
}

func (o *oracle) countsOf(q Query, all *counted, place oracleCell) (c Counts) {
	persons := map[string]bool{}
	for _, s := range all.scans {
		if place.within(s.at) && place.selected(s.channel) && o.asked(q, s.channel) {
			c.Scans++
			persons[s.person] = true
			if s.follower {
				c.FollowerScans++
			}
		}
	}
	c.Scanners = int64(len(persons))
	for _, f := range all.follows {
		if !place.selected(f.channel) || !o.asked(q, f.channel) {
			continue
		}
		if place.within(f.start) {
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
		if f.ending == "lost" && place.within(f.end) {
			c.Lost++
		}
		if f.ending == "forgotten" && place.within(f.end) {
			c.Forgotten++
		}
		open := func(at int64) int64 {
			if place.holds && f.start < at && (f.ending == "" || f.end >= at) {
				return 1
			}
			return 0
		}
		c.HeldStart += open(place.start)
		c.HeldEnd += open(place.end)
	}
	return c
}

// conversions is report for conversions.
func (o *oracle) conversions(
	q ConversionQuery,
) (rows map[string]ConversionCounts, sum ConversionCounts) {
	all := o.count()
	rows = map[string]ConversionCounts{}
	for _, place := range o.cells(q.Query) {
		if c := o.conversionsOf(q, &all, place); c != (ConversionCounts{}) {
			rows[place.name] = c
		}
	}
	return rows, o.conversionsOf(q, &all, whole(q.Query))
}

func (o *oracle) conversionsOf(
	q ConversionQuery, all *counted, place oracleCell,
) (c ConversionCounts) {
	start, did := map[string]bool{}, map[string]bool{}
	for _, f := range all.follows {
		if f.how != "imported" && place.within(f.start) && place.selected(f.channel) &&
			o.asked(q.Query, f.channel) {
			start[f.person] = true
		}
	}
	for _, one := range all.conversions {
		channel := one.channelBy(q.Model, int64(q.Window/time.Second))
		named := q.Name == "" || q.Name == one.act
		if named && place.within(one.at) && place.selected(channel) && o.asked(q.Query, channel) {
			c.Conversions++
			c.Value += one.value
			did[one.person] = true
		}
	}
	c.Converters, c.Followers = int64(len(did)), int64(len(start))
	for who := range did {
		if start[who] {
			c.Converted++
		}
	}
	return c
}

// retained counts the follows that began on the local day and those of them that were
// open at the end of the day n days later, and false if that day is not over.
func (o *oracle) retained(q Query, day time.Time, n int) (all, stayed int64, over bool) {
	until := time.Date(day.Year(), day.Month(), day.Day()+n+1, 0, 0, 0, 0, o.zone).Unix()
	for _, f := range o.count().follows {
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

// lostAtAge counts the follows that were lost when they were over an age and at most
// another, 0 for any, in seconds.
func (o *oracle) lostAtAge(q Query, over, upTo int64) (n int64) {
	within := between(q.From.Unix(), q.To.Unix())
	for _, f := range o.count().follows {
		age := f.end - f.start
		lost := f.ending == "lost" && within(f.end) && o.asked(q, f.channel)
		if lost && age > over && (upTo == 0 || age <= upTo) {
			n++
		}
	}
	return n
}
