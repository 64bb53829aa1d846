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

// element is a child of the root that matters here. They are in the order in
// which WeChat writes them, but for the last.
type element int

const (
	elementToUserName element = iota
	elementFromUserName
	elementCreateTime
	elementMsgType
	elementEvent
	elementEventKey
	elementTicket
	elementContent
	elementMsgID
	elementEncrypt
	elementReportID
	elementCount
)

type markup struct{ name, begin, end string }

// elements are their names, and what WeChat writes before and after their texts.
var elements = [elementCount]markup{
	{"ToUserName", "<ToUserName><![CDATA[", "]]></ToUserName>"},
	{"FromUserName", "<FromUserName><![CDATA[", "]]></FromUserName>"},
	{"CreateTime", "<CreateTime>", "</CreateTime>"},
	{"MsgType", "<MsgType><![CDATA[", "]]></MsgType>"},
	{"Event", "<Event><![CDATA[", "]]></Event>"},
	{"EventKey", "<EventKey><![CDATA[", "]]></EventKey>"},
	{"Ticket", "<Ticket><![CDATA[", "]]></Ticket>"},
	{"Content", "<Content><![CDATA[", "]]></Content>"},
	{"MsgId", "<MsgId>", "</MsgId>"},
	{"Encrypt", "<Encrypt><![CDATA[", "]]></Encrypt>"},
	{"MsgID", "<MsgID>", "</MsgID>"}, // on reports of mass and template messages
}

// elementOf returns -1 for an element that does not matter here.
func elementOf(name string) element {
	return element(slices.IndexFunc(elements[:], func(m markup) bool { return m.name == name }))
}

// fields are the texts of these elements: nil if there is no such element. They
// may share memory with the message.
type fields [elementCount][]byte

func (f *fields) has(e element) bool { return len(f[e]) > 0 }

// set refuses a second value: two readers of one message must not take
// different ones. value is not nil.
func (f *fields) set(e element, value []byte) error {
	if f[e] != nil {
		return errorf(ErrMalformed, "%s occurs twice", elements[e].name)
	}
	f[e] = value
	return nil
}

func (f *fields) event(message []byte) (*wechatqr.Event, error) {
	switch {
	case f.has(elementFromUserName):
	case f.has(elementEncrypt):
		return nil, errorf(ErrMalformed, "it is still encrypted: open it with a Verifier")
	default:
		return nil, errorf(ErrMalformed, "FromUserName is missing")
	}
	created, err := f.unixTime()
	if err != nil {
		return nil, err
	}
	f[elementCreateTime] = nil
	if string(f[elementMsgType]) != "event" {
		f[elementEvent] = nil
	}
	if !f.has(elementMsgID) {
		f[elementMsgID] = f[elementReportID]
	}

	var buf [256]byte // enough for most: no allocation
	all := buf[:0]
	for _, text := range f[:elementEncrypt] {
		all = append(all, text...)
	}
	rest := string(all) // one for all of them
	next := func(e element) (text string) {
		text, rest = rest[:len(f[e])], rest[len(f[e]):]
		return text
	}
	return &wechatqr.Event{ // in the order of the elements
		ToUserName: next(elementToUserName), FromUserName: next(elementFromUserName),
		CreateTime: created, MsgType: next(elementMsgType),
		Type:     wechatqr.EventType(next(elementEvent)).Canonical(),
		EventKey: next(elementEventKey), Ticket: next(elementTicket),
		Content: next(elementContent), MsgID: next(elementMsgID), Raw: message,
	}, nil
}

// unixTime reads CreateTime. Without it two events could not be told apart.
func (f *fields) unixTime() (time.Time, error) {
	const years = 253402300799 // the end of 9999
	text := f[elementCreateTime]
	if len(text) == 0 {
		return time.Time{}, errorf(ErrMalformed, "CreateTime is missing")
	}
	end, n := digits(text), int64(0)
	for _, c := range text[:min(end, 18)] {
		n = 10*n + int64(c-'0')
	}
	zeros, point := bytes.CutPrefix(text[end:], []byte(".")) // some JSON writers write 1714112445.0
	if end == 0 || end > 18 || n > years ||
		point == (len(zeros) == 0) || len(bytes.Trim(zeros, "0")) > 0 {
		return time.Time{}, errorf(ErrMalformed, "CreateTime %.32q is no Unix time", text)
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
		return emptyBody.errorf("the body is empty")
	case !utf8.Valid(text):
		return errorf(ErrMalformed, "it is not UTF-8")
	case first[0] == '{':
		return f.scanJSON(text)
	case first[0] == '<':
		return f.scanXML(text)
	}
	return errorf(ErrMalformed, "it is neither XML nor JSON")
}

