package setup

import (
	"cmp"
	"context"
	"embed"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/channels"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/web"
	"github.com/wechatqr/wechatqr/events"
	"github.com/wechatqr/wechatqr/internal/doctor"
	"github.com/wechatqr/wechatqr/internal/webui"
)

// Config is what the page shows and changes.
type Config struct {
	Frame  web.Frame
	Logger *slog.Logger

	Account  Account // the zero Account: it is not set up
	File     string  // empty: the account is the environment's
	ZoneFlag bool    // the zone is given by a flag, and not asked for
	KeepFlag bool    // likewise
	Callback string  // its URL
	Endpoint wechatqr.Endpoint

	// Open tries the account on the database.
	Open func(context.Context, *Account) error
	// Saved has the desk serve the account that the file has now.
	Saved func()
}

// Pages is the page.
type Pages struct{ Config }

// New returns the page.
func New(c Config) *Pages { return &Pages{c} }

// Path is where the page is.
const Path = "/settings/account"

// Routes are the page and what it posts.
func (p *Pages) Routes() []web.Route {
	return []web.Route{
		{Pattern: "GET " + Path, Needs: web.Admin, Handle: p.show},
		{Pattern: "POST " + Path, Needs: web.Admin, Handle: p.save, Long: true},
	}
}

// LeadHere is every other path before the account is set up.
func (p *Pages) LeadHere() web.Route {
	return web.Route{Pattern: "/", Needs: web.Guest, Handle: p.leadHere}
}

func (p *Pages) leadHere(w http.ResponseWriter, r *http.Request) {
	if web.VisitorOf(r.Context()).Role == web.Admin {
		http.Redirect(w, r, Path, http.StatusSeeOther)
		return
	}
	p.write(w, r, http.StatusServiceUnavailable, "wait.html", nil)
}

//go:embed *.html
var files embed.FS

var templates = web.ParseTemplates(files, "*.html")

// form is what the page shows and what is posted. It never shows the AppSecret.
type form struct {
	Problems []problem

	First            bool // the account is not set up
	File             bool // it can be changed
	ZoneFlag         bool
	KeepFlag         bool
	AppID, AppSecret string
	Mode             string // "safe" or "plaintext"
	Token, AESKey    string
	Zone             string
	Days             string
	Zones            []string
	Callback         string
}

// problem is what is wrong, and what to do.
type problem struct{ Text, Advice string }

const day = 24 * time.Hour

// zones are offered; others may be written.
var zones = []string{
	"Asia/Shanghai", "Asia/Hong_Kong", "Asia/Taipei", "Asia/Singapore", "Asia/Tokyo",
	"Europe/London", "Europe/Paris", "America/New_York", "America/Los_Angeles", "UTC",
}

func (p *Pages) show(w http.ResponseWriter, r *http.Request) {
	a := p.Account
	f := form{Mode: "safe", Zone: zones[0], Days: "0"}
	if a.Events.Plaintext {
		f.Mode, f.AESKey = "plaintext", newKeys().EncodingAESKey // for safe mode
	}
	if a.Location != nil {
		f.Zone, f.Days = a.Location.String(), daysOf(a.Keep)
	}
	if a.Credentials.AppID == "" || r.URL.Query().Has("new-keys") {
		k := newKeys()
		f.Token, f.AESKey = k.Token, k.EncodingAESKey
	}
	p.showForm(w, r, http.StatusOK, f)
}

// daysOf is a duration as the form has it.
func daysOf(keep time.Duration) string {
	return strconv.FormatFloat(float64(keep)/float64(day), 'f', -1, 64)
}

// showForm completes the form with what is not posted.
func (p *Pages) showForm(w http.ResponseWriter, r *http.Request, status int, f form) {
	f.First, f.File = p.Account.Credentials.AppID == "", p.File != ""
	f.ZoneFlag, f.KeepFlag, f.Zones, f.Callback = p.ZoneFlag, p.KeepFlag, zones, p.Callback
	if !f.First {
		f.AppID = p.Account.Credentials.AppID
	}
	f.AppSecret = ""
	p.write(w, r, status, "account.html", f)
}

func (p *Pages) write(w http.ResponseWriter, r *http.Request, status int, name string, v any) {
	page := web.Page{
		Status: status, Title: web.Say(r, "公众号", "Account"), Place: "settings",
		Once: name == "saved.html",
	}
	if p.Account.Credentials.AppID == "" {
		page.Place = "setup"
	}
	p.Frame.Show(w, r, page, templates, name, v)
}

func posted(r *http.Request) form {
	value := func(name string) string { return strings.TrimSpace(r.PostFormValue(name)) }
	return form{
		AppID: value("appid"), AppSecret: value("secret"), Mode: value("mode"),
		Token: value("token"), AESKey: value("aeskey"), Zone: value("zone"), Days: value("days"),
	}
}

