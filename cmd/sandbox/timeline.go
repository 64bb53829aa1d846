package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// feedItem is a push or a customer service message.
type feedItem struct {
	order        int    // by arrival
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
	Lost         bool   // by a fault, on its way
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
	Errmsg string
	Pretty string
	Sent   string
}

// timeline is what happened, newest first: pushes, messages and calls.
type timeline struct {
	Threads []thread
	Items   []timelineItem
	Older   int
}

// thread is a part of the timeline: one user's, or the calls.
type thread struct {
	Key, Name string // Key is for the page's address
	Selected  bool
}

// timelineItem is a turn of a chat or a call; the other one is nil.
type timelineItem struct {
	order int
	Turn  *feedItem
	Call  *requestView
}

const (
	callsThread = "calls"
	maxTurns    = 30
	maxCalls    = 60
)

func newTimeline(st wechatqrtest.State, names map[string]namedUser, lang, show string) timeline {
	var t timeline
	turns := turnsOf(st, names, lang)
	t.threads(turns, names, lang, show)
	if show != "" {
		turns = slices.DeleteFunc(turns, func(i feedItem) bool { return names[i.OpenID].thread != show })
	}
	requests := st.Requests
	if show != "" && show != callsThread {
		requests = nil
	}

	t.Older = max(len(turns)-maxTurns, 0) + max(len(requests)-maxCalls, 0)
	for _, i := range turns[max(len(turns)-maxTurns, 0):] {
		t.Items = append(t.Items, timelineItem{order: i.order, Turn: &i})
	}
	for _, c := range requests[max(len(requests)-maxCalls, 0):] {
		t.Items = append(t.Items, timelineItem{order: c.Order, Call: newRequestView(c)})
	}
	slices.SortFunc(t.Items, func(a, b timelineItem) int { return cmp.Compare(b.order, a.order) })
	return t
}

const maxThreads = 8 // of users, those that were active last

func (t *timeline) threads(turns []feedItem, names map[string]namedUser, lang, show string) {
	t.Threads = []thread{
		{"", translate(lang, "Everything"), show == ""},
		{callsThread, translate(lang, "API calls"), show == callsThread},
	}
	seen := map[string]bool{}
	for _, i := range slices.Backward(turns) {
		key := names[i.OpenID].thread
		if key == "" || seen[key] || len(seen) >= maxThreads && key != show {
			continue
		}
		seen[key] = true
		t.Threads = append(t.Threads, thread{key, i.Who, key == show})
	}
}

// turnsOf are pushes and messages, oldest first.
func turnsOf(st wechatqrtest.State, names map[string]namedUser, lang string) []feedItem {
	var out []feedItem
	for _, p := range st.Pushes {
		out = append(out, pushItem(p, names, lang))
	}
	for _, m := range st.Messages {
		out = append(out, messageItem(m, names, lang))
	}
	slices.SortFunc(out, func(a, b feedItem) int { return cmp.Compare(a.order, b.order) })
	return out
}

func messageItem(m wechatqrtest.Message, names map[string]namedUser, lang string) feedItem {
	who := names[m.OpenID]
	item := feedItem{
		ID: "message-" + strconv.Itoa(m.Order), order: m.Order, At: m.Time,
		Who: who.name.in(lang), Color: who.color, OpenID: m.OpenID,
		Service: true, State: "ok",
		Reply: &replyView{Kind: m.MsgType, Text: m.Content}, Message: indented(m.Body),
	}
	item.Letter = firstRune(item.Who)
	if item.Reply.Text == "" {
		item.Reply.Text = "[" + m.MsgType + "]"
	}
	item.Announcement = say("The account wrote to %s: %s", item.Who, item.Reply.Text)
	return item
}

