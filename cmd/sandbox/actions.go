package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

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
// that sends or accepts JSON gets the outcome.
func (a *app) act(w http.ResponseWriter, r *http.Request) {
	perform, ok := actions[r.PathValue("action")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxFormBytes)
	isJSON, err := readForm(r)
	if err != nil {
		http.Error(w, "sandbox: "+err.Error(), http.StatusBadRequest)
		return
	}

	if isJSON || strings.Contains(r.Header.Get("Accept"), "application/json") {
		var out outcome
		var push *wechatqrtest.Push
		delivered := a.deliver(perform(a, r), func(o outcome, p *wechatqrtest.Push) { out, push = o, p })
		select {
		case <-delivered:
			writeOutcome(w, out, push, languageOf(r))
		case <-r.Context().Done(): // the push goes on
		}
		return
	}
	id := a.notice(perform(a, r))
	http.Redirect(w, r, pageURL(r, id), http.StatusSeeOther)
}

// readForm sets r.PostForm from a form, or from a JSON object of strings, numbers and
// booleans.
func readForm(r *http.Request) (isJSON bool, err error) {
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/json" {
		return false, r.ParseForm()
	}
	decoder := json.NewDecoder(r.Body)
	decoder.UseNumber()
	var fields map[string]any
	if err := decoder.Decode(&fields); err != nil {
		return true, fmt.Errorf("the body is not a JSON object: %w", err)
	}
	r.PostForm = url.Values{}
	for name, value := range fields {
		switch v := value.(type) {
		case string, json.Number:
			r.PostForm.Set(name, fmt.Sprint(v))
		case bool:
			if v { // false is a field that is not sent, as of a form's checkbox
				r.PostForm.Set(name, "1")
			}
		case nil:
		default:
			return true, fmt.Errorf("%s is not a string, a number or a boolean", name)
		}
	}
	r.Form = r.PostForm
	return true, nil
}

// pageURL is the page from which the form was sent, with the notice.
func pageURL(r *http.Request, told int) string {
	query := url.Values{"n": {strconv.Itoa(told)}}
	if from, err := url.Parse(r.Referer()); err == nil && from.Query().Get("show") != "" {
		query.Set("show", from.Query().Get("show"))
	}
	return "/?" + query.Encode()
}

// notice keeps the outcome for the page, and waits a moment for its push. One that
// fails later changes the notice.
func (a *app) notice(out outcome) (id int) {
	a.notify(func() {
		id = a.last.id + 1
		a.last = notice{id, out}
	})
	delivered := a.deliver(out, func(out outcome, _ *wechatqrtest.Push) {
		a.notify(func() {
			if a.last.id == id {
				a.last.outcome = out
			}
		})
	})
	t := time.NewTimer(pushWait)
	defer t.Stop()
	select {
	case <-delivered:
	case <-t.C:
	}
	return id
}

// deliver calls then with the complete outcome, and with the push if there was one, and
// closes the channel.
func (a *app) deliver(out outcome, then func(outcome, *wechatqrtest.Push)) <-chan struct{} {
	delivered := make(chan struct{})
	if out.push == nil {
		then(out, nil)
		close(delivered)
		return delivered
	}
	a.pushes.Go(func() {
		defer close(delivered)
		push := out.complete(out.push(a.ctx))
		then(out, push)
	})
	return delivered
}

