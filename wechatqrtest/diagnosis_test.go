package wechatqrtest_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/events"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// diagnose serves the callback and returns what DiagnoseCallback finds.
func diagnose(t *testing.T, srv *wechatqrtest.Server, h http.Handler) (wechatqrtest.Diagnosis,
	error) {
	t.Helper()
	srv.ServeCallback(h)
	got, err := srv.DiagnoseCallback(t.Context())
	assert.Len(t, got.Findings, 5)
	return got, err
}

func callback(t *testing.T, cfg events.Config) http.Handler {
	t.Helper()
	h, err := events.NewHandler(cfg, func(context.Context, *wechatqr.Event) (events.Reply, error) {
		return events.Text("welcome"), nil
	})
	require.NoError(t, err)
	return h
}

func TestDiagnoseCallbackOfPackageEvents(t *testing.T) {
	t.Parallel()
	for _, mode := range []wechatqrtest.Mode{
		wechatqrtest.ModePlain, wechatqrtest.ModeCompatible, wechatqrtest.ModeSafe,
	} {
		srv := wechatqrtest.Start(t)
		require.NoError(t, srv.SetCallback(wechatqrtest.Callback{Mode: mode}))
		h := callback(t, srv.CallbackConfig())
		got, err := diagnose(t, srv, h)
		require.NoError(t, err, mode)
		for _, f := range got.Findings {
			assert.Equal(t, wechatqrtest.VerdictPassed, f.Verdict, "%s: %s", mode, f.Question)
			assert.NotEmpty(t, f.Attempts, "%s: %s", mode, f.Question)
			assert.Nil(t, f.Err)
		}
		assert.Equal(t, mode, got.Mode)
		assert.Empty(t, srv.Pushes(), "probes are not pushes")
		assert.Empty(t, srv.Users(), "nobody is made up")

		// Without a Server, as a doctor of a real account does.
		alone := httptest.NewServer(h)
		t.Cleanup(alone.Close)
		got, err = wechatqrtest.DiagnoseCallback(t.Context(), alone.URL, srv.CallbackConfig())
		require.NoError(t, err)
		assert.Equal(t, alone.URL, got.URL)
	}
}

// wrongEchoes are callbacks that fail the console's check.
func wrongEchoes() map[string]wrongEcho {
	echo := func(r *http.Request) string { return r.URL.Query().Get("echostr") }
	say := func(fn func(*http.Request) string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, fn(r)) }
	}
	return map[string]wrongEcho{
		"two": {say(func(r *http.Request) string { return "<p>" + echo(r) }),
			wechatqrtest.ReasonWrongEcho, "more than echostr", 200},
		"byte order mark": {say(func(r *http.Request) string { return "\ufeff" + echo(r) }),
			wechatqrtest.ReasonWrongEcho, "byte order mark", 200},
		"quoted": {say(func(r *http.Request) string { return `"` + echo(r) + `"` }),
			wechatqrtest.ReasonQuoted, "as text", 200},
		"newline": {say(func(r *http.Request) string { return echo(r) + "\n" }),
			wechatqrtest.ReasonWrongEcho, "line breaks", 200},
		"empty": {say(func(*http.Request) string { return "" }), wechatqrtest.ReasonWrongEcho,
			"empty", 200},
		"success": {say(func(*http.Request) string { return "success" }),
			wechatqrtest.ReasonWrongEcho,
			`"success"`, 200},
		"not found": {http.NotFound, wechatqrtest.ReasonWrongStatus, "404", 404},
		"redirected": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/login", http.StatusFound)
		}, wechatqrtest.ReasonRedirected, `"/login"`, 302},
		"slow": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
			wechatqrtest.ReasonTooSlow, "100ms", 0},
		"broken off": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "10")
			_, _ = io.WriteString(w, "half")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}, wechatqrtest.ReasonIncomplete, "unexpected EOF", 200},
	}
}

type wrongEcho struct {
	callback http.HandlerFunc
	want     wechatqrtest.Reason
	detail   string
	status   int
}

// start starts a Server that does not wait long for a slow callback.
func (e wrongEcho) start(t *testing.T) *wechatqrtest.Server {
	if e.want == wechatqrtest.ReasonTooSlow {
		return wechatqrtest.Start(t, wechatqrtest.WithPushTimeout(100*time.Millisecond))
	}
	return wechatqrtest.Start(t)
}

// is requires err to be what is wrong with the callback.
func (e wrongEcho) is(t *testing.T, err error) *wechatqrtest.CallbackError {
	t.Helper()
	var ce *wechatqrtest.CallbackError
	require.ErrorAs(t, err, &ce)
	assert.Equal(t, e.want, ce.Reason)
	assert.Contains(t, ce.Detail, e.detail)
	assert.Equal(t, e.status, ce.Status)
	return ce
}

func TestDiagnoseCallbackThatFails(t *testing.T) {
	t.Parallel()
	for name, tt := range wrongEchoes() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := diagnose(t, tt.start(t), tt.callback)
			ce := tt.is(t, err)
			assert.NotEmpty(t, ce.Advice)
			assert.NotEmpty(t, ce.AdviceZH)
			assert.ErrorContains(t, err, ce.Advice)
			assert.Equal(t, wechatqrtest.VerdictSkipped,
				got.Finding(wechatqrtest.QuestionKey).Verdict)
		})
	}
}

func TestDiagnoseCallbackRefuses(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	_, err := srv.DiagnoseCallback(t.Context())
	require.ErrorIs(t, err, wechatqrtest.ErrNoCallback)
	srv.ServeCallback(http.NotFoundHandler())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	got, err := srv.DiagnoseCallback(ctx)
	require.ErrorIs(t, err, context.Canceled)
	assert.Empty(t, got.Findings)
	srv.Close()
	_, err = srv.DiagnoseCallback(t.Context())
	require.ErrorIs(t, err, http.ErrServerClosed)
	_, err = wechatqrtest.DiagnoseCallback(t.Context(), "http://127.0.0.1/", events.Config{})
	require.ErrorContains(t, err, "EncodingAESKey")
}
