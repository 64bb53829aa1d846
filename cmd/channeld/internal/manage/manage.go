// Package manage is the page on which a channel is changed: its names, its welcome text
// and tag, whose its codes are, and whether it is in use.
package manage

import (
	"embed"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/channels"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/store"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/web"
)

// Config is what the page works on.
type Config struct {
	Store    *store.Store
	Ledger   *channels.Ledger
	Frame    web.Frame
	Logger   *slog.Logger
	Location *time.Location
}

// Pages are the page and what it posts.
type Pages struct{ Config }

// New returns the pages.
func New(c Config) *Pages { return &Pages{c} }

// Routes are the page and what it posts.
func (p *Pages) Routes() []web.Route {
	const page = "/channels/{key}/manage"
	return []web.Route{
		{Pattern: "GET " + page, Needs: web.Operator, Handle: p.show},
		{Pattern: "POST " + page + "/edit", Needs: web.Operator, Handle: p.edit},
		{Pattern: "POST " + page + "/welcome", Needs: web.Operator, Handle: p.welcome},
		{Pattern: "POST " + page + "/tag", Needs: web.Operator, Handle: p.tag},
		{Pattern: "POST " + page + "/retire", Needs: web.Operator, Handle: p.retire},
		{Pattern: "POST " + page + "/reassign", Needs: web.Operator, Handle: p.reassign},
		{Pattern: "POST " + page + "/merge", Needs: web.Operator, Handle: p.merge},
		{Pattern: "POST /settings/forget", Needs: web.Admin, Handle: p.forget},
	}
}

//go:embed manage.html
var files embed.FS

var templates = web.ParseTemplates(files, "*.html")

// view is what the page shows.
type view struct {
	Channel  channels.Channel
	Welcome  string
	Tag      string
	Codes    []channels.Code
	Others   []channels.Channel
	Groups   []string
	Location *time.Location
	Now      time.Time

	Problem string
	Done    string
	Ask     *question // asks for the second click
}

// question is what a click would do that cannot be undone.
type question struct {
	Action, Text string
	Form         url.Values
}

func (p *Pages) show(w http.ResponseWriter, r *http.Request) {
	v := view{}
	if r.URL.Query().Has("done") {
		v.Done = web.Say(r, "已保存。", "Saved.")
	}
	p.write(w, r, http.StatusOK, v)
}

func (p *Pages) write(w http.ResponseWriter, r *http.Request, status int, v view) {
	known, err := p.read(r, &v)
	switch {
	case err != nil:
		p.fail(w, err)
		return
	case !known:
		http.NotFound(w, r)
		return
	}
	page := web.Page{Status: status, Title: v.Channel.Name, Place: "channels"}
	p.Frame.Show(w, r, page, templates, "manage.html", v)
}

// read reports whether there is such a channel.
func (p *Pages) read(r *http.Request, v *view) (known bool, err error) {
	ctx, key := r.Context(), r.PathValue("key")
	all, err := p.Ledger.Channels(ctx)
	if err != nil {
		return false, err
	}
	for _, c := range all {
		if c.Key == key {
			v.Channel, known = c, true
			continue
		}
		v.Others = append(v.Others, c)
	}
	if !known {
		return false, nil
	}
	v.Groups, v.Location, v.Now = web.Groups(all), p.Location, time.Now().In(p.Location)
	if v.Welcome, err = p.Store.Welcome(ctx, key); err != nil {
		return true, err
	}
	if v.Tag, err = p.Store.Tag(ctx, key); err != nil {
		return true, err
	}
	v.Codes, err = p.Ledger.Codes(ctx, channels.Query{Channel: key})
	return true, err
}

func (p *Pages) fail(w http.ResponseWriter, err error) {
	p.Logger.Error("channeld: manage", "err", err)
	http.Error(w, "channeld: the database does not answer", http.StatusServiceUnavailable)
}

// done leads back to the page, or says what is wrong with what was asked.
func (p *Pages) done(w http.ResponseWriter, r *http.Request, key string, err error) {
	wrong := errors.Is(err, wechatqr.ErrInvalidArgument) ||
		errors.Is(err, channels.ErrUnknownChannel) || errors.Is(err, channels.ErrUnknownScene)
	switch {
	case err == nil:
		target := "/channels/" + url.PathEscape(key) + "/manage?done"
		http.Redirect(w, r, target, http.StatusSeeOther)
	case wrong:
		p.refuse(w, r, "没有这样的渠道或码，或内容不合规。", "There is no such channel or code, or a text "+
			"is not allowed.")
	default:
		p.fail(w, err)
	}
}

