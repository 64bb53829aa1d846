package events_test

import (
	"encoding/json"
	"encoding/xml"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/events"
)

// asked is the event that the samples of replies answer.
func asked(raw string) *wechatqr.Event {
	return &wechatqr.Event{ToUserName: "fromUser", FromUserName: "toUser", Raw: []byte(raw)}
}

// The samples of WeChat's page, without the white space between the elements.
func TestReplies(t *testing.T) {
	t.Parallel()
	head := func(kind string) string {
		return "<xml><ToUserName><![CDATA[toUser]]></ToUserName><FromUserName><![CDATA[fromUser]]>" +
			"</FromUserName>" +
			"<CreateTime>12345678</CreateTime><MsgType><![CDATA[" + kind + "]]></MsgType>"
	}
	headJSON := func(kind string) string {
		return `{"ToUserName":"toUser","FromUserName":"fromUser","CreateTime":12345678,"MsgType":"` +
			kind + `",`
	}
	for _, c := range []struct {
		name  string
		reply events.Reply
		xml   string
		json  string
	}{
		{"text", events.Text("你好"), head("text") + "<Content><![CDATA[你好]]></Content></xml>",
			headJSON("text") + `"Content":"你好"}`},
		{
			"image", events.Image("media_id"),
			head("image") + "<Image><MediaId><![CDATA[media_id]]></MediaId></Image></xml>",
			headJSON("image") + `"Image":{"MediaId":"media_id"}}`,
		},
		{
			"voice", events.Voice("media_id"),
			head("voice") + "<Voice><MediaId><![CDATA[media_id]]></MediaId></Voice></xml>",
			headJSON("voice") + `"Voice":{"MediaId":"media_id"}}`,
		},
		{
			"video", events.Video(events.Clip{MediaID: "media_id", Title: "title",
				Description: "description"}),
			head("video") +
				"<Video><MediaId><![CDATA[media_id]]></MediaId><Title><![CDATA[title]]>" +
				"</Title><Description><![CDATA[description]]></Description></Video></xml>",
			headJSON("video") + `"Video":{"MediaId":"media_id",` +
				`"Title":"title","Description":"description"}}`,
		},
		{
			"video alone", events.Video(events.Clip{MediaID: "media_id"}),
			head("video") + "<Video><MediaId><![CDATA[media_id]]></MediaId></Video></xml>",
			headJSON("video") + `"Video":{"MediaId":"media_id"}}`,
		},
		{
			"music",
			events.Music(events.Track{Title: "TITLE", Description: "DESCRIPTION", URL: "MUSIC_Url",
				HQURL: "HQ_MUSIC_Url", ThumbMediaID: "media_id"}),
			head("music") +
				"<Music><Title><![CDATA[TITLE]]></Title><Description><![CDATA[DESCRIPTION]]><" +
				"/Description><MusicUrl><![CDATA[MUSIC_Url]]></MusicUrl><HQMusicUrl><![CDATA[HQ_MUSIC_Url]]>" +
				"</HQMusicUrl><ThumbMediaId><![CDATA[media_id]]></ThumbMediaId></Music></xml>",
			headJSON("music") + `"Music":{"Title":"TITLE","Description":"DESCRIPTION",` +
				`"MusicUrl":"MUSIC_Url","HQMusicUrl":"HQ_MUSIC_Url","ThumbMediaId":"media_id"}}`,
		},
		{
			"music alone", events.Music(events.Track{ThumbMediaID: "media_id"}),
			head("music") +
				"<Music><ThumbMediaId><![CDATA[media_id]]></ThumbMediaId></Music></xml>",
			headJSON("music") + `"Music":{"ThumbMediaId":"media_id"}}`,
		},
		{
			"news", events.News(events.Article{Title: "title1", Description: "description1",
				PicURL: "picurl", URL: "url"}),
			head("news") +
				"<ArticleCount>1</ArticleCount><Articles><item><Title><![CDATA[title1]]>" +
				"</Title><Description><![CDATA[description1]]></Description><PicUrl><![CDATA[picurl]]>" +
				"</PicUrl><Url><![CDATA[url]]></Url></item></Articles></xml>",
			headJSON("news") + `"ArticleCount":1,"Articles":[{"Title":"title1",` +
				`"Description":"description1","PicUrl":"picurl","Url":"url"}]}`,
		},
		{
			"two news", events.News(events.Article{Title: "a"}, events.Article{Title: "b"}),
			head("news") + "<ArticleCount>2</ArticleCount><Articles>" +
				"<item><Title><![CDATA[a]]></Title><Description><![CDATA[]]></Description><PicUrl><![CDATA[]" +
				"]></PicUrl><Url><![CDATA[]]></Url></item>" +
				"<item><Title><![CDATA[b]]></Title><Description><![CDATA[]]></Description><PicUrl><![CDATA[]" +
				"]></PicUrl><Url><![CDATA[]]></Url></item></Articles></xml>",
			headJSON("news") + `"ArticleCount":2,"Articles":[{"Title":"a",` +
				`"Description":"","PicUrl":"","Url":""},{"Title":"b","Description":"","PicUrl":"","Url":""}]}`,
		},
		{"an empty text", events.Text(""), "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			now := time.Unix(12345678, 999)
			for raw, want := range map[string]string{
				sampleScan: c.xml, "": c.xml,
				"\ufeff\n " + sampleJSON: c.json,
			} {
				got, err := c.reply.AppendReply([]byte("before"), asked(raw), now)
				require.NoError(t, err)
				assert.Equal(t, "before"+want, string(got))
			}
			if c.json != "" {
				assert.True(t, json.Valid([]byte(c.json)))
			}
		})
	}
}

