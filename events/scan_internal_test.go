package events

import (
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// FuzzScan holds the fast reader against the one built on encoding/xml: what
// the first accepts the second reads alike.
func FuzzScan(f *testing.F) {
	const head = "<xml><FromUserName><![CDATA[a]]></FromUserName><CreateTime>1</CreateTime>"
	for _, s := range []string{
		"", "<xml></xml>", head + "</xml>", head + "</xml> \n", head + "</xml>x",
		head + "</xml><xml></xml>",
		head + "<EventKey></EventKey></xml>", head + "<EventKey/></xml>",
		head + "<EventKey><![CDATA[]]></EventKey></xml>",
		head + "<EventKey><![CDATA[a]b]]c]]></EventKey></xml>",
		head + "<EventKey><![CDATA[a]]]]><![CDATA[>]]></EventKey></xml>",
		head + "<EventKey>a&amp;b</EventKey></xml>", head + "<EventKey> a </EventKey></xml>",
		head + "<EventKey>a]]></EventKey></xml>",
		head + "<EventKey>\n<![CDATA[ a\tb\nc ]]>\n</EventKey></xml>",
		head + "<EventKey><![CDATA[a\r\nb]]></EventKey></xml>",
		head + "<EventKey><![CDATA[店铺🏮\uFFFD7]]></EventKey></xml>",
		head + "<EventKey><![CDATA[\uFFFE]]></EventKey></xml>",
		head + "<EventKey><![CDATA[\xff]]></EventKey></xml>",
		head + "<EventKey><![CDATA[\x7f]]></EventKey></xml>",
		head + "<a.b>c</a.b><1>2</1><_>3</_><a:b>4</a:b><é>5</é></xml>",
		head + "<n><Ticket>x</Ticket></n></xml>",
		head + "<Ticket a='b'>c</Ticket><!-- d --></xml>",
		head + "<CreateTime>2</CreateTime></xml>",
		"<?xml version='1.0'?>" + head + "</xml>",
		head + "<Content><![CDATA[" + strings.Repeat("0123456789abcdef", 5) +
			"]]></Content><xml>v</xml></xml>",
		"<xml><ToUserName><![CDATA[" + strings.Repeat("0", 32),
		"<xml><ToUserName><![CDATA[" + strings.Repeat("0", 8),
		"<xml><ToUserName><![CDATA[" + strings.Repeat("0", 33) + "]]",
		head + "<Content><![CDATA[" + strings.Repeat("0123456789abcdef", 5) +
			"\x1f]]></Content></xml>",
		head + "<Content><![CDATA[" + strings.Repeat("0123456789abcde]", 5) +
			"中]]></Content></xml>",
		head + "<EventKey><![CDATA[a]x>b]]></EventKey></xml>",
		head + "<EventKey><![CDATA[a]]x]]></EventKey></xml>",
		head + "<EventKey><![CDATA[]]]></EventKey></xml>",
		head + "<EventKey><![CDATA[a]]", head + "<EventKey><![CDATA[a]",
		head + "<EventKey><![CDATA[a",
		head + "<EventKey>1&</EventKey></xml>", head + "<EventKey> 1</EventKey></xml>",
		head + "<EventKey>1 </EventKey></xml>", head + "<EventKey>1",
		head + "<EventKey>1<b/></EventKey></xml>",
		head + "<EventKey>1</Event></xml>", head + "<EventKey>1EventKey></xml>",
		head + "<EventKey>1<xEventKey></xml>", head + "xEventKey>1</EventKey></xml>",
		`{"FromUserName":"a","CreateTime":1.0}`, head + "<MsgID>1</MsgID><MsgId>2</MsgId></xml>",
		`{"FromUserName":"\ud800","CreateTime":"1","Ticket":{"a":[1]}}`, "\ufeff" + head + "</xml>",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		if ev, err := Parse(message); err != nil {
			require.ErrorIs(t, err, ErrMalformed)
		} else {
			require.NotEmpty(t, ev.FromUserName)
			require.NotEmpty(t, ev.ID())
		}
		var fast, slow fields
		if !fast.scanFast(message, elementCount) {
			return
		}
		require.True(t, utf8.Valid(message))
		require.NoError(t, slow.scanXML(message))
		for e := range elementCount {
			require.Equal(t, slow[e], fast[e], elements[e].name)
		}
	})
}

// What WeChat sends takes the fast way.
func TestScanFast(t *testing.T) {
	t.Parallel()
	for _, message := range []string{
		"<xml><ToUserName><![CDATA[toUser]]></ToUserName><CreateTime>1234567890</CreateTime></xml>",
		"<xml>\n  <ToUserName><![CDATA[toUser]]></ToUserName>\n  " +
			"<CreateTime>1234567890</CreateTime>\n</xml>\n",
		"<xml>\r\n\t<ToUserName><![CDATA[toUser]]></ToUserName>\r\n\t" +
			"<CreateTime>1234567890</CreateTime>\r\n</xml>\r\n",
		"<xml><EventKey><![CDATA[]]></EventKey><Content><![CDATA[多行\n文字 🏮]]></Content></xml>",
		"<xml><ToUserName><![CDATA[a]]></ToUserName><Encrypt><![CDATA[" +
			strings.Repeat("abcd+/", 100) +
			"==]]></Encrypt></xml>",
	} {
		assert.True(t, new(fields).scanFast([]byte(message), elementCount), message)
	}
}

