package wechatqrtest_test

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/events"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// token gets one over plain HTTP.
func token(t *testing.T, srv *wechatqrtest.Server) string {
	t.Helper()
	creds := srv.Credentials()
	_, body := post(t, srv.URL()+"/cgi-bin/stable_token",
		fmt.Sprintf(`{"grant_type":"client_credential","appid":%q,"secret":%q}`, creds.AppID,
			creds.AppSecret))
	var ans struct {
		AccessToken string `json:"access_token"`
	}
	require.NoError(t, json.Unmarshal([]byte(body), &ans), body)
	require.NotEmpty(t, ans.AccessToken, body)
	return ans.AccessToken
}

// post sends JSON without saying so, as some clients do.
func post(t *testing.T, address, body string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address,
		strings.NewReader(body))
	require.NoError(t, err)
	return do(t, req)
}

func get(t *testing.T, address string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	require.NoError(t, err)
	return do(t, req)
}

func do(t *testing.T, req *http.Request) (*http.Response, string) {
	t.Helper()
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp, string(body)
}

func code(t *testing.T, body string) int {
	t.Helper()
	var ans struct {
		ErrCode int `json:"errcode"`
	}
	require.NoError(t, json.Unmarshal([]byte(body), &ans), body)
	return ans.ErrCode
}

func TestCreateAnswer(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	address := srv.URL() + "/cgi-bin/qrcode/create?access_token=" + token(t, srv)

	resp, body := post(t, address,
		`{"expire_seconds": 604800, "action_name": "QR_STR_SCENE", "action_info": {"scene": `+
			`{"scene_str": "test"}}}`)
	assert.Equal(t, http.StatusOK, resp.StatusCode)
	assert.Equal(t, "application/json; encoding=utf-8", resp.Header.Get("Content-Type"))
	var fields map[string]any
	require.NoError(t, json.Unmarshal([]byte(body), &fields))
	assert.Len(t, fields, 3, "a success has neither errcode nor errmsg: %s", body)
	assert.EqualValues(t, 604800, fields["expire_seconds"])
	assert.Regexp(t, `^http://weixin\.qq\.com/q/02[A-Za-z0-9_-]{20}$`, fields["url"])

	ticket := fields["ticket"].(string)
	require.Len(t, ticket, 96)
	b, err := base64.RawURLEncoding.DecodeString(ticket)
	require.NoError(t, err)
	assert.Equal(t, []byte{0x81, 0x01}, b[:2])
	assert.Equal(t, []byte{0x3c, 0, 0, 0, 0, 0, 0, 0, 0x01, 0x2e}, b[4:14])
	assert.Equal(t, fields["url"].(string)+"\x00\x02\x04", string(b[14:14+48]))
	assert.InDelta(t, time.Now().Unix(), binary.LittleEndian.Uint32(b[62:]), 60)
	assert.Equal(t, []byte{0x03, 0x04}, b[66:68])
	assert.EqualValues(t, 604800, binary.LittleEndian.Uint32(b[68:]))

	_, body = post(t, address,
		`{"action_name": "QR_LIMIT_SCENE", "action_info": {"scene": {"scene_id": 123}}}`)
	fields = nil
	require.NoError(t, json.Unmarshal([]byte(body), &fields))
	assert.Len(t, fields, 2, "a permanent code has no expire_seconds: %s", body)

	codes := srv.QRCodes()
	require.Len(t, codes, 2)
	assert.Equal(t, "test", codes[0].Scene())
	assert.Equal(t, "123", codes[1].Scene())
	assert.True(t, codes[1].Permanent())
	found, ok := srv.QRCode(ticket)
	assert.True(t, ok)
	assert.Equal(t, codes[0], found)
}

