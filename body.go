package wechatqr

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
)

// badBody is an error that says what is wrong with a response's body.
type badBody string

func (b badBody) Error() string { return string(b) }

// readBody reads the body and closes it. It returns when ctx ends, whatever the
// body does.
func (s *sender) readBody(ctx context.Context, resp *http.Response, limit int64) ([]byte, error) {
	body := resp.Body
	if body == nil {
		return nil, nil
	}
	_, own := s.transport.(*http.Transport) // whose bodies heed ctx
	if own || inMemory(body) {
		return readResponse(resp, limit)
	}

	const ended, panicked = "the response's body ended its goroutine", "the response's body panicked"
	var data []byte
	err := untilDone(ctx, ended, panicked, func() (err error) {
		data, err = readResponse(resp, limit)
		return err
	})
	if err != nil {
		return nil, err
	}
	return data, nil
}

// readResponse reads the body, unless another protocol follows, and closes it.
func readResponse(resp *http.Response, limit int64) ([]byte, error) {
	defer resp.Body.Close()
	if resp.StatusCode < 200 {
		return nil, badBody("a connection of another protocol, which was not asked for")
	}
	return readAll(resp.Body, resp.ContentLength, limit)
}

// inMemory reports whether the body is io.NopCloser of bytes or a text, as
// mocks have it, which cannot block.
func inMemory(body io.ReadCloser) bool {
	v := reflect.ValueOf(body)
	if v.Type() != reflect.TypeOf(io.NopCloser(&bytes.Reader{})) {
		return false
	}
	switch v.Field(0).Interface().(type) {
	case *bytes.Reader, *strings.Reader, *bytes.Buffer:
		return true
	}
	return false
}

// maxEmptyReads is how often in a row a body may read nothing.
const maxEmptyReads = 100

// readAll reads to the end, of which size is a guess, and refuses more than limit.
func readAll(r io.Reader, size, limit int64) ([]byte, error) {
	room := min(size, limit) + 1 // for the Read that finds the end
	if size < 0 {
		room = 512
	}
	buf := make([]byte, 0, room)
	for empty := 0; empty < maxEmptyReads; empty++ {
		buf = slices.Grow(buf, 1)
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if n > 0 {
			empty = 0
		}
		switch {
		case int64(len(buf)) > limit:
			return nil, badBody(fmt.Sprintf("the response is larger than %d KiB", limit>>10))
		case err == io.EOF:
			return buf, nil
		case err != nil:
			return nil, fmt.Errorf("reading the response: %w", err)
		}
	}
	return nil, fmt.Errorf("reading the response: %w", io.ErrNoProgress)
}
