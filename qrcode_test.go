package wechatqr_test

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
)

// doer is a RoundTripper of one function.
type doer func(*http.Request) (*http.Response, error)

func (f doer) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func answer(status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{},
		Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body))}
}

// withToken makes a client whose calls meet f, and whose token is "TOKEN".
func withToken(t testing.TB, f doer, opts ...wechatqr.Option) *wechatqr.Client {
	t.Helper()
	c, err := wechatqr.New(wechatqr.Credentials{}, append([]wechatqr.Option{
		wechatqr.WithTokenSource(wechatqr.StaticTokenSource("TOKEN")),
		wechatqr.WithHTTPClient(&http.Client{Transport: f}),
	}, opts...)...)
	require.NoError(t, err)
	return c
}

const created = `{"ticket":"gQH47joAAAAAAAAAASxodHRwOi8vd2VpeGluLnFxLmNvbS9xL2taZ2Z3TVRtNzJXV1Brb3ZhYmJJAAIEZ23sUwMEmm3sUw==","expire_seconds":60,"url":"http:\/\/weixin.qq.com\/q\/kZgfwMTm72WWPkovabbI"}`

func TestCreateTicketBodies(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		req  wechatqr.TicketRequest
		body string
	}{
		// The four of WeChat's page, to the byte.
		{"QR_SCENE", wechatqr.Temporary(wechatqr.SceneID(123), 604800*time.Second),
			`{"expire_seconds": 604800, "action_name": "QR_SCENE", "action_info": {"scene": {"scene_id": 123}}}`},
		{"QR_STR_SCENE", wechatqr.Temporary(wechatqr.SceneString("test"), 604800*time.Second),
			`{"expire_seconds": 604800, "action_name": "QR_STR_SCENE", "action_info": {"scene": {"scene_str": "test"}}}`},
		{"QR_LIMIT_SCENE", wechatqr.Permanent(wechatqr.SceneID(123)),
			`{"action_name": "QR_LIMIT_SCENE", "action_info": {"scene": {"scene_id": 123}}}`},
		{"QR_LIMIT_STR_SCENE", wechatqr.Permanent(wechatqr.SceneString("test")),
			`{"action_name": "QR_LIMIT_STR_SCENE", "action_info": {"scene": {"scene_str": "test"}}}`},
		{"the largest number", wechatqr.Temporary(wechatqr.SceneID(1<<32-1), time.Second),
			`{"expire_seconds": 1, "action_name": "QR_SCENE", "action_info": {"scene": {"scene_id": 4294967295}}}`},
		{"nothing is escaped", wechatqr.Permanent(wechatqr.SceneString("渠道=北京&a<b>😀/")),
			`{"action_name": "QR_LIMIT_STR_SCENE", "action_info": {"scene": {"scene_str": "渠道=北京&a<b>😀/"}}}`},
		{"but what JSON must", wechatqr.Permanent(wechatqr.SceneString(`{"a":"\"}`)),
			`{"action_name": "QR_LIMIT_STR_SCENE", "action_info": {"scene": {"scene_str": "{\"a\":\"\\\"}"}}}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := withToken(t, func(r *http.Request) (*http.Response, error) {
				assert.Equal(t, "POST", r.Method)
				assert.Equal(t,
					"https://api.weixin.qq.com/cgi-bin/qrcode/create?access_token=TOKEN",
					r.URL.String())
				assert.Equal(t, "application/json", r.Header.Get("Content-Type"))
				body, err := io.ReadAll(r.Body)
				assert.NoError(t, err)
				assert.Equal(t, tt.body, string(body))
				assert.EqualValues(t, len(tt.body), r.ContentLength)
				return answer(200, created), nil
			})
			_, err := c.CreateTicket(t.Context(), tt.req)
			require.NoError(t, err)
		})
	}
}

func TestCreateTicketLimits(t *testing.T) {
	t.Parallel()
	text := func(n int) wechatqr.Scene { return wechatqr.SceneString(strings.Repeat("x", n)) }
	ok := wechatqr.SceneString("ok")
	for _, tt := range []struct {
		name string
		req  wechatqr.TicketRequest
		want string // in the error; empty: it is sent
	}{
		{"zero request", wechatqr.TicketRequest{}, "scene is empty"},
		{"zero scene", wechatqr.Permanent(wechatqr.Scene{}), "scene is empty"},
		{"id 0", wechatqr.Temporary(wechatqr.SceneID(0), time.Hour), "scene is empty"},
		{"id 1", wechatqr.Temporary(wechatqr.SceneID(1), time.Hour), ""},
		{"permanent id 1", wechatqr.Permanent(wechatqr.SceneID(1)), ""},
		{"permanent id 100000", wechatqr.Permanent(wechatqr.SceneID(100_000)), ""},
		{"permanent id 100001", wechatqr.Permanent(wechatqr.SceneID(100_001)), "at most 100000"},
		{"temporary id 100001", wechatqr.Temporary(wechatqr.SceneID(100_001), time.Hour), ""},
		{"text of 0", wechatqr.Permanent(wechatqr.SceneString("")), "scene is empty"},
		{"text of 1", wechatqr.Permanent(text(1)), ""},
		{"text of 64", wechatqr.Permanent(text(64)), ""},
		{"text of 65", wechatqr.Permanent(text(65)), "65 bytes"},
		{"text of 65 on a temporary code", wechatqr.Temporary(text(65), time.Hour), "65 bytes"},
		{"21 Chinese characters and 1 byte",
			wechatqr.Permanent(wechatqr.SceneString(strings.Repeat("店", 21) + "1")), ""},
		{"22 Chinese characters", wechatqr.Permanent(wechatqr.SceneString(strings.Repeat("店", 22))),
			"66 bytes"},
		{"not UTF-8", wechatqr.Permanent(wechatqr.SceneString("a\xff")), "UTF-8"},
		{"replacement character", wechatqr.Permanent(wechatqr.SceneString("\uFFFD")), ""},
		{"NUL", wechatqr.Permanent(wechatqr.SceneString("a\x00")), "U+0000"},
		{"line feed", wechatqr.Permanent(wechatqr.SceneString("a\n")), "U+000A"},
		{"space", wechatqr.Permanent(wechatqr.SceneString("a b")), ""},
		{"DEL", wechatqr.Permanent(wechatqr.SceneString("\x7f")), "U+007F"},
		{"tilde", wechatqr.Permanent(wechatqr.SceneString("~")), ""},
		{"C1", wechatqr.Permanent(wechatqr.SceneString("\u0085")), "U+0085"},
		{"U+2027", wechatqr.Permanent(wechatqr.SceneString("\u2027")), ""},
		{"U+2028", wechatqr.Permanent(wechatqr.SceneString("\u2028")), "U+2028"},
		{"U+2029", wechatqr.Permanent(wechatqr.SceneString("\u2029")), "U+2029"},
		{"U+202A", wechatqr.Permanent(wechatqr.SceneString("\u202A")), ""},
		{"U+FFFE", wechatqr.Permanent(wechatqr.SceneString("\uFFFE")), "U+FFFE"},
		{"U+FFFF", wechatqr.Permanent(wechatqr.SceneString("\uFFFF")), "U+FFFF"},
		{"end of CDATA", wechatqr.Permanent(wechatqr.SceneString("a]]>b")), "]]>"},
		{"not quite the end of CDATA", wechatqr.Permanent(wechatqr.SceneString("a]]b>")), ""},
		{"ttl 0", wechatqr.Temporary(ok, 0), "not 0s: write 300*time.Second"},
		{"ttl 1 ns below", wechatqr.Temporary(ok, time.Second-1), "lives from"},
		{"ttl without a unit", wechatqr.Temporary(ok, 300), "not 300ns: write 300*time.Second"},
		{"ttl 1 s", wechatqr.Temporary(ok, time.Second), ""},
		{"ttl 30 d", wechatqr.Temporary(ok, 30*24*time.Hour), ""},
		{"ttl 30 d and 1 s", wechatqr.Temporary(ok, 30*24*time.Hour+time.Second), "lives from"},
		{"ttl 1.5 s", wechatqr.Temporary(ok, 1500*time.Millisecond), "whole seconds"},
		{"ttl negative", wechatqr.Temporary(ok, -time.Hour), "lives from"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			calls := 0
			c := withToken(t, func(*http.Request) (*http.Response, error) {
				calls++
				return answer(200, created), nil
			})
			ticket, err := c.CreateTicket(t.Context(), tt.req)
			if tt.want == "" {
				require.NoError(t, err)
				require.NoError(t, tt.req.Validate())
				assert.Equal(t, 1, calls)
				return
			}
			for _, err := range []error{err, tt.req.Validate()} {
				require.ErrorIs(t, err, wechatqr.ErrInvalidArgument)
				assert.ErrorContains(t, err, tt.want)
				ttl := strings.HasPrefix(tt.name, "ttl")
				assert.Equal(t, !ttl, errors.Is(err, wechatqr.ErrInvalidScene), err)
			}
			assert.ErrorContains(t, err, "wechatqr: create ticket: ")
			assert.Nil(t, ticket)
			assert.Zero(t, calls, "nothing is sent")
		})
	}
}

func TestCreateTicketAnswers(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, body string
		status     int
		kind       error
		text       string
	}{
		{"no ticket", `{"url":"http://weixin.qq.com/q/x"}`, 200, wechatqr.ErrUnexpectedResponse,
			"lacks ticket or url"},
		{"no url", `{"ticket":"x"}`, 200, wechatqr.ErrUnexpectedResponse, "lacks ticket or url"},
		{"errcode 0 alone", `{"errcode":0,"errmsg":"ok"}`, 200, wechatqr.ErrUnexpectedResponse,
			"lacks ticket or url"},
		{"errcode beside a ticket",
			`{"errcode":45029,"errmsg":"qrcode count out of limit","ticket":"x","url":"y"}`, 200,
			wechatqr.ErrPermanentLimit, "45029"},
		{"an address for a ticket", `{"ticket":"http://weixin.qq.com/q/x","url":"y"}`, 200,
			wechatqr.ErrUnexpectedResponse, "a ticket that is none"},
		{"a ticket in two words", `{"ticket":"a b","url":"y"}`, 200, wechatqr.ErrUnexpectedResponse,
			"a ticket that is none"},
		{"ticket a number", `{"ticket":1,"url":"y"}`, 200, wechatqr.ErrUnexpectedResponse,
			"ticket"},
		{"errmsg a number", `{"errcode":48001,"errmsg":7}`, 200, wechatqr.ErrNotPermitted, "48001"},
		{"errcode a string", `{"errcode":"40001","errmsg":"x"}`, 200,
			wechatqr.ErrUnexpectedResponse, "errcode is no number"},
		{"HTML", `<html><title>Log in to the Wi-Fi</title></html>`, 200,
			wechatqr.ErrUnexpectedResponse, "Log in to the Wi-Fi"},
		{"truncated JSON", created[:50], 200, wechatqr.ErrUnexpectedResponse, "no JSON"},
		{"trailing data", created + "x", 200, wechatqr.ErrUnexpectedResponse, "no JSON"},
		{"an array", `[]`, 200, wechatqr.ErrUnexpectedResponse, "no JSON object"},
		{"empty", ``, 200, wechatqr.ErrUnexpectedResponse, "no JSON"},
		{"redirect", ``, 302, wechatqr.ErrUnexpectedResponse, "redirect"},
		{"404", `not here`, 404, wechatqr.ErrUnexpectedResponse, "HTTP 404"},
		{"429", ``, 429, wechatqr.ErrRateLimited, "HTTP 429"},
		{"500 with an errcode", `{"errcode":48001,"errmsg":"api unauthorized"}`, 500,
			wechatqr.ErrNotPermitted, "48001"},
		{"too large", strings.Repeat(" ", 1<<20) + created, 200, wechatqr.ErrUnexpectedResponse,
			"larger than 1024 KiB"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := withToken(t, func(*http.Request) (*http.Response,
				error) {
				return answer(tt.status, tt.body), nil
			}, wechatqr.WithMaxRetries(0))
			ticket, err := c.CreateTicket(t.Context(), wechatqr.Permanent(wechatqr.SceneID(1)))
			require.ErrorIs(t, err, tt.kind)
			assert.ErrorContains(t, err, "wechatqr: create ticket: ")
			assert.ErrorContains(t, err, tt.text)
			assert.Nil(t, ticket)
			var e *wechatqr.Error
			require.ErrorAs(t, err, &e)
			assert.Equal(t, tt.status, e.StatusCode)
		})
	}
}

func TestAnswerOfOneMiBIsTaken(t *testing.T) {
	t.Parallel()
	body := strings.Repeat(" ", 1<<20-len(created)) + created
	c := withToken(t, func(*http.Request) (*http.Response, error) { return answer(200, body), nil })
	_, err := c.CreateTicket(t.Context(), wechatqr.Permanent(wechatqr.SceneID(1)))
	require.NoError(t, err)
}

func TestTicket(t *testing.T) {
	t.Parallel()
	c := withToken(t, func(*http.Request) (*http.Response, error) {
		return answer(200, created),
			nil
	})
	before := time.Now()
	temporary, err := c.CreateTicket(t.Context(),
		wechatqr.Temporary(wechatqr.SceneString("渠道=北京&a<b"), time.Hour))
	require.NoError(t, err)
	permanent, err := c.CreateTicket(t.Context(), wechatqr.Permanent(wechatqr.SceneID(7)))
	require.NoError(t, err)
	odd := withToken(t, func(*http.Request) (*http.Response, error) {
		return answer(200, `{"ticket":"T","url":"U","scene":7,"expires_at":1700000000}`), nil
	})
	unharmed, err := odd.CreateTicket(t.Context(), wechatqr.Permanent(wechatqr.SceneID(7)))
	require.NoError(t, err, "fields that WeChat may add cost no code")
	assert.Equal(t, wechatqr.Ticket{Value: "T", Content: "U", Scene: wechatqr.SceneID(7)},
		*unharmed)

	assert.Equal(t, "http://weixin.qq.com/q/kZgfwMTm72WWPkovabbI", temporary.Content)
	assert.True(t, strings.HasPrefix(temporary.Value, "gQH47joA"))
	assert.WithinRange(t, temporary.ExpiresAt, before.Add(time.Hour).Round(0),
		time.Now().Add(time.Hour), "from the request, not from the answer's 60 s")
	assert.False(t, temporary.Permanent())
	assert.False(t, temporary.Expired(temporary.ExpiresAt.Add(-1)))
	assert.True(t, temporary.Expired(temporary.ExpiresAt))
	assert.True(t, permanent.Permanent())
	assert.False(t, permanent.Expired(time.Now().AddDate(100, 0, 0)))

	for _, ticket := range []*wechatqr.Ticket{temporary, permanent} {
		b, err := json.Marshal(ticket)
		require.NoError(t, err)
		var back wechatqr.Ticket
		require.NoError(t, json.Unmarshal(b, &back))
		assert.True(t, ticket.ExpiresAt.Equal(back.ExpiresAt))
		back.ExpiresAt = ticket.ExpiresAt
		assert.Equal(t, *ticket, back)
	}
	b, err := json.Marshal(permanent)
	require.NoError(t, err)
	assert.JSONEq(t,
		`{"ticket":"`+permanent.Value+`","url":"`+permanent.Content+`","scene":{"scene_id":7}}`,
		string(b))
}

func TestSceneJSON(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]wechatqr.Scene{
		`{"scene_id":4294967295}`: wechatqr.SceneID(1<<32 - 1),
		`{"scene_str":"7"}`:       wechatqr.SceneString("7"),
		`{}`:                      {},
	} {
		var got wechatqr.Scene
		require.NoError(t, json.Unmarshal([]byte(in), &got))
		assert.Equal(t, want, got)
		b, err := json.Marshal(got)
		require.NoError(t, err)
		assert.Equal(t, in, string(b))
	}
	for _, in := range []string{`{"scene_id":4294967296}`, `{"scene_id":-1}`,
		`{"scene_id":1,"scene_str":"1"}`, `"7"`} {
		assert.Error(t, json.Unmarshal([]byte(in), new(wechatqr.Scene)), in)
	}
	assert.NotEqual(t, wechatqr.SceneID(7), wechatqr.SceneString("7"))
	assert.Equal(t, wechatqr.SceneID(7).Key(), fmt.Sprint(wechatqr.SceneString("7")))
}

// jpeg and png are the headers of pictures of 430 × 430, up to the size.
var (
	jpeg = []byte("\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00" +
		"\xff\xc0\x00\x0b\x08\x01\xae\x01\xae\x01\x01\x11\x00 and so on")
	png = []byte(
		"\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR\x00\x00\x01\xae\x00\x00\x01\xae\x01\x00\x00\x00\x00…")
)

// Cut off anywhere, or with any byte changed, a header does not make the check panic.
func FuzzPicture(f *testing.F) {
	for _, b := range [][]byte{jpeg, png, []byte("GIF89a\xae\x01\xae\x01"),
		[]byte("\xff\xd8\xff\xff\xff\xc4\x00\x02\xff\xc2")} {
		f.Add(b)
	}
	var picture []byte
	c := withToken(f, func(*http.Request) (*http.Response,
		error) {
		return answer(200, string(picture)), nil
	})
	f.Fuzz(func(t *testing.T, b []byte) {
		picture = b
		code, err := c.FetchQRCode(t.Context(), "gQ")
		if err == nil {
			require.Equal(t, b, code.Data)
			require.NotEmpty(t, code.Extension())
		}
	})
}

func TestFetchQRCode(t *testing.T) {
	t.Parallel()
	const ticket = "gQH+7/joAA=="
	for _, tt := range []struct {
		name, header, body string
		status             int
		kind               error
		text, contentType  string
	}{
		{"JPEG", "image/jpg", string(jpeg), 200, nil, "", "image/jpeg"},
		{"PNG, called JPEG", "image/jpg", string(png), 200, nil, "", "image/png"},
		{"no header", "", string(jpeg), 200, nil, "", "image/jpeg"},
		{"JPEG with its tables first", "",
			"\xff\xd8\xff\xff\xc4\x00\x0b\x00\x00\x00\x00\x00\x00\x00\x00\x00" + string(jpeg[20:]),
			200, nil, "", "image/jpeg"},
		{"JPEG up to its size", "", string(jpeg[:29]), 200, nil, "", "image/jpeg"},
		{"PNG up to its size", "", string(png[:24]), 200, nil, "", "image/png"},
		{"GIF", "", "GIF89a\xae\x01\xae\x01", 200, nil, "", "image/gif"},
		{"GIF of 1987", "", "GIF87a\xae\x01\xae\x01", 200, nil, "", "image/gif"},
		{"JPEG cut off in its size", "", string(jpeg[:28]), 200, wechatqr.ErrUnexpectedResponse,
			"no picture", ""},
		{"JPEG without its first byte", "", "\x00" + string(jpeg[1:]), 200,
			wechatqr.ErrUnexpectedResponse, "no picture", ""},
		{"JPEG without its second byte", "", "\xff\x00" + string(jpeg[2:]), 200,
			wechatqr.ErrUnexpectedResponse, "no picture", ""},
		{"JPEG whose segment ends elsewhere", "",
			strings.Replace(string(jpeg), "\xff\xc0", "\x00\xc0", 1), 200,
			wechatqr.ErrUnexpectedResponse, "no picture", ""},
		{"JPEG of no width", "",
			strings.Replace(string(jpeg), "\x01\xae\x01\xae", "\x01\xae\x00\x00", 1), 200,
			wechatqr.ErrUnexpectedResponse, "no picture", ""},
		{"PNG of no height", "", strings.Replace(string(png), "\x01\xae\x01", "\x00\x00\x01", 1),
			200, wechatqr.ErrUnexpectedResponse, "no picture", ""},
		{"PNG cut off in its size", "", string(png[:23]), 200, wechatqr.ErrUnexpectedResponse,
			"no picture", ""},
		{"PNG of another signature", "", strings.Replace(string(png), "\r\n", "\n\n", 1), 200,
			wechatqr.ErrUnexpectedResponse, "no picture", ""},
		{"PNG without IHDR", "", strings.Replace(string(png), "IHDR", "IDAT", 1), 200,
			wechatqr.ErrUnexpectedResponse, "no picture", ""},
		{"GIF of no height", "", "GIF89a\x01\x00\x00\x00", 200, wechatqr.ErrUnexpectedResponse,
			"no picture", ""},
		{"JPEG of three bytes", "image/jpg", "\xff\xd8\xff", 200, wechatqr.ErrUnexpectedResponse,
			"no picture", ""},
		{"JPEG cut off in a segment", "image/jpg", "\xff\xd8\xff\xe0\xff\xff\x00\x00", 200,
			wechatqr.ErrUnexpectedResponse, "no picture", ""},
		{"JPEG without a size", "image/jpg", string(jpeg[:20]), 200, wechatqr.ErrUnexpectedResponse,
			"no picture", ""},
		{"JPEG of no height", "image/jpg",
			strings.Replace(string(jpeg), "\x08\x01\xae", "\x08\x00\x00", 1), 200,
			wechatqr.ErrUnexpectedResponse, "no picture", ""},
		{"PNG of no width", "image/jpg",
			strings.Replace(string(png), "IHDR\x00\x00\x01\xae", "IHDR\x00\x00\x00\x00", 1), 200,
			wechatqr.ErrUnexpectedResponse, "no picture", ""},
		{"PNG's first bytes", "image/jpg", string(png[:16]), 200, wechatqr.ErrUnexpectedResponse,
			"no picture", ""},
		{"GIF's first bytes", "image/jpg", "GIF89a", 200, wechatqr.ErrUnexpectedResponse,
			"no picture", ""},
		{"GIF of no width", "image/jpg", "GIF89a\x00\x00\x01\x00", 200,
			wechatqr.ErrUnexpectedResponse, "no picture", ""},
		{"a text like a bitmap", "image/jpg", "BM is under maintenance", 200,
			wechatqr.ErrUnexpectedResponse, "BM is under maintenance", ""},
		{"404", "text/html", "<html>", 404, wechatqr.ErrTicketNotFound, "does not know the ticket",
			""},
		{"HTML called a picture", "image/jpg", "<html>try later", 200,
			wechatqr.ErrUnexpectedResponse, "try later", ""},
		{"empty", "image/jpg", "", 200, wechatqr.ErrUnexpectedResponse, "no picture", ""},
		{"JSON error", "text/plain", `{"errcode":-1,"errmsg":"system error"}`, 200,
			wechatqr.ErrBusy, "system error", ""},
		{"JSON without one", "text/plain", `{"a":1}`, 200, wechatqr.ErrUnexpectedResponse,
			"no picture", ""},
		{"SVG", "image/svg+xml", `<svg xmlns="http://www.w3.org/2000/svg"/>`, 200,
			wechatqr.ErrUnexpectedResponse, "no picture", ""},
		{"a picture at 500", "image/jpg", string(jpeg), 500, wechatqr.ErrBusy, "HTTP 500", ""},
		{"too large", "image/jpg", string(jpeg) + strings.Repeat("x", 4<<20), 200,
			wechatqr.ErrUnexpectedResponse, "larger than 4096 KiB", ""},
		{"redirect", "", "", 302, wechatqr.ErrUnexpectedResponse, "redirect", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := withToken(t, func(r *http.Request) (*http.Response, error) {
				assert.Equal(t, "GET", r.Method)
				assert.Equal(t,
					"https://mp.weixin.qq.com/cgi-bin/showqrcode?ticket=gQH%2B7%2FjoAA%3D%3D",
					r.URL.String())
				resp := answer(tt.status, tt.body)
				resp.Header.Set("Content-Type", tt.header)
				return resp, nil
			}, wechatqr.WithMaxRetries(0))
			code, err := c.FetchQRCode(t.Context(), ticket)
			if tt.kind == nil {
				require.NoError(t, err)
				assert.Equal(t, tt.body, string(code.Data))
				assert.Equal(t, tt.contentType, code.ContentType)
				assert.Equal(t, map[string]string{"image/jpeg": ".jpg", "image/png": ".png",
					"image/gif": ".gif"}[tt.contentType], code.Extension())
				return
			}
			require.ErrorIs(t, err, tt.kind)
			assert.ErrorContains(t, err, tt.text)
			assert.Nil(t, code)
		})
	}
	c := withToken(t, nil)
	assert.Equal(t, "https://mp.weixin.qq.com/cgi-bin/showqrcode?ticket=gQH%2B7%2FjoAA%3D%3D",
		c.QRCodeURL(ticket))
	for _, bad := range []string{"", " ", "a b", "gQ\n", "票", "http://weixin.qq.com/q/02abc"} {
		_, err := c.FetchQRCode(t.Context(), bad)
		require.ErrorIs(t, err, wechatqr.ErrInvalidArgument, "%q", bad)
	}
}

// The markers are those of ITU-T T.81, table B.1.
func TestFetchQRCodeJPEGMarkers(t *testing.T) {
	t.Parallel()
	var body string
	c := withToken(t, func(*http.Request) (*http.Response, error) { return answer(200, body), nil })
	accepted := func(picture string) bool {
		body = picture
		_, err := c.FetchQRCode(t.Context(), "gQ")
		return err == nil
	}

	for marker := range 256 {
		frame := strings.IndexByte("\xc0\xc1\xc2\xc3\xc5\xc6\xc7\xc9\xca\xcb\xcd\xce\xcf",
			byte(marker)) >= 0
		skipped := marker >= 0xdb && marker < 0xff || strings.IndexByte("\xc4\xc8\xcc",
			byte(marker)) >= 0
		start := "\xff\xd8\xff" + string([]byte{byte(marker)}) + "\x00\x07\x08"
		assert.Equal(t, frame, accepted(start+"\x01\xae\x01\xae"), "%#x alone", marker)
		assert.Equal(t, skipped, accepted(start+"\x00\x00\x00\x00"+string(jpeg[20:])),
			"%#x before a frame", marker)
	}
}

// A picture of which the connection breaks is repeated, and nothing of the
// first half is returned.
func TestFetchQRCodeCutOff(t *testing.T) {
	t.Parallel()
	for _, mends := range []bool{true, false} {
		var calls atomic.Int64
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			n := calls.Add(1)
			w.Header().Set("Content-Length", fmt.Sprint(len(jpeg)))
			if mends && n == 2 {
				_, _ = w.Write(jpeg)
				return
			}
			_, _ = w.Write(jpeg[:10])
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}))
		t.Cleanup(srv.Close)
		c, err := wechatqr.New(wechatqr.Credentials{}, wechatqr.WithCloudHosting(),
			wechatqr.WithEndpoint(wechatqr.Endpoint{Image: srv.URL}), wechatqr.WithMaxRetries(1))
		require.NoError(t, err)
		code, err := c.FetchQRCode(t.Context(), "gQ")
		assert.EqualValues(t, 2, calls.Load())
		if mends {
			require.NoError(t, err)
			assert.Equal(t, jpeg, code.Data)
			continue
		}
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		assert.Nil(t, code)
	}
}

// A permanent creation that may have arrived is repeated once, not as often as
// a temporary one.
func TestPermanentCreationIsRepeatedOnce(t *testing.T) {
	t.Parallel()
	gone := func(*http.Request) (*http.Response, error) {
		return nil,
			errors.New("connection reset by peer")
	}
	status := func(code int, body string) doer {
		return func(*http.Request) (*http.Response, error) { return answer(code, body), nil }
	}
	for _, tt := range []struct {
		name                 string
		f                    doer
		temporary, permanent int64 // attempts
	}{
		{"broken connection", gone, 3, 2},
		{"HTTP 502", status(502, ""), 3, 2},
		{"busy", status(200, `{"errcode":-1,"errmsg":"system error"}`), 3, 3},
		{"HTML", status(200, "<html>"), 1, 1},
		{"truncated", status(200, created[:50]), 1, 1},
		{"empty", status(200, ""), 1, 1},
		{"no ticket", status(200, `{}`), 1, 1},
		{"too large", status(200, strings.Repeat(" ", 1<<20)+created), 1, 1},
		{"out of codes", status(200, `{"errcode":45029,"errmsg":"qrcode count out of limit"}`), 1,
			1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for req, want := range map[wechatqr.TicketRequest]int64{
					harmless: tt.temporary,
					lasting:  tt.permanent,
				} {
					var bodies []string
					c := withToken(t, func(r *http.Request) (*http.Response, error) {
						body, _ := io.ReadAll(r.Body)
						bodies = append(bodies, string(body))
						return tt.f(r)
					})
					_, err := c.CreateTicket(t.Context(), req)
					require.Error(t, err)
					assert.Len(t, bodies, int(want))
					assert.Len(t, slices.Compact(bodies), 1, "with the same scene")
					answered := strings.Contains(err.Error(), "errcode")
					assert.Equal(t, !answered && req == lasting,
						errors.Is(err, wechatqr.ErrOutcomeUnknown), err)
				}
			})
		})
	}
}

// Whatever follows a permanent creation that may have arrived, the error says so.
func TestPermanentCreationAfterALostResponse(t *testing.T) {
	lost := errors.New("connection reset by peer")
	for name, second := range map[string]doer{
		"refused": func(*http.Request) (*http.Response,
			error) {
			return answer(200, `{"errcode":45029}`), nil
		},
		"bad token": func(*http.Request) (*http.Response,
			error) {
			return answer(200, `{"errcode":40001}`), nil
		},
		"unreadable": func(*http.Request) (*http.Response, error) {
			return answer(200, `<html>`),
				nil
		},
		"not sent":     unsent(errors.New("no route to host")),
		"broken again": func(*http.Request) (*http.Response, error) { return nil, lost },
		"busy": func(*http.Request) (*http.Response,
			error) {
			return answer(200, `{"errcode":-1}`), nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				calls := 0
				c := withToken(t, func(r *http.Request) (*http.Response, error) {
					if calls++; calls == 1 {
						return nil, lost
					}
					return second(r)
				})
				_, err := c.CreateTicket(t.Context(), lasting)
				require.ErrorIs(t, err, wechatqr.ErrOutcomeUnknown)
				assert.Equal(t, name == "refused", errors.Is(err, wechatqr.ErrPermanentLimit))
				assert.NotContains(t, err.Error(), "look before", "that is for other requests")
				if name == "refused" {
					assert.ErrorContains(t, err,
						"an attempt before this one may have been carried out")
					assert.ErrorContains(t, err, "are used up")
				}
			})
		})
	}
}

func TestHTTPMock(t *testing.T) {
	t.Parallel()
	mock := httpmock.NewMockTransport()
	mock.RegisterResponder("POST", "https://api.weixin.qq.com/cgi-bin/stable_token",
		httpmock.NewStringResponder(200, `{"access_token":"T","expires_in":7200}`))
	mock.RegisterResponderWithQuery("POST", "https://api.weixin.qq.com/cgi-bin/qrcode/create",
		"access_token=T",
		httpmock.NewStringResponder(200, created))
	mock.RegisterResponder("GET", "https://mp.weixin.qq.com/cgi-bin/showqrcode",
		httpmock.NewBytesResponder(200, jpeg))
	c, err := wechatqr.New(wechatqr.Credentials{AppID: "wx0", AppSecret: "s"},
		wechatqr.WithHTTPClient(&http.Client{Transport: mock}))
	require.NoError(t, err)
	for range 3 {
		ticket, err := c.CreateTicket(t.Context(),
			wechatqr.Temporary(wechatqr.SceneString("a"), time.Hour))
		require.NoError(t, err)
		code, err := c.FetchQRCode(t.Context(), ticket.Value)
		require.NoError(t, err)
		assert.Equal(t, jpeg, code.Data)
	}
	assert.Equal(t, 1,
		mock.GetCallCountInfo()["POST https://api.weixin.qq.com/cgi-bin/stable_token"])
	_, err = c.CreateTicket(t.Context(), wechatqr.Permanent(wechatqr.SceneID(1)))
	require.NoError(t, err)
}

// FuzzScene holds for every text: it is refused, or sent as JSON that means the
// same and reported in XML that means the same.
func FuzzScene(f *testing.F) {
	for _, s := range []string{"shop-7", "渠道=北京&a<b", `{"a":"\"}`, "]]>", "a\x00", "\u2028", "\xff",
		"😀", "\uFFFF", "]]", "a/b", `\u6d4b`} {
		f.Add(s)
	}
	var sent []byte
	c := withToken(f, func(r *http.Request) (*http.Response, error) {
		sent, _ = io.ReadAll(r.Body)
		return answer(200, created), nil
	})
	f.Fuzz(func(t *testing.T, s string) {
		sent = nil
		_, err := c.CreateTicket(t.Context(), wechatqr.Permanent(wechatqr.SceneString(s)))
		if err != nil {
			require.ErrorIs(t, err, wechatqr.ErrInvalidArgument)
			require.Nil(t, sent)
			return
		}
		var body struct {
			ActionInfo struct {
				Scene struct {
					Str string `json:"scene_str"`
				} `json:"scene"`
			} `json:"action_info"`
		}
		require.NoError(t, json.Unmarshal(sent, &body))
		require.Equal(t, s, body.ActionInfo.Scene.Str)
		require.NotContains(t, strings.ReplaceAll(string(sent), `\\`, ""), `\u`)
		var push struct{ EventKey string }
		require.NoError(t,
			xml.Unmarshal([]byte("<xml><EventKey><![CDATA["+s+"]]></EventKey></xml>"), &push))
		require.Equal(t, s, push.EventKey)
	})
}
