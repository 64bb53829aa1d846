package events

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"strconv"
	"strings"
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
	f, err := scan(message)
	if err != nil {
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
	elementCount
)

var elementNames = [elementCount]string{
	"ToUserName", "FromUserName", "MsgType", "Event", "EventKey", "Ticket", "Content", "MsgId", "CreateTime", "Encrypt",
}

func elementOf(name []byte) (element, bool) {
	switch string(name) {
	case "ToUserName":
		return toUserName, true
	case "FromUserName":
		return fromUserName, true
	case "MsgType":
		return msgType, true
	case "Event":
		return event, true
	case "EventKey":
		return eventKey, true
	case "Ticket":
		return ticket, true
	case "Content":
		return content, true
	case "MsgId", "MsgID": // the latter on reports of mass and template messages
		return msgID, true
	case "CreateTime":
		return createTime, true
	case "Encrypt":
		return encrypt, true
	}
	return 0, false
}

// fields are the texts of these elements. They may share memory with the message.
type fields struct {
	value [elementCount][]byte
	given [elementCount]bool
}

func (f *fields) has(e element) bool { return len(f.value[e]) > 0 }

// set refuses a second value: two readers of one message must not take
// different ones.
func (f *fields) set(e element, value []byte) bool {
	if f.given[e] {
		return false
	}
	f.value[e], f.given[e] = value, true
	return true
}

func twice(e element) error {
	return refuse(ErrMalformed, "%s occurs twice", elementNames[e])
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
	switch kind := f.value[event]; {
	case string(kind) == "SCAN" || bytes.EqualFold(kind, []byte("SCAN")):
		ev.Event = wechatqr.EventScan
	case bytes.EqualFold(kind, []byte("subscribe")):
		ev.Event = wechatqr.EventSubscribe
	case bytes.EqualFold(kind, []byte("unsubscribe")):
		ev.Event = wechatqr.EventUnsubscribe
	}
	if ev.Event != "" {
		f.value[event] = nil
	}
	if string(f.value[msgType]) == "event" {
		ev.MsgType = "event"
		f.value[msgType] = nil
	}

	// One string for all of them.
	n := 0
	for _, v := range f.value[:createTime] {
		n += len(v)
	}
	var all strings.Builder
	all.Grow(n)
	for _, v := range f.value[:createTime] {
		all.Write(v)
	}
	rest := all.String()
	next := func(e element) (s string) {
		s, rest = rest[:len(f.value[e])], rest[len(f.value[e]):]
		return s
	}
	ev.ToUserName = next(toUserName)
	ev.FromUserName = next(fromUserName)
	if s := next(msgType); s != "" {
		ev.MsgType = s
	}
	if s := next(event); s != "" {
		ev.Event = wechatqr.EventType(s)
	}
	ev.EventKey = next(eventKey)
	ev.Ticket = next(ticket)
	ev.Content = next(content)
	ev.MsgID = next(msgID)
	return ev, nil
}

// unixTime reads CreateTime. Without it two events could not be told apart.
func (f *fields) unixTime() (time.Time, error) {
	const years = 253402300799 // the end of 9999
	digits := f.value[createTime]
	if len(digits) == 0 {
		return time.Time{}, refuse(ErrMalformed, "CreateTime is missing")
	}
	var n int64
	for _, c := range digits {
		if c < '0' || c > '9' || n > years {
			n = years + 1
			break
		}
		n = 10*n + int64(c-'0')
	}
	if n > years {
		return time.Time{}, refuse(ErrMalformed, "CreateTime %.32q is no Unix time", digits)
	}
	return time.Unix(n, 0), nil
}

const (
	bom        = "\xef\xbb\xbf"
	whiteSpace = " \t\r\n"
)

// scan finds the elements, by the quickest way that is sure.
func scan(message []byte) (fields, error) {
	var f fields
	if scanFast(message, &f) {
		return f, nil
	}
	text := bytes.TrimPrefix(message, []byte(bom))
	first := bytes.TrimLeft(text, whiteSpace)
	switch {
	case len(first) == 0:
		return f, refuse(ErrMalformed, "the body is empty")
	case !utf8.Valid(text):
		return f, refuse(ErrMalformed, "it is not UTF-8")
	case first[0] == '{':
		return scanJSON(text)
	case first[0] == '<':
		return scanXML(text)
	}
	return f, refuse(ErrMalformed, "it is neither XML nor JSON")
}

