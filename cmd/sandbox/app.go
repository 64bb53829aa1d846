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

// app serves the page and its actions.
type app struct {
	wx      *wechatqrtest.Server
	origin  string
	proxyCA string // file of the proxy's certificate authority; empty: no proxy
	pages   pages
	client  *wechatqr.Client // creates QR codes for the page
	ctx     context.Context  // ends when the sandbox stops
	pushes  sync.WaitGroup   // those in progress

	mu      sync.Mutex              // guards the fields below
	last    notice                  // of the latest action
	checked *wechatqrtest.Diagnosis // latest; nil after a change of the callback
	changed chan struct{}           // closed at the next change of last or checked; nil while nobody waits
}

// notice is the outcome of an action, shown once at the top of the page.
type notice struct {
	id    int
	text  phrase
	bad   bool
	place string // id of the section that shows more
}

// inProcess is the transport of the page's client. It calls the Server directly,
// since the sandbox may not reach its own origin.
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

func newApp(ctx context.Context, wx *wechatqrtest.Server, origin string) (*app, error) {
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
	return &app{wx: wx, origin: origin, pages: ps, client: client, ctx: ctx}, nil
}

// routes serves the page; every other path is the API's.
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
	minInterval       = 200 * time.Millisecond // between two events
	heartbeatInterval = 20 * time.Second       // keeps proxies from closing the connection
)

// stream sends a server-sent event whenever the page is out of date.
func (a *app) stream(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // keeps nginx from buffering
	rc := http.NewResponseController(w)
	message := "retry: 1000\nevent: change\ndata:\n\n"
	for {
		wx, own := a.wx.Changed(), a.change()
		if _, err := w.Write([]byte(message)); err != nil {
			return
		}
		if rc.Flush() != nil {
			return
		}
		beat := time.NewTimer(heartbeatInterval)
		message = "event: change\ndata:\n\n"
		select {
		case <-wx:
		case <-own:
		case <-beat.C:
			message = ": alive\n\n"
		case <-r.Context().Done():
			beat.Stop()
			return
		case <-a.ctx.Done():
			beat.Stop()
			return
		}
		beat.Stop()

		select {
		case <-time.After(minInterval):
		case <-r.Context().Done():
			return
		case <-a.ctx.Done():
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
	_, _ = w.Write(data) // the browser may have closed the connection
}

// state responds with everything that the page shows, as JSON.
func (a *app) state(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]any{
		"now": a.wx.Now(), "codes": a.wx.QRCodes(), "users": a.wx.Users(), "pushes": a.wx.Pushes(),
		"messages": a.wx.Messages(), "requests": a.wx.Requests(), "faults": a.wx.Faults(),
		"quotas": a.wx.Quotas(),
	})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // the client may have closed the connection
}

// outcome is the result of an action. If push is set, the action is complete when
// it has returned.
type outcome struct {
	text  phrase
	bad   bool
	place string                      // id of the section that shows more
	wrong *wechatqrtest.CallbackError // the cause of bad, if it is the callback
	check *wechatqrtest.Diagnosis
	push  func(context.Context) (wechatqrtest.Push, error)
}

func done(place, text string, args ...any) outcome {
	return outcome{text: say(text, args...), place: place}
}

func failed(place, text string, args ...any) outcome {
	return outcome{text: say(text, args...), bad: true, place: place}
}

// pushWait is how long an action of a browser waits for its push, so that a page
// without JavaScript can show the reply. A program waits until the push is done.
const pushWait = 500 * time.Millisecond

const maxFormBytes = 64 << 10

// act is POST /_sandbox/{action}. A browser is redirected to the page; a program
// that accepts JSON gets the outcome.
func (a *app) act(w http.ResponseWriter, r *http.Request) {
	run, ok := actions[r.PathValue("action")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxFormBytes)
	if err := r.ParseForm(); err != nil {
		http.Error(w, "sandbox: "+err.Error(), http.StatusBadRequest)
		return
	}

	wantsJSON := strings.Contains(r.Header.Get("Accept"), "application/json")
	out := run(a, r)
	var push *wechatqrtest.Push
	if out.push != nil {
		push = a.deliver(&out, wantsJSON, r.Context().Done())
	}
	if wantsJSON {
		writeOutcome(w, out, push, languageOf(r))
		return
	}

	var id int
	a.notify(func() {
		id = a.last.id + 1
		a.last = notice{id, out.text, out.bad, out.place}
	})
	http.Redirect(w, r, "/?n="+strconv.Itoa(id)+"#"+out.place, http.StatusSeeOther)
}

