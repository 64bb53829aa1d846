package wechatqrtest

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/wechatqr/wechatqr/events"
)

// ReceivedReply is the passive reply (被动回复) that a callback sent in response to a
// push. The zero ReceivedReply is none: the response was "success" or empty.
type ReceivedReply struct {
	ToUserName   string `json:"to"`   // the user's openid
	FromUserName string `json:"from"` // the account

	// "text", "image", "voice", "video", "music", "news" or "transfer_customer_service".
	MsgType string `json:"type"`

	Content      string           `json:"content,omitempty"`        // of text
	MediaID      string           `json:"media_id,omitempty"`       // of image, voice and video
	Title        string           `json:"title,omitempty"`          // of video and music
	Description  string           `json:"description,omitempty"`    // of video and music
	MusicURL     string           `json:"music_url,omitempty"`      // of music
	HQMusicURL   string           `json:"hq_music_url,omitempty"`   // of music
	ThumbMediaID string           `json:"thumb_media_id,omitempty"` // of music
	Articles     []events.Article `json:"articles,omitempty"`       // of news

	Encrypted bool   `json:"encrypted,omitempty"`
	XML       string `json:"xml,omitempty"` // the whole message, decrypted
}

// Text is the text that the user sees, one line for each part. An image, voice or
// video is its MsgType and media ID in brackets. It is empty if there is no reply.
func (r ReceivedReply) Text() string {
	switch r.MsgType {
	case "text":
		return r.Content
	case "image", "voice":
		return "[" + r.MsgType + " " + r.MediaID + "]"
	case "video":
		return joinLines("[video "+r.MediaID+"]", r.Title, r.Description)
	case "music":
		return joinLines("[music "+r.MusicURL+"]", r.Title, r.Description)
	case "news":
		var parts []string
		for _, a := range r.Articles {
			parts = append(parts, joinLines(a.Title, a.Description, a.URL))
		}
		return joinLines(parts...)
	}
	return ""
}

func joinLines(parts ...string) string {
	var out []string
	for _, p := range parts {
		if p != "" {
			out = append(out, p)
		}
	}
	return strings.Join(out, "\n")
}

// ParseReply reads the body of a response to a push of [NewRequest], from a
// callback with this configuration. The error is a *[CallbackError].
func ParseReply(cfg events.Config, body []byte) (ReceivedReply, error) {
	codec, err := newCodec(cfg)
	if err != nil {
		return ReceivedReply{}, &CallbackError{Reason: ReasonUndecryptable, Detail: err.Error()}
	}
	reply, wrong := codec.parseReply(body)
	if wrong != nil {
		return ReceivedReply{}, wrong.withStatus(0)
	}
	return reply, nil
}

// replyXML is the body of a response, encrypted or not.
type replyXML struct {
	XMLName xml.Name `xml:"xml"`

	Encrypt      *string `xml:"Encrypt"`
	MsgSignature string  `xml:"MsgSignature"`
	TimeStamp    string  `xml:"TimeStamp"`
	Nonce        string  `xml:"Nonce"`

	ToUserName   string `xml:"ToUserName"`
	FromUserName string `xml:"FromUserName"`
	CreateTime   string `xml:"CreateTime"`
	MsgType      string `xml:"MsgType"`
	Content      string `xml:"Content"`
	Image        media  `xml:"Image"`
	Voice        media  `xml:"Voice"`
	Video        media  `xml:"Video"`
	Music        struct {
		Title        string `xml:"Title"`
		Description  string `xml:"Description"`
		MusicURL     string `xml:"MusicUrl"`
		HQMusicURL   string `xml:"HQMusicUrl"`
		ThumbMediaID string `xml:"ThumbMediaId"`
	} `xml:"Music"`
	ArticleCount string `xml:"ArticleCount"`
	Articles     []struct {
		Title       string `xml:"Title"`
		Description string `xml:"Description"`
		PicURL      string `xml:"PicUrl"`
		URL         string `xml:"Url"`
	} `xml:"Articles>item"`
}

type media struct {
	MediaID     string `xml:"MediaId"`
	Title       string `xml:"Title"`
	Description string `xml:"Description"`
}

func (c callbackCodec) parseReply(body []byte) (ReceivedReply, *CallbackError) {
	text := strings.TrimSpace(string(body))
	switch {
	case len(body) >= maxResponseBytes:
		return ReceivedReply{}, &CallbackError{Reason: ReasonWrongReply,
			Detail: fmt.Sprintf("the response has %d KiB or more", maxResponseBytes>>10)}
	case text == "" || text == "success":
		return ReceivedReply{}, nil
	case strings.Trim(text, `"'`) == "success":
		return ReceivedReply{}, &CallbackError{Reason: ReasonQuoted, Detail: fmt.Sprintf(
			"the response is %s with the quotes: send success as text, not as JSON", text)}
	}
	sent, wrong := parseReplyXML(text)
	if wrong != nil {
		return ReceivedReply{}, wrong
	}

	if sent.Encrypt == nil {
		if c.mode == ModeSafe {
			return ReceivedReply{}, &CallbackError{Reason: ReasonNotEncrypted,
				Detail: "the reply is plain text, and in safe mode it must be encrypted"}
		}
		return sent.reply(text, false)
	}

	plain, err := c.decryptReply(sent)
	if err != nil {
		return ReceivedReply{}, &CallbackError{Reason: ReasonUndecryptable, Detail: err.Error()}
	}
	if sent, wrong = parseReplyXML(plain); wrong != nil {
		return ReceivedReply{}, wrong
	}
	return sent.reply(plain, true)
}

