package page

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/wechatqr/wechatqr/cmd/channeld/internal/web"
	"github.com/wechatqr/wechatqr/internal/webui"
)

var templates = parseTemplates()

func parseTemplates() web.Templates {
	all := web.Templates{}
	for _, language := range []string{webui.Chinese, webui.English} {
		pick := func(zh, en string) string {
			if language == chinese {
				return zh
			}
			return en
		}
		functions := template.FuncMap{
			"t":       pick,
			"file":    func(name string) string { return "/static/" + name + "?" + fileHashes[name] },
			"num":     number,
			"num64":   func(n int) string { return number(int64(n)) },
			"clock":   func(at time.Time) string { return at.Format("15:04") },
			"signed":  signed,
			"money":   money,
			"perHeld": perHeldText,
			"share":   share,
			"day":     func(at time.Time) string { return dayText(language, at) },
			"stamp":   func(at time.Time) string { return at.Format("2006-01-02 15:04") },
			"name": func(key string) string {
				name, _ := wordOf(key).in(language)
				return name
			},
			"words": func() []wordView { return wordViews(language) },

			"weekday":     func(at time.Time) string { return weekdayText(language, at.Weekday()) },
			"rfc":         func(at time.Time) string { return at.Format(time.RFC3339) },
			"seconds":     func(d time.Duration) int { return int(d.Seconds()) },
			"ago":         func(d time.Duration) string { return durationText(pick, d) },
			"channelPath": channelPath,
			"columnName":  func(key string) string { return columnName(pick, key) },
			"isWord":      func(key string) bool { return key != "name" && key != "group" },
			"prev":        func(q Question) any { return pageLink(q, q.Page-1, q.Page) },
			"next":        func(q Question, pages int) any { return pageLink(q, q.Page+1, pages) },
			"channelName": channelName,
		}
		all[language] = template.Must(template.New("").Funcs(functions).ParseFS(files, "*.html"))
	}
	return all
}

type wordView struct{ Key, Name, Definition string }

func wordViews(language string) (all []wordView) {
	for i := range words {
		name, definition := words[i].in(language)
		all = append(all, wordView{words[i].Key, name, definition})
	}
	return all
}

var number = web.Number

// money is a sum of the smallest unit, which is a hundredth.
func money(n int64) string {
	return fmt.Sprintf("%s.%02d", number(n/100), n%100)
}

// signed is a number with its sign, as a difference has it.
func signed(n int64) string {
	if n > 0 {
		return "+" + number(n)
	}
	return number(n)
}

// share is a part in percent; of nothing it is a dash.
func share(part, of int64) string {
	if of == 0 {
		return "–"
	}
	return strconv.FormatFloat(100*float64(part)/float64(of), 'f', 1, 64) + "%"
}

var chineseWeekdays = [...]string{"周日", "周一", "周二", "周三", "周四", "周五", "周六"}

func weekdayText(language string, day time.Weekday) string {
	if language == chinese {
		return chineseWeekdays[day]
	}
	return day.String()[:3]
}

// dayText is a day as 11-25 周三.
func dayText(language string, at time.Time) string {
	return at.Format("01-02 ") + weekdayText(language, at.Weekday())
}

func columnName(pick func(zh, en string) string, key string) string {
	switch key {
	case "name":
		return pick("渠道", "Channel")
	case "group":
		return pick("分组", "Group")
	case "retention":
		return pick("7 日留存", "7-day retention")
	case "cost": // as narrow as the number
		return pick(wordOf(key).zh, "Cost per held")
	}
	return pick(wordOf(key).zh, wordOf(key).en)
}

// pageLink is the address of a page of the rows, or nil if there is none.
func pageLink(q Question, page, last int) any {
	if page < 1 || page > last {
		return nil
	}
	if text := q.At(page).String(); text != "" {
		return text
	}
	return "?page=1"
}

// durationText is a duration in its largest unit.
func durationText(pick func(zh, en string) string, d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return strconv.Itoa(int(d.Seconds())) + pick(" 秒", " s")
	case d < 2*time.Hour:
		return strconv.Itoa(int(d.Minutes())) + pick(" 分钟", " min")
	case d < 48*time.Hour:
		return strconv.Itoa(int(d.Hours())) + pick(" 小时", " h")
	}
	return strconv.Itoa(int(d.Hours()/24)) + pick(" 天", " d")
}

// channelPath is the address of a channel's page.
func channelPath(key string) string { return "/channels/" + url.PathEscape(key) }

// fileHashes change with the files, so that browsers may keep them.
var fileHashes = hashFiles()

func hashFiles() map[string]string {
	hashes := map[string]string{}
	entries, err := fs.ReadDir(static, "static")
	if err != nil {
		panic(err) // they are embedded
	}
	for _, entry := range entries {
		data, err := fs.ReadFile(static, "static/"+entry.Name())
		if err != nil {
			panic(err)
		}
		sum := sha256.Sum256(data)
		hashes[entry.Name()] = hex.EncodeToString(sum[:4])
	}
	return hashes
}

func serveFile(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("file")
	if fileHashes[name] == "" {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	http.ServeFileFS(w, r, static, "static/"+name)
}