// scanFast reads what WeChat sends: a flat list of elements without
// attributes, each with one CDATA section or a plain word. It returns false
// for everything else, valid or not; what it reads it reads as scanXML does.
func scanFast(message []byte, f *fields) bool {
	const open, closing, cdata, cdataEnd = "<xml>", "</xml>", "<![CDATA[", "]]>"
	rest, ok := cutPrefix(message, open)
	if !ok {
		return false
	}
	for {
		rest = skipSpace(rest)
		if after, ok := cutPrefix(rest, closing); ok {
			return len(skipSpace(after)) == 0
		}
		end := bytes.IndexByte(rest, '>')
		if end < 2 || rest[0] != '<' || !plainName(rest[1:end]) {
			return false
		}
		name := rest[1:end]
		rest = rest[end+1:]
		var value []byte
		if after, ok := cutPrefix(rest, cdata); ok {
			end = bytes.Index(after, []byte(cdataEnd))
			if end < 0 || !plainText(after[:end]) {
				return false
			}
			value, rest = after[:end], after[end+len(cdataEnd):]
		} else {
			end = bytes.IndexByte(rest, '<')
			if end < 0 || !plainWord(rest[:end]) {
				return false
			}
			value, rest = rest[:end], rest[end:]
		}
		if len(rest) < len(name)+3 || rest[0] != '<' || rest[1] != '/' || rest[len(name)+2] != '>' ||
			!bytes.Equal(rest[2:len(name)+2], name) {
			return false
		}
		rest = rest[len(name)+3:]
		if e, known := elementOf(name); known && !f.set(e, value) {
			*f = fields{}
			return false
		}
	}
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

func plainName(b []byte) bool {
	for i, c := range b {
		if letter := 'a' <= c|0x20 && c|0x20 <= 'z' || c == '_'; !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// plainWord is text that needs no unescaping and has no white space to trim.
func plainWord(b []byte) bool {
	for _, c := range b {
		if c <= ' ' || c > '~' || c == '&' || c == ']' {
			return false
		}
	}
	return true
}

// plainText is text that encoding/xml takes and leaves as it is.
func plainText(b []byte) bool {
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

func scanXML(text []byte) (fields, error) {
	var (
		f     fields
		depth int
		root  bool
		known bool // whether the text of the element at depth 2 is wanted
		which element
		value []byte
		fixed int  // how much of value came from CDATA sections and stays
		begun bool // white space is no longer indentation
	)
	dec := xml.NewDecoder(bytes.NewReader(text))
	for {
		start := dec.InputOffset()
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return f, refuse(ErrMalformed, "%w", err)
		}
		switch t := token.(type) {
		case xml.Directive:
			return f, refuse(ErrMalformed, "it has a DOCTYPE or another declaration, which WeChat never sends")
		case xml.StartElement:
			depth++
			switch {
			case depth == 1 && root:
				return f, refuse(ErrMalformed, "it goes on after </xml>")
			case depth == 1 && t.Name != xml.Name{Local: "xml"}:
				return f, refuse(ErrMalformed, "the root is <%.32s>, not <xml>", t.Name.Local)
			case depth > maxDepth:
				return f, refuse(ErrMalformed, "its elements are nested more than %d deep", maxDepth)
			case depth == 1:
				root = true
			case depth == 2:
				which, known = elementOf([]byte(t.Name.Local))
				known = known && t.Name.Space == ""
				value, fixed, begun = nil, 0, false
			}
		case xml.EndElement:
			depth--
			if depth != 1 || !known {
				continue
			}
			if end := bytes.TrimRight(value, whiteSpace); len(end) > fixed {
				value = end
			} else {
				value = value[:fixed]
			}
			if !f.set(which, value) {
				return f, twice(which)
			}
		case xml.CharData:
			section := bytes.HasPrefix(text[start:], []byte("<![CDATA["))
			switch {
			case depth == 0 && (section || len(bytes.TrimLeft(t, whiteSpace)) > 0):
				return f, refuse(ErrMalformed, "there is text outside of <xml>")
			case depth != 2 || !known:
			case section:
				value = append(value, t...)
				fixed, begun = len(value), true
			default:
				if !begun {
					t = bytes.TrimLeft(t, whiteSpace)
				}
				value = append(value, t...)
				begun = begun || len(t) > 0
			}
		}
	}
	if !root {
		return f, refuse(ErrMalformed, "it has no <xml>")
	}
	return f, nil
}

func scanJSON(text []byte) (fields, error) {
	var f fields
	dec := json.NewDecoder(bytes.NewReader(text))
	if _, err := dec.Token(); err != nil { // the brace
		return f, refuse(ErrMalformed, "%w", err)
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return f, refuse(ErrMalformed, "%w", err)
		}
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return f, refuse(ErrMalformed, "%w", err)
		}
		name, _ := key.(string)
		e, known := elementOf([]byte(name))
		if !known {
			continue
		}
		value, ok := jsonText(raw)
		if !ok {
			return f, refuse(ErrMalformed, "%s is neither text nor a number", elementNames[e])
		}
		if !f.set(e, value) {
			return f, twice(e)
		}
	}
	if _, err := dec.Token(); err != nil { // the other brace
		return f, refuse(ErrMalformed, "%w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return f, refuse(ErrMalformed, "it goes on after the closing brace")
	}
	return f, nil
}

// jsonText is the text of a string, the digits of a number, nothing of null.
func jsonText(raw json.RawMessage) ([]byte, bool) {
	switch {
	case string(raw) == "null":
		return nil, true
	case raw[0] == '"':
		var s string
		err := json.Unmarshal(raw, &s)
		return []byte(s), err == nil
	}
	_, err := strconv.ParseFloat(string(raw), 64)
	return raw, err == nil || errors.Is(err, strconv.ErrRange)
}