func TestCreateRefuses(t *testing.T) {
	t.Parallel()
	strict := wechatqrtest.Start(t)
	lenient := wechatqrtest.Start(t, wechatqrtest.WithLenient())
	strictURL := strict.URL() + "/cgi-bin/qrcode/create?access_token=" + token(t, strict)
	lenientURL := lenient.URL() + "/cgi-bin/qrcode/create?access_token=" + token(t, lenient)
	s64, s65 := strings.Repeat("x", 64), strings.Repeat("x", 65)

	for _, tt := range []struct {
		name, body string
		strict     int   // errcode
		lenient    any   // errcode, or the scene that the code then has
		life       int64 // seconds that the code then has; 0: permanent
	}{
		{"empty body", ``, 44002, 44002, 0},
		{"no JSON", `action_name=QR_SCENE`, 47001, 47001, 0},
		{"single quotes", `{'action_name': 'QR_SCENE'}`, 40052, 40052, 0},
		{"no action", `{"action_info":{"scene":{"scene_id":1}}}`, 40052, 40052, 0},
		{"unknown action",
			`{"action_name":"QR_CARD","action_info":{"scene":{"scene_id":1}}}`, 40052,
			40052, 0},
		{"scene misplaced", `{"action_name":"QR_SCENE","action_info":{"scene_id":123}}`,
			40053, "0", 60},
		{"id 0", `{"action_name":"QR_SCENE","action_info":{"scene":{"scene_id":0}}}`,
			40053, "0", 60},
		{"id 1", `{"action_name":"QR_SCENE","action_info":{"scene":{"scene_id":1}}}`, 0, "1", 60},
		{"id -1", `{"action_name":"QR_SCENE","action_info":{"scene":{"scene_id":-1}}}`,
			40053, "0", 60},
		{"id largest",
			`{"action_name":"QR_SCENE","action_info":{"scene":{"scene_id":4294967295}}}`, 0,
			"4294967295", 60},
		{"id above largest",
			`{"action_name":"QR_SCENE","action_info":{"scene":{"scene_id":4294967296}}}`,
			40053, "4294967295", 60},
		{"id far above",
			`{"action_name":"QR_SCENE","action_info":{"scene":{"scene_id":99999999999999999999}}}`,
			40053,
			"0", 60},
		{"id in quotes",
			`{"action_name":"QR_SCENE","action_info":{"scene":{"scene_id":"7"}}}`, 40053,
			"7", 60},
		{"permanent id largest",
			`{"action_name":"QR_LIMIT_SCENE","action_info":{"scene":{"scene_id":100000}}}`, 0,
			"100000", 0},
		{"permanent id above",
			`{"action_name":"QR_LIMIT_SCENE","action_info":{"scene":{"scene_id":100001}}}`,
			40053, 40053, 0},
		{"text of 64", `{"action_name":"QR_STR_SCENE","action_info":{"scene":{"scene_str":"` + s64 +
			`"}}}`, 0, s64, 60},
		{"text of 65", `{"action_name":"QR_STR_SCENE","action_info":{"scene":{"scene_str":"` + s65 +
			`"}}}`, 40053, s65, 60},
		{"permanent text of 65",
			`{"action_name":"QR_LIMIT_STR_SCENE","action_info":{"scene":{"scene_str":"` +
				s65 + `"}}}`,
			40053, 40053, 0},
		{"65 bytes in 59 characters",
			`{"action_name":"QR_LIMIT_STR_SCENE","action_info":{"scene":{"scene_str":"{\"invitor\":\"200` +
				`00226\",\"invitorName\":\"马晓波\",\"jdeCode\":\"3230\"}"}}}`,
			40053, 40053, 0},
		{"quotes within text",
			`{"action_name":"QR_LIMIT_STR_SCENE","action_info":{"scene":{"scene_str":"{\"a\":\"\\u\"}"}}}`,
			0, `{"a":"\u"}`, 0},
		{"no text",
			`{"action_name":"QR_STR_SCENE","action_info":{"scene":{"scene_str":""}}}`, 40053, "0",
			60},
		{"text is a number",
			`{"action_name":"QR_STR_SCENE","action_info":{"scene":{"scene_str":5}}}`,
			40053, "0", 60},
		{"escaped text",
			`{"action_name":"QR_STR_SCENE","action_info":{"scene":{"scene_str":"\u6d4b\u8bd5"}}}`,
			40033,
			`\u6d4b\u8bd5`, 60},
		{"escaped text after a backslash",
			`{"action_name":"QR_STR_SCENE","action_info":{"scene":{"scene_str":"\\u\u6d4b\/"}}}`,
			40033,
			`\u\u6d4b/`, 60},
		{"control character",
			`{"action_name":"QR_STR_SCENE","action_info":{"scene":{"scene_str":"a\nb"}}}`,
			40053, "a\nb",
			60},
		{"no character of XML",
			"{\"action_name\":\"QR_STR_SCENE\",\"action_info\":{\"scene\":{\"scene_str\":\"a\uFFFE\"}}}",
			40053, "a\uFFFE", 60},
		{"end of CDATA",
			`{"action_name":"QR_STR_SCENE","action_info":{"scene":{"scene_str":"a]]>b"}}}`,
			40053, "a]]>b", 60},
		{"both scenes",
			`{"action_name":"QR_STR_SCENE","action_info":{"scene":{"scene_str":"a","scene_id":1}}}`,
			40053,
			"a", 60},
		{"other scene is zero",
			`{"action_name":"QR_STR_SCENE","action_info":{"scene":{"scene_str":"a","scene_id":0}}}`,
			0, "a",
			60},
		{"life 0",
			`{"expire_seconds":0,"action_name":"QR_SCENE","action_info":{"scene":{"scene_id":1}}}`,
			40053, "1", 60},
		{"life 1",
			`{"expire_seconds":1,"action_name":"QR_SCENE","action_info":{"scene":{"scene_id":1}}}`,
			0, "1", 1},
		{"life longest",
			`{"expire_seconds":2592000,"action_name":"QR_SCENE","action_info":{"scene":{"scene_id":1}}}`, 0,
			"1", 2592000},
		{"life too long",
			`{"expire_seconds":2592001,"action_name":"QR_SCENE","action_info":{"scene":{"scene_id":1}}}`,
			40053, "1", 2592000},
		{"life in quotes",
			`{"expire_seconds":"90","action_name":"QR_SCENE","action_info":{"scene":{"scene_id":1}}}`, 40053,
			"1", 90},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, body := post(t, strictURL, tt.body)
			assert.Equal(t, tt.strict, code(t, body), body)
			if tt.strict != 0 {
				assert.Regexp(t, `rid: [0-9a-f]{8}(-[0-9a-f]{8}){2}"}$`, body)
			}
			before := len(lenient.QRCodes())
			_, body = post(t, lenientURL, tt.body)
			if want, ok := tt.lenient.(int); ok {
				assert.Equal(t, want, code(t, body), body)
				assert.Len(t, lenient.QRCodes(), before)
				return
			}
			require.Equal(t, 0, code(t, body), body)
			made := lenient.QRCodes()[before]
			assert.Equal(t, tt.lenient, made.Scene())
			if tt.life == 0 {
				assert.True(t, made.Permanent())
			} else {
				assert.EqualValues(t, tt.life,
					made.ExpiresAt.Sub(made.CreatedAt).Truncate(time.Second)/time.Second)
			}
		})
	}
}

