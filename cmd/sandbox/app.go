package main

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// app is the page for people and what it can do.
type app struct {
	wx     *wechatqrtest.Server
	origin string
	pages  pages
	client *wechatqr.Client // makes codes for the page
	life   context.Context  // ends when the sandbox stops
	work   sync.WaitGroup   // pushes under way

	mu      sync.Mutex
	last    notice // of the latest action
	checked *checkResult
	changed chan struct{} // closed at the next change of the above; nil while nobody waits
}

// notice tells what came of an action, in the language of who reads it.
type notice struct {
	id    int
	text  phrase
	bad   bool
	place string // id of the part of the page to see it in
}

// checkResult is what the latest check of the callback found.
type checkResult struct {
	at  time.Time
	url string
	err error
}

// inProcess sends the page's own calls to the API without a network, so that
// the sandbox need not reach itself by its own address.
type inProcess struct{ wx *wechatqrtest.Server }

func (t inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	in := r.Clone(r.Context())
	if in.Body == nil {
		in.Body = http.NoBody
	}
	in.RemoteAddr = "127.0.0.1:0"
	w := httptest.NewRecorder()
	t.wx.ServeHTTP(w, in)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return w.Result(), nil
}

func newApp(life context.Context, wx *wechatqrtest.Server, origin string) (*app, error) {
	client, err := wechatqr.New(wx.Credentials(),
		wechatqr.WithBaseURL(origin),
		wechatqr.WithHTTPClient(&http.Client{Transport: inProcess{wx}, Timeout: 10 * time.Second}),
		wechatqr.WithMaxRetries(0))
	if err != nil {
		return nil, err
	}
	ps, err := newPages()
	if err != nil {
		return nil, err
	}
	return &app{wx: wx, origin: origin, pages: ps, client: client, life: life}, nil
}

// routes are those of the page; everything else is the API's.
func (a *app) routes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", a.show)
	mux.HandleFunc("GET /_sandbox/{file}", serveFile)
	mux.HandleFunc("GET /_sandbox/events", a.stream)
	mux.HandleFunc("GET /_sandbox/picture", a.picture)
	mux.HandleFunc("GET /_sandbox/state", a.state)
	mux.HandleFunc("POST /_sandbox/{action}", a.act)
	return mux
}

func (a *app) notify(change func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change()
	if a.changed != nil {
		close(a.changed)
		a.changed = nil
	}
}

func (a *app) change() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.changed == nil {
		a.changed = make(chan struct{})
	}
	return a.changed
}

const (
	breath    = 200 * time.Millisecond // between two events, whatever happens
	heartbeat = 20 * time.Second       // shows that the connection lives
)

// stream sends an event whenever the page is out of date.
func (a *app) stream(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // nginx would keep the events
	rc := http.NewResponseController(w)
	line := "retry: 1000\nevent: change\ndata:\n\n"
	for {
		wx, own := a.wx.Changed(), a.change()
		if _, err := w.Write([]byte(line)); err != nil {
			return
		}
		if rc.Flush() != nil {
			return
		}
		beat := time.NewTimer(heartbeat)
		line = "event: change\ndata:\n\n"
		select {
		case <-wx:
		case <-own:
		case <-beat.C:
			line = ": alive\n\n"
		case <-r.Context().Done():
			beat.Stop()
			return
		case <-a.life.Done():
			beat.Stop()
			return
		}
		beat.Stop()
		select {
		case <-time.After(breath):
		case <-r.Context().Done():
			return
		case <-a.life.Done():
			return
		}
	}
}

func (a *app) picture(w http.ResponseWriter, r *http.Request) {
	data, err := a.wx.Picture(r.URL.Query().Get("ticket"))
	if err != nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "image/jpeg")
	w.Header().Set("Cache-Control", "private, max-age=86400")
	_, _ = w.Write(data) // a browser that is gone is no concern
}

// state is what happened so far, for programs.
func (a *app) state(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]any{
		"now": a.wx.Now(), "codes": a.wx.QRCodes(), "users": a.wx.Users(), "pushes": a.wx.Pushes(),
		"messages": a.wx.Messages(), "calls": a.wx.Requests(), "faults": a.wx.Faults(), "quotas": a.wx.Quotas(),
	})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // a client that is gone is no concern
}

// outcome is what came of an action.
type outcome struct {
	text  phrase
	bad   bool
	place string                      // id of the part of the page to see it in
	wrong *wechatqrtest.CallbackError // why bad, if the callback is
	push  func(context.Context) (wechatqrtest.Push, error)
}

func done(place, text string, args ...any) outcome {
	return outcome{text: say(text, args...), place: place}
}