func (p *Pages) refuse(w http.ResponseWriter, r *http.Request, zh, en string) {
	p.write(w, r, http.StatusUnprocessableEntity, view{Problem: web.Say(r, zh, en)})
}

func (p *Pages) edit(w http.ResponseWriter, r *http.Request) {
	key := r.PathValue("key")
	if !p.exists(w, r, key) {
		return
	}
	c := channels.Channel{Key: key, Name: r.PostFormValue("name"), Group: r.PostFormValue("group")}
	p.done(w, r, key, p.Ledger.Put(r.Context(), c))
}

// exists answers 404 if there is no such channel: Put would make it.
func (p *Pages) exists(w http.ResponseWriter, r *http.Request, key string) bool {
	_, err := p.Ledger.Codes(r.Context(), channels.Query{Channel: key})
	switch {
	case errors.Is(err, channels.ErrUnknownChannel):
		http.NotFound(w, r)
	case err != nil:
		p.fail(w, err)
	}
	return err == nil
}

const maxWelcome = 2048 // bytes, WeChat's limit of a text

func (p *Pages) welcome(w http.ResponseWriter, r *http.Request) {
	key, text := r.PathValue("key"), r.PostFormValue("text")
	if len(text) > maxWelcome {
		p.refuse(w, r, "欢迎语最多 2048 字节（约 680 个汉字）。",
			"A welcome text has at most 2048 bytes.")
		return
	}
	if p.exists(w, r, key) {
		p.done(w, r, key, p.Store.SetWelcome(r.Context(), key, text))
	}
}

const maxTag = 30 // bytes, WeChat's limit of a tag's name

func (p *Pages) tag(w http.ResponseWriter, r *http.Request) {
	key, tag := r.PathValue("key"), strings.TrimSpace(r.PostFormValue("tag"))
	if len(tag) > maxTag {
		p.refuse(w, r, "标签名最多 30 字节（10 个汉字）。", "A tag's name has at most 30 bytes.")
		return
	}
	if p.exists(w, r, key) {
		p.done(w, r, key, p.Store.SetTag(r.Context(), key, tag))
	}
}

func (p *Pages) retire(w http.ResponseWriter, r *http.Request) {
	key, at := r.PathValue("key"), time.Time{}
	if r.PostFormValue("retired") == "yes" {
		at = time.Now()
	}
	p.done(w, r, key, p.Ledger.Retire(r.Context(), key, at))
}

// sure reports whether the second click has come; else it asks for it.
func (p *Pages) sure(w http.ResponseWriter, r *http.Request, action, zh, en string) bool {
	if r.PostFormValue("sure") == "yes" {
		return true
	}
	ask := &question{action, web.Say(r, zh, en), r.PostForm}
	p.write(w, r, http.StatusOK, view{Ask: ask})
	return false
}

// reassign gives a code to another channel from an instant on.
func (p *Pages) reassign(w http.ResponseWriter, r *http.Request) {
	to, scene := r.PostFormValue("to"), r.PostFormValue("scene")
	from, err := time.ParseInLocation("2006-01-02T15:04", r.PostFormValue("from"), p.Location)
	if err != nil || to == "" || scene == "" {
		p.refuse(w, r, "请选择码、渠道和起始时间。", "Choose a code, a channel and a time.")
		return
	}
	if !p.sure(w, r, "reassign", "从所选时间起，这个码的关注和扫码改归“"+to+"”，已有报表随之改变。确定吗？",
		"From that time on the follows and scans of this code move to “"+to+"”, in the reports of "+
			"the past too. Are you sure?") {
		return
	}
	key := r.PathValue("key")
	err = p.Ledger.Reassign(r.Context(), wechatqr.SceneString(scene), to, from)
	p.done(w, r, key, err)
}

// merge moves everything to another channel.
func (p *Pages) merge(w http.ResponseWriter, r *http.Request) {
	key, into := r.PathValue("key"), r.PostFormValue("into")
	if into == "" {
		p.refuse(w, r, "请选择并入哪个渠道。", "Choose the channel to merge into.")
		return
	}
	if p.sure(w, r, "merge", "“"+key+"”的码和全部历史并入“"+into+"”，不能撤销。确定吗？",
		"The codes of “"+key+"” and all of its past move to “"+into+"”. That cannot be undone. "+
			"Are you sure?") {
		p.done(w, r, into, p.Ledger.Merge(r.Context(), key, into))
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
		p.fail(w, err)
		return
	}
	http.Redirect(w, r, "/settings?forgotten", http.StatusSeeOther)
}
