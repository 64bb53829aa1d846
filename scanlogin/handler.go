package scanlogin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	maxForm    = 4 << 10
	longPoll   = 25 * time.Second
	heartbeat  = 15 * time.Second // of a stream, for proxies that end what is silent
	writeLimit = 30 * time.Second // for what is written next, whatever the server's WriteTimeout
	cookieLife = 15 * time.Minute

	policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; " +
		"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

// Handler serves the page on which people log in, at one address, wherever that is
// mounted. done is called in the request of the browser that has logged in, once: it
// begins a session with a new secret, and redirects, within the same origin, for the
// page's policy lets its forms lead nowhere else.
//
// To a request that accepts application/json and no text/html it is an API:
//
//	GET              the Status
//	GET ?wait=STATE  the Status, when the state is no longer that, or after 25 s
//	GET ?picture     the picture of the code that waits
//	POST do=begin    begins a login: the Status, or 429 with Retry-After
//	POST do=confirm  with number=…: the response is done's, or 409 and the Status
//	POST do=cancel   the Status
//
// POSTs are forms. A GET that accepts text/event-stream gets each Status as an event,
// and when the same browser opens another stream the event superseded: do not come
// again then. A POST of another origin's page is refused with 403.
func (l *Login) Handler(done func(http.ResponseWriter, *http.Request, Result)) http.Handler {
	anybody := func(*http.Request) (User, bool) { return User{}, true }
	return l.handler(l.cookie+"scan", anybody, done)
}

// Bind is Handler for somebody who is logged in: user tells who that is, and the scan
// is for that account, which the chat and the page name. Where user returns false, or
// no ID, the response is 401. A binding goes on only while user returns the same ID.
//
// done is to bind Result.OpenID to Result.User, or to say that it cannot because the
// openid is bound to another.
func (l *Login) Bind(
	user func(*http.Request) (User, bool), done func(http.ResponseWriter, *http.Request, Result),
) http.Handler {
	return l.handler(l.cookie+"bind", func(r *http.Request) (User, bool) {
		u, ok := user(r)
		return u, ok && u.ID != ""
	}, done)
}

type handler struct {
	*Login
	cookie string
	user   func(*http.Request) (User, bool)
	done   func(http.ResponseWriter, *http.Request, Result)
}

func (l *Login) handler(
	cookie string, user func(*http.Request) (User, bool),
	done func(http.ResponseWriter, *http.Request, Result),
) http.Handler {
	h := &handler{l, cookie, user, done}
	guarded := l.foreign.Handler(http.MaxBytesHandler(http.HandlerFunc(h.serve), maxForm))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Cache-Control", "no-store")
		header.Set("Content-Security-Policy", policy)
		header.Set("Cross-Origin-Resource-Policy", "same-origin")
		header.Set("Referrer-Policy", "same-origin")
		header.Set("Vary", "Accept, Accept-Language, Cookie")
		header.Set("X-Content-Type-Options", "nosniff")
		guarded.ServeHTTP(w, r)
	})
}

func (h *handler) serve(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	get := r.Method == http.MethodGet || r.Method == http.MethodHead
	switch {
	case !get && r.Method != http.MethodPost:
		w.Header().Set("Allow", "GET, HEAD, POST")
		http.Error(w, "use GET or POST", http.StatusMethodNotAllowed)
		return
	case get && query.Has("style"):
		assets["style"].ServeHTTP(w, r)
		return
	case get && query.Has("script"):
		assets["script"].ServeHTTP(w, r)
		return
	case get && query.Has("confirm"):
		h.linkPage(w, r, query.Get("confirm"))
		return
	case !get && r.PostFormValue("token") != "":
		h.answerLink(w, r, r.PostFormValue("token"))
		return
	}

	user, ok := h.user(r)
	if !ok {
		http.Error(w, "请先登录。 Log in first.", http.StatusUnauthorized)
		return
	}
	v := Visitor{h.secret(r), user, h.clientIP(r), r.UserAgent()}
	switch {
	case !get:
		h.post(w, r, v)
	case query.Has("picture"):
		h.servePicture(w, r, v)
	case accepts(r, "text/event-stream"):
		h.stream(w, r, v)
	case query.Has("wait") && accepts(r, "application/json"):
		h.poll(w, r, v, State(query.Get("wait")))
	default:
		h.show(w, r, v, http.StatusOK)
	}
}

