package events_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/events"
)

// The samples are WeChat's own, to the letter.
const (
	sampleSubscribe = `<xml>
  <ToUserName><![CDATA[toUser]]></ToUserName>
  <FromUserName><![CDATA[FromUser]]></FromUserName>
  <CreateTime>123456789</CreateTime>
  <MsgType><![CDATA[event]]></MsgType>
  <Event><![CDATA[subscribe]]></Event>
</xml>`
	sampleSubscribeByCode = `<xml>
  <ToUserName><![CDATA[toUser]]></ToUserName>
  <FromUserName><![CDATA[FromUser]]></FromUserName>
  <CreateTime>123456789</CreateTime>
  <MsgType><![CDATA[event]]></MsgType>
  <Event><![CDATA[subscribe]]></Event>
  <EventKey><![CDATA[qrscene_123123]]></EventKey>
  <Ticket><![CDATA[TICKET]]></Ticket>
</xml>`
	sampleScan = `<xml>
  <ToUserName><![CDATA[toUser]]></ToUserName>
  <FromUserName><![CDATA[FromUser]]></FromUserName>
  <CreateTime>123456789</CreateTime>
  <MsgType><![CDATA[event]]></MsgType>
  <Event><![CDATA[SCAN]]></Event>
  <EventKey><![CDATA[SCENE_VALUE]]></EventKey>
  <Ticket><![CDATA[TICKET]]></Ticket>
</xml>`
	sampleText = `<xml>
  <ToUserName><![CDATA[toUser]]></ToUserName>
  <FromUserName><![CDATA[fromUser]]></FromUserName>
  <CreateTime>1348831860</CreateTime>
  <MsgType><![CDATA[text]]></MsgType>
  <Content><![CDATA[this is a test]]></Content>
  <MsgId>1234567890123456</MsgId>
</xml>`
	sampleScanCode = `<xml><ToUserName><![CDATA[gh_e136c6e50636]]></ToUserName>
<FromUserName><![CDATA[oMgHVjngRipVsoxg6TuX3vz6glDg]]></FromUserName>
<CreateTime>1408090502</CreateTime>
<MsgType><![CDATA[event]]></MsgType>
<Event><![CDATA[scancode_push]]></Event>
<EventKey><![CDATA[6]]></EventKey>
<ScanCodeInfo><ScanType><![CDATA[qrcode]]></ScanType>
<ScanResult><![CDATA[1]]></ScanResult>
</ScanCodeInfo>
</xml>`
	samplePics = `<xml><ToUserName><![CDATA[gh_e136c6e50636]]></ToUserName>
<FromUserName><![CDATA[oMgHVjngRipVsoxg6TuX3vz6glDg]]></FromUserName>
<CreateTime>1408090651</CreateTime>
<MsgType><![CDATA[event]]></MsgType>
<Event><![CDATA[pic_sysphoto]]></Event>
<EventKey><![CDATA[6]]></EventKey>
<SendPicsInfo><Count>1</Count>
<PicList><item><PicMd5Sum><![CDATA[1b5f7c23b5bf75682a53e7b6d163e185]]></PicMd5Sum>
</item>
</PicList>
</SendPicsInfo>
</xml>`
	sampleMass = `<xml>
  <ToUserName><![CDATA[gh_4d00ed8d6399]]></ToUserName>
  <FromUserName><![CDATA[oV5CrjpxgaGXNHIQigzNlgLTnwic]]></FromUserName>
  <CreateTime>1481013459</CreateTime>
  <MsgType><![CDATA[event]]></MsgType>
  <Event><![CDATA[MASSSENDJOBFINISH]]></Event>
  <MsgID>1000001625</MsgID>
  <Status><![CDATA[err(30003)]]></Status>
  <TotalCount>0</TotalCount>
  <CopyrightCheckResult>
    <Count>2</Count>
    <ResultList>
      <item>
        <ArticleIdx>1</ArticleIdx>
        <EventKey>not this one</EventKey>
        <AuditState>2</AuditState>
        <OriginalArticleUrl><![CDATA[Url_1]]></OriginalArticleUrl>
      </item>
    </ResultList>
    <CheckState>2</CheckState>
  </CopyrightCheckResult>
</xml>`
	// From the worked example of the encryption page.
	sampleJSON = `{"ToUserName":"gh_97417a04a28d","FromUserName":"o9AgO5Kd5ggOC-bXrbNODIiE3bGY",` +
		`"CreateTime":1714112445,"MsgType":"event","Event":"debug_demo","debug_str":"hello world"}`
)

