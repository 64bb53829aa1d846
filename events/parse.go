package events

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"strconv"
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
	if err := f.scan(message); err != nil {
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

func elementOf(name []byte) (element, bool) {
	for e, known := range elementNames {
		if string(name) == known {
			return element(e), true
		}
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

func duplicateElement(e element) error {
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
	if string(f.value[msgType]) == "event" {
		ev.MsgType = "event"
		f.value[msgType] = nil
	} else {
		f.value[event] = nil
	}
	if !f.has(msgID) {
		f.value[msgID] = f.value[reportID]
	}
	switch kind := f.value[event]; {
	case string(kind) == "SCAN" || bytes.EqualFold(kind, []byte("SCAN")):
		ev.Type = wechatqr.EventScan
	case bytes.EqualFold(kind, []byte("subscribe")):
		ev.Type = wechatqr.EventSubscribe
	case bytes.EqualFold(kind, []byte("unsubscribe")):
		ev.Type = wechatqr.EventUnsubscribe
	}
	if ev.Type != "" {
		f.value[event] = nil
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
	whole, zeros, point := bytes.Cut(digits, []byte(".")) // some JSON writers write 1714112445.0
	if point && (len(whole) == 0 || len(zeros) == 0 || len(bytes.Trim(zeros, "0")) > 0) {
		whole = digits
	}
	for _, c := range whole {
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
func (f *fields) scan(message []byte) error { return f.scanUntil(elementCount, message) }

// scanUntil may stop at an element, for a message whose rest does not matter.
func (f *fields) scanUntil(last element, message []byte) error {
	if scanFast(message, f, last) {
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

// canonicalOrder is how WeChat writes an event, and the envelope of a sealed one.
var canonicalOrder = [...]struct {
	element
	open, end string
}{
	{toUserName, "<ToUserName><![CDATA[", "]]></ToUserName>"},
	{encrypt, "<Encrypt><![CDATA[", "]]></Encrypt>"},
	{fromUserName, "<FromUserName><![CDATA[", "]]></FromUserName>"},
	{createTime, "<CreateTime>", "</CreateTime>"},
	{msgType, "<MsgType><![CDATA[", "]]></MsgType>"},
	{event, "<Event><![CDATA[", "]]></Event>"},
	{eventKey, "<EventKey><![CDATA[", "]]></EventKey>"},
	{ticket, "<Ticket><![CDATA[", "]]></Ticket>"},
}

// scanFast reads what WeChat sends: a flat list of elements without
// attributes, each with one CDATA section or a plain word. It returns false
// for everything else, valid or not; what it reads it reads as scanXML does. It
// may stop after the element last.
func scanFast(m []byte, f *fields, last element) bool {
	const open, closing, cdata = "<xml>", "</xml>", "<![CDATA["
	if !hasPrefix(m, open) {
		return false
	}
	i := len(open)
	for _, u := range canonicalOrder { // a sixth faster than the loop below
		i = skipSpace(m, i)
		if !hasPrefix(m[i:], u.open) {
			continue
		}
		i += len(u.open)
		var end int
		if u.element == createTime {
			end = wordEnd(m, i)
		} else {
			end = cdataEnd(m, i)
		}
		if end < 0 || !hasPrefix(m[end:], u.end) || !f.set(u.element, m[i:end]) {
			return false
		}
		if u.element == last {
			return true
		}
		i = end + len(u.end)
	}
	for {
		i = skipSpace(m, i)
		if hasPrefix(m[i:], closing) {
			return skipSpace(m, i+len(closing)) == len(m)
		}
		if i == len(m) || m[i] != '<' {
			return false
		}
		start := i + 1
		end := start + bytes.IndexByte(m[start:], '>')
		if end < start {
			return false
		}
		name := m[start:end]
		e, known := elementOf(name)
		if !known && !plainName(name) {
			return false
		}
		i = end + 1
		var value []byte
		if hasPrefix(m[i:], cdata) {
			i += len(cdata)
			end = cdataEnd(m, i)
			if end < 0 {
				return false
			}
			value, i = m[i:end], end+len("]]>")
		} else {
			end = wordEnd(m, i)
			value, i = m[i:end], end
		}
		if !hasPrefix(m[i:], "</") {
			return false
		}
		i += len("</")
		end = i + len(name)
		if end >= len(m) || m[end] != '>' || string(m[i:end]) != string(name) {
			return false
		}
		i = end + 1
		if known && !f.set(e, value) {
			return false
		}
	}
}

func hasPrefix(b []byte, prefix string) bool {
	return len(b) >= len(prefix) && string(b[:len(prefix)]) == prefix
}

func skipSpace(m []byte, i int) int {
	for i < len(m) && (m[i] == '\n' || m[i] == ' ' || m[i] == '\r' || m[i] == '\t') {
		i++
	}
	return i
}

func plainName(b []byte) bool {
	for i, c := range b {
		if letter := 'a' <= c|0x20 && c|0x20 <= 'z' || c == '_'; !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return len(b) > 0
}

// wordEnd is the end of text that needs no unescaping and has no white space
// to trim.
func wordEnd(m []byte, i int) int {
	for i < len(m) && m[i] > ' ' && m[i] <= '~' && m[i] != '<' && m[i] != '&' && m[i] != ']' {
		i++
	}
	return i
}

// cdataEnd finds the ]]> that ends the section, or returns -1 if there is none
// or the text before it is not such as encoding/xml takes and leaves as it is.
func cdataEnd(m []byte, start int) int {
	for i := start; ; i++ {
		n := bytes.IndexByte(m[i:], ']')
		if n < 0 {
			return -1
		}
		i += n
		if hasPrefix(m[i:], "]]>") {
			if !plainText(m, start, i) {
				return -1
			}
			return i
		}
	}
}

// plainText looks at eight bytes at a time, and closer from the first that is
// a control character or beyond ASCII. What it reads after the end is the end
// tag, and no such byte.
func plainText(m []byte, start, end int) bool {
	i := start
	for i+32 <= end {
		w := (*[32]byte)(m[i:])
		if (needsSlowCheck(w[0:])|needsSlowCheck(w[8:])|needsSlowCheck(w[16:])|needsSlowCheck(w[24:]))&high != 0 {
			break
		}
		i += 32
	}
	for i < end && i+8 <= len(m) && needsSlowCheck(m[i:])&high == 0 {
		i += 8
	}
	if i >= end {
		return true
	}
	b := m[i:end]
	for _, c := range b {
		if c < ' ' && c != '\n' && c != '\t' {
			return false
		}
	}
	return utf8.Valid(b) && !bytes.Contains(b, []byte("\uFFFE")) && !bytes.Contains(b, []byte("\uFFFF"))
}

const high = 0x8080808080808080

// needsSlowCheck sets high bits if one of the first eight bytes is below the space or
// above ASCII.
func needsSlowCheck(b []byte) uint64 {
	x := binary.LittleEndian.Uint64(b)
	return x - ' '*(high>>7) | x
}

// maxDepth is twice what WeChat's deepest messages have.
const maxDepth = 16

func (f *fields) scanXML(text []byte) error {
	var (
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
				return duplicateElement(which)
			}
		case xml.CharData:
			section := bytes.HasPrefix(text[start:], []byte("<![CDATA["))
			switch {
			case depth == 0 && (section || len(bytes.TrimLeft(t, whiteSpace)) > 0):
				return refuse(ErrMalformed, "there is text outside of <xml>")
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
		return refuse(ErrMalformed, "it has no <xml>")
	}
	return nil
}

func (f *fields) scanJSON(text []byte) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	_, _ = dec.Token() // the brace, which is there
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return refuse(ErrMalformed, "%w", err)
		}
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return refuse(ErrMalformed, "%w", err)
		}
		name, _ := key.(string)
		e, known := elementOf([]byte(name))
		if !known {
			continue
		}
		value, ok := jsonText(raw)
		if !ok {
			return refuse(ErrMalformed, "%s is neither text nor a number", elementNames[e])
		}
		if !f.set(e, value) {
			return duplicateElement(e)
		}
	}
	if _, err := dec.Token(); err != nil { // the other brace
		return refuse(ErrMalformed, "%w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return refuse(ErrMalformed, "it goes on after the closing brace")
	}
	return nil
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
