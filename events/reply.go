package events

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/wechatqr/wechatqr"
)

// Reply is what the account answers in the chat at once, free of charge and of
// quota. Text, Image, Voice, Video, Music and News make one. A type of your own
// can be one too, for instance to answer with transfer_customer_service.
//
// WeChat's page: https://developers.weixin.qq.com/doc/offiaccount/Message_Management/Passive_user_reply_message.html
type Reply interface {
	// AppendReply appends the message that answers ev, to ev.FromUserName and
	// from ev.ToUserName, unencrypted, as XML, or as JSON if ev came as JSON. If it
	// appends nothing, the response is "success".
	AppendReply(b []byte, ev *wechatqr.Event, now time.Time) ([]byte, error)
}

// Text is a text, line breaks included. An empty one is no reply.
func Text(content string) Reply { return textReply(content) }

// Image is a picture that was uploaded as material.
func Image(mediaID string) Reply {
	return mediaReply{"image", "Image", []member{{"MediaId", mediaID, true}}}
}

// Voice is a recording that was uploaded as material.
func Voice(mediaID string) Reply {
	return mediaReply{"voice", "Voice", []member{{"MediaId", mediaID, true}}}
}

// Clip is a video that was uploaded as material. Title and description may be
// empty.
type Clip struct{ MediaID, Title, Description string }

// Video is a video.
func Video(c Clip) Reply {
	return mediaReply{"video", "Video", []member{
		{"MediaId", c.MediaID, true}, {"Title", c.Title, false}, {"Description", c.Description, false},
	}}
}

// Track is a link to music. All but the ThumbMediaID, a small picture that was
// uploaded as material, may be empty.
type Track struct {
	Title, Description string
	URL                string
	HQURL              string // used on Wi-Fi
	ThumbMediaID       string
}

// Music is a link to music.
func Music(t Track) Reply {
	return mediaReply{"music", "Music", []member{
		{"Title", t.Title, false}, {"Description", t.Description, false},
		{"MusicUrl", t.URL, false}, {"HQMusicUrl", t.HQURL, false},
		{"ThumbMediaId", t.ThumbMediaID, true},
	}}
}

// Article is a card with a link.
type Article struct {
	Title, Description string
	PicURL             string // JPEG or PNG, 360×200 for the first card and 200×200 for others
	URL                string
}

// News is one card or more. One is always shown. In answer to an event WeChat
// shows up to 8, in answer to a message the first, and leaves out the others.
func News(articles ...Article) Reply { return newsReply(articles) }

type (
	textReply  string
	newsReply  []Article
	mediaReply struct {
		msgType, element string
		members          []member
	}
	member struct {
		name, value string
		required    bool
	}
)

func (r textReply) AppendReply(b []byte, ev *wechatqr.Event, now time.Time) ([]byte, error) {
	if r == "" {
		return b, nil
	}
	w := newReply(b, ev, now, "text")
	w.text("Content", string(r))
	return w.end()
}

func (r mediaReply) AppendReply(b []byte, ev *wechatqr.Event, now time.Time) ([]byte, error) {
	w := newReply(b, ev, now, r.msgType)
	w.open(r.element, '{')
	for _, m := range r.members {
		if m.value != "" {
			w.text(m.name, m.value)
		} else if m.required {
			w.setErr(fmt.Errorf("%s is empty", m.name))
		}
	}
	w.close(r.element, '}')
	return w.end()
}

func (r newsReply) AppendReply(b []byte, ev *wechatqr.Event, now time.Time) ([]byte, error) {
	w := newReply(b, ev, now, "news")
	if len(r) == 0 {
		w.setErr(errors.New("News has no Article"))
	}
	w.number("ArticleCount", int64(len(r)))
	w.open("Articles", '[')
	for _, a := range r {
		w.open("item", '{')
		w.text("Title", a.Title)
		w.text("Description", a.Description)
		w.text("PicUrl", a.PicURL)
		w.text("Url", a.URL)
		w.close("item", '}')
	}
	w.close("Articles", ']')
	return w.end()
}

// writer writes XML, or the JSON that stands for it.
type writer struct {
	b     []byte
	start int // what was in b before
	json  bool
	err   error // the first one
}

func newReply(b []byte, ev *wechatqr.Event, now time.Time, msgType string) *writer {
	w := &writer{b: b, start: len(b), json: isJSON(ev.Raw)}
	w.open("xml", '{')
	w.text("ToUserName", ev.FromUserName)
	w.text("FromUserName", ev.ToUserName)
	w.number("CreateTime", now.Unix())
	w.text("MsgType", msgType)
	return w
}

func isJSON(message []byte) bool {
	message = bytes.TrimLeft(bytes.TrimPrefix(message, []byte(bom)), whiteSpace)
	return len(message) > 0 && message[0] == '{'
}

func (w *writer) end() ([]byte, error) {
	w.close("xml", '}')
	if w.err != nil {
		return w.b[:w.start], w.err
	}
	return bytes.TrimSuffix(w.b, []byte(",")), nil
}

func (w *writer) str(parts ...string) {
	for _, s := range parts {
		w.b = append(w.b, s...)
	}
}

// key begins a member of a JSON object. What stands in a list, and the whole, has
// no key. A comma follows each until its list or object ends.
func (w *writer) key(name string) {
	if name != "xml" && name != "item" {
		w.str(`"`, name, `":`)
	}
}

func (w *writer) open(name string, brace byte) {
	if w.json {
		w.key(name)
		w.b = append(w.b, brace)
		return
	}
	w.str("<", name, ">")
}

func (w *writer) close(name string, brace byte) {
	if w.json {
		w.b = append(bytes.TrimSuffix(w.b, []byte(",")), brace, ',')
		return
	}
	w.str("</", name, ">")
}

func (w *writer) number(name string, n int64) { w.element(name, strconv.FormatInt(n, 10)) }

var escapeJSON = strings.NewReplacer(`"`, `\"`, `\`, `\\`, "\n", `\n`, "\r", `\r`, "\t", `\t`)

// text writes raw UTF-8 in JSON too: WeChat is known not to decode every \u escape.
func (w *writer) text(name, value string) {
	w.setErr(sendable(name, value))
	if w.json {
		w.element(name, `"`, escapeJSON.Replace(value), `"`)
		return
	}
	w.element(name, "<![CDATA[", strings.ReplaceAll(value, "]]>", "]]]]><![CDATA[>"), "]]>")
}

func (w *writer) element(name string, value ...string) {
	if w.json {
		w.key(name)
		w.str(value...)
		w.str(",")
		return
	}
	w.str("<", name, ">")
	w.str(value...)
	w.str("</", name, ">")
}

func (w *writer) setErr(err error) {
	if w.err == nil {
		w.err = err
	}
}

// sendable refuses what XML cannot carry, not even escaped. JSON could, but a
// reply must not depend on how the push came.
func sendable(name, value string) error {
	if !utf8.ValidString(value) {
		return fmt.Errorf("%s is not UTF-8", name)
	}
	for _, r := range value {
		if r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == '\uFFFE' || r == '\uFFFF' {
			return fmt.Errorf("%s has the character %U, which XML cannot carry", name, r)
		}
	}
	return nil
}
