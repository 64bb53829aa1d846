package channels

import "slices"

const (
	quickSeconds   = 86400 // the longest follow that is a quick loss
	repairSeconds  = 86400 // how long order is repaired after a person has become a stranger
	visitorSeconds = 86400 // how long somebody is known of whom there are only conversions
	sameFollow     = 60    // between WeChat's list of followers and its push, in seconds
)

// began says what kind of follow it is. The numbers are stored.
type began int

const (
	asNew       began = 1 // the person's first ever
	asReturning began = 2
	asImported  began = 3 // found on WeChat's list, and older than the ledger, or retaken
)

// ended says how a follow ended. The numbers are stored.
type ended int

const (
	stillOpen ended = 0
	asLost    ended = 1
	asGone    ended = 2 // lost, as WeChat's list of followers showed later
	forgotten ended = 3
)

// follow is an interval in which a person follows the account.
type follow struct {
	start int64
	began began
	row   int64 // what began it
	end   int64 // 0 while it is open
	ended ended
}

// quick reports whether it ended at most a day after its start. An imported one is
// never quick: who left before the import is not known.
func (f *follow) quick() bool {
	return f.began != asImported && f.ended == asLost && f.end-f.start <= quickSeconds
}

// life is what one person did, from their first event until they became a
// stranger.
type life struct {
	since   int64 // the earliest second that can belong to it, 0 for any
	events  []event
	follows []follow

	unfollowed int64 // the last time, 0 for never
	forgotOn   int64 // the second of Forget, 0 for never
}

// open is the open follow, nil for none.
func (l *life) open() *follow {
	if n := len(l.follows); n > 0 && l.follows[n-1].ended == stillOpen {
		return &l.follows[n-1]
	}
	return nil
}

// stranger returns the second from which an event would be a stranger's, and
// false if there is none yet.
func (l *life) stranger(keep int64) (int64, bool) {
	switch {
	case l.forgotOn != 0:
		return l.forgotOn + 1, true
	case l.unfollowed != 0 && l.open() == nil:
		return l.unfollowed + keep, true
	}
	return l.visitor()
}

// visitor returns the end of the day for which somebody is known of whom there are
// only conversions, and false if there is more, or none.
func (l *life) visitor() (int64, bool) {
	if slices.ContainsFunc(l.events, func(e event) bool { return e.tells() }) {
		return 0, false
	}
	i := slices.IndexFunc(l.events, func(e event) bool { return e.kind == conversion })
	if i < 0 {
		return 0, false
	}
	return l.events[i].at + visitorSeconds, true
}

// rules are what a fold depends on besides the events.
type rules struct {
	keep  int64 // Config.KeepAfterUnfollow in seconds
	first int64 // the ledger's first instant
}

// fold makes of the events of one openid, in any order and without repetitions,
// the lives and follows that they amount to. The rows of the events are known.
// There is no I/O here, and no clock: the same events give the same result.
func fold(events []event, r rules) []life {
	slices.SortFunc(events, compareEvents)
	f := folder{rules: r, cameByCode: map[int64]bool{}}
	echoes := f.takeEchoes(&events)
	for i := 0; i < len(events); {
		n := i + 1
		for n < len(events) && events[n].at == events[i].at {
			n++
		}
		f.second(events[i:n])
		i = n
	}
	for _, e := range echoes {
		l := f.lifeOf(e.push)
		l.events = append(l.events, e.event)
	}
	return f.lives
}

type folder struct {
	rules
	cameByCode map[int64]bool // by the second of the push
	lives      []life
}

// echo is what WeChat's list says of a follow of which a push has told.
type echo struct {
	event
	push event
}

// takeEchoes takes the echoes out of the events. They belong to the lives of
// their pushes, and what they add is that a follow came by a code.
func (f *folder) takeEchoes(events *[]event) (echoes []echo) {
	var rest []event
	for _, e := range *events {
		push, ok := pushOf(&e, *events)
		if !ok {
			rest = append(rest, e)
			continue
		}
		echoes = append(echoes, echo{e, push})
		if e.kind == foundByCode {
			f.cameByCode[push.at] = true
		}
	}
	*events = rest
	return echoes
}

// pushOf returns the push that tells of the same follow: the nearest one of the
// same scene.
func pushOf(e *event, events []event) (push event, ok bool) {
	if e.kind != found && e.kind != foundByCode {
		return event{}, false
	}
	best := int64(sameFollow) + 1
	for _, other := range events {
		distance := max(e.at-other.at, other.at-e.at)
		if other.kind == subscribe && !other.late && other.scene == e.scene && distance < best {
			push, best = other, distance
		}
	}
	return push, best <= sameFollow
}

