package wechatqrtest_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr/wechatqrtest"
)

func TestStateOfAnEmptyServerHasNoNull(t *testing.T) {
	t.Parallel()
	data, err := json.Marshal(wechatqrtest.Start(t).State())
	require.NoError(t, err)
	assert.NotContains(t, string(data), "null")
}

func TestStateHoldsEverythingButSecrets(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	srv.ServeCallback(respondWith("success"))
	ticket := temporary(t, srv)
	_, err := srv.Scan(t.Context(), ticket, "o6_user")
	require.NoError(t, err)
	srv.Inject(wechatqrtest.Fault{Path: create, Code: -1})

	st := srv.State()
	assert.Equal(t, srv.QRCodes(), st.QRCodes)
	assert.Equal(t, srv.Users(), st.Users)
	assert.Equal(t, srv.Pushes(), st.Pushes)
	assert.Equal(t, srv.Requests(), st.Requests)
	assert.Equal(t, srv.Faults(), st.Faults)
	assert.Equal(t, srv.Quotas(), st.Quotas)
	assert.Equal(t, srv.Callback().URL, st.Callback.URL)

	data, err := json.Marshal(st)
	require.NoError(t, err)
	text := st.String()
	assert.Contains(t, text, "o6_user")
	assert.Contains(t, text, ticket)
	assert.Less(t, strings.Index(text, create), strings.Index(text, "push 1: subscribe"))
	for _, secret := range []string{
		srv.Credentials().AppSecret, srv.Callback().Token, srv.Callback().EncodingAESKey,
	} {
		assert.NotContains(t, string(data)+text, secret)
	}
}

// recordingTester is a Tester of another framework than testing.
type recordingTester struct {
	failed   bool
	logged   string
	cleanups []func()
}

func (r *recordingTester) Helper()           {}
func (r *recordingTester) Failed() bool      { return r.failed }
func (r *recordingTester) Cleanup(fn func()) { r.cleanups = append(r.cleanups, fn) }
func (r *recordingTester) Logf(format string, args ...any) {
	r.logged += fmt.Sprintf(format, args...)
}

func TestStartLogsTheStateOfAFailedTest(t *testing.T) {
	t.Parallel()
	for name, failed := range map[string]bool{"passed": false, "failed": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tester := &recordingTester{failed: failed}
			srv := wechatqrtest.Start(tester)
			temporary(t, srv)
			for _, fn := range tester.cleanups {
				fn()
			}
			assert.Equal(t, failed, strings.Contains(tester.logged, create), tester.logged)
		})
	}
}
