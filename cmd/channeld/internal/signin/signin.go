// Package signin lets people in: by name and password, by an invitation, or by a share
// link.
package signin

import (
	"context"
	"embed"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/wechatqr/wechatqr/cmd/channeld/internal/store"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/web"
)

// Config is what signing in depends on.
type Config struct {
	Store  *store.Store
	Frame  web.Frame
	Logger *slog.Logger
	Origin string // by which browsers reach the desk

	// Forwarded takes the address of a client from the last entry of X-Forwarded-For,
	// which the proxy in front of the desk sets.
	Forwarded bool
}

// Door is the routes by which people come in, and knows who they are.
type Door struct {
	Config
	cookie    string // its name
	secure    bool
	passwords *passwords
}

//go:embed *.html
var files embed.FS

var templates = web.ParseTemplates(files, "*.html")

// New returns the door of a desk.
func New(c Config) (*Door, error) {
	origin, err := url.Parse(c.Origin)
	if err != nil {
		return nil, err
	}
	d := &Door{Config: c, secure: origin.Scheme == "https"}
	// Browsers keep a __Host- cookie from other hosts and from plain http. On loopback,
	// where there is no https, the name has the port, since browsers give the cookies
	// of one port to all.
	d.cookie = "__Host-desk"
	if !d.secure {
		d.cookie = "desk_" + origin.Port()
	}
	d.passwords, err = newPasswords()
	return d, err
}

// Open are the routes that need no role.
func (d *Door) Open() []web.Route {
	return []web.Route{
		{Pattern: "GET /sign-in", Handle: d.form},
		{Pattern: "POST /sign-in", Handle: d.signIn},
		{Pattern: "GET /invite/{secret}", Handle: d.invitation},
		{Pattern: "POST /invite/{secret}", Handle: d.accept},
		{Pattern: "GET /s/{secret}", Handle: d.share},
		{Pattern: "POST /sign-out", Handle: d.signOut},
	}
}

// Know looks up who makes the request.
func (d *Door) Know(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v, err := d.Visitor(r)
		if err != nil {
			d.broken(w, r, err)
			return
		}
		next.ServeHTTP(w, r.WithContext(web.WithVisitor(r.Context(), v)))
	})
}

// visitorTimeout is shorter than web.PageTimeout, in which who is known is answered.
const visitorTimeout = 10 * time.Second

// Visitor is who makes the request, as of now.
func (d *Door) Visitor(r *http.Request) (web.Visitor, error) {
	cookie, err := r.Cookie(d.cookie)
	if err != nil { // there is none
		return web.Visitor{}, nil
	}
	ctx, cancel := context.WithTimeout(r.Context(), visitorTimeout)
	defer cancel()
	return d.Store.Visitor(ctx, cookie.Value)
}

// Refuse answers who may not ask for a page: who is not signed in may sign in.
func (d *Door) Refuse(w http.ResponseWriter, r *http.Request) {
	v := web.VisitorOf(r.Context())
	switch {
	case v.Role == web.Guest:
		d.say(w, r, http.StatusForbidden, web.Say(r, "看不到这一页", "Not for this link"),
			web.Say(r, "分享链接只能看分享给您的数字。", "A share link shows what was shared with you."))
	case v.Role != web.Nobody:
		d.say(w, r, http.StatusForbidden, web.Say(r, "没有权限", "Not allowed"),
			web.Say(r, "您的账号没有此权限，请联系管理员。",
				"Your account may not do this: ask an administrator."))
	case r.Method == http.MethodGet:
		target := "/sign-in"
		if r.URL.Path != "/" {
			target += "?" + url.Values{"next": {r.URL.RequestURI()}}.Encode()
		}
		http.Redirect(w, r, target, http.StatusSeeOther)
	default:
		d.say(w, r, http.StatusUnauthorized, web.Say(r, "请重新登录", "Sign in again"),
			web.Say(r, "登录已失效，刚才的操作没有执行。",
				"You are no longer signed in. What you sent was not done."))
	}
}

// formView is what the forms show.
type formView struct {
	Name, Next string
	Problem    string
	MinLength  int
}

