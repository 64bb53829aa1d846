package scanlogin

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"html/template"
	"net/http"
	"strings"
	"time"
)

//go:embed page
var files embed.FS

var pageTemplate = template.Must(template.ParseFS(files, "page/page.html"))

// Page is what the template is executed with, for each state and for the page that a
// phone opens by [WithLink]. Forms are sent by POST to the page's own address, with a
// field do: begin, confirm (and number), cancel; on the phone approve or refuse (and
// token). The parameter lang of the address goes along with them.
type Page struct {
	Status
	Lang       string // "zh" or "en"
	User       string // Name of the User to whom WeChat is to be bound
	Binds      bool   // it is a binding, and no login
	Picture    string // address of the code's picture, in StateWaiting
	Number     bool   // a number is to be typed, in StateScanned and StateUsed
	NoCookie   bool   // the browser did not keep the cookie
	Failed     bool   // there is no code to be had now, for WeChat or the store fails
	Auto       bool   // the one form can be sent at once, without a click
	Link       *Link  // nil on the page with the code
	Style      string // address of the style sheet of this package
	Script     string // address of the script that keeps the page up to date
	OtherQuery string // the address of the same page in the other language
}

// Link is what the page names for a person who is to confirm on the phone.
type Link struct {
	Token string
	Agent string // the browser, such as "Firefox, Windows"
	Place string
	Begun time.Time
}

// Say is the text in the page's language.
func (p Page) Say(zh, en string) string {
	if p.Lang == "zh" {
		return zh
	}
	return en
}

// Left is how many numbers may still be typed.
func (p Page) Left() int { return maxWrong - p.Wrong }

// language is that of the request: by ?lang=, else the first in Accept-Language
// that there is.
func language(r *http.Request) string {
	asked := r.URL.Query().Get("lang") + "," + r.Header.Get("Accept-Language")
	for tag := range strings.SplitSeq(asked, ",") {
		tag = strings.ToLower(strings.TrimSpace(tag))
		for _, lang := range []string{"zh", "en"} {
			if strings.HasPrefix(tag, lang) {
				return lang
			}
		}
	}
	if r.Header.Get("Accept-Language") == "" {
		return "zh"
	}
	return "en"
}

// asset is a file that is cached for good, under an address that changes with it.
type asset struct {
	data        []byte
	contentType string
	query       string
}

var assets = map[string]asset{
	"style":  newAsset("style", "page/page.css", "text/css; charset=utf-8"),
	"script": newAsset("script", "page/page.js", "text/javascript; charset=utf-8"),
}

func newAsset(name, file, contentType string) asset {
	data, err := files.ReadFile(file)
	if err != nil {
		panic(err) // it is embedded
	}
	sum := sha256.Sum256(data)
	return asset{data, contentType, "?" + name + "=" + hex.EncodeToString(sum[:4])}
}

func (a asset) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", a.contentType)
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(a.data))
}

// agent names a browser in few words.
func agent(userAgent string) string {
	find := func(names [][2]string) string {
		for _, n := range names {
			if strings.Contains(userAgent, n[0]) {
				return n[1]
			}
		}
		return ""
	}
	agentName := find([][2]string{
		{"MicroMessenger", "WeChat"}, {"Edg/", "Edge"}, {"OPR/", "Opera"}, {"Firefox/", "Firefox"},
		{"Chrome/", "Chrome"}, {"Safari/", "Safari"},
	})
	system := find([][2]string{
		{"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Android", "Android"}, {"Windows", "Windows"},
		{"Mac OS", "macOS"}, {"Linux", "Linux"},
	})
	if agentName == "" || system == "" {
		return shown(userAgent)
	}
	return agentName + ", " + system
}
