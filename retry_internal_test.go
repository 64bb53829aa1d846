package wechatqr

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// TestRetryPolicy is the policy whole: what follows each outcome.
func TestRetryPolicy(t *testing.T) {
	t.Parallel()
	type row struct {
		outcome                       outcome
		idempotent, creation, others  decision // one host, an attempt left, nothing unsure
		creationUnsure, idempotentEnd decision // after a lost one; no attempt left
		creationEnd, othersEnd        decision
	}
	for _, r := range []row{
		{succeeded, stop, stop, stop, stop, stop, stop, stop},
		{failed, stop, stop, stop, stopUnknown, stop, stop, stop},
		{unreadable, stop, stopUnknown, stopUnknown, stopUnknown, stop, stopUnknown, stopUnknown},
		{busy, retrySameHost, retrySameHost, stopUnknown, retrySameHost, stop, stop, stopUnknown},
		{serverError, retryNextLater, retryNextLater, stopUnknown, stopUnknown, stop, stopUnknown,
			stopUnknown},
		{noResponse, retryNextLater, retryNextLater, stopUnknown, stopUnknown, stop, stopUnknown,
			stopUnknown},
		{notSent, retryNextLater, retryNextLater, retryNextLater, retryNextLater, stop, stop, stop},
	} {
		for _, tt := range []struct {
			name  string
			state retryState
			want  decision
		}{
			{"idempotent", retryState{kind: idempotent}, r.idempotent},
			{"creation", retryState{kind: permanentCreation}, r.creation},
			{"others", retryState{kind: notIdempotent}, r.others},
			{"idempotent after a lost one", retryState{kind: idempotent, unsure: true},
				r.idempotent},
			{"creation after a lost one", retryState{kind: permanentCreation, unsure: true},
				r.creationUnsure},
			{"idempotent, the last", retryState{kind: idempotent, lastOne: true}, r.idempotentEnd},
			{"creation, the last", retryState{kind: permanentCreation, lastOne: true},
				r.creationEnd},
			{"others, the last", retryState{kind: notIdempotent, lastOne: true}, r.othersEnd},
		} {
			tt.state.outcome = r.outcome
			assert.Equal(t, tt.want, decide(tt.state), "%d, %s", r.outcome, tt.name)

			tt.state.otherHosts = true
			want := tt.want
			if want == retryNextLater {
				want = retryNextHost
			}
			assert.Equal(t, want, decide(tt.state), "%d, %s, with another host", r.outcome, tt.name)
		}
	}
	lost := retryState{outcome: busy, kind: permanentCreation, unsure: true, lastOne: true}
	assert.Equal(t, stopUnknown, decide(lost))
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	for attempts, want := range map[int]time.Duration{
		1: 200 * time.Millisecond, 2: 400 * time.Millisecond, 5: 3200 * time.Millisecond,
		6: 5 * time.Second, 1000: 5 * time.Second,
	} {
		seen := map[time.Duration]bool{}
		for range 20 {
			d := backoff(attempts)
			assert.GreaterOrEqual(t, d, want/2)
			assert.Less(t, d, want)
			seen[d] = true
		}
		assert.Greater(t, len(seen), 1, "jitter")
	}
}

// A refusal that nothing is known of says what an attempt before it may have done.
func TestUnknownRefusalAfterALostResponse(t *testing.T) {
	t.Parallel()
	e := &Error{Code: 99999, StatusCode: 200, unsure: &adviceUnsure}
	assert.Equal(t, adviceUnsure.en, e.Hint())
	assert.Equal(t, adviceUnsure.zh, e.HintZH())
}
