package wechatqrtest_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

func TestFaults(t *testing.T) {
	t.Parallel()
	request := `{"action_name":"QR_SCENE","action_info":{"scene":{"scene_id":1}}}`
	for name, tt := range map[string]struct {
		fault  wechatqrtest.Fault
		status int
		body   string // a part of it, or all
		err    error  // of reading the body
		acted  bool
	}{
		"code": {wechatqrtest.Fault{Code: -1}, 200,
			`{"errcode":-1,"errmsg":"system error rid: `, nil, false},
		"message": {wechatqrtest.Fault{Code: 48001, Message: "api unauthorized hint: [x]"}, 200,
			`{"errcode":48001,"errmsg":"api unauthorized hint: [x]"}`, nil, false},
		"address": {wechatqrtest.Fault{Code: 40164}, 200,
			`invalid ip 127.0.0.1 ipv6 ::ffff:127.0.0.1, not in whitelist rid: `, nil, false},
		"status": {wechatqrtest.Fault{Status: 502}, 502, "<html>", nil, false},
		"code and status": {wechatqrtest.Fault{Status: 500, Code: -1}, 500, `"errcode":-1`,
			nil, false},
		"truncate": {wechatqrtest.Fault{Break: wechatqrtest.BreakTruncate}, 200,
			`{"ticket":"gQH`[:13], nil, true},
		"length": {wechatqrtest.Fault{Break: wechatqrtest.BreakWrongLength}, 200,
			`{"ticket":"gQ`, io.ErrUnexpectedEOF, true},
		"empty": {wechatqrtest.Fault{Break: wechatqrtest.BreakEmpty}, 200, "", nil, true},
		"html":  {wechatqrtest.Fault{Break: wechatqrtest.BreakHTML}, 200, "<html>", nil, true},
		"not json": {wechatqrtest.Fault{Break: wechatqrtest.BreakNotJSON}, 200,
			"upstream connect error", nil, true},
		"huge": {wechatqrtest.Fault{Break: wechatqrtest.BreakHuge}, 200,
			strings.Repeat(" ", 8<<20), nil, true},
		"broken code": {wechatqrtest.Fault{Code: -1, Break: wechatqrtest.BreakTruncate}, 200,
			`{"errcode":-1`, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := wechatqrtest.Start(t)
			address := srv.URL() + create + "?access_token=" + token(t, srv)
			tt.fault.Path, tt.fault.Times = create, 1
			srv.Inject(tt.fault)
			resp, err := http.Post(address, "application/json", strings.NewReader(request))
			require.NoError(t, err)
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if tt.err != nil {
				require.ErrorIs(t, err, tt.err)
			} else {
				require.NoError(t, err)
			}
			assert.Equal(t, tt.status, resp.StatusCode)
			if tt.body == "" {
				assert.Empty(t, body)
			} else {
				assert.True(t, strings.Contains(string(body), tt.body), "%.200s", body)
			}
			assert.Equal(t, tt.acted, len(srv.QRCodes()) == 1)
			assert.Empty(t, srv.Faults())
			_, again := post(t, address, request)
			assert.Contains(t, again, "ticket", "once means once")
		})
	}
}

func TestFaultReset(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	address := srv.URL() + create + "?access_token=" + token(t, srv)
	srv.Inject(wechatqrtest.Fault{Path: create, Times: 1, Break: wechatqrtest.BreakReset})
	resp, err := http.Post(address, "application/json",
		strings.NewReader(
			`{"action_name":"QR_LIMIT_SCENE","action_info":{"scene":{"scene_id":1}}}`))
	if err == nil { // the reset may overtake the headers
		defer resp.Body.Close()
		_, err = io.ReadAll(resp.Body)
	}
	require.Error(t, err)
	assert.Len(t, srv.QRCodes(), 1, "the code was made, and the response was lost")
}

