package main

import (
	"context"
	"crypto/rand"
	"encoding/xml"
	"fmt"
	"math/big"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/wechatqr/wechatqr/events"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// clickMenu is a click on an item of the account's menu.
func (a *app) clickMenu(r *http.Request) outcome {
	id, name, bad := a.follower(r)
	if bad != nil {
		return *bad
	}
	key := strings.TrimSpace(r.PostFormValue("key"))
	if key == "" {
		return failed("people", "The menu item has no key.")
	}
	out := done("timeline", "%s clicked the menu item %s.", name, key)
	out.push = func(ctx context.Context) (wechatqrtest.Push, error) {
		return a.wx.ClickMenu(ctx, id, key)
	}
	return out
}

// image is a picture that the user sends.
func (a *app) image(r *http.Request) outcome {
	id, name, bad := a.follower(r)
	if bad != nil {
		return *bad
	}
	address := strings.TrimSpace(r.PostFormValue("url"))
	if address == "" {
		address = a.origin + "/_sandbox/icon.svg"
	}
	return a.pushMessage(id, fmt.Sprintf("<MsgType>image</MsgType><PicUrl>%s</PicUrl>"+
		"<MediaId>%s</MediaId><MsgId>%s</MsgId>", escaped(address), randomHex(16), newMsgID()),
		say("%s sent an image.", name))
}

// location is a place that the user sends.
func (a *app) location(r *http.Request) outcome {
	id, name, bad := a.follower(r)
	if bad != nil {
		return *bad
	}
	lat, err1 := strconv.ParseFloat(r.PostFormValue("lat"), 64)
	lng, err2 := strconv.ParseFloat(r.PostFormValue("lng"), 64)
	if err1 != nil || err2 != nil || lat < -90 || lat > 90 || lng < -180 || lng > 180 {
		return failed("people",
			"A location is a latitude from -90 to 90 and a longitude from -180 to 180.")
	}
	return a.pushMessage(id, fmt.Sprintf("<MsgType>location</MsgType><Location_X>%f</Location_X>"+
		"<Location_Y>%f</Location_Y><Scale>16</Scale><Label>%s</Label><MsgId>%s</MsgId>",
		lat, lng, escaped(r.PostFormValue("label")), newMsgID()),
		say("%s sent a location.", name))
}

// rawEvent is any message: elements, or a whole one that begins with <xml>.
func (a *app) rawEvent(r *http.Request) outcome {
	id := r.PostFormValue("openid")
	if _, ok := a.wx.User(id); !ok {
		return failed("people", "This user does not exist.")
	}
	text := strings.TrimSpace(r.PostFormValue("xml"))
	if text == "" {
		return failed("people", "The message is empty.")
	}
	return a.pushMessage(id, text, say("%s sent a message.", a.nameOf(id)))
}

// pushMessage pushes a message of the user's. Elements get those around them that each
// message has.
func (a *app) pushMessage(openID, text string, what phrase) outcome {
	if !strings.HasPrefix(text, "<xml") {
		text = fmt.Sprintf("<xml><ToUserName>%s</ToUserName><FromUserName>%s</FromUserName>"+
			"<CreateTime>%d</CreateTime>%s</xml>", a.wx.Account(), escaped(openID), a.nextTime(openID).Unix(), text)
	}
	ev, err := events.Parse([]byte(text))
	if err != nil {
		return failed("people", "This is not a message of WeChat: %s", err)
	}
	out := outcome{text: what, place: "timeline"}
	out.push = func(ctx context.Context) (wechatqrtest.Push, error) { return a.wx.Push(ctx, *ev) }
	return out
}

// nextTime is at least a second after the user's last event: two within a second may
// have one ID.
func (a *app) nextTime(openID string) time.Time {
	at := time.Now()
	for _, p := range a.wx.Pushes() {
		next := p.Event.CreateTime.Add(time.Second)
		if p.Event.FromUserName == openID && at.Before(next) {
			at = next
		}
	}
	return at
}

func escaped(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text)) // a strings.Builder cannot fail
	return b.String()
}

// newMsgID has the 17 digits of WeChat's.
func newMsgID() string {
	n, err := rand.Int(rand.Reader, big.NewInt(9e16))
	if err != nil {
		panic(err) // never fails
	}
	return strconv.FormatInt(1e16+n.Int64(), 10)
}