// Whatever the text holds, it arrives as it is, and adds no element.
func TestReplyTextIsSafe(t *testing.T) {
	t.Parallel()
	for _, want := range []string{
		"]]>", "a]]>b", "]]>]]>", "]]", "]]]]>>", "]]></Content><Content><![CDATA[x",
		"<a href=\"weixin://\">b</a> & c", "行\n行\t🏮\u2028",
		`"quoted" \ back`, `{"a":[1]}`, strings.Repeat("]]>", 1000),
	} {
		b, err := events.Text(want).AppendReply(nil, asked(""), time.Now())
		require.NoError(t, err)
		var x struct {
			Content []string
			Any     []struct{ XMLName xml.Name } `xml:",any"`
		}
		require.NoError(t, xml.Unmarshal(b, &x), "%s", b)
		assert.Equal(t, []string{want}, x.Content)
		assert.Len(t, x.Any, 4)

		b, err = events.Text(want).AppendReply(nil, asked(sampleJSON), time.Now())
		require.NoError(t, err)
		var j map[string]any
		require.NoError(t, json.Unmarshal(b, &j), "%s", b)
		assert.Equal(t, want, j["Content"])
		assert.Len(t, j, 5)
		assert.NotContains(t, string(b), `\u`)
	}
	// And so do the names.
	ev := &wechatqr.Event{ToUserName: "]]><a>", FromUserName: "]]>"}
	b, err := events.Text("x").AppendReply(nil, ev, time.Now())
	require.NoError(t, err)
	var x struct{ ToUserName, FromUserName string }
	require.NoError(t, xml.Unmarshal(b, &x))
	assert.Equal(t, "]]>", x.ToUserName)
	assert.Equal(t, "]]><a>", x.FromUserName)
	// A line end alone is all that XML changes: readers make it a line feed.
	b, err = events.Text("a\r\nb").AppendReply(nil, asked(""), time.Now())
	require.NoError(t, err)
	assert.Contains(t, string(b), "a\r\nb")
	b, err = events.Text("a\r\nb").AppendReply(nil, asked(sampleJSON), time.Now())
	require.NoError(t, err)
	assert.Contains(t, string(b), `a\r\nb`)
}

func TestReplyRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		reply  events.Reply
		reason string
	}{
		"image without id": {events.Image(""), "MediaId is empty"},
		"voice without id": {events.Voice(""), "MediaId is empty"},
		"video without id": {events.Video(events.Clip{Title: "a", Description: "b"}),
			"MediaId is empty"},
		"music without thumb": {events.Music(events.Track{URL: "a"}), "ThumbMediaId is empty"},
		"no news":             {events.News(), "no Article"},
		"NUL":                 {events.Text("a\x00"), "Content has the character U+0000"},
		"escape":              {events.Text("\x1b[1m"), "U+001B"},
		"no character":        {events.Text("\uffff"), "U+FFFF"},
		"a reversed mark":     {events.Text("\ufffe"), "U+FFFE"},
		"not UTF-8":           {events.Text("\xff"), "Content is not UTF-8"},
		"a title with a bell": {events.News(events.Article{Title: "\a"}),
			"Title has the character U+0007"},
		"a description not UTF-8": {events.Video(events.Clip{MediaID: "id", Description: "\xc3"}),
			"Description is not UTF-8"},
	} {
		for _, raw := range []string{sampleScan, sampleJSON} {
			b, err := c.reply.AppendReply([]byte("before"), asked(raw), time.Now())
			require.ErrorContains(t, err, c.reason, name)
			assert.Equal(t, "before", string(b), name)
		}
	}
}

// customerService is how a user would answer with what this package has no
// function for.
type customerService struct{}

func (customerService) AppendReply(b []byte, ev *wechatqr.Event, _ time.Time) ([]byte, error) {
	return append(b,
		"<xml><ToUserName>"+ev.FromUserName+"</ToUserName><MsgType>transfer_customer_s"+
			"ervice</MsgType></xml>"...), nil
}

func TestSealedReplies(t *testing.T) {
	t.Parallel()
	s := wechat()
	for name, c := range map[string]struct {
		reply events.Reply
		want  string
	}{
		"text":  {events.Text("你好"), "<Content><![CDATA[你好]]></Content>"},
		"image": {events.Image("id"), "<Image><MediaId><![CDATA[id]]></MediaId></Image>"},
		"voice": {events.Voice("id"), "<Voice><MediaId><![CDATA[id]]></MediaId></Voice>"},
		"video": {events.Video(events.Clip{MediaID: "id"}),
			"<Video><MediaId><![CDATA[id]]></MediaId></Video>"},
		"music": {events.Music(events.Track{ThumbMediaID: "id"}),
			"<ThumbMediaId><![CDATA[id]]></ThumbMediaId>"},
		"news":     {events.News(events.Article{Title: "a"}), "<ArticleCount>1</ArticleCount>"},
		"your own": {customerService{}, "transfer_customer_service"},
	} {
		w := s.sealed(t, scanPush("shop-7")).to(newHandler(t, safeMode(), replyWith(c.reply), nil))
		require.Equal(t, 200, w.Code)
		assert.Equal(t, "text/xml; charset=utf-8", w.Header().Get("Content-Type"))
		reply := openReply(t, s, w.Body.Bytes())
		assert.Contains(t, reply, c.want, name)
		assert.Contains(t, reply, testUser)
		assert.NotContains(t, w.Body.String(), testUser, "nothing is in the clear")
	}
	t.Run("JSON", func(t *testing.T) {
		t.Parallel()
		message := strings.Replace(sampleJSON, "debug_demo", "SCAN", 1)
		message = strings.Replace(message, "1714112445",
			strconv.FormatInt(time.Now().Unix(), 10), 1)
		sealed := s.seal(t, message)
		p := s.envelope(`{"ToUserName":"`+testAccount+`","Encrypt":"`+sealed+`"}`, sealed)
		w := p.to(newHandler(t, safeMode(), replyWith(events.Text("你好")), nil))
		require.Equal(t, 200, w.Code)
		assert.Equal(t, "application/json; charset=utf-8", w.Header().Get("Content-Type"))
		var v struct {
			Encrypt, MsgSignature, Nonce string
			TimeStamp                    json.Number
		}
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &v))
		assert.Equal(t, sign(s.token, v.TimeStamp.String(), v.Nonce, v.Encrypt), v.MsgSignature)
		assert.NotContains(t, w.Body.String(), `"TimeStamp":"`, "a number, as in WeChat's example")
		reply, _ := s.open(t, v.Encrypt)
		assert.True(t, json.Valid([]byte(reply)))
		assert.Contains(t, reply, `"Content":"你好"`)
	})
	t.Run("never twice alike", func(t *testing.T) {
		t.Parallel()
		h := newHandler(t, safeMode(), replyWith(events.Text("hi")), nil, events.WithDeduper(nil))
		p := s.sealed(t, scanPush("shop-7"))
		assert.NotEqual(t, p.to(h).Body.String(), p.to(h).Body.String())
	})
}
