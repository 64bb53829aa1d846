package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"log"
	"maps"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/events"
)

const (
	life        = 5 * time.Minute // of a code; and of the number, from the scan on
	sessionLife = 12 * time.Hour
	maxWrong    = 5   // numbers, of a million; then a new code is needed
	maxPending  = 300 // so that a day has at most 86400 codes: WeChat makes 100000
	prefix      = "login-"
)

// site is the page, the callback, and who logs in and has done so.
type site struct {
	client   *wechatqr.Client
	callback *events.Handler
	foreign  *http.CrossOriginProtection
	origin   string
	policy   string
	logger   *log.Logger

	mu       sync.Mutex
	attempts map[string]*attempt // by scene
	sessions map[string]session  // by id of the browser
}

// attempt is one browser's login, from the code to the number.
type attempt struct {
	expires time.Time
	picture string // address of the code
	openID  string // of who scanned it first
	number  string // that they were told
	wrong   int    // numbers typed
}

type session struct {
	expires time.Time
	openID  string // of who is in: find your own user by it
}

func newSite(client *wechatqr.Client, cfg events.Config, origin string, logger *log.Logger) (*site, error) {
	s := &site{
		client: client, origin: origin, logger: logger, foreign: http.NewCrossOriginProtection(),
		attempts: make(map[string]*attempt), sessions: make(map[string]session),
	}
	if err := s.foreign.AddTrustedOrigin(origin); err != nil {
		return nil, err
	}
	pictures, err := url.Parse(client.QRCodeURL(""))
	if err != nil {
		return nil, err
	}
	s.policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'self'; " +
		"base-uri 'none'; frame-ancestors 'none'; img-src " + pictures.Scheme + "://" + pictures.Host
	var mux events.Mux
	mux.HandleScenePrefix(prefix, s.scanned)
	mux.HandleEvent(wechatqr.EventUnsubscribe, s.left)
	s.callback, err = events.NewHandler(cfg, mux.Serve, events.WithProblemHandler(func(_ context.Context, p events.Problem) {
		logger.Printf("callback: %v (%s / %s)", p.Err, p.Hint, p.HintZH)
	}))
	return s, err
}

// scanned answers a scan. The same person's next one gets the same answer: WeChat
// may repeat a push, and a reply may be lost.
func (s *site) scanned(_ context.Context, scan wechatqr.Scan, _ *wechatqr.Event) (events.Reply, error) {
	n, err := rand.Int(rand.Reader, big.NewInt(1_000_000))
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.pending(scan.SceneKey) // by this clock: WeChat was seen to report scans days late
	switch {
	case a == nil || a.openID != "" && a.openID != scan.OpenID:
		return events.Text("二维码已失效，请在网页上重新获取。\nThis code has expired or was used: get a new one on the page."), nil
	case a.openID == "":
		a.openID, a.number, a.expires = scan.OpenID, fmt.Sprintf("%06d", n), time.Now().Add(life)
	}
	return events.Text(fmt.Sprintf("登录验证码 %s，五分钟内有效。只能填写在 %s ，切勿告诉他人。如果不是您在登录，请忽略。\n"+
		"Your login number is %[1]s, for five minutes. Type it at %[2]s only, and tell nobody. If you are not logging in, ignore it.",
		a.number, s.origin)), nil
}

// left forgets who follows no longer, as WeChat asks, and so logs them out.
func (s *site) left(_ context.Context, ev *wechatqr.Event) (events.Reply, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.attempts, func(_ string, a *attempt) bool { return a.openID == ev.FromUserName })
	maps.DeleteFunc(s.sessions, func(_ string, v session) bool { return v.openID == ev.FromUserName })
	return nil, nil
}

//go:embed page.html page.css page.js
var files embed.FS

var pageTemplate = template.Must(template.ParseFS(files, "page.html"))

func (s *site) routes() http.Handler {
	pages := http.NewServeMux()
	pages.HandleFunc("GET /{$}", s.page)
	pages.HandleFunc("GET /status", s.status)
	pages.HandleFunc("POST /login", s.login)
	pages.HandleFunc("POST /confirm", s.confirm)
	pages.HandleFunc("POST /logout", s.logout)
	pages.Handle("GET /page.css", http.FileServerFS(files))
	pages.Handle("GET /page.js", http.FileServerFS(files))
	guarded := s.foreign.Handler(http.MaxBytesHandler(pages, 4<<10))
	routes := http.NewServeMux()
	routes.Handle("/wechat", s.callback)
	routes.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", s.policy)
		h.Set("Referrer-Policy", "same-origin")
		h.Set("X-Content-Type-Options", "nosniff")
		guarded.ServeHTTP(w, r)
	})
	return routes
}