func writeOutcome(w http.ResponseWriter, out outcome, push *wechatqrtest.Push, lang string) {
	status := http.StatusOK
	if out.bad {
		status = http.StatusUnprocessableEntity
	}
	var wrong wechatqrtest.CallbackError
	if out.wrong != nil {
		wrong = *out.wrong
	}
	writeJSON(w, status, struct {
		OK       bool               `json:"ok"`
		Message  string             `json:"message"`
		Advice   string             `json:"advice,omitempty"`
		Detail   string             `json:"detail,omitempty"`
		UserSees string             `json:"user_sees,omitempty"`
		Push     *wechatqrtest.Push `json:"push,omitempty"`
		Check    *checkView         `json:"check,omitempty"`
	}{
		!out.bad, out.text.in(lang), translate(lang, wrong.Advice), wrong.Detail, userSees(push), push,
		newCheckView(lang, out.check),
	})
}

func userSees(p *wechatqrtest.Push) string {
	if p == nil {
		return ""
	}
	return p.UserSees()
}

// deliver starts the push of an action and waits for it: without a limit if wait is
// set, else for pushWait, and not after cancelled is closed. If the push is done by
// then, deliver completes out and returns the push; otherwise the push goes on.
func (a *app) deliver(out *outcome, wait bool, cancelled <-chan struct{}) *wechatqrtest.Push {
	type result struct {
		push wechatqrtest.Push
		err  error
	}
	done := make(chan result, 1)
	push := out.push
	a.pushes.Go(func() {
		p, err := push(a.ctx)
		done <- result{p, err}
	})

	var timeout <-chan time.Time
	if !wait {
		t := time.NewTimer(pushWait)
		defer t.Stop()
		timeout = t.C
	}
	select {
	case got := <-done:
		return out.complete(got.push, got.err)
	case <-timeout:
	case <-cancelled:
	}
	return nil
}

// complete adds the result of the push. It returns nil if there was no push.
func (out *outcome) complete(p wechatqrtest.Push, err error) *wechatqrtest.Push {
	out.bad = err != nil
	switch {
	case err == nil:
		if text := userSees(&p); text != "" {
			out.text = say("%s The user sees: %s", out.text, text)
		}
	case errors.As(err, &out.wrong):
		out.text = say("Pushed, but the backend's response is wrong: %s", whatIsWrong(out.wrong))
	case errors.Is(err, wechatqrtest.ErrNoCallback):
		out.text = say("Done, but nothing was pushed: set the callback URL first.")
		return nil
	default:
		out.text = say("%s", plain(err))
		return nil
	}
	return &p
}

// plain is the text of an error without the name of the package.
func plain(err error) string {
	return strings.TrimPrefix(strings.TrimPrefix(err.Error(), "wechatqrtest: "), "wechatqr: ")
}

// actions are the forms of the page.
var actions = map[string]func(*app, *http.Request) outcome{
	"create":   (*app).createCode,
	"scan":     (*app).scan,
	"person":   (*app).addUser,
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
			return failed("codes", "The scene must be a number from 1 to 4294967295, not “%s”.", value)
		}
		scene = wechatqr.SceneID(uint32(n))
	}
	req := wechatqr.Permanent(scene)
	if ttl := r.PostFormValue("ttl"); ttl != "" {
		d, err := time.ParseDuration(ttl)
		if err != nil {
			return failed("codes", "“%s” is not a duration: write it as 10m or 72h.", ttl)
		}
		req = wechatqr.Temporary(scene, d)
	}
	if _, err := a.client.CreateTicket(r.Context(), req); err != nil {
		return failed("codes", "The QR code was not created: %s", plain(err))
	}
	return done("codes", "Created a QR code with the scene %s.", value)
}

// ticket returns the ticket of a form, or that of the newest code with the form's
// scene.
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
		return failed("codes", "The QR code has expired: WeChat pushes nothing for it. Create a new one, or set the clock back.")
	case err != nil:
		return failed("codes", "This QR code does not exist.")
	}
	who := a.names(a.wx.Users())[ev.FromUserName].name
	key, _ := strings.CutPrefix(ev.EventKey, "qrscene_")
	out := done("chat", "%s scanned %s.", who, key)
	if ev.Type.Is(wechatqr.EventSubscribe) {
		out = done("chat", "%s scanned %s and followed the account.", who, key)
	}
	out.push = func(ctx context.Context) (wechatqrtest.Push, error) { return a.wx.Push(ctx, ev) }
	return out
}

