package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// terminal prints a line for each push that is done and each API call.
type terminal struct {
	app *app

	mu  sync.Mutex // guards the fields below
	out io.Writer

	// Only follow uses these.
	lastCall int          // ID
	printed  map[int]bool // pushes, by ID
}

// newTerminal leaves out what has happened before.
func newTerminal(a *app, out io.Writer) *terminal {
	t := &terminal{app: a, out: out, printed: map[int]bool{}}
	for _, p := range a.wx.Pushes() {
		t.printed[p.ID] = true
	}
	return t
}

// follow prints until ctx ends.
func (t *terminal) follow(ctx context.Context) {
	for {
		changed := t.app.wx.Changed()
		t.printNews()
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
		select { // changes until then are printed together
		case <-ctx.Done():
			return
		case <-time.After(minInterval / 2):
		}
	}
}

func (t *terminal) printNews() {
	st := t.app.wx.State()
	calls := st.Requests
	if n := len(calls); n > 0 && calls[n-1].ID < t.lastCall {
		t.lastCall = 0 // after a reset
	}
	for _, c := range calls {
		if c.ID <= t.lastCall {
			continue
		}
		if missed := c.ID - t.lastCall - 1; missed > 0 {
			t.line("call", "%d calls are not shown", missed)
		}
		t.lastCall = c.ID
		t.line("call", "%s %s: %s", c.Method, c.Path, callResult(c))
	}

	names := t.app.people.named(st.Users)
	for _, p := range st.Pushes {
		if p.Done && !t.printed[p.ID] {
			t.printed[p.ID] = true
			t.line("push", "%s", pushLine(pushItem(p, names, english)))
		}
	}
}

// callResult is the errcode and errmsg, or else the status.
func callResult(c wechatqrtest.RecordedRequest) string {
	switch {
	case c.Status == 0:
		return "no response, " + tookText(c.Duration)
	case c.Code != 0:
		return fmt.Sprintf("%d %s, %s", c.Code, errmsgOf(c.Response), tookText(c.Duration))
	}
	return fmt.Sprintf("%d, %s", c.Status, tookText(c.Duration))
}

func pushLine(item feedItem) string {
	text := item.Announcement.in(english)
	if item.Wrong != nil && item.State == "failed" {
		text += " " + item.Wrong.Err.Advice
	}
	attempts := ""
	if item.Tries > 1 {
		attempts = fmt.Sprintf(", %d attempts", item.Tries)
	}
	return fmt.Sprintf("#%d %s (%s%s)", item.Push, text, tookText(item.Took), attempts)
}

// check prints a line for each question.
func (t *terminal) check(d wechatqrtest.Diagnosis) {
	for _, f := range newCheckView(english, &d).Findings {
		if f.Verdict != wechatqrtest.VerdictSkipped {
			t.line("check", "%s: %s. %s", f.Title, f.Word, joined(f.Message, f.Advice))
		}
	}
}

func joined(parts ...string) string { return strings.TrimSpace(strings.Join(parts, " ")) }

func (t *terminal) line(kind, format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := strings.Join(strings.Fields(fmt.Sprintf(format, args...)), " ") // one line
	_, _ = fmt.Fprintf(t.out, "%s  %-5s  %s\n", time.Now().Format(time.TimeOnly), kind, text)
}
