package wechatqr

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestOutcomeOfARefusal(t *testing.T) {
	t.Parallel()
	for e, want := range map[[2]int]outcome{
		{0, 299}: unreadable, {0, 300}: failed, {0, 499}: failed, {0, 500}: serverError,
		{48001, 200}: failed, {48001, 502}: failed, {-1, 200}: busy,
	} {
		assert.Equal(t, want, outcomeOf(&Error{Code: ErrorCode(e[0]), StatusCode: e[1]}), "%v", e)
	}
	for e, known := range map[[2]int]*codeRow{
		{0, 499}: nil, {0, 500}: &rowOutcomeUnknown, {48001, 502}: nil,
	} {
		err := &Error{Code: ErrorCode(e[0]), StatusCode: e[1]}
		assert.Same(t, known, outcomeUnknown(&apiRequest{}, err).(*Error).known, "%v", e)
		assert.Nil(t, err.known, "an observer may still read it")
	}
}

func TestErrcodeIsLookedForOnlyWhereItMayBe(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		`{"errcode"`: true, `{"errcode`: true, `{"errcod`: false, `{"xerrcode":1}`: false,
		`{"expires":1}`: false, `{"\u0065"`: true, "": false,
	} {
		assert.Equal(t, want, mayHoldErrcode([]byte(text)), text)
	}
}

func TestErrorInByStatus(t *testing.T) {
	t.Parallel()
	x := &apiRequest{}
	for _, status := range []int{203, 299, 300, 399, 400, 500} {
		redirect := status == 300 || status == 399
		for _, text := range []string{`{}`, `{"errcode":"x"}`, `x`} {
			e := x.errorIn(status, []byte(text))
			require.NotNil(t, e, "%d %s", status, text)
			assert.Equal(t, redirect, strings.HasPrefix(e.Message, "a redirect"), "%d %s", status,
				text)
			assert.NotContains(t, e.Message, "errcode is no number")
		}
	}
	assert.Nil(t, x.errorIn(200, []byte(`{}`)))
	x.method = http.MethodGet
	assert.Nil(t, x.apiError(200, 45009, "").known, "not the quota of the token")
}

func TestRowByStatus(t *testing.T) {
	t.Parallel()
	for status, want := range map[int][2]*codeRow{ // of the first attempt, of another
		200: {&rowUnexpected, &rowUnexpected}, 404: {&rowUnexpected, &rowUnexpected},
		429: {&rowTooMany, &rowTooMany}, 499: {&rowUnexpected, &rowUnexpected},
		500: {&rowDown, &rowStillDown}, 503: {&rowDown, &rowStillDown},
	} {
		assert.Same(t, want[0], (&Error{StatusCode: status}).row(), status)
		assert.Same(t, want[1], (&Error{StatusCode: status, retried: true}).row(), status)
	}
}

func TestSnippetShowsNoJSON(t *testing.T) {
	t.Parallel()
	for text, shown := range map[string][2]bool{ // of the API, of the token endpoint
		"{a": {false, false}, "[a": {false, false}, "<html>": {true, true}, "word": {true, false},
	} {
		for i, forToken := range []bool{false, true} {
			got := (&apiRequest{forToken: forToken}).snippet([]byte(text))
			assert.Equal(t, shown[i], strings.Contains(got, text), "%s %v", text, forToken)
		}
	}
	x := &apiRequest{}
	line := strings.Repeat("x", 120)
	assert.Equal(t, `"`+line+`"`, x.snippet([]byte(line)))
	assert.Equal(t, `"`+line+`…"`, x.snippet([]byte(line+"x")))
}

func TestCutInsideACharacter(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "abc", cutText("abc", 3))
	assert.Equal(t, "a…", cutText("a店", 3))
	assert.Equal(t, "a店…", cutText("a店b", 4))
	assert.Equal(t, "…", cutText("\x80\x80\x80", 2))
	assert.Equal(t, "a b c d", clip("a\u2028b\u2029c\nd"))
}

func TestRedactPiecesAtTheEdges(t *testing.T) {
	t.Parallel()
	const secret = "abcdefghijkl"
	for text, want := range map[string]string{
		"abcdefgh": redacted, "x efghijkl": "x " + redacted, "x abcdefghij": "x " + redacted,
		"abcdefghij y": redacted + " y", "cdefghijkl y": redacted + " y", "abcdefg": "abcdefg",
		"abcdefghXYkl": redacted + "XYkl",
	} {
		assert.Equal(t, want, redactPieces(text, secret), text)
	}
}

type panickingError struct{}

func (panickingError) Error() string { panic("boom") }

func TestCleanKeepsWhatItMay(t *testing.T) {
	t.Parallel()
	for _, err := range []error{panickingError{}, (*net.OpError)(nil), (*url.Error)(nil)} {
		cleaned := clean(err)
		require.ErrorContains(t, cleaned, "cannot be printed")
		require.NotErrorIs(t, cleaned, io.EOF)
	}
	inner := errors.New("refused")
	assert.Same(t, inner, clean(inner))
	want := &url.Error{Op: "Get", URL: "https://a/b", Err: inner}
	assert.Equal(t, want, clean(&url.Error{Op: "Get", URL: "https://a/b?k=v", Err: inner}))
	long := errors.New("\n" + strings.Repeat("x", maxText-1))
	assert.Same(t, long, errors.Unwrap(clean(long)))
	for text, cut := range map[string]string{
		`"https://a?k=S S": no`: `"https://a": no`,
		"x://?S y":              "x:// y",
	} {
		assert.Equal(t, cut, clean(errors.New(text)).Error())
	}
	for err, timeout := range map[error]bool{
		context.DeadlineExceeded: true, os.ErrDeadlineExceeded: true, io.EOF: false,
	} {
		scrub, ok := clean(fmt.Errorf("a\n%w", err)).(*scrubbed)
		require.True(t, ok)
		assert.Equal(t, timeout, scrub.Timeout(), "%v", err)
	}
}

type emptyReads int

func (r *emptyReads) Read([]byte) (int, error) { *r++; return 0, nil }

func TestEmptyReadsAreCounted(t *testing.T) {
	t.Parallel()
	var reads emptyReads
	_, err := readAll(&reads, -1, 1)
	require.ErrorIs(t, err, io.ErrNoProgress)
	assert.EqualValues(t, maxEmptyReads, reads)
	assert.True(t, inMemory(io.NopCloser(&bytes.Buffer{})))
	assert.False(t, inMemory(struct{ io.ReadCloser }{io.NopCloser(&bytes.Buffer{})}))
}

func TestFirstHostIsNoProbe(t *testing.T) {
	t.Parallel()
	h, err := newHosts("https://a", "https://b")
	require.NoError(t, err)
	_, probe := h.pick(true)
	assert.False(t, probe)
}

// Not parallel: it changes http.DefaultTransport.
func TestHTTP2ConfigOfTheDefaultIsKept(t *testing.T) {
	def := http.DefaultTransport.(*http.Transport)
	before := def.HTTP2
	defer func() { def.HTTP2 = before }()
	def.HTTP2 = nil
	own, _ := newTransport()
	assert.Positive(t, own.(*http.Transport).HTTP2.SendPingTimeout)
	def.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: 7}
	own, _ = newTransport()
	assert.Equal(t, 7, own.(*http.Transport).HTTP2.MaxConcurrentStreams)
}

func TestTicketsOfEdgeCharacters(t *testing.T) {
	t.Parallel()
	require.NoError(t, checkTicket("!~"))
	require.Error(t, checkTicket("! ~"))
	require.Error(t, checkTicket("!\x7f"))
}