// scanFast reads elements as WeChat writes them, of which any may be missing. It
// returns false for everything else, valid or not. What it reads it reads as
// scanXML does. BenchmarkScan shows what it saves.
func (f *fields) scanFast(message []byte, last element) bool {
	const root = "<xml>"
	if !hasPrefix(message, root) {
		return false
	}
	m := skipSpace(message[len(root):])
	for e := range elements {
		tag := &elements[e]
		if hasPrefix(m, "</") {
			break
		}
		if !hasPrefix(m, tag.begin) {
			continue
		}
		m = m[len(tag.begin):]
		n := digits(m)
		if tag.end[0] == ']' {
			n = bytes.IndexByte(m, ']') // a text that holds one is left to scanXML
		}
		if n < 0 || !hasPrefix(m[n:], tag.end) || !plainText(m[:n]) {
			return false
		}

		f[e], m = m[:n], skipSpace(m[n+len(tag.end):])
		if element(e) == last {
			return true
		}
	}
	return hasPrefix(m, "</xml>") && len(skipSpace(m[len("</xml>"):])) == 0
}

func hasPrefix(b []byte, prefix string) bool {
	return len(b) >= len(prefix) && string(b[:len(prefix)]) == prefix
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

// plainText reports whether encoding/xml takes b and leaves it as it is. It looks
// at 32 and at 8 bytes at a time, until one of them is a control character or
// beyond ASCII.
func plainText(b []byte) bool {
	rest := b
	for ; len(rest) >= 32; rest = rest[32:] {
		if special(rest)|special(rest[8:])|special(rest[16:])|special(rest[24:]) != 0 {
			break
		}
	}
	for len(rest) >= 8 && special(rest) == 0 {
		rest = rest[8:]
	}
	if len(b) >= 8 && len(rest) < 8 && special(b[len(b)-8:]) == 0 {
		return true
	}

	ascii := true
	for _, c := range rest {
		if c < ' ' && c != '\n' {
			return false
		}
		ascii = ascii && c < utf8.RuneSelf
	}
	return ascii || utf8.Valid(rest) &&
		!bytes.Contains(rest, []byte("\uFFFE")) && !bytes.Contains(rest, []byte("\uFFFF"))
}

// special is 0 if none of the first 8 bytes is a control character or beyond ASCII.
func special(b []byte) uint64 {
	const spaces, high = 0x2020202020202020, 0x8080808080808080
	x := binary.LittleEndian.Uint64(b)
	return (x - spaces | x) & high
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
			return errorf(ErrMalformed, "%w", err)
		}
		switch t := token.(type) {
		case xml.Directive:
			return errorf(ErrMalformed, "it has a DOCTYPE or another declaration, which WeChat never sends")
		case xml.StartElement:
			depth++
			switch {
			case depth == 1 && root:
				return errorf(ErrMalformed, "it goes on after </xml>")
			case depth == 1 && t.Name != xml.Name{Local: "xml"}:
				return errorf(ErrMalformed, "the root is <%.32s>, not <xml>", t.Name.Local)
			case depth > maxDepth:
				return errorf(ErrMalformed, "its elements are nested more than %d deep", maxDepth)
			case depth == 1:
				root = true
			case depth == 2:
				which, value, fixed = -1, []byte{}, 0
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
				return errorf(ErrMalformed, "there is text outside of <xml>")
			case depth != 2:
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
		return errorf(ErrMalformed, "it has no <xml>")
	}
	return nil
}

func (f *fields) scanJSON(text []byte) error {
	if err := json.Unmarshal(text, new(json.RawMessage)); err != nil {
		return errorf(ErrMalformed, "%w", err)
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
		value := []byte{}
		switch v := v.(type) {
		case nil:
		case string:
			value = []byte(v)
		case json.Number:
			value = []byte(v)
		default:
			return errorf(ErrMalformed, "%s is neither text nor a number", elements[e].name)
		}
		if err := f.set(e, value); err != nil {
			return err
		}
	}
	return nil
}