func (a *app) addUser(r *http.Request) outcome {
	u := wechatqrtest.User{
		OpenID: strings.TrimSpace(r.PostFormValue("openid")), Follows: r.PostFormValue("follows") != "",
	}
	if old, ok := a.wx.User(u.OpenID); ok {
		return failed("people", "%s already exists.", old.OpenID)
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
		return failed("people", "This user does not exist.")
	}
	out := done("chat", "%s followed the account.", a.names(a.wx.Users())[id].name)
	out.push = func(ctx context.Context) (wechatqrtest.Push, error) { return a.wx.Follow(ctx, id) }
	return out
}

// follower returns the form's user, or an outcome if they do not follow.
func (a *app) follower(r *http.Request) (id string, name phrase, bad *outcome) {
	id = r.PostFormValue("openid")
	u, ok := a.wx.User(id)
	var out outcome
	switch {
	case !ok:
		out = failed("people", "This user does not exist.")
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
	out := done("chat", "%s unfollowed the account.", name)
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
		return failed("people", "The message is empty.")
	}
	out := done("chat", "%s sent a message.", name)
	out.push = func(ctx context.Context) (wechatqrtest.Push, error) { return a.wx.SendText(ctx, id, text) }
	return out
}

func (a *app) again(r *http.Request) outcome {
	for _, p := range a.wx.Pushes() {
		if strconv.Itoa(p.ID) == r.PostFormValue("id") {
			out := done("chat", "Delivered push %d again.", p.ID)
			out.push = func(ctx context.Context) (wechatqrtest.Push, error) { return a.wx.Push(ctx, p.Event) }
			return out
		}
	}
	return failed("chat", "This push does not exist.")
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

func (a *app) revoke(*http.Request) outcome {
	a.wx.RevokeTokens()
	return done("trouble", "Every access token is invalid now: calls with them get 40001.")
}

func (a *app) quota(r *http.Request) outcome {
	for _, q := range a.wx.Quotas() {
		if q.Path != r.PostFormValue("path") {
			continue
		}
		if r.PostFormValue("do") == "reset" {
			q.Used = 0
			a.wx.SetQuota(q)
			return done("trouble", "The quota of %s was reset.", q.Path)
		}
		q.Used = q.Daily
		a.wx.SetQuota(q)
		return done("trouble", "The quota of %s is used up for today: calls get 45009.", q.Path)
	}
	return failed("trouble", "This API has no quota.")
}

func (a *app) fault(r *http.Request) outcome {
	f, ok := faultByKey(r.PostFormValue("what"))
	if !ok {
		return failed("trouble", "This fault does not exist.")
	}
	times, err := strconv.Atoi(r.PostFormValue("times"))
	if err != nil || times < 0 {
		return failed("trouble", "“%s” is not a number of calls.", r.PostFormValue("times"))
	}
	f.Path, f.Times = r.PostFormValue("path"), times
	a.wx.Inject(f)
	return done("trouble", "The fault applies to the next calls.")
}

func (a *app) clearFaults(*http.Request) outcome {
	a.wx.ClearFaults()
	return done("trouble", "All faults were cleared.")
}

const maxAhead = 10 * 365 * 24 * time.Hour // in either direction

func (a *app) clock(r *http.Request) outcome {
	ahead := a.ahead()
	by := r.PostFormValue("by")
	d, err := time.ParseDuration(by)
	switch {
	case by == "reset":
		a.wx.Advance(-ahead)
		return done("trouble", "The clock shows the current time again.")
	case err != nil:
		return failed("trouble", "“%s” is not a duration: write it as 10m or 72h.", by)
	case math.Abs(float64(ahead)+float64(d)) > float64(maxAhead):
		return failed("trouble", "The clock can be set at most ten years from the current time.")
	}
	a.wx.Advance(d)
	return done("trouble", "The clock shows %s now.", a.wx.Now().Format("2006-01-02 15:04"))
}

// ahead is the offset of the sandbox's clock from this machine's, in whole seconds.
func (a *app) ahead() time.Duration { return a.wx.Now().Sub(time.Now().Round(0)).Round(time.Second) }