func TestPermanentLimit(t *testing.T) {
	t.Parallel()
	c := wechatqrtest.Start(t, wechatqrtest.WithPermanentLimit(1)).Client()
	_, err := c.CreateTicket(t.Context(), wechatqr.Permanent(wechatqr.SceneID(1)))
	require.NoError(t, err)
	_, err = c.CreateTicket(t.Context(), wechatqr.Permanent(wechatqr.SceneID(2)))
	require.ErrorIs(t, err, wechatqr.ErrPermanentLimit)
	var e *wechatqr.Error
	require.ErrorAs(t, err, &e)
	assert.EqualValues(t, 45029, e.Code)
	_, err = c.CreateTicket(t.Context(), wechatqr.Temporary(wechatqr.SceneID(2), time.Minute))
	require.NoError(t, err, "temporary codes are not counted")
}

func TestShowCode(t *testing.T) {
	t.Parallel()
	srv, lenient := wechatqrtest.Start(t), wechatqrtest.Start(t, wechatqrtest.WithLenient())
	show := func(s *wechatqrtest.Server, ticket string) *http.Response {
		resp, _ := get(t, s.URL()+"/cgi-bin/showqrcode?ticket="+ticket)
		return resp
	}
	make := func(s *wechatqrtest.Server) string {
		ticket, err := s.Client().CreateTicket(t.Context(),
			wechatqr.Temporary(wechatqr.SceneID(1), time.Hour))
		require.NoError(t, err)
		return ticket.Value
	}
	ticket, late := make(srv), make(lenient)

	resp := show(srv, url.QueryEscape(ticket))
	assert.Equal(t, http.StatusOK, resp.StatusCode)
	assert.Equal(t, "image/jpg", resp.Header.Get("Content-Type"))
	assert.Equal(t, "max-age=604800", resp.Header.Get("Cache-Control"))
	assert.Equal(t, http.StatusNotFound, show(srv,
		"gQH47joAAAAAAAAAASxodHRwOi8vd2VpeGluLnFxLmNvbS9x").StatusCode)
	assert.Equal(t, http.StatusNotFound, show(srv, "").StatusCode)

	srv.Advance(59 * time.Minute)
	assert.Equal(t, http.StatusOK, show(srv, ticket).StatusCode)
	srv.Advance(time.Minute)
	assert.Equal(t, http.StatusNotFound, show(srv, ticket).StatusCode, "expired")
	lenient.Advance(2 * time.Hour)
	assert.Equal(t, http.StatusOK, show(lenient, late).StatusCode)
}

