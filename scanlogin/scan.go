package scanlogin

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"math/big"
	"net/url"
	"strings"
	"time"
	"unicode"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/events"
)

// Register has mux give this Login the scans of its prefix and the unsubscribes; like
// the methods of [events.Mux] it panics if those are taken. What there is to do of
// your own when somebody unsubscribes goes to [WithUnsubscribe].
func (l *Login) Register(mux *events.Mux) {
	mux.HandleScenePrefix(l.prefix, l.scanned)
	mux.HandleEvent(wechatqr.EventUnsubscribe, l.unsubscribed)
}

// Prompt is what the chat has to say to somebody who scanned.
type Prompt struct {
	State  State  // see the package comment
	Number string // to be typed on the page; in StateScanned alone
	Link   string // of the page that confirms, with WithLink; in StateScanned alone
	Site   string // the page's origin, such as https://example.com
	User   User   // to whom WeChat is to be bound; zero: a login
}

// scanned answers a scan. The same person's next one gets the same answer, or a new
// link in place of the one before: WeChat may repeat a push, and a reply may be lost.
// The time is this server's: WeChat was seen to report scans days late.
func (l *Login) scanned(
	ctx context.Context, scan wechatqr.Scan, ev *wechatqr.Event,
) (events.Reply, error) {
	id := strings.TrimPrefix(scan.SceneKey, l.prefix)
	if !isID(id) {
		return l.reply(Prompt{State: StateExpired, Site: l.origin()}), nil
	}
	ctx, cancel := context.WithTimeout(ctx, workTimeout)
	defer cancel()
	link := rand.Text()
	r, err := l.update(ctx, id, func(r *record) bool { return l.take(r, scan, ev, link) })
	if err != nil {
		return nil, failed("scan", err)
	}

	p := Prompt{State: r.at(time.Now()), Site: l.origin()}
	if r != nil {
		p.User = r.User
	}
	switch p.State {
	case StateScanned, StateUsed, StateConfirmed:
		p.State = l.seenBy(scan.OpenID, r)
	}
	if p.State == StateScanned {
		p.Number = r.Number
		if l.confirm == byLink {
			p.Link = l.page.String() + "?confirm=" + url.QueryEscape(id+"."+link)
		}
	}
	return l.reply(p), nil
}

// take notes the scan in the login, and reports whether that has changed it.
func (l *Login) take(r *record, scan wechatqr.Scan, ev *wechatqr.Event, link string) bool {
	now := time.Now()
	first, mine := r.Event == nil, r.scan().OpenID == scan.OpenID
	switch state := r.at(now); {
	case state == StateWaiting && first:
		r.State, r.Event, r.Ends = StateScanned, ev, now.Add(life)
	case state == StateScanned && !mine:
		r.State = StateUsed
		return true
	case mine && (state == StateScanned || state == StateUsed) && l.confirm == byLink:
	default:
		return false
	}

	switch l.confirm {
	case byScan:
		r.State = StateConfirmed
	case byLink:
		r.Link = l.hash(link, "link")
	case byNumber:
		n, _ := rand.Int(rand.Reader, big.NewInt(1_000_000)) // has no error
		r.Number = fmt.Sprintf("%06d", n)
	}
	return true
}

// seenBy is the state for somebody who scanned: another than who was the first is
// told no more than that.
func (l *Login) seenBy(openID string, r *record) State {
	switch {
	case r.scan().OpenID != openID:
		return StateUsed
	case r.State == StateConfirmed:
		return StateConfirmed
	}
	return StateScanned
}

func isID(s string) bool {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	return err == nil && len(b) == 16
}

func (l *Login) unsubscribed(ctx context.Context, ev *wechatqr.Event) (events.Reply, error) {
	leaving, cancel := context.WithTimeout(ctx, workTimeout)
	defer cancel()
	if err := l.leave(leaving, ev.FromUserName, ev.CreateTime); err != nil {
		return nil, failed("unsubscribe", err)
	}
	return nil, l.ended(ctx, ev.FromUserName)
}

// DefaultReply is the text, in Chinese and in English, for who has scanned.
func DefaultReply(p Prompt) events.Reply {
	zh, en := "登录", "login"
	if p.User.ID != "" {
		name := shown(p.User.Name)
		zh, en = "绑定到账号“"+name+"”", "binding to the account “"+name+"”"
	}
	switch {
	case p.Link != "":
		return events.Text(fmt.Sprintf("请打开以下页面确认%s，五分钟内有效。如果不是您本人操作，请在页面上拒绝。\n"+
			"Open this page within five minutes to confirm the %s, or to refuse it if it is not yours.\n%s",
			zh, en, p.Link))
	case p.State == StateScanned:
		return events.Text(fmt.Sprintf("%s验证码 %s，五分钟内有效。请仅在 %s 填写，切勿告诉他人。如果不是您本人操作，请忽略。\n"+
			"The number for the %s is %s, for five minutes. Type it at %s only, and tell nobody. "+
			"If it is not yours, ignore it.", zh, p.Number, p.Site, en, p.Number, p.Site))
	case p.State == StateConfirmed:
		return events.Text(fmt.Sprintf("已确认%s：%s\nThe %s is confirmed: %s", zh, p.Site, en, p.Site))
	}
	text, ok := chatTexts[p.State]
	if !ok {
		text = chatTexts[StateExpired]
	}
	return events.Text(text)
}

var chatTexts = map[State]string{
	StateUsed: "这个二维码已被他人扫描，请在网页上重新获取。\n" +
		"Somebody else has scanned this code: get a new one on the page.",
	StateDone: "这个二维码已经用过，请在网页上重新获取。\n" +
		"This code was used: get a new one on the page.",
	StateRefused: "这次操作已被拒绝或取消，请在网页上重新获取二维码。\n" +
		"This was refused or cancelled: get a new code on the page.",
	StateExpired: "二维码已过期，请在网页上重新获取。\n" +
		"This code has expired: get a new one on the page.",
}

// shown is a name without what would break the line, and not too long for it.
func shown(name string) string {
	clean := strings.Map(func(r rune) rune {
		switch {
		case r == '“' || r == '”':
			return '"' // DefaultReply's own: what is after them is no name
		case unicode.IsPrint(r):
			return r
		}
		return ' '
	}, strings.ToValidUTF8(name, "?"))
	const most = 40
	if runes := []rune(clean); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return clean
}