// scanned is what the samples of a scan say.
func scanned(change func(*wechatqr.Event)) *wechatqr.Event {
	ev := &wechatqr.Event{
		ToUserName: "toUser", FromUserName: "FromUser", CreateTime: time.Unix(123456789, 0),
		MsgType: "event", Type: wechatqr.EventScan, EventKey: "SCENE_VALUE", Ticket: "TICKET",
	}
	if change != nil {
		change(ev)
	}
	return ev
}

func TestParse(t *testing.T) {
	t.Parallel()
	key := func(key string) func(*wechatqr.Event) {
		return func(ev *wechatqr.Event) { ev.EventKey = key }
	}
	swap := func(old, with string) string { return strings.Replace(sampleScan, old, with, 1) }
	subscribe := func(eventKey string) string {
		return strings.Replace(sampleSubscribeByCode, "qrscene_123123", eventKey, 1)
	}
	follower := func(key string) *wechatqr.Event {
		return scanned(func(ev *wechatqr.Event) {
			ev.Type, ev.EventKey = wechatqr.EventSubscribe,
				key
		})
	}
	type scan = wechatqr.Scan
	at := time.Unix(123456789, 0)
	for _, c := range []struct {
		name    string
		message string
		want    *wechatqr.Event
		scene   string // of the scan that it tells of
		new     bool
	}{
		{"follow", sampleSubscribe, &wechatqr.Event{
			ToUserName: "toUser", FromUserName: "FromUser", CreateTime: at, MsgType: "event",
			Type: wechatqr.EventSubscribe,
		}, "", false},
		{"unfollow", strings.Replace(sampleSubscribe, "subscribe", "unsubscribe", 1),
			&wechatqr.Event{
				ToUserName: "toUser", FromUserName: "FromUser", CreateTime: at, MsgType: "event",
				Type: wechatqr.EventUnsubscribe,
			}, "", false},
		{"follow by code", sampleSubscribeByCode, follower("qrscene_123123"), "123123", true},
		{"follow by code of text", subscribe("qrscene_sharefrom_9"),
			follower("qrscene_sharefrom_9"),
			"sharefrom_9", true},
		{"follow by code that begins with the mark", subscribe("qrscene_qrscene_7"),
			follower("qrscene_qrscene_7"), "qrscene_7", true},
		{"follow after payment", subscribe("last_trade_no_4008072001201701105817415015"),
			follower("last_trade_no_4008072001201701105817415015"), "", false},
		{"follow by bar code", subscribe("scanbarcode|keystandard|keystr"),
			follower("scanbarcode|keystandard|keystr"), "", false},
		{"follow by image", subscribe("scanimage|keystandard|keystr"),
			follower("scanimage|keystandard|keystr"), "", false},
		{"follow with an empty key", subscribe(""), follower(""), "", false},
		{"follow by malformed code", subscribe("qrscene_0"), follower("qrscene_0"), "0", true},
		{"scan", sampleScan, scanned(nil), "SCENE_VALUE", false},
		{"scan of a scene that begins with the mark", swap("SCENE_VALUE", "qrscene_7"),
			scanned(key("qrscene_7")), "qrscene_7", false},
		{"scan of a number", swap("SCENE_VALUE", "4294967295"), scanned(key("4294967295")),
			"4294967295",
			false},
		{"scan of emoji", swap("SCENE_VALUE", "店铺🏮7"), scanned(key("店铺🏮7")), "店铺🏮7", false},
		{"scan of JSON", swap("SCENE_VALUE", `{"a":"b]]","c":[1]}`),
			scanned(key(`{"a":"b]]","c":[1]}`)),
			`{"a":"b]]","c":[1]}`, false},
		{"scan of spaces", swap("SCENE_VALUE", " a b "), scanned(key(" a b ")), " a b ", false},
		{"scan without key", swap("<EventKey><![CDATA[SCENE_VALUE]]></EventKey>", ""),
			scanned(key("")),
			"", false},
		{"text", sampleText, &wechatqr.Event{
			ToUserName: "toUser", FromUserName: "fromUser", CreateTime: time.Unix(1348831860, 0),
			MsgType: "text",
			Content: "this is a test", MsgID: "1234567890123456",
		}, "", false},
		{"text with a MsgId beyond 64 bits",
			strings.Replace(sampleText, "1234567890123456", "24681357902468135790", 1),
			&wechatqr.Event{
				ToUserName: "toUser", FromUserName: "fromUser",
				CreateTime: time.Unix(1348831860, 0),
				MsgType:    "text",
				Content:    "this is a test", MsgID: "24681357902468135790",
			}, "", false},
		{"menu scan", sampleScanCode, &wechatqr.Event{
			ToUserName: "gh_e136c6e50636", FromUserName: "oMgHVjngRipVsoxg6TuX3vz6glDg",
			CreateTime: time.Unix(1408090502, 0),
			MsgType:    "event", Type: "scancode_push", EventKey: "6",
		}, "", false},
		{"menu pictures", samplePics, &wechatqr.Event{
			ToUserName: "gh_e136c6e50636", FromUserName: "oMgHVjngRipVsoxg6TuX3vz6glDg",
			CreateTime: time.Unix(1408090651, 0),
			MsgType:    "event", Type: "pic_sysphoto", EventKey: "6",
		}, "", false},
		{"an EventKey below the root's children", sampleMass, &wechatqr.Event{
			ToUserName: "gh_4d00ed8d6399", FromUserName: "oV5CrjpxgaGXNHIQigzNlgLTnwic",
			CreateTime: time.Unix(1481013459, 0),
			MsgType:    "event", Type: "MASSSENDJOBFINISH", MsgID: "1000001625",
		}, "", false},
		{"JSON", sampleJSON, &wechatqr.Event{
			ToUserName: "gh_97417a04a28d", FromUserName: testUser,
			CreateTime: time.Unix(1714112445, 0),
			MsgType:    "event", Type: "debug_demo",
		}, "", false},

		{"one line", strings.NewReplacer("\n", "", "  ", "").Replace(sampleScan), scanned(nil),
			"SCENE_VALUE", false},
		{"CRLF", strings.ReplaceAll(sampleScan, "\n", "\r\n"), scanned(nil), "SCENE_VALUE", false},
		{"tabs", strings.ReplaceAll(sampleScan, "  ", "\t\t"), scanned(nil), "SCENE_VALUE", false},
		{"space around", "\n\n " + sampleScan + "\n ", scanned(nil), "SCENE_VALUE", false},
		{"BOM", "\ufeff" + sampleScan, scanned(nil), "SCENE_VALUE", false},
		{"declaration", `<?xml version="1.0" encoding="UTF-8"?>` + "\n" + sampleScan, scanned(nil),
			"SCENE_VALUE", false},
		{"BOM and declaration", "\ufeff" + `<?xml version="1.0"?>` + sampleScan, scanned(nil),
			"SCENE_VALUE", false},
		{"comments", "<!-- a --><xml><!-- <EventKey>x</EventKey> -->" +
			strings.TrimPrefix(swap("<![CDATA[SCENE_VALUE]]>", "<!-- b --><![CDATA[SCENE_VALUE]]>"),
				"<xml>") + "<!-- c -->", scanned(nil), "SCENE_VALUE", false},
		{"no CDATA", strings.NewReplacer("<![CDATA[", "", "]]>", "").Replace(sampleScan),
			scanned(nil),
			"SCENE_VALUE", false},
		{"no CDATA, indented", strings.NewReplacer("<![CDATA[", "\n    ", "]]>",
			"\n  ").Replace(sampleScan), scanned(nil), "SCENE_VALUE", false},
		{"CDATA, indented", strings.NewReplacer("<![CDATA[", "\n    <![CDATA[", "]]>",
			"]]>\n  ").Replace(sampleScan), scanned(nil), "SCENE_VALUE", false},
		{"CDATA of spaces, indented", swap("<![CDATA[SCENE_VALUE]]>", "\n<![CDATA[ a ]]>\n"),
			scanned(key(" a ")), " a ", false},
		{"split CDATA", swap("SCENE_VALUE", "SCENE_]]><![CDATA[VALUE"), scanned(nil), "SCENE_VALUE",
			false},
		{"split CDATA for its end", swap("SCENE_VALUE", "a]]]]><![CDATA[>b"), scanned(key("a]]>b")),
			"a]]>b", false},
		{"text after CDATA", swap("SCENE_VALUE]]>", "a]]> b "), scanned(key("a b")), "a b", false},
		{"text after a comment", swap("<![CDATA[SCENE_VALUE]]>", " a<!-- - --> b"),
			scanned(key("a b")), "a b", false},
		{"an element within the key", swap("<![CDATA[SCENE_VALUE]]>", "a<b>x</b>c"),
			scanned(key("ac")), "ac", false},
		{"CDATA with brackets", swap("SCENE_VALUE", "a]b]]c"), scanned(key("a]b]]c")),
			"a]b]]c", false},
		{"entities", swap("<![CDATA[SCENE_VALUE]]>", "a&amp;b&lt;c&#x4e2d;&#25991;&quot;"),
			scanned(key(`a&b<c中文"`)), `a&b<c中文"`, false},
		{"entities in CDATA", swap("SCENE_VALUE", "a&amp;b"), scanned(key("a&amp;b")),
			"a&amp;b", false},
		{"attributes", swap("<EventKey>", `<EventKey a="1">`), scanned(nil), "SCENE_VALUE", false},
		{"a closed element", swap("<EventKey><![CDATA[SCENE_VALUE]]></EventKey>", "<EventKey/>"),
			scanned(key("")), "", false},
		{"unknown elements", swap("<MsgType>",
			"<Latitude>23.137466</Latitude><Empty></Empty><_a1><![CDATA[x]]></_a1><n><n>v</n></n><MsgType>"),
			scanned(nil), "SCENE_VALUE", false},
		{"other order", swap("<ToUserName><![CDATA[toUser]]></ToUserName>", "") + "",
			scanned(func(ev *wechatqr.Event) { ev.ToUserName = "" }), "SCENE_VALUE", false},
		{"lower case", swap("SCAN", "scan"), scanned(nil), "SCENE_VALUE", false},
		{"mixed case", swap("SCAN", "Scan"), scanned(nil), "SCENE_VALUE", false},
		{"upper case", strings.Replace(sampleSubscribeByCode, "[subscribe]", "[SUBSCRIBE]", 1),
			follower("qrscene_123123"), "123123", true},
		{"time zero", swap("123456789", "0"),
			scanned(func(ev *wechatqr.Event) { ev.CreateTime = time.Unix(0, 0) }),
			"SCENE_VALUE", false},
		{"time beyond 2038", swap("123456789", "4102444800"),
			scanned(func(ev *wechatqr.Event) { ev.CreateTime = time.Unix(4102444800, 0) }),
			"SCENE_VALUE",
			false},
		{"time of 18 digits", swap("123456789", "000000000123456789"), scanned(nil),
			"SCENE_VALUE", false},
		{"time in CDATA", swap("123456789", "<![CDATA[123456789]]>"), scanned(nil),
			"SCENE_VALUE", false},
		{"the last second there is", swap("123456789", "253402300799"),
			scanned(func(ev *wechatqr.Event) { ev.CreateTime = time.Unix(253402300799, 0) }),
			"SCENE_VALUE",
			false},
		{"15 deep",
			swap("<MsgType>", strings.Repeat("<a>", 15)+strings.Repeat("</a>", 15)+"<MsgType>"),
			scanned(nil), "SCENE_VALUE", false},

		{"JSON scan", `{"ToUserName":"toUser","FromUserName":"FromUser","CreateTime":123456789,` +
			`"MsgType":"event","Event":"scan","EventKey":"SCENE_VALUE","Ticket":"TICKET",` +
			`"More":{"EventKey":"x"},"List":[{"Ticket":1}]}`, scanned(nil), "SCENE_VALUE", false},
		{"JSON with escapes and space",
			"\ufeff\r\n {\"ToUserName\":\"toUser\" , " +
				"\"FromUserName\":\"From\\u0055ser\",\"CreateTime\":\"123456789\",\"MsgType\":\"event\",\n" +
				"\"Event\":\"SCAN\",\"EventKey\":\"SCENE_VALUE\",\"Ticket\":\"TICKET\"}\n",
			scanned(nil),
			"SCENE_VALUE", false},
		{"JSON with a number for a key",
			`{"ToUserName":"toUser","FromUserName":"FromUser","CreateTime":123456789,` +
				`"MsgType":"event","Event":"SCAN","EventKey":4294967295,"Ticket":"TICKET","MsgId":null}`,
			scanned(key("4294967295")), "4294967295", false},
		{"JSON with a time of a floating point",
			`{"ToUserName":"toUser","FromUserName":"FromUser","CreateTime":123456789.0,` +
				`"MsgType":"event","Event":"SCAN","EventKey":"SCENE_VALUE","Ticket":"TICKET"}`,
			scanned(nil), "SCENE_VALUE", false},
		{"MsgId and MsgID", swap("<MsgType>", "<MsgID>2</MsgID><MsgId>1</MsgId><MsgType>"),
			scanned(func(ev *wechatqr.Event) { ev.MsgID = "1" }), "SCENE_VALUE", false},
		{"an empty MsgId and MsgID", swap("<MsgType>", "<MsgId></MsgId><MsgID>2</MsgID><MsgType>"),
			scanned(func(ev *wechatqr.Event) { ev.MsgID = "2" }), "SCENE_VALUE", false},
		{"text with an Event", strings.Replace(sampleText, "</MsgType>",
			"</MsgType><Event>SCAN</Event><EventKey>a</EventKey>", 1), &wechatqr.Event{
			ToUserName: "toUser", FromUserName: "fromUser", CreateTime: time.Unix(1348831860, 0),
			MsgType:  "text",
			EventKey: "a", Content: "this is a test", MsgID: "1234567890123456",
		}, "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			ev, err := events.Parse([]byte(c.message))
			require.NoError(t, err)
			assert.Equal(t, c.message, string(ev.Raw))
			c.want.Raw = ev.Raw
			assert.Equal(t, c.want, ev)

			got, ok := ev.Scan()
			want := scan{}
			if c.scene != "" {
				want = scan{SceneKey: c.scene, OpenID: ev.FromUserName, Ticket: ev.Ticket,
					NewFollower: c.new,
					Time:        ev.CreateTime}
			}
			assert.Equal(t, c.scene != "", ok)
			assert.Equal(t, want, got)
			assert.Equal(t, ok, ev.Matches(wechatqr.SceneString(c.scene)))
			assert.False(t, ev.Matches(wechatqr.SceneString("something else")))
		})
	}
}

