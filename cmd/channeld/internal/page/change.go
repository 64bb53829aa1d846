package page

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/channels"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/web"
)

// changeView says what a change of a channel costs, before it is made.
type changeView struct {
	Channel channels.Channel
	Action  string // "retire", "resume", "merge" or "give"
	Target  channels.Channel
	Scene   string
	From    string          // of "give", as the form has it
	Moving  channels.Counts // what the channel has since then, or all of it
	Codes   int
	Problem string
}

var actions = []string{"edit", "retire", "resume", "merge", "give"}

const instantForm = "2006-01-02T15:04"

// ask is the page before a change.
func (p *Pages) ask(w http.ResponseWriter, r *http.Request) {
	c, err := p.channelOf(r)
	if err != nil {
		p.fail(w, r, err)
		return
	}
	v := &changeView{
		Channel: c, Action: r.FormValue("action"), Scene: r.FormValue("scene"), From: r.FormValue("from"),
	}
	if v.Action == "merge" || v.Action == "give" {
		v.Target, err = p.Ledger.Channel(r.Context(), r.FormValue("target"))
	}
	switch {
	case errors.Is(err, channels.ErrUnknownChannel):
		v.Problem = web.Say(r, "没有这个目标渠道，请从列表中选编号。",
			"There is no such channel to take it: choose a key of the list.")
	case err == nil && !slices.Contains(actions, v.Action):
		err = errQuestion
	case err == nil && v.Target.Key == c.Key:
		v.Problem = web.Say(r, "目标就是这个渠道自己。", "It is this channel itself.")
	case err == nil:
		err = p.weigh(r, v)
	}
	if err != nil && v.Problem == "" {
		p.fail(w, r, err)
		return
	}
	page := web.Page{Title: channelName(c), Place: "channels"}
	if v.Problem != "" {
		page.Status = http.StatusUnprocessableEntity
	}
	p.show(w, r, page, "change.html", v)
}

// weigh counts what the change moves.
func (p *Pages) weigh(r *http.Request, v *changeView) error {
	from := ledgerStart
	if v.Action == "give" {
		at, err := time.ParseInLocation(instantForm, v.From, p.Location)
		if err != nil || at.After(p.Now()) || at.Before(ledgerStart) {
			v.Problem = web.Say(r, "时刻无法识别，或者在将来。", "The instant is none, or to come.")
			return nil
		}
		from = at.Truncate(time.Hour)
	}
	report, err := p.Ledger.Report(r.Context(), channels.Query{
		From: from, To: p.Now().Truncate(time.Hour).Add(time.Hour), Channel: v.Channel.Key,
	})
	if err != nil {
		return err
	}
	v.Moving = report.Total
	codes, err := p.Ledger.Assignments(r.Context(), v.Channel.Key)
	scenes := map[string]bool{}
	for _, one := range codes {
		scenes[one.Scene.Key()] = true
	}
	v.Codes = len(scenes)
	return err
}

// ledgerStart is before every event: WeChat began in 2011.
var ledgerStart = time.Date(2011, 1, 1, 0, 0, 0, 0, time.UTC)

// change makes the change, and leads to the page that says what it did.
func (p *Pages) change(w http.ResponseWriter, r *http.Request) {
	c, err := p.channelOf(r)
	if err != nil {
		p.fail(w, r, err)
		return
	}
	action, at := r.PathValue("action"), c.Key
	switch action {
	case "edit":
		err = p.edit(r, &c)
	case "retire":
		err = p.Ledger.Retire(r.Context(), c.Key, p.Now())
	case "resume":
		err = p.Ledger.Retire(r.Context(), c.Key, time.Time{})
	case "merge":
		at = r.PostFormValue("target")
		if c.Key != at || r.PathValue("key") == at { // else a click before has merged it
			err = p.mergeChannel(r, c.Key, at)
		}
	case "give":
		err = p.give(r)
	default:
		err = errQuestion
	}
	if err != nil {
		p.refuseChange(w, r, c.Key, err)
		return
	}
	p.Logger.Info("channeld: changed a channel", "action", action, "channel", c.Key,
		"by", web.VisitorOf(r.Context()).Name)
	done := url.Values{"done": {action}}
	http.Redirect(w, r, channelPath(at)+"?"+done.Encode(), http.StatusSeeOther)
}

// errChanged says that somebody else has changed the channel since the form was shown.
var errChanged = errors.New("the channel has changed meanwhile")

// edit saves name and group, unless they are not those that the form began with.
func (p *Pages) edit(r *http.Request, c *channels.Channel) error {
	was := channels.Channel{
		Key: c.Key, Name: r.PostFormValue("was-name"), Group: r.PostFormValue("was-group"),
		Retired: c.Retired,
	}
	to := was
	to.Name = strings.TrimSpace(r.PostFormValue("name"))
	to.Group = strings.TrimSpace(r.PostFormValue("group"))
	if *c != was && *c != to {
		return errChanged
	}
	return p.Ledger.Put(r.Context(), to)
}

// refuseChange says why a change was not made.
func (p *Pages) refuseChange(w http.ResponseWriter, r *http.Request, key string, err error) {
	problem := web.Problem{
		Status: http.StatusUnprocessableEntity, Title: web.Say(r, "没有保存", "It was not saved"),
		Link: channelPath(key), LinkText: web.Say(r, "返回渠道", "Back to the channel"),
	}
	text, textZH := channels.Explain(err)
	switch {
	case errors.Is(err, errChanged):
		problem.Text = web.Say(r, "有人刚刚改过它的名称或分组，请看过再改。",
			"Somebody has changed its name or group just now: look at them first.")
	case errors.Is(err, wechatqr.ErrInvalidArgument):
		problem.Text = web.Say(r, cmp.Or(textZH, text), text)
	default:
		p.fail(w, r, err)
		return
	}
	web.Frame(p.Frame).Problem(w, r, problem)
}

func (p *Pages) give(r *http.Request) error {
	at, err := time.ParseInLocation(instantForm, r.PostFormValue("from"), p.Location)
	if err != nil || at.Before(ledgerStart) || at.After(p.Now()) {
		return errQuestion
	}
	scene := wechatqr.SceneString(r.PostFormValue("scene"))
	return p.Ledger.Reassign(r.Context(), scene, r.PostFormValue("target"), at)
}

// doneText is what the last change did.
func doneText(r *http.Request) string {
	switch r.FormValue("done") {
	case "edit":
		return web.Say(r, "名称与分组已保存。", "Name and group are saved.")
	case "retire":
		return web.Say(r, "已停用。数字保留，印刷品之后带来的仍归它。",
			"Retired. Its numbers stay, and what its print still brings is its own.")
	case "resume":
		return web.Say(r, "已恢复使用。", "Taken back into use.")
	case "merge":
		return web.Say(r, "已并入本渠道：下面的数字已包含并入的全部历史。",
			"Merged into this channel: the numbers below have all of the other's past.")
	case "note":
		return web.Say(r, "备注已保存。", "The note is saved.")
	case "no-note":
		return web.Say(r, "备注已删除。", "The note is deleted.")
	case "give":
		return web.Say(r, "已改归：下面的数字与历史报表已按新的归属重算。",
			"Given: the numbers below, and old reports, are counted anew.")
	}
	return ""
}

func channelName(c channels.Channel) string { return cmp.Or(c.Name, c.Key) }
