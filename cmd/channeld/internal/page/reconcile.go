package page

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/wechatqr/wechatqr/account"
	"github.com/wechatqr/wechatqr/channels"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/web"
)

// reconcileView is what the page of reconciling shows.
type reconcileView struct {
	AsOf   time.Time
	Zone   string
	Days   []comparedDay // the newest first
	Failed bool          // WeChat has not told its figures
	Run    runState
	MayRun bool
}

// comparedDay is a day with its reasons in words.
type comparedDay struct {
	channels.ComparedDay
	Why []string
}

const (
	comparedDays    = 14
	comparisonLife  = 10 * time.Minute // WeChat's figures change once a day
	compareTimeout  = 20 * time.Second
	reconcileLength = 2 * time.Hour
)

// comparison keeps what WeChat told for a while: it is several calls.
type comparison struct {
	mu   sync.Mutex
	at   time.Time
	days []channels.ComparedDay
}

func (p *Pages) compare(ctx context.Context) (time.Time, []channels.ComparedDay, error) {
	p.comparison.mu.Lock()
	defer p.comparison.mu.Unlock()
	now := p.Now()
	if now.Sub(p.comparison.at) < comparisonLife {
		return p.comparison.at, p.comparison.days, nil
	}
	ctx, cancel := context.WithTimeout(ctx, compareTimeout)
	defer cancel()
	yesterday := now.AddDate(0, 0, -1)
	compared, err := p.Ledger.Compare(ctx, p.Client, now.AddDate(0, 0, -comparedDays), yesterday)
	if err != nil {
		return now, nil, err
	}
	p.comparison.at, p.comparison.days = now, compared.Days
	return now, compared.Days, nil
}

func (p *Pages) reconcile(w http.ResponseWriter, r *http.Request) {
	at, days, err := p.compare(r.Context())
	if err != nil {
		p.Logger.Warn("channeld: WeChat's figures", "err", err)
	}
	v := &reconcileView{
		AsOf: at.In(p.Location), Zone: p.Location.String(), Failed: err != nil, Run: p.run.get(),
		MayRun: web.VisitorOf(r.Context()).Role >= web.Operator,
	}
	for i := len(days) - 1; i >= 0; i-- {
		v.Days = append(v.Days, comparedDay{days[i], reasonTexts(r, days[i].Reasons)})
	}
	p.show(w, r, web.Page{Title: web.Say(r, "对账", "Reconcile"), Place: "reconcile"},
		"reconcile.html", v)
}

// reasonTexts are the reasons with the number of follows that each can account for.
func reasonTexts(r *http.Request, reasons []channels.DiffReason) (all []string) {
	for _, one := range reasons {
		text := reasonText(r, one.Kind)
		if one.Count > 0 {
			text = fmt.Sprintf("%s (%s)", text, number(one.Count))
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

// run is the reconciling of this process, one at a time.
type run struct {
	mu sync.Mutex
	runState
}

// runState is what the last one did.
type runState struct {
	Running      bool
	Began, Ended time.Time
	channels.Reconciled
	Failed bool
}

func (s *run) get() runState {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.runState
}

// begin returns false if it runs already.
func (s *run) begin(at time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.Running {
		return false
	}
	s.runState = runState{Running: true, Began: at}
	return true
}

func (s *run) end(at time.Time, found channels.Reconciled, failed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Running, s.Ended, s.Reconciled, s.Failed = false, at, found, failed
}

// startReconcile reads WeChat's list of followers, which takes a minute or two for each
// hundred thousand of them. A process that ends meanwhile leaves nothing half done:
// Reconcile ends nobody's follow before it has the whole list.
func (p *Pages) startReconcile(w http.ResponseWriter, r *http.Request) {
	if p.run.begin(p.Now().In(p.Location)) {
		go p.runReconcile(context.WithoutCancel(r.Context()))
	}
	http.Redirect(w, r, "/reconcile", http.StatusSeeOther)
}

func (p *Pages) runReconcile(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, reconcileLength)
	defer cancel()
	followers := account.Followers(ctx, p.Client, "")
	found, err := p.Ledger.Reconcile(ctx, account.Users(ctx, p.Client, followers))
	if err != nil {
		p.Logger.Error("channeld: reconcile", "err", err)
	}
	p.run.end(p.Now().In(p.Location), found, err != nil)
}
