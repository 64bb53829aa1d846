package wechatqr_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
)

func TestCodesHaveKinds(t *testing.T) {
	t.Parallel()
	kinds := map[error][]wechatqr.ErrorCode{
		wechatqr.ErrBusy:              {-1, 268487001, 268487002},
		wechatqr.ErrTokenRejected:     {40001, 40014, 42001},
		wechatqr.ErrInvalidCredential: {41001, 40002, 40013, 40125, 41002, 41004, 40243},
		wechatqr.ErrIPNotAllowed:      {40164, 61004, 89503, 89506, 89507},
		wechatqr.ErrNotPermitted:      {50004, 50007, 48001, 48004, 50001, 50002, 61007},
		wechatqr.ErrQuota:             {45009, 48006},
		wechatqr.ErrRateLimited:       {45011},
		wechatqr.ErrPermanentLimit:    {45029},
		wechatqr.ErrInvalidArgument: {
			40033, 40052, 40053, 40003, 40032, 40097, 40201, 40202, 40203, 47003, 61016, 43001,
			43002, 43003, 44002, 47001, 76001, 76002, 76003, 76004, 76021, 76022,
			9410010, 9410011, 9410012,
		},
	}
	for kind, codes := range kinds {
		for _, code := range codes {
			err := error(&wechatqr.Error{Op: "create ticket", Code: code, Message: "m",
				StatusCode: 200})
			for other := range kinds {
				assert.Equal(t, other == kind, errors.Is(err, other), "%d is %v", code, other)
			}
			var e *wechatqr.Error
			require.ErrorAs(t, fmt.Errorf("shop 7: %w", err), &e)
			isHan := func(r rune) bool { return r >= '\u4e00' && r <= '\u9fff' }
			assert.NotEmpty(t, e.Hint(), code)
			assert.False(t, strings.ContainsFunc(e.Hint(), isHan), "%d: %s", code, e.Hint())
			assert.True(t, strings.ContainsFunc(e.HintZH(), isHan), "%d: %s", code, e.HintZH())
			assert.NotContains(t, e.Hint()+e.HintZH(), "{", code)
			assert.Equal(t, fmt.Sprintf("wechatqr: create ticket: errcode %d: m; %s", code,
				e.Hint()), err.Error())
		}
	}
	unknown := &wechatqr.Error{Op: "x", Code: 12345, Message: "m"}
	for kind := range kinds {
		require.NotErrorIs(t, unknown, kind)
	}
	require.NotErrorIs(t, unknown, wechatqr.ErrUnexpectedResponse)
	assert.Empty(t, unknown.Hint())
	for want, e := range map[string]wechatqr.Error{
		"wechatqr: x: errcode 12345: m":            *unknown,
		"wechatqr: errcode 12345":                  {Code: 12345},
		"wechatqr: x: HTTP 404: m":                 {Op: "x", StatusCode: 404, Message: "m"},
		"wechatqr: x: unexpected response: m":      {Op: "x", StatusCode: 200, Message: "m"},
		"wechatqr: unexpected response: a (rid b)": {Message: "a", RequestID: "b"},
	} {
		assert.Equal(t, want, e.Error())
	}
}