// complete adds the result of the push. It returns nil if there was no push.
func (out *outcome) complete(p wechatqrtest.Push, err error) *wechatqrtest.Push {
	out.bad = err != nil
	switch {
	case err == nil:
		if text := p.UserSees(); text != "" {
			out.text = say("%s The user sees: %s", out.text, text)
		}
	case errors.As(err, &out.wrong):
		out.text = say("%s The backend failed: %s", out.text, whatIsWrong(out.wrong))
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

func writeOutcome(w http.ResponseWriter, out outcome, push *wechatqrtest.Push, lang string) {
	status := http.StatusOK
	if out.bad {
		status = http.StatusUnprocessableEntity
	}
	var detail string
	if out.wrong != nil {
		detail = out.wrong.Detail
	}
	var userSees string
	if push != nil {
		userSees = push.UserSees()
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
		!out.bad, out.text.in(lang), adviceIn(lang, out.wrong), detail, userSees, push,
		newCheckView(lang, out.check),
	})
}

// actions are the forms of the page.
var actions = map[string]func(*app, *http.Request) outcome{
	"create":    (*app).createCode,
	"scan":      (*app).scan,
	"person":    (*app).addUser,
	"remove":    (*app).removeUser,
	"follow":    (*app).follow,
	"unfollow":  (*app).unfollow,
	"text":      (*app).text,
	"click":     (*app).clickMenu,
	"image":     (*app).image,
	"location":  (*app).location,
	"event":     (*app).rawEvent,
	"again":     (*app).again,
	"callback":  (*app).setCallback,
	"check":     (*app).check,
	"revoke":    (*app).revoke,
	"quota":     (*app).quota,
	"fault":     (*app).fault,
	"pushfault": (*app).pushFault,
	"clear":     (*app).clearFaults,
	"clock":     (*app).clock,
	"reset":     (*app).reset,
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
	ticket, openID := a.ticket(r), r.PostFormValue("openid")
	after := r.PostFormValue("after")
	if after == "" {
		return a.scanAs(ticket, openID)
	}
	d, err := time.ParseDuration(after)
	if err != nil {
		return failed("codes", "“%s” is not a duration: write it as 10m or 72h.", after)
	}
	out := done("timeline", "Scanned, and followed the account %s later.", after)
	out.push = func(ctx context.Context) (wechatqrtest.Push, error) {
		return a.wx.ScanAndFollow(ctx, ticket, openID, d)
	}
	return out
}

// scanAs has the user scan a code; an empty openid is a new user.
func (a *app) scanAs(ticket, openID string) outcome {
	ev, err := a.wx.ScanEvent(ticket, openID)
	switch {
	case errors.Is(err, wechatqrtest.ErrExpired):
		return failed("codes",
			"The QR code has expired: WeChat pushes nothing for it. Create a new one, or set the clock back.")
	case err != nil:
		return failed("codes", "This QR code does not exist.")
	}
	who := a.nameOf(ev.FromUserName)
	key, _ := strings.CutPrefix(ev.EventKey, "qrscene_")
	out := done("timeline", "%s scanned %s.", who, key)
	if ev.Type.Is(wechatqr.EventSubscribe) {
		out = done("timeline", "%s scanned %s and followed the account.", who, key)
	}
	out.push = func(ctx context.Context) (wechatqrtest.Push, error) { return a.wx.Push(ctx, ev) }
	return out
}

func (a *app) addUser(r *http.Request) outcome {
	u := wechatqrtest.User{
		OpenID: strings.TrimSpace(r.PostFormValue("openid")), Follows: r.PostFormValue("follows") != "",
	}
	if _, ok := a.wx.User(u.OpenID); ok {
		return failed("people", "%s already exists.", a.nameOf(u.OpenID))
	}
	if u.Follows {
		u.SubscribeScene = "ADD_SCENE_SEARCH"
	}
	u = a.wx.PutUser(u)
	who := a.nameOf(u.OpenID)
	if u.Follows {
		return done("people", "Added %s, who follows the account.", who)
	}
	return done("people", "Added %s, who does not follow the account yet.", who)
}

func (a *app) removeUser(r *http.Request) outcome {
	id := r.PostFormValue("openid")
	name := a.nameOf(id)
	if !a.wx.RemoveUser(id) {
		return failed("people", "This user does not exist.")
	}
	return done("people", "Removed %s.", name)
}

func (a *app) follow(r *http.Request) outcome {
	id := r.PostFormValue("openid")
	if _, ok := a.wx.User(id); !ok {
		return failed("people", "This user does not exist.")
	}
	out := done("timeline", "%s followed the account.", a.nameOf(id))
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
		out = failed("people", "%s does not follow the account.", a.nameOf(id))
	default:
		return id, a.nameOf(id), nil
	}
	return "", phrase{}, &out
}

func (a *app) unfollow(r *http.Request) outcome {
	id, name, bad := a.follower(r)
	if bad != nil {
		return *bad
	}
	out := done("timeline", "%s unfollowed the account.", name)
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
	out := done("timeline", "%s sent a message.", name)
	out.push = func(ctx context.Context) (wechatqrtest.Push, error) {
		return a.wx.SendText(ctx, id, text)
	}
	return out
}

func (a *app) again(r *http.Request) outcome {
	for _, p := range a.wx.Pushes() {
		if strconv.Itoa(p.ID) == r.PostFormValue("id") {
			out := done("timeline", "Delivered push %d again.", p.ID)
			out.push = func(ctx context.Context) (wechatqrtest.Push, error) {
				return a.wx.Push(ctx, p.Event)
			}
			return out
		}
	}
	return failed("timeline", "This push does not exist.")
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
	if a.wx.Callback() != old {
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

// fault takes one of faultKinds, or any errcode.
func (a *app) fault(r *http.Request) outcome {
	var f wechatqrtest.Fault
	if code := strings.TrimSpace(r.PostFormValue("errcode")); code != "" {
		n, err := strconv.ParseInt(code, 10, 32)
		if err != nil || n == 0 {
			return failed("trouble", "“%s” is not an errcode.", code)
		}
		f = wechatqrtest.Fault{Code: wechatqr.ErrorCode(n), Message: r.PostFormValue("errmsg")}
	} else if kind, ok := faultByKey(r.PostFormValue("what")); ok {
		f = kind
	} else {
		return failed("trouble", "This fault does not exist.")
	}

	times, err := strconv.Atoi(r.PostFormValue("times"))
	if err != nil || times < 0 {
		return failed("trouble", "“%s” is not a number of calls.", r.PostFormValue("times"))
	}
	f.Path, f.Times = r.PostFormValue("path"), times
	a.wx.Inject(f)
	switch times {
	case 0:
		return done("trouble", "All calls fail until the faults are cleared.")
	case 1:
		return done("trouble", "The next call fails.")
	}
	return done("trouble", "The next %d calls fail.", times)
}

// pushFault loses pushes or delays them.
func (a *app) pushFault(r *http.Request) outcome {
	f := wechatqrtest.PushFault{Drop: r.PostFormValue("drop") != ""}
	var errs [3]error
	if v := r.PostFormValue("times"); v != "" {
		f.Times, errs[0] = strconv.Atoi(v)
	}
	if v := r.PostFormValue("share"); v != "" {
		f.Share, errs[1] = strconv.ParseFloat(v, 64)
	}
	if v := r.PostFormValue("delay"); v != "" {
		f.Delay, errs[2] = time.ParseDuration(v)
	}
	err := errors.Join(errs[:]...)
	if err == nil {
		err = a.wx.InjectPush(f)
	}
	switch {
	case err != nil:
		return failed("trouble", "This fault does not exist.")
	case f.Drop:
		return done("trouble", "Pushes will be lost.")
	}
	return done("trouble", "Pushes will come late.")
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

func (a *app) reset(*http.Request) outcome {
	a.wx.Reset()
	a.people.forget()
	return done("trouble", "Everything is as at first: the account, its tokens and the callback stay.")
}
