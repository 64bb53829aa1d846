package main

import (
	"bytes"
	"cmp"
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/wechatqr/wechatqr"
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
			"t":     func(text string, args ...any) string { return translate(lang, text, args...) },
			"say":   func(p phrase) string { return p.in(lang) },
			"clock": func(t time.Time) string { return clockText(t, time.Now()) },
			"stamp": func(t time.Time) string { return t.Format(time.RFC3339) },
			"took":  tookText,
			"left":  func(d time.Duration) string { return leftText(lang, d) },
			"long":  func(d time.Duration) string { return longText(lang, d) },
		}).ParseFS(files, "page/page.html")
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
	Creds                  wechatqr.Credentials
	Account                string
	Now                    time.Time
	Ahead                  time.Duration
	Notice                 *noticeView
	Callback               wechatqrtest.Callback
	Check                  *checkView
	Modes                  []modeView
	Codes                  []codeView
	OlderCodes             int
	Users                  []userView
	OlderUsers             int
	Feed                   []feedItem
	OlderPushes            int
	Requests               []requestView
	OlderRequests          int
	FaultKinds             []labelView
	FaultPaths             []string
	Faults                 []faultView
	Quotas                 []quotaView
	SDKs                   sdkSettings
}

type noticeView struct {
	Text  phrase
	Bad   bool
	Place string // id of the section that shows more
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

type namedUser struct {
	name  phrase
	color int
}

type userView struct {
	wechatqrtest.User
	Name, Letter string
	Color        int
	Scene        string // of the QR code by which they followed
}

type codeView struct {
	wechatqrtest.QRCode
	ID      string // in the page
	Number  bool
	Expired bool
	Left    time.Duration
}

// feedItem is a push or a customer service message.
type feedItem struct {
	ID           string // in the page
	At           time.Time
	Who          string
	Letter       string
	Color        int
	OpenID       string
	Event        *phrase // what happened; nil for a message
	Kind         string  // WeChat's name for it
	Text         string  // what the user wrote
	Service      bool    // a customer service message
	State        string  // "running", "ok" or "failed"
	Took         time.Duration
	Tries        int
	Reply        *replyView
	Fault        string // the text that the user sees if the push failed
	Silent       bool   // there was no reply
	Wrong        *problemView
	Push         int // id
	Attempts     []attemptView
	Message      string // decrypted
	ReplyXML     string // decrypted; empty if the reply was not encrypted
	Announcement phrase
}

type replyView struct {
	Kind     string
	Text     string
	Articles []articleView
}

type articleView struct{ Title, Description, URL string }

// problemView is what the page says of a wrong response.
type problemView struct {
	What phrase
	Err  *wechatqrtest.CallbackError
}

type attemptView struct {
	N        int
	Status   int
	Took     time.Duration
	Response string
	Wrong    *problemView
	Curl     string
	OK       bool
}

type requestView struct {
	wechatqrtest.RecordedRequest
	ID     string // in the page
	Bad    bool
	Pretty string
	Sent   string
}

type faultView struct {
	Label string
	Path  string
	Times int
}

type quotaView struct {
	wechatqrtest.Quota
	Out bool
}

// The page shows the newest of each list.
const (
	maxCodes    = 24
	maxUsers    = 40
	maxFeed     = 30
	maxRequests = 60
)

// show is GET /.
func (a *app) show(w http.ResponseWriter, r *http.Request) {
	if lang := r.URL.Query().Get("lang"); lang == english || lang == chinese {
		http.SetCookie(w, &http.Cookie{
			Name: langCookie, Value: lang, Path: "/", MaxAge: 365 * 24 * 3600,
			HttpOnly: true, SameSite: http.SameSiteLaxMode,
		})
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}

	lang := languageOf(r)
	v := a.view(lang)
	a.mu.Lock()
	if r.URL.Query().Get("n") == strconv.Itoa(a.last.id) && a.last.id > 0 {
		v.Notice = &noticeView{a.last.text, a.last.bad, a.last.place}
	}
	a.mu.Unlock()

	var b bytes.Buffer
	if err := a.pages[lang].Execute(&b, v); err != nil {
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

func (a *app) view(lang string) *view {
	users := a.wx.Users()
	names := a.names(users)
	v := &view{
		Lang: lang, Other: chinese, OtherName: "中文",
		Origin: a.origin, Creds: a.wx.Credentials(), Account: a.wx.Account(),
		Now: a.wx.Now(), Ahead: a.ahead(), Callback: a.wx.Callback(),
		FaultPaths: faultPaths, SDKs: settingsFor(a.origin, a.proxyCA),
	}
	if lang == chinese {
		v.Other, v.OtherName = english, "English"
	}
	for _, m := range modeViews {
		m.Selected = m.Value == v.Callback.Mode
		v.Modes = append(v.Modes, m)
	}
	v.Check = newCheckView(lang, a.lastCheck(v.Callback))
	v.codes(a.wx.QRCodes())
	slices.Reverse(users)
	if n := len(users) - maxUsers; n > 0 {
		v.OlderUsers, users = n, users[:maxUsers]
	}
	for _, u := range users {
		named := names[u.OpenID]
		p := userView{User: u, Name: named.name.in(lang), Color: named.color, Scene: u.SceneStr}
		p.Letter = firstRune(p.Name)
		if p.Scene == "" && u.SceneID != 0 {
			p.Scene = strconv.FormatUint(uint64(u.SceneID), 10)
		}
		v.Users = append(v.Users, p)
	}
	v.feed(a.wx.Pushes(), a.wx.Messages(), names, lang)
	v.requests(a.wx.Requests())
	for _, k := range faultKinds {
		v.FaultKinds = append(v.FaultKinds, labelView{k.Key, k.label})
	}
	for _, f := range a.wx.Faults() {
		v.Faults = append(v.Faults, faultView{faultLabel(f), f.Path, f.Times})
	}
	for _, q := range a.wx.Quotas() {
		v.Quotas = append(v.Quotas, quotaView{q, q.Daily > 0 && q.Used >= q.Daily})
	}
	return v
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

func (v *view) feed(
	pushes []wechatqrtest.Push, messages []wechatqrtest.Message, names map[string]namedUser, lang string,
) {
	for _, p := range pushes {
		v.Feed = append(v.Feed, pushItem(p, names, lang))
	}
	for _, m := range messages {
		who := names[m.OpenID]
		item := feedItem{
			ID: fmt.Sprintf("message-%d", m.Time.UnixNano()), At: m.Time,
			Who: who.name.in(lang), Color: who.color, OpenID: m.OpenID,
			Service: true, State: "ok",
			Reply: &replyView{Kind: m.MsgType, Text: m.Content}, Message: indented(m.Body),
		}
		item.Letter = firstRune(item.Who)
		if item.Reply.Text == "" {
			item.Reply.Text = "[" + m.MsgType + "]"
		}
		item.Announcement = say("The account wrote to %s: %s", item.Who, item.Reply.Text)
		v.Feed = append(v.Feed, item)
	}
	slices.SortStableFunc(v.Feed, func(a, b feedItem) int {
		return cmp.Or(b.At.Compare(a.At), cmp.Compare(b.Push, a.Push))
	})
	if n := len(v.Feed) - maxFeed; n > 0 {
		v.OlderPushes, v.Feed = n, v.Feed[:maxFeed]
	}
}

func pushItem(p wechatqrtest.Push, names map[string]namedUser, lang string) feedItem {
	who := names[p.Event.FromUserName]
	item := feedItem{
		ID: "push-" + strconv.Itoa(p.ID), Push: p.ID, At: p.Event.CreateTime,
		Who: who.name.in(lang), Color: who.color, OpenID: p.Event.FromUserName,
		Kind: string(p.Event.Type), Tries: len(p.Attempts), Message: string(p.Event.Raw), State: "running",
	}
	item.Letter = firstRune(item.Who)
	happened := whatHappened(&p.Event, item.Who)
	if p.Event.MsgType == "text" {
		item.Kind, item.Text = "text", p.Event.Content
	} else {
		item.Event = &happened
	}
	for i, at := range p.Attempts {
		av := attemptView{
			N: i + 1, Status: at.Status, Took: at.Duration, Response: at.Response,
			Curl: curl(at), OK: at.Err == nil,
		}
		if at.Err != nil {
			av.Wrong = &problemView{whatIsWrong(at.Err), at.Err}
		}
		item.Attempts = append(item.Attempts, av)
		item.Took, item.Wrong = av.Took, av.Wrong
	}
	if len(p.Attempts) > 0 {
		item.At = p.Attempts[0].Time
	}
	if !p.Done {
		item.Announcement = happened
		return item
	}
	noChat := p.Event.Type.Is(wechatqr.EventUnsubscribe)
	item.Announcement = happened
	switch {
	case p.Err() != nil:
		item.State = "failed"
		if !noChat {
			item.Fault = wechatqrtest.ServiceFault
		}
		item.Announcement = say("%s The backend failed: %s", happened, whatIsWrong(p.Attempts[len(p.Attempts)-1].Err))
	case len(p.Attempts) == 0 || p.Attempts[len(p.Attempts)-1].Duration == 0 && p.Attempts[len(p.Attempts)-1].Status == 0:
		item.State = "failed" // cancelled
	default:
		item.State = "ok"
		item.Reply = replyOf(p.Reply)
		item.Silent = item.Reply == nil && !noChat
		if p.Reply.Encrypted {
			item.ReplyXML = p.Reply.XML
		}
		if item.Reply != nil {
			item.Announcement = say("%s The user sees: %s", happened, p.Reply.Text())
		}
	}
	return item
}

func replyOf(r wechatqrtest.ReceivedReply) *replyView {
	switch r.MsgType {
	case "":
		return nil
	case "news":
		out := &replyView{Kind: r.MsgType}
		for _, art := range r.Articles {
			out.Articles = append(out.Articles, articleView{art.Title, art.Description, art.URL})
		}
		return out
	}
	return &replyView{Kind: r.MsgType, Text: r.Text()}
}

// whatHappened describes the event.
func whatHappened(ev *wechatqr.Event, who string) phrase {
	scan, scanned := ev.Scan()
	switch {
	case scanned && scan.NewFollower:
		return say("%s scanned %s and followed the account.", who, scan.SceneKey)
	case scanned:
		return say("%s scanned %s.", who, scan.SceneKey)
	case ev.Type.Is(wechatqr.EventSubscribe):
		return say("%s followed the account.", who)
	case ev.Type.Is(wechatqr.EventUnsubscribe):
		return say("%s unfollowed the account.", who)
	case ev.MsgType == "text":
		return say("%s wrote: %s", who, ev.Content)
	}
	return say("%s: %s", who, string(ev.Type)+" "+ev.EventKey)
}

func (v *view) requests(requests []wechatqrtest.RecordedRequest) {
	slices.Reverse(requests)
	if n := len(requests) - maxRequests; n > 0 {
		v.OlderRequests, requests = n, requests[:maxRequests]
	}
	for _, c := range requests {
		v.Requests = append(v.Requests, requestView{
			RecordedRequest: c, ID: "call-" + strconv.Itoa(c.ID), Bad: c.Code != 0 || c.Status != http.StatusOK,
			Pretty: indented(c.Response), Sent: indented(c.Body),
		})
	}
}

const maxShownBytes = 4 << 10 // of a body

func indented(text string) string {
	var b bytes.Buffer
	if json.Indent(&b, []byte(text), "", "  ") == nil {
		text = b.String()
	}
	if len(text) > maxShownBytes {
		text = strings.ToValidUTF8(text[:maxShownBytes], "") + "…"
	}
	return text
}

// curl is the delivery as a shell command. Backends that check the timestamp
// accept it for five minutes.
func curl(at wechatqrtest.Attempt) string {
	return "curl -i " + quoted(at.URL) + " \\\n" +
		"  -H 'Content-Type: text/xml' -A Mozilla/4.0 \\\n  --data-binary " + quoted(at.Body)
}

func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

func firstRune(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	if n == 0 {
		return "?"
	}
	return string(r)
}

// userNames are the names that the page gives to users.
var userNames = [...]string{"Lin", "Mei", "Bo", "Yun", "Tao", "Xia", "Jun", "Hua", "Qing", "Peng", "Rui", "Shan"}

const colors = 6 // of avatars

// names gives each user a unique name, which does not change.
func (a *app) names(users []wechatqrtest.User) map[string]namedUser {
	out := make(map[string]namedUser, len(users))
	for i, u := range users {
		name := say(userNames[i%len(userNames)])
		if n := i / len(userNames); n > 0 {
			name = say("%s %d", name, n+1)
		}
		out[u.OpenID] = namedUser{name, i % colors}
	}
	return out
}