func TestErrorsAsWeChatSendsThem(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, errmsg, message, rid, ip string }{
		{
			"rid",
			"invalid ip 218.58.124.130 ipv6 ::ffff:218.58.124.130, not in whitelist rid: 611740a4-27f9a8ba-065da01b",
			"invalid ip 218.58.124.130 ipv6 ::ffff:218.58.124.130, not in whitelist",
			"611740a4-27f9a8ba-065da01b", "218.58.124.130",
		},
		{"hint of old", "invalid ip 1.2.3.4, not in whitelist hint: [i50PvA0089sha6]",
			"invalid ip 1.2.3.4, not in whitelist hint: [i50PvA0089sha6]", "", "1.2.3.4"},
		{"hint and rid", "invalid ip 1.2.3.4 hint: [i50P] rid: 617682e0-09059ac5-34a8e2ea",
			"invalid ip 1.2.3.4 hint: [i50P]", "617682e0-09059ac5-34a8e2ea", "1.2.3.4"},
		{"IPv6", "invalid ip 2001:db8::1, not in whitelist",
			"invalid ip 2001:db8::1, not in whitelist", "", "2001:db8::1"},
		{"no ip", "not in whitelist", "not in whitelist", "", "this machine's public IP"},
		{"rid cut off", "x rid: 611740a4-27f9", "x rid: 611740a4-27f9", "",
			"this machine's public IP"},
		{"rid of another form", "x rid: 611740a4-27f9a8ba-065DA01B",
			"x rid: 611740a4-27f9a8ba-065DA01B", "", "this machine's public IP"},
		{"rid with dashes elsewhere", "x rid: 611740a42-7f9a8ba0-65da01b",
			"x rid: 611740a42-7f9a8ba0-65da01b", "", "this machine's public IP"},
		{"rid alone", "rid: 611740a4-27f9a8ba-065da01b", "", "611740a4-27f9a8ba-065da01b",
			"this machine's public IP"},
		{"rid without its mark", "four611740a4-27f9a8ba-065da01b",
			"four611740a4-27f9a8ba-065da01b", "", "this machine's public IP"},
		{"two rids", "rid: no, rid: 611740a4-27f9a8ba-065da01b", "rid: no",
			"611740a4-27f9a8ba-065da01b", "this machine's public IP"},
		{"empty", "", "", "", "this machine's public IP"},
		{"not UTF-8", "a\xff", "a\uFFFD", "", "this machine's public IP"},
	} {
		for _, code := range []int{40164, 61004} {
			t.Run(fmt.Sprint(tt.name, " ", code), func(t *testing.T) {
				t.Parallel()
				c := withToken(t, func(*http.Request) (*http.Response, error) {
					return answer(200, fmt.Sprintf("{\"errcode\":%d,\"errmsg\":\"%s\"}", code,
						tt.errmsg)), nil
				})
				_, err := c.CreateTicket(t.Context(), wechatqr.Permanent(wechatqr.SceneID(1)))
				var e *wechatqr.Error
				require.ErrorAs(t, err, &e)
				assert.Equal(t, tt.message, e.Message)
				assert.Equal(t, tt.rid, e.RequestID)
				assert.Contains(t, e.Hint(), "add "+tt.ip+" to the IP whitelist")
				assert.Contains(t, e.HintZH(),
					"将 "+strings.Replace(tt.ip, "this machine's public IP", "本机公网 IP ", 1)+" 加入")
				assert.Contains(t, err.Error(), tt.rid)
			})
		}
	}
}

