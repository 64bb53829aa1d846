package page

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/channels"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/reconcile"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/store"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/web"
)

// reconcileView is what the page of reconciling shows.
type reconcileView struct {
	AsOf   time.Time
	Zone   string
	Days   []comparedDay // the newest first
	Failed bool          // WeChat has not told its figures
	Run    reconcile.State
	Runs   []runView
	MayRun bool
}

// runView is a run that has ended.
type runView struct {
	store.Reconcile
	Why string // it did not succeed
}

// comparedDay is a day with its reasons in words.
type comparedDay struct {
	channels.ComparedDay
	Why []string
}

const (
	comparedDays   = 14
	comparisonLife = 10 * time.Minute // WeChat's figures change once a day
	compareTimeout = 20 * time.Second
)

// comparison keeps what WeChat told for a while: it is several calls.
type comparison struct {
	mu    sync.Mutex
	until time.Time
	last  *channels.Comparison
}

func (p *Pages) compare(ctx context.Context) (*channels.Comparison, error) {
	kept := &p.comparison
	kept.mu.Lock()
	defer kept.mu.Unlock()
	now := p.Now()
	if now.Before(kept.until) {
		return kept.last, nil
	}
	ctx, cancel := context.WithTimeout(ctx, compareTimeout)
	defer cancel()
	yesterday := now.AddDate(0, 0, -1)
	compared, err := p.Ledger.Compare(ctx, p.Client, now.AddDate(0, 0, -comparedDays), yesterday)
	if err == nil {
		kept.last, kept.until = compared, now.Add(comparisonLife)
	}
	return compared, err
}

// downloadComparison leads to the page, which says so, if WeChat does not tell its figures.
func (p *Pages) downloadComparison(w http.ResponseWriter, r *http.Request) {
	compared, err := p.compare(r.Context())
	var file bytes.Buffer
	if err == nil {
		err = compared.WriteCSV(&file)
	}
	if err != nil {
		http.Redirect(w, r, "/reconcile", http.StatusSeeOther)
		return
	}
	attach(w, "comparison.csv", csvType, file.Bytes())
}

func (p *Pages) showReconcile(w http.ResponseWriter, r *http.Request) {
	state, err := p.Reconcile.State(r.Context())
	if err != nil {
		p.fail(w, r, err)
		return
	}
	compared, err := p.compare(r.Context())
	if err != nil {
		web.LogFault(p.Logger.Warn, r, "channeld: WeChat's figures", err)
		compared = &channels.Comparison{AsOf: p.Now()}
	}
	v := &reconcileView{
		AsOf: compared.AsOf.In(p.Location), Zone: p.Location.String(), Failed: err != nil,
		Run: state, MayRun: web.VisitorOf(r.Context()).Role >= web.Operator,
	}
	days := compared.Days
	for i := len(days) - 1; i >= 0; i-- {
		v.Days = append(v.Days, comparedDay{days[i], reasonTexts(r, days[i].Reasons)})
	}
	for _, one := range state.Runs {
		run := runView{Reconcile: one}
		if !one.Succeeded() {
			run.Why = whyUnfinished(r, one.Problem)
		}
		v.Runs = append(v.Runs, run)
	}
	p.show(w, r, web.Page{Title: web.Say(r, "对账", "Reconcile"), Place: "reconcile"},
		"reconcile.html", v)
}

// reasonTexts are the reasons with the number of follows that each can account for.
func reasonTexts(r *http.Request, reasons []channels.DiffReason) (all []string) {
	for _, one := range reasons {
		text := reasonText(r, one.Kind)
		if one.Count > 0 {
			text = fmt.Sprintf(web.Say(r, "%s（%s）", "%s (%s)"), text, number(one.Count))
		}
		all = append(all, text)
	}
	return all
}

func reasonText(r *http.Request, kind channels.DiffKind) string {
	texts := map[channels.DiffKind][2]string{
		channels.DayOpen:        {"当天未结束", "the day is not over"},
		channels.FiguresPending: {"微信的数字次日 8 点后才完整", "WeChat's figures are complete after 8:00"},
		channels.BeforeLedger:   {"那时还没有建账", "it was before the ledger"},
		channels.WithoutCode: {"扫码后过久才关注，推送不带码",
			"followed too long after the scan, without a code"},
		channels.ForgottenFollowers: {"应要求遗忘的人", "people who were forgotten"},
		channels.EndsFound: {"更早的取关在当天对账时才发现",
			"lost before, found on that day by reconciling"},
		channels.EndsFoundLater:  {"当天或之前的取关后来才发现", "lost by then, found later"},
		channels.RepeatedFollows: {"同一人一天内多次关注", "people who followed more than once"},
		channels.PushesLost:      {"可能丢了推送：对账即可补上", "pushes were lost: reconcile to mend it"},
		channels.Unexplained:     {"原因不明", "not explained"},
	}
	text, ok := texts[kind]
	if !ok {
		return string(kind)
	}
	return web.Say(r, text[0], text[1])
}

// startReconcile has the worker run, which may take minutes.
func (p *Pages) startReconcile(w http.ResponseWriter, r *http.Request) {
	if err := p.Reconcile.Start(r.Context()); err != nil {
		p.fail(w, r, err)
		return
	}
	http.Redirect(w, r, "/reconcile", http.StatusSeeOther)
}

// whyUnfinished says why a run did not succeed, and what to do.
func whyUnfinished(r *http.Request, problem string) string {
	switch problem {
	case reconcile.Empty:
		return web.Say(r, "微信的列表里还没有关注者，没有可对的账。",
			"WeChat's list has no follower yet: there is nothing to compare.")
	case reconcile.Killed:
		return web.Say(r, "程序中途停止。", "The program was stopped meanwhile.")
	}
	code, err := strconv.Atoi(problem)
	if err != nil {
		return web.Say(r, "微信没有响应，或列表不完整。",
			"WeChat did not answer, or the list was not whole.")
	}
	e := wechatqr.Error{Code: wechatqr.ErrorCode(code)}
	return web.Say(r, "微信返回 "+problem+"："+e.HintZH(), "WeChat says "+problem+": "+e.Hint()) +
		web.Say(r, "。", ".")
}