// What is no tag, or ends early, is left to encoding/xml.
func TestScanFastRefuses(t *testing.T) {
	t.Parallel()
	for _, message := range []string{
		"", "<xml>", "<xml><", "<xml></", "<xml><ToUserName", "<xml><ToUserName>",
		"<xml>xToUserName>1</ToUserName></xml>", "<xml>ToUserName>1</ToUserName></xml>",
		"<xml><ToUserName>1", "<xml><ToUserName>1<", "<xml><ToUserName>1</",
		"<xml><ToUserName>1ToUserName></xml>", "<xml><ToUserName>1<ToUserName></xml>",
		"<xml><ToUserName>1x/ToUserName></xml>", "<xml><ToUserName>1<xToUserName></xml>",
		"<xml><ToUserName>1</FromUserName></xml>", "<xml><ToUserName>1x</ToUserName></xml>",
		"<xml><ToUserName>1</ToUserName>", "<xml><ToUserName>1</ToUserName></xml",
		"<xml>xToUserName><![CDATA[1]]></ToUserName></xml>",
		"<abc><ToUserName><![CDATA[1]]></ToUserName></xml>", "<xml><EventKey><![CDATA[1",
		"<xml><EventKey><![CDATA[a]b]]></EventKey></xml>",
		"<xml><ToUserName><![CDATA[1", "<xml><ToUserName><![CDATA[1]]></",
		"<xml><ToUserName><![CDATA[1]]>ToUserName></xml>",
		"<xml><ToUserName><![CDATA[1]]></FromUserName></xml>",
		"<xml><ToUserName><![CDATA[1]]></ToUserName>",
		"<xml><ToUserName><![CDATA[1]]></ToUserName></xml",
		"<xml><ToUserName><![CDATA[1]]></ToUserName></xml>1",
		"<ToUserName><![CDATA[1]]></ToUserName></xml>",
		"<xml><ToUserName><![CDATA[1]]x></ToUserName></xml>",
		"<xml><ToUserName><![CDATA[1]]>x]]></ToUserName></xml>",
		"<xml><ToUserName>1</ToUserName></xml>",
		"<xml><ToUserName>]]></ToUserName></xml>", "<xml><CreateTime>1a</CreateTime></xml>",
		"<xml><CreateTime>1<CreateTime></xml>", "<xml><CreateTime>",
		"<xml><Ticket><![CDATA[1]]></Ticket><Event><![CDATA[1]]></Event></xml>",
		"<xml><Event><![CDATA[1]]></Event><Event><![CDATA[1]]></Event></xml>",
		"<xml><EventKey><![CDATA[a]x></EventKey></xml>",
		"<xml><EventKey><![CDATA[a]]x</EventKey></xml>",
		"<xml><Ticket>1</Ticket><Event>1</Event></xml>",
		"<xml><Event>1</Event><Event>1</Event></xml>",
		"<ToUserName>1</ToUserName></xml>", "<xml><ToUserName>1</ToUserName></xml>1",
	} {
		assert.False(t, new(fields).scanFast([]byte(message), elementCount), message)
	}

	// Up to the last element that is wanted.
	for message, want := range map[string]bool{
		"<ToUserName><![CDATA[1]]></ToUserName>":        false,
		"<xml><ToUserName><![CDATA[1]]></FromUserName>": false,
		"<xml><ToUserName><![CDATA[1]]></ToUserName>":   true,
	} {
		assert.Equal(t, want, new(fields).scanFast([]byte(message), elementToUserName), message)
	}
}

func TestQueryOfEmptyList(t *testing.T) {
	t.Parallel()
	q, err := queryOf(url.Values{"nonce": nil, "timestamp": {"1"}})
	require.NoError(t, err)
	assert.Equal(t, query{timestamp: "1"}, q)
}

// FuzzQuery holds the scanner against net/url.
func FuzzQuery(f *testing.F) {
	for _, s := range []string{
		"", "&&", "=", "signature=a&timestamp=1&nonce=2&echostr=3&encrypt_type=aes&" +
			"msg_signature=b&openid=c",
		"nonce=a%20b+c", "nonce=a+b", "+=1&nonce=a+b", "%6eonce=a", "nonce=%zz", "%zz=1",
		"nonce=a&nonce=b", "nonce=a&%6eonce=b", "nonce&nonce", "nonce==&a;b=c",
		"openid=%zz&nonce=1",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		got, err := parseQuery(raw)
		if strings.Contains(raw, ";") {
			return // net/url drops the pair, which would hide a repetition
		}
		values, parseErr := url.ParseQuery(raw)
		want, wantErr := queryOf(values)
		if parseErr != nil || wantErr != nil {
			require.ErrorIs(t, err, ErrMalformed)
			return
		}
		require.NoError(t, err)
		require.Equal(t, want, got)
	})
}
