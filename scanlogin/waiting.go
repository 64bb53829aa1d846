package scanlogin

import "sync"

// waiting is the browsers that wait at this process, at most once each.
type waiting struct {
	mu       sync.Mutex
	browsers map[string]*waiter
	closed   bool
}

// waiter is one browser. changed is only a wakeup: it does not carry the state.
type waiter struct {
	changed chan struct{} // has one slot
	over    chan error    // has one slot, and why it is to end
}

// join has the browser wait; the one that waited for the same id before is over.
func (w *waiting) join(id string) *waiter {
	w.mu.Lock()
	defer w.mu.Unlock()
	if before := w.browsers[id]; before != nil {
		before.over <- ErrSuperseded
		delete(w.browsers, id)
	}
	next := &waiter{make(chan struct{}, 1), make(chan error, 1)}
	if w.closed {
		next.over <- ErrClosed
		return next
	}
	w.browsers[id] = next
	return next
}

func (w *waiting) leave(id string, one *waiter) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.browsers[id] == one {
		delete(w.browsers, id)
	}
}

func (w *waiting) wake(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if one := w.browsers[id]; one != nil {
		select {
		case one.changed <- struct{}{}:
		default: // it is to look already
		}
	}
}

func (w *waiting) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	for id, one := range w.browsers {
		one.over <- ErrClosed
		delete(w.browsers, id)
	}
}