func (c callbackCodec) decryptReply(sent *replyXML) (string, error) {
	if c.key == nil {
		return "", errors.New("the reply is encrypted, and the account is in plain mode")
	}
	if sent.MsgSignature != sign(c.token, sent.TimeStamp, sent.Nonce, *sent.Encrypt) {
		return "", errors.New("MsgSignature is not that of Token, TimeStamp, Nonce and Encrypt")
	}
	plain, err := decrypt(c.key, c.appID, *sent.Encrypt)
	return string(plain), err
}

// decodeDocument reads the one XML document that text is.
func decodeDocument(text string, into any) error {
	d := xml.NewDecoder(strings.NewReader(text))
	if err := d.Decode(into); err != nil {
		return err
	}
	for {
		line, column := d.InputPos()
		part, err := d.Token()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		switch part := part.(type) {
		case xml.StartElement:
			return fmt.Errorf("a second element, %s, at line %d, column %d", part.Name.Local, line, column)
		case xml.CharData:
			if len(strings.TrimSpace(string(part))) > 0 {
				return fmt.Errorf("text after the XML at line %d, column %d", line, column)
			}
		}
	}
}

func parseReplyXML(text string) (*replyXML, *CallbackError) {
	var sent replyXML
	if err := decodeDocument(text, &sent); err != nil {
		kind := "it is neither one XML document nor success"
		lower := strings.ToLower(text)
		switch {
		case strings.HasPrefix(text, "{"), strings.HasPrefix(text, "["):
			kind = "it is JSON"
		case strings.HasPrefix(lower, "<!doctype html"), strings.HasPrefix(lower, "<html"):
			kind = "it is an HTML page"
		}
		return nil, &CallbackError{Reason: ReasonNotXML, Detail: fmt.Sprintf("%s: %v: %.80q", kind, err, text)}
	}
	return &sent, nil
}

const maxArticles = 8 // in reply to an event; in reply to a message only one

// reply checks that the message is a reply that WeChat shows.
func (e *replyXML) reply(text string, encrypted bool) (ReceivedReply, *CallbackError) {
	r := ReceivedReply{
		ToUserName: e.ToUserName, FromUserName: e.FromUserName, MsgType: e.MsgType,
		Encrypted: encrypted, XML: text,
	}
	var err error
	switch e.MsgType {
	case "text":
		r.Content = e.Content
		err = requireField("Content", r.Content)
	case "image":
		r.MediaID = e.Image.MediaID
		err = requireField("MediaId", r.MediaID)
	case "voice":
		r.MediaID = e.Voice.MediaID
		err = requireField("MediaId", r.MediaID)
	case "video":
		r.MediaID, r.Title, r.Description = e.Video.MediaID, e.Video.Title, e.Video.Description
		err = requireField("MediaId", r.MediaID)
	case "music":
		m := e.Music
		r.Title, r.Description, r.ThumbMediaID = m.Title, m.Description, m.ThumbMediaID
		r.MusicURL, r.HQMusicURL = m.MusicURL, m.HQMusicURL
		err = requireField("ThumbMediaId", r.ThumbMediaID)
	case "news":
		for _, a := range e.Articles {
			r.Articles = append(r.Articles, events.Article(a))
		}
		switch {
		case len(r.Articles) == 0:
			err = errors.New("Articles has no item")
		case e.ArticleCount != strconv.Itoa(len(r.Articles)):
			err = fmt.Errorf("ArticleCount is %q and there are %d articles", e.ArticleCount, len(r.Articles))
		case len(r.Articles) > maxArticles:
			err = fmt.Errorf("there are %d articles, and at most %d are shown", len(r.Articles), maxArticles)
		}
	case "transfer_customer_service":
	case "":
		err = errors.New("MsgType is missing")
	default:
		err = fmt.Errorf("MsgType is %q, which is not a kind of reply", e.MsgType)
	}
	if err == nil {
		// Milliseconds were seen to work.
		if _, wrong := strconv.ParseUint(e.CreateTime, 10, 63); wrong != nil {
			err = fmt.Errorf("CreateTime is %q, not seconds", e.CreateTime)
		}
	}
	if err != nil {
		return ReceivedReply{}, &CallbackError{Reason: ReasonWrongReply, Detail: err.Error()}
	}
	return r, nil
}

func requireField(name, value string) error {
	if value == "" {
		return errors.New(name + " is missing or empty")
	}
	return nil
}
