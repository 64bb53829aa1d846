package events

import (
	"context"
	"strings"

	"github.com/wechatqr/wechatqr"
)

// ScanFunc handles a scan. What [HandlerFunc] says of replies, errors, time and
// of running several times holds for it too.
type ScanFunc func(ctx context.Context, scan wechatqr.Scan, ev *wechatqr.Event) (Reply, error)

// Mux chooses the function for an event: for a scan that of its scene, else that
// of the longest prefix of its scene; else, or if there is none, that of the
// event's type; else the default. An event without a function is handled by doing
// nothing: the response is "success".
//
// The zero Mux is ready. Set it up before it serves: Serve may run
// concurrently, the Handle methods may not. Its method Serve is a [HandlerFunc].
type Mux struct {
	scenes   map[string]ScanFunc
	prefixes map[string]ScanFunc
	longest  int                    // prefix
	types    map[string]HandlerFunc // the default has none
}

// HandleScene has fn handle every scan of the scene with this key, by new
// followers and existing ones alike: Scene.Key of the code's scene, "7" for
// SceneID(7). As with http.ServeMux, a second fn for one key or a nil one
// panics, and so does an empty key: no scene has it.
func (m *Mux) HandleScene(key string, fn ScanFunc) {
	if key == "" {
		panic("wechatqr: Mux: the scene's key is empty: HandleScenePrefix takes every scan")
	}
	add(&m.scenes, key, fn, fn == nil)
}

// HandleScenePrefix has fn handle every scan of a scene that begins with
// prefix, unless HandleScene or a longer prefix has a function for it. The
// prefix "shop-1" is one of "shop-10" too: end prefixes with a separator. An
// empty prefix takes every scan. It panics as HandleScene does.
func (m *Mux) HandleScenePrefix(prefix string, fn ScanFunc) {
	add(&m.prefixes, prefix, fn, fn == nil)
	m.longest = max(m.longest, len(prefix))
}

// HandleEvent has fn handle every event of this type, whatever the letter
// case, that is not a scan which a scene or a prefix has a function for. It
// panics as HandleScene does.
func (m *Mux) HandleEvent(eventType wechatqr.EventType, fn HandlerFunc) {
	add(&m.types, strings.ToLower(string(eventType)), fn, fn == nil)
}

// HandleDefault has fn handle everything else, ordinary messages included. It
// panics as HandleScene does.
func (m *Mux) HandleDefault(fn HandlerFunc) {
	add(&m.types, "", fn, fn == nil)
}

func add[F any](to *map[string]F, key string, fn F, isNil bool) {
	if _, known := (*to)[key]; known || isNil {
		panic("wechatqr: Mux: the function for " + key + " is nil or set already")
	}
	if *to == nil {
		*to = make(map[string]F)
	}
	(*to)[key] = fn
}

// Serve runs the function for the event.
func (m *Mux) Serve(ctx context.Context, ev *wechatqr.Event) (Reply, error) {
	if scan, ok := ev.Scan(); ok {
		if fn := m.scanFunc(scan.SceneKey); fn != nil {
			return fn(ctx, scan, ev)
		}
	}
	fn := m.types[strings.ToLower(string(ev.Type))]
	if fn == nil {
		fn = m.types[""]
	}
	if fn == nil {
		return nil, nil
	}
	return fn(ctx, ev)
}

func (m *Mux) scanFunc(key string) ScanFunc {
	if fn := m.scenes[key]; fn != nil {
		return fn
	}
	for i := min(len(key), m.longest); i >= 0; i-- {
		if fn := m.prefixes[key[:i]]; fn != nil {
			return fn
		}
	}
	return nil
}
