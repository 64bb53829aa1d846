// Package codes is the pages on which codes are made and printed.
package codes

import (
	"cmp"
	"embed"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/channels"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/store"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/web"
)

// Config is what the pages work on.
type Config struct {
	Store    *store.Store
	Ledger   *channels.Ledger
	Client   *wechatqr.Client
	Frame    web.Frame
	Logger   *slog.Logger
	Location *time.Location
	Worker   *Worker
}

// Pages are the pages.
type Pages struct{ Config }

// New returns the pages.
func New(c Config) *Pages { return &Pages{c} }

// Routes are the pages and what they post.
func (p *Pages) Routes() []web.Route {
	return []web.Route{
		{Pattern: "GET /make", Needs: web.Operator, Handle: p.form},
		{Pattern: "POST /make", Needs: web.Operator, Handle: p.upload, Long: true},
		{Pattern: "GET /make/{job}", Needs: web.Operator, Handle: p.job},
		{Pattern: "GET /make/drafts/{draft}", Needs: web.Operator, Handle: p.draft},
		{Pattern: "POST /make/drafts/{draft}/start", Needs: web.Operator, Handle: p.start, Long: true},
		{Pattern: "POST /make/{job}/resume", Needs: web.Operator, Handle: p.resume},

		{Pattern: "GET /print", Needs: web.Viewer, Handle: p.printForm},
		{Pattern: "POST /print/sheet", Needs: web.Viewer, Handle: p.printSheet, Long: true},
		{Pattern: "POST /print/zip", Needs: web.Viewer, Handle: p.printZIP, Long: true},
		{Pattern: "POST /print/temporary", Needs: web.Operator, Handle: p.printTemporary, Long: true},
		{Pattern: "GET /channels/{key}/code.svg", Needs: web.Guest, Handle: p.picture},
	}
}

//go:embed *.html
var files embed.FS

var templates = web.ParseTemplates(files, "*.html")

func (p *Pages) fail(w http.ResponseWriter, r *http.Request, err error) {
	web.LogFault(p.Logger.Error, r, "channeld: codes", err)
	p.Frame.Unavailable(w, r)
}

// makeView is what the page of making codes shows.
type makeView struct {
	Problem string
	Text    string // pasted
	Jobs    []store.Job

	Draft string // its ID
	Plan  *plan

	Job     *store.Job
	Failed  []store.JobRow // some of them
	Percent int
}

func (p *Pages) form(w http.ResponseWriter, r *http.Request) {
	p.showForm(w, r, http.StatusOK, "")
}

func (p *Pages) showForm(w http.ResponseWriter, r *http.Request, status int, problem string) {
	jobs, err := p.Store.Jobs(r.Context())
	if err != nil {
		p.fail(w, r, err)
		return
	}
	for i := range jobs {
		jobs[i].Created = jobs[i].Created.In(p.Location)
	}
	p.write(w, r, status, makeView{Problem: problem, Text: r.FormValue("text"), Jobs: jobs})
}

func (p *Pages) write(w http.ResponseWriter, r *http.Request, status int, v makeView) {
	page := web.Page{Status: status, Title: web.Say(r, "建码", "Make codes"), Place: "make"}
	p.Frame.Show(w, r, page, templates, "make.html", v)
}

// upload keeps the list as a draft, of which the page says what will happen.
func (p *Pages) upload(w http.ResponseWriter, r *http.Request) {
	title, data, err := uploaded(r)
	var list string
	var planned *channels.Plan
	if err == nil {
		list, err = toCSV(data)
	}
	if err == nil {
		planned, err = p.Ledger.Plan(r.Context(), strings.NewReader(list))
	}
	if status, problem := uploadProblem(r, err); problem != "" {
		p.showForm(w, r, status, problem)
		return
	}
	var id string
	if err == nil {
		title = cmp.Or(title, firstName(planned))
		id, err = p.Store.NewDraft(r.Context(), title, list)
	}
	if err != nil {
		p.fail(w, r, err)
		return
	}
	http.Redirect(w, r, "/make/drafts/"+id, http.StatusSeeOther)
}

const maxInMemory = 5 << 20 // of an upload, which is not larger

// firstName is the title of a list that has no file name.
func firstName(planned *channels.Plan) string {
	for c := range planned.Channels() {
		return cut(cmp.Or(c.Name, c.Key)) + " …"
	}
	return "…"
}

// uploaded returns the file, or else what was pasted, without a title.
func uploaded(r *http.Request) (title string, data []byte, err error) {
	err = r.ParseMultipartForm(maxInMemory)
	if err != nil && !errors.Is(err, http.ErrNotMultipart) {
		return "", nil, err
	}
	file, header, err := r.FormFile("file")
	if err != nil || header.Size == 0 {
		return "", []byte(r.PostFormValue("text")), nil
	}
	defer file.Close()
	data, err = io.ReadAll(file)
	return cut(header.Filename), data, err
}

// cut keeps a title below what the database takes.
func cut(title string) string {
	letters := []rune(strings.ToValidUTF8(strings.TrimSpace(title), "?"))
	return string(letters[:min(len(letters), 60)])
}

