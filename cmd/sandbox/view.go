package main

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/wechatqr/wechatqr/internal/webui"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

//go:embed page
var files embed.FS

// serveFile serves what page.html links to.
func serveFile(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("file")
	if strings.HasSuffix(name, ".html") {
		http.NotFound(w, r)
		return
	}
	sub, err := fs.Sub(files, "page")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Cache-Control", "no-cache")
	http.ServeFileFS(w, r, sub, name)
}

// pages are the page's template in each language.
type pages map[string]*template.Template

func newPages() (pages, error) {
	ps := pages{}
	for _, lang := range [...]string{english, chinese} {
		tmpl, err := template.New("page.html").Funcs(template.FuncMap{
			"t":      func(text string, args ...any) string { return translate(lang, text, args...) },
			"say":    func(p phrase) string { return p.in(lang) },
			"clock":  func(t time.Time) string { return clockText(t, time.Now()) },
			"stamp":  func(t time.Time) string { return t.Format(time.RFC3339) },
			"took":   tookText,
			"curl":   curl,
			"advice": func(e *wechatqrtest.CallbackError) string { return adviceIn(lang, e) },
			"left":   func(d time.Duration) string { return leftText(lang, d) },
			"long":   func(d time.Duration) string { return longText(lang, d) },
		}).ParseFS(files, "page/page.html", "page/phone.html")
		if err != nil {
			return nil, err
		}
		ps[lang] = tmpl
	}
	return ps, nil
}

// clockText is a time of day, with the date if it is not today's.
func clockText(t, now time.Time) string {
	t, now = t.Local(), now.Local()
	if t.YearDay() == now.YearDay() && t.Year() == now.Year() {
		return t.Format("15:04:05")
	}
	return t.Format("2006-01-02 15:04:05")
}

func tookText(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return "<1 ms"
	case d < time.Second:
		return strconv.FormatInt(d.Milliseconds(), 10) + " ms"
	}
	return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + " s"
}

// leftText is the time until a code expires, in the form that page.js updates.
func leftText(lang string, d time.Duration) string {
	d = max(d, 0)
	days := int(d / (24 * time.Hour))
	d -= time.Duration(days) * 24 * time.Hour
	text := fmt.Sprintf("%02d:%02d:%02d", int(d.Hours()), int(d.Minutes())%60, int(d.Seconds())%60)
	if days > 0 {
		text = strconv.Itoa(days) + translate(lang, "d ") + text
	}
	return text
}

// longText is the offset of the clock.
func longText(lang string, d time.Duration) string {
	sign := "+"
	if d < 0 {
		sign, d = "−", -d
	}
	return sign + leftText(lang, d)
}

// view is the data of the template.
type view struct {
	Lang, Other, OtherName string
	Origin                 string
	AppID, AppSecret       string // AppSecret is masked
	Account                string
	Now                    time.Time
	Ahead                  time.Duration
	Notice                 *noticeView
	LastNotice             int                   // id
	Callback               wechatqrtest.Callback // its keys are masked
	Check                  *checkView
	Connected              bool // the check has passed: the settings may be closed
	Modes                  []modeView
	Codes                  []codeView
	OlderCodes             int
	Users                  []userView
	OlderUsers             int
	Timeline               timeline
	FaultKinds             []labelView
	FaultPaths             []string
	Faults                 []faultView
	PushFaults             []wechatqrtest.PushFault
	Quotas                 []quotaView
	SDKs                   sdkSettings
}

type noticeView struct {
	Text  phrase
	Bad   bool
	Place string // id of the section that shows more
	Wrong *wechatqrtest.CallbackError
}

type modeView struct {
	Value    wechatqrtest.Mode
	Label    string
	Selected bool
}

var modeViews = [...]modeView{
	{Value: wechatqrtest.ModePlain, Label: "Plaintext: not encrypted"},
	{Value: wechatqrtest.ModeCompatible, Label: "Compatible: plaintext and ciphertext"},
	{Value: wechatqrtest.ModeSafe, Label: "Safe: encrypted"},
}

type labelView struct{ Key, Label string }

type userView struct {
	wechatqrtest.User
	Name, Letter string
	Color        int
	Scene        string // of the QR code by which they followed
	Thread       string // for the page's address
}

type codeView struct {
	wechatqrtest.QRCode
	ID      string // in the page
	Number  bool
	Expired bool
	Left    time.Duration
}

