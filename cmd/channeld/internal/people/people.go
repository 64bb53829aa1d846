// Package people is what the desk does with who comes: the text that welcomes them, the tag
// that they get, and forgetting them.
package people

import (
	"cmp"
	"embed"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"github.com/wechatqr/wechatqr/channels"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/store"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/web"
)

// Config is what the page works on.
type Config struct {
	Store  *store.Store
	Ledger *channels.Ledger
	Frame  web.Frame
	Logger *slog.Logger
}

// Pages are the page and what it posts.
type Pages struct{ Config }

// New returns the pages.
func New(c Config) *Pages { return &Pages{c} }

// Routes are the page and what is posted.
func (p *Pages) Routes() []web.Route {
	return []web.Route{
		{Pattern: "GET /channels/{key}/welcome", Needs: web.Operator, Handle: p.show},
		{Pattern: "POST /channels/{key}/welcome", Needs: web.Operator, Handle: p.save},
		{Pattern: "POST /channels/{key}/tag", Needs: web.Operator, Handle: p.saveTag},
		{Pattern: "POST /settings/forget", Needs: web.Admin, Handle: p.forget},
	}
}

//go:embed welcome.html
var files embed.FS

var templates = web.ParseTemplates(files, "*.html")

// view is what the page shows.
type view struct {
	Key, Name, Text, Tag string
	Problem              string
	Saved                bool
}

func (p *Pages) show(w http.ResponseWriter, r *http.Request) {
	p.write(w, r, http.StatusOK, view{Saved: r.URL.Query().Has("saved")})
}

// write shows the page, with what was posted or else with what is saved.
func (p *Pages) write(w http.ResponseWriter, r *http.Request, status int, v view) {
	c, ok := p.channel(w, r)
	if !ok {
		return
	}
	v.Key, v.Name = c.Key, cmp.Or(c.Name, c.Key)
	text, err := p.Store.Welcome(r.Context(), c.Key)
	tag, tagErr := p.Store.Tag(r.Context(), c.Key)
	if err := errors.Join(err, tagErr); err != nil {
		p.fail(w, r, err)
		return
	}
	v.Text, v.Tag = cmp.Or(v.Text, text), cmp.Or(v.Tag, tag)
	page := web.Page{Status: status, Title: v.Name, Place: "channels"}
	p.Frame.Show(w, r, page, templates, "welcome.html", v)
}

// channel returns the channel of the address, or answers that there is none.
func (p *Pages) channel(w http.ResponseWriter, r *http.Request) (c channels.Channel, ok bool) {
	all, err := p.Ledger.Channels(r.Context())
	if err != nil {
		p.fail(w, r, err)
		return c, false
	}
	for _, c := range all {
		if c.Key == r.PathValue("key") {
			return c, true
		}
	}
	p.Frame.NotFound(w, r)
	return c, false
}

func (p *Pages) fail(w http.ResponseWriter, r *http.Request, err error) {
	web.LogFault(p.Logger.Error, r, "channeld: welcome text", err)
	p.Frame.Unavailable(w, r)
}

const maxWelcome = 2048 // bytes, WeChat's limit of a text

func (p *Pages) save(w http.ResponseWriter, r *http.Request) {
	text := r.PostFormValue("text")
	if len(text) > maxWelcome {
		p.write(w, r, http.StatusUnprocessableEntity, view{Text: text, Problem: web.Say(r,
			"欢迎语最多 2048 字节（约 680 个汉字）。", "A welcome text has at most 2048 bytes.")})
		return
	}
	c, ok := p.channel(w, r)
	if !ok {
		return
	}
	p.saved(w, r, p.Store.SetWelcome(r.Context(), c.Key, text))
}

func (p *Pages) saved(w http.ResponseWriter, r *http.Request, err error) {
	if err != nil {
		p.fail(w, r, err)
		return
	}
	target := "/channels/" + url.PathEscape(r.PathValue("key")) + "/welcome?saved"
	http.Redirect(w, r, target, http.StatusSeeOther)
}

const maxTag = 30 // bytes, WeChat's limit of a tag's name

func (p *Pages) saveTag(w http.ResponseWriter, r *http.Request) {
	tag := strings.TrimSpace(r.PostFormValue("tag"))
	if len(tag) > maxTag {
		p.write(w, r, http.StatusUnprocessableEntity, view{Tag: tag, Problem: web.Say(r,
			"标签名最多 30 字节（10 个汉字）。", "A tag's name has at most 30 bytes.")})
		return
	}
	if c, ok := p.channel(w, r); ok {
		p.saved(w, r, p.Store.SetTag(r.Context(), c.Key, tag))
	}
}

// forget deletes what tells who a person is. The openid is in the form alone.
func (p *Pages) forget(w http.ResponseWriter, r *http.Request) {
	openID := r.PostFormValue("openid")
	if openID == "" || r.PostFormValue("sure") != "yes" {
		http.Redirect(w, r, "/settings", http.StatusSeeOther)
		return
	}
	err := errors.Join(
		p.Store.DropTaggings(r.Context(), openID), p.Ledger.Forget(r.Context(), openID),
	)
	if err != nil {
		p.fail(w, r, err)
		return
	}
	http.Redirect(w, r, "/settings?forgotten", http.StatusSeeOther)
}