func TestFaultHang(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	srv.Inject(wechatqrtest.Fault{Break: wechatqrtest.BreakHang})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, srv.URL()+"/cgi-bin/token", nil)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	if err == nil {
		_ = resp.Body.Close()
	}
	require.ErrorIs(t, err, context.DeadlineExceeded)

	srv.ClearFaults()
	arrived, hung := make(chan struct{}), make(chan error, 1)
	srv.InjectFunc(func(*http.Request) (wechatqrtest.Fault, bool) {
		close(arrived)
		return wechatqrtest.Fault{Break: wechatqrtest.BreakHang}, true
	})
	go func() {
		resp, err := http.Get(srv.URL() + "/cgi-bin/token")
		if err == nil {
			_ = resp.Body.Close()
		}
		hung <- err
	}()
	<-arrived
	srv.Close()
	require.Error(t, <-hung, "Close cuts it off")
}

func TestFaultDelay(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	srv.Inject(wechatqrtest.Fault{Path: "/cgi-bin/token", Delay: 50 * time.Millisecond})
	began := time.Now()
	assert.Zero(t, classic(t, srv).ErrCode)
	assert.GreaterOrEqual(t, time.Since(began), 50*time.Millisecond)
	assert.GreaterOrEqual(t, srv.Requests()[0].Duration, 50*time.Millisecond)
	assert.Len(t, srv.Faults(), 1, "until ClearFaults")
	srv.ClearFaults()
	assert.Empty(t, srv.Faults())
}

func TestFaultsInOrder(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	srv.Inject(wechatqrtest.Fault{Path: "/cgi-bin/token", Times: 2, Code: -1})
	srv.Inject(wechatqrtest.Fault{Times: 1, Code: 45009})
	srv.InjectFunc(func(r *http.Request) (wechatqrtest.Fault, bool) {
		return wechatqrtest.Fault{Code: 50004}, r.URL.Query().Get("appid") != ""
	})
	assert.Equal(t, -1, classic(t, srv).ErrCode)
	assert.Equal(t, []wechatqrtest.Fault{{Path: "/cgi-bin/token", Times: 1, Code: -1},
		{Times: 1, Code: 45009}}, srv.Faults())
	assert.Equal(t, -1, classic(t, srv).ErrCode)
	assert.Equal(t, 45009, classic(t, srv).ErrCode)
	assert.Equal(t, 50004, classic(t, srv).ErrCode)
	assert.Zero(t, stable(t, srv, false).ErrCode, "the function declines")
	srv.InjectFunc(nil)
	assert.Zero(t, classic(t, srv).ErrCode)
	assert.Equal(t, 5, srv.Count("/cgi-bin/token"))
}

// The picture host fails like the API does.
func TestFaultOfPicture(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	c := srv.Client(wechatqr.WithMaxRetries(0))
	ticket := temporary(t, srv)
	for _, f := range []wechatqrtest.Fault{{Code: 40001}, {Break: wechatqrtest.BreakHTML},
		{Break: wechatqrtest.BreakEmpty}, {Break: wechatqrtest.BreakHuge}, {Status: 503}} {
		f.Path, f.Times = "/cgi-bin/showqrcode", 1
		srv.Inject(f)
		_, err := c.FetchQRCode(t.Context(), ticket)
		require.Error(t, err, "%+v", f)
	}
	_, err := c.FetchQRCode(t.Context(), ticket)
	require.NoError(t, err)
}

// Without a connection to break, a recorder for instance, it is a 502.
func TestFaultsWithoutConnection(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	srv.Inject(wechatqrtest.Fault{Break: wechatqrtest.BreakReset})
	rec := httptest.NewRecorder()
	srv.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/cgi-bin/token", nil))
	assert.Equal(t, http.StatusBadGateway, rec.Code)
	srv.Close()
	rec = httptest.NewRecorder()
	srv.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/cgi-bin/token", nil))
	assert.Equal(t, http.StatusServiceUnavailable, rec.Code)
}