func TestParseTellsEventsApart(t *testing.T) {
	t.Parallel()
	id := func(message string) string {
		ev, err := events.Parse([]byte(message))
		require.NoError(t, err)
		return ev.ID()
	}
	assert.Equal(t, id(sampleScan), id(strings.ReplaceAll(sampleScan, "\n", "")),
		"two ways to write one event")
	assert.Equal(t, id(sampleScan), id(strings.Replace(sampleScan, "SCAN", "scan", 1)))
	seen := map[string]string{}
	for _, message := range []string{
		sampleScan, sampleSubscribe, sampleSubscribeByCode, sampleText, sampleScanCode, samplePics,
		sampleMass, sampleJSON,
		strings.Replace(sampleScan, "SCENE_VALUE", "OTHER_VALUE", 1),
		strings.Replace(sampleScan, "TICKET", "TICKET2", 1),
		strings.Replace(sampleScan, "123456789", "123456790", 1),
		strings.Replace(sampleScan, "FromUser]", "FromUser2]", 1),
		strings.Replace(sampleScan, "toUser", "toUser2", 1),
		strings.Replace(sampleText, "1234567890123456", "1234567890123457", 1),
	} {
		assert.Empty(t, seen[id(message)], message)
		seen[id(message)] = message
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	swap := func(old, with string) string { return strings.Replace(sampleScan, old, with, 1) }
	for _, c := range []struct{ name, message, reason string }{
		{"nothing", "", "empty"},
		{"white space", " \r\n\t", "empty"},
		{"a BOM", "\ufeff", "empty"},
		{"text", "hello", "neither XML nor JSON"},
		{"a form", "a=b&c=d", "neither XML nor JSON"},
		{"another root",
			strings.NewReplacer("<xml>", "<html>", "</xml>", "</html>").Replace(sampleScan),
			"<html>"},
		{"the root in capitals",
			strings.NewReplacer("<xml>", "<XML>", "</xml>", "</XML>").Replace(sampleScan), "<XML>"},
		{"a root in a namespace",
			strings.NewReplacer("<xml>", "<w:xml>", "</xml>", "</w:xml>").Replace(sampleScan),
			"root"},
		{"no root", "<!-- nothing -->", "no <xml>"},
		{"a declaration alone", `<?xml version="1.0"?>`, "no <xml>"},
		{"another encoding", `<?xml version="1.0" encoding="GB2312"?>` + sampleScan, "encoding"},
		{"truncated in a tag", sampleScan[:len(sampleScan)-3], "EOF"},
		{"truncated in CDATA", sampleScan[:strings.Index(sampleScan, "SCENE_")+3], "EOF"},
		{"truncated after an element", strings.TrimSuffix(sampleScan, "</xml>"), "EOF"},
		{"an element not closed", swap("</EventKey>", ""), "closed by"},
		{"a wrong end", swap("</EventKey>", "</EventKeys>"), "closed by"},
		{"a wrong end of an unknown element", swap("<MsgType>", "<A>x</B><MsgType>"), "closed by"},
		{"DOCTYPE", `<!DOCTYPE xml [<!ENTITY a "b">]>` + sampleScan, "DOCTYPE"},
		{"DOCTYPE within", swap("<MsgType>", "<!DOCTYPE a><MsgType>"), "DOCTYPE"},
		{"an unknown entity", swap("<![CDATA[SCENE_VALUE]]>", "&xxe;"), "entity"},
		{"16 deep",
			swap("<MsgType>", strings.Repeat("<a>", 16)+strings.Repeat("</a>", 16)+"<MsgType>"),
			"nested"},
		{"very deep", swap("<MsgType>", strings.Repeat("<a>", 10000)), "nested"},
		{"not UTF-8", swap("SCENE_VALUE", "\xd6\xd0"), "UTF-8"},
		{"a lone byte 80 of UTF-8", swap("SCENE_VALUE", "SCENE_VALUE_\x80_SCENE_VALUE"), "UTF-8"},
		{"a lone byte 9f of UTF-8",
			swap("SCENE_VALUE", strings.Repeat("SCENE", 8)+"\x9f"+strings.Repeat("SCENE", 8)),
			"UTF-8"},
		{"not UTF-8 where it does not matter",
			swap("<MsgType>", "<X><![CDATA[\xff]]></X><MsgType>"),
			"UTF-8"},
		{"a control character", swap("SCENE_VALUE", "a\x01"), "character"},
		{"a control character where it does not matter",
			swap("<MsgType>", "<X><![CDATA[\x00]]></X><MsgType>"), "character"},
		{"a forbidden character", swap("SCENE_VALUE", "a\uFFFF"), "character"},
		{"no FromUserName", swap("<FromUserName><![CDATA[FromUser]]></FromUserName>", ""),
			"FromUserName is missing"},
		{"an empty FromUserName", swap("[FromUser]", "[]"), "FromUserName is missing"},
		{"FromUserName deeper only",
			swap("<FromUserName><![CDATA[FromUser]]></FromUserName>",
				"<a><FromUserName>x</FromUserName></a>"), "FromUserName is missing"},
		{"FromUserName in a namespace",
			strings.ReplaceAll(sampleScan, "FromUserName", "a:FromUserName"),
			"FromUserName is missing"},
		{"a sealed envelope", "<xml><ToUserName><![CDATA[a]]></ToUserName>" +
			"<Encrypt><![CDATA[b]]></Encrypt></xml>", "still encrypted"},
		{"no CreateTime", swap("<CreateTime>123456789</CreateTime>", ""), "CreateTime is missing"},
		{"an empty CreateTime", swap("123456789", ""), "CreateTime is missing"},
		{"CreateTime that is no number", swap("123456789", "today"), `CreateTime "today"`},
		{"CreateTime with a fraction", swap("123456789", "123.5"), "CreateTime"},
		{"CreateTime with a little fraction", swap("123456789", "123.001"), "CreateTime"},
		{"CreateTime that ends with a point", swap("123456789", "123."), "CreateTime"},
		{"CreateTime that begins with a point", swap("123456789", ".0"), "CreateTime"},
		{"CreateTime with two points", swap("123456789", "1.0.0"), "CreateTime"},
		{"MsgID twice", swap("<MsgType>", "<MsgID>1</MsgID><MsgID>2</MsgID><MsgType>"),
			"MsgID occurs twice"},
		{"CreateTime with a sign", swap("123456789", "-1"), "CreateTime"},
		{"CreateTime in hexadecimal", swap("123456789", "0x12"), "CreateTime"},
		{"CreateTime beyond the calendar", swap("123456789", "253402300800"), "CreateTime"},
		{"CreateTime beyond 64 bits", swap("123456789", "99999999999999999999"), "CreateTime"},
		{"CreateTime of 19 digits", swap("123456789", "0000000000123456789"), "CreateTime"},
		{"EventKey twice", swap("</EventKey>", "</EventKey><EventKey>x</EventKey>"),
			"EventKey occurs twice"},
		{"trailing text", sampleScan + "x", "outside"},
		{"trailing CDATA", sampleScan + "<![CDATA[]]>", "outside"},
		{"a second root", sampleScan + sampleScan, "after </xml>"},
		{"leading text", "x" + sampleScan, "neither"},
		{"JSON that is no object", `["a"]`, "neither"},
		{"JSON truncated", sampleJSON[:len(sampleJSON)-1], "unexpected end"},
		{"JSON truncated in a value", sampleJSON[:40], "unexpected end"},
		{"JSON with a stray comma", `{"FromUserName":"a",}`, "invalid character"},
		{"JSON with trailing data", sampleJSON + "{}", "after top-level value"},
		{"JSON with trailing text", sampleJSON + "x", "after top-level value"},
		{"JSON with a key twice",
			strings.Replace(sampleJSON, `"MsgType"`, `"CreateTime":1,"MsgType"`, 1),
			"CreateTime occurs twice"},
		{"JSON with an object for a key", strings.Replace(sampleJSON, `"event"`, `{}`, 1),
			"MsgType is neither"},
		{"JSON with a list for a key", strings.Replace(sampleJSON, `"event"`, `["event"]`, 1),
			"MsgType is neither"},
		{"JSON with a truth for a key", strings.Replace(sampleJSON, `"event"`, `true`, 1),
			"MsgType is neither"},
		{"JSON with a fraction of a second", strings.Replace(sampleJSON, "1714112445", "1.5e9", 1),
			"CreateTime"},
		{"JSON not UTF-8", strings.Replace(sampleJSON, "hello", "\xff", 1), "UTF-8"},
		{"JSON in other letter case",
			strings.Replace(sampleJSON, "FromUserName", "fromusername", 1),
			"FromUserName is missing"},
		{"JSON nested very deep", `{"a":` + strings.Repeat("[", 20000), "depth"},
		{"the probe of cloud hosting", `{"action":"CheckContainerPath"}`,
			"FromUserName is missing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			ev, err := events.Parse([]byte(c.message))
			require.ErrorIs(t, err, events.ErrMalformed)
			assert.ErrorContains(t, err, c.reason)
			assert.Nil(t, ev)
		})
	}
}

func TestParseAllocates(t *testing.T) {
	message := []byte(scanPush("shop-7"))
	n := testing.AllocsPerRun(100, func() {
		if _, err := events.Parse(message); err != nil {
			t.Error(err)
		}
	})
	assert.LessOrEqual(t, n, 2.0, "the Event and one string")
}

// What was parsed does not change when the buffer it came from is used again,
// but for Raw, which says so.
func TestParseCopiesText(t *testing.T) {
	t.Parallel()
	message := []byte(sampleScan)
	ev, err := events.Parse(message)
	require.NoError(t, err)
	clear := func(b []byte) {
		for i := range b {
			b[i] = 'x'
		}
	}
	clear(message)
	want := scanned(nil)
	want.Raw = message
	assert.Equal(t, want, ev)
}
