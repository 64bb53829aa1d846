package wechatqrtest

import (
	"encoding/xml"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/wechatqr/wechatqr/events"
)

// Reply is what an account answered to a push. The zero Reply is none: the
// account said "success" or nothing.
type Reply struct {
	ToUserName   string `json:"to"`   // the user's openid
	FromUserName string `json:"from"` // the account
	MsgType      string `json:"type"` // "text", "image", "voice", "video", "music", "news" or "transfer_customer_service"

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

// Text is what the user reads, in one line a part: for a picture or a sound
// its kind and media id in brackets. It is empty if there is no reply.
func (r Reply) Text() string {
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

// ParseReply reads what a callback with this configuration answered to a push
// of [NewRequest]. The error is a *[CallbackError].
func ParseReply(cfg events.Config, body []byte) (Reply, error) {
	l := line{appID: cfg.AppID, token: cfg.Token, mode: modeOf(cfg)}
	if l.mode != Plain {
		key, err := aesKey(cfg.EncodingAESKey)
		if err != nil {
			return Reply{}, &CallbackError{Problem: ProblemUndecryptable, Detail: err.Error()}
		}
		l.key = key
	}
	r, problem := l.reply(body)
	if problem != nil {
		return Reply{}, problem
	}
	return r, nil
}

// envelope is an answer, sealed or not.
type envelope struct {
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

// reply reads an answer to a push.
func (l line) reply(body []byte) (Reply, *CallbackError) {
	text := strings.TrimSpace(string(body))
	switch {
	case text == "" || text == "success":
		return Reply{}, nil
	case strings.Trim(text, `"'`) == "success":
		return Reply{}, &CallbackError{Problem: ProblemQuoted, Detail: fmt.Sprintf("the answer is %s with the quotes: send success as text, not as JSON", text)}
	}
	e, problem := readEnvelope(text)
	if problem != nil {
		return Reply{}, problem
	}
	if e.Encrypt == nil {
		if l.mode == Safe {
			return Reply{}, &CallbackError{Problem: ProblemNotEncrypted, Detail: "the reply is in the clear, and in safe mode it must be encrypted"}
		}
		return e.reply(text, false)
	}
	if l.key == nil {
		return Reply{}, &CallbackError{Problem: ProblemUndecryptable, Detail: "the reply is encrypted, and the account is in plain mode"}
	}
	if e.MsgSignature != sign(l.token, e.TimeStamp, e.Nonce, *e.Encrypt) {
		return Reply{}, &CallbackError{Problem: ProblemUndecryptable, Detail: "MsgSignature is not that of Token, TimeStamp, Nonce and Encrypt"}
	}
	message, err := unseal(l.key, l.appID, *e.Encrypt)
	if err != nil {
		return Reply{}, &CallbackError{Problem: ProblemUndecryptable, Detail: err.Error()}
	}
	if e, problem = readEnvelope(string(message)); problem != nil {
		return Reply{}, problem
	}
	return e.reply(string(message), true)
}

func readEnvelope(text string) (*envelope, *CallbackError) {
	var e envelope
	if err := xml.Unmarshal([]byte(text), &e); err != nil {
		kind := "it is neither XML nor success"
		switch {
		case strings.HasPrefix(text, "{"), strings.HasPrefix(text, "["):
			kind = "it is JSON"
		case strings.HasPrefix(strings.ToLower(text), "<!doctype html"), strings.HasPrefix(strings.ToLower(text), "<html"):
			kind = "it is a page of HTML"
		}
		return nil, &CallbackError{Problem: ProblemNotXML, Detail: fmt.Sprintf("%s: %.80q", kind, text)}
	}
	return &e, nil
}

// reply checks that the message is one that WeChat shows.
func (e *envelope) reply(text string, encrypted bool) (Reply, *CallbackError) {
	r := Reply{ToUserName: e.ToUserName, FromUserName: e.FromUserName, MsgType: e.MsgType, Encrypted: encrypted, XML: text}
	var err error
	switch e.MsgType {
	case "text":
		r.Content = e.Content
		err = need("Content", r.Content)
	case "image":
		r.MediaID = e.Image.MediaID
		err = need("MediaId", r.MediaID)
	case "voice":
		r.MediaID = e.Voice.MediaID
		err = need("MediaId", r.MediaID)
	case "video":
		r.MediaID, r.Title, r.Description = e.Video.MediaID, e.Video.Title, e.Video.Description
		err = need("MediaId", r.MediaID)
	case "music":
		m := e.Music
		r.Title, r.Description, r.MusicURL, r.HQMusicURL, r.ThumbMediaID = m.Title, m.Description, m.MusicURL, m.HQMusicURL, m.ThumbMediaID
		err = need("ThumbMediaId", r.ThumbMediaID)
	case "news":
		for _, a := range e.Articles {
			r.Articles = append(r.Articles, events.Article{Title: a.Title, Description: a.Description, PicURL: a.PicURL, URL: a.URL})
		}
		switch {
		case len(r.Articles) == 0:
			err = errors.New("Articles has no item")
		case e.ArticleCount != strconv.Itoa(len(r.Articles)):
			err = fmt.Errorf("ArticleCount is %q and there are %d articles", e.ArticleCount, len(r.Articles))
		}
	case "transfer_customer_service":
	case "":
		err = errors.New("MsgType is missing")
	default:
		err = fmt.Errorf("MsgType is %q, which is no kind of reply", e.MsgType)
	}
	if err == nil {
		// Milliseconds were seen to work.
		if _, wrong := strconv.ParseUint(e.CreateTime, 10, 63); wrong != nil {
			err = fmt.Errorf("CreateTime is %q, not seconds", e.CreateTime)
		}
	}
	if err != nil {
		return Reply{}, &CallbackError{Problem: ProblemWrongReply, Detail: err.Error()}
	}
	return r, nil
}

func need(name, value string) error {
	if value == "" {
		return errors.New(name + " is missing or empty")
	}
	return nil
}
