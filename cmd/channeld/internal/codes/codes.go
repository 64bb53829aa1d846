// Package codes is the pages on which codes are made and printed.
package codes

import (
	"embed"
	"errors"
	"io"
	"log/slog"
	"net/http"
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
		{Pattern: "POST /make", Needs: web.Operator, Handle: p.upload},
		{Pattern: "GET /make/{job}", Needs: web.Operator, Handle: p.job},
		{Pattern: "POST /make/{job}/start", Needs: web.Operator, Handle: p.start},
		{Pattern: "POST /make/{job}/resume", Needs: web.Operator, Handle: p.resume},

		{Pattern: "GET /print", Needs: web.Viewer, Handle: p.printForm},
		{Pattern: "POST /print/sheet", Needs: web.Viewer, Handle: p.printSheet},
		{Pattern: "POST /print/zip", Needs: web.Viewer, Handle: p.printZIP},
		{Pattern: "POST /print/temporary", Needs: web.Operator, Handle: p.printTemporary},
		{Pattern: "GET /channels/{key}/code.svg", Needs: web.Guest, Handle: p.picture},
	}
}

//go:embed *.html
var files embed.FS

var templates = web.ParseTemplates(files, "*.html")

func (p *Pages) fail(w http.ResponseWriter, err error) {
	p.Logger.Error("channeld: codes", "err", err)
	http.Error(w, "channeld: the database does not answer", http.StatusServiceUnavailable)
}

// makeView is what the page of making codes shows.
type makeView struct {
	Problem string
	Text    string // pasted
	Jobs    []store.Job

	Job      *store.Job
	Plan     *plan
	Shown    []channels.Channel // some of the new ones
	Failed   []store.JobRow
	Percent  int
	Resume   time.Time
	Location *time.Location
}

const maxShown = 20

func (p *Pages) form(w http.ResponseWriter, r *http.Request) {
	p.showForm(w, r, http.StatusOK, "")
}

func (p *Pages) showForm(w http.ResponseWriter, r *http.Request, status int, problem string) {
	jobs, err := p.Store.Jobs(r.Context())
	if err != nil {
		p.fail(w, err)
		return
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
	var list []channels.Channel
	if err == nil {
		list, err = readTable(data)
	}
	if err != nil {
		status, problem := uploadProblem(r, err)
		p.showForm(w, r, status, problem)
		return
	}
	id, err := p.Store.NewJob(r.Context(), title, web.VisitorOf(r.Context()).Name, list)
	if err != nil {
		p.fail(w, err)
		return
	}
	http.Redirect(w, r, "/make/"+id, http.StatusSeeOther)
}

const maxInMemory = 5 << 20 // of an upload, which is not larger

// uploaded returns the file, or else what was pasted.
func uploaded(r *http.Request) (title string, data []byte, err error) {
	err = r.ParseMultipartForm(maxInMemory)
	if err != nil && !errors.Is(err, http.ErrNotMultipart) {
		return "", nil, err
	}
	file, header, err := r.FormFile("file")
	if err != nil || header.Size == 0 {
		text := r.PostFormValue("text")
		first, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
		return cut(first), []byte(text), nil
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

func uploadProblem(r *http.Request, err error) (status int, text string) {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return http.StatusRequestEntityTooLarge,
			web.Say(r, "文件太大：最多 5 MB。", "The file is too large: 5 MB at most.")
	case errors.Is(err, errTooManyRows):
		return http.StatusUnprocessableEntity,
			web.Say(r, "行数太多：最多 100000 行。", "There are too many rows: 100000 at most.")
	case errors.Is(err, errNoRows):
		return http.StatusUnprocessableEntity, web.Say(r, "没有内容：请粘贴几行或选择文件。",
			"There is nothing in it: paste some rows, or choose a file.")
	}
	return http.StatusUnprocessableEntity, web.Say(r,
		"读不懂这个文件：请用 CSV 或 XLSX，第一列编号，第二列名称，第三列分组。",
		"The file cannot be read: use CSV or XLSX with the columns key, name and group.")
}

// find returns the job of the address.
func (p *Pages) find(w http.ResponseWriter, r *http.Request) (store.Job, bool) {
	job, err := p.Store.Job(r.Context(), r.PathValue("job"))
	switch {
	case errors.Is(err, store.ErrNotFound):
		p.showForm(w, r, http.StatusNotFound, web.Say(r,
			"没有这个任务：草稿保留一天。", "There is no such list: a draft is kept for a day."))
	case err != nil:
		p.fail(w, err)
	}
	return job, err == nil
}

func (p *Pages) job(w http.ResponseWriter, r *http.Request) {
	job, ok := p.find(w, r)
	if !ok {
		return
	}
	v := makeView{Job: &job, Location: p.Location, Resume: job.ResumeAt.In(p.Location)}
	var err error
	if job.Started {
		v.Percent = 100 * (job.Made + job.Failed) / max(job.Rows, 1)
		v.Failed, err = p.Store.JobProblems(r.Context(), job.ID, maxShown)
	} else if v.Plan, err = p.plan(r, job.ID); err == nil {
		v.Shown = v.Plan.New[:min(len(v.Plan.New), maxShown)]
	}
	if err != nil {
		p.fail(w, err)
		return
	}
	if job.Started && !job.Ended && job.ResumeAt.IsZero() {
		w.Header().Set("Refresh", "2") // progress, without a script
	}
	p.write(w, r, http.StatusOK, v)
}

// plan is what the draft would do now.
func (p *Pages) plan(r *http.Request, id string) (*plan, error) {
	rows, err := p.Store.JobRows(r.Context(), id, maxRows)
	if err != nil {
		return nil, err
	}
	list := make([]channels.Channel, len(rows))
	for i, row := range rows {
		list[i] = row.Channel
	}
	return newPlan(r.Context(), p.Ledger, list)
}

// start makes a job of what the draft has to do, and starts it.
func (p *Pages) start(w http.ResponseWriter, r *http.Request) {
	draft, ok := p.find(w, r)
	if !ok {
		return
	}
	if draft.Started {
		http.Redirect(w, r, "/make/"+draft.ID, http.StatusSeeOther)
		return
	}
	planned, err := p.plan(r, draft.ID)
	if err != nil {
		p.fail(w, err)
		return
	}
	if len(planned.New) == 0 {
		http.Redirect(w, r, "/make/"+draft.ID, http.StatusSeeOther)
		return
	}
	ctx := r.Context()
	id, err := p.Store.NewJob(ctx, draft.Title, web.VisitorOf(ctx).Name, planned.New)
	if err == nil {
		err = errors.Join(p.Store.StartJob(ctx, id), p.Store.DeleteDraft(ctx, draft.ID))
	}
	p.woken(w, r, id, err)
}

func (p *Pages) resume(w http.ResponseWriter, r *http.Request) {
	job, ok := p.find(w, r)
	if ok && job.Started {
		p.woken(w, r, job.ID, p.Store.StartJob(r.Context(), job.ID))
	} else if ok {
		http.Redirect(w, r, "/make/"+job.ID, http.StatusSeeOther)
	}
}

// woken wakes the worker and leads to the job.
func (p *Pages) woken(w http.ResponseWriter, r *http.Request, id string, err error) {
	if err != nil {
		p.fail(w, err)
		return
	}
	select {
	case p.Worker.Wake <- struct{}{}:
	default: // it works
	}
	http.Redirect(w, r, "/make/"+id, http.StatusSeeOther)
}
