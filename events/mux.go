package events

import (
	"context"
	"strings"

	"github.com/wechatqr/wechatqr"
)

// Mux chooses the function for an event: for a scan the one with the longest
// prefix of its scene; else, or if there is none, the one of the event's type;
// else the default. An event that nobody wants is answered with success.
//
// The zero Mux is ready. Set it up before it serves: Serve may run
// concurrently, the Handle methods may not. Its method Serve is a [HandlerFunc].
type Mux struct {
	scenes   map[string]HandlerFunc
	longest  int // prefix
	types    map[string]HandlerFunc
	fallback HandlerFunc
}

// HandleScene has fn handle every scan of a scene that begins with prefix, by
// new followers and existing ones alike. The prefix "shop-1" is one of
// "shop-10" too: end prefixes with a separator. An empty prefix takes every
// scan. As with http.ServeMux, a second fn for one prefix or a nil one panics.
func (m *Mux) HandleScene(prefix string, fn HandlerFunc) {
	add(&m.scenes, prefix, fn)
	m.longest = max(m.longest, len(prefix))
}

// HandleEvent has fn handle every event of this type, whatever the letter
// case, that is not a scan which HandleScene has a function for. It panics as
// HandleScene does.
func (m *Mux) HandleEvent(event wechatqr.EventType, fn HandlerFunc) {
	add(&m.types, strings.ToLower(string(event)), fn)
}

// HandleDefault has fn handle everything else, ordinary messages included. It
// panics as HandleScene does.
func (m *Mux) HandleDefault(fn HandlerFunc) {
	if fn == nil || m.fallback != nil {
		panic("wechatqr: Mux: the default function is nil or set already")
	}
	m.fallback = fn
}

func add(to *map[string]HandlerFunc, key string, fn HandlerFunc) {
	if *to == nil {
		*to = make(map[string]HandlerFunc)
	}
	if fn == nil || (*to)[key] != nil {
		panic("wechatqr: Mux: the function for " + key + " is nil or set already")
	}
	(*to)[key] = fn
}

// Serve runs the function that is meant for the event.
func (m *Mux) Serve(ctx context.Context, ev *wechatqr.Event) (Reply, error) {
	if fn := m.find(ev); fn != nil {
		return fn(ctx, ev)
	}
	return nil, nil
}

func (m *Mux) find(ev *wechatqr.Event) HandlerFunc {
	if scan, ok := ev.Scan(); ok && m.scenes != nil {
		for i := min(len(scan.Scene), m.longest); i >= 0; i-- {
			if fn := m.scenes[scan.Scene[:i]]; fn != nil {
				return fn
			}
		}
	}
	if m.types != nil && ev.Event != "" {
		if fn := m.types[strings.ToLower(string(ev.Event))]; fn != nil {
			return fn
		}
	}
	return m.fallback
}
