package events

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/wechatqr/wechatqr"
)

// Parse reads a message as WeChat sends it: XML, or JSON as cloud hosting may
// send it. It verifies nothing: use it on what [Verifier.Open] returned, or
// where something else vouches for the sender. An encrypted message is not
// opened.
//
// Only the children of the root element are the event's; elements that have no
// field are kept in Raw, which is message itself. EventSubscribe,
// EventUnsubscribe and EventScan are recognised in any letter case.
//
// The error matches [ErrMalformed] and gives the reason.
func Parse(message []byte) (*wechatqr.Event, error) {
	var f fields
	if err := f.scan(message, elementCount); err != nil {
		return nil, err
	}
	return f.event(message)
}

// element is a child of the root that matters here.
type element int

const (
	toUserName element = iota
	fromUserName
	msgType
	event
	eventKey
	ticket
	content
	msgID
	createTime
	encrypt
	reportID
	elementCount
)

var elementNames = [elementCount]string{
	"ToUserName", "FromUserName", "MsgType", "Event", "EventKey", "Ticket", "Content", "MsgId", "CreateTime", "Encrypt",
	"MsgID", // on reports of mass and template messages
}

// elementOf returns -1 for an element that does not matter here.
func elementOf(name string) element { return element(slices.Index(elementNames[:], name)) }

// fields are the texts of these elements. They may share memory with the message.
type fields struct {
	value [elementCount][]byte
	given [elementCount]bool
}

func (f *fields) has(e element) bool { return len(f.value[e]) > 0 }

// set refuses a second value: two readers of one message must not take
// different ones.
func (f *fields) set(e element, value []byte) error {
	if f.given[e] {
		return refuse(ErrMalformed, "%s occurs twice", elementNames[e])
	}
	f.value[e], f.given[e] = value, true
	return nil
}

func (f *fields) event(message []byte) (*wechatqr.Event, error) {
	if !f.has(fromUserName) {
		if f.has(encrypt) {
			return nil, refuse(ErrMalformed, "FromUserName is missing: the message is still encrypted, open it with a Verifier that has an EncodingAESKey")
		}
		return nil, refuse(ErrMalformed, "FromUserName is missing")
	}
	created, err := f.unixTime()
	if err != nil {
		return nil, err
	}
	ev := &wechatqr.Event{CreateTime: created, Raw: message}
	if string(f.value[msgType]) != "event" {
		f.value[event] = nil
	}
	if !f.has(msgID) {
		f.value[msgID] = f.value[reportID]
	}

	// One string for all of them.
	var room [256]byte // enough for most: no allocation
	all := room[:0]
	for _, v := range f.value[:createTime] {
		all = append(all, v...)
	}
	rest := string(all)
	for e, to := range [createTime]*string{
		&ev.ToUserName, &ev.FromUserName, &ev.MsgType, (*string)(&ev.Type), &ev.EventKey, &ev.Ticket, &ev.Content, &ev.MsgID,
	} {
		if n := len(f.value[e]); n > 0 {
			*to, rest = rest[:n], rest[n:]
		}
	}
	ev.Type = ev.Type.Canonical()
	return ev, nil
}

// unixTime reads CreateTime. Without it two events could not be told apart.
func (f *fields) unixTime() (time.Time, error) {
	const years = 253402300799 // the end of 9999
	text := f.value[createTime]
	if len(text) == 0 {
		return time.Time{}, refuse(ErrMalformed, "CreateTime is missing")
	}
	whole, zeros, point := bytes.Cut(text, []byte(".")) // some JSON writers write 1714112445.0
	var n int64
	for _, c := range whole {
		n = 10*n + int64(c-'0')
	}
	if d := digits(whole); d < 1 || d > 12 || d < len(whole) || n > years ||
		point && (len(zeros) == 0 || len(bytes.Trim(zeros, "0")) > 0) {
		return time.Time{}, refuse(ErrMalformed, "CreateTime %.32q is no Unix time", text)
	}
	return time.Unix(n, 0), nil
}

