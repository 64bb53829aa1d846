package alert

import (
	"cmp"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/wechatqr/wechatqr/channels"
)

// Message is what a webhook of the kind JSON gets. It names no person and no code.
type Message struct {
	Text   string `json:"text"` // all alerts, in Chinese and English, as the robots get it
	Alerts []Told `json:"alerts"`
}

// Told is an alert that was raised or is over.
type Told struct {
	Rule     Rule      `json:"rule"`
	State    string    `json:"state"`             // "raised" or "over"
	Channel  string    `json:"channel,omitempty"` // its key; empty: the account
	Name     string    `json:"name,omitempty"`
	Number   float64   `json:"number"`   // follows or net an hour, percent, codes or minutes
	Expected float64   `json:"expected"` // the usual number, or the limit
	At       time.Time `json:"at"`
	Link     string    `json:"link"`
	TextZH   string    `json:"text_zh"`
	TextEN   string    `json:"text_en"`
}

const (
	raisedState = "raised"
	overState   = "over"

	// A robot of 企业微信 takes 2048 bytes of text.
	maxText     = 2000
	maxNameText = 40 // characters
	heading     = "【channeld】"
)

// told is what is said of a finding. Of one that is over the rule and the channel are known.
func (w *Worker) told(f *finding, state string, now time.Time) Told {
	t := Told{
		Rule: f.rule, State: state, Channel: f.channel.Key, Name: f.channel.Name,
		Number: f.number, Expected: f.expected, At: now, Link: w.link(f),
	}
	zh, en := "全账号", "The account"
	if f.channel.Key != "" {
		name := plain(cmp.Or(f.channel.Name, f.channel.Key))
		zh, en = "渠道“"+name+"”", "Channel “"+name+"”"
	}
	whatZH, whatEN := f.words(w.Location)
	if state == overState {
		whatZH, whatEN = overWords[f.rule].zh, overWords[f.rule].en
	}
	t.TextZH, t.TextEN = zh+whatZH, en+whatEN
	return t
}

func (w *Worker) link(f *finding) string {
	switch {
	case f.channel.Key != "":
		return w.Origin + "/channels/" + url.PathEscape(f.channel.Key)
	case f.rule == Budget:
		return w.Origin + "/make"
	}
	return w.Origin + "/"
}

// plain is a name in which no robot sees a mention or markup.
func plain(name string) string {
	name = strings.NewReplacer("<", "＜", ">", "＞", "@", "＠", "\n", " ", "\r", " ").Replace(name)
	if short := []rune(name); len(short) > maxNameText {
		return string(short[:maxNameText]) + "…"
	}
	return name
}

// words go on after the channel's name.
func (f *finding) words(location *time.Location) (zh, en string) {
	switch f.rule {
	case Silence:
		return fmt.Sprintf("已 %.0f 分钟没有收到推送；此时段超过 %.0f 分钟就不正常", f.number, f.expected),
			fmt.Sprintf(" got no push for %.0f minutes; more than %.0f is unusual at this time",
				f.number, f.expected)
	case Spike:
		return fmt.Sprintf("上一小时新增与回流关注 %.0f，平时约 %.0f：突增", f.number, f.expected),
			fmt.Sprintf(" had %.0f new and returning follows in the last hour, usually about %.0f: a spike",
				f.number, f.expected)
	case Drop:
		return fmt.Sprintf("上一小时净增 %.0f，平时约 %.0f：骤降", f.number, f.expected),
			fmt.Sprintf(" had a net of %.0f in the last hour, usually about %.0f: a drop",
				f.number, f.expected)
	case QuickLoss:
		return fmt.Sprintf("近 8 天的关注有 %.1f%% 在 24 小时内取关，警戒线 %.0f%%", f.number, f.expected),
			fmt.Sprintf(" lost %.1f%% of its follows of 8 days within 24 hours; the limit is %.0f%%",
				f.number, f.expected)
	case Budget:
		return fmt.Sprintf("只剩 %.0f 个永久码可建，警戒线 %.0f", f.number, f.expected),
			fmt.Sprintf(" has %.0f permanent codes left; the limit is %.0f", f.number, f.expected)
	case Ending:
		date := f.date.In(location).Format("2006-01-02 15:04")
		return "将于 " + date + " 停用", " is to be retired at " + date
	}
	return "", ""
}

var overWords = map[Rule]struct{ zh, en string }{
	Silence:   {"恢复收到推送", " gets pushes again"},
	Spike:     {"的新增恢复平常", " has the usual number of follows again"},
	Drop:      {"的净增恢复平常", " has the usual net again"},
	QuickLoss: {"的速取关回到警戒线以下", " loses fewer follows within 24 hours again"},
	Budget:    {"的永久码余量恢复", " has enough permanent codes again"},
	Ending:    {"不再临近停用（已停用或改期）", " is not about to be retired any more"},
}

func (t *Told) lines() string {
	mark := "🔴 "
	if t.State == overState {
		mark = "🟢 "
	}
	return mark + t.TextZH + "\n" + t.TextEN + "\n" + t.Link + "\n"
}

// maxMessages are sent at once: robots take about 20 a minute, and people fewer.
const maxMessages = 5

// pack makes messages of the alerts. More than fit are counted in the last one.
func pack(all []Told) (messages []Message) {
	m := Message{Text: heading + "\n"}
	for i, t := range all {
		if len(m.Text)+len(t.lines()) > maxText && len(m.Alerts) > 0 {
			if len(messages) == maxMessages-1 {
				left := len(all) - i
				m.Text += fmt.Sprintf("另有 %d 条 / and %d more", left, left)
				break
			}
			messages = append(messages, m)
			m = Message{Text: heading + "\n"}
		}
		m.Text += t.lines()
		m.Alerts = append(m.Alerts, t)
	}
	if len(m.Alerts) > 0 {
		messages = append(messages, m)
	}
	return messages
}

// TestMessage is what the button of the settings page sends.
func TestMessage(origin string, now time.Time) *Message {
	t := Told{
		Rule: "test", State: "test", At: now, Link: origin + "/settings",
		TextZH: "测试消息：告警会发到这里", TextEN: "Test: alerts will arrive here",
	}
	return &Message{
		Text: heading + "\n" + t.TextZH + "\n" + t.TextEN + "\n" + t.Link, Alerts: []Told{t},
	}
}

// channelsByKey are for the names of alerts that are over.
func channelsByKey(all []channels.Channel) map[string]channels.Channel {
	byKey := map[string]channels.Channel{}
	for _, c := range all {
		byKey[c.Key] = c
	}
	return byKey
}