// lifeOf is the life with the event.
func (f *folder) lifeOf(e event) *life {
	i := slices.IndexFunc(f.lives, func(l life) bool {
		return slices.ContainsFunc(l.events, func(o event) bool { return compareEvents(o, e) == 0 })
	})
	return &f.lives[i]
}

// second takes the events of one second. Who does not follow subscribes, scans
// and unsubscribes, in this order; who follows scans, unsubscribes and subscribes.
// A conversion comes after the scans.
func (f *folder) second(events []event) {
	steps := []func([]event){f.begin, f.act, f.end, f.forget}
	if n := len(f.lives); n > 0 && f.lives[n-1].open() != nil {
		steps = []func([]event){f.act, f.end, f.begin, f.forget}
	}
	for _, step := range steps {
		step(events)
	}
}

// life returns that of who acts at the second: the last one, or a new one if a
// stranger acts.
func (f *folder) life(at int64) *life {
	since := int64(0)
	if n := len(f.lives); n > 0 {
		last := &f.lives[n-1]
		stranger, ok := last.stranger(f.keep)
		if !ok || at < stranger {
			return last
		}
		since = stranger
	}
	f.lives = append(f.lives, life{since: since})
	return &f.lives[len(f.lives)-1]
}

// begin begins the follow that all the subscribes of the second amount to.
func (f *folder) begin(events []event) {
	var begins []event
	var l *life
	for _, e := range events {
		if !e.begins() {
			continue
		}
		l = f.life(e.at)
		l.events = append(l.events, e)
		if !e.late {
			begins = append(begins, e)
		}
	}
	if len(begins) == 0 {
		return
	}

	best := slices.MinFunc(begins, compareBegins)
	open := l.open()
	switch {
	case open != nil && best.kind == retaken: // an earlier event has come to light
		return
	case open != nil: // the unsubscribe was lost
		open.end, open.ended = best.at, asLost
	}
	how := f.howBegan(l, &best)
	l.follows = append(l.follows, follow{start: best.at, began: how, row: f.rowOf(&best, how)})
}

// compareBegins puts first what says most of a follow: a push before WeChat's
// list, there a code before none, but what has a scene before what has none.
func compareBegins(a, b event) int {
	rank := func(e event) (rank int) {
		if e.scene == 0 {
			rank = 3
		}
		switch e.kind {
		case foundByCode:
			rank++
		case found, retaken:
			rank += 2
		}
		return rank
	}
	if d := rank(a) - rank(b); d != 0 {
		return d
	}
	return compareEvents(a, b)
}

// howBegan is said of a follow that comes after those of the life. One that was
// pushed is not imported.
func (f *folder) howBegan(l *life, e *event) began {
	pushed := slices.ContainsFunc(l.events, func(other event) bool {
		return other.at == e.at && other.kind == subscribe && !other.late
	})
	switch {
	case !pushed && (e.at < f.first || e.kind == retaken):
		return asImported
	case len(l.follows) == 0:
		return asNew
	}
	return asReturning
}

// rowOf is the row in which the follow that e began counts.
func (f *folder) rowOf(e *event, how began) int64 {
	switch {
	case how == asImported && e.row < 0:
		return importedRow
	case e.scene == 0 && (e.kind == foundByCode || f.cameByCode[e.at]):
		return codeUnknown
	}
	return e.row
}

// act takes the scans of who may follow, and the conversions after them.
func (f *folder) act(events []event) {
	for _, e := range events {
		if e.kind == scan || e.kind == conversion {
			l := f.life(e.at)
			e.follower = e.kind == scan && l.open() != nil && !e.late
			l.events = append(l.events, e)
		}
	}
}

func (f *folder) end(events []event) {
	for _, e := range events {
		if e.kind != unsubscribe && e.kind != gone {
			continue
		}
		l := f.life(e.at)
		l.events = append(l.events, e)
		if e.late {
			continue
		}
		if open := l.open(); open != nil {
			open.end, open.ended = e.at, asLost
			if e.kind == gone {
				open.ended = asGone
			}
		}
		l.unfollowed = e.at
	}
}

// forget belongs to the last life, even if who acts now would be a stranger.
func (f *folder) forget(events []event) {
	for _, e := range events {
		if e.kind != forget {
			continue
		}
		if len(f.lives) == 0 {
			f.lives = append(f.lives, life{})
		}
		l := &f.lives[len(f.lives)-1]
		l.events = append(l.events, e)
		if open := l.open(); open != nil {
			open.end, open.ended = e.at, forgotten
		}
		l.forgotOn = e.at
	}
}