// view is what a browser may know of its login.
type view struct {
	State   string // start, over, code, number or in
	Picture string
	Wrong   bool
	OpenID  string
}

func (s *site) view(r *http.Request) view {
	id := s.id(r)
	s.mu.Lock()
	defer s.mu.Unlock()
	v, in := s.sessions[id]
	a := s.pending(prefix + id)
	switch {
	case in && time.Now().Before(v.expires):
		return view{State: "in", OpenID: v.openID}
	case a != nil && a.openID != "":
		return view{State: "number", Wrong: a.wrong > 0}
	case a != nil:
		return view{State: "code", Picture: a.picture}
	case id != "":
		return view{State: "over"}
	}
	return view{State: "start"}
}

func (s *site) page(w http.ResponseWriter, r *http.Request) {
	if err := pageTemplate.Execute(w, s.view(r)); err != nil {
		s.logger.Print(err)
	}
}

// status is what the page polls. It goes by the cookie, for the scene is known
// to everybody who sees the code.
func (s *site) status(w http.ResponseWriter, r *http.Request) {
	fmt.Fprint(w, s.view(r).State)
}

// login makes a code for this browser, unless it has one that nobody scanned.
func (s *site) login(w http.ResponseWriter, r *http.Request) {
	if state := s.view(r).State; state == "in" || state == "code" {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	secret := rand.Text()
	scene := prefix + hash(secret)
	a := &attempt{expires: time.Now().Add(life)}
	s.mu.Lock()
	delete(s.attempts, prefix+s.id(r))
	maps.DeleteFunc(s.attempts, func(_ string, a *attempt) bool { return !time.Now().Before(a.expires) })
	full := len(s.attempts) >= maxPending
	if !full {
		s.attempts[scene] = a
	}
	s.mu.Unlock()
	if full {
		w.Header().Set("Retry-After", "60")
		http.Error(w, "登录人数过多，请稍后再试。 Too many people are logging in: try again in a minute.", http.StatusServiceUnavailable)
		return
	}
	// A browser that leaves meanwhile must not free its place for one more code.
	ticket, err := s.client.CreateTicket(context.WithoutCancel(r.Context()), wechatqr.Temporary(wechatqr.SceneString(scene), life))
	s.mu.Lock()
	if err != nil {
		delete(s.attempts, scene)
	} else {
		a.picture = s.client.QRCodeURL(ticket.Value)
	}
	s.mu.Unlock()
	if err != nil {
		s.logger.Print(err)
		http.Error(w, "暂时无法获取二维码，请稍后再试。 There is no code to be had now: try again later.", http.StatusBadGateway)
		return
	}
	s.setCookie(w, secret)
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// confirm logs the browser in if it knows the number. It gets a new cookie:
// whoever knew the old one stays outside.
func (s *site) confirm(w http.ResponseWriter, r *http.Request) {
	number := strings.Join(strings.Fields(r.PostFormValue("number")), "")
	scene, secret := prefix+s.id(r), rand.Text()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch a := s.pending(scene); {
	case a == nil || a.openID == "": // there is no number yet: none is right
	case subtle.ConstantTimeCompare([]byte(number), []byte(a.number)) == 1:
		delete(s.attempts, scene)
		maps.DeleteFunc(s.sessions, func(_ string, v session) bool { return !time.Now().Before(v.expires) })
		s.sessions[hash(secret)] = session{time.Now().Add(sessionLife), a.openID}
		s.setCookie(w, secret)
	default:
		if a.wrong++; a.wrong == maxWrong {
			delete(s.attempts, scene)
		}
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (s *site) logout(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	delete(s.sessions, s.id(r))
	s.mu.Unlock()
	s.setCookie(w, "")
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// pending finds an attempt that goes on. The caller holds the lock.
func (s *site) pending(scene string) *attempt {
	if a := s.attempts[scene]; a != nil && time.Now().Before(a.expires) {
		return a
	}
	return nil
}

// cookie is the browser's secret. Its name keeps other hosts of the domain
// from setting it, which needs https.
func (s *site) cookie() *http.Cookie {
	c := &http.Cookie{Name: "login", Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode}
	if strings.HasPrefix(s.origin, "https://") {
		c.Name, c.Secure = "__Host-login", true
	}
	return c
}

func (s *site) setCookie(w http.ResponseWriter, secret string) {
	c := s.cookie()
	c.Value = secret
	if secret == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

// id is the browser: the hash of its cookie, or empty.
func (s *site) id(r *http.Request) string {
	c, err := r.Cookie(s.cookie().Name)
	if err != nil || c.Value == "" {
		return ""
	}
	return hash(c.Value)
}

// hash is what is kept and shown of a secret, 43 bytes. To look it up in a map
// gives nothing away by the time it takes.
func hash(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