// savedView is what the console is to be told, shown once.
type savedView struct {
	First                   bool
	Callback, Token, AESKey string // empty: they are as before
	Local                   bool   // WeChat cannot reach Callback
	Plaintext               bool
	ModeChanged             bool
	FormerUntil             time.Time // zero: none are accepted
}

// save tries the account, writes the file, and has the desk serve it.
func (p *Pages) save(w http.ResponseWriter, r *http.Request) {
	f := posted(r)
	a, problems := p.account(r, &f)
	if len(problems) == 0 {
		problems = p.try(r, &a)
	}
	if len(problems) == 0 && p.setUpElsewhere() {
		p.Saved() // which opens that account
		problems = []problem{elsewhere(r)}
	}
	status := http.StatusUnprocessableEntity
	if len(problems) == 0 {
		if err := a.WriteFile(p.File); err != nil {
			p.Logger.Error("channeld: set-up", "err", err)
			status, problems = http.StatusInternalServerError, []problem{unwritable(r)}
		}
	}
	if len(problems) > 0 {
		f.Problems = problems
		p.showForm(w, r, status, f)
		return
	}
	v := savedView{
		First: p.Account.Credentials.AppID == "", Callback: p.Callback,
		Local: isLocal(p.Callback), Token: f.Token, AESKey: f.AESKey,
		Plaintext: a.Events.Plaintext, FormerUntil: a.FormerUntil,
	}
	v.ModeChanged = !v.First && a.Events.Plaintext != p.Account.Events.Plaintext
	if !a.FormerUntil.IsZero() {
		v.FormerUntil = a.FormerUntil.In(a.Location)
	}
	p.write(w, r, http.StatusOK, "saved.html", v)
	p.Saved()
}

// setUpElsewhere reports whether another process has set the account up meanwhile.
func (p *Pages) setUpElsewhere() bool {
	_, err := os.Stat(p.File)
	return p.Account.Credentials.AppID == "" && err == nil
}

func elsewhere(r *http.Request) problem {
	return problem{
		web.Say(r, "另一个 channeld 进程刚刚已经设置好了公众号。",
			"Another process of channeld has set the account up just now."),
		web.Say(r, "本程序改用那里的设置：请重新打开此页查看。",
			"This one takes what was set there: open the page again to see it."),
	}
}

// isLocal reports whether the address has a port that WeChat does not call, or is this
// machine's.
func isLocal(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return !slices.Contains([]string{"", "80", "443"}, u.Port()) || u.Hostname() == "localhost" ||
		ip != nil && (ip.IsLoopback() || ip.IsPrivate())
}

func unwritable(r *http.Request) problem {
	return problem{
		web.Say(r, "公众号文件写不进去，什么都没有保存。原因见日志。",
			"The file of the account cannot be written, and nothing was saved: the log says why."),
		web.Say(r, "请允许本程序写这个目录，或用 -account 另选文件，或改用环境变量 WECHAT_*。",
			"Let the program write in that directory, choose another file by -account, or set "+
				"WECHAT_* in the environment."),
	}
}

// MaxKeep is how long somebody may be remembered.
const MaxKeep = 3650 * day

// account is the present one with what was posted, and what is wrong with that.
func (p *Pages) account(r *http.Request, f *form) (a Account, problems []problem) {
	refuse := func(bad bool, zh, en string) {
		if bad {
			problems = append(problems, problem{Text: web.Say(r, zh, en)})
		}
	}
	a = p.Account
	first := a.Credentials.AppID == ""
	if first {
		a.Credentials.AppID = f.AppID
	}
	if first || f.AppSecret != "" {
		a.Credentials.AppSecret = f.AppSecret
	}
	refuse(p.File == "", "公众号来自环境变量，不能在这里修改。",
		"The account is the environment's, and cannot be changed here.")
	refuse(a.Credentials.AppID == "", "请填写 AppID。", "The AppID is needed.")
	refuse(a.Credentials.AppSecret == "", "请填写 AppSecret。", "The AppSecret is needed.")
	a.setKeys(f)
	_, err := events.NewVerifier(events.Config{Plaintext: true, Token: a.Events.Token})
	refuse(err != nil, "Token 为 3 至 32 个字母或数字。", "A Token has 3 to 32 letters and digits.")
	if err == nil && a.Credentials.AppID != "" {
		_, err = events.NewVerifier(a.Events)
		refuse(err != nil, "EncodingAESKey 为 43 个字母或数字。",
			"An EncodingAESKey has 43 letters and digits.")
	}
	if !p.ZoneFlag {
		zone, err := time.LoadLocation(f.Zone)
		isNamed := f.Zone != "" && f.Zone != "Local" // which is the server's
		refuse(err != nil || !isNamed, "没有这个时区：请写成 Asia/Shanghai 这样。",
			"There is no such time zone: write it as Asia/Shanghai.")
		a.Location = zone
	}
	if !p.KeepFlag {
		days, err := strconv.ParseFloat(f.Days, 64)
		ok := err == nil && days >= 0 && days <= float64(MaxKeep/day)
		refuse(!ok, "记住的天数为 0 至 3650。", "The days are 0 to 3650.")
		a.Keep = time.Duration(days * float64(day)).Truncate(time.Second)
	}
	return a, problems
}

