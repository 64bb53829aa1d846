package settings

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/wechatqr/wechatqr/cmd/channeld/internal/store"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/web"
)

const invitationLife = 7 * 24 * time.Hour

func (p *Pages) addUser(w http.ResponseWriter, r *http.Request) {
	name := r.PostFormValue("name")
	role, ok := roleOf(r)
	if !ok || !isName(name) {
		p.refuse(w, r, "用户名为 1 至 64 字节，不含空格，并请选择角色。",
			"A name has 1 to 64 bytes without spaces, and a role is needed.")
		return
	}
	_, err := p.Store.User(r.Context(), name)
	switch {
	case err == nil:
		p.refuse(w, r, "该用户已存在。", "There is such a user.")
		return
	case !errors.Is(err, store.ErrNotFound):
		p.fail(w, r, err)
		return
	}
	if err := p.Store.PutUser(r.Context(), name, role); err != nil {
		p.fail(w, r, err)
		return
	}
	p.invite(w, r, name)
}

// user returns the user of the form.
func (p *Pages) user(w http.ResponseWriter, r *http.Request) (store.User, bool) {
	u, err := p.Store.User(r.Context(), r.PostFormValue("name"))
	switch {
	case errors.Is(err, store.ErrNotFound):
		p.refuse(w, r, "没有这个用户。", "There is no such user.")
	case err != nil:
		p.fail(w, r, err)
	}
	return u, err == nil
}

func (p *Pages) inviteUser(w http.ResponseWriter, r *http.Request) {
	if u, ok := p.user(w, r); ok {
		p.invite(w, r, u.Name)
	}
}

// invite shows a link, once, by which the user chooses a password.
func (p *Pages) invite(w http.ResponseWriter, r *http.Request, name string) {
	secret, err := p.Store.NewLink(
		r.Context(), store.Link{User: name, Ends: time.Now().Add(invitationLife)},
	)
	if err != nil {
		p.fail(w, r, err)
		return
	}
	p.write(w, r, http.StatusOK, view{Secret: p.Origin + "/invite/" + secret, For: name})
}

func (p *Pages) setRole(w http.ResponseWriter, r *http.Request) {
	u, ok := p.user(w, r)
	if !ok {
		return
	}
	role, ok := roleOf(r)
	if !ok {
		p.refuse(w, r, "请选择角色。", "A role is needed.")
		return
	}
	if role == web.Admin || p.another(w, r, u) {
		p.done(w, r, p.Store.PutUser(r.Context(), u.Name, role))
	}
}

func (p *Pages) removeUser(w http.ResponseWriter, r *http.Request) {
	if u, ok := p.user(w, r); ok && p.another(w, r, u) {
		p.done(w, r, p.Store.DeleteUser(r.Context(), u.Name))
	}
}

// another reports whether there is an administrator, who has a password, beside the user.
func (p *Pages) another(w http.ResponseWriter, r *http.Request, u store.User) bool {
	users, err := p.Store.Users(r.Context())
	if err != nil {
		p.fail(w, r, err)
		return false
	}
	for _, one := range users {
		if one.Role == web.Admin && one.Password != "" && one.Name != u.Name {
			return true
		}
	}
	if u.Role != web.Admin {
		return true
	}
	p.refuse(w, r, "至少要保留一位管理员。", "One administrator must remain.")
	return false
}

const maxLinkDays = 365

func (p *Pages) addLink(w http.ResponseWriter, r *http.Request) {
	days, err := strconv.Atoi(r.PostFormValue("days"))
	l := store.Link{
		Title: r.PostFormValue("title"), Role: web.Guest,
		Channel: r.PostFormValue("channel"), Group: r.PostFormValue("group"),
	}
	switch {
	case l.Title == "" || len(l.Title) > 200:
		p.refuse(w, r, "请写明发给谁（最多 200 字节）。", "Say whom it is for, in at most 200 bytes.")
		return
	case (l.Channel == "") == (l.Group == ""):
		p.refuse(w, r, "请选择一个渠道或一个分组。", "Choose one channel or one group.")
		return
	case err != nil || days < 1 || days > maxLinkDays:
		p.refuse(w, r, "有效期为 1 至 365 天。", "It may be good for 1 to 365 days.")
		return
	}
	l.Ends = time.Now().AddDate(0, 0, days)
	secret, err := p.Store.NewLink(r.Context(), l)
	if err != nil {
		p.fail(w, r, err)
		return
	}
	p.write(w, r, http.StatusOK, view{Secret: p.Origin + "/s/" + secret, For: l.Title})
}

func (p *Pages) endLink(w http.ResponseWriter, r *http.Request) {
	_, err := p.Store.EndLink(r.Context(), r.PostFormValue("id"))
	p.done(w, r, err)
}