func failed(place, text string, args ...any) outcome {
	return outcome{text: say(text, args...), bad: true, place: place}
}

// patience is how long an action waits for its push, so that a page without
// JavaScript shows the reply at once. A program waits until the push is done.
const patience = 500 * time.Millisecond

const maxForm = 64 << 10

// act is POST /_sandbox/{action}. A browser is sent back to the page, and a
// program that accepts JSON gets the outcome as that.
func (a *app) act(w http.ResponseWriter, r *http.Request) {
	run, ok := actions[r.PathValue("action")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		http.Error(w, "sandbox: "+err.Error(), http.StatusBadRequest)
		return
	}
	program := strings.Contains(r.Header.Get("Accept"), "application/json")
	out := run(a, r)
	var push *wechatqrtest.Push
	if out.push != nil {
		push = a.deliver(&out, program, r.Context().Done())
	}
	if program {
		status, lang := http.StatusOK, languageOf(r)
		if out.bad {
			status = http.StatusUnprocessableEntity
		}
		var todo phrase
		var detail string
		if out.wrong != nil {
			todo, detail = adviceOn(out.wrong).Todo, out.wrong.Detail
		}
		writeJSON(w, status, struct {
			OK      bool               `json:"ok"`
			Message string             `json:"message"`
			Advice  string             `json:"advice,omitempty"`
			Detail  string             `json:"detail,omitempty"`
			Shown   string             `json:"shown,omitempty"`
			Push    *wechatqrtest.Push `json:"push,omitempty"`
		}{!out.bad, out.text.in(lang), todo.in(lang), detail, shown(push), push})
		return
	}
	var id int
	a.notify(func() {
		id = a.last.id + 1
		a.last = notice{id, out.text, out.bad, out.place}
	})
	http.Redirect(w, r, "/?n="+strconv.Itoa(id)+"#"+out.place, http.StatusSeeOther)
}

func shown(p *wechatqrtest.Push) string {
	if p == nil || p.Event.Type.Is(probe) {
		return ""
	}
	return p.UserSees()
}

// deliver begins the push of an action. It returns it if it was done in time.
func (a *app) deliver(out *outcome, wait bool, gone <-chan struct{}) *wechatqrtest.Push {
	type result struct {
		push wechatqrtest.Push
		err  error
	}
	end := make(chan result, 1)
	a.work.Go(func() {
		p, err := out.push(a.life)
		end <- result{p, err}
	})
	limit := (<-chan time.Time)(nil)
	if !wait {
		t := time.NewTimer(patience)
		defer t.Stop()
		limit = t.C
	}
	select {
	case got := <-end:
		if err := got.err; err != nil {
			out.bad = true
			switch {
			case errors.As(err, &out.wrong):
				out.text = say("Pushed, but the backend did not answer as it should: %s", adviceOn(out.wrong).What)
			case errors.Is(err, wechatqrtest.ErrNoCallback):
				out.text = say("It happened, but nothing was pushed: set the callback URL first.")
				return nil
			default:
				out.text = say("%s", plain(err))
				return nil
			}
		}
		if text := shown(&got.push); text != "" && !out.bad {
			out.text = say("%s The user reads: %s", out.text, text)
		}
		return &got.push
	case <-limit:
	case <-gone:
	}
	return nil
}

// plain is an error without the name of the package.
func plain(err error) string {
	return strings.TrimPrefix(strings.TrimPrefix(err.Error(), "wechatqrtest: "), "wechatqr: ")
}

// actions are what the page posts.
var actions = map[string]func(*app, *http.Request) outcome{
	"create":   (*app).createCode,
	"scan":     (*app).scan,
	"person":   (*app).addPerson,
	"follow":   (*app).follow,
	"unfollow": (*app).unfollow,
	"text":     (*app).text,
	"again":    (*app).again,
	"callback": (*app).setCallback,
	"check":    (*app).check,
	"revoke":   (*app).revoke,
	"quota":    (*app).quota,
	"fault":    (*app).fault,
	"clear":    (*app).clearFaults,
	"clock":    (*app).clock,
}

func (a *app) createCode(r *http.Request) outcome {
	value := strings.TrimSpace(r.PostFormValue("scene"))
	scene := wechatqr.SceneString(value)
	if r.PostFormValue("kind") == "number" {
		n, err := strconv.ParseUint(value, 10, 32)
		if err != nil {
			return failed("codes", "A number from 1 to 4294967295 is wanted, not “%s”.", value)
		}
		scene = wechatqr.SceneID(uint32(n))
	}
	req := wechatqr.Permanent(scene)
	if ttl := r.PostFormValue("ttl"); ttl != "" {
		d, err := time.ParseDuration(ttl)
		if err != nil {
			return failed("codes", "“%s” is no length of time: write it as 10m or 72h.", ttl)
		}
		req = wechatqr.Temporary(scene, d)
	}
	if _, err := a.client.CreateTicket(r.Context(), req); err != nil {
		return failed("codes", "The code was not made: %s", plain(err))
	}
	return done("codes", "Made a code that carries %s.", value)
}

