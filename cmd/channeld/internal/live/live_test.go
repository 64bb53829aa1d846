package live

import (
	"bufio"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr/channels"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/web"
)

// stream connects as a viewer who has a page that tells of all up to an event, or whose
// connection broke after one.
func stream(t *testing.T, f *Feed, page, broken string) *bufio.Scanner {
	t.Helper()
	server := httptest.NewServer(f.Stream(func(*http.Request) (web.Visitor, error) {
		return web.Visitor{Role: web.Viewer}, nil
	}))
	t.Cleanup(server.Close)
	t.Cleanup(f.Close) // before the server, which waits for the streams
	address := server.URL + "?" + url.Values{"after": {page}}.Encode()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	require.NoError(t, err)
	if broken != "" {
		r.Header.Set("Last-Event-ID", broken)
	}
	resp, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	t.Cleanup(func() { _ = resp.Body.Close() })
	return bufio.NewScanner(resp.Body)
}

// nextMessage is the ID and the data of the next message.
func nextMessage(t *testing.T, s *bufio.Scanner) (id, data string) {
	t.Helper()
	for s.Scan() {
		name, value, _ := strings.Cut(s.Text(), ": ")
		switch name {
		case "id":
			id = value
		case "data":
			return id, value
		}
	}
	t.Fatal("the stream has ended")
	return "", ""
}

// A page is told at once of what came after it was written, and of nothing else before there
// is something.
func TestStreamBeginsWhereThePageEnds(t *testing.T) {
	t.Parallel()
	scan := func(f *Feed, key string) string {
		f.note(Event{At: time.Unix(1_700_000_000, 0), Kind: channels.NewFollower, Key: key})
		return f.LastID()
	}
	for name, tt := range map[string]struct {
		page, broken func(none, first string) string
		want         string // the event that the first message ends with
	}{
		"nothing is known": {want: "first"},
		"a page of before": {page: func(none, _ string) string { return none }, want: "first"},
		"a page of now":    {page: func(_, first string) string { return first }, want: "second"},
		"another process's page": {
			page: func(_, _ string) string { return NewFeed().LastID() }, want: "first",
		},
		"it breaks later": {
			page:   func(none, _ string) string { return none },
			broken: func(_, first string) string { return first }, want: "second",
		},
		"it breaks, and the process ends": {
			page:   func(_, first string) string { return first },
			broken: func(_, _ string) string { return NewFeed().LastID() }, want: "first",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := NewFeed()
			none, first := f.LastID(), scan(f, "first")
			var page, broken string
			if tt.page != nil {
				page = tt.page(none, first)
			}
			if tt.broken != nil {
				broken = tt.broken(none, first)
			}
			s := stream(t, f, page, broken) // is there when the header has come
			if tt.want == "first" {
				id, data := nextMessage(t, s)
				assert.Equal(t, first, id)
				assert.Contains(t, data, "first")
			}
			second := scan(f, "second")
			id, data := nextMessage(t, s)
			assert.Equal(t, second, id)
			assert.Contains(t, data, "second")
		})
	}
}