func pushItem(p wechatqrtest.Push, names map[string]namedUser, lang string) feedItem {
	who := names[p.Event.FromUserName]
	item := feedItem{
		ID: "push-" + strconv.Itoa(p.ID), Push: p.ID, order: p.Order, At: p.Event.CreateTime,
		Who: who.name.in(lang), Color: who.color, OpenID: p.Event.FromUserName,
		Kind: cmp.Or(string(p.Event.Type), p.Event.MsgType), Message: string(p.Event.Raw),
	}
	item.Letter = firstRune(item.Who)
	happened := whatHappened(&p.Event, item.Who)
	item.Announcement = happened
	if p.Event.MsgType == "text" {
		item.Text = p.Event.Content
	} else {
		item.Event = &happened
	}
	item.attempts(p.Attempts)
	item.result(p)
	return item
}

func (item *feedItem) attempts(attempts []wechatqrtest.Attempt) {
	item.Tries = len(attempts)
	for i, at := range attempts {
		shown := attemptView{
			N: i + 1, Status: at.Status, Took: at.Duration, Response: at.Response,
			Curl: curl(at), OK: at.Err == nil,
		}
		if at.Err != nil {
			shown.Wrong = &problemView{whatIsWrong(at.Err), at.Err}
		}
		item.Attempts = append(item.Attempts, shown)
		item.Took, item.Wrong = shown.Took, shown.Wrong
	}
	if len(attempts) > 0 {
		item.At = attempts[0].Time
	}
}

// result is what became of the push: the last attempt counts.
func (item *feedItem) result(p wechatqrtest.Push) {
	hasChat := !p.Event.Type.Is(wechatqr.EventUnsubscribe)
	n := len(p.Attempts)
	switch {
	case !p.Done:
		item.State = "running"
	case p.Dropped:
		item.State = "failed"
		item.Lost = true
		item.Announcement = say("%s The push was lost.", item.Announcement)
	case item.Wrong != nil:
		item.State = "failed"
		item.Fault = p.UserSees()
		item.Announcement = say("%s The backend failed: %s", item.Announcement, item.Wrong.What)
	case n == 0 || p.Attempts[n-1].Status == 0:
		item.State = "failed" // cancelled
	default:
		item.State = "ok"
		item.Reply = replyOf(p.Reply)
		item.Silent = item.Reply == nil && hasChat
		if p.Reply.Encrypted {
			item.ReplyXML = p.Reply.XML
		}
		if item.Reply != nil {
			item.Announcement = say("%s The user sees: %s", item.Announcement, p.Reply.Text())
		}
	}
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
	case ev.MsgType == "image":
		return say("%s sent an image.", who)
	case ev.MsgType == "location":
		return say("%s sent a location.", who)
	case ev.Type.Is("CLICK"):
		return say("%s clicked the menu item %s.", who, ev.EventKey)
	}
	return say("%s: %s", who, joined(cmp.Or(string(ev.Type), ev.MsgType), ev.EventKey))
}

func newRequestView(c wechatqrtest.RecordedRequest) *requestView {
	return &requestView{
		RecordedRequest: c, ID: "call-" + strconv.Itoa(c.ID),
		Bad:    c.Code != 0 || c.Status != http.StatusOK,
		Errmsg: errmsgOf(c.Response), Pretty: indented(c.Response), Sent: indented(c.Body),
	}
}

// errmsgOf is empty for a success.
func errmsgOf(response string) string {
	var body struct {
		Errcode int    `json:"errcode"`
		Errmsg  string `json:"errmsg"`
	}
	if json.Unmarshal([]byte(response), &body) != nil || body.Errcode == 0 {
		return ""
	}
	text, _, _ := strings.Cut(body.Errmsg, " rid: ")
	return text
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

// curl is a request to the callback as a shell command. Backends that check the timestamp
// accept it for five minutes.
func curl(at wechatqrtest.Attempt) string {
	if at.Body == "" {
		return "curl -i -A Mozilla/4.0 " + quoted(at.URL)
	}
	return "curl -i " + quoted(at.URL) + " \\\n" +
		"  -H 'Content-Type: text/xml' -A Mozilla/4.0 \\\n  --data-binary " + quoted(at.Body)
}

func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
