package main

import (
	"context"
	"crypto/sha1"
	"crypto/tls"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/events"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// rightBackend is package events with the account's configuration, changed.
func rightBackend(t *testing.T, a *app, change func(*events.Config)) http.Handler {
	t.Helper()
	cfg := a.wx.CallbackConfig()
	if change != nil {
		change(&cfg)
	}
	h, err := events.NewHandler(cfg, func(context.Context, *wechatqr.Event) (events.Reply, error) {
		return nil, nil
	}, events.WithProblemHandler(func(context.Context, events.Problem) {}))
	require.NoError(t, err)
	return h
}

// on has fn respond to one method, and a backend with the changed configuration to
// the other.
func on(
	method string, fn http.HandlerFunc, change func(*events.Config),
) func(*testing.T, *app) http.Handler {
	return func(t *testing.T, a *app) http.Handler {
		backend := rightBackend(t, a, change)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == method {
				_, _ = io.Copy(io.Discard, r.Body)
				fn(w, r)
				return
			}
			backend.ServeHTTP(w, r)
		})
	}
}

// onPost has a right backend respond to GET, and fn to POST.
func onPost(fn http.HandlerFunc) func(*testing.T, *app) http.Handler {
	return on(http.MethodPost, fn, nil)
}

// blindEcho responds to GET with echostr, whatever the signature is.
func blindEcho(change func(*events.Config)) func(*testing.T, *app) http.Handler {
	return on(http.MethodGet, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.URL.Query().Get("echostr"))
	}, change)
}

func configured(change func(*events.Config)) func(*testing.T, *app) http.Handler {
	return func(t *testing.T, a *app) http.Handler { return rightBackend(t, a, change) }
}

func handler(fn http.HandlerFunc) func(*testing.T, *app) http.Handler {
	return func(*testing.T, *app) http.Handler { return fn }
}

// echoing responds to GET with a format of the echostr.
func echoing(format string) func(*testing.T, *app) http.Handler {
	return handler(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, format, r.URL.Query().Get("echostr"))
	})
}

func responding(status int, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text)
	}
}

func abort(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

// resigning has h see each request as signed now, and rightly.
func resigning(token string, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			Encrypt string `xml:"Encrypt"`
		}
		data, _ := io.ReadAll(r.Body)
		_ = xml.Unmarshal(data, &body) // the plaintext mode has no Encrypt
		q := r.URL.Query()
		q.Set("signature", sha1Of(token, q.Get("timestamp"), q.Get("nonce")))
		if body.Encrypt != "" {
			q.Set("msg_signature", sha1Of(token, q.Get("timestamp"), q.Get("nonce"), body.Encrypt))
		}
		r.URL.RawQuery, r.Body = q.Encode(), io.NopCloser(strings.NewReader(string(data)))
		h.ServeHTTP(w, r)
	})
}

func sha1Of(parts ...string) string {
	slices.Sort(parts)
	return fmt.Sprintf("%x", sha1.Sum([]byte(strings.Join(parts, ""))))
}

// finding is what the check says of one line.
type finding struct {
	Question wechatqrtest.Question
	Verdict  wechatqrtest.Verdict
	Title    string
	Message  string
	Advice   string
	Err      *wechatqrtest.CallbackError
}

// check runs the check as a program does.
func check(t *testing.T, h http.Handler, lang string) (found map[wechatqrtest.Question]finding,
	ok bool) {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1/_sandbox/check", nil)
	r.Header.Set("Accept", "application/json")
	r.Header.Set("Accept-Language", lang)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	var got struct {
		OK    bool
		Check struct{ Findings []finding }
	}
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &got), "%s", w.Body)
	found = map[wechatqrtest.Question]finding{}
	for _, f := range got.Check.Findings {
		found[f.Question] = f
	}
	require.Len(t, found, 5, "%s", w.Body)
	return found, got.OK
}

const (
	passed  = wechatqrtest.VerdictPassed
	warned  = wechatqrtest.VerdictWarning
	failing = wechatqrtest.VerdictFailed
	skipped = wechatqrtest.VerdictSkipped
)

// Verdicts in the order of the questions.
var (
	wrongAddress = [5]wechatqrtest.Verdict{failing, skipped, skipped, skipped, skipped}
	wrongToken   = [5]wechatqrtest.Verdict{passed, failing, skipped, skipped, skipped}
	wrongKey     = [5]wechatqrtest.Verdict{passed, passed, failing, skipped, skipped}
	allRight     = [5]wechatqrtest.Verdict{passed, passed, passed, passed, passed}
)