func FuzzCreate(f *testing.F) {
	for _, body := range []string{
		`{"expire_seconds": 604800, "action_name": "QR_SCENE", "action_info": {"scene": {"scene_id": ` +
			`123}}}`,
		`{"action_name": "QR_LIMIT_STR_SCENE", "action_info": {"scene": {"scene_str": "\\\\u\u6d4b"}}}`,
		`{"action_name": "QR_STR_SCENE", "expire_seconds": null, "action_info": {"scene": ` +
			`{"scene_str": "测试"}}}`,
		`{'action_name': 'QR_SCENE'}`,
		`{"action_name": "QR_SCENE", "action_info": {"scene": null}}`, ``,
		`[]`,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, opts := range [][]wechatqrtest.Option{nil, {wechatqrtest.WithLenient()}} {
			srv := wechatqrtest.Start(t, append(opts, wechatqrtest.WithCloudHosting(),
				wechatqrtest.WithOrigin("http://fuzz.invalid"))...)
			rec := httptest.NewRecorder()
			srv.ServeHTTP(rec, httptest.NewRequest(http.MethodPost, create, bytes.NewReader(body)))
			var ans struct {
				ErrCode int
				Ticket  string
			}
			require.NoError(t, json.Unmarshal(rec.Body.Bytes(), &ans), "%s", rec.Body)
			require.NotEqual(t, ans.ErrCode == 0, ans.Ticket == "", "%s", rec.Body)
			if ans.Ticket == "" {
				continue
			}
			srv.PutUser(wechatqrtest.User{OpenID: "o6_user", Follows: true})
			sent, err := srv.ScanEvent(ans.Ticket, "o6_user")
			require.NoError(t, err)
			if len(opts) == 0 { // what the strict Server takes, a push can carry
				got, err := events.Parse(sent.Raw)
				require.NoError(t, err)
				require.Equal(t, srv.QRCodes()[0].Scene(), got.EventKey)
			}
		}
	})
}