func (d *Door) say(w http.ResponseWriter, r *http.Request, status int, title, text string) {
	p := web.Problem{Status: status, Title: title, Text: text}
	if web.VisitorOf(r.Context()).Role == web.Nobody {
		p.Link, p.LinkText = "/sign-in", web.Say(r, "登录", "Sign in")
	}
	d.Frame.Problem(w, r, p)
}

func (d *Door) form(w http.ResponseWriter, r *http.Request) {
	if web.VisitorOf(r.Context()).Role != web.Nobody {
		http.Redirect(w, r, web.LocalPath(r.FormValue("next")), http.StatusSeeOther)
		return
	}
	d.showForm(w, r, http.StatusOK, "")
}

func (d *Door) showForm(w http.ResponseWriter, r *http.Request, status int, problem string) {
	page := web.Page{Status: status, Title: web.Say(r, "登录", "Sign in")}
	view := formView{Name: r.PostFormValue("name"), Next: r.FormValue("next"), Problem: problem}
	d.Frame.Show(w, r, page, templates, "signin.html", view)
}

// What one name and one address may try in a quarter of an hour.
const (
	maxByName    = 10
	maxByAddress = 60
)

func (d *Door) signIn(w http.ResponseWriter, r *http.Request) {
	// Phones add a space to a word, and MySQL finds the name with any number of them: each would
	// have attempts of its own.
	name := strings.TrimSpace(r.PostFormValue("name"))
	tooMany, err := d.tooMany(r, name)
	switch {
	case err != nil:
		d.broken(w, r, err)
		return
	case tooMany:
		d.showForm(w, r, http.StatusTooManyRequests, web.Say(r,
			"尝试次数过多，请 15 分钟后再试。", "Too many attempts: try again in 15 minutes."))
		return
	}

	u, err := d.Store.User(r.Context(), name)
	if err != nil && !isNotFound(err) {
		d.broken(w, r, err)
		return
	}
	if !d.passwords.match(r.PostFormValue("password"), u.Password) {
		d.showForm(w, r, http.StatusUnauthorized, web.Say(r,
			"用户名或密码不对。", "The name or the password is wrong."))
		return
	}
	d.enter(w, r, u.Name)
}

func (d *Door) tooMany(r *http.Request, name string) (bool, error) {
	byAddress, err := d.Store.Attempt(r.Context(), "address:"+d.address(r))
	if err != nil || byAddress > maxByAddress { // which uses up nobody's attempts
		return err == nil, err
	}
	byName, err := d.Store.Attempt(r.Context(), "name:"+name)
	return byName > maxByName, err
}

// address is the client's.
func (d *Door) address(r *http.Request) string {
	if d.Forwarded {
		all := strings.Split(r.Header.Get("X-Forwarded-For"), ",")
		if last := strings.TrimSpace(all[len(all)-1]); last != "" {
			return last
		}
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// enter begins a session of the user.
func (d *Door) enter(w http.ResponseWriter, r *http.Request, name string) {
	secret, err := d.Store.NewSession(r.Context(), name)
	if err != nil {
		d.broken(w, r, err)
		return
	}
	d.setCookie(w, secret, int(store.SessionLife.Seconds()))
	http.Redirect(w, r, web.LocalPath(r.FormValue("next")), http.StatusSeeOther)
}

func (d *Door) setCookie(w http.ResponseWriter, value string, maxAge int) {
	http.SetCookie(w, &http.Cookie{
		Name: d.cookie, Value: value, Path: "/", MaxAge: maxAge, Secure: d.secure,
		HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

func (d *Door) signOut(w http.ResponseWriter, r *http.Request) {
	if cookie, err := r.Cookie(d.cookie); err == nil {
		if err := d.Store.EndSession(r.Context(), cookie.Value); err != nil {
			d.broken(w, r, err)
			return
		}
	}
	d.setCookie(w, "", -1)
	http.Redirect(w, r, "/sign-in", http.StatusSeeOther)
}

// broken answers while the database does not.
func (d *Door) broken(w http.ResponseWriter, r *http.Request, err error) {
	web.LogFault(d.Logger.Error, r, "channeld: sign-in", err)
	d.Frame.Unavailable(w, r)
}