// ticket finds the code that a form names by its ticket, or by its scene, of
// which the newest counts.
func (a *app) ticket(r *http.Request) string {
	if t := r.PostFormValue("ticket"); t != "" {
		return t
	}
	codes := a.wx.QRCodes()
	for i := len(codes) - 1; i >= 0; i-- {
		if codes[i].Scene() == r.PostFormValue("scene") {
			return codes[i].Ticket
		}
	}
	return ""
}

func (a *app) scan(r *http.Request) outcome {
	ev, err := a.wx.ScanEvent(a.ticket(r), r.PostFormValue("openid"))
	switch {
	case errors.Is(err, wechatqrtest.ErrExpired):
		return failed("codes", "The code has expired: WeChat pushes nothing for it. Make a new one, or turn the clock back.")
	case err != nil:
		return failed("codes", "There is no such code.")
	}
	who := a.names(a.wx.Users())[ev.FromUserName].name
	key, _ := strings.CutPrefix(ev.EventKey, "qrscene_")
	out := done("chat", "%s scanned %s.", who, key)
	if ev.Type.Is(wechatqr.EventSubscribe) {
		out = done("chat", "%s scanned %s and follows now.", who, key)
	}
	out.push = func(ctx context.Context) (wechatqrtest.Push, error) { return a.wx.Push(ctx, ev) }
	return out
}

func (a *app) addPerson(r *http.Request) outcome {
	u := wechatqrtest.User{OpenID: strings.TrimSpace(r.PostFormValue("openid")), Follows: r.PostFormValue("follows") != ""}
	if old, ok := a.wx.User(u.OpenID); ok {
		return failed("people", "%s is there already.", old.OpenID)
	}
	if u.Follows {
		u.SubscribeScene = "ADD_SCENE_SEARCH"
	}
	u = a.wx.PutUser(u)
	who := a.names(a.wx.Users())[u.OpenID].name
	if u.Follows {
		return done("people", "Added %s, who follows the account.", who)
	}
	return done("people", "Added %s, who does not follow the account yet.", who)
}

func (a *app) follow(r *http.Request) outcome {
	id := r.PostFormValue("openid")
	if _, ok := a.wx.User(id); !ok {
		return failed("people", "There is no such person.")
	}
	out := done("chat", "%s follows now.", a.names(a.wx.Users())[id].name)
	out.push = func(ctx context.Context) (wechatqrtest.Push, error) { return a.wx.Follow(ctx, id) }
	return out
}

// follower names the person of a form who follows.
func (a *app) follower(r *http.Request) (id string, name phrase, bad *outcome) {
	id = r.PostFormValue("openid")
	u, ok := a.wx.User(id)
	var out outcome
	switch {
	case !ok:
		out = failed("people", "There is no such person.")
	case !u.Follows:
		out = failed("people", "%s does not follow the account.", a.names(a.wx.Users())[id].name)
	default:
		return id, a.names(a.wx.Users())[id].name, nil
	}
	return "", phrase{}, &out
}

func (a *app) unfollow(r *http.Request) outcome {
	id, name, bad := a.follower(r)
	if bad != nil {
		return *bad
	}
	out := done("chat", "%s follows no longer.", name)
	out.push = func(ctx context.Context) (wechatqrtest.Push, error) { return a.wx.Unfollow(ctx, id) }
	return out
}

func (a *app) text(r *http.Request) outcome {
	id, name, bad := a.follower(r)
	if bad != nil {
		return *bad
	}
	text := strings.TrimSpace(r.PostFormValue("content"))
	if text == "" {
		return failed("people", "There is no text to send.")
	}
	out := done("chat", "%s wrote.", name)
	out.push = func(ctx context.Context) (wechatqrtest.Push, error) { return a.wx.SendText(ctx, id, text) }
	return out
}

func (a *app) again(r *http.Request) outcome {
	for _, p := range a.wx.Pushes() {
		if strconv.Itoa(p.ID) == r.PostFormValue("id") {
			out := done("chat", "Delivered push %d once more.", p.ID)
			out.push = func(ctx context.Context) (wechatqrtest.Push, error) { return a.wx.Push(ctx, p.Event) }
			return out
		}
	}
	return failed("chat", "There is no such push.")
}