// uploadProblem says what is wrong with the file, empty if it is something else.
func uploadProblem(r *http.Request, err error) (status int, text string) {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return http.StatusRequestEntityTooLarge,
			web.Say(r, "文件太大：最多 5 MB。", "The file is too large: 5 MB at most.")
	case errors.Is(err, errTooLong):
		return http.StatusUnprocessableEntity,
			web.Say(r, "行数或内容太多：最多 100000 行、10 MB 文字。",
				"There are too many rows, or too much text: 100000 rows and 10 MB at most.")
	case errors.Is(err, errNoTable), errors.Is(err, wechatqr.ErrInvalidArgument):
		return http.StatusUnprocessableEntity, web.Say(r,
			"读不出渠道：请用 CSV 或 XLSX，第一列编号，第二列名称，第三列分组。",
			"No channels can be read: use CSV or XLSX with the columns key, name and group.") +
			detail(r, err)
	}
	return 0, ""
}

// detail is what the ledger says of the list; empty if it has not read one.
func detail(r *http.Request, err error) string {
	if !errors.Is(err, wechatqr.ErrInvalidArgument) {
		return ""
	}
	return " " + explain(r, err)
}

// find returns the job of the address.
func (p *Pages) find(w http.ResponseWriter, r *http.Request) (store.Job, bool) {
	job, err := p.Store.Job(r.Context(), r.PathValue("job"))
	switch {
	case errors.Is(err, store.ErrNotFound):
		p.showForm(w, r, http.StatusNotFound, web.Say(r,
			"没有这个任务。", "There is no such list."))
	case err != nil:
		p.fail(w, r, err)
	}
	return job, err == nil
}

func (p *Pages) job(w http.ResponseWriter, r *http.Request) {
	job, ok := p.find(w, r)
	if !ok {
		return
	}
	failed, err := p.Store.JobProblems(r.Context(), job.ID, maxShown)
	if err != nil {
		p.fail(w, r, err)
		return
	}
	done := 100 * (job.Made + job.Failed) / max(job.Rows, 1)
	if !job.ResumeAt.IsZero() {
		job.ResumeAt = job.ResumeAt.In(p.Location)
	}
	p.write(w, r, http.StatusOK, makeView{Job: &job, Failed: failed, Percent: done})
}

// planned returns the draft of the address, and what it would do now; or leads to the job of
// one that was started.
func (p *Pages) planned(
	w http.ResponseWriter, r *http.Request,
) (title string, planned *channels.Plan, ok bool) {
	draft := r.PathValue("draft")
	if _, err := p.Store.Job(r.Context(), draft); err == nil {
		http.Redirect(w, r, "/make/"+draft, http.StatusSeeOther)
		return "", nil, false
	}
	title, list, err := p.Store.Draft(r.Context(), draft)
	if errors.Is(err, store.ErrNotFound) {
		p.showForm(w, r, http.StatusNotFound, web.Say(r,
			"没有这份名单：草稿只保留一天。", "There is no such list: a draft is kept for a day."))
		return "", nil, false
	}
	if err == nil {
		planned, err = p.Ledger.Plan(r.Context(), strings.NewReader(list))
	}
	if err != nil {
		p.fail(w, r, err)
	}
	return title, planned, err == nil
}

func (p *Pages) draft(w http.ResponseWriter, r *http.Request) {
	if _, planned, ok := p.planned(w, r); ok {
		v := makeView{Draft: r.PathValue("draft"), Plan: newPlan(r, planned)}
		p.write(w, r, http.StatusOK, v)
	}
}

// start applies the draft and has the codes made. The job has the draft's ID: who starts it
// twice at once, or again after a crash, changes nothing twice.
func (p *Pages) start(w http.ResponseWriter, r *http.Request) {
	title, planned, ok := p.planned(w, r)
	if !ok {
		return
	}
	draft := r.PathValue("draft")
	if !newPlan(r, planned).Startable() {
		http.Redirect(w, r, "/make/drafts/"+draft, http.StatusSeeOther)
		return
	}
	ctx := r.Context()
	withoutConflicts(planned)
	if err := p.Ledger.Apply(ctx, planned); err != nil {
		if errors.Is(err, channels.ErrPlanOutdated) {
			http.Redirect(w, r, "/make/drafts/"+draft, http.StatusSeeOther)
			return
		}
		p.fail(w, r, err)
		return
	}
	list := slices.Collect(planned.Channels())
	err := p.Store.NewJob(ctx, draft, title, web.VisitorOf(ctx).Name, list)
	if _, jobErr := p.Store.Job(ctx, draft); jobErr == nil {
		err = nil // it, or another click, has started the job
	}
	p.woken(w, r, draft, err)
}

func (p *Pages) resume(w http.ResponseWriter, r *http.Request) {
	if job, ok := p.find(w, r); ok {
		p.woken(w, r, job.ID, p.Store.ResumeJob(r.Context(), job.ID))
	}
}

// woken wakes the worker and leads to the job.
func (p *Pages) woken(w http.ResponseWriter, r *http.Request, id string, err error) {
	if err != nil {
		p.fail(w, r, err)
		return
	}
	select {
	case p.Worker.Wake <- struct{}{}:
	default: // it works
	}
	http.Redirect(w, r, "/make/"+id, http.StatusSeeOther)
}
