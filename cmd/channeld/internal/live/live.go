// Package live tells the pages what happens, as it happens.
package live

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/channels"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/web"
	"github.com/wechatqr/wechatqr/events"
)

// Event is what happened, without who it was.
type Event struct {
	At    time.Time          `json:"at"`
	Kind  channels.VisitKind `json:"kind"`
	Key   string             `json:"key,omitempty"` // of the channel; empty: none
	Name  string             `json:"name,omitempty"`
	Group string             `json:"group,omitempty"`
}

// Feed has the last events.
type Feed struct {
	mu       sync.Mutex
	id       string        // of this Feed
	number   int           // of changes
	last     []Event       // oldest first
	unshared []Event       // those of this process that Share has not stored
	changed  chan struct{} // closed at the next event
	done     chan struct{} // closed by Close
	close    func()
}

// maxLast is how many events a Feed has.
const maxLast = 50

// NewFeed returns a Feed without events. Close it before the server's Shutdown, which
// waits for the streams.
func NewFeed() *Feed {
	f := &Feed{id: rand.Text(), changed: make(chan struct{}), done: make(chan struct{})}
	f.close = sync.OnceFunc(func() { close(f.done) })
	return f
}

// Close ends the streams.
func (f *Feed) Close() { f.close() }

// Watch returns a function that notes what the event amounted to, and calls next. Put it
// within channels.Ledger.Record.
func (f *Feed) Watch(next events.HandlerFunc) events.HandlerFunc {
	return func(ctx context.Context, ev *wechatqr.Event) (events.Reply, error) {
		if v, ok := channels.VisitFrom(ctx); ok {
			c := &v.Channel
			f.note(Event{ev.CreateTime, v.Kind, c.Key, c.Name, c.Group})
		}
		return next(ctx, ev)
	}
}

// note adds an event of this process.
func (f *Feed) note(e Event) {
	f.mu.Lock()
	f.unshared = append(f.unshared, e)
	if n := len(f.unshared) - maxLast; n > 0 {
		f.unshared = slices.Delete(f.unshared, 0, n)
	}
	f.mu.Unlock()
	f.add([]Event{e})
}

func (f *Feed) add(all []Event) {
	if len(all) == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last = append(f.last, all...)
	slices.SortStableFunc(f.last, func(a, b Event) int { return a.At.Compare(b.At) })
	if n := len(f.last) - maxLast; n > 0 {
		f.last = slices.Delete(f.last, 0, n)
	}
	f.number++
	close(f.changed)
	f.changed = make(chan struct{})
}

// LastID names the last event. Numbers that are read after it have all events up to there:
// Stream sends what came since.
func (f *Feed) LastID() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.lastID()
}

func (f *Feed) lastID() string { return f.id + "." + strconv.Itoa(f.number) }

// Last returns the last events, the newest first.
func (f *Feed) Last() []Event {
	all, _, _ := f.now()
	return all
}

// now returns the last events, the newest first, the ID of the last one, and a channel that
// is closed when there is another.
func (f *Feed) now() (all []Event, id string, changed <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	all = slices.Clone(f.last)
	slices.Reverse(all)
	return all, f.lastID(), f.changed
}

const (
	minInterval       = 300 * time.Millisecond // between two messages
	heartbeatInterval = 20 * time.Second       // keeps proxies from closing the connection
)

// Stream sends the last events that the visitor may see as server-sent events named
// "events", at once and whenever there is another: a JSON list, the newest first. Nothing
// is sent at once if the parameter "after", or Last-Event-ID of a browser that connects
// again, is the LastID of now. visitorOf is asked before each message: the stream of who may
// see nothing any more ends.
func (f *Feed) Stream(visitorOf func(*http.Request) (web.Visitor, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { f.stream(w, r, visitorOf) }
}

func (f *Feed) stream(
	w http.ResponseWriter, r *http.Request, visitorOf func(*http.Request) (web.Visitor, error),
) {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // keeps nginx from buffering
	rc := http.NewResponseController(w)
	after := cmp.Or(r.Header.Get("Last-Event-ID"), r.FormValue("after"))
	for {
		all, id, changed := f.now()
		visitor, err := visitorOf(r)
		if err != nil || visitor.Role == web.Nobody {
			return
		}
		if id != after {
			after = id
			_, _ = w.Write(message(id, all, visitor)) // Flush returns the error
		}
		if rc.Flush() != nil || !f.wait(w, rc, r, changed) {
			return
		}
	}
}

func message(id string, all []Event, visitor web.Visitor) []byte {
	shown := []Event{}
	for _, e := range all {
		if visitor.Sees(e.Key, e.Group) {
			shown = append(shown, e)
		}
	}
	data, err := json.Marshal(shown)
	if err != nil {
		data = []byte("[]")
	}
	return fmt.Appendf(nil, "id: %s\nevent: events\ndata: %s\n\n", id, data)
}

// wait returns true when there is another event, some time after the one before.
func (f *Feed) wait(
	w http.ResponseWriter, rc *http.ResponseController, r *http.Request, changed <-chan struct{},
) bool {
	pause := time.NewTimer(minInterval)
	defer pause.Stop()
	select {
	case <-pause.C:
	case <-r.Context().Done():
		return false
	case <-f.done:
		return false
	}
	beat := time.NewTicker(heartbeatInterval)
	defer beat.Stop()
	for {
		select {
		case <-changed:
			return true
		case <-beat.C:
			if _, err := w.Write([]byte(": alive\n\n")); err != nil || rc.Flush() != nil {
				return false
			}
		case <-r.Context().Done():
			return false
		case <-f.done:
			return false
		}
	}
}