// TestNoSecretGetsOut drives every way of failing and looks for the secrets
// in all text that comes of it.
func TestNoSecretGetsOut(t *testing.T) {
	t.Parallel()
	// What needs escaping in a query, in JSON or in Go syntax is here too.
	const secret, token = "s3cr3t00\"et&+%\\s3cr3t11", "50_t0k3n\"en/+=&%\\50_t0k3n11"
	creds := wechatqr.Credentials{AppID: "wx0", AppSecret: secret}

	var mu sync.Mutex
	var out bytes.Buffer
	say := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(&out, format+"\n", args...)
	}
	lock := writer(func(b []byte) { say("%s", b) })
	loggers := []*slog.Logger{
		slog.New(slog.NewTextHandler(lock, &slog.HandlerOptions{Level: slog.LevelDebug})),
		slog.New(slog.NewJSONHandler(lock, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	show := func(v any) {
		for _, verb := range []string{"%v", "%+v", "%#v", "%d", "%s", "%q", "%x", "%T"} {
			say(verb, v)
		}
		for _, l := range loggers {
			l.Info("shown", "value", v)
		}
		for err, _ := v.(error); err != nil; err = errors.Unwrap(err) {
			say("%v %+v %#v", err, err, err)
			var ue *url.Error
			if errors.As(err, &ue) {
				say("%s %v", ue.URL, ue.Err)
			}
		}
	}

	// Where a redirect would lead.
	var led int
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		led++
		b, _ := io.ReadAll(r.Body)
		say("redirected: %v %v %s", r.URL, r.Header, b)
	}))
	defer elsewhere.Close()

	// echo is all that a request holds, as it is and decoded.
	echo := func(r *http.Request) string {
		text := r.URL.String()
		if r.Body != nil {
			body, _ := io.ReadAll(r.Body)
			text += " " + string(body)
		}
		if r.URL.Query().Has("access_token") {
			text += " " + token
		}
		if strings.HasSuffix(r.URL.Path, "token") {
			text += " " + secret
		}
		return text
	}
	var failures []struct {
		name string
		f    doer
	}
	add := func(name string, f doer) {
		failures = append(failures, struct {
			name string
			f    doer
		}{name, f})
	}
	add("transport error that holds the request", func(r *http.Request) (*http.Response, error) {
		return nil, errors.New("cannot send " + echo(r))
	})
	add("wrapped url.Error", func(r *http.Request) (*http.Response, error) {
		return nil, fmt.Errorf("proxy: %w",
			&url.Error{Op: "Get", URL: r.URL.String(), Err: errors.New(echo(r))})
	})
	add("truncated body", func(r *http.Request) (*http.Response, error) {
		resp := answer(200, "")
		resp.Body = io.NopCloser(io.MultiReader(strings.NewReader(`{"access`),
			errReader{errors.New("reset: " + echo(r))}))
		return resp, nil
	})
	for _, status := range []int{200, 302, 307, 404, 500, 502} {
		add(fmt.Sprintf("HTTP %d that echoes", status),
			func(r *http.Request) (*http.Response, error) {
				resp := answer(status, "<html>"+echo(r)+"</html>")
				resp.Header.Set("Location", elsewhere.URL+"/?q="+url.QueryEscape(echo(r)))
				return resp, nil
			})
	}
	add("a Location that is no URL", func(r *http.Request) (*http.Response, error) {
		resp := answer(302, "")
		resp.Header.Set("Location", "http://[::1\x7f"+echo(r))
		return resp, nil
	})
	add("the secret where the snippet is cut", func(r *http.Request) (*http.Response, error) {
		return answer(200, strings.Repeat("x",
			115)+strings.TrimSpace(echo(r)[strings.LastIndexByte(echo(r), ' ')+1:])), nil
	})
	add("wrong JSON type", func(*http.Request) (*http.Response, error) {
		return answer(200, `{"access_token":1,"ticket":2,"expires_in":"x"}`), nil
	})
	// The token endpoint's own answer, where it cannot be taken.
	for name, format := range map[string]string{
		"cut off":         `{"access_token":"%s","expires_in":72`,
		"BOM":             "\xef\xbb\xbf" + `{"access_token":"%s","expires_in":7200}`,
		"comment behind":  `{"access_token":"%s","expires_in":7200}<!-- proxy -->`,
		"errcode as text": `{"errcode":"0","access_token":"%s","expires_in":7200}`,
		"text before":     `token: {"access_token":"%s"}`,
		"a word":          `%s`,
		"a list":          `["%s"]`,
	} {
		fresh := strings.ReplaceAll(strings.ReplaceAll(token, `\`, `\\`), `"`, `\"`)
		for _, status := range []int{200, 203, 500} {
			add(fmt.Sprint("a fresh token ", status, " ", name),
				func(r *http.Request) (*http.Response, error) {
					if !strings.HasSuffix(r.URL.Path, "token") {
						return answer(500, ""), nil
					}
					return answer(status, fmt.Sprintf(format, fresh)), nil
				})
		}
	}
	add("the secret many times", func(r *http.Request) (*http.Response, error) {
		text := echo(r)
		last := text[strings.LastIndexByte(text, ' ')+1:]
		return answer(502, strings.Repeat(last, 50)+strings.ReplaceAll(last, "/",
			`\/`)+strings.ReplaceAll(last, "/", "%2f")), nil
	})
	for _, code := range []int{-1, 40001, 40013, 40014, 40053, 40164, 42001, 45009, 48001, 99999} {
		add(fmt.Sprintf("errcode %d that echoes", code),
			func(r *http.Request) (*http.Response, error) {
				return answer(200, fmt.Sprintf(`{"errcode":%d,"errmsg":%q}`, code, echo(r))), nil
			})
	}

	for _, tt := range failures {
		for _, place := range []string{"stable", "classic", "api", "do"} {
			transport := &http.Client{Transport: tt.f}
			opts := []wechatqr.Option{
				wechatqr.WithHTTPClient(transport), wechatqr.WithMaxRetries(0),
				wechatqr.WithLogger(loggers[0]),
				wechatqr.WithObserver(func(_ context.Context,
					c wechatqr.Call) {
					show(c)
					show(c.Err)
				}),
			}
			switch place {
			case "classic":
				opts = append(opts, wechatqr.WithClassicToken())
			case "api", "do":
				opts = append(opts, wechatqr.WithTokenSource(wechatqr.StaticTokenSource(token)))
			}
			c, err := wechatqr.New(creds, opts...)
			require.NoError(t, err)
			if place == "do" {
				var out struct{ Ticket string }
				err = c.Do(t.Context(), wechatqr.Request{Method: "POST", Path: "/cgi-bin/x",
					Body: map[string]string{"a": "b"}}, &out)
			} else {
				_, err = c.CreateTicket(t.Context(),
					wechatqr.Temporary(wechatqr.SceneID(1), time.Hour))
			}
			require.Error(t, err, "%s at %s", tt.name, place)
			show(err)
			show(c)
			_, err = c.CreateTicket(t.Context(), wechatqr.Temporary(wechatqr.SceneID(1), time.Hour))
			show(err)
			_, err = c.FetchQRCode(t.Context(), "gQ")
			show(err)
		}
	}

	// Over a real connection: refused, timed out, redirected, broken off.
	closed := httptest.NewServer(nil)
	closed.Close()
	real := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Query().Get("how") {
		case "hang":
			_, _ = io.Copy(io.Discard, r.Body) // or the server does not notice that the client left
			<-r.Context().Done()
		case "break":
			panic(http.ErrAbortHandler)
		default:
			http.Redirect(w, r, elsewhere.URL+"/?q="+url.QueryEscape(r.URL.RawQuery),
				http.StatusTemporaryRedirect)
		}
	}))
	defer real.Close()
	for _, base := range []string{closed.URL, real.URL, "http://127.0.0.1:1",
		"http://no-such-host.invalid"} {
		for _, src := range []wechatqr.TokenSource{nil, wechatqr.StaticTokenSource(token)} {
			opts := []wechatqr.Option{
				wechatqr.WithBaseURL(base), wechatqr.WithMaxRetries(0),
				wechatqr.WithHTTPClient(&http.Client{Timeout: 100 * time.Millisecond}),
				wechatqr.WithLogger(loggers[1]),
			}
			if src != nil {
				opts = append(opts, wechatqr.WithTokenSource(src))
			}
			c, err := wechatqr.New(creds, opts...)
			require.NoError(t, err)
			for _, how := range []string{"hang", "break", "redirect"} {
				err := c.Do(t.Context(),
					wechatqr.Request{Method: "POST", Path: "/cgi-bin/x",
						Query: url.Values{"how": {how}}, Body: map[string]string{}}, nil)
				require.Error(t, err)
				show(err)
			}
			own := c.TokenSource()
			_, err = own.Token(t.Context(), token)
			if src == nil {
				require.Error(t, err)
				show(err)
			}
			show(own)
		}
	}
	assert.Zero(t, led, "a redirect is not followed")

	// Every exported type, by value, by pointer, inside others, and after use.
	store := &leakyStore{tok: wechatqr.Token{Value: token}}
	reuse := wechatqr.ReuseTokenSource(
		wechatqr.StoredTokenSource(store, "wx0", wechatqr.StaticTokenSource(token),
			loggers[0]), loggers[1])
	for _, fail := range []bool{false, true, false} {
		store.fail.Store(fail)
		tok, err := reuse.Token(t.Context(), "")
		require.NoError(t, err)
		_, err = reuse.Token(t.Context(), tok.Value)
		require.NoError(t, err)
	}
	ends := true
	early := wechatqr.ReuseTokenSource(wechatqr.TokenSourceFunc(func(context.Context,
		string) (wechatqr.Token, error) {
		if ends = !ends; ends {
			return wechatqr.Token{}, errors.Join(errors.New("a"),
				&url.Error{Op: "Get", URL: "https://tokens.internal/?key=" + secret,
					Err: errors.New("refused")})
		}
		return wechatqr.Token{Value: token, Expiry: time.Now().Add(50 * time.Millisecond)}, nil
	}), loggers[0])
	for range 20 { // into the second half of its life, and beyond
		_, err := early.Token(t.Context(), "")
		if err != nil {
			c, nerr := wechatqr.New(creds, wechatqr.WithTokenSource(early))
			require.NoError(t, nerr)
			_, err = c.CreateTicket(t.Context(), wechatqr.Permanent(wechatqr.SceneID(1)))
			say("%v", err)
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	tok := wechatqr.Token{Value: token, Expiry: time.Now()}
	c, err := wechatqr.New(creds)
	require.NoError(t, err)
	type holder struct {
		Creds  wechatqr.Credentials
		Token  wechatqr.Token
		Client *wechatqr.Client
		Source wechatqr.TokenSource
		client *wechatqr.Client
		source wechatqr.TokenSource
	}
	h := holder{creds, tok, c, reuse, c, reuse}
	for _, v := range []any{
		creds, &creds, tok, &tok, c, reuse, c.TokenSource(), wechatqr.StaticTokenSource(token),
		map[string]*wechatqr.Credentials{"a": &creds},
	} {
		show(v)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%d", "%s", "%q"} {
		say(verb, h) // not as JSON: a Token marshals for its TokenStore
		say(verb, &h)
		say(verb, []wechatqr.Token{tok})
	}

	text := out.String()
	require.Greater(t, len(text), 10_000)
	for _, s := range []string{secret, token} {
		for i := 0; i+8 <= len(s); i++ { // no eight characters of either
			piece := s[i : i+8]
			if j := strings.Index(text, piece); j >= 0 {
				t.Fatalf("%q is in the text: …%s…", piece,
					text[max(0, j-300):min(len(text), j+100)])
			}
		}
	}
}

type writer func([]byte)

func (f writer) Write(b []byte) (int, error) { f(b); return len(b), nil }

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

// leakyStore fails with what it was given and what it has.
type leakyStore struct {
	tok  wechatqr.Token
	fail atomic.Bool
}

func (s *leakyStore) err(args ...any) error {
	if s.fail.Load() {
		return fmt.Errorf("READONLY: %q %s", args, s.tok.Value)
	}
	return nil
}

func (s *leakyStore) Load(_ context.Context, key string) (wechatqr.Token, error) {
	return s.tok, s.err(key)
}

func (s *leakyStore) Save(_ context.Context, key string, tok wechatqr.Token, _ string) error {
	return s.err(key, tok.Value)
}

func (s *leakyStore) Discard(_ context.Context, key, rejected string) error {
	return s.err(key, rejected)
}
