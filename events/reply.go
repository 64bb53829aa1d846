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
	// from ev.ToUserName, unencrypted, as XML, or as JSON if that is what ev came
	// as. If it appends nothing, the answer is "success".
	AppendReply(b []byte, ev *wechatqr.Event, now time.Time) ([]byte, error)
}

// Text is a text, line breaks included. An empty one is no reply.
func Text(content string) Reply { return textReply(content) }

// Image is a picture that was uploaded as material.
func Image(mediaID string) Reply { return mediaReply{"image", "Image", mediaID} }

// Voice is a recording that was uploaded as material.
func Voice(mediaID string) Reply { return mediaReply{"voice", "Voice", mediaID} }

// Clip is a video that was uploaded as material. Title and description may be
// empty.
type Clip struct{ MediaID, Title, Description string }

// Video is a video.
func Video(c Clip) Reply { return videoReply(c) }

// Track is a link to music. All but the ThumbMediaID, a small picture that was
// uploaded as material, may be empty.
type Track struct {
	Title, Description string
	URL                string
	HQURL              string // used on Wi-Fi
	ThumbMediaID       string
}

// Music is a link to music.
func Music(t Track) Reply { return musicReply(t) }

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
	mediaReply struct{ msgType, element, mediaID string }
	videoReply Clip
	musicReply Track
	newsReply  []Article
)

func (r textReply) AppendReply(b []byte, ev *wechatqr.Event, now time.Time) ([]byte, error) {
	if r == "" {
		return b, nil
	}
	w := answer(b, ev, now, "text")
	w.text("Content", string(r))
	return w.end()
}

func (r mediaReply) AppendReply(b []byte, ev *wechatqr.Event, now time.Time) ([]byte, error) {
	w := answer(b, ev, now, r.msgType)
	w.open(r.element, '{')
	w.required("MediaId", r.mediaID)
	w.close(r.element, '}')
	return w.end()
}

func (r videoReply) AppendReply(b []byte, ev *wechatqr.Event, now time.Time) ([]byte, error) {
	w := answer(b, ev, now, "video")
	w.open("Video", '{')
	w.required("MediaId", r.MediaID)
	w.optional("Title", r.Title)
	w.optional("Description", r.Description)
	w.close("Video", '}')
	return w.end()
}

func (r musicReply) AppendReply(b []byte, ev *wechatqr.Event, now time.Time) ([]byte, error) {
	w := answer(b, ev, now, "music")
	w.open("Music", '{')
	w.optional("Title", r.Title)
	w.optional("Description", r.Description)
	w.optional("MusicUrl", r.URL)
	w.optional("HQMusicUrl", r.HQURL)
	w.required("ThumbMediaId", r.ThumbMediaID)
	w.close("Music", '}')
	return w.end()
}

func (r newsReply) AppendReply(b []byte, ev *wechatqr.Event, now time.Time) ([]byte, error) {
	w := answer(b, ev, now, "news")
	if len(r) == 0 {
		w.err = errors.New("News has no Article")
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
	err   error // the first
}

func answer(b []byte, ev *wechatqr.Event, now time.Time, msgType string) *writer {
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
	return w.b, nil
}

func (w *writer) str(parts ...string) {
	for _, s := range parts {
		w.b = append(w.b, s...)
	}
}

// key begins a member of a JSON object. What stands in a list, and the whole, has no key.
func (w *writer) key(name string) {
	last := byte(0)
	if len(w.b) > w.start {
		last = w.b[len(w.b)-1]
	}
	if last != 0 && last != '{' && last != '[' {
		w.str(",")
	}
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
		w.b = append(w.b, brace)
		return
	}
	w.str("</", name, ">")
}

func (w *writer) number(name string, n int64) {
	if w.json {
		w.key(name)
		w.b = strconv.AppendInt(w.b, n, 10)
		return
	}
	w.str("<", name, ">")
	w.b = strconv.AppendInt(w.b, n, 10)
	w.str("</", name, ">")
}

func (w *writer) required(name, value string) {
	if value == "" && w.err == nil {
		w.err = fmt.Errorf("%s is empty", name)
	}
	w.text(name, value)
}

func (w *writer) optional(name, value string) {
	if value != "" {
		w.text(name, value)
	}
}

func (w *writer) text(name, value string) {
	if w.err == nil {
		w.err = sendable(name, value)
	}
	if w.json {
		w.key(name)
		w.str(`"`)
		w.b = appendJSON(w.b, value)
		w.str(`"`)
		return
	}
	w.str("<", name, ">")
	w.b = appendCDATA(w.b, value)
	w.str("</", name, ">")
}

// sendable says which characters XML cannot carry, not even escaped. JSON
// could, but what is a mistake in one is one in the other.
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

func appendCDATA(b []byte, value string) []byte {
	b = append(b, "<![CDATA["...)
	for {
		before, after, found := strings.Cut(value, "]]>")
		b = append(b, before...)
		if !found {
			return append(b, "]]>"...)
		}
		b = append(b, "]]]]><![CDATA[>"...)
		value = after
	}
}

// appendJSON writes raw UTF-8: WeChat is known not to decode every \u escape.
func appendJSON(b []byte, value string) []byte {
	for i := range len(value) {
		switch c := value[i]; c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, `\n`...)
		case '\r':
			b = append(b, `\r`...)
		case '\t':
			b = append(b, `\t`...)
		default:
			b = append(b, c)
		}
	}
	return b
}
