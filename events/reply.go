package events

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
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
func Text(content string) Reply {
	if content == "" {
		return passiveReply{}
	}
	return passiveReply{msgType: "text", content: []node{newText("Content", content)}}
}

// Image is a picture that was uploaded as material.
func Image(mediaID string) Reply {
	return media("image", "Image", "MediaId", newText("MediaId", mediaID))
}

// Voice is a recording that was uploaded as material.
func Voice(mediaID string) Reply {
	return media("voice", "Voice", "MediaId", newText("MediaId", mediaID))
}

// Clip is a video that was uploaded as material. Title and description may be
// empty.
type Clip struct{ MediaID, Title, Description string }

// Video is a video.
func Video(c Clip) Reply {
	return media("video", "Video", "MediaId", newText("MediaId", c.MediaID),
		newText("Title", c.Title), newText("Description", c.Description))
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
	return media("music", "Music", "ThumbMediaId",
		newText("Title", t.Title), newText("Description", t.Description),
		newText("MusicUrl", t.URL), newText("HQMusicUrl", t.HQURL),
		newText("ThumbMediaId", t.ThumbMediaID))
}

// Article is a card with a link.
type Article struct {
	Title, Description string
	PicURL             string // JPEG or PNG, 360×200 for the first card and 200×200 for others
	URL                string
}

// News is one card or more. One is always shown. In answer to an event WeChat
// shows up to 8, in answer to a message the first, and leaves out the others.
func News(articles ...Article) Reply {
	if len(articles) == 0 {
		return passiveReply{err: errors.New("News has no Article")}
	}
	items := make([]node, len(articles))
	for i, a := range articles {
		items[i] = newObject("item", newText("Title", a.Title), newText("Description", a.Description),
			newText("PicUrl", a.PicURL), newText("Url", a.URL))
	}
	list := node{name: "Articles", kind: listNode, children: items}
	count := newNumber("ArticleCount", int64(len(articles)))
	return passiveReply{msgType: "news", content: []node{count, list}}
}

// node is an element of a message, for XML or for the JSON that stands for it.
type node struct {
	name     string
	kind     nodeKind
	text     string // of the kinds that hold no elements
	children []node // of the others
}

type nodeKind int

const (
	textNode nodeKind = iota
	numberNode
	objectNode
	listNode // an object in XML; in JSON its children have no names
)

func newText(name, value string) node { return node{name: name, text: value} }

func newNumber(name string, n int64) node {
	return node{name: name, kind: numberNode, text: strconv.FormatInt(n, 10)}
}

func newObject(name string, children ...node) node {
	return node{name: name, kind: objectNode, children: children}
}

// passiveReply is a Reply with this content after the elements that all have;
// without a type it is none.
type passiveReply struct {
	msgType string
	content []node
	err     error // why it cannot be sent
}

// media leaves out texts that are empty, and refuses that of the required one.
func media(msgType, name, required string, children ...node) Reply {
	r := passiveReply{msgType: msgType}
	children = slices.DeleteFunc(children, func(n node) bool {
		if n.text == "" && n.name == required {
			r.err = fmt.Errorf("%s is empty", n.name)
		}
		return n.text == ""
	})
	r.content = []node{newObject(name, children...)}
	return r
}

func (r passiveReply) AppendReply(b []byte, ev *wechatqr.Event, now time.Time) ([]byte, error) {
	if r.err != nil || r.msgType == "" {
		return b, r.err
	}
	whole := newObject("xml", append([]node{
		newText("ToUserName", ev.FromUserName), newText("FromUserName", ev.ToUserName),
		newNumber("CreateTime", now.Unix()), newText("MsgType", r.msgType),
	}, r.content...)...)
	if err := whole.check(); err != nil {
		return b, err
	}
	return whole.append(b, isJSON(ev.Raw)), nil
}

// check refuses what XML cannot carry, not even escaped. JSON could, but a
// reply must not depend on how the push came.
func (n *node) check() error {
	if !utf8.ValidString(n.text) {
		return fmt.Errorf("%s is not UTF-8", n.name)
	}
	for _, r := range n.text {
		if r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == '\uFFFE' || r == '\uFFFF' {
			return fmt.Errorf("%s has the character %U, which XML cannot carry", n.name, r)
		}
	}
	for i := range n.children {
		if err := n.children[i].check(); err != nil {
			return err
		}
	}
	return nil
}

func isJSON(message []byte) bool {
	message = bytes.TrimLeft(bytes.TrimPrefix(message, []byte(bom)), whiteSpace)
	return len(message) > 0 && message[0] == '{'
}

func (n *node) append(b []byte, asJSON bool) []byte {
	if asJSON {
		return n.appendJSON(b)
	}
	b = append(append(append(b, '<'), n.name...), '>')
	if n.kind == textNode {
		b = append(b, "<![CDATA["...)
		b = append(b, strings.ReplaceAll(n.text, "]]>", "]]]]><![CDATA[>")...)
		b = append(b, "]]>"...)
	} else {
		b = append(b, n.text...)
	}
	for i := range n.children {
		b = n.children[i].append(b, false)
	}
	return append(append(append(b, "</"...), n.name...), '>')
}

var escapeJSON = strings.NewReplacer(`"`, `\"`, `\`, `\\`, "\n", `\n`, "\r", `\r`, "\t", `\t`)

// appendJSON appends the value. It writes raw UTF-8: WeChat is known not to
// decode every \u escape.
func (n *node) appendJSON(b []byte) []byte {
	brackets := "{}"
	switch n.kind {
	case textNode:
		return append(append(append(b, '"'), escapeJSON.Replace(n.text)...), '"')
	case numberNode:
		return append(b, n.text...)
	case listNode:
		brackets = "[]"
	}
	b = append(b, brackets[0])
	for i := range n.children {
		if i > 0 {
			b = append(b, ',')
		}
		if n.kind == objectNode {
			b = append(append(append(b, '"'), n.children[i].name...), `":`...)
		}
		b = n.children[i].appendJSON(b)
	}
	return append(b, brackets[1])
}
