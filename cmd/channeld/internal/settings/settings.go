// Package settings is the pages on which an administrator sees what is set, whether it
// works, and who may come in.
package settings

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/wechatqr/wechatqr/channels"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/store"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/web"
	"github.com/wechatqr/wechatqr/internal/doctor"
	"github.com/wechatqr/wechatqr/internal/webui"
)

// Config is what the pages show and change.
type Config struct {
	Store  *store.Store
	Ledger *channels.Ledger
	Frame  web.Frame
	Logger *slog.Logger

	Origin   string // by which browsers reach the desk
	Callback string // its URL
	AppID    string
	File     string // of the account; empty: it is the environment's
	Location *time.Location
	Keep     time.Duration // channels.Config.KeepAfterUnfollow
	Doctor   doctor.Config
}

// Pages are the pages of the settings.
type Pages struct{ Config }

// New returns the pages.
func New(c Config) *Pages { return &Pages{c} }

// Routes are the pages and what they post.
func (p *Pages) Routes() []web.Route {
	return []web.Route{
		{Pattern: "GET /settings", Needs: web.Admin, Handle: p.show},
		{Pattern: "POST /settings/check", Needs: web.Admin, Handle: p.check, Long: true},
		{Pattern: "POST /settings/users/add", Needs: web.Admin, Handle: p.addUser},
		{Pattern: "POST /settings/users/role", Needs: web.Admin, Handle: p.setRole},
		{Pattern: "POST /settings/users/invite", Needs: web.Admin, Handle: p.inviteUser},
		{Pattern: "POST /settings/users/remove", Needs: web.Admin, Handle: p.removeUser},
		{Pattern: "POST /settings/webhooks/add", Needs: web.Admin, Handle: p.addWebhook},
		{Pattern: "POST /settings/webhooks/test", Needs: web.Admin, Handle: p.testWebhook},
		{Pattern: "POST /settings/webhooks/remove", Needs: web.Admin, Handle: p.removeWebhook},
		{Pattern: "POST /settings/links/add", Needs: web.Admin, Handle: p.addLink},
		{Pattern: "POST /settings/links/end", Needs: web.Admin, Handle: p.endLink},
	}
}

//go:embed settings.html
var files embed.FS

var templates = web.ParseTemplates(files, "*.html")

// view is what the page shows.
type view struct {
	Problem  string // of the last action
	Secret   string // a link that is shown once
	For      string // whom it is for
	Findings []finding
	Checked  bool

	Forgotten bool // a person was forgotten

	AppID, AccountFile, Callback, Database, Zone string

	KeepDays float64
	Me       string
	Users    []userView
	Roles    []roleView
	Links    []store.Link
	Groups   []string

	Webhooks    []webhookView
	Kinds       []kindView
	Alerts      []alertView
	TagsWaiting []store.TagWait
	TagFailures []store.TagFailure
}

type userView struct {
	store.User
	Roles []roleView
}

type roleView struct {
	Value    web.Role
	Label    string
	Selected bool
}

type finding struct {
	Status              doctor.Status
	Title, Text, Advice string
}

// roles are those that a user may have.
func roles(r *http.Request, selected web.Role) []roleView {
	return []roleView{
		{web.Viewer, web.Say(r, "查看者：看全部，不能改", "viewer: sees all, changes nothing"),
			selected == web.Viewer},
		{web.Operator, web.Say(r, "运营：建码、改渠道", "operator: makes codes, changes channels"),
			selected == web.Operator},
		{web.Admin, web.Say(r, "管理员：设置与用户", "administrator: settings and users"),
			selected == web.Admin},
	}
}

func (p *Pages) show(w http.ResponseWriter, r *http.Request) {
	p.write(w, r, http.StatusOK, view{Forgotten: r.URL.Query().Has("forgotten")})
}

// write shows the page, with what v has beside the settings.
func (p *Pages) write(w http.ResponseWriter, r *http.Request, status int, v view) {
	v.AppID, v.AccountFile, v.Callback = p.AppID, p.File, p.Callback
	v.Me = web.VisitorOf(r.Context()).Name
	v.Database, v.Zone = p.Store.Dialect().String(), p.Location.String()
	v.KeepDays = p.Keep.Hours() / 24
	v.Roles = roles(r, web.Viewer)
	if err := p.read(r, &v); err != nil {
		p.fail(w, r, err)
		return
	}
	page := web.Page{
		Status: status, Title: web.Say(r, "设置", "Settings"), Place: "settings",
		Once: v.Secret != "",
	}
	p.Frame.Show(w, r, page, templates, "settings.html", v)
}

func (p *Pages) read(r *http.Request, v *view) error {
	users, err := p.Store.Users(r.Context())
	if err != nil {
		return err
	}
	for _, u := range users {
		v.Users = append(v.Users, userView{u, roles(r, u.Role)})
	}
	if v.Links, err = p.Store.ShareLinks(r.Context()); err != nil {
		return err
	}
	for i := range v.Links {
		v.Links[i].Ends = v.Links[i].Ends.In(p.Location)
	}
	all, err := p.Ledger.Channels(r.Context())
	groups := web.Groups(all)
	v.Groups = groups[:min(len(groups), maxOffered)]
	return errors.Join(err, p.readAlerts(r, v))
}

// maxOffered bounds the groups that are suggested. Any other can be typed.
const maxOffered = 300

func (p *Pages) fail(w http.ResponseWriter, r *http.Request, err error) {
	web.LogFault(p.Logger.Error, r, "channeld: settings", err)
	p.Frame.Unavailable(w, r)
}

// done leads back to the page, so that a reload does not repeat the action.
func (p *Pages) done(w http.ResponseWriter, r *http.Request, err error) {
	if err != nil {
		p.fail(w, r, err)
		return
	}
	http.Redirect(w, r, "/settings", http.StatusSeeOther)
}

func (p *Pages) refuse(w http.ResponseWriter, r *http.Request, zh, en string) {
	p.write(w, r, http.StatusUnprocessableEntity, view{Problem: web.Say(r, zh, en)})
}

const checkTimeout = 40 * time.Second

// check runs the doctor's checks, some of which call WeChat.
func (p *Pages) check(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), checkTimeout)
	defer cancel()
	language := "en"
	if web.Language(r) == webui.Chinese {
		language = "zh"
	}
	v := view{Checked: true}
	for f := range doctor.Run(ctx, p.Doctor) {
		if f.Check == "permanent" { // a file that this program does not have
			continue
		}
		v.Findings = append(v.Findings, finding{
			f.Status, f.Title.In(language), f.Text.In(language), f.Advice.In(language),
		})
	}
	p.write(w, r, http.StatusOK, v)
}

const maxName = 64 // bytes

// isName reports whether the text can be a user's name.
func isName(text string) bool {
	odd := func(c rune) bool { return unicode.IsControl(c) || unicode.IsSpace(c) }
	return text != "" && len(text) <= maxName && utf8.ValidString(text) &&
		strings.IndexFunc(text, odd) < 0
}

func roleOf(r *http.Request) (role web.Role, ok bool) {
	_, err := fmt.Sscan(r.PostFormValue("role"), &role)
	return role, err == nil && role >= web.Viewer && role <= web.Admin
}
