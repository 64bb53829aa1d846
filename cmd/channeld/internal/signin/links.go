package signin

import (
	"errors"
	"net/http"
	"net/url"
	"time"
	"unicode/utf8"

	"github.com/wechatqr/wechatqr/cmd/channeld/internal/store"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/web"
)

func isNotFound(err error) bool { return errors.Is(err, store.ErrNotFound) }

// link returns the link of the address, or answers that it has ended.
func (d *Door) link(w http.ResponseWriter, r *http.Request) (store.Link, bool) {
	l, err := d.Store.Link(r.Context(), r.PathValue("secret"))
	switch {
	case isNotFound(err):
		d.say(w, r, http.StatusNotFound, web.Say(r, "此链接已失效", "This link has ended"),
			web.Say(r, "它已用过、过期，或不完整。请向发送者索取新的链接；来自程序窗口的，"+
				"重新启动程序即会打印新的；密码已设置的，请直接登录。",
				"It was used, is over, or is not complete. Ask who sent it for a new one. If it came "+
					"from the program's window, start the program again: it prints a new one. With a "+
					"password, sign in."))
	case err != nil:
		d.broken(w, r, err)
	}
	return l, err == nil
}

const minPassword = 10 // characters

func (d *Door) invitation(w http.ResponseWriter, r *http.Request) {
	l, ok := d.link(w, r)
	if ok && l.User != "" {
		d.showInvitation(w, r, http.StatusOK, l.User, "")
	} else if ok {
		d.Frame.NotFound(w, r)
	}
}

func (d *Door) showInvitation(
	w http.ResponseWriter, r *http.Request, status int, user, problem string,
) {
	page := web.Page{Status: status, Title: web.Say(r, "设置密码", "Choose a password")}
	view := formView{Name: user, Problem: problem, MinLength: minPassword}
	d.Frame.Show(w, r, page, templates, "invite.html", view)
}

// accept sets the password. The invitation ends first, so that it is used once.
func (d *Door) accept(w http.ResponseWriter, r *http.Request) {
	l, ok := d.link(w, r)
	if !ok {
		return
	}
	password := r.PostFormValue("password")
	switch {
	case l.User == "":
		d.Frame.NotFound(w, r)
		return
	case utf8.RuneCountInString(password) < minPassword:
		d.showInvitation(w, r, http.StatusUnprocessableEntity, l.User, web.Say(r,
			"密码至少 10 个字符。", "The password needs 10 characters at the least."))
		return
	}
	hash, err := d.passwords.hash(password)
	if err != nil {
		d.broken(w, r, err)
		return
	}
	first, err := d.Store.EndLink(r.Context(), l.ID)
	if err == nil && first {
		err = d.Store.SetPassword(r.Context(), l.User, hash)
	}
	switch {
	case err != nil:
		d.broken(w, r, err)
	case !first:
		d.link(w, r)
	default:
		d.enter(w, r, l.User)
	}
}

// share begins a session by a share link. Who is signed in and sees more stays so.
func (d *Door) share(w http.ResponseWriter, r *http.Request) {
	l, ok := d.link(w, r)
	if !ok {
		return
	}
	if l.User != "" {
		d.Frame.NotFound(w, r)
		return
	}
	if web.VisitorOf(r.Context()).Role <= web.Guest {
		secret, err := d.Store.NewLinkSession(r.Context(), &l)
		if err != nil {
			d.broken(w, r, err)
			return
		}
		d.setCookie(w, secret, int(time.Until(l.Ends).Seconds()))
	}
	http.Redirect(w, r, shown(&l), http.StatusSeeOther)
}

// shown is the page that the link is for.
func shown(l *store.Link) string {
	switch {
	case l.Channel != "":
		return "/channels/" + url.PathEscape(l.Channel)
	case l.Group != "":
		return "/channels?" + url.Values{"group": {l.Group}}.Encode()
	}
	return "/"
}