const (
	bom        = "\xef\xbb\xbf"
	whiteSpace = " \t\r\n"
)

// scan finds the elements, by the quickest way that is sure. It may stop after
// the element last, for a message whose rest does not matter.
func (f *fields) scan(message []byte, last element) error {
	if f.scanFast(message, last) {
		return nil
	}
	*f = fields{}
	text := bytes.TrimPrefix(message, []byte(bom))
	first := bytes.TrimLeft(text, whiteSpace)
	switch {
	case len(first) == 0:
		return emptyBody.refuse("the body is empty")
	case !utf8.Valid(text):
		return refuse(ErrMalformed, "it is not UTF-8")
	case first[0] == '{':
		return f.scanJSON(text)
	case first[0] == '<':
		return f.scanXML(text)
	}
	return refuse(ErrMalformed, "it is neither XML nor JSON")
}

// canonicalOrder is how WeChat writes scans, texts and envelopes.
var canonicalOrder = [...]struct {
	element
	open   string
	length func([]byte) int
	end    string
}{
	{toUserName, "<ToUserName><![CDATA[", cdata, "]]></ToUserName>"},
	{fromUserName, "<FromUserName><![CDATA[", cdata, "]]></FromUserName>"},
	{createTime, "<CreateTime>", digits, "</CreateTime>"},
	{msgType, "<MsgType><![CDATA[", cdata, "]]></MsgType>"},
	{event, "<Event><![CDATA[", cdata, "]]></Event>"},
	{eventKey, "<EventKey><![CDATA[", cdata, "]]></EventKey>"},
	{ticket, "<Ticket><![CDATA[", cdata, "]]></Ticket>"},
	{content, "<Content><![CDATA[", cdata, "]]></Content>"},
	{msgID, "<MsgId>", digits, "</MsgId>"},
	{encrypt, "<Encrypt><![CDATA[", cdata, "]]></Encrypt>"},
}

// scanFast reads elements in their canonical order, of which any may be missing,
// and returns false for everything else, valid or not. What it reads it reads as
// scanXML does. BenchmarkScan shows what it saves.
func (f *fields) scanFast(message []byte, last element) bool {
	m, ok := cutPrefix(message, "<xml>")
	for _, u := range canonicalOrder {
		value, given := cutPrefix(skipSpace(m), u.open)
		if !given {
			continue
		}
		n := u.length(value)
		if n < 0 {
			return false
		}
		_ = f.set(u.element, value[:n]) // the first
		if m, given = cutPrefix(value[n:], u.end); !given {
			return false
		}
		if u.element == last {
			return ok
		}
	}
	m, ends := cutPrefix(skipSpace(m), "</xml>")
	return ok && ends && len(skipSpace(m)) == 0
}

func cutPrefix(b []byte, prefix string) ([]byte, bool) {
	if len(b) < len(prefix) || string(b[:len(prefix)]) != prefix {
		return b, false
	}
	return b[len(prefix):], true
}

func skipSpace(b []byte) []byte {
	for len(b) > 0 && (b[0] == '\n' || b[0] == ' ' || b[0] == '\r' || b[0] == '\t') {
		b = b[1:]
	}
	return b
}

// digits is how many b begins with.
func digits(b []byte) int {
	n := 0
	for n < len(b) && '0' <= b[n] && b[n] <= '9' {
		n++
	}
	return n
}

// cdata is the length of the section that b begins with, or -1 if ]]> does not
// end it or encoding/xml would not take the text and leave it as it is.
func cdata(b []byte) int {
	for i := 0; ; i++ {
		n := bytes.IndexByte(b[i:], ']')
		if n < 0 {
			return -1
		}
		i += n
		if _, ends := cutPrefix(b[i:], "]]>"); ends {
			if !plainText(b[:i]) {
				return -1
			}
			return i
		}
	}
}

