package tickets_test

import (
	"encoding/xml"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/tickets"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

func request(h http.Handler, method string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "/code", nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func get(h http.Handler) *httptest.ResponseRecorder { return request(h, http.MethodGet) }

func TestPicture(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &wechat{}
		h := newKeeper(t, w, tickets.NewMemory()).Picture(hourly)
		resp := get(h)
		assert.Equal(t, http.StatusOK, resp.Code)
		assert.Equal(t, "picture of 1", resp.Body.String())
		assert.Equal(t, "image/png", resp.Header().Get("Content-Type"))
		assert.Equal(t, "nosniff", resp.Header().Get("X-Content-Type-Options"))
		assert.Equal(t, "max-age=1800, must-revalidate", resp.Header().Get("Cache-Control"))
		etag := resp.Header().Get("ETag")
		assert.Regexp(t, `^"[0-9a-f]{32}"$`, etag)

		head := request(h, http.MethodHead)
		assert.Equal(t, http.StatusOK, head.Code)
		assert.Empty(t, head.Body.String())
		assert.Equal(t, "12", head.Header().Get("Content-Length"))
		assert.Equal(t, etag, head.Header().Get("ETag"))

		time.Sleep(29*time.Minute + 59*time.Second)
		assert.Equal(t, "max-age=1, must-revalidate", get(h).Header().Get("Cache-Control"))
		time.Sleep(time.Nanosecond)
		same := request(h, http.MethodGet, "If-None-Match", etag)
		assert.Equal(t, http.StatusNotModified, same.Code)
		assert.Equal(t, "no-cache", same.Header().Get("Cache-Control"), "less than a second")
		assert.Len(t, w.fetched, 1)

		time.Sleep(time.Second - time.Nanosecond)
		assert.Equal(t, "picture of 1", get(h).Body.String())
		synctest.Wait()
		get(h)
		synctest.Wait()
		next := request(h, http.MethodGet, "If-None-Match", etag)
		assert.Equal(t, http.StatusOK, next.Code)
		assert.Equal(t, "picture of 2", next.Body.String())
		assert.Equal(t, []string{"1", "2"}, w.fetched)

		for _, method := range []string{http.MethodPost, http.MethodDelete} {
			resp := request(h, method)
			assert.Equal(t, http.StatusMethodNotAllowed, resp.Code)
			assert.Equal(t, "GET, HEAD", resp.Header().Get("Allow"))
		}
	})
}

func TestPictureOfPermanentCode(t *testing.T) {
	t.Parallel()
	h := newKeeper(t, &wechat{}, tickets.NewMemory()).Picture(print1)
	assert.Equal(t, "max-age=86400, must-revalidate", get(h).Header().Get("Cache-Control"))
}

func TestManyScreensAskAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &wechat{delay: time.Second}
		h := newKeeper(t, w, tickets.NewMemory()).Picture(hourly)
		var wg sync.WaitGroup
		for range 1000 {
			wg.Go(func() { assert.Equal(t, "picture of 1", get(h).Body.String()) })
		}
		wg.Wait()
		assert.Len(t, w.requests(), 1)
		assert.Len(t, w.fetched, 1)
	})
}

func TestPictureWhenWeChatIsAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		away := errors.New("away")
		w := &wechat{}
		var log strings.Builder
		logger := tickets.WithLogger(slog.New(slog.NewTextHandler(&log, nil)))
		h := newKeeper(t, w, tickets.NewMemory(), logger).Picture(hourly)
		require.Equal(t, http.StatusOK, get(h).Code)
		assert.Empty(t, log.String())
		first := time.Now()

		// The code is renewed, and its picture cannot be had.
		w.fetch = func(string) (*wechatqr.QRCode, error) { return nil, away }
		time.Sleep(30 * time.Minute)
		get(h)
		synctest.Wait()
		for range 100 {
			resp := get(h)
			assert.Equal(t, "picture of 1", resp.Body.String())
			assert.Equal(t, "no-cache", resp.Header().Get("Cache-Control"))
			synctest.Wait()
		}
		assert.Len(t, w.requests(), 2)
		assert.Len(t, w.fetched, 2, "not at every request")
		assert.Equal(t, 1, strings.Count(log.String(), "level=WARN"))
		assert.Contains(t, log.String(), "was not fetched")

		time.Sleep(time.Until(first.Add(time.Hour - 1)))
		assert.Equal(t, "picture of 1", get(h).Body.String(), "until the code ends")
		synctest.Wait()
		time.Sleep(time.Nanosecond)
		log.Reset()
		resp := get(h)
		assert.Contains(t, log.String(), "there is no picture to show")
		assert.NotContains(t, log.String(), "was not fetched", "the screen is told")
		assert.Equal(t, http.StatusServiceUnavailable, resp.Code)
		assert.Equal(t, "no-store", resp.Header().Get("Cache-Control"))
		assert.NotEmpty(t, resp.Header().Get("Retry-After"))
		assert.Empty(t, resp.Header().Get("ETag"))
		assert.Equal(t, "image/svg+xml", resp.Header().Get("Content-Type"))
		assert.Contains(t, resp.Body.String(), "二维码暂时无法显示")
		dec := xml.NewDecoder(strings.NewReader(resp.Body.String()))
		var err error
		for err == nil {
			_, err = dec.Token()
		}
		require.Equal(t, io.EOF, err, "the picture is well formed")
		assert.Empty(t, request(h, http.MethodHead).Body.String())

		w.fetch = nil
		assert.Equal(t, http.StatusOK, get(h).Code, "without a pause")
	})
}

func TestPictureWhenTheStoreIsAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &spy{Store: tickets.NewMemory()}
		h := newKeeper(t, &wechat{}, s).Picture(hourly)
		require.Equal(t, http.StatusOK, get(h).Code)
		s.load = func() error { return errors.New("away") }
		time.Sleep(time.Hour - 1)
		assert.Equal(t, "picture of 1", get(h).Body.String())
		time.Sleep(time.Nanosecond)
		assert.Equal(t, http.StatusServiceUnavailable, get(h).Code)
	})
}

func TestPictureOfAnInvalidRequest(t *testing.T) {
	t.Parallel()
	h := newKeeper(t, &wechat{}, tickets.NewMemory()).Picture(wechatqr.Temporary(door, 0))
	assert.Equal(t, http.StatusInternalServerError, get(h).Code)
}

// With the real client, and a picture from over HTTP.
func TestPictureFromWeChat(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	h := newKeeper(t, srv.Client(), tickets.NewMemory()).Picture(hourly)
	resp := get(h)
	assert.Equal(t, http.StatusOK, resp.Code)
	assert.Equal(t, "image/jpeg", resp.Header().Get("Content-Type"))
	require.Len(t, srv.QRCodes(), 1)
	code, err := srv.Client().FetchQRCode(t.Context(), srv.QRCodes()[0].Ticket)
	require.NoError(t, err)
	assert.Equal(t, code.Data, resp.Body.Bytes())
}
