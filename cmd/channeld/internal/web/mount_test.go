package web

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A page that waits for what does not answer says so; a download goes on.
func TestPagesHaveATimeLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const long = 24 * time.Hour
		var waited time.Duration
		var ended error
		wait := func(_ http.ResponseWriter, r *http.Request) {
			began := time.Now()
			select {
			case <-time.After(long):
			case <-r.Context().Done():
			}
			waited, ended = time.Since(began), r.Context().Err()
		}
		mux, err := Mount(
			[]Route{
				{Pattern: "GET /page", Needs: Viewer, Handle: wait},
				{Pattern: "GET /file", Needs: Viewer, Handle: wait, Long: true},
			}, []Route{
				{Pattern: "GET /open", Handle: wait},
			}, nil,
		)
		require.NoError(t, err)
		for path, want := range map[string]time.Duration{
			"/page": PageTimeout, "/open": PageTimeout, "/file": long,
		} {
			r := httptest.NewRequestWithContext(
				WithVisitor(t.Context(), Visitor{Role: Admin}), http.MethodGet, path, nil,
			)
			mux.ServeHTTP(httptest.NewRecorder(), r)
			assert.Equal(t, want, waited, path)
			if want == PageTimeout {
				assert.ErrorIs(t, ended, context.DeadlineExceeded, path)
			}
		}
	})
}