// setKeys takes the keys that were posted; empty ones stay as they are. The former ones are
// accepted for a while.
func (a *Account) setKeys(f *form) {
	before := events.Keys{Token: a.Events.Token, EncodingAESKey: a.Events.EncodingAESKey}
	now := events.Keys{
		Token:          cmp.Or(f.Token, before.Token),
		EncodingAESKey: cmp.Or(f.AESKey, before.EncodingAESKey),
	}
	a.Events.AppID, a.Events.Plaintext = a.Credentials.AppID, f.Mode == "plaintext"
	if a.Events.Plaintext {
		now.EncodingAESKey, f.AESKey = "", ""
	}
	a.Events.Token, a.Events.EncodingAESKey = now.Token, now.EncodingAESKey
	former := formerKeys(append(slices.Clone(a.Events.Previous), before), now)
	switch {
	case len(former) == 0:
		a.FormerUntil = time.Time{}
	case !slices.Equal(former, a.Events.Previous):
		a.FormerUntil = time.Now().Add(formerLife).Truncate(time.Second)
	}
	a.Events.Previous = former
}

// formerKeys are those of all that are accepted beside the present ones, in the present mode:
// after a change of the mode that is the former Token alone.
func formerKeys(all []events.Keys, now events.Keys) (former []events.Keys) {
	for _, k := range all {
		if k.EncodingAESKey == "" || now.EncodingAESKey == "" {
			k.EncodingAESKey = now.EncodingAESKey
		}
		if k.Token != "" && k != now && !slices.Contains(former, k) {
			former = append(former, k)
		}
	}
	return former
}

const tryTimeout = 40 * time.Second

// try has WeChat give a token, and opens the database.
func (p *Pages) try(r *http.Request, a *Account) []problem {
	ctx, cancel := context.WithTimeout(r.Context(), tryTimeout)
	defer cancel()
	if a.Credentials != p.Account.Credentials {
		if problems := p.askWeChat(ctx, r, a.Credentials); len(problems) > 0 {
			return problems
		}
	}
	err := p.Open(ctx, a)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, channels.ErrWrongAccount):
		return []problem{{
			web.Say(r, "这个数据库属于另一个公众号。", "The database is another account's."),
			web.Say(r, "请核对 AppID，或用 -db 换一个数据库：一个公众号一个数据库。",
				"Compare the AppID, or choose another database by -db: each account has its own."),
		}}
	case errors.Is(err, channels.ErrWrongKey):
		return []problem{{
			web.Say(r, "人员密钥不是这个数据库的。", "The person key is not that of the database."),
			web.Say(r, "请用建库时的密钥文件（-key 或 PERSON_KEY）重新启动。",
				"Start again with the key that the database began with: -key or PERSON_KEY."),
		}}
	case errors.Is(err, wechatqr.ErrInvalidArgument):
		return []problem{{Text: web.Say(r, "这个时区与世界时相差的不是整小时，不能使用。",
			"The zone's difference from UTC is not of whole hours: it cannot be used.")}}
	}
	web.LogFault(p.Logger.Error, r, "channeld: set-up", err)
	return []problem{{Text: web.Say(r, "数据库没有响应，什么都没有保存。请稍后再试。",
		"The database does not answer, and nothing was saved. Try again in a while.")}}
}

// askWeChat goes through the doctor's checks up to the one that gets a token.
func (p *Pages) askWeChat(
	ctx context.Context, r *http.Request, credentials wechatqr.Credentials,
) (problems []problem) {
	language := "en"
	if web.Language(r) == webui.Chinese {
		language = "zh"
	}
	checks := doctor.Config{
		Credentials: func() (wechatqr.Credentials, error) { return credentials, nil },
		Endpoint:    p.Endpoint,
	}
	for f := range doctor.Run(ctx, checks) {
		if f.Status == doctor.Wrong {
			problems = append(problems, problem{
				f.Title.In(language) + ": " + f.Text.In(language), f.Advice.In(language),
			})
		}
		if f.Check == "token" && f.Status == doctor.OK {
			return nil // what else was wrong is not in the way
		}
		if f.Check == "token" {
			break
		}
	}
	return problems
}
