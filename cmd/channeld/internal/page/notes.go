package page

import (
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/wechatqr/wechatqr/channels"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/store"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/web"
)

const (
	maxNotes = 30 // that a page shows
	maxNote  = 80 // letters
)

// noteForm is the form of a new note as it was sent, with what is wrong with it.
type noteForm struct{ Day, Text, Spent, Problem string }

func noteFormOf(r *http.Request) noteForm {
	return noteForm{
		Day:   strings.TrimSpace(r.PostFormValue("day")),
		Text:  strings.TrimSpace(r.PostFormValue("text")),
		Spent: strings.TrimSpace(r.PostFormValue("spent")),
	}
}

// note is what the form says, unless it sets Problem.
func (f *noteForm) note(r *http.Request, channel string, today time.Time) *store.Note {
	n := &store.Note{Channel: channel, Day: f.Day, Text: f.Text}
	day, err := time.Parse(dayForm, f.Day)
	spent, ok := parseMoney(f.Spent)
	n.Spent = spent
	switch {
	case err != nil || day.Before(ledgerStart) || f.Day > today.Format(dayForm):
		f.Problem = web.Say(r, "日期无法识别，或者在将来。", "The day is none, or to come.")
	case f.Text == "" || utf8.RuneCountInString(f.Text) > maxNote ||
		!utf8.ValidString(f.Text) || strings.ContainsFunc(f.Text, unicode.IsControl):
		f.Problem = web.Say(r, "备注为一行文字，1 到 80 字。", "A note is a line of 1 to 80 letters.")
	case !ok:
		f.Problem = web.Say(r, "花费写成 1234.50 这样的数：不带货币符号和千位分隔，最多两位小数。",
			"Write what was spent as 1234.50: without a currency or separators, with two decimals "+
				"at most.")
	}
	return n
}

var moneyForm = regexp.MustCompile(`^(\d{1,9})(?:\.(\d{1,2}))?$`)

// parseMoney reads a sum such as 1234.5 in the smallest unit; an empty text is 0.
func parseMoney(text string) (int64, bool) {
	if text == "" {
		return 0, true
	}
	parts := moneyForm.FindStringSubmatch(text)
	if parts == nil {
		return 0, false
	}
	n, err := strconv.ParseInt(parts[1]+(parts[2] + "00")[:2], 10, 64)
	return n, err == nil
}

// addNote stores a note, or shows the form again.
func (p *Pages) addNote(w http.ResponseWriter, r *http.Request) {
	c, q, err := p.channelAndPeriod(r)
	if err != nil {
		p.fail(w, r, err)
		return
	}
	form := noteFormOf(r)
	note := form.note(r, c.Key, p.Now().In(p.Location))
	if form.Problem != "" {
		p.showChannel(w, r, c, form)
		return
	}
	p.noted(w, r, c.Key, q, "note", p.Store.AddNote(r.Context(), note))
}

func (p *Pages) deleteNote(w http.ResponseWriter, r *http.Request) {
	c, q, err := p.channelAndPeriod(r)
	if err == nil {
		err = p.Store.DeleteNote(r.Context(), c.Key, r.PostFormValue("note"))
	}
	p.noted(w, r, c.Key, q, "no-note", err)
}

// channelAndPeriod are what the page was about on which the form is.
func (p *Pages) channelAndPeriod(r *http.Request) (channels.Channel, Question, error) {
	q, err := parseQuestion(r.URL.Query())
	if err != nil {
		return channels.Channel{}, q, err
	}
	c, err := p.channelOf(r)
	return c, q.PeriodOnly(), err
}

// noted leads back to the page.
func (p *Pages) noted(
	w http.ResponseWriter, r *http.Request, key string, q Question, done string, err error,
) {
	if err != nil {
		p.fail(w, r, err)
		return
	}
	p.Logger.Info("channeld: changed a channel", "action", done, "channel", key,
		"by", web.VisitorOf(r.Context()).Name)
	values := q.Values()
	values.Set("done", done)
	http.Redirect(w, r, channelPath(key)+"?"+values.Encode(), http.StatusSeeOther)
}

// readNotes sets the latest notes until the end of the period, and what was spent.
func (p *Pages) readNotes(r *http.Request, v *channelView, report *channels.Report) (err error) {
	before := dayAfter(report)
	if v.Notes, err = p.Store.Notes(r.Context(), v.Channel.Key, before, maxNotes); err != nil {
		return err
	}
	spent, err := p.Store.Spent(r.Context(), before)
	if err != nil {
		return err
	}
	v.Cost = spendingOn(spent[v.Channel.Key], v.Total.HeldEnd)
	v.MoreNotes = len(v.Notes) == maxNotes
	if v.NoteForm.Day == "" {
		v.NoteForm.Day = v.lastDay().Format(dayForm)
	}
	return nil
}

// dayAfter is the day after the report's period.
func dayAfter(report *channels.Report) string {
	return report.To.In(report.AsOf.Location()).Format(dayForm)
}

// notesByDay are the texts of each day's notes, the first written first.
func notesByDay(notes []store.Note) map[string]string {
	texts := map[string]string{}
	for i := range notes {
		n := &notes[i]
		text := n.Text
		if n.Spent > 0 {
			text += " (" + money(n.Spent) + ")"
		}
		if later := texts[n.Day]; later != "" {
			text += " · " + later
		}
		texts[n.Day] = text
	}
	return texts
}

// mergeChannel merges the channel, its notes first: who tries again after a crash finds
// none left to move.
func (p *Pages) mergeChannel(r *http.Request, key, into string) error {
	target, err := p.Ledger.Channel(r.Context(), into)
	if err == nil && target.Key != key {
		err = p.Store.MoveNotes(r.Context(), key, target.Key)
	}
	if err != nil {
		return err
	}
	return p.Ledger.Merge(r.Context(), key, target.Key)
}