var order = [5]wechatqrtest.Question{
	wechatqrtest.QuestionAddress, wechatqrtest.QuestionToken, wechatqrtest.QuestionKey,
	wechatqrtest.QuestionSignature, wechatqrtest.QuestionReplay,
}

const otherKey = "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"

func TestCheckOfBrokenBackends(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		mode    wechatqrtest.Mode // empty: safe
		backend func(*testing.T, *app) http.Handler
		serve   func(*testing.T, http.Handler) string // nil: plain http
		want    [5]wechatqrtest.Verdict
		reason  wechatqrtest.Reason // of the first line that did not pass
		advice  string              // in it
		chinese string              // in it
	}{
		{name: "right", backend: configured(nil), want: allRight},
		{name: "right, in compatible mode", mode: "compatible", backend: configured(nil),
			want: allRight},
		{name: "right, in plaintext", mode: "plain", backend: configured(nil), want: allRight},

		{name: "not listening", backend: configured(nil), serve: serveNothing, want: wrongAddress,
			reason: "unreachable", advice: "Is the backend running", chinese: "业务服务器启动了吗"},
		{name: "unknown host", backend: configured(nil), serve: serveUnknownHost,
			want:   wrongAddress,
			reason: "unreachable", advice: "on this host and port", chinese: "监听的主机和端口"},
		{name: "wrong path", backend: handler(http.NotFound), want: wrongAddress,
			reason: "wrong status", advice: "compare it letter by letter", chinese: "没有这个路径"},
		{name: "405 for GET", backend: handler(responding(405, "")), want: wrongAddress,
			reason: "wrong status", advice: "checks the URL with GET", chinese: "微信用 GET 验证"},
		{name: "redirect", backend: handler(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/wechat/", http.StatusMovedPermanently)
		}), want: wrongAddress, reason: "redirected", advice: "the slash at the end",
			chinese: "末尾的斜杠"},
		{name: "proxy without backend", backend: handler(responding(502, "Bad Gateway")),
			want:   wrongAddress,
			reason: "wrong status", advice: "A proxy in front of the backend", chinese: "前面的代理"},
		{name: "certificate of an unknown authority", backend: configured(nil), serve: serveTLS,
			want:   wrongAddress,
			reason: "tls", advice: "certificates of public authorities", chinese: "公共证书机构"},
		{name: "https to an http port", backend: configured(nil), serve: serveHTTPAsTLS,
			want:   wrongAddress,
			reason: "tls", advice: "Check http or https", chinese: "http/https"},
		{name: "http to an https port", backend: configured(nil), serve: serveTLSAsHTTP,
			want:   wrongAddress,
			reason: "tls", advice: "Check http or https", chinese: "http/https"},

		{name: "wrong Token", backend: configured(func(c *events.Config) { c.Token = "another" }),
			want:   wrongToken,
			reason: "wrong status", advice: "compare Token letter by letter",
			chinese: "逐字核对 Token"},
		{name: "wrong Token, silent", backend: handler(responding(200, "")), want: wrongToken,
			reason: "wrong echo", advice: "compare Token letter by letter", chinese: "逐字核对 Token"},
		{name: "clock", backend: handler(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Date", time.Now().Add(-10*time.Minute).UTC().Format(http.TimeFormat))
			w.WriteHeader(http.StatusForbidden)
		}), want: wrongToken, reason: "wrong status", advice: "set its clock", chinese: "校准它的时钟"},
		{name: "login", backend: handler(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", "Basic")
			w.WriteHeader(http.StatusUnauthorized)
		}), want: wrongToken, reason: "wrong status", advice: "asks for a login", chinese: "要求登录"},
		{name: "echo in quotes", backend: echoing("%q"), want: wrongToken,
			reason: "quoted", advice: "JSON encoder", chinese: "JSON 序列化"},
		{name: "echo and a newline", backend: echoing("%s\n"), want: wrongToken,
			reason: "wrong echo", advice: "no line break", chinese: "没有换行"},
		{name: "echo and a byte order mark", backend: echoing("\ufeff%s"), want: wrongToken,
			reason: "wrong echo", advice: "no byte order mark", chinese: "没有 BOM"},
		{name: "echo in a page", backend: echoing("<html><body>%s</body></html>"), want: wrongToken,
			reason: "wrong echo", advice: "no page around it", chinese: "没有页面包裹"},
		{name: "closes the connection", backend: handler(abort), want: wrongToken,
			reason: "no response", advice: "it panicked, crashed", chinese: "panic、崩溃"},
		{name: "500 for GET", backend: handler(responding(500, "NullPointerException")),
			want:   wrongToken,
			reason: "wrong status", advice: "see its log", chinese: "请看业务服务器日志"},
		{name: "slow", backend: handler(func(_ http.ResponseWriter,
			r *http.Request) {
			<-r.Context().Done()
		}),
			want: wrongToken, reason: "too slow", advice: "“success” at once",
			chinese: "立即返回 success"},

		{name: "wrong key",
			backend: configured(func(c *events.Config) { c.EncodingAESKey = otherKey }),
			want:    wrongKey,
			reason:  "wrong status", advice: "The Token is right. Compare EncodingAESKey and AppID",
			chinese: "Token 正确。请核对 EncodingAESKey 和 AppID"},
		{name: "wrong AppID",
			backend: configured(func(c *events.Config) { c.AppID = "wx0000000000000000" }),
			want:    wrongKey, reason: "wrong status",
			advice:  "The Token is right. Compare EncodingAESKey and AppID",
			chinese: "Token 正确。请核对 EncodingAESKey 和 AppID"},
		{name: "plaintext beside safe", backend: configured(func(c *events.Config) {
			c.EncodingAESKey, c.Plaintext = "", true
		}), want: wrongKey, reason: "wrong status", advice: "The backend expects plaintext",
			chinese: "业务服务器期望明文"},
		{name: "safe beside plaintext", mode: "plain",
			backend: func(t *testing.T, a *app) http.Handler {
				return rightBackend(t, a, func(c *events.Config) {
					c.Plaintext, c.EncodingAESKey = false, a.wx.Callback().EncodingAESKey
				})
			}, want: wrongKey, reason: "wrong status",
			advice:  "The backend expects encrypted pushes",
			chinese: "业务服务器期望加密的推送"},
		{name: "safe with another key beside plaintext", mode: "plain",
			backend: configured(func(c *events.Config) {
				c.Plaintext, c.EncodingAESKey = false, otherKey
			}), want: wrongKey, reason: "wrong status", advice: "Compare the mode",
			chinese: "请核对消息加解密方式"},
		{name: "panics", backend: onPost(abort), want: wrongKey, reason: "no response",
			advice: "it panicked or crashed on the push", chinese: "处理推送时 panic 或崩溃"},
		{name: "500 for POST", backend: onPost(responding(500, "boom")), want: wrongKey,
			reason:  "wrong status",
			advice:  "see its log. If it failed at decrypting, compare EncodingAESKey",
			chinese: "请核对 EncodingAESKey"},
		{name: "404 for POST", backend: onPost(http.NotFound), want: wrongKey,
			reason: "wrong status",
			advice: "with POST", chinese: "用 POST"},
		{name: "CSRF protection", backend: onPost(responding(403, "CSRF verification failed.")),
			want:   wrongKey,
			reason: "wrong status", advice: "exempt this path", chinese: "CSRF 防护"},
		{name: "slow for POST", backend: onPost(func(_ http.ResponseWriter,
			r *http.Request) {
			<-r.Context().Done()
		}),
			want: wrongKey, reason: "too slow", advice: "“success” at once",
			chinese: "立即返回 success"},
		{name: "malformed XML", backend: onPost(responding(200, "<xml><MsgType>text</xml>")),
			want:   wrongKey,
			reason: "not xml", advice: "Respond with a reply's XML", chinese: "请返回回复消息的 XML"},
		{name: "JSON", backend: onPost(responding(200, `{"code":0}`)), want: wrongKey,
			reason: "not xml", advice: "Respond with a reply's XML", chinese: "请返回回复消息的 XML"},
		{name: "quoted success", backend: onPost(responding(200, `"success"`)), want: wrongKey,
			reason: "quoted", advice: "plain text", chinese: "纯文本"},
		{name: "reply in the clear", backend: onPost(responding(200,
			"<xml><MsgType>text</MsgType></xml>")),
			want: wrongKey, reason: "not encrypted", advice: "Encrypt the reply", chinese: "加密回复"},
		{name: "reply signed wrongly",
			backend: onPost(responding(200, "<xml><Encrypt>AAAA</Encrypt>"+
				"<MsgSignature>0</MsgSignature><TimeStamp>1</TimeStamp><Nonce>1</Nonce></xml>")),
			want: wrongKey, reason: "undecryptable", advice: "Token, TimeStamp, Nonce and Encrypt",
			chinese: "签名由 Token"},

		{name: "echo without looking at the signature",
			backend: blindEcho(nil),
			want:    [5]wechatqrtest.Verdict{passed, warned, passed, warned, passed},
			reason:  "forged",
			advice:  "does not prove the Token", chinese: "不能证明 Token 正确"},
		{name: "echo and wrong key",
			backend: blindEcho(func(c *events.Config) { c.EncodingAESKey = otherKey }),
			want:    [5]wechatqrtest.Verdict{passed, warned, failing, skipped, skipped},
			reason:  "forged",
			advice:  "does not prove the Token", chinese: "不能证明 Token 正确"},
		{name: "success to every POST", backend: onPost(responding(200, "success")),
			want: [5]wechatqrtest.Verdict{passed, passed, warned, warned, warned}, reason: "forged",
			advice: "does not prove the key and the mode", chinese: "不能证明密钥和加解密方式正确"},
		{name: "accepts a wrong signature", backend: func(t *testing.T, a *app) http.Handler {
			right := rightBackend(t, a, nil)
			forgiving := resigning(a.wx.Callback().Token, right)
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodPost {
					forgiving.ServeHTTP(w, r)
					return
				}
				right.ServeHTTP(w, r)
			})
		}, want: [5]wechatqrtest.Verdict{passed, passed, warned, warned, passed}, reason: "forged",
			advice: "does not prove the key and the mode", chinese: "不能证明密钥和加解密方式正确"},
		{name: "accepts a replay",
			backend: configured(func(c *events.Config) { c.MaxAge = 24 * time.Hour }),
			want:    [5]wechatqrtest.Verdict{passed, passed, passed, passed, warned},
			reason:  "replayed",
			advice:  "more than five minutes old", chinese: "超过五分钟的时间戳"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var opts []wechatqrtest.Option
			if tt.reason == "too slow" {
				opts = append(opts, wechatqrtest.WithPushTimeout(2*time.Second))
			}
			a, h := newTestApp(t, opts...)
			require.NoError(t, a.wx.SetCallback(wechatqrtest.Callback{Mode: tt.mode}))
			serve := tt.serve
			if serve == nil {
				serve = serveHTTP
			}
			url := serve(t, tt.backend(t, a))
			require.NoError(t, a.wx.SetCallback(wechatqrtest.Callback{URL: url}))

			found, ok := check(t, h, "en")
			var got [5]wechatqrtest.Verdict
			for i, q := range order {
				got[i] = found[q].Verdict
			}
			require.Equal(t, tt.want, got, "%+v", found)
			assert.Equal(t, a.lastCheck(a.wx.Callback()).Err() == nil, ok)
			assert.Empty(t, a.wx.Users(), "nobody is made up")
			assert.Empty(t, a.wx.Pushes(), "a probe is no push")

			inChinese, _ := check(t, h, "zh")
			for _, q := range order {
				f := found[q]
				if f.Verdict == passed || f.Verdict == skipped {
					assert.Nil(t, f.Err)
					continue
				}
				assert.Equal(t, tt.reason, f.Err.Reason)
				assert.Contains(t, f.Advice, tt.advice)
				assert.Contains(t, inChinese[q].Advice, tt.chinese)
				assert.NotEqual(t, f.Message, inChinese[q].Message)
				assert.NotEmpty(t, f.Message)
				break
			}
			for _, f := range found { // whatever the line
				if f.Err == nil {
					continue
				}
				if f.Err.Reason == wechatqrtest.ReasonNoResponse {
					assert.NotContains(t, f.Advice, "running")
				}
				if f.Question == wechatqrtest.QuestionKey {
					assert.NotContains(t, f.Advice, "ompare Token")
				}
			}
		})
	}
}

func serveHTTP(t *testing.T, h http.Handler) string {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv.URL + "/wechat"
}

func serveNothing(t *testing.T, _ http.Handler) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	return "http://" + l.Addr().String() + "/wechat"
}

// serveUnknownHost needs no name server: the name is not one.
func serveUnknownHost(*testing.T, http.Handler) string { return "http://no..host/wechat" }

func serveTLS(t *testing.T, h http.Handler) string {
	t.Helper()
	srv := httptest.NewUnstartedServer(h)
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.TLS = &tls.Config{}
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return srv.URL + "/wechat"
}

func serveHTTPAsTLS(t *testing.T, h http.Handler) string {
	t.Helper()
	return strings.Replace(serveHTTP(t, h), "http:", "https:", 1)
}

func serveTLSAsHTTP(t *testing.T, h http.Handler) string {
	t.Helper()
	return strings.Replace(serveTLS(t, h), "https:", "http:", 1)
}