type faultView struct {
	Label phrase
	Path  string
	Times int
}

type quotaView struct {
	wechatqrtest.Quota
	Out bool
}

// The page shows the newest of each list.
const (
	maxCodes = 24
	maxUsers = 40
)

// show is GET /.
func (a *app) show(w http.ResponseWriter, r *http.Request) {
	if webui.ChooseLanguage(w, langCookie, r.URL.Query().Get("lang")) {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}

	lang := languageOf(r)
	v := a.view(lang, r.URL.Query().Get("show"))
	a.mu.Lock()
	v.LastNotice = a.last.id
	if r.URL.Query().Get("n") == strconv.Itoa(a.last.id) && a.last.id > 0 {
		v.Notice = &noticeView{a.last.text, a.last.bad, a.last.place, a.last.wrong}
	}
	a.mu.Unlock()

	a.pages.show(w, lang, "page.html", v)
}

func (ps pages) show(w http.ResponseWriter, lang, name string, data any) {
	var b bytes.Buffer
	if err := ps[lang].ExecuteTemplate(&b, name, data); err != nil {
		http.Error(w, "sandbox: "+err.Error(), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Language", lang)
	h.Set("Cache-Control", "no-store")
	h.Set("Vary", "Accept-Language, Cookie")
	_, _ = w.Write(b.Bytes()) // the browser may have closed the connection
}

// view is the page, with the timeline of one thread or, if thread is empty, of all.
func (a *app) view(lang, th string) *view {
	st := a.wx.State()
	v := &view{
		Lang: lang, Other: chinese, OtherName: "中文",
		Origin: a.origin, AppID: st.AppID, AppSecret: st.AppSecret, Account: st.Account,
		Now: st.Now, Ahead: a.ahead(),
		Callback: st.Callback, Check: newCheckView(lang, a.lastCheck(st.Callback)),
		PushFaults: st.PushFaults, FaultPaths: faultPaths, SDKs: settingsFor(a.origin, a.proxyCA),
	}
	v.Connected = v.Check != nil && v.Check.Err() == nil
	if lang == chinese {
		v.Other, v.OtherName = english, "English"
	}
	for _, m := range modeViews {
		m.Selected = m.Value == st.Callback.Mode
		v.Modes = append(v.Modes, m)
	}
	names := a.people.named(st.Users)
	v.Timeline = newTimeline(st, names, lang, th)
	v.codes(st.QRCodes)
	v.users(st.Users, names)
	for _, k := range faultKinds {
		v.FaultKinds = append(v.FaultKinds, labelView{k.Key, k.label})
	}
	for _, f := range st.Faults {
		v.Faults = append(v.Faults, faultView{faultLabel(f), f.Path, f.Times})
	}
	for _, q := range st.Quotas {
		v.Quotas = append(v.Quotas, quotaView{q, q.Daily > 0 && q.Used >= q.Daily})
	}
	return v
}

func (v *view) users(users []wechatqrtest.User, names map[string]namedUser) {
	slices.Reverse(users)
	if n := len(users) - maxUsers; n > 0 {
		v.OlderUsers, users = n, users[:maxUsers]
	}
	for _, u := range users {
		named := names[u.OpenID]
		p := userView{
			User: u, Name: named.name.in(v.Lang), Color: named.color, Thread: named.thread, Scene: u.SceneStr,
		}
		p.Letter = firstRune(p.Name)
		if p.Scene == "" && u.SceneID != 0 {
			p.Scene = strconv.FormatUint(uint64(u.SceneID), 10)
		}
		v.Users = append(v.Users, p)
	}
}

func (v *view) codes(codes []wechatqrtest.QRCode) {
	slices.Reverse(codes)
	if n := len(codes) - maxCodes; n > 0 {
		v.OlderCodes, codes = n, codes[:maxCodes]
	}
	for _, c := range codes {
		v.Codes = append(v.Codes, codeView{
			QRCode: c, ID: "code-" + c.Ticket[max(0, len(c.Ticket)-40):],
			Number:  c.Action == "QR_SCENE" || c.Action == "QR_LIMIT_SCENE",
			Expired: !c.Permanent() && !v.Now.Before(c.ExpiresAt),
			Left:    c.ExpiresAt.Sub(v.Now),
		})
	}
}

func firstRune(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	if n == 0 {
		return "?"
	}
	return string(r)
}
