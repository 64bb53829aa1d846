package events

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
)

// What this process forgets is no problem while a shared store remembers it.
func TestForgottenEventsThatAreShared(t *testing.T) {
	t.Parallel()
	all := claims{local: newMemory(0), shared: newMemory(1 << 20), ttl: time.Hour}
	all.report = func(_ context.Context, _ *wechatqr.Event, err error, _ []byte) { t.Error(err) }
	for i := range 3 * 1024 {
		c := claim{claims: &all, ctx: t.Context(), id: fmt.Sprint(i), held: true, start: time.Now()}
		c.endClaim(true)
	}
}

// A delivery is counted once, however long it waits, and until it waits no more.
func TestWaitingDeliveriesAreCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		all := claims{local: newMemory(0), ttl: time.Hour}
		ev := &wechatqr.Event{FromUserName: "o", CreateTime: time.Now()}
		holder := claim{claims: &all, ctx: t.Context(), ev: ev, start: time.Now()}
		got, err := holder.acquire(t.Context())
		require.NoError(t, err)
		require.Equal(t, ClaimGranted, got)

		outcomes := make(chan error, 2)
		for range cap(outcomes) {
			c := claim{claims: &all, ctx: t.Context(), ev: ev, start: time.Now()}
			go func() {
				_, err := c.acquire(t.Context())
				outcomes <- err
			}()
		}
		time.Sleep(time.Second) // ten looks at the claim
		assert.Equal(t, 2, all.local.addWaiting(ev.ID(), 0))
		for range cap(outcomes) {
			require.ErrorIs(t, <-outcomes, ErrInProgress)
		}
		assert.Empty(t, all.local.waiting)
	})
}

func TestErrorOfJustTheLimitIsWhole(t *testing.T) {
	t.Parallel()
	room := maxErrorBytes - len(errorf(ErrFunction, "").Error())
	for over := range 2 {
		s := errorf(ErrFunction, "%s", strings.Repeat("x", room+over)).Error()
		assert.Equal(t, over == 1, strings.HasSuffix(s, "…"))
	}
}