// accepts reports whether the request wants that form, and no page.
func accepts(r *http.Request, form string) bool {
	accept := r.Header.Get("Accept")
	return strings.Contains(accept, form) && !strings.Contains(accept, "text/html")
}

func (h *handler) secret(r *http.Request) string {
	c, err := r.Cookie(h.cookie)
	if err != nil {
		return ""
	}
	return c.Value
}

func (h *handler) setSecret(w http.ResponseWriter, secret string) {
	http.SetCookie(w, &http.Cookie{
		Name: h.cookie, Value: secret, Path: "/", MaxAge: int(cookieLife / time.Second),
		Secure: strings.HasPrefix(h.cookie, hostPrefix), HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

func (h *handler) post(w http.ResponseWriter, r *http.Request, v Visitor) {
	switch r.PostFormValue("do") {
	case "begin":
		h.begin(w, r, v)
	case "confirm":
		result, err := h.Confirm(r.Context(), v, r.PostFormValue("number"))
		switch {
		case errors.Is(err, ErrNotConfirmed):
			h.answer(w, r, v, http.StatusConflict)
		case err != nil:
			h.fail(w, r, v, err)
		default:
			w.Header().Del("Content-Security-Policy") // it is the page's
			h.done(w, r, result)
		}
	case "cancel":
		if err := h.Cancel(r.Context(), v); err != nil {
			h.fail(w, r, v, err)
			return
		}
		h.answer(w, r, v, http.StatusOK)
	default:
		http.Error(w, "do is begin, confirm or cancel", http.StatusBadRequest)
	}
}

func (h *handler) begin(w http.ResponseWriter, r *http.Request, v Visitor) {
	a, err := h.Begin(r.Context(), v)
	switch {
	case errors.Is(err, ErrTooMany):
		w.Header().Set("Retry-After", "60")
		h.write(w, r, h.pageOf(r, v, Status{State: StateTooMany}, nil), http.StatusTooManyRequests)
	case err != nil:
		h.fail(w, r, v, err)
	default:
		v.Secret = a.Secret
		h.setSecret(w, a.Secret)
		h.answer(w, r, v, http.StatusOK)
	}
}

// answer is the response to a POST: a page is to be got anew.
func (h *handler) answer(w http.ResponseWriter, r *http.Request, v Visitor, status int) {
	if accepts(r, "application/json") {
		h.show(w, r, v, status)
		return
	}
	query := url.Values{"lang": {language(r)}}
	if r.PostFormValue("do") == "begin" {
		query.Set("begun", "") // who has no cookie then has a browser that keeps none
	}
	redirect(w, query)
}

// redirect leads to the same address, which this handler does not know: what is
// mounted may see another path than the browser.
func redirect(w http.ResponseWriter, query url.Values) {
	w.Header().Set("Location", "?"+query.Encode())
	w.WriteHeader(http.StatusSeeOther)
}

func (h *handler) show(w http.ResponseWriter, r *http.Request, v Visitor, status int) {
	s, rec, err := h.look(r.Context(), v)
	if err != nil {
		h.fail(w, r, v, err)
		return
	}
	h.write(w, r, h.pageOf(r, v, s, rec), status)
}

func (h *handler) fail(w http.ResponseWriter, r *http.Request, v Visitor, err error) {
	if r.Context().Err() == nil {
		h.log(r.Context(), slog.LevelError, "wechatqr: scan login failed", "error", err)
	}
	w.Header().Set("Retry-After", "10")
	p := h.pageOf(r, v, Status{State: StateNone}, nil)
	p.Failed, p.Auto = true, false
	h.write(w, r, p, http.StatusBadGateway)
}

func (h *handler) pageOf(r *http.Request, v Visitor, s Status, rec *record) Page {
	p := newPage(r, s, v.User)
	p.NoCookie = s.State == StateNone && r.URL.Query().Has("begun")
	switch s.State {
	case StateNone:
		p.Auto = !p.NoCookie
	case StateWaiting:
		p.Picture = "?picture=" + h.hash(rec.Ticket.Value, "picture")
	case StateScanned, StateUsed:
		p.Number = h.confirm == byNumber
	case StateConfirmed:
		p.Auto = true
	}
	return p
}

func newPage(r *http.Request, s Status, user User) Page {
	p := Page{
		Status: s, Lang: language(r), User: shown(user.Name), Binds: user.ID != "",
		Style: assets["style"].query, Script: assets["script"].query,
	}
	query := r.URL.Query()
	query.Set("lang", p.Say("en", "zh"))
	p.OtherQuery = "?" + query.Encode()
	return p
}

// write writes the page, or its Status as JSON.
func (h *handler) write(w http.ResponseWriter, r *http.Request, p Page, status int) {
	var body bytes.Buffer
	contentType := "text/html; charset=utf-8"
	var err error
	if accepts(r, "application/json") {
		contentType = "application/json"
		err = json.NewEncoder(&body).Encode(p.Status)
	} else {
		err = h.template.Execute(&body, p)
	}
	if err != nil {
		h.log(r.Context(), slog.LevelError, "wechatqr: scan login: the page failed", "error", err)
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, _ = body.WriteTo(w) // the browser has gone
}

func (h *handler) servePicture(w http.ResponseWriter, r *http.Request, v Visitor) {
	s, rec, err := h.look(r.Context(), v)
	if err == nil && s.State != StateWaiting {
		http.Error(w, "there is no code", http.StatusNotFound)
		return
	}
	if err == nil {
		code, pictureErr := h.picture(r.Context(), rec.Ticket)
		if err = pictureErr; err == nil {
			w.Header().Set("Content-Type", code.ContentType)
			w.Header().Set("Cache-Control", "private, max-age=300") // the address is the code's
			_, _ = w.Write(code.Data)
			return
		}
	}
	h.log(r.Context(), slog.LevelError, "wechatqr: scan login: there is no picture", "error", err)
	http.Error(w, "the picture cannot be had now", http.StatusBadGateway)
}

// poll is a response when the state has changed, or after a while.
func (h *handler) poll(w http.ResponseWriter, r *http.Request, v Visitor, seen State) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(longPoll + writeLimit))
	ctx, cancel := context.WithTimeout(r.Context(), longPoll)
	defer cancel()
	s, err := h.Wait(ctx, v, seen)
	status := http.StatusOK
	switch {
	case errors.Is(err, ErrSuperseded):
		status = http.StatusConflict
	case errors.Is(err, ErrClosed):
		status = http.StatusServiceUnavailable
	case err != nil && (ctx.Err() == nil || s.State == ""):
		h.fail(w, r, v, err)
		return
	}
	h.write(w, r, Page{Status: s}, status)
}

// stream sends each Status until nothing comes after it.
func (h *handler) stream(w http.ResponseWriter, r *http.Request, v Visitor) {
	control := http.NewResponseController(w)
	send := func(text string) bool {
		_ = control.SetWriteDeadline(time.Now().Add(writeLimit))
		_, err := w.Write([]byte(text))
		return err == nil && control.Flush() == nil
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // of nginx

	id := h.id(v.Secret, v.User)
	one := h.waiting.join(id)
	defer h.waiting.leave(id, one)
	for seen := State(""); ; {
		ctx, cancel := context.WithTimeout(r.Context(), heartbeat)
		s, err := h.wait(ctx, one, v, seen)
		beat := ctx.Err() != nil && r.Context().Err() == nil
		cancel()
		switch {
		case errors.Is(err, ErrSuperseded):
			send("event: superseded\ndata: {}\n\n")
			return
		case err != nil && !beat:
			if r.Context().Err() == nil && !errors.Is(err, ErrClosed) {
				h.log(r.Context(), slog.LevelError, "wechatqr: scan login failed", "error", err)
			}
			return
		case beat:
			if !send(":\n\n") {
				return
			}
			continue
		}
		data, err := json.Marshal(s)
		if err != nil || !send("data: "+string(data)+"\n\n") || s.State.over() {
			return
		}
		seen = s.State
	}
}
