// Package page is the pages that show the numbers, and the frame that every page of the
// desk has around it.
package page

import (
	"cmp"
	"embed"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/channels"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/live"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/reconcile"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/store"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/web"
	"github.com/wechatqr/wechatqr/internal/webui"
)

// Config is what the pages show.
type Config struct {
	Ledger   *channels.Ledger
	Store    *store.Store
	Client   *wechatqr.Client // for WeChat's figures
	Feed     *live.Feed
	Location *time.Location // that of the ledger
	Now      func() time.Time
	Logger   *slog.Logger

	Reconcile *reconcile.Worker
}

// Pages are the pages.
type Pages struct {
	Config
	comparison comparison
	refreshes  refreshes
}

// New returns the pages.
func New(c Config) *Pages { return &Pages{Config: c} }

// Routes are those of the pages. A Guest gets the numbers of their scope.
func (p *Pages) Routes() []web.Route {
	return []web.Route{
		{Pattern: "GET /{$}", Needs: web.Guest, Handle: p.today},
		{Pattern: "GET /channels", Needs: web.Guest, Handle: p.list},
		{Pattern: "GET /channels/{key}", Needs: web.Guest, Handle: p.channel},
		{Pattern: "GET /find", Needs: web.Operator, Handle: p.find},
		{Pattern: "GET /channels/{key}/change", Needs: web.Operator, Handle: p.ask},
		{Pattern: "POST /channels/{key}/{action}", Needs: web.Operator, Handle: p.change, Long: true},
		{Pattern: "POST /channels/{key}/notes", Needs: web.Operator, Handle: p.addNote},
		{Pattern: "POST /channels/{key}/notes/delete", Needs: web.Operator, Handle: p.deleteNote},
		{Pattern: "GET /reconcile", Needs: web.Viewer, Handle: p.showReconcile},
		{
			Pattern: "GET /reconcile/comparison.csv", Needs: web.Viewer, Handle: p.downloadComparison,
		},
		{Pattern: "POST /reconcile", Needs: web.Operator, Handle: p.startReconcile},
		{Pattern: "GET /export", Needs: web.Guest, Handle: p.export},
		{Pattern: "GET /export/{file}", Needs: web.Guest, Handle: p.download, Long: true},
	}
}

// Open are the files that every page links to.
func (p *Pages) Open() []web.Route {
	return []web.Route{{Pattern: "GET /static/{file}", Handle: serveFile}}
}

const chinese = webui.Chinese

//go:embed *.html
var files embed.FS

//go:embed static
var static embed.FS

// show writes a page whose body is the template's.
func (p *Pages) show(w http.ResponseWriter, r *http.Request, page web.Page, name string, v any) {
	web.Frame(p.Frame).Show(w, r, page, templates, name, v)
}

// fail says what is wrong with the question, or that the database does not answer. It says
// nothing to a browser that has gone.
func (p *Pages) fail(w http.ResponseWriter, r *http.Request, err error) {
	frame := web.Frame(p.Frame)
	switch {
	case errors.Is(err, channels.ErrUnknownChannel), errors.Is(err, errHidden):
		frame.Problem(w, r, web.Problem{
			Status: http.StatusNotFound,
			Title:  web.Say(r, "没有这个渠道", "There is no such channel"),
			Text: web.Say(r, "编号写错了，或者您看不到它。",
				"The key is wrong, or you may not see this channel."),
			Link: "/channels", LinkText: web.Say(r, "全部渠道", "All channels"),
		})
	case errors.Is(err, errQuestion), errors.Is(err, wechatqr.ErrInvalidArgument):
		frame.Problem(w, r, web.Problem{
			Status: http.StatusBadRequest, Title: web.Say(r, "地址有误", "The address is wrong"),
			Text: web.Say(r, "地址中的时段、分组、排序或页码无法识别。",
				"It asks for a period, group, order or page that does not exist."),
			Link: r.URL.Path, LinkText: web.Say(r, "用默认条件打开", "Open it without them"),
		})
	default:
		web.LogFault(p.Logger.With("path", r.URL.Path).Error, r, "channeld: page", err)
		frame.Unavailable(w, r)
	}
}

// errHidden says that the visitor may not see it.
var errHidden = errors.New("the visitor may not see this channel")

// narrow keeps the question within what the visitor may see: every report of the pages
// is asked by it.
func narrow(r *http.Request, q channels.Query) channels.Query {
	v := web.VisitorOf(r.Context())
	switch {
	case v.Role != web.Guest || v.Sees(q.Channel, q.Group):
		return q
	case v.Scope.Channel != "":
		q.Channel, q.Group = v.Scope.Channel, ""
	case q.Channel == "":
		q.Group = v.Scope.Group
	}
	return q
}

// frameView is what the frame shows around a body.
type frameView struct {
	web.Page
	Language, Other, OtherName, Back string
	Menu                             []menuEntry
	Visitor                          web.Visitor
}

type menuEntry struct {
	Place, Path, Label string
	Here               bool
}

// Frame writes the page: it is a web.Frame.
func (p *Pages) Frame(w http.ResponseWriter, r *http.Request, page web.Page) {
	v := frameView{
		Page: page, Language: web.Language(r), Other: webui.English, OtherName: "English",
		Back: r.URL.RequestURI(), Menu: menu(r, page.Place), Visitor: web.VisitorOf(r.Context()),
	}
	if v.Language != chinese {
		v.Other, v.OtherName = chinese, "中文"
	}
	if r.Method != http.MethodGet {
		v.Back = "/"
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Language", v.Language)
	h.Set("Cache-Control", "no-store")
	h.Set("Vary", "Accept-Language, Cookie")
	w.WriteHeader(cmp.Or(page.Status, http.StatusOK))
	// The browser may have closed the connection.
	_ = templates[v.Language].ExecuteTemplate(w, "frame.html", v)
}

// menu has what the visitor may open: nothing before the account is set up.
func menu(r *http.Request, place string) (all []menuEntry) {
	v := web.VisitorOf(r.Context())
	if place == "setup" {
		return nil
	}
	for _, e := range []struct {
		place, path string
		needs       web.Role
		zh, en      string
	}{
		{"today", "/", web.Guest, "今日", "Today"},
		{"channels", "/channels", web.Guest, "渠道", "Channels"},
		{"reconcile", "/reconcile", web.Viewer, "对账", "Reconcile"},
		{"make", "/make", web.Operator, "建码", "Make codes"},
		{"print", "/print", web.Viewer, "打印", "Print"},
		{"export", "/export", web.Guest, "导出", "Export"},
		{"settings", "/settings", web.Admin, "设置", "Settings"},
	} {
		if v.Role >= e.needs {
			all = append(all, menuEntry{e.place, e.path, web.Say(r, e.zh, e.en), e.place == place})
		}
	}
	return all
}
