package main

import (
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/wechatqr/wechatqr/internal/webui"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// phone serves the scan page, which a phone's camera opens since it is what the codes
// say. It has a listener of its own, so that who reaches it cannot reach the rest of the
// sandbox.
type phone struct {
	app    *app
	origin string
}

const scanPath = "/q/"

// contentPrefix is what the contents of codes begin with.
func (p *phone) contentPrefix() string { return p.origin + scanPath }

// phoneOrigin is the base URL of a listener as a phone reaches it.
func phoneOrigin(l net.Addr) string {
	host, port, err := net.SplitHostPort(l.String())
	if err != nil {
		return originOf(l)
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		return "http://" + net.JoinHostPort(localNetworkIP(), port)
	}
	return originOf(l)
}

// localNetworkIP is this machine's address in the local network, or 127.0.0.1 if it is
// in none.
func localNetworkIP() string {
	// Nothing is sent: the system picks the address from which it would send.
	conn, err := net.Dial("udp4", "192.0.2.1:9") // reserved for documentation
	if err != nil {
		return "127.0.0.1"
	}
	defer func() { _ = conn.Close() }() // nothing was written
	return hostOf(conn.LocalAddr().String())
}

func (p *phone) handler() (http.Handler, error) {
	g, err := webui.NewGuard("sandbox", p.origin)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+scanPath+"{code}", p.show)
	mux.HandleFunc("POST "+scanPath+"{code}", p.scan)
	mux.HandleFunc("GET /chat", p.show)
	mux.HandleFunc("POST /chat", p.chat)
	mux.HandleFunc("GET /_sandbox/{file}", serveFile)
	mux.HandleFunc("GET /_sandbox/events", p.app.stream)
	return g.Pages(mux), nil
}

// phoneView is the data of phone.html.
type phoneView struct {
	Lang    string
	Scene   string // empty: the chat
	Missing bool   // there is no such code
	Expired bool
	Me      *userView // nil: the phone has not scanned yet
	Turns   []feedItem
}

func (p *phone) show(w http.ResponseWriter, r *http.Request) {
	lang := languageOf(r)
	v := phoneView{Lang: lang}
	st := p.app.wx.State()
	names := p.app.people.named(st.Users)
	if me, ok := p.me(r); ok {
		named := names[me.OpenID]
		v.Me = &userView{User: me, Name: named.name.in(lang), Color: named.color}
		v.Me.Letter = firstRune(v.Me.Name)
		for _, turn := range turnsOf(st, names, lang) {
			if turn.OpenID == me.OpenID {
				v.Turns = append(v.Turns, turn)
			}
		}
	}
	if r.PathValue("code") != "" {
		code, ok := p.code(r)
		v.Missing, v.Scene = !ok, code.Scene()
		v.Expired = ok && !code.Permanent() && !st.Now.Before(code.ExpiresAt)
	}
	p.app.pages.show(w, lang, "phone.html", v)
}

// code is that of the address.
func (p *phone) code(r *http.Request) (wechatqrtest.QRCode, bool) {
	for _, c := range p.app.wx.QRCodes() {
		if c.Content == p.contentPrefix()+r.PathValue("code") {
			return c, true
		}
	}
	return wechatqrtest.QRCode{}, false
}

// personCookie is the openid of the user whom a phone is. It is one of the sandbox's.
const personCookie = "sandbox_person"

func (p *phone) me(r *http.Request) (wechatqrtest.User, bool) {
	c, err := r.Cookie(personCookie)
	if err != nil || c.Value == "" {
		return wechatqrtest.User{}, false
	}
	return p.app.wx.User(c.Value)
}

// scan is a scan as the user of the phone, or as a new one, who follows already or not.
func (p *phone) scan(w http.ResponseWriter, r *http.Request) {
	code, ok := p.code(r)
	if !ok {
		http.Redirect(w, r, r.URL.Path, http.StatusSeeOther) // the page says it
		return
	}
	me, known := p.me(r)
	if as := r.PostFormValue("as"); !known || as != "me" {
		me = p.app.wx.PutUser(wechatqrtest.User{Follows: as == "follower"})
	}
	http.SetCookie(w, &http.Cookie{
		Name: personCookie, Value: me.OpenID, Path: "/", MaxAge: int((30 * 24 * time.Hour).Seconds()),
		HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
	p.do(w, r, p.app.scanAs(code.Ticket, me.OpenID))
}

// chat is a message of the user, or the end of the subscription.
func (p *phone) chat(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxFormBytes)
	if err := r.ParseForm(); err != nil {
		http.Error(w, "sandbox: "+err.Error(), http.StatusBadRequest)
		return
	}
	me, _ := p.me(r)
	r.PostForm.Set("openid", me.OpenID)
	r.Form = r.PostForm
	action := p.app.text
	switch {
	case r.PostFormValue("do") == "unfollow":
		action = p.app.unfollow
	case r.PostFormValue("do") == "follow":
		action = p.app.follow
	case strings.TrimSpace(r.PostFormValue("content")) == "":
		http.Redirect(w, r, "/chat", http.StatusSeeOther)
		return
	}
	p.do(w, r, action(r))
}

func (p *phone) do(w http.ResponseWriter, r *http.Request, out outcome) {
	p.app.notice(out)
	if out.bad {
		http.Redirect(w, r, r.URL.Path, http.StatusSeeOther) // the page says why
		return
	}
	http.Redirect(w, r, "/chat", http.StatusSeeOther)
}