func (a *app) setCallback(r *http.Request) outcome {
	old := a.wx.Callback()
	c := wechatqrtest.Callback{
		URL: strings.TrimSpace(r.PostFormValue("url")), Token: strings.TrimSpace(r.PostFormValue("token")),
		EncodingAESKey: strings.TrimSpace(r.PostFormValue("aeskey")), Mode: wechatqrtest.Mode(r.PostFormValue("mode")),
	}
	if _, ok := r.PostForm["url"]; !ok {
		c.URL = old.URL
	}
	if err := a.wx.SetCallback(c); err != nil {
		return failed("connect", "Not saved: %s", strings.TrimPrefix(plain(err), "callback: "))
	}
	if c := a.wx.Callback(); c != old {
		a.notify(func() { a.checked = nil })
	}
	if r.PostFormValue("then") == "check" {
		return a.check(r)
	}
	return done("connect", "Saved.")
}

// probe is the event that the debug tool of WeChat's console sends. It is pushed
// after a good echo, of which the key and the mode are no part.
const probe wechatqr.EventType = "debug_demo"

func (a *app) check(r *http.Request) outcome {
	address := a.wx.Callback().URL
	if address == "" {
		return failed("connect", "Set the callback URL first.")
	}
	a.notify(func() { a.checked = nil })
	found := func(err error) {
		a.notify(func() { a.checked = &checkResult{a.wx.Now(), address, err} })
	}
	err := a.wx.CheckCallback(r.Context())
	if r.Context().Err() != nil {
		return failed("connect", "The check was broken off.")
	}
	if err != nil {
		found(err)
	}
	var wrong *wechatqrtest.CallbackError
	switch {
	case errors.As(err, &wrong):
		out := failed("connect", "The callback does not answer as it should: %s", adviceOn(wrong).What)
		out.wrong = wrong
		return out
	case err != nil:
		return failed("connect", "%s", plain(err))
	}
	out := done("connect", "The callback answered the check as it should. This proves the URL and the Token; the key and the mode show with the probe push that follows.")
	out.push = func(ctx context.Context) (wechatqrtest.Push, error) {
		p, err := a.wx.Push(ctx, wechatqr.Event{Type: probe})
		found(err)
		return p, err
	}
	return out
}

func (a *app) revoke(*http.Request) outcome {
	a.wx.RevokeTokens()
	return done("trouble", "Every access token is invalid now: calls with them answer 40001.")
}

func (a *app) quota(r *http.Request) outcome {
	for _, q := range a.wx.Quotas() {
		if q.Path != r.PostFormValue("path") {
			continue
		}
		if r.PostFormValue("do") == "reset" {
			q.Used = 0
			a.wx.SetQuota(q)
			return done("trouble", "The quota of %s is whole again.", q.Path)
		}
		q.Used = q.Daily
		a.wx.SetQuota(q)
		return done("trouble", "The quota of %s is used up for today: calls answer 45009.", q.Path)
	}
	return failed("trouble", "There is no such quota.")
}

func (a *app) fault(r *http.Request) outcome {
	f, ok := faultOf(r.PostFormValue("what"))
	if !ok {
		return failed("trouble", "There is no such fault.")
	}
	times, err := strconv.Atoi(r.PostFormValue("times"))
	if err != nil || times < 0 {
		return failed("trouble", "“%s” is no number of calls.", r.PostFormValue("times"))
	}
	f.Path, f.Times = r.PostFormValue("path"), times
	a.wx.Inject(f)
	return done("trouble", "It will befall the next calls.")
}

func (a *app) clearFaults(*http.Request) outcome {
	a.wx.ClearFaults()
	return done("trouble", "All works again.")
}

const maxLeap = 10 * 365 * 24 * time.Hour // from the present, either way

func (a *app) clock(r *http.Request) outcome {
	ahead := a.ahead()
	by := r.PostFormValue("by")
	d, err := time.ParseDuration(by)
	switch {
	case by == "reset":
		a.wx.Advance(-ahead)
		return done("trouble", "The clock shows the present again.")
	case err != nil:
		return failed("trouble", "“%s” is no length of time: write it as 10m or 72h.", by)
	case math.Abs(float64(ahead)+float64(d)) > float64(maxLeap):
		return failed("trouble", "The clock goes ten years from the present at most.")
	}
	a.wx.Advance(d)
	return done("trouble", "The clock shows %s now.", a.wx.Now().Format("2006-01-02 15:04"))
}

// ahead is how far the sandbox's clock is from this machine's, to the second.
func (a *app) ahead() time.Duration { return a.wx.Now().Sub(time.Now().Round(0)).Round(time.Second) }