// plainText reports whether encoding/xml takes b and leaves it as it is. It looks
// at many bytes at a time, until one of them is a control character or beyond
// ASCII.
func plainText(b []byte) bool {
	const spaces, high = 0x2020202020202020, 0x8080808080808080
	word := func(i int) uint64 { x := binary.LittleEndian.Uint64(b[i:]); return (x - spaces | x) & high }
	for len(b) >= 32 && word(0)|word(8)|word(16)|word(24) == 0 {
		b = b[32:]
	}
	for len(b) >= 8 && word(0) == 0 {
		b = b[8:]
	}
	ascii := true
	for _, c := range b {
		if c < ' ' && c != '\n' && c != '\t' {
			return false
		}
		ascii = ascii && c < utf8.RuneSelf
	}
	return ascii || utf8.Valid(b) && !bytes.Contains(b, []byte("\uFFFE")) && !bytes.Contains(b, []byte("\uFFFF"))
}

// maxDepth is twice what WeChat's deepest messages have.
const maxDepth = 16

func (f *fields) scanXML(text []byte) error {
	var (
		depth int
		root  bool
		which element // at depth 2; -1 if its text is not wanted
		value []byte
		fixed int // how much of value came from CDATA sections and stays
	)
	dec := xml.NewDecoder(bytes.NewReader(text))
	for {
		start := dec.InputOffset()
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return refuse(ErrMalformed, "%w", err)
		}
		switch t := token.(type) {
		case xml.Directive:
			return refuse(ErrMalformed, "it has a DOCTYPE or another declaration, which WeChat never sends")
		case xml.StartElement:
			depth++
			switch {
			case depth == 1 && root:
				return refuse(ErrMalformed, "it goes on after </xml>")
			case depth == 1 && t.Name != xml.Name{Local: "xml"}:
				return refuse(ErrMalformed, "the root is <%.32s>, not <xml>", t.Name.Local)
			case depth > maxDepth:
				return refuse(ErrMalformed, "its elements are nested more than %d deep", maxDepth)
			case depth == 1:
				root = true
			case depth == 2:
				which, value, fixed = -1, nil, 0
				if t.Name.Space == "" {
					which = elementOf(t.Name.Local)
				}
			}
		case xml.EndElement:
			depth--
			if depth != 1 || which < 0 {
				continue
			}
			tail := bytes.TrimRight(value[fixed:], whiteSpace)
			if err := f.set(which, value[:fixed+len(tail)]); err != nil {
				return err
			}
		case xml.CharData:
			section := bytes.HasPrefix(text[start:], []byte("<![CDATA["))
			switch {
			case depth == 0 && (section || len(bytes.TrimLeft(t, whiteSpace)) > 0):
				return refuse(ErrMalformed, "there is text outside of <xml>")
			case depth != 2 || which < 0:
			case section:
				value = append(value, t...)
				fixed = len(value)
			default:
				if len(value) == 0 { // indentation
					t = bytes.TrimLeft(t, whiteSpace)
				}
				value = append(value, t...)
			}
		}
	}
	if !root {
		return refuse(ErrMalformed, "it has no <xml>")
	}
	return nil
}

func (f *fields) scanJSON(text []byte) error {
	if err := json.Unmarshal(text, new(json.RawMessage)); err != nil {
		return refuse(ErrMalformed, "%w", err)
	}
	dec := json.NewDecoder(bytes.NewReader(text)) // which fails no more
	dec.UseNumber()
	_, _ = dec.Token() // the brace
	for dec.More() {
		var v any
		key, _ := dec.Token()
		_ = dec.Decode(&v)
		name, _ := key.(string)
		e := elementOf(name)
		if e < 0 {
			continue
		}
		var value []byte
		switch v := v.(type) {
		case nil:
		case string:
			value = []byte(v)
		case json.Number:
			value = []byte(v)
		default:
			return refuse(ErrMalformed, "%s is neither text nor a number", elementNames[e])
		}
		if err := f.set(e, value); err != nil {
			return err
		}
	}
	return nil
}
